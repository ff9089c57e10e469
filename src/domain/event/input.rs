//! What can happen to a box.

use serde::{Deserialize, Serialize};

use super::{
    CardNumber, CloudNews, CommandId, Correction, CouponClaim, DeviceId, Fen, LaneId, MemberId, MemberShown,
    MerchantTold, Money, OfficeAct, OpId, Pairing, Shared, Shown, StayId, TerminalId, TillAct, TillMark, Undo, UtcMs,
    Witnessed,
};
use crate::domain::admission::table::NoEntry;
use crate::domain::benefit::{CouponState, Privileges};
use crate::domain::lane::LoopRole;
use crate::domain::losses::DayReport;
use crate::domain::plate::Plate;
use crate::domain::plate::told::Told;
use crate::domain::settlement::Closing;

/// One statement of one camera about one vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlateRead {
    /// The lane that the camera looks at.
    pub lane: LaneId,
    /// The camera.
    pub device: DeviceId,
    /// The camera's identity of the event; the same for a repeat of the same statement.
    pub event: String,
    /// The plate as read; `None` where the camera saw a vehicle without a readable plate.
    pub plate: Option<Plate>,
    /// The camera's confidence, 0 to 100.
    pub confidence: u8,
    /// When it happened: as the camera says where its clock is believed, else when the box heard it (`told.clock` then
    /// has what the camera said).
    pub captured: UtcMs,
    /// Whether the camera stored it while it was cut off, so that no vehicle need be there now.
    pub stored_offline: bool,
    /// The pictures that came with it, so that a picture can be proved to be the one of this read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photos: Option<PhotoHashes>,
    /// What the camera told besides the text.
    #[serde(default, skip_serializing_if = "Told::is_silent")]
    pub told: Told,
    /// Where the lane looks at a vehicle again: what was read of it before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<ArrivalRead>,
}

/// What one statement said of a vehicle's plate, kept as long as the vehicle stands before the arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalRead {
    /// The camera's identity of the event.
    pub event: String,
    /// The plate as it was read.
    pub plate: Plate,
    /// What the camera told besides.
    #[serde(default, skip_serializing_if = "Told::is_silent")]
    pub told: Told,
}

/// The most statements about one arrival that are kept: quick and full results of two cameras, twice.
pub const ARRIVAL_READS_MAX: usize = 8;

impl PlateRead {
    /// All that was read of the vehicle, this statement last; empty where none of them has a plate.
    pub fn all_reads(&self) -> Vec<ArrivalRead> {
        let told = || self.told.of_the_vehicle();
        let own = self.plate.clone().map(|plate| ArrivalRead { event: self.event.clone(), plate, told: told() });
        let mut all: Vec<ArrivalRead> = self.earlier.iter().cloned().chain(own).collect();
        all.drain(..all.len().saturating_sub(ARRIVAL_READS_MAX));
        all
    }
}

/// The pictures of a read, by SHA-256 in hex of the bytes as the camera sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoHashes {
    /// The whole scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The plate alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
}

/// Of what a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhotoKind {
    /// The whole scene.
    Scene,
    /// The plate alone.
    Plate,
}

/// What a camera or a barrier says about a vehicle besides its plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleSign {
    /// The vehicle went back.
    TurnedBack,
    /// The vehicle has passed the barrier.
    Passed,
    /// A second vehicle followed through one raise.
    Tailgated,
}

/// What came back for a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandAnswer {
    /// The device says that it took the command; it does not mean that the arm moved.
    Accepted,
    /// The device refused, with its own words.
    Refused(String),
    /// The line took it, and such a device never confirms a raise: no more is known than that.
    Unconfirmed(String),
    /// Nothing came back in time: uncertain, never retried blindly.
    Silent(String),
    /// It never left the box, for this reason: the arm did not move for it.
    NotSent(String),
}

/// Where the arm was seen to be, by its own limit switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmPosition {
    /// At the upper limit.
    Up,
    /// At the lower limit.
    Down,
    /// Between the limits.
    Between,
}

/// What a person at the booth or the service desk asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffAct {
    /// The lane it is about.
    pub lane: LaneId,
    /// Who does it; already verified by the room that took the request.
    pub operator: String,
    /// What is asked.
    pub what: StaffWish,
}

