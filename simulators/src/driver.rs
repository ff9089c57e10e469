//! A driver's visit: in, lunch, perhaps the pay desk, out; and what people do when a barrier stays down.

mod broken;
mod coupon;
mod inner;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::barrier::{Barrier, Both, Loop};
use crate::camera::{Capture, Trigger};
use crate::clock::rfc3339;
use crate::outcome::{Passage, Payment, Sale, Visit};
use crate::plan::{CarPlan, Lunch, Right, Way};
use crate::tariff::{NOODLE_BAR_GIFT_FEN, Rights, points_earned_by};
use crate::till::{Failure, Quote, Tender, Transaction};
use crate::world::{ENTRY_LANE, Mall};

/// How long a driver waits who expects to be let through, before rolling back a little for a fresh read.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a driver waits who knows that money is asked, before looking for somebody to give it to.
const PAYERS_PATIENCE: Duration = Duration::from_millis(250);
/// Fresh reads before a guard is called: longer than a box needs to start again.
const READS_BEFORE_HELP: usize = 8;
/// How often a guard raises for one vehicle, where every second order may be lost.
const GUARD_TRIES: usize = 8;
/// Things that driver, till and guard do at one exit before they give up.
const STEPS_AT_EXIT: usize = 24;
/// A driver who backed out comes again after this long, in world time.
const COMES_AGAIN_MS: i64 = 60_000;
/// When a driver pays before walking to the car, before leaving, in world time.
const PAYS_BEFORE_LEAVING_MS: i64 = 75_000;
/// Closer than this to a step of the tariff the world and the box may differ about a quote's moment.
const QUOTE_MARGIN_MS: i64 = 45_000;

/// What a camera says where it sees a vehicle and no plate.
const NO_PLATE: &str = "_无_";
/// What the noodle bar gives, by its name in the rules.
const GIFT_KIND: &str = "noodles";

/// One car's visit from the entry to the street.
pub(crate) async fn visit(mall: &Arc<Mall>, number: usize) -> Visit {
    let plan = &mall.plan.cars[number];
    let member = plan.member.map(|member| mall.plan.members[member].id.clone());
    let is_gold = plan.member.is_some_and(|member| mall.plan.members[member].tier == "gold");
    let rights = Rights { is_gold, is_free: plan.right.is_some(), ..Rights::default() };
    let mut trip = Trip {
        mall,
        number,
        plan,
        qr: None,
        visit: Visit { plate: plan.plate.clone(), member, way: Some(plan.way), rights, ..Visit::default() },
    };
    mall.until(plan.arrives_ms).await;
    if let Err(error) = trip.all().await {
        mall.trouble(format!("{}: {error:#}", plan.plate));
    }
    trip.visit
}

struct Trip<'a> {
    mall: &'a Arc<Mall>,
    number: usize,
    plan: &'a CarPlan,
    /// The code on its ticket, where it came in on one.
    qr: Option<String>,
    visit: Visit,
}

/// What a driver at a closed exit learns from the pay desk's screen.
enum Advice {
    /// So much cash is due.
    Pay(Quote),
    /// Nothing is due, or points will do: a fresh read should help.
    ReadAgain,
    /// The box knows no such stay.
    Unknown,
}

impl<'a> Trip<'a> {
    async fn all(&mut self) -> Result<()> {
        self.enter().await?;
        let Some(entry) = &self.visit.entry else { return Ok(()) };
        let entered_ms = entry.captures_ms.last().copied().unwrap_or(0);
        let leaves_ms = entered_ms + self.plan.parked_ms;
        if let Some(coupon) = &self.plan.coupon {
            self.show_coupon(coupon).await;
        }
        if self.plan.right == Some(Right::List) {
            self.visit_inner_lot(entered_ms).await?;
        }
        if self.plan.way == Way::TillBefore {
            self.mall.until_moment(leaves_ms - PAYS_BEFORE_LEAVING_MS).await;
            self.pay_before_leaving(entered_ms).await;
        } else if let Some(lunch) = self.plan.lunch {
            self.mall.until_moment(entered_ms + self.plan.parked_ms / 2).await;
            self.have_lunch(lunch).await;
        }
        self.mall.until_moment(leaves_ms).await;
        if self.plan.backs_out_at_exit {
            self.change_mind_at_exit().await?;
            self.mall.until_moment(self.mall.clock.now_ms() + COMES_AGAIN_MS).await;
        }
        self.leave().await
    }

