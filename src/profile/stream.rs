//! Events out of an HTTP answer that never ends: parts between boundaries, whatever lengths the device claims for them.

use hyper::body::Bytes;

use super::document::{self, PartOf};
use super::layout::Fault;
use super::statement::PICTURE_BYTES_MAX;

/// The longest part that is looked at, in bytes. Longer pictures are passed over.
pub const PART_BYTES_MAX: usize = 256 * 1024;
/// The longest run of headers before a part.
const HEAD_BYTES_MAX: usize = 4 * 1024;
/// The longest boundary that a standard allows.
const BOUNDARY_BYTES_MAX: usize = 70;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its content type; empty where the device names none.
    pub content_type: String,
    /// The name of its part: that of its file, else that in a form; empty where the device gives none.
    pub name: String,
    /// Its bytes.
    pub body: Bytes,
}

impl Event {
    /// Whether it is a picture, and no document.
    pub fn is_picture(&self) -> bool {
        is_picture(&self.content_type)
    }

    /// The same as a part of one body.
    pub fn as_part(&self) -> PartOf<'_> {
        let (name, whole) = (self.name.as_str(), Some(&self.body));
        PartOf { name, filename: name, content_type: &self.content_type, bytes: &self.body, whole }
    }
}

/// The bytes of one stream that have come and are not yet an event.
///
/// Where the first line is a boundary other than the one that the header names, it is the boundary: there are cameras that
/// write another one than they announce.
///
/// A claimed Content-Length is not believed: devices count characters for bytes, or claim nothing. A part ends where the
/// next boundary begins, and a document besides where it is whole by its own syntax, so that an event need not wait for
/// the next one.
#[derive(Debug)]
pub struct Events {
    boundary: Vec<u8>,
    state: State,
    bytes: Vec<u8>,
    /// So many of them hold no boundary.
    searched: usize,
    /// Nothing but the beginning of the first line has come.
    is_first_line: bool,
    marks: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Up to the next boundary nothing counts.
    Between,
    /// After a boundary.
    Head,
    /// In a part's body.
    Body { content_type: String, name: String },
}

impl Events {
    /// A stream with this content type; `None` where it is no stream of parts.
    pub fn new(content_type: &str) -> Option<Self> {
        let (kind, boundary) = document::type_of(content_type);
        // Some devices name the boundary with the dashes that precede it.
        let boundary = boundary?.trim_start_matches('-').as_bytes().to_vec();
        let is_stream = kind.starts_with("multipart/") && !boundary.is_empty();
        let (state, bytes) = (State::Between, Vec::new());
        is_stream.then_some(Self { boundary, state, bytes, searched: 0, is_first_line: true, marks: 0 })
    }

