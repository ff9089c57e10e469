//! Tills behind mosquitto: the suite in both versions of MQTT with the broker's own access list, and what tills ask while
//! the box is away.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use simulators::conformance::{Options, Transport, run};

use crate::boxed::{Broker, Program, Site, request, root};
use crate::coupons::stocked;
use crate::till_lines::{LANE, check, rich};

#[test]
fn tills_behind_a_broker_keep_every_promise_and_speak_for_themselves_alone() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(folder.path(), &guarded(folder.path()));
    let bus = |site: &str, access: &str| {
        format!(
            "[[till_lines]]\nkind = \"mqtt\"\nport = {}\nsite = \"{site}\"\naccess = \"{access}\"\n\
             username = \"gatepost\"\npassword = \"box\"\n",
            broker.port
        )
    };
    let settings = format!("{TILLS}{}{}{LANE}", bus("site", "broker"), bus("open", "token"));
    let mut site = stocked(&settings);
    let mut state = subscribed(&broker, "till-2", "gp/site/box/state");
    assert!(state.hear("mode").contains("degraded"), "it has no cloud");
    std::thread::scope(|scope| {
        let run = |transport, till: &'static str, site: &str, show_token| {
            let number = till.trim_start_matches("till-").parse().unwrap();
            let broker = Some(format!("127.0.0.1:{}", broker.port));
            let password = Some(format!("at-the-broker-{till}"));
            let (site, token) = (site.to_owned(), format!("token-{till}"));
            let options = Options { broker, broker_password: password, site, show_token, ..rich(number, transport) };
            scope.spawn(move || run(&options, "", till, &token).unwrap())
        };
        let five = run(Transport::Mqtt5, "till-2", "site", false);
        let three = run(Transport::Mqtt311, "till-3", "site", false);
        let shows_token = run(Transport::Mqtt5, "till-4", "open", true);
        check("mqtt5", &five.join().unwrap());
        check("mqtt311", &three.join().unwrap());
        check("mqtt5 with a token", &shows_token.join().unwrap());
    });
    // One till writes on another's topic: the broker lets nobody hear it.
    say(&broker, "till-3", "till-2", "COMMIT", "stolen", None, &sale());
    assert_eq!(became_of(&site, "till-2", "stolen"), json!({"status": "not_found"}));
    // Without its token it is not heard where the broker does not look.
    let mut refused = subscribed(&broker, "till-4", "gp/open/pos/till-4/res/#");
    refused.hear("Subscribed");
    publish(&broker, "till-4", "gp/open/pos/till-4/req/COMMIT", "gp/open/pos/till-4/res", "k-1", None, &sale());
    assert!(refused.hear("terminal-revoked").contains("\"none\""));
    // What a till gives is told to the tills of its shop, and to nobody else.
    let mut own = subscribed(&broker, "till-2", "gp/site/pos/till-2/events/#");
    let mut other = subscribed(&broker, "till-3", "gp/site/pos/+/events/#");
    own.hear("Subscribed");
    other.hear("Subscribed");
    for (till, plate, heard) in [("till-2", "粤B12347", &mut own), ("till-3", "粤B12348", &mut other)] {
        let stay = stay_of(&site, till, plate);
        say(&broker, till, till, "VALIDATE_PARKING", "gift", None, &json!({"stay": stay, "kind": "noon"}));
        assert!(heard.hear("\"noon\"").contains(&format!("\"{stay}\"")), "its own first");
    }
    site.daemon.kill();
    assert!(state.hear("offline").contains("mode"), "the broker says it for the box");
    site.verify().unwrap();
}

#[test]
fn what_was_asked_while_the_box_was_away_is_earned_and_never_spent() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(folder.path(), "allow_anonymous true\nsys_interval 1\n");
    let bus =
        format!("[[till_lines]]\nkind = \"mqtt\"\nport = {}\nsite = \"site\"\naccess = \"broker\"\n", broker.port);
    let mut site = Site::start(&format!("{TILLS}{bus}{LANE}"));
    site.daemon.hear("tills are heard through the broker");
    site.daemon.kill();
    let capture = json!({"hold": "nobody/1/1/0"});
    say(&broker, "till-2", "till-2", "CAPTURE", "stale", Some(1), &capture);
    say(&broker, "till-2", "till-2", "COMMIT", "earned", None, &sale());
    // The broker's own clock passes: what it says of itself comes once a second, and the first at once.
    let mut uptime = Command::new("mosquitto_sub");
    uptime.args(["-p", &broker.port.to_string(), "-t", "$SYS/broker/uptime", "-C", "5", "-W", "30"]);
    assert!(uptime.output().unwrap().status.success());
    site.restart();
    site.daemon.hear("tills are heard through the broker");
    // The tills' requests are done in order, so the answer to a later one comes after both.
    let mut answers = subscribed(&broker, "till-2", "gp/site/pos/till-2/res/#");
    answers.hear("Subscribed");
    say(&broker, "till-2", "till-2", "CAPTURE", "in-time", Some(10), &capture);
    answers.hear("hold-unknown");
    assert_eq!(became_of(&site, "till-2", "in-time")["status"], "refused");
    assert_eq!(became_of(&site, "till-2", "earned")["status"], "applied");
    assert_eq!(became_of(&site, "till-2", "stale"), json!({"status": "not_found"}), "its time was over");
    say(&broker, "till-2", "till-2", "CAPTURE", "for-ever", None, &capture);
    assert!(answers.hear("expiry").contains("bad-request"));
    site.daemon.kill();
    site.verify().unwrap();
}

