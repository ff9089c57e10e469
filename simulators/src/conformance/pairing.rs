//! A till that nobody knows yet: it shows eight digits, staff type them at the box, and it asks with a token of its own.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::http::Line;
use super::{Ask, Cut, Heard, Verb};

/// The staff who type the digits, where the suite was told who they are.
pub(super) struct Staff {
    pub(super) operator: String,
    pub(super) pin: String,
}

/// Asks to be let in; with staff, is let in under a name of its own, and shut out again.
pub(super) fn let_in(line: &Line, staff: Option<&Staff>) -> Result<()> {
    let asked = line.bare("POST", "/pairings", None, &json!({}))?.done().context("ask to be let in")?;
    let word = |name: &str| asked[name].as_str().with_context(|| format!("no {name} in {asked}"));
    let (pairing, secret, code) = (word("pairing")?, word("secret")?, word("code")?);
    ensure!(code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()), "eight digits, not {code:?}");
    let path = format!("/pairings/{pairing}");
    let poll = |secret: &str| line.bare("GET", &path, Some(secret), &Value::Null);
    ensure!(poll(secret)?.done()?["status"] == "waiting", "it was let in by nobody");
    poll("a-guess")?.expect("pairing-unknown")?;
    let Some(Staff { operator, pin }) = staff else { return Ok(()) };
    let terminal = format!("{}-paired", line.terminal());
    let who = json!({"operator": operator, "pin": pin, "code": code, "terminal": terminal});
    line.bare("POST", "/staff/pairings", None, &who)?.done().context("let it in")?;
    line.bare("POST", "/staff/pairings", None, &who)?.expect("pairing-unknown").context("let in twice")?;
    let found = poll(secret)?.done()?;
    ensure!(found["status"] == "approved" && found["terminal"] == *terminal, "{found}");
    let mut paired = line.as_till(&terminal, found["token"].as_str().context("no token")?);
    let fields = Map::new();
    let mut status = || paired.ask(&Ask { verb: Verb::Status, number: 1, shift: 1, fields: &fields, cut: Cut::Never });
    ensure!(matches!(status()?, Heard::Done(..)), "its own token is refused");
    let path = format!("/staff/terminals/{terminal}/revocation");
    line.bare("POST", &path, None, &json!({"operator": operator, "pin": pin}))?.done().context("shut it out")?;
    status()?.expect("terminal-revoked")
}
