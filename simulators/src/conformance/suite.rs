//! The suite: each promise is asked for by name, and a storm of cut lines ends with books that agree to the fen.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::till::{SALE_FEN, Till, sale};
use super::{Cut, Heard, Options, Verb, Wire, pairing, steps};

/// A number as WeChat Pay gives its payments.
const PAYMENT: &str = "4200001234202611220000000001";
/// What the suite found.
#[derive(Debug, Default)]
pub struct Report {
    /// Each promise and whether it was kept; a broken one says how.
    pub checks: Vec<(&'static str, Result<(), String>)>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|(_, outcome)| outcome.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.checks {
            match outcome {
                Ok(()) => writeln!(f, "ok      {name}")?,
                Err(how) => writeln!(f, "BROKEN  {name}: {how}")?,
            }
        }
        let kept = self.checks.iter().filter(|(_, outcome)| outcome.is_ok()).count();
        write!(f, "{kept} of {} promises kept", self.checks.len())
    }
}

/// What is asked for one promise; an error says how it is broken.
type Check = fn(&mut Till) -> Result<()>;

/// Asks for every promise. A line that cannot be used at all is an error; a promise that is broken is in the report.
pub(super) fn run(wire: Wire, options: &Options) -> Result<Report> {
    let mut till = Till::begin(wire, options)?;
    let mut report = Report::default();
    let checks: [(&'static str, Check); 15] = [
        ("the status says what the box can do, and whose shift it is", status),
        ("a quote promises what a sale earns and a stay costs, and books nothing", quotes),
        ("what nobody set aside is not spent", holds),
        ("a sale is done once, and a repeat hears the same", repeat),
        ("one key is never two requests", reuse),
        ("a key that nobody used is not found", unknown),
        ("a cut line leaves nothing half done, whatever was asked", steps::cut_everywhere),
        ("a request that was given up is undone, or refused should it still come", give_up),
        ("a void takes back the whole and a refund what came back", back),
        ("money is told by its kinds, and goes back the way it came", kinds),
        ("a coupon is used once, and good again when it comes back", coupons),
        ("a receipt fits the paper and names its transaction", receipt),
        ("what was sold in an hour is kept once and is in no drawer", hour),
        ("a card number is refused", card),
        ("a storm of cut lines loses nothing and does nothing twice", storm),
    ];
    for (name, check) in checks {
        report.checks.push((name, check(&mut till).map_err(|error| format!("{error:#}"))));
    }
    if let Wire::Http(line) = &till.wire {
        let name = "a new till is let in by eight digits, and shut out again";
        report.checks.push((name, pairing::let_in(line, till.staff.as_ref()).map_err(|error| format!("{error:#}"))));
    }
    let name = "the Z slip says what the till did, and its shift is over";
    report.checks.push((name, close(&mut till).map_err(|error| format!("{error:#}"))));
    Ok(report)
}

impl Heard {
    pub(super) fn done(self) -> Result<Value> {
        match self {
            Heard::Done(value, _) => Ok(value),
            Heard::Refused(code) => anyhow::bail!("refused: {code}"),
            Heard::Nothing => anyhow::bail!("no answer"),
        }
    }

    pub(super) fn expect(self, code: &str) -> Result<()> {
        ensure!(self == Heard::Refused(code.to_owned()), "{self:?}, not a refusal with {code}");
        Ok(())
    }
}

fn repeat(till: &mut Till) -> Result<()> {
    let first = till.sell(Cut::Never)?;
    let number = till.number;
    let again = till.write_as(number, Verb::Commit, &sale(SALE_FEN), Cut::Never)?;
    let Heard::Done(again, true) = again else { anyhow::bail!("a repeat hears {again:?}") };
    ensure!(again == first, "a repeat hears {again}, the first {first}");
    ensure!(till.outcome(number)? == Some(first), "a query tells something else");
    Ok(())
}

fn reuse(till: &mut Till) -> Result<()> {
    till.sell(Cut::Never)?;
    let number = till.number;
    till.write_as(number, Verb::Commit, &sale(SALE_FEN + 1), Cut::Never)?.expect("idempotency-key-reused")
}

fn unknown(till: &mut Till) -> Result<()> {
    let number = till.number + 500;
    ensure!(till.outcome(number)?.is_none(), "an unused key has an answer");
    Ok(())
}

fn give_up(till: &mut Till) -> Result<()> {
    let reverse = |till: &mut Till, number: u64, cut: Cut| -> Result<String> {
        let fields = json!({"original": number});
        let heard = till.write(Verb::Reverse, &fields, cut)?;
        let answer = if heard == Heard::Nothing {
            let number = till.number;
            till.write_as(number, Verb::Reverse, &fields, Cut::Never)?.done()?
        } else {
            heard.done()?
        };
        Ok(answer["result"].as_str().unwrap_or("none").to_owned())
    };
    till.sell(Cut::AfterRequest)?;
    let number = till.number;
    for (cut, result) in [(Cut::BeforeAnswer, "reversed"), (Cut::Never, "nothing_to_undo")] {
        let found = reverse(till, number, cut)?;
        ensure!(found == result, "a reversal is {found}, not {result}");
    }
    till.voids += 1;
    // The reversal overtakes its original.
    let early = till.number + 2;
    let found = reverse(till, early, Cut::AfterRequest)?;
    ensure!(found == "tombstoned", "a reversal before its original is {found}");
    till.write_as(early, Verb::Commit, &sale(SALE_FEN), Cut::Never)?.expect("tombstoned")?;
    till.number = early;
    ensure!(till.outcome(early)?.is_none(), "a request that was given up has an answer");
    Ok(())
}

fn kinds(till: &mut Till) -> Result<()> {
    let (cash, by_phone) = (250, SALE_FEN - 250);
    let wallet = json!({"kind": "wallet", "fen": by_phone, "ref": PAYMENT});
    let tenders = [json!({"kind": "cash", "fen": cash}), wallet];
    let fields = json!({"receipt_no": "conformance", "sale_fen": SALE_FEN, "tenders": tenders});
    let sold = till.write(Verb::Commit, &fields, Cut::Never)?.done()?;
    (till.sales, till.sold_fen, till.wallet_fen) =
        (till.sales + 1, till.sold_fen + SALE_FEN, till.wallet_fen + by_phone);
    // The payment by telephone has a number, so it gives back first.
    for (fen, kind, of_it) in [(400, "wallet", 400), (by_phone - 300, "wallet", by_phone - 400)] {
        let refund = json!({"transaction": sold["transaction"], "fen": fen});
        let back = till.write(Verb::Refund, &refund, Cut::Never)?.done()?;
        let first = back["money"].get(0).or(back["money"].get("0")).cloned().unwrap_or_default();
        ensure!(first["kind"] == kind && first["fen"] == of_it && first["ref"] == PAYMENT, "{fen} fen go back: {back}");
        (till.refunded_fen, till.wallet_fen) = (till.refunded_fen + fen, till.wallet_fen - of_it);
    }
    Ok(())
}

fn back(till: &mut Till) -> Result<()> {
    let sold = till.sell(Cut::Never)?;
    let void = json!({"transaction": sold["transaction"]});
    let back = till.write(Verb::Void, &void, Cut::Never)?.done()?;
    ensure!(back["cash_fen"] == SALE_FEN, "a void gives back {back}");
    till.voids += 1;
    till.write(Verb::Void, &void, Cut::Never)?.expect("not-reversible")?;
    let sold = till.sell(Cut::Never)?;
    for fen in [1, 1_000, SALE_FEN - 1_001] {
        let refund = json!({"transaction": sold["transaction"], "fen": fen});
        let back = till.write(Verb::Refund, &refund, Cut::Never)?.done()?;
        ensure!(back["cash_fen"] == fen, "a refund of {fen} fen gives back {back}");
        till.refunded_fen += fen;
    }
    let refund = json!({"transaction": sold["transaction"], "fen": 1});
    till.write(Verb::Refund, &refund, Cut::Never)?.expect("amount-mismatch")
}

fn status(till: &mut Till) -> Result<()> {
    let found = till.question(Verb::Status, &json!({}))?.done()?;
    ensure!(["online", "degraded", "quarantined"].iter().any(|mode| found["mode"] == *mode), "{found}");
    ensure!(found["shift"] == till.shift && found["rules_version"].is_i64(), "{found}");
    ensure!(["online", "degraded", "earn_only"].iter().any(|class| found["class"] == *class), "{found}");
    ensure!(found["upload_lag_s"].as_i64().is_some_and(|lag| lag >= 0), "{found}");
    let said = ["zh", "en"].iter().all(|lang| found["staff_text"][lang].as_str().is_some_and(|text| !text.is_empty()));
    ensure!(said, "nothing to tell the staff: {found}");
    let opened = till.write(Verb::Hello, &json!({"operator": "conformance"}), Cut::Never)?.done()?;
    ensure!(opened["shift"] == till.shift, "a cashier begins in another shift: {opened}");
    ensure!(opened["business_date"] == found["business_date"], "{opened}, and the status says {found}");
    Ok(())
}

/// Without a vehicle's plate only what needs none is asked.
fn quotes(till: &mut Till) -> Result<()> {
    let asked = json!({"sale_fen": SALE_FEN});
    let quote = till.question(Verb::Quote, &asked)?.done()?;
    ensure!(quote["earn_points"] == 0 && quote["max_points_fen"] == 0, "nobody's sale earns: {quote}");
    ensure!(till.question(Verb::Quote, &asked)?.done()? == quote, "the same question has another answer");
    till.question(Verb::Quote, &json!({"stay": "no-such-stay"}))?.expect("stay-unknown")?;
    till.question(Verb::Quote, &json!({"stay": "no-such-stay", "sale_fen": 1}))?.expect("bad-request")?;
    till.books_agree()?;
    let Some(plate) = till.plate.clone() else { return Ok(()) };
    let quote = till.question(Verb::Quote, &json!({"plate": plate}))?.done()?;
    let fen = |name: &str| quote[name].as_i64().with_context(|| format!("no {name} in {quote}"));
    ensure!(fen("due_fen")? == (fen("fee_fen")? - fen("paid_fen")?).max(0), "{quote}");
    let masked = quote["plate_masked"].as_str().unwrap_or_default();
    ensure!(!masked.is_empty() && masked != plate, "a till sees a whole plate: {quote}");
    let by_stay = till.question(Verb::Quote, &json!({"stay": quote["stay"]}))?.done()?;
    ensure!(by_stay["plate_masked"] == quote["plate_masked"], "{by_stay}, and by the plate {quote}");
    Ok(())
}

fn holds(till: &mut Till) -> Result<()> {
    let fields = json!({"hold": "nobody/1/1/0"});
    till.write(Verb::Capture, &fields, Cut::Never)?.expect("hold-unknown")?;
    till.write(Verb::Release, &fields, Cut::Never)?.expect("hold-unknown")
}

/// Without a coupon only what needs none is asked.
fn coupons(till: &mut Till) -> Result<()> {
    let nobodys = json!({"coupon": "no-such-coupon", "sale_fen": SALE_FEN});
    till.question(Verb::CouponCheck, &nobodys)?.expect("benefit-unknown")?;
    till.write(Verb::CouponUse, &nobodys, Cut::Never)?.expect("benefit-unknown")?;
    let Some(code) = till.coupon.clone() else { return Ok(()) };
    let (check, back) = (json!({"coupon": code, "sale_fen": SALE_FEN}), json!({"coupon": code}));
    let is_usable = |till: &mut Till| -> Result<bool> {
        let found = till.question(Verb::CouponCheck, &check)?.done()?;
        Ok(found["usable"] == json!(true) || found["usable"] == json!("true"))
    };
    ensure!(is_usable(till)?, "the coupon cannot be used here");
    let used = till.once(Verb::CouponUse, &check, Cut::AfterRequest)?;
    ensure!(used["takes_off_fen"].as_i64().is_some_and(|fen| fen > 0), "{used}");
    ensure!(!is_usable(till)?, "a coupon that was used is good again");
    till.write(Verb::CouponUse, &check, Cut::Never)?.expect("coupon-state")?;
    let returned = till.write(Verb::CouponReturn, &back, Cut::Never)?.done()?;
    ensure!(returned["use"] == used["use"], "{returned}");
    till.write(Verb::CouponReturn, &back, Cut::Never)?.expect("coupon-state")?;
    till.write(Verb::CouponUse, &check, Cut::Never)?.done()?;
    let number = till.number;
    let given_up = till.write(Verb::Reverse, &json!({"original": number}), Cut::Never)?.done()?;
    ensure!(given_up["result"] == "reversed", "{given_up}");
    ensure!(is_usable(till)?, "a coupon whose use was given up is not good again");
    Ok(())
}

fn receipt(till: &mut Till) -> Result<()> {
    let sold = till.sell(Cut::Never)?;
    let transaction = sold["transaction"].as_str().context("a sale without a name")?.to_owned();
    let wanted = json!({"transaction": transaction, "columns": 32});
    let slip = till.question(Verb::Receipt, &wanted)?.done()?;
    let lines = texts(&slip["lines"]);
    let solid: String = lines.concat().split_whitespace().collect();
    ensure!(solid.contains(&transaction) && solid.contains("12.50"), "{slip}");
    // A character that is not ASCII takes two columns on such paper.
    let columns = |line: &str| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    ensure!(lines.iter().all(|line| columns(line) <= 32), "{slip}");
    let none = json!({"transaction": "nobody/1/1/0", "columns": 32});
    till.question(Verb::Receipt, &none)?.expect("transaction-unknown")
}

/// Every text in a value, in its order.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Number(number) => vec![number.to_string()],
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

/// The drawer is looked at by the Z slip, which knows of no such sales.
fn hour(till: &mut Till) -> Result<()> {
    let told = json!({"hour": "2026-03-01T12:00:00+08:00", "count": 17, "sale_fen": 150_000});
    let kept = till.write(Verb::Report, &told, Cut::Never)?.done()?;
    ensure!(kept["count"] == json!(17) || kept["count"] == json!("17"), "{kept}");
    let Heard::Done(again, replayed) = till.write_as(till.number, Verb::Report, &told, Cut::Never)? else {
        bail!("a repeat was refused")
    };
    ensure!(replayed && again == kept, "{again}");
    let between = json!({"hour": "2026-03-01T12:07:00+08:00", "count": 1, "sale_fen": 100});
    till.write(Verb::Report, &between, Cut::Never)?.expect("bad-request")
}

fn card(till: &mut Till) -> Result<()> {
    let mut sale = sale(SALE_FEN);
    sale["receipt_no"] = json!("4111 1111 1111 1111");
    till.write(Verb::Commit, &sale, Cut::Never)?.expect("card-number")
}

/// Sales over a line that is cut anywhere; some are given up instead, with a line that is cut too.
fn storm(till: &mut Till) -> Result<()> {
    for _ in 0..till.storm {
        let cut = [Cut::Never, Cut::InRequest, Cut::AfterRequest, Cut::BeforeAnswer]
            [usize::try_from(till.roll(4)).unwrap_or(0)];
        if till.roll(3) > 0 {
            till.sell(cut)?;
            continue;
        }
        let heard = till.write(Verb::Commit, &sale(SALE_FEN), cut)?;
        ensure!(!matches!(heard, Heard::Refused(_)), "a sale is refused: {heard:?}");
        let number = till.number;
        let fields = json!({"original": number});
        let heard = till.write(Verb::Reverse, &fields, cut)?;
        let answer = if heard == Heard::Nothing {
            let reversal = till.number;
            till.write_as(reversal, Verb::Reverse, &fields, Cut::Never)?.done()?
        } else {
            heard.done()?
        };
        match answer["result"].as_str() {
            // It had arrived, and counts on both sides.
            Some("reversed") => {
                (till.sales, till.sold_fen, till.voids) = (till.sales + 1, till.sold_fen + SALE_FEN, till.voids + 1);
            }
            Some("tombstoned") => {}
            other => anyhow::bail!("a reversal is {other:?}"),
        }
    }
    till.books_agree()
}

fn close(till: &mut Till) -> Result<()> {
    let fields = json!({"shift": till.shift});
    let slip = till.once(Verb::Close, &fields, Cut::AfterRequest)?;
    till.compare(&slip)?;
    let paper = till.question(Verb::Slip, &json!({"shift": till.shift, "columns": 32}))?.done()?;
    ensure!(texts(&paper["lines"]).concat().contains("GPH1:"), "{paper}");
    till.write(Verb::Commit, &sale(SALE_FEN), Cut::Never)?.expect("shift-closed")
}
