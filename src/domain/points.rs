//! Points: which grants pay for what, and how many points an amount of money is.

use serde::{Deserialize, Serialize};

use super::event::{GrantId, Points};

/// A part of an amount of points, taken from one grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The grant.
    pub grant: GrantId,
    /// How many points of it.
    pub points: Points,
}
