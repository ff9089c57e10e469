//! Which kind of plate a text is, by the shape that GA 36 and related rules give it.
//!
//! Shapes after the public summaries named in `docs/matching.md`; the text of GA 36-2018 itself was not used.

use serde::{Deserialize, Serialize};

use super::Plate;

const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
/// Characters with which older military plates begin.
const MILITARY: &str = "军空海北沈兰济南广成";

/// The kind of a plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Province, issuing letter and five digits or letters.
    Normal,
    /// A small new-energy vehicle: the class letter stands first in a serial of six.
    SmallNewEnergy,
    /// A large one: the class letter stands last.
    LargeNewEnergy,
    /// Crosses to Hong Kong (粤Z····港).
    HongKong,
    /// Crosses to Macau (粤Z····澳).
    Macau,
    /// An embassy's.
    Embassy,
    /// A consulate's.
    Consulate,
    /// Police.
    Police,
    /// A trailer.
    Trailer,
    /// A learner.
    Learner,
    /// A trial plate of a maker.
    Trial,
    /// An oversize vehicle.
    Oversize,
    /// Armed police (WJ).
    ArmedPolice,
    /// The army's: two letters and five digits.
    Military,
    /// Civil aviation, inside airports.
    CivilAviation,
    /// Fire and rescue, 应急 at the end.
    Emergency,
    /// A temporary paper plate, or the number of a ticket: 临 at an end.
    Temporary,
    /// One of the extra formats of the settings.
    Listed,
    /// None of these.
    Unknown,
}

/// One extra format of the settings: `A` a letter, `9` a digit, every other character itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(String);

/// Why a text is not a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format {0:?}; allowed are 5 to 9 of A for a letter, 9 for a digit and Chinese characters, with a 9 in it")]
pub struct NotAFormat(String);

