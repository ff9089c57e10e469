//! What a Vzenith camera says and is told, as its maker's documents lay it out: through a broker, and by posts.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::dialect::{Message, Said};
use super::offline::Offline;
use super::{CameraInput, Capture, GateStatus, OutputCommand};
use crate::clock::{WallTime, wall_time};
use crate::photo::Pictures;
use crate::plates::PlateKind;

/// Where cameras post plates, where these post their inputs, and where they ask.
const PLATES: &str = "/devicemanagement/php/plateresult.php";
const INPUTS: &str = "/vzenith/input";
const ASKS: &str = "/devicemanagement/php/receivedeviceinfo.php";

/// Who says something, the number of the message, and the time of its clock in seconds since 1970.
pub(super) struct Sender<'a> {
    pub sn: &'a str,
    pub number: u64,
    pub now_s: i64,
}

/// Something that is said through a broker.
pub(super) fn by_broker(said: &Said<'_>, sender: &Sender<'_>) -> Message {
    match said {
        Said::Plate { is_quick, .. } => {
            let name = if *is_quick { "quick_ivs_result" } else { "ivs_result" };
            up(name, sender, plate(said, sender.sn))
        }
        Said::Input(input, occupied) => up("gpio_in", sender, input_payload(sender.sn, *input, *occupied)),
        Said::Gate(status) => up("barr_gate_status", sender, gate_payload(*status)),
    }
}

/// The same in a post. Such a camera does not know its arm.
pub(super) fn by_post(said: &Said<'_>, sender: &Sender<'_>) -> Option<Message> {
    match said {
        Said::Plate { capture, .. } => {
            let document = plate_post(&plate(said, sender.sn), &capture.plate);
            Some(Message::json(PLATES.to_owned(), &document))
        }
        Said::Input(input, occupied) => Some(input_post(sender.sn, INPUTS, *input, *occupied)),
        Said::Gate(_) => None,
    }
}

/// That it lives, through a broker.
pub(super) fn alive(sender: &Sender<'_>) -> Message {
    up("keep_alive", sender, json!({"body": {"timestamp": sender.now_s}}))
}

/// Whether there is anything to do, by a post.
pub(super) fn asks(sn: &str) -> Message {
    let content_type = "application/x-www-form-urlencoded".to_owned();
    Message { to: ASKS.to_owned(), content_type, body: format!("serialno={sn}").into_bytes() }
}

/// Where its commands come, and where it answers.
pub(super) fn topics(sn: &str) -> (String, String) {
    let commands = format!("device/{sn}/message/down/gpio_out");
    let replies = format!("{commands}/reply");
    (commands, replies)
}

/// Where the orders for its own list come, and where it answers them.
pub(super) fn list_topics(sn: &str) -> (String, String) {
    let orders = format!("device/{sn}/message/down/white_list_operator");
    let replies = format!("{orders}/reply");
    (orders, replies)
}

/// Does what an order says to the camera's own list; its answer, nothing for what is no such order.
pub(super) fn listed(sn: &str, message: &[u8], list: &Offline, timestamp_s: i64) -> Option<Value> {
    let order: Value = serde_json::from_slice(message).ok()?;
    let (id, body) = (order["id"].as_str()?, &order["payload"]["body"]);
    match body["operator_type"].as_str()? {
        "update_or_add" => list.add(&body["dldb_rec"]),
        "delete" => list.delete(body["plate"].as_str().unwrap_or_default()),
        _ => return None,
    }
    Some(json!({
        "code": 200, "id": id, "name": "white_list_operator", "payload": null, "sn": sn, "timestamp": timestamp_s,
        "version": "1.0",
    }))
}

/// A full result as it is said once the broker is there again.
pub(super) fn stored(message: &Message) -> Message {
    let mut document: Value = serde_json::from_slice(&message.body).unwrap_or_default();
    document["name"] = json!("ivs_result_offline");
    Message::json(message.to.replace("/up/ivs_result", "/up/ivs_result_offline"), &document)
}

fn up(name: &str, sender: &Sender<'_>, payload: Value) -> Message {
    let message = envelope(sender.sn, name, sender.number, sender.now_s, payload);
    Message::json(format!("device/{}/message/up/{name}", sender.sn), &message)
}

