//! The lane's state: what stands in it, what it waits for, and what was seen of the arm.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::arm::Limits;
use super::cables::Cables;
use super::event::{
    ARRIVAL_READS_MAX, ArmPosition, ArrivalRead, CommandAnswer, CommandId, DeviceId, Fen, LaneId, PlateRead,
    RaiseCause, StayId, UtcMs,
};
use super::gear::Gear;
use super::matching;
use super::plate::Plate;
use super::plate::told::End;

/// What a loop detector is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopRole {
    /// Under the camera, before the arm.
    Arrival,
    /// Beyond the arm.
    Passage,
    /// Under the arm: while it is covered, the arm must not come down.
    Safety,
}

/// Which way a lane leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the car park.
    Entry,
    /// Out of it.
    Exit,
}

/// What tells that a vehicle has passed; the strongest that the lane has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassedBy {
    /// The passage loop was entered and left.
    PassageLoop,
    /// The camera's own passed event.
    Camera,
    /// Nothing: after the time-out the passage is taken for done and listed as unconfirmed.
    Timeout,
}

/// How a lane is built and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Which way it leads.
    pub direction: Direction,
    /// Whether a loop tells that a vehicle stands before the arm.
    pub has_arrival_loop: bool,
    /// What tells that it has passed.
    pub passed_by: PassedBy,
    /// How long after a raise a passage may take, in milliseconds.
    pub pass_timeout_ms: u64,
    /// How long the arrival loop must be clear before a vehicle counts as gone back, in milliseconds.
    pub back_out_ms: u64,
    /// How long after a passage another read of the same plate is still the same vehicle, in milliseconds.
    pub same_vehicle_ms: i64,
    /// What becomes of a vehicle at the exit that has not paid.
    pub unpaid: Unpaid,
    /// The inner lot into or out of which it leads; none: into or out of the car park itself.
    pub zone: Option<String>,
    /// How long a waiting vehicle is remembered that nobody has seen again, in milliseconds, in a lane without an arrival
    /// loop; 0: for ever.
    pub forget_ms: u64,
    /// How long a loop may be covered before it counts as stuck, in milliseconds; 0: never.
    pub stuck_ms: u64,
    /// What the loops do to a raised barrier.
    pub detectors: Detectors,
    /// The devices that it is made of.
    pub gear: Gear,
}

impl LaneSettings {
    /// A lane whose camera tells of passages too, and that waits for everything as long as it takes.
    pub fn plain(direction: Direction) -> Self {
        Self {
            direction,
            has_arrival_loop: false,
            passed_by: PassedBy::Camera,
            pass_timeout_ms: 60_000,
            back_out_ms: 5_000,
            same_vehicle_ms: 10_000,
            unpaid: Unpaid::default(),
            zone: None,
            forget_ms: 0,
            stuck_ms: 0,
            detectors: Detectors::default(),
            gear: Gear::default(),
        }
    }
}

/// What the loops of a lane do to a raised arm, after the detector modes of HySecurity's operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detectors {
    /// Mode 1: a vehicle on a loop holds it up.
    Hold,
    /// Mode 2: its own timer may expire.
    #[default]
    Timer,
    /// Mode 3: it is let down at once when a vehicle has been on both loops and both are clear.
    AtOnce,
    /// Mode 4: it is let down behind the vehicle that has passed, and the next is not let through before that.
    AntiTailgate,
    /// What mode 4 does besides letting the arm down: one vehicle a raise; the next is not let through while the passage
    /// loop is covered.
    OneByOne,
}

impl Detectors {
    /// Whether the box itself lets the arm down.
    pub fn lowers(self) -> bool {
        match self {
            Self::AtOnce | Self::AntiTailgate => true,
            Self::Hold | Self::Timer | Self::OneByOne => false,
        }
    }

    /// Whether a vehicle waits until the one before it is away.
    pub fn is_one_by_one(self) -> bool {
        match self {
            Self::AntiTailgate | Self::OneByOne => true,
            Self::Hold | Self::Timer | Self::AtOnce => false,
        }
    }
}

