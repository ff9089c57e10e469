//! Campaigns: the administrator's word on them, and budgets shared out among boxes so that all together never exceed one.
//!
//! A share is what a campaign may cost at one box from its beginning on. It is reserved before it is told, and what it
//! becomes smaller by is free only after the box has said in its journal that it follows: nothing that a box may still
//! give, however long it is cut off, is ever promised to another one.

mod shares;

use serde::{Deserialize, Serialize};

use crate::apply::Book;
use crate::db::{Row, Tx};
use crate::journal::{BUDGET_FEN_MAX as FEN_MAX, Fact};
use crate::ledger::{Ledger, Refusal, check_name};
use crate::members::{What, put_what};
use crate::values;
use shares::{Share, Word};

/// A campaign as the administrator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Whether it is stopped.
    pub stopped: bool,
    /// What was spent of its budget outside of the boxes, in fen.
    #[serde(default)]
    pub spent_elsewhere_fen: i64,
    /// What it may cost in all; where it is given, the ledger shares it out among the boxes.
    #[serde(default)]
    pub budget_fen: Option<i64>,
    /// The boxes that have a part of it; none are named: all.
    #[serde(default)]
    pub boxes: Vec<String>,
}

/// How a budget is shared out, as every box hears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Goes up whenever a share changes.
    pub turn: i64,
    /// The share of each box.
    pub shares: Vec<Told>,
}

/// A share as a box hears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which box.
    #[serde(rename = "box")]
    pub name: String,
    /// In which epoch.
    pub epoch: u32,
    /// How much.
    pub fen: i64,
}

/// A campaign as the administrator reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CampaignView {
    /// Its name.
    pub id: String,
    /// Whether it is stopped.
    pub stopped: bool,
    /// What was spent outside of the boxes.
    pub spent_elsewhere_fen: i64,
    /// What it may cost in all.
    pub budget_fen: Option<i64>,
    /// What it has cost at all boxes, by their last words.
    pub spent_fen: i64,
    /// What no box has: it is given out when a box has used its share.
    pub free_fen: i64,
    /// Each box's part.
    pub shares: Vec<ShareView>,
}

/// A box's part of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareView {
    /// Which box.
    #[serde(rename = "box")]
    pub name: String,
    /// In which epoch.
    pub epoch: u32,
    /// What the box was told last.
    pub told_fen: i64,
    /// What it may still believe to have.
    pub reserved_fen: i64,
    /// What the campaign has cost there, by its last word.
    pub spent_fen: i64,
    /// What an epoch that was lost may have cost beyond what is known of it.
    pub lost_fen: i64,
}

impl Ledger {
    /// Tells every box of a campaign; a stopped one gives nothing more from then on.
    pub fn put_campaign(&self, id: &str, campaign: &Campaign, now_ms: i64) -> Result<(), Refusal> {
        check_name("id", id)?;
        let amounts =
            [("spent_elsewhere_fen", campaign.spent_elsewhere_fen), ("budget_fen", campaign.budget_fen.unwrap_or(0))];
        for (field, fen) in amounts {
            if !(0..=FEN_MAX).contains(&fen) {
                return Err(Refusal::BadRequest(format!("{field}: must be from 0 to {FEN_MAX}")));
            }
        }
        for name in &campaign.boxes {
            check_name("boxes", name)?;
        }
        self.database.write(|tx| {
            hold(tx, id)?;
            tx.run(
                "UPDATE campaign SET stopped = $2, spent_elsewhere_fen = $3, budget_fen = $4, boxes = $5 WHERE id = $1",
                values![
                    id,
                    campaign.stopped,
                    campaign.spent_elsewhere_fen,
                    campaign.budget_fen,
                    campaign.boxes.join("\n")
                ],
            )?;
            state(tx, id, now_ms)
        })
    }