    /// Arrival loop, read, raise, through; or back out while the arm is up.
    async fn enter(&mut self) -> Result<()> {
        let mut lane = self.lane(ENTRY_LANE).await?;
        let seen = self.mall.look_at_box();
        let mut passage = Passage { lane: ENTRY_LANE.to_owned(), ..Passage::default() };
        lane.closed().await?;
        lane.step(Loop::Arrival, true).await?;
        let mut up = false;
        while !up && passage.captures_ms.len() < READS_BEFORE_HELP {
            up = if self.plan.is_unreadable {
                self.take_a_ticket(&mut lane, &mut passage).await?
            } else {
                self.read_and_wait(&mut lane, &mut passage, &self.plan.plate, PATIENCE).await?
            };
        }
        if !up {
            up = self.guard_raises(&mut lane, &mut passage, "the barrier stays down").await;
        }
        self.visit.disturbed |= self.mall.box_was_off_since(seen);
        if !up || self.plan.backs_out_at_entry {
            lane.back_out().await?;
            ensure!(up, "could not get in");
            self.mall.tell(&format!("{} backs out at the entry", self.plan.plate), |_| {});
            return Ok(());
        }
        lane.drive_through().await?;
        self.visit.entry = Some(passage);
        self.mall.tell(&format!("{} drives in", self.plan.plate), |counters| counters.entries += 1);
        Ok(())
    }

    /// The camera reads nothing, and the kiosk gives a ticket; true when the arm goes up.
    async fn take_a_ticket(&mut self, lane: &mut Barrier, passage: &mut Passage) -> Result<bool> {
        if self.read_and_wait(lane, passage, NO_PLATE, PAYERS_PATIENCE).await? {
            return Ok(true);
        }
        match self.mall.till.ticket_patiently(lane.name()).await {
            Ok((ticket, qr)) => {
                self.mall.tell(&format!("a vehicle without a readable plate takes the ticket {ticket}"), |_| {});
                (self.visit.plate, self.qr) = (ticket, Some(qr));
            }
            Err(error) => self.mall.tell(&format!("the kiosk gives no ticket yet: {error}"), |_| {}),
        }
        Ok(self.goes_up(lane, PATIENCE).await.is_some())
    }

    async fn have_lunch(&mut self, lunch: Lunch) {
        let member_ref = match self.plan.member.map(|member| &self.mall.plan.members[member]) {
            None => None,
            Some(member) => {
                let (phone, clock) = (member.phone(), self.mall.clock);
                match self.mall.till.scan_phone_patiently(|| phone.code(clock.now_ms())).await {
                    Ok(member) => Some(member.member_ref),
                    Err(error) => return self.mall.trouble(format!("the till does not take {}: {error}", member.code)),
                }
            }
        };
        let transaction = Transaction {
            member_ref,
            sale_fen: Some(lunch.fen),
            tenders: vec![Tender::of_driver(self.number, lunch.fen)],
            ..self.receipt("lunch")
        };
        let Some(answer) = self.commit(&transaction, lunch.answer_lost).await else { return };
        self.note_sale(&transaction, &answer);
    }

