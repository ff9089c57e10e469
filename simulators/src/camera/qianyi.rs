//! What QianYi's cameras post: Vzenith's document with its own numbers. They do not know their arm.

use serde_json::json;

use super::dialect::{Message, Said};
use super::messages::{add_pictures, input_post, plate_payload, plate_post};
use crate::plates::PlateKind;

const PLATES: &str = "/qianyi";
const INPUTS: &str = "/qianyi/input";

pub(super) fn message(said: &Said<'_>, sn: &str) -> Option<Message> {
    let (capture, record, pictures) = match said {
        Said::Plate { capture, record, is_quick: _, pictures } => (capture, record, pictures),
        Said::Input(input, occupied) => return Some(input_post(sn, INPUTS, *input, *occupied)),
        Said::Gate(_) => return None,
    };
    let mut payload = plate_payload(sn, *record, capture);
    if let Some(pictures) = pictures {
        add_pictures(&mut payload, pictures);
    }
    let mut document = plate_post(&payload, &capture.plate);
    let result = &mut document["AlarmInfoPlate"]["result"]["PlateResult"];
    let (colour, kind) = match PlateKind::of(&capture.plate) {
        PlateKind::Ordinary => (1, 1),
        PlateKind::NewEnergy => (5, 11),
    };
    (result["colorType"], result["type"]) = (json!(colour), json!(kind));
    // The event is known by the camera and the moment alone.
    for absent in ["unique_id", "plates", "is_encrypted", "license_ext_type", "start_time"] {
        result.as_object_mut().and_then(|fields| fields.remove(absent));
    }
    Some(Message::json(PLATES.to_owned(), &document))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::camera::{CameraInput, Capture, GateStatus, Trigger};

    #[test]
    fn a_small_new_energy_vehicle_has_this_maker_s_numbers() {
        let capture = Capture {
            plate: "粤BD12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 94,
            trigger: Trigger::VirtualLoop,
        };
        let said = Said::Plate { capture: &capture, record: 90_813, is_quick: false, pictures: None };
        let posted = message(&said, "00112233445566778899aabbccddeeff").expect("a post");
        let document: Value = serde_json::from_slice(&posted.body).unwrap();
        let result = &document["AlarmInfoPlate"]["result"]["PlateResult"];
        let found =
            [&result["license"], &result["colorType"], &result["type"], &result["plateid"], &result["unique_id"]];
        assert_eq!(found, [&json!("粤BD12345"), &json!(5), &json!(11), &json!(90_813), &Value::Null]);
        assert_eq!(result["timeStamp"]["Timeval"]["usec"], 638_000);
        assert_eq!(document["AlarmInfoPlate"]["serialno"], "00112233445566778899aabbccddeeff");
    }

    #[test]
    fn it_tells_of_its_inputs_and_not_of_the_arm() {
        let posted = message(&Said::Input(CameraInput::ArrivalLoop, true), "sn").expect("a post");
        let document: Value = serde_json::from_slice(&posted.body).unwrap();
        assert_eq!(posted.to, "/qianyi/input");
        assert_eq!(document["AlarmGioIn"]["result"]["TriggerResult"], json!({"source": 0, "value": 1}));
        assert_eq!(document["AlarmGioIn"]["serialno"], "sn");
        assert_eq!(message(&Said::Gate(GateStatus::Up), "sn"), None);
    }
}
