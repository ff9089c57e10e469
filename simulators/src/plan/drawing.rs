//! Draws a day from its seed: who plays which part, and what becomes of each car.

use std::collections::BTreeSet;

use super::{CarPlan, ExitLane, Lunch, MINUTE_MS, MemberPlan, Misread, Right, Way};
use crate::plates::{self, PlateKind};

const SECOND_MS: i64 = 1000;

/// Real time that one car needs at the entry, with some room; arrivals closer than this would only queue.
pub(super) const ENTRY_TAKES_REAL_MS: i64 = 220;
/// Real time in which a box that was killed is surely back.
pub(super) const BOX_IS_BACK_REAL_MS: i64 = 4000;
/// World time between two arrivals, at least.
pub(super) const ARRIVALS_APART_MS: i64 = 13 * SECOND_MS;
/// Stays that cost nothing, far from the end of the free quarter of an hour.
const FREE_STAY_MS: (i64, i64) = (3 * MINUTE_MS, 11 * MINUTE_MS);
/// Stays of one charged unit, far from both of its ends.
const PAID_STAY_MS: (i64, i64) = (18 * MINUTE_MS, 22 * MINUTE_MS);
/// Stays of two charged units, for cars that come early.
const LONG_STAY_MS: (i64, i64) = (32 * MINUTE_MS, 34 * MINUTE_MS);
/// Only cars that come in the first minutes stay long, so that the day ends in time.
const LONG_STAY_UNTIL_MS: i64 = 3 * MINUTE_MS;
/// The line to the cloud is cut this long before a member leaves on points, and mended this long after.
const CUT_AROUND_MS: (i64, i64) = (90 * SECOND_MS, 4 * MINUTE_MS);
/// After the last arrival every grant is there before the line is cut.
const GRANTS_SETTLE_MS: i64 = MINUTE_MS;

/// What the casting decides about a car; details are drawn later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A member with points.
    Points,
    /// One of the two cars of a member with points; the number says which.
    Pair(u8),
    /// A member with too few points, who pays cash.
    TooFewPoints,
    /// A member without points, who has lunch and leaves on what it earned.
    Lunch,
    FreeMember,
    FreeVisitor,
    TillBefore,
    TillAtExit,
    Guard,
    MisreadForGuard,
    MisreadForCamera,
    BacksOutAtEntry,
    BacksOutAtExit,
    /// Its plate cannot be read.
    OnTicket,
    OnPass,
    /// On the house's list; parks in the inner lot.
    OnList,
    Escapes,
}

/// Once each, the most telling first, for days with few cars.
const CAST: [&[Role]; 18] = [
    &[Role::Points],
    &[Role::Lunch],
    &[Role::Pair(1), Role::Pair(2)],
    &[Role::TillBefore],
    &[Role::Guard],
    &[Role::FreeVisitor],
    &[Role::TooFewPoints],
    &[Role::MisreadForGuard],
    &[Role::BacksOutAtEntry],
    &[Role::BacksOutAtExit],
    &[Role::MisreadForCamera],
    &[Role::TillAtExit],
    &[Role::FreeMember],
    &[Role::OnTicket],
    &[Role::OnPass],
    &[Role::OnList],
    &[Role::Escapes],
    &[Role::Points],
];

/// From which the other cars are drawn; often the ordinary, seldom the odd.
const CROWD: [&[Role]; 20] = [
    &[Role::Points],
    &[Role::Points],
    &[Role::Points],
    &[Role::Points],
    &[Role::Pair(1), Role::Pair(2)],
    &[Role::Lunch],
    &[Role::Lunch],
    &[Role::TooFewPoints],
    &[Role::FreeVisitor],
    &[Role::FreeVisitor],
    &[Role::FreeVisitor],
    &[Role::FreeVisitor],
    &[Role::FreeMember],
    &[Role::TillBefore],
    &[Role::TillBefore],
    &[Role::TillAtExit],
    &[Role::Guard],
    &[Role::MisreadForGuard],
    &[Role::MisreadForCamera],
    &[Role::BacksOutAtExit],
];

/// A day while it is drawn.
pub(super) struct Drawing {
    pub rng: fastrand::Rng,
    pub taken: BTreeSet<String>,
    pub members: Vec<MemberPlan>,
    pub apart_ms: i64,
    pub an_answer_was_lost: bool,
}

