//! Members from a table of a spreadsheet: every row is looked at first, and each broken one is told with its line.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::journal::POINTS_MAX;
use crate::ledger::{Ledger, Refusal, check_name};
use crate::lot::Terms;
use crate::members::{Profile, check_profile, check_taken, known_privileges, write_member};
use crate::points::{Credit, write_credit};
use crate::privileges::Privileges;

/// The columns of the table, in any order; the last three may be missing.
pub const COLUMNS: [&str; 8] = ["id", "handle", "tier", "consent_plates", "plates", "codes", "home", "points"];

/// How many columns must be there.
const NEEDED: usize = 5;

/// How many members are written in one transaction.
const AT_ONCE: usize = 200;

/// What became of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many members were written.
    pub members: usize,
    /// How many points they were credited with.
    pub points: i64,
    /// What is wrong with the other rows, each with its line.
    pub broken: Vec<String>,
}

/// What is wrong with which line.
type Broken = Vec<(u64, String)>;

struct Row {
    line: u64,
    id: String,
    profile: Profile,
    points: i64,
}

impl Ledger {
    /// Writes the members of the table at `path`, and credits their `points` once each. Where a row is broken nothing
    /// is written, unless `only_good`.
    pub fn import(&self, path: &Path, only_good: bool, now_ms: i64) -> anyhow::Result<Imported> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {} as UTF-8", path.display()))?;
        let (rows, mut broken) = read(&text).with_context(|| format!("read {}", path.display()))?;
        let rows = self.look(rows, &mut broken)?;
        broken.sort();
        let mut done = Imported { broken: broken.into_iter().map(|(_, text)| text).collect(), ..Imported::default() };
        if !done.broken.is_empty() && !only_good {
            return Ok(done);
        }
        for rows in rows.chunks(AT_ONCE) {
            self.database.write(|tx| {
                for row in rows {
                    // The table says nothing of plans, tags, birthdays and passes: a known member keeps them.
                    let privileges = known_privileges(tx, &row.id)?;
                    write_member(tx, &row.id, &Profile { privileges, ..row.profile.clone() })?;
                    if row.points > 0 {
                        let op = format!("import:{}", row.id);
                        let credit =
                            Credit { op, points: row.points, reason: "imported balance".to_owned(), lot: None };
                        write_credit(tx, &row.id, &credit, &Terms::of("import"), now_ms)?;
                    }
                }
                Ok(())
            })?;
            done.members += rows.len();
            done.points += rows.iter().map(|row| row.points).sum::<i64>();
        }
        Ok(done)
    }

    /// The rows that could be written as the ledger stands.
    fn look(&self, rows: Vec<Row>, broken: &mut Broken) -> Result<Vec<Row>, Refusal> {
        let mut seen: BTreeMap<(&str, String), u64> = BTreeMap::new();
        let mut good = Vec::with_capacity(rows.len());
        for row in rows {
            let called = |what, list: &[String]| list.iter().map(|text| (what, text.clone())).collect::<Vec<_>>();
            let mut names = vec![("id", row.id.clone())];
            names.extend(called("plate", &row.profile.plates));
            names.extend(called("code", &row.profile.codes));
            let twin = names.iter().find_map(|name| Some((name, seen.get(name)?)));
            let wrong = match twin {
                // Which plate it is stays out of the message: it may end in a log.
                Some(((what, _), line)) => Some(format!("its {what} is also on line {line}")),
                None => match self.database.read(|tx| check_taken(tx, &row.id, &row.profile)) {
                    Ok(()) => None,
                    Err(failed @ Refusal::Database(_)) => return Err(failed),
                    Err(refusal) => Some(refusal.to_string()),
                },
            };
            seen.extend(names.into_iter().map(|name| (name, row.line)));
            match wrong {
                Some(wrong) => broken.push((row.line, format!("line {}: {wrong}", row.line))),
                None => good.push(row),
            }
        }
        Ok(good)
    }
}

/// The rows of a table that are members, and what is wrong with the others.
fn read(text: &str) -> anyhow::Result<(Vec<Row>, Broken)> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let heads = reader.headers().context("read the first line")?.clone();
    let allowed = COLUMNS.join(",");
    for name in &heads {
        ensure!(COLUMNS.contains(&name), "line 1: the column '{name}' is not known; allowed are {allowed}");
    }
    let place = |name: &str| heads.iter().position(|head| head == name);
    for name in &COLUMNS[..NEEDED] {
        ensure!(place(name).is_some(), "line 1: the column '{name}' is missing; allowed are {allowed}");
    }
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => match error.position().map(csv::Position::line) {
                Some(line) => {
                    broken.push((line, format!("line {line}: {}", error_text(&error))));
                    continue;
                }
                None => bail!(error),
            },
        };
        let line = record.position().map_or(0, csv::Position::line);
        let field = |name: &str| place(name).and_then(|place| record.get(place)).unwrap_or_default();
        match row(line, field) {
            Ok(row) => rows.push(row),
            Err(wrong) => broken.push((line, format!("line {line}: {wrong}"))),
        }
    }
    Ok((rows, broken))
}

fn row<'a>(line: u64, field: impl Fn(&str) -> &'a str) -> Result<Row, String> {
    let list = |name| field(name).split_whitespace().map(str::to_owned).collect();
    let consent_plates = match field("consent_plates") {
        "yes" | "true" | "1" => true,
        "no" | "false" | "0" | "" => false,
        other => return Err(format!("consent_plates: '{other}' is not understood; allowed are yes and no")),
    };
    let points = match field("points") {
        "" => 0,
        text => text
            .parse()
            .ok()
            .filter(|points| (0..=POINTS_MAX).contains(points))
            .ok_or_else(|| format!("points: '{text}' is not a whole number up to {POINTS_MAX}"))?,
    };
    let profile = Profile {
        handle: field("handle").to_owned(),
        tier: field("tier").to_owned(),
        consent_plates,
        plates: list("plates"),
        codes: list("codes"),
        home: Some(field("home").to_owned()).filter(|home| !home.is_empty()),
        privileges: Privileges::default(),
    };
    let id = field("id").to_owned();
    check_name("id", &id).and_then(|()| check_profile(&profile)).map_err(|refusal| refusal.to_string())?;
    Ok(Row { line, id, profile, points })
}

fn error_text(error: &csv::Error) -> String {
    if let csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        return format!("has {len} fields, the first line {expected_len}");
    }
    error.to_string()
}