/// What becomes of a vehicle at the exit that has not paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpaid {
    /// It waits for a tender or a person.
    #[default]
    Wait,
    /// It leaves, and its plate owes what is due.
    Debt,
}

/// A lane's whole state; it survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// What the lane is doing.
    pub phase: Phase,
    /// Whether a vehicle stands on the arrival loop.
    pub arrival: bool,
    /// Whether a vehicle stands on the passage loop.
    pub passage: bool,
    /// Where the arm was last seen.
    pub arm: Option<ArmPosition>,
    /// The vehicle that was served last, and when it was done.
    pub last: Option<Served>,
    /// A vehicle that was read while the one before it was still being served.
    pub next: Option<PlateRead>,
    /// Set while an emergency holds the barrier up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Emergency>,
    /// A vehicle that was read behind the last one and then was gone from the arrival loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<PlateRead>,
    /// Since when the passage loop is covered, by the clock that never jumps, and whether staff were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<Covered>,
    /// Whether something is under the arm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub safety: bool,
    /// Whether that is only assumed: the loop or the box was away, and nothing was told of it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub safety_untold: bool,
    /// Since when the loops before and under the arm are covered, where they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stood: BTreeMap<LoopRole, Covered>,
    /// Those of its devices that are away: what they said last need not be so.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<DeviceId>,
    /// Whether the last vehicle was on both loops, so that the arm may come down behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both_passed: bool,
    /// The arm is on its way down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowering: Option<Motion>,
    /// The last raise of a lane in which vehicles on the loops hold the arm up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Motion>,
    /// What was seen of the lane's wires.
    #[serde(default, skip_serializing_if = "Cables::is_unknown")]
    pub cables: Cables,
    /// What its limit switches say, and what follows from it.
    #[serde(default, skip_serializing_if = "Limits::is_unknown")]
    pub limits: Limits,
}

/// A command that moves the arm, and when it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Motion {
    /// The command.
    pub command: CommandId,
    /// When, by the clock that never jumps.
    pub since_ms: u64,
}

/// A loop that is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// Since when, by the clock that never jumps.
    pub since_ms: u64,
    /// Whether it counts as stuck: staff were told, and the passage loop says nothing about vehicles until it is clear
    /// again.
    pub stuck: bool,
}

/// A barrier that an emergency holds up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// The newest command.
    pub command: CommandId,
    /// When it was given, by the clock that never jumps.
    pub raised_ms: u64,
    /// Whether staff were told that this barrier does not obey.
    pub told: bool,
}

/// A vehicle that has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Its plate.
    pub plate: Plate,
    /// When it had passed.
    pub at: UtcMs,
    /// The end from which it was not read, in a lane with two cameras: that one may still read it while it drives off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<End>,
    /// What else was read of it there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Plate>,
}

/// What a lane is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Phase {
    /// No vehicle is being served.
    #[default]
    Idle,
    /// A vehicle stands before the arm and something is missing.
    Waiting(Waiting),
    /// The barrier was commanded up and the vehicle has not passed yet.
    Raised(Raised),
}

/// A vehicle that cannot be let through yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The vehicle.
    pub visit: Visit,
    /// What it owes, where that is known.
    pub due: Option<Fen>,
    /// What of that is left for money where the member's points pay as much as they may; none: they pay none of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_points: Option<Fen>,
    /// What is missing.
    pub why: WaitReason,
    /// Whether more points were already asked from the cloud for it.
    pub asked_for_points: bool,
    /// The stays that it may be, the likeliest first, where a guard is to choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<PossibleStay>,
    /// Whether somebody drove over the passage loop meanwhile, which only this vehicle can have been if it is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub crossed: bool,
    /// Since when it waits, by the clock that never jumps.
    #[serde(default)]
    pub since_ms: u64,
}

