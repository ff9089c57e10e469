//! What a gateway with pictures of its own hands on of HyperLPR's answers: the plates of one picture, under the picture's id. The engine knows no time,
//! and nothing is said between two pictures.

use serde_json::json;

use super::NO_PLATE;
use super::dialect::{Message, Said};
use crate::plates::PlateKind;

pub(super) fn message(said: &Said<'_>, name: &str) -> Option<Message> {
    let Said::Plate { capture, record, .. } = said else { return None };
    // The gateway says so of a picture in which the engine finds nothing.
    let plate = if capture.plate == NO_PLATE { "unknown" } else { capture.plate.as_str() };
    let kind = match PlateKind::of(plate) {
        PlateKind::Ordinary => "蓝牌",
        PlateKind::NewEnergy => "绿牌新能源",
    };
    let found = json!({
        "code": plate, "conf": f64::from(capture.confidence) / 100.0, "plate_type": kind, "box": [954, 502, 1109, 555],
    });
    let body = json!({
        "result": {"plate_list": [found]}, "code": 5000, "msg": "请求成功", "id": format!("{name}-{record}"),
    });
    Some(Message::json(format!("/hyperlpr/{name}"), &body))
}