    /// The shop where a guest eats gives something to the guest's stay.
    async fn get_a_gift(&mut self, lunch: Lunch) {
        let plate = &self.plan.plate;
        let given = match self.mall.till.quote_plate_patiently(plate).await {
            Ok(quote) => self.mall.till.validate_patiently(&quote.stay, GIFT_KIND, lunch.fen).await,
            Err(error) => Err(error),
        };
        match given {
            Ok(()) => {
                self.visit.rights.gift_fen = NOODLE_BAR_GIFT_FEN;
                self.mall.tell(&format!("the shop gives {plate} {NOODLE_BAR_GIFT_FEN} fen"), |_| {});
            }
            Err(error) => self.mall.trouble(format!("the shop could not give {plate} anything: {error}")),
        }
    }

    /// At the pay desk: what the stay owes, and a lunch on the same receipt.
    async fn pay_before_leaving(&mut self, entered_ms: i64) {
        if let Some(lunch) = self.plan.lunch {
            self.get_a_gift(lunch).await;
        }
        self.until_coupon_counts().await;
        let asked_ms = self.mall.clock.now_ms();
        let quote = match self.mall.till.quote_plate_patiently(&self.plan.plate).await {
            Ok(quote) => quote,
            Err(error) => return self.mall.trouble(format!("no quote for {}: {error}", self.plan.plate)),
        };
        let tariff = self.mall.plan.tariff;
        let fee_fen = |entered_ms: i64| tariff.fee_fen_after(entered_ms, asked_ms, self.visit.rights);
        // A driver whom the arm kept waiting was read more than once.
        let is_right = |entered_ms: &i64| {
            quote.fee_fen == fee_fen(*entered_ms)
                || tariff.distance_to_edge_ms(*entered_ms, asked_ms) <= QUOTE_MARGIN_MS
        };
        let reads = self.visit.entry.as_ref().map_or(&[][..], |entry| &entry.captures_ms);
        if !reads.iter().any(is_right) {
            let expect_fen = fee_fen(entered_ms);
            let text = format!("{}: quoted {} fen instead of {expect_fen}", self.plan.plate, quote.fee_fen);
            self.mall.trouble(text);
        }
        let sale_fen = self.plan.lunch.map(|lunch| lunch.fen);
        let transaction = Transaction {
            sale_fen,
            stay: (quote.due_fen > 0).then(|| quote.stay.clone()),
            tenders: vec![Tender::of_driver(self.number, quote.due_fen + sale_fen.unwrap_or(0))],
            ..self.receipt("pay")
        };
        if transaction.sale_fen.is_none() && transaction.stay.is_none() {
            return;
        }
        let answer_lost = self.plan.lunch.is_some_and(|lunch| lunch.answer_lost);
        let Some(answer) = self.commit(&transaction, answer_lost).await else { return };
        self.note_sale(&transaction, &answer);
        self.note_payment(quote.due_fen, "till");
    }

    /// Reads, waits a little, and goes back inside without driving through.
    async fn change_mind_at_exit(&mut self) -> Result<()> {
        let mut lane = self.lane(self.plan.exit.name()).await?;
        let seen = self.mall.look_at_box();
        let mut passage = Passage::default();
        lane.closed().await?;
        lane.step(Loop::Arrival, true).await?;
        self.read_and_wait(&mut lane, &mut passage, &self.plan.plate, PATIENCE).await?;
        lane.back_out().await?;
        self.visit.disturbed |= self.mall.box_was_off_since(seen);
        self.mall.tell(&format!("{} backs out at {}", self.plan.plate, lane.name()), |_| {});
        Ok(())
    }

    async fn leave(&mut self) -> Result<()> {
        let mut lane = self.lane(self.plan.exit.name()).await?;
        let seen = self.mall.look_at_box();
        let mut passage = Passage { lane: lane.name().to_owned(), ..Passage::default() };
        lane.closed().await?;
        lane.step(Loop::Arrival, true).await?;
        if self.plan.way == Way::Escapes {
            return self.escape(&mut lane, passage).await;
        }
        let times_failed = lane.times_failed();
        let up = self.get_raised(&mut lane, &mut passage).await?;
        // Whoever asked for it: the camera, a guard who put the plate right, a till.
        passage.is_failed |= lane.times_failed() > times_failed;
        self.visit.disturbed |= self.mall.box_was_off_since(seen) || passage.is_failed;
        if !up {
            lane.back_out().await?;
            bail!("is stranded at {}", lane.name());
        }
        if let Some(screen) = self.mall.screen(lane.name()) {
            self.mall.tell(&format!("the display of {} shows: {screen}", lane.name()), |_| {});
        }
        lane.drive_through().await?;
        let how = if passage.manual { "is let out by the guard at" } else { "drives out by" };
        self.visit.exit = Some(passage);
        self.mall.tell(&format!("{} {how} {}", self.plan.plate, lane.name()), |counters| counters.exits += 1);
        Ok(())
    }

