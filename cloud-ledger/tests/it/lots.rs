//! Lots and what becomes of them: terms, standing grants, reversals, expiry, releases, debts, statements.

use cloud_ledger::Settings;
use cloud_ledger::clock::now_ms;
use serde_json::{Value, json};

use crate::host::{ADMIN, BOX_1, BOX_2, Host, Journal, Signer, ledger, on_both, profile};
use crate::wire::{assert_names, earned, moved};

const GRANTS: &str = "/v1/boxes/demo-1/grants";
const JOURNAL: &str = "/v1/boxes/demo-1/journal";

on_both! {
    a_grant_is_cut_from_the_lots_that_fit_first_expiring_first,
    a_lot_keeps_the_terms_that_it_was_earned_on,
    standing_grants_are_for_the_home_and_a_share,
    a_box_reverses_what_it_spent_and_no_more,
    an_online_spend_is_undone_online,
    a_boxs_spend_is_undone_online_when_its_epoch_has_ended,
    expiry_takes_what_is_available_and_nothing_else,
    a_release_moves_the_loss_to_the_reserve,
    debts_are_kept_and_listed,
    a_statement_has_every_movement,
    the_books_are_computed_again_by_themselves,
}

async fn a_grant_is_cut_from_the_lots_that_fit_first_expiring_first() {
    let host = Host::start().await;
    host.member("M1", 50).await;
    let soon = now_ms() + 3_600_000;
    for (op, points, lot) in [
        ("later", 30, json!({"issuer": "M017", "expires_ms": soon + 1000})),
        ("soon", 20, json!({"issuer": "M018", "expires_ms": soon, "settle_bps": 8000})),
        ("here", 10, json!({"places": ["demo-1"]})),
        ("there", 500, json!({"places": ["demo-2"]})),
        ("gone", 500, json!({"expires_ms": 5})),
        ("not-yet", 500, json!({"valid_from_ms": soon})),
    ] {
        credit(&host, "M1", op, points, lot).await;
    }
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let first = host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 75)).await.body;
    assert_eq!(cut(&first), [("credit:soon", 20), ("credit:later", 30), ("credit:here", 10), ("credit:start-M1", 15)]);
    assert_eq!(first["grants"][0]["lot"]["settle_bps"], 8000);
    assert_eq!((&first["points"], &first["grant"]), (&json!(75), &Value::Null));
    assert_eq!(host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 75)).await.body, first, "the stored answer");
    let rest = host.signed(&signer, "POST", GRANTS, &ask("r2", "M1", 75)).await.body;
    assert_eq!(cut(&rest), [("credit:start-M1", 35)]);
    let two = host.enrol("demo-2", BOX_2, 2).await;
    let there = host.signed(&two, "POST", "/v1/boxes/demo-2/grants", &ask("r1", "M1", 600)).await.body;
    assert_eq!(cut(&there), [("credit:there", 500)]);
    let online = host.post(ADMIN, "/v1/members/M1/spends", json!({"op": "o", "points": 1})).await;
    assert_eq!(online.body["code"], "insufficient-points", "what has a place is not spent online");

    for (lot, field) in [(json!(7), "lot"), (json!({"settle_bps": -1}), "lot.settle_bps")] {
        let body = json!({"op": "x", "points": 1, "reason": "", "lot": lot});
        let refused = host.post(ADMIN, "/v1/members/M1/credits", body).await;
        assert_eq!(refused.status, 400);
        assert_names(&refused.body, field);
    }
    let other = json!({"op": "soon", "points": 20, "reason": "gift", "lot": {"issuer": "M019", "expires_ms": soon}});
    assert_eq!(host.post(ADMIN, "/v1/members/M1/credits", other).await.body["code"], "request-reused");
    assert!(host.faults().await.is_empty());
}

