//! A ledger that was lost, made again from what the boxes wrote: their exported journals and a table of members.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::db::Tx;
use crate::grants::{cuts, take_from_lots};
use crate::import::Imported;
use crate::journal::{self, Entry, Fact, Head, natural};
use crate::ledger::{Ledger, Refusal};
use crate::lot::Terms;
use crate::members::{Profile, write_member};
use crate::points::{Credit, write_credit};
use crate::transfer::{self, Cause, What};
use crate::upload::{ENTRIES_MAX, Upload};
use crate::values;

/// What was made again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The table of members.
    pub members: Imported,
    /// How many journals, one of each box and epoch.
    pub journals: usize,
    /// How many entries.
    pub entries: usize,
    /// How many grants that the boxes had accepted.
    pub grants: usize,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// One line of an exported journal.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "box")]
    box_name: String,
    epoch: u32,
    #[serde(deserialize_with = "natural")]
    seq: i64,
    body: String,
    head: Head,
}

type Journals = BTreeMap<(String, u32), BTreeMap<i64, Entry>>;

impl Ledger {
    /// Fills an empty ledger. The table's `points` are what each member got of the chain less what was spent online;
    /// what boxes earned and spent is in their journals.
    pub fn rebuild(&self, members: &Path, files: &[PathBuf], now_ms: i64) -> anyhow::Result<Rebuilt> {
        let held = self.database.read(|tx| {
            Ok(tx.only("SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM box)", &[])?.int(0))
        })?;
        ensure!(held == 0, "{} is not empty: a ledger is made again in a new database", self.name());
        let mut journals = Journals::new();
        for file in files {
            read(file, &mut journals)?;
        }
        let imported = self.import(members, false, now_ms)?;
        if !imported.broken.is_empty() {
            bail!("{}: {}", members.display(), imported.broken.join("\n"));
        }
        let mut done = Rebuilt { members: imported, journals: journals.len(), ..Rebuilt::default() };
        for ((box_name, epoch), entries) in &journals {
            let what = || format!("make the journal of '{box_name}', epoch {epoch}, again");
            self.rebuild_journal(box_name, *epoch, entries, &mut done, now_ms).with_context(what)?;
        }
        // New grants must not have the names of the old ones.
        self.database.skip_numbers("grant_request")?;
        Ok(done)
    }

    fn rebuild_journal(
        &self,
        box_name: &str,
        epoch: u32,
        entries: &BTreeMap<i64, Entry>,
        done: &mut Rebuilt,
        now_ms: i64,
    ) -> anyhow::Result<()> {
        self.database.write(|tx| {
            tx.run(
                "INSERT INTO box (name, epoch) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch",
                values![box_name, epoch],
            )?;
            Ok(())
        })?;
        let mut seen = BTreeSet::new();
        for entry in entries.values() {
            let facts = journal::facts(&entry.body);
            let facts = facts.map_err(|fault| anyhow::anyhow!("entry {}: {fault:?}", entry.seq))?;
            for (_, fact) in &facts {
                if let Fact::GrantAccepted { grant, member, points } = fact
                    && *points > 0
                    && seen.insert(grant.clone())
                {
                    let short =
                        self.database.write(|tx| give_again(tx, box_name, epoch, (grant, member, *points), now_ms))?;
                    done.grants += 1;
                    if short > 0 {
                        done.warnings.push(format!(
                            "'{member}': {short} points of '{grant}' are in no table and are credited as 'rebuild'"
                        ));
                    }
                }
            }
        }
        let entries: Vec<Entry> = entries.values().cloned().collect();
        for entries in entries.chunks(ENTRIES_MAX) {
            let upload = Upload { epoch, entries: entries.to_vec(), branch: false, prev: None };
            self.upload(box_name, &upload, now_ms)?;
            done.entries += entries.len();
        }
        Ok(())
    }
}

/// Reserves again what a box had accepted; how many of its points are in no lot that is known.
fn give_again(
    tx: &mut Tx<'_>,
    box_name: &str,
    epoch: u32,
    (grant, member, points): (&str, &str, i64),
    now_ms: i64,
) -> Result<i64, Refusal> {
    if tx.row("SELECT member FROM account WHERE member = $1", values![member])?.is_none() {
        // Nobody is called this any more, but the box has spent for it.
        let (handle, tier) = (member.to_owned(), "unknown".to_owned());
        let (plates, codes) = (Vec::new(), Vec::new());
        let profile =
            Profile { handle, tier, consent_plates: false, plates, codes, home: None, privileges: Default::default() };
        write_member(tx, member, &profile)?;
    }
    let largest = cuts(tx, box_name, member, i64::MAX, usize::MAX, now_ms)?.into_iter().max_by_key(|cut| cut.points);
    let (lot, short) = match largest {
        Some(cut) if cut.points >= points => (cut.lot.id, 0),
        // One grant is cut from one lot; where none is large enough it gets one of its own.
        Some(_) | None => {
            let reason = "not in the table of members".to_owned();
            let credit = Credit { op: format!("rebuild:{grant}"), points, reason, lot: None };
            write_credit(tx, member, &credit, &Terms::of("rebuild"), now_ms)?;
            (format!("credit:{}", credit.op), points)
        }
    };
    let request = format!("rebuild:{grant}");
    // The number is in the grant's name, and the next ones must come after it.
    let number = grant.strip_prefix("G-").and_then(|name| name.split('-').next()?.parse::<i64>().ok());
    let number = match number {
        Some(number) => {
            let is_used = tx.row("SELECT number FROM grant_request WHERE number = $1", values![number])?;
            Some(number).filter(|_| is_used.is_none())
        }
        None => None,
    };
    let columns = "box, request, epoch, member, asked, standing, granted";
    match number {
        Some(number) => tx.run(
            &format!("INSERT INTO grant_request (number, {columns}) VALUES ($1, $2, $3, $4, $5, $6, 0, $6)"),
            values![number, box_name, &request, epoch, member, points],
        )?,
        None => tx.run(
            &format!("INSERT INTO grant_request ({columns}) VALUES ($1, $2, $3, $4, $5, 0, $5)"),
            values![box_name, &request, epoch, member, points],
        )?,
    };
    tx.run(
        "INSERT INTO escrow (id, box, epoch, member, lot, request, place, amount) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)",
        values![grant, box_name, epoch, member, &lot, &request, points],
    )?;
    take_from_lots(tx, [(lot.as_str(), points)].into_iter())?;
    let cause = Cause { at_ms: now_ms, op: &request, of_op: None, place: Some((box_name, epoch, 0)) };
    let row = What::Granted { lot: &lot, escrow: grant }.row(&cause, member, points);
    transfer::write(tx, &[row])?;
    Ok(short)
}

fn read(file: &Path, journals: &mut Journals) -> anyhow::Result<()> {
    let lines = BufReader::new(File::open(file).with_context(|| format!("open {}", file.display()))?).lines();
    for (index, line) in lines.enumerate() {
        let what = || format!("{}, line {}", file.display(), index + 1);
        let line = line.with_context(what)?;
        if line.trim().is_empty() {
            continue;
        }
        let Line { box_name, epoch, seq, body, head } = serde_json::from_str(&line).with_context(what)?;
        let entry = Entry { seq, body, head: Some(head) };
        let journal = journals.entry((box_name, epoch)).or_default();
        if let Some(other) = journal.insert(seq, entry.clone()) {
            ensure!(other == entry, "{}: entry {seq} is there twice, with different contents", what());
        }
    }
    Ok(())
}
