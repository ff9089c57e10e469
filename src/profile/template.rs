//! Texts with `{name}` in them: topics, and the JSON of a command with its order kept as the profile writes it.

use std::collections::BTreeMap;

use base64::Engine;

/// What stands for the names.
pub type Values = BTreeMap<String, Value>;

/// A value of a parameter or an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Bytes; in a text they are base64.
    Bytes(Vec<u8>),
    /// Rows, each with values of its own; only a frame's layout can hold them.
    Rows(Vec<Values>),
}

impl Value {
    /// The value as text.
    pub fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes),
            Self::Rows(_) => String::new(),
        }
    }
}

/// The values with `{NAME_base64}` beside every text and `{NAME_length}` beside all bytes: what that counts is the choice
/// parameter `data_len` (`raw` or `encoded`), raw bytes where the profile has none.
pub fn with_lengths(mut values: Values) -> Values {
    let counts_encoded = values.get("data_len") == Some(&Value::Text("encoded".to_owned()));
    let length = |value: &Value| match value {
        Value::Bytes(_) if counts_encoded => Some(value.written().len()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::Text(_) | Value::Integer(_) | Value::Rows(_) => None,
    };
    let lengths: Vec<(String, i64)> = values
        .iter()
        .filter_map(|(name, value)| Some((format!("{name}_length"), i64::try_from(length(value)?).ok()?)))
        .collect();
    let encoded: Vec<(String, Value)> = values
        .iter()
        .filter_map(|(name, value)| match value {
            Value::Text(text) => {
                Some((format!("{name}_base64"), Value::Text(Value::Bytes(text.clone().into_bytes()).written())))
            }
            Value::Integer(_) | Value::Bytes(_) | Value::Rows(_) => None,
        })
        .collect();
    values.extend(encoded);
    values.extend(lengths.into_iter().map(|(name, length)| (name, Value::Integer(length))));
    values
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
            Value::Integer(_) | Value::Text(_) | Value::Bytes(_) | Value::Rows(_) => {
                let quoted = serde_json::Value::String(value.written()).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    Some(out)
}

/// XML or plain text with its names replaced by their texts, escaped. `None` where a name has no value.
pub fn xml(text: &str, values: &Values) -> Option<String> {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Literal(literal) => out.push_str(literal),
            Part::Name(name) => {
                for c in values.get(name)?.written().chars() {
                    match c {
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        '&' => out.push_str("&amp;"),
                        '"' => out.push_str("&quot;"),
                        other => out.push(other),
                    }
                }
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
            let length = inside
                .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
                .unwrap_or(inside.len());
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