/// The wishes of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum StaffWish {
    /// Raise the barrier now, whatever is due, for a reason.
    Raise {
        /// Why, in the operator's words.
        reason: String,
        /// The plate, where the operator could read it and the camera could not.
        plate: Option<Plate>,
        /// Whether what is due is booked as a debt against the plate, instead of being let go.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        debt: bool,
        /// A second person who agrees, already verified; needed where much is let go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        second: Option<String>,
    },
    /// Take cash for the waiting vehicle.
    Settle {
        /// The amount taken; must be what is due.
        fen: Fen,
    },
    /// Say which of the stays that it may be the waiting vehicle is.
    ChooseStay {
        /// Which.
        stay: StayId,
        /// How the operator knows.
        reason: String,
    },
    /// Let a waiting vehicle without a readable plate in, under the number of a ticket.
    IssueTicket,
    /// The ticket of the vehicle that stands there.
    ShowTicket {
        /// Its number.
        ticket: Plate,
    },
    /// Say what the waiting vehicle pays, whose entry nobody knows.
    ChargeWithoutEntry {
        /// How.
        how: NoEntry,
        /// Why.
        reason: String,
    },
    /// Say which plate the waiting vehicle really has.
    CorrectPlate {
        /// The right plate.
        plate: Plate,
        /// How the operator knows.
        reason: String,
    },
}

/// One commit of a till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TillCommit {
    /// The terminal, already verified.
    pub terminal: TerminalId,
    /// The idempotency key.
    pub key: String,
    /// SHA-256 of the canonical body, in hex.
    pub fingerprint: String,
    /// The till's own receipt number.
    pub receipt: String,
    /// When the till says that it happened.
    pub occurred: Option<UtcMs>,
    /// Who buys, where the till knows.
    pub member: Option<MemberId>,
    /// How the till knows; old journals do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// What was bought and earns points.
    pub sale: Fen,
    /// What it would have cost without the member's price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Fen>,
    /// The stay whose due is paid.
    pub stay: Option<StayId>,
    /// Money taken by the till.
    pub cash: Fen,
    /// What kinds of money that was, where it was not all cash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<Money>,
    /// Money to be covered with points.
    pub points_cover: Fen,
    /// The coupon that multiplies what the sale earns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    /// Points that were set aside for it before, and are used first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<OpId>,
    /// Where it stands in the till's own books.
    #[serde(default)]
    pub mark: TillMark,
    /// What is given to the stay besides money; then nothing is sold or paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gift: Option<Gift>,
}

/// What a till gives to a stay besides money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gives", rename_all = "snake_case")]
pub enum Gift {
    /// A merchant's time or money.
    Validation {
        /// Its kind in the bundle.
        kind: String,
        /// The merchant.
        merchant: String,
        /// The receipt that it is given for.
        spend: Fen,
    },
    /// A coupon that was shown at the till.
    Coupon {
        /// Its own number.
        code: String,
    },
}

/// A change that the cloud ledger's feed brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeedChange {
    /// The whole member as it now is.
    Member {
        /// The member.
        member: Member,
    },
    /// A coupon as it now is.
    Coupon {
        /// The coupon.
        coupon: IssuedCoupon,
    },
    /// Which box has a coupon alone.
    CouponClaim(CouponClaim),
    /// A campaign as it now is.
    Campaign {
        /// Its name in the bundle.
        id: String,
        /// Whether it was stopped.
        stopped: bool,
        /// What all other sites have spent of its budget.
        spent_elsewhere_fen: Fen,
        /// When the ledger said so.
        as_of_ms: UtcMs,
        /// How the ledger shares the budget out, where it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<Shared>,
    },
    /// A merchant as it now is.
    Merchant {
        /// The merchant.
        merchant: MerchantTold,
    },
    /// The member is gone.
    MemberRemoved {
        /// Whose.
        id: MemberId,
    },
}

/// A coupon as the cloud ledger issued it: its fact, cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCoupon {
    /// Its own number, which its holder shows.
    pub id: String,
    /// Its kind in the bundle.
    pub kind: String,
    /// Whose it is; none: whoever shows it.
    pub member: Option<MemberId>,
    /// The merchant that issued it.
    pub merchant: Option<String>,
    /// Not good before.
    pub from_ms: Option<UtcMs>,
    /// Not good from then on.
    pub until_ms: Option<UtcMs>,
    /// Where it is in its life by its issuer's word: `issued`, `used` or `revoked`; who has it alone is told apart.
    pub state: CouponState,
}

