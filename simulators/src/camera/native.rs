//! Gatepost's own dialect, as the manual of device profiles lays it out.

use std::time::Instant;

use serde_json::{Value, json};

use super::dialect::{Message, Said};
use super::{GateStatus, NO_PLATE, OutputCommand};
use crate::clock::rfc3339;
use crate::plates::PlateKind;

pub(super) fn message(said: &Said<'_>, name: &str) -> Message {
    let (topic, body) = match said {
        Said::Plate { capture, record, is_quick, pictures: _ } => {
            let plate = if capture.plate == NO_PLATE { "" } else { capture.plate.as_str() };
            let colour = match PlateKind::of(plate) {
                PlateKind::Ordinary => "blue",
                PlateKind::NewEnergy => "green",
            };
            let stage = if *is_quick { "quick" } else { "full" };
            let captured = rfc3339(capture.at_ms);
            let body = json!({
                "event": format!("{name}-{record}"), "plate": plate, "confidence": capture.confidence,
                "captured": captured, "colour": colour, "stage": stage, "stored": false,
            });
            ("plate", body)
        }
        Said::Input(input, occupied) => {
            ("input", json!({"number": *input as u8, "level": if *occupied { "on" } else { "off" }}))
        }
        Said::Gate(status) => {
            let position = match status {
                GateStatus::Down => "down",
                GateStatus::Up => "up",
                GateStatus::Between => "between",
            };
            ("arm", json!({ "position": position }))
        }
    };
    Message::json(format!("gatepost/{name}/{topic}"), &body)
}

pub(super) fn alive(name: &str) -> Message {
    Message::json(format!("gatepost/{name}/state"), &json!({"online": true, "version": "1"}))
}

pub(super) fn gone(name: &str) -> Message {
    Message::json(format!("gatepost/{name}/state"), &json!({"online": false}))
}

pub(super) fn topics(name: &str) -> (String, String) {
    (format!("gatepost/{name}/raise"), format!("gatepost/{name}/raise/answer"))
}

/// A raise and the answer to it.
pub(super) fn obeyed(message: &[u8]) -> Option<(OutputCommand, Value)> {
    let order: Value = serde_json::from_slice(message).ok()?;
    let id = order["id"].as_str()?.to_owned();
    order["at"].as_i64()?;
    let (io, delay_ms) = (order["output"].as_i64()?, order["pulse_ms"].as_i64()?);
    let reply = json!({"id": id, "taken": true});
    Some((OutputCommand { id, io, value: 2, delay_ms, at: Instant::now() }, reply))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{CameraInput, Capture, Trigger};

    #[test]
    fn everything_is_said_as_the_manual_says() {
        let capture = Capture {
            plate: "粤B12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 93,
            trigger: Trigger::VirtualLoop,
        };
        let said = Said::Plate { capture: &capture, record: 7, is_quick: true, pictures: None };
        check(
            &said,
            "plate",
            &json!({"event": "in-1-7", "plate": "粤B12345", "confidence": 93, "captured": "2026-02-28T23:59:59.638+08:00",
                "colour": "blue", "stage": "quick", "stored": false}),
        );
        let bare = Capture { plate: NO_PLATE.to_owned(), ..capture.clone() };
        let said = Said::Plate { capture: &bare, record: 8, is_quick: false, pictures: None };
        let message = message(&said, "in-1");
        assert_eq!(serde_json::from_slice::<Value>(&message.body).unwrap()["plate"], "", "none readable");
        check(&Said::Input(CameraInput::PassageLoop, true), "input", &json!({"number": 1, "level": "on"}));
        check(&Said::Gate(GateStatus::Up), "arm", &json!({"position": "up"}));
    }

    #[test]
    fn a_raise_is_answered_with_its_own_id_and_anything_else_is_left_alone() {
        let order = br#"{"id":"c1","at":1784098020,"output":0,"pulse_ms":1500}"#;
        let (command, reply) = obeyed(order).expect("a raise");
        assert!(command.raises() && command.delay_ms == 1500);
        assert_eq!(reply, json!({"id": "c1", "taken": true}));
        for other in ["", "{}", r#"{"id":"c1","output":0,"pulse_ms":500}"#, r#"{"at":1,"output":0,"pulse_ms":500}"#] {
            assert!(obeyed(other.as_bytes()).is_none(), "{other}");
        }
    }

    fn check(said: &Said<'_>, topic: &str, body: &Value) {
        let message = message(said, "in-1");
        assert_eq!(message.to, format!("gatepost/in-1/{topic}"));
        assert_eq!(&serde_json::from_slice::<Value>(&message.body).unwrap(), body);
    }
}
