//! A posted body as a tree of values, whatever it is written in: JSON, a form, XML, or several parts of which one is.

use std::borrow::Cow;

use encoding_rs::Encoding;
use hyper::body::Bytes;
use serde_json::{Map, Value};

use super::json::shortened;
use super::statement::{BODY_BYTES_MAX, Rejection};
use super::{charset, first, xml};

/// A posted body.
#[derive(Clone, Debug)]
pub struct Document<'b> {
    /// The values.
    pub tree: Value,
    /// The other parts, such as pictures.
    pub parts: Vec<PartOf<'b>>,
}

/// One part of a body of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf<'b> {
    /// Its name in the form; devices differ, so it decides nothing.
    pub name: &'b str,
    /// Its file name.
    pub filename: &'b str,
    /// What it says that it is.
    pub content_type: &'b str,
    /// Its bytes.
    pub bytes: &'b [u8],
    /// The memory in which they lie, where they can be kept without a copy.
    pub whole: Option<&'b Bytes>,
}

impl PartOf<'_> {
    /// Its bytes, to be kept. A small part of a large whole is copied, because all of the whole would be kept with it.
    pub fn kept(&self) -> Bytes {
        match self.whole.filter(|whole| self.bytes.len() >= whole.len() / 2) {
            Some(whole) => whole.slice_ref(self.bytes),
            None => Bytes::copy_from_slice(self.bytes),
        }
    }
}

/// Parts of one body: a document and a handful of pictures.
const PARTS_MAX: usize = 32;
/// Fields of one form that are looked at.
const FIELDS_MAX: usize = 1000;

/// Reads a body. What it is written in is seen from its first byte, because devices post JSON under any name; the
/// content type decides between a form and parts.
pub fn read<'b>(content_type: &str, body: &'b [u8]) -> Result<Document<'b>, Rejection> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Rejection::TooLarge { bytes: body.len(), most: BODY_BYTES_MAX });
    }
    let told = charset_of(content_type);
    if let Some(tree) = by_first_byte(body, told) {
        return Ok(Document { tree: tree?, parts: Vec::new() });
    }
    let (kind, boundary) = type_of(content_type);
    if kind.starts_with("multipart/") {
        let boundary = boundary.ok_or_else(|| malformed("the content type gives no boundary"))?;
        return of_parts(parts(boundary, body)?);
    }
    if kind.is_empty() || kind == "application/x-www-form-urlencoded" || kind == "text/plain" {
        return Ok(Document { tree: form(body, told)?, parts: Vec::new() });
    }
    Err(malformed("neither JSON nor XML nor a form"))
}

/// Whether it can be seen of a body that its end is missing: a form and a bare word may end anywhere.
pub fn shows_its_end(content_type: &str, body: &[u8]) -> bool {
    by_first_byte(body, None).is_some() || type_of(content_type).0.starts_with("multipart/")
}

/// A content type without its parameters, in small letters, and its boundary.
pub fn type_of(content_type: &str) -> (String, Option<&str>) {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let boundary = parameter(content_type, "boundary");
    (kind, boundary.filter(|boundary| (1..=200).contains(&boundary.len())))
}

/// The character set that a content type names, where it is one that is read here.
fn charset_of(content_type: &str) -> Option<&'static Encoding> {
    parameter(content_type, "charset").and_then(charset::named)
}

fn parameter<'t>(content_type: &'t str, wanted: &str) -> Option<&'t str> {
    let pieces = content_type.split(';').skip(1).filter_map(|piece| piece.trim().split_once('='));
    pieces
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .next()
}

/// The tree of a part or of a whole body that begins like JSON or XML; `None` where it begins like neither.
fn by_first_byte(body: &[u8], told: Option<&'static Encoding>) -> Option<Result<Value, Rejection>> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Some(json(body, told)),
        // What a document says of itself, its writer knew.
        Some(b'<') => Some(text(body, xml::charset(body).or(told)).and_then(|text| xml::read(&text))),
        Some(_) | None => None,
    }
}

fn begins_one(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"{[<".contains(byte))
}

/// The parts between boundaries. The lengths that they give are not looked at: devices get them wrong.
pub fn parts<'b>(boundary: &str, body: &'b [u8]) -> Result<Vec<PartOf<'b>>, Rejection> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut found = Vec::new();
    let mut rest = after(body, &delimiter).ok_or_else(|| malformed("the boundary is not there"))?;
    while !rest.starts_with(b"--") {
        let end = position(rest, &delimiter).ok_or_else(|| malformed("a part without its end"))?;
        if let Some(part) = part(&rest[..end]) {
            found.push(part);
        }
        if found.len() > PARTS_MAX {
            return Err(malformed("too many parts"));
        }
        rest = &rest[end + delimiter.len()..];
    }
    Ok(found)
}