    /// It is read, is asked for money, and drives on all the same; the lane is free when the box has understood.
    async fn escape(&mut self, lane: &mut Barrier, mut passage: Passage) -> Result<()> {
        let plate = self.plan.plate.clone();
        let up = self.read_and_wait(lane, &mut passage, &plate, PATIENCE).await?;
        ensure!(!up, "was let out without paying");
        self.drive_through_the_arm(lane).await?;
        passage.escaped = true;
        for _ in 0..READS_BEFORE_HELP {
            tokio::time::sleep(PATIENCE / 4).await;
            if matches!(self.ask_what_is_due().await, Advice::Unknown) {
                break;
            }
        }
        self.mall.tell(&format!("{plate} escapes by {}", lane.name()), |counters| counters.exits += 1);
        self.visit.exit = Some(passage);
        Ok(())
    }

    /// The driver shows the ticket to the kiosk at the exit; true when the arm goes up.
    async fn show_ticket(&self, lane: &mut Barrier) -> bool {
        let Some(qr) = &self.qr else { return false };
        if let Err(error) = self.mall.till.scan_patiently(lane.name(), qr).await {
            self.mall.tell(&format!("the kiosk could not take the ticket: {error}"), |_| {});
            return false;
        }
        self.goes_up(lane, self.patience()).await.is_some()
    }

    /// Everything that people do in front of a closed exit; true when the arm is up.
    async fn get_raised(&mut self, lane: &mut Barrier, passage: &mut Passage) -> Result<bool> {
        let seen = if self.plan.is_unreadable { NO_PLATE } else { self.plan.plate.as_str() };
        let first = self.plan.misread.as_ref().map_or(seen, |misread| misread.plate.as_str());
        let mut up = self.read_and_wait(lane, passage, first, self.patience()).await?;
        if !up && self.plan.is_unreadable {
            up = self.show_ticket(lane).await;
        }
        match &self.plan.misread {
            Some(misread) if !up && misread.camera_corrects => {
                up = self.read_and_wait(lane, passage, seen, PATIENCE).await?;
            }
            Some(_) if !up => up = self.guard_corrects(lane).await,
            Some(_) | None => {}
        }
        for _ in 0..STEPS_AT_EXIT {
            if up {
                return Ok(true);
            }
            up = match self.ask_what_is_due().await {
                Advice::Pay(quote) => self.pay_at_exit(lane, &quote).await,
                Advice::Unknown => self.guard_corrects(lane).await,
                Advice::ReadAgain if passage.captures_ms.len() >= READS_BEFORE_HELP => break,
                Advice::ReadAgain => self.read_and_wait(lane, passage, seen, PATIENCE).await?,
            };
        }
        Ok(self.guard_raises(lane, passage, "the driver waits and nothing is due").await)
    }

