//! Requests and answers as lines of fields, for the lines that carry texts.

use serde_json::{Map, Value, json};

use super::{Ask, Heard};

/// A request as a line.
pub(super) fn line(ask: &Ask<'_>, separator: char) -> String {
    // The first question of all is asked before the till knows the shift.
    let shift = if ask.shift == 0 { String::new() } else { ask.shift.to_string() };
    let mut parts = vec![ask.verb.name().to_owned(), ask.number.to_string(), shift];
    for (name, value) in ask.fields {
        match (name.as_str(), value) {
            ("tenders", Value::Array(tenders)) => {
                for tender in tenders {
                    let kind = tender["kind"].as_str().unwrap_or_default();
                    parts.push(format!("{kind}_fen={}", tender["fen"]));
                    parts.extend(tender["ref"].as_str().map(|reference| format!("{kind}_ref={reference}")));
                }
            }
            (name, Value::String(text)) => parts.push(format!("{name}={text}")),
            (name, value) => parts.push(format!("{name}={value}")),
        }
    }
    parts.join(&separator.to_string())
}

/// What a line answers; none where it answers another request.
pub(super) fn heard(line: &str, ask: &Ask<'_>, separator: char) -> Option<Heard> {
    let mut parts = line.trim_end_matches(['\r', '\n']).split(separator);
    let is_ours = parts.next() == Some(ask.verb.name()) && parts.next() == Some(&ask.number.to_string());
    let code = parts.next()?;
    if !is_ours {
        return None;
    }
    if code != "0" {
        return Some(Heard::Refused(code.to_owned()));
    }
    let mut fields = Map::new();
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        put(&mut fields, name, value);
    }
    let replayed = fields.remove("replayed").is_some();
    Some(Heard::Done(Value::Object(fields), replayed))
}

/// Puts a value where its dotted name says.
fn put(fields: &mut Map<String, Value>, name: &str, text: &str) {
    match name.split_once('.') {
        Some((first, rest)) => {
            let below = fields.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(below) = below {
                put(below, rest, text);
            }
        }
        None => {
            let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
            fields.insert(name.to_owned(), value);
        }
    }
}
