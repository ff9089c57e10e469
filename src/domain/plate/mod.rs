//! A licence plate as text that was checked: what may be a plate and what may not.

pub mod class;
pub mod told;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What cameras say where they saw a vehicle and no plate, without separators and in capitals.
const NO_PLATE_WORDS: [&str; 8] = ["无", "无车牌", "无牌", "无牌车", "未识别", "UNKNOWN", "NOPLATE", "NONE"];

/// Shortest and longest plate taken: 5 covers old special plates, 10 joint foreign ones.
const LENGTH: std::ops::RangeInclusive<usize> = 5..=10;

/// Characters of a text that are looked at; a plate with every separator has fewer.
const TEXT_MAX: usize = 64;

/// A plate: 5 to 10 letters, digits or Chinese characters, upper case, no separators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Plate(String);

/// Why a text is not a plate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPlate {
    /// A camera's way to say that there is none.
    #[error("a camera's word for no plate")]
    NoPlate,
    /// Too short or too long.
    #[error("{0} characters; a plate has 5 to 10")]
    Length(usize),
    /// A character that no plate has.
    #[error("the character {0:?}; a plate has letters A-Z, digits and Chinese characters only")]
    Character(char),
    /// No digit at all: an advertisement or a badge, not a plate.
    #[error("no digit; a plate has at least one")]
    NoDigit,
}

/// The first character of the number that stands for the plate of a vehicle without one.
const TICKET: char = '临';

impl Plate {
    /// The number of a ticket, which stands for the plate of a vehicle without a readable one: `临` and five digits or
    /// more. After 999,999,999 they begin anew.
    pub fn of_ticket(number: u32) -> Self {
        Self(format!("{TICKET}{:05}", number % 1_000_000_000))
    }

    /// Whether it is the number of a ticket.
    pub fn is_ticket(&self) -> bool {
        let mut chars = self.0.chars();
        chars.next() == Some(TICKET) && chars.all(|c| c.is_ascii_digit())
    }

    /// The plate's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The class of vehicle that the plate itself tells: green plates of electric vehicles have eight characters, a
    /// province and seven letters or digits (GA 36).
    pub fn class(&self) -> &'static str {
        let has_province = self.0.chars().next().is_some_and(|c| !c.is_ascii() && c != TICKET);
        let is_electric = has_province && self.0.chars().count() == 8 && self.0.chars().skip(1).all(|c| c.is_ascii());
        if is_electric { "nev" } else { "car" }
    }

    /// The plate for a screen that others may see: first two and last character.
    pub fn masked(&self) -> String {
        let chars: Vec<char> = self.0.chars().collect();
        let hidden = chars.len().saturating_sub(3);
        let mut text: String = chars.iter().take(2).collect();
        text.push('·');
        text.push_str(&"•".repeat(hidden));
        text.extend(chars.last());
        text
    }
}

impl FromStr for Plate {
    type Err = NotAPlate;

    /// Takes lower case, full-width characters and the separators that people and cameras write. No sign is ever
    /// changed into another: an O that may be a 0 stays an O, and what it means is for the matching to weigh.
    fn from_str(text: &str) -> Result<Self, NotAPlate> {
        // A text far too long is not worth reading; the count that is told stays the true one.
        let plate: String = text.chars().take(TEXT_MAX).map(narrow).filter(|c| !is_separator(*c)).collect();
        if NO_PLATE_WORDS.contains(&plate.trim_matches('_')) {
            return Err(NotAPlate::NoPlate);
        }
        if text.chars().nth(TEXT_MAX).is_some() {
            return Err(NotAPlate::Length(text.chars().count()));
        }
        if let Some(odd) = plate.chars().find(|c| !may_stand_in_a_plate(*c)) {
            return Err(NotAPlate::Character(odd));
        }
        let length = plate.chars().count();
        if !LENGTH.contains(&length) {
            return Err(NotAPlate::Length(length));
        }
        if !plate.chars().any(|c| c.is_ascii_digit()) {
            return Err(NotAPlate::NoDigit);
        }
        Ok(Self(plate))
    }
}

/// Full-width letters and digits as cameras of some makers send them, in half width; lower case in capitals.
fn narrow(c: char) -> char {
    let narrow = match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        other => other,
    };
    narrow.to_ascii_uppercase()
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '·' | '•' | '・' | '‧' | '∙' | '-' | '.' | '\u{feff}' | '\u{200b}')
}

fn may_stand_in_a_plate(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || ('\u{4e00}'..='\u{9fff}').contains(&c)
}

impl TryFrom<String> for Plate {
    type Error = NotAPlate;

    fn try_from(text: String) -> Result<Self, NotAPlate> {
        text.parse()
    }
}

impl From<Plate> for String {
    fn from(plate: Plate) -> Self {
        plate.0
    }
}

impl fmt::Display for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_plate() {
        check("粤B12345", Ok("粤B12345"));
        check("粤b·12345", Ok("粤B12345"));
        check("粤BD12345", Ok("粤BD12345"));
        check("B 1234 C", Ok("B1234C"));
        check("粤Ｂ·１２３４５", Ok("粤B12345"));
        check("粤B.123-45", Ok("粤B12345"));
        check("粤BO1234", Ok("粤BO1234"));
        check("WJO1I23", Ok("WJO1I23"));
        for word in ["_无_", "无车牌", "无牌车", "unknown", "No Plate"] {
            check(word, Err(NotAPlate::NoPlate));
        }
        check("-", Err(NotAPlate::Length(0)));
        check("粤B_12345", Err(NotAPlate::Character('_')));
        check(&"粤B12345".repeat(10_000), Err(NotAPlate::Length(70_000)));
        check("CAMERA", Err(NotAPlate::NoDigit));
        check("粤B1234567890", Err(NotAPlate::Length(12)));
        check("", Err(NotAPlate::Length(0)));
    }

    #[test]
    fn a_masked_plate_shows_three_characters() {
        let plate: Plate = "粤B12345".parse().expect("a plate");
        assert_eq!(plate.masked(), "粤B·••••5");
    }

    fn check(text: &str, expect: Result<&str, NotAPlate>) {
        let found = text.parse::<Plate>();
        assert_eq!(found.as_ref().map(Plate::as_str), expect.as_ref().copied(), "{text}");
    }
}
