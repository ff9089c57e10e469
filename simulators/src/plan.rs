//! The whole day of the simulated mall, decided from a seed before it begins: who comes, when, and what goes wrong.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::plates::{self, PlateKind};
use crate::tariff::Tariff;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;

/// Real time that one car needs at the entry, with some room; arrivals closer than this would only queue.
const ENTRY_TAKES_REAL_MS: i64 = 220;
/// World time between two arrivals, at least.
const ARRIVALS_APART_MS: i64 = 13 * SECOND_MS;
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

/// What a plan is made from; the same numbers make the same plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// Everything random comes from this.
    pub seed: u64,
    /// How many cars come; from 20 on every behaviour occurs.
    pub cars: u32,
    /// World seconds per real second; it only spreads the arrivals.
    pub speed: u32,
}

/// A day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The price list at the entry.
    #[serde(skip)]
    pub tariff: Tariff,
    /// Whom the cloud ledger knows.
    pub members: Vec<MemberPlan>,
    /// Who comes, in the order of arrival.
    pub cars: Vec<CarPlan>,
    /// When the line to the cloud is cut and mended, in world milliseconds from the beginning.
    pub cut_ms: Option<(i64, i64)>,
    /// The car in front of whose eyes the box is killed while it waits at the exit.
    pub kill_at_exit_of: Option<usize>,
}

/// A member before the day begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberPlan {
    /// The ledger's id.
    pub id: String,
    /// A masked name.
    pub handle: String,
    /// The tier's name.
    pub tier: String,
    /// What a till scans.
    pub code: String,
    /// The member's cars.
    pub plates: Vec<String>,
    /// Points before the day begins.
    pub balance: i64,
}

/// One car's visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CarPlan {
    /// Its plate.
    pub plate: String,
    /// Its owner, an index into the plan's members.
    pub member: Option<usize>,
    /// When it stands at the entry, in world milliseconds from the beginning.
    pub arrives_ms: i64,
    /// Whether it goes back while the arm is up at the entry, and leaves for good.
    pub backs_out_at_entry: bool,
    /// How long it stays, in world milliseconds.
    pub parked_ms: i64,
    /// Lunch, in the middle of the stay.
    pub lunch: Option<Lunch>,
    /// Where it leaves.
    pub exit: ExitLane,
    /// How it means to pay.
    pub way: Way,
    /// What the camera at the exit reads instead of the plate, and who notices.
    pub misread: Option<Misread>,
    /// Whether it goes back from the exit once, and comes again a minute later.
    pub backs_out_at_exit: bool,
}

/// A purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lunch {
    /// What it costs.
    pub fen: i64,
    /// Whether the till's cable is pulled before the answer.
    pub answer_lost: bool,
}

/// The ways out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitLane {
    /// Everything by the camera.
    #[serde(rename = "exit-1")]
    One,
    /// Plates by the camera; loops, arm and limit switch by the relay board.
    #[serde(rename = "exit-2")]
    Two,
}

/// How a driver means to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Leaves within the free time.
    Free,
    /// With points, without stopping.
    Points,
    /// Cash at a till, before walking to the car.
    TillBefore,
    /// Cash at a till while the car waits at the exit.
    TillAtExit,
    /// Cash to the guard at the exit.
    Guard,
}

/// A wrong read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misread {
    /// What was read.
    pub plate: String,
    /// Whether the camera corrects itself; otherwise the guard does.
    pub camera_corrects: bool,
}

/// What the casting decides about a car; details are drawn later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
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
}