    /// The camera reads the vehicle anew; true when the arm goes up in time.
    async fn read_and_wait(
        &self,
        lane: &mut Barrier,
        passage: &mut Passage,
        plate: &str,
        patience: Duration,
    ) -> Result<bool> {
        let at_ms = self.mall.clock.now_ms();
        passage.captures_ms.push(at_ms);
        let capture = Capture { plate: plate.to_owned(), at_ms, confidence: 97, trigger: Trigger::VirtualLoop };
        let times_failed = lane.times_failed();
        let behind = if self.plan.is_unreadable { NO_PLATE } else { self.plan.plate.as_str() };
        let mut both = lane.read(&capture, behind).await?;
        while !both.reported.is_said {
            // Nothing happens, and the driver rolls back a little.
            tokio::time::sleep(PAYERS_PATIENCE).await;
            let at_ms = self.mall.clock.now_ms();
            passage.captures_ms.push(at_ms);
            both = lane.read(&Capture { at_ms, ..capture.clone() }, behind).await?;
        }
        let Both { reported, otherwise } = both;
        if let Some(otherwise) = otherwise {
            self.mall.tell(&format!("{plate} is read as {otherwise} from behind at {}", lane.name()), |_| {});
        }
        passage.is_by_the_box = lane.leaves_time_to_the_box();
        let is_first_at_exit =
            !self.mall.was_killed() && passage.captures_ms.len() <= 2 && passage.lane == self.plan.exit.name();
        let kills = is_first_at_exit && self.mall.plan.kill_at_exit_of == Some(self.number);
        if kills {
            self.mall.kill_box();
        }
        let raised = self.goes_up(lane, patience).await;
        passage.is_failed |= lane.times_failed() > times_failed || reported.starts_anew;
        if let Some(raised) = raised.filter(|_| passage.captures_ms.len() == 1 && !kills) {
            // A box may act on the quick result or on the full one.
            let acted_on = if raised < reported.full { reported.first } else { reported.full };
            self.mall.raised_after(acted_on, raised);
        }
        Ok(raised.is_some())
    }

    async fn ask_what_is_due(&self) -> Advice {
        match self.mall.till.quote_plate_patiently(&self.visit.plate).await {
            Ok(quote) if quote.due_fen == 0 => Advice::ReadAgain,
            Ok(quote) if quote.points_needed > 0 && quote.points_usable >= quote.points_needed => Advice::ReadAgain,
            Ok(quote) => Advice::Pay(quote),
            Err(Failure::Refused(problem)) if problem.status == 404 => Advice::Unknown,
            Err(error) => {
                self.mall.trouble(format!("no quote for {} at the exit: {error}", self.plan.plate));
                Advice::ReadAgain
            }
        }
    }

    /// At the pay desk or to the guard, as the driver planned; true when the arm goes up then.
    async fn pay_at_exit(&mut self, lane: &mut Barrier, quote: &Quote) -> bool {
        if self.plan.way == Way::TillAtExit {
            let transaction = Transaction {
                stay: Some(quote.stay.clone()),
                tenders: vec![Tender::of_driver(self.number, quote.due_fen)],
                ..self.receipt(&format!("exit-{}", self.visit.payments.len()))
            };
            if self.commit(&transaction, false).await.is_some() {
                self.note_payment(quote.due_fen, "till");
            }
        } else {
            let paid = match self.mall.guard.settle(lane.name(), quote.due_fen).await {
                Ok(_) => true,
                Err(error) => self.was_settled_all_the_same(quote, &error).await,
            };
            if paid {
                self.note_payment(quote.due_fen, "guard");
            }
        }
        self.goes_up(lane, PATIENCE).await.is_some()
    }

    /// A settlement whose answer was lost is refused when it is asked for again; the stay tells whether it was made.
    async fn was_settled_all_the_same(&self, quote: &Quote, error: &Failure) -> bool {
        match self.mall.till.quote_plate_patiently(&self.visit.plate).await {
            Ok(now) if now.paid_fen == quote.paid_fen + quote.due_fen => true,
            Ok(_) | Err(_) => {
                self.mall.tell(&format!("the guard could not settle for {}: {error}", self.plan.plate), |_| {});
                false
            }
        }
    }

    async fn guard_corrects(&self, lane: &mut Barrier) -> bool {
        let reason = "read from the vehicle";
        if let Err(error) = self.mall.guard.correct_plate(lane.name(), &self.visit.plate, reason).await {
            self.mall.tell(&format!("the guard could not correct {}: {error}", self.plan.plate), |_| {});
            return false;
        }
        self.mall.tell(&format!("the guard corrects a plate to {}", self.plan.plate), |_| {});
        self.goes_up(lane, self.patience()).await.is_some()
    }

