//! What an agent of OpenALPR (Rekor) posts: one group is one passage, with its candidates; and that it is there.

use serde_json::json;

use super::NO_PLATE;
use super::dialect::{Message, Said};

pub(super) fn message(said: &Said<'_>, name: &str) -> Option<Message> {
    let Said::Plate { capture, record, .. } = said else { return None };
    let plate = if capture.plate == NO_PLATE { "" } else { capture.plate.as_str() };
    let (uuid, confidence) = (format!("{name}-cam1-{}-{record}", capture.at_ms), f64::from(capture.confidence) + 0.25);
    let candidates = if plate.is_empty() { json!([]) } else { json!([{"plate": plate, "confidence": confidence}]) };
    let body = json!({
        "version": 1, "data_type": "alpr_group", "epoch_start": capture.at_ms, "epoch_end": capture.at_ms + 1257,
        "site_id": name, "camera_id": 1, "uuids": [uuid],
        "best_plate": {"plate": plate, "confidence": confidence, "candidates": candidates},
        "best_confidence": confidence, "best_uuid": uuid, "best_plate_number": plate,
    });
    Some(Message::json(path(name), &body))
}

pub(super) fn alive(name: &str) -> Message {
    Message::json(path(name), &json!({"data_type": "heartbeat", "agent_uid": name, "timestamp": 0}))
}

fn path(name: &str) -> String {
    format!("/rekor/{name}")
}