fn of_parts(parts: Vec<PartOf<'_>>) -> Result<Document<'_>, Rejection> {
    let document = parts.iter().position(|part| begins_one(part.bytes));
    let at = document.ok_or_else(|| malformed("no part is JSON or XML"))?;
    let mut parts = parts;
    let part = parts.remove(at);
    let tree = by_first_byte(part.bytes, charset_of(part.content_type))
        .ok_or_else(|| malformed("no part is JSON or XML"))??;
    Ok(Document { tree, parts })
}

fn part(bytes: &[u8]) -> Option<PartOf<'_>> {
    let bytes = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n"))?;
    let (head, body) = match position(bytes, b"\r\n\r\n") {
        Some(at) => (&bytes[..at], &bytes[at + 4..]),
        None => {
            let at = position(bytes, b"\n\n")?;
            (&bytes[..at], &bytes[at + 2..])
        }
    };
    let body = body.strip_suffix(b"\r\n").or(body.strip_suffix(b"\n")).unwrap_or(body);
    let head = std::str::from_utf8(head).unwrap_or_default();
    let header = |name: &str| {
        let line = head.lines().filter_map(|line| line.split_once(':'));
        line.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let disposition = header("content-disposition").unwrap_or_default();
    let (name, filename) = (word(disposition, "name"), word(disposition, "filename"));
    let content_type = header("content-type").unwrap_or_default();
    Some(PartOf { name, filename, content_type, bytes: body, whole: None })
}

/// A word of a part's disposition; empty where it is not there.
pub fn word<'d>(disposition: &'d str, name: &str) -> &'d str {
    let pieces = disposition.split(';').filter_map(|piece| piece.trim().split_once('='));
    pieces.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"')).next().unwrap_or_default()
}

/// JSON in UTF-8 or GBK, as a camera with a Chinese name may write it. How deep it may lie is bounded by its reader, at 128.
fn json(body: &[u8], told: Option<&'static Encoding>) -> Result<Value, Rejection> {
    first::read(&text(body, told)?).map_err(|error| malformed(&error.to_string()))
}

/// JSON, or the text itself where it does not even begin like JSON: `ON`, `online`.
pub fn json_or_text(body: &[u8]) -> Result<Value, Rejection> {
    if body.is_empty() {
        return Err(malformed("the body is empty, as what a broker sends when what it kept on a topic is taken away"));
    }
    let tree = json(body, None);
    let begins = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match (&tree, begins) {
        (Err(_), Some(begin)) if !b"{[\"".contains(begin) => Ok(Value::String(text(body, None)?.trim().to_owned())),
        (Ok(_) | Err(_), Some(_) | None) => tree,
    }
}

fn form(body: &[u8], told: Option<&'static Encoding>) -> Result<Value, Rejection> {
    let mut values = Map::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX) {
        let at = pair.iter().position(|byte| *byte == b'=').ok_or_else(|| malformed("not a form"))?;
        let (name, value) = (plain(&pair[..at], told)?, plain(&pair[at + 1..], told)?);
        values.entry(name).or_insert(Value::String(value));
    }
    if values.is_empty() { Err(malformed("the body is empty")) } else { Ok(Value::Object(values)) }
}

/// The query of an address: a form of which what cannot be read is left out, because devices write there what they like.
pub fn query(text: &str) -> Value {
    let mut values = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Ok(name), Ok(value)) = (plain(name.as_bytes(), None), plain(value.as_bytes(), None)) {
            values.entry(name).or_insert(Value::String(value));
        }
    }
    Value::Object(values)
}

fn plain(bytes: &[u8], told: Option<&'static Encoding>) -> Result<String, Rejection> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    text(&percent_encoding::percent_decode(&spaced).collect::<Vec<u8>>(), told).map(Cow::into_owned)
}

fn text<'b>(bytes: &'b [u8], told: Option<&'static Encoding>) -> Result<Cow<'b, str>, Rejection> {
    charset::read(bytes, told).ok_or_else(|| malformed("neither UTF-8 nor GBK"))
}

fn after<'b>(bytes: &'b [u8], what: &[u8]) -> Option<&'b [u8]> {
    position(bytes, what).map(|at| &bytes[at + what.len()..])
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