impl Drawing {
    /// One role for each car, in the order of arrival; pairs stay together, so that both are inside at once.
    pub fn cast(&mut self, cars: usize) -> Vec<Role> {
        let mut groups: Vec<&[Role]> = Vec::new();
        let mut left = cars;
        for group in CAST {
            if group.len() <= left {
                groups.push(group);
                left -= group.len();
            }
        }
        while left > 0 {
            let group = CROWD[self.rng.usize(..CROWD.len())];
            if group.len() <= left {
                groups.push(group);
                left -= group.len();
            }
        }
        self.rng.shuffle(&mut groups);
        // Somebody who came late leaves on points after the last arrival, while the line is cut.
        if let Some(place) = groups.iter().position(|group| *group == [Role::Points]) {
            let late = groups.remove(place);
            groups.push(late);
        }
        groups.concat()
    }

    pub fn car(&mut self, place: usize, role: Role) -> CarPlan {
        let arrives_ms = place as i64 * self.apart_ms + self.rng.i64(0..self.apart_ms / 2);
        let way = self.way(role);
        let plate = self.plate();
        let member = self.owner(role, way, &plate);
        let misread = match role {
            Role::MisreadForGuard => Some(false),
            Role::MisreadForCamera => Some(true),
            Role::Points | Role::Pair(_) | Role::TooFewPoints | Role::Lunch | Role::FreeMember | Role::FreeVisitor => {
                None
            }
            Role::TillBefore | Role::TillAtExit | Role::Guard | Role::BacksOutAtEntry | Role::BacksOutAtExit => None,
            Role::OnTicket | Role::OnPass | Role::OnList | Role::Escapes => None,
        };
        let right = match role {
            Role::OnPass => Some(Right::Pass),
            Role::OnList => Some(Right::List),
            Role::Points | Role::Pair(_) | Role::TooFewPoints | Role::Lunch | Role::FreeMember | Role::FreeVisitor => {
                None
            }
            Role::TillBefore | Role::TillAtExit | Role::Guard | Role::BacksOutAtEntry | Role::BacksOutAtExit => None,
            Role::MisreadForGuard | Role::MisreadForCamera | Role::OnTicket | Role::Escapes => None,
        };
        CarPlan {
            member,
            arrives_ms,
            backs_out_at_entry: role == Role::BacksOutAtEntry,
            parked_ms: self.parked_ms(arrives_ms, role, way),
            lunch: self.lunch(role),
            exit: if place.is_multiple_of(2) { ExitLane::One } else { ExitLane::Two },
            way,
            misread: misread
                .map(|camera_corrects| Misread { plate: plates::misread(&mut self.rng, &plate), camera_corrects }),
            backs_out_at_exit: role == Role::BacksOutAtExit,
            is_unreadable: role == Role::OnTicket,
            right,
            coupon: (role == Role::TillBefore).then(|| format!("C-{}", 1001 + place)),
            plate,
        }
    }

    fn plate(&mut self) -> String {
        let kind = if self.rng.u8(..10) < 4 { PlateKind::NewEnergy } else { PlateKind::Ordinary };
        plates::draw(&mut self.rng, kind, &mut self.taken)
    }

    fn way(&mut self, role: Role) -> Way {
        let either = |free: bool| if free { Way::Free } else { Way::Points };
        match role {
            Role::Points | Role::Pair(_) | Role::Lunch => Way::Points,
            Role::FreeMember | Role::FreeVisitor | Role::BacksOutAtEntry | Role::OnPass | Role::OnList => Way::Free,
            Role::TillBefore => Way::TillBefore,
            Role::TillAtExit | Role::OnTicket => Way::TillAtExit,
            Role::Escapes => Way::Escapes,
            Role::Guard => Way::Guard,
            Role::TooFewPoints if self.rng.bool() => Way::TillAtExit,
            Role::TooFewPoints => Way::Guard,
            Role::MisreadForGuard | Role::MisreadForCamera => either(self.rng.bool()),
            Role::BacksOutAtExit => either(self.rng.u8(..3) == 0),
        }
    }

    fn parked_ms(&mut self, arrives_ms: i64, role: Role, way: Way) -> i64 {
        let may_stay_long = arrives_ms < LONG_STAY_UNTIL_MS && role != Role::Lunch && self.rng.bool();
        let (from, to) = match way {
            Way::Free if role == Role::OnPass || role == Role::OnList => PAID_STAY_MS,
            Way::Free => FREE_STAY_MS,
            Way::Points | Way::TillBefore | Way::TillAtExit | Way::Guard if may_stay_long => LONG_STAY_MS,
            Way::Points | Way::TillBefore | Way::TillAtExit | Way::Guard | Way::Escapes => PAID_STAY_MS,
        };
        self.rng.i64(from..to)
    }

