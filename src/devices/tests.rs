//! The links against a real broker and a pseudo-terminal: nothing acknowledged before the commit, nothing raised twice.

mod answers;
mod board;
mod broker;
mod check;
mod gateway;
mod line;
mod login;
mod looking;
mod mosquitto;
mod polling;
mod pulse;
mod push;
mod readers;
mod shared;
mod steady;
mod stream;
mod subscriptions;
mod telling;
mod tunnel;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::planning::Plan;
use super::settings::DevicesConfig;
use super::*;
use crate::domain::event::{CommandId, Input, Reply};
use crate::domain::plate::told::End;
use crate::photos::{Photos, sample};
use crate::profile::Catalogue;
use crate::profile::mistake::Source;
use crate::site::Envelope;

/// Far beyond what any step takes, so that only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn right_settings_make_a_plan() {
    let plan = plan(SETTINGS).expect("right settings");
    assert_eq!(plan.brokers[0].client_id, "gatepost-mall-1");
    assert_eq!(plan.brokers[0].devices.len(), 2);
    assert_eq!(plan.buses[0].boards.len(), 1);
    assert_eq!(plan.barriers.len(), 2);
}

#[test]
fn a_mistake_in_the_settings_is_told_with_its_line_and_what_is_allowed() {
    mistake("camera = \"cam\"", "camera = \"cma\"", ":26:10: there is no device \"cma\"; allowed: board, cam, cam-out");
    mistake("camera = \"cam\"", "camera = \"board\"", "waveshare/modbus-relay-8 reads no plates");
    mistake(
        "camera = \"cam\"",
        "camera = \"cam\"\nrear_camera = \"board\"",
        "waveshare/modbus-relay-8 reads no plates",
    );
    mistake(
        "camera = \"cam\"",
        "camera = \"cam\"\nrear_camera = \"cam\"",
        "cam already looks at lane entry-1; allowed: a camera for each lane and each end",
    );
    mistake("output = 0, pulse_ms = 1500", "output = 0", "pulse_ms is missing: the device must be told how long");
    mistake("output = 0", "output = 9", "output is 9; allowed: 0 to 3 in steps of 1");
    mistake("pulse_ms = 500", "pulse_ms = 550", "pulse_ms is 550; allowed: 100 to 60000 in steps of 100");
    mistake("input = 4", "input = 8", "waveshare/modbus-relay-8 has no input 8; allowed: 0 to 7");
    mistake("input = 4", "input = 5", "input 5 of board already belongs to lane entry-1");
    mistake("params = { sn = \"a1\" }", "params = {}", "the parameter sn is missing; allowed: serial number");
    mistake("params = { sn = \"a1\" }", "params = { sn = \"a/1\" }", "the parameter sn is \"a/1\"");
    mistake(
        "link = \"broker\"",
        "link = \"bus\"",
        "vzenith/r-mqtt cannot hang on this link; allowed: a link of kind mqtt",
    );
    mistake(
        "profile = \"waveshare/modbus-relay-8\"\nlink = \"bus\"",
        "profile = \"waveshare/modbus-poe-eth-relay-b\"\nlink = \"bus\"",
        "waveshare/modbus-poe-eth-relay-b cannot hang on this link; allowed: a link of kind tcp",
    );
    mistake(
        "id = \"cam-out\"",
        "id = \"card\"\nprofile = \"kf/dc199\"\nlink = \"bus\"\n\n[[devices]]\nid = \"cam-out\"",
        "card speaks kf/dc199, and board on the same line speaks modbus-rtu; allowed: one language on a line",
    );
    mistake(
        "kind = \"serial\"\npath = \"/dev/ttyS1\"\nbaud = 9600",
        "kind = \"tcp\"\nbaud = 9600",
        "a link of kind tcp has no baud; allowed: host, port",
    );
    mistake("kind = \"serial\"\npath = \"/dev/ttyS1\"\nbaud = 9600", "kind = \"tcp\"", "the link lacks its host");
    mistake(
        "link = \"broker\"\nparams = { sn = \"a1\" }",
        "link = \"events\"\nparams = { sn = \"a1\" }\n[[links]]\nid = \"events\"\nkind = \"http-stream\"",
        "vzenith/r-mqtt cannot hang on this link",
    );
    mistake("link = \"broker\"", "link = \"borker\"", "there is no link \"borker\"; allowed: broker, bus");
    mistake(
        "profile = \"vzenith/r-mqtt\"",
        "profile = \"vzenith/x\"",
        "there is no profile \"vzenith/x\"; allowed: axis/lpv",
    );
    mistake("baud = 9600", "port = 9600", "a link of kind serial has no port; allowed: path, baud, parity");
    mistake("path = \"/dev/ttyS1\"", "", "the link lacks its path");
    mistake("id = \"exit-1\"", "id = \"entry-1\"", "there are two lanes \"entry-1\"");
    mistake(
        "kind = \"serial\"\npath = \"/dev/ttyS1\"\nbaud = 9600",
        "kind = \"mqtt\"",
        "the link bus goes where another one goes",
    );
    let lowering = "input = 4 }\ndetectors = \"at_once\"";
    mistake("input = 4 }", lowering, ":29:13: the lane entry-1 lacks what lets its arm down; allowed: barrier = {");
    mistake("input = 4 }", lowering, "the lane entry-1 lacks the loop under its arm; allowed: safety_loop = {");
    mistake(
        "camera = \"cam\"",
        "camera = \"cam\"\ndisplay = \"cam\"\nspeaker = \"board\"",
        "waveshare/modbus-relay-8 says nothing",
    );
    mistake("camera = \"cam\"", "camera = \"cam\"\ndisplay = \"board\"", "waveshare/modbus-relay-8 shows nothing");
    mistake(
        "pulse_ms = 500 }",
        "pulse_ms = 500, lower = { output = 9, pulse_ms = 500 } }",
        "output is 9; allowed: 0 to 7",
    );
    mistake(
        "params = { sn = \"a1\" }",
        "params = { sn = \"a1\" }\nsilent_ms = 5",
        "silent_ms is 5; allowed: 500 to 3600000",
    );
    let hours = |text: &str| format!("params = {{ sn = \"a1\" }}\nsilent_hours = {text}");
    for (hours, expect) in [
        (
            hours("[\"08:00\", \"8 pm\"]"),
            "silent_hours are no hours; allowed: two times of the day, such as [\"08:00\"",
        ),
        (hours("[\"08:00\", \"08:00\"]"), "silent_hours are no hours; allowed"),
    ] {
        mistake("params = { sn = \"a1\" }", &hours, expect);
    }
    mistake(
        "profile = \"waveshare/modbus-relay-8\"",
        "profile = \"waveshare/modbus-relay-8\"\nsilent_hours = [\"08:00\", \"22:00\"]",
        "board may be silent as long as it likes; allowed: silent_hours with silent_ms",
    );
    let coming = "link = \"bus\"\ncoming = \"leaving\"\n\n[[lanes]]";
    mistake("link = \"bus\"\n\n[[lanes]]", coming, "waveshare/modbus-relay-8 tells no direction; allowed: coming with");
    mistake("baud = 9600", "baud = 9600\ndata_bits = 9", "data_bits is 9; allowed: 7 or 8");
    mistake("baud = 9600", "baud = 9600\nstop_bits = 3", "stop_bits is 3; allowed: 1 or 2");
    mistake("kind = \"mqtt\"", "kind = \"mqtt\"\nstop_bits = 1", "a link of kind mqtt has no stop_bits");
    mistake("id = \"exit-1\"", "id = \"exit 1\"", "\"exit 1\" cannot name a lane");
}

