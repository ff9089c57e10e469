//! Who a box is: enrolment, signed requests and answers, epochs, leases, recalls, and what a lost key still opens.

use serde_json::{Value, json};

use crate::host::{ADMIN, BOX_1, BOX_2, Host, Journal, Signer, call, has_signed, on_both, send};
use crate::wire::{assert_names, earned, moved};

const HELLO: &str = "/v1/boxes/demo-1/hello";
const JOURNAL: &str = "/v1/boxes/demo-1/journal";
const GRANTS: &str = "/v1/boxes/demo-1/grants";
const EPOCHS: &str = "/v1/boxes/demo-1/epochs";
const ENROL: &str = "/v1/boxes/demo-1/enrol";

on_both! {
    a_box_enrols_once_and_another_key_is_another_box,
    only_the_boxs_own_signature_opens_its_paths,
    every_answer_that_binds_points_is_signed,
    a_replaced_box_still_hands_in_what_it_did,
    a_revoked_box_uploads_and_gets_nothing,
    a_new_epoch_is_asked_for_by_the_name_of_the_old_one,
    a_fork_is_kept_beside_the_journal,
    a_recall_is_a_wish,
    a_restored_box_reads_its_journal_again,
    a_body_may_be_compressed_and_heads_left_out,
}

async fn a_box_enrols_once_and_another_key_is_another_box() {
    let host = Host::start().await;
    let signer = Signer::new("demo-1", 1);
    let key = json!({ "public_key": signer.public_key() });
    let first = host.post(BOX_1, ENROL, key.clone()).await;
    let genesis = Journal::new("demo-1", 1).cursor(0);
    assert_eq!((first.status, &first.body["epoch"], &first.body["cursor"]), (200, &json!(1), &genesis));
    assert_eq!(host.post(BOX_1, ENROL, key.clone()).await.body, first.body, "the same key, the same answer");
    let head = genesis["head"].as_str().unwrap();
    let lines = ["gatepost-enrol-v1", "demo-1", &signer.public_key(), "1", "1", "0", head];
    assert!(has_signed(&lines, &first.body["signature"]));

    let other = host.post(BOX_1, ENROL, json!({ "public_key": Signer::new("demo-1", 2).public_key() })).await;
    assert_eq!((other.status, &other.body["epoch"]), (200, &json!(2)));
    assert_eq!(host.alarms("demo-1").await, ["enrolled-anew"]);
    for (token, key) in [(BOX_2, signer.public_key()), (ADMIN, signer.public_key()), ("", signer.public_key())] {
        let refused = host.post(token, ENROL, json!({ "public_key": key })).await;
        assert_eq!((refused.status, &refused.body["code"]), (401, &json!("unauthorised")));
    }
    for key in ["", "AAAA", "not base64"] {
        let refused = host.post(BOX_1, ENROL, json!({ "public_key": key })).await;
        assert_eq!(refused.status, 400);
        assert_names(&refused.body, "public_key");
    }
}

async fn only_the_boxs_own_signature_opens_its_paths() {
    let host = Host::start().await;
    let one = host.enrol("demo-1", BOX_1, 1).await;
    let two = host.enrol("demo-2", BOX_2, 2).await;
    let hello = Journal::new("demo-1", 1).hello().to_string();
    assert_eq!(host.signed(&one, "POST", HELLO, &hello).await.status, 200);
    assert_eq!(host.signed(&one, "GET", "/v1/feed?after=0", "").await.status, 200);

    let impostor = Signer { name: "demo-1".into(), ..Signer::new("demo-1", 2) };
    let headers = one.headers("POST", HELLO, hello.as_bytes());
    let other_body = hello.replace("\"seq\":0", "\"seq\":7");
    for (why, answer) in [
        ("another box's key", host.signed(&impostor, "POST", HELLO, &hello).await),
        ("another box's name", host.signed(&two, "POST", HELLO, &hello).await),
        ("another body", send(host.address, "POST", HELLO, &headers, other_body.as_bytes()).await),
        ("another path", send(host.address, "POST", EPOCHS, &headers, hello.as_bytes()).await),
        ("no signature", call(host.address, "POST", HELLO, "", &hello).await),
        ("the token, once there is a key", host.post(BOX_1, HELLO, json!({})).await),
        ("a forged signature", {
            let forged = headers.replace("gatepost-signature: ", "gatepost-signature: AAAA");
            send(host.address, "POST", HELLO, &forged, hello.as_bytes()).await
        }),
        ("another epoch in the header", {
            let moved = headers.replace("gatepost-epoch: 1", "gatepost-epoch: 2");
            send(host.address, "POST", HELLO, &moved, hello.as_bytes()).await
        }),
        ("the feed of nobody", call(host.address, "GET", "/v1/feed", "", "").await),
    ] {
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unauthorised")), "{why}");
    }
    // A replay is harmless: it is the same request again.
    for _ in 0..3 {
        let again = send(host.address, "POST", HELLO, &headers, hello.as_bytes()).await;
        assert_eq!((again.status, &again.body["verdict"]), (200, &json!("ok")));
    }
    assert!(host.alarms("demo-1").await.is_empty());
}

