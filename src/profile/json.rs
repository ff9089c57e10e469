//! Reading one value out of a device's JSON: by path, decoded, translated and bounded.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::charset;
use super::language::{BoxWords, Condition, Decode, Field, OwnBase64, PictureEncoding, PictureWords};
use super::statement::{NoPicture, Rejection, TEXT_CHARS_MAX};
use crate::domain::plate::told::PlateBox;

/// Devices differ in whether they pad.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// The alphabet for addresses.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Numbers are compared in these parts of one: what a device counts finer is no difference that matters.
const PARTS: i64 = 1_000_000;

/// A message body with the part of it that its fields start from.
#[derive(Clone, Copy, Debug)]
pub struct Body<'b> {
    top: &'b Value,
    root: &'b str,
}

impl<'b> Body<'b> {
    /// The body, read from `root` on.
    pub fn new(top: &'b Value, root: &'b str) -> Self {
        Self { top, root }
    }

    /// The value at a path; null counts as absent.
    pub fn at(&self, path: &str) -> Option<&'b Value> {
        self.found(path).filter(|value| !value.is_null())
    }

    /// Whether a condition holds.
    pub fn fits(&self, condition: &Condition) -> bool {
        let found = self.at(condition.path.get_ref());
        if condition.is_there.is_some_and(|is_there| found.is_some() != is_there) {
            return false;
        }
        let found = found.and_then(scalar);
        let among = |values: &Vec<toml::Value>| {
            found.as_ref().is_some_and(|found| values.iter().any(|value| toml_scalar(value) == *found))
        };
        let is_above = |bound: i64| {
            let number = found.as_ref().and_then(|found| decimal(found, PARTS));
            number.zip(bound.checked_mul(PARTS)).is_some_and(|(number, bound)| number > bound)
        };
        let is_one = condition.is.as_ref().is_none_or(among) && !condition.is_not.as_ref().is_some_and(among);
        is_one && condition.above.is_none_or(is_above)
    }

    /// The text of a field; `None` where it is absent and has no default, or is one of its null words.
    pub fn text(&self, field: &Field) -> Result<Option<String>, Rejection> {
        let Some(raw) = self.raw(field)? else {
            return Ok(field.default.as_ref().map(toml_scalar));
        };
        if field.nulls.contains(&raw) {
            return Ok(None);
        }
        let mut text = decoded(raw, field)?;
        if let Some(end) = field.first_before.as_ref().and_then(|separator| text.find(separator)) {
            text.truncate(end);
        }
        if field.nulls.contains(&text) {
            return Ok(None);
        }
        if field.map.is_empty() {
            return Ok(Some(text));
        }
        match field.map.get(&text) {
            Some(ours) => Ok(Some(ours.clone())),
            None => Err(bad(field, "a value that the profile does not list")),
        }
    }

    /// A whole number; `None` where it is absent and has no default. A field with `times` may have a point in it.
    pub fn integer(&self, field: &Field) -> Result<Option<i64>, Rejection> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match field.times {
            Some(_) => scaled(&text, field).map(Some).ok_or_else(|| bad(field, "not a number")),
            None => text.parse().map(Some).map_err(|_| bad(field, "not a whole number")),
        }
    }

    /// Whether a field has nothing to say: it is not there, or is a text of blanks.
    pub fn is_blank(&self, field: &Field) -> bool {
        self.raw(field).is_ok_and(|raw| raw.is_none_or(|text| text.trim().is_empty()))
    }

    /// Whether nothing stands at a field's path, not even null, and nothing else can stand for it.
    pub fn lacks(&self, field: &Field) -> bool {
        let is_there = |path: &String| self.found(path).is_some();
        field.or_join.is_empty() && !field.path.as_ref().is_none_or(is_there)
    }

    /// How a field that has no value is called in a complaint: where it should stand, and which of the parts that could stand for
    /// it are missing as well.
    pub fn missing(&self, field: &Field) -> String {
        let is_hole = |path: &&String| self.part(path).is_none();
        let holes: Vec<&str> = field.or_join.iter().filter(is_hole).map(String::as_str).collect();
        match &field.path {
            Some(path) if holes.is_empty() => path.clone(),
            Some(path) => format!("{path} (and what could stand for it, {})", holes.join(" and ")),
            None if holes.is_empty() => place(field),
            None => holes.join(" and "),
        }
    }

    /// A list of numbers: a JSON list, or one text cut at `split`. Empty where it is absent.
    pub fn integers(&self, field: &Field) -> Result<Vec<i64>, Rejection> {
        let path = field.path.as_deref().unwrap_or_default();
        let texts: Vec<String> = match self.at(path) {
            Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            Some(value) => {
                let text = scalar(value).ok_or_else(|| bad(field, "not a list of numbers"))?;
                match &field.split {
                    Some(split) => text.split(split.as_str()).map(str::trim).map(str::to_owned).collect(),
                    None => vec![text],
                }
            }
            None => return Ok(Vec::new()),
        };
        let numbers = texts.iter().filter(|text| !text.is_empty());
        let numbers: Option<Vec<i64>> = numbers.map(|text| scaled(text, field)).collect();
        numbers.ok_or_else(|| bad(field, "not a list of numbers"))
    }

    /// The entries of a list, each a body of its own.
    pub fn entries(&self, field: &Field) -> impl Iterator<Item = Body<'b>> {
        let found = field.path.as_deref().and_then(|path| self.at(path)).and_then(Value::as_array);
        found.into_iter().flatten().map(|entry| Body::new(entry, ""))
    }

    /// The bytes of a field once its decoding is undone.
    pub fn bytes(&self, field: &Field) -> Result<Option<Vec<u8>>, Rejection> {
        let Some(raw) = self.raw(field)? else { return Ok(None) };
        undone(raw, field).map(Some)
    }

    /// The picture at a path; `None` where there is none. At most `most_bytes` are taken.
    pub fn picture(&self, words: &PictureWords, most_bytes: usize) -> Option<Result<Vec<u8>, NoPicture>> {
        let (value, encoding) = (self.at(&words.path)?, words.encoding?);
        let Some(text) = value.as_str() else { return Some(Err(NoPicture::PhotoEncoding)) };
        (!text.is_empty()).then(|| picture(text, encoding, most_bytes))
    }

    /// The rectangle at its paths; `None` where one of its edges is missing or is no whole number from 0 on, where it is beyond
    /// what the whole counts, or where it is none by its tests.
    pub fn plate_box(&self, words: &BoxWords) -> Option<PlateBox> {
        let number = |path: &str| -> Option<u32> { self.at(path).and_then(scalar)?.parse().ok() };
        let (left, top) = (number(&words.left)?, number(&words.top)?);
        let other = |from: u32, edge: &Option<String>, size: &Option<String>| match (edge, size) {
            (Some(edge), _) => number(edge),
            (None, Some(size)) => from.checked_add(number(size)?),
            (None, None) => None,
        };
        let right = other(left, &words.right, &words.width)?;
        let bottom = other(top, &words.bottom, &words.height)?;
        let is_within = words.of.is_none_or(|of| right <= of && bottom <= of);
        let is_one = is_within && words.when.iter().all(|condition| self.fits(condition));
        is_one.then_some(PlateBox { left, top, right, bottom, of: words.of })
    }

    fn raw(&self, field: &Field) -> Result<Option<String>, Rejection> {
        if let Some(always) = &field.always {
            return Ok(Some(toml_scalar(always)));
        }
        let found = field.path.as_deref().and_then(|path| self.at(path));
        // Nothing at the path, and nothing in it, are the same where something else can stand for it.
        let is_empty = |value: &&Value| value.as_str().is_some_and(|text| text.trim().is_empty());
        if let Some(value) = found.filter(|value| field.or_join.is_empty() || !is_empty(value)) {
            return scalar(value).map(Some).ok_or_else(|| bad(field, "not a text, a number or a truth value"));
        }
        if field.or_join.is_empty() {
            return Ok(None);
        }
        // With a hole in it, all vehicles would have the same identity.
        let parts: Option<Vec<String>> = field.or_join.iter().map(|path| self.part(path)).collect();
        Ok(parts.map(|parts| parts.join("_")))
    }

    fn part(&self, path: &str) -> Option<String> {
        self.at(path).and_then(scalar).filter(|text| !text.trim().is_empty())
    }

    fn found(&self, path: &str) -> Option<&'b Value> {
        match path.strip_prefix("$.") {
            Some(from_the_top) => step(self.top, from_the_top),
            None => step(step(self.top, self.root)?, path),
        }
    }
}

