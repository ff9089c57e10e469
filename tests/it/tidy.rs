//! The order of the house, kept by reading its source: who may import whom, what stays pure, what is never written.
//! Every fault is told with file, line and the allowed way; every rule is shown to catch what it is for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::boxed::root;
use crate::source::{Line, SourceFile, words};

/// A rule reads one file and tells what is wrong with it.
type Rule = fn(&SourceFile) -> Vec<Fault>;

/// What is wrong in a line, and what is allowed instead.
#[derive(Debug)]
struct Fault {
    line: usize,
    wrong: String,
    allowed: &'static str,
}

const RULES: [Rule; 10] =
    [first_line, imports, crates_of_the_domain, sql, purity, integers, powers, length, unfinished, vocabulary];

#[test]
fn the_house_is_in_order() {
    let files = files();
    assert!(files.len() > 50, "only {} files were found", files.len());
    let mut told = Vec::new();
    for file in &files {
        for fault in RULES.iter().flat_map(|rule| rule(file)) {
            told.push(format!("{}:{}: {}; {}", file.path, fault.line, fault.wrong, fault.allowed));
        }
    }
    assert!(told.is_empty(), "{} faults\n{}", told.len(), told.join("\n"));
}

#[test]
fn the_members_stand_alone() {
    for member in ["simulators", "cloud-ledger"] {
        let manifest = read(&root().join(member).join("Cargo.toml"));
        assert!(!depends_on_the_box(&manifest), "{member}/Cargo.toml: gatepost; two implementations of one document");
    }
    assert!(depends_on_the_box("[dependencies]\ngatepost = { path = \"..\" }"));
    assert!(depends_on_the_box("[dev-dependencies.gatepost]\npath = \"..\""));
    assert!(!depends_on_the_box("[package]\nname = \"gatepost-sim\"\n[dependencies]\nserde = \"1\""));
}

#[test]
fn changes_are_written_down() {
    assert!(has_unreleased(&read(&root().join("CHANGELOG.md"))), "CHANGELOG.md: no section Unreleased");
    assert!(!has_unreleased("# Changes\n## 0.1.0\nUnreleased it was not\n"));
}

/// Two versions of a crate are twice the code and twice the advisories: each stands in `deny.toml` with its reason.
#[test]
fn duplicates_are_known_and_everything_comes_from_the_registry() {
    let found = duplicates(&read(&root().join("Cargo.lock")));
    let known = skipped(&read(&root().join("deny.toml")));
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), [""; 0], "deny.toml: second versions without a reason");
    assert_eq!(known.difference(&found).collect::<Vec<_>>(), [""; 0], "deny.toml: reasons without a second version");
    let twice = "[[package]]\nname='a'\nversion='1.0.0'\n[[package]]\nname='a'\nversion='0.9.0'\n";
    assert_eq!(duplicates(twice), BTreeSet::from(["a@0.9.0".to_owned()]));
}

