//! Stories in which every event of the page happens once.

use gatepost::domain::benefit::CouponState;
use gatepost::domain::event::{
    BusinessDay, CloudNews, CommandAnswer, CouponWish, DeviceId, EmergencySource, EpochReason, FeedChange, Fen, Gift,
    GivenFor, HourTotals, Input, IssuedCoupon, MemberShown, Money, MoneyKind, Note, OfficeAct, Points, Reply, Shop,
    Shown, ShownAt, StaffWish, StayId, TillAnswer, TillCommit, TillMark, TillWish, UtcMs, Wrong,
};
use gatepost::domain::settlement::Closing;
use serde_json::Value;

use super::Told;
use crate::story::{MINUTE, Story};
use crate::tills::{sale, shopper};

const PLATE: &str = "粤B12345";
const GUEST: &str = "粤BD98765";

/// What the journals of all stories hold.
pub fn all() -> Vec<Told> {
    [lanes(), benefits(), sales(), goods(), debts(), office(), troubles()].into_iter().flatten().collect()
}

/// A car in and out, a guest whose driver shows a member's phone, one that nobody let through, a mistake put right.
fn lanes() -> Vec<Told> {
    let mut story = shopper();
    let entry = story.now();
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.answer("out", CommandAnswer::Accepted);
    story.arrival("out", false);
    story.seconds(6);
    story.enter("in", GUEST);
    story.minutes(40);
    story.arrival("out", true);
    story.read("out", GUEST);
    let shown = Shown::Code { step: u64::try_from(story.now().0 / 30_000).unwrap() };
    let at = ShownAt::Lane { lane: "out".into() };
    story.feed(Input::MemberShown(MemberShown { at, member: "M1".into(), shown }));
    story.drive_through("out");
    story.passage("in-2", true);
    story.passage("in-2", false);
    let stay = StayId(story.stay_of(PLATE));
    let till = story.stay_of(PLATE);
    let due = story.till("q", None, 0, Some(&till), 1_500, 0).1;
    assert!(matches!(due, TillAnswer::Applied { .. }), "{due:?}");
    story.arrival("out", true);
    story.read("out", PLATE);
    story.drive_through("out");
    crate::stays::correct(&mut story, Wrong::Entry { stay, entry: UtcMs(entry.0 - 60 * MINUTE) });
    journal(&story)
}

/// A shop's gift and a campaign's coupon that are used, and one that a stopped campaign denies.
fn benefits() -> Vec<Told> {
    let mut story = crate::benefits::story();
    for (n, id) in [(1, "C1"), (2, "C2")] {
        let change = FeedChange::Coupon { coupon: coupon(id, "spring.two", None) };
        story.feed(Input::Cloud(CloudNews::Fed { changes: vec![change], next: n }));
    }
    let visit = |story: &mut Story, plate: &str, key: &str, coupon: &str| {
        story.enter("in", plate);
        story.minutes(40);
        let stay = story.stay_of(plate);
        let lunch = Gift::Validation { kind: "lunch".to_owned(), merchant: "Noodle bar".to_owned(), spend: Fen(5000) };
        story.give(key, &stay, lunch);
        story.give(&format!("{key}-c"), &stay, Gift::Coupon { code: coupon.to_owned() });
        if coupon == "C2" {
            stop(story);
        }
        story.arrival("out", true);
        story.read("out", plate);
        story.staff("out", StaffWish::Raise { reason: "let go".to_owned(), plate: None, debt: false, second: None });
        story.drive_through("out");
    };
    visit(&mut story, PLATE, "a", "C1");
    visit(&mut story, GUEST, "b", "C2");
    journal(&story)
}

fn stop(story: &mut Story) {
    let (id, as_of_ms) = ("spring".to_owned(), story.now());
    let change = FeedChange::Campaign { id, stopped: true, spent_elsewhere_fen: Fen(0), as_of_ms, shared: None };
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![change], next: 9 }));
}

/// A shop's sales: one that is taken back, one of which goods come back, points that pay at a till; its shift's and its
/// day's end, and an hour's sales that it does not send.
fn sales() -> Vec<Told> {
    let mut story = shopper();
    let shop = Shop { floor: "B1".into(), format: "food".into(), ..Shop::default() };
    let mark = TillMark { merchant: Some("cafe".to_owned()), shop: Some(shop), ..TillMark::default() };
    let sell = |story: &mut Story, key: &str, cash, points| {
        let money = vec![Money { kind: MoneyKind::Wallet, fen: Fen(cash), reference: Some(format!("4200{key}")) }];
        let commit = TillCommit { mark: mark.clone(), money, ..sale(key, cash + points, cash, points) };
        let TillAnswer::Applied { transaction, .. } = story.commit(commit).1 else { panic!("{key} is refused") };
        transaction
    };
    let first = sell(&mut story, "k-1", 5_000, 500);
    story.ask_as("v-1", mark.clone(), TillWish::Void { transaction: first });
    let second = sell(&mut story, "k-2", 5_000, 0);
    story.ask_as("r-1", mark.clone(), TillWish::Refund { transaction: second, fen: Fen(2_000) });
    let hold = TillWish::Hold { member: "M1".into(), points: Points(50), ttl_ms: 5 * MINUTE, shown: None };
    let TillAnswer::Done { done, .. } = story.ask_as("h-1", mark.clone(), hold) else { panic!("it is held") };
    let gatepost::domain::event::TillDone::Held { hold, .. } = done else { panic!("{done:?}") };
    story.ask_as("c-1", mark.clone(), TillWish::Capture { hold, fen: None, receipt: "R".to_owned() });
    let hour = UtcMs(story.now().0 - story.now().0 % (60 * MINUTE));
    let told = HourTotals { hour, count: 17, sale_fen: Fen(150_000) };
    story.ask_as("hour", mark.clone(), TillWish::Report(told));
    story.ask_as("z-1", mark, TillWish::CloseShift { shift: 1, stated: None });
    let day = BusinessDay(story.rows("SELECT CAST(max(day) AS TEXT) FROM till_book")[0].parse().unwrap());
    story.minutes(24 * 60);
    let reply = story.feed(Input::DayClosing(Closing { day, by: "guard-1".to_owned() })).1;
    assert!(matches!(&reply, Reply::Staff(Ok(_))), "{reply:?}");
    journal(&story)
}