    /// A campaign with its shares.
    pub fn campaign(&self, id: &str) -> Result<CampaignView, Refusal> {
        self.database.read(|tx| {
            let kept = kept(tx, id)?.ok_or_else(|| Refusal::CampaignUnknown(id.to_owned()))?;
            let shares = stored_shares(tx, id)?;
            let view = |share: &Share| ShareView {
                name: share.name.clone(),
                epoch: share.epoch,
                told_fen: share.told,
                reserved_fen: share.reserved,
                spent_fen: share.spent,
                lost_fen: share.lost,
            };
            let room = kept.budget_fen.unwrap_or(0) - kept.spent_elsewhere_fen;
            Ok(CampaignView {
                id: id.to_owned(),
                stopped: kept.stopped,
                spent_elsewhere_fen: kept.spent_elsewhere_fen,
                budget_fen: kept.budget_fen,
                spent_fen: shares.iter().map(|share| share.spent).sum(),
                free_fen: shares::unreserved(&shares, room),
                shares: shares.iter().map(view).collect(),
            })
        })
    }

    /// States every campaign again whose budget is shared out: boxes hear that it goes on, say what it has cost, and
    /// those that have used their share get some of what others left.
    pub fn restate_campaigns(&self, now_ms: i64) -> Result<usize, Refusal> {
        let ids = self.database.read(|tx| {
            let sql = "SELECT id FROM campaign WHERE budget_fen IS NOT NULL AND stopped = 0 ORDER BY id";
            Ok(tx.rows(sql, &[])?.iter().map(|row| row.text(0)).collect::<Vec<_>>())
        })?;
        for id in &ids {
            self.database.write(|tx| {
                hold(tx, id)?;
                state(tx, id, now_ms)
            })?;
        }
        Ok(ids.len())
    }
}

/// Takes a box's word about its share.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    book: &mut Book<'_>,
    box_name: &str,
    epoch: u32,
    seq: i64,
    fact: &Fact,
) -> Result<(), Refusal> {
    let Fact::ShareTaken { campaign, turn, share_fen, spent_fen } = fact else { return Ok(()) };
    // A ledger that was made again hears of campaigns from the boxes first: what they have stays reserved.
    hold(tx, campaign)?;
    tx.run("UPDATE campaign SET turn = $2 WHERE id = $1 AND turn < $2", values![campaign, *turn])?;
    tx.run(
        "INSERT INTO campaign_share (campaign, box, epoch, told_fen, reserved_fen) VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT DO NOTHING",
        values![campaign, box_name, epoch, *share_fen],
    )?;
    let kept = kept(tx, campaign)?.ok_or_else(|| Refusal::CampaignUnknown(campaign.clone()))?;
    let mut shares = stored_shares(tx, campaign)?;
    let Some(share) = shares.iter_mut().find(|share| share.name == box_name) else { return Ok(()) };
    let word = Word { epoch, answers_newest: *turn == kept.turn, share: *share_fen, spent: *spent_fen };
    let beyond = share.hear(&word);
    if beyond > 0 {
        let text = format!("the campaign '{campaign}' has cost {beyond} fen beyond the box's share");
        book.alarm(seq, "share-overspent", text);
    }
    write_share(tx, campaign, share)
}

/// What is stored of a campaign.
struct Kept {
    stopped: bool,
    spent_elsewhere_fen: i64,
    budget_fen: Option<i64>,
    boxes: Vec<String>,
    turn: i64,
}

/// Holds a campaign's row, so that nobody else shares its budget out meanwhile; a new one is made.
fn hold(tx: &mut Tx<'_>, id: &str) -> Result<(), Refusal> {
    let sql =
        "INSERT INTO campaign (id, stopped, spent_elsewhere_fen, boxes) VALUES ($1, 0, 0, '') ON CONFLICT DO NOTHING";
    tx.run(sql, values![id])?;
    tx.row("SELECT turn FROM campaign WHERE id = $1 {lock}", values![id])?;
    Ok(())
}