async fn every_answer_that_binds_points_is_signed() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    let (seq, head) = ("0", journal.head(0));
    let welcome = host.signed(&signer, "POST", HELLO, &journal.hello().to_string()).await.body;
    let lease = &welcome["lease"];
    assert_eq!(lease["length_ms"], 7 * 24 * 3600 * 1000);
    let (length, server) = (lease["length_ms"].to_string(), lease["server_ms"].to_string());
    let mut lines =
        vec!["gatepost-hello-v1", "demo-1", "1", seq, &head, "ok", "1", "1", seq, &head, &length, &server, "", "-"];
    assert!(has_signed(&lines, &welcome["signature"]));
    lines[5] = "fork";
    assert!(!has_signed(&lines, &welcome["signature"]));

    let ask = json!({"request": "r1", "epoch": 1, "member": "M1", "points": 200}).to_string();
    let granted = host.signed(&signer, "POST", GRANTS, &ask).await.body;
    let grant = &granted["grants"][0];
    assert_eq!(grant["lot"]["id"], "credit:start-M1");
    let lines = [
        "gatepost-grant-v1",
        "demo-1",
        "1",
        "r1",
        "M1",
        "G-1",
        "200",
        "credit:start-M1",
        "mall",
        "mall",
        "credit",
        "10000",
        "-",
        "-",
        "",
        "",
    ];
    assert!(has_signed(&lines, &grant["signature"]), "{granted}");

    journal.add(json!([{"kind": "started"}]));
    let taken = host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await.body;
    assert!(has_signed(&["gatepost-cursor-v1", "demo-1", "1", "1", &journal.head(1)], &taken["signature"]));

    let end = json!({"epoch": 1, "seq": 1, "head": journal.head(1), "reason": "asked"}).to_string();
    let next = host.signed(&signer, "POST", EPOCHS, &end).await.body;
    let genesis = Journal::new("demo-1", 2).head(0);
    assert!(has_signed(&["gatepost-epoch-v1", "demo-1", "1", "2", "2", "0", &genesis], &next["signature"]), "{next}");
}

