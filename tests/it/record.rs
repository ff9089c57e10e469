//! `gatepost profile record` on each kind of link, and what the profile then makes of what it wrote.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::boxed::{Broker, PATIENCE, Program, gatepost, root};
use crate::foreign::{join, publish};

#[test]
fn posts_are_recorded_to_the_byte_and_proved_once_their_meaning_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("camera.recording.toml");
    let mut recorder = recorder(&["--http", "127.0.0.1:0", "--count", "3", "--answer", r#"{"seen":true}"#], &out);
    let address: SocketAddr = recorder.hear("listening on ").rsplit(' ').next().unwrap().parse().unwrap();
    let answer = post(
        address,
        "/acme/plate",
        "application/json",
        r#"{"device":{"sn":"A1"},"number":17,"plate":"粤B12345"}"#.as_bytes(),
    );
    assert!(answer.to_ascii_lowercase().contains("content-type: application/json"), "{answer}");
    assert!(answer.ends_with(r#"{"seen":true}"#), "{answer}");
    // What is in GBK and no text in UTF-8 is not lost.
    let gbk = [&br#"{"device":{"sn":"A1"},"number":18,"plate":""#[..], b"\xD4\xC1B12345", &br#""}"#[..]].concat();
    post(address, "/acme/plate", "application/json", &gbk);
    // Nor does it stand there as another text.
    let both = [&br#"{"device":{"sn":"A1"},"number":19,"plate":""#[..], b"\xC2\xB3B12345", &br#""}"#[..]].concat();
    post(address, "/acme/plate", "application/json", &both);
    recorder.hear("written to");
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.contains("body_hex = \"7B 22 64") && written.contains("22 D4 C1 42 31"), "{written}");
    assert!(written.contains("22 C2 B3 42 31"), "{written}");

    std::fs::copy(root().join("device-profiles/example/http-camera.toml"), folder.path().join("camera.toml")).unwrap();
    let (is_right, told) = proved(folder.path());
    assert!(!is_right && told.contains("the parameter sn is missing"), "{told}");
    let written = written.replace("[params]\n", "[params]\nsn = \"A1\"\n");
    std::fs::write(&out, &written).unwrap();
    let (is_right, told) = proved(folder.path());
    let meanings: Vec<&str> = told.lines().filter_map(|line| line.split("the profile gives ").nth(1)).collect();
    assert!(!is_right && meanings.len() == 3, "{told}");
    let mut posts = written.split_inclusive("[[post]]");
    let mut proof = posts.next().unwrap().to_owned();
    for ((post, meaning), number) in posts.zip(&meanings).zip([17, 18, 19]) {
        let means = meaning.split("; reply").next().unwrap();
        assert!(meaning.contains(&format!("echo = {{ number = {number} }}")), "a number is no text: {meaning}");
        let plate = if number == 19 { "鲁B12345" } else { "粤B12345" };
        let is_plate =
            means.contains(&format!("event = \"{number}\"")) && means.contains(&format!("plate = \"{plate}\""));
        assert!(is_plate && meaning.contains("reply = \"plate\""), "in the words of a recording: {meaning}");
        let body = post.trim_end_matches("[[post]]");
        let next = if number < 19 { "[[post]]" } else { "" };
        proof.push_str(&format!("{body}{means}\nreply = \"plate\"\necho = {{ number = {number} }}\n\n{next}"));
    }
    std::fs::write(&out, &proof).unwrap();
    let (is_right, told) = proved(folder.path());
    assert!(
        !is_right && told.contains("no exchange touches the command raise") && told.contains(", 0 failed"),
        "{told}"
    );
    // What the camera is told cannot be heard; it is written by hand.
    let example = std::fs::read_to_string(root().join("device-profiles/example/http-camera.recording.toml")).unwrap();
    std::fs::write(&out, proof + &example[example.find("[[reply]]").unwrap()..]).unwrap();
    let (is_right, told) = proved(folder.path());
    assert!(is_right && told.contains("1 profile, 7 exchanges, 0 failed"), "{told}");
}

#[test]
fn a_broker_s_messages_are_recorded_with_large_ones_and_with_topics_that_begin_with_a_dollar() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "secret\n").unwrap();
    let broker = Broker::start(folder.path());
    let out = folder.path().join("new.recording.toml");
    let password = folder.path().join("password").display().to_string();
    let address = format!("127.0.0.1:{}", broker.port);
    let login = ["--username", "box", "--password-file", &password];
    let mut recorder = recorder(&[&["--mqtt", &address, "--count", "2"][..], &login].concat(), &out);
    recorder.hear("listening to # at 127.0.0.1");
    recorder.hear("listening to $/# at 127.0.0.1");
    let large = format!(r#"{{"picture":"{}"}}"#, "A".repeat(60_000));
    publish(&broker, "$/device/A1/keep_alive", "{}");
    publish(&broker, "device/A1/picture", &large);
    recorder.hear("written to");
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.contains("topic = \"$/device/A1/keep_alive\"") && written.contains("AAAA"), "{}", written.len());
}

#[test]
fn frames_of_a_line_are_recorded_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let end = |name: &str| folder.path().join(name).display().to_string();
    let _line = join(&end("box"), &end("reader"));
    let out = folder.path().join("reader.recording.toml");
    let mut recorder = recorder(&["--serial", &end("box"), "--gap-ms", "30", "--count", "1"], &out);
    recorder.hear("listening on ");
    std::fs::OpenOptions::new()
        .write(true)
        .open(end("reader"))
        .unwrap()
        .write_all(b"\x0262E3086CED08\r\n\x03")
        .unwrap();
    recorder.hear("written to");
    std::fs::copy(root().join("device-profiles/id-innovations/id-12.toml"), folder.path().join("reader.toml")).unwrap();
    let (is_right, told) = proved(folder.path());
    let meaning = "means = [{ card = { facility = 98, number = 3808980205 } }]";
    assert!(!is_right && told.contains(meaning), "{told}");
    let written = std::fs::read_to_string(&out).unwrap();
    std::fs::write(&out, format!("{written}{meaning}\n")).unwrap();
    let (is_right, told) = proved(folder.path());
    assert!(is_right && told.contains("1 profile, 1 exchange, 0 failed"), "{told}");
}

#[test]
fn what_cannot_be_recorded_is_told_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (["--mqtt", "broker"], "the broker is \"broker\"; HOST:PORT is allowed"),
        (["--serial", "/no/such/port"], "open /no/such/port"),
        (["--http", "nowhere"], "invalid value 'nowhere' for '--http <ADDRESS>'"),
    ];
    for (options, says) in table {
        let out = folder.path().join("x.recording.toml");
        let answer = gatepost().args(["profile", "record"]).args(options).arg("--out").arg(&out).output().unwrap();
        let told = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(!answer.status.success() && told.contains(says), "{options:?}: {told}");
        assert!(!out.exists(), "{options:?}: an empty recording is left behind");
    }
    std::fs::write(folder.path().join("there.toml"), "mine").unwrap();
    let mut command = gatepost();
    command.args(["profile", "record", "--http", "127.0.0.1:0", "--out"]).arg(folder.path().join("there.toml"));
    let told = String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned();
    assert!(told.contains("a recording is never overwritten"), "{told}");
    assert_eq!(std::fs::read_to_string(folder.path().join("there.toml")).unwrap(), "mine");
}

fn recorder(options: &[&str], out: &Path) -> Program {
    let mut command = gatepost();
    command.args(["profile", "record"]).args(options).arg("--out").arg(out);
    Program::start("the recorder", &mut command)
}

/// Whether `gatepost profile test` finds everything as recorded, and what it says.
fn proved(folder: &Path) -> (bool, String) {
    let answer = gatepost().args(["profile", "test"]).arg(folder).output().unwrap();
    let told = [&answer.stdout[..], &answer.stderr].concat();
    (answer.status.success(), String::from_utf8_lossy(&told).into_owned())
}

fn post(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