#[test]
fn each_rule_catches_what_it_is_for() {
    let catches = |rule: Rule, path: &str, text: &str, line: usize| {
        let found: Vec<usize> = rule(&SourceFile::of(path, text)).iter().map(|fault| fault.line).collect();
        assert_eq!(found, [line], "{path}: {text}");
    };
    let passes = |rule: Rule, path: &str, text: &str| {
        let found = rule(&SourceFile::of(path, text));
        assert!(found.is_empty(), "{path}: {text}: {found:?}");
    };
    catches(first_line, "src/site.rs", "use std::fs;\n", 1);
    catches(imports, "src/domain/stay.rs", "//! A\nuse crate::store::Store;\n", 2);
    catches(imports, "src/profile/mod.rs", "//! A\nuse crate::{domain, store};\n", 2);
    catches(imports, "src/store/mod.rs", "//! A\nuse crate::profile::Profile;\n", 2);
    catches(imports, "src/tills/mod.rs", "//! A\nuse crate::{\n    domain,\n    console::Page,\n};\n", 4);
    catches(imports, "src/sync/mod.rs", "//! A\nfn f() { crate::devices::start() }\n", 2);
    passes(imports, "src/tills/mod.rs", "//! A\nuse crate::{domain::{event, stay}, site::Handle, store};\n");
    passes(imports, "src/tills/mod.rs", "//! A\n#[cfg(test)]\nmod tests {\n    use crate::daemon;\n}\n");
    passes(imports, "src/daemon.rs", "//! A\nuse crate::{console, devices, sync, tills};\n");
    catches(crates_of_the_domain, "src/domain/stay.rs", "//! A\nuse serde_json::Value;\n", 2);
    catches(crates_of_the_domain, "src/domain/stay.rs", "//! A\nfn f() { jiff::Timestamp::now() }\n", 2);
    passes(
        crates_of_the_domain,
        "src/domain/stay.rs",
        "//! A\nuse serde::Serialize;\nuse std::fmt;\nuse super::points;\n",
    );
    passes(crates_of_the_domain, CALENDAR, "//! A\nuse jiff::tz::TimeZoneDatabase;\n");
    catches(sql, "src/console/mod.rs", "//! A\nconst Q: &str = \"SELECT seq FROM journal\";\n", 2);
    catches(sql, "src/sync/mod.rs", "//! A\nuse rusqlite::Connection;\n", 2);
    passes(sql, "src/store/mod.rs", "//! A\nuse rusqlite::Connection;\nconst Q: &str = \"SELECT 1\";\n");
    passes(sql, "src/console/mod.rs", "//! A\n// SELECT is a word here.\nconst Q: &str = \"please SELECT\";\n");
    for bad in [
        "async fn f() {}",
        "Instant::now()",
        "jiff::Timestamp::now()",
        "jiff::tz::TimeZone::get(name)",
        "SystemTime::now()",
        "use std::fs;",
        "use std::net::IpAddr;",
        "std::env::var(A)",
        "std::thread::spawn(f)",
        "HashMap::new()",
        "HashSet::new()",
        "tracing::info!()",
        "rand::random()",
    ] {
        catches(purity, "src/domain/fee.rs", &format!("//! A\n{bad}\n"), 2);
        passes(purity, "src/site.rs", &format!("//! A\n{bad}\n"));
    }
    passes(purity, "src/domain/fee.rs", "//! An async rand word in a comment\nlet a = \"async\"; // async\n");
    for path in ["src/domain/fee.rs", "src/store/mod.rs", "src/tills/mod.rs", "cloud-ledger/src/apply.rs"] {
        catches(integers, path, "//! A\nlet fee = due as f64;\n", 2);
    }
    passes(integers, "src/metrics.rs", "//! A\nlet seconds: f64 = 0.1;\n");
    passes(integers, "src/domain/matching/answer.rs", "//! A\nlet share: f64 = 0.1;\n");
    catches(integers, "src/domain/points.rs", "//! A\nlet share: f64 = 0.1;\n", 2);
    catches(powers, "src/domain/matching/answer.rs", "//! A\nlet a = share.ln();\n", 2);
    catches(powers, "src/domain/matching/answer.rs", "//! A\nlet a = share.powf(2.0);\n", 2);
    passes(powers, "src/domain/matching/answer.rs", "//! A\nlet a = 10_u64.pow(2);\n");
    catches(length, "src/tills/mod.rs", &("//! A\n".to_owned() + &"\n".repeat(700)), LINES_MAX + 1);
    passes(length, "src/tills/mod.rs", &("//! A\n".to_owned() + &"\n".repeat(500)));
    catches(unfinished, "src/site.rs", "//! A\ntodo!()\n", 2);
    catches(unfinished, "src/site.rs", "//! A\nunimplemented!()\n", 2);
    catches(unfinished, "src/site.rs", "//! A\nlet a = b.unwrap();\n", 2);
    catches(unfinished, "src/site.rs", "//! A\nstd::thread::sleep(a);\n", 2);
    catches(unfinished, "tests/it/new.rs", "//! A\ntokio::time::sleep(a).await;\n", 2);
    catches(unfinished, "src/new.rs", "//! A\n#[cfg(test)]\nmod tests {\n    fn f() { sleep(a) }\n}\n", 4);
    passes(unfinished, "src/devices/bus.rs", "//! A\ntokio::time::sleep(pause).await;\nlet a = b.unwrap_or(c);\n");
    passes(unfinished, "tests/it/new.rs", "//! A\nlet a = b.unwrap();\nlet b = \"todo!()\";\n");
    catches(vocabulary, "src/tills/mod.rs", "//! A\nlet session_id = 1;\n", 2);
    catches(vocabulary, "src/domain/lane.rs", "//! A\nstruct GateState;\n", 2);
    passes(vocabulary, "src/devices/mqtt.rs", "//! A\nlet session = 1;\n");
    passes(vocabulary, "src/tills/mod.rs", "//! A gate\nuse gatepost::site;\nlet a = \"barr_gate_status\"; // gate\n");
}

