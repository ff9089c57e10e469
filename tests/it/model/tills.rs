//! The naive account's part about tills: what was set aside, sold and given back, and what the slips say of it.

use std::collections::{BTreeMap, BTreeSet};

use gatepost::domain::event::{
    Booking, BookingKind, MemberId, OpId, Points, Record, TerminalId, TillAnswer, TillDone, TillHold, Totals,
};
use gatepost::domain::settlement::{Closed, LegKind, Mismatch, Posting};
use gatepost::domain::stay::StayState;

use super::Model;

/// What the tills of the story have done. There is one of them, so its shifts are everybody's.
#[derive(Default)]
pub struct Tills {
    holds: BTreeMap<OpId, TillHold>,
    booked: BTreeMap<OpId, Line>,
    debts: BTreeMap<OpId, i64>,
    keys: BTreeSet<(TerminalId, String)>,
    codes: BTreeMap<(MemberId, u64), (String, bool)>,
    closed: u32,
    lines: Vec<Booking>,
}

/// A transaction and what of it went back.
struct Line {
    booking: Booking,
    back_fen: i64,
    back_points: i64,
    back_earned: i64,
    is_void: bool,
}

impl Tills {
    pub fn holds(&self) -> Vec<OpId> {
        self.holds.keys().cloned().collect()
    }

    pub fn transactions(&self) -> Vec<OpId> {
        self.booked.keys().cloned().collect()
    }

    /// What was sold last.
    pub fn newest(&self) -> Option<OpId> {
        let is_sale = |line: &&Booking| matches!(line.what, BookingKind::Sale | BookingKind::Capture);
        self.lines.iter().rev().find(is_sale).map(|line| line.op.clone())
    }

    /// The open shift.
    pub fn shift(&self) -> u32 {
        self.closed + 1
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals { open_holds: self.holds.len() as u64, ..Totals::default() };
        for line in self.lines.iter().filter(|line| line.shift == self.shift()) {
            let tally = match line.what {
                BookingKind::Sale => &mut totals.sales,
                BookingKind::Capture => &mut totals.captures,
                BookingKind::Void => &mut totals.voids,
                BookingKind::Refund => &mut totals.refunds,
            };
            tally.count += 1;
            tally.sale_fen.0 += line.sale_fen.0;
            tally.sale_points_fen.0 += line.sale_points_fen.0;
            tally.parking_fen.0 += line.parking_fen.0;
            tally.parking_points_fen.0 += line.parking_points_fen.0;
            tally.points_spent.0 += line.sale_points.0 + line.parking_points.0;
            tally.points_earned.0 += line.earned.0;
        }
        totals
    }
}

impl Model {
    /// What an entry posts to a day: never to one that is closed.
    pub(super) fn take_posting(&mut self, posting: &Posting) {
        assert!(self.closed_day.is_none_or(|closed| posting.day > closed), "{:?} is closed", posting.day);
        self.days.insert(posting.day);
        for leg in &posting.legs {
            assert!(leg.fen.0 >= 0 && leg.points.0 >= 0, "{leg:?}");
            self.paid_by_points.1 += match leg.what {
                LegKind::Spend => leg.fen.0,
                LegKind::Undone => -leg.fen.0,
                LegKind::Benefit => 0,
            };
        }
    }

