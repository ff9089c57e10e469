//! `gatepost journal`: proves, shows, exports and saves a ledger's journal.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use gatepost::photos::Checker;
use gatepost::store::copy::{self, Line};
use gatepost::store::journal;
use gatepost::store::reader::Reader;

use super::{complain, say};

/// The ledger file.
#[derive(Args)]
pub struct Ledger {
    /// The ledger file.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/gatepost/ledger.db")]
    ledger: PathBuf,
}

/// What to do with it.
#[derive(Subcommand)]
pub enum What {
    /// Check the chain of hashes of every epoch from its first entry, and make every table again from it beside the
    /// stored ones.
    Verify {
        #[command(flatten)]
        of: Ledger,
        /// Also compare the pictures in this folder with the hashes that the journal holds.
        #[arg(long, value_name = "DIRECTORY")]
        photos: Option<PathBuf>,
    },
    /// Say where the journal stands, as a witness would remember it: epoch/entry/head.
    Head(Ledger),
    /// Print the newest entries, one a line.
    Tail {
        #[command(flatten)]
        of: Ledger,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        entries: u32,
    },
    /// Print every entry as a line of JSON, from which a cloud ledger can be made again.
    Export(Ledger),
    /// Write what can be read of a damaged ledger file to OUT, as export does, and say what is lost.
    Salvage {
        #[command(flatten)]
        of: Ledger,
        /// The file to write.
        #[arg(value_name = "OUT")]
        out: PathBuf,
        /// Whose journal it is, where the file does not say so any more.
        #[arg(long = "box", value_name = "NAME")]
        box_id: Option<String>,
    },
}

/// Does it.
pub fn run(what: &What) -> anyhow::Result<ExitCode> {
    match what {
        What::Verify { of, photos } => verify(&of.ledger, photos.as_deref()),
        What::Head(of) => head(&of.ledger),
        What::Tail { of, entries } => tail(&of.ledger, *entries),
        What::Export(of) => export(&of.ledger),
        What::Salvage { of, out, box_id } => salvage(&of.ledger, out, box_id.as_deref()),
    }
}

fn verify(ledger: &Path, photos: Option<&Path>) -> anyhow::Result<ExitCode> {
    let verdict = journal::verify(ledger)?;
    say(format!("{} entries in {} epochs, head {}", verdict.entries, verdict.epochs, verdict.head));
    if verdict.passed_over > 0 {
        let count = verdict.passed_over;
        say(format!("{count} records follow from a branch that is not here, as the journal itself says"));
    }
    verdict.faults.iter().for_each(|fault| say(format!("FAULT: {fault}")));
    let mut is_whole = verdict.faults.is_empty();
    if is_whole {
        say("the chain is whole and every table follows from it");
    }
    if let Some(directory) = photos {
        is_whole &= verify_photos(ledger, directory)?;
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every picture that is still there is what the camera sent.
fn verify_photos(ledger: &Path, directory: &Path) -> anyhow::Result<bool> {
    let mut checker = Checker::new(directory);
    journal::each_read_with_photos(ledger, |seq, read| Ok(checker.look(seq, read)?))?;
    let tally = checker.tally();
    say(format!("{} pictures are what the journal says, {} are gone", tally.matching, tally.gone));
    tally.altered.iter().for_each(|which| say(format!("FAULT: {which} is not what the camera sent")));
    Ok(tally.altered.is_empty())
}

fn head(ledger: &Path) -> anyhow::Result<ExitCode> {
    let head = look(ledger, |view| view.head())?;
    say(format!("{}/{}/{}", head.epoch, head.seq, head.head));
    Ok(ExitCode::SUCCESS)
}

fn tail(ledger: &Path, entries: u32) -> anyhow::Result<ExitCode> {
    let newest = look(ledger, move |view| {
        let newest = view.epochs()?.last().map_or(0, |epoch| epoch.before + epoch.seq);
        let mut from = newest.saturating_sub(u64::from(entries)) + 1;
        let mut found = Vec::new();
        // A page never spans two epochs.
        while from <= newest {
            let page = view.entries(from, entries as usize, usize::MAX)?;
            from = page.last().map_or(newest, |entry| entry.entry) + 1;
            found.extend(page);
        }
        Ok(found)
    })?;
    for entry in newest {
        say(format!("{}/{} {}", entry.epoch, entry.seq, entry.body));
    }
    Ok(ExitCode::SUCCESS)
}

fn look<T: Send + 'static>(
    ledger: &Path,
    look: impl FnOnce(&gatepost::store::reader::View<'_>) -> Result<T, gatepost::store::reader::ReadError> + Send + 'static,
) -> anyhow::Result<T> {
    let reader = Reader::open(ledger).with_context(|| format!("open the ledger {}", ledger.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(runtime.block_on(reader.look(look))?)
}

fn export(ledger: &Path) -> anyhow::Result<ExitCode> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let entries = copy::export(ledger, |line| write_line(&mut out, line))?;
    out.flush().context("write the export")?;
    complain(&format!("{entries} entries"));
    Ok(ExitCode::SUCCESS)
}

fn salvage(ledger: &Path, out: &Path, box_id: Option<&str>) -> anyhow::Result<ExitCode> {
    let file = std::fs::File::options().write(true).create_new(true).open(out);
    let mut file = std::io::BufWriter::new(file.with_context(|| format!("make {}", out.display()))?);
    let found = copy::salvage(ledger, box_id, |line| write_line(&mut file, line))?;
    file.into_inner().context("write the entries")?.sync_all().context("write the entries to the disk")?;
    say(format!("{} entries are proven from the first one on", found.proven));
    if found.loose > 0 {
        say(format!("{} more link to each other after a gap, and nobody can prove their place", found.loose));
    }
    found.lost.iter().for_each(|what| say(format!("LOST: {what}")));
    Ok(if found.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_line(out: &mut impl Write, line: &Line<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line).context("write an entry")?;
    out.write_all(b"\n").context("write an entry")
}
