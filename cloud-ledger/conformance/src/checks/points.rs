//! Points: what is reserved, spent, earned, given back, released and taken back, to the point.

use serde_json::{Value, json};
use tokio::try_join;

use crate::expect::{Broken, holds, ok, refused, same};
use crate::wire::{Office, Site};

pub async fn arithmetic(office: &Office) -> Result<(), Broken> {
    let (member, other) = (office.member(100).await?, office.member(30).await?);
    let mut site = office.site(0).await?;
    let grant = site.granted(&member, 60).await?;
    let others = site.granted(&other, 30).await?;
    same("reserved at once", office.sums(&member).await?, [100, 0, 40, 60])?;
    let spent = site.moved("points_spent", &member, &[(&grant, 25)]);
    let others_spent = site.moved("points_spent", &other, &[(&others, 30)]);
    site.write(&json!([spent, others_spent]));
    let back = site.moved("points_returned", &member, &[(&grant, 20)]);
    site.write(&json!([back]));
    same("nothing moves before the upload", office.sums(&member).await?, [100, 0, 40, 60])?;
    site.upload_all().await?;
    site.upload_all().await?;
    same("spent and given back, once", office.sums(&member).await?, [100, 25, 60, 15])?;
    same("two members in one journal", office.sums(&other).await?, [30, 30, 0, 0])
}

pub async fn grant_repeats(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let site = office.site(0).await?;
    let ask = json!({"request": office.name("request"), "epoch": site.epoch, "member": member, "points": 70});
    let first = site.grant_as(&ask).await?;
    let again = site.grant_as(&ask).await?;
    same("the same request", &again, &first)?;
    same("reserved once", office.sums(&member).await?, [100, 0, 30, 70])?;
    let mut other = ask.clone();
    other["points"] = json!(71);
    refused("the same request for more", site.post("grants", &other).await?, 422, "request-reused")?;
    same("what is there is given", &site.grant(&member, 50).await?["points"], &json!(30))?;
    let none = json!({"request": office.name("request"), "epoch": site.epoch, "member": member, "points": 1});
    let nothing = site.grant_as(&none).await?;
    same("nothing is left", (&nothing["points"], &nothing["grants"]), (&json!(0), &json!([])))?;
    office.credit(&member, &json!({"op": office.name("credit"), "points": 5, "reason": "test"})).await?;
    same("a stored nothing stays nothing", &site.grant_as(&none).await?["points"], &json!(0))?;
    let unknown =
        json!({"request": office.name("request"), "epoch": site.epoch, "member": office.name("x"), "points": 1});
    refused("an unknown member", site.post("grants", &unknown).await?, 404, "member-unknown")?;
    for points in [json!(0), json!(-5), json!(1.5), json!("7"), json!(1_000_000_001)] {
        let ask = json!({"request": office.name("request"), "epoch": site.epoch, "member": member, "points": points});
        refused("an amount that is none", site.post("grants", &ask).await?, 400, "bad-request")?;
    }
    Ok(())
}

pub async fn grant_races(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let (first, second) = (office.site(0).await?, office.site(1).await?);
    let (a, b, c, d) = try_join!(
        first.grant(&member, 40),
        second.grant(&member, 40),
        first.grant(&member, 40),
        spend_up_to(office, &member, 40),
    )?;
    let given: i64 = [a, b, c].iter().map(|answer| answer["points"].as_i64().unwrap_or(i64::MAX / 4)).sum();
    let sums = office.sums(&member).await?;
    same("given and spent, counted at the boxes", given + d, 100)?;
    same("the same at the ledger", sums, [100, d, 0, given])?;
    let member = office.member(100).await?;
    let ask = json!({"request": office.name("request"), "epoch": first.epoch, "member": member, "points": 30});
    let (a, b, c) = try_join!(first.grant_as(&ask), first.grant_as(&ask), first.grant_as(&ask))?;
    holds("one request at the same time has one answer", a == b && b == c, &json!([a, b, c]))?;
    same("reserved once", office.sums(&member).await?, [100, 0, 70, 30])
}