    pub(super) fn take_closed(&mut self, closed: &Closed) {
        assert!(self.closed_day.is_none_or(|before| closed.day > before), "the days are closed in turn");
        self.closed_day = Some(closed.day);
        let different = closed.report.exceptions.iter().find(|found| found.state == Mismatch::AmountDiff);
        assert_eq!(different, None, "till, lane and journal say the same");
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes the tills' kinds")]
    pub(super) fn take_till(&mut self, record: &Record) {
        match record {
            Record::TillHoldPlaced(hold) => {
                self.once(&hold.op);
                assert!(!self.quarantined && !self.has_lapsed, "a doubted journal sets nothing aside");
                self.move_points(&hold.points, &hold.parts, |pocket, n| {
                    (pocket.remaining, pocket.held) = (pocket.remaining - n, pocket.held + n)
                });
                self.tills.holds.insert(hold.op.clone(), hold.clone());
            }
            Record::TillHoldEnded { op, .. } => {
                let hold = self.tills.holds.remove(op).expect("an open hold ends once");
                self.move_points(&hold.points, &hold.parts, |pocket, n| {
                    (pocket.remaining, pocket.held) = (pocket.remaining + n, pocket.held - n)
                });
            }
            Record::TillBooked(booking) => self.book(booking),
            Record::PaymentVoided(void) => {
                self.once(&void.op);
                let visit = self.stays.get_mut(&void.stay).unwrap();
                assert_eq!(visit.stay.state, StayState::Open, "{} is inside", void.stay);
                visit.stay.paid.0 -= void.fen.0;
                assert!(visit.stay.paid.0 >= 0 && void.fen.0 > 0);
                visit.stay.paid_at = visit.stay.paid_at.filter(|_| visit.stay.paid.0 > 0);
            }
            Record::PointsTakenBack(taken) => {
                self.once(&taken.op);
                self.move_points(&taken.points, &taken.parts, |pocket, n| {
                    (pocket.remaining, pocket.spent) = (pocket.remaining - n, pocket.spent + n)
                });
                if let Some(debt) = &taken.debt {
                    let open = self.tills.debts.get_mut(debt).expect("a known debt");
                    *open -= taken.points.0;
                    assert!(*open >= 0, "{debt} is paid once");
                }
            }
            Record::PointsOwed(debt) => {
                self.once(&debt.debt);
                assert!(debt.points.0 > 0);
                self.tills.debts.insert(debt.debt.clone(), debt.points.0);
            }
            Record::ShiftOpened(start) => assert_eq!(start.shift, self.tills.shift()),
            Record::ShiftClosed(end) => {
                assert_eq!((end.shift, end.totals), (self.tills.shift(), self.tills.totals()), "what the Z slip says");
                self.tills.closed += 1;
            }
            Record::MemberCodeUsed(code) => {
                let of = (code.member.clone(), code.step);
                match self.tills.codes.insert(of, (code.place.clone(), code.paid)) {
                    None => {}
                    Some((place, paid)) => {
                        assert!(place == code.place && !paid && code.paid, "{code:?}: a code is used once");
                    }
                }
            }
            Record::TerminalChanged(_) => {}
            Record::OperationAnswered(answered) => {
                let key = (answered.terminal.clone(), answered.key.clone());
                assert!(self.tills.keys.insert(key), "{} is answered once", answered.key);
                if let TillAnswer::Done { done: TillDone::GivenBack(back), .. } = &answered.answer {
                    assert!(back.taken.0 >= 0 && back.owed.0 >= 0 && back.cash_fen.0 >= 0 && back.points.0 >= 0);
                }
            }
            _ => unreachable!("the caller passes the tills' kinds"),
        }
    }

    fn book(&mut self, booking: &Booking) {
        assert_eq!(booking.shift, self.tills.shift(), "{} is booked in the open shift", booking.op);
        assert!(self.closed_day.is_none_or(|closed| booking.day > closed), "{:?} is closed", booking.day);
        self.days.insert(booking.day);
        self.tills.lines.push(booking.clone());
        let Some(of) = &booking.of else {
            let booking = booking.clone();
            let op = booking.op.clone();
            let line = Line { booking, back_fen: 0, back_points: 0, back_earned: 0, is_void: false };
            assert!(self.tills.booked.insert(op, line).is_none());
            return;
        };
        let line = self.tills.booked.get_mut(of).expect("what goes back was sold");
        let is_void = booking.what == BookingKind::Void;
        assert!(!line.is_void && (!is_void || line.back_fen == 0), "{of} goes back once");
        line.back_fen += booking.sale_fen.0;
        line.back_points += booking.sale_points.0;
        line.back_earned += booking.earned.0;
        line.is_void = is_void;
        let Booking { sale_fen, sale_points, earned, .. } = &line.booking;
        assert!(line.back_fen <= sale_fen.0, "{of} gives back no more than it sold");
        assert!(line.back_points <= sale_points.0, "{of} gives back no more points than it took");
        assert!(line.back_earned <= earned.0, "{of} takes back no more points than it gave");
        if line.back_fen == sale_fen.0 {
            assert_eq!(line.back_earned, earned.0, "{of} came back whole");
        }
    }

    pub(super) fn check_tills(&self) {
        for (op, hold) in &self.tills.holds {
            let is_of_now = hold.parts.iter().all(|part| self.grants[&part.grant].epoch == self.epoch);
            assert!(is_of_now && hold.points > Points(0), "{op} is held over an epoch's end");
        }
    }
}
