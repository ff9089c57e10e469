//! Uploads: what is applied, what is not, and what is kept of a journal that was rewritten.

use serde_json::{Value, json};

use crate::expect::{Broken, holds, ok, refused, same};
use crate::wire::{Office, Site};

pub async fn uploads(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    (0..6).for_each(|_| site.write(&json!([{"kind": "started", "lane": "in"}])));
    let gap = refused("a hole at the beginning", site.upload(2, 3).await?, 409, "gap")?;
    same("the cursor in a gap", &gap["cursor"], &site.cursor(0))?;
    let taken = ok("the first two", site.upload(1, 2).await?)?;
    same("the cursor", &taken["cursor"], &site.cursor(2))?;
    let again = ok("the first two again", site.upload(1, 2).await?)?;
    same("the cursor after a repeat", &again["cursor"], &site.cursor(2))?;
    let over = ok("a stretch that overlaps", site.upload(1, 4).await?)?;
    same("the cursor after an overlap", &over["cursor"], &site.cursor(4))?;
    refused("a hole later on", site.upload(6, 6).await?, 409, "gap")?;
    let asked = ok("no entries at all", site.post("journal", &json!({"epoch": site.epoch, "entries": []})).await?)?;
    same("the cursor that was asked for", &asked["cursor"], &site.cursor(4))?;
    let mut turned = site.entries(5, 6);
    turned.as_array_mut().ok_or("a list")?.reverse();
    let body = json!({"epoch": site.epoch, "entries": turned});
    refused("entries in the wrong order", site.post("journal", &body).await?, 400, "bad-request")?;
    let mut twice = site.entries(5, 6);
    twice[1] = twice[0].clone();
    let body = json!({"epoch": site.epoch, "entries": twice});
    refused("an entry twice", site.post("journal", &body).await?, 400, "bad-request")?;
    let future = json!({"epoch": site.epoch + 1, "entries": site.entries(1, 1)});
    refused("an epoch that has not begun", site.post("journal", &future).await?, 409, "wrong-epoch")?;
    let many: Value = (0..501).map(|_| site.entries(5, 5)[0].clone()).collect();
    let body = json!({"epoch": site.epoch, "entries": many});
    refused("too many entries", site.post("journal", &body).await?, 400, "bad-request")?;
    site.upload_all().await
}

pub async fn forks(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    (0..4).for_each(|_| site.write(&json!([])));
    ok("three of four", site.upload(1, 3).await?)?;
    let held = site.journal.clone();
    site.journal.truncate(2);
    (0..3).for_each(|_| site.write(&json!([{"kind": "started", "lane": "another"}])));
    let fork = refused("another history", site.upload(4, 5).await?, 409, "fork")?;
    same("the cursor in a fork", fork["cursor"]["seq"].clone(), json!(3))?;
    ok("another history below the cursor", site.upload(2, 3).await?)?;
    holds("a rewritten journal is an alarm", office.alarms(&site, "fork").await? > 0, &Value::Null)?;
    let branch = json!({"epoch": site.epoch, "branch": true, "prev": held[1].1, "entries": site.entries(3, 5)});
    let kept = ok("a branch", site.post("journal", &branch).await?)?;
    same("a branch moves no cursor", kept["cursor"]["seq"].clone(), json!(3))?;
    ok("the branch again", site.post("journal", &branch).await?)?;
    let path = format!("/v1/boxes/{}/branch?epoch={}", site.name, site.epoch);
    let list = ok("the branch, read", office.ask("GET", &path, &Value::Null).await?)?;
    same("each entry of a branch once", list["entries"].as_array().map(Vec::len), Some(3))?;
    holds("a branch is an alarm", office.alarms(&site, "branch-kept").await? > 0, &Value::Null)?;
    site.journal = held;
    site.upload_all().await
}

pub async fn unknown_kinds(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    site.write(&json!([{"kind": "started", "lane": "in"}]));
    site.write(&json!([{"kind": "never_heard_of"}]));
    site.write(&json!([]));
    let stopped = refused("an unknown kind", site.upload(1, 3).await?, 422, "unknown-kind")?;
    same("the cursor before an unknown kind", &stopped["cursor"], &site.cursor(1))?;
    let mut site = office.site(0).await?;
    for body in ["not json", r#"{"records":7}"#, r#"{"records":[{"kind":"points_spent","op":"x"}]}"#] {
        site.journal.truncate(1);
        if site.journal.is_empty() {
            site.write(&json!([]));
        }
        site.write_raw(body.to_owned());
        let stopped = refused("a body that is none", site.upload(1, 2).await?, 400, "bad-request")?;
        same("the cursor before it", &stopped["cursor"], &site.cursor(1))?;
    }
    Ok(())
}

