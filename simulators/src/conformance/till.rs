//! A till of the suite: how it asks, what it does where it hears nothing, and what it believes to have done.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::pairing::Staff;
use super::steps::Hands;
use super::{Ask, Cut, Heard, Options, Verb, Wire};

/// What a sale of the suite costs.
pub(super) const SALE_FEN: i64 = 1_250;
/// Questions are numbered far above what the till writes.
const QUESTIONS: u64 = 1_000_000_000;
/// What a till is told that shall send the same again in a moment: it asks too often, or its first try, on a line that
/// broke, has only just arrived.
const LATER: [&str; 2] = ["too-many-requests", "idempotency-key-in-progress"];
/// How long such a till waits.
const PAUSE: Duration = Duration::from_millis(200);
/// How often an unknown outcome is asked for.
const MOST_ATTEMPTS: u32 = 20;

/// A till and what it believes to have done in this shift.
pub(super) struct Till {
    pub(super) wire: Wire,
    pub(super) shift: u64,
    pub(super) number: u64,
    questions: u64,
    dice: u64,
    pub(super) storm: u32,
    pub(super) coupon: Option<String>,
    pub(super) plate: Option<String>,
    pub(super) validation: Option<String>,
    pub(super) staff: Option<Staff>,
    pub(super) hands: Hands,
    pub(super) sales: i64,
    pub(super) sold_fen: i64,
    pub(super) wallet_fen: i64,
    pub(super) voids: i64,
    pub(super) refunded_fen: i64,
}

impl Till {
    /// Begins with a shift of its own, so that what others did does not count.
    pub(super) fn begin(wire: Wire, options: &Options) -> Result<Self> {
        let Options { operator, pin, .. } = options;
        let staff = operator.clone().zip(pin.clone()).map(|(operator, pin)| Staff { operator, pin });
        let mut till = Self {
            wire,
            shift: 0,
            number: 0,
            questions: QUESTIONS,
            dice: options.seed,
            storm: options.storm,
            coupon: options.coupon.clone(),
            plate: options.plate.clone(),
            validation: options.validation.clone(),
            staff,
            hands: Hands::default(),
            sales: 0,
            sold_fen: 0,
            wallet_fen: 0,
            voids: 0,
            refunded_fen: 0,
        };
        till.shift = till.look_for_shift()?;
        // First, because what a phone shows is old after a minute; the name that the box gives for it pays for longer.
        options.member_code.iter().try_for_each(|code| till.show(code))?;
        till.write(Verb::Close, &json!({"shift": till.shift}), Cut::Never)?.done().context("close the shift before")?;
        till.begin_shift()?;
        Ok(till)
    }

    /// A member's phone is shown to this till.
    pub(super) fn show(&mut self, code: &str) -> Result<()> {
        let member = self.look_up(code)?;
        self.hands.members.push(member);
        Ok(())
    }

    /// The same phone as before; it pays no second time.
    pub(super) fn show_again(&mut self, code: &str) -> Result<()> {
        self.hands.purse.0 = self.look_up(code)?;
        Ok(())
    }

    fn look_up(&mut self, code: &str) -> Result<Value> {
        let member = self.question(Verb::Lookup, &json!({"code": code}))?.done().context("look the member up")?;
        Ok(member["member_ref"].clone())
    }

    /// The next shift is open, and has done nothing yet.
    pub(super) fn begin_shift(&mut self) -> Result<()> {
        self.shift = self.look_for_shift()?;
        (self.sales, self.sold_fen, self.wallet_fen, self.voids, self.refunded_fen) = (0, 0, 0, 0, 0);
        Ok(())
    }

    pub(super) fn shift(&self) -> u64 {
        self.shift
    }

    /// So much more was done in this shift.
    pub(super) fn did(&mut self, sales: i64, voids: i64, refunded_fen: i64) {
        (self.sales, self.sold_fen) = (self.sales + sales, self.sold_fen + sales * SALE_FEN);
        (self.voids, self.refunded_fen) = (self.voids + voids, self.refunded_fen + refunded_fen);
    }

    /// How many points of a member can be spent here now.
    pub(super) fn usable(&mut self, member: &Value) -> Result<i64> {
        let asked = json!({"sale_fen": SALE_FEN, "member_ref": member});
        let quote = self.question(Verb::Quote, &asked)?.done().context("ask for the member's points")?;
        quote["points_usable"].as_i64().with_context(|| format!("no points_usable in {quote}"))
    }

    /// What the box says of this shift now.
    pub(super) fn books_agree(&mut self) -> Result<()> {
        let totals = self.question(Verb::Totals, &json!({"shift": self.shift}))?.done()?;
        self.compare(&totals)
    }

    /// The number of the last request.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The box has another address now.
    pub(super) fn find(&mut self, base: &str) -> Result<()> {
        if let Wire::Http(line) = &mut self.wire {
            line.find(base)?;
        }
        Ok(())
    }

