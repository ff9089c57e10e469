//! Cables that an electrician swapped, relays that act dead: the box notices by what contradicts itself, says so once with
//! what to look at, and keeps quiet about everything that is right.

use gatepost::domain::event::{ArmPosition, CommandAnswer, Input, Limit, SwitchTold};

use crate::story::Story;

const PLATES: [&str; 4] = ["粤B12345", "粤BD98765", "京A88888", "沪C24680"];

#[test]
fn a_relay_that_acts_dead_is_told_once_until_the_arm_moves_again() {
    let mut story = Story::new();
    arm(&mut story, "in", ArmPosition::Down);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[0]), 1);
    story.answer("in", CommandAnswer::Accepted);
    story.seconds(7);
    assert_eq!(story.alarms(), Vec::<String>::new(), "slow arms need their time");
    story.seconds(2);
    assert_eq!(story.alarms(), ["arm_not_seen_up"]);
    assert!(text(&story, "arm_not_seen_up").contains("another lane's arm went up instead"));
    story.seconds(60);
    assert_eq!(story.alarms(), ["arm_not_seen_up", "not_driving_on"]);
    assert_eq!(story.read("in", PLATES[0]), 0, "an answered raise is not repeated for the same vehicle");
    story.arrival("in", false);
    story.seconds(6);
    assert_eq!(story.phase("in"), "idle");
    story.arrival("in", true);
    story.read("in", PLATES[1]);
    story.seconds(9);
    assert_eq!(story.alarms().len(), 2, "nobody need hear it for each vehicle");
    arm(&mut story, "in", ArmPosition::Between);
    arm(&mut story, "in", ArmPosition::Up);
    story.drive_through("in");
    arm(&mut story, "in", ArmPosition::Down);
    story.arrival("in", true);
    story.read("in", PLATES[2]);
    story.seconds(9);
    assert_eq!(story.alarms()[2..], ["arm_not_seen_up"], "it was mended and breaks again");
}

#[test]
fn a_vehicle_that_passes_an_arm_nobody_sees_speaks_of_the_switch() {
    let mut story = Story::new();
    arm(&mut story, "in", ArmPosition::Down);
    story.enter("in", PLATES[0]);
    story.seconds(9);
    assert_eq!(story.alarms(), ["arm_not_seen_up"]);
    assert!(text(&story, "arm_not_seen_up").contains("look at the switch"));
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"], "the books do not hang on a switch");
}

#[test]
fn without_a_limit_switch_no_arm_is_missed() {
    let mut story = Story::new();
    story.enter("in", PLATES[0]);
    story.seconds(30);
    assert_eq!(story.alarms(), Vec::<String>::new());
}

#[test]
fn raises_on_the_wrong_lane_are_told_at_both() {
    let mut story = Story::new();
    arm(&mut story, "in", ArmPosition::Down);
    arm(&mut story, "in-2", ArmPosition::Down);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[0]), 1);
    // Relay 1 is wired as relay 2.
    arm(&mut story, "in-2", ArmPosition::Between);
    arm(&mut story, "in-2", ArmPosition::Up);
    assert_eq!(story.alarms(), ["arm_up_unasked"]);
    assert!(text(&story, "arm_up_unasked").contains("the cables of the two are swapped"));
    story.seconds(9);
    assert_eq!(story.alarms(), ["arm_up_unasked", "arm_not_seen_up"]);
}

#[test]
fn an_arm_that_its_own_controller_sends_up_again_or_a_guard_raised_went_up_for_somebody() {
    let mut story = Story::new();
    for position in [ArmPosition::Down, ArmPosition::Between] {
        arm(&mut story, "in", position);
    }
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[0]), 1);
    arm(&mut story, "in", ArmPosition::Up);
    story.drive_through("in");
    assert_eq!(story.phase("in"), "idle");
    // Its own safety edge turns it round on its way down.
    for position in [ArmPosition::Between, ArmPosition::Up, ArmPosition::Between, ArmPosition::Down] {
        story.seconds(2);
        arm(&mut story, "in", position);
    }
    assert_eq!(story.alarms(), Vec::<String>::new());
    story.restart();
    arm(&mut story, "in", ArmPosition::Down);
    assert_eq!(story.alarms(), Vec::<String>::new());
    arm(&mut story, "in", ArmPosition::Up);
    assert_eq!(story.alarms(), ["arm_up_unasked"], "somebody has a remote control");
}

