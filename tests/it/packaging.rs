//! What is installed: the default settings are right and show every setting that there is, and commands end like other tools.

use std::collections::BTreeSet;
use std::path::Path;

use crate::boxed::{Site, gatepost, root};

/// Settings that a site must not have, with the reason.
const NOT_FOR_SITES: [(&str, &str); 1] = [("clock", "a faster clock is for demos and testers")];

#[test]
fn the_default_settings_are_right() {
    let (is_right, said) = check(&root().join("systemd/gatepost.toml"));
    assert!(is_right, "{said}");
    assert!(said.contains("box box-1, 2 lanes"), "{said}");
}

#[test]
fn the_default_settings_are_right_with_everything_switched_on() {
    let (is_right, said) = check_text(&switched_on());
    assert!(is_right, "{said}");
}

const ONE_LANE: &str = r#"
[[links]]
id = "posts"
kind = "http-push"
listen = "127.0.0.1:0"
[[devices]]
id = "cam"
profile = "hikvision/isapi"
link = "posts"
params = { name = "cam" }
address = "127.0.0.1:9"
[[lanes]]
id = "entry-1"
direction = "entry"
camera = "cam"
barrier = { device = "cam", output = 0 }
"#;

/// The settings' own first lines say: check, then restart. A daemon that then does not start is a mall that stands still.
#[test]
fn rules_that_a_daemon_would_not_start_with_are_told_before() {
    let mut site = Site::start(ONE_LANE);
    site.daemon.kill();
    let settings = site.folder.path().join("gatepost.toml");
    let (is_right, said) = check(&settings);
    assert!(is_right, "{said}");
    let rules = site.folder.path().join("rules.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("{text}\n# changed")).unwrap();
    let (is_right, said) = check(&settings);
    assert!(!is_right && said.contains("version 1 of the rules was in force with another content"), "{said}");
}

/// The daemon itself tells which names it allows in each table.
/// Files and keys that no build machine has, and an inner lot that the shipped rules do not have.
const STAYS_OFF: [&str; 8] =
    ["#directory", "#overlay", "#signers", "#zone", "#words", "#tls_listen", "#certificate", "#key ="];

#[test]
fn the_default_settings_show_every_setting() {
    let all = switched_on();
    let mut shown = BTreeSet::new();
    for line in all.lines().filter(|line| !line.starts_with('#') || stays_off(line)) {
        shown.extend(line.trim_start_matches('#').split(['=', '{', ',', '[', ']']).map(|name| name.trim().to_owned()));
    }
    let mut missing = Vec::new();
    let tables = all.lines().zip(1..).filter(|(line, _)| line.starts_with('['));
    for (line, number) in tables.chain([("the file itself", 0)]) {
        for name in allowed_after(&all, number) {
            if !shown.contains(&name) && NOT_FOR_SITES.iter().all(|(other, _)| *other != name) {
                missing.push(format!("{line} {name}"));
            }
        }
    }
    assert_eq!(missing, [""; 0], "systemd/gatepost.toml does not show them");
}

#[test]
fn an_answer_that_nobody_reads_on_ends_the_command_in_silence() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = gatepost().args(["profile", "list"]).stdout(writer).output().unwrap();
    assert_eq!(ended.status.code(), Some(141), "what a shell says of a command that a broken pipe ended");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn a_wrong_setting_is_told_with_its_line_and_what_is_allowed() {
    let text = switched_on().replace("kind = \"mqtt\"", "kind = \"mqqt\"");
    let line = 1 + text.lines().position(|line| line == "kind = \"mqqt\"").unwrap();
    let (is_right, said) = check_text(&text);
    assert!(!is_right && said.contains(&format!("gatepost.toml:{line}:")) && said.contains("mqtt"), "{said}");
}

fn stays_off(line: &str) -> bool {
    STAYS_OFF.iter().any(|off| line.starts_with(off))
}

/// The names that are allowed where so many lines stand before.
fn allowed_after(text: &str, number: usize) -> Vec<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(number, "no_such_setting = 1");
    let (is_right, said) = check_text(&lines.join("\n"));
    assert!(!is_right && said.contains("no_such_setting"), "{said}");
    let (_, allowed) = said.split_once("no_such_setting").unwrap();
    allowed.split('`').skip(2).step_by(2).map(str::to_owned).collect()
}

/// The default settings with every line that is off switched on.
fn switched_on() -> String {
    let text = std::fs::read_to_string(root().join("systemd/gatepost.toml")).unwrap();
    let lines = text.lines().map(|line| {
        let is_off = line.starts_with('#') && line.chars().nth(1).is_some_and(|c| c.is_ascii_alphabetic() || c == '[');
        if is_off && !stays_off(line) { &line[1..] } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check_text(settings: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, settings).unwrap();
    std::fs::copy(root().join("systemd/rules.toml"), folder.path().join("rules.toml")).unwrap();
    check(&file)
}

fn check(settings: &Path) -> (bool, String) {
    let checked = gatepost().args(["check", "--settings-only", "--config"]).arg(settings).output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    (checked.status.success(), String::from_utf8(said).unwrap())
}
