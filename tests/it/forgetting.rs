//! How long an answer to a till is kept: until its day is closed, the cloud holds it and seven days are over; and what is
//! kept after that, so that a repeat is still no second time.

use gatepost::domain::event::{
    BusinessDay, CloudNews, Input, Points, Reply, Reversal, TillAnswer, TillCommit, TillDone, TillWish,
};
use gatepost::domain::settlement::Closing;

use crate::story::Story;
use crate::tills::{code, sale, shopper};

const DAY: i64 = 24 * 60;

#[test]
fn an_answer_is_kept_until_its_day_is_closed_the_cloud_holds_it_and_seven_days_are_over() {
    for (later, acknowledged, kept) in [(6, u64::MAX, 1), (7, u64::MAX, 0), (7, 0, 1), (7, 2, 1)] {
        let mut story = week(later, acknowledged);
        let name = format!("closed {later} days later, {acknowledged} entries at the cloud");
        assert_eq!(stored(&story, "first"), kept, "{name}");
        assert_eq!(stored(&story, "last"), 1, "{name}: those of the last days stay");
        again(&mut story, &name);
    }
}

#[test]
fn what_is_forgotten_is_still_done_no_second_time() {
    let mut story = week(7, u64::MAX);
    assert_eq!(stored(&story, "first"), 0);
    story.restart();
    again(&mut story, "after a restart");
    let give_up = TillWish::Reverse { original_key: "first".to_owned() };
    let TillAnswer::Done { done: TillDone::Reversed { result, .. }, .. } = story.ask("x", give_up) else {
        panic!("a reversal is answered")
    };
    assert_eq!(result, Reversal::Reversed, "it is known by what it did, and undone");
    assert_eq!(story.points("reversed"), 50);
}

/// A sale, one on a later day, and that day's end; the cloud holds so many entries.
fn week(later: i64, acknowledged: u64) -> Story {
    let mut story = shopper();
    let sold = story.commit(first()).1;
    assert!(matches!(sold, TillAnswer::Applied { spent: Points(50), .. }), "{sold:?}");
    let day = BusinessDay(story.rows("SELECT CAST(max(day) AS TEXT) FROM till_book")[0].parse().unwrap());
    story.minutes(DAY);
    close(&mut story, day);
    story.minutes((later - 1) * DAY);
    story.commit(sale("last", 700, 700, 0));
    let newest: u64 = story.rows("SELECT CAST(max(entry) AS TEXT) FROM journal")[0].parse().unwrap();
    let seq = acknowledged.min(newest);
    story.feed(Input::Cloud(CloudNews::Acknowledged { epoch: 1, seq }));
    story.minutes(DAY);
    close(&mut story, BusinessDay(day.0 + i32::try_from(later).unwrap()));
    story
}

fn first() -> TillCommit {
    sale("first", 500, 0, 500)
}

fn close(story: &mut Story, day: BusinessDay) {
    let reply = story.feed(Input::DayClosing(Closing { day, by: "guard-1".to_owned() })).1;
    assert!(matches!(&reply, Reply::Staff(Ok(_))), "{reply:?}");
}

/// The till sends the same again, and then something else under the same key.
fn again(story: &mut Story, name: &str) {
    let spent = story.points("spent");
    let repeat = story.commit(first()).1;
    assert!(matches!(repeat, TillAnswer::Applied { replayed: true, spent: Points(50), .. }), "{name}: {repeat:?}");
    assert_eq!(story.points("spent"), spent, "{name}");
    let other = story.commit(TillCommit { fingerprint: "other".to_owned(), ..first() }).1;
    assert_eq!(code(&other), "idempotency-key-reused", "{name}");
}

fn stored(story: &Story, key: &str) -> usize {
    story.rows(&format!("SELECT key FROM operation WHERE key = '{key}'")).len()
}