/// Spends online, if there is enough; what was spent.
async fn spend_up_to(office: &Office, member: &str, points: i64) -> Result<i64, Broken> {
    let body = json!({"op": office.name("spend"), "points": points});
    let answer = office.ask("POST", &format!("/v1/members/{member}/spends"), &body).await?;
    match answer.status {
        200 => Ok(points),
        409 => Ok(0),
        other => Err(format!("an online spend: {other} {}", answer.body)),
    }
}

pub async fn op_repeats(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let (mut site, mut other) = (office.site(0).await?, office.site(1).await?);
    let grant = site.granted(&member, 50).await?;
    let others = other.granted(&member, 50).await?;
    let spent = site.moved("points_spent", &member, &[(&grant, 10)]);
    site.write(&json!([spent]));
    site.write(&json!([spent]));
    site.upload_all().await?;
    same("the same op in two entries", office.sums(&member).await?, [100, 10, 0, 90])?;
    holds("it is an alarm", office.alarms(&site, "op-repeated").await? > 0, &Value::Null)?;
    let mut stolen = other.moved("points_spent", &member, &[(&others, 10)]);
    stolen["op"] = spent["op"].clone();
    other.write(&json!([stolen]));
    other.upload_all().await?;
    same("the same op at another box", office.sums(&member).await?, [100, 10, 0, 90])
}

pub async fn earnings(office: &Office) -> Result<(), Broken> {
    let member = office.member(10).await?;
    let (mut site, other) = (office.site(0).await?, office.site(1).await?);
    let op = office.name("op");
    let pocket = format!("born:{op}");
    site.write(&json!([{"kind": "points_earned", "op": op, "member": member, "points": 40}]));
    site.upload_all().await?;
    same("credited and kept at the box", office.sums(&member).await?, [50, 0, 10, 40])?;
    same("no other box gets them", &other.grant(&member, 50).await?["points"], &json!(10))?;
    let spent = site.moved("points_spent", &member, &[(&pocket, 15)]);
    let back = site.moved("points_returned", &member, &[(&pocket, 25)]);
    site.write(&json!([spent]));
    site.write(&json!([back]));
    site.upload_all().await?;
    same("spent where they were born, the rest given back", office.sums(&member).await?, [50, 15, 25, 10])?;
    same("now another box may have them", &other.grant(&member, 50).await?["points"], &json!(25))
}

pub async fn beyond(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let mut site = office.site(0).await?;
    let grant = site.granted(&member, 20).await?;
    let spent = site.moved("points_spent", &member, &[(&grant, 30)]);
    site.write(&json!([spent]));
    let nowhere = site.moved("points_returned", &member, &[("G-of-nobody", 40)]);
    site.write(&json!([nowhere]));
    site.write(
        &json!([{"kind": "grant_accepted", "request": "r", "grant": "G-of-nobody", "member": member, "points": 9}]),
    );
    site.upload_all().await?;
    same("what is reserved moves, and no more", office.sums(&member).await?, [100, 20, 80, 0])?;
    for code in ["overspent", "over-returned", "grant-unknown"] {
        holds(code, office.alarms(&site, code).await? > 0, &json!("the alarm is missing"))?;
    }
    Ok(())
}

pub async fn reversals(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let mut site = office.site(0).await?;
    let grant = site.granted(&member, 50).await?;
    let spent = site.moved("points_spent", &member, &[(&grant, 30)]);
    site.write(&json!([spent]));
    site.upload_all().await?;
    let undone = reversed(&site, &spent, &member, &grant, 20);
    site.write(&json!([undone]));
    site.upload_all().await?;
    same("reserved again at the same box", office.sums(&member).await?, [100, 10, 50, 40])?;
    let too_much = reversed(&site, &spent, &member, &grant, 20);
    site.write(&json!([too_much]));
    site.upload_all().await?;
    same("not more than was spent", office.sums(&member).await?, [100, 0, 50, 50])?;
    holds("beyond is an alarm", office.alarms(&site, "over-reversed").await? > 0, &Value::Null)
}

