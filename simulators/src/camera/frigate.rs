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
