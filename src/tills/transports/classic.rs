//! The classic frame of old cash registers: STX, the text, ETX, and a check byte over what lies between. Pure.

/// Begins a frame.
pub(super) const STX: u8 = 0x02;
/// Ends its text.
pub(super) const ETX: u8 = 0x03;
/// The frame arrived whole.
pub(super) const ACK: u8 = 0x06;
/// The frame arrived damaged; send it again.
pub(super) const NAK: u8 = 0x15;
/// Longest text of a frame: an answer with a slip in two languages, with room.
pub(super) const MOST_TEXT_BYTES: usize = 8 * 1024;

/// How the check byte is reckoned; makers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// What it begins with: 0x00, or 0x7F.
    pub(super) seed: u8,
    /// Whether STX is reckoned in.
    pub(super) with_stx: bool,
}

impl Check {
    fn of(self, text: &[u8]) -> u8 {
        let start = if self.with_stx { self.seed ^ STX } else { self.seed };
        text.iter().fold(start ^ ETX, |check, byte| check ^ byte)
    }

    /// The frame of a text.
    pub(super) fn frame(self, text: &[u8]) -> Vec<u8> {
        let mut frame = vec![STX];
        frame.extend(text.iter().filter(|byte| !matches!(**byte, STX | ETX)));
        let check = self.of(&frame[1..]);
        frame.extend([ETX, check]);
        frame
    }
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A whole frame's text.
    Text(Vec<u8>),
    /// A damaged frame.
    Damaged,
    /// The other side has our frame.
    Ack,
    /// The other side wants it again.
    Nak,
}

/// Puts bytes together to frames.
#[derive(Debug)]
pub(super) struct Reader {
    check: Check,
    state: State,
}

#[derive(Debug)]
enum State {
    Outside,
    Text(Vec<u8>),
    Check(Vec<u8>),
}

impl Reader {
    /// A reader that has heard nothing.
    pub(super) fn new(check: Check) -> Self {
        Self { check, state: State::Outside }
    }

    /// Takes one byte. A new STX begins anew: the other side has given its frame up.
    pub(super) fn take(&mut self, byte: u8) -> Option<Heard> {
        match std::mem::replace(&mut self.state, State::Outside) {
            State::Outside => match byte {
                STX => self.state = State::Text(Vec::new()),
                ACK => return Some(Heard::Ack),
                NAK => return Some(Heard::Nak),
                _ => {}
            },
            State::Text(_) if byte == STX => self.state = State::Text(Vec::new()),
            State::Text(text) if byte == ETX => self.state = State::Check(text),
            State::Text(text) if text.len() >= MOST_TEXT_BYTES => return Some(Heard::Damaged),
            State::Text(mut text) => {
                text.push(byte);
                self.state = State::Text(text);
            }
            State::Check(text) => {
                return Some(if self.check.of(&text) == byte { Heard::Text(text) } else { Heard::Damaged });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Check = Check { seed: 0x00, with_stx: false };

    #[test]
    fn a_frame_is_read_as_it_was_written_by_every_makers_check() {
        for check in [PLAIN, Check { seed: 0x7F, with_stx: false }, Check { seed: 0, with_stx: true }] {
            let mut reader = Reader::new(check);
            let heard: Vec<Heard> = check.frame(b"STATUS|1|1").into_iter().filter_map(|b| reader.take(b)).collect();
            assert_eq!(heard, [Heard::Text(b"STATUS|1|1".to_vec())]);
        }
    }

    #[test]
    fn a_damaged_byte_is_noticed_and_the_next_frame_is_read() {
        let mut reader = Reader::new(PLAIN);
        let mut bytes = PLAIN.frame(b"STATUS");
        bytes[2] ^= 0x10;
        bytes.extend([ACK, NAK, 0xFF]);
        bytes.extend(PLAIN.frame(b"QUERY"));
        let heard: Vec<Heard> = bytes.into_iter().filter_map(|byte| reader.take(byte)).collect();
        assert_eq!(heard, [Heard::Damaged, Heard::Ack, Heard::Nak, Heard::Text(b"QUERY".to_vec())]);
    }

    #[test]
    fn a_frame_without_end_fills_no_memory() {
        let mut reader = Reader::new(PLAIN);
        reader.take(STX);
        let heard: Vec<Heard> = (0..MOST_TEXT_BYTES + 10).filter_map(|_| reader.take(b'a')).collect();
        assert_eq!(heard, [Heard::Damaged]);
    }

    /// Reckoned by hand: 'A' is 0x41, ETX 0x03.
    #[test]
    fn the_check_byte_is_what_makers_publish() {
        assert_eq!(PLAIN.frame(b"A"), [STX, 0x41, ETX, 0x42]);
        assert_eq!(Check { seed: 0x7F, with_stx: false }.frame(b"A")[3], 0x3D);
        assert_eq!(Check { seed: 0, with_stx: true }.frame(b"A")[3], 0x40);
    }
}
