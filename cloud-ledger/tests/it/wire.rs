//! The interface of `docs/cloud-api.md`, promise by promise, through a real connection.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::host::{ADMIN, BOX_1, BOX_2, Host, Journal, call, on_both, profile};

const HELLO: &str = "/v1/boxes/demo-1/hello";
const JOURNAL: &str = "/v1/boxes/demo-1/journal";
const GRANTS: &str = "/v1/boxes/demo-1/grants";

on_both! {
    a_handshake_tells_how_the_two_journals_compare,
    a_repeated_upload_changes_nothing,
    a_gap_is_refused_with_the_cursor,
    a_fork_is_refused_and_nothing_of_the_request_is_applied,
    an_unknown_kind_stops_the_cursor_before_it,
    an_entry_that_is_none_stops_the_cursor_and_names_its_field,
    granted_points_are_spent_and_returned_by_the_journal_alone,
    a_grant_is_given_once_per_request,
    two_boxes_are_never_granted_the_same_points,
    a_fact_that_should_be_impossible_is_kept_alarmed_and_never_charged,
    an_op_has_its_effect_once_for_ever,
    points_earned_for_a_stranger_are_kept_for_them,
    a_fenced_epoch_gets_no_grant_and_its_journal_is_still_taken,
    everything_is_still_there_after_a_restart,
    a_token_opens_only_what_is_its_own,
    a_wrong_body_is_answered_with_its_field,
    verify_finds_what_was_changed_behind_the_ledgers_back,
    a_stop_does_not_wait_for_an_idle_connection,
}

async fn a_handshake_tells_how_the_two_journals_compare() {
    let host = Host::start().await;
    let mut journal = Journal::new("demo-1", 1);
    let new = host.post(BOX_1, HELLO, journal.hello()).await;
    assert_welcome(&new.body, "ok", 1, journal.cursor(0));

    journal.add(json!([{"kind": "started"}]));
    journal.add(json!([{"kind": "started"}]));
    let ahead = host.post(BOX_1, HELLO, journal.hello()).await;
    assert_eq!(ahead.body["verdict"], "ok");
    assert_eq!(host.post(BOX_1, JOURNAL, journal.upload(1, 2)).await.status, 200);
    let level = host.post(BOX_1, HELLO, journal.hello()).await;
    assert_welcome(&level.body, "ok", 1, journal.cursor(2));

    let mut rewound = journal.clone();
    rewound.forget();
    let behind = host.post(BOX_1, HELLO, rewound.hello()).await;
    assert_welcome(&behind.body, "behind", 1, journal.cursor(2));
    assert_eq!((&behind.body["lease"], &behind.body["wants"]), (&json!(null), &json!({"epoch": 2})));

    rewound.add(json!([{"kind": "quarantined"}]));
    let forked = host.post(BOX_1, HELLO, rewound.hello()).await;
    assert_eq!(forked.body["verdict"], "fork");

    let other = host.post(BOX_1, HELLO, Journal::new("demo-1", 2).hello()).await;
    assert_welcome(&other.body, "wrong-epoch", 1, journal.cursor(2));
    assert_eq!(host.alarms("demo-1").await, ["wrong-epoch", "fork", "rewound"]);
}

async fn a_repeated_upload_changes_nothing() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let mut journal = enrolled(&host).await;
    journal.add(json!([earned("a", "M1", 5)]));
    journal.add(json!([earned("b", "M1", 6)]));
    for (from, to) in [(1, 1), (1, 1), (1, 2), (1, 2), (2, 2)] {
        let answer = host.post(BOX_1, JOURNAL, journal.upload(from, to)).await;
        assert_eq!((answer.status, &answer.body["cursor"]), (200, &journal.cursor(to)));
    }
    let nothing = host.post(BOX_1, JOURNAL, json!({"epoch": 1, "entries": []})).await;
    assert_eq!(nothing.body["cursor"], journal.cursor(2));
    assert_eq!(host.sums("M1").await, [111, 0, 11, 100]);
    assert_eq!(host.get(ADMIN, "/v1/boxes/demo-1").await.body["entries"], 2);
    assert!(host.alarms("demo-1").await.is_empty());
    assert!(host.faults().await.is_empty());
}