pub async fn small_uploads(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    (0..5).for_each(|_| site.write(&json!([{"kind": "started", "lane": "in"}])));
    let mut bare = site.entries(1, 3);
    for entry in bare.as_array_mut().into_iter().flatten().take(2) {
        entry["head"] = Value::Null;
    }
    let taken = ok("heads left out", site.post("journal", &json!({"epoch": site.epoch, "entries": bare})).await?)?;
    same("the cursor", &taken["cursor"], &site.cursor(3))?;
    let rest = json!({"epoch": site.epoch, "entries": site.entries(4, 5)});
    let taken = ok("a compressed upload", site.post_compressed("journal", &rest).await?)?;
    same("the cursor", &taken["cursor"], &site.cursor(5))?;
    let nothing = " ".repeat(5 << 20);
    let bomb = json!({"epoch": site.epoch, "entries": [{"seq": 6, "body": nothing, "head": site.head()}]});
    let answer = site.post_compressed("journal", &bomb).await?;
    refused("more than 4 MiB when decompressed", answer, 413, "too-large")?;
    let path = format!("/v1/boxes/{}/journal", site.name);
    let answer = site.send("POST", &path, b"not zstd".to_vec(), Some("zstd")).await?;
    refused("what is not compressed", answer, 400, "bad-request")?;
    Ok(())
}

pub async fn epochs(office: &Office) -> Result<(), Broken> {
    let member = office.member(100).await?;
    let mut old = office.site(0).await?;
    let grant = old.granted(&member, 40).await?;
    let spent = old.moved("points_spent", &member, &[(&grant, 10)]);
    old.write(&json!([spent]));
    let ended = next_epoch(&old).await?;
    same("the epoch that ended", &ended["ended"], &json!(old.epoch))?;
    same("the next epoch", &ended["epoch"], &json!(old.epoch + 1))?;
    same("its cursor", &ended["cursor"]["seq"], &json!(0))?;
    let again = next_epoch(&old).await?;
    same("the same epoch ended again", &again["epoch"], &ended["epoch"])?;
    let ask = json!({"request": office.name("request"), "epoch": old.epoch, "member": member, "points": 5});
    refused("a grant for an ended epoch", old.post("grants", &ask).await?, 409, "wrong-epoch")?;
    same("frozen points stay reserved", office.sums(&member).await?, [100, 0, 60, 40])?;
    old.upload_all().await?;
    same("late facts count", office.sums(&member).await?, [100, 10, 60, 30])?;
    let back = old.moved("points_returned", &member, &[(&grant, 30)]);
    old.write(&json!([back]));
    old.upload_all().await?;
    same("late returns count", office.sums(&member).await?, [100, 10, 90, 0])?;
    let mut new = old;
    new.epoch += 1;
    let ask = json!({"request": office.name("request"), "epoch": new.epoch, "member": member, "points": 5});
    let answer = new.post("grants", &ask).await?;
    same("the new epoch gets grants", ok("a grant", answer)?["points"].clone(), json!(5))
}

async fn next_epoch(site: &Site<'_>) -> Result<Value, Broken> {
    let body = json!({"epoch": site.epoch, "seq": site.journal.len(), "head": site.head(), "reason": "test"});
    ok("a new epoch", site.post("epochs", &body).await?)
}

pub async fn restores(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    for text in ["plain", "粤B12345", "\"quoted\" \\ and \u{1F697}"] {
        site.write_raw(json!({"at_ms": 1, "note": text, "records": []}).to_string());
    }
    site.write_raw("{ \"records\" : [ ] ,  \"spaces\":1.0 }".to_owned());
    site.upload_all().await?;
    let mut read = Vec::new();
    for after in [0, 2] {
        let path = format!("/v1/boxes/{}/journal?epoch={}&after={after}&limit=2", site.name, site.epoch);
        let page = ok("the journal, read", site.read(&path).await?)?;
        same("whether there is more", &page["more"], &json!(after == 0))?;
        for entry in page["entries"].as_array().into_iter().flatten() {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            read.push((text("body"), text("head")));
        }
    }
    same("the journal, byte by byte", &read, &site.journal)
}
