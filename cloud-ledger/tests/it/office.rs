//! What the administrator does with members, and what the boxes hear of it.

use serde_json::json;

use crate::host::{ADMIN, BOX_1, BOX_2, Host, Journal, call, on_both, profile};
use crate::wire::{assert_names, feed};

on_both! {
    the_feed_tells_every_change_once_and_in_order,
    a_plate_or_a_code_belongs_to_one_member,
    credits_and_online_spends_happen_once_per_op,
    coupons_and_campaigns_reach_the_boxes,
    a_campaign_is_stated_again_and_a_fenced_box_keeps_its_share,
}

async fn the_feed_tells_every_change_once_and_in_order() {
    let host = Host::start().await;
    assert_eq!(feed(&host, "").await, json!({"changes": [], "next": 0, "more": false}));
    host.put(ADMIN, "/v1/members/M1", profile(&["粤B12345", "粤BD12345"], &["GPM1"])).await;
    host.put(ADMIN, "/v1/members/M2", profile(&["粤B67890"], &[])).await;
    host.post(ADMIN, "/v1/members/M1/credits", json!({"op": "c", "points": 70, "reason": "gift"})).await;
    host.put(ADMIN, "/v1/members/M1", profile(&["粤B12345"], &["GPM1"])).await;
    host.put(ADMIN, "/v1/members/M1", profile(&["粤B12345"], &["GPM1"])).await;
    assert_eq!(call(host.address, "DELETE", "/v1/members/M2", ADMIN, "").await.status, 200);

    let all = feed(&host, "").await;
    let numbers: Vec<_> = all["changes"].as_array().unwrap().iter().map(|change| change["change"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "the repeated PUT is no change");
    assert_eq!(
        all["changes"][3],
        json!({"change": 4, "kind": "member", "member": {
            "id": "M1", "handle": "王**", "tier": "gold", "consent_plates": true, "plates": ["粤B12345"],
            "codes": ["GPM1"], "home": null, "balance": 70, "version": 3}})
    );
    assert_eq!(all["changes"][4], json!({"change": 5, "kind": "member_removed", "id": "M2"}));

    let mut paged = Vec::new();
    let (mut next, mut more) = (json!(0), true);
    while more {
        let page = feed(&host, &format!("?after={next}&limit=2")).await;
        paged.extend(page["changes"].as_array().unwrap().clone());
        (next, more) = (page["next"].clone(), page["more"].as_bool().unwrap());
    }
    assert_eq!(json!(paged), all["changes"]);
    for limit in ["0", "1001", "many"] {
        let refused = host.get(BOX_1, &format!("/v1/feed?limit={limit}")).await;
        assert_eq!(refused.status, 400);
        assert_names(&refused.body, "limit");
    }
}

async fn a_plate_or_a_code_belongs_to_one_member() {
    let host = Host::start().await;
    host.put(ADMIN, "/v1/members/M1", profile(&["粤B12345"], &["GPM1"])).await;
    for taken in [profile(&["粤B12345"], &[]), profile(&["粤B00000"], &["GPM1"])] {
        let refused = host.put(ADMIN, "/v1/members/M2", taken).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("taken")));
    }
    assert_eq!(host.get(ADMIN, "/v1/members/M2").await.status, 404, "nothing of a refused member is kept");
    host.put(ADMIN, "/v1/members/M1", profile(&[], &[])).await;
    assert_eq!(host.put(ADMIN, "/v1/members/M2", profile(&["粤B12345"], &["GPM1"])).await.status, 200);
    let twice = host.put(ADMIN, "/v1/members/M3", profile(&["粤B1", "粤B1"], &[])).await;
    assert_names(&twice.body, "plates[1]");

    let members = host.get(ADMIN, "/v1/members").await.body;
    let ids: Vec<_> = members["members"].as_array().unwrap().iter().map(|member| &member["id"]).collect();
    assert_eq!(ids, ["M1", "M2"]);
    let second = host.get(ADMIN, "/v1/members?after=M1&limit=1").await.body;
    assert_eq!((&second["members"][0]["id"], &second["more"]), (&json!("M2"), &json!(false)));
}

async fn credits_and_online_spends_happen_once_per_op() {
    let host = Host::start().await;
    host.member("M1", 100).await;
    host.member("M2", 100).await;
    for _ in 0..2 {
        let done = host.post(ADMIN, "/v1/members/M1/spends", json!({"op": "o1", "points": 60})).await;
        assert_eq!((done.status, done.body), (200, json!({"op": "o1", "member": "M1", "points": 60})));
        let credit = json!({"op": "c1", "points": 5, "reason": "gift"});
        assert_eq!(host.post(ADMIN, "/v1/members/M1/credits", credit).await.status, 200);
    }
    assert_eq!(host.sums("M1").await, [105, 60, 0, 45]);
    let more = host.post(ADMIN, "/v1/members/M1/spends", json!({"op": "o2", "points": 46})).await;
    assert_eq!((more.status, &more.body["code"]), (409, &json!("insufficient-points")));
    for (path, body) in [
        ("/v1/members/M1/spends", json!({"op": "o1", "points": 61})),
        ("/v1/members/M2/spends", json!({"op": "o1", "points": 60})),
        ("/v1/members/M2/credits", json!({"op": "c1", "points": 5, "reason": "gift"})),
    ] {
        let reused = host.post(ADMIN, path, body).await;
        assert_eq!((reused.status, &reused.body["code"]), (422, &json!("request-reused")));
    }
    for points in [json!(0), json!(-5), json!(1.5), json!("5"), json!(1_000_000_001)] {
        let refused = host.post(ADMIN, "/v1/members/M1/spends", json!({"op": "o3", "points": points})).await;
        assert_eq!(refused.status, 400);
        assert_names(&refused.body, "points");
    }
    assert!(host.faults().await.is_empty());
}

