//! Several input contacts in one message: a number with a bit for each, the same in hex, a list, or a value of its own for
//! each.

use serde_json::Value;

use super::json::{Body, bad, place, scalar};
use super::language::Field;
use super::statement::Rejection;

/// Which of `count` contacts are on, counted from 0.
pub(super) fn on(body: Body, field: &Field, count: u16) -> Result<Vec<u16>, Rejection> {
    let levels: Vec<bool> = if !field.each.is_empty() {
        let value = |path: &String| body.at(path).ok_or_else(|| Rejection::MissingField(path.clone()));
        field.each.iter().map(|path| level(field, value(path)?)).collect::<Result<_, _>>()?
    } else if let Some(Value::Array(items)) = field.path.as_deref().and_then(|path| body.at(path)) {
        items.iter().map(|item| level(field, item)).collect::<Result<_, _>>()?
    } else {
        let text = body.text(field)?.ok_or_else(|| Rejection::MissingField(place(field)))?;
        let bits =
            mask(&text).ok_or_else(|| bad(field, "neither a whole number from 0 on, nor hex that begins with 0x"))?;
        return Ok((0..count).filter(|number| bits >> number & 1 == 1).collect());
    };
    // Of a contact that nobody names it is not known whether it is on.
    if levels.len() < usize::from(count) {
        return Err(bad(field, "fewer inputs than count says"));
    }
    Ok((0..count).zip(levels).filter(|(_, is_on)| *is_on).map(|(number, _)| number).collect())
}

/// A negative number would be every contact.
fn mask(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn level(field: &Field, value: &Value) -> Result<bool, Rejection> {
    let text = scalar(value).ok_or_else(|| bad(field, "an input that is no value"))?;
    let ours = if field.map.is_empty() { Some(&text) } else { field.map.get(&text) };
    match ours.map(String::as_str) {
        Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(_) | None => Err(bad(field, "an input that is neither 1 nor 0, true nor false")),
    }
}