fn first_line(file: &SourceFile) -> Vec<Fault> {
    let is_said = file.lines.first().is_some_and(|line| line.text.starts_with("//! "));
    let allowed = "one `//!` sentence that a technician can follow";
    if is_said {
        Vec::new()
    } else {
        vec![Fault { line: 1, wrong: "the file does not say what it is".into(), allowed }]
    }
}

/// What each room may import. Level 0 is pure, level 1 reads and writes, level 2 are the edges, and the rest wires.
const ROOMS: [(&str, &[&str]); 12] = [
    ("domain", &["domain"]),
    ("profile", &["domain", "profile"]),
    ("store", &["domain", "store"]),
    ("metrics", &["domain", "metrics"]),
    ("clock", &["domain", "clock"]),
    ("member_code", &["domain", "member_code"]),
    ("photos", &["domain", "metrics", "photos"]),
    ("site", &["domain", "store", "metrics", "clock", "site"]),
    ("devices", &["domain", "member_code", "profile", "store", "metrics", "clock", "photos", "site", "devices"]),
    ("tills", &["domain", "member_code", "profile", "store", "metrics", "clock", "photos", "site", "tills"]),
    ("console", &["domain", "profile", "store", "metrics", "clock", "photos", "site", "console"]),
    ("sync", &["domain", "profile", "store", "metrics", "clock", "site", "sync"]),
];

fn imports(file: &SourceFile) -> Vec<Fault> {
    let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| Some(*room) == file.room()) else { return Vec::new() };
    let mut faults = Vec::new();
    for (line, target) in file.imported_rooms() {
        if !allowed.contains(&target.as_str()) {
            let wrong = format!("{room} imports {target}");
            faults.push(Fault { line, wrong, allowed: "imports point down, and rooms of one level do not meet" });
        }
    }
    faults
}

/// The crates that a decision may rest on.
const DOMAIN_CRATES: [&str; 3] = ["serde", "thiserror", "toml"];
/// The one file that reads the tz database that is built into the binary; it asks no clock and no file.
const CALENDAR: &str = "src/domain/tariff/calendar.rs";
/// The room that counts what is used up by civil days; what asks a clock or the machine's zone is forbidden to it, too.
const BENEFITS: &str = "src/domain/benefit/";

fn crates_of_the_domain(file: &SourceFile) -> Vec<Fault> {
    if file.room() != Some("domain") {
        return Vec::new();
    }
    let has_days = file.path == CALENDAR || file.path.starts_with(BENEFITS);
    let others: Vec<String> = dependencies()
        .into_iter()
        .filter(|name| !DOMAIN_CRATES.contains(&name.as_str()) && (name != "jiff" || !has_days))
        .collect();
    per_line(file.shipped(), |line| {
        let named = others.iter().find(|name| line.names_path(name))?;
        Some((format!("domain uses {named}"), "std, serde, thiserror and toml"))
    })
}

