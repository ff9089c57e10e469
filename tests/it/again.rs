//! When a barrier is raised once more for the same vehicle, and when not.

use gatepost::domain::event::{ArmPosition, CommandAnswer, Input, LaneId};
use gatepost::domain::plate::told::End;

use crate::story::Story;

#[test]
fn a_raise_that_nobody_confirms_is_not_repeated_at_every_read() {
    let unconfirmed = || CommandAnswer::Unconfirmed("nothing confirms it".to_owned());
    for (seen, after_s, again) in [
        (None, 3, 0),
        (None, 11, 1),
        (Some(ArmPosition::Up), 11, 0),
        (Some(ArmPosition::Between), 11, 0),
        (Some(ArmPosition::Down), 3, 0),
        (Some(ArmPosition::Down), 11, 1),
    ] {
        let mut story = Story::new();
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤B12345"), 1);
        story.answer("in", unconfirmed());
        if let Some(position) = seen {
            story.feed(Input::BarrierMoved { lane: LaneId::from("in"), position });
        }
        story.seconds(after_s);
        assert_eq!(story.read("in", "粤B12345"), again, "{seen:?} after {after_s} s");
    }
}

/// A board that is busy, and a camera that reads twice a second.
#[test]
fn a_raise_that_is_not_answered_or_refused_is_not_repeated_at_every_read() {
    let silent = CommandAnswer::Silent("no answer in time".to_owned());
    let refused = CommandAnswer::Refused("busy".to_owned());
    let not_sent = CommandAnswer::NotSent("no link".to_owned());
    let after_ten_seconds = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let answers = [(silent, after_ten_seconds), (refused, after_ten_seconds), (not_sent, [1; 12])];
    for (answer, raises) in answers {
        let mut story = Story::new();
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤B12345"), 1);
        story.answer("in", answer.clone());
        let mut again = Vec::new();
        for _ in 0..12 {
            story.seconds(1);
            let raised = story.read("in", "粤B12345");
            if raised > 0 {
                story.answer("in", answer.clone());
            }
            again.push(raised);
        }
        assert_eq!(again, raises, "{answer:?}");
        if raises[0] == 0 {
            assert_eq!(story.alarms(), ["raise_uncertain"], "{answer:?}: staff are told once");
        }
    }
}

/// Two seconds after an order that was carried out no arm is on its lower switch any more.
#[test]
fn an_arm_that_is_seen_down_still_is_raised_again_sooner() {
    for (seen, after_s, again) in [
        (Some(ArmPosition::Down), 1, 0),
        (Some(ArmPosition::Down), 2, 1),
        (Some(ArmPosition::Between), 2, 0),
        (None, 2, 0),
    ] {
        let mut story = Story::new();
        story.arrival("in", true);
        if let Some(position) = seen {
            story.feed(Input::BarrierMoved { lane: LaneId::from("in"), position });
        }
        assert_eq!(story.read("in", "粤B12345"), 1);
        story.answer("in", CommandAnswer::Silent("no answer in time".to_owned()));
        story.seconds(after_s);
        assert_eq!(story.read("in", "粤B12345"), again, "{seen:?} after {after_s} s");
    }
}

#[test]
fn an_arm_that_is_seen_up_is_not_raised_again_and_neither_for_what_the_rear_camera_says() {
    for answer in [CommandAnswer::Silent("late".to_owned()), CommandAnswer::NotSent("no link".to_owned())] {
        let mut story = Story::new();
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤B12345"), 1);
        story.answer("in", answer);
        story.seconds(11);
        let mut behind = story.statement("in", "粤B12345");
        behind.told.end = End::Rear;
        assert_eq!(story.feed(Input::PlateRead(behind)).0, 0, "it drives off");
        story.feed(Input::BarrierMoved { lane: LaneId::from("in"), position: ArmPosition::Up });
        assert_eq!(story.read("in", "粤B12345"), 0, "the arm is up");
        story.feed(Input::BarrierMoved { lane: LaneId::from("in"), position: ArmPosition::Down });
        assert_eq!(story.read("in", "粤B12345"), 1, "it came down again, and the vehicle stands there");
    }
}
