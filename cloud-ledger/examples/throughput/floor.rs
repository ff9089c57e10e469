//! The floor: what the same server does with bare inserts through the same driver, with the same batches and commits.

use std::collections::BTreeMap;

use anyhow::Context;
use cloud_ledger::db::{Database, Row, Tx, Value};
use cloud_ledger::journal::Entry;
use cloud_ledger::values;

use crate::BATCH;

/// Tables with the columns and the keys of the ledger's, on which nothing decides anything.
pub struct Floor(pub Database);

/// A table: its name, the columns that are copied, their types for many rows, and its keys.
struct Table {
    name: &'static str,
    columns: &'static str,
    types: &'static str,
    keys: &'static [&'static str],
}

/// What an upload or a grant adds rows to.
const TABLES: [Table; 6] = [
    Table {
        name: "entry",
        columns: "box, epoch, seq, body, head",
        types: "tiitb",
        keys: &["UNIQUE (box, epoch, seq)"],
    },
    Table { name: "op", columns: "op, box, epoch, seq, record", types: "ttiii", keys: &["UNIQUE (op)"] },
    Table {
        name: "lot",
        columns: "id, member, issuer, funder, source, settle_bps, expires_ms, valid_from_ms, places, times, at_ms, points",
        types: "tttttiiittii",
        keys: &["UNIQUE (id)", "(member)"],
    },
    Table {
        name: "escrow",
        columns: "id, box, epoch, member, lot, request, born_seq, place, amount, spent, returned",
        types: "ttitttiiiii",
        keys: &["UNIQUE (id)", "(box, epoch, request)", "(member)"],
    },
    Table {
        name: "transfer",
        columns: "number, at_ms, what, op, of_op, source, destination, points, member, lot, escrow, box, epoch, seq",
        types: "iitttttittttii",
        keys: &["UNIQUE (number)", "(of_op) WHERE of_op IS NOT NULL", "(at_ms)"],
    },
    Table {
        name: "grant_request",
        columns: "number, box, request, epoch, member, asked, standing, granted",
        types: "ittitiii",
        keys: &["UNIQUE (number)", "UNIQUE (box, request)"],
    },
];

/// The rows of one commit: for each table, by its place in [`TABLES`].
type Commit = Vec<Vec<Vec<Value>>>;

impl Floor {
    /// Makes the bare tables beside the real ones. `floor_entry` is there twice: once for entries alone.
    pub fn open(database: Database) -> anyhow::Result<Self> {
        database.write(|tx| {
            for Table { name, columns, keys, .. } in &TABLES {
                tx.run(&format!("CREATE TABLE floor_{name} AS SELECT {columns} FROM {name} WHERE false"), &[])?;
                for key in *keys {
                    let (unique, key) = key.strip_prefix("UNIQUE ").map_or(("", *key), |key| ("UNIQUE", key));
                    tx.run(&format!("CREATE {unique} INDEX ON floor_{name} {key}"), &[])?;
                }
            }
            tx.run("CREATE TABLE floor_alone AS SELECT box, epoch, seq, body, head FROM entry WHERE false", &[])?;
            tx.run("CREATE UNIQUE INDEX ON floor_alone (box, epoch, seq)", &[])?;
            Ok(())
        })?;
        Ok(Self(database))
    }

    /// Inserts the entries of a journal and nothing else.
    pub fn entries(&self, name: &str, journal: &[Entry]) -> anyhow::Result<usize> {
        for batch in journal.chunks(BATCH) {
            let head = |entry: &Entry| entry.head.map_or([0; 32], |head| head.0);
            let row = |entry: &Entry| values![name, 1_i64, entry.seq, &entry.body, head(entry)].to_vec();
            let rows: Vec<_> = batch.iter().map(row).collect();
            let sql = "INSERT INTO floor_alone (box, epoch, seq, body, head) {rows}";
            self.0.write(|tx| Ok(tx.each(sql, "tiitb", &rows)?))?;
        }
        Ok(journal.len())
    }

    /// All rows that the ledger has written for a journal, in the commits in which it wrote them.
    pub fn written(&self, name: &str, length: usize) -> anyhow::Result<Vec<Commit>> {
        let commits: BTreeMap<String, usize> = (1..=length).map(|seq| (seq.to_string(), (seq - 1) / BATCH)).collect();
        self.commits(&commits, |table| match table {
            "entry" | "op" | "transfer" => Some(format!("CAST(seq AS TEXT) FROM {table} WHERE box = '{name}'")),
            "escrow" => Some(format!("CAST(born_seq AS TEXT) FROM escrow WHERE box = '{name}'")),
            "lot" => Some(format!(
                "CAST(born_seq AS TEXT) FROM lot JOIN (SELECT lot, born_seq FROM escrow WHERE box = '{name}') AS pot
                 ON pot.lot = lot.id"
            )),
            _ => None,
        })
    }

    /// All rows that the ledger has written for the grants of a box, in the commits in which it wrote them.
    pub fn granted(&self, name: &str, requests: &[String]) -> anyhow::Result<Vec<Commit>> {
        let commits = requests.iter().enumerate().map(|(number, request)| (request.clone(), number)).collect();
        self.commits(&commits, |table| match table {
            "grant_request" | "escrow" => Some(format!("request FROM {table} WHERE box = '{name}'")),
            "transfer" => Some(format!("op FROM transfer WHERE box = '{name}'")),
            _ => None,
        })
    }

    /// The rows of all tables by commit; `from` ends a query with the column that says which commit it was.
    fn commits(
        &self,
        commits: &BTreeMap<String, usize>,
        from: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Vec<Commit>> {
        let mut found: Vec<Commit> = vec![vec![Vec::new(); TABLES.len()]; commits.values().max().map_or(0, |n| n + 1)];
        for (place, Table { name, columns, types, .. }) in TABLES.iter().enumerate() {
            let Some(from) = from(name) else { continue };
            let read = |tx: &mut Tx<'_>| Ok(tx.rows(&format!("SELECT {columns}, {from}"), &[])?);
            for row in self.0.read(read).context("read what was written")? {
                let commit = row.opt_text(types.len()).and_then(|key| commits.get(&key));
                if let Some(commit) = commit {
                    found[*commit][place].push(values_of(&row, types));
                }
            }
        }
        Ok(found)
    }

    /// Inserts the rows of each commit again, into the bare tables; one statement a table, one commit each.
    pub fn repeat(&self, commits: &[Commit]) -> anyhow::Result<()> {
        for commit in commits {
            self.0.write(|tx| {
                for (Table { name, columns, types, .. }, rows) in TABLES.iter().zip(commit) {
                    tx.each(&format!("INSERT INTO floor_{name} ({columns}) {{rows}}"), types, rows)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// One short row and one commit for each of so many grants.
    pub fn one_by_one(&self, name: &str, grants: usize) -> anyhow::Result<()> {
        for number in 0..grants {
            let row = values![&format!("{name}/{number}"), name, 1_i64, number, 0_i64];
            let sql = "INSERT INTO floor_op (op, box, epoch, seq, record) VALUES ($1, $2, $3, $4, $5)";
            self.0.write(|tx| Ok(tx.run(sql, row)?))?;
        }
        Ok(())
    }
}

fn values_of(row: &Row, types: &str) -> Vec<Value> {
    let value = |(column, kind)| match kind {
        'i' => Value::from(row.opt_int(column)),
        'b' => row.opt_hash(column).map_or(Value::Null, Value::from),
        _ => Value::from(row.opt_text(column)),
    };
    types.chars().enumerate().map(value).collect()
}