/// The complaint about a field, without its value.
pub fn bad(field: &Field, why: impl Into<String>) -> Rejection {
    Rejection::BadField { field: place(field), why: why.into() }
}

/// How a field is called in a complaint.
pub fn place(field: &Field) -> String {
    let joined = || if field.or_join.is_empty() { "(always)".to_owned() } else { field.or_join.join(" and ") };
    field.path.clone().unwrap_or_else(joined)
}

/// A device's own words, short enough for a log line.
pub fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// A number or a text of a profile as it is written.
pub fn toml_scalar(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number, text or truth value of a body as it is written; nothing for lists and objects.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn step<'v>(from: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(from);
    }
    path.split('.').try_fold(from, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// A number of a field, with a point or without, times its factor; what is left after the point is dropped.
pub fn scaled(text: &str, field: &Field) -> Option<i64> {
    let is_above =
        |most: i64| decimal(text, 1_000_000).is_some_and(|millionths| millionths > most.saturating_mul(1_000_000));
    let times = field.times.filter(|_| !field.times_up_to.is_some_and(is_above));
    decimal(text, times.unwrap_or(1))
}

/// A number in decimal digits times a factor, what is left after the point dropped: no floating point anywhere.
pub fn decimal(text: &str, times: i64) -> Option<i64> {
    let (mantissa, exponent) = match text.trim().split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text.trim(), 0),
    };
    let (digits, is_negative) = match mantissa.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (mantissa, false),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.chars().chain(part.chars()).all(|c| c.is_ascii_digit()) {
        return None;
    }
    // More digits after the point than an i128 holds beside the factor change nothing that is kept.
    let part = part.get(..part.len().min(15)).unwrap_or(part);
    let value: i128 = format!("{whole}{part}").parse().ok()?;
    let power = exponent.checked_sub(i32::try_from(part.len()).ok()?)?;
    let scaled = value.checked_mul(i128::from(times))?;
    let ten = 10i128.checked_pow(power.unsigned_abs());
    let value = match (power < 0, ten) {
        (true, Some(ten)) => scaled / ten,
        (true, None) => 0,
        (false, ten) => scaled.checked_mul(ten?)?,
    };
    i64::try_from(if is_negative { -value } else { value }).ok()
}

