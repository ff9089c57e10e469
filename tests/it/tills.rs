//! What tills ask besides commits: points set aside, goods that come back, requests that are given up, shifts.

use gatepost::domain::event::{
    CloudNews, EpochReason, Fen, GivenBack, HourTotals, Input, MemberId, Money, MoneyKind, NotCash, OpId, Points,
    Reversal, StayId, TerminalId, TillAnswer, TillCommit, TillDone, TillMark, TillWish, Totals, UtcMs,
};

use crate::story::{MINUTE, Story};

#[test]
fn what_is_set_aside_is_spent_in_part_and_the_rest_is_free_again() {
    let mut story = shopper();
    let (hold, usable) = hold(&mut story, "h-1", 100);
    assert_eq!((usable, story.usable()), (200, 200), "nobody else may use it");
    let TillAnswer::Done { done: TillDone::Captured { points, released, fen, usable, .. }, .. } =
        story.ask("c-1", capture(&hold, Some(650)))
    else {
        panic!("captured")
    };
    assert_eq!((points.0, fen.0, released.0, usable.0), (70, 650, 30, 230), "in whole tens, as at the barrier");
    assert_eq!((story.usable(), story.points("spent")), (230, 70));
    assert_eq!(code(&story.ask("c-2", capture(&hold, None))), "hold-ended");
    assert_eq!(code(&story.ask("r-1", TillWish::Release { hold })), "hold-ended");
}

#[test]
fn what_is_released_is_free_again_and_a_repeat_changes_nothing() {
    let mut story = shopper();
    let (hold, _) = hold(&mut story, "h-1", 100);
    let first = story.ask("r-1", TillWish::Release { hold: hold.clone() });
    let again = story.ask("r-1", TillWish::Release { hold });
    assert!(matches!(&first, TillAnswer::Done { replayed: false, .. }), "{first:?}");
    assert!(matches!(&again, TillAnswer::Done { replayed: true, .. }), "{again:?}");
    assert_eq!((story.usable(), story.points("spent")), (300, 0));
    assert_eq!(code(&story.ask("r-1", TillWish::OpenShift { operator: None })), "idempotency-key-reused");
}

/// Whatever stands before the loop: each request that changes something is done once by the loop itself.
#[test]
fn whatever_is_asked_twice_is_done_once_and_written_once() {
    let mut story = shopper();
    let hold = |points| TillWish::Hold {
        member: MemberId::from("M1"),
        points: Points(points),
        ttl_ms: 5 * MINUTE,
        shown: None,
    };
    twice(&mut story, "open", TillWish::OpenShift { operator: Some("li".to_owned()) });
    let held = |done: TillDone| {
        let TillDone::Held { hold, .. } = &done else { panic!("{done:?}") };
        hold.clone()
    };
    let first = held(twice(&mut story, "h-1", hold(100)));
    twice(&mut story, "c-1", capture(&first, None));
    let second = held(twice(&mut story, "h-2", hold(50)));
    twice(&mut story, "r-1", TillWish::Release { hold: second });
    let sold = ["s-1", "s-2", "s-3"].map(|key| applied(&story.commit(sale(key, 1_000, 1_000, 0)).1));
    twice(&mut story, "v-1", TillWish::Void { transaction: sold[0].clone() });
    twice(&mut story, "b-1", TillWish::Refund { transaction: sold[1].clone(), fen: Fen(400) });
    twice(&mut story, "g-1", TillWish::Reverse { original_key: "s-3".to_owned() });
    twice(&mut story, "g-2", TillWish::Reverse { original_key: "never-came".to_owned() });
    let hour = UtcMs(story.now().0.div_euclid(60 * MINUTE) * 60 * MINUTE);
    twice(&mut story, "t-1", TillWish::Report(HourTotals { hour, count: 17, sale_fen: Fen(150_000) }));
    twice(&mut story, "z-1", TillWish::CloseShift { shift: 1, stated: None });
}

#[test]
fn a_forgotten_hold_ends_by_the_boxs_own_clock() {
    let mut story = shopper();
    let (hold, _) = hold(&mut story, "h-1", 100);
    story.minutes(4);
    story.feed(Input::TillHoldDue { hold: hold.clone() });
    assert_eq!(story.usable(), 200, "its time is not over");
    story.minutes(1);
    story.feed(Input::TillHoldDue { hold: hold.clone() });
    assert_eq!(story.usable(), 300);
    assert_eq!(code(&story.ask("c-1", capture(&hold, None))), "hold-expired");
    let (late, _) = self::hold(&mut story, "h-2", 100);
    story.minutes(6);
    assert_eq!(code(&story.ask("c-2", capture(&late, None))), "hold-expired", "nobody had looked at it yet");
    assert_eq!(story.usable(), 300, "and it is free at once");
    assert_eq!(story.rows("SELECT ended FROM till_hold"), ["expired", "expired"]);
}

