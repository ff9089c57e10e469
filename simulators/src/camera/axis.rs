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
