//! Every statement on the ledger file is looked at: none may read through a table that grows with the years.

use rusqlite::Connection;

/// Tables that stay small: a row for each lane, till, version of the rules, name, or pair of signs of a pair of lanes.
const SMALL: [&str; 11] = [
    // The payments of one receipt.
    "money",
    "box",
    "epoch",
    "fact",
    "rules",
    "lane",
    "cloud_campaign",
    "cloud_cursor",
    "camera_pair",
    "camera_pair_signs",
    "terminal",
];
/// Indexes that hold only what is going on now.
const OF_NOW: [&str; 10] = [
    "coupon_word_of_now",
    "stay_inside_by_plate",
    "stay_inside_by_member",
    "stay_inside_by_change",
    "grant_request_open",
    "hold_by_stay",
    "points_grant_by_member",
    "debt_open",
    "points_debt_open",
    "till_hold_open",
];

/// The files with SQL of the daemon's every day. The books and a verification read everything, and are asked for that.
const SOURCES: &[(&str, &str)] = &[
    ("passes.rs", include_str!("passes.rs")),
    ("bonuses.rs", include_str!("bonuses.rs")),
    ("benefits.rs", include_str!("benefits.rs")),
    ("claims.rs", include_str!("claims.rs")),
    ("mod.rs", include_str!("mod.rs")),
    ("office.rs", include_str!("office.rs")),
    ("stays.rs", include_str!("stays.rs")),
    ("escrow.rs", include_str!("escrow.rs")),
    ("facts.rs", include_str!("facts.rs")),
    ("inside.rs", include_str!("inside.rs")),
    ("mismatch.rs", include_str!("mismatch.rs")),
    ("settlement.rs", include_str!("settlement.rs")),
    ("tables.rs", include_str!("tables.rs")),
    ("tills.rs", include_str!("tills.rs")),
    ("totals.rs", include_str!("totals.rs")),
    ("ways.rs", include_str!("ways.rs")),
    ("codes.rs", include_str!("codes.rs")),
    ("counts.rs", include_str!("counts.rs")),
    ("feed.rs", include_str!("feed.rs")),
    ("vehicle.rs", include_str!("vehicle.rs")),
    ("reader/benefits.rs", include_str!("reader/benefits.rs")),
    ("reader/merchant.rs", include_str!("reader/merchant.rs")),
    ("reader/news.rs", include_str!("reader/news.rs")),
    ("day.rs", include_str!("day.rs")),
    ("reader/journal.rs", include_str!("reader/journal.rs")),
    ("reader/lanes.rs", include_str!("reader/lanes.rs")),
    ("reader/members.rs", include_str!("reader/members.rs")),
    ("reader/stays.rs", include_str!("reader/stays.rs")),
    ("reader/tills.rs", include_str!("reader/tills.rs")),
];

#[test]
fn no_statement_reads_through_a_table_that_grows() {
    let db = Connection::open_in_memory().expect("a database");
    db.execute_batch(super::file::SCHEMA).expect("the tables");
    let (mut faults, mut looked_at) = (Vec::new(), 0);
    for (file, source) in SOURCES.iter().copied() {
        for sql in statements(source) {
            looked_at += 1;
            faults.extend(scans(&db, &sql).into_iter().map(|scan| format!("{file}: {scan}, by: {sql}")));
        }
    }
    assert!(looked_at > 60, "only {looked_at} statements were found");
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_scan_is_found() {
    let db = Connection::open_in_memory().expect("a database");
    db.execute_batch(super::file::SCHEMA).expect("the tables");
    assert_eq!(scans(&db, "SELECT stay FROM stay WHERE entry_ms = ?1"), ["SCAN stay"]);
    assert_eq!(scans(&db, "SELECT seq FROM journal ORDER BY head LIMIT 1"), ["SCAN journal"]);
    assert_eq!(scans(&db, "SELECT seq FROM journal ORDER BY entry LIMIT 1"), [""; 0]);
}

/// What of a statement's plan grows with the years. A scan in the order of an index that ends with a LIMIT does not.
fn scans(db: &Connection, sql: &str) -> Vec<String> {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(|e| panic!("{e}: {sql}"));
    let mut rows = explain.raw_query();
    let mut plan: Vec<String> = Vec::new();
    while let Some(row) = rows.next().expect("a plan") {
        plan.push(row.get(3).expect("a line"));
    }
    let ends_early = sql.contains(" LIMIT ") && !plan.iter().any(|line| line.contains("TEMP B-TREE"));
    let grows = |line: &&String| {
        let mut words = line.split(' ');
        let is_scan = words.next() == Some("SCAN");
        let table = words.next().unwrap_or_default();
        let is_of_now = OF_NOW.iter().any(|index| line.ends_with(index));
        is_scan && !ends_early && !is_of_now && !SMALL.contains(&table) && !table.starts_with('(')
    };
    plan.iter().filter(grows).cloned().collect()
}

/// The SQL in a source file, with the names that it puts together filled in.
fn statements(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let inside = "state IN ('pending_entry', 'open', 'pending_exit')";
    let mut found = Vec::new();
    for verb in ["\"SELECT ", "\"UPDATE ", "\"DELETE ", "\"INSERT "] {
        for (at, _) in source.match_indices(verb) {
            let text = source[at + 1..].split('"').next().unwrap_or_default().replace("\\\n", "\n");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = text.replace("{COLUMNS}", "*").replace("{STAY_COLUMNS}", "*").replace("{INSIDE}", inside);
            if text.contains("{condition}") {
                let by_plate = format!("plate = ?1 AND {inside}");
                for condition in ["stay = ?1", by_plate.as_str(), &format!("stay = ?1 AND {inside}")] {
                    found.push(text.replace("{condition}", condition));
                }
            } else if text.contains("{whose}") {
                found.extend(super::totals::WHOSE.map(|whose| text.replace("{whose}", whose)));
            } else {
                found.push(text);
            }
        }
    }
    found
}
