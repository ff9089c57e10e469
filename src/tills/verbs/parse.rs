//! The bodies of requests that change something, as the wishes that the loop decides.

use super::Verb;
use super::quote::MOST_STAY_CHARS;
use crate::domain::event::{
    CouponWish, Fen, Gift, HourTotals, Input, MemberId, Money, MoneyKind, OpId, Shown, Stated, StayId, TillAct,
    TillCommit, TillMark, TillWish,
};
use crate::tills::access::{Terminal, check_key};
use crate::tills::body::{Body, MOST_FEN};
use crate::tills::problem::Problem;

/// Longest receipt number.
const MOST_RECEIPT_CHARS: usize = 64;
/// Most tenders of one receipt: real ones have two or three.
const MOST_TENDERS: usize = 16;
/// Longest number of a payment: WeChat Pay's have 28 digits, others a UUID.
const MOST_REFERENCE_CHARS: usize = 64;
/// Longest name of a transaction or a hold.
pub(super) const MOST_OP_CHARS: usize = 128;
/// Longest name of a cashier.
const MOST_OPERATOR_CHARS: usize = 64;
/// Longest key.
const MOST_KEY_CHARS: usize = 128;
/// How long points are set aside where the till does not say: a payment at a terminal takes that long at most.
const HOLD_S: i64 = 300;
/// The longest that a till may say. Who needs longer has forgotten the hold.
const MOST_HOLD_S: i64 = 900;
/// The most points that one hold sets aside.
const MOST_POINTS: i64 = 1_000_000_000;

/// The most sales that a till reports of an hour: thirty a second.
const MOST_SALES_AN_HOUR: i64 = 100_000;
/// The most that they may come to.
const MOST_FEN_AN_HOUR: i64 = 100 * MOST_FEN;

/// The most that a till states of one shift, in fen or sales; what went back may be more than what was sold.
const MOST_STATED: i64 = 100 * MOST_FEN;

/// What a verb that changes something asks of the loop.
pub(super) fn input(
    verb: Verb,
    body: &Body,
    terminal: &Terminal,
    key: &str,
    fingerprint: String,
    mark: TillMark,
    member: Option<(MemberId, Shown)>,
) -> Result<Input, Problem> {
    let is_gift = verb == Verb::Validate || (verb == Verb::Coupon && body.has("stay"));
    if is_gift {
        return gift(verb, body, terminal, key, fingerprint, mark).map(Input::Till);
    }
    if verb == Verb::Commit {
        return commit(body, terminal, key, fingerprint, mark, member).map(Input::Till);
    }
    let wish = wish(verb, body, member)?;
    let (terminal, key) = (terminal.id.clone(), key.to_owned());
    Ok(Input::TillAct(TillAct { terminal, key, fingerprint, mark, wish }))
}

/// A commit.
fn commit(
    body: &Body,
    terminal: &Terminal,
    key: &str,
    fingerprint: String,
    mark: TillMark,
    member: Option<(MemberId, Shown)>,
) -> Result<TillCommit, Problem> {
    let receipt = body.needed_text("receipt_no", MOST_RECEIPT_CHARS)?.to_owned();
    let (sale, stay) = (body.fen("sale_fen")?, body.text("stay", MOST_STAY_CHARS)?.map(StayId::from));
    if sale.is_none() && stay.is_none() {
        return Err(Problem::field("sale_fen", "at least one of sale_fen and stay is needed"));
    }
    let Tenders { cash, money, points: points_cover } = tenders(body)?;
    if points_cover.0 > 0 && !body.has("member_ref") {
        return Err(Problem::field("member_ref", "missing; a points tender needs the member whose points they are"));
    }
    let (member, shown) = member.unzip();
    let hold = body.text("hold", MOST_OP_CHARS)?.map(OpId::from);
    if hold.is_some() && points_cover.0 == 0 {
        return Err(Problem::field("hold", "allowed beside a points tender only"));
    }
    let coupon = body.text("coupon", MOST_OP_CHARS)?.map(str::to_owned);
    if coupon.is_some() && (sale.is_none() || member.is_none()) {
        let detail = "it multiplies what a member's sale earns; sale_fen and member_ref are needed beside it";
        return Err(Problem::field("coupon", detail));
    }
    let list = body.fen("list_fen")?;
    if list.is_some_and(|list| sale.is_none_or(|sale| list < sale) || member.is_none()) {
        let detail = "what a member's goods would cost without the member's price: no less than sale_fen, beside it";
        return Err(Problem::field("list_fen", detail));
    }
    Ok(TillCommit {
        terminal: terminal.id.clone(),
        key: key.to_owned(),
        fingerprint,
        list,
        receipt,
        occurred: body.moment("occurred_at")?,
        member,
        shown,
        sale: sale.unwrap_or_default(),
        stay,
        cash,
        money,
        points_cover,
        coupon,
        hold,
        mark,
        gift: None,
    })
}

