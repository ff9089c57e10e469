//! The requests of `docs/till-api.md` through a real socket.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::MOST_BODY_BYTES;
use super::rig::{Decide, Rig, Sent, applied, as_till, sale};
use crate::domain::event::{Fen, Input, StaffWish, TillCommit, UtcMs};
use crate::domain::lane::{PossibleStay, WaitReason, Waiting};
use crate::domain::plate::Plate;
use crate::photos::sample as photos;
use crate::store::reader::sample::{NOON_MS, visit, waiting};

#[tokio::test]
async fn a_code_or_a_consented_plate_finds_the_member() {
    let rig = Rig::new().await;
    for body in [json!({"code": "GPM1001"}), json!({"plate": "粤b·12345"})] {
        let found = rig.till_post("member-lookups", "k", &body).expect(200).await;
        let told = (&found["handle"], &found["tier"], &found["points_usable"], &found["mode"], &found["points_as_of"]);
        assert_eq!(told, (&json!("王**"), &json!("gold"), &json!(178), &json!("degraded"), &json!("grant")));
        assert!(!found.to_string().contains("M1001"), "{found}");
    }
    let by_code = rig.till_post("member-lookups", "k", &json!({"code": "GPM2002"})).expect(200).await;
    assert_eq!(by_code["tier"], "silver", "a code needs no consent to plates");
    rig.till_post("member-lookups", "k", &json!({"code": "GPM9"})).problem("member-unknown", 404).await;
    rig.till_post("member-lookups", "k", &json!({"plate": "京C99999"})).problem("member-unknown", 404).await;
    rig.till_post("member-lookups", "k", &json!({"plate": "粤A88888"})).problem("consent-missing", 403).await;
}

