//! Every fee once more, from the journal alone: the bundle that the stay pinned, its times, what had been paid by then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags};

use super::journal::Entry;
use crate::domain::benefit::{self, Known, Moment, Outcome, RestsOn};
use crate::domain::event::{Fen, OpId, Record, StayId, UtcMs};
use crate::domain::plate::Plate;
use crate::domain::points::Purse;
use crate::domain::rules::Rules;
use crate::domain::stay::{Stay, ZoneVisit};
use crate::domain::tariff::{self, Fee, PriorVisit};

/// What computing again found.
#[derive(Debug, Default)]
pub struct Found {
    /// How many fees.
    pub fees: u64,
    /// Fees that come out differently, in words.
    pub faults: Vec<String>,
    /// The last fee that was computed again.
    pub last: Option<Fee>,
}

/// A stay that was priced at the exit.
#[derive(Debug)]
pub struct Priced {
    /// The stay, as it was then.
    pub stay: Stay,
    /// When it was at the exit.
    pub at: UtcMs,
    /// What it cost then, with what grace and benefits forgave.
    pub fee: Fee,
    /// The rules that it pinned.
    pub(super) own: Arc<Rules>,
    pub(super) prior: Vec<PriorVisit>,
    /// What was known of its benefits; none where nothing was written down.
    pub(super) rests_on: Option<RestsOn>,
}

impl Priced {
    /// What it would cost under other rules, with what was known of its benefits then. Points change nothing about a fee.
    pub fn under(&self, rules: &Rules) -> Outcome {
        let (known, trusted) = known_then(self.rests_on.as_ref());
        let moment = Moment { at: self.at, trusted };
        benefit::quote(rules, &self.stay, &self.prior, &known, &Purse::new(), moment)
    }
}

/// Computes every fee of a ledger again, or those of one stay, and compares the bytes.
pub fn fees(ledger: &Path, only: Option<&str>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    walk(ledger, |seq, book, stay, at, fee, rests_on| {
        if only.is_some_and(|only| only != stay.id.as_str()) {
            return Ok(());
        }
        let rules = book.rules.get(&stay.rules).with_context(|| format!("find the rules of {}", stay.id))?;
        let (known, trusted) = known_then(rests_on);
        let moment = Moment { at, trusted };
        // What points a member had changes nothing about a fee.
        let again = benefit::quote(rules, stay, &book.prior(stay), &known, &Purse::new(), moment).fee;
        found.fees += 1;
        if serde_json::to_vec(&again)? != serde_json::to_vec(fee)? {
            found.faults.push(format!("entry {seq}, {}: {} fen then, {} fen now", stay.id, fee.total.0, again.total.0));
        }
        found.last = Some(again);
        Ok(())
    })?;
    Ok(found)
}

/// The stays that were priced at an exit in the last `days` days of the journal, each with its last fee.
pub fn priced(ledger: &Path, days: i64) -> anyhow::Result<Vec<Priced>> {
    let stays = all_priced(ledger)?;
    let newest = stays.iter().map(|priced| priced.at.0).max().unwrap_or(0);
    let from = newest - days * 86_400_000;
    Ok(stays.into_iter().filter(|priced| priced.at.0 >= from).collect())
}

/// Every stay that was priced at an exit, with its last fee.
pub(super) fn all_priced(ledger: &Path) -> anyhow::Result<Vec<Priced>> {
    let mut stays: BTreeMap<StayId, Priced> = BTreeMap::new();
    walk(ledger, |_, book, stay, at, fee, rests_on| {
        let own = book.rules.get(&stay.rules).with_context(|| format!("find the rules of {}", stay.id))?;
        let (own, prior, fee, rests_on) = (Arc::clone(own), book.prior(stay), fee.clone(), rests_on.cloned());
        stays.insert(stay.id.clone(), Priced { stay: stay.clone(), at, fee, own, prior, rests_on });
        Ok(())
    })?;
    Ok(stays.into_values().collect())
}

/// What was known of a stay's benefits; nothing where the rules had none.
fn known_then(rests_on: Option<&RestsOn>) -> (Known, bool) {
    match rests_on {
        Some(RestsOn { known, trusted }) => (known.clone(), *trusted),
        None => (Known::default(), true),
    }
}

/// What the journal has said so far.
#[derive(Default)]
struct Book {
    rules: BTreeMap<u32, Arc<Rules>>,
    stays: BTreeMap<StayId, Stay>,
    /// The exit and the fee of stays that are over or on their way out.
    exits: BTreeMap<StayId, (UtcMs, Fee)>,
    /// Whose debts are, by plate.
    debts: BTreeMap<OpId, Plate>,
    /// Stays that are over, by plate, in the order of their ends.
    closed: BTreeMap<String, Vec<(StayId, PriorVisit)>>,
}

impl Book {
    fn prior(&self, stay: &Stay) -> Vec<PriorVisit> {
        let looks_back = self.rules.get(&stay.rules).is_some_and(|rules| rules.tariffs.look_back());
        let visits = stay.plate.as_ref().filter(|_| looks_back).and_then(|plate| self.closed.get(plate.as_str()));
        let mut prior: Vec<PriorVisit> = visits
            .into_iter()
            .flatten()
            .filter(|(of, visit)| *of != stay.id && tariff::is_prior(visit, stay.entry))
            .map(|(_, visit)| visit.clone())
            .collect();
        prior.sort_by_key(|visit| visit.exit);
        prior
    }

