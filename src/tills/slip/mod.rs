//! What a till prints: rows of text that fit 32, 42 or 48 columns, in Chinese and English, and the bytes of a printer.

mod day;
mod escpos;
mod receipt;
mod totals;
mod voucher;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::problem::Problem;
use crate::domain::event::{Fen, UtcMs};

pub(super) use day::{DaySlip, day_slip};
pub(super) use receipt::{Printed, receipt};
pub(super) use totals::{ShiftSlip, shift_slip};
pub(super) use voucher::{VoucherSlip, voucher};

/// The widths of paper that tills have: 58 mm, 76 mm and 80 mm.
const COLUMNS: [usize; 3] = [32, 42, 48];
/// The width where the till does not say.
const USUAL: usize = 42;

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lang {
    Zh,
    En,
}

impl Lang {
    /// The words of this language.
    fn pick<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }
}

/// How a slip is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    columns: usize,
    is_escpos: bool,
    lang: Lang,
}

impl Wanted {
    /// What the fields `format`, `columns` and `lang` say.
    pub(super) fn read(body: &Body) -> Result<Self, Problem> {
        let columns = match body.whole("columns", 1, 200)? {
            None => USUAL,
            Some(given) => {
                let found = COLUMNS.into_iter().find(|columns| i64::try_from(*columns) == Ok(given));
                found.ok_or_else(|| Problem::field("columns", format!("{given}; 32, 42 and 48 are allowed")))?
            }
        };
        let is_escpos = match body.text("format", 16)? {
            None | Some("lines") => false,
            Some("escpos") => true,
            Some(other) => return Err(Problem::field("format", format!("{other:?}; lines and escpos are allowed"))),
        };
        let lang = match body.text("lang", 8)? {
            None | Some("zh") => Lang::Zh,
            Some("en") => Lang::En,
            Some(other) => return Err(Problem::field("lang", format!("{other:?}; zh and en are allowed"))),
        };
        Ok(Self { columns, is_escpos, lang })
    }

    /// The same from a query of an address.
    pub(super) fn of_query(
        format: Option<String>,
        columns: Option<u64>,
        lang: Option<String>,
    ) -> Result<Self, Problem> {
        let mut fields = Map::new();
        for (name, value) in [("format", format.map(Value::from)), ("lang", lang.map(Value::from))] {
            fields.extend(value.map(|value| (name.to_owned(), value)));
        }
        fields.extend(columns.map(|columns| ("columns".to_owned(), Value::from(columns))));
        Self::read(&Body::of(Value::Object(fields), "query", &["format", "columns", "lang"])?)
    }

    /// Several slips one after the other for a printer, each cut off; none where lines are wanted.
    pub(super) fn bytes_of(self, slips: impl Iterator<Item = impl Fn(Lang) -> Slip>) -> Option<Vec<u8>> {
        self.is_escpos.then(|| slips.flat_map(|of| of(self.lang).bytes(self.columns)).collect())
    }

    /// The slip as it is wanted; `of` makes it in a language.
    pub(super) fn answer(self, of: impl Fn(Lang) -> Slip) -> Value {
        if self.is_escpos {
            let bytes = of(self.lang).bytes(self.columns);
            return json!({"columns": self.columns, "escpos": STANDARD.encode(bytes)});
        }
        let lines = |lang| of(lang).lines(self.columns);
        json!({"columns": self.columns, "lines": {"zh": lines(Lang::Zh), "en": lines(Lang::En)}})
    }
}

/// A row of a slip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// In the middle.
    Title(String),
    /// On the left.
    Text(String),
    /// One text on the left, another on the right.
    Pair(String, String),
    /// A line across.
    Rule,
    /// Something for a camera; as text it is the text itself.
    Qr(String),
}

/// A slip of paper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slip {
    rows: Vec<Row>,
}

impl Slip {
    fn title(&mut self, text: &str) {
        self.rows.push(Row::Title(printable(text)));
    }

    fn text(&mut self, text: &str) {
        self.rows.push(Row::Text(printable(text)));
    }

    fn pair(&mut self, left: &str, right: &str) {
        self.rows.push(Row::Pair(printable(left), printable(right)));
    }

    fn rule(&mut self) {
        self.rows.push(Row::Rule);
    }

    fn qr(&mut self, text: &str) {
        self.rows.push(Row::Qr(printable(text)));
    }

    /// The slip as lines, none wider than `columns`.
    fn lines(&self, columns: usize) -> Vec<String> {
        self.rows.iter().flat_map(|row| row.lines(columns)).collect()
    }
}

