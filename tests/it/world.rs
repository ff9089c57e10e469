//! A day of the simulated mall on each kind of device over its real link, with everything going wrong at once: the books
//! match the world all the same, and staff were told of what they had to look at.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::boxed::gatepost;

/// What strikes on every kind of device.
const FAULTS: [&str; 14] = [
    "lost",
    "late",
    "duplicated",
    "reordered",
    "corrupted",
    "clock",
    "reboot",
    "dead-relay",
    "stuck-arm",
    "slow-arm",
    "torn-arm",
    "swapped",
    "swapped-relays",
    "swapped-loops",
];

#[test]
fn cameras_at_a_broker_with_every_fault_end_with_books_that_match() {
    let report = day("vzenith-mqtt");
    told(&report, "arm_up_unasked");
}

#[test]
fn cameras_that_post_with_every_fault_end_with_books_that_match() {
    let report = day("vzenith-http");
    told(&report, "arm_up_unasked");
}

#[test]
fn relay_boards_with_every_fault_end_with_books_that_match() {
    let report = day("modbus");
    told(&report, "raise_uncertain");
    struck(&report, "polls");
}

#[test]
fn cards_with_every_fault_end_with_books_that_match() {
    let report = day("kf");
    told(&report, "raise_uncertain");
    struck(&report, "polls");
}

#[test]
fn cameras_in_the_native_dialect_with_every_fault_end_with_books_that_match() {
    let report = day("native");
    told(&report, "arm_up_unasked");
}

#[test]
fn cameras_that_are_asked_for_the_barrier_and_some_for_their_stream_with_every_fault_end_with_books_that_match() {
    let report = day("hikvision-stream,hikvision");
    told(&report, "raise_uncertain");
}

#[test]
fn cameras_that_share_another_maker_s_posts_with_every_fault_end_with_books_that_match() {
    let report = day("qianyi");
    told(&report, "arm_up_unasked");
}

/// Each lane has another: they differ only in how one passage is said, and hang beside the same boards. The exits are what
/// counts here: at the way in the clock is wrong, and in the inner lot a guard helps while cables are.
#[test]
fn cameras_that_only_read_with_every_fault_end_with_books_that_match() {
    let report = day("rekor,axis,dahua,hyperlpr,frigate");
    told(&report, "raise_uncertain");
}

/// The same with those at the exits whose reads bear no time that could be taken.
#[test]
fn cameras_that_only_read_and_tell_no_time_with_every_fault_end_with_books_that_match() {
    let report = day("axis,dahua,frigate,rekor,hyperlpr");
    told(&report, "raise_uncertain");
}

/// An engine reads the pictures of every camera as well, now and then slowly, wrong or not at all: the cameras are who they were.
#[test]
fn cameras_whose_pictures_are_read_twice_with_every_fault_end_with_books_that_match() {
    let report = day("second-look");
    told(&report, "arm_up_unasked");
    assert!(report["faults"]["wrong-character"].as_u64().is_some_and(|struck| struck > 0), "{report:#}");
}

#[test]
fn an_unknown_device_or_fault_is_told_with_the_list() {
    let devices = "vzenith-mqtt, vzenith-http, modbus, kf, native, hikvision, qianyi, hikvision-stream, axis, rekor";
    for (option, list) in [
        ("--devices", devices),
        ("--faults", "dead-relay, stuck-arm, slow-arm, torn-arm, swapped, swapped-relays, swapped-loops"),
    ] {
        let output = demo(&[option, "hikvsion"]);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && words.contains("\"hikvsion\"") && words.contains(list), "{words}");
    }
}

/// Two dozen cars on this kind of device, or on these in turn.
fn day(kinds: &str) -> Value {
    let output = demo(&["--cars", "24", "--speed", "60", "--devices", kinds, "--faults", "all"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let report: Value = serde_json::from_str(last).unwrap();
    assert!(output.status.success() && report["books_match_world"] == true, "{report:#}");
    let devices: BTreeMap<String, String> = serde_json::from_value(report["devices"].clone()).unwrap();
    let kinds = kinds.split(',').cycle();
    let in_turn = ["entry-1", "exit-1", "vip-in", "vip-out", "exit-2"].into_iter().zip(kinds);
    assert_eq!(devices, in_turn.map(|(lane, kind)| (lane.to_owned(), kind.to_owned())).collect());
    for fault in FAULTS {
        assert!(report["faults"][fault].as_u64().is_some_and(|struck| struck > 0), "{fault} never struck: {report:#}");
    }
    // The report demands an alarm for each of these.
    let misled = report["misled"].as_array().unwrap();
    let swaps: Vec<&str> = misled.iter().filter_map(|one| one["swap"].as_str()).collect();
    assert_eq!(swaps, ["switches", "relays", "loops"], "{report:#}");
    let hurt = report["hurt"].as_array().unwrap();
    for (what, alarm) in [("stuck-arm", "arm_stuck"), ("torn-arm", "arm_broken")] {
        let is_told = |one: &Value| one["what"] == what && one["alarm"] == alarm && one["is_told"] == true;
        assert!(hurt.iter().any(is_told), "{what}: {report:#}");
        told(&report, alarm);
    }
    told(&report, "arm_free");
    struck(&report, "signs");
    report
}

/// What suffers with the line of a board, card or display.
fn struck(report: &Value, what: &str) {
    for fault in ["lost", "late", "duplicated", "corrupted", "reboot"] {
        let times = &report["suffered"][what][fault];
        assert!(times.as_u64().is_some_and(|times| times > 0), "{fault} never struck {what}: {report:#}");
    }
}

fn told(report: &Value, alarm: &str) {
    assert!(report["alarms"][alarm].as_u64().is_some_and(|times| times > 0), "nobody was told of {alarm}: {report:#}");
}

fn demo(more: &[&str]) -> Output {
    gatepost().args(["demo", "--headless", "--json", "--seed", "7"]).args(more).output().unwrap()
}