async fn a_replaced_box_still_hands_in_what_it_did() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let old = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    let ask = |request: &str, epoch: u32| {
        json!({"request": request, "epoch": epoch, "member": "M1", "points": 100}).to_string()
    };
    assert_eq!(host.signed(&old, "POST", GRANTS, &ask("r1", 1)).await.body["points"], 100);
    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 60)])]));
    let new = host.enrol("demo-1", BOX_1, 2).await;
    assert_eq!(new.epoch, 2);

    let late = host.signed(&old, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    assert_eq!((late.status, &late.body["cursor"]), (200, &journal.cursor(1)));
    assert_eq!(host.sums("M1").await, [300, 60, 40, 200]);
    let hello = host.signed(&old, "POST", HELLO, &journal.hello().to_string()).await.body;
    assert_eq!(
        (&hello["verdict"], &hello["lease"], &hello["wants"]["epoch"]),
        (&json!("wrong-epoch"), &Value::Null, &json!(2))
    );

    assert_eq!(host.signed(&old, "POST", GRANTS, &ask("r2", 1)).await.body["code"], "revoked");
    assert_eq!(host.signed(&old, "POST", GRANTS, &ask("r2", 2)).await.body["code"], "revoked");
    let end = json!({"epoch": 1, "seq": 1, "head": journal.head(1)}).to_string();
    assert_eq!(host.signed(&old, "POST", EPOCHS, &end).await.body["code"], "revoked");
    let page = "/v1/boxes/demo-1/journal?epoch=1";
    assert_eq!(host.signed(&old, "GET", page, "").await.body["code"], "revoked");
    // The old key does not open the new epoch, whatever the header says.
    let pretender = Signer { epoch: 2, ..old };
    let next = Journal::new("demo-1", 2).hello().to_string();
    assert_eq!(host.signed(&pretender, "POST", HELLO, &next).await.status, 401);
    assert_eq!(host.signed(&new, "POST", GRANTS, &ask("r3", 2)).await.body["points"], 100);
    assert!(host.faults().await.is_empty());
}

async fn a_revoked_box_uploads_and_gets_nothing() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    let ask = json!({"request": "r1", "epoch": 1, "member": "M1", "points": 100}).to_string();
    host.signed(&signer, "POST", GRANTS, &ask).await;
    let fence = json!({"epoch": 1, "revoke": true});
    assert_eq!(host.post(ADMIN, "/v1/boxes/demo-1/fence", fence).await.body["epoch"], 2);
    assert_eq!(host.get(ADMIN, "/v1/boxes/demo-1").await.body["revoked"], true);

    journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 100)])]));
    assert_eq!(host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await.status, 200);
    assert_eq!(host.sums("M1").await, [300, 100, 0, 200]);
    let end = json!({"epoch": 1, "seq": 1, "head": journal.head(1)}).to_string();
    let refused = host.signed(&signer, "POST", EPOCHS, &end).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("revoked")));
    let taken = Signer { epoch: 2, ..signer };
    let next = Journal::new("demo-1", 2);
    let hello = host.signed(&taken, "POST", HELLO, &next.hello().to_string()).await.body;
    assert_eq!((&hello["verdict"], &hello["lease"]), (&json!("ok"), &Value::Null));
    let ask = json!({"request": "r2", "epoch": 2, "member": "M1", "points": 100}).to_string();
    assert_eq!(host.signed(&taken, "POST", GRANTS, &ask).await.body["code"], "revoked");
    let again = json!({ "public_key": Signer::new("demo-1", 9).public_key() });
    let refused = host.post(BOX_1, ENROL, again).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("revoked")), "the thief has the token too");
}