/// A stay that a waiting vehicle may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PossibleStay {
    /// Which.
    pub stay: StayId,
    /// Its plate, as it was read at the entry.
    pub plate: Plate,
    /// How certain it is, in millionths.
    pub posterior_ppm: u32,
    /// Whether colour and kind of vehicle were told at entry and exit and are the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_factor: bool,
}

/// What a waiting vehicle lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Money or points.
    FeeDue,
    /// A stay: no open one has this plate.
    NoEntryFound,
    /// A person's choice: the read fits a stay, but not certainly enough.
    ChoiceOfStay,
    /// A readable plate.
    NoPlate,
    /// Its stay is entering or leaving by another lane at this moment, so one of the two was misread.
    LeavingElsewhere,
    /// A leave: a list keeps it out.
    Blocked,
    /// A free bay.
    Full,
    /// The money that earlier stays of its plate owe.
    DebtsDue,
    /// An end of its old stay: it is inside by the books.
    InsideAlready,
    /// A right to this inner lot.
    NoZoneRight,
}

/// A barrier that was commanded up, until the passage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// The vehicle; none where a guard raised for nobody that the box knows.
    pub visit: Option<Visit>,
    /// The newest command.
    pub command: CommandId,
    /// Why.
    pub cause: RaiseCause,
    /// What came back for it.
    pub answer: Option<CommandAnswer>,
    /// Whether the vehicle has been on the passage loop.
    pub on_passage: bool,
    /// What a guard lets go unpaid; whatever else is unpaid when the vehicle has passed becomes a debt of its plate.
    pub waived: Fen,
    /// When it was commanded, by the clock that never jumps.
    pub since_ms: u64,
    /// Whether staff were told that the vehicle does not drive on.
    pub told: bool,
    /// Whether staff were told that nobody knows if the arm went up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_told_uncertain: bool,
    /// Whether it was read right behind another vehicle while nobody stood on the arrival loop, and not since, nor has
    /// anybody driven over that: it may be nothing but the other one, misread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_ahead: bool,
}

/// A vehicle in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Its plate, if one could be read.
    pub plate: Option<Plate>,
    /// The camera's identity of the read.
    pub event: String,
    /// When it was read.
    pub captured: UtcMs,
    /// Its stay, if it has one.
    pub stay: Option<StayId>,
    /// When the arrival loop became clear behind it, by the clock that never jumps.
    pub left_at_ms: Option<u64>,
    /// How certain it is that the stay is its own, in millionths; none where a person said so or nothing was matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_ppm: Option<u32>,
    /// Whether its colour and kind speak for that stay too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_factor: bool,
    /// All that was read of it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<ArrivalRead>,
    /// Further events in which a camera said something of it, the newest last; kept where the lane has two cameras, or
    /// somebody else reads their pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// What its driver is greeted with, in Chinese and English: a right of a tier or plan, which names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<(String, String)>,
}

impl Lane {
    /// The vehicle that is being served.
    pub fn visit(&self) -> Option<&Visit> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Waiting(waiting) => Some(&waiting.visit),
            Phase::Raised(raised) => raised.visit.as_ref(),
        }
    }

    /// Whether a read may still lead to a stay: nothing is being served, or something without one.
    pub fn may_find_a_stay(&self) -> bool {
        match &self.phase {
            Phase::Idle => true,
            Phase::Waiting(waiting) => waiting.visit.stay.is_none(),
            Phase::Raised(_) => false,
        }
    }

    /// Whether a read is of the vehicle that is being served: another result of the same event, or a plate that hardly
    /// differs from one that was read of it, while it stands on the arrival loop or by the lane's other camera.
    pub fn is_same_arrival(&self, read: &PlateRead) -> bool {
        let Some(visit) = self.visit() else { return false };
        if let Some(event) = &read.told.picture_of {
            return visit.is_of(event);
        }
        let is_here = self.arrival && visit.left_at_ms.is_none();
        let is_alike = |plate: &Plate| visit.reads.iter().any(|before| matching::are_alike(&before.plate, plate));
        let is_new_or_here = is_here || visit.is_unread_from(read.told.end);
        let is_known = visit.event == read.event || visit.is_read_again(read);
        is_known || is_new_or_here && read.plate.as_ref().is_some_and(is_alike)
    }

    /// Whether a read may still better what a stay is known by: its vehicle has a raised barrier and has not passed.
    pub fn may_be_corrected_by(&self, read: &PlateRead) -> bool {
        match &self.phase {
            Phase::Raised(raised) => !raised.on_passage && read.plate.is_some() && self.is_same_arrival(read),
            Phase::Idle | Phase::Waiting(_) => false,
        }
    }

    /// The stays that the waiting vehicle may be, where a guard is to choose.
    pub fn candidates(&self) -> &[PossibleStay] {
        match &self.phase {
            Phase::Waiting(waiting) => &waiting.candidates,
            Phase::Idle | Phase::Raised(_) => &[],
        }
    }

    /// The stay of the vehicle that is being served.
    pub fn stay(&self) -> Option<&StayId> {
        self.visit().and_then(|visit| visit.stay.as_ref())
    }
}