#[tokio::test]
async fn a_till_hears_at_once_that_the_mode_has_changed() {
    let rig = Rig::new().await;
    let events = || rig.client.get(rig.url("events"));
    rig.check(events(), "terminal-revoked", 401).await;
    let mut stream = as_till(events(), "T1", "token-1").send().await.expect("a stream");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let mut hear = async |words: &str| {
        let told = async {
            while !heard.contains(words) {
                let line = stream.chunk().await.expect("a line").expect("it goes on");
                heard.push_str(&String::from_utf8_lossy(&line));
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is told");
    };
    hear("event: rules").await;
    hear("\"mode\":\"degraded\"").await;
    rig.cloud_is_up.store(true, Ordering::Relaxed);
    hear("\"mode\":\"online\"").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(as_till(events(), "T1", "token-1").send().await.expect("a stream"));
    }
    rig.check(as_till(events(), "T1", "token-1"), "too-many-requests", 429).await;
    assert_eq!(as_till(events(), "T2", "token-2").send().await.expect("a stream").status(), 200);
}

#[tokio::test]
async fn what_cannot_be_read_at_all_is_a_problem_too() {
    let rig = Rig::new().await;
    for wrong in ["staff/business-days/2026-03-01/statements/x?format=csv&format=csv", "shifts/%FF/totals"] {
        rig.check(as_till(rig.client.get(rig.url(wrong)), "T1", "token-1"), "bad-request", 400).await;
    }
}

#[tokio::test]
async fn a_stay_is_quoted_with_its_lines_and_a_masked_plate() {
    let rig = Rig::new().await;
    for body in [json!({"stay": "S1-2"}), json!({"plate": "粤B12345"})] {
        let quote = rig.till_post("quotes", "k", &body).expect(200).await;
        let expect = json!({"stay": "S1-2", "plate_masked": "粤B·••••5", "entered_at": "2026-03-01T09:55:00+08:00",
            "minutes": 125, "fee_fen": 800, "paid_fen": 0, "due_fen": 800, "points_needed": 80, "points_usable": 178,
            "points_cap_fen": 800, "not_used": [],
            "lines": [{"rule": "unit-price", "fen": 800, "zh": "2小时 × ¥4.00", "en": "2 h × ¥4.00"}]});
        assert_eq!(quote, expect);
    }
    for gone in [json!({"stay": "S1-1"}), json!({"plate": "粤BD12345"}), json!({"stay": "S9-9"})] {
        rig.till_post("quotes", "k", &gone).problem("stay-unknown", 404).await;
    }
}

#[tokio::test]
async fn a_sale_is_quoted_for_a_member_and_for_nobody() {
    let rig = Rig::new().await;
    let nobody = rig.till_post("quotes", "k", &json!({"sale_fen": 12800})).expect(200).await;
    assert_eq!(nobody, json!({"earn_points": 0, "points_usable": 0, "max_points_fen": 0}));
    let member_ref = rig.member_ref().await;
    let big = rig.till_post("quotes", "k", &json!({"sale_fen": 12800, "member_ref": member_ref})).expect(200).await;
    assert_eq!(
        big,
        json!({"earn_points": 128, "bonuses": [], "earn_status_points": 0, "price_level": "P2",
        "points_usable": 178, "max_points_fen": 0}),
        "a code that stays the same earns"
    );
    let by_code = json!({"sale_fen": 500, "member_ref": "code:GPM1001"});
    assert_eq!(rig.till_post("quotes", "k", &by_code).expect(200).await["earn_points"], 5);
}

#[tokio::test]
async fn a_commit_reaches_the_loop_once_and_a_repeat_hears_the_same() {
    let rig = Rig::new().await;
    let member_ref = rig.member_ref().await;
    let body = json!({"receipt_no": "A-17", "occurred_at": "2026-03-01T12:00:00+08:00", "member_ref": member_ref,
        "sale_fen": 12800, "stay": "S1-2", "tenders": [{"kind": "cash", "fen": 13100}, {"kind": "points", "fen": 500}]});
    let first = rig.till_post("transactions", "k-1", &body).send().await.expect("an answer");
    assert_eq!((first.status().as_u16(), first.headers().get("idempotency-replayed")), (200, None));
    let first: Value = first.json().await.expect("JSON");
    let again = rig.till_post("transactions", "k-1", &body).send().await.expect("an answer");
    assert_eq!(again.headers().get("idempotency-replayed").expect("the header"), "true");
    assert_eq!(again.json::<Value>().await.expect("JSON"), first, "even after more entries");
    let head = rig.sample(|sample| sample.entry());
    assert_eq!(first["journal"]["seq"], head - 1);
    assert_eq!(
        (&first["earned_points"], &first["spent_points"], &first["assurance"]),
        (&json!(128), &json!(50), &json!("grant"))
    );
    assert_eq!(first["stay"], json!({"stay": "S1-2", "paid_fen": 0, "due_fen": 0}));
    assert_eq!(first["receipt_lines"]["zh"][0], "停车费已付清");
    let query = rig.till(rig.client.get(rig.url("operations/k-1"))).expect(200).await;
    assert_eq!(query, json!({"status": "applied", "answer": first}));

    let [Input::Till(commit)] = &rig.inputs()[..] else { panic!("one commit, not {:?}", rig.inputs()) };
    let TillCommit { terminal, key, receipt, occurred, member, sale, stay, cash, points_cover, fingerprint, .. } =
        commit;
    assert_eq!((terminal.as_str(), key.as_str(), receipt.as_str()), ("T1", "k-1", "A-17"));
    assert_eq!((*occurred, *sale, *cash, *points_cover), (Some(UtcMs(NOON_MS)), Fen(12800), Fen(13100), Fen(500)));
    assert_eq!(member.as_ref().map(|m| m.as_str()), Some("M1001"));
    assert_eq!((stay.as_ref().map(|s| s.as_str()), fingerprint.len()), (Some("S1-2"), 64));
}

#[tokio::test]
async fn a_key_belongs_to_one_body_and_one_terminal() {
    let rig = Rig::new().await;
    rig.till_post("transactions", "k-1", &sale("A-1")).expect(200).await;
    rig.till_post("transactions", "k-1", &sale("A-2")).problem("idempotency-key-reused", 422).await;
    let other = rig.client.post(rig.url("transactions")).header("Idempotency-Key", "k-1").json(&sale("A-2"));
    let other = as_till(other, "T2", "token-2");
    assert_eq!(other.send().await.expect("an answer").status(), 200);
    assert_eq!(rig.inputs().len(), 2);
}

#[tokio::test]
async fn a_repeat_is_answered_even_when_the_members_name_is_forgotten() {
    let rig = Rig::new().await;
    let body =
        json!({"receipt_no": "A", "member_ref": "m-forgotten", "sale_fen": 5, "tenders": [{"kind": "cash", "fen": 5}]});
    rig.till_post("transactions", "k-1", &body).problem("member-unknown", 404).await;
    let parsed = super::body::Body::of(body.clone(), "body", &["receipt_no", "member_ref", "sale_fen", "tenders"]);
    let fingerprint = parsed.map_err(|_| ()).expect("a body").fingerprint_of("COMMIT");
    rig.sample(|sample| sample.operation("T1", "k-1", &fingerprint, &applied()));
    assert_eq!(rig.till_post("transactions", "k-1", &body).expect(200).await["earned_points"], 128);
    assert!(rig.inputs().is_empty());
}

#[tokio::test]
async fn the_domains_refusals_keep_their_codes() {
    let rig = Rig::new().await;
    let table = [
        ("insufficient-points", 409),
        ("tender-mismatch", 409),
        ("coupon-state", 409),
        ("benefit-unknown", 404),
        ("quarantined", 409),
        ("stay-unknown", 404),
        ("member-unknown", 404),
        ("consent-missing", 403),
        ("idempotency-key-reused", 422),
    ];
    for (code, status) in table {
        rig.decide(Decide::Refuse(code));
        let problem = rig.till_post("transactions", code, &sale("A")).problem(code, status).await;
        assert_eq!((&problem["detail"], &problem["outcome"]), (&json!("178 points are usable"), &json!("none")));
        rig.till_post("transactions", code, &sale("A")).problem(code, status).await;
        let query = rig.till(rig.client.get(rig.url(&format!("operations/{code}")))).expect(200).await;
        assert_eq!((&query["status"], &query["answer"]["code"]), (&json!("refused"), &json!(code)));
    }
    assert_eq!(rig.inputs().len(), table.len(), "a refusal is stored too");
    rig.decide(Decide::Refuse("never-heard-of"));
    rig.till_post("transactions", "k", &sale("A")).problem("internal", 500).await;
}

#[tokio::test]
async fn a_till_must_be_known() {
    let rig = Rig::new().await;
    for (id, token) in [("T1", "token-2"), ("T9", "token-1"), ("T1", ""), ("", "token-1")] {
        let request = as_till(rig.client.get(rig.url("status")), id, token);
        rig.check(request, "terminal-revoked", 401).await;
    }
    rig.check(rig.client.get(rig.url("status")), "terminal-revoked", 401).await;
    rig.check(rig.client.post(rig.url("transactions")).json(&sale("A")), "terminal-revoked", 401).await;
    assert!(rig.inputs().is_empty());
}

#[tokio::test]
async fn every_post_of_a_till_needs_one_good_key() {
    let rig = Rig::new().await;
    for verb in ["member-lookups", "quotes", "transactions"] {
        let without = rig.till(rig.client.post(rig.url(verb)).json(&sale("A")));
        without.problem("idempotency-key-missing", 400).await;
        for wrong in ["", "a b", &"k".repeat(129)] {
            rig.till_post(verb, wrong, &sale("A")).problem("bad-request", 400).await;
        }
        let twice = rig.till_post(verb, "k-1", &sale("A"));
        let twice = Sent { request: twice.request.header("Idempotency-Key", "k-2"), rig: &rig };
        twice.problem("bad-request", 400).await;
    }
    assert!(rig.inputs().is_empty());
}

#[tokio::test]
async fn a_wrong_body_names_the_field_and_what_is_allowed() {
    let rig = Rig::new().await;
    let cash = json!([{"kind": "cash", "fen": 5}]);
    let table = [
        ("transactions", json!({"sale_fen": 5, "tenders": cash}), "receipt_no", "missing"),
        ("transactions", json!({"receipt_no": "A", "tenders": cash}), "sale_fen", "at least one of"),
        ("transactions", json!({"receipt_no": "A", "sale_fen": -5, "tenders": cash}), "sale_fen", "from 1 to"),
        ("transactions", json!({"receipt_no": "A", "sale_fen": 5}), "tenders", "1 to 16 objects"),
        ("transactions", json!({"receipt_no": "A", "sale_fen": 5, "tenders": []}), "tenders", "1 to 16 objects"),
        (
            "transactions",
            json!({"receipt_no": "A", "sale_fen": 5, "tenders": [{"kind": "gold", "fen": 5}]}),
            "kind",
            "cash, card, wallet, other and points",
        ),
        (
            "transactions",
            json!({"receipt_no": "A", "sale_fen": 5, "tenders": [{"kind": "cash", "fen": 0}]}),
            "fen",
            "from 1 to",
        ),
        ("transactions", json!({"receipt_no": "A", "sale_fen": 5, "tip": 1, "tenders": cash}), "tip", "allowed are"),
        ("transactions", json!({"receipt_no": "A\n", "sale_fen": 5, "tenders": cash}), "receipt_no", "1 to 64"),
        (
            "transactions",
            json!({"receipt_no": "A", "sale_fen": 5, "occurred_at": "noon", "tenders": cash}),
            "occurred_at",
            "RFC 3339",
        ),
        (
            "transactions",
            json!({"receipt_no": "A", "sale_fen": 5, "tenders": [{"kind": "points", "fen": 5}]}),
            "member_ref",
            "needs the member",
        ),
        ("member-lookups", json!({"code": "A", "plate": "粤B12345"}), "code", "exactly one"),
        ("member-lookups", json!({"plate": "CAMERA"}), "plate", "no digit"),
        ("quotes", json!({}), "stay", "exactly one"),
        ("quotes", json!({"stay": "S1-2", "member_ref": "m"}), "member_ref", "sale_fen only"),
    ];
    for (verb, body, field, says) in table {
        let problem = rig.till_post(verb, "k", &body).problem("bad-request", 400).await;
        assert_eq!(problem["field"], field, "{body}");
        assert!(problem["detail"].as_str().expect("a text").contains(says), "{problem}");
    }
    for text in ["", "{", "[]", "7", "{\"receipt_no\":\"A\""] {
        let request = rig.client.post(rig.url("transactions")).header("Idempotency-Key", "k").body(text);
        rig.till(request).problem("bad-request", 400).await;
    }
    assert!(rig.inputs().is_empty());
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let rig = Rig::new().await;
    let post = |bytes: usize| {
        let body = format!("{}{}", sale("A"), " ".repeat(bytes - sale("A").to_string().len()));
        rig.till(rig.client.post(rig.url("transactions")).header("Idempotency-Key", "k").body(body))
    };
    post(MOST_BODY_BYTES).expect(200).await;
    post(MOST_BODY_BYTES + 1).problem("body-too-large", 413).await;
}

#[tokio::test]
async fn a_key_in_flight_is_not_sent_twice() {
    let mut rig = Rig::new().await;
    rig.decide(Decide::Wait);
    let first = tokio::spawn(rig.till_post("transactions", "k-1", &sale("A")).request.send());
    let held = rig.held.recv().await.expect("the commit");
    let second = rig.till_post("transactions", "k-1", &sale("A")).send().await.expect("an answer");
    assert_eq!(second.headers().get("retry-after").expect("the header"), "1");
    assert_eq!(second.json::<Value>().await.expect("JSON")["code"], "idempotency-key-in-progress");
    let query = rig.till(rig.client.get(rig.url("operations/k-1")));
    assert_eq!(query.expect(200).await, json!({"status": "in_progress"}));
    rig.settle(held);
    assert_eq!(first.await.expect("the task").expect("an answer").status(), 200);
    assert_eq!(rig.till(rig.client.get(rig.url("operations/k-1"))).expect(200).await["status"], "applied");
    assert_eq!(rig.till(rig.client.get(rig.url("operations/k-2"))).expect(200).await, json!({"status": "not_found"}));
}

#[tokio::test]
async fn a_late_answer_leaves_the_outcome_unknown_until_it_is_there() {
    let mut rig = Rig::with(64, Duration::from_millis(20)).await;
    rig.decide(Decide::Wait);
    let problem = rig.till_post("transactions", "k-1", &sale("A")).problem("answer-late", 504).await;
    assert_eq!((&problem["outcome"], &problem["retryable"]), (&json!("unknown"), &json!(true)));
    assert!(problem["detail"].as_str().expect("a text").contains("/api/v1/operations/k-1"));
    rig.till_post("transactions", "k-1", &sale("A")).problem("idempotency-key-in-progress", 409).await;
    let held = rig.held.recv().await.expect("the commit");
    rig.settle(held);
    let mut asked = 0;
    while rig.till(rig.client.get(rig.url("operations/k-1"))).expect(200).await["status"] != "applied" {
        asked += 1;
        assert!(asked < 1000, "the key is still in flight");
    }
    assert_eq!(rig.inputs().len(), 1);
}

#[tokio::test]
async fn a_full_or_stopped_loop_is_said_at_once_and_frees_the_key() {
    let mut rig = Rig::with(1, Duration::from_secs(10)).await;
    rig.decide(Decide::Wait);
    let first = tokio::spawn(rig.till_post("transactions", "k-1", &sale("A")).request.send());
    let held = rig.held.recv().await.expect("the commit");
    rig.fill_queue();
    let busy = rig.till_post("transactions", "k-2", &sale("B")).send().await.expect("an answer");
    assert_eq!((busy.status().as_u16(), busy.headers().get("retry-after").is_some()), (503, true));
    let query = rig.till(rig.client.get(rig.url("operations/k-2")));
    assert_eq!(query.expect(200).await, json!({"status": "not_found"}));
    let raise = json!({"operator": "li", "pin": "8888", "reason": "r"});
    rig.staff("X1/raise", &raise).problem("busy", 503).await;
    rig.settle(held);
    assert_eq!(first.await.expect("the task").expect("an answer").status(), 200);
}

#[tokio::test]
async fn new_rules_need_two_persons() {
    let rig = Rig::new().await;
    let post = |body: Value| rig.client.post(rig.url("staff/rules/activate")).json(&body);
    rig.check(post(json!({"operator": "li", "pin": "8888"})), "bad-request", 400).await;
    let same = json!({"operator": "li", "pin": "8888", "second": "li", "second_pin": "8888"});
    rig.check(post(same), "bad-request", 400).await;
    let wrong = json!({"operator": "li", "pin": "8888", "second": "zhao", "second_pin": "8888"});
    rig.check(post(wrong), "operator-unknown", 401).await;
    let both = json!({"operator": "li", "pin": "8888", "second": "zhao", "second_pin": "6666"});
    let answer: Value = post(both).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer, json!({"done": true, "text": "by li and zhao"}));
}