async fn a_gap_is_refused_with_the_cursor() {
    let host = Host::start().await;
    let mut journal = enrolled(&host).await;
    (0..4).for_each(|_| journal.add(json!([{"kind": "started"}])));
    host.post(BOX_1, JOURNAL, journal.upload(1, 1)).await;
    let gap = host.post(BOX_1, JOURNAL, journal.upload(3, 4)).await;
    assert_eq!((gap.status, &gap.body["code"], &gap.body["cursor"]), (409, &json!("gap"), &journal.cursor(1)));

    let mut holed = journal.upload(2, 4);
    holed["entries"].as_array_mut().unwrap().remove(1);
    let refused = host.post(BOX_1, JOURNAL, holed).await;
    assert_eq!(refused.status, 400);
    assert_names(&refused.body, "entries[1].seq");
    assert_eq!(host.get(ADMIN, "/v1/boxes/demo-1").await.body["cursor"], journal.cursor(1));
}

async fn a_fork_is_refused_and_nothing_of_the_request_is_applied() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let mut journal = enrolled(&host).await;
    journal.add(json!([earned("a", "M1", 5)]));
    host.post(BOX_1, JOURNAL, journal.upload(1, 1)).await;
    let mut forked = journal.clone();
    forked.add(json!([earned("b", "M1", 6)]));
    forked.add(json!([earned("c", "M1", 7)]));
    let mut upload = forked.upload(2, 3);
    upload["entries"][1]["body"] = json!(r#"{"records":[]}"#);
    for _ in 0..2 {
        let answer = host.post(BOX_1, JOURNAL, upload.clone()).await;
        assert_eq!((answer.status, &answer.body["code"]), (409, &json!("fork")));
        assert_eq!(answer.body["cursor"], journal.cursor(1));
    }
    assert_eq!(host.sums("M1").await, [105, 0, 5, 100]);
    assert_eq!(host.alarms("demo-1").await, ["fork"], "one alarm, however often the box repeats itself");

    // A rewound box that wrote another first entry: skipped as the page says, but somebody hears of it.
    let mut rewritten = Journal::new("demo-1", 1);
    rewritten.add(json!([earned("z", "M1", 50)]));
    let skipped = host.post(BOX_1, JOURNAL, rewritten.upload(1, 1)).await;
    assert_eq!((skipped.status, &skipped.body["cursor"]), (200, &journal.cursor(1)));
    assert_eq!(host.alarms("demo-1").await, ["fork", "fork"]);
    assert_eq!(host.sums("M1").await, [105, 0, 5, 100]);
}

async fn an_unknown_kind_stops_the_cursor_before_it() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let mut journal = enrolled(&host).await;
    journal.add(json!([earned("a", "M1", 5)]));
    journal.add(json!([earned("b", "M1", 6), {"kind": "points_lent"}]));
    journal.add(json!([earned("c", "M1", 7)]));
    for from in [1, 2] {
        let stopped = host.post(BOX_1, JOURNAL, journal.upload(from, 3)).await;
        assert_eq!((stopped.status, &stopped.body["code"]), (422, &json!("unknown-kind")));
        assert_eq!(stopped.body["cursor"], journal.cursor(1));
        assert_names(&stopped.body, "points_lent");
    }
    assert_eq!(host.sums("M1").await, [105, 0, 5, 100]);
    assert_eq!(host.alarms("demo-1").await, ["unknown-kind"]);
    assert!(host.faults().await.is_empty());
}

async fn an_entry_that_is_none_stops_the_cursor_and_names_its_field() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let mut journal = enrolled(&host).await;
    journal.add(json!([earned("a", "M1", 5)]));
    journal.add(json!([earned("b", "M1", -6)]));
    for from in [1, 2] {
        let stopped = host.post(BOX_1, JOURNAL, journal.upload(from, 2)).await;
        assert_eq!((stopped.status, &stopped.body["code"]), (400, &json!("bad-request")));
        assert_eq!(stopped.body["cursor"], journal.cursor(1));
        assert_names(&stopped.body, "records[0].points");
    }
    assert_eq!(host.alarms("demo-1").await, ["malformed-entry"]);
    assert_eq!(host.sums("M1").await, [105, 0, 5, 100]);
}