    fn lunch(&mut self, role: Role) -> Option<Lunch> {
        let eats = match role {
            Role::Lunch => true,
            Role::Points | Role::Pair(_) | Role::TillBefore => self.rng.u8(..4) == 0,
            Role::TooFewPoints | Role::FreeMember | Role::FreeVisitor | Role::TillAtExit | Role::Guard => false,
            Role::MisreadForGuard | Role::MisreadForCamera | Role::BacksOutAtEntry | Role::BacksOutAtExit => false,
            Role::OnTicket | Role::OnPass | Role::OnList | Role::Escapes => false,
        };
        if !eats {
            return None;
        }
        let answer_lost = role == Role::Lunch && (!self.an_answer_was_lost || self.rng.bool());
        self.an_answer_was_lost |= answer_lost;
        // At least 120 yuan earn 120 points, which pay two units of parking.
        Some(Lunch { fen: self.rng.i64(12_000..30_000), answer_lost })
    }

    /// The owner's place among the members; a pair's second car belongs to the member before.
    fn owner(&mut self, role: Role, way: Way, plate: &str) -> Option<usize> {
        let balance = match role {
            Role::Points => self.rng.i64(300..1500),
            Role::Pair(1) => self.rng.i64(600..2000),
            Role::Pair(_) => {
                let last = self.members.len() - 1;
                self.members[last].plates.push(plate.to_owned());
                return Some(last);
            }
            Role::TooFewPoints => self.rng.i64(1..40),
            Role::Lunch => 0,
            Role::FreeMember => self.rng.i64(1..800),
            Role::MisreadForGuard | Role::MisreadForCamera | Role::BacksOutAtExit if way == Way::Points => {
                self.rng.i64(300..1500)
            }
            Role::MisreadForGuard | Role::MisreadForCamera | Role::BacksOutAtExit => return None,
            Role::FreeVisitor | Role::TillBefore | Role::TillAtExit | Role::Guard | Role::BacksOutAtEntry => {
                return None;
            }
            Role::OnTicket | Role::OnPass | Role::OnList | Role::Escapes => return None,
        };
        let number = 1001 + self.members.len();
        let surnames = ["王", "李", "张", "刘", "陈", "杨", "黄", "赵"];
        self.members.push(MemberPlan {
            id: format!("M{number}"),
            handle: format!("{}**", surnames[self.rng.usize(..surnames.len())]),
            tier: (*self.rng.choice(&["silver", "gold"]).unwrap_or(&"silver")).to_owned(),
            code: format!("GPM{number}"),
            plates: vec![plate.to_owned()],
            balance,
            token: None,
        });
        Some(self.members.len() - 1)
    }
}

/// A stretch after the last arrival in which at least one member leaves on points.
pub(super) fn cut(cars: &[CarPlan]) -> Option<(i64, i64)> {
    let last_arrival_ms = cars.iter().map(|car| car.arrives_ms).max()?;
    let earliest_ms = last_arrival_ms + GRANTS_SETTLE_MS + CUT_AROUND_MS.0;
    let leaves = cars.iter().filter(|car| car.leaves_smoothly_on_points()).map(CarPlan::leaves_ms);
    let witness_ms = leaves.filter(|ms| *ms >= earliest_ms).min()?;
    Some((witness_ms - CUT_AROUND_MS.0, witness_ms + CUT_AROUND_MS.1))
}

/// A member leaving on points near the middle of all departures, but not while the line is cut; on a short day, where
/// there is none, somebody else whom the box lets out by itself.
pub(super) fn kill(cars: &[CarPlan], cut_ms: Option<(i64, i64)>, is_back_ms: i64) -> Option<usize> {
    let last_ms = cars.iter().map(CarPlan::leaves_ms).max()?;
    let clear_of_cut = |car: &CarPlan| {
        cut_ms.is_none_or(|(from, to)| car.leaves_ms() < from - MINUTE_MS || car.leaves_ms() > to + MINUTE_MS)
    };
    let candidates = cars.iter().enumerate().filter(|(_, car)| car.leaves_by_itself() && clear_of_cut(car));
    let needed: Vec<i64> = cars.iter().flat_map(CarPlan::needs_the_box_at).collect();
    let is_needed = |car: &CarPlan| needed.iter().any(|at| (at - car.leaves_ms()).abs() < is_back_ms);
    let rank =
        |car: &CarPlan| (is_needed(car), !car.leaves_smoothly_on_points(), (car.leaves_ms() - last_ms / 2).abs());
    candidates.min_by_key(|(_, car)| rank(car)).map(|(place, _)| place)
}
