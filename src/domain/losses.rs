//! What was lost on a day of the calendar: raises for nobody, stays without an end, money for vehicles that never left,
//! and statements of cameras that never came. It only looks; the accounts of a business day are closed in `settlement`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::{CommandId, DeviceId, Fen, LaneId, PlateRead, RaiseCause, Record, StayId, UtcMs};

/// The most of one kind that a report lists; the rest is only counted, so that it fits into an upload.
const LISTED_MAX: usize = 50;
/// The longest number of a camera's statement that counts up by one; longer ones are times of day.
const NUMBER_DIGITS_MAX: usize = 9;
/// A longer jump is a camera that was set back or exchanged.
const GAP_MAX: u64 = 1000;

/// What was lost on a day, from midnight to midnight at the site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayReport {
    /// The day by the site's calendar, such as 2026-03-02.
    pub date: String,
    /// When it began.
    pub from: UtcMs,
    /// When it ended.
    pub until: UtcMs,
    /// Vehicles that came in.
    pub entered: u32,
    /// Vehicles that left.
    pub left: u32,
    /// What guards let go unpaid.
    pub waived: Fen,
    /// What vehicles left owing.
    pub owed: Fen,
    /// What corrections raised fees by, less what they lowered them by.
    pub corrected: Fen,
    /// Barriers that were raised for no vehicle that the box knows.
    pub raised_without_stay: Listed<Raise>,
    /// Vehicles that passed without a raise.
    pub passed_without_raise: u32,
    /// Vehicles that followed another.
    pub tailgated: u32,
    /// Stays whose exit was never seen.
    pub without_exit: Listed<StayId>,
    /// Stays that were charged without an entry.
    pub without_entry: Listed<StayId>,
    /// Stays that were paid and had not left when the day ended.
    pub paid_inside: Listed<Paid>,
    /// Statements of cameras that never came.
    pub gaps: Listed<Gap>,
}

/// All are counted, the first are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// How many there were.
    pub count: u32,
    /// The first of them.
    pub first: Vec<T>,
}

/// A raise for no vehicle that the box knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The command.
    pub command: CommandId,
    /// Which lane.
    pub lane: LaneId,
    /// Why.
    pub cause: RaiseCause,
    /// When.
    pub at: UtcMs,
}

/// Money for a stay that has not left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// Which stay.
    pub stay: StayId,
    /// How much was paid on this day.
    pub fen: Fen,
}

/// Statements of a camera that never came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which camera.
    pub device: DeviceId,
    /// The statement before.
    pub after: String,
    /// The statement after.
    pub before: String,
    /// How many are missing.
    pub missing: u64,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < LISTED_MAX {
            self.first.push(one);
        }
    }
}

/// A report that grows with the day's records.
#[derive(Debug, Default)]
pub struct Day {
    report: DayReport,
    paid: BTreeMap<StayId, Fen>,
    gone: BTreeSet<StayId>,
    /// The last numbered statement of each camera.
    numbers: BTreeMap<DeviceId, (String, u64)>,
}

impl Day {
    /// A day of which nothing is known yet.
    pub fn new(date: String, from: UtcMs, until: UtcMs) -> Self {
        Self { report: DayReport { date, from, until, ..DayReport::default() }, ..Self::default() }
    }

    /// Takes up a record that was written at `at`, in the order of the journal.
    pub fn take(&mut self, at: UtcMs, record: &Record) {
        let report = &mut self.report;
        if let Record::StayEntered { .. } = record {
            report.entered += 1;
        } else if let Record::StayOpened { stay } = record {
            if stay.assumed.is_some() {
                report.without_entry.add(stay.id.clone());
            }
        } else if let Record::StayClosed { stay, waived, owed, .. } = record {
            report.left += 1;
            report.waived.0 += waived.0;
            report.owed.0 += owed.0;
            self.gone.insert(stay.clone());
        } else if let Record::StayVoided { stay, .. } = record {
            // A vehicle that backed out of an entry was never inside, and lost nothing.
            if !self.gone.contains(stay) && is_without_exit(record) {
                report.without_exit.add(stay.clone());
            }
            self.gone.insert(stay.clone());
        } else if let Record::PaymentTaken { stay, fen, .. } = record {
            self.paid.entry(stay.clone()).or_default().0 += fen.0;
        } else if let Record::BarrierCommanded { lane, command, cause, stay: None } = record {
            if !matches!(cause, RaiseCause::Emergency | RaiseCause::HeldByLoop | RaiseCause::SafetyLoop) {
                let (command, lane, cause) = (command.clone(), lane.clone(), cause.clone());
                report.raised_without_stay.add(Raise { command, lane, cause, at });
            }
        } else if let Record::PassageSeen { command: None, .. } = record {
            report.passed_without_raise += 1;
        } else if let Record::TailgateSeen { .. } = record {
            report.tailgated += 1;
        } else if let Record::StayCorrected(corrected) = record {
            report.corrected.0 += corrected.difference.0;
        } else if let Record::ReadTaken { read, .. } = record {
            self.number(read);
        }
    }

