//! Published price sheets, case by case, and the examples of the documentation.

use std::path::PathBuf;

use gatepost::domain::event::UtcMs;
use gatepost::domain::rules::{Rules, compose, lint};
use gatepost::domain::tariff::calendar::moment;
use gatepost::domain::tariff::{self, Question};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sheets {
    sheet: Vec<Sheet>,
}

#[derive(Deserialize)]
struct Sheet {
    bundle: String,
    cases: Vec<String>,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(path: &str) -> String {
    let path = folder(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn example(name: &str) -> Rules {
    let path = format!("examples/tariffs/{name}.toml");
    Rules::parse(&read(&path)).unwrap_or_else(|bad| panic!("{path}:{bad}"))
}

#[test]
fn published_price_sheets_cost_what_they_say() {
    let sheets: Sheets = toml::from_str(include_str!("published.toml")).unwrap();
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for sheet in &sheets.sheet {
        let rules = example(&sheet.bundle);
        let at = |text: &str| UtcMs(moment(text.trim(), &rules.tariffs.calendar.zone).unwrap() * 1000);
        for case in &sheet.cases {
            let [entry, exit, fen] = case.split('|').collect::<Vec<_>>()[..] else { panic!("{case}") };
            let fee = tariff::fee(&rules, &Question::of(at(entry), at(exit)));
            cases += 1;
            if fee.total.0.to_string() != fen.trim() {
                wrong.push(format!("{}: {case}, but computed {}: {:?}", sheet.bundle, fee.total.0, fee.lines));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 300, "only {cases} cases");
}

#[test]
fn every_example_proves_itself_and_is_in_the_table() {
    let sheets: Sheets = toml::from_str(include_str!("published.toml")).unwrap();
    for entry in std::fs::read_dir(folder("examples/tariffs")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        example(&name);
        assert!(sheets.sheet.iter().any(|sheet| sheet.bundle == name), "{name} has no cases in published.toml");
    }
}

/// The notice of Anshan limits a full day only, so that 23 hours cost more than 24; the others are what they seem.
#[test]
fn the_lint_finds_what_a_sheet_did_not_mean() {
    let codes = |name: &str| {
        lint::lint(&example(name)).iter().map(|found| format!("{} {}", found.code, found.text)).collect::<Vec<_>>()
    };
    let anshan = codes("anshan");
    assert_eq!(anshan.len(), 1, "{anshan:?}");
    assert!(anshan[0].starts_with("fee_falls entered 2026-03-02T18:50:00, 23:45:00 costs 3100 fen"), "{anshan:?}");
    assert!(anshan[0].ends_with("and 24:00:00 costs 2000 fen"), "{anshan:?}");
    assert_eq!(codes("mixc-tianjin"), [""; 0]);
    assert_eq!(codes("night-cap"), [""; 0]);
    assert_eq!(codes("shared-cap"), [""; 0]);
    assert_eq!(codes("great-western"), ["unreachable the unit came in none of the stays tried, up to five days"]);
}

/// Every bundle of docs/tariffs.md is read; a piece of one stands in a bundle that needs nothing else.
#[test]
fn the_examples_of_the_documentation_work() {
    let text = read("docs/tariffs.md");
    let mut blocks = text.split("```toml").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (mut whole, mut pieces, mut base) = (0, 0, None);
    for block in &mut blocks {
        if block.contains("[overlay]") {
            let base: &String = base.as_ref().expect("the base stands before its overlay");
            compose(base, block).unwrap_or_else(|bad| panic!("{bad}\n{block}"));
            continue;
        }
        let bundle = if block.contains("[bundle]") {
            whole += 1;
            block.to_owned()
        } else {
            pieces += 1;
            let golden = if block.contains("[[golden]]") { "" } else { "[[golden]]\nstay_seconds = 0\nfee_fen = 0\n" };
            format!(
                "[bundle]\nversion = 1\n[points]\npoints = 10\nfen = 100\ngranularity = 10\n[earn]\nfen = 100\npoints = 1\n\
                 [grants]\nvisit_points = 300\n{block}\n{golden}"
            )
        };
        Rules::parse(&bundle).unwrap_or_else(|bad| panic!("{bad}\n{bundle}"));
        if bundle.contains("overridable") {
            base = Some(bundle);
        }
    }
    assert!(whole >= 1 && pieces >= 10, "{whole} bundles and {pieces} pieces");
}
