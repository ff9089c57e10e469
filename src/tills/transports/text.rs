//! Requests of tills that speak in lines of fields: a verb, a number, a shift and named values, between separators.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::tills::Tills;
use crate::tills::access::Terminal;
use crate::tills::problem::{Code, Problem};
use crate::tills::verbs::{Answer, Request, Verb};

/// Fields that are whole numbers.
#[rustfmt::skip]
const NUMBERS: [&str; 14] = [
    "points", "ttl_s", "fen", "sale_fen", "spend_fen", "shift", "columns", "count",
    // What a till states of its shift.
    "sales", "money_fen", "cash_fen", "card_fen", "wallet_fen", "other_fen",
];
/// What a commit pays with, in the flat form: a field for each tender.
const TENDERS: [(&str, &str); 5] = [
    ("cash_fen", "cash"),
    ("card_fen", "card"),
    ("wallet_fen", "wallet"),
    ("other_fen", "other"),
    ("points_fen", "points"),
];
/// The numbers of payments, beside the tender of the same kind.
const REFERENCES: [(&str, &str); 3] = [("card_ref", "card"), ("wallet_ref", "wallet"), ("other_ref", "other")];
/// Most levels of an answer that are made flat; answers have three.
const MOST_LEVELS: usize = 6;

/// A request in one line.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// The verb as it was written, for the answer.
    word: String,
    /// The number as it was written.
    number: String,
    fields: Vec<(String, String)>,
    shift: String,
}

impl Line {
    /// Takes a line apart at its separators. What the words mean is looked at later, so that every line gets an answer
    /// that names it.
    pub(super) fn parse(text: &str, separator: char) -> Self {
        let mut parts = text.trim_end_matches(['\r', '\n']).split(separator).map(str::trim);
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (word, number, shift) = (next(), next(), next());
        let fields = parts.filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        });
        Self { word, number, shift, fields: fields.collect() }
    }

    pub(super) fn request(&self) -> Result<Request, Problem> {
        let allowed = || Verb::all().map(Verb::name).collect::<Vec<_>>().join(", ");
        let unknown = || Problem::field("verb", format!("{:?}; allowed are {}", self.word, allowed()));
        let verb = Verb::named(&self.word).ok_or_else(unknown)?;
        let number = whole("number", &self.number)?;
        let shift = whole("shift", &self.shift)?.map(|shift| u32::try_from(shift).unwrap_or(u32::MAX));
        let key = match (number, shift) {
            (Some(number), Some(shift)) => Some(key(shift, number)),
            (None, _) | (_, None) if verb.writes() => {
                return Err(Problem::field(
                    "number",
                    "a verb that writes needs its number and the shift before its fields",
                ));
            }
            (None, _) | (_, None) => None,
        };
        // A question's number is not a part of the till's count of what it wrote.
        let number = number.filter(|_| verb.writes());
        Ok(Request { verb, key, number, shift: shift.filter(|_| verb.writes()), body: self.body(verb, shift)? })
    }

    fn body(&self, verb: Verb, shift: Option<u32>) -> Result<Map<String, Value>, Problem> {
        let mut body = Map::new();
        let (mut tenders, mut references) = (Vec::new(), Vec::new());
        let (mut original, mut original_shift) = (None, shift);
        for (name, text) in &self.fields {
            if body.contains_key(name) {
                return Err(Problem::field(name, "given twice; one is allowed"));
            }
            match (verb, name.as_str()) {
                (Verb::Commit, name) if TENDERS.iter().any(|(field, _)| *field == name) => {
                    let (_, kind) = TENDERS.iter().find(|(field, _)| *field == name).expect("it was found just now");
                    tenders.push(json!({"kind": kind, "fen": number_or_text(text)}));
                }
                (Verb::Commit, name) if REFERENCES.iter().any(|(field, _)| *field == name) => {
                    let (field, kind) = REFERENCES.iter().find(|(field, _)| *field == name).expect("it was found");
                    references.push((*field, *kind, text));
                }
                (Verb::Reverse | Verb::Query, "original") => original = whole("original", text)?,
                (Verb::Reverse | Verb::Query, "original_shift") => {
                    let shift = whole("original_shift", text)?;
                    original_shift = shift.map(|shift| u32::try_from(shift).unwrap_or(u32::MAX));
                }
                (_, name) if NUMBERS.contains(&name) => drop(body.insert(name.to_owned(), number_or_text(text))),
                (_, name) => drop(body.insert(name.to_owned(), json!(text))),
            }
        }
        for (field, kind, text) in references {
            let Some(tender) = tenders.iter_mut().find(|tender: &&mut Value| tender["kind"] == kind) else {
                return Err(Problem::field(field, format!("allowed beside {kind}_fen only")));
            };
            tender["ref"] = json!(text);
        }
        if !tenders.is_empty() {
            body.insert("tenders".to_owned(), Value::Array(tenders));
        }
        if let (Some(original), Some(shift)) = (original, original_shift) {
            let field = if verb == Verb::Reverse { "original_key" } else { "key" };
            body.insert(field.to_owned(), json!(key(shift, original)));
        }
        if verb == Verb::Close && !body.contains_key("shift") {
            body.insert("shift".to_owned(), json!(shift));
        }
        Ok(body)
    }

    fn answer(&self, outcome: Result<Answer, Problem>, separator: char) -> String {
        let mut parts = vec![self.word.clone(), self.number.clone()];
        match outcome {
            Ok(answer) => {
                parts.push("0".to_owned());
                if answer.replayed {
                    parts.push("replayed=true".to_owned());
                }
                flatten("", &answer.body, 0, &mut parts);
            }
            Err(problem) => {
                let json = problem.to_json();
                parts.push(problem.code().as_str().to_owned());
                for name in ["outcome", "retryable", "detail", "field"] {
                    if let Some(value) = json.get(name) {
                        flatten(name, value, 0, &mut parts);
                    }
                }
                flatten("staff_text", &json["staff_text"], 0, &mut parts);
            }
        }
        let clean = |part: &String| part.replace(separator, " ").replace(|c: char| c.is_control(), " ");
        let separator = separator.to_string();
        parts.iter().map(clean).collect::<Vec<_>>().join(&separator)
    }
}