impl Format {
    /// Reads a format as the settings write it.
    pub fn parse(text: &str) -> Result<Self, NotAFormat> {
        let is_known = |c: char| c == 'A' || c == '9' || ('\u{4e00}'..='\u{9fff}').contains(&c);
        let is_right = (5..=9).contains(&text.chars().count()) && text.chars().all(is_known) && text.contains('9');
        if is_right { Ok(Self(text.to_owned())) } else { Err(NotAFormat(text.to_owned())) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn fits(&self, text: &str) -> bool {
        let fits = |(c, shape): (char, char)| match shape {
            'A' => c.is_ascii_uppercase(),
            '9' => c.is_ascii_digit(),
            other => c == other,
        };
        text.chars().count() == self.0.chars().count() && text.chars().zip(self.0.chars()).all(fits)
    }
}

impl Class {
    /// The class of a plate; `listed` are the settings' extra formats.
    pub fn of(plate: &Plate, listed: &[Format]) -> Self {
        let chars: Vec<char> = plate.as_str().chars().collect();
        if let Some(class) = by_its_ends(&chars) {
            return class;
        }
        if begins_with_region(&chars) && has_serial_signs(&chars[2..]) {
            let class = by_its_serial(&chars[2..]);
            if class != Self::Unknown {
                return class;
            }
        }
        if listed.iter().any(|format| format.fits(plate.as_str())) {
            return Self::Listed;
        }
        if is_military(&chars) { Self::Military } else { Self::Unknown }
    }

    /// Whether such a plate is taken as it is read: nothing in it is ever taken for a misread of something else.
    pub fn is_special(self) -> bool {
        match self {
            // A text of no shape is most often a plain plate misread.
            Self::Normal | Self::SmallNewEnergy | Self::LargeNewEnergy | Self::Listed | Self::Unknown => false,
            Self::HongKong
            | Self::Macau
            | Self::Embassy
            | Self::Consulate
            | Self::Police
            | Self::Trailer
            | Self::Learner
            | Self::Trial
            | Self::Oversize
            | Self::ArmedPolice
            | Self::Military
            | Self::CivilAviation
            | Self::Emergency
            | Self::Temporary => true,
        }
    }
}

fn by_its_ends(chars: &[char]) -> Option<Class> {
    let text: String = chars.iter().collect();
    if text.starts_with("WJ") {
        return Some(Class::ArmedPolice);
    }
    if text.starts_with("民航") {
        return Some(Class::CivilAviation);
    }
    if text.ends_with("应急") {
        return Some(Class::Emergency);
    }
    let last = match chars.last()? {
        '港' => Class::HongKong,
        '澳' => Class::Macau,
        '使' => Class::Embassy,
        '领' => Class::Consulate,
        '警' => Class::Police,
        '挂' => Class::Trailer,
        '学' => Class::Learner,
        '试' => Class::Trial,
        '超' => Class::Oversize,
        '临' => Class::Temporary,
        _ if chars.first() == Some(&'临') => Class::Temporary,
        _ if chars.first() == Some(&'使') => Class::Embassy,
        _ => return None,
    };
    Some(last)
}

fn begins_with_region(chars: &[char]) -> bool {
    chars.len() > 2 && PROVINCES.contains(chars[0]) && chars[1].is_ascii_uppercase() && chars[1] != 'I'
}

/// A serial as it is printed or as a camera may put it: an O for a 0 and an I for a 1 are read, never printed.
fn has_serial_signs(serial: &[char]) -> bool {
    serial.iter().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
}

fn by_its_serial(serial: &[char]) -> Class {
    let is_digit = |c: &char| c.is_ascii_digit() || matches!(c, 'O' | 'I');
    // D and F by the published rule; widely used validators take A to H, J and K.
    let is_class_letter = |c: &char| matches!(c, 'A'..='H' | 'J' | 'K');
    let letters = serial.iter().filter(|c| !is_digit(c)).count();
    match serial {
        [_, _, _, _, _] if letters <= 2 => Class::Normal,
        [first, _, rest @ ..] if rest.len() == 4 && is_class_letter(first) && rest.iter().all(is_digit) => {
            Class::SmallNewEnergy
        }
        [digits @ .., last] if digits.len() == 5 && digits.iter().all(is_digit) && is_class_letter(last) => {
            Class::LargeNewEnergy
        }
        _ => Class::Unknown,
    }
}

fn is_military(chars: &[char]) -> bool {
    let is_letter = |c: &char| c.is_ascii_uppercase();
    match chars {
        [first, second, digits @ ..] => {
            digits.len() == 5
                && (is_letter(first) || MILITARY.contains(*first))
                && is_letter(second)
                && digits.iter().all(char::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_shape() {
        for (text, expect) in [
            ("粤B12345", Class::Normal),
            ("粤BA12B5", Class::Normal),
            ("粤B1234O", Class::Normal),
            ("粤BABC12", Class::Unknown),
            ("粤BD12345", Class::SmallNewEnergy),
            ("粤BFA2345", Class::SmallNewEnergy),
            ("粤B12345D", Class::LargeNewEnergy),
            ("粤BL12345", Class::Unknown),
            ("粤Z1234港", Class::HongKong),
            ("粤ZA234澳", Class::Macau),
            ("使014578", Class::Embassy),
            ("224578使", Class::Embassy),
            ("粤A1234领", Class::Consulate),
            ("粤B1234警", Class::Police),
            ("粤B1234挂", Class::Trailer),
            ("粤B1234学", Class::Learner),
            ("粤B1234试", Class::Trial),
            ("粤B1234超", Class::Oversize),
            ("WJ粤12345", Class::ArmedPolice),
            ("VA12345", Class::Military),
            ("空A12345", Class::Military),
            ("民航A1234", Class::CivilAviation),
            ("粤B1234应急", Class::Emergency),
            ("粤B1234临", Class::Temporary),
            ("临00042", Class::Temporary),
            ("AB1234", Class::Listed),
            ("12345", Class::Unknown),
        ] {
            let listed = [Format::parse("AA9999").expect("a format")];
            let plate: Plate = text.parse().expect("a plate");
            assert_eq!(Class::of(&plate, &listed), expect, "{text}");
        }
    }

    #[test]
    fn only_plain_plates_may_be_misreads() {
        let special = |text: &str| Class::of(&text.parse().expect("a plate"), &[]).is_special();
        assert!(special("粤B1234警") && special("WJ12345"));
        assert!(!special("粤B12345") && !special("粤BD12345") && !special("粤BABC12"));
    }

    #[test]
    fn a_wrong_format_is_told() {
        for text in ["", "A9", "AAAAA", "AB999", "999999999999"] {
            assert!(Format::parse(text).is_err(), "{text}");
        }
        assert_eq!(Format::parse("粤99999").map(|format| format.as_str().to_owned()), Ok("粤99999".to_owned()));
    }
}
