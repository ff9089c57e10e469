//! Events out of an HTTP answer that never ends: parts between boundaries, whatever lengths the device claims for them.

use super::document;
use super::layout::Fault;

/// The longest part that is looked at, in bytes. Pictures are longer and are passed over.
pub const PART_BYTES_MAX: usize = 256 * 1024;
/// The longest run of headers before a part.
const HEAD_BYTES_MAX: usize = 4 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its content type; empty where the device names none.
    pub content_type: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The bytes of one stream that have come and are not yet an event.
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
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Up to the next boundary nothing counts.
    Between,
    /// After a boundary.
    Head,
    /// In a part's body.
    Body { content_type: String },
}

impl Events {
    /// A stream with this content type; `None` where it is no stream of parts.
    pub fn new(content_type: &str) -> Option<Self> {
        let (kind, boundary) = document::type_of(content_type);
        // Some devices name the boundary with the dashes that precede it.
        let boundary = boundary?.trim_start_matches('-').as_bytes().to_vec();
        let is_stream = kind.starts_with("multipart/") && !boundary.is_empty();
        is_stream.then_some(Self { boundary, state: State::Between, bytes: Vec::new(), searched: 0 })
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

    /// The stream pauses: a document that is whole need not wait for the boundary after it.
    pub fn settled(&mut self) -> Option<Event> {
        let State::Body { content_type } = &self.state else { return None };
        let is_whole = matches!(self.bytes.trim_ascii_end().last(), Some(b'>' | b'}' | b']'))
            && document::read(content_type, &self.bytes).is_ok();
        if !is_whole {
            return None;
        }
        let content_type = content_type.clone();
        self.enter(State::Between);
        Some(Event { content_type, body: std::mem::take(&mut self.bytes) })
    }

    /// Whether something has come whose end is not known.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Body { .. }) && !self.bytes.is_empty()
    }

    /// One step further; false where more bytes are needed.
    fn step(&mut self, found: &mut Vec<Result<Event, Fault>>) -> bool {
        match &self.state {
            State::Between => self.seek(),
            State::Head => self.head(found),
            State::Body { content_type } => {
                let content_type = content_type.clone();
                self.body(content_type, found)
            }
        }
    }

    fn seek(&mut self) -> bool {
        match self.delimiter() {
            Some((_, end)) => {
                self.bytes.drain(..end);
                self.enter(State::Head);
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
            self.enter(State::Body { content_type: String::new() });
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
        let named = head.lines().filter_map(|line| line.split_once(':'));
        let content_type = named.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"));
        let content_type = content_type.map_or("", |(_, value)| value.trim()).to_owned();
        self.enter(State::Body { content_type });
        true
    }

    fn body(&mut self, content_type: String, found: &mut Vec<Result<Event, Fault>>) -> bool {
        if let Some((begin, _)) = self.delimiter() {
            let rest = self.bytes.split_off(begin);
            let mut body = std::mem::replace(&mut self.bytes, rest);
            body.truncate(body.trim_ascii_end().len());
            if !body.is_empty() {
                found.push(Ok(Event { content_type, body }));
            }
            self.enter(State::Between);
            return true;
        }
        if self.bytes.len() > PART_BYTES_MAX {
            // A picture is known by its type, and nothing is lost with it.
            if !content_type.starts_with("image/") {
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

/// The end of a line and a handful of dashes, which stand before a boundary.
const BEFORE_MAX: usize = 72;

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
                    body: XML.as_bytes().to_vec(),
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
        assert_eq!(events.settled().map(|event| event.body), Some(XML.as_bytes().to_vec()));
        assert_eq!(events.settled(), None, "once");
        assert!(events.take(b"\r\n--b\r\n\r\n{\"a\":1}").is_empty());
        assert_eq!(events.settled().map(|event| event.body), Some(b"{\"a\":1}".to_vec()), "without headers");
    }

    #[test]
    fn pictures_are_passed_over_and_endless_parts_given_up() {
        let mut events = Events::new("multipart/mixed; boundary=b").expect("a stream");
        let long = vec![b'x'; PART_BYTES_MAX * 3];
        assert!(events.take(b"--b\r\nContent-Type: image/jpeg\r\n\r\n").is_empty());
        assert!(events.take(&long).is_empty());
        assert!(events.bytes.len() <= PART_BYTES_MAX + HEAD_BYTES_MAX, "bounded");
        assert!(events.take(b"\r\n--b\r\nContent-Type: text/plain\r\n\r\n").is_empty());
        assert_eq!(events.take(&long), [Err(Fault::TooLong)]);
        assert!(events.take(b"\r\n--b\r\n").is_empty());
        assert_eq!(events.take(&long), [Err(Fault::TooLong)], "endless headers");
        let event = Event { content_type: "text/xml".to_owned(), body: b"<a/>".to_vec() };
        assert_eq!(events.take(b"\r\n--b\r\nContent-type:text/xml\r\n\r\n<a/>\r\n--b--\r\n"), [Ok(event)]);
    }

    #[test]
    fn what_is_no_stream_of_parts_is_told() {
        for wrong in ["application/json", "multipart/mixed", "multipart/mixed; boundary=--", ""] {
            assert!(Events::new(wrong).is_none(), "{wrong}");
        }
    }
}
