//! Why a message of a profile is taken or not: for each the first test that fails, for whoever writes the profile.

use serde_json::Value as Json;

use super::json::{Body, scalar, shortened, toml_scalar};
use super::language::{Condition, Message};
use super::meaning;

/// One message of a profile before what was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its name.
    pub message: String,
    /// Whether all its tests hold.
    pub fits: bool,
    /// The first test that does not, or the field that cannot be read; `None` where all is right.
    pub why_not: Option<String>,
}

/// A message whose place is right, before a body.
pub(super) fn tried(message: &Message, top: &Json) -> Tried {
    let body = Body::new(top, &message.root);
    let fails = message.when.iter().find(|condition| !body.fits(condition));
    let why_not = match fails {
        Some(condition) => Some(asked(message, condition, body)),
        None => meaning::of(message, body).err().map(|rejection| rejection.to_string()),
    };
    Tried { message: message.name.clone(), fits: fails.is_none(), why_not }
}

/// A message that is not even looked at.
pub(super) fn elsewhere(message: &Message, why: impl Into<String>) -> Tried {
    Tried { message: message.name.clone(), fits: false, why_not: Some(why.into()) }
}

fn asked(message: &Message, condition: &Condition, body: Body) -> String {
    let path = condition.path.get_ref();
    let at = if message.root.is_empty() || path.starts_with("$.") {
        path.clone()
    } else {
        format!("{path} (from root {})", message.root)
    };
    let found = match body.at(path) {
        None => "is not there".to_owned(),
        Some(value) => match scalar(value) {
            Some(text) => format!("is {:?}", shortened(&text)),
            None => "is a list or an object".to_owned(),
        },
    };
    let words = |values: &[toml::Value]| values.iter().map(toml_scalar).collect::<Vec<_>>().join(", ");
    let param = condition.is_param.as_ref().map(|name| format!(" (the parameter {})", name.get_ref()));
    let is = condition.is.iter().map(|values| format!("one of [{}]{}", words(values), param.as_deref().unwrap_or("")));
    let is_not = condition.is_not.iter().map(|values| format!("none of [{}]", words(values)));
    let above = condition.above.iter().map(|least| format!("a number above {least}"));
    let there = condition.is_there.iter().map(|there| (if *there { "something" } else { "nothing" }).to_owned());
    let asked: Vec<String> = is.chain(is_not).chain(above).chain(there).collect();
    format!("{at} {found}; asked is {}", asked.join(" and "))
}
