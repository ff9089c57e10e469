//! What the cloud ledger says about points, epochs and time, and what witnesses and staff say about what was spent.

use serde::{Deserialize, Serialize};

use super::{CouponsLook, FeedChange, GrantId, MemberId, OpId, Points, UtcMs};
use crate::domain::points::Lot;

/// Where a journal stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The epoch.
    pub epoch: u32,
    /// The number of the newest entry in that epoch.
    pub seq: u64,
    /// The head after it, in hex.
    pub head: String,
}

/// Why a box began a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochReason {
    /// The cloud ledger had ended the old one; the journal itself was whole.
    Fenced,
    /// The journal was shorter than what the cloud ledger holds.
    Behind,
    /// The journal tells another history than the cloud ledger holds.
    Fork,
    /// Somebody outside remembered a later entry than the journal had.
    Witness,
    /// The ledger file was made again from a copy.
    Restored,
}

impl EpochReason {
    /// Whether what the journal says at its end can be trusted: it was not rewound, only ended.
    pub fn is_whole(self) -> bool {
        match self {
            EpochReason::Fenced => true,
            EpochReason::Behind | EpochReason::Fork | EpochReason::Witness | EpochReason::Restored => false,
        }
    }
}

/// A grant that the cloud ledger made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The grant.
    pub grant: GrantId,
    /// How much.
    pub points: Points,
    /// What it may be spent on.
    #[serde(default)]
    pub lot: Lot,
}

/// What the cloud ledger says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum CloudNews {
    /// The answer to a request for points.
    Granted {
        /// The request.
        request: OpId,
        /// For whom.
        member: MemberId,
        /// The epoch it was made for.
        epoch: u32,
        /// The grants; none where nothing is available.
        grants: Vec<Given>,
    },
    /// The ledger holds the journal of an epoch up to here.
    Acknowledged {
        /// The epoch.
        epoch: u32,
        /// The highest entry number applied.
        seq: u64,
    },
    /// A part of the feed.
    Fed {
        /// The changes, in order.
        changes: Vec<FeedChange>,
        /// The cursor after them.
        next: u64,
    },
    /// The ledger will not take what this box sends; told once, until something was taken again.
    Refusing {
        /// The refusal in words.
        reason: String,
    },
    /// The handshake failed: this journal may have been rewound, or its epoch has ended.
    Doubted {
        /// Which of them.
        why: EpochReason,
        /// The verdict in words.
        reason: String,
    },
    /// The ledger wants a grant back.
    Recalled {
        /// Which.
        grant: GrantId,
    },
    /// The ledger allows points to be spent until a moment of its own time.
    Leased {
        /// The ledger's time now.
        server_ms: UtcMs,
        /// For how long from then on, in milliseconds.
        length_ms: i64,
    },
    /// The ledger gives no leave to spend points.
    Unleased,
    /// The ledger's time as this box reckons it on by the clock that never jumps.
    TimePassed {
        /// The ledger's time at least.
        server_ms: UtcMs,
    },
    /// The ledger gave a new epoch; the old one is brought to its end.
    EpochGiven {
        /// The epoch that ends.
        from: u32,
        /// The new one.
        epoch: u32,
        /// Why.
        why: EpochReason,
    },
    /// The first entry of the new epoch.
    EpochBegins {
        /// The new epoch.
        epoch: u32,
        /// Why.
        why: EpochReason,
    },
    /// Members whose home this is may have too few points here for the next visit.
    HomesLooked {
        /// Whom to look at, at most a few hundred at once.
        members: Vec<MemberId>,
    },
    /// Something may have changed about coupons that one box has alone.
    CouponsLooked(CouponsLook),
}

/// Somebody outside remembers a head of this box's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// Who remembers it.
    pub by: String,
    /// The head.
    pub head: JournalHead,
}

/// A spend of points is to be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The spend, or the transaction of a till whose spends are meant.
    pub of: OpId,
    /// Who wants it, already verified.
    pub by: String,
    /// Why, in that person's words.
    pub reason: String,
}
