//! Tills' stored answers: kept until their day is closed, the cloud holds them and seven days are over; then the journal
//! alone has them, and a repeat is still no second time.

use gatepost::domain::event::{BusinessDay, CloudNews, Input, Reply, TillAnswer};
use gatepost::domain::settlement::Closing;

use crate::story::Story;

const DAY: i64 = 24 * 60;

#[test]
fn an_answer_is_kept_for_seven_days_and_until_the_cloud_has_it_and_is_never_given_twice() {
    let mut story = Story::new();
    let sold = sell(&mut story);
    let first = today(&story);
    for day in 0..7 {
        close(&mut story, BusinessDay(first.0 + day));
        assert_eq!(kept(&story), 1, "day {day}");
    }
    close(&mut story, BusinessDay(first.0 + 7));
    assert_eq!(kept(&story), 1, "seven days are over, and the cloud has nothing");
    let entries = story.rows("SELECT max(entry) || '' FROM journal")[0].parse().unwrap();
    story.feed(Input::Cloud(CloudNews::Acknowledged { epoch: 1, seq: entries }));
    close(&mut story, BusinessDay(first.0 + 8));
    assert_eq!(kept(&story), 0, "it is gone");
    assert_eq!(sell(&mut story), sold, "the journal still says what was done");
    story.restart();
    assert_eq!(sell(&mut story), sold);
    assert_eq!(story.rows("SELECT count(*) || '' FROM sale"), ["1"], "and it was done once");
    let other = story.till("k-1", None, 600, None, 600, 0).1;
    assert!(matches!(&other, TillAnswer::Refused { code, .. } if code == "idempotency-key-reused"), "{other:?}");
    story.stop();
}

/// The transaction of one sale under one key.
fn sell(story: &mut Story) -> String {
    match story.till("k-1", None, 500, None, 500, 0).1 {
        TillAnswer::Applied { transaction, .. } => transaction.0,
        other @ (TillAnswer::Done { .. } | TillAnswer::Refused { .. }) => panic!("{other:?}"),
    }
}

fn today(story: &Story) -> BusinessDay {
    BusinessDay(story.rows("SELECT max(day) || '' FROM till_book")[0].parse().unwrap())
}

fn close(story: &mut Story, day: BusinessDay) {
    story.minutes(DAY);
    let reply = story.feed(Input::DayClosing(Closing { day, by: "guard-1".to_owned() })).1;
    assert!(matches!(&reply, Reply::Staff(Ok(_))), "{reply:?}");
}

fn kept(story: &Story) -> usize {
    story.rows("SELECT key FROM operation").len()
}
