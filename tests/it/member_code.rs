//! What a member's code is good for: the place that saw it first takes it, it pays once, and a copy is worth nothing.

use gatepost::domain::event::{
    Input, MemberId, MemberShown, Points, Reply, Shown, ShownAt, TerminalId, TillAct, TillAnswer, TillCommit, TillMark,
    TillWish, UtcMs,
};

use crate::story::{MINUTE, Story};
use crate::tills::{code, sale, shopper};

#[test]
fn a_code_pays_once_at_the_place_that_saw_it_first() {
    let mut story = shopper();
    let now = phone(&story);
    assert_eq!(show(&mut story, "till-1", now), Reply::Done);
    assert_eq!(show(&mut story, "till-1", now), Reply::Done, "the cashier scans twice");
    assert_eq!(refused(&show(&mut story, "till-2", now)), "member-code-replayed", "a copy on another phone's screen");
    let paid = story.commit(pays("k-1", "till-1", 500, now)).1;
    assert!(matches!(&paid, TillAnswer::Applied { spent, .. } if spent.0 == 50), "{paid:?}");
    assert_eq!(code(&story.commit(pays("k-2", "till-1", 500, now)).1), "member-code-replayed", "one payment");
    assert_eq!(code(&story.commit(pays("k-3", "till-2", 500, now)).1), "member-code-replayed");
    let earned = story.commit(TillCommit { shown: Some(now), ..sale("k-4", 1_000, 1_000, 0) }).1;
    assert!(matches!(&earned, TillAnswer::Applied { earned, .. } if earned.0 == 10), "earning is not counted");
    story.restart();
    assert_eq!(code(&story.commit(pays("k-5", "till-1", 500, now)).1), "member-code-replayed", "also after a restart");
    assert_eq!(story.points("spent"), 50);
}

#[test]
fn two_tills_with_one_code_in_one_moment_are_two_places() {
    let mut story = shopper();
    let now = phone(&story);
    let both = [pays("a", "till-1", 500, now), pays("b", "till-2", 500, now)];
    let answers = both.map(|commit| story.commit(commit).1);
    assert!(matches!(&answers[0], TillAnswer::Applied { .. }), "{answers:?}");
    assert_eq!((code(&answers[1]), story.points("spent")), ("member-code-replayed", 50));
    let again = story.commit(pays("a", "till-1", 500, now)).1;
    assert!(matches!(&again, TillAnswer::Applied { replayed: true, .. }), "a repeat of the key is no second showing");
}

#[test]
fn a_code_is_of_its_half_minute_and_one_beside_it() {
    for (steps, fits) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
        let mut story = shopper();
        let shown = Shown::Code { step: u64::try_from(story.now().0 / 30_000 + steps).unwrap() };
        let answer = story.commit(pays("k-1", "till-1", 500, shown)).1;
        assert_eq!(matches!(answer, TillAnswer::Applied { .. }), fits, "{steps} steps: {answer:?}");
        if !fits {
            assert_eq!(code(&answer), "member-code-expired");
        }
    }
}

#[test]
fn a_basket_takes_a_quarter_of_an_hour_and_no_more() {
    let mut story = shopper();
    let now = phone(&story);
    show(&mut story, "till-1", now);
    story.minutes(15);
    let hold = TillWish::Hold { member: "M1".into(), points: Points(50), ttl_ms: 5 * MINUTE, shown: Some(now) };
    assert!(matches!(story.ask("h-1", hold.clone()), TillAnswer::Done { .. }));
    assert_eq!(code(&story.ask("h-2", hold)), "member-code-replayed", "what is set aside is the one payment");
    let later = phone(&story);
    show(&mut story, "till-1", later);
    story.minutes(16);
    assert_eq!(code(&story.commit(pays("k-1", "till-1", 500, later)).1), "member-code-expired");
    assert_eq!(story.points("spent"), 0);
}

