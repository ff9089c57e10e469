//! A site's overlay over the group's bundle: a few keys, and only those that the group lets a site set.

use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::{BadRules, Rules};

/// The most keys that an overlay sets.
const KEYS_MAX: usize = 500;
/// How many versions of an overlay fit between two versions of a base.
const OVERLAY_VERSIONS: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Overlay {
    overlay: Header,
    set: Table,
    /// The site's own golden cases, in place of the group's.
    #[serde(default)]
    golden: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// 1 to 999; rises with every change of the overlay over one base.
    version: Spanned<u32>,
    /// For people.
    #[serde(default, rename = "site")]
    _site: Option<String>,
}

/// The bundle that a group's base and a site's overlay make together, as text. Its version is the base's times 1000
/// plus the overlay's, so that it rises with either.
pub fn compose(base: &str, overlay: &str) -> Result<String, BadRules> {
    composed(base, &Rules::parse(base)?, overlay).map(|(text, _)| text)
}

/// The same over a base that was read before, with what the text says.
pub fn composed(base: &str, rules: &Rules, overlay: &str) -> Result<(String, Rules), BadRules> {
    let over: Overlay = toml::from_str(overlay).map_err(|error| BadRules::unreadable(overlay, &error))?;
    let version = *over.overlay.version.get_ref();
    let composed = rules.version.checked_mul(OVERLAY_VERSIONS).and_then(|base| base.checked_add(version));
    let (Some(composed), true) = (composed, (1..OVERLAY_VERSIONS).contains(&version)) else {
        let wrong = format!("version {version} over base {}", rules.version);
        return Err(BadRules::at(overlay, over.overlay.version.span(), wrong, "1 to 999 over a base below 4294967"));
    };
    if over.set.len() > KEYS_MAX {
        return Err(BadRules::whole(format!("{} keys", over.set.len()), format!("at most {KEYS_MAX}")));
    }
    let mut table: Table = toml::from_str(base).map_err(|error| BadRules::unreadable(base, &error))?;
    for (key, value) in &over.set {
        // The key is quoted in the file; its first mention is the one that sets it.
        let at = overlay.find(&format!("\"{key}\"")).unwrap_or(0);
        let wrong = |wrong: String, allowed: String| BadRules::at(overlay, at..at + key.len(), wrong, allowed);
        if !rules.overridable.iter().any(|pattern| matches(pattern, key)) {
            return Err(wrong(format!("{key} may not be set by a site"), rules.overridable.join(", ")));
        }
        let place = find(&mut table, key);
        let place =
            place.ok_or_else(|| wrong(format!("{key} is not in the base"), "a key that the base has".to_owned()))?;
        if !same_type(place, value) {
            return Err(wrong(
                format!("{key} is {}", value.type_str()),
                format!("{}, as in the base", place.type_str()),
            ));
        }
        *place = value.clone();
    }
    let header = table.get_mut("bundle").and_then(Value::as_table_mut);
    let header = header.expect("a bundle that was read has its header");
    header.insert("version".to_owned(), Value::Integer(i64::from(composed)));
    if !over.golden.is_empty() {
        table.insert("golden".to_owned(), Value::Array(over.golden));
    }
    let text =
        toml::to_string(&table).map_err(|error| BadRules::whole(error.to_string(), "tables that TOML can hold"))?;
    let text = format!("# base {} with the site's overlay {version}\n{text}", rules.version);
    let rules = Rules::parse(&text).map_err(|bad| BadRules::whole(bad.wrong, bad.allowed))?;
    Ok((text, rules))
}

/// Whether a key is one that a pattern names: part by part, `*` is any one part.
fn matches(pattern: &str, key: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('.'), key.split('.'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == "*" || wanted == given => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// The value of a key; in a list of tables a part is the `id` of one of them, or its place from 0.
fn find<'t>(table: &'t mut Table, key: &str) -> Option<&'t mut Value> {
    let mut parts = key.split('.');
    let mut value = table.get_mut(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Table(table) => table.get_mut(part)?,
            Value::Array(list) => {
                let has_id = |item: &Value| item.get("id").and_then(Value::as_str) == Some(part);
                let place = list.iter().position(has_id).or_else(|| part.parse().ok())?;
                list.get_mut(place)?
            }
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                return None;
            }
        };
    }
    Some(value)
}

fn same_type(place: &Value, value: &Value) -> bool {
    place.type_str() == value.type_str()
}
