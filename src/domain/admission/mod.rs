//! Who is let in and on what right: lists, passes, debts and free spaces, judged in the order that the bundle gives.

pub mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::event::{Fen, UtcMs};
use super::plate::Plate;
use super::tariff::calendar::{DAY_S, Zone, date_of};
use super::tariff::terms::{InnerLot, ZoneAccess};
use table::{BlockReason, DebtsWhen, Judge, List, ListKind, Passback, Policy, RepeatEntry, WhenFull, WrittenPass};

/// The most lists and passes of a bundle, and plates in all of them: a big mall's monthly cards.
const RIGHTS_MAX: usize = 20_000;
const PLATES_MAX: usize = 50_000;

/// Lists, passes and what the site does where a stay is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What the site does where a stay is not as it should be.
    pub policy: Policy,
    lists: BTreeMap<String, List>,
    passes: BTreeMap<String, Pass>,
    by_plate: BTreeMap<Plate, Named>,
}

/// Which list and passes name a plate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    list: Option<String>,
    passes: Vec<String>,
}

/// A pass with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pass {
    from: UtcMs,
    /// The first moment after its last day.
    until: UtcMs,
    cars: u32,
    passback: Passback,
    zones: Vec<String>,
}

/// On what right a vehicle is inside; pinned at its entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Right {
    /// A list that lets it in for nothing.
    List {
        /// Which.
        id: String,
    },
    /// A pass.
    Pass {
        /// Which.
        id: String,
    },
}

/// What is asked about a vehicle at an entry.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its plate.
    pub plate: &'a Plate,
    /// When it was read.
    pub at: UtcMs,
    /// How many vehicles are inside on each of its passes.
    pub on_passes: &'a BTreeMap<Right, u32>,
    /// What its plate owes for earlier stays.
    pub debts: Fen,
    /// How many bays are free; none where they are not counted.
    pub free: Option<i64>,
}

/// What the judges say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may come in; on which right, where it has one.
    LetIn(Option<Right>),
    /// A list keeps it out.
    Blocked {
        /// Which list.
        list: String,
        /// Why.
        reason: BlockReason,
    },
    /// It owes for earlier stays.
    DebtsDue,
    /// No bay is free.
    Full,
}

/// What is wrong with the tables, and where in the text.
pub type BadAdmission = (Range<usize>, String);

impl Admission {
    /// Takes the tables of a bundle, or says which contradicts itself.
    pub fn of(
        policy: Policy,
        lists: Vec<List>,
        passes: Vec<WrittenPass>,
        lots: &[InnerLot],
        zone: &Zone,
    ) -> Result<Self, BadAdmission> {
        if lists.len().max(passes.len()) > RIGHTS_MAX {
            return Err((0..0, format!("{} lists and {} passes; allowed are {RIGHTS_MAX}", lists.len(), passes.len())));
        }
        let judges: BTreeSet<Judge> = policy.judgement_order.iter().copied().collect();
        if judges.len() != policy.judgement_order.len() || judges.len() != 5 {
            let wrong = "judgement_order names each of block, allow, pass, debts and full once".to_owned();
            return Err((0..0, wrong));
        }
        let mut admission = Self { policy, ..Self::default() };
        for list in lists {
            admission.add_list(list, lots)?;
        }
        for pass in passes {
            admission.add_pass(pass, lots, zone)?;
        }
        if admission.by_plate.len() > PLATES_MAX {
            return Err((0..0, format!("{} plates; allowed are {PLATES_MAX}", admission.by_plate.len())));
        }
        Ok(admission)
    }

    fn add_list(&mut self, list: List, lots: &[InnerLot]) -> Result<(), BadAdmission> {
        let (id, span) = (list.id.get_ref().clone(), list.id.span());
        let wrong = |text: String| (span.clone(), format!("list {id}: {text}"));
        match (list.kind, list.reason) {
            (ListKind::Block, None) => return Err(wrong("a reason is needed: arrears, managed or other".to_owned())),
            (ListKind::Allow, Some(_)) => return Err(wrong("a reason is for lists that block".to_owned())),
            (ListKind::Allow, None) | (ListKind::Block, Some(_)) => {}
        }
        check_zones(&list.zones, lots).map_err(wrong)?;
        for plate in &list.plates {
            let named = self.by_plate.entry(plate.get_ref().clone()).or_default();
            if let Some(other) = &named.list {
                let wrong = format!("{} is on the lists {other} and {id}; lists exclude each other", plate.get_ref());
                return Err((plate.span(), wrong));
            }
            named.list = Some(id.clone());
        }
        if self.lists.insert(id.clone(), list).is_some() {
            return Err((span, format!("two lists have the id {id}")));
        }
        Ok(())
    }

