//! Lots and their terms, standing grants, recalls, the feed, and debts.

use serde_json::{Value, json};

use crate::expect::{Broken, holds, ok, same};
use crate::wire::Office;

/// Long after any test: 2100-01-01 and a day later, in milliseconds.
const LATE: i64 = 4_102_444_800_000;
const LATER: i64 = LATE + 86_400_000;

pub async fn order(office: &Office) -> Result<(), Broken> {
    let member = office.member(30).await?;
    for (expires, points) in [(LATER, 20), (LATE, 10)] {
        let lot = json!({"issuer": "mall", "funder": "brand", "source": "campaign", "settle_bps": 8000, "expires_ms": expires});
        let credit = json!({"op": office.name("credit"), "points": points, "reason": "test", "lot": lot});
        office.credit(&member, &credit).await?;
    }
    let site = office.site(0).await?;
    let answer = site.grant(&member, 45).await?;
    same("one answer, several grants", &answer["points"], &json!(45))?;
    same("no single grant to name", &answer["grant"], &Value::Null)?;
    let grants = answer["grants"].as_array().cloned().unwrap_or_default();
    let cuts: Vec<(Value, Value)> =
        grants.iter().map(|grant| (grant["points"].clone(), grant["lot"]["expires_ms"].clone())).collect();
    let expected = [(json!(10), json!(LATE)), (json!(20), json!(LATER)), (json!(15), Value::Null)];
    same("first what expires first", &cuts[..], &expected[..])?;
    let terms = ["funder", "source", "settle_bps"].map(|field| grants[0]["lot"][field].clone());
    same("the terms go with it", terms, [json!("brand"), json!("campaign"), json!(8000)])
}

pub async fn places(office: &Office) -> Result<(), Broken> {
    let member = office.member(0).await?;
    let (here, elsewhere) = (office.site(0).await?, office.site(1).await?);
    let lot = json!({"places": [here.name]});
    let credit = json!({"op": office.name("credit"), "points": 50, "reason": "test", "lot": lot});
    office.credit(&member, &credit).await?;
    same("not at another box", &elsewhere.grant(&member, 10).await?["points"], &json!(0))?;
    same("at its own", &here.grant(&member, 10).await?["points"], &json!(10))?;
    let lot = json!({"valid_from_ms": LATE});
    let member = office.member(0).await?;
    let credit = json!({"op": office.name("credit"), "points": 50, "reason": "test", "lot": lot});
    office.credit(&member, &credit).await?;
    same("not before its time", &here.grant(&member, 10).await?["points"], &json!(0))
}

pub async fn standing(office: &Office) -> Result<(), Broken> {
    let (home, away) = (office.site(0).await?, office.site(1).await?);
    let member = office.member(1000).await?;
    let profile =
        json!({"handle": "T**", "tier": "test", "consent_plates": false, "plates": [], "codes": [], "home": home.name});
    ok("a home", office.ask("PUT", &format!("/v1/members/{member}"), &profile).await?)?;
    let ask = |epoch: u32| json!({"request": office.name("request"), "epoch": epoch, "member": member, "points": 900, "standing": true});
    same("none away from home", &away.grant_as(&ask(away.epoch)).await?["points"], &json!(0))?;
    let given = home.grant_as(&ask(home.epoch)).await?["points"].as_i64().unwrap_or(-1);
    holds("a share at home, never all", (1..900).contains(&given), &json!(given))?;
    same("and no more on top", &home.grant_as(&ask(home.epoch)).await?["points"], &json!(0))
}

pub async fn recalls(office: &Office) -> Result<(), Broken> {
    let member = office.member(50).await?;
    let mut site = office.site(0).await?;
    let grant = site.granted(&member, 50).await?;
    site.upload_all().await?;
    same("nothing is recalled", &site.hello().await?["recalls"], &json!([]))?;
    ok("a recall", office.ask("POST", &format!("/v1/grants/{grant}/recall"), &Value::Null).await?)?;
    same("the box is asked", &site.hello().await?["recalls"], &json!([grant]))?;
    same("a recall frees nothing", office.sums(&member).await?, [50, 0, 0, 50])?;
    let back = site.moved("points_returned", &member, &[(&grant, 50)]);
    site.write(&json!([back]));
    site.upload_all().await?;
    same("given back", office.sums(&member).await?, [50, 0, 50, 0])?;
    same("and asked no more", &site.hello().await?["recalls"], &json!([]))
}

pub async fn feed(office: &Office) -> Result<(), Broken> {
    let site = office.site(0).await?;
    let mut after = 0;
    loop {
        let page = ok("the feed", site.read(&format!("/v1/feed?after={after}&limit=1000")).await?)?;
        after = page["next"].as_i64().ok_or("the feed: next must be a number")?;
        if page["more"] == false {
            break;
        }
    }
    let (first, second) = (office.member(5).await?, office.member(0).await?);
    let removed = ok("a removal", office.ask("DELETE", &format!("/v1/members/{second}"), &Value::Null).await?)?;
    same("what was removed", &removed["removed"], &json!(second))?;
    let whole = ok("the feed", site.read(&format!("/v1/feed?after={after}")).await?)?;
    let mut single = Vec::new();
    let mut at = after;
    for _ in 0..100 {
        let page = ok("a page of one", site.read(&format!("/v1/feed?after={at}&limit=1")).await?)?;
        single.extend(page["changes"].as_array().cloned().unwrap_or_default());
        at = page["next"].as_i64().ok_or("the feed: next must be a number")?;
        if page["more"] == false {
            break;
        }
    }
    let changes = whole["changes"].as_array().cloned().unwrap_or_default();
    same("page by page and at once", &single, &changes)?;
    let numbers: Vec<i64> = changes.iter().filter_map(|change| change["change"].as_i64()).collect();
    holds("in order, each once", numbers.is_sorted_by(|a, b| a < b) && numbers.len() == changes.len(), &whole)?;
    let newest = |id: &str| {
        let mut of = changes.iter().filter(|change| change["member"]["id"] == id || change["id"] == id);
        of.next_back().cloned().unwrap_or_default()
    };
    same("the newest of a member", &newest(&first)["member"]["balance"], &json!(5))?;
    same("the newest of a removed one", &newest(&second)["kind"], &json!("member_removed"))
}

pub async fn debts(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    let debt = office.name("debt");
    site.write(&json!([{"kind": "debt_booked", "debt": debt, "fen": 1500, "plate": "粤B12345", "at_ms": 1}]));
    site.upload_all().await?;
    let path = format!("/v1/debts?after={}&limit=1", &debt[..debt.len() - 1]);
    let list = ok("the debts", office.ask("GET", &path, &Value::Null).await?)?;
    let seen = &list["debts"][0];
    same("a debt", (&seen["debt"], &seen["fen"], &seen["paid_fen"]), (&json!(debt), &json!(1500), &json!(0)))?;
    let paid = json!([{"kind": "debt_paid", "op": office.name("op"), "debt": debt, "fen": 500, "at_ms": 2}]);
    site.write(&paid);
    site.write(&paid);
    site.upload_all().await?;
    let list = ok("the debts", office.ask("GET", &path, &Value::Null).await?)?;
    same("paid once", &list["debts"][0]["paid_fen"], &json!(500))
}