#[tokio::test]
async fn a_kiosk_gives_tickets_and_takes_only_its_own_boxs() {
    let rig = Rig::new().await;
    let ticket = rig.till_post("tickets", "k-1", &json!({"lane": "E1"})).expect(200).await;
    assert_eq!(ticket["ticket"], "临00007");
    let scan = json!({"lane": "X1", "qr": ticket["qr"]});
    rig.till_post("tickets/scans", "k-2", &scan).expect(200).await;
    let Input::Staff(act) = rig.inputs().remove(1) else { panic!("a staff act") };
    assert_eq!(
        (act.operator.as_str(), act.what),
        ("terminal T1", StaffWish::ShowTicket { ticket: Plate::of_ticket(7) })
    );
    let forged = json!({"lane": "X1", "qr": "GPT1:临00008:00"});
    rig.till_post("tickets/scans", "k-3", &forged).problem("bad-request", 400).await;
}

#[tokio::test]
async fn the_books_are_put_right_with_a_reason_and_evidence() {
    let rig = Rig::new().await;
    let post = |path: &str, body: Value| rig.client.post(rig.url(path)).json(&body);
    let bare = json!({"operator": "li", "pin": "8888", "plate": "粤B12346", "reason": "misread"});
    rig.check(post("staff/stays/S1-3/correct", bare.clone()), "bad-request", 400).await;
    let mut with = bare;
    with["evidence"] = json!("photo 17");
    assert_eq!(post("staff/stays/S1-3/correct", with.clone()).send().await.expect("an answer").status(), 200);
    with["entered_at"] = json!("2026-03-01T09:00:00+08:00");
    rig.check(post("staff/stays/S1-3/correct", with), "bad-request", 400).await;
    let count = json!({"operator": "li", "pin": "8888", "reason": "r", "evidence": "e", "vehicles": 3, "zone": "roof"});
    rig.check(post("staff/counts", count), "bad-request", 400).await;
}