fn kept(tx: &mut Tx<'_>, id: &str) -> Result<Option<Kept>, Refusal> {
    let sql = "SELECT stopped, spent_elsewhere_fen, budget_fen, boxes, turn FROM campaign WHERE id = $1";
    let kept = |row: &Row| Kept {
        stopped: row.flag(0),
        spent_elsewhere_fen: row.int(1),
        budget_fen: row.opt_int(2),
        boxes: row.text(3).lines().map(str::to_owned).collect(),
        turn: row.int(4),
    };
    Ok(tx.row(sql, values![id])?.as_ref().map(kept))
}

fn stored_shares(tx: &mut Tx<'_>, id: &str) -> Result<Vec<Share>, Refusal> {
    let sql = "SELECT box, epoch, told_fen, reserved_fen, spent_fen, lost_fen FROM campaign_share
               WHERE campaign = $1 ORDER BY box";
    let share = |row: &Row| Share {
        name: row.text(0),
        epoch: row.epoch(1),
        told: row.int(2),
        reserved: row.int(3),
        spent: row.int(4),
        lost: row.int(5),
    };
    Ok(tx.rows(sql, values![id])?.iter().map(share).collect())
}

fn write_share(tx: &mut Tx<'_>, id: &str, share: &Share) -> Result<(), Refusal> {
    tx.run(
        "INSERT INTO campaign_share (campaign, box, epoch, told_fen, reserved_fen, spent_fen, lost_fen)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (campaign, box) DO UPDATE SET epoch = excluded.epoch, told_fen = excluded.told_fen,
             reserved_fen = excluded.reserved_fen, spent_fen = excluded.spent_fen, lost_fen = excluded.lost_fen",
        values![id, &share.name, share.epoch, share.told, share.reserved, share.spent, share.lost],
    )?;
    Ok(())
}

/// Shares a campaign's budget out anew, where it has one, and puts it on the feed. The campaign's row is held.
fn state(tx: &mut Tx<'_>, id: &str, now_ms: i64) -> Result<(), Refusal> {
    let kept = kept(tx, id)?.ok_or_else(|| Refusal::CampaignUnknown(id.to_owned()))?;
    let shared = match kept.budget_fen {
        None => None,
        Some(budget) => Some(share_out(tx, id, &kept, budget)?),
    };
    let Kept { stopped, spent_elsewhere_fen, .. } = kept;
    put_what(tx, &What::Campaign { id: id.to_owned(), stopped, spent_elsewhere_fen, as_of_ms: now_ms, shared })
}

fn share_out(tx: &mut Tx<'_>, id: &str, kept: &Kept, budget: i64) -> Result<Shared, Refusal> {
    let mut shares = stored_shares(tx, id)?;
    let boxes = tx.rows("SELECT name, epoch FROM box WHERE revoked = 0 ORDER BY name", &[])?;
    let is_one = |name: &String| kept.boxes.is_empty() || kept.boxes.contains(name);
    let boxes: Vec<(String, u32)> =
        boxes.iter().map(|row| (row.text(0), row.epoch(1))).filter(|(name, _)| is_one(name)).collect();
    let before = shares.clone();
    let room = if kept.stopped { 0 } else { budget - kept.spent_elsewhere_fen };
    shares::share_out(&mut shares, &boxes, room);
    for share in shares.iter().filter(|share| !before.contains(share)) {
        write_share(tx, id, share)?;
    }
    let told = |shares: &[Share]| -> Vec<Told> {
        let told = |share: &Share| Told { name: share.name.clone(), epoch: share.epoch, fen: share.told };
        shares.iter().map(told).collect()
    };
    let mut turn = kept.turn;
    if told(&before) != told(&shares) {
        turn += 1;
        tx.run("UPDATE campaign SET turn = $2 WHERE id = $1", values![id, turn])?;
    }
    Ok(Shared { turn, shares: told(&shares) })
}