    /// A guard who sees that the arm stays down raises once more.
    async fn guard_raises(&self, lane: &mut Barrier, passage: &mut Passage, reason: &str) -> bool {
        for _ in 0..GUARD_TRIES {
            if self.guard_raises_once(lane, passage, reason).await {
                return true;
            }
        }
        false
    }

    async fn guard_raises_once(&self, lane: &mut Barrier, passage: &mut Passage, reason: &str) -> bool {
        if let Err(error) = self.mall.guard.raise(lane.name(), reason, &self.visit.plate).await {
            self.mall.trouble(format!("the guard could not raise for {}: {error}", self.plan.plate));
            return false;
        }
        passage.manual = true;
        let text = format!("the guard raises {} for {}: {reason}", lane.name(), self.plan.plate);
        self.mall.tell(&text, |counters| counters.manual += 1);
        self.goes_up(lane, PATIENCE).await.is_some()
    }

    /// Commits until the outcome is known; with a lost answer, the first try hangs up before it hears one.
    async fn commit(&self, transaction: &Transaction, answer_lost: bool) -> Option<Value> {
        let key = format!("key-{}", transaction.receipt_no);
        if answer_lost {
            // Whether the box heard it or not is what the till then has to find out.
            drop(self.mall.till.commit_and_hang_up(&key, transaction).await);
            self.mall.tell(&format!("the till loses the answer to receipt {}", transaction.receipt_no), |_| {});
        }
        match self.mall.till.commit_until_known(&key, transaction).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.mall.trouble(format!("receipt {} was not taken: {error}", transaction.receipt_no));
                None
            }
        }
    }

    fn note_sale(&self, transaction: &Transaction, answer: &Value) {
        let Some(fen) = transaction.sale_fen else { return };
        let earned = transaction.member_ref.as_ref().map_or(0, |_| points_earned_by(fen));
        if answer["earned_points"] != earned {
            let found = &answer["earned_points"];
            self.mall.trouble(format!("receipt {}: {found} points instead of {earned}", transaction.receipt_no));
        }
        let member = transaction.member_ref.as_ref().and(self.visit.member.clone());
        let receipt = transaction.receipt_no.clone();
        self.mall.sold(Sale { terminal: self.mall.terminal.clone(), receipt, member, fen });
        self.mall.tell(&format!("a sale of {fen} fen earns {earned} points"), |counters| counters.sales += 1);
    }

    fn note_payment(&mut self, fen: i64, by: &'static str) {
        if fen == 0 {
            return;
        }
        self.visit.payments.push(Payment { fen, by, at_ms: self.mall.clock.now_ms() });
        self.mall.tell(&format!("{} pays {fen} fen ({by})", self.plan.plate), |counters| counters.cash_fen += fen);
    }

    /// A receipt of this car's driver, still without anything on it.
    fn receipt(&self, what: &str) -> Transaction {
        Transaction {
            receipt_no: format!("{:04}-{what}", self.number),
            occurred_at: rfc3339(self.mall.clock.now_ms()),
            member_ref: None,
            sale_fen: None,
            stay: None,
            tenders: Vec::new(),
        }
    }

    fn patience(&self) -> Duration {
        match self.plan.way {
            Way::Free | Way::Points | Way::TillBefore if self.plan.misread.is_none() => PATIENCE,
            Way::Free | Way::Points | Way::TillBefore => PAYERS_PATIENCE,
            Way::TillAtExit | Way::Guard | Way::Escapes => PAYERS_PATIENCE,
        }
    }

    async fn lane(&self, name: &str) -> Result<MutexGuard<'a, Barrier>> {
        self.mall.queue(name).await.with_context(|| format!("there is no lane {name}"))
    }
}