#[tokio::test]
async fn staff_acts_reach_the_loop_with_the_operators_name() {
    let rig = Rig::new().await;
    let raise = json!({"operator": "li", "pin": "8888", "reason": "Fee waived", "plate": "粤b12345"});
    assert_eq!(rig.staff("X1/raise", &raise).expect(200).await, json!({"done": true, "text": "raised"}));
    rig.staff("X1/settle", &json!({"operator": "li", "pin": "8888", "fen": 800})).expect(200).await;
    let wrong = rig.staff("X1/settle", &json!({"operator": "li", "pin": "8888", "fen": 700}));
    assert_eq!(wrong.problem("amount-mismatch", 409).await["due_fen"], 800);
    let correct = json!({"operator": "li", "pin": "8888", "plate": "粤B12346", "reason": "seen"});
    rig.staff("E1/plate", &correct).problem("nothing-waiting", 409).await;
    rig.staff("X9/raise", &raise).problem("lane-unknown", 404).await;
    let Input::Staff(act) = rig.inputs().remove(0) else { panic!("a staff act") };
    let plate: Plate = "粤B12345".parse().expect("a plate");
    assert_eq!((act.lane.as_str(), act.operator.as_str()), ("X1", "li"));
    assert_eq!(
        act.what,
        StaffWish::Raise { reason: "Fee waived".to_owned(), plate: Some(plate), debt: false, second: None }
    );
}

