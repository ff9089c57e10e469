//! The page of events is kept: each event that it names happens in a story, with the fields that it names; every kind of
//! record and every alarm of the source is on it, and so is every row that malls ask to be told of.

mod stories;

use std::collections::{BTreeMap, BTreeSet};

use gatepost::domain::event::answer_within_h;
use serde_json::Value;

use crate::boxed::root;

/// Rows of the list of requirements that a box feeds, wholly or in part.
const FED: &str = "PK08 PK11 PK12 PK13 PK14 PK15 PK16 PS04 PS06 PS08 PS09 PS10 PS12 PT01 PT03 PT04 PT17 PT18 PT23 TI02 \
    TI03 TI15 TI16 TI17 CP02 CP08 CP11 CA01 CA06 CA09 ST01 ST02 ST04 ST06 ST07 ST08 ST13 MF03 MF05 MF06 KP01 KP02 KP04 \
    KP05 KP06 KP07 KP08 KP09 KP10 KP11 KP12 KP13 KP14 KP15 KP16 KP17 PV11 PV12 SB04 SB05 SB09 OX03 OX04";
/// What the cloud owns is cached beside the journal and never told.
const CACHED: [&str; 3] = ["fed", "acknowledged", "lease_seen"];

#[test]
fn every_event_happens_in_a_story_with_the_fields_that_the_page_names() {
    let told = stories::all();
    let mut missing = Vec::new();
    for row in table("| event |") {
        let [event, records, fields, words] = &row[..] else { panic!("{row:?}") };
        let records = quoted(records);
        assert!(!records.is_empty() || words.contains("none of the box") || words == "likewise", "{event}: why none?");
        let of_row: Vec<&Told> = told.iter().filter(|told| records.iter().any(|record| told.is(record))).collect();
        for record in &records {
            if !of_row.iter().any(|told| told.is(record)) {
                missing.push(format!("{event}: {record} comes in no story"));
            }
        }
        for field in quoted(fields) {
            if !of_row.iter().any(|told| told.has(&field)) {
                missing.push(format!("{event}: {field} is in no record of any story"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/events.md says more than a box tells:\n{}", missing.join("\n"));
}

#[test]
fn every_kind_of_record_is_on_the_page_and_on_the_ledgers() {
    let source = read("src/domain/event/record.rs");
    let (_, body) = source.split_once("pub enum Record {").expect("the records");
    let variants = body.lines().take_while(|line| *line != "}").filter_map(|line| line.strip_prefix("    "));
    let variants = variants.filter(|line| line.starts_with(char::is_uppercase));
    let written: BTreeSet<String> = variants.map(|line| snake(line.split([' ', '(', ',']).next().unwrap())).collect();
    let written: BTreeSet<String> = written.into_iter().filter(|kind| !CACHED.contains(&kind.as_str())).collect();
    assert!(written.len() > 60, "the source is read: {written:?}");
    let page = read("docs/events.md");
    let named: BTreeSet<String> = quoted(&page).iter().map(|word| word.split('(').next().unwrap().to_owned()).collect();
    let forgotten: Vec<_> = written.iter().filter(|kind| !named.contains(*kind)).collect();
    assert!(forgotten.is_empty(), "docs/events.md does not name {forgotten:?}: an event, or no event and why");
    let ledgers: BTreeSet<String> = quoted(&read("docs/cloud-api.md")).into_iter().collect();
    let unheard: Vec<_> = written.iter().filter(|kind| !ledgers.contains(*kind)).collect();
    assert!(unheard.is_empty(), "docs/cloud-api.md does not name {unheard:?}");
    for row in table("| event |") {
        let unknown: Vec<_> =
            quoted(&row[1]).into_iter().filter(|name| !written.contains(name.split('(').next().unwrap())).collect();
        assert!(unknown.is_empty(), "docs/events.md names {unknown:?}, which no box writes");
    }
}

#[test]
fn every_row_that_a_box_feeds_names_its_events_or_says_why_there_are_none() {
    let events: BTreeSet<String> = table("| event |").into_iter().map(|row| row[0].clone()).collect();
    let rows = table("| asked |");
    let ids: Vec<&str> = rows.iter().map(|row| row[0].split(' ').next().unwrap()).collect();
    assert_eq!(ids, FED.split_whitespace().collect::<Vec<_>>());
    for row in &rows {
        let named: Vec<&str> = row[1].split(", ").filter(|name| !name.is_empty()).collect();
        assert!(!named.is_empty() || row[2].len() > 20, "{}: no event and no reason", row[0]);
        for name in named {
            assert!(events.contains(name), "{}: {name} is no event of the page", row[0]);
        }
    }
}

#[test]
fn every_alarm_of_the_source_is_on_the_page_with_its_time() {
    let mut used = BTreeSet::new();
    alarms_in(&root().join("src/domain"), &mut used);
    assert!(used.len() > 20, "the source is read: {used:?}");
    let mut told = BTreeMap::new();
    for row in table("| hours |") {
        let hours: u8 = row[0].parse().unwrap();
        told.extend(quoted(&row[1]).into_iter().map(|code| (code, hours)));
    }
    let expect: BTreeMap<String, u8> = used.iter().map(|code| (code.clone(), answer_within_h(code))).collect();
    assert_eq!(told, expect, "docs/events.md, How soon an alarm must be answered");
}

/// A record of a story and the entry around it.
pub struct Told {
    record: Value,
    input: Value,
}

impl Told {
    /// Whether it is of a kind, or of `kind(path=value)`.
    fn is(&self, name: &str) -> bool {
        let (kind, condition) = name.strip_suffix(')').and_then(|name| name.split_once('(')).unwrap_or((name, ""));
        let holds = condition.split_once('=').is_none_or(|(path, expect)| {
            let found = look(&self.record, &path.split('.').collect::<Vec<_>>());
            found.iter().any(|value| value.as_str() == Some(expect))
        });
        self.record["kind"] == *kind && holds
    }

    fn has(&self, path: &str) -> bool {
        let (value, path) = match path.strip_prefix("input.") {
            Some(rest) => (&self.input, rest),
            None => (&self.record, path),
        };
        look(value, &path.split('.').collect::<Vec<_>>()).iter().any(|found| !found.is_null())
    }
}

/// What stands at a path; a number in it means any place of a list.
fn look<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    match (path, value) {
        ([], found) => vec![found],
        ([_, rest @ ..], Value::Array(items)) => items.iter().flat_map(|item| look(item, rest)).collect(),
        ([name, rest @ ..], Value::Object(fields)) => {
            fields.get(*name).map(|found| look(found, rest)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// The rows of the table of the page whose head begins so.
fn table(head: &str) -> Vec<Vec<String>> {
    let page = read("docs/events.md");
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn alarms_in(folder: &std::path::Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            alarms_in(&path, used);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for call in text.split("alarm(").skip(1) {
            used.extend(call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    // The one place that says it by what has become of the emergency.
    used.extend(["emergency", "emergency_over"].map(str::to_owned));
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}
