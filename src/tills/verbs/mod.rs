//! What a till may ask, once, whichever line it asks over: a verb, a key, a body; and an answer or a problem.

mod coupon;
mod lookup;
mod paper;
mod parse;
mod quote;
mod receipt;
mod status;
mod totals;
mod write;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Tills;
use super::access::Terminal;
use super::body::Body;
use super::problem::{Code, Problem};
use crate::domain::event::{Input, MemberId, Shown, TillMark};

pub(super) use lookup::{MOST_CODE_CHARS, resolve};
pub(super) use quote::MOST_STAY_CHARS;
pub(super) use status::BoxState;
pub(super) use write::unavailable;

/// What a till may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A cashier begins.
    Hello,
    /// What the box can do now.
    Status,
    /// Which member this is.
    Lookup,
    /// What a stay costs or a sale earns.
    Quote,
    /// Set points aside.
    Hold,
    /// Spend what was set aside.
    Capture,
    /// Free what was set aside.
    Release,
    /// Book a sale.
    Commit,
    /// Take back a whole transaction of the day.
    Void,
    /// Take goods back.
    Refund,
    /// Give up a request whose answer never came.
    Reverse,
    /// What became of a key.
    Query,
    /// What a shift or a day has done: the X slip.
    Totals,
    /// End a shift: the Z slip.
    Close,
    /// A merchant gives time or money to a stay.
    Validate,
    /// A coupon is shown for a stay, or used for goods.
    Coupon,
    /// What a coupon is, and whether it may be used.
    CouponCheck,
    /// A coupon that was used for goods is good again.
    CouponReturn,
    /// A transaction's receipt.
    Receipt,
    /// A shift's X or Z slip on paper.
    Slip,
    /// What was sold in an hour to customers whom nobody knows, where the till does not send its sales.
    Report,
}

/// One verb: its name, its number on a serial line, whether it changes anything, the fields that its body may have.
struct Row {
    verb: Verb,
    name: &'static str,
    number: u8,
    writes: bool,
    fields: &'static [&'static str],
}

/// Every verb, in the order of [`Verb`].
#[rustfmt::skip]
const ROWS: [Row; 21] = [
    row(Verb::Hello, "HELLO", 1, true, &["operator"]),
    row(Verb::Status, "STATUS", 2, false, &[]),
    row(Verb::Lookup, "LOOKUP", 3, false, &["code", "plate"]),
    row(Verb::Quote, "QUOTE", 4, false, &["stay", "plate", "sale_fen", "member_ref", "coupon", "points_fen"]),
    row(Verb::Hold, "HOLD", 5, true, &["member_ref", "points", "ttl_s"]),
    row(Verb::Capture, "CAPTURE", 6, true, &["hold", "fen", "receipt_no"]),
    row(Verb::Release, "RELEASE", 7, true, &["hold"]),
    row(Verb::Commit, "COMMIT", 8, true, &["receipt_no", "occurred_at", "member_ref", "sale_fen", "list_fen", "stay", "tenders", "hold", "coupon"]),
    row(Verb::Void, "VOID", 9, true, &["transaction"]),
    row(Verb::Refund, "REFUND", 10, true, &["transaction", "fen"]),
    row(Verb::Reverse, "REVERSE", 11, true, &["original_key"]),
    row(Verb::Query, "QUERY", 12, false, &["key"]),
    row(Verb::Totals, "TOTALS_X", 13, false, &["shift", "day", "scope"]),
    row(Verb::Close, "TOTALS_Z", 14, true, &["shift", "sales", "sale_fen", "money_fen", "cash_fen", "card_fen", "wallet_fen", "other_fen"]),
    row(Verb::Validate, "VALIDATE_PARKING", 15, true, &["stay", "kind", "receipt_no", "spend_fen"]),
    row(Verb::Coupon, "COUPON_USE", 16, true, &["stay", "coupon", "receipt_no", "sale_fen"]),
    row(Verb::CouponCheck, "COUPON_CHECK", 17, false, &["coupon", "sale_fen"]),
    row(Verb::CouponReturn, "COUPON_RETURN", 18, true, &["coupon", "use"]),
    row(Verb::Receipt, "RECEIPT", 19, false, &["transaction", "format", "columns", "lang"]),
    row(Verb::Slip, "SLIP", 20, false, &["shift", "format", "columns", "lang"]),
    row(Verb::Report, "REPORT", 21, true, &["hour", "count", "sale_fen"]),
];

const fn row(verb: Verb, name: &'static str, number: u8, writes: bool, fields: &'static [&'static str]) -> Row {
    Row { verb, name, number, writes, fields }
}

impl Verb {
    /// Every verb.
    pub fn all() -> impl Iterator<Item = Verb> {
        ROWS.iter().map(|row| row.verb)
    }

    /// Its name on every line but HTTP, which has addresses.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The verb of a name, in capitals or not.
    pub fn named(name: &str) -> Option<Verb> {
        ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.verb)
    }

    /// Its number in a frame of the strong serial line.
    #[cfg(test)]
    fn number(self) -> u8 {
        self.row().number
    }

    /// The verb of a number.
    pub fn numbered(number: u8) -> Option<Verb> {
        ROWS.iter().find(|row| row.number == number).map(|row| row.verb)
    }

    /// Whether it changes anything, so that it needs a key and its answer is kept.
    pub fn writes(self) -> bool {
        self.row().writes
    }

    /// The fields that its body may have.
    pub fn fields(self) -> &'static [&'static str] {
        self.row().fields
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.verb == self).expect("a test walks over every verb and finds its row")
    }
}