async fn granted_points_are_spent_and_returned_by_the_journal_alone() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let mut journal = enrolled(&host).await;
    let granted = host.post(BOX_1, GRANTS, ask("r1", "M1", 200)).await;
    let Value::Object(mut granted) = granted.body else { panic!("an object") };
    assert_eq!(granted.remove("grants").unwrap()[0]["grant"], "G-1");
    let expected = json!({"grant": "G-1", "request": "r1", "member": "M1", "epoch": 1, "points": 200});
    assert_eq!(Value::Object(granted), expected);
    assert_eq!(host.sums("M1").await, [300, 0, 200, 100]);

    let accepted = json!({"kind": "grant_accepted", "request": "r1", "grant": "G-1", "member": "M1", "points": 200});
    journal.add(json!([accepted]));
    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 150)])]));
    journal.add(json!([earned("b", "M1", 10)]));
    journal.add(json!([moved("points_spent", "c", "M1", &[("G-1", 20), ("born:M1", 4)])]));
    host.post(BOX_1, JOURNAL, journal.upload(1, 4)).await;
    assert_eq!(host.sums("M1").await, [310, 174, 36, 100]);

    journal.add(json!([moved("points_returned", "d", "M1", &[("G-1", 30), ("born:M1", 6)])]));
    host.post(BOX_1, JOURNAL, journal.upload(5, 5)).await;
    assert_eq!(host.sums("M1").await, [310, 174, 0, 136]);
    assert!(host.alarms("demo-1").await.is_empty());
    assert!(host.faults().await.is_empty());
}

async fn a_grant_is_given_once_per_request() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    enrolled(&host).await;
    let first = host.post(BOX_1, GRANTS, ask("r1", "M1", 200)).await;
    let again = host.post(BOX_1, GRANTS, ask("r1", "M1", 200)).await;
    assert_eq!(again.body, first.body);
    assert_eq!(host.sums("M1").await, [300, 0, 200, 100]);
    let other = host.post(BOX_1, GRANTS, ask("r1", "M1", 201)).await;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("request-reused")));

    let rest = host.post(BOX_1, GRANTS, ask("r2", "M1", 200)).await;
    assert_eq!(rest.body["points"], 100, "less than asked, because no more is there");
    let none = host.post(BOX_1, GRANTS, ask("r3", "M1", 200)).await;
    assert_eq!((none.status, &none.body["grant"], &none.body["points"]), (200, &Value::Null, &json!(0)));
    host.post(ADMIN, "/v1/members/M1/credits", json!({"op": "x", "points": 50, "reason": "later"})).await;
    let stored = host.post(BOX_1, GRANTS, ask("r3", "M1", 200)).await;
    assert_eq!(stored.body, none.body, "the stored answer, also where it was nothing");

    let unknown = host.post(BOX_1, GRANTS, ask("r4", "M2", 1)).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("member-unknown")));
    assert!(host.faults().await.is_empty());
}

async fn two_boxes_are_never_granted_the_same_points() {
    let host = Host::start().await;
    host.member("M1", 1000).await;
    for (name, token) in [("demo-1", BOX_1), ("demo-2", BOX_2)] {
        host.post(token, &format!("/v1/boxes/{name}/hello"), Journal::new(name, 1).hello()).await;
    }
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..24 {
        let (name, token) = if number % 2 == 0 { ("demo-1", BOX_1) } else { ("demo-2", BOX_2) };
        let (address, body) = (host.address, ask(&format!("r{number}"), "M1", 90).to_string());
        asking.spawn(async move { call(address, "POST", &format!("/v1/boxes/{name}/grants"), token, &body).await });
    }
    let granted: i64 = asking.join_all().await.iter().map(|answer| answer.body["points"].as_i64().unwrap()).sum();
    assert_eq!(granted, 1000);
    assert_eq!(host.sums("M1").await, [1000, 0, 1000, 0]);
    let online = host.post(ADMIN, "/v1/members/M1/spends", json!({"op": "o", "points": 1})).await;
    assert_eq!((online.status, &online.body["code"]), (409, &json!("insufficient-points")));
    assert!(host.faults().await.is_empty());
}