#[tokio::test]
async fn staff_requests_are_checked_like_a_tills() {
    let rig = Rig::new().await;
    let table = [
        ("raise", json!({"operator": "li", "pin": "8888"}), "reason"),
        ("raise", json!({"operator": "li", "pin": "8888", "reason": " "}), "reason"),
        ("raise", json!({"pin": "8888", "reason": "r"}), "operator"),
        ("settle", json!({"operator": "li", "pin": "8888", "fen": 0}), "fen"),
        ("plate", json!({"operator": "li", "pin": "8888", "reason": "r"}), "plate"),
        ("plate", json!({"operator": "li", "pin": "8888", "reason": "r", "plate": "no"}), "plate"),
    ];
    for (verb, body, field) in table {
        let problem = rig.staff(&format!("X1/{verb}"), &body).problem("bad-request", 400).await;
        assert_eq!(problem["field"], field, "{body}");
    }
    assert!(rig.inputs().is_empty());
}

#[tokio::test]
async fn a_pin_cannot_be_guessed() {
    let rig = Rig::new().await;
    let body = |operator: &str, pin: &str| json!({"operator": operator, "pin": pin, "reason": "r"});
    rig.staff("X1/raise", &body("nobody", "8888")).problem("operator-unknown", 401).await;
    for _ in 0..5 {
        rig.staff("X1/raise", &body("li", "0000")).problem("operator-unknown", 401).await;
    }
    rig.staff("X1/raise", &body("li", "8888")).problem("too-many-attempts", 429).await;
    rig.staff("X1/raise", &body("zhao", "6666")).expect(200).await;
}