fn plate(said: &Said<'_>, sn: &str) -> Value {
    let Said::Plate { capture, record, pictures, .. } = said else { return Value::Null };
    let mut payload = plate_payload(sn, *record, capture);
    if let Some(pictures) = pictures {
        add_pictures(&mut payload, pictures);
    }
    payload
}

/// A message through a broker.
fn envelope(sn: &str, name: &str, number: u64, timestamp_s: i64, payload: Value) -> Value {
    json!({
        "id": format!("{name}-{number:08}"), "bv": 12378, "sn": sn, "name": name, "version": "1.0",
        "timestamp": timestamp_s, "payload": payload,
    })
}

/// A plate result through a broker.
pub(super) fn plate_payload(sn: &str, number: u64, capture: &Capture) -> Value {
    let license = BASE64.encode(&capture.plate);
    let (color, kind) = match PlateKind::of(&capture.plate) {
        PlateKind::Ordinary => (1, 1),
        PlateKind::NewEnergy => (5, 19),
    };
    let place = json!({"left": 954, "top": 502, "right": 1109, "bottom": 555});
    let WallTime { date, time } = wall_time(capture.at_ms);
    let result = json!({
        "license": license, "license_ext_type": 0, "colorType": color, "type": kind,
        "confidence": capture.confidence, "direction": 4, "triggerType": capture.trigger as u8,
        "isoffline": 0, "is_encrypted": 0, "is_fake_plate": 0, "plateid": number,
        "start_time": capture.at_ms, "unique_id": format!("{sn}_{}", capture.at_ms),
        "plates": [{"license": license, "color": color, "type": kind, "plate_width": 155, "is_danger": -1, "pos": place}],
        "location": {"RECT": place},
        "timeStamp": {"Timeval": {
            "decyear": date.0, "decmon": date.1, "decday": date.2,
            "dechour": time.0, "decmin": time.1, "decsec": time.2,
            "sec": capture.at_ms.div_euclid(1000), "usec": capture.at_ms.rem_euclid(1000) * 1000,
        }},
    });
    json!({"AlarmInfoPlate": {
        "channel": 0, "deviceName": BASE64.encode("IVS"), "ipaddr": "127.0.0.1", "serialno": sn,
        "user_data": "", "rule_id": 1, "result": {"PlateResult": result},
    }})
}

/// An input's change through a broker.
fn input_payload(sn: &str, input: CameraInput, occupied: bool) -> Value {
    let trigger = json!({"source": input as u8, "value": u8::from(occupied)});
    json!({"body": {"AlarmGioIn": {
        "deviceName": "IVS", "ipaddr": "127.0.0.1", "serialno": sn, "result": {"TriggerResult": trigger},
    }}})
}

/// The same in a post.
pub(super) fn input_post(sn: &str, path: &str, input: CameraInput, occupied: bool) -> Message {
    Message::json(path.to_owned(), &input_payload(sn, input, occupied)["body"].take())
}

/// A command and the camera's reply to it; nothing for what is no command of this camera.
pub(super) fn obeyed(sn: &str, message: &[u8], timestamp_s: i64) -> Option<(OutputCommand, Value)> {
    let command = output_command(message)?;
    let reply = json!({
        "code": 200, "id": command.id, "name": "gpio_out", "payload": null, "sn": sn,
        "timestamp": timestamp_s, "version": "1.0",
    });
    Some((command, reply))
}

fn output_command(message: &[u8]) -> Option<OutputCommand> {
    let message: Value = serde_json::from_slice(message).ok()?;
    if message["name"] != "gpio_out" || message["payload"]["type"] != "gpio_out" {
        return None;
    }
    let body = &message["payload"]["body"];
    Some(OutputCommand {
        id: message["id"].as_str()?.to_owned(),
        io: body["io"].as_i64()?,
        value: body["value"].as_i64()?,
        delay_ms: body["delay"].as_i64()?,
        at: Instant::now(),
    })
}

/// Where the arm is, through a broker.
fn gate_payload(status: GateStatus) -> Value {
    json!({"body": {"gate_ctrl_id": 1, "gate_status": status as u8, "connect_status": 1, "enable": 1}})
}

/// The same plate result in a post: texts as they are, and without what only brokers carry.
pub(super) fn plate_post(payload: &Value, plate: &str) -> Value {
    let mut document = payload.clone();
    let result = &mut document["AlarmInfoPlate"]["result"]["PlateResult"];
    result["license"] = json!(plate);
    for (ours, theirs) in [("full_image_content", "imageFile"), ("small_image_content", "imageFragmentFile")] {
        if let Some(picture) = result.as_object_mut().and_then(|fields| fields.remove(ours)) {
            result[theirs] = picture;
        }
    }
    document["AlarmInfoPlate"]["deviceName"] = json!("IVS");
    document
}