/// Once each, the most telling first, for days with few cars.
const CAST: [&[Role]; 14] = [
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

impl Plan {
    /// Decides a day.
    pub fn draw(settings: PlanSettings) -> Self {
        let mut drawing = Drawing {
            rng: fastrand::Rng::with_seed(settings.seed),
            taken: BTreeSet::new(),
            members: Vec::new(),
            an_answer_was_lost: false,
            apart_ms: ARRIVALS_APART_MS.max(ENTRY_TAKES_REAL_MS * i64::from(settings.speed)),
        };
        let roles = drawing.cast(settings.cars as usize);
        let cars: Vec<CarPlan> = roles.iter().enumerate().map(|(place, role)| drawing.car(place, *role)).collect();
        let cut_ms = cut(&cars);
        let kill_at_exit_of = kill(&cars, cut_ms);
        Self { tariff: Tariff::DEMO, members: drawing.members, cars, cut_ms, kill_at_exit_of }
    }

    /// How long the day is when nothing is late, in world milliseconds.
    pub fn length_ms(&self) -> i64 {
        self.cars.iter().map(CarPlan::leaves_ms).max().unwrap_or(0)
    }
}

impl CarPlan {
    /// When it stands at the exit, in world milliseconds from the beginning, if nothing is late.
    pub fn leaves_ms(&self) -> i64 {
        self.arrives_ms + if self.backs_out_at_entry { 0 } else { self.parked_ms }
    }

    /// A member who drives out on points without anything odd.
    fn leaves_smoothly_on_points(&self) -> bool {
        self.way == Way::Points && self.leaves_by_itself() && self.lunch.is_none()
    }

    /// Nobody has to do anything at the exit, and nothing odd happens there.
    fn leaves_by_itself(&self) -> bool {
        let odd = self.backs_out_at_entry || self.backs_out_at_exit || self.misread.is_some();
        !odd && matches!(self.way, Way::Free | Way::Points | Way::TillBefore)
    }
}

impl ExitLane {
    /// The lane's name in the box's settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "exit-1",
            Self::Two => "exit-2",
        }
    }
}

struct Drawing {
    rng: fastrand::Rng,
    taken: BTreeSet<String>,
    members: Vec<MemberPlan>,
    apart_ms: i64,
    an_answer_was_lost: bool,
}

impl Drawing {
    /// One role for each car, in the order of arrival; pairs stay together, so that both are inside at once.
    fn cast(&mut self, cars: usize) -> Vec<Role> {
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

    fn car(&mut self, place: usize, role: Role) -> CarPlan {
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
            Role::FreeMember | Role::FreeVisitor | Role::BacksOutAtEntry => Way::Free,
            Role::TillBefore => Way::TillBefore,
            Role::TillAtExit => Way::TillAtExit,
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
            Way::Free => FREE_STAY_MS,
            Way::Points | Way::TillBefore | Way::TillAtExit | Way::Guard if may_stay_long => LONG_STAY_MS,
            Way::Points | Way::TillBefore | Way::TillAtExit | Way::Guard => PAID_STAY_MS,
        };
        self.rng.i64(from..to)
    }

    fn lunch(&mut self, role: Role) -> Option<Lunch> {
        let eats = match role {
            Role::Lunch => true,
            Role::Points | Role::Pair(_) | Role::TillBefore => self.rng.u8(..4) == 0,
            Role::TooFewPoints | Role::FreeMember | Role::FreeVisitor | Role::TillAtExit | Role::Guard => false,
            Role::MisreadForGuard | Role::MisreadForCamera | Role::BacksOutAtEntry | Role::BacksOutAtExit => false,
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
        });
        Some(self.members.len() - 1)
    }
}

/// A stretch after the last arrival in which at least one member leaves on points.
fn cut(cars: &[CarPlan]) -> Option<(i64, i64)> {
    let last_arrival_ms = cars.iter().map(|car| car.arrives_ms).max()?;
    let earliest_ms = last_arrival_ms + GRANTS_SETTLE_MS + CUT_AROUND_MS.0;
    let leaves = cars.iter().filter(|car| car.leaves_smoothly_on_points()).map(CarPlan::leaves_ms);
    let witness_ms = leaves.filter(|ms| *ms >= earliest_ms).min()?;
    Some((witness_ms - CUT_AROUND_MS.0, witness_ms + CUT_AROUND_MS.1))
}