    fn look_for_shift(&mut self) -> Result<u64> {
        let status = self.question(Verb::Status, &json!({}))?.done().context("ask for the status")?;
        status["shift"].as_u64().context("the status names no shift")
    }

    /// A request with a number of its own.
    pub(super) fn write(&mut self, verb: Verb, fields: &Value, cut: Cut) -> Result<Heard> {
        self.number += 1;
        self.write_as(self.number, verb, fields, cut)
    }

    pub(super) fn write_as(&mut self, number: u64, verb: Verb, fields: &Value, cut: Cut) -> Result<Heard> {
        let fields = object(fields);
        for _ in 0..MOST_ATTEMPTS {
            let heard = self.wire.ask(&Ask { verb, number, shift: self.shift, fields: &fields, cut })?;
            match &heard {
                Heard::Refused(code) if LATER.contains(&code.as_str()) => std::thread::park_timeout(PAUSE),
                Heard::Refused(_) | Heard::Done(..) | Heard::Nothing => return Ok(heard),
            }
        }
        anyhow::bail!("the box told the till to ask later, and later, and later")
    }

    pub(super) fn question(&mut self, verb: Verb, fields: &Value) -> Result<Heard> {
        self.questions += 1;
        self.write_as(self.questions, verb, fields, Cut::Never)
    }

    /// What became of a number: its answer, or none where it was never seen.
    pub(super) fn outcome(&mut self, number: u64) -> Result<Option<Value>> {
        for _ in 0..MOST_ATTEMPTS {
            let found = self.question(Verb::Query, &json!({"original": number}))?.done().context("ask for a key")?;
            match found["status"].as_str() {
                Some("applied") => return Ok(Some(found["answer"].clone())),
                Some("not_found") => return Ok(None),
                Some("in_progress") => std::thread::park_timeout(PAUSE),
                _ => anyhow::bail!("a query answers {found}"),
            }
        }
        anyhow::bail!("{number} is still in progress")
    }

    /// Sells something, whatever becomes of the line: asks, and sends the same again where it never arrived.
    pub(super) fn sell(&mut self, cut: Cut) -> Result<Value> {
        let answer = self.through(Verb::Commit, &sale(SALE_FEN), cut)?;
        self.did(1, 0, 0);
        Ok(answer)
    }

    /// What is done is done, whatever becomes of the line: the till asks, and sends the same again where it never arrived.
    fn through(&mut self, verb: Verb, fields: &Value, cut: Cut) -> Result<Value> {
        let heard = self.write(verb, fields, cut)?;
        let number = self.number;
        match heard {
            Heard::Done(answer, _) => Ok(answer),
            Heard::Refused(code) => bail!("{} is refused: {code}", verb.name()),
            Heard::Nothing => match self.outcome(number)? {
                Some(answer) => Ok(answer),
                None => self.write_as(number, verb, fields, Cut::Never)?.done().context("send it again"),
            },
        }
    }

    /// The same, and then once more: a repeat hears what was done, and does nothing.
    pub(super) fn once(&mut self, verb: Verb, fields: &Value, cut: Cut) -> Result<Value> {
        let answer = self.through(verb, fields, cut)?;
        let again = self.write_as(self.number, verb, fields, Cut::Never)?;
        ensure!(again == Heard::Done(answer.clone(), true), "a repeat hears {again:?}, and {answer} was done");
        Ok(answer)
    }

    pub(super) fn roll(&mut self, n: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % n
    }

    /// What the box says of this shift, against what the till believes.
    pub(super) fn compare(&self, totals: &Value) -> Result<()> {
        let count = |what: &str| totals[what]["count"].as_i64().unwrap_or(-1);
        let fen = |what: &str| totals[what]["sale_fen"].as_i64().unwrap_or(-1);
        ensure!(count("sales") == self.sales, "{} sales, not {}", count("sales"), self.sales);
        ensure!(fen("sales") == self.sold_fen, "{} fen sold, not {}", fen("sales"), self.sold_fen);
        ensure!(count("voids") == self.voids, "{} voids, not {}", count("voids"), self.voids);
        ensure!(fen("refunds") == self.refunded_fen, "{} fen refunded, not {}", fen("refunds"), self.refunded_fen);
        let money = self.sold_fen - self.voids * SALE_FEN - self.refunded_fen;
        let kinds = [("money_fen", money), ("cash_fen", money - self.wallet_fen), ("wallet_fen", self.wallet_fen)];
        for (kind, fen) in kinds {
            ensure!(totals[kind] == fen, "{} as {kind}, not {fen}", totals[kind]);
        }
        Ok(())
    }
}

pub(super) fn sale(fen: i64) -> Value {
    json!({"receipt_no": "conformance", "sale_fen": fen, "tenders": [{"kind": "cash", "fen": fen}]})
}

fn object(fields: &Value) -> Map<String, Value> {
    fields.as_object().cloned().unwrap_or_default()
}