#[tokio::test]
async fn the_books_are_for_operators() {
    let rig = Rig::new().await;
    let ask = |pin: &str| {
        rig.client.get(rig.url("staff/books")).header("Gatepost-Operator", "li").header("Gatepost-Pin", pin)
    };
    let books: Value = ask("8888").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&books["box"], &books["stays"].as_array().map(Vec::len)), (&json!("demo-1"), &Some(4)));
    rig.check(ask("1111"), "operator-unknown", 401).await;
    rig.check(rig.client.get(rig.url("staff/books")), "operator-unknown", 401).await;
}

#[tokio::test]
async fn staff_see_what_a_waiting_vehicle_may_be_with_its_pictures() {
    let rig = Rig::new().await;
    let ask = |lane: &str| {
        let request = rig.client.get(rig.url(&format!("staff/lanes/{lane}/candidates")));
        request.header("Gatepost-Operator", "li").header("Gatepost-Pin", "8888")
    };
    rig.check(ask("X1"), "nothing-waiting", 409).await;
    rig.check(ask("X9"), "lane-unknown", 404).await;
    rig.check(rig.client.get(rig.url("staff/lanes/X1/candidates")), "operator-unknown", 401).await;
    let entry = rig.pictured("E1", "in-3", photos::jpeg(64, 48)).await;
    let plate = || "粤A88888".parse::<Plate>().expect("a plate");
    let candidate = PossibleStay { stay: "S1-3".into(), plate: plate(), posterior_ppm: 612_000, second_factor: true };
    let (visit, why) = (visit(Some("粤A8888B"), None), WaitReason::ChoiceOfStay);
    let (asked_for_points, crossed, since_ms) = (false, false, 0);
    let candidates = vec![candidate];
    let state = Waiting { visit, due: None, with_points: None, why, asked_for_points, candidates, crossed, since_ms };
    rig.sample(|sample| {
        sample.run("UPDATE stay SET entry_read = ?1 WHERE stay = 'S1-3'", [r#"{"event":"in-3"}"#]);
        sample.lane("X1", &waiting(state));
    });
    let found: Value = ask("X1").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&found["plate"], &found["photos"]["scene"]), (&json!("粤A8888B"), &Value::Null), "{found}");
    let first = &found["candidates"][0];
    assert_eq!((&first["stay"], &first["posterior_ppm"]), (&json!("S1-3"), &json!(612_000)), "{found}");
    assert_eq!((&first["entry_lane"], &first["photos"]["scene"]), (&json!("E1"), &json!(entry)), "{found}");
}

