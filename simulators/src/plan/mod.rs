//! The whole day of the simulated mall, decided from a seed before it begins: who comes, when, and what goes wrong.

mod drawing;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::phone::Phone;
use crate::tariff::Tariff;
use drawing::{ARRIVALS_APART_MS, BOX_IS_BACK_REAL_MS, Drawing, ENTRY_TAKES_REAL_MS, cut, kill};

const MINUTE_MS: i64 = 60 * 1000;

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
    /// What the cloud ledger signed for the member's phone; nothing until the day is opened.
    pub token: Option<String>,
}

impl MemberPlan {
    /// The member's phone: its key follows from the id, so that the same plan has the same phones.
    pub fn phone(&self) -> Phone {
        let mut seed = [0; 32];
        seed.iter_mut().zip(self.id.bytes()).for_each(|(place, byte)| *place = byte);
        let phone = Phone::of(seed);
        match &self.token {
            Some(token) => phone.with_token(token),
            None => phone,
        }
    }
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
    /// Whether no camera can read its plate, so that it comes in and leaves on a ticket.
    pub is_unreadable: bool,
    /// On what right it parks for nothing.
    pub right: Option<Right>,
    /// The coupon that its driver was handed on the street, and shows at the pay desk.
    pub coupon: Option<String>,
}

/// A right to park for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// A monthly pass.
    Pass,
    /// The house's own list, which also opens the inner lot.
    List,
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
    /// Not at all: it drives out although the barrier is not raised for it.
    Escapes,
}

/// A wrong read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misread {
    /// What was read.
    pub plate: String,
    /// Whether the camera corrects itself; otherwise the guard does.
    pub camera_corrects: bool,
}

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
        let kill_at_exit_of = kill(&cars, cut_ms, BOX_IS_BACK_REAL_MS * i64::from(settings.speed));
        Self { tariff: Tariff::DEMO, members: drawing.members, cars, cut_ms, kill_at_exit_of }
    }

    /// The coupons that the mall hands out.
    pub fn coupons(&self) -> impl Iterator<Item = &str> {
        self.cars.iter().filter_map(|car| car.coupon.as_deref())
    }

    /// The plates that park for nothing on a right.
    pub fn plates_on(&self, right: Right) -> Vec<&str> {
        self.cars.iter().filter(|car| car.right == Some(right)).map(|car| car.plate.as_str()).collect()
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

    /// At these moments the box must be there, because what happens then happens once.
    fn needs_the_box_at(&self) -> Vec<i64> {
        let is_needed = self.is_unreadable || self.way == Way::Escapes || self.right == Some(Right::List);
        let parts = if is_needed { [0, 1, 3, 4].as_slice() } else { [].as_slice() };
        parts.iter().map(|part| self.arrives_ms + self.parked_ms * part / 4).collect()
    }

    /// Nobody has to do anything at the exit, and nothing odd happens there.
    fn leaves_by_itself(&self) -> bool {
        let odd = self.backs_out_at_entry || self.backs_out_at_exit || self.misread.is_some() || self.is_unreadable;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plates::PlateKind;

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
        for way in [Way::Free, Way::Points, Way::TillBefore, Way::TillAtExit, Way::Guard, Way::Escapes] {
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
        any("ticket", &|car| car.is_unreadable);
        any("pass", &|car| car.right == Some(Right::Pass));
        any("coupon", &|car| car.coupon.is_some());
        any("vehicle of the house", &|car| car.right == Some(Right::List));
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
