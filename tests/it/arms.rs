//! Where an arm is by both of its limit switches, and arms that break: staff are told once of each, and nothing moves again
//! by itself.

use gatepost::domain::event::{ArmPosition, CommandAnswer, DeviceId, Input, Limit, SwitchTold};
use gatepost::domain::lane::{Detectors, LaneSettings, LoopRole};

use crate::story::Story;

const PLATES: [&str; 3] = ["粤B12345", "粤BD98765", "京A88888"];

#[test]
fn the_arm_is_where_both_switches_say_whichever_of_them_speaks() {
    use ArmPosition::{Between, Down, Up};
    use Limit::{Lower, Upper};
    for (told, expect) in [
        // Both are told again, the lower one first.
        (&[(Lower, true), (Upper, false)][..], Some(Down)),
        (&[(Lower, true), (Upper, false), (Lower, true), (Upper, false)], Some(Down)),
        (&[(Upper, true), (Lower, false)], Some(Up)),
        (&[(Upper, true), (Lower, false), (Lower, false)], Some(Up)),
        (&[(Upper, false), (Lower, false)], Some(Between)),
        (&[(Lower, true), (Upper, false), (Lower, false)], Some(Between)),
        (&[(Lower, true), (Upper, false), (Lower, false), (Upper, true)], Some(Up)),
        // One alone says where the arm is, or that it is not there.
        (&[(Upper, true)], Some(Up)),
        (&[(Upper, true), (Upper, false)], Some(Between)),
        (&[(Lower, true), (Lower, false)], Some(Between)),
        (&[], None),
    ] {
        let mut story = Story::new();
        for (limit, closed) in told {
            switch(&mut story, *limit, *closed);
        }
        assert_eq!(position(&story), expect, "{told:?}");
        // Nobody has asked for any of it.
        let told_of: Vec<String> = story.alarms().into_iter().filter(|code| code != "arm_up_unasked").collect();
        assert_eq!(told_of, Vec::<String>::new(), "{told:?}");
    }
}

#[test]
fn switches_told_again_after_a_start_or_a_loss_leave_the_arm_where_it_is() {
    for restarts in [true, false] {
        let mut story = at_rest();
        let moves = moves(&story);
        if restarts {
            story.restart();
        } else {
            story.feed(Input::DeviceLost { device: "board".into(), why: "its cable".to_owned() });
            story.feed(Input::DeviceBack { device: "board".into() });
        }
        for (limit, closed) in [(Limit::Upper, false), (Limit::Lower, true)] {
            switch(&mut story, limit, closed);
            assert_eq!(position(&story), Some(ArmPosition::Down), "restarts: {restarts}");
        }
        assert_eq!(self::moves(&story), moves, "what is no news is not on record");
    }
}

#[test]
fn switches_that_say_both_ends_are_told_and_the_arm_is_nowhere() {
    let mut story = at_rest();
    // The lower one is stuck: the arm goes up all the same.
    switch(&mut story, Limit::Upper, true);
    story.seconds(1);
    assert_eq!(
        (position(&story), story.alarms().len()),
        (Some(ArmPosition::Down), 0),
        "heard in the wrong order, perhaps"
    );
    story.seconds(2);
    assert_eq!((position(&story), story.alarms()), (None, vec!["limit_switches".to_owned()]));
    story.seconds(60);
    for _ in 0..2 {
        switch(&mut story, Limit::Upper, false);
        assert_eq!(position(&story), Some(ArmPosition::Down));
        switch(&mut story, Limit::Upper, true);
        story.seconds(3);
    }
    assert_eq!(story.alarms(), ["limit_switches"], "nobody need hear it for each vehicle");
    assert_eq!(story.read("in", PLATES[0]), 1, "decisions go on");
    // Mended, and stuck again.
    for (limit, closed) in [(Limit::Lower, false), (Limit::Upper, false), (Limit::Lower, true), (Limit::Upper, true)] {
        switch(&mut story, limit, closed);
    }
    story.seconds(3);
    assert_eq!(story.alarms(), ["limit_switches", "limit_switches"]);
}

#[test]
fn switches_that_change_in_the_wrong_order_contradict_nobody() {
    let mut story = at_rest();
    for _ in 0..3 {
        switch(&mut story, Limit::Upper, true);
        story.seconds(1);
        switch(&mut story, Limit::Lower, false);
        assert_eq!(position(&story), Some(ArmPosition::Up));
        switch(&mut story, Limit::Lower, true);
        story.seconds(1);
        switch(&mut story, Limit::Upper, false);
        assert_eq!(position(&story), Some(ArmPosition::Down));
        story.seconds(30);
    }
    let unasked = |code: &String| code != "arm_up_unasked";
    assert!(!story.alarms().iter().any(unasked), "{:?}", story.alarms());
}