fn reversed(site: &Site<'_>, spent: &Value, member: &str, grant: &str, points: i64) -> Value {
    let mut record = site.moved("points_reversed", member, &[(grant, points)]);
    record["of"] = spent["op"].clone();
    record
}

pub async fn fences(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let mut site = office.site(0).await?;
    let grant = site.granted(&member, 60).await?;
    let spent = site.moved("points_spent", &member, &[(&grant, 45)]);
    site.write(&json!([spent]));
    let path = format!("/v1/boxes/{}/fence", site.name);
    for _ in 0..2 {
        let fenced = ok("a fence", office.ask("POST", &path, &json!({"epoch": site.epoch})).await?)?;
        same("the epoch after a fence", &fenced["epoch"], &json!(site.epoch + 1))?;
    }
    same("reserved points stay reserved", office.sums(&member).await?, [100, 0, 40, 60])?;
    let ask = json!({"request": office.name("request"), "epoch": site.epoch, "member": member, "points": 5});
    refused("a grant for a fenced epoch", site.post("grants", &ask).await?, 409, "wrong-epoch")?;
    let welcome = site.hello().await?;
    same("a fenced box hears of it", &welcome["verdict"], &json!("wrong-epoch"))?;
    site.upload_all().await?;
    same("its facts are taken", office.sums(&member).await?, [100, 45, 40, 15])
}

pub async fn releases(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let mut site = office.site(0).await?;
    let grant = site.granted(&member, 60).await?;
    let path = format!("/v1/grants/{grant}/release");
    let reason = json!({"reason": "test"});
    refused("an open grant is not released", office.ask("POST", &path, &reason).await?, 409, "not-frozen")?;
    let fence = format!("/v1/boxes/{}/fence", site.name);
    ok("a fence", office.ask("POST", &fence, &json!({"epoch": site.epoch})).await?)?;
    for _ in 0..2 {
        ok("a release", office.ask("POST", &path, &reason).await?)?;
        same("released once", office.sums(&member).await?, [100, 0, 100, 0])?;
    }
    same("the member has them again", &office.site(1).await?.grant(&member, 100).await?["points"], &json!(100))?;
    let spent = site.moved("points_spent", &member, &[(&grant, 45)]);
    let back = site.moved("points_returned", &member, &[(&grant, 15)]);
    site.write(&json!([spent]));
    site.write(&json!([back]));
    site.upload_all().await?;
    same("late facts do not touch the member", office.sums(&member).await?, [100, 0, 0, 100])
}

pub async fn online(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let path = format!("/v1/members/{member}/spends");
    let body = json!({"op": office.name("spend"), "points": 30});
    for _ in 0..2 {
        ok("an online spend", office.ask("POST", &path, &body).await?)?;
        same("spent once", office.sums(&member).await?, [100, 30, 70, 0])?;
    }
    let other = json!({"op": body["op"], "points": 31});
    refused("the same op for more", office.ask("POST", &path, &other).await?, 422, "request-reused")?;
    let large = json!({"op": office.name("spend"), "points": 71});
    refused("more than there is", office.ask("POST", &path, &large).await?, 409, "insufficient-points")?;
    office.credit(&member, &json!({"op": office.name("credit"), "points": 1, "reason": "test"})).await?;
    ok("the refused op may try again", office.ask("POST", &path, &large).await?)?;
    let undo = format!("{path}/{}/reverse", body["op"].as_str().unwrap_or_default());
    let undone = json!({"op": office.name("undo"), "points": 20});
    for _ in 0..2 {
        ok("an online spend is undone", office.ask("POST", &undo, &undone).await?)?;
        same("undone once", office.sums(&member).await?, [101, 81, 20, 0])?;
    }
    let more = json!({"op": office.name("undo"), "points": 11});
    refused("more than is left of it", office.ask("POST", &undo, &more).await?, 409, "insufficient-points")?;
    let nothing = format!("{path}/{}/reverse", office.name("nothing"));
    refused("a spend that never was", office.ask("POST", &nothing, &more).await?, 404, "spend-unknown")?;
    Ok(())
}