    fn take(&mut self, record: &Record) -> anyhow::Result<()> {
        if let Record::RulesActivated { version, text, .. } = record {
            let rules = Rules::parse(text).with_context(|| format!("read the rules of version {version}"))?;
            self.rules.insert(*version, Arc::new(rules));
        } else if let Record::StayOpened { stay } = record {
            self.stays.insert(stay.id.clone(), stay.clone());
        } else if let Record::StayReread(reread) = record {
            if let Some(stay) = self.stays.get_mut(&reread.stay) {
                (stay.plate, stay.member) = (Some(reread.plate.clone()), reread.member.clone());
                (stay.right, stay.debts) = (reread.right.clone(), reread.debts);
            }
        } else if let Record::PaymentTaken { stay, fen, at, .. } = record {
            if let Some(stay) = self.stays.get_mut(stay) {
                stay.paid = Fen(stay.paid.0 + fen.0);
                stay.paid_at = Some(*at);
            }
        } else if let Record::PaymentVoided(void) = record {
            if let Some(stay) = self.stays.get_mut(&void.stay) {
                stay.paid = Fen(stay.paid.0 - void.fen.0);
                stay.paid_at = stay.paid_at.filter(|_| stay.paid.0 > 0);
            }
        } else if let Record::StayExiting { stay, at, fee, .. } = record {
            self.exits.insert(stay.clone(), (*at, fee.clone()));
        } else if let Record::StayClosed { stay, .. } = record
            && let (Some(stay), Some((exit, fee))) = (self.stays.remove(stay), self.exits.remove(stay))
            && let Some(plate) = &stay.plate
        {
            let visit = PriorVisit { entry: stay.entry, exit, caps: fee.caps };
            self.closed.entry(plate.as_str().to_owned()).or_default().push((stay.id.clone(), visit));
        } else if let Record::ZoneEntered { stay, zone, at, .. } = record {
            if let Some(stay) = self.stays.get_mut(stay) {
                stay.zones.push(ZoneVisit { zone: zone.clone(), from: *at, to: None });
            }
        } else if let Record::ZoneLeft { stay, zone, at, .. } = record {
            let part = self
                .stays
                .get_mut(stay)
                .and_then(|stay| stay.zones.iter_mut().find(|part| part.zone == *zone && part.to.is_none()));
            if let Some(part) = part {
                part.to = Some(UtcMs(at.0.max(part.from.0)));
            }
        } else if let Record::DebtBooked { debt, plate, .. } = record {
            self.debts.insert(debt.clone(), plate.clone());
        } else if let Record::DebtPaid { debt, fen, stay: by, .. } = record {
            let plate = self.debts.get(debt);
            let inside = self.stays.values_mut().filter(|stay| stay.plate.as_ref() == plate && stay.id != *by);
            // A stay that is over is not here any more.
            for stay in inside.filter(|_| plate.is_some()) {
                stay.debts = Fen((stay.debts.0 - fen.0).max(0));
            }
        } else if let Record::StayCorrected(corrected) = record {
            self.corrected(&corrected.stay, corrected.exit, corrected.fee.as_ref());
        }
        Ok(())
    }
}

impl Book {
    /// A stay that has left is another earlier visit from now on, under its plate as it is now.
    fn corrected(&mut self, stay: &Stay, exit: Option<UtcMs>, fee: Option<&Fee>) {
        if let Some(known) = self.stays.get_mut(&stay.id) {
            *known = stay.clone();
        }
        let (Some(exit), Some(fee)) = (exit, fee) else { return };
        self.closed.values_mut().for_each(|visits| visits.retain(|(of, _)| *of != stay.id));
        if let Some(plate) = &stay.plate {
            let visit = PriorVisit { entry: stay.entry, exit, caps: fee.caps.clone() };
            self.closed.entry(plate.as_str().to_owned()).or_default().push((stay.id.clone(), visit));
        }
    }
}

/// Walks the journal and shows every fee with what was known when it was computed.
fn walk(
    ledger: &Path,
    mut show: impl FnMut(u64, &Book, &Stay, UtcMs, &Fee, Option<&RestsOn>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let db = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", ledger.display()))?;
    let mut statement = db.prepare("SELECT entry, body FROM journal ORDER BY entry")?;
    let mut rows = statement.query(())?;
    let mut book = Book::default();
    while let Some(row) = rows.next()? {
        let (seq, body): (u64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let entry: Entry = serde_json::from_slice(&body).with_context(|| format!("read entry {seq}"))?;
        for record in &entry.records {
            if let Record::StayExiting { stay, at, fee, rests_on, .. } = record
                && let Some(known) = book.stays.get(stay)
            {
                show(seq, &book, known, *at, fee, rests_on.as_deref())?;
            }
            if let Record::StayCorrected(corrected) = record
                && let (Some(at), Some(fee)) = (corrected.at, &corrected.fee)
            {
                show(seq, &book, &corrected.stay.unpaid(), at, fee, corrected.rests_on.as_deref())?;
            }
            book.take(record)?;
        }
    }
    Ok(())
}
