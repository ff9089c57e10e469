//! A plate camera that speaks the Vzenith MQTT dialect: it reports plates, loops and the arm, and raises the barrier.
//!
//! Topics and fields are those of the vendor's document v1.1.14.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::{VirtualClock, WallTime, wall_time};
use crate::photo;
use crate::plates::PlateKind;

/// Messages waiting for the broker's acknowledgement; rumqttc reserves memory for each, and a camera has few.
const MESSAGES_IN_FLIGHT: u16 = 64;
/// Messages waiting to be sent while the broker is away; more than a camera says in a minute.
const MESSAGES_QUEUED: usize = 256;
/// Output commands waiting for the world; more would mean that nobody looks at the barrier.
const COMMANDS_QUEUED: usize = 64;
/// Pause before the next attempt to reach a broker.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// How long the broker may take to answer the first time.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// What a camera without a readable plate says instead of one.
pub const NO_PLATE: &str = "_无_";

/// How a camera is set up.
#[derive(Clone, Debug)]
pub struct CameraSettings {
    /// The broker's host.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// The serial number, part of every topic.
    pub sn: String,
    /// How often it says that it lives, in real time.
    pub keep_alive: Duration,
    /// How long before the full result a quick one is sent; none where the camera sends no quick results.
    pub quick_lead: Option<Duration>,
    /// Whether its full results bring pictures.
    pub sends_pictures: bool,
}

/// Why a camera took a picture; the numbers are the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By itself.
    Automatic = 1,
    /// By a loop drawn into its picture.
    VirtualLoop = 8,
    /// The vehicle went back.
    TurnedBack = 66,
    /// The vehicle has passed.
    Passed = 67,
}

/// What a camera saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The plate, or [`NO_PLATE`].
    pub plate: String,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// 0 to 100.
    pub confidence: u8,
    /// Why.
    pub trigger: Trigger,
}

/// When a capture was published.
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    /// Its first message, quick or full.
    pub first: Instant,
    /// Its full result.
    pub full: Instant,
}

/// The camera's two inputs, to which the loop detectors are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraInput {
    /// Before the arm.
    ArrivalLoop = 0,
    /// Beyond the arm.
    PassageLoop = 1,
}

/// Where the arm's limit switches see it; the numbers are the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateStatus {
    /// At the lower limit.
    Down = 0,
    /// At the upper limit.
    Up = 1,
    /// Between the limits.
    Between = 2,
}

/// A command for one of the camera's outputs, already acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCommand {
    /// The command's own id.
    pub id: String,
    /// The output; 0 raises.
    pub io: i64,
    /// 0 off, 1 held, 2 pulse.
    pub value: i64,
    /// The pulse's length in milliseconds.
    pub delay_ms: i64,
    /// When it arrived.
    pub at: Instant,
}

impl OutputCommand {
    /// Whether this is the pulse that raises the barrier.
    pub fn raises(&self) -> bool {
        self.io == 0 && self.value == 2
    }
}

/// A connected camera; it disconnects when it is dropped.
pub struct Camera {
    settings: CameraSettings,
    clock: VirtualClock,
    client: AsyncClient,
    messages: AtomicU64,
    tasks: [JoinHandle<()>; 2],
}

impl Camera {
    /// Connects and listens for commands; returns when the broker has confirmed both.
    pub async fn connect(
        settings: CameraSettings,
        clock: VirtualClock,
    ) -> Result<(Self, mpsc::Receiver<OutputCommand>)> {
        let (client, eventloop) = AsyncClient::new(mqtt_options(&settings), MESSAGES_QUEUED);
        let (commands, received) = mpsc::channel(COMMANDS_QUEUED);
        let (listening, mut listens) = watch::channel(false);
        let ears = Ears { sn: settings.sn.clone(), clock, client: client.clone(), commands, listening };
        let tasks = [
            tokio::spawn(ears.listen(eventloop)),
            tokio::spawn(keep_alive(client.clone(), settings.sn.clone(), settings.keep_alive, clock)),
        ];
        let camera = Self { settings, clock, client, messages: AtomicU64::new(1), tasks };
        tokio::time::timeout(CONNECT_PATIENCE, listens.wait_for(|yes| *yes))
            .await
            .with_context(|| format!("reach the broker {}:{} in time", camera.settings.host, camera.settings.port))?
            .context("keep the connection to the broker")?;
        Ok((camera, received))
    }

    /// The serial number.
    pub fn sn(&self) -> &str {
        &self.settings.sn
    }

    /// Reports a plate: first the quick result where this camera sends one, then the full one of the same event.
    pub async fn report(&self, capture: &Capture) -> Result<Reported> {
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        let quick = plate_payload(&self.settings.sn, number, capture);
        let mut result = quick.clone();
        if self.settings.sends_pictures {
            let plate = capture.plate.clone();
            let pictures = tokio::task::spawn_blocking(move || photo::take(&plate)).await.context("take a picture")?;
            let fields = &mut result["AlarmInfoPlate"]["result"]["PlateResult"];
            fields["full_image_content"] = json!(BASE64.encode(pictures.scene));
            fields["small_image_content"] = json!(BASE64.encode(pictures.plate));
        }
        let first = Instant::now();
        if let Some(lead) = self.settings.quick_lead {
            self.publish("quick_ivs_result", quick).await?;
            tokio::time::sleep(lead).await;
        }
        let full = Instant::now();
        self.publish("ivs_result", result).await?;
        Ok(Reported { first, full })
    }

