//! A till's day as a table: each request that changes something, what it needs, and how one sees that it was done once.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::till::{SALE_FEN, Till, sale};
use super::{Cut, Verb};

/// How many points a hold sets aside; 50 of them are captured for [`CAPTURED_FEN`].
const HELD_POINTS: i64 = 100;
const CAPTURED_FEN: i64 = 500;
/// What comes back of a sale.
const BACK_FEN: i64 = 400;

/// One request of the day.
pub(super) struct Step {
    /// What is asked.
    pub(super) verb: Verb,
    /// The fields of a fresh request; none where the suite was not given what it needs.
    pub(super) ready: fn(&mut Till) -> Result<Option<Value>>,
    /// Looks whether what was done with these fields, and answered so, was done once.
    pub(super) seen: fn(&mut Till, &Value, &Value) -> Result<()>,
}

/// What one request leaves for the next.
#[derive(Default)]
pub(super) struct Hands {
    /// Names of members who may pay once, as this till knows them.
    pub(super) members: Vec<Value>,
    /// Whose points were touched last, and how many were usable before.
    pub(super) purse: (Value, i64),
    /// Points that are set aside.
    hold: Option<Value>,
    /// A transaction that can be taken back.
    transaction: Value,
    /// The number under which it was asked for.
    original: u64,
    /// The vehicle's stay, and how often its quote named the gift before.
    stay: (Value, usize),
}

/// The day, in its order.
#[rustfmt::skip]
pub(super) const DAY: [Step; 16] = [
    Step { verb: Verb::Hello, ready: cashier, seen: shift_is_open },
    Step { verb: Verb::Hold, ready: points, seen: points_are_held },
    Step { verb: Verb::Capture, ready: half_of_what_is_held, seen: points_are_captured },
    Step { verb: Verb::Hold, ready: points, seen: points_are_held },
    Step { verb: Verb::Release, ready: what_is_held, seen: points_are_free },
    Step { verb: Verb::Commit, ready: goods, seen: goods_are_sold },
    Step { verb: Verb::Void, ready: sold, seen: sale_is_void },
    Step { verb: Verb::Commit, ready: goods, seen: goods_are_sold },
    Step { verb: Verb::Refund, ready: sold_in_part, seen: goods_are_back },
    Step { verb: Verb::Commit, ready: goods, seen: goods_are_sold },
    Step { verb: Verb::Reverse, ready: number_of_sale, seen: sale_is_reversed },
    Step { verb: Verb::CouponUse, ready: good_coupon, seen: coupon_is_used },
    Step { verb: Verb::CouponReturn, ready: used_coupon, seen: coupon_is_good },
    Step { verb: Verb::Validate, ready: vehicle, seen: parking_is_given },
    Step { verb: Verb::Report, ready: hour, seen: hour_is_kept },
    Step { verb: Verb::Close, ready: shift, seen: shift_is_over },
];

/// The whole day with the line cut at one place; again for each place.
pub(super) fn cut_everywhere(till: &mut Till) -> Result<()> {
    for cut in [Cut::InRequest, Cut::AfterRequest, Cut::BeforeAnswer] {
        for Step { verb, ready, seen } in &DAY {
            let place = || format!("{}, cut {cut:?}", verb.name());
            let Some(fields) = ready(till).with_context(place)? else { continue };
            let answer = till.once(*verb, &fields, cut).with_context(place)?;
            seen(till, &fields, &answer).with_context(place)?;
        }
    }
    Ok(())
}

fn cashier(_: &mut Till) -> Result<Option<Value>> {
    Ok(Some(json!({"operator": "conformance"})))
}

fn shift_is_open(till: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["shift"] == till.shift(), "{answer}");
    Ok(())
}

fn points(till: &mut Till) -> Result<Option<Value>> {
    let Some(member) = till.hands.members.pop() else { return Ok(None) };
    let usable = till.usable(&member)?;
    ensure!(usable >= HELD_POINTS, "the member has {usable} points here; {HELD_POINTS} are needed");
    till.hands.purse = (member.clone(), usable);
    Ok(Some(json!({"member_ref": member, "points": HELD_POINTS})))
}

fn points_are_held(till: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    till.hands.hold = Some(answer["hold"].clone());
    ensure!(answer["points"] == HELD_POINTS, "{answer}");
    purse_has(till, -HELD_POINTS)
}

fn what_is_held(till: &mut Till) -> Result<Option<Value>> {
    Ok(till.hands.hold.take().map(|hold| json!({"hold": hold})))
}

fn half_of_what_is_held(till: &mut Till) -> Result<Option<Value>> {
    Ok(till.hands.hold.take().map(|hold| json!({"hold": hold, "fen": CAPTURED_FEN})))
}