async fn a_fact_that_should_be_impossible_is_kept_alarmed_and_never_charged() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let mut journal = enrolled(&host).await;
    host.post(BOX_2, "/v1/boxes/demo-2/hello", Journal::new("demo-2", 1).hello()).await;
    host.post(BOX_1, GRANTS, ask("r1", "M1", 100)).await;
    host.post(BOX_2, "/v1/boxes/demo-2/grants", ask("r1", "M1", 100)).await;
    // 20 beyond its own grant, 10 from the other box's grant, 5 from a grant that nobody gave.
    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 120), ("G-2", 10), ("G-9", 5)])]));
    journal.add(json!([{"kind": "grant_accepted", "grant": "G-9", "member": "M1", "points": 5}]));
    let answer = host.post(BOX_1, JOURNAL, journal.upload(1, 2)).await;
    assert_eq!((answer.status, &answer.body["cursor"]), (200, &journal.cursor(2)));
    assert_eq!(host.sums("M1").await, [300, 100, 100, 100], "only what was reserved is charged");
    assert_eq!(host.alarms("demo-1").await, ["grant-unknown", "overspent", "overspent", "overspent"]);
    let faults = host.faults().await;
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].contains("demo-1") && faults[0].contains("20 points of 'M1'"), "{}", faults[0]);
}

async fn an_op_has_its_effect_once_for_ever() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let mut journal = enrolled(&host).await;
    journal.add(json!([earned("a", "M1", 5), earned("a", "M1", 5)]));
    journal.add(json!([moved("points_spent", "a", "M1", &[("born:M1", 5)])]));
    assert_eq!(host.post(BOX_1, JOURNAL, journal.upload(1, 2)).await.status, 200);
    assert_eq!(host.sums("M1").await, [305, 0, 5, 300]);
    assert_eq!(host.alarms("demo-1").await, ["op-repeated", "op-repeated"]);
    assert!(host.faults().await.is_empty());
}

async fn points_earned_for_a_stranger_are_kept_for_them() {
    let host = Host::start().await;
    let mut journal = enrolled(&host).await;
    journal.add(json!([earned("a", "M7", 5)]));
    assert_eq!(host.post(BOX_1, JOURNAL, journal.upload(1, 1)).await.status, 200);
    assert_eq!(host.alarms("demo-1").await, ["member-unknown"]);
    assert_eq!(host.get(ADMIN, "/v1/members/M7").await.body["code"], "member-unknown");
    host.put(ADMIN, "/v1/members/M7", profile(&[], &[])).await;
    assert_eq!(host.sums("M7").await, [5, 0, 5, 0]);
    assert!(host.faults().await.is_empty());
}

async fn a_fenced_epoch_gets_no_grant_and_its_journal_is_still_taken() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let mut journal = enrolled(&host).await;
    host.post(BOX_1, GRANTS, ask("r1", "M1", 100)).await;
    for _ in 0..2 {
        let fenced = host.post(ADMIN, "/v1/boxes/demo-1/fence", json!({"epoch": 1})).await;
        assert_eq!((fenced.status, fenced.body), (200, json!({"box": "demo-1", "epoch": 2})));
    }
    let refused = host.post(BOX_1, GRANTS, ask("r2", "M1", 100)).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("wrong-epoch")));
    assert_eq!(host.sums("M1").await, [300, 0, 100, 200], "what is reserved stays reserved");

    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 100)])]));
    assert_eq!(host.post(BOX_1, JOURNAL, journal.upload(1, 1)).await.status, 200);
    assert_eq!(host.sums("M1").await, [300, 100, 0, 200]);
    let hello = host.post(BOX_1, HELLO, journal.hello()).await;
    assert_welcome(&hello.body, "wrong-epoch", 2, journal.cursor(1));

    let mut next = Journal::new("demo-1", 2);
    assert_eq!(host.post(BOX_1, HELLO, next.hello()).await.body["verdict"], "ok");
    next.add(json!([moved("points_spent", "b", "M1", &[("G-1", 1)])]));
    host.post(BOX_1, JOURNAL, next.upload(1, 1)).await;
    assert_eq!(host.sums("M1").await, [300, 100, 0, 200], "a grant of the old epoch covers nothing of the new one");
    let future = host.post(BOX_1, JOURNAL, json!({"epoch": 3, "entries": []})).await;
    assert_eq!((future.status, &future.body["code"]), (409, &json!("wrong-epoch")));
}