    /// Takes bytes as they come; gives every event whose end is known, and what was too long.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Result<Event, Fault>> {
        let mut found = Vec::new();
        // In pieces, so that a caller's long buffer is no way around the limits.
        for piece in bytes.chunks(HEAD_BYTES_MAX) {
            self.bytes.extend_from_slice(piece);
            while self.step(&mut found) {}
        }
        found
    }

    /// The stream pauses: a document or a picture that is whole need not wait for the boundary after it.
    pub fn settled(&mut self) -> Option<Event> {
        let State::Body { content_type, name } = &self.state else { return None };
        let is_whole = if is_picture(content_type) {
            without_line_end(&self.bytes).ends_with(JPEG_END)
        } else {
            matches!(self.bytes.trim_ascii_end().last(), Some(b'>' | b'}' | b']'))
                && document::read(content_type, &self.bytes).is_ok()
        };
        if !is_whole {
            return None;
        }
        let (content_type, name) = (content_type.clone(), name.clone());
        self.marks += 1;
        self.enter(State::Between);
        Some(event(content_type, name, std::mem::take(&mut self.bytes)))
    }

    /// Whether something has come whose end is not known.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Body { .. }) && !self.bytes.is_empty()
    }

    /// How many boundaries and ends of parts were found. Bytes that come while it stays the same may belong to nothing.
    pub fn marks(&self) -> u64 {
        self.marks
    }

    /// Whether a picture is coming, which may take its time.
    pub fn is_in_picture(&self) -> bool {
        matches!(&self.state, State::Body { content_type, .. } if is_picture(content_type))
    }

    /// One step further; false where more bytes are needed.
    fn step(&mut self, found: &mut Vec<Result<Event, Fault>>) -> bool {
        match &self.state {
            State::Between => self.seek(),
            State::Head => self.head(found),
            State::Body { content_type, name } => {
                let (content_type, name) = (content_type.clone(), name.clone());
                self.body(content_type, name, found)
            }
        }
    }

    fn seek(&mut self) -> bool {
        match self.delimiter() {
            Some((_, end)) => {
                self.bytes.drain(..end);
                self.is_first_line = false;
                self.marks += 1;
                self.enter(State::Head);
                true
            }
            None if self.is_first_line => {
                let blank = self.bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                self.bytes.drain(..blank);
                self.searched = 0;
                let Some(own) = own_boundary(&self.bytes) else { return false };
                self.is_first_line = false;
                self.boundary = own.map_or_else(|| std::mem::take(&mut self.boundary), <[u8]>::to_vec);
                true
            }
            None => {
                // What could be the beginning of a boundary stays.
                let keep = self.bytes.len().min(self.boundary.len() + BEFORE_MAX);
                self.bytes.drain(..self.bytes.len() - keep);
                self.searched = 0;
                false
            }
        }
    }

    fn head(&mut self, found: &mut Vec<Result<Event, Fault>>) -> bool {
        let blank = self.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if matches!(self.bytes.get(blank), Some(b'<' | b'{' | b'[')) {
            // A part without headers.
            self.bytes.drain(..blank);
            self.enter(State::Body { content_type: String::new(), name: String::new() });
            return true;
        }
        let Some(end) = head_end(&self.bytes[blank..]) else {
            if self.bytes.len() > HEAD_BYTES_MAX {
                found.push(Err(Fault::TooLong));
                self.bytes.clear();
                self.enter(State::Between);
            }
            return false;
        };
        let head = String::from_utf8_lossy(&self.bytes[blank..blank + end]).into_owned();
        self.bytes.drain(..blank + end);
        let header = |wanted: &str| {
            let mut named = head.lines().filter_map(|line| line.split_once(':'));
            let found = named.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            found.map_or("", |(_, value)| value.trim())
        };
        let disposition = header("content-disposition");
        let names = ["filename", "name"].map(|key| document::word(disposition, key));
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_owned();
        self.enter(State::Body { content_type: header("content-type").to_owned(), name });
        true
    }

    fn body(&mut self, content_type: String, name: String, found: &mut Vec<Result<Event, Fault>>) -> bool {
        if let Some((begin, _)) = self.delimiter() {
            let rest = self.bytes.split_off(begin);
            let event = event(content_type, name, std::mem::replace(&mut self.bytes, rest));
            if !event.body.is_empty() {
                found.push(Ok(event));
            }
            self.enter(State::Between);
            return true;
        }
        let most = if is_picture(&content_type) { PICTURE_BYTES_MAX } else { PART_BYTES_MAX };
        if self.bytes.len() > most {
            // A picture is known by its type, and no vehicle is lost with it.
            if !is_picture(&content_type) {
                found.push(Err(Fault::TooLong));
            }
            self.enter(State::Between);
            return true;
        }
        false
    }

    fn enter(&mut self, state: State) {
        (self.state, self.searched) = (state, 0);
    }

    /// The next boundary with the dashes before it, at the beginning of a line: where it begins and ends. Bytes that come
    /// one by one are not searched again and again.
    fn delimiter(&mut self) -> Option<(usize, usize)> {
        let from = self.searched.saturating_sub(self.boundary.len());
        self.searched = self.bytes.len();
        memchr::memmem::find_iter(&self.bytes[from..], &self.boundary).find_map(|at| {
            let at = from + at;
            let dashes = self.bytes[..at].iter().rev().take_while(|byte| **byte == b'-').count();
            let begin = at - dashes;
            let is_line = begin == 0 || self.bytes[begin - 1] == b'\n';
            (dashes >= 2 && is_line).then_some((begin, at + self.boundary.len()))
        })
    }
}