/// A request of a till that has shown who it is.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asks.
    pub verb: Verb,
    /// The idempotency key, already checked; a verb that writes needs one.
    pub key: Option<String>,
    /// Its number in the till's own count.
    pub number: Option<u64>,
    /// The shift that the till believes to be open.
    pub shift: Option<u32>,
    /// The fields.
    pub body: Map<String, Value>,
}

impl Request {
    /// What it asks of the loop, where it changes something, for those who throw harm at it: the same steps without a
    /// ledger file, in which every member who is named is there.
    pub(super) fn understood(self, terminal: &Terminal) -> Result<Option<Input>, Problem> {
        let Self { verb, key, number, shift, body } = self;
        let body = Body::of(Value::Object(body), "body", verb.fields())?;
        body.refuse_cards()?;
        let (Some(key), true) = (key, verb.writes()) else { return Ok(None) };
        let fingerprint = body.fingerprint_of(verb.name());
        let member = body.has("member_ref").then(|| (MemberId("harm".to_owned()), Shown::Fixed));
        let mark = TillMark { number, shift, merchant: None, shop: None };
        parse::input(verb, &body, terminal, &key, fingerprint, mark, member).map(Some)
    }

    /// Whether it uses something up, so that it must not be done long after it was asked.
    pub(super) fn spends(&self) -> bool {
        let is_points = |tender: &Value| tender["kind"] == "points";
        match self.verb {
            Verb::Hold | Verb::Capture => true,
            // Shown for a stay it is used up only when the vehicle leaves.
            Verb::Coupon => !self.body.contains_key("stay"),
            Verb::Commit => {
                let tenders = self.body.get("tenders").and_then(Value::as_array);
                self.body.contains_key("coupon") || tenders.is_some_and(|tenders| tenders.iter().any(is_points))
            }
            Verb::Hello
            | Verb::Status
            | Verb::Lookup
            | Verb::Quote
            | Verb::Release
            | Verb::Void
            | Verb::Refund
            | Verb::Reverse
            | Verb::Query
            | Verb::Totals
            | Verb::Close
            | Verb::Validate
            | Verb::CouponCheck
            | Verb::CouponReturn
            | Verb::Receipt
            | Verb::Slip
            | Verb::Report => false,
        }
    }
}

/// What a till hears.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The fields.
    pub body: Value,
    /// Whether it was given before, for the same key.
    pub replayed: bool,
}

impl From<Value> for Answer {
    fn from(body: Value) -> Self {
        Self { body, replayed: false }
    }
}

impl Tills {
    /// Answers a till, over whichever line it asked.
    pub(super) async fn ask(self: &Arc<Self>, terminal: &Terminal, request: Request) -> Result<Answer, Problem> {
        self.slow_down(terminal)?;
        let Request { verb, key, number, shift, body } = request;
        let body = Body::of(Value::Object(body), "body", verb.fields())?;
        body.refuse_cards()?;
        if verb.writes() {
            let missing = || Problem::new(Code::IdempotencyKeyMissing, "this verb needs an idempotency key");
            let merchant = terminal.merchant.clone();
            let shop = self.shop_of(merchant.as_deref()).await?;
            let mark = TillMark { number, shift, merchant, shop };
            return self.write(terminal, verb, key.ok_or_else(missing)?, mark, &body).await;
        }
        Ok(match verb {
            Verb::Lookup => self.look_up(terminal, &body).await?,
            Verb::Quote => self.quote(terminal, &body).await?,
            Verb::Query => self.query(terminal, &body).await?,
            Verb::Totals => self.totals(terminal, &body).await?,
            Verb::CouponCheck => self.check_coupon(terminal, &body).await?,
            Verb::Receipt => self.receipt(terminal, &body).await?,
            Verb::Slip => self.slip(terminal, &body).await?,
            Verb::Status => self.status(terminal).await?,
            Verb::Hello
            | Verb::Hold
            | Verb::Capture
            | Verb::Release
            | Verb::Commit
            | Verb::Void
            | Verb::Refund
            | Verb::Reverse
            | Verb::Close
            | Verb::Validate
            | Verb::Coupon
            | Verb::CouponReturn
            | Verb::Report => unreachable!("these write"),
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_one_name_and_one_number() {
        let in_order: Vec<usize> = Verb::all().map(|verb| verb as usize).collect();
        assert_eq!(in_order, (0..=Verb::Report as usize).collect::<Vec<_>>(), "one row each, in the order of the enum");
        for verb in Verb::all() {
            assert_eq!(Verb::named(&verb.name().to_lowercase()), Some(verb));
            assert_eq!(Verb::numbered(verb.number()), Some(verb));
        }
    }
}