async fn everything_is_still_there_after_a_restart() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let mut journal = enrolled(&host).await;
    let granted = host.post(BOX_1, GRANTS, ask("r1", "M1", 100)).await.body;
    journal.add(json!([earned("a", "M1", 5), earned("a", "M1", 5)]));
    host.post(BOX_1, JOURNAL, journal.upload(1, 1)).await;
    let changes = feed(&host, "").await;
    let shown = host.get(ADMIN, "/v1/boxes/demo-1").await.body;

    let host = host.restart().await;
    assert_eq!(host.sums("M1").await, [305, 0, 105, 200]);
    assert_eq!(feed(&host, "").await, changes);
    assert_eq!(host.get(ADMIN, "/v1/boxes/demo-1").await.body, shown);
    assert_eq!(host.post(BOX_1, GRANTS, ask("r1", "M1", 100)).await.body, granted);
    assert_eq!(host.post(BOX_1, HELLO, journal.hello()).await.body["cursor"], journal.cursor(1));
    assert!(host.faults().await.is_empty());
}

async fn a_token_opens_only_what_is_its_own() {
    let host = Host::start().await;
    let hello = Journal::new("demo-1", 1).hello();
    for token in ["", "nonsense", BOX_2, ADMIN] {
        for path in [HELLO, JOURNAL, GRANTS] {
            let refused = host.post(token, path, hello.clone()).await;
            assert_eq!((refused.status, &refused.body["code"]), (401, &json!("unauthorised")), "{token} {path}");
            assert!(refused.head.contains("content-type: application/problem+json"), "{}", refused.head);
            assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
        }
    }
    for token in ["", "nonsense", ADMIN] {
        assert_eq!(host.get(token, "/v1/feed").await.status, 401);
    }
    for token in ["", "nonsense", BOX_1] {
        for path in ["/v1/members", "/v1/members/M1", "/v1/boxes/demo-1", "/v1/verify"] {
            assert_eq!(host.get(token, path).await.status, 401, "{token} {path}");
        }
        let credit = json!({"op": "c", "points": 1, "reason": ""});
        assert_eq!(host.post(token, "/v1/members/M1/credits", credit).await.status, 401);
        assert_eq!(host.post(token, "/v1/boxes/demo-1/fence", json!({"epoch": 1})).await.status, 401);
        assert_eq!(host.put(token, "/v1/members/M1", profile(&[], &[])).await.status, 401);
        assert_eq!(call(host.address, "DELETE", "/v1/members/M1", token, "").await.status, 401);
    }
    assert_eq!(host.get("", "/healthz").await.body["ok"], true);
}

async fn a_wrong_body_is_answered_with_its_field() {
    let host = Host::start().await;
    enrolled(&host).await;
    let head = Journal::new("demo-1", 1).head(0);
    let cases = [
        (HELLO, json!({"seq": 1, "head": head}), "epoch"),
        (HELLO, json!({"epoch": 1, "seq": -1, "head": head}), "seq"),
        (HELLO, json!({"epoch": 1, "seq": 1, "head": "abc"}), "head"),
        (JOURNAL, json!({"epoch": 1, "entries": [{"seq": 1, "body": {}, "head": head}]}), "entries[0].body"),
        (JOURNAL, json!({"epoch": 1, "entries": [{"seq": 0, "body": "{}", "head": head}]}), "entries[0].seq"),
        (JOURNAL, json!({"epoch": 1, "entries": vec![json!({"seq": 1, "body": "", "head": head}); 501]}), "entries"),
        (GRANTS, json!({"request": "r", "epoch": 1, "member": "M1", "points": 0}), "points"),
        (GRANTS, json!({"request": "", "epoch": 1, "member": "M1", "points": 1}), "request"),
        (GRANTS, json!({"request": "r", "epoch": "1", "member": "M1", "points": 1}), "epoch"),
    ];
    for (path, body, field) in cases {
        let refused = host.post(BOX_1, path, body.clone()).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("bad-request")), "{body}");
        assert_names(&refused.body, field);
    }
    let broken = call(host.address, "POST", HELLO, BOX_1, "{").await;
    assert_eq!((broken.status, &broken.body["code"]), (400, &json!("bad-request")));
    let large = json!({"epoch": 1, "entries": [{"seq": 1, "body": "x".repeat(4 * 1024 * 1024), "head": head}]});
    let refused = host.post(BOX_1, JOURNAL, large).await;
    assert_eq!((refused.status, &refused.body["code"]), (413, &json!("too-large")));
    assert_eq!(host.get(ADMIN, "/v1/nothing").await.body["code"], "not-found");
    assert_eq!(host.get(BOX_1, HELLO).await.body["code"], "method-not-allowed");
    let silent = host.post(BOX_2, "/v1/boxes/demo-2/journal", json!({"epoch": 1, "entries": []})).await;
    assert_eq!((silent.status, &silent.body["code"]), (404, &json!("box-unknown")));
}