impl Tills {
    /// Answers a line with a line.
    pub(super) async fn ask_in_text(self: &Arc<Self>, terminal: &Terminal, text: &str, separator: char) -> String {
        let line = Line::parse(text, separator);
        let outcome = match line.request() {
            Ok(request) => self.ask(terminal, request).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = &outcome {
            (self.settings.reject)(problem.code().as_str());
        }
        line.answer(outcome, separator)
    }

    /// The same for a line that was written long ago: what was done is told, and nothing is done any more.
    pub(super) async fn ask_in_stale_text(
        self: &Arc<Self>,
        terminal: &Terminal,
        text: &str,
        separator: char,
    ) -> String {
        let line = Line::parse(text, separator);
        let outcome = match line.request() {
            Ok(request) => match request.key.clone().filter(|_| request.verb.writes()) {
                Some(key) if self.is_answered(&terminal.id, &key).await => self.ask(terminal, request).await,
                Some(_) => {
                    Err(Problem::new(Code::StaleRequest, "it was written long before it was found; write it again"))
                }
                None => self.ask(terminal, request).await,
            },
            Err(problem) => Err(problem),
        };
        line.answer(outcome, separator)
    }
}

/// The answer for a line whose till may not ask.
pub(super) fn refusal(text: &str, separator: char, problem: Problem) -> String {
    Line::parse(text, separator).answer(Err(problem), separator)
}

/// The key of a request on a line that has none: the terminal's own number, in its shift.
pub(super) fn key(shift: u32, number: u64) -> String {
    format!("s{shift}-{number}")
}

fn whole(name: &str, text: &str) -> Result<Option<u64>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        Ok(_) | Err(_) => Err(Problem::field(name, format!("{text:?}; 1, 2, 3 and so on are allowed"))),
    }
}

fn number_or_text(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// Names with dots in place of levels: `journal.seq=9`, `receipt_lines.zh.0=…`.
fn flatten(name: &str, value: &Value, level: usize, parts: &mut Vec<String>) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(fields) if level < MOST_LEVELS => {
            fields.iter().for_each(|(part, value)| flatten(&below(part), value, level + 1, parts));
        }
        Value::Array(items) if level < MOST_LEVELS => {
            (0..)
                .zip(items)
                .for_each(|(n, value): (usize, _)| flatten(&below(&n.to_string()), value, level + 1, parts));
        }
        Value::String(text) => parts.push(format!("{name}={text}")),
        Value::Null => {}
        Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_) => parts.push(format!("{name}={value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_same_request_as_over_http() {
        let line = Line::parse("commit|7|2|receipt_no=A-17|sale_fen=500|cash_fen=300|points_fen=200\r\n", '|');
        let request = line.request().expect("a request");
        assert_eq!((request.verb, request.key.as_deref()), (Verb::Commit, Some("s2-7")));
        assert_eq!((request.number, request.shift), (Some(7), Some(2)));
        let tenders = json!([{"kind": "cash", "fen": 300}, {"kind": "points", "fen": 200}]);
        assert_eq!(Value::Object(request.body), json!({"receipt_no": "A-17", "sale_fen": 500, "tenders": tenders}));
        let mixed = "commit|7|2|receipt_no=A|sale_fen=500|wallet_ref=4200|card_fen=100|wallet_fen=400";
        let tenders = json!([{"kind": "card", "fen": 100}, {"kind": "wallet", "fen": 400, "ref": "4200"}]);
        assert_eq!(Line::parse(mixed, '|').request().expect("a request").body["tenders"], tenders);
        let alone = Line::parse("commit|7|2|receipt_no=A|sale_fen=500|card_ref=1|cash_fen=500", '|').request();
        assert!(alone.expect_err("no card").to_json()["detail"].as_str().is_some_and(|text| text.contains("card_fen")));
        let reverse = Line::parse("REVERSE,8,2,original=7", ',').request().expect("a request");
        assert_eq!(Value::Object(reverse.body), json!({"original_key": "s2-7"}));
        let query = Line::parse("QUERY||2|original=7", '|').request().expect("a request");
        assert_eq!((query.key, Value::Object(query.body)), (None, json!({"key": "s2-7"})));
    }

    #[test]
    fn every_line_gets_an_answer_that_names_it() {
        for (text, says) in [("", "verb"), ("PAY|1|1", "verb"), ("COMMIT|x|1", "number"), ("COMMIT||", "number")] {
            let line = Line::parse(text, '|');
            let problem = line.request().expect_err(text);
            let answer = line.answer(Err(problem), '|');
            assert!(answer.contains("|bad-request|") && answer.contains(says), "{text}: {answer}");
        }
        let line = Line::parse("HOLD|3|1", '|');
        let answer = Answer { body: json!({"a": {"b": [1, "x|y\u{3}"]}, "c": null}), replayed: true };
        assert_eq!(line.answer(Ok(answer), '|'), "HOLD|3|0|replayed=true|a.b.0=1|a.b.1=x y ");
    }
}
