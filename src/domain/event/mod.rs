//! The one language of the house: what comes in, what was decided, what is to be done.

mod alarm;
mod card;
mod cause;
mod claim;
mod correction;
mod coupon;
mod decision;
mod escrow;
mod gear;
mod input;
mod kept;
mod matched;
mod money;
mod office;
mod record;
mod same;
mod share;
mod shift;
mod shown;
mod till;
mod totals;
mod voucher;
mod whereabouts;

use serde::{Deserialize, Serialize};

pub use alarm::answer_within_h;
pub use card::{CardNumber, ShownCard};
pub use cause::{Evidence, MatchedBy, RaiseCause, ReadOutcome, Tender};
pub use claim::{CouponClaim, CouponSays, CouponWord, CouponsLook};
pub use correction::{Approval, Corrected, Correction, Wrong};
pub use coupon::{CouponMove, CouponUse, CouponWish};
pub use decision::{Action, Decision, Ids, Reply, StaffRefusal, TillAnswer};
pub use escrow::{CloudNews, EpochReason, Given, JournalHead, Undo, Witnessed};
pub use gear::{ArmPosition, DeviceChange, Limit, LowerStep, SwitchTold};
pub use input::{
    ARRIVAL_READS_MAX, ArrivalRead, CommandAnswer, EmergencySource, FeedChange, Gift, Input, IssuedCoupon, Member,
    PhotoHashes, PhotoKind, PlateRead, RulesOffer, StaffAct, StaffWish, TillCommit, VehicleSign,
};
pub use matched::Matched;
pub use money::{Money, MoneyKind, NotCash};
pub use office::{GivenFor, MerchantTold, Note, OfficeAct, OfficeNote, Shop};
pub use record::Record;
pub use same::SAME_EVENT_MS;
pub use share::{Share, ShareTaken, Shared};
pub use shift::{ShiftEnd, ShiftStart, Stated};
pub use shown::{CodeUse, MemberShown, Shown, ShownAt};
pub use till::{
    Answered, Booking, BookingKind, BusinessDay, EarnedHow, ExtraPoints, GivenBack, HoldEnd, Pairing, PaymentVoid,
    PointsDebt, Reversal, Sale, TakenBack, TillAct, TillDone, TillHold, TillMark, TillWish,
};
pub use totals::{HourTotals, Tally, Totals};
pub use voucher::{VoucherGives, VoucherHow, VoucherUse};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_id! {
    /// A lane's name from the settings.
    LaneId;
    /// A device's name from the settings.
    DeviceId;
    /// A stay, `S<epoch>-<entry number>`.
    StayId;
    /// A member, as the cloud ledger names it.
    MemberId;
    /// A grant, as the cloud ledger names it, or `born:<op>` of an earning.
    GrantId;
    /// An effect that must happen once for ever: `<box>/<epoch>/<entry number>/<n>`.
    OpId;
    /// A command to a device, the `OpId` of the decision that gave it.
    CommandId;
    /// A till's name from the settings.
    TerminalId;
}

/// Money in fen (1/100 yuan).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fen(pub i64);

/// Loyalty points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Points(pub i64);

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMs(pub i64);

/// The two clocks of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds of a clock that never jumps; for deadlines only, its zero means nothing.
    pub uptime_ms: u64,
    /// Civil time; for stays.
    pub utc: UtcMs,
    /// Whether civil time is known to be right (a box may boot without a clock battery).
    pub trusted: bool,
}