/// What is given to a stay besides money. The merchant is the terminal's own.
fn gift(
    verb: Verb,
    body: &Body,
    terminal: &Terminal,
    key: &str,
    fingerprint: String,
    mark: TillMark,
) -> Result<TillCommit, Problem> {
    let gift = if verb == Verb::Validate {
        Gift::Validation {
            kind: body.needed_text("kind", MOST_OP_CHARS)?.to_owned(),
            merchant: terminal.merchant.clone().unwrap_or_else(|| terminal.id.0.clone()),
            spend: body.fen("spend_fen")?.unwrap_or_default(),
        }
    } else {
        Gift::Coupon { code: body.needed_text("coupon", MOST_OP_CHARS)?.to_owned() }
    };
    Ok(TillCommit {
        terminal: terminal.id.clone(),
        key: key.to_owned(),
        fingerprint,
        receipt: body.text("receipt_no", MOST_RECEIPT_CHARS)?.unwrap_or_default().to_owned(),
        occurred: None,
        member: None,
        shown: None,
        sale: Fen(0),
        list: None,
        stay: Some(StayId(body.needed_text("stay", MOST_STAY_CHARS)?.to_owned())),
        cash: Fen(0),
        money: Vec::new(),
        points_cover: Fen(0),
        coupon: None,
        hold: None,
        mark,
        gift: Some(gift),
    })
}

/// Anything else that changes something.
fn wish(verb: Verb, body: &Body, member: Option<(MemberId, Shown)>) -> Result<TillWish, Problem> {
    let op = |name: &str| body.needed_text(name, MOST_OP_CHARS).map(OpId::from);
    Ok(match verb {
        Verb::Hello => TillWish::OpenShift { operator: body.text("operator", MOST_OPERATOR_CHARS)?.map(str::to_owned) },
        Verb::Hold => {
            let whose = || Problem::field("member_ref", "missing; whose points are set aside?");
            let (member, shown) = member.ok_or_else(whose)?;
            let points = body.needed_points("points", MOST_POINTS)?;
            let ttl_ms = body.whole("ttl_s", 1, MOST_HOLD_S)?.unwrap_or(HOLD_S) * 1000;
            TillWish::Hold { member, points, ttl_ms, shown: Some(shown) }
        }
        Verb::Capture => TillWish::Capture {
            hold: op("hold")?,
            fen: body.fen("fen")?,
            receipt: body.text("receipt_no", MOST_RECEIPT_CHARS)?.unwrap_or_default().to_owned(),
        },
        Verb::Release => TillWish::Release { hold: op("hold")? },
        Verb::Void => TillWish::Void { transaction: op("transaction")? },
        Verb::Refund => TillWish::Refund { transaction: op("transaction")?, fen: body.needed_fen("fen")? },
        Verb::Reverse => {
            let original_key = body.needed_text("original_key", MOST_KEY_CHARS)?;
            TillWish::Reverse { original_key: check_key(original_key)?.to_owned() }
        }
        Verb::Close => {
            let shift = body.whole("shift", 1, i64::from(u32::MAX))?;
            let shift = shift.ok_or_else(|| Problem::field("shift", "missing; GET /status says which is open"))?;
            let stated = Stated::read(|name| body.whole(name, -MOST_STATED, MOST_STATED))?;
            TillWish::CloseShift { shift: u32::try_from(shift).expect("the limit above is what fits"), stated }
        }
        Verb::Coupon => TillWish::Coupon(CouponWish::Use {
            code: body.needed_text("coupon", MOST_OP_CHARS)?.to_owned(),
            sale: body.fen("sale_fen")?,
            receipt: body.text("receipt_no", MOST_RECEIPT_CHARS)?.unwrap_or_default().to_owned(),
        }),
        Verb::CouponReturn => TillWish::Coupon(CouponWish::Return {
            code: body.needed_text("coupon", MOST_OP_CHARS)?.to_owned(),
            of: body.text("use", MOST_OP_CHARS)?.map(OpId::from),
        }),
        Verb::Report => {
            let hour =
                body.moment("hour")?.ok_or_else(|| Problem::field("hour", "missing; when did the hour begin?"))?;
            let needed = |name, most| {
                let found = body.whole(name, 0, most)?;
                found.ok_or_else(|| Problem::field(name, "missing; 0 where nothing was sold"))
            };
            let count = u32::try_from(needed("count", MOST_SALES_AN_HOUR)?).expect("the limit is what fits");
            TillWish::Report(HourTotals { hour, count, sale_fen: Fen(needed("sale_fen", MOST_FEN_AN_HOUR)?) })
        }
        Verb::Commit
        | Verb::Validate
        | Verb::CouponCheck
        | Verb::Receipt
        | Verb::Slip
        | Verb::Status
        | Verb::Lookup
        | Verb::Quote
        | Verb::Query
        | Verb::Totals => {
            unreachable!("these change nothing, or have no wish of their own")
        }
    })
}