async fn verify_finds_what_was_changed_behind_the_ledgers_back() {
    let tampering = [
        ("UPDATE lot SET available = available - 1 WHERE id = 'credit:start-M1'", "lot 'credit:start-M1': stored"),
        ("UPDATE entry SET body = replace(body, '\"points\":5', '\"points\":4') WHERE seq = 1", "entry 1: its head"),
        ("UPDATE escrow SET spent = spent - 1 WHERE id = 'G-1'", "'G-1': stored"),
        ("UPDATE grant_request SET granted = 99 WHERE number = 1", "'r1 of demo-1', granted"),
        ("UPDATE credit SET points = points + 1", "'start-M1', credited: 1 points are missing"),
        ("UPDATE transfer SET points = points - 1 WHERE what = 'spent'", "1 points are missing among the movements"),
        ("DELETE FROM transfer WHERE what = 'granted'", "'G-1': stored"),
        ("DELETE FROM op WHERE op = 'a'", "the op 'a' is not among those"),
        ("UPDATE op SET record = 9 WHERE op = 'a'", "2 ops had their effect, 1 records"),
        ("UPDATE cursor SET seq = 1", "the cursor is at 1"),
        ("DELETE FROM entry WHERE seq = 1", "entry 2: comes after entry 0"),
        ("DELETE FROM entry WHERE seq = 2", "the cursor is at 2"),
    ];
    for (change, expected) in tampering {
        let host = Host::start().await;
        host.member("M1", 300).await;
        let mut journal = enrolled(&host).await;
        host.post(BOX_1, GRANTS, ask("r1", "M1", 100)).await;
        journal.add(json!([earned("a", "M1", 5)]));
        journal.add(json!([moved("points_spent", "b", "M1", &[("G-1", 50)])]));
        host.post(BOX_1, JOURNAL, journal.upload(1, 2)).await;
        let report = host.get(ADMIN, "/v1/verify").await.body;
        assert_eq!(report, json!({"ok": true, "members": 1, "entries": 2, "faults": []}));
        assert_eq!(host.tamper(change).await, 1, "{change}");
        let faults = host.faults().await;
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{change}: {faults:?}");
    }
}

async fn a_stop_does_not_wait_for_an_idle_connection() {
    let host = Host::start().await;
    let mut idle = tokio::net::TcpStream::connect(host.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: cloud\r\n\r\n").await.unwrap();
    let mut answer = [0; 512];
    assert!(idle.read(&mut answer).await.unwrap() > 0, "the connection is open and served");
    let stopping = std::time::Instant::now();
    host.stop().await;
    assert!(stopping.elapsed().as_secs() < 5, "the limit for requests that hang was not needed");
    assert_eq!(idle.read(&mut answer).await.unwrap_or(0), 0, "and it is closed");
}

fn assert_welcome(said: &Value, verdict: &str, epoch: u32, cursor: Value) {
    assert_eq!(said["verdict"], verdict);
    assert_eq!((&said["epoch"], &said["cursor"]), (&json!(epoch), &cursor));
}

/// A box that has said hello, with an empty journal.
pub async fn enrolled(host: &Host) -> Journal {
    let journal = Journal::new("demo-1", 1);
    assert_eq!(host.post(BOX_1, HELLO, journal.hello()).await.body["verdict"], "ok");
    journal
}

pub async fn feed(host: &Host, query: &str) -> Value {
    host.get(BOX_1, &format!("/v1/feed{query}")).await.body
}

fn ask(request: &str, member: &str, points: i64) -> Value {
    json!({"request": request, "epoch": 1, "member": member, "points": points})
}

pub fn earned(op: &str, member: &str, points: i64) -> Value {
    json!({"kind": "points_earned", "op": op, "member": member, "points": points})
}

pub fn moved(kind: &str, op: &str, member: &str, parts: &[(&str, i64)]) -> Value {
    let points: i64 = parts.iter().map(|part| part.1).sum();
    let parts: Vec<_> = parts.iter().map(|(grant, points)| json!({"grant": grant, "points": points})).collect();
    json!({"kind": kind, "op": op, "member": member, "points": points, "parts": parts})
}

pub fn assert_names(problem: &Value, field: &str) {
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(field), "'{detail}' does not name {field}");
}