/// What the box commands in an answer to a post: the raise for the vehicle, or an output.
pub(super) fn commands_in(answer: &str) -> Vec<OutputCommand> {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return Vec::new() };
    let told = &answer["Response_AlarmInfoPlate"];
    let output = |io, value, delay_ms| OutputCommand { id: String::new(), io, value, delay_ms, at: Instant::now() };
    // The camera times the pulse of "ok" by its own settings.
    let by_word = (told["info"] == "ok").then(|| output(0, 2, 500));
    let io = &told["ivs_ioctrl"];
    let by_output = io["io"].as_i64().zip(io["value"].as_i64()).zip(io["delay"].as_i64());
    by_word.into_iter().chain(by_output.map(|((io, value), delay)| output(io, value, delay))).collect()
}

/// Puts the pictures where the camera puts them.
pub(super) fn add_pictures(payload: &mut Value, pictures: &Pictures) {
    let fields = &mut payload["AlarmInfoPlate"]["result"]["PlateResult"];
    fields["full_image_content"] = json!(BASE64.encode(&pictures.scene));
    fields["small_image_content"] = json!(BASE64.encode(&pictures.plate));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Trigger;

    #[test]
    fn a_plate_message_has_the_documented_fields() {
        let capture = Capture {
            plate: "粤B12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 98,
            trigger: Trigger::VirtualLoop,
        };
        let payload = plate_payload("265e1040-85e01fb7", 594_785, &capture);
        let message = envelope("265e1040-85e01fb7", "ivs_result", 1, 1_772_294_399, payload);
        let result = &message["payload"]["AlarmInfoPlate"]["result"]["PlateResult"];
        check(
            &message,
            &json!({"sn": "265e1040-85e01fb7", "name": "ivs_result", "version": "1.0",
            "timestamp": 1_772_294_399, "bv": 12378}),
        );
        check(
            result,
            &json!({"license": "57KkQjEyMzQ1", "license_ext_type": 0, "colorType": 1, "type": 1,
            "confidence": 98, "direction": 4, "triggerType": 8, "isoffline": 0, "is_encrypted": 0,
            "is_fake_plate": 0, "plateid": 594_785, "start_time": 1_772_294_399_638_i64,
            "unique_id": "265e1040-85e01fb7_1772294399638"}),
        );
        check(&result["plates"][0], &json!({"license": "57KkQjEyMzQ1", "color": 1, "type": 1, "plate_width": 155}));
        check(
            &result["timeStamp"]["Timeval"],
            &json!({"decyear": 2026, "decmon": 2, "decday": 28, "dechour": 23,
            "decmin": 59, "decsec": 59, "sec": 1_772_294_399, "usec": 638_000}),
        );
    }

    #[test]
    fn a_loop_message_has_the_documented_fields() {
        let payload = input_payload("265e1040-85e01fb7", CameraInput::PassageLoop, true);
        let alarm = &payload["body"]["AlarmGioIn"];
        check(alarm, &json!({"serialno": "265e1040-85e01fb7"}));
        check(&alarm["result"]["TriggerResult"], &json!({"source": 1, "value": 1}));
    }

    #[test]
    fn a_raise_is_understood_and_answered_with_its_own_id() {
        let recorded = br#"{"id":"NYGtiXpPy5ratyzU","sn":"917e2298-8ddf3e46","name":"gpio_out","version":"1.0",
            "timestamp":1784098020,"payload":{"type":"gpio_out","body":{"delay":1500,"io":0,"value":2}}}"#;
        let (command, reply) = obeyed("917e2298-8ddf3e46", recorded, 1_784_098_021).expect("a command");
        assert!(command.raises());
        assert_eq!(command.delay_ms, 1500);
        let expect: Value = serde_json::from_str(
            r#"{"code":200,"id":"NYGtiXpPy5ratyzU","name":"gpio_out","payload":null,"sn":"917e2298-8ddf3e46",
            "timestamp":1784098021,"version":"1.0"}"#,
        )
        .unwrap();
        assert_eq!(reply, expect);
    }

    #[test]
    fn what_is_no_command_is_left_alone() {
        for message in [
            "",
            "{",
            "[]",
            r#"{"id":"a","name":"reboot_dev","payload":null}"#,
            r#"{"id":"a","name":"gpio_out","payload":{"type":"gpio_out","body":{"io":"0","value":2,"delay":500}}}"#,
        ] {
            assert_eq!(obeyed("c1", message.as_bytes(), 0), None, "{message}");
        }
    }

    #[test]
    fn an_order_changes_the_camera_s_own_list_and_is_answered_with_its_own_id() {
        let list = Offline::new(std::time::Duration::from_secs(1));
        let order = |body: Value| {
            let order = json!({"id": "c1", "name": "white_list_operator", "payload": {"type": "white_list_operator", "body": body}});
            listed("sn-1", order.to_string().as_bytes(), &list, 7)
        };
        let add = |plate: &str| {
            let record = json!({"enable_time": "2026-01-01 00:00:00", "overdue_time": "2026-12-31 00:00:00", "enable": 1, "plate": plate});
            order(json!({"operator_type": "update_or_add", "dldb_rec": record}))
        };
        let at_ms = 1_772_294_399_638;
        let reply = add("粤B11111").expect("an answer");
        check(&reply, &json!({"id": "c1", "code": 200, "name": "white_list_operator", "sn": "sn-1", "timestamp": 7}));
        add("粤B22222");
        assert!(list.lets_in("粤B11111", at_ms) && list.lets_in("粤B22222", at_ms) && !list.lets_in("粤B33333", at_ms));
        order(json!({"operator_type": "delete", "plate": "粤B11111"}));
        assert!(!list.lets_in("粤B11111", at_ms) && list.lets_in("粤B22222", at_ms));
        order(json!({"operator_type": "delete", "plate": ""}));
        assert!(!list.lets_in("粤B22222", at_ms), "the maker's camera empties its list then");
        assert_eq!(order(json!({"operator_type": "query"})), None);
    }

    #[test]
    fn what_was_kept_is_said_as_stored_on_a_topic_of_its_own() {
        let (capture, list) = (
            Capture { plate: "粤B12345".to_owned(), at_ms: 1, confidence: 98, trigger: Trigger::VirtualLoop },
            Offline::new(std::time::Duration::from_secs(1)),
        );
        let said = Said::Plate { capture: &capture, record: 7, is_quick: false, pictures: None };
        list.keep(7, &by_broker(&said, &Sender { sn: "sn-1", number: 1, now_s: 1 }));
        let (record, kept) = list.next().expect("kept");
        let message = stored(&kept);
        let document: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((record, message.to.as_str()), (7, "device/sn-1/message/up/ivs_result_offline"));
        assert_eq!(document["name"], "ivs_result_offline");
        check(
            &document["payload"]["AlarmInfoPlate"]["result"]["PlateResult"],
            &json!({"isoffline": 1, "plateid": 7, "license": "57KkQjEyMzQ1"}),
        );
        list.forget(7);
        assert!(list.next().is_none());
    }

    #[test]
    fn a_post_says_the_same_as_the_message_and_its_answer_commands() {
        let capture = Capture {
            plate: "粤B12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 98,
            trigger: Trigger::VirtualLoop,
        };
        let post = plate_post(&plate_payload("0f823866-d2dc45ab", 7, &capture), &capture.plate);
        check(
            &post["AlarmInfoPlate"]["result"]["PlateResult"],
            &json!({"license": "粤B12345", "plateid": 7, "isoffline": 0}),
        );
        let told = |answer: &str| commands_in(answer).iter().map(|c| (c.io, c.value, c.delay_ms)).collect::<Vec<_>>();
        assert_eq!(told(r#"{"Response_AlarmInfoPlate":{"info":"no"}}"#), []);
        assert_eq!(told(r#"{"Response_AlarmInfoPlate":{"info":"ok","channelNum":0,"is_pay":"true"}}"#), [(0, 2, 500)]);
        assert_eq!(told(r#"{"Response_AlarmInfoPlate":{"ivs_ioctrl":{"io":0,"value":2,"delay":700}}}"#), [(0, 2, 700)]);
        assert_eq!(told("{}"), []);
    }

    /// Every field of `expect` stands in `found` with the same value.
    fn check(found: &Value, expect: &Value) {
        for (field, value) in expect.as_object().unwrap() {
            assert_eq!(&found[field], value, "{field}");
        }
    }
}