    fn add_pass(&mut self, pass: WrittenPass, lots: &[InnerLot], zone: &Zone) -> Result<(), BadAdmission> {
        let (id, span) = (pass.id.get_ref().clone(), pass.id.span());
        check_zones(&pass.zones, lots).map_err(|text| (span.clone(), format!("pass {id}: {text}")))?;
        let day = |given: &toml::Spanned<String>| {
            let wrong = || (given.span(), format!("{:?} is no date such as 2026-03-01", given.get_ref()));
            date_of(given.get_ref()).ok_or_else(wrong)
        };
        let (from, last) = (day(&pass.from)?, day(&pass.until)?);
        if last < from {
            return Err((pass.until.span(), format!("pass {id} ends before it begins")));
        }
        let moment = |day: i64| UtcMs(zone.utc(day * DAY_S) * 1000);
        for plate in &pass.plates {
            let named = self.by_plate.entry(plate.get_ref().clone()).or_default();
            if !named.passes.contains(&id) {
                named.passes.push(id.clone());
            }
        }
        let kept = Pass {
            from: moment(from),
            until: moment(last + 1),
            cars: pass.cars.0,
            passback: pass.passback,
            zones: pass.zones,
        };
        if self.passes.insert(id.clone(), kept).is_some() {
            return Err((span, format!("two passes have the id {id}")));
        }
        Ok(())
    }

    /// The pass that holds for a plate at a moment; the first in the file where several do.
    pub fn pass_of(&self, plate: &Plate, at: UtcMs) -> Option<Right> {
        let holds = |id: &&String| self.passes.get(*id).is_some_and(|pass| pass.from <= at && at < pass.until);
        let id = self.by_plate.get(plate)?.passes.iter().find(holds)?;
        Some(Right::Pass { id: id.clone() })
    }

    /// Every pass that names a plate, whenever it holds.
    pub fn passes_of(&self, plate: &Plate) -> impl Iterator<Item = Right> {
        let named = self.by_plate.get(plate).into_iter().flat_map(|named| &named.passes);
        named.map(|id| Right::Pass { id: id.clone() })
    }

    /// The plates that come in on a list or a pass at a moment, and those that a list keeps out.
    pub fn standing(&self, at: UtcMs) -> (BTreeSet<Plate>, BTreeSet<Plate>) {
        let (mut entitled, mut kept_out) = (BTreeSet::new(), BTreeSet::new());
        for (plate, named) in &self.by_plate {
            match named.list.as_ref().and_then(|list| self.lists.get(list)).map(|list| list.kind) {
                Some(ListKind::Block) => kept_out.insert(plate.clone()),
                Some(ListKind::Allow) => entitled.insert(plate.clone()),
                None => self.pass_of(plate, at).is_some() && entitled.insert(plate.clone()),
            };
        }
        (entitled, kept_out)
    }

    /// Judges a vehicle at an entry: the first judge who has something to say decides.
    pub fn judge(&self, asked: &Asked<'_>) -> Judgement {
        for judge in &self.policy.judgement_order {
            let said = match judge {
                Judge::Block => self.blocked(asked.plate),
                Judge::Allow => self.allowed(asked.plate).map(|right| Judgement::LetIn(Some(right))),
                Judge::Pass => self.on_pass(asked).map(|right| Judgement::LetIn(Some(right))),
                Judge::Debts => {
                    (asked.debts.0 > 0 && self.policy.debts == DebtsWhen::AtEntry).then_some(Judgement::DebtsDue)
                }
                Judge::Full => self.is_full(asked.free).then_some(Judgement::Full),
            };
            if let Some(said) = said {
                return said;
            }
        }
        Judgement::LetIn(None)
    }

    /// Whether a vehicle has to wait for a bay.
    pub fn is_full(&self, free: Option<i64>) -> bool {
        self.policy.full == WhenFull::Wait && free.is_some_and(|free| free <= 0)
    }