    /// Reports that a loop wired to an input was entered or left.
    pub async fn report_input(&self, input: CameraInput, occupied: bool) -> Result<()> {
        self.publish("gpio_in", input_payload(&self.settings.sn, input, occupied)).await
    }

    /// Reports where the arm is.
    pub async fn report_gate(&self, status: GateStatus) -> Result<()> {
        let body = json!({"gate_ctrl_id": 1, "gate_status": status as u8, "connect_status": 1, "enable": 1});
        self.publish("barr_gate_status", json!({ "body": body })).await
    }

    async fn publish(&self, name: &str, payload: Value) -> Result<()> {
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        let message = envelope(&self.settings.sn, name, number, self.clock.now_s(), payload);
        let topic = format!("device/{}/message/up/{name}", self.settings.sn);
        self.client
            .publish(topic, QoS::AtLeastOnce, false, message.to_string())
            .await
            .with_context(|| format!("publish {name} of camera {}", self.settings.sn))
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The camera's receiving half.
struct Ears {
    sn: String,
    clock: VirtualClock,
    client: AsyncClient,
    commands: mpsc::Sender<OutputCommand>,
    listening: watch::Sender<bool>,
}

impl Ears {
    async fn listen(self, mut eventloop: EventLoop) {
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(packet)) => self.take(&packet),
                Ok(Event::Outgoing(_)) => {}
                Err(error) => {
                    tracing::debug!(sn = self.sn, %error, "the camera lost its broker");
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, packet: &Packet) {
        if matches!(packet, Packet::ConnAck(_)) {
            // The event loop must not wait for its own queue, so these only try; a full queue shows on the next loss.
            let topic = format!("device/{}/message/down/gpio_out", self.sn);
            if self.client.try_subscribe(topic, QoS::AtLeastOnce).is_err() {
                tracing::warn!(sn = self.sn, "the camera could not ask for its commands");
            }
        }
        if matches!(packet, Packet::SubAck(_)) {
            self.listening.send_replace(true);
        }
        if let Packet::Publish(publish) = packet {
            self.obey(publish);
        }
    }

    fn obey(&self, publish: &Publish) {
        let Some((command, reply)) = obeyed(&self.sn, &publish.payload, self.clock.now_s()) else {
            tracing::warn!(sn = self.sn, "the camera got a command that it does not understand");
            return;
        };
        let topic = format!("device/{}/message/down/gpio_out/reply", self.sn);
        if self.client.try_publish(topic, QoS::AtLeastOnce, false, reply.to_string()).is_err() {
            tracing::warn!(sn = self.sn, "the camera's answer found no room in its queue");
        }
        if self.commands.try_send(command).is_err() {
            tracing::warn!(sn = self.sn, "nobody looks at the camera's outputs");
        }
    }
}

async fn keep_alive(client: AsyncClient, sn: String, every: Duration, clock: VirtualClock) {
    let mut ticks = tokio::time::interval(every);
    for number in 1.. {
        ticks.tick().await;
        let payload = json!({"body": {"timestamp": clock.now_s()}});
        let message = envelope(&sn, "keep_alive", number, clock.now_s(), payload);
        let topic = format!("device/{sn}/message/up/keep_alive");
        if client.publish(topic, QoS::AtLeastOnce, false, message.to_string()).await.is_err() {
            return;
        }
    }
}

fn mqtt_options(settings: &CameraSettings) -> MqttOptions {
    let mut options = MqttOptions::new(format!("camera-{}", settings.sn), &settings.host, settings.port);
    let mut network = NetworkOptions::new();
    // Without this a message waits up to 40 ms for the acknowledgement of the one before it.
    network.set_tcp_nodelay(true);
    options
        .set_network_options(network)
        .set_outgoing_inflight_upper_limit(MESSAGES_IN_FLIGHT)
        .set_clean_start(true)
        .set_keep_alive(Duration::from_secs(30));
    options
}

fn envelope(sn: &str, name: &str, number: u64, timestamp_s: i64, payload: Value) -> Value {
    json!({
        "id": format!("{name}-{number:08}"), "bv": 12378, "sn": sn, "name": name, "version": "1.0",
        "timestamp": timestamp_s, "payload": payload,
    })
}

fn plate_payload(sn: &str, number: u64, capture: &Capture) -> Value {
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

fn input_payload(sn: &str, input: CameraInput, occupied: bool) -> Value {
    let trigger = json!({"source": input as u8, "value": u8::from(occupied)});
    json!({"body": {"AlarmGioIn": {
        "deviceName": "IVS", "ipaddr": "127.0.0.1", "serialno": sn, "result": {"TriggerResult": trigger},
    }}})
}

/// A command and the camera's reply to it; nothing for what is no command of this camera.
fn obeyed(sn: &str, message: &[u8], timestamp_s: i64) -> Option<(OutputCommand, Value)> {
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Every field of `expect` stands in `found` with the same value.
    fn check(found: &Value, expect: &Value) {
        for (field, value) in expect.as_object().unwrap() {
            assert_eq!(&found[field], value, "{field}");
        }
    }
}