fn picture(text: &str, encoding: PictureEncoding, most_bytes: usize) -> Result<Vec<u8>, NoPicture> {
    let (engine, text) = match encoding {
        PictureEncoding::Base64 => (&BASE64, text),
        PictureEncoding::Base64Url => (&BASE64_URL, text),
        PictureEncoding::DataUrl => {
            let (head, rest) = text.split_once(',').ok_or(NoPicture::PhotoEncoding)?;
            let is_right = head.starts_with("data:") && head.ends_with(";base64");
            (&BASE64, if is_right { rest } else { return Err(NoPicture::PhotoEncoding) })
        }
    };
    // Four letters are three bytes: what is too large is not even decoded.
    if text.len() / 4 * 3 > most_bytes.saturating_add(3) {
        return Err(NoPicture::PhotoTooLarge);
    }
    let decoded = engine.decode(text).or_else(|_| {
        // Some devices break the lines, and only then is it worth a second look.
        engine.decode(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>())
    });
    let bytes = decoded.map_err(|_| NoPicture::PhotoEncoding)?;
    if bytes.len() > most_bytes { Err(NoPicture::PhotoTooLarge) } else { Ok(bytes) }
}

/// The characters of a product's own base64, and what fills up its end.
pub(super) fn own_base64(own: &OwnBase64) -> Option<(GeneralPurpose, u8)> {
    let alphabet = alphabet::Alphabet::new(&own.alphabet).ok()?;
    let padding =
        u8::try_from(own.padding.unwrap_or('=')).ok().filter(|byte| !own.alphabet.as_bytes().contains(byte))?;
    Some((GeneralPurpose::new(&alphabet, LENIENT), padding))
}

