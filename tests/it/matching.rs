//! Which vehicle is it: the matcher as a foreign program, its exactness, its answers to bad input, and the lanes' use.

use std::io::Write;
use std::process::{Command, Stdio};

use gatepost::domain::event::{Reply, StaffRefusal, StaffWish, StayId};
use serde_json::Value;
use simulators::matching::{Model, Settings, prove};

use crate::story::Story;

const PLATE: &str = "粤B12345";

/// A smoke run: it proves nothing about false pairs as small as the goal, and breaks with any coarse mistake.
#[test]
fn twenty_thousand_exits_are_matched_as_well_as_is_promised() {
    let report = prove(&Settings {
        gatepost: env!("CARGO_BIN_EXE_gatepost").into(),
        exits: 20_000,
        inside: 2_000,
        read_rate: 95,
        model: Model::parse("true").unwrap(),
        seed: 41,
        automatic_ppm: None,
    })
    .unwrap();
    let told = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(report.exits, 20_000);
    assert!(report.automatic_correct_percent >= 97.69, "{told}");
    assert!(report.false_pairs <= 2, "{told}");
    assert!(report.calibration_error_points <= 1.0, "{told}");
    let exact = &report.elsewhere[0];
    assert!((89.0..91.0).contains(&exact.automatic_correct_percent), "the generator's read rate: {told}");
}

#[test]
fn the_command_names_the_stay_and_its_certainty() {
    let lines = [
        r#"{"inside":{"id":"S1","plate":"粤B12345"}}"#,
        r#"{"inside":{"id":"S2","plate":"湘A88888"}}"#,
        r#"{"read":{"id":"R1","plate":"粤B1234S"}}"#,
        r#"{"gone":"S1"}"#,
        r#"{"read":{"id":"R2","plate":"粤B12345"}}"#,
        r#"{"read":{"id":"R3","reads":[{"plate":"湘A88B88","quick":true},{"plate":"湘A88888"}]}}"#,
    ];
    let answers = ask(&lines.join("\n"));
    assert_eq!((&answers[0]["verdict"], &answers[0]["stay"]), (&"automatic".into(), &"S1".into()), "{answers:?}");
    assert_eq!((&answers[1]["verdict"], &answers[1]["stay"]), (&"none".into(), &Value::Null), "{answers:?}");
    assert_eq!((&answers[2]["stay"], &answers[2]["read"]), (&"S2".into(), &"湘A88888".into()), "{answers:?}");
}

#[test]
fn whatever_is_read_has_an_answer() {
    let long = "粤B12345".repeat(100);
    let odd = [
        "",
        "   ",
        "-",
        "_无_",
        "無",
        "粤",
        "123",
        "🚗🚗🚗1",
        "O0O0O0O",
        "AAAAAAAAA1",
        "粤B1234警",
        "\u{202e}粤B1",
        &long,
    ];
    let mut lines = vec![r#"{"inside":{"id":"S1","plate":"粤B12345"}}"#.to_owned()];
    for (number, text) in odd.iter().enumerate() {
        lines.push(serde_json::json!({ "read": { "id": number.to_string(), "plate": text } }).to_string());
    }
    let read =
        serde_json::json!({ "read": { "id": "c", "plate": PLATE, "confidences": [-1, 99_999_999, 0, 5, 1, 1, 1] } });
    lines.push(read.to_string());
    let answers = ask(&lines.join("\n"));
    assert_eq!(answers.len(), odd.len() + 1);
    for answer in &answers {
        let sum: u64 =
            answer["candidates"].as_array().unwrap().iter().filter_map(|c| c["posterior_ppm"].as_u64()).sum();
        assert!(sum + answer["none_ppm"].as_u64().unwrap() <= 1_000_000, "{answer}");
    }
    assert!(answers[..odd.len()].iter().all(|answer| answer["verdict"] != "automatic"), "{answers:?}");
}

#[test]
fn a_misread_at_the_exit_finds_its_stay() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.enter("in", "湘A88888");
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤B1Z345"), 1, "a 2 that looks like a Z");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "湘A88888 open - 0 0"]);
    let matched = "SELECT read || ' ' || (posterior_ppm >= 992000) || ' ' || (matched_by ->> '$.who') FROM stay_match";
    assert_eq!(story.rows(matched), ["粤B1Z345 1 automatic"]);
}

#[test]
fn a_guard_chooses_where_two_are_alike_and_the_choice_teaches() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12346");
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤B12348"), 0, "it may be either");
    assert_eq!(story.rows("SELECT state ->> '$.phase.why' FROM lane WHERE lane = 'out'"), ["choice_of_stay"]);
    let stay = story.stay_of("粤B12346");
    let choose = |stay: &str| StaffWish::ChooseStay { stay: StayId(stay.to_owned()), reason: "seen".to_owned() };
    let refused = story.staff("out", choose("S1-999"));
    assert_eq!(refused, (0, Reply::Staff(Err(StaffRefusal::NotPossible))));
    assert_eq!(story.staff("out", choose(&stay)).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤B12346 closed 0 0 0"]);
    assert_eq!(story.rows("SELECT matched_by ->> '$.operator' FROM stay_match"), ["guard-1"]);
    let learned =
        "SELECT signs || ' ' || count FROM camera_pair_signs WHERE substr(signs, 1, 1) <> substr(signs, 2, 1)";
    assert_eq!(story.rows(learned), ["68 1"]);
    story.restart();
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤B12345"), 1, "who is inside is known again after a restart");
    story.drive_through("out");
}

#[test]
fn a_stranger_finds_no_stay_and_an_entry_never_ends_one_that_is_only_alike() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.enter("in", "粤B12346");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤B12346 open - 0 0"], "two vehicles");
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "京C77777"), 0);
    assert_eq!(story.rows("SELECT state ->> '$.phase.why' FROM lane WHERE lane = 'out'"), ["no_entry_found"]);
}

#[test]
fn what_was_learned_is_shown_exported_and_forgotten() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.drive_through("out");
    let path = story.path();
    story.stop();
    let matrix = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .args(["match", "matrix"])
            .args(args)
            .arg("--ledger")
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(matrix(&["show"]).starts_with("in -> out: 1 vehicles, not in use"));
    let exported: Value = serde_json::from_str(&matrix(&["export"])).unwrap();
    assert_eq!((&exported[0]["lessons"], &exported[0]["seen"]["55"]), (&1.into(), &1.into()), "{exported}");
    matrix(&["reset", "--reason", "the camera was turned"]);
    assert_eq!(matrix(&["export"]).trim(), "[]");
}

fn ask(lines: &str) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["match", "--stream", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