async fn coupons_and_campaigns_reach_the_boxes() {
    let host = Host::start().await;
    let coupon = json!({"kind": "three", "member": "M1", "until_ms": 1_775_000_000_000_i64, "state": "issued"});
    assert_eq!(host.put(ADMIN, "/v1/coupons/C-1", coupon.clone()).await.body, json!({"told": "C-1"}));
    let stop = json!({"stopped": true, "spent_elsewhere_fen": 900});
    assert_eq!(host.put(ADMIN, "/v1/campaigns/spring", stop).await.status, 200);
    let changes = feed(&host, "").await["changes"].clone();
    assert_eq!(
        changes[0],
        json!({"change": 1, "kind": "coupon", "coupon": {"id": "C-1", "kind": "three", "member": "M1",
            "merchant": null, "from_ms": null, "until_ms": 1_775_000_000_000_i64, "state": "issued"}})
    );
    let campaign = &changes[1];
    assert_eq!(
        (&campaign["kind"], &campaign["id"], &campaign["stopped"]),
        (&json!("campaign"), &json!("spring"), &json!(true))
    );
    assert!(campaign["spent_elsewhere_fen"] == 900 && campaign["as_of_ms"].as_i64().is_some_and(|at| at > 0));
    let mut wrong = coupon.clone();
    wrong["from_ms"] = coupon["until_ms"].clone();
    assert_names(&host.put(ADMIN, "/v1/coupons/C-2", wrong).await.body, "until_ms");
    let cafe = json!({"name": "Café", "floor": "B1", "format": "food", "tags": ["own"], "earns_points": false});
    assert_eq!(host.put(ADMIN, "/v1/merchants/cafe", cafe.clone()).await.body, json!({"told": "cafe"}));
    assert_eq!(
        feed(&host, "").await["changes"][2],
        json!({"change": 3, "kind": "merchant", "merchant": {"id": "cafe", "name": "Café", "floor": "B1",
            "format": "food", "tags": ["own"], "accepts_points": true, "earns_points": false, "gives_parking": true,
            "from_ms": null, "until_ms": null}})
    );
    for (field, value) in [("until_ms", json!(1)), ("floor", json!("a\nb")), ("tags", json!(["a b"]))] {
        let mut wrong = cafe.clone();
        wrong["from_ms"] = json!(1);
        wrong[field] = value;
        assert_names(&host.put(ADMIN, "/v1/merchants/cafe", wrong).await.body, field);
    }
    assert_eq!(host.put(BOX_1, "/v1/merchants/cafe", cafe).await.status, 401, "boxes only listen");
    wrong = coupon;
    wrong["state"] = json!("lost");
    assert_eq!(host.put(ADMIN, "/v1/coupons/C-2", wrong).await.status, 400);
    assert_eq!(
        host.put(BOX_1, "/v1/campaigns/spring", json!({"stopped": false})).await.status,
        401,
        "boxes only listen"
    );
    assert_eq!(feed(&host, "").await["changes"].as_array().map(Vec::len), Some(3));
}

async fn a_campaign_is_stated_again_and_a_fenced_box_keeps_its_share() {
    let host = Host::start().await;
    let mut journal = Journal::new("demo-1", 1);
    host.post(BOX_1, "/v1/boxes/demo-1/hello", journal.hello()).await;
    host.post(BOX_2, "/v1/boxes/demo-2/hello", Journal::new("demo-2", 1).hello()).await;
    let stated = json!({"stopped": false, "budget_fen": 1000});
    assert_eq!(host.put(ADMIN, "/v1/campaigns/spring", stated.clone()).await.status, 200);
    let view = async || host.get(ADMIN, "/v1/campaigns/spring").await.body;
    let told = async || -> Vec<i64> {
        view().await["shares"].as_array().unwrap().iter().map(|share| share["told_fen"].as_i64().unwrap()).collect()
    };
    assert_eq!((told().await, view().await["free_fen"].clone()), (vec![500, 500], json!(0)));

    let word = |turn, share, spent| {
        json!([{"kind": "campaign_share_taken", "campaign": "spring", "turn": turn, "share_fen": share,
            "spent_fen": spent}])
    };
    journal.add(word(1, 500, 450));
    let sent = host.post(BOX_1, "/v1/boxes/demo-1/journal", journal.upload(1, 1)).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    host.post(ADMIN, "/v1/boxes/demo-1/fence", json!({"epoch": 1})).await;
    host.put(ADMIN, "/v1/campaigns/spring", stated.clone()).await;
    assert_eq!(told().await, [500, 500], "what the lost box may spend is nobody else's");
    let mut again = Journal::new("demo-1", 2);
    again.add(word(2, 450, 450));
    host.post(BOX_1, "/v1/boxes/demo-1/journal", again.upload(1, 1)).await;
    let share = view().await["shares"][0].clone();
    assert_eq!((&share["epoch"], &share["lost_fen"], &share["reserved_fen"]), (&json!(2), &json!(50), &json!(450)));

    let stopped = json!({"stopped": true, "budget_fen": 1000});
    host.put(ADMIN, "/v1/campaigns/spring", stopped).await;
    assert_eq!(told().await, [450, 0], "a stopped one has nothing more to give");
    let newest = feed(&host, "").await["changes"].as_array().unwrap().last().cloned().unwrap();
    assert_eq!((&newest["stopped"], &newest["shared"]["shares"][1]["fen"]), (&json!(true), &json!(0)));
    let wrong = host.put(ADMIN, "/v1/campaigns/spring", json!({"stopped": false, "budget_fen": -1})).await;
    assert_names(&wrong.body, "budget_fen");
    assert!(host.faults().await.is_empty());
}