impl Visit {
    /// Whether it was read, and from the other end alone.
    pub fn is_unread_from(&self, end: End) -> bool {
        !self.reads.is_empty() && self.reads.iter().all(|read| read.told.end != end)
    }

    /// Whether a camera's event is about it.
    pub fn is_of(&self, event: &str) -> bool {
        self.event == event
            || self.events.iter().any(|also| also == event)
            || self.reads.iter().any(|r| r.event == event)
    }

    /// The cameras' events that are about it: the one that it was served by, then the newest first.
    pub fn all_events(&self) -> impl Iterator<Item = &str> {
        let others = self.reads.iter().map(|read| &read.event).rev().chain(self.events.iter().rev());
        std::iter::once(&self.event).chain(others).map(String::as_str)
    }

    /// A camera's event is about it, too.
    pub fn is_also(&mut self, event: &str) {
        if self.is_of(event) {
            return;
        }
        if self.events.len() >= ARRIVAL_READS_MAX {
            self.events.remove(0);
        }
        self.events.push(event.to_owned());
    }

    /// Whether both cameras of its lane have read it, and one says again what was said of it.
    pub fn is_read_again(&self, read: &PlateRead) -> bool {
        let is_read = |end| self.reads.iter().any(|before| before.told.end == end);
        let is_said = || self.reads.iter().any(|before| Some(&before.plate) == read.plate.as_ref());
        is_read(End::Front) && is_read(End::Rear) && is_said()
    }

    /// Keeps one more statement; false where nothing in it is new.
    pub fn keep(&mut self, read: &PlateRead) -> bool {
        let Some(plate) = read.plate.clone() else { return false };
        let read = ArrivalRead { event: read.event.clone(), plate, told: read.told.of_the_vehicle() };
        if self.reads.len() >= ARRIVAL_READS_MAX || self.reads.contains(&read) {
            return false;
        }
        self.reads.push(read);
        true
    }
}

impl Served {
    /// Whatever was read of it.
    pub fn plates(&self) -> impl Iterator<Item = &Plate> {
        std::iter::once(&self.plate).chain(&self.also)
    }
}

impl Raised {
    /// Whether nobody can say if the arm went up: refused, unanswered, or the box was off meanwhile.
    pub fn is_uncertain(&self) -> bool {
        match self.answer {
            Some(CommandAnswer::Refused(_) | CommandAnswer::Silent(_) | CommandAnswer::Unconfirmed(_)) => true,
            Some(CommandAnswer::Accepted | CommandAnswer::NotSent(_)) | None => false,
        }
    }

    /// Whether the command for it never left the box.
    pub fn is_not_sent(&self) -> bool {
        matches!(self.answer, Some(CommandAnswer::NotSent(_)))
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::Entry => "entry",
            Direction::Exit => "exit",
        })
    }
}

/// A lane's name beside its settings, as the decisions use them.
pub type Lanes = std::collections::BTreeMap<LaneId, LaneSettings>;
