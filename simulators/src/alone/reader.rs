//! An OSDP card reader (SIA OSDP 2.2): it says who it is, that it has nothing to say, or which card was shown; with a key
//! only over a secure channel. A packet with the number of the one before it gets the same answer again.

use std::collections::VecDeque;

use ring::rand::{SecureRandom, SystemRandom};

use super::secure::Session;

const START: u8 = 0x53;
const REPLY: u8 = 0x80;
const HAS_CRC: u8 = 0x04;
const HAS_BLOCK: u8 = 0x08;
const POLL: u8 = 0x60;
const IDENTIFY: u8 = 0x61;
const CHALLENGE: u8 = 0x76;
const PROOF: u8 = 0x77;
const ACK: u8 = 0x40;
const NAK: u8 = 0x41;
const PD_ID: u8 = 0x45;
const RAW: u8 = 0x50;
const CRYPTOGRAM: u8 = 0x76;
const FIRST_MAC: u8 = 0x78;
/// Refusals: the command is not known; it needs the secure channel, or is not authentic.
const UNKNOWN_COMMAND: u8 = 0x03;
const NOT_SECURE: u8 = 0x06;
/// Who the reader is: maker, model, version, serial number, firmware.
const IDENTITY: [u8; 12] = [0x00, 0x47, 0x50, 1, 1, 0, 0, 0, 1, 1, 0, 0];
/// Types of the security block: of the four packets that open the channel, and of those on it, plain and encrypted.
const CHALLENGE_BLOCK: u8 = 0x11;
const CRYPTOGRAM_BLOCK: u8 = 0x12;
const PROOF_BLOCK: u8 = 0x13;
const FIRST_MAC_BLOCK: u8 = 0x14;
const COMMAND_BLOCKS: [u8; 2] = [0x15, 0x17];
const REPLY_BLOCKS: [u8; 2] = [0x16, 0x18];
/// In the block of a packet that opens the channel: by the reader's own key, or agreed.
const YES: u8 = 1;

/// One reader.
pub struct Reader {
    address: u8,
    key: Option<[u8; 16]>,
    /// The channel from its challenge on, and whether the box has shown that it has the key.
    session: Option<(Session, bool)>,
    cards: VecDeque<Vec<bool>>,
    last: Option<(u8, Vec<u8>)>,
}

impl Reader {
    /// A reader at this address.
    pub fn new(address: u8) -> Self {
        Self { address, key: None, session: None, cards: VecDeque::new(), last: None }
    }

    /// The same with this key (SCBK): it says nothing of cards but over the secure channel.
    pub fn with_key(self, key: [u8; 16]) -> Self {
        Self { key: Some(key), ..self }
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
        let answer = self.answered(body, Form { sequence, has_crc })?;
        self.last = Some((sequence, answer.clone()));
        Some(answer)
    }

    /// The answer to a packet whose check was right.
    fn answered(&mut self, body: &[u8], form: Form) -> Option<Vec<u8>> {
        let has_block = body[4] & HAS_BLOCK != 0;
        let block_bytes = if has_block { usize::from(*body.get(5)?) } else { 0 };
        let (block, rest) = body.get(5..)?.split_at_checked(block_bytes)?;
        let kind = block.get(1).copied();
        if form.sequence == 0 {
            // The box begins anew, and so does the channel.
            self.session = None;
        }
        match (kind, rest, self.key) {
            (Some(CHALLENGE_BLOCK), [CHALLENGE, random @ ..], Some(key)) => self.challenged(form, random, key),
            (Some(PROOF_BLOCK), [PROOF, proof @ ..], Some(_)) => Some(self.proven(form, proof)),
            (Some(kind), _, Some(_)) if COMMAND_BLOCKS.contains(&kind) => Some(self.over_the_channel(form, body, kind)),
            (None, [IDENTIFY, ..], _) => Some(self.packet(form, &[], PD_ID, &IDENTITY)),
            (None, [command, ..], None) => {
                let (code, data) = self.reply(*command);
                Some(self.packet(form, &[], code, &data))
            }
            (None, _, Some(_)) => Some(self.packet(form, &[], NAK, &[NOT_SECURE])),
            (_, _, _) => Some(self.packet(form, &[], NAK, &[UNKNOWN_COMMAND])),
        }
    }

