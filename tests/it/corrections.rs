//! What staff put right in the books, what is let go only by two, and what was lost on a day.

use gatepost::domain::admission::table::NoEntry;
use gatepost::domain::event::{Fen, Input, Reply, StaffRefusal, StaffWish, StayId, UtcMs, Wrong};
use gatepost::store::day;

use crate::stays::{correct, leave_for, with};
use crate::story::{MINUTE, Story};

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";

#[test]
fn a_corrected_entry_posts_the_difference() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    let entry = story.now();
    story.minutes(61);
    leave_for(&mut story, PLATE, 1500);
    let stay = StayId(story.rows("SELECT stay FROM stay").remove(0));
    let earlier = Wrong::Entry { stay: stay.clone(), entry: UtcMs(entry.0 - 60 * MINUTE) };
    said(&correct(&mut story, earlier).1, "owes 1000 fen more");
    let state = "SELECT fee_fen || ' ' || owed_fen || ' ' || refund_fen FROM stay";
    assert_eq!(story.rows(state), ["2500 1000 0"]);
    assert_eq!(story.rows("SELECT plate || ' ' || fen FROM debt"), ["粤B12345 1000"]);
    let later = Wrong::Entry { stay, entry: UtcMs(entry.0 + 50 * MINUTE) };
    said(&correct(&mut story, later).1, "give 1500 fen back");
    assert_eq!(story.rows(state), ["0 1000 1500"]);
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1000 1000"], "what it owed is settled first");
}

#[test]
fn a_misread_entry_and_a_stay_without_one_become_one_visit() {
    let mut story = Story::new();
    story.enter("in", "粤A88888");
    story.minutes(61);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.staff("out", StaffWish::ChargeWithoutEntry { how: NoEntry::DayMax, reason: "no photo".to_owned() });
    story.staff("out", StaffWish::Settle { fen: Fen(6000) });
    story.drive_through("out");
    let stays = story.rows("SELECT stay FROM stay ORDER BY entry_ms DESC");
    let merge = Wrong::Merge { first: StayId(stays[0].clone()), stay: StayId(stays[1].clone()) };
    said(&correct(&mut story, merge.clone()).1, "give");
    let before = story.stays();
    let first_begins_later = Wrong::Merge { first: StayId(stays[1].clone()), stay: StayId(stays[0].clone()) };
    assert!(matches!(correct(&mut story, first_begins_later).1, Reply::Staff(Err(_))), "a void stay is no whole");
    assert_eq!(story.stays(), before);
}

#[test]
fn a_plate_is_put_right_and_a_stay_split() {
    let mut story = Story::new();
    story.enter("in", "粤A88888");
    let entry = story.now();
    let stay = StayId(story.stay_of("粤A88888"));
    correct(&mut story, Wrong::Plate { stay: stay.clone(), plate: PLATE.parse().unwrap() });
    story.minutes(600);
    let (left, back) = (UtcMs(entry.0 + 61 * MINUTE), UtcMs(entry.0 + 590 * MINUTE));
    said(&correct(&mut story, Wrong::Split { stay, left, back }).1, "owes 1500 fen");
    assert_eq!(story.stays(), ["粤B12345 closed 1500 0 0", "粤B12345 open - 0 0"]);
    leave_for(&mut story, PLATE, 1500);
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1500 1500"]);
}

#[test]
fn a_plate_that_is_put_right_brings_its_pass_and_its_debts() {
    let pass =
        format!("[[passes]]\nid = \"P-1\"\nplates = [\"{PLATE}\"]\nfrom = \"2026-03-01\"\nuntil = \"2026-03-31\"\n");
    let mut story = with(&pass);
    story.enter("in", "粤A88888");
    story.minutes(600);
    let stay = StayId(story.stay_of("粤A88888"));
    correct(&mut story, Wrong::Plate { stay: stay.clone(), plate: OTHER.parse().unwrap() });
    assert_eq!(story.rows("SELECT coalesce(right_held, '-') FROM stay"), ["-"]);
    correct(&mut story, Wrong::Plate { stay: stay.clone(), plate: PLATE.parse().unwrap() });
    assert_eq!(story.rows("SELECT right_held ->> '$.id' FROM stay"), ["P-1"]);
    story.restart();
    correct(&mut story, Wrong::Plate { stay, plate: PLATE.parse().unwrap() });
    assert_eq!(story.rows("SELECT right_held ->> '$.id' FROM stay"), ["P-1"], "it does not stand in its own way");
    leave_for(&mut story, PLATE, 0);
}

#[test]
fn much_is_let_go_only_by_two() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(2 * 24 * 60);
    story.arrival("out", true);
    story.read("out", PLATE);
    let raise = |debt, second: Option<&str>| StaffWish::Raise {
        reason: "goodwill".to_owned(),
        plate: None,
        debt,
        second: second.map(ToOwned::to_owned),
    };
    let refused = (0, Reply::Staff(Err(StaffRefusal::SecondNeeded { fen: Fen(12_000) })));
    assert_eq!(story.staff("out", raise(false, None)), refused);
    assert_eq!(story.staff("out", raise(false, Some("guard-1"))), refused, "one person is not two");
    assert_eq!(story.staff("out", raise(false, Some("manager-1"))).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 12000 0 12000"]);
}

#[test]
fn what_was_lost_on_a_day_is_told_and_written_down_once() {
    let mut story = Story::new();
    story.staff("in", StaffWish::Raise { reason: "a delivery".to_owned(), plate: None, debt: false, second: None });
    story.drive_through("in");
    story.enter("in", PLATE);
    story.minutes(25);
    let stay = story.stay_of(PLATE);
    story.till("k", None, 0, Some(&stay), 500, 0);
    story.enter("in", OTHER);
    story.minutes(5);
    story.enter("in", OTHER);
    story.enter("in", "粤A00001");
    let mut lost = story.statement("in", "粤A00002");
    lost.event = "event-99".to_owned();
    story.feed(Input::PlateRead(lost));
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    let day = |date: &str| day::report(&story.path(), date.parse().unwrap(), &zone).unwrap();
    let report = day("2026-03-02");
    assert_eq!((report.entered, report.left, report.raised_without_stay.count), (4, 0, 1));
    assert_eq!((report.without_exit.count, report.paid_inside.count), (1, 1));
    assert_eq!(report.paid_inside.first[0].fen, Fen(500));
    assert_eq!(report.gaps.first.last().map(|gap| gap.before.clone()), Some("event-99".to_owned()));
    assert_eq!(day("2026-03-03").entered, 0, "another day is another day");
    story.feed(Input::DayEnded(report.clone()));
    story.feed(Input::DayEnded(report));
    story.restart();
    assert_eq!(story.rows("SELECT date FROM day_report"), ["2026-03-02"]);
}

fn said(reply: &Reply, words: &str) {
    match reply {
        Reply::Staff(Ok(text)) => assert!(text.contains(words), "{text} should say {words}"),
        other @ (Reply::Done | Reply::Till(_) | Reply::Staff(Err(_)) | Reply::Ticket(_)) => {
            panic!("{other:?} should say {words}")
        }
    }
}