#[test]
fn a_sale_is_paid_with_what_was_set_aside_for_it() {
    let mut story = shopper();
    let (hold, _) = hold(&mut story, "h-1", 300);
    let commit = sale("k-1", 5000, 2000, 3000);
    let refused = story.commit(commit.clone()).1;
    assert_eq!(code(&refused), "insufficient-points", "the points are set aside");
    let answer = story.commit(TillCommit { key: "k-2".to_owned(), hold: Some(hold), ..commit }).1;
    assert!(matches!(&answer, TillAnswer::Applied { spent, .. } if spent.0 == 300), "{answer:?}");
    assert_eq!((story.usable(), story.rows("SELECT ended FROM till_hold")), (20, vec!["captured".to_owned()]));
}

#[test]
fn the_end_of_an_epoch_frees_what_is_set_aside() {
    for why in [EpochReason::Fenced, EpochReason::Behind] {
        let mut story = shopper();
        let (hold, _) = hold(&mut story, "h-1", 100);
        story.feed(Input::Cloud(CloudNews::EpochGiven { from: 1, epoch: 2, why }));
        assert_eq!(story.rows("SELECT ended FROM till_hold"), ["epoch_ended"]);
        assert_eq!(story.usable(), 0);
        assert_eq!(story.points("returned"), if why.is_whole() { 300 } else { 0 });
        assert_eq!(code(&story.ask("c-1", capture(&hold, None))), "hold-ended");
    }
}

/// The published example: ¥21.90 at one point for ¥10 is 2 points. Judged by each refund alone none would come back.
#[test]
fn goods_in_five_parts_take_back_what_the_whole_gave() {
    let mut story = Story::with(
        include_str!("../../systemd/rules.toml")
            .replace("[earn]                    # 1 point for every whole yuan spent\nfen = 100", "[earn]\nfen = 1000"),
    );
    story.member("M1", &["粤B12345"]);
    story.enter("in", "粤B12345");
    let transaction = applied(&story.till("k-1", Some("M1"), 2190, None, 2190, 0).1);
    assert_eq!((story.usable(), story.points("earned")), (2, 2));
    let parts = [500, 500, 500, 500, 190];
    let taken: Vec<i64> = (0..)
        .zip(parts)
        .map(|(n, fen)| {
            let back = refund(&mut story, &format!("r-{n}"), &transaction, fen);
            assert_eq!((back.cash_fen.0, back.owed.0), (fen, 0));
            back.taken.0
        })
        .collect();
    assert_eq!((taken, story.usable()), (vec![1, 0, 1, 0, 0], 0));
    let more = story.ask("r-9", TillWish::Refund { transaction, fen: Fen(1) });
    assert_eq!(code(&more), "amount-mismatch");
}

#[test]
fn a_refund_gives_back_points_and_money_as_they_paid() {
    let mut story = shopper();
    let transaction = applied(&story.commit(sale("k-1", 10_000, 7_000, 3_000)).1);
    assert_eq!((story.usable(), story.points("earned")), (70, 70), "300 spent, 70 earned");
    let back = refund(&mut story, "r-1", &transaction, 5_000);
    assert_eq!((back.cash_fen.0, back.points_fen.0, back.points.0, back.taken.0), (3_500, 1_500, 150, 35));
    let back = refund(&mut story, "r-2", &transaction, 5_000);
    assert_eq!((back.cash_fen.0, back.points_fen.0, back.points.0, back.taken.0), (3_500, 1_500, 150, 35));
    assert_eq!((story.usable(), story.points("reversed"), story.points("taken_back")), (300, 300, 70));
}

#[test]
fn points_that_are_gone_are_owed_and_the_next_earning_pays_them() {
    let mut story = shopper();
    let transaction = applied(&story.till("k-1", Some("M1"), 10_000, None, 10_000, 0).1);
    applied(&story.commit(sale("k-2", 4_000, 0, 4_000)).1);
    let back = refund(&mut story, "r-1", &transaction, 10_000);
    let (taken, owed) = (back.taken.0, back.owed.0);
    assert_eq!(taken + owed, 100);
    assert!(owed > 0, "most of the points were spent");
    let before = story.usable();
    let earned = story.till("k-3", Some("M1"), 30_000, None, 30_000, 0).1;
    assert!(matches!(&earned, TillAnswer::Applied { earned, .. } if earned.0 == 300), "{earned:?}");
    assert_eq!(story.usable(), before + 300 - owed);
    assert_eq!(story.rows("SELECT CAST(points - paid AS TEXT) FROM points_debt"), ["0"]);
}