#[test]
fn an_arm_that_hangs_is_told_once_nothing_raises_it_again_and_its_end_is_told() {
    let mut story = at_rest();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[0]), 1);
    story.answer("in", CommandAnswer::Silent("nothing came back".to_owned()));
    assert_eq!(story.alarms(), ["raise_uncertain"]);
    switch(&mut story, Limit::Lower, false);
    story.seconds(9);
    assert_eq!(story.alarms(), ["raise_uncertain"], "slow arms need their time");
    story.seconds(2);
    assert_eq!(story.alarms(), ["raise_uncertain", "arm_stuck"]);
    assert_eq!(
        story.read("in", PLATES[0]),
        0,
        "a fresh read proves that the vehicle is there, not that the arm can move"
    );
    story.seconds(20);
    assert_eq!(story.alarms(), ["raise_uncertain", "arm_stuck"]);
    assert_eq!(story.phase("in"), "raised");
    switch(&mut story, Limit::Upper, true);
    assert_eq!(story.alarms(), ["raise_uncertain", "arm_stuck", "arm_free"]);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"], "the books do not hang on an arm");
}

#[test]
fn an_arm_that_hung_at_a_power_cut_is_told_once_over_both_lives() {
    let mut story = at_rest();
    story.seconds(100);
    switch(&mut story, Limit::Lower, false);
    story.seconds(5);
    story.restart();
    switch(&mut story, Limit::Upper, false);
    switch(&mut story, Limit::Lower, false);
    story.seconds(9);
    assert_eq!(story.alarms(), Vec::<String>::new(), "it is watched anew");
    story.seconds(2);
    assert_eq!(story.alarms(), ["arm_stuck"]);
    story.restart();
    switch(&mut story, Limit::Upper, false);
    switch(&mut story, Limit::Lower, false);
    story.seconds(30);
    assert_eq!(story.alarms(), ["arm_stuck"]);
    switch(&mut story, Limit::Lower, true);
    assert_eq!(story.alarms(), ["arm_stuck", "arm_free"]);
}

#[test]
fn an_arm_of_which_one_end_is_seen_or_whose_switches_are_away_hangs_nowhere() {
    let mut story = Story::new();
    switch(&mut story, Limit::Upper, true);
    switch(&mut story, Limit::Upper, false);
    story.seconds(60);
    assert_eq!(story.alarms(), Vec::<String>::new(), "it is down, and nobody sees that");
    let mut story = at_rest();
    switch(&mut story, Limit::Lower, false);
    story.feed(Input::DeviceLost { device: "board".into(), why: "its cable".to_owned() });
    story.seconds(60);
    assert_eq!(story.alarms(), ["device_lost"]);
}

#[test]
fn an_arm_that_hangs_is_not_held_up_by_more_raises_where_loops_hold_it() {
    for hangs in [false, true] {
        let mut story = of(|lane| lane.detectors = Detectors::Hold);
        story.arrival("in", true);
        assert_eq!(story.read("in", PLATES[0]), 1);
        story.answer("in", CommandAnswer::Accepted);
        switch(&mut story, Limit::Lower, false);
        if !hangs {
            switch(&mut story, Limit::Upper, true);
        }
        for _ in 0..12 {
            story.seconds(1);
        }
        let before = story.commands.len();
        for _ in 0..12 {
            story.seconds(1);
        }
        assert_eq!(story.commands.len() == before, hangs, "a raise every few seconds while it can move");
    }
}

#[test]
fn an_arm_that_does_not_come_down_is_told_once_until_it_does() {
    let mut story = of(|lane| {
        lane.detectors = Detectors::AntiTailgate;
        lane.gear.loops = [LoopRole::Safety, LoopRole::Passage].map(|role| (role, DeviceId::from("board"))).into();
    });
    let raise_and_pass = |story: &mut Story, plate| {
        story.safety("in", false);
        story.arrival("in", true);
        assert_eq!(story.read("in", plate), 1);
        switch(story, Limit::Lower, false);
        switch(story, Limit::Upper, true);
        let lowers = story.lowers.len();
        story.drive_through("in");
        assert_eq!(story.lowers.len(), lowers + 1);
    };
    raise_and_pass(&mut story, PLATES[0]);
    story.seconds(9);
    assert_eq!(story.alarms(), Vec::<String>::new());
    story.seconds(2);
    assert_eq!(story.alarms(), ["arm_not_seen_down"]);
    raise_and_pass(&mut story, PLATES[1]);
    story.seconds(11);
    assert_eq!(story.alarms(), ["arm_not_seen_down"], "nobody need hear it for each vehicle");
    raise_and_pass(&mut story, PLATES[2]);
    switch(&mut story, Limit::Upper, false);
    switch(&mut story, Limit::Lower, true);
    story.seconds(11);
    assert_eq!(story.alarms(), ["arm_not_seen_down"]);
    raise_and_pass(&mut story, "沪C24680");
    story.seconds(11);
    assert_eq!(story.alarms(), ["arm_not_seen_down", "arm_not_seen_down"], "it was mended and breaks again");
}

