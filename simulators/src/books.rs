//! Holds the box's books and the cloud's members against what really happened in the simulated mall.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::outcome::{MemberAccount, Outcome, Passage, Payment, Sale, Visit};
use crate::plan::Way;
use crate::tariff::{Tariff, points_for_fen};

/// Who has paid leaves so long without paying more, in world milliseconds.
const GRACE_MS: i64 = 15 * 60 * 1000;
/// How late the box hears of a read at most, in world milliseconds; a second of ours is a minute of theirs.
const HEARD_WITHIN_MS: i64 = 5 * 60 * 1000;
/// Differences listed at most; the hundredth says no more than the first ten.
const DIFFERENCES_LISTED: usize = 100;

/// Holds the box's books and the cloud's members against the world; an empty list means that all three agree.
pub fn compare(outcome: &Outcome, books: &Value, cloud_members: &Value) -> Vec<String> {
    let books = match Books::deserialize(books) {
        Ok(books) => books,
        Err(error) => return vec![format!("the box's books cannot be read: {error}")],
    };
    let ledger = match Ledger::deserialize(cloud_members) {
        Ok(ledger) => ledger,
        Err(error) => return vec![format!("the cloud's members cannot be read: {error}")],
    };
    let tariff = outcome.tariff.unwrap_or(Tariff::DEMO);
    let mut audit = Audit { outcome, books: &books, tariff, differences: outcome.troubles.clone() };
    audit.stays();
    audit.payments();
    audit.points();
    audit.sales();
    audit.raises();
    audit.ledger(&ledger);
    audit.differences.truncate(DIFFERENCES_LISTED);
    audit.differences
}

/// The box's books, as `GET /api/v1/staff/books` gives them.
#[derive(Debug, Deserialize)]
struct Books {
    stays: Vec<StayRow>,
    payments: Vec<PaymentRow>,
    points: Vec<PointsRow>,
    sales: Vec<SaleRow>,
    raises: Vec<RaiseRow>,
    unacknowledged_entries: u64,
}

#[derive(Debug, Deserialize)]
struct StayRow {
    stay: String,
    plate: Option<String>,
    member: Option<String>,
    state: String,
    entry_lane: String,
    entry_ms: i64,
    exit_lane: Option<String>,
    exit_ms: Option<i64>,
    fee_fen: Option<i64>,
    paid_fen: i64,
    waived_fen: i64,
    points_fen: i64,
    owed_fen: i64,
    inner_lots: usize,
}

#[derive(Debug, Deserialize)]
struct PaymentRow {
    op: String,
    stay: String,
    fen: i64,
    tender: Value,
}

#[derive(Debug, Deserialize)]
struct PointsRow {
    op: String,
    member: String,
    kind: String,
    points: i64,
    stay: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SaleRow {
    terminal: String,
    receipt: String,
    member: Option<String>,
    fen: i64,
}

#[derive(Debug, Deserialize)]
struct RaiseRow {
    cause: Value,
}

/// The cloud ledger's members, as `GET /v1/members` gives them.
#[derive(Debug, Deserialize)]
struct Ledger {
    members: Vec<LedgerRow>,
}

#[derive(Debug, Deserialize)]
struct LedgerRow {
    id: String,
    credited: i64,
    debited: i64,
    available: i64,
    outstanding: i64,
}

struct Audit<'a> {
    outcome: &'a Outcome,
    books: &'a Books,
    tariff: Tariff,
    differences: Vec<String>,
}

