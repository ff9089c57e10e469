//! An emergency outranks everything: every barrier goes up and stays up, across restarts, and nobody's points are spent.

use gatepost::domain::event::{CommandAnswer, EmergencySource, Fen, Input, Reply, StaffWish};

use crate::story::Story;

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";
/// The lanes of a story.
const LANES: usize = 6;

#[test]
fn every_barrier_is_raised_and_held_up_until_the_contact_opens() {
    let mut story = Story::new();
    assert_eq!(call(&mut story, true), LANES);
    assert_eq!(call(&mut story, true), 0, "said once");
    let before = story.commands.len();
    story.seconds(3);
    assert_eq!(story.commands.len(), before + LANES, "told again before the arms can come down");
    assert_eq!(call(&mut story, false), 0);
    let before = story.commands.len();
    story.seconds(60);
    assert_eq!(story.commands.len(), before, "over");
    assert_eq!(story.alarms(), ["emergency", "emergency_over"]);
}

#[test]
fn it_is_still_on_after_a_restart() {
    let mut story = Story::new();
    call(&mut story, true);
    let before = story.commands.len();
    story.restart();
    assert_eq!(story.commands.len(), before + LANES);
    call(&mut story, false);
    story.restart();
    assert_eq!(story.commands.len(), before + LANES);
}

#[test]
fn a_guard_does_not_end_what_the_fire_panel_has_called() {
    let mut story = Story::new();
    assert_eq!(call(&mut story, true), LANES);
    assert_eq!(by_guard(&mut story, true), 0, "it is on already");
    by_guard(&mut story, false);
    let before = story.commands.len();
    story.seconds(3);
    assert_eq!(story.commands.len(), before + LANES, "the panel still calls");
    by_guard(&mut story, true);
    call(&mut story, false);
    story.seconds(3);
    assert_eq!(story.commands.len(), before + 2 * LANES, "the guard still calls");
    by_guard(&mut story, false);
    story.seconds(60);
    assert_eq!(story.commands.len(), before + 2 * LANES);
}

#[test]
fn a_vehicle_that_waits_is_let_go_and_its_points_are_not_touched() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.enter("in-2", OTHER);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.arrival("out-2", true);
    story.read("out-2", OTHER);
    assert_eq!((story.phase("out").as_str(), story.phase("out-2").as_str()), ("raised", "waiting"));
    call(&mut story, true);
    // The one for which the barrier was up is taken for gone, with its points; the one that waited has not paid yet.
    assert_eq!(story.stays(), ["粤B12345 closed 500 0 0", "粤BD98765 open 500 0 0"]);
    assert_eq!(story.read("out-2", OTHER), 0, "the barrier is up");
    assert_eq!(story.stays()[1], "粤BD98765 closed 500 0 500", "waived, and on record");
    story.drive_through("out-2");
    assert_eq!(story.phase("out-2"), "idle");
    assert_eq!(story.points("spent"), 50);
    let alarms = story.alarms();
    assert!(!alarms.iter().any(|code| code == "passage_without_raise"), "{alarms:?}");
}

#[test]
fn a_member_who_leaves_in_an_emergency_spends_nothing() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(25);
    call(&mut story, true);
    story.read("out", PLATE);
    assert_eq!(story.stays(), ["粤B12345 closed 500 0 500"]);
    assert_eq!((story.points("spent"), story.points("returned")), (0, 300));
    assert_eq!(story.read("in", OTHER), 0);
    assert_eq!(story.stays().len(), 1, "nobody comes in");
}

#[test]
fn afterwards_the_lanes_serve_as_before() {
    let mut story = Story::new();
    call(&mut story, true);
    story.arrival("in", true);
    call(&mut story, false);
    assert_eq!(story.read("in", PLATE), 1);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
}

#[test]
fn a_barrier_that_does_not_obey_is_told_once() {
    let mut story = Story::new();
    call(&mut story, true);
    let lane_of_last = "out-bare";
    for _ in 0..3 {
        story.answer(lane_of_last, CommandAnswer::Silent("no answer".to_owned()));
        story.seconds(3);
    }
    assert_eq!(story.alarms().iter().filter(|code| *code == "emergency_uncertain").count(), 1);
    let (raises, reply) =
        story.staff("out", StaffWish::Raise { reason: "push".to_owned(), plate: None, debt: false, second: None });
    assert_eq!((raises, matches!(reply, Reply::Staff(Ok(_)))), (1, true));
    let (_, reply) = story.staff("out", StaffWish::Settle { fen: Fen(500) });
    assert!(matches!(reply, Reply::Staff(Err(_))), "{reply:?}");
}

fn call(story: &mut Story, active: bool) -> usize {
    story.feed(Input::Emergency { source: EmergencySource::Contact, active }).0
}

fn by_guard(story: &mut Story, active: bool) -> usize {
    let source = EmergencySource::Staff { operator: "guard-1".to_owned(), reason: "smoke".to_owned() };
    story.feed(Input::Emergency { source, active }).0
}