#[test]
fn a_void_is_for_the_same_day_and_for_the_whole() {
    let mut story = shopper();
    let first = applied(&story.commit(sale("k-1", 5_000, 2_000, 3_000)).1);
    let back = given_back(&story.ask("v-1", TillWish::Void { transaction: first.clone() }));
    assert_eq!((back.cash_fen.0, back.points.0, back.taken.0), (2_000, 300, 20));
    assert_eq!(story.usable(), 300);
    assert_eq!(code(&story.ask("v-2", TillWish::Void { transaction: first.clone() })), "not-reversible");
    assert_eq!(code(&story.ask("r-1", TillWish::Refund { transaction: first, fen: Fen(1) })), "not-reversible");
    let second = applied(&story.commit(sale("k-2", 5_000, 2_000, 3_000)).1);
    story.minutes(24 * 60);
    assert_eq!(code(&story.ask("v-3", TillWish::Void { transaction: second.clone() })), "not-reversible");
    assert_eq!(refund(&mut story, "r-2", &second, 5_000).points.0, 300);
    assert_eq!(code(&story.ask("v-4", TillWish::Void { transaction: "box-9/1/1/0".into() })), "transaction-unknown");
}

#[test]
fn parking_that_is_voided_is_owed_again_and_one_that_was_used_stays_paid() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.minutes(60);
    let stay = story.stay_of("粤B12345");
    let paid = applied(&story.till("k-1", None, 0, Some(&stay), 1_000, 0).1);
    let back = given_back(&story.ask("v-1", TillWish::Void { transaction: paid }));
    assert_eq!((back.cash_fen.0, back.stay.as_ref().map(StayId::as_str)), (1_000, Some(stay.as_str())));
    assert_eq!(story.read("out", "粤B12345"), 0, "the arm stays down: nothing is paid");
    let paid = applied(&story.till("k-2", None, 0, Some(&stay), 1_000, 0).1);
    story.drive_through("out");
    assert_eq!(code(&story.ask("v-2", TillWish::Void { transaction: paid })), "not-reversible");
    let kept = reversed(&story.ask("x-1", TillWish::Reverse { original_key: "k-2".to_owned() }));
    assert_eq!(kept, Reversal::Kept);
    assert_eq!(story.stays(), ["粤B12345 closed 1000 1000 0"]);
}

#[test]
fn a_request_that_is_given_up_is_undone_or_never_done() {
    let mut story = shopper();
    let give_up = |key: &str| TillWish::Reverse { original_key: key.to_owned() };
    story.commit(sale("k-1", 5_000, 2_000, 3_000));
    assert_eq!(reversed(&story.ask("x-1", give_up("k-1"))), Reversal::Reversed);
    assert_eq!((story.usable(), story.points("reversed")), (300, 300));
    assert_eq!(reversed(&story.ask("x-2", give_up("k-1"))), Reversal::NothingToUndo, "undone once");
    // The reversal overtakes its original.
    assert_eq!(reversed(&story.ask("x-3", give_up("k-2"))), Reversal::Tombstoned);
    assert_eq!(code(&story.commit(sale("k-2", 5_000, 2_000, 3_000)).1), "tombstoned");
    assert_eq!(code(&story.commit(sale("k-2", 1, 1, 0)).1), "tombstoned", "whatever it says");
    let (_, usable) = hold(&mut story, "h-1", 100);
    assert_eq!(usable, 200);
    assert_eq!(reversed(&story.ask("x-4", give_up("h-1"))), Reversal::Reversed);
    assert_eq!(story.usable(), 300);
    assert_eq!(code(&story.ask("x-5", give_up("x-5"))), "bad-request", "a reversal has a key of its own");
    story.restart();
    assert_eq!(code(&story.commit(sale("k-2", 5_000, 2_000, 3_000)).1), "tombstoned", "also after a restart");
}

#[test]
fn a_late_sale_earns_and_spends_nothing() {
    let mut story = shopper();
    let late = |commit: TillCommit, now: UtcMs| TillCommit { occurred: Some(UtcMs(now.0 - 11 * MINUTE)), ..commit };
    let now = story.now();
    assert_eq!(code(&story.commit(late(sale("k-1", 5_000, 2_000, 3_000), now)).1), "late-redemption");
    let earned = story.commit(late(sale("k-2", 5_000, 5_000, 0), now)).1;
    assert!(matches!(&earned, TillAnswer::Applied { earned, .. } if earned.0 == 50), "{earned:?}");
    assert_eq!(story.rows("SELECT CAST(at_ms AS TEXT) FROM sale"), [(now.0 - 11 * MINUTE).to_string()]);
}