impl Audit<'_> {
    /// Every visit is one stay, and nothing else is.
    fn stays(&mut self) {
        let mut by_plate: BTreeMap<&str, Vec<&StayRow>> = BTreeMap::new();
        for row in self.books.stays.iter().filter(|row| row.state != "void") {
            by_plate.entry(row.plate.as_deref().unwrap_or("(no plate)")).or_default().push(row);
        }
        for visit in &self.outcome.visits {
            let rows = by_plate.remove(visit.plate.as_str()).unwrap_or_default();
            match (&visit.entry, rows.as_slice()) {
                (None, []) => {}
                (None, [row, ..]) => self.differs(&visit.plate, format!("it went back, and the books have {row:?}")),
                (Some(entry), [row]) => self.stay(visit, entry, row),
                (Some(_), rows) => self.differs(&visit.plate, format!("one visit and {} stays", rows.len())),
            }
        }
        for (plate, rows) in by_plate {
            self.differs(plate, format!("never came, and the books have {rows:?}"));
        }
    }

    fn stay(&mut self, visit: &Visit, entry: &Passage, row: &StayRow) {
        let plate = visit.plate.as_str();
        self.equal(plate, "member", &visit.member, &row.member);
        self.equal(plate, "entry lane", &entry.lane, &row.entry_lane);
        // A guard who lets a car in does so at a moment that no camera knows.
        if !entry.manual && !is_moment_of(entry, row.entry_ms) {
            self.differs(plate, format!("entry read at {:?}, booked at {}", entry.captures_ms, row.entry_ms));
        }
        let Some(exit) = &visit.exit else { return self.equal(plate, "state", &"open", &row.state.as_str()) };
        self.equal(plate, "state", &"closed", &row.state.as_str());
        self.equal(plate, "exit lane", &Some(&exit.lane), &row.exit_lane.as_ref());
        let Some(exit_ms) = row.exit_ms else { return self.differs(plate, "left, without a time".to_owned()) };
        if !exit.manual && !is_moment_of(exit, exit_ms) {
            self.differs(plate, format!("exit read at {:?}, booked at {exit_ms}", exit.captures_ms));
        }
        let fee_fen = self.fee_of(visit, row.entry_ms, exit_ms);
        self.equal(plate, "fee", &fee_fen, &row.fee_fen.unwrap_or(0));
        self.equal(plate, "cash", &visit.cash_fen(), &row.paid_fen);
        let settled_fen = row.paid_fen + row.points_fen + row.waived_fen + row.owed_fen;
        self.equal(plate, "fee and what settled it", &fee_fen, &settled_fen);
        self.equal(plate, "owed", &if exit.escaped { fee_fen } else { 0 }, &row.owed_fen);
        self.equal(plate, "parts in the inner lot", &(visit.inner.len() / 2), &row.inner_lots);
        if !exit.manual {
            self.equal(plate, "waived", &0, &row.waived_fen);
        }
        if visit.member.is_none() {
            self.equal(plate, "points of a stranger", &0, &row.points_fen);
        }
        let on_points = visit.way == Some(Way::Points) && !visit.disturbed;
        if on_points && (exit.manual || !visit.payments.is_empty()) {
            self.differs(plate, "had points enough and was not let out on them".to_owned());
        }
    }

    /// Who has paid at a till and leaves in time owes no more, even where a new unit has begun since.
    fn fee_of(&self, visit: &Visit, entry_ms: i64, exit_ms: i64) -> i64 {
        let fee_fen = self.tariff.fee_fen_after(entry_ms, exit_ms, visit.rights);
        let in_time = |paid: &Payment| paid.by == "till" && (0..=GRACE_MS).contains(&(exit_ms - paid.at_ms));
        if visit.payments.iter().any(in_time) { fee_fen.min(visit.cash_fen()) } else { fee_fen }
    }

    /// Every payment was made once, for the stay of the car it was made for.
    fn payments(&mut self) {
        let ops: BTreeSet<&str> = self.books.payments.iter().map(|row| row.op.as_str()).collect();
        self.equal("payments", "distinct operations", &self.books.payments.len(), &ops.len());
        let mut booked: Vec<(String, i64, String)> = Vec::new();
        for row in &self.books.payments {
            let plate = self.plate_of(&row.stay);
            let by = row.tender["by"].as_str().or(row.tender.as_str()).unwrap_or("unknown");
            booked.push((plate, row.fen, by.to_owned()));
        }
        let visits = self.outcome.visits.iter();
        let paid = visits.flat_map(|visit| visit.payments.iter().map(move |payment| (visit, payment)));
        let mut paid: Vec<_> = paid.map(|(visit, one)| (visit.plate.clone(), one.fen, one.by.to_owned())).collect();
        booked.sort();
        paid.sort();
        self.same_list("payment", &paid, &booked);
    }

    /// Points were spent and earned once, by whom and for what they should have been.
    fn points(&mut self) {
        let rows = &self.books.points;
        let ops: BTreeSet<(&str, &str)> = rows.iter().map(|row| (row.op.as_str(), row.kind.as_str())).collect();
        self.equal("points", "distinct operations", &rows.len(), &ops.len());
        let stays: BTreeMap<&str, &StayRow> = self.books.stays.iter().map(|row| (row.stay.as_str(), row)).collect();
        let mut spent_on: BTreeMap<&str, i64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.kind == "spent") {
            *spent_on.entry(row.stay.as_deref().unwrap_or("(no stay)")).or_default() += row.points;
        }
        for (stay, points) in &spent_on {
            let expect = stays.get(stay).map(|row| points_for_fen(row.points_fen));
            self.equal(&self.plate_of(stay), "points spent on the stay", &expect, &Some(*points));
        }
        for row in self.books.stays.iter().filter(|row| row.points_fen != 0) {
            let booked = spent_on.contains_key(row.stay.as_str());
            self.equal(&self.plate_of(&row.stay), "points of a stay have a record", &true, &booked);
        }
        for account in &self.outcome.members {
            let sum = |kind: &str| -> i64 {
                let mine = rows.iter().filter(|row| row.member == account.id && row.kind == kind);
                mine.map(|row| row.points).sum()
            };
            self.equal(&account.id, "points earned", &account.earned, &sum("earned"));
            self.equal(&account.id, "points spent", &self.spent_by(account), &sum("spent"));
        }
    }

    fn sales(&mut self) {
        let mut sold = self.outcome.sales.clone();
        // A receipt for parking alone sells nothing.
        let rows = self.books.sales.iter().filter(|row| row.fen != 0);
        let mut booked: Vec<Sale> = rows
            .map(|row| Sale {
                terminal: row.terminal.clone(),
                receipt: row.receipt.clone(),
                member: row.member.clone(),
                fen: row.fen,
            })
            .collect();
        sold.sort();
        booked.sort();
        self.same_list("sale", &sold, &booked);
    }

    /// No barrier moved without a record, and staff raised as often as the books say.
    fn raises(&mut self) {
        let by_staff = self.books.raises.iter().filter(|row| row.cause["why"] == "staff").count();
        self.equal("barriers", "raised by staff", &self.outcome.manual, &by_staff);
        let by_itself = self.books.raises.len() - by_staff;
        if by_itself < self.outcome.raised_automatically {
            let seen = self.outcome.raised_automatically;
            self.differs("barriers", format!("{seen} automatic raises seen and {by_itself} booked"));
        }
    }

    fn ledger(&mut self, ledger: &Ledger) {
        self.equal("journal", "entries not acknowledged", &0, &self.books.unacknowledged_entries);
        for account in &self.outcome.members {
            let Some(row) = ledger.members.iter().find(|row| row.id == account.id) else {
                self.differs(&account.id, "the cloud does not know the member".to_owned());
                continue;
            };
            self.equal(&account.id, "credited in the cloud", &(account.balance + account.earned), &row.credited);
            self.equal(&account.id, "debited in the cloud", &self.spent_by(account), &row.debited);
            let held = row.credited - row.debited;
            self.equal(
                &account.id,
                "available and outstanding in the cloud",
                &held,
                &(row.available + row.outstanding),
            );
            if row.available < 0 || row.outstanding < 0 {
                self.differs(&account.id, format!("the cloud's points are below zero: {row:?}"));
            }
        }
    }

    /// What a member's cars must have spent, by the reads that the box chose among those that it was sent.
    fn spent_by(&self, account: &MemberAccount) -> i64 {
        let mine = |visit: &&Visit| visit.member.as_ref() == Some(&account.id);
        self.outcome.visits.iter().filter(mine).map(|visit| self.spent_on(visit)).sum()
    }

    fn spent_on(&self, visit: &Visit) -> i64 {
        let is_mine = |row: &&StayRow| row.plate.as_ref() == Some(&visit.plate) && row.state == "closed";
        let row = self.books.stays.iter().find(is_mine);
        let manual = visit.exit.as_ref().is_none_or(|exit| exit.manual);
        match row.and_then(|row| Some((row, row.exit_ms?))) {
            Some((row, _)) if manual => points_for_fen(row.points_fen),
            Some((row, exit_ms)) => {
                let fee_fen = self.fee_of(visit, row.entry_ms, exit_ms);
                points_for_fen(fee_fen - visit.cash_fen())
            }
            None => 0,
        }
    }

    fn plate_of(&self, stay: &str) -> String {
        let row = self.books.stays.iter().find(|row| row.stay == stay);
        row.and_then(|row| row.plate.clone()).unwrap_or_else(|| stay.to_owned())
    }

    fn same_list<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, world: &[T], books: &[T]) {
        for one in world.iter().filter(|one| count(world, one) > count(books, one)) {
            self.differs(what, format!("{one:?} happened and is not in the books"));
        }
        for one in books.iter().filter(|one| count(books, one) > count(world, one)) {
            self.differs(what, format!("{one:?} is in the books and did not happen"));
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, whose: &str, what: &str, world: &T, books: &T) {
        if world != books {
            self.differs(whose, format!("{what}: the world says {world:?}, the books say {books:?}"));
        }
    }

    fn differs(&mut self, whose: &str, how: String) {
        self.differences.push(format!("{whose}: {how}"));
    }
}