const TILLS: &str = r#"
[[terminals]]
id = "till-2"
token = "token-till-2"
[[terminals]]
id = "till-3"
token = "token-till-3"
[[terminals]]
id = "till-4"
token = "token-till-4"
"#;

/// Settings of a broker that knows the box and each till by a password, and holds them to the shipped access list.
fn guarded(folder: &Path) -> String {
    let passwords = folder.join("passwords");
    std::fs::write(&passwords, "").unwrap();
    let users = ["till-2", "till-3", "till-4"].map(|till| (till, format!("at-the-broker-{till}")));
    for (user, password) in users.iter().map(|(user, word)| (*user, word.as_str())).chain([("gatepost", "box")]) {
        let made = Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args([user, password]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let acl = folder.join("acl");
    std::fs::copy(root().join("systemd/mosquitto-tills.acl"), &acl).unwrap();
    format!("allow_anonymous false\npassword_file {}\nacl_file {}\n", passwords.display(), acl.display())
}

fn client(program: &str, broker: &Broker, till: &str) -> Command {
    let mut command = Command::new(program);
    let port = broker.port.to_string();
    command.args(["-p", &port, "-V", "5", "-u", till, "-P", &format!("at-the-broker-{till}")]);
    command
}

/// Hears a topic as one of the tills; says `Subscribed` when it does.
fn subscribed(broker: &Broker, till: &str, topic: &str) -> Program {
    let asked = client("mosquitto_sub", broker, till);
    let mut command = Command::new("stdbuf");
    // Line by line, though nobody looks at a terminal.
    command.args(["-oL", "mosquitto_sub"]).args(asked.get_args()).args(["-d", "-t", topic, "-q", "1"]);
    Program::start("mosquitto_sub", &mut command)
}

fn say(broker: &Broker, as_till: &str, till: &str, verb: &str, key: &str, expiry_s: Option<u32>, body: &Value) {
    let (topic, reply_to) = (format!("gp/site/pos/{till}/req/{verb}"), format!("gp/site/pos/{till}/res"));
    publish(broker, as_till, &topic, &reply_to, key, expiry_s, body);
}

/// A till of mosquitto's own makers says something, with the properties of MQTT 5.
fn publish(broker: &Broker, till: &str, topic: &str, reply_to: &str, key: &str, expiry_s: Option<u32>, body: &Value) {
    let mut command = client("mosquitto_pub", broker, till);
    command.args(["-q", "1", "-t", topic, "-m", &body.to_string()]);
    command.args(["-D", "publish", "response-topic", reply_to, "-D", "publish", "correlation-data", key]);
    if let Some(expiry_s) = expiry_s {
        command.args(["-D", "publish", "message-expiry-interval", &expiry_s.to_string()]);
    }
    // A broker that forbids it says so after it has heard it; what it does then is asked of the box.
    command.output().unwrap();
}

fn stay_of(site: &Site, till: &str, plate: &str) -> String {
    let bearer = format!("Bearer token-{till}");
    let headers = [("Gatepost-Terminal", till), ("Authorization", bearer.as_str()), ("Idempotency-Key", "quote")];
    let answer =
        request(site.address, "POST", "/api/v1/quotes", &headers, &json!({"plate": plate}).to_string()).unwrap();
    let quote: Value = serde_json::from_str(&answer.body).unwrap();
    quote["stay"].as_str().unwrap_or_else(|| panic!("{quote}")).to_owned()
}

fn became_of(site: &Site, till: &str, key: &str) -> Value {
    let bearer = format!("Bearer token-{till}");
    let headers = [("Gatepost-Terminal", till), ("Authorization", bearer.as_str())];
    let answer = request(site.address, "GET", &format!("/api/v1/operations/{key}"), &headers, "").unwrap();
    serde_json::from_str(&answer.body).unwrap()
}

fn sale() -> Value {
    json!({"receipt_no": "bus", "sale_fen": 500, "tenders": [{"kind": "cash", "fen": 500}]})
}