/// A member as the box knows it: the cloud ledger's fact, cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The id.
    pub id: MemberId,
    /// A masked name that a till may show.
    pub handle: String,
    /// The tier's name.
    pub tier: String,
    /// Whether the member agreed that plates are matched and points spent at the barrier.
    pub consent_plates: bool,
    /// The member's plates.
    pub plates: Vec<Plate>,
    /// The codes that a till may scan.
    pub codes: Vec<String>,
    /// The box that keeps points for the member between visits, if any does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// What the member has beside the tier.
    #[serde(flatten)]
    pub privileges: Privileges,
}

/// Who calls an emergency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum EmergencySource {
    /// The contact of the fire panel.
    Contact,
    /// A person.
    Staff {
        /// Who.
        operator: String,
        /// Why.
        reason: String,
    },
}

/// Which rules are to be put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RulesOffer {
    /// The ones of the settings, at the start.
    #[default]
    Settings,
    /// This bundle.
    Text(String),
    /// The version before the one in force.
    Before,
}

/// Everything that can happen to a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// The daemon has started; asked once for each lane.
    Started {
        /// The lane to look at.
        lane: LaneId,
    },
    /// A camera made a statement.
    PlateRead(PlateRead),
    /// A loop detector changed.
    LoopChanged {
        /// The lane.
        lane: LaneId,
        /// Which loop.
        role: LoopRole,
        /// Whether a vehicle stands on it.
        occupied: bool,
    },
    /// A camera or barrier said something about a vehicle.
    VehicleSeen {
        /// The lane.
        lane: LaneId,
        /// What.
        sign: VehicleSign,
    },
    /// A device answered a command, or did not.
    BarrierAnswered {
        /// The lane.
        lane: LaneId,
        /// Which command.
        command: CommandId,
        /// What came back.
        answer: CommandAnswer,
    },
    /// A limit switch changed.
    BarrierMoved {
        /// The lane.
        lane: LaneId,
        /// Where the arm is.
        position: ArmPosition,
    },
    /// A card was shown at a lane's reader.
    CardRead {
        /// The lane.
        lane: LaneId,
        /// The reader.
        device: DeviceId,
        /// The card.
        card: CardNumber,
    },
    /// A device is away: nothing that it said last need be so any more.
    DeviceLost {
        /// Which.
        device: DeviceId,
        /// Why, in words for staff.
        why: String,
    },
    /// It is there again.
    DeviceBack {
        /// Which.
        device: DeviceId,
    },
    /// A lane's part of a device that is away or there again.
    LaneDevice {
        /// The lane.
        lane: LaneId,
        /// Which.
        device: DeviceId,
        /// Whether it is away.
        is_lost: bool,
    },
    /// A lane's deadline has come.
    LaneDue {
        /// The lane.
        lane: LaneId,
    },
    /// Something changed that may let a waiting vehicle go; look again.
    LaneReconsidered {
        /// The lane.
        lane: LaneId,
    },
    /// The fire panel's contact changed, or a guard calls an emergency or ends it.
    Emergency {
        /// Who speaks.
        source: EmergencySource,
        /// Whether there is one.
        active: bool,
    },
    /// A lane's part of an emergency.
    LaneEmergency {
        /// The lane.
        lane: LaneId,
        /// Whether its barrier is held up from now on.
        active: bool,
    },
    /// What was learned about the cameras' mistakes is to be forgotten.
    ExperienceForgotten {
        /// Why.
        reason: String,
    },
    /// Rules are to be put in force.
    RulesOffered {
        /// Their version; the one in force where it is left.
        version: u32,
        /// Who asked for it, where a person did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operator: Option<String>,
        /// What is asked; the journal has the rules themselves in the record.
        #[serde(skip)]
        offer: RulesOffer,
    },
    /// A vehicle drove out or in behind another.
    VehicleFollowed(PlateRead),
    /// A person acts.
    Staff(StaffAct),
    /// A person puts the books right.
    Corrected(Correction),
    /// A business day is over, and somebody has looked through it.
    DayEnded(DayReport),
    /// A till commits.
    Till(TillCommit),
    /// A till asks something else.
    TillAct(TillAct),
    /// The time of points that were set aside for a till is over.
    TillHoldDue {
        /// Which hold.
        hold: OpId,
    },
    /// A member was shown at a till or at a lane, before anything is bought.
    MemberShown(MemberShown),
    /// The service desk or a merchant wants something.
    Office(OfficeAct),
    /// Staff let a till in, or shut it out.
    TerminalChanged(Pairing),
    /// Staff close a business day.
    DayClosing(Closing),
    /// The cloud speaks.
    Cloud(CloudNews),
    /// Somebody outside remembers how far this box's journal has been.
    Witnessed(Witnessed),
    /// A spend of points is to be undone.
    Undo(Undo),
}