/// Whether points pay a part of it.
pub(super) fn pays_by_points(body: &Body) -> Result<bool, Problem> {
    Ok(tenders(body)?.points.0 > 0)
}

/// What a receipt is paid with.
struct Tenders {
    /// Money of every kind.
    cash: Fen,
    /// Its kinds, where it is not all cash.
    money: Vec<Money>,
    points: Fen,
}

fn tenders(body: &Body) -> Result<Tenders, Problem> {
    let (mut money, mut points) = (Vec::new(), 0);
    for tender in body.objects("tenders", MOST_TENDERS, &["kind", "fen", "ref"])? {
        let fen = tender.needed_fen("fen")?;
        let reference = tender.text("ref", MOST_REFERENCE_CHARS)?.map(str::to_owned);
        let kind = match tender.needed_text("kind", 16)? {
            "points" if reference.is_some() => {
                return Err(Problem::field("ref", "points are paid here; allowed beside card, wallet and other"));
            }
            "points" => {
                points += fen.0;
                continue;
            }
            "cash" if reference.is_some() => {
                return Err(Problem::field("ref", "cash has no number; allowed beside card, wallet and other"));
            }
            "cash" => MoneyKind::Cash,
            "card" => MoneyKind::Card,
            "wallet" => MoneyKind::Wallet,
            "other" => MoneyKind::Other,
            unknown => {
                let detail = format!("{unknown:?}; cash, card, wallet, other and points are allowed");
                return Err(Problem::field("kind", detail));
            }
        };
        money.push(Money { kind, fen, reference });
    }
    let cash = money.iter().map(|money| money.fen.0).sum::<i64>();
    if cash + points > MOST_FEN {
        return Err(Problem::field("tenders", format!("more than {MOST_FEN} fen in all")));
    }
    // The first gives back first, and a payment with a number can be given back without a drawer.
    money.sort_by_key(|money| money.reference.is_none());
    if money.iter().all(|money| money.kind == MoneyKind::Cash) {
        money.clear();
    }
    Ok(Tenders { cash: Fen(cash), money, points: Fen(points) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(tenders: &Value) -> Result<Tenders, Problem> {
        super::tenders(&Body::of(json!({"tenders": tenders}), "body", &["tenders"])?)
    }

    #[test]
    fn money_comes_in_kinds_and_payments_with_numbers_come_first() {
        let wallet = json!({"kind": "wallet", "fen": 300, "ref": "4200001234202611220000000001"});
        let mixed = json!([{"kind": "cash", "fen": 200}, wallet, {"kind": "points", "fen": 500}]);
        let Tenders { cash, money, points } = read(&mixed).map_err(|wrong| wrong.to_json()).expect("tenders");
        assert_eq!((cash, points), (Fen(500), Fen(500)));
        let kinds: Vec<_> = money.iter().map(|money| (money.kind, money.fen, money.reference.is_some())).collect();
        assert_eq!(kinds, [(MoneyKind::Wallet, Fen(300), true), (MoneyKind::Cash, Fen(200), false)]);
        let cash = read(&json!([{"kind": "cash", "fen": 200}])).map_err(|wrong| wrong.to_json()).expect("tenders");
        assert_eq!((cash.cash, cash.money.len()), (Fen(200), 0), "nothing to tell of it");
    }

    #[test]
    fn what_is_no_payment_has_no_number() {
        for (tender, says) in [
            (
                json!({"kind": "cash", "fen": 3, "ref": "1"}),
                "cash has no number; allowed beside card, wallet and other",
            ),
            (json!({"kind": "points", "fen": 3, "ref": "1"}), "allowed beside card, wallet and other"),
            (json!({"kind": "bitcoin", "fen": 3}), "cash, card, wallet, other and points are allowed"),
            (json!({"kind": "card", "fen": 3, "ref": "x".repeat(65)}), "1 to 64 characters"),
        ] {
            let problem = read(&json!([tender])).err().expect("it is wrong").to_json();
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{problem}");
        }
    }
}
