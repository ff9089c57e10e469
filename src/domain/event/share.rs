//! A campaign's budget, shared out by the cloud ledger: what it tells every box, and this box's word about its part.

use serde::{Deserialize, Serialize};

use super::Fen;

/// How the ledger shares a campaign's budget out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Goes up whenever a share changes; a box's word names the one that it followed.
    pub turn: u64,
    /// The share of each box; one that is not named has none.
    pub shares: Vec<Share>,
}

/// What a campaign may cost at one box, from its beginning on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which box.
    #[serde(rename = "box")]
    pub box_id: String,
    /// In which epoch of it alone.
    pub epoch: u32,
    /// How much.
    pub fen: Fen,
}

/// This box's word: from now on the campaign costs at most its share here. What a share became smaller by is free for
/// other boxes only after this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareTaken {
    /// The campaign.
    pub campaign: String,
    /// The turn that was followed.
    pub turn: u64,
    /// What it may cost here from its beginning on: what the ledger told, or what it has cost where that is more.
    pub share_fen: Fen,
    /// What it has cost here so far, with what is set aside.
    pub spent_fen: Fen,
}