impl Row {
    fn lines(&self, columns: usize) -> Vec<String> {
        match self {
            Row::Title(text) => {
                let centred = |line: String| format!("{}{line}", " ".repeat((columns - width(&line)) / 2));
                wrapped(text, columns).into_iter().map(centred).collect()
            }
            Row::Text(text) | Row::Qr(text) => wrapped(text, columns),
            Row::Rule => vec!["-".repeat(columns)],
            Row::Pair(left, right) => {
                let used = width(left) + width(right);
                if used < columns {
                    return vec![format!("{left}{}{right}", " ".repeat(columns - used))];
                }
                // Where both do not fit beside each other, the right one has lines of its own.
                let aligned = |line: String| format!("{}{line}", " ".repeat(columns - width(&line)));
                let below = wrapped(right, columns).into_iter().map(aligned);
                wrapped(left, columns).into_iter().chain(below).collect()
            }
        }
    }
}

/// What a character takes on a printer with Chinese characters: one column for each byte of GBK, so that what is narrow
/// on a screen and wide on paper is counted as on paper.
fn columns_of(character: char) -> usize {
    let mut text = [0; 4];
    encoding_rs::GBK.encode(character.encode_utf8(&mut text)).0.len()
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// What GBK can say; the yuan sign is there as a wide one only.
fn printable(text: &str) -> String {
    let as_printed = |character: char| match character {
        '¥' => '￥',
        _ if character.is_control() => ' ',
        _ => {
            let mut bytes = [0; 4];
            let is_unknown = encoding_rs::GBK.encode(character.encode_utf8(&mut bytes)).2;
            if is_unknown { '?' } else { character }
        }
    };
    text.chars().map(as_printed).collect()
}

/// A text in lines of at most so many columns, broken at spaces where there are any.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = columns;
    for word in text.split_inclusive(' ') {
        let needed = width(word.trim_end());
        if needed > room && needed <= columns && room < columns {
            lines.push(String::new());
            room = columns;
        }
        for character in word.chars() {
            let needed = columns_of(character);
            if needed > room {
                if character == ' ' {
                    continue;
                }
                lines.push(String::new());
                room = columns;
            }
            lines.last_mut().expect("there is always a line").push(character);
            room -= needed;
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Text in GBK as tills on a Chinese Windows and printers read it; what it cannot say is a question mark.
pub(super) fn gbk(text: &str) -> Vec<u8> {
    let kept: String =
        text.chars().map(|c| if c.is_control() { c.to_string() } else { printable(&c.to_string()) }).collect();
    encoding_rs::GBK.encode(&kept).0.into_owned()
}

/// Fen as yuan.
fn yuan(fen: Fen) -> String {
    let sign = if fen.0 < 0 { "-" } else { "" };
    format!("{sign}￥{}.{:02}", fen.0.abs() / 100, fen.0.abs() % 100)
}

/// A moment as it stands on paper.
fn on_paper(at: UtcMs, zone: &jiff::tz::TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_paper_and_none_loses_a_character(
            left in "[ -~粤积分￥·]{0,60}",
            right in "[ -~0-9￥]{0,60}",
            columns in prop::sample::select(COLUMNS.to_vec()),
        ) {
            let mut slip = Slip::default();
            slip.title(&left);
            slip.pair(&left, &right);
            slip.text(&right);
            let lines = slip.lines(columns);
            for line in &lines {
                prop_assert!(width(line) <= columns, "{:?} takes {}", line, width(line));
            }
            let solid = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(solid(&lines.concat()), solid(&format!("{left}{left}{right}{right}")));
        }
    }

    #[test]
    fn a_chinese_character_takes_two_columns() {
        assert_eq!([width("积分"), width("A1"), width("￥12.30"), width("粤B·12345")], [4, 2, 7, 10]);
        let mut slip = Slip::default();
        slip.pair("使用积分", "300");
        assert_eq!(slip.lines(32), [format!("使用积分{}300", " ".repeat(21))]);
        slip.rows.clear();
        slip.title("收据");
        assert_eq!(slip.lines(32), [format!("{}收据", " ".repeat(14))]);
    }

    #[test]
    fn what_gbk_cannot_say_is_no_surprise() {
        assert_eq!(gbk("¥3 积分\r\n"), b"\xA3\xA43 \xBB\xFD\xB7\xD6\r\n");
        assert_eq!(gbk("🙂"), b"?");
    }
}
