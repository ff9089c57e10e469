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

/// A coupon is had by one box at a time, and goes on by that box's word alone.
pub async fn claims(office: &Office) -> Result<(), Broken> {
    let (mut first, mut second) = (office.site(0).await?, office.site(1).await?);
    let coupon = office.name("coupon");
    let path = format!("/v1/coupons/{coupon}");
    let issued = json!({"kind": "test", "state": "issued"});
    ok("a coupon", office.ask("PUT", &path, &issued).await?)?;
    let unknown = office.ask("GET", &format!("/v1/coupons/{}", office.name("none")), &Value::Null).await?;
    refused("an unknown one", unknown, 404, "coupon-unknown")?;
    let after = end_of_feed(&first).await?;
    say(&mut first, &coupon, 0, "wanted").await?;
    let told = newest_claim(&second, after).await?;
    same("who asks first has it", had_by(&told), Some((first.name.as_str(), first.epoch)))?;
    let turn = told["turn"].as_i64().ok_or("a claim: turn must be a number")?;
    say(&mut second, &coupon, turn, "wanted").await?;
    let told = newest_claim(&second, after).await?;
    same(
        "a second one waits",
        (had_by(&told), &told["wanted"]),
        (Some((first.name.as_str(), first.epoch)), &json!(true)),
    )?;
    say(&mut second, &coupon, turn, "returned").await?;
    say(&mut first, &coupon, turn - 1, "returned").await?;
    let held = ok("a coupon", office.ask("GET", &path, &Value::Null).await?)?;
    same(
        "by another's word, or an old one, it goes nowhere",
        had_by(&held["claim"]),
        Some((first.name.as_str(), first.epoch)),
    )?;
    let elsewhere = json!({"kind": "test", "state": "used"});
    refused("a use beside the boxes", office.ask("PUT", &path, &elsewhere).await?, 409, "coupon-taken")?;
    say(&mut first, &coupon, turn, "taken").await?;
    say(&mut first, &coupon, turn, "returned").await?;
    let told = newest_claim(&first, after).await?;
    same("it goes to who waits", had_by(&told), Some((second.name.as_str(), second.epoch)))?;
    let next = told["turn"].as_i64().ok_or("a claim: turn must be a number")?;
    holds("its turn has come", next > turn, &told)?;
    use_it(&mut second, &coupon, next, true).await?;
    let told = newest_claim(&first, after).await?;
    same("who has used it", &told["used"], &json!([second.name]))?;
    refused("a use beside the boxes", office.ask("PUT", &path, &elsewhere).await?, 409, "coupon-taken")?;
    let before = office.alarms(&first, "coupon-used-twice").await?;
    use_it(&mut first, &coupon, turn, false).await?;
    same("a second use is told", office.alarms(&first, "coupon-used-twice").await?, before + 1)?;
    first.write(&json!([{"kind": "coupon_told", "coupon": coupon, "turn": turn, "says": "unused", "by": "op-false"}]));
    first.upload_all().await?;
    let view = ok("a coupon", office.ask("GET", &path, &Value::Null).await?)?;
    same("what was taken back stands no more", &view["claim"]["used"], &json!([second.name]))?;
    frozen_claims(office, &mut first, &mut second).await
}

/// What a box had in an epoch that ended goes back by the journal of that epoch, or by a person.
async fn frozen_claims(office: &Office, first: &mut Site<'_>, second: &mut Site<'_>) -> Result<(), Broken> {
    let coupon = office.name("frozen");
    let path = format!("/v1/coupons/{coupon}");
    ok("a coupon", office.ask("PUT", &path, &json!({"kind": "test", "state": "issued"})).await?)?;
    let after = end_of_feed(first).await?;
    say(first, &coupon, 0, "wanted").await?;
    let turn = newest_claim(first, after).await?["turn"].as_i64().ok_or("a claim: turn must be a number")?;
    let release = format!("{path}/release");
    let reason = json!({"reason": "burned"});
    refused("what a box may use", office.ask("POST", &release, &reason).await?, 409, "not-frozen")?;
    let fenced = office.ask("POST", &format!("/v1/boxes/{}/fence", first.name), &json!({"epoch": first.epoch})).await?;
    ok("a fence", fenced)?;
    say(second, &coupon, turn, "wanted").await?;
    // The next epoch of the box has not what the last one had, and cannot say what that one did with it.
    let mut again = office.site(0).await?;
    say(&mut again, &coupon, turn, "returned").await?;
    let held = ok("a coupon", office.ask("GET", &path, &Value::Null).await?)?;
    same("it is frozen", (&held["state"], &held["claim"]["box"]), (&json!("frozen"), &json!(first.name)))?;
    let released = ok("a release", office.ask("POST", &release, &reason).await?)?;
    same("it goes to who waits", &released["claim"]["box"], &json!(second.name))?;
    same("the loss is booked", office.alarms(first, "claim-released").await? > 0, true)?;
    say(first, &coupon, turn, "returned").await?;
    let held = ok("a coupon", office.ask("GET", &path, &Value::Null).await?)?;
    same("late words change nothing", &held["claim"]["box"], &json!(second.name))
}

async fn say(site: &mut Site<'_>, coupon: &str, turn: i64, says: &str) -> Result<(), Broken> {
    site.write(&json!([{"kind": "coupon_told", "coupon": coupon, "turn": turn, "says": says}]));
    site.upload_all().await
}

async fn use_it(site: &mut Site<'_>, coupon: &str, turn: i64, claimed: bool) -> Result<(), Broken> {
    let by = format!("op-{claimed}");
    site.write(&json!([{"kind": "coupon_told", "coupon": coupon, "turn": turn, "says": "used", "by": by, "fen": 300,
        "claimed": claimed}]));
    site.upload_all().await
}

/// The newest statement about who has a coupon.
async fn newest_claim(site: &Site<'_>, after: i64) -> Result<Value, Broken> {
    let page = ok("the feed", site.read(&format!("/v1/feed?after={after}&limit=1000")).await?)?;
    let mut changes = page["changes"].as_array().into_iter().flatten().rev();
    let newest = changes.find(|change| change["kind"] == "coupon_claim");
    newest.cloned().ok_or_else(|| format!("the feed: there is no coupon_claim in {page}"))
}

fn had_by(claim: &Value) -> Option<(&str, u32)> {
    Some((claim["box"].as_str()?, u32::try_from(claim["epoch"].as_u64()?).ok()?))
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