fn decoded(raw: String, field: &Field) -> Result<String, Rejection> {
    String::from_utf8(undone(raw, field)?).map_err(|_| bad(field, "not UTF-8"))
}

fn undone(raw: String, field: &Field) -> Result<Vec<u8>, Rejection> {
    let mut bytes = raw.into_bytes();
    for decode in &field.decode {
        bytes = match decode {
            Decode::Base64 => from_base64(bytes, &BASE64).ok_or_else(|| bad(field, "not base64"))?,
            Decode::Base64Url => from_base64(bytes, &BASE64_URL).ok_or_else(|| bad(field, "not base64"))?,
            Decode::Base64Own(own) => {
                let (engine, padding) = own_base64(own).ok_or_else(|| bad(field, "not base64"))?;
                for byte in bytes.iter_mut().filter(|byte| **byte == padding) {
                    *byte = b'=';
                }
                from_base64(bytes, &engine).ok_or_else(|| bad(field, "not base64"))?
            }
            Decode::Hex => {
                bytes.retain(|byte| !byte.is_ascii_whitespace());
                hex::decode(&bytes).map_err(|_| bad(field, "not hex"))?
            }
            Decode::Utf8OrGbk => charset::guessed(&bytes)
                .map(|text| text.into_owned().into_bytes())
                .ok_or_else(|| bad(field, "neither UTF-8 nor GBK"))?,
            Decode::Gbk => encoding_rs::GBK
                .decode_without_bom_handling_and_without_replacement(&bytes)
                .map(|text| text.into_owned().into_bytes())
                .ok_or_else(|| bad(field, "not GBK"))?,
        };
    }
    Ok(bytes)
}

