//! The strong frame for new tills: COBS between zero bytes, a 16-byte key, and CRC-32 over everything. Pure.
//!
//! Before stuffing: version (1 byte, 1), flags (1), number (2, big-endian), verb (1), key (16), body (JSON in UTF-8),
//! CRC-32/ISO-HDLC (4, big-endian) over all before it.

/// The version of the frame.
const VERSION: u8 = 1;
/// Bytes before the body.
const HEAD: usize = 21;
/// Bytes of the check.
const CRC: usize = 4;
/// Longest body.
pub(super) const MOST_BODY_BYTES: usize = 8 * 1024;
/// Longest frame as it is on the wire: COBS adds a byte to each 254.
const MOST_WIRE_BYTES: usize = MOST_BODY_BYTES + HEAD + CRC + (MOST_BODY_BYTES + HEAD + CRC) / 254 + 2;

/// This frame answers one of the other side.
pub(super) const ANSWER: u8 = 0x01;
/// This frame says that the other side's frame arrived.
pub(super) const RECEIPT: u8 = 0x02;
/// The answer is not there yet; wait on.
pub(super) const WAIT: u8 = 0x04;
/// The answer is a problem.
pub(super) const PROBLEM: u8 = 0x08;
/// The answer was given before.
pub(super) const REPLAYED: u8 = 0x10;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// What it is.
    pub(super) flags: u8,
    /// The number of the exchange, for receipts; it is not the till's count.
    pub(super) number: u16,
    /// The verb's number.
    pub(super) verb: u8,
    /// The idempotency key.
    pub(super) key: [u8; 16],
    /// JSON.
    pub(super) body: Vec<u8>,
}

impl Frame {
    /// The bytes on the wire, with the zero that ends them.
    pub(super) fn to_wire(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.flags];
        bytes.extend(self.number.to_be_bytes());
        bytes.push(self.verb);
        bytes.extend(self.key);
        bytes.extend(&self.body);
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_be_bytes());
        let mut wire = cobs::encode_vec(&bytes);
        wire.push(0);
        wire
    }

    /// The frame of bytes from the wire, without the zero that ends them; none where they are damaged.
    fn of_wire(wire: &[u8]) -> Option<Self> {
        let bytes = cobs::decode_vec(wire).ok()?;
        let (framed, crc) = bytes.split_at_checked(bytes.len().checked_sub(CRC)?)?;
        let crc = u32::from_be_bytes(crc.try_into().ok()?);
        if crc32fast::hash(framed) != crc || framed.len() < HEAD || framed[0] != VERSION {
            return None;
        }
        Some(Self {
            flags: framed[1],
            number: u16::from_be_bytes([framed[2], framed[3]]),
            verb: framed[4],
            key: framed[5..HEAD].try_into().expect("the head holds sixteen bytes of key"),
            body: framed[HEAD..].to_vec(),
        })
    }

    /// A frame without a body that answers this one.
    pub(super) fn reply(&self, flags: u8) -> Self {
        Self { flags, body: Vec::new(), ..self.clone() }
    }
}

/// Puts bytes together to frames. What is damaged is dropped: its sender gets no receipt and sends it again.
#[derive(Debug, Default)]
pub(super) struct Reader {
    wire: Vec<u8>,
    is_too_long: bool,
}

impl Reader {
    /// Takes one byte.
    pub(super) fn take(&mut self, byte: u8) -> Option<Frame> {
        if byte != 0 {
            self.is_too_long |= self.wire.len() >= MOST_WIRE_BYTES;
            if !self.is_too_long {
                self.wire.push(byte);
            }
            return None;
        }
        let wire = std::mem::take(&mut self.wire);
        if std::mem::take(&mut self.is_too_long) || wire.is_empty() { None } else { Frame::of_wire(&wire) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_is_read_as_it_was_written_and_a_damaged_one_is_not(
            number: u16,
            key: [u8; 16],
            body in proptest::collection::vec(any::<u8>(), 0..600),
            damage in 0_usize..400,
            by in 1_u8..=255,
        ) {
            let frame = Frame { flags: 0, number, verb: 8, key, body };
            let mut wire = frame.to_wire();
            prop_assert_eq!(read(&wire), vec![frame]);
            let at = damage % (wire.len() - 1);
            wire[at] ^= by;
            prop_assert!(read(&wire).is_empty());
        }
    }

    /// So that another implementation can be held to it.
    #[test]
    fn the_bytes_are_what_the_document_says() {
        let key = *b"0123456789abcdef";
        let frame = Frame { flags: 0, number: 1, verb: 2, key, body: b"{}".to_vec() };
        assert_eq!(hex::encode(frame.to_wire()), VECTOR);
        let document = include_str!("../../../docs/till-api.md");
        assert!(document.contains(VECTOR), "docs/till-api.md lacks {VECTOR}");
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926, "CRC-32/ISO-HDLC");
    }

    const VECTOR: &str = "020101190102303132333435363738396162636465667b7d756b7cc100";

    #[test]
    fn a_frame_without_end_fills_no_memory() {
        let mut reader = Reader::default();
        (0..3 * MOST_WIRE_BYTES).for_each(|_| drop(reader.take(7)));
        assert!(reader.wire.len() <= MOST_WIRE_BYTES);
        assert_eq!(reader.take(0), None);
    }

    fn read(wire: &[u8]) -> Vec<Frame> {
        let mut reader = Reader::default();
        wire.iter().filter_map(|byte| reader.take(*byte)).collect()
    }
}