#[tokio::test]
async fn the_status_tells_the_cashier_what_still_works() {
    let rig = Rig::new().await;
    let offline = rig.till(rig.client.get(rig.url("status"))).expect(200).await;
    assert_eq!((&offline["mode"], &offline["unacknowledged_entries"]), (&json!("degraded"), &json!(3)));
    assert_eq!(offline["class"], "degraded");
    assert!(offline["receipt_text"]["zh"].as_str().is_some_and(|text| !text.is_empty()), "{offline}");
    assert!(offline["staff_text"]["zh"].as_str().expect("a text").contains("离线"));
    rig.cloud_is_up.store(true, Ordering::Relaxed);
    assert_eq!(rig.till(rig.client.get(rig.url("status"))).expect(200).await["mode"], "online");
    rig.sample(|sample| sample.run("INSERT INTO fact VALUES ('quarantined', 'rewound')", []));
    let stopped = rig.till(rig.client.get(rig.url("status"))).expect(200).await;
    assert_eq!((&stopped["mode"], &stopped["class"]), (&json!("quarantined"), &json!("earn_only")));
}

#[tokio::test]
async fn an_address_that_is_not_there_is_a_problem_too() {
    let rig = Rig::new().await;
    rig.check(rig.client.get(rig.url("hold")), "not-found", 404).await;
    rig.check(rig.client.get(rig.url("quotes")), "method-not-allowed", 405).await;
}

#[tokio::test]
async fn a_whole_picture_is_for_operators() {
    let rig = Rig::new().await;
    let id = rig.pictured("X1", "e-9", photos::jpeg(640, 360)).await;
    let ask = |id: &str, pin: &str| {
        let request = rig.client.get(rig.url(&format!("staff/photos/{id}")));
        request.header("Gatepost-Operator", "li").header("Gatepost-Pin", pin)
    };
    let picture = ask(&id, "8888").send().await.expect("an answer");
    assert_eq!(picture.status(), 200);
    for (name, value) in
        [("content-type", "image/jpeg"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
    {
        assert_eq!(picture.headers()[name], value);
    }
    assert!(picture.bytes().await.expect("a picture").starts_with(&[0xFF, 0xD8, 0xFF]));
    rig.check(rig.client.get(rig.url(&format!("staff/photos/{id}"))), "operator-unknown", 401).await;
    rig.check(ask(&id, "1"), "operator-unknown", 401).await;
    rig.check(ask(&id.replace("20260302", "20260301"), "8888"), "photo-unknown", 404).await;
    for name in ["..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2fledger.db", "x", &id[1..], &format!("{id}.jpg")] {
        rig.check(ask(name, "8888"), "photo-unknown", 404).await;
    }
}