fn malformed(why: &str) -> Rejection {
    Rejection::Malformed(shortened(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_counts_by_local_names_and_the_first_wins() {
        for namespace in ["http://www.isapi.org/ver20/XMLSchema", "http://www.hikvision.com/ver20/XMLSchema"] {
            let body = format!(
                "<?xml version=\"1.0\"?><A xmlns=\"{namespace}\"><B><plate> one </plate><plate>two</plate></B><C/><D><plate>three</plate></D></A>"
            );
            let tree = read("application/xml", body.as_bytes()).expect("read").tree;
            assert_eq!(tree["A"]["B"]["plate"], "one");
            assert_eq!(tree["*"]["plate"], "one");
        }
        let prefixed = b"<x:A xmlns:x='u'><x:B>1</x:B></x:A>";
        assert_eq!(read("", prefixed).expect("read").tree["A"]["B"], "1");
    }

    #[test]
    fn the_part_that_is_a_document_is_found_whatever_its_name() {
        for name in ["name=\"anpr.xml\"", "name=\"xml_file\"; filename=\"a\"", ""] {
            let body = format!(
                "--B\r\nContent-Disposition: form-data; name=\"pic\"; filename=\"p.jpg\"\r\nContent-Type: image/jpeg\r\nContent-Length: 99999\r\n\r\n\u{1}JPEG\r\n--B\r\nContent-Disposition: form-data; {name}\r\n\r\n<A><b>1</b></A>\r\n--B--\r\n"
            );
            let document = read("multipart/form-data; boundary=\"B\"", body.as_bytes()).expect("read");
            assert_eq!(document.tree["A"]["b"], "1");
            assert_eq!((document.parts[0].filename, document.parts[0].bytes), ("p.jpg", &b"\x01JPEG"[..]));
        }
    }

    #[test]
    fn json_is_json_under_any_name_and_a_form_is_unescaped() {
        assert_eq!(read("application/x-www-form-urlencoded", b" {\"a\":1}").expect("read").tree["a"], 1);
        assert_eq!(read("text/xml", b"\xEF\xBB\xBF{\"a\":1}").expect("read").tree["a"], 1);
        let form =
            read("application/x-www-form-urlencoded; charset=utf-8", b"a=1+2&b=%E7%B2%A4&c=%D4%C1&a=9").expect("read");
        assert_eq!(form.tree, serde_json::json!({"a": "1 2", "b": "粤", "c": "粤"}));
        assert_eq!(read("", b"{\"a\":\"\xD4\xC1\"}").expect("GBK").tree["a"], "粤");
    }

    #[test]
    fn a_text_is_in_the_character_set_that_it_says_itself() {
        // Two bytes that are one letter in either.
        let a = |kind: &str, body: &[u8]| read(kind, body).expect("read").tree["a"].clone();
        assert_eq!(a("text/xml", b"<?xml version='1.0' encoding='GB2312'?><a>\xC2\xB3</a>"), "鲁");
        assert_eq!(a("text/xml; charset=gbk", b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>\xC2\xB3</a>"), "³");
        assert_eq!(a("application/json; charset=\"GB18030\"", b"{\"a\":\"\xC2\xB3\"}"), "鲁");
        assert_eq!(a("application/json; charset=iso-8859-1", b"{\"a\":\"\xC2\xB3\"}"), "³");
        let part = b"--x\r\nContent-Type: application/json; charset=gbk\r\n\r\n{\"a\":\"\xC2\xB3\"}\r\n--x--";
        assert_eq!(a("multipart/form-data; boundary=x", part), "鲁");
        assert_eq!(a("application/x-www-form-urlencoded; charset=GBK", b"a=%C2%B3"), "鲁");
    }

    #[test]
    fn a_message_that_is_no_json_is_its_own_text() {
        let read = |body: &[u8]| json_or_text(body).map_err(|rejection| rejection.name());
        assert_eq!(read(b" ON\r\n"), Ok("ON".into()));
        assert_eq!(read(b"12"), Ok(12.into()));
        assert_eq!(read(b"\xD4\xC1"), Ok("粤".into()));
        assert_eq!(read(b"{\"a\":\"\xD4\xC1\"}"), Ok(serde_json::json!({"a": "粤"})));
        for cut_off in [&b"{\"a\":1"[..], b"[1", b"\"a", b"", b" ", b"\xFF\xFF"] {
            assert_eq!(read(cut_off), Err("malformed"), "{cut_off:?}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_malformed_and_not_a_crash() {
        let deep_xml = "<a>".repeat(300_000);
        // What looks closed at first sight and is not.
        let deep_by_quotes = "<a b=\"/>\">".repeat(8000) + &"</a>".repeat(8000);
        let deep_by_comments = "<a><!--></a>-->".repeat(8000) + &"</a>".repeat(8000);
        let many_attributes = format!("<a{}/>", (0..60_000).map(|n| format!(" a{n}=''")).collect::<String>());
        let deep_json = "[".repeat(300_000);
        let entity = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\">]><a>&b;</a>";
        for (kind, body) in [
            ("", ""),
            ("", "just text"),
            ("application/xml", &deep_xml),
            ("application/xml", &deep_by_quotes),
            ("application/xml", &deep_by_comments),
            ("application/xml", &many_attributes),
            ("application/xml", entity),
            ("", "<a><b></a>"),
            ("", &deep_json),
            ("multipart/form-data", "--x\r\n\r\n{}\r\n--x--"),
            ("multipart/form-data; boundary=x", "--x\r\n\r\n{}\r\n"),
            ("multipart/form-data; boundary=x", "--x\r\n\r\nnothing\r\n--x--"),
            ("image/jpeg", "JPEG"),
        ] {
            assert_eq!(read(kind, body.as_bytes()).expect_err(kind).name(), "malformed", "{kind} {:.40}", body);
        }
    }
}