/// A member leaving on points near the middle of all departures, but not while the line is cut; on a short day, where
/// there is none, somebody else whom the box lets out by itself.
fn kill(cars: &[CarPlan], cut_ms: Option<(i64, i64)>) -> Option<usize> {
    let last_ms = cars.iter().map(CarPlan::leaves_ms).max()?;
    let clear_of_cut = |car: &CarPlan| {
        cut_ms.is_none_or(|(from, to)| car.leaves_ms() < from - MINUTE_MS || car.leaves_ms() > to + MINUTE_MS)
    };
    let candidates = cars.iter().enumerate().filter(|(_, car)| car.leaves_by_itself() && clear_of_cut(car));
    let rank = |car: &CarPlan| (!car.leaves_smoothly_on_points(), (car.leaves_ms() - last_ms / 2).abs());
    candidates.min_by_key(|(_, car)| rank(car)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_plan_and_another_seed_another() {
        let settings = PlanSettings { seed: 7, cars: 60, speed: 60 };
        assert_eq!(Plan::draw(settings), Plan::draw(settings));
        assert_ne!(Plan::draw(settings).cars, Plan::draw(PlanSettings { seed: 8, ..settings }).cars);
    }

    #[test]
    fn every_behaviour_occurs_from_twenty_cars_on() {
        check_complete(PlanSettings { seed: 7, cars: 60, speed: 60 });
        for seed in 0..50 {
            for cars in [20, 21, 25, 60, 200] {
                check_complete(PlanSettings { seed, cars, speed: 60 });
            }
            check_complete(PlanSettings { seed, cars: 40, speed: 1 });
        }
    }

    #[test]
    fn a_day_with_few_cars_has_so_many_cars() {
        for cars in 0..20 {
            assert_eq!(Plan::draw(PlanSettings { seed: 3, cars, speed: 60 }).cars.len(), cars as usize);
        }
    }

    #[test]
    fn the_demo_s_day_is_over_in_time() {
        for seed in 0..50 {
            let plan = Plan::draw(PlanSettings { seed, cars: 60, speed: 60 });
            assert!(plan.length_ms() < 40 * MINUTE_MS, "seed {seed}: {} minutes", plan.length_ms() / MINUTE_MS);
        }
    }

    fn check_complete(settings: PlanSettings) {
        let plan = Plan::draw(settings);
        let any = |what: &str, found: &dyn Fn(&CarPlan) -> bool| {
            assert!(plan.cars.iter().any(found), "{settings:?} has no {what}");
        };
        assert_eq!(plan.cars.len(), settings.cars as usize);
        for way in [Way::Free, Way::Points, Way::TillBefore, Way::TillAtExit, Way::Guard] {
            any(&format!("{way:?}"), &|car| car.way == way);
        }
        for lane in [ExitLane::One, ExitLane::Two] {
            any(lane.name(), &|car| car.exit == lane && !car.backs_out_at_entry);
        }
        any("lunch that pays the exit", &|car| car.lunch.is_some() && balance(&plan, car) == Some(0));
        any("lost answer", &|car| car.lunch.is_some_and(|lunch| lunch.answer_lost));
        any("member with too few points", &|car| car.way != Way::Points && balance(&plan, car).is_some_and(|b| b < 50));
        any("free member", &|car| car.way == Way::Free && car.member.is_some());
        any("misread for the guard", &|car| car.misread.as_ref().is_some_and(|m| !m.camera_corrects));
        any("misread for the camera", &|car| car.misread.as_ref().is_some_and(|m| m.camera_corrects));
        any("backing out at the entry", &|car| car.backs_out_at_entry);
        any("backing out at the exit", &|car| car.backs_out_at_exit);
        any("new energy", &|car| PlateKind::of(&car.plate) == PlateKind::NewEnergy);
        check_pairs(&plan);
        check_cut_and_kill(&plan);
    }

    /// A member's two cars are inside at once.
    fn check_pairs(plan: &Plan) {
        let inside_at_once = |member: usize| {
            let cars: Vec<&CarPlan> = plan.cars.iter().filter(|car| car.member == Some(member)).collect();
            matches!(cars.as_slice(), [one, other] if other.arrives_ms < one.leaves_ms() && one.arrives_ms < other.leaves_ms())
        };
        let mut pairs = (0..plan.members.len()).filter(|member| plan.members[*member].plates.len() == 2).peekable();
        assert!(pairs.peek().is_some());
        assert!(pairs.all(inside_at_once));
    }

    fn check_cut_and_kill(plan: &Plan) {
        let (from, to) = plan.cut_ms.expect("the line is cut");
        let during = |car: &CarPlan| (from..to).contains(&car.leaves_ms());
        assert!(plan.cars.iter().any(|car| car.leaves_smoothly_on_points() && during(car)));
        assert!(plan.cars.iter().all(|car| car.arrives_ms < from), "nobody enters while grants cannot come");
        let killed = &plan.cars[plan.kill_at_exit_of.expect("the box is killed")];
        assert!(killed.leaves_by_itself() && !during(killed));
    }

    fn balance(plan: &Plan, car: &CarPlan) -> Option<i64> {
        car.member.map(|member| plan.members[member].balance)
    }
}