const SQL: [&str; 7] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE TABLE", "PRAGMA ", "BEGIN IMMEDIATE"];

fn sql(file: &SourceFile) -> Vec<Fault> {
    if !file.path.starts_with("src/") || file.room() == Some("store") {
        return Vec::new();
    }
    per_line(file.shipped(), |line| {
        let is_sql = line.names_path("rusqlite")
            || line.strings.iter().any(|text| SQL.iter().any(|word| text.trim_start().starts_with(word)));
        is_sql.then(|| ("SQL".to_owned(), "a function of src/store, the only place with SQL"))
    })
}

const IMPURE: [&str; 15] = [
    "async",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::get",
    "Instant::now",
    "SystemTime",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "HashMap",
    "HashSet",
    "tracing",
    "rand",
    "await",
];

fn purity(file: &SourceFile) -> Vec<Fault> {
    if file.room() != Some("domain") {
        return Vec::new();
    }
    per_line(file.shipped(), |line| {
        let found = IMPURE.iter().find(|words| line.has(words))?;
        Some((format!("{found} in a decision"), "time, ids and facts come in as arguments; ordered maps"))
    })
}

fn integers(file: &SourceFile) -> Vec<Fault> {
    let counts_money = file.path.starts_with("cloud-ledger/")
        || file.room().is_some_and(|room| ["domain", "store", "tills"].contains(&room));
    // Which vehicle it is, is a matter of probability; no money is in that room, and whole millionths leave it.
    if !counts_money || file.path.starts_with("src/domain/matching/") {
        return Vec::new();
    }
    per_line(&file.lines, |line| {
        let found = ["f32", "f64"].iter().find(|name| line.has(name))?;
        Some((format!("{found} near money"), "whole fen, points, minutes and basis points"))
    })
}

/// What IEEE 754 leaves to the mathematical library, which differs from box to box.
const POWERS: [&str; 12] = [
    ".ln(", ".ln_1p(", ".log(", ".log2(", ".log10(", ".exp(", ".exp2(", ".exp_m1(", ".powf(", ".powi(", ".cbrt(",
    ".sin(",
];

fn powers(file: &SourceFile) -> Vec<Fault> {
    if !file.path.starts_with("src/domain/matching/") {
        return Vec::new();
    }
    per_line(file.shipped(), |line| {
        let found = POWERS.iter().find(|call| line.code.contains(**call))?;
        Some((found.to_string(), "addition, multiplication and division, which every box does alike"))
    })
}

/// About 500, with a little room for the file that grows a line today.
const LINES_MAX: usize = 520;

fn length(file: &SourceFile) -> Vec<Fault> {
    if file.lines.len() <= LINES_MAX {
        return Vec::new();
    }
    let wrong = format!("{} lines", file.lines.len());
    vec![Fault { line: LINES_MAX + 1, wrong, allowed: "about 500; think the file through again" }]
}

/// Tests that may sleep, each with its reason.
const SLEEPERS: [(&str, &str); 0] = [];

fn unfinished(file: &SourceFile) -> Vec<Fault> {
    let may_sleep = SLEEPERS.iter().any(|(path, _)| *path == file.path);
    let mut faults = per_line(&file.lines, |line| {
        let macros = ["todo!", "unimplemented!"];
        if let Some(found) = macros.iter().find(|name| line.code.contains(**name)) {
            return Some((format!("{found}()"), "finished code, or none"));
        }
        line.has("thread::sleep").then(|| ("a sleeping thread".to_owned(), "wait for the event, not for the time"))
    });
    faults.extend(per_line(file.shipped(), |line| {
        line.code
            .contains(".unwrap()")
            .then(|| (".unwrap()".to_owned(), "expect() that says why it cannot happen, or ?"))
    }));
    faults.extend(per_line(file.tests(), |line| {
        let sleeps = line.code.contains("sleep(") && !line.has("thread::sleep") && !may_sleep;
        sleeps.then(|| ("a sleeping test".to_owned(), "wait for the event; a paused clock; a line of a child process"))
    }));
    faults
}