async fn a_new_epoch_is_asked_for_by_the_name_of_the_old_one() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    (0..2).for_each(|_| journal.add(json!([{"kind": "started"}])));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 2).to_string()).await;
    let ask = json!({"request": "r1", "epoch": 1, "member": "M1", "points": 100}).to_string();
    host.signed(&signer, "POST", GRANTS, &ask).await;

    journal.forget();
    let hello = host.signed(&signer, "POST", HELLO, &journal.hello().to_string()).await.body;
    assert_eq!((&hello["verdict"], &hello["wants"]), (&json!("behind"), &json!({"epoch": 2})));
    let end = json!({"epoch": 1, "seq": 1, "head": journal.head(1), "reason": "rewound"}).to_string();
    for _ in 0..2 {
        let next = host.signed(&signer, "POST", EPOCHS, &end).await;
        assert_eq!((next.status, &next.body["ended"], &next.body["epoch"]), (200, &json!(1), &json!(2)));
        assert_eq!(next.body["cursor"], Journal::new("demo-1", 2).cursor(0));
    }
    let grants = host.get(ADMIN, GRANTS).await.body;
    assert_eq!((&grants["grants"][0]["state"], &grants["grants"][0]["outstanding"]), (&json!("frozen"), &json!(100)));
    assert_eq!(host.alarms("demo-1").await, ["epoch-ended", "rewound"]);

    // A box restored to before its second epoch finds that epoch used, and takes the one after it.
    let mut second = Journal::new("demo-1", 2);
    second.add(json!([{"kind": "started"}]));
    let in_second = Signer { epoch: 2, ..signer };
    host.signed(&in_second, "POST", JOURNAL, &second.upload(1, 1).to_string()).await;
    let in_first = Signer { epoch: 1, ..in_second };
    let used = host.signed(&in_first, "POST", EPOCHS, &end).await.body;
    assert_eq!((&used["epoch"], &used["cursor"]["seq"]), (&json!(2), &json!(1)));
    let end = json!({"epoch": 2, "seq": 0, "head": second.head(0), "reason": "restored"}).to_string();
    assert_eq!(host.signed(&in_first, "POST", EPOCHS, &end).await.body["epoch"], 3);
    let listed = host.signed(&Signer { epoch: 3, ..in_first }, "GET", EPOCHS, "").await.body;
    let held: Vec<_> = listed["epochs"].as_array().unwrap().iter().map(|epoch| epoch["entries"].clone()).collect();
    assert_eq!(held, [2, 1, 0]);

    // A ledger that was restored to an older state never gives an epoch twice.
    let ahead = json!({"epoch": 8, "seq": 0, "head": second.head(0)}).to_string();
    let next = host.signed(&Signer { epoch: 3, ..Signer::new("demo-1", 1) }, "POST", EPOCHS, &ahead).await;
    assert_eq!((next.status, &next.body["epoch"]), (200, &json!(9)));
    assert!(host.alarms("demo-1").await.contains(&"ledger-behind".to_owned()));
    assert!(host.faults().await.is_empty());
}

async fn a_fork_is_kept_beside_the_journal() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    journal.add(json!([earned("a", "M1", 5)]));
    let mut other = journal.clone();
    journal.add(json!([earned("b", "M1", 6)]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 2).to_string()).await;
    other.add(json!([earned("c", "M1", 7)]));
    other.add(json!([earned("d", "M1", 8)]));
    assert_eq!(host.signed(&signer, "POST", JOURNAL, &other.upload(3, 3).to_string()).await.body["code"], "fork");

    let mut branch = other.upload(2, 3);
    branch["branch"] = json!(true);
    let refused = host.signed(&signer, "POST", JOURNAL, &branch.to_string()).await;
    assert_eq!(refused.status, 400);
    assert_names(&refused.body, "prev");
    branch["prev"] = json!(other.head(1));
    for _ in 0..2 {
        let kept = host.signed(&signer, "POST", JOURNAL, &branch.to_string()).await;
        assert_eq!((kept.status, &kept.body["cursor"]), (200, &journal.cursor(2)), "{}", kept.body);
    }
    assert_eq!(host.sums("M1").await, [111, 0, 11, 100], "nothing of the branch is applied");
    let shown = host.get(ADMIN, "/v1/boxes/demo-1/branch?epoch=1").await.body;
    let heads: Vec<_> = shown["entries"].as_array().unwrap().iter().map(|entry| entry["head"].clone()).collect();
    assert_eq!(heads, [other.head(2), other.head(3)]);
    assert_eq!(host.alarms("demo-1").await, ["branch-kept", "fork"]);
    branch["prev"] = json!(other.head(0));
    assert_eq!(host.signed(&signer, "POST", JOURNAL, &branch.to_string()).await.body["code"], "fork");
    assert!(host.faults().await.is_empty());
}

async fn a_recall_is_a_wish() {
    let host = Host::start().await;
    host.member("M1", 300).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    let ask = json!({"request": "r1", "epoch": 1, "member": "M1", "points": 200}).to_string();
    host.signed(&signer, "POST", GRANTS, &ask).await;
    let recalled = host.post(ADMIN, "/v1/grants/G-1/recall", json!({})).await;
    assert_eq!((recalled.status, &recalled.body["recalled"]), (200, &json!(true)));
    assert_eq!(host.sums("M1").await, [300, 0, 200, 100], "it frees nothing");
    let hello = host.signed(&signer, "POST", HELLO, &journal.hello().to_string()).await.body;
    assert_eq!(hello["recalls"], json!(["G-1"]));
    journal.add(json!([moved("points_returned", "a", "M1", &[("G-1", 200)])]));
    host.signed(&signer, "POST", JOURNAL, &journal.upload(1, 1).to_string()).await;
    let hello = host.signed(&signer, "POST", HELLO, &journal.hello().to_string()).await.body;
    assert_eq!(hello["recalls"], json!([]));
    assert_eq!(host.sums("M1").await, [300, 0, 0, 300]);
    let unknown = host.post(ADMIN, "/v1/grants/G-9/recall", json!({})).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("grant-unknown")));
}