    fn reply(&mut self, command: u8) -> (u8, Vec<u8>) {
        match command {
            POLL => self.cards.pop_front().map_or((ACK, Vec::new()), |bits| (RAW, raw(&bits))),
            IDENTIFY => (PD_ID, IDENTITY.to_vec()),
            _ => (NAK, vec![UNKNOWN_COMMAND]),
        }
    }

    fn challenged(&mut self, form: Form, random: &[u8], key: [u8; 16]) -> Option<Vec<u8>> {
        let mut own = [0; 8];
        // Without randomness it is silent, and asked again.
        SystemRandom::new().fill(&mut own).ok()?;
        let session = Session::new(key, random.try_into().ok()?, own);
        let data = [&IDENTITY[..8], &own, &session.proof()].concat();
        self.session = Some((session, false));
        Some(self.packet(form, &[3, CRYPTOGRAM_BLOCK, YES], CRYPTOGRAM, &data))
    }

    fn proven(&mut self, form: Form, proof: &[u8]) -> Vec<u8> {
        let first_mac = self.session.as_ref().and_then(|(session, _)| session.opens(proof));
        match (first_mac, &mut self.session) {
            (Some(first_mac), Some((_, is_open))) => {
                *is_open = true;
                self.packet(form, &[3, FIRST_MAC_BLOCK, YES], FIRST_MAC, &first_mac)
            }
            _ => {
                self.session = None;
                self.packet(form, &[], NAK, &[NOT_SECURE])
            }
        }
    }

    fn over_the_channel(&mut self, form: Form, body: &[u8], kind: u8) -> Vec<u8> {
        let command = body.split_last_chunk::<4>().and_then(|(before, mac)| {
            let (session, is_open) = self.session.as_mut()?;
            let (code, data) = before.get(7..)?.split_first()?;
            let data = session.command(before, mac, data, kind == COMMAND_BLOCKS[1]).filter(|_| *is_open);
            data.map(|_| *code)
        });
        let (Some(command), Some((mut session, is_open))) = (command, self.session.take()) else {
            return self.packet(form, &[], NAK, &[NOT_SECURE]);
        };
        let (code, data) = self.reply(command);
        let data = if data.is_empty() { data } else { session.encrypted(&data) };
        let block = [2, REPLY_BLOCKS[usize::from(!data.is_empty())]];
        let mut packet = self.before_check(form, &block, code, &data, 4);
        packet.extend(session.authenticated(&packet));
        self.session = Some((session, is_open));
        form.checked(packet)
    }

    fn packet(&self, form: Form, block: &[u8], code: u8, data: &[u8]) -> Vec<u8> {
        form.checked(self.before_check(form, block, code, data, 0))
    }

    /// Everything up to the authentication of so many bytes and the check.
    fn before_check(&self, form: Form, block: &[u8], code: u8, data: &[u8], mac_bytes: usize) -> Vec<u8> {
        let check_bytes = if form.has_crc { 2 } else { 1 };
        let length = u16::try_from(6 + block.len() + data.len() + mac_bytes + check_bytes).unwrap_or(u16::MAX);
        let control =
            form.sequence | if form.has_crc { HAS_CRC } else { 0 } | if block.is_empty() { 0 } else { HAS_BLOCK };
        let mut packet = vec![START, self.address | REPLY];
        packet.extend(length.to_le_bytes());
        packet.push(control);
        packet.extend(block);
        packet.push(code);
        packet.extend(data);
        packet
    }
}

/// How the packet came that is answered, and how the answer goes.
#[derive(Clone, Copy)]
struct Form {
    sequence: u8,
    has_crc: bool,
}

impl Form {
    fn checked(self, mut packet: Vec<u8>) -> Vec<u8> {
        if self.has_crc {
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