/// Whether a read at this moment is one of the camera's; or where the box takes its own time, when it heard of one.
fn is_moment_of(passage: &Passage, at_ms: i64) -> bool {
    let near = |captured: &i64| (0..=HEARD_WITHIN_MS).contains(&(at_ms - captured));
    if passage.is_by_the_box { passage.captures_ms.iter().any(near) } else { passage.captures_ms.contains(&at_ms) }
}

fn count<T: PartialEq>(list: &[T], one: &T) -> usize {
    list.iter().filter(|other| *other == one).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ENTRY_MS: i64 = 1_772_294_399_638;
    const EXIT_MS: i64 = ENTRY_MS + 20 * 60_000;

    #[test]
    fn books_that_agree_have_no_differences() {
        assert_eq!(compare(&day(), &books(), &cloud()), Vec::<String>::new());
    }

    #[test]
    fn totals_are_summed_up_from_the_visits() {
        let day = day();
        assert_eq!((day.cars, day.entries, day.exits), (4, 3, 2));
        assert_eq!((day.raised_automatically, day.manual), (5, 0));
        assert_eq!((day.points_spent, day.points_earned, day.cash_fen), (50, 128, 500));
    }

    #[test]
    fn every_wrong_number_in_the_books_is_found() {
        check("/stays/0/fee_fen", json!(1000), "fee");
        check("/stays/0/points_fen", json!(0), "what settled it");
        check("/stays/0/state", json!("open"), "state");
        check("/stays/0/exit_ms", json!(EXIT_MS + 1), "exit read at");
        check("/stays/0/entry_ms", json!(ENTRY_MS - 1), "entry read at");
        check("/stays/0/member", json!("M2"), "member");
        check("/stays/0/exit_lane", json!("exit-2"), "exit lane");
        check("/stays/1/paid_fen", json!(0), "cash");
        check("/stays/1/waived_fen", json!(500), "waived");
        check("/stays/1/owed_fen", json!(500), "owed");
        check("/stays/1/inner_lots", json!(1), "inner lot");
        check("/stays/1/plate", json!("粤B99999"), "never came");
        check("/stays/2/state", json!("closed"), "state");
        check("/stays/3/state", json!("open"), "it went back");
        check("/payments/0/fen", json!(1000), "did not happen");
        check("/payments/0/tender", json!({"by": "guard", "operator": "g"}), "not in the books");
        check("/points/0/points", json!(51), "points spent");
        check("/points/1/points", json!(129), "points earned");
        check("/points/1/op", json!("b/1/9/0"), "");
        check("/sales/0/fen", json!(12_801), "sale");
        check("/raises/0/cause", json!({"why": "staff", "operator": "g", "reason": "r"}), "raised by staff");
        check("/unacknowledged_entries", json!(1), "not acknowledged");
    }

    #[test]
    fn an_effect_in_the_books_twice_is_found() {
        for list in ["stays", "payments", "points", "sales"] {
            let mut books = books();
            let rows = books[list].as_array_mut().unwrap();
            rows.push(rows[0].clone());
            assert_ne!(compare(&day(), &books, &cloud()), Vec::<String>::new(), "{list} twice");
        }
    }

    #[test]
    fn a_raise_without_a_record_is_found() {
        let mut books = books();
        books["raises"].as_array_mut().unwrap().pop();
        check_found(&compare(&day(), &books, &cloud()), "automatic raises seen");
    }

    #[test]
    fn every_wrong_number_in_the_cloud_is_found() {
        for (field, text) in [
            ("credited", "credited"),
            ("debited", "debited"),
            ("available", "available and outstanding"),
            ("outstanding", "available and outstanding"),
        ] {
            let mut cloud = cloud();
            cloud["members"][0][field] = json!(7);
            check_found(&compare(&day(), &books(), &cloud), text);
        }
        check_found(&compare(&day(), &books(), &json!({"members": []})), "does not know the member");
    }

    #[test]
    fn a_member_with_points_enough_who_had_to_pay_cash_is_a_difference_unless_the_box_was_off() {
        let mut day = day();
        day.visits[0].payments.push(Payment { fen: 500, by: "guard", at_ms: EXIT_MS });
        check_found(&compare(&day, &books(), &cloud()), "was not let out on them");
        day.visits[0].disturbed = true;
        let found = compare(&day, &books(), &cloud());
        assert!(found.iter().all(|text| !text.contains("was not let out on them")), "{found:?}");
    }

    #[test]
    fn books_that_are_none_are_a_difference() {
        check_found(&compare(&day(), &json!({}), &cloud()), "cannot be read");
        check_found(&compare(&day(), &books(), &json!([])), "cannot be read");
    }

    /// Changes one value in the books and expects a difference with this text; an empty text expects none.
    fn check(pointer: &str, value: Value, expect: &str) {
        let mut books = books();
        *books.pointer_mut(pointer).expect(pointer) = value;
        let found = compare(&day(), &books, &cloud());
        if expect.is_empty() {
            assert_eq!(found, Vec::<String>::new(), "{pointer}");
        } else {
            check_found(&found, expect);
        }
    }

    fn check_found(differences: &[String], expect: &str) {
        assert!(differences.iter().any(|text| text.contains(expect)), "no {expect:?} in {differences:#?}");
    }

    /// A member who ate and left on points, a visitor who paid at a till, one who is inside, one who backed out.
    fn day() -> Outcome {
        let by =
            |lane: &str, at_ms| Some(Passage { lane: lane.to_owned(), captures_ms: vec![at_ms], ..Passage::default() });
        let visit = |plate: &str, entry, exit| Visit { plate: plate.to_owned(), entry, exit, ..Visit::default() };
        let member = Visit {
            member: Some("M1".to_owned()),
            way: Some(Way::Points),
            ..visit("粤B10001", by("entry-1", ENTRY_MS), by("exit-1", EXIT_MS))
        };
        let visitor = Visit {
            way: Some(Way::TillBefore),
            payments: vec![Payment { fen: 500, by: "till", at_ms: EXIT_MS }],
            ..visit("粤B20002", by("entry-1", ENTRY_MS), by("exit-1", EXIT_MS))
        };
        let inside = visit("粤B30003", by("entry-1", ENTRY_MS), None);
        let backed_out = visit("粤B40004", None, None);
        let sale = Sale {
            terminal: "till-1".to_owned(),
            receipt: "0001-lunch".to_owned(),
            member: Some("M1".to_owned()),
            fen: 12_850,
        };
        let visits = vec![member, visitor, inside, backed_out];
        let mut day = Outcome { visits, sales: vec![sale], ..Outcome::default() };
        day.sum_up(Tariff::DEMO, [("M1".to_owned(), 300), ("M2".to_owned(), 10)]);
        day
    }

    fn books() -> Value {
        let stay = |number: u32, plate: &str, state: &str| {
            json!({"stay": format!("S1-{number}"), "plate": plate, "member": null, "state": state,
                "entry_lane": "entry-1", "entry_ms": ENTRY_MS, "exit_lane": null, "exit_ms": null, "fee_fen": null,
                "paid_fen": 0, "waived_fen": 0, "points_fen": 0, "owed_fen": 0, "inner_lots": 0, "void_reason": null})
        };
        let closed = |number, plate| {
            let mut stay = stay(number, plate, "closed");
            stay["exit_lane"] = json!("exit-1");
            stay["exit_ms"] = json!(EXIT_MS);
            stay["fee_fen"] = json!(500);
            stay
        };
        let mut member = closed(1, "粤B10001");
        member["member"] = json!("M1");
        member["points_fen"] = json!(500);
        let mut visitor = closed(2, "粤B20002");
        visitor["paid_fen"] = json!(500);
        let till = json!({"by": "till", "terminal": "till-1"});
        json!({
            "box": "b", "epoch": 1, "seq": 40, "head": "00",
            "stays": [member, visitor, stay(3, "粤B30003", "open"), stay(4, "粤B40004", "void")],
            "payments": [{"op": "b/1/7/0", "stay": "S1-2", "fen": 500, "tender": till}],
            "points": [
                {"op": "b/1/5/0", "member": "M1", "kind": "spent", "points": 50, "fen": 500, "stay": "S1-1"},
                {"op": "b/1/6/0", "member": "M1", "kind": "earned", "points": 128, "fen": null, "stay": null},
            ],
            "sales": [{"op": "b/1/6/1", "terminal": "till-1", "receipt": "0001-lunch", "member": "M1", "fen": 12_850}],
            "raises": vec![json!({"command": "c", "lane": "l", "cause": {"why": "entry"}, "stay": null, "passed": true}); 5],
            "unacknowledged_entries": 0,
        })
    }

    fn cloud() -> Value {
        json!({"members": [
            {"id": "M1", "credited": 428, "debited": 50, "available": 300, "outstanding": 78},
            {"id": "M2", "credited": 10, "debited": 0, "available": 10, "outstanding": 0},
        ]})
    }
}