#[test]
fn a_transaction_is_taken_back_by_its_own_till_or_shop_and_by_nobody_else() {
    let mut story = shopper();
    let mark = TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() };
    let sold = applied(&story.commit(TillCommit { mark, ..sale("k-1", 5_000, 5_000, 0) }).1);
    let void = TillWish::Void { transaction: sold.clone() };
    let refund = TillWish::Refund { transaction: sold, fen: Fen(500) };
    for (key, shop) in [("v-1", None), ("v-2", Some("bakery"))] {
        assert_eq!(code(&story.ask_from("till-2", key, shop, void.clone())), "transaction-unknown");
        assert_eq!(code(&story.ask_from("till-2", &format!("r{key}"), shop, refund.clone())), "transaction-unknown");
    }
    assert_eq!(given_back(&story.ask_from("till-2", "v-3", Some("cafe"), void)).cash_fen.0, 5_000);
    let transaction = applied(&story.commit(sale("k-2", 5_000, 5_000, 0)).1);
    let void = TillWish::Void { transaction };
    assert_eq!(
        code(&story.ask_from("till-2", "v-4", None, void)),
        "transaction-unknown",
        "no shop is no shop in common"
    );
}

#[test]
fn the_z_slip_says_what_the_shift_did_and_the_shift_is_over() {
    let mut story = shopper();
    let mark = |shift, number| TillMark { number: Some(number), shift: Some(shift), ..TillMark::default() };
    let opened = story.ask_as("o-1", mark(1, 1), TillWish::OpenShift { operator: Some("li".to_owned()) });
    assert!(matches!(&opened, TillAnswer::Done { done: TillDone::ShiftOpened { shift: 1, .. }, .. }), "{opened:?}");
    let first = applied(&story.commit(TillCommit { mark: mark(1, 2), ..sale("k-1", 5_000, 2_000, 3_000) }).1);
    applied(&story.commit(TillCommit { mark: mark(1, 5), ..sale("k-2", 4_000, 4_000, 0) }).1);
    assert_eq!(story.alarms(), ["till_numbers_missing"]);
    applied(&story.commit(TillCommit { mark: mark(1, 3), ..sale("k-3", 1_000, 1_000, 0) }).1);
    story.ask_as("v-1", mark(1, 6), TillWish::Void { transaction: first });
    assert_eq!(story.alarms(), ["till_numbers_missing"], "one is missing still");
    let totals = closed(&story.ask("z-1", TillWish::CloseShift { shift: 1, stated: None }));
    assert_eq!((totals.sales.count, totals.voids.count, totals.missing_numbers), (3, 1, 1), "the request 4 is missing");
    assert_eq!((totals.cash().0, totals.sales.sale_points_fen.0), (5_000, 3_000));
    assert_eq!(code(&story.ask("z-2", TillWish::CloseShift { shift: 1, stated: None })), "shift-closed");
    let commit = TillCommit { mark: mark(1, 7), ..sale("k-4", 1_000, 1_000, 0) };
    assert_eq!(code(&story.commit(commit).1), "shift-closed", "the till must know that it is another shift");
    applied(&story.commit(sale("k-5", 1_000, 1_000, 0)).1);
    let totals = closed(&story.ask("z-3", TillWish::CloseShift { shift: 2, stated: None }));
    assert_eq!((totals.sales.count, totals.cash().0), (1, 1_000));
    assert_eq!(
        closed(&story.ask("z-1", TillWish::CloseShift { shift: 1, stated: None })).sales.count,
        3,
        "the stored slip"
    );
}