/// What a picture in JPEG ends with.
const JPEG_END: &[u8] = b"\xFF\xD9";

fn is_picture(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("image/")
}

/// A picture keeps every byte that is its own: what it is known by is made of them all.
fn event(content_type: String, name: String, mut body: Vec<u8>) -> Event {
    let end = if is_picture(&content_type) { without_line_end(&body).len() } else { body.trim_ascii_end().len() };
    body.truncate(end);
    Event { content_type, name, body: body.into() }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r\n").or(bytes.strip_suffix(b"\n")).unwrap_or(bytes)
}

/// The end of a line and a handful of dashes, which stand before a boundary.
const BEFORE_MAX: usize = 72;

/// The boundary that a first line is, if it is one; `None` where more of the line must come.
fn own_boundary(line: &[u8]) -> Option<Option<&[u8]>> {
    let dashes = line.iter().take_while(|byte| **byte == b'-').count();
    if dashes < 2 && dashes < line.len() {
        return Some(None);
    }
    let Some(end) = memchr::memchr(b'\n', line) else {
        return (line.len() > BEFORE_MAX + BOUNDARY_BYTES_MAX).then_some(None);
    };
    let name = line[..end].get(dashes..).unwrap_or_default().trim_ascii();
    let is_boundary = (1..=BOUNDARY_BYTES_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    Some(is_boundary.then_some(name))
}

/// Where the headers end: after an empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        if bytes[line..at].trim_ascii().is_empty() && at > 0 {
            return Some(at + 1);
        }
        line = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<EventNotificationAlert><a>粤</a></EventNotificationAlert>";

    #[test]
    fn events_come_out_in_any_pieces_and_whatever_length_is_claimed() {
        let claims = ["", "Content-Length: 3\r\n", "Content-Length: 54\r\n", "Content-Length: 99999\r\n"];
        for (claim, boundary) in claims.iter().flat_map(|claim| [(claim, "b"), (claim, "--b"), (claim, "\"b\"")]) {
            let part = format!("--b\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\n{claim}\r\n{XML}\r\n");
            let stream = format!("noise{part}{part}--b\r\n").replacen("noise--b", "noise\r\n--b", 1);
            for size in [1, 2, 7, 64, stream.len()] {
                let mut events = Events::new(&format!("multipart/mixed; boundary={boundary}")).expect("a stream");
                let found: Vec<_> = stream.as_bytes().chunks(size).flat_map(|piece| events.take(piece)).collect();
                let expect = Event {
                    content_type: "application/xml; charset=\"UTF-8\"".to_owned(),
                    name: String::new(),
                    body: XML.into(),
                };
                assert_eq!(found, [Ok(expect.clone()), Ok(expect)], "{claim:?} {boundary} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_event_that_is_whole_does_not_wait_for_the_next() {
        let mut events = Events::new("multipart/x-mixed-replace;boundary=b").expect("a stream");
        let (first, second) = XML.split_at(30);
        assert!(
            events.take(format!("--b\nContent-Type: text/xml\nContent-Length: 5\n\n{first}").as_bytes()).is_empty()
        );
        assert_eq!(events.settled(), None, "half a document");
        assert!(events.take(second.as_bytes()).is_empty());
        assert_eq!(events.settled().map(|event| event.body), Some(XML.into()));
        assert_eq!(events.settled(), None, "once");
        assert!(events.take(b"\r\n--b\r\n\r\n{\"a\":1}").is_empty());
        assert_eq!(events.settled().map(|event| event.body), Some("{\"a\":1}".into()), "without headers");
    }

    #[test]
    fn a_picture_comes_with_its_name_and_all_its_bytes_when_the_stream_pauses_or_goes_on() {
        let mut events = Events::new("multipart/mixed; boundary=b").expect("a stream");
        let head = "Content-Disposition: form-data; name=\"a\"; filename=\"b.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n";
        let bytes = [&b"\xFF\xD8 --c \r\n\xFF\xD9 \n"[..], JPEG_END].concat();
        let picture =
            Event { content_type: "image/jpeg".to_owned(), name: "b.jpg".to_owned(), body: bytes.clone().into() };
        assert!(events.take(format!("--b\r\n{head}").as_bytes()).is_empty());
        assert!(events.take(&bytes[..12]).is_empty());
        assert_eq!(events.settled(), None, "half a picture");
        assert!(events.take(&bytes[12..]).is_empty());
        assert_eq!(events.settled(), Some(picture.clone()));
        let next = [format!("\r\n--b\r\n{head}").as_bytes(), &bytes, b"\r\n--b\r\n"].concat();
        assert_eq!(events.take(&next), [Ok(picture)]);
    }

    #[test]
    fn long_pictures_are_passed_over_and_endless_parts_given_up() {
        let mut events = Events::new("multipart/mixed; boundary=b").expect("a stream");
        let long = vec![b'x'; PICTURE_BYTES_MAX + PART_BYTES_MAX];
        assert!(events.take(b"--b\r\nContent-Type: image/jpeg\r\n\r\n").is_empty());
        assert!(events.take(&long).is_empty());
        assert!(events.bytes.len() <= PICTURE_BYTES_MAX, "bounded");
        assert!(events.take(b"\r\n--b\r\nContent-Type: text/plain\r\n\r\n").is_empty());
        assert_eq!(events.take(&long), [Err(Fault::TooLong)]);
        assert!(events.take(b"\r\n--b\r\n").is_empty());
        assert_eq!(events.take(&long), [Err(Fault::TooLong)], "endless headers");
        let event = Event { content_type: "text/xml".to_owned(), name: String::new(), body: "<a/>".into() };
        assert_eq!(events.take(b"\r\n--b\r\nContent-type:text/xml\r\n\r\n<a/>\r\n--b--\r\n"), [Ok(event)]);
    }

    #[test]
    fn a_first_line_that_is_another_boundary_than_the_header_s_is_the_boundary() {
        let part = |boundary: &str| format!("{boundary}\r\nContent-Type: text/xml\r\n\r\n<a/>\r\n");
        let own = format!("--{}", "x".repeat(BOUNDARY_BYTES_MAX));
        for (first, boundary, expect) in [
            ("\r\n", "--c", 2),
            ("", "----c", 2),
            ("\r\n\r\n", own.as_str(), 2),
            ("", "--b", 2),
            ("noise\r\n", "--b", 2),
            ("-noise\r\n", "--b", 2),
            ("", "-c", 0),
            ("", "--c d", 0),
            ("noise\r\n", "--c", 0),
            ("", &format!("{own}y"), 0),
        ] {
            let stream = format!("{first}{}{}{boundary}--\r\n", part(boundary), part(boundary));
            for size in [1, 3, stream.len()] {
                let mut events = Events::new("multipart/mixed; boundary=b").expect("a stream");
                let found: Vec<_> = stream.as_bytes().chunks(size).flat_map(|piece| events.take(piece)).collect();
                assert_eq!(found.len(), expect, "{stream:?} in pieces of {size}: {found:?}");
                assert_eq!(events.marks() > 0, expect > 0, "{stream:?}");
                assert!(events.bytes.len() <= BEFORE_MAX + BOUNDARY_BYTES_MAX, "bounded");
            }
        }
    }

    #[test]
    fn what_is_no_stream_of_parts_is_told() {
        for wrong in ["application/json", "multipart/mixed", "multipart/mixed; boundary=--", ""] {
            assert!(Events::new(wrong).is_none(), "{wrong}");
        }
    }
}