    /// The report, once the day's last record was taken up.
    pub fn report(mut self) -> DayReport {
        for (stay, fen) in self.paid {
            if !self.gone.contains(&stay) {
                self.report.paid_inside.add(Paid { stay, fen });
            }
        }
        self.report
    }

    /// Cameras count their statements; one that is missing was lost on the way.
    fn number(&mut self, read: &PlateRead) {
        // Who reads a camera's pictures numbers nothing.
        let own = read.told.picture_of.is_none().then_some(&read.event);
        let Some(number) = own.and_then(|event| number_of(event)) else { return };
        let last = self.numbers.insert(read.device.clone(), (read.event.clone(), number));
        let Some((after, last)) = last else { return };
        let missing = number.saturating_sub(last).saturating_sub(1);
        if (1..GAP_MAX).contains(&missing) {
            let (device, before) = (read.device.clone(), read.event.clone());
            self.report.gaps.add(Gap { device, after, before, missing });
        }
    }
}

/// The number at the end of a camera's event, where it is one that counts up.
fn number_of(event: &str) -> Option<u64> {
    let digits = event.len() - event.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    if !(1..=NUMBER_DIGITS_MAX).contains(&digits) || event.starts_with("staff/") {
        return None;
    }
    event[event.len() - digits..].parse().ok()
}

/// Why a stay was voided that had really been inside, as it is written.
pub const NEVER_SEEN: &str = "its exit was never seen";

fn is_without_exit(record: &Record) -> bool {
    if let Record::StayVoided { reason, .. } = record { reason.starts_with(NEVER_SEEN) } else { false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{OpId, ReadOutcome, Tender};

    #[test]
    fn statements_that_never_came_are_counted() {
        let mut day = Day::new("2026-03-02".to_owned(), UtcMs(0), UtcMs(1));
        for event in ["cam/7", "cam/8", "cam/11", "cam/3", "cam/4", "cam/9000", "1772409600123", "1772409600125"] {
            day.take(UtcMs(0), &read(event));
        }
        let gaps = day.report().gaps;
        assert_eq!((gaps.count, gaps.first[0].missing, gaps.first[0].after.as_str()), (1, 2, "cam/8"));
    }

    #[test]
    fn what_is_paid_and_has_not_left_is_listed() {
        let mut day = Day::new("2026-03-02".to_owned(), UtcMs(0), UtcMs(1));
        for stay in ["S1-1", "S1-2"] {
            day.take(UtcMs(0), &paid(stay));
        }
        let (stay, reason) = (StayId::from("S1-2"), format!("{NEVER_SEEN}; it came again"));
        day.take(UtcMs(0), &Record::StayVoided { stay, reason });
        let report = day.report();
        assert_eq!(report.paid_inside.first, [Paid { stay: "S1-1".into(), fen: Fen(500) }]);
        assert_eq!(report.without_exit.first, [StayId::from("S1-2")]);
    }

    fn paid(stay: &str) -> Record {
        let tender = Tender::Guard { operator: "guard-1".to_owned() };
        let op = OpId(format!("op-{stay}"));
        Record::PaymentTaken { op, stay: stay.into(), fen: Fen(500), tender, at: UtcMs(0) }
    }

    fn read(event: &str) -> Record {
        let read = PlateRead {
            lane: "in".into(),
            device: "camera".into(),
            event: event.to_owned(),
            plate: None,
            confidence: 0,
            captured: UtcMs(0),
            stored_offline: false,
            photos: None,
            told: Default::default(),
            earlier: Vec::new(),
        };
        Record::ReadTaken { read, outcome: ReadOutcome::NoPlate }
    }
}
