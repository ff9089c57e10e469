//! Card readers on an OSDP v2 bus (SIA OSDP 2.2, IEC 60839-11-5): packets with their two kinds of check, and what a
//! reader's replies mean.

mod channel;

pub use channel::{Randoms, SecureChannel};

use std::sync::Arc;

use super::checks::crc16_1d0f;
use super::language::reader::{OsdpCheck, OsdpWords};
use super::layout::Fault;
use super::statement::{Rejection, Statement};
use super::template::{Value, Values};
use super::wiegand::Cards;

/// The longest packet that is read; the standard lets a reader ask for less.
pub const PACKET_BYTES_MAX: usize = 1440;

/// Every packet begins with it.
const START: u8 = 0x53;
/// In an address: the reader speaks.
const REPLY: u8 = 0x80;
/// In the control byte: it ends with a CRC.
const HAS_CRC: u8 = 0x04;
/// In the control byte: a security block follows.
const HAS_SECURITY: u8 = 0x08;
/// Start, address, two of length, control.
const HEAD_BYTES: usize = 5;

/// Codes of the packets that the box sends.
pub mod command {
    /// Anything to say?
    pub const POLL: u8 = 0x60;
    /// Who are you?
    pub const IDENTIFY: u8 = 0x61;
    /// Sound the buzzer.
    pub const BUZZER: u8 = 0x6A;
    /// Which bus settings?
    pub const COMMUNICATION_SET: u8 = 0x6E;
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The reader's address, 0 to 126; 127 is everybody.
    pub address: u8,
    /// Whether the reader speaks.
    pub is_reply: bool,
    /// 0 to 3; the answer repeats it.
    pub sequence: u8,
    /// How it ends.
    pub check: OsdpCheck,
    /// The security block: its type and what it holds.
    pub security: Option<(u8, Vec<u8>)>,
    /// The command or the reply.
    pub code: u8,
    /// What belongs to it.
    pub data: Vec<u8>,
    /// The first four bytes of the message's authentication, on a secure channel.
    pub mac: Option<[u8; 4]>,
}

/// What a reader's reply means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has nothing to say, or took the command.
    Taken,
    /// It refuses, with the reason's number.
    Refused(u8),
    /// It is busy; ask again later.
    Busy,
    /// It says something.
    Says(Statement),
    /// A card that no format of the profile knows, or with a wrong parity.
    BadCard(&'static str),
    /// Another reply, by its code.
    Other(u8),
}

/// One reader.
#[derive(Clone, Debug)]
pub struct OsdpCodec {
    words: Arc<OsdpWords>,
    address: u8,
    cards: Cards,
}

impl Packet {
    /// The packet's bytes with their check.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.before_check();
        match self.check {
            OsdpCheck::Crc => bytes.extend(crc16_1d0f(&bytes).to_le_bytes()),
            OsdpCheck::Checksum => bytes.push(checksum(&bytes)),
        }
        bytes
    }

    /// Reads one whole packet.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let [start, address, low, high, control, ..] = *bytes else { return Err(Fault::CutOff) };
        if start != START {
            return Err(Fault::NotThis("start".to_owned()));
        }
        let length = usize::from(u16::from_le_bytes([low, high]));
        let check_bytes = if control & HAS_CRC == 0 { 1 } else { 2 };
        if length < HEAD_BYTES + 1 + check_bytes {
            return Err(Fault::WrongLength("length".to_owned()));
        }
        if bytes.len() != length {
            return Err(if bytes.len() < length { Fault::CutOff } else { Fault::LeftOver(bytes.len() - length) });
        }
        let (body, check) = bytes.split_at(length - check_bytes);
        let is_right = match check {
            [sum] => *sum == checksum(body),
            _ => check == crc16_1d0f(body).to_le_bytes(),
        };
        if !is_right {
            return Err(Fault::WrongCheck("check".to_owned()));
        }
        Self::of_body(address, control, &body[HEAD_BYTES..])
    }

    fn of_body(address: u8, control: u8, rest: &[u8]) -> Result<Self, Fault> {
        let cut_off = || Fault::WrongLength("security block".to_owned());
        let (security, rest) = if control & HAS_SECURITY == 0 {
            (None, rest)
        } else {
            let length = usize::from(*rest.first().ok_or_else(cut_off)?);
            if length < 2 || length > rest.len() {
                return Err(cut_off());
            }
            (Some((rest[1], rest[2..length].to_vec())), &rest[length..])
        };
        let has_mac = security.as_ref().is_some_and(|(kind, _)| channel::has_mac(*kind));
        let (rest, mac) = if has_mac {
            let (rest, mac) = rest.split_last_chunk::<4>().ok_or_else(cut_off)?;
            (rest, Some(*mac))
        } else {
            (rest, None)
        };
        let (code, data) = rest.split_first().ok_or_else(cut_off)?;
        Ok(Self {
            address: address & !REPLY,
            is_reply: address & REPLY != 0,
            sequence: control & 3,
            check: if control & HAS_CRC == 0 { OsdpCheck::Checksum } else { OsdpCheck::Crc },
            security,
            code: *code,
            data: data.to_vec(),
            mac,
        })
    }

    /// Everything up to the check; up to the authentication where that is not yet known.
    fn before_check(&self) -> Vec<u8> {
        let security = self.security.as_ref().map_or(0, |(_, held)| 2 + held.len());
        let mac = if self.security.as_ref().is_some_and(|(kind, _)| channel::has_mac(*kind)) { 4 } else { 0 };
        let check = if self.check == OsdpCheck::Crc { 2 } else { 1 };
        let length = HEAD_BYTES + security + 1 + self.data.len() + mac + check;
        let length = u16::try_from(length.min(PACKET_BYTES_MAX)).expect("a packet is short");
        let mut control = self.sequence & 3;
        control |= if self.check == OsdpCheck::Crc { HAS_CRC } else { 0 };
        control |= if self.security.is_some() { HAS_SECURITY } else { 0 };
        let mut bytes = vec![START, self.address | if self.is_reply { REPLY } else { 0 }];
        bytes.extend(length.to_le_bytes());
        bytes.push(control);
        if let Some((kind, held)) = &self.security {
            bytes.push(u8::try_from(2 + held.len()).unwrap_or(u8::MAX));
            bytes.push(*kind);
            bytes.extend(held);
        }
        bytes.push(self.code);
        bytes.extend(&self.data);
        bytes.extend(self.mac.iter().flatten());
        bytes
    }
}