/// Words with another term, the files in which they mean something else, and that term.
const VOCABULARY: [(&str, &[&str], &str); 2] = [
    (
        "session",
        &["src/devices/mqtt.rs", "src/tills/transports/mqtt.rs", "src/demo", "simulators/", "tests/", "benches/"],
        "a vehicle's visit is a stay",
    ),
    // The simulators speak as the devices do.
    ("gate", &["simulators/"], "what is raised and lowered is a barrier"),
];

fn vocabulary(file: &SourceFile) -> Vec<Fault> {
    per_line(&file.lines, |line| {
        let (word, _, allowed) = VOCABULARY.iter().find(|(word, exempt, _)| {
            let elsewhere = exempt.iter().any(|path| file.path.starts_with(path));
            !elsewhere && words(&line.code).any(|part| part == *word)
        })?;
        Some((format!("the word {word}"), *allowed))
    })
}

fn per_line<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    check: impl Fn(&Line) -> Option<(String, &'static str)>,
) -> Vec<Fault> {
    let found = lines.into_iter().filter_map(|line| check(line).map(|(wrong, allowed)| (line.number, wrong, allowed)));
    found.map(|(line, wrong, allowed)| Fault { line, wrong, allowed }).collect()
}

fn depends_on_the_box(manifest: &str) -> bool {
    let manifest: toml::Table = manifest.parse().unwrap();
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .any(|section| section.contains_key("gatepost"))
}

fn has_unreleased(changes: &str) -> bool {
    changes.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased"))
}

/// All but the newest version of every crate that is there more than once.
fn duplicates(lock: &str) -> BTreeSet<String> {
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let mut all = Vec::new();
    for package in packages {
        let text = |field: &str| package.get(field).map(|value| value.as_str().unwrap().to_owned());
        let (name, version) = (text("name").unwrap(), text("version").unwrap());
        let from_registry = text("source").is_none_or(|from| from.ends_with("github.com/rust-lang/crates.io-index"));
        assert!(from_registry, "{name} does not come from the registry");
        // No box runs Windows; what is only needed there is in the lock file and not in the binary.
        if !name.starts_with("windows") {
            let order: Vec<u64> = version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect();
            all.push((name, order, version));
        }
    }
    all.sort();
    let older = all.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    older.map(|pair| format!("{}@{}", pair[0].0, pair[0].2)).collect()
}

fn skipped(deny: &str) -> BTreeSet<String> {
    let deny: toml::Table = deny.parse().unwrap();
    let skip = deny["bans"]["skip"].as_array().unwrap();
    skip.iter()
        .map(|entry| {
            assert!(entry["reason"].as_str().is_some_and(|reason| reason.len() > 5), "{entry}: no reason");
            entry["crate"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The crates that the box depends on, as code names them.
fn dependencies() -> Vec<String> {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let names = manifest["dependencies"].as_table().unwrap().keys();
    names.map(|name| name.replace('-', "_")).collect()
}

fn files() -> Vec<SourceFile> {
    let mut paths = Vec::new();
    for folder in ["src", "simulators", "cloud-ledger", "tests", "benches"] {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let named = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<SourceFile> = paths.iter().map(|path| SourceFile::of(&named(path), &read(path))).collect();
    let for_tests: BTreeSet<String> = files.iter().flat_map(SourceFile::modules_for_tests).collect();
    for file in files.iter_mut().filter(|file| for_tests.contains(&file.path)) {
        file.is_test = true;
    }
    files
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
