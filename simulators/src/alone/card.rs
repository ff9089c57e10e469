//! A display, voice and relay card: it takes every frame with a right check, and tells its inputs.

use crate::modbus::crc16;

/// Address, version, two of the packet number, command, length.
const HEAD: usize = 6;
/// The version whose length has one byte.
const SHORT: u8 = 0x64;
/// Read the inputs.
const READ_INPUTS: u8 = 0xD5;

/// One card.
#[derive(Debug)]
pub struct Card {
    address: u8,
    inputs: u16,
}

impl Card {
    /// A card at this address with nothing at its inputs.
    pub fn new(address: u8) -> Self {
        Self { address, inputs: 0 }
    }

    /// A contact at one of its sixteen inputs.
    pub fn set_input(&mut self, input: u8, is_on: bool) {
        let bit = 1_u16.checked_shl(u32::from(input)).unwrap_or(0);
        self.inputs = if is_on { self.inputs | bit } else { self.inputs & !bit };
    }

    /// The next frame in what has come, and the answer: none to noise and to frames for others.
    pub fn next(&self, waiting: &mut Vec<u8>, is_quiet: bool) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let whole = waiting.get(HEAD - 1).map(|length| HEAD + usize::from(*length) + 2);
        let length = match whole {
            Some(length) if waiting.len() >= length => length,
            _ if is_quiet && !waiting.is_empty() => return Some((std::mem::take(waiting), None)),
            _ => return None,
        };
        let frame: Vec<u8> = waiting.drain(..length).collect();
        let (body, check) = frame.split_at(length - 2);
        let is_ours = check == crc16(body).to_le_bytes() && body[0] == self.address && body[1] == SHORT;
        let answer = is_ours.then(|| self.answer(body[4]));
        Some((frame, answer))
    }

    fn answer(&self, command: u8) -> Vec<u8> {
        let data = match command {
            READ_INPUTS => [&[0, 0, 0, 0][..], &self.inputs.to_le_bytes(), &[0, 0]].concat(),
            _ => vec![0],
        };
        let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
        let mut frame = [&[self.address, SHORT, 0xFF, 0xFF, command, length][..], &data].concat();
        frame.extend(crc16(&frame).to_le_bytes());
        frame
    }
}