impl OsdpCodec {
    pub(super) fn new(words: Arc<OsdpWords>, params: &Values) -> Self {
        let address = match params.get("address") {
            Some(Value::Integer(address)) => u8::try_from(*address).unwrap_or(0),
            Some(Value::Text(_) | Value::Bytes(_) | Value::Rows(_)) | None => 0,
        };
        let cards = Cards::new(&words.cards);
        Self { words, address, cards }
    }

    /// The reader's address on the bus.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Milliseconds between two polls, and within which the reader answers.
    pub fn times_ms(&self) -> (u64, u64) {
        (*self.words.every_ms.get_ref(), *self.words.reply_timeout_ms.get_ref())
    }

    /// A packet to this reader.
    pub fn packet(&self, sequence: u8, code: u8, data: &[u8]) -> Packet {
        Packet {
            address: self.address,
            is_reply: false,
            sequence: sequence & 3,
            check: self.words.check,
            security: None,
            code,
            data: data.to_vec(),
            mac: None,
        }
    }

    /// What bytes on the bus mean as the reader's answer to a packet of this sequence number.
    pub fn answered(&self, sequence: u8, bytes: &[u8]) -> Result<Answer, Rejection> {
        let packet = Packet::read(bytes)?;
        if packet.address != self.address || !packet.is_reply || packet.sequence != sequence & 3 {
            return Err(Rejection::NotForThis("address".to_owned()));
        }
        self.meaning(&packet)
    }

    /// What a reply means whose bytes were right.
    pub fn meaning(&self, packet: &Packet) -> Result<Answer, Rejection> {
        Ok(match (packet.code, packet.data.as_slice()) {
            (0x40, _) => Answer::Taken,
            (0x41, [reason, ..]) => Answer::Refused(*reason),
            (0x79, _) => Answer::Busy,
            (0x49, states) => Answer::Says(inputs(states)),
            (0x50, [_reader, _format, low, high, bits @ ..]) => {
                let count = usize::from(u16::from_le_bytes([*low, *high]));
                if bits.len() != count.div_ceil(8) {
                    return Err(Fault::WrongLength("card bits".to_owned()).into());
                }
                let bits: Vec<bool> = (0..count).map(|n| bits[n / 8] >> (7 - n % 8) & 1 == 1).collect();
                match self.cards.decode(&bits) {
                    Ok(card) => Answer::Says(card),
                    Err(no_card) => Answer::BadCard(no_card.name()),
                }
            }
            (0x41 | 0x50, _) => return Err(Fault::CutOff.into()),
            (other, _) => Answer::Other(other),
        })
    }
}

fn inputs(states: &[u8]) -> Statement {
    let states = &states[..states.len().min(64)];
    let on = (0..).zip(states).filter(|(_, state)| **state != 0).map(|(number, _)| number).collect();
    Statement::Inputs { count: u16::try_from(states.len()).unwrap_or(u16::MAX), on }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

#[cfg(test)]
mod tests;