async fn a_restored_box_reads_its_journal_again() {
    let host = Host::start().await;
    let old = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    (0..5).for_each(|_| journal.add(json!([{"kind": "started"}])));
    host.signed(&old, "POST", JOURNAL, &journal.upload(1, 5).to_string()).await;
    let new = host.enrol("demo-1", BOX_1, 2).await;
    let (mut after, mut entries, mut more) = (0, Vec::new(), true);
    while more {
        let path = format!("/v1/boxes/demo-1/journal?epoch=1&after={after}&limit=2");
        let page = host.signed(&new, "GET", &path, "").await.body;
        entries.extend(page["entries"].as_array().unwrap().clone());
        (after, more) = (entries.last().unwrap()["seq"].as_i64().unwrap(), page["more"].as_bool().unwrap());
    }
    assert_eq!(json!(entries), journal.upload(1, 5)["entries"], "the very texts that it wrote");
    let by_admin = host.get(ADMIN, "/v1/boxes/demo-1/journal?epoch=1").await.body;
    assert_eq!(by_admin["entries"], json!(entries));
    let stranger = host.enrol("demo-2", BOX_2, 3).await;
    assert_eq!(host.signed(&stranger, "GET", "/v1/boxes/demo-1/journal?epoch=1", "").await.status, 401);
}

async fn a_body_may_be_compressed_and_heads_left_out() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    let signer = host.enrol("demo-1", BOX_1, 1).await;
    let mut journal = Journal::new("demo-1", 1);
    (0..50).for_each(|n| journal.add(json!([earned(&format!("op-{n}"), "M1", 1)])));
    let mut upload = journal.upload(1, 50);
    let entries = upload["entries"].as_array_mut().unwrap();
    entries[..49].iter_mut().for_each(|entry| _ = entry.as_object_mut().unwrap().remove("head"));
    let plain = upload.to_string();
    let small = zstd::encode_all(plain.as_bytes(), 3).unwrap();
    assert!(small.len() * 5 < plain.len());
    let zstd = |body: &[u8]| format!("{}content-encoding: zstd\r\n", signer.headers("POST", JOURNAL, body));
    let taken = send(host.address, "POST", JOURNAL, &zstd(&small), &small).await;
    assert_eq!((taken.status, &taken.body["cursor"]), (200, &journal.cursor(50)), "{}", taken.body);

    let bomb = zstd::encode_all(vec![b' '; 64 << 20].as_slice(), 3).unwrap();
    let refused = send(host.address, "POST", JOURNAL, &zstd(&bomb), &bomb).await;
    assert_eq!((refused.status, &refused.body["code"]), (413, &json!("too-large")));
    let cut = &small[..small.len() / 2];
    let refused = send(host.address, "POST", JOURNAL, &zstd(cut), cut).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("bad-request")));
    let other = format!("{}content-encoding: br\r\n", signer.headers("POST", JOURNAL, b"{}"));
    let refused = send(host.address, "POST", JOURNAL, &other, b"{}").await;
    assert_names(&refused.body, "content-encoding");

    journal.add(json!([{"kind": "started"}]));
    let mut headless = journal.upload(51, 51);
    headless["entries"][0]["head"] = Value::Null;
    let refused = host.signed(&signer, "POST", JOURNAL, &headless.to_string()).await;
    assert_eq!(refused.status, 400);
    assert_names(&refused.body, "entries[0].head");
    assert!(host.alarms("demo-1").await.is_empty());
}
