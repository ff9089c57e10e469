//! Rules change while cars are inside: each stay keeps the version of its entry, and every fee can be computed again.

use gatepost::domain::event::{Input, Reply, RulesOffer, StaffRefusal};
use gatepost::store::recompute;

use crate::story::Story;

const DEMO: &str = include_str!("../../../systemd/rules.toml");

#[test]
fn a_new_bundle_holds_for_new_stays_and_goes_back_in_one_step() {
    let mut story = Story::new();
    enter(&mut story, "粤B11111");
    assert_eq!(offer(&mut story, &dear(2)), Ok("version 2 is in force, after 1".to_owned()));
    assert_eq!(offer(&mut story, &dear(2)), Ok("version 2 is in force".to_owned()));
    enter(&mut story, "粤B22222");
    story.minutes(40);
    story.read("out", "粤B11111");
    story.read("out-2", "粤B22222");
    assert_eq!(story.stays(), ["粤B11111 pending_exit 1000 0 0", "粤B22222 pending_exit 1400 0 0"]);

    assert_eq!(roll_back(&mut story), Ok("version 1 is in force, after 2".to_owned()));
    enter(&mut story, "粤B33333");
    story.restart();
    story.minutes(40);
    story.read("out-bare", "粤B33333");
    assert_eq!(story.stays().pop(), Some("粤B33333 pending_exit 1000 0 0".to_owned()));
    assert_eq!(roll_back(&mut story), Err("there is no version before 1".to_owned()));
    assert_eq!(offer(&mut story, &dear(2)), Ok("version 2 is in force, after 1".to_owned()), "asked for again");

    let found = recompute::fees(&story.path(), None).unwrap();
    assert_eq!((found.fees, found.faults.len()), (3, 0));
    assert_eq!(recompute::priced(&story.path(), 30).unwrap().len(), 3);
    assert_eq!(roll_back(&mut story), Ok("version 1 is in force, after 2".to_owned()), "as the settings have it");
}

#[test]
fn what_may_not_be_in_force_is_refused_with_its_reason() {
    let mut story = Story::new();
    let mut refused = |text: &str, expect: &str| {
        let why = offer(&mut story, text).expect_err(text);
        assert!(why.contains(expect), "{why}");
    };
    refused(&DEMO.replace("fen = 500 }", "fen = 600 }"), "must cost 500 fen, but this box computes 600 fen");
    refused(&format!("{DEMO}\n# changed"), "version 1 of the rules was in force with another content");
    let later = dear(3).replace("timezone =", "effective_from = \"2199-01-01T00:00:00+08:00\"\ntimezone =");
    refused(&later, "version 3 waits for its time");
    refused(&"x".repeat(300 << 10), "key with no value; allowed: `=`");
}

#[test]
fn a_fee_that_its_bundle_does_not_give_is_told() {
    let mut story = Story::new();
    enter(&mut story, "粤B11111");
    story.minutes(40);
    story.read("out", "粤B11111");
    let forged = story.path().with_file_name("forged.db");
    let db = rusqlite::Connection::open(story.path()).unwrap();
    db.execute("VACUUM INTO ?1", [forged.to_str().unwrap()]).unwrap();
    let db = rusqlite::Connection::open(&forged).unwrap();
    let sql = "UPDATE journal SET body = CAST(replace(CAST(body AS TEXT), '\"total\":1000', '\"total\":900') AS BLOB)";
    db.execute(sql, ()).unwrap();
    let faults = recompute::fees(&forged, None).unwrap().faults;
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("900 fen then, 1000 fen now"), "{faults:?}");
}

/// The demo's rules at seven yuan a half hour.
fn dear(version: u32) -> String {
    let (head, _) = DEMO.split_once("[[golden]]").unwrap();
    let text = head.replace("version = 1 ", &format!("version = {version} ")).replace("fen = 500 }", "fen = 700 }");
    format!("{text}\n[[golden]]\nstay_seconds = 901\nfee_fen = 700\n")
}

fn offer(story: &mut Story, text: &str) -> Result<String, String> {
    let offer = RulesOffer::Text(text.to_owned());
    answer(story.feed(Input::RulesOffered { version: 0, operator: None, offer }).1)
}

fn roll_back(story: &mut Story) -> Result<String, String> {
    let operator = Some("guard-1".to_owned());
    answer(story.feed(Input::RulesOffered { version: 0, operator, offer: RulesOffer::Before }).1)
}

fn answer(reply: Reply) -> Result<String, String> {
    match reply {
        Reply::Staff(Ok(text)) => Ok(text),
        Reply::Staff(Err(StaffRefusal::RulesRefused { why })) => Err(why),
        Reply::Staff(Err(other)) => panic!("{other:?}"),
        Reply::Done | Reply::Till(_) | Reply::Ticket(_) => panic!("{reply:?}"),
    }
}

fn enter(story: &mut Story, plate: &str) {
    story.arrival("in", true);
    story.read("in", plate);
    story.passage("in", true);
    story.arrival("in", false);
    story.passage("in", false);
    story.seconds(20);
}