#[test]
fn an_arm_that_is_driven_through_is_told_once_until_it_moves() {
    let mut story = at_rest();
    for _ in 0..2 {
        story.passage("in", true);
        story.passage("in", false);
    }
    assert_eq!(story.alarms(), ["passage_without_raise", "arm_broken", "passage_without_raise"]);
    switch(&mut story, Limit::Lower, false);
    story.passage("in", true);
    story.passage("in", false);
    assert_eq!(story.alarms()[3..], ["passage_without_raise"], "an arm on its way is in nobody's");
    switch(&mut story, Limit::Lower, true);
    story.passage("in", true);
    assert_eq!(story.alarms()[4..], ["passage_without_raise", "arm_broken"]);
}

#[test]
fn an_arm_that_comes_down_before_its_vehicle_drives_on_is_told_and_raised_for_a_fresh_read() {
    let mut story = at_rest();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[1]), 1);
    switch(&mut story, Limit::Lower, false);
    switch(&mut story, Limit::Upper, true);
    story.drive_through("in");
    // The arm is on its way down behind that one, and comes down before it can turn round.
    switch(&mut story, Limit::Upper, false);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATES[0]), 1);
    story.answer("in", CommandAnswer::Accepted);
    switch(&mut story, Limit::Lower, true);
    assert_eq!(story.read("in", PLATES[0]), 0);
    for (limit, closed) in [(Limit::Lower, false), (Limit::Upper, true), (Limit::Upper, false), (Limit::Lower, true)] {
        assert_eq!(story.alarms(), Vec::<String>::new());
        switch(&mut story, limit, closed);
    }
    assert_eq!(story.alarms(), ["arm_down_early"]);
    assert_eq!(story.read("in", PLATES[0]), 1, "it is seen down, and the vehicle is seen before it");
    assert_eq!(story.read("in", PLATES[0]), 0, "once");
    for (limit, closed) in [(Limit::Lower, false), (Limit::Upper, true)] {
        switch(&mut story, limit, closed);
    }
    story.drive_through("in");
    for (limit, closed) in [(Limit::Upper, false), (Limit::Lower, true)] {
        switch(&mut story, limit, closed);
    }
    assert_eq!(story.alarms(), ["arm_down_early"], "behind its vehicle is not too early");
}

#[test]
fn an_arm_that_comes_down_on_something_is_told_at_once() {
    for under in [true, false] {
        let mut story = of(|lane| lane.gear.loops = [(LoopRole::Safety, DeviceId::from("board"))].into());
        story.enter("in", PLATES[0]);
        switch(&mut story, Limit::Lower, false);
        switch(&mut story, Limit::Upper, true);
        story.safety("in", under);
        switch(&mut story, Limit::Upper, false);
        switch(&mut story, Limit::Lower, true);
        let told = story.alarms().iter().any(|code| code == "under_the_arm");
        assert_eq!(told, under, "{:?}", story.alarms());
    }
}

/// A lane whose arm is seen down, by two switches of one board.
fn at_rest() -> Story {
    of(|_| {})
}

fn of(change: impl Fn(&mut LaneSettings)) -> Story {
    let mut story = Story::new();
    let lane = story.lanes.get_mut(&"in".into()).unwrap();
    lane.gear.switches = [DeviceId::from("board")].into();
    change(lane);
    story.restart();
    switch(&mut story, Limit::Upper, false);
    switch(&mut story, Limit::Lower, true);
    assert_eq!(position(&story), Some(ArmPosition::Down));
    story
}

fn switch(story: &mut Story, limit: Limit, closed: bool) {
    story.feed(Input::LimitSwitch(SwitchTold { lane: "in".into(), limit, closed }));
}

fn position(story: &Story) -> Option<ArmPosition> {
    let rows = story.rows("SELECT coalesce(state ->> '$.arm', '') FROM lane WHERE lane = 'in'");
    rows.first().and_then(|word| serde_json::from_value(serde_json::Value::String(word.clone())).ok())
}

/// How often the arm was seen to move, by the journal.
fn moves(story: &Story) -> usize {
    let kinds = "SELECT r.value ->> '$.kind' FROM journal, json_each(CAST(body AS TEXT), '$.records') r";
    story.rows(kinds).iter().filter(|kind| *kind == "barrier_moved").count()
}