    /// Whether a vehicle that is inside by the books may be kept out.
    pub fn keeps_out_repeats(&self) -> bool {
        let of_lists = self.lists.values().map(|list| list.passback);
        let mut all = of_lists.chain(self.passes.values().map(|pass| pass.passback));
        self.policy.repeat_entry == RepeatEntry::Refuse || all.any(|passback| passback == Passback::Hard)
    }

    /// What happens where a vehicle comes in that is inside by the books, by its own list or pass.
    pub fn passback_of(&self, plate: &Plate, at: UtcMs) -> Passback {
        let of_list = self.list_of(plate).map_or(Passback::Off, |list| list.passback);
        let of_pass = match self.pass_of(plate, at) {
            Some(Right::Pass { id }) => self.passes.get(&id).map_or(Passback::Off, |pass| pass.passback),
            Some(Right::List { .. }) | None => Passback::Off,
        };
        if of_list == Passback::Off { of_pass } else { of_list }
    }

    /// Whether a vehicle may enter an inner lot.
    pub fn may_enter(&self, lot: &InnerLot, plate: Option<&Plate>, at: UtcMs) -> bool {
        if lot.access == ZoneAccess::Everyone {
            return true;
        }
        let Some(plate) = plate else { return false };
        let names = |zones: &[String]| zones.iter().any(|zone| zone == lot.id.get_ref());
        let by_list = self.list_of(plate).is_some_and(|list| list.kind == ListKind::Allow && names(&list.zones));
        let by_pass = self.by_plate.get(plate).is_some_and(|named| {
            let passes = named.passes.iter().filter_map(|id| self.passes.get(id));
            passes.filter(|pass| pass.from <= at && at < pass.until).any(|pass| names(&pass.zones))
        });
        by_list || by_pass
    }

    /// Until when a stay from `entry` to `exit` costs nothing by its right: a list's vehicle all the time, a pass's until
    /// the pass ends.
    pub fn covered_until(&self, right: &Right, entry: UtcMs, exit: UtcMs) -> UtcMs {
        match right {
            Right::List { .. } => exit,
            Right::Pass { id } => self.passes.get(id).map_or(entry, |pass| pass.until.min(exit).max(entry)),
        }
    }

    fn list_of(&self, plate: &Plate) -> Option<&List> {
        self.lists.get(self.by_plate.get(plate)?.list.as_ref()?)
    }

    fn blocked(&self, plate: &Plate) -> Option<Judgement> {
        let list = self.list_of(plate).filter(|list| list.kind == ListKind::Block)?;
        Some(Judgement::Blocked { list: list.id.get_ref().clone(), reason: list.reason? })
    }

    fn allowed(&self, plate: &Plate) -> Option<Right> {
        let list = self.list_of(plate).filter(|list| list.kind == ListKind::Allow)?;
        Some(Right::List { id: list.id.get_ref().clone() })
    }

    /// A pass whose vehicles inside are not too many yet.
    fn on_pass(&self, asked: &Asked<'_>) -> Option<Right> {
        let right = self.pass_of(asked.plate, asked.at)?;
        let cars = match &right {
            Right::Pass { id } => self.passes.get(id)?.cars,
            Right::List { .. } => return None,
        };
        let inside = asked.on_passes.get(&right).copied().unwrap_or(0);
        (inside < cars).then_some(right)
    }
}

impl Right {
    /// The name of its line in a fee: `list.<id>` or `pass.<id>`.
    pub fn rule(&self) -> String {
        match self {
            Right::List { id } => format!("list.{id}"),
            Right::Pass { id } => format!("pass.{id}"),
        }
    }
}

/// How many vehicles are inside on each pass, but for one that is counted there on `own`.
pub(super) fn without(on_passes: &BTreeMap<Right, u32>, own: Option<&Right>) -> BTreeMap<Right, u32> {
    let mut others = on_passes.clone();
    if let Some(vehicles) = own.and_then(|own| others.get_mut(own)) {
        *vehicles = vehicles.saturating_sub(1);
    }
    others
}

fn check_zones(zones: &[String], lots: &[InnerLot]) -> Result<(), String> {
    let unknown = zones.iter().find(|zone| lots.iter().all(|lot| lot.id.get_ref() != *zone));
    unknown.map_or(Ok(()), |zone| Err(format!("there is no [[zones]] with the id {zone}")))
}
