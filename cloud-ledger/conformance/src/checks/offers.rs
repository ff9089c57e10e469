//! Promises about what members have beside points, and about budgets that are shared out among boxes.

use serde_json::{Value, json};

use crate::expect::{Broken, holds, ok, refused, same};
use crate::wire::{Office, Site};

pub async fn privileges(office: &Office) -> Result<(), Broken> {
    let site = office.site(0).await?;
    let after = end_of_feed(&site).await?;
    let (id, pass) = (office.name("member"), office.name("pass"));
    let path = format!("/v1/members/{id}");
    let profile = json!({"handle": "T**", "tier": "test", "consent_plates": false, "plates": [], "codes": [],
        "plans": [{"id": "vip", "until_ms": 1_800_000_000_000_i64}], "tags": ["dormant"], "birthday": "02-29",
        "passes": [{"id": pass, "kind": "lunch", "first_day": "2026-03-01", "box": site.name}]});
    let view = ok("a member", office.ask("PUT", &path, &profile).await?)?;
    let told = &ok("the feed", site.read(&format!("/v1/feed?after={after}")).await?)?["changes"][0]["member"];
    for field in ["plans", "tags", "birthday", "passes"] {
        same("what the administrator reads", &view[field], &profile[field])?;
        same("what the boxes hear", &told[field], &profile[field])?;
    }
    ok("a repeat", office.ask("PUT", &path, &profile).await?)?;
    let plain = json!({"handle": "T**", "tier": "test", "consent_plates": false, "plates": [], "codes": []});
    ok("all taken back", office.ask("PUT", &path, &plain).await?)?;
    let changes = ok("the feed", site.read(&format!("/v1/feed?after={after}")).await?)?["changes"].clone();
    same("a repeat is no change", changes.as_array().map(Vec::len), Some(2))?;
    let left = &changes[1]["member"];
    let is_none = |field: &Value| field.is_null() || field.as_array().is_some_and(Vec::is_empty);
    holds("nothing is left", ["plans", "tags", "birthday", "passes"].iter().all(|field| is_none(&left[field])), left)?;
    let mut wrong = profile;
    wrong["birthday"] = json!("02-30");
    refused("a birthday on no day", office.ask("PUT", &path, &wrong).await?, 400, "bad-request").map(|_| ())
}

pub async fn shares(office: &Office) -> Result<(), Broken> {
    let (mut first, mut second) = (office.site(0).await?, office.site(1).await?);
    let campaign = office.name("campaign");
    let word = |shared: &Value, share: i64, spent: i64| {
        json!([{"kind": "campaign_share_taken", "campaign": campaign, "turn": shared["turn"], "share_fen": share,
            "spent_fen": spent}])
    };
    let told = state(office, &campaign, [&first, &second]).await?;
    same("one half each", parts(&told, [&first, &second]), [Some(500), Some(500)])?;
    first.write(&word(&told, 500, 500));
    first.upload_all().await?;
    let told = state(office, &campaign, [&first, &second]).await?;
    same("half of a half is asked for", parts(&told, [&first, &second]), [Some(500), Some(250)])?;
    second.write(&word(&told, 250, 0));
    second.upload_all().await?;
    let told = state(office, &campaign, [&first, &second]).await?;
    same("what was given back is given out", parts(&told, [&first, &second]), [Some(750), Some(250)])?;
    let view = ok("its shares", office.ask("GET", &format!("/v1/campaigns/{campaign}"), &Value::Null).await?)?;
    same("what it has cost", (&view["spent_fen"], &view["budget_fen"]), (&json!(500), &json!(1000)))?;
    let unknown = office.ask("GET", &format!("/v1/campaigns/{}", office.name("none")), &Value::Null).await?;
    refused("an unknown one", unknown, 404, "campaign-unknown").map(|_| ())
}

/// States the campaign, with a budget of 1000 fen for both sites; how it is shared out.
async fn state(office: &Office, campaign: &str, sites: [&Site<'_>; 2]) -> Result<Value, Broken> {
    let after = end_of_feed(sites[0]).await?;
    let path = format!("/v1/campaigns/{campaign}");
    let stated = json!({"stopped": false, "budget_fen": 1000, "boxes": [sites[0].name, sites[1].name]});
    ok("a campaign", office.ask("PUT", &path, &stated).await?)?;
    let page = ok("the feed", sites[0].read(&format!("/v1/feed?after={after}")).await?)?;
    let view = ok("its shares", office.ask("GET", &path, &Value::Null).await?)?;
    holds("no more is promised than there is", sum(&view["shares"], "reserved_fen") <= 1000, &view)?;
    Ok(page["changes"][0]["shared"].clone())
}

fn parts(shared: &Value, sites: [&Site<'_>; 2]) -> [Option<i64>; 2] {
    let of = |site: &Site<'_>| {
        let mut shares = shared["shares"].as_array().into_iter().flatten();
        shares.find(|share| share["box"] == site.name && share["epoch"] == site.epoch)?["fen"].as_i64()
    };
    sites.map(of)
}

fn sum(list: &Value, field: &str) -> i64 {
    list.as_array().into_iter().flatten().filter_map(|one| one[field].as_i64()).sum()
}

async fn end_of_feed(site: &Site<'_>) -> Result<i64, Broken> {
    let mut after = 0;
    loop {
        let page = ok("the feed", site.read(&format!("/v1/feed?after={after}&limit=1000")).await?)?;
        after = page["next"].as_i64().ok_or("the feed: next must be a number")?;
        if page["more"] == false {
            return Ok(after);
        }
    }
}
