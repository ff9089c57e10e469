//! What the service desk and merchants do beside lanes and tills: points out of goodwill, disputes, paper vouchers; and
//! what is known of a merchant.

use serde::{Deserialize, Serialize};

use super::{BusinessDay, Fen, MemberId, OpId, Points, UtcMs, VoucherGives, VoucherUse};

/// What is known of a shop at the moment of what it does, stamped on that: what is said of it later changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shop {
    /// Its id, as in statements; journals from before merchants came from the feed do not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What customers call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The floor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub floor: String,
    /// What kind of trade.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Other marks, such as the kind of lease.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether its sales earn nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub earns_nothing: bool,
    /// Whether points pay nothing there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refuses_points: bool,
    /// Whether it gives no parking.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gives_no_parking: bool,
}

/// A merchant as the cloud ledger tells of it: its fact, cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantTold {
    /// Its id, as the `merchant` of its tills and in statements.
    pub id: String,
    /// What customers call it.
    #[serde(default)]
    pub name: String,
    /// The floor.
    #[serde(default)]
    pub floor: String,
    /// What kind of trade.
    #[serde(default)]
    pub format: String,
    /// Other marks.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether points pay there.
    pub accepts_points: bool,
    /// Whether its sales earn.
    pub earns_points: bool,
    /// Whether it gives parking.
    pub gives_parking: bool,
    /// It takes part in nothing before.
    #[serde(default)]
    pub from_ms: Option<UtcMs>,
    /// It takes part in nothing from then on.
    #[serde(default)]
    pub until_ms: Option<UtcMs>,
}

impl MerchantTold {
    /// What is stamped on what it does now.
    pub fn shop(&self, now: UtcMs) -> Shop {
        let is_there = self.from_ms.is_none_or(|from| from <= now) && self.until_ms.is_none_or(|until| now < until);
        Shop {
            id: self.id.clone(),
            name: self.name.clone(),
            floor: self.floor.clone(),
            format: self.format.clone(),
            tags: self.tags.clone(),
            earns_nothing: !(is_there && self.earns_points),
            refuses_points: !(is_there && self.accepts_points),
            gives_no_parking: !(is_there && self.gives_parking),
        }
    }
}

/// The service desk or a merchant wants something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficeAct {
    /// The asker's own name for it: asked again under the same name it is not done again.
    pub id: String,
    /// Who; already verified.
    pub by: String,
    /// A second person who agrees, already verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
    /// What is known of the shop that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop: Option<Shop>,
    /// What.
    pub note: Note,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficeNote {
    /// The effect's id.
    pub op: OpId,
    /// On which business day.
    pub day: BusinessDay,
    /// By whom, under which name, and what.
    pub act: OfficeAct,
    /// What came of a voucher that was keyed in; journals from before vouchers paid do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<VoucherUse>,
}

/// What the service desk or a merchant does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Points are given by hand.
    PointsGiven {
        /// To whom.
        member: MemberId,
        /// How many.
        points: Points,
        /// Why: goodwill, or a sale that no till brought.
        source: GivenFor,
        /// Who pays for them when they are spent.
        funder: String,
        /// Why, in the operator's words.
        reason: String,
        /// The shop and the receipt that no till brought.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<(String, String)>,
    },
    /// A party disputes what it owes or is owed.
    DisputeOpened {
        /// Who.
        party: String,
        /// The journal's entry that its statement names.
        entry: u64,
        /// Why.
        reason: String,
    },
    /// A dispute is settled.
    DisputeSettled {
        /// Which.
        of: OpId,
        /// How.
        outcome: String,
    },
    /// Paper vouchers were printed, for when this box is down.
    VouchersPrinted {
        /// The number of the first.
        first: u32,
        /// How many.
        count: u32,
        /// What each pays at most; nothing where it gives minutes.
        fen: Fen,
        /// Who pays for it.
        funder: String,
        /// What each is good for.
        #[serde(default, skip_serializing_if = "VoucherGives::is_parking")]
        gives: VoucherGives,
    },
    /// A paper voucher that was used is keyed in.
    VoucherKeyed {
        /// Its number.
        number: u32,
        /// The plate as the manual log has it; empty where a shop took it.
        plate: String,
        /// What the manual log says of it.
        remark: String,
        /// When the vehicle left by hand, as the manual log has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<UtcMs>,
        /// The money that was taken beside it then.
        #[serde(default, skip_serializing_if = "super::kept::is_zero")]
        cash: Fen,
        /// The shop that took it for goods.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shop: Option<String>,
    },
}

/// For what points are given by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenFor {
    /// Something went wrong.
    Goodwill,
    /// A sale that no till brought.
    Backfill,
}

impl GivenFor {
    /// The source of the lot.
    pub fn word(self) -> &'static str {
        match self {
            GivenFor::Goodwill => "goodwill",
            GivenFor::Backfill => "backfill",
        }
    }
}

impl Note {
    /// One word for its kind.
    pub fn word(&self) -> &'static str {
        match self {
            Note::PointsGiven { .. } => "points_given",
            Note::DisputeOpened { .. } => "dispute_opened",
            Note::DisputeSettled { .. } => "dispute_settled",
            Note::VouchersPrinted { .. } => "vouchers_printed",
            Note::VoucherKeyed { .. } => "voucher_keyed",
        }
    }
}
