//! In which character set a text came: the one that the device names, else the one in which its plate is a plate.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030, GBK, UTF_8};

use crate::domain::plate::{NotAPlate, Plate};

/// What begins or ends a plate of China (GA 36): the provinces, and the words of embassies, schools, police and borders. In GBK
/// 鲁, 豫, 使 and 学 are two bytes that are a letter in UTF-8 as well.
pub const SIGNS: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领学警港澳挂试超";

/// The character set that a device names, where it is one that is read here; of any other label nothing is believed, because
/// frameworks write one that nobody chose.
pub fn named(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label(label.trim().as_bytes()).filter(|set| [UTF_8, GBK, GB18030].contains(set))
}

/// A text in the character set that was named; where it is not written in it, or none was named, as [`guessed`].
pub fn read<'b>(bytes: &'b [u8], named: Option<&'static Encoding>) -> Option<Cow<'b, str>> {
    named.and_then(|set| set.decode_without_bom_handling_and_without_replacement(bytes)).or_else(|| guessed(bytes))
}

/// A text whose character set nobody names: UTF-8 where it is valid, else GBK, strictly. What is valid in both is GBK only where
/// that makes a plate of China of it, and UTF-8 has letters of two bytes alone: a name such as Süd stays one.
pub fn guessed(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let in_gbk = || GBK.decode_without_bom_handling_and_without_replacement(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return in_gbk() };
    let other = if may_be_both(bytes) { in_gbk().filter(|other| has_plate(other)) } else { None };
    Some(other.unwrap_or(Cow::Borrowed(text)))
}

/// The plate that a text is, also where its bytes were GBK and were taken for UTF-8.
pub fn plate(text: &str) -> Result<Plate, NotAPlate> {
    text.parse().or_else(|no_plate| {
        let other = if may_be_both(text.as_bytes()) { guessed(text.as_bytes()) } else { None };
        let plate = other.and_then(|other| other.parse().ok()).filter(is_of_china);
        plate.ok_or(no_plate)
    })
}

/// Whether valid UTF-8 may be GBK: three bytes of UTF-8 are two characters of GBK and a half at most, and no plate.
fn may_be_both(bytes: &[u8]) -> bool {
    !bytes.is_ascii() && bytes.iter().all(|byte| *byte < 0xE0)
}

fn has_plate(text: &str) -> bool {
    let is_outside = |c: char| c.is_control() || (c.is_ascii() && !c.is_ascii_alphanumeric() && !" -.".contains(c));
    let is_one = |text: &str| text.parse().is_ok_and(|plate| is_of_china(&plate));
    text.split(is_outside).any(|run| is_one(run) || run.split(' ').any(is_one))
}

/// One of the signs at either end, or behind the letters of the armed police, and else letters and digits.
fn is_of_china(plate: &Plate) -> bool {
    let plate = plate.as_str();
    let plate = plate.strip_prefix("WJ").unwrap_or(plate);
    let rest = plate.trim_matches(|c| SIGNS.contains(c));
    rest.len() < plate.len() && rest.is_ascii() && rest.len() >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_of_a_plate_is_read_in_both_character_sets() {
        for sign in SIGNS.chars() {
            for text in [format!("{sign}B12345"), format!("WJ{sign}12345"), format!("12345{sign}")] {
                let (gbk, _, _) = GBK.encode(&text);
                assert_eq!(guessed(&gbk).as_deref(), Some(text.as_str()), "{text} in GBK");
                assert_eq!(guessed(text.as_bytes()).as_deref(), Some(text.as_str()), "{text} in UTF-8");
                let body = format!(r#"{{"plate":"{text}","event":"1"}}"#);
                assert_eq!(guessed(&GBK.encode(&body).0).as_deref(), Some(body.as_str()));
            }
        }
    }

    #[test]
    fn what_is_no_plate_in_gbk_stays_utf_8() {
        for text in
            ["Süd", "MÜ-AB 123", "B·12345", "3 m³/h", "ж", "{\"camera\":\"Köln Süd\",\"flow\":\"12 m³\"}", "粤B12345"]
        {
            assert_eq!(guessed(text.as_bytes()).as_deref(), Some(text));
        }
        assert_eq!(guessed(b"\xFF\xFF"), None);
    }

    #[test]
    fn what_is_named_is_believed_where_it_can_be_read() {
        let lu = GBK.encode("鲁 东门").0;
        let short = GBK.encode("鲁").0;
        assert_eq!(read(&short, named("GB2312")).as_deref(), Some("鲁"));
        assert_eq!(read(&short, named("utf-8")).as_deref(), Some("³"));
        assert_eq!(read(&lu, named("utf-8")).as_deref(), Some("鲁 东门"), "it is no UTF-8");
        assert_eq!((named("iso-8859-1"), named("no such")), (None, None));
    }

    #[test]
    fn a_plate_that_was_taken_for_utf_8_is_found_again() {
        let found = |text: &str| plate(text).ok().map(|plate| plate.as_str().to_owned());
        assert_eq!(found("³B12345").as_deref(), Some("鲁B12345"));
        assert_eq!(found("ԥB12345").as_deref(), Some("豫B12345"));
        assert_eq!(found("粤B12345").as_deref(), Some("粤B12345"));
        assert_eq!(found("MÜ-AB 123"), None);
    }
}