async fn a_lot_keeps_the_terms_that_it_was_earned_on() {
    let host = Host::start().await;
    host.member("M1", 1).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    let terms = json!({"issuer": "M017", "source": "promo", "expires_ms": now_ms() + 1_000_000, "places": ["demo-2"]});
    let mut promo = earned("demo-1/1/1/0", "M1", 40);
    promo["lot"] = terms;
    journal.add(json!([promo, earned("demo-1/1/1/1", "M1", 5)]));
    journal.add(json!([moved("points_spent", "s", "M1", &[("born:demo-1/1/1/0", 15), ("born:demo-1/1/1/1", 5)])]));
    journal.add(json!([moved("points_returned", "t", "M1", &[("born:demo-1/1/1/0", 25)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 3).to_string()).await;
    assert_eq!(host.sums("M1").await, [46, 20, 0, 26]);
    let lots = host.get(ADMIN, "/v1/members/M1/lots").await.body;
    let promo = &lots["lots"][0];
    assert_eq!((&promo["lot"]["id"], &promo["lot"]["issuer"]), (&json!("born:demo-1/1/1/0"), &json!("M017")));
    assert_eq!((&promo["available"], &promo["spent"], &promo["outstanding"]), (&json!(25), &json!(15), &json!(0)));
    assert_eq!(lots["lots"][1]["lot"]["source"], "earned");

    // They came back on the terms that they had: for the other box alone.
    let here = host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 100)).await.body;
    assert_eq!(cut(&here), [("credit:start-M1", 1)]);
    let two = host.enrol("demo-2", BOX_2, 2).await;
    let there = host.signed(&two, "POST", "/v1/boxes/demo-2/grants", &ask("r1", "M1", 100)).await.body;
    assert_eq!(cut(&there), [("born:demo-1/1/1/0", 25)]);
    let mut wrong = earned("x", "M1", 1);
    wrong["lot"] = json!({"places": "demo-1"});
    journal.add(json!([wrong]));
    let stopped = host.signed(&signer, "POST", JOURNAL, &journal.upload(4, 4).to_string()).await;
    assert_names(&stopped.body, "records[0].lot.places");
    assert!(host.faults().await.is_empty());
}

async fn standing_grants_are_for_the_home_and_a_share() {
    let host = Host::start().await;
    host.member("M1", 1000).await;
    let mut member = profile(&[], &[]);
    member["home"] = json!("demo-1");
    assert_eq!(host.put(ADMIN, "/v1/members/M1", member).await.body["home"], "demo-1");
    let standing = |request: &str, points: i64| {
        json!({"request": request, "epoch": 1, "member": "M1", "points": points, "standing": true}).to_string()
    };
    let one = host.enrol("demo-1", BOX_1, 1).await;
    let two = host.enrol("demo-2", BOX_2, 2).await;
    let away = host.signed(&two, "POST", "/v1/boxes/demo-2/grants", &standing("r1", 100)).await.body;
    assert_eq!((&away["points"], &away["grants"]), (&json!(0), &json!([])), "not the home");
    assert_eq!(host.signed(&one, "POST", GRANTS, &standing("r1", 200)).await.body["points"], 200);
    assert_eq!(host.signed(&one, "POST", GRANTS, &standing("r2", 200)).await.body["points"], 100, "30 % of 1000");
    assert_eq!(host.signed(&one, "POST", GRANTS, &standing("r3", 200)).await.body["points"], 0);
    assert_eq!(
        host.signed(&one, "POST", GRANTS, &ask("r4", "M1", 400)).await.body["points"],
        400,
        "a visit has no share"
    );
    let other = json!({"request": "r4", "epoch": 1, "member": "M1", "points": 400, "standing": true}).to_string();
    assert_eq!(host.signed(&one, "POST", GRANTS, &other).await.body["code"], "request-reused");
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([moved("points_returned", "a", "M1", &[("G-2", 200)])]));
    host.signed(&one, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    assert_eq!(host.signed(&one, "POST", GRANTS, &standing("r5", 900)).await.body["points"], 200);
    assert!(host.faults().await.is_empty());
}

async fn a_box_reverses_what_it_spent_and_no_more() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 60)).await;
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 40)])]));
    journal.add(json!([reversed("b", "a", "M1", &[("G-1", 10)]), reversed("c", "a", "M1", &[("G-1", 15)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 2).to_string()).await;
    assert_eq!(host.sums("M1").await, [100, 15, 45, 40]);
    // Of 15 that are left, 20 are reversed; and 5 of a spend that nobody made.
    journal.add(json!([reversed("d", "a", "M1", &[("G-1", 20)])]));
    journal.add(json!([reversed("e", "z", "M1", &[("G-1", 5)]), reversed("b", "a", "M1", &[("G-1", 10)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(3, 4).to_string()).await;
    assert_eq!(host.sums("M1").await, [100, 0, 60, 40]);
    assert_eq!(host.alarms("demo-1").await, ["op-repeated", "over-reversed", "over-reversed"]);
    assert_eq!(host.faults().await.len(), 2);
    // What came back can be spent again.
    journal.add(json!([moved("points_spent", "f", "M1", &[("G-1", 60)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(5, 5).to_string()).await;
    assert_eq!(host.sums("M1").await, [100, 60, 0, 40]);
}

async fn an_online_spend_is_undone_online() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    credit(&host, "M1", "more", 50, json!({"expires_ms": now_ms() + 1_000_000})).await;
    host.post(ADMIN, "/v1/members/M1/spends", json!({"op": "o", "points": 70})).await;
    let reverse = |op: &str, points: i64| json!({"op": op, "points": points});
    let path = "/v1/members/M1/spends/o/reverse";
    for _ in 0..2 {
        let done = host.post(ADMIN, path, reverse("p", 30)).await;
        assert_eq!((done.status, done.body), (200, json!({"op": "p", "of": "o", "member": "M1", "points": 30})));
    }
    assert_eq!(host.sums("M1").await, [150, 40, 0, 110]);
    let lots = host.get(ADMIN, "/v1/members/M1/lots").await.body;
    let available: Vec<_> = lots["lots"].as_array().unwrap().iter().map(|lot| lot["available"].clone()).collect();
    assert_eq!(available, [10, 100], "what was taken last goes back first");
    let beyond = host.post(ADMIN, path, reverse("q", 41)).await;
    assert_eq!((beyond.status, &beyond.body["code"]), (409, &json!("insufficient-points")));
    assert_eq!(host.post(ADMIN, path, reverse("p", 31)).await.body["code"], "request-reused");
    let unknown = host.post(ADMIN, "/v1/members/M1/spends/x/reverse", reverse("r", 1)).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("spend-unknown")));
    assert_eq!(host.post(ADMIN, path, reverse("s", 40)).await.status, 200);
    assert_eq!(host.sums("M1").await, [150, 0, 0, 150]);
    assert!(host.faults().await.is_empty());
}

async fn a_boxs_spend_is_undone_online_when_its_epoch_has_ended() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 60)).await;
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([moved("points_spent", "demo-1/1/1/0", "M1", &[("G-1", 40)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    let path = "/v1/members/M1/spends/demo-1%2F1%2F1%2F0/reverse";
    let early = host.post(ADMIN, path, json!({"op": "p", "points": 25})).await;
    assert_eq!((early.status, &early.body["code"]), (409, &json!("reverse-at-box")));
    host.post(ADMIN, "/v1/boxes/demo-1/fence", json!({"epoch": 1})).await;
    // The box need not know of the fence yet.
    let early = host.post(ADMIN, path, json!({"op": "p", "points": 25})).await;
    assert_eq!((early.status, &early.body["code"]), (409, &json!("reverse-at-box")));
    let mut second = Journal::new("demo-1", 2);
    second.add(json!([{"kind": "epoch_began"}]));
    let signer = Signer { epoch: 2, ..signer };
    assert_eq!(host.signed(&signer, "POST", JOURNAL, &second.upload(1, 1).to_string()).await.status, 200);
    assert_eq!(host.post(ADMIN, path, json!({"op": "p", "points": 25})).await.status, 200);
    assert_eq!(host.sums("M1").await, [100, 15, 20, 65]);
    // The journal turns out to have reversed it too: only what is left of it moves.
    journal.add(json!([reversed("demo-1/1/2/0", "demo-1/1/1/0", "M1", &[("G-1", 40)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(2, 2).to_string()).await;
    assert_eq!(host.sums("M1").await, [100, 0, 35, 65]);
    assert_eq!(host.alarms("demo-1").await, ["over-reversed"]);
    assert_eq!(host.faults().await.len(), 1);
}

async fn expiry_takes_what_is_available_and_nothing_else() {
    let host = Host::start().await;
    host.member("M1", 10).await;
    let expires = now_ms() + 1_000_000;
    credit(&host, "M1", "old", 100, json!({"issuer": "M017", "expires_ms": expires})).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 60)).await;
    assert_eq!(expire(&host, expires - 1).await, 0);
    assert_eq!(expire(&host, expires).await, 1);
    assert_eq!(expire(&host, expires).await, 0);
    let member = host.get(ADMIN, "/v1/members/M1").await.body;
    assert_eq!(
        (&member["expired"], &member["outstanding"], &member["available"]),
        (&json!(40), &json!(60), &json!(10))
    );
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([
        moved("points_spent", "a", "M1", &[("G-1", 20)]),
        moved("points_returned", "b", "M1", &[("G-1", 40)])
    ]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    assert_eq!(expire(&host, expires).await, 1, "what came back expires then");
    let member = host.get(ADMIN, "/v1/members/M1").await.body;
    assert_eq!((&member["expired"], &member["debited"], &member["available"]), (&json!(80), &json!(20), &json!(10)));
    assert!(host.faults().await.is_empty());
}

async fn a_release_moves_the_loss_to_the_reserve() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 60)).await;
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 10)]), earned("demo-1/1/1/1", "M1", 8)]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    let path = "/v1/grants/G-1/release";
    let early = host.post(ADMIN, path, json!({"reason": "lost"})).await;
    assert_eq!((early.status, &early.body["code"]), (409, &json!("not-frozen")));
    host.post(ADMIN, "/v1/boxes/demo-1/fence", json!({"epoch": 1})).await;
    for _ in 0..2 {
        let released = host.post(ADMIN, path, json!({"reason": "the box burned down"})).await;
        assert_eq!((released.status, &released.body["state"]), (200, &json!("released")));
        assert_eq!((&released.body["released"], &released.body["outstanding"]), (&json!(50), &json!(0)));
    }
    let pocket = host.post(ADMIN, "/v1/grants/born:demo-1%2F1%2F1%2F1/release", json!({"reason": "lost"})).await;
    assert_eq!((pocket.status, &pocket.body["released"]), (200, &json!(8)));
    assert_eq!(host.sums("M1").await, [108, 10, 0, 98]);
    assert!(host.faults().await.is_empty());

    // The journal turns up after all: what it spent is paid by the reserve, what it returned is no loss.
    journal.add(json!([moved("points_spent", "b", "M1", &[("G-1", 30)])]));
    journal.add(json!([reversed("c", "b", "M1", &[("G-1", 5)])]));
    journal.add(json!([
        moved("points_returned", "d", "M1", &[("G-1", 25)]),
        moved("points_spent", "e", "M1", &[("G-1", 1)])
    ]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(2, 4).to_string()).await;
    assert_eq!(host.sums("M1").await, [108, 10, 0, 98], "the member keeps what was released");
    let grants = host.get(ADMIN, GRANTS).await.body;
    let grant = &grants["grants"][0];
    assert_eq!((&grant["spent"], &grant["returned"], &grant["state"]), (&json!(35), &json!(25), &json!("released")));
    assert_eq!(host.alarms("demo-1").await, ["overspent"], "one point more than there ever was");
    assert_eq!(host.faults().await.len(), 1);
}

async fn debts_are_kept_and_listed() {
    let host = Host::start().await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    let booked = |debt: &str, fen: i64| json!({"kind": "debt_booked", "debt": debt, "fen": fen, "plate": "粤B12345", "stay": "s-1", "at_ms": 5});
    let paid = |op: &str, debt: &str, fen: i64| json!({"kind": "debt_paid", "op": op, "debt": debt, "fen": fen});
    journal.add(json!([booked("d1", 4000), booked("d2", 500)]));
    journal.add(json!([paid("p1", "d1", 1500), booked("d1", 4000), paid("p1", "d1", 1500)]));
    journal.add(json!([paid("p2", "d2", 600), paid("p3", "d9", 1)]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 3).to_string()).await;
    let open = host.get(ADMIN, "/v1/debts?open=true").await.body;
    let first = json!({"debt": "d1", "box": "demo-1", "plate": "粤B12345", "member": null, "stay": "s-1", "fen": 4000,
                       "paid_fen": 1500, "at_ms": 5});
    assert_eq!(open, json!({"debts": [first], "more": false}));
    let page = host.get(ADMIN, "/v1/debts?after=d1&limit=1").await.body;
    assert_eq!((&page["debts"][0]["debt"], &page["debts"][0]["paid_fen"]), (&json!("d2"), &json!(600)));
    assert_eq!(host.alarms("demo-1").await, ["debt-unknown", "debt-overpaid", "op-repeated", "debt-repeated"]);
    assert_eq!(host.get(BOX_1, "/v1/debts").await.status, 401);
}

async fn a_statement_has_every_movement() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    credit(&host, "M1", "promo", 20, json!({"issuer": "M017", "funder": "M018", "expires_ms": now_ms() + 1_000_000}))
        .await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    host.signed(&signer, "POST", GRANTS, &ask("r1", "M1", 50)).await;
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 20), ("G-1-2", 5)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    let all = host.get(ADMIN, &format!("/v1/statement?from_ms=0&to_ms={}", now_ms() + 1000)).await.body;
    let said: Vec<(String, i64)> = lines(&all);
    let expected = [("credited", 100), ("credited", 20), ("granted", 20), ("granted", 30), ("spent", 20), ("spent", 5)];
    assert_eq!(said, expected.map(|(what, points)| (what.to_owned(), points)));
    assert_eq!((&all["lines"][4]["seq"], &all["lines"][4]["funder"]), (&json!(1), &json!("M018")));
    let some = format!("/v1/statement?from_ms=0&to_ms={}&issuer=M017&box=demo-1&member=M1&limit=1", now_ms() + 1000);
    let page = host.get(ADMIN, &some).await.body;
    assert_eq!((lines(&page).len(), &page["more"]), (1, &json!(true)));
    let next = host.get(ADMIN, &format!("{some}&after={}", page["lines"][0]["number"])).await.body;
    assert_eq!((lines(&next), &next["more"]), (vec![("spent".to_owned(), 20)], &json!(false)));
    assert_eq!(lines(&host.get(ADMIN, "/v1/statement?from_ms=0&to_ms=5").await.body), []);
}

async fn the_books_are_computed_again_by_themselves() {
    let often = Settings { recompute: Some(std::time::Duration::from_millis(20)), ..Settings::default() };
    let host = Host::start_with(often).await;
    host.member("M1", 100).await;
    let books = async |word: &str| {
        loop {
            let health = host.get("", "/healthz").await.body;
            if health["books"] == word {
                return health;
            }
        }
    };
    assert!(books("agree").await["books_at_ms"].as_i64() > Some(0));
    assert_eq!(host.tamper("UPDATE lot SET available = 99").await, 1);
    books("differ").await;
}

fn ask(request: &str, member: &str, points: i64) -> String {
    json!({"request": request, "epoch": 1, "member": member, "points": points}).to_string()
}

fn reversed(op: &str, of: &str, member: &str, parts: &[(&str, i64)]) -> Value {
    let mut record = moved("points_reversed", op, member, parts);
    record["of"] = json!(of);
    record
}

fn cut(granted: &Value) -> Vec<(&str, i64)> {
    let grants = granted["grants"].as_array().unwrap();
    grants.iter().map(|grant| (grant["lot"]["id"].as_str().unwrap(), grant["points"].as_i64().unwrap())).collect()
}

fn lines(statement: &Value) -> Vec<(String, i64)> {
    let line = |line: &Value| (line["what"].as_str().unwrap().to_owned(), line["points"].as_i64().unwrap());
    statement["lines"].as_array().unwrap().iter().map(line).collect()
}

async fn credit(host: &Host, member: &str, op: &str, points: i64, lot: Value) {
    let body = json!({"op": op, "points": points, "reason": "gift", "lot": lot});
    let done = host.post(ADMIN, &format!("/v1/members/{member}/credits"), body).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

/// Lets lots expire as the server would at that time.
async fn expire(host: &Host, now_ms: i64) -> usize {
    let url = host.url.clone();
    let work = move || ledger(&url, Settings::default()).expire(now_ms).unwrap();
    tokio::task::spawn_blocking(work).await.unwrap()
}