#[test]
fn what_is_asked_over_http_has_an_address_and_what_cannot_be_asked_otherwise_must_have_one() {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../device-profiles/example/http-camera.toml");
    let told = "[command.request]\nmethod = \"PUT\"\npath = \"/told?text={text}\"\ntimeout_ms = 3000\n";
    let ours = profile.replace("name = \"trigger\"", "name = \"say\"\nargs.text = { type = \"text\", max = 40 }");
    let ours = ours.replace("<look/>", "<look>{text}</look>");
    assert_ne!(ours, profile);
    std::fs::write(own.path().join("camera.toml"), ours).expect("written");
    let head = "[profile]\nid = \"own/display\"\nvendor = \"a\"\nproduct = \"b\"\nlink = \"http\"\n";
    let text = "[command.args]\ntext = { type = \"text\", max = 40 }\n";
    let display = format!("{head}[[command]]\nname = \"show\"\nack = \"device\"\n{told}{text}");
    std::fs::write(own.path().join("display.toml"), display).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let (address, lacks) = ("address = \"192.0.2.7\"", "lacks its address: it is asked over HTTP");
    for (camera, display, lane, wrong) in [
        (address, address, "display = \"sign\"\nspeaker = \"cam\"", None),
        ("", address, "display = \"sign\"", None),
        ("", address, "speaker = \"cam\"", Some("cam lacks its address")),
        (address, "", "display = \"sign\"", Some(lacks)),
        (address, "", "", Some(lacks)),
    ] {
        let settings = format!(
            r#"
            links = [{{ id = "posts", kind = "http-push", listen = "127.0.0.1:0" }}]
            [[devices]]
            id = "cam"
            profile = "example/http-camera"
            link = "posts"
            params = {{ sn = "a1" }}
            {camera}
            [[devices]]
            id = "sign"
            profile = "own/display"
            link = "posts"
            {display}
            [[lanes]]
            id = "entry-1"
            direction = "entry"
            camera = "cam"
            barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}
            {lane}
            "#
        );
        let found = planned(&settings, &catalogue).err().into_iter().flatten();
        let found: String = found.map(|mistake| format!("{mistake}\n")).collect();
        assert!(wrong.map_or(found.is_empty(), |wrong| found.contains(wrong)), "{settings}\n{found}");
    }
}