#[test]
fn money_is_told_by_its_kinds_and_goes_back_the_way_it_came() {
    let mut story = shopper();
    let paid =
        |kind, fen, reference: Option<&str>| Money { kind, fen: Fen(fen), reference: reference.map(str::to_owned) };
    let wallet = |fen| paid(MoneyKind::Wallet, fen, Some("4200001234202611220000000001"));
    let mixed = vec![wallet(2_000), paid(MoneyKind::Card, 1_000, None), paid(MoneyKind::Cash, 500, None)];
    let first = applied(&story.commit(TillCommit { money: mixed, ..sale("k-1", 5_000, 3_500, 1_500) }).1);
    let by_card = vec![paid(MoneyKind::Card, 700, None)];
    let second = applied(&story.commit(TillCommit { money: by_card, ..sale("k-2", 700, 700, 0) }).1);
    applied(&story.commit(sale("k-3", 900, 900, 0)).1);
    let half = refund(&mut story, "r-1", &first, 2_500);
    assert_eq!((half.cash_fen.0, half.money.clone()), (1_750, vec![wallet(1_750)]), "points paid their part of it");
    let more = refund(&mut story, "r-2", &first, 1_000);
    assert_eq!(more.money, [wallet(250), paid(MoneyKind::Card, 450, None)]);
    let void = given_back(&story.ask("v-1", TillWish::Void { transaction: second }));
    assert_eq!(void.money, [paid(MoneyKind::Card, 700, None)]);
    let totals = closed(&story.ask("z-1", TillWish::CloseShift { shift: 1, stated: None }));
    let NotCash { card, wallet, other } = totals.not_cash;
    assert_eq!((card.0, wallet.0, other.0), (550, 0, 0));
    assert_eq!((totals.money().0, totals.cash().0), (5_100 - 1_750 - 700 - 700, 1_400));
}

/// A member with a vehicle inside and 300 points here.
pub fn shopper() -> Story {
    let mut story = Story::new();
    story.member("M1", &["粤B12345"]);
    story.enter("in", "粤B12345");
    story.grant(300);
    assert_eq!(story.usable(), 300);
    story
}

fn hold(story: &mut Story, key: &str, points: i64) -> (OpId, i64) {
    let wish = TillWish::Hold { member: MemberId::from("M1"), points: Points(points), ttl_ms: 5 * MINUTE, shown: None };
    let answer = story.ask(key, wish);
    let TillAnswer::Done { done: TillDone::Held { hold, usable, .. }, .. } = answer else { panic!("{answer:?}") };
    (hold, usable.0)
}

/// What was done; asked again it is told again, and nothing is written.
fn twice(story: &mut Story, key: &str, wish: TillWish) -> TillDone {
    let first = story.ask(key, wish.clone());
    let TillAnswer::Done { done, replayed: false } = first else { panic!("{key}: {first:?}") };
    let written = story.rows("SELECT max(entry) || '' FROM journal");
    assert_eq!(story.ask(key, wish), TillAnswer::Done { done: done.clone(), replayed: true }, "{key}");
    assert_eq!(story.rows("SELECT max(entry) || '' FROM journal"), written, "{key}");
    done
}

fn capture(hold: &OpId, fen: Option<i64>) -> TillWish {
    TillWish::Capture { hold: hold.clone(), fen: fen.map(Fen), receipt: "R".to_owned() }
}

pub fn sale(key: &str, fen: i64, cash: i64, points: i64) -> TillCommit {
    TillCommit {
        terminal: TerminalId::from("till-1"),
        key: key.to_owned(),
        fingerprint: format!("{fen} {cash} {points}"),
        receipt: format!("R-{key}"),
        occurred: None,
        member: Some(MemberId::from("M1")),
        shown: None,
        sale: Fen(fen),
        stay: None,
        cash: Fen(cash),
        money: Vec::new(),
        points_cover: Fen(points),
        list: None,
        hold: None,
        mark: TillMark::default(),
        coupon: None,
        gift: None,
    }
}

fn refund(story: &mut Story, key: &str, transaction: &OpId, fen: i64) -> GivenBack {
    given_back(&story.ask(key, TillWish::Refund { transaction: transaction.clone(), fen: Fen(fen) }))
}

fn applied(answer: &TillAnswer) -> OpId {
    match answer {
        TillAnswer::Applied { transaction, .. } => transaction.clone(),
        TillAnswer::Done { .. } | TillAnswer::Refused { .. } => panic!("{answer:?}"),
    }
}

fn given_back(answer: &TillAnswer) -> GivenBack {
    let TillAnswer::Done { done: TillDone::GivenBack(back), .. } = answer else { panic!("{answer:?}") };
    back.clone()
}

fn reversed(answer: &TillAnswer) -> Reversal {
    let TillAnswer::Done { done: TillDone::Reversed { result, .. }, .. } = answer else { panic!("{answer:?}") };
    *result
}

fn closed(answer: &TillAnswer) -> Totals {
    let TillAnswer::Done { done: TillDone::ShiftClosed { totals, .. }, .. } = answer else { panic!("{answer:?}") };
    *totals
}

pub fn code(answer: &TillAnswer) -> &str {
    match answer {
        TillAnswer::Refused { code, .. } => code,
        TillAnswer::Applied { .. } | TillAnswer::Done { .. } => panic!("{answer:?}"),
    }
}
