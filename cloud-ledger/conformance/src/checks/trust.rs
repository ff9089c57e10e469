//! Who may ask: enrolment, signatures, keys that were replaced, and the handshake.

use serde_json::{Value, json};

use crate::expect::{Broken, holds, ok, refused, same};
use crate::wire::{Office, Site, new_key, public};

pub async fn enrolment(office: &Office) -> Result<(), Broken> {
    let (name, token) = &office.target.boxes[0];
    let path = format!("/v1/boxes/{name}/enrol");
    let key = new_key()?;
    let body = json!({"public_key": public(&key)});
    let first = ok("enrol", office.send("POST", &path, &body, Some(token)).await?)?;
    let again = ok("enrol again", office.send("POST", &path, &body, Some(token)).await?)?;
    same("the epoch of the same key", &again["epoch"], &first["epoch"])?;
    let site = office.site(0).await?;
    let next = first["epoch"].as_u64().map(|epoch| epoch + 1);
    same("the epoch of another key", Some(u64::from(site.epoch)), next)?;
    holds("another key is an alarm", office.alarms(&site, "enrolled-anew").await? > 0, &Value::Null)?;
    refused("a wrong token", office.send("POST", &path, &body, Some("nonsense")).await?, 401, "unauthorised")?;
    refused("no token", office.send("POST", &path, &body, None).await?, 401, "unauthorised")?;
    for key in ["", "AAAA", "not base64!"] {
        let answer = office.send("POST", &path, &json!({"public_key": key}), Some(token)).await?;
        refused("a key that is none", answer, 400, "bad-request")?;
    }
    Ok(())
}

pub async fn forged_requests(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    site.write(&json!([]));
    let path = format!("/v1/boxes/{}/journal", site.name);
    let body = json!({"epoch": site.epoch, "entries": site.entries(1, 1)}).to_string().into_bytes();
    let good = site.signature("POST", &path, &body);
    let other_body = site.signature("POST", &path, b"{}");
    let other_path = site.signature("POST", "/v1/boxes/x/journal", &body);
    let other_method = site.signature("PUT", &path, &body);
    for forged in ["", "AAAA", &other_body, &other_path, &other_method] {
        let answer = site.send_signed("POST", &path, body.clone(), None, forged).await?;
        refused("a forged signature", answer, 401, "unauthorised")?;
    }
    let unsigned = office.send("POST", &path, &json!({"epoch": site.epoch, "entries": []}), None).await?;
    refused("no signature", unsigned, 401, "unauthorised")?;
    let welcome = site.hello().await?;
    same("the cursor after forged uploads", &welcome["cursor"], &site.cursor(0))?;
    ok("the true signature", site.send_signed("POST", &path, body.clone(), None, &good).await?)?;
    let replayed = ok("the same request, replayed", site.send_signed("POST", &path, body, None, &good).await?)?;
    same("the cursor after a replay", &replayed["cursor"], &site.cursor(1))?;
    for (method, path) in [("GET", "/v1/members"), ("GET", "/v1/verify")] {
        let answer = site.send(method, path, Vec::new(), None).await?;
        refused("a box at the office's door", answer, 401, "unauthorised")?;
    }
    Ok(())
}

pub async fn foreign_boxes(office: &Office) -> Result<(), Broken> {
    let (first, second) = (office.site(0).await?, office.site(1).await?);
    let greeting = json!({"epoch": second.epoch, "seq": 0, "head": second.genesis()});
    let body = greeting.to_string().into_bytes();
    let path = format!("/v1/boxes/{}/hello", second.name);
    refused("another box's address", first.send("POST", &path, body.clone(), None).await?, 401, "unauthorised")?;
    let signature = first.signature("POST", &path, &body);
    let answer = second.send_signed("POST", &path, body, None, &signature).await?;
    refused("another box's name", answer, 401, "unauthorised")?;
    let token = &office.target.boxes[0].1;
    let answer = office.send("POST", &path, &greeting, Some(token)).await?;
    refused("another box's token", answer, 401, "unauthorised")?;
    let answer = office.send("POST", &path, &greeting, Some(&office.target.boxes[1].1)).await?;
    refused("a token where a key is known", answer, 401, "unauthorised")?;
    Ok(())
}

pub async fn old_keys(office: &Office) -> Result<(), Broken> {
    let member = office.member(50).await?;
    let mut old = office.site(0).await?;
    let grant = old.granted(&member, 20).await?;
    let spent = old.moved("points_spent", &member, &[(&grant, 15)]);
    old.write(&json!([spent]));
    let new = office.site(0).await?;
    let ask = json!({"request": office.name("request"), "epoch": old.epoch, "member": member, "points": 5});
    refused("a grant for a key of the past", old.post("grants", &ask).await?, 403, "revoked")?;
    let next = json!({"epoch": old.epoch, "seq": 0, "head": old.genesis(), "reason": "test"});
    refused("an epoch for a key of the past", old.post("epochs", &next).await?, 403, "revoked")?;
    old.upload_all().await?;
    same("what the past did counts", office.sums(&member).await?, [50, 15, 30, 5])?;
    same("the new epoch's cursor", &new.hello().await?["cursor"], &new.cursor(0))
}

pub async fn handshake(office: &Office) -> Result<(), Broken> {
    let mut site = office.site(0).await?;
    (0..3).for_each(|_| site.write(&json!([])));
    let welcome = site.hello().await?;
    same("the verdict on a longer journal", &welcome["verdict"], &json!("ok"))?;
    same("the cursor of an unknown journal", &welcome["cursor"], &site.cursor(0))?;
    holds("a lease comes with it", welcome["lease"]["length_ms"].as_i64() > Some(0), &welcome)?;
    holds("and the ledger's time", welcome["lease"]["server_ms"].as_i64() > Some(1_700_000_000_000), &welcome)?;
    site.upload_all().await?;
    same("the verdict on the same journal", &site.hello().await?["verdict"], &json!("ok"))?;
    let behind = json!({"epoch": site.epoch, "seq": 2, "head": site.journal[1].1});
    doubted(&site, &behind, "behind").await?;
    let fork = json!({"epoch": site.epoch, "seq": 3, "head": site.journal[1].1});
    doubted(&site, &fork, "fork").await?;
    let old = json!({"epoch": site.epoch - 1, "seq": 0, "head": site.genesis()});
    if site.epoch > 1 {
        doubted(&site, &old, "wrong-epoch").await?;
    }
    let wrong =
        [json!({}), json!({"epoch": 1, "seq": -1, "head": site.genesis()}), json!({"epoch": 1, "seq": 0, "head": "x"})];
    for greeting in wrong {
        refused("a greeting that is none", site.post("hello", &greeting).await?, 400, "bad-request")?;
    }
    Ok(())
}

async fn doubted(site: &Site<'_>, greeting: &Value, verdict: &str) -> Result<(), Broken> {
    let answer = site.greet(greeting).await?;
    same("the verdict", &answer["verdict"], &json!(verdict))?;
    same("no lease in doubt", &answer["lease"], &Value::Null)?;
    holds("a box in doubt must take a new epoch", answer["wants"]["epoch"].is_u64(), &answer)
}