#[test]
fn a_lane_s_second_camera_sees_the_rear_and_leaves_the_passages_to_the_first() {
    let text = SETTINGS.replacen("camera = \"cam\"", "camera = \"cam\"\nrear_camera = \"rear\"", 1);
    let rear =
        "[[devices]]\nid = \"rear\"\nprofile = \"vzenith/r-mqtt\"\nlink = \"broker\"\nparams = { sn = \"a3\" }\n";
    let plan = plan(&(text + rear)).expect("right settings");
    let wiring = |id: &str| {
        let mut devices = plan.brokers[0].devices.iter().map(|device| &device.wiring);
        devices.find(|wiring| wiring.device.as_str() == id).expect("planned")
    };
    let lane = Some(LaneId::from("entry-1"));
    let (front, rear) = (wiring("cam"), wiring("rear"));
    assert_eq!((&front.camera_of, front.end, &front.signs_of), (&lane, End::Front, &lane));
    assert_eq!((&rear.camera_of, rear.end, &rear.signs_of), (&lane, End::Rear, &None));
}

#[test]
fn the_settings_in_the_manual_are_right_and_it_lists_every_profile() {
    let manual = include_str!("../../device-profiles/README.md");
    let settings = manual.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert_eq!(plan(settings).expect("right").barriers.len(), 1);
    for id in Catalogue::load(None).expect("right").ids() {
        assert!(manual.contains(&format!("| `{id}` |")), "{id} is in the table");
    }
}