fn points_are_captured(till: &mut Till, fields: &Value, answer: &Value) -> Result<()> {
    let captured = HELD_POINTS / 2;
    ensure!(answer["spent_points"] == captured && answer["released_points"] == HELD_POINTS - captured, "{answer}");
    purse_has(till, -captured)?;
    till.write(Verb::Release, &json!({"hold": fields["hold"]}), Cut::Never)?.expect("hold-ended")
}

fn points_are_free(till: &mut Till, fields: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["released_points"] == HELD_POINTS, "{answer}");
    purse_has(till, 0)?;
    till.write(Verb::Capture, fields, Cut::Never)?.expect("hold-ended")
}

/// The member can spend so many points more than before the hold.
fn purse_has(till: &mut Till, more: i64) -> Result<()> {
    let (member, before) = till.hands.purse.clone();
    let usable = till.usable(&member)?;
    ensure!(usable == before + more, "{usable} points are usable, not {}", before + more);
    Ok(())
}

fn goods(_: &mut Till) -> Result<Option<Value>> {
    Ok(Some(sale(SALE_FEN)))
}

fn goods_are_sold(till: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    (till.hands.transaction, till.hands.original) = (answer["transaction"].clone(), till.number());
    till.did(1, 0, 0);
    till.books_agree()
}

fn sold(till: &mut Till) -> Result<Option<Value>> {
    Ok(Some(json!({"transaction": till.hands.transaction})))
}

fn sale_is_void(till: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["cash_fen"] == SALE_FEN, "{answer}");
    till.did(0, 1, 0);
    till.books_agree()
}

fn sold_in_part(till: &mut Till) -> Result<Option<Value>> {
    Ok(Some(json!({"transaction": till.hands.transaction, "fen": BACK_FEN})))
}

fn goods_are_back(till: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["cash_fen"] == BACK_FEN, "{answer}");
    till.did(0, 0, BACK_FEN);
    till.books_agree()
}

fn number_of_sale(till: &mut Till) -> Result<Option<Value>> {
    Ok(Some(json!({"original": till.hands.original})))
}

fn sale_is_reversed(till: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["result"] == "reversed", "{answer}");
    till.did(0, 1, 0);
    till.books_agree()
}

fn good_coupon(till: &mut Till) -> Result<Option<Value>> {
    Ok(till.coupon.clone().map(|code| json!({"coupon": code, "sale_fen": SALE_FEN})))
}

fn coupon_is_used(till: &mut Till, fields: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["takes_off_fen"].as_i64().is_some_and(|fen| fen > 0), "{answer}");
    till.write(Verb::CouponUse, fields, Cut::Never)?.expect("coupon-state")
}

fn used_coupon(till: &mut Till) -> Result<Option<Value>> {
    Ok(till.coupon.clone().map(|code| json!({"coupon": code})))
}

fn coupon_is_good(till: &mut Till, fields: &Value, _: &Value) -> Result<()> {
    till.write(Verb::CouponReturn, fields, Cut::Never)?.expect("coupon-state")
}

fn vehicle(till: &mut Till) -> Result<Option<Value>> {
    let (Some(plate), Some(kind)) = (till.plate.clone(), till.validation.clone()) else { return Ok(None) };
    let quote = till.question(Verb::Quote, &json!({"plate": plate}))?.done().context("ask for the vehicle's stay")?;
    till.hands.stay = (quote["stay"].clone(), gifts_in(&quote, &kind));
    Ok(Some(json!({"stay": quote["stay"], "kind": kind})))
}

fn parking_is_given(till: &mut Till, fields: &Value, answer: &Value) -> Result<()> {
    let (stay, before) = till.hands.stay.clone();
    ensure!(answer["stay"]["stay"] == stay, "{answer}");
    let quote = till.question(Verb::Quote, &json!({"stay": stay}))?.done().context("ask for the gift")?;
    let given = gifts_in(&quote, fields["kind"].as_str().unwrap_or_default());
    ensure!(given == before + 1, "{given} gifts in the quote, not {}: {quote}", before + 1);
    Ok(())
}

/// How often a stay's quote names a gift: in a line of the fee, or among what is not used of it.
fn gifts_in(quote: &Value, kind: &str) -> usize {
    quote.to_string().matches(&format!("{kind}\"")).count()
}

fn hour(_: &mut Till) -> Result<Option<Value>> {
    Ok(Some(json!({"hour": "2026-03-01T13:00:00+08:00", "count": 17, "sale_fen": 150_000})))
}

fn hour_is_kept(_: &mut Till, _: &Value, answer: &Value) -> Result<()> {
    ensure!(answer["sale_fen"] == 150_000, "{answer}");
    Ok(())
}

fn shift(till: &mut Till) -> Result<Option<Value>> {
    Ok(Some(json!({"shift": till.shift()})))
}

fn shift_is_over(till: &mut Till, fields: &Value, answer: &Value) -> Result<()> {
    till.compare(answer)?;
    till.write(Verb::Close, fields, Cut::Never)?.expect("shift-closed")?;
    till.begin_shift()
}
