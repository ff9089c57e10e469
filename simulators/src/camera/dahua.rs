//! What Dahua's cameras post with ITSAPI: each vehicle with its pictures, and that they are there. Their time names no zone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::NO_PLATE;
use super::dialect::{Message, Said};
use crate::clock::{WallTime, wall_time};
use crate::plates::PlateKind;

pub(super) fn message(said: &Said<'_>, id: &str) -> Option<Message> {
    let Said::Plate { capture, pictures, .. } = said else { return None };
    let plate = if capture.plate == NO_PLATE { "" } else { capture.plate.as_str() };
    let colour = match PlateKind::of(plate) {
        PlateKind::Ordinary => "Blue",
        PlateKind::NewEnergy => "Green",
    };
    let WallTime { date, time } = wall_time(capture.at_ms);
    let at = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
        date.0,
        date.1,
        date.2,
        time.0,
        time.1,
        time.2,
        capture.at_ms.rem_euclid(1000)
    );
    let mut picture = json!({
        "Plate": {
            "BoundingBox": [954, 502, 1109, 555], "Channel": 0, "Confidence": capture.confidence,
            "IsExist": !plate.is_empty(), "PlateColor": colour, "PlateNumber": plate, "PlateType": "", "Region": "",
            "UploadNum": 1,
        },
        "Vehicle": {"VehicleColor": "White", "VehicleType": "Car"},
        "SnapInfo": {"AccurateTime": at, "DeviceID": id, "Direction": "Obverse", "TimeZone": 8},
    });
    if let Some(pictures) = pictures {
        picture["NormalPic"] = json!({"Content": BASE64.encode(&pictures.scene), "PicName": "n.jpg"});
        picture["CutoutPic"] = json!({"Content": BASE64.encode(&pictures.plate), "PicName": "c.jpg"});
    }
    Some(Message::json("/NotificationInfo/TollgateInfo".to_owned(), &json!({"Picture": picture})))
}

pub(super) fn alive(id: &str) -> Message {
    Message::json("/NotificationInfo/KeepAlive".to_owned(), &json!({"Active": "keepAlive", "DeviceID": id}))
}

/// Whether the box has taken what was posted: a camera that reads another answer posts the same vehicle again.
pub(super) fn is_taken(answer: &str) -> bool {
    serde_json::from_str::<Value>(answer).is_ok_and(|answer| answer["Result"] == true)
}
