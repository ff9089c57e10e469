//! Texts with `{name}` in them: topics, and the JSON of a command with its order kept as the profile writes it.

use std::collections::BTreeMap;

/// What stands for the names.
pub type Values = BTreeMap<String, Value>;

/// A value of a parameter or an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
}

impl Value {
    /// The value as text.
    pub fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
        }
    }
}

/// The names in a text, in order.
pub fn names(text: &str) -> Vec<&str> {
    parts(text).filter_map(|part| if let Part::Name(name) = part { Some(name) } else { None }).collect()
}

/// The text with its names replaced as they are; `None` where a name has no value.
pub fn plain(text: &str, values: &Values) -> Option<String> {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Literal(literal) => out.push_str(literal),
            Part::Name(name) => out.push_str(&values.get(name)?.written()),
        }
    }
    Some(out)
}

/// JSON with its names replaced: `"{name}"` becomes a JSON value of the name's own type, `{name}` within a longer
/// string becomes its text. `None` where a name has no value.
pub fn json(text: &str, values: &Values) -> Option<String> {
    let mut out = String::new();
    let mut parts = parts(text).peekable();
    while let Some(part) = parts.next() {
        let name = match part {
            Part::Literal(literal) => {
                out.push_str(literal);
                continue;
            }
            Part::Name(name) => name,
        };
        let value = values.get(name)?;
        let alone = out.ends_with('"')
            && matches!(parts.peek(), Some(Part::Literal(after)) if after.starts_with('"'))
            && !out.ends_with("\\\"");
        match value {
            Value::Integer(number) if alone => {
                out.pop();
                out.push_str(&number.to_string());
                if let Some(Part::Literal(after)) = parts.next() {
                    out.push_str(&after[1..]);
                }
            }
            Value::Integer(_) | Value::Text(_) => {
                let quoted = serde_json::Value::String(value.written()).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    Some(out)
}

/// A topic filter of the broker: every `{name}` becomes `+`.
pub fn filter(text: &str) -> String {
    parts(text)
        .map(|part| match part {
            Part::Literal(literal) => literal,
            Part::Name(_) => "+",
        })
        .collect()
}

/// Whether a topic is one that a filter asks for, by the rules of MQTT: `+` is one level, `#` the rest.
pub fn covers(filter: &str, topic: &str) -> bool {
    let mut asked = filter.split('/');
    let mut levels = topic.split('/');
    // A wildcard never stands for the broker's own `$` topics.
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    loop {
        match (asked.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(asked), Some(level)) if asked == level => {}
            (Some(_), _) | (None, Some(_)) => return false,
        }
    }
}

/// Who speaks on a topic: the level at which the pattern has its first name.
pub fn speaker<'t>(pattern: &str, topic: &'t str) -> Option<&'t str> {
    if !covers(&filter(pattern), topic) {
        return None;
    }
    let level = pattern.split('/').position(|level| level.starts_with('{'))?;
    topic.split('/').nth(level)
}

enum Part<'t> {
    Literal(&'t str),
    Name(&'t str),
}

/// Splits at `{name}`; a brace that opens no name, as in JSON, stays what it is.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    let mut pending: Option<&str> = None;
    std::iter::from_fn(move || {
        if let Some(name) = pending.take() {
            return Some(Part::Name(name));
        }
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(open) = rest[from..].find('{').map(|at| at + from) {
            let inside = &rest[open + 1..];
            let length = inside.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(inside.len());
            if length > 0 && inside[length..].starts_with('}') {
                let (literal, name) = (&rest[..open], &inside[..length]);
                rest = &inside[length + 1..];
                if literal.is_empty() {
                    return Some(Part::Name(name));
                }
                pending = Some(name);
                return Some(Part::Literal(literal));
            }
            from = open + 1;
        }
        let literal = rest;
        rest = "";
        Some(Part::Literal(literal))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_in_quotes_becomes_a_number_and_text_is_escaped() {
        let values = Values::from([
            ("id".to_owned(), Value::Text("a\"b".to_owned())),
            ("delay".to_owned(), Value::Integer(1500)),
        ]);
        let made = json(r#"{"id":"{id}","delay":"{delay}","both":"x{delay}y","o":{}}"#, &values);
        assert_eq!(made.as_deref(), Some(r#"{"id":"a\"b","delay":1500,"both":"x1500y","o":{}}"#));
        assert_eq!(json(r#""{gone}""#, &values), None);
    }

    #[test]
    fn a_filter_asks_for_what_mqtt_says() {
        assert!(covers("device/+/message/up/#", "device/a/message/up/ivs_result"));
        assert!(covers("device/a/x", "device/a/x"));
        assert!(!covers("device/+/message/up/#", "device/a/message/down/x"));
        assert!(!covers("+/device/message/up/#", "$SYS/device/message/up/x"));
        assert!(!covers("device/a", "device/a/x"));
        assert_eq!(speaker("device/{sn}/message/up/#", "device/abc/message/up/keep_alive"), Some("abc"));
    }
}