#[test]
fn what_was_set_aside_with_a_code_is_committed_under_it() {
    let mut story = shopper();
    let now = phone(&story);
    let wish = TillWish::Hold { member: "M1".into(), points: Points(50), ttl_ms: 5 * MINUTE, shown: Some(now) };
    let act = TillAct {
        terminal: TerminalId::from("till-1"),
        key: "h-1".to_owned(),
        fingerprint: "h".to_owned(),
        mark: TillMark::default(),
        wish,
    };
    let Reply::Till(TillAnswer::Done { done, .. }) = story.feed(Input::TillAct(act)).1 else { panic!("held") };
    let gatepost::domain::event::TillDone::Held { hold, .. } = done else { panic!("{done:?}") };
    let more = TillCommit { hold: Some(hold.clone()), ..pays("k-1", "till-1", 600, now) };
    assert_eq!(code(&story.commit(more).1), "member-code-replayed", "more than was set aside is a second payment");
    let all = TillCommit { hold: Some(hold), ..pays("k-2", "till-1", 500, now) };
    assert!(matches!(story.commit(all).1, TillAnswer::Applied { spent: Points(50), .. }));
}

#[test]
fn what_stays_the_same_earns_and_does_not_pay() {
    for shown in [Shown::Fixed, Shown::Plate] {
        let mut story = shopper();
        let earned = story.commit(TillCommit { shown: Some(shown), ..sale("k-1", 1_000, 1_000, 0) }).1;
        assert!(matches!(&earned, TillAnswer::Applied { earned, .. } if earned.0 == 10), "{earned:?}");
        assert_eq!(code(&story.commit(pays("k-2", "till-1", 500, shown)).1), "member-code-static");
        let wish = TillWish::Hold { member: "M1".into(), points: Points(50), ttl_ms: MINUTE, shown: Some(shown) };
        assert_eq!(code(&story.ask("h-1", wish)), "member-code-static");
    }
}

#[test]
fn a_late_sale_is_measured_by_its_own_time() {
    let mut story = shopper();
    let then = (phone(&story), story.now());
    story.minutes(120);
    let late = |key: &str, at| TillCommit { occurred: Some(at), shown: Some(then.0), ..sale(key, 1_000, 1_000, 0) };
    assert!(matches!(story.commit(late("k-1", then.1)).1, TillAnswer::Applied { earned: Points(10), .. }));
    let mut other = shopper();
    let old = phone(&other);
    other.minutes(120);
    let wrong = TillCommit { occurred: Some(UtcMs(other.now().0)), shown: Some(old), ..sale("k", 1_000, 1_000, 0) };
    assert_eq!(code(&other.commit(wrong).1), "member-code-expired");
}

/// What the member's phone shows now.
fn phone(story: &Story) -> Shown {
    Shown::Code { step: u64::try_from(story.now().0 / 30_000).unwrap() }
}

fn pays(key: &str, terminal: &str, fen: i64, shown: Shown) -> TillCommit {
    TillCommit { terminal: TerminalId::from(terminal), shown: Some(shown), ..sale(key, fen, 0, fen) }
}

fn show(story: &mut Story, terminal: &str, shown: Shown) -> Reply {
    let at = ShownAt::Till { terminal: TerminalId::from(terminal) };
    story.feed(Input::MemberShown(MemberShown { at, member: MemberId::from("M1"), shown })).1
}

fn refused(reply: &Reply) -> &str {
    let Reply::Till(answer) = reply else { panic!("{reply:?}") };
    code(answer)
}

/// A visitor's car at the exit, whose driver shows the phone of a member: the member's points pay for it.
#[test]
fn a_phone_at_the_exit_pays_for_the_car_that_stands_there() {
    let mut story = shopper();
    story.enter("in", "粤A77777");
    story.minutes(40);
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤A77777"), 0, "the fee is due");
    let at = || ShownAt::Lane { lane: "out".into() };
    let fixed = story.feed(Input::MemberShown(MemberShown { at: at(), member: "M1".into(), shown: Shown::Fixed }));
    assert_eq!(refused(&fixed.1), "member-code-static");
    let now = phone(&story);
    let (raises, reply) = story.feed(Input::MemberShown(MemberShown { at: at(), member: "M1".into(), shown: now }));
    assert!(matches!(reply, Reply::Staff(Ok(_))), "{reply:?}");
    assert_eq!(raises, 1, "100 points pay the 10 yuan");
    story.drive_through("out");
    assert_eq!((story.points("spent"), story.usable()), (100, 200));
    assert_eq!(refused(&show(&mut story, "till-1", now)), "member-code-replayed", "it was used at the lane");
    let nobody = story.feed(Input::MemberShown(MemberShown { at: at(), member: "M1".into(), shown: now })).1;
    assert!(matches!(nobody, Reply::Staff(Err(_))), "nobody waits: {nobody:?}");
}