#[test]
fn an_arm_with_an_upper_switch_alone_is_known_to_be_down_after_a_while() {
    let mut story = Story::new();
    let upper = |closed| Input::LimitSwitch(SwitchTold { lane: "in".into(), limit: Limit::Upper, closed });
    for closed in [false, true, false] {
        story.feed(upper(closed));
    }
    assert_eq!(story.alarms(), Vec::<String>::new(), "where it was at the beginning nobody knows");
    story.seconds(11);
    story.feed(upper(true));
    assert_eq!(story.alarms(), ["arm_up_unasked"]);
}

#[test]
fn loops_that_are_wired_the_wrong_way_round_are_told_after_two_vehicles() {
    let mut story = Story::new();
    for (number, plate) in PLATES.into_iter().enumerate() {
        // The loop before the arm is on the passage loop's input, and the other way round.
        story.passage("in", true);
        story.read("in", plate);
        story.arrival("in", true);
        story.passage("in", false);
        story.arrival("in", false);
        story.seconds(6);
        let told = story.alarms().into_iter().filter(|code| code == "loops_swapped").count();
        assert_eq!(told, usize::from(number > 0), "once, from the second vehicle on");
    }
}

/// The one that went back had arrived, and must not stand for the first one on the passage loop.
#[test]
fn loops_that_were_swapped_after_a_vehicle_went_back_are_told_all_the_same() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATES[0]);
    story.arrival("in", false);
    story.seconds(6);
    for plate in &PLATES[1..] {
        story.passage("in", true);
        story.read("in", plate);
        story.arrival("in", true);
        story.passage("in", false);
        story.arrival("in", false);
        story.seconds(6);
    }
    let told = story.alarms().into_iter().filter(|code| code == "loops_swapped").count();
    assert_eq!(told, 1, "from the second vehicle on, and once");
}

#[test]
fn an_arrival_loop_on_another_lane_s_input_is_told_after_two_vehicles() {
    let mut story = Story::new();
    for (number, plate) in PLATES.into_iter().enumerate() {
        assert_eq!(story.read("in", plate), 1, "nobody is kept waiting");
        story.passage("in", true);
        story.passage("in", false);
        let told = story.alarms().into_iter().filter(|code| code == "arrival_loop_silent").count();
        assert_eq!(told, usize::from(number > 0), "once, from the second vehicle on");
    }
    assert_eq!(story.stays().len(), 4);
}

#[test]
fn vehicles_close_behind_each_other_and_back_out_without_a_word_about_cables() {
    let mut story = Story::new();
    for _ in 0..3 {
        story.arrival("in", true);
        story.read("in", PLATES[0]);
        story.passage("in", true);
        story.arrival("in", false);
        story.arrival("in", true);
        story.read("in", PLATES[1]);
        story.passage("in", false);
        story.arrival("in", false);
        story.seconds(6);
    }
    let spoken = story.alarms();
    assert!(!spoken.iter().any(|code| code == "loops_swapped" || code == "arrival_loop_silent"), "{spoken:?}");
}

#[test]
fn a_raise_that_such_a_device_never_confirms_calls_nobody_by_itself() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[0]), 1);
    story.answer("in", CommandAnswer::Unconfirmed("it confirms nothing".to_owned()));
    assert_eq!(story.alarms(), Vec::<String>::new());
    story.seconds(61);
    assert_eq!(story.alarms(), ["not_driving_on"], "what is wrong is seen by the vehicle that stands there");
    story.drive_through("in");
}

fn arm(story: &mut Story, lane: &str, position: ArmPosition) {
    story.feed(Input::BarrierMoved { lane: lane.into(), position });
}

fn text(story: &Story, code: &str) -> String {
    story.rows(&format!("SELECT text FROM alarm WHERE code = '{code}' ORDER BY seq")).pop().unwrap()
}
