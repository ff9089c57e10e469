//! An OSDP card reader (SIA OSDP 2.2) without a key: it says who it is, that it has nothing to say, or which card was shown.
//! A packet with the number of the one before it gets the same answer again.

use std::collections::VecDeque;

const START: u8 = 0x53;
const REPLY: u8 = 0x80;
const HAS_CRC: u8 = 0x04;
const POLL: u8 = 0x60;
const IDENTIFY: u8 = 0x61;
const ACK: u8 = 0x40;
const NAK: u8 = 0x41;
const PD_ID: u8 = 0x45;
const RAW: u8 = 0x50;
/// A refusal: the command is not known.
const UNKNOWN_COMMAND: u8 = 0x03;

/// One reader.
#[derive(Debug)]
pub struct Reader {
    address: u8,
    cards: VecDeque<Vec<bool>>,
    last: Option<(u8, Vec<u8>)>,
}

impl Reader {
    /// A reader at this address.
    pub fn new(address: u8) -> Self {
        Self { address, cards: VecDeque::new(), last: None }
    }

    /// A card is shown: 26 bits.
    pub fn show(&mut self, facility: u8, number: u16) {
        self.cards.push_back(wiegand_26(facility, number));
    }

    /// The next packet in what has come, and the answer: none to noise and to packets for others.
    pub fn next(&mut self, waiting: &mut Vec<u8>, is_quiet: bool) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let begins = waiting.iter().position(|byte| *byte == START).unwrap_or(waiting.len());
        if begins > 0 {
            return Some((waiting.drain(..begins).collect(), None));
        }
        let whole = match waiting.as_slice() {
            [_, _, low, high, ..] => Some(usize::from(u16::from_le_bytes([*low, *high]))),
            _ => None,
        };
        let length = match whole {
            Some(length) if length >= 7 && waiting.len() >= length => length,
            _ if is_quiet && !waiting.is_empty() => return Some((std::mem::take(waiting), None)),
            _ => return None,
        };
        let packet: Vec<u8> = waiting.drain(..length).collect();
        let answer = self.answer(&packet);
        Some((packet, answer))
    }

    fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let control = packet[4];
        let has_crc = control & HAS_CRC != 0;
        let (body, check) = packet.split_at(packet.len() - if has_crc { 2 } else { 1 });
        let is_right = if has_crc { check == crc(body).to_le_bytes() } else { check == [sum(body)] };
        if !is_right || packet[1] != self.address {
            return None;
        }
        let sequence = control & 3;
        if let Some((before, answer)) = self.last.as_ref().filter(|(before, _)| *before == sequence && sequence != 0) {
            debug_assert_eq!(*before, sequence);
            return Some(answer.clone());
        }
        let (code, data) = match body.get(5) {
            Some(&POLL) => self.cards.pop_front().map_or((ACK, Vec::new()), |bits| (RAW, raw(&bits))),
            Some(&IDENTIFY) => (PD_ID, vec![0x00, 0x47, 0x50, 1, 1, 0, 0, 0, 1, 1, 0, 0]),
            Some(_) | None => (NAK, vec![UNKNOWN_COMMAND]),
        };
        let answer = self.packet(sequence, has_crc, code, &data);
        self.last = Some((sequence, answer.clone()));
        Some(answer)
    }

    fn packet(&self, sequence: u8, has_crc: bool, code: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(6 + data.len() + if has_crc { 2 } else { 1 }).unwrap_or(u16::MAX);
        let control = sequence | if has_crc { HAS_CRC } else { 0 };
        let mut packet = vec![START, self.address | REPLY];
        packet.extend(length.to_le_bytes());
        packet.extend([control, code]);
        packet.extend(data);
        if has_crc {
            packet.extend(crc(&packet).to_le_bytes());
        } else {
            packet.push(sum(&packet));
        }
        packet
    }
}

/// The bits of a card as H10301 has them: even parity, facility, number, odd parity.
pub(super) fn wiegand_26(facility: u8, number: u16) -> Vec<bool> {
    let data: Vec<bool> = (0..8)
        .rev()
        .map(|bit| facility >> bit & 1 == 1)
        .chain((0..16).rev().map(|bit| number >> bit & 1 == 1))
        .collect();
    let ones = |bits: &[bool]| bits.iter().filter(|bit| **bit).count();
    let mut bits = vec![ones(&data[..12]) % 2 == 1];
    bits.extend(&data);
    bits.push(ones(&data[12..]) % 2 == 0);
    bits
}

fn raw(bits: &[bool]) -> Vec<u8> {
    let mut data = vec![0, 1];
    data.extend(u16::try_from(bits.len()).unwrap_or(0).to_le_bytes());
    for byte in bits.chunks(8) {
        data.push(byte.iter().enumerate().fold(0, |value, (place, bit)| value | u8::from(*bit) << (7 - place)));
    }
    data
}

/// Polynomial 1021, start 1D0F.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0x1D0F, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}