fn from_base64(mut bytes: Vec<u8>, engine: &GeneralPurpose) -> Option<Vec<u8>> {
    bytes.retain(|byte| !byte.is_ascii_whitespace());
    engine.decode(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_walks_names_and_positions() {
        let top: Value = serde_json::from_str(r#"{"a":{"b":[{"c":7},null]},"sn":"x"}"#).expect("JSON");
        let body = Body::new(&top, "a");
        assert_eq!(body.at("b.0.c").and_then(scalar), Some("7".to_owned()));
        assert_eq!(body.at("$.sn").and_then(scalar), Some("x".to_owned()));
        assert_eq!(body.at("b.1"), None, "null is absent");
        assert_eq!(body.at("b.9.c"), None);
    }

    #[test]
    fn a_plate_is_read_in_either_character_set_and_nulls_count_in_either_form() {
        check(r#"{"license":"57KkQjEyMzQ1"}"#, Ok(Some("粤B12345")));
        check(r#"{"license":"1MFCMTIzNDU="}"#, Ok(Some("粤B12345")));
        check(r#"{"license":"1MFCMTIzNDU"}"#, Ok(Some("粤B12345")));
        check(r#"{"license":"_无_"}"#, Ok(None));
        check(r#"{"license":"X+aXoF8="}"#, Ok(None));
        check(r#"{"license":""}"#, Ok(None));
        check(r#"{"license":"57KkWkowNjjmvrN8TVg3NzQyfFpNMTI3"}"#, Ok(Some("粤ZJ068澳")));
        check(r#"{}"#, Ok(None));
        check(r#"{"license":"!!!"}"#, Err("bad-field"));
        check(r#"{"license":["x"]}"#, Err("bad-field"));
        check(r#"{"license":"////"}"#, Err("bad-field"));
    }

    #[test]
    fn a_picture_is_read_in_each_of_its_encodings() {
        let standard = BASE64.encode([0xFB, 0xEF, 0xBE, 0x01]);
        assert_eq!(standard, "++++AQ==");
        let read_at_most = |most, encoding, text: &str| picture(text, encoding, most).map_err(NoPicture::name);
        let read = |encoding, text: &str| read_at_most(64, encoding, text);
        let right: Result<_, &str> = Ok(vec![0xFB, 0xEF, 0xBE, 0x01]);
        assert_eq!(read(PictureEncoding::Base64, "++++AQ=="), right);
        assert_eq!(read(PictureEncoding::Base64, "++++AQ"), right, "without its padding");
        assert_eq!(read(PictureEncoding::Base64, "++\r\n++AQ\n=="), right, "in lines");
        assert_eq!(read(PictureEncoding::Base64Url, "----AQ=="), right);
        assert_eq!(read(PictureEncoding::DataUrl, "data:image/jpeg;base64,++++AQ=="), right);
        for (encoding, text) in [
            (PictureEncoding::Base64, "----AQ=="),
            (PictureEncoding::Base64Url, "++++AQ=="),
            (PictureEncoding::DataUrl, "++++AQ=="),
            (PictureEncoding::DataUrl, "data:image/jpeg,++++AQ=="),
            (PictureEncoding::Base64, "http://camera/picture.jpg"),
        ] {
            assert_eq!(read(encoding, text), Err("photo-encoding"), "{text}");
        }
        assert_eq!(read_at_most(4, PictureEncoding::Base64, "++++AQIDBAUG"), Err("photo-too-large"));
        assert_eq!(read(PictureEncoding::Base64, &"!".repeat(200)), Err("photo-too-large"), "not even looked at");
    }

    #[test]
    fn a_number_may_come_in_two_scales() {
        let field = |words: &str| toml::from_str::<Field>(words).expect("a field");
        let (part, either) = (field("path = \"c\"\ntimes = 100"), field("path = \"c\"\ntimes = 100\ntimes_up_to = 1"));
        for (text, as_part, as_either) in
            [("0.97", 97, 97), ("1", 100, 100), ("1.0", 100, 100), ("1.5", 150, 1), ("95.5", 9550, 95), ("0", 0, 0)]
        {
            assert_eq!((scaled(text, &part), scaled(text, &either)), (Some(as_part), Some(as_either)), "{text}");
        }
        assert_eq!(scaled("92.5", &field("path = \"c\"")), Some(92));
        assert_eq!(scaled("1.5e-2147483648", &part), None, "out of all bounds");
    }

    #[test]
    fn what_stands_for_a_value_stands_for_an_empty_one_too() {
        let field: Field = toml::from_str("path = \"id\"\nor_join = [\"sn\", \"at\"]").expect("a field");
        for id in ["", "\"id\":null,", "\"id\":\"\",", "\"id\":\" \","] {
            let top: Value = serde_json::from_str(&format!(r#"{{{id}"sn":"S","at":7}}"#)).expect("JSON");
            assert_eq!(Body::new(&top, "").text(&field), Ok(Some("S_7".to_owned())), "{id}");
        }
        let hole: Value = serde_json::from_str(r#"{"sn":"S","at":""}"#).expect("JSON");
        assert_eq!(Body::new(&hole, "").text(&field), Ok(None), "what is the same for all vehicles tells none");
    }

    fn check(body: &str, expect: Result<Option<&str>, &str>) {
        let field: Field = toml::from_str(
            r#"
            path = "license"
            decode = ["base64", "utf8-or-gbk"]
            nulls = ["", "_无_"]
            first_before = "|"
            "#,
        )
        .expect("a field");
        let top: Value = serde_json::from_str(body).expect("JSON");
        let found = Body::new(&top, "").text(&field);
        let found = found.as_ref().map(Option::as_deref).map_err(Rejection::name);
        assert_eq!(found, expect.as_ref().map(|text| *text).map_err(|name| *name), "{body}");
    }
}