/// Coupons for goods: used, used twice, returned; and one that multiplies what a sale earns.
fn goods() -> Vec<Told> {
    let mut story = Story::with(format!("{}{}", include_str!("../../../systemd/rules.toml"), crate::coupons::COUPONS));
    story.member("M1", &[PLATE]);
    for (n, coupon) in (2..).zip([coupon("C-1", "coffee", None), coupon("D-1", "double", Some("M1"))]) {
        story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Coupon { coupon }], next: n }));
    }
    let code = "C-1".to_owned();
    let used =
        || TillWish::Coupon(CouponWish::Use { code: "C-1".into(), sale: Some(Fen(1_200)), receipt: "A-1".into() });
    story.ask("u-1", used());
    let refused = story.ask("u-2", used());
    assert!(matches!(refused, TillAnswer::Refused { .. }), "{refused:?}");
    story.ask("u-3", TillWish::Coupon(CouponWish::Return { code, of: None }));
    let sold = story.commit(TillCommit { coupon: Some("D-1".to_owned()), ..sale("k-1", 4_000, 4_000, 0) }).1;
    assert!(matches!(sold, TillAnswer::Applied { earned: Points(80), .. }), "{sold:?}");
    journal(&story)
}

/// Points that were earned too much and are gone.
fn debts() -> Vec<Told> {
    let mut story = shopper();
    let first = story.till("k-1", Some("M1"), 10_000, None, 10_000, 0).1;
    let TillAnswer::Applied { transaction, .. } = first else { panic!("{first:?}") };
    story.commit(sale("k-2", 4_000, 0, 4_000));
    story.ask("r-1", TillWish::Refund { transaction, fen: Fen(10_000) });
    story.till("k-3", Some("M1"), 30_000, None, 30_000, 0);
    journal(&story)
}

fn office() -> Vec<Told> {
    let mut story = shopper();
    let (member, points, source) = ("M1".into(), Points(100), GivenFor::Goodwill);
    let (funder, reason) = ("MALL".to_owned(), "waited long".to_owned());
    let note = Note::PointsGiven { member, points, source, funder, reason, receipt: None };
    story.feed(Input::Office(OfficeAct { id: "g-1".to_owned(), by: "li".to_owned(), second: None, shop: None, note }));
    journal(&story)
}

/// A camera away, a lease that runs out and comes back, an emergency, a doubt about the journal.
fn troubles() -> Vec<Told> {
    let mut story = shopper();
    for (id, lane) in &mut story.lanes {
        lane.gear.camera = Some(DeviceId(format!("camera-{id}")));
    }
    story.restart();
    story.feed(Input::DeviceLost { device: DeviceId::from("camera-in"), why: "unplugged".to_owned() });
    let leased = |at: i64| Input::Cloud(CloudNews::Leased { server_ms: UtcMs(at), length_ms: 600_000 });
    story.feed(leased(1_000_000));
    story.feed(Input::Cloud(CloudNews::TimePassed { server_ms: UtcMs(3_000_000) }));
    story.feed(leased(3_000_000));
    let source = EmergencySource::Contact;
    story.feed(Input::Emergency { source: source.clone(), active: true });
    story.feed(Input::Emergency { source, active: false });
    story.feed(Input::Cloud(CloudNews::Doubted { why: EpochReason::Fork, reason: "a fork".to_owned() }));
    journal(&story)
}

fn coupon(id: &str, kind: &str, member: Option<&str>) -> IssuedCoupon {
    let (id, kind, state) = (id.to_owned(), kind.to_owned(), CouponState::ClaimedHere);
    IssuedCoupon { id, kind, member: member.map(Into::into), merchant: None, from_ms: None, until_ms: None, state }
}

fn journal(story: &Story) -> Vec<Told> {
    let bodies = story.rows("SELECT CAST(body AS TEXT) FROM journal ORDER BY entry");
    let entries = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap());
    entries
        .flat_map(|entry| {
            let records = entry["records"].as_array().unwrap().clone();
            records.into_iter().map(move |record| Told { record, input: entry["input"].clone() })
        })
        .collect()
}
