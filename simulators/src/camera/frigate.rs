//! What Frigate publishes of the plates in its tracked objects: several updates of one vehicle under one id, times in seconds.
//! All cameras are of one Frigate and speak on its topics; each says its own part of how they are.

use serde_json::json;

use super::NO_PLATE;
use super::dialect::{Message, Said};

pub(super) fn message(said: &Said<'_>, name: &str) -> Option<Message> {
    let Said::Plate { capture, record, .. } = said else { return None };
    let plate = if capture.plate == NO_PLATE { "" } else { capture.plate.as_str() };
    let (seconds, thousandths) = (capture.at_ms.div_euclid(1000), capture.at_ms.rem_euclid(1000));
    // By its digits, as a reckoning in fractions could end at another thousandth.
    let timestamp = format!("{seconds}.{thousandths:03}").parse::<serde_json::Number>().ok()?;
    let body = json!({
        "type": "lpr", "id": format!("{seconds}.{thousandths:03}-{record:06}"), "name": null, "plate": plate,
        "score": f64::from(capture.confidence) / 100.0, "camera": name, "timestamp": timestamp,
        "plate_box": [917, 487, 1029, 529],
    });
    Some(Message::json("frigate/tracked_object_update".to_owned(), &body))
}

/// That its pictures come.
pub(super) fn alive(name: &str) -> Message {
    let camera = json!({"camera_fps": 5.1, "process_fps": 5.1, "skipped_fps": 0.0, "detection_fps": 0.3});
    Message::json("frigate/stats".to_owned(), &json!({"cameras": {name: camera}, "camera_fps": 5.1}))
}

/// Where its detection is switched; nobody switches it here.
pub(super) fn topics(name: &str) -> (String, String) {
    (format!("frigate/{name}/detect/set"), format!("frigate/{name}/detect/state"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Capture, Trigger};

    #[test]
    fn every_camera_speaks_on_the_topics_of_its_frigate_and_names_itself() {
        let capture = Capture {
            plate: NO_PLATE.to_owned(),
            at_ms: 1_772_294_399_038,
            confidence: 95,
            trigger: Trigger::VirtualLoop,
        };
        let said = Said::Plate { capture: &capture, record: 7, is_quick: false, pictures: None };
        let update = message(&said, "gate_in").expect("an update");
        let body: serde_json::Value = serde_json::from_slice(&update.body).unwrap();
        assert_eq!(update.to, "frigate/tracked_object_update");
        assert_eq!((&body["type"], &body["camera"], &body["plate"]), (&json!("lpr"), &json!("gate_in"), &json!("")));
        assert_eq!(body["timestamp"].to_string(), "1772294399.038", "seconds, to the thousandth");
        let stats = alive("gate_in");
        let body: serde_json::Value = serde_json::from_slice(&stats.body).unwrap();
        assert_eq!((stats.to.as_str(), &body["cameras"]["gate_in"]["camera_fps"]), ("frigate/stats", &json!(5.1)));
    }
}
