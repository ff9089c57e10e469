//! What Axis's License Plate Verifier pushes: one vehicle is new, then updated, under one car ID. It says nothing else, not
//! even that it is there.

use serde_json::json;

use super::NO_PLATE;
use super::dialect::{Message, Said};

pub(super) fn message(said: &Said<'_>, name: &str) -> Option<Message> {
    let Said::Plate { capture, record, is_quick, pictures: _ } = said else { return None };
    let plate = if capture.plate == NO_PLATE { "" } else { capture.plate.as_str() };
    let body = json!({
        "packetCounter": record.to_string(), "datetime": capture.at_ms, "plateText": plate,
        "plateConfidence": f64::from(capture.confidence) / 100.0,
        "carState": if *is_quick { "new" } else { "update" }, "carID": record.to_string(),
        "camera_info": {"SerialNumber": format!("ACCC8E-{name}")},
    });
    Some(Message::json(format!("/axis/{name}"), &body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Capture, Trigger};

    /// The moment is UTC in milliseconds, whatever the zone of the site.
    #[test]
    fn a_vehicle_is_new_and_then_updated_under_one_car_id() {
        let capture = Capture {
            plate: "粤B12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 91,
            trigger: Trigger::VirtualLoop,
        };
        for (is_quick, state) in [(true, "new"), (false, "update")] {
            let said = Said::Plate { capture: &capture, record: 7, is_quick, pictures: None };
            let pushed = message(&said, "exit-1").expect("a push");
            let expect = json!({
                "packetCounter": "7", "datetime": 1_772_294_399_638_i64, "plateText": "粤B12345", "plateConfidence": 0.91,
                "carState": state, "carID": "7", "camera_info": {"SerialNumber": "ACCC8E-exit-1"},
            });
            assert_eq!((pushed.to.as_str(), pushed.body), ("/axis/exit-1", expect.to_string().into_bytes()));
        }
    }
}
