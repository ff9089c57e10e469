//! The ledger itself: its database, its key and its settings, and why it refuses what it refuses.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::db::{self, Database};
use crate::journal::Cursor;
use crate::sign::{LedgerKey, PublicKey};

pub use crate::boxes::{Alarm, BoxView, Enrolment, EpochEnd, Hello, Verdict, Welcome};
pub use crate::grants::{Grant, GrantAsk, Granted};
pub use crate::upload::{ENTRIES_MAX, Upload};

/// How many characters a name, an id, an op or a request may have.
pub const NAME_CHARS_MAX: usize = 128;

/// How long a box may spend after a handshake: it is cut off for longer than this only where somebody looks after it.
pub const LEASE_MS: i64 = 7 * 24 * 3600 * 1000;

/// How much of a member's balance may be away in standing grants, in basis points, so that other malls have the rest.
pub const STANDING_SHARE_BPS: i64 = 3000;

/// How often all balances are computed again.
pub const RECOMPUTE: Duration = Duration::from_secs(3600);

/// The ledger in its database.
pub struct Ledger {
    pub(crate) database: Database,
    pub(crate) key: LedgerKey,
    pub(crate) settings: Settings,
}

/// What the chain decides about its ledger.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a box may spend points after its last handshake, in milliseconds.
    pub lease_ms: i64,
    /// How much of a member's balance standing grants may hold, in basis points.
    pub standing_share_bps: i64,
    /// How often a server lets lots expire and computes all balances again; never where nothing is said.
    pub recompute: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lease_ms: LEASE_MS, standing_share_bps: STANDING_SHARE_BPS, recompute: Some(RECOMPUTE) }
    }
}

/// Why the ledger did not do what was asked. `docs/cloud-api.md` has the codes.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is not what the page says.
    #[error("{0}")]
    BadRequest(String),
    /// An entry of an upload is not a journal entry; those before it were applied.
    #[error("entry {seq}: {field} {wrong}")]
    MalformedEntry {
        /// The entry.
        seq: i64,
        /// The field in its body.
        field: String,
        /// What is wrong.
        wrong: String,
        /// After the entries before it.
        cursor: Cursor,
    },
    /// Entries are missing; nothing was applied.
    #[error("the first entry is beyond number {}", cursor.seq + 1)]
    Gap {
        /// Where the ledger stands.
        cursor: Cursor,
    },
    /// The journal was rewritten; nothing was applied.
    #[error("entry {seq} does not link to the head before it")]
    Fork {
        /// The entry.
        seq: i64,
        /// Where the ledger stands.
        cursor: Cursor,
    },
    /// A record of an unknown kind; the entries before it were applied.
    #[error("entry {seq} has a record of the kind '{kind}', which this ledger does not know")]
    UnknownKind {
        /// The entry.
        seq: i64,
        /// The kind.
        kind: String,
        /// After the entries before it.
        cursor: Cursor,
    },
    /// The epoch is not the box's current one.
    #[error("the box's epoch is {current}")]
    WrongEpoch {
        /// The current one.
        current: u32,
    },
    /// The id of a request, credit or spend came again with another content.
    #[error("'{id}' was used before with another content")]
    RequestReused {
        /// The id.
        id: String,
    },
    /// The key or token does not open this any more.
    #[error("{0}")]
    Revoked(String),
    /// No such member.
    #[error("there is no member '{0}'")]
    MemberUnknown(String),
    /// The box has neither enrolled nor said hello.
    #[error("the box '{0}' has neither enrolled nor said hello yet")]
    BoxUnknown(String),
    /// No such grant.
    #[error("there is no grant '{0}'")]
    GrantUnknown(String),
    /// No such coupon.
    #[error("there is no coupon '{0}'")]
    CouponUnknown(String),
    /// A box has the coupon alone, or has used it.
    #[error("the coupon '{coupon}' {why}")]
    CouponTaken {
        /// The coupon.
        coupon: String,
        /// What stands against it.
        why: String,
    },
    /// No such campaign.
    #[error("there is no campaign '{0}'")]
    CampaignUnknown(String),
    /// No such spend of this member.
    #[error("there is no spend '{0}' of this member")]
    SpendUnknown(String),
    /// A grant that a box may still spend from.
    #[error("'{grant}' is {state}; only what is frozen can be released")]
    NotFrozen {
        /// The grant.
        grant: String,
        /// What it is instead.
        state: &'static str,
    },
    /// The box may reverse the spend itself, so nobody else may.
    #[error("'{0}' may still reverse the spend itself: nobody else may before that box has begun a later epoch")]
    ReverseAtBox(String),
    /// A plate or code belongs to another member.
    #[error("the {what} at place {place} of the list belongs to another member")]
    Taken {
        /// `plate` or `code`.
        what: &'static str,
        /// Its place in the list, from 1.
        place: usize,
    },
    /// The member has not that many.
    #[error("{available} points are available")]
    InsufficientPoints {
        /// How many there are.
        available: i64,
    },
    /// The database did not do it; nothing of the request was kept.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

impl Ledger {
    /// Opens the ledger in the SQLite file at `path`, with its key beside it; makes both where they are missing.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let database = Database::open_file(path)?;
        let mut key = path.as_os_str().to_owned();
        key.push(".key");
        let key = LedgerKey::open(Path::new(&key)).context("open the ledger's key")?;
        Ok(Self::new(database, key, Settings::default()))
    }

    /// The ledger in an open database.
    pub fn new(database: Database, key: LedgerKey, settings: Settings) -> Self {
        Self { database, key, settings }
    }

    /// Where it is kept, as a person calls it.
    pub fn name(&self) -> String {
        self.database.name()
    }

    /// What boxes check its answers with.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Whether the database answers, and is not a standby that would only read.
    pub fn is_well(&self) -> Result<(), Refusal> {
        self.database.is_primary()
    }
}

/// Refuses an id that no page, log or path could carry; `field` is what the message calls it.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let carries = |c: char| !c.is_control() && !c.is_whitespace();
    if (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(carries) {
        return Ok(());
    }
    Err(Refusal::BadRequest(format!("{field}: must be 1 to {NAME_CHARS_MAX} characters without spaces")))
}

/// Refuses a page that is empty or too long.
pub(crate) fn check_limit(limit: usize, most: usize) -> Result<(), Refusal> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(Refusal::BadRequest(format!("limit: must be from 1 to {most}")))
}