#[test]
fn a_password_is_never_shown() {
    let config: DevicesConfig =
        toml::from_str("links = [{ id = \"b\", kind = \"mqtt\", password = \"hunter2\" }]").expect("right");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_repeated_warning_is_let_through_once_and_a_flood_of_names_not_at_all() {
    let mut sparing = Sparing::default();
    assert!(sparing.allows("cam malformed"));
    assert!(!sparing.allows("cam malformed"));
    let let_through = (0..10_000).filter(|n| sparing.allows(&format!("unknown {n}"))).count();
    assert!(let_through < Sparing::CAUSES_MAX);
}

const SETTINGS: &str = r#"
[[links]]
id = "broker"
kind = "mqtt"

[[links]]
id = "bus"
kind = "serial"
path = "/dev/ttyS1"
baud = 9600

[[devices]]
id = "cam"
profile = "vzenith/r-mqtt"
link = "broker"
params = { sn = "a1" }

[[devices]]
id = "board"
profile = "waveshare/modbus-relay-8"
link = "bus"

[[lanes]]
id = "entry-1"
direction = "entry"
camera = "cam"
barrier = { device = "cam", output = 0, pulse_ms = 1500 }
arrival_loop = { device = "board", input = 4 }

[[lanes]]
id = "exit-1"
direction = "exit"
camera = "cam-out"
barrier = { device = "board", output = 1, pulse_ms = 500 }
arrival_loop = { device = "board", input = 5 }

[[devices]]
id = "cam-out"
profile = "vzenith/r-mqtt"
link = "broker"
params = { sn = "a2" }
"#;

fn plan(text: &str) -> Result<Plan, Vec<crate::profile::mistake::Mistake>> {
    planned(text, &Catalogue::load(None).expect("right"))
}

/// The shipped profiles, and one that a test has made.
fn catalogue_with(profile: &str) -> Catalogue {
    let own = tempfile::tempdir().expect("a directory");
    std::fs::write(own.path().join("own.toml"), profile).expect("written");
    Catalogue::load(Some(own.path())).expect("right")
}

fn planned(text: &str, catalogue: &Catalogue) -> Result<Plan, Vec<crate::profile::mistake::Mistake>> {
    let source = Source { file: Path::new("gatepost.toml"), text };
    let config: DevicesConfig = toml::from_str(text).expect("the words are known");
    config.plan("mall-1", &jiff::tz::TimeZone::UTC, &source, catalogue)
}

fn mistake(right: &str, wrong: &str, expect: &str) {
    assert!(SETTINGS.contains(right), "{right} is in the settings");
    let found = plan(&SETTINGS.replacen(right, wrong, 1)).expect_err(wrong);
    let found: String = found.iter().map(|mistake| format!("{mistake}\n")).collect();
    assert!(found.contains(expect), "{found}\nshould say\n{expect}");
}

/// The rest of the box: takes inputs and answers them when the test says so.
struct Site {
    inputs: mpsc::Receiver<Envelope>,
    raises: mpsc::Sender<site::BarrierMove>,
    metrics: Arc<Metrics>,
    devices: Devices,
    photos: Photos,
    directory: tempfile::TempDir,
}

impl Site {
    /// Whether devices are there has tests of its own.
    fn start(mut plan: Plan) -> Self {
        plan.pulses.clear();
        Self::watched(plan)
    }

    fn watched(plan: Plan) -> Self {
        let (into_the_loop, inputs) = mpsc::channel(1024);
        let (raises, actions) = mpsc::channel(256);
        let directory = tempfile::tempdir().expect("a folder");
        let (photos, intake, metrics) = sample::open(directory.path());
        let now: Clock = Arc::new(|| UtcMs(1_772_294_400_000));
        let devices = start(plan, Handle::new(into_the_loop), now, Arc::clone(&metrics), Some(&intake), actions);
        Self { inputs, raises, metrics, devices, photos, directory }
    }

    /// The next input, not yet committed.
    async fn next(&mut self) -> Envelope {
        timeout(PATIENCE, self.inputs.recv()).await.expect("an input in time").expect("the links run")
    }

    /// The next input, committed.
    async fn committed(&mut self) -> Input {
        let envelope = self.next().await;
        let _ = envelope.reply.send(Reply::Done);
        envelope.input
    }

    async fn raise(&self, lane: &str, command: &str) {
        self.moves(lane, command, site::Motion::Raise).await;
    }

    async fn moves(&self, lane: &str, command: &str, motion: site::Motion) {
        let (lane, command) = (LaneId::from(lane), CommandId::from(command));
        let wanted = site::BarrierMove { lane, command, motion, of_read: true };
        self.raises.send(wanted).await.expect("the links run");
    }

    /// Waits until something can be seen in the figures.
    async fn until(&self, is_so: impl Fn(&Metrics) -> bool) {
        let seen = async {
            while !is_so(&self.metrics) {
                tokio::task::yield_now().await;
            }
        };
        in_time(seen).await;
    }

    async fn answer(&mut self, command: &str) -> CommandAnswer {
        in_time(async {
            loop {
                if let Input::BarrierAnswered { command: answered, answer, .. } = self.committed().await
                    && answered == CommandId::from(command)
                {
                    return answer;
                }
            }
        })
        .await
    }
}

/// A talk of many words has one deadline in all: who is asked every second always says something.
async fn in_time<T>(talk: impl Future<Output = T>) -> T {
    timeout(PATIENCE, talk).await.expect("in time")
}
