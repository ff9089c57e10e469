//! The words of Modbus RTU as a relay board understands them: frames, checksums, coils, inputs and timed pulses.

use std::time::{Duration, Instant};

/// Outputs and inputs of a board.
const CHANNELS: u8 = 8;
/// The longest frame that Modbus allows.
const LONGEST_FRAME: usize = 256;
/// Waveshare: coil addresses from here flash one output on; the value is a number of tenths of a second.
const WAVESHARE_FLASH_ON: u16 = 0x0200;
/// Waveshare: this coil is all of them.
const WAVESHARE_ALL: u16 = 0x00FF;
/// LC: the first output's flash registers, and how many registers each output has.
const LC_FLASH: (u16, u16) = (3, 5);
/// LC: the word that means "flash on".
const LC_FLASH_ON: u16 = 4;

const READ_COILS: u8 = 0x01;
const READ_INPUTS: u8 = 0x02;
const WRITE_COIL: u8 = 0x05;
const WRITE_COILS: u8 = 0x0F;
const WRITE_REGISTERS: u8 = 0x10;

/// Whose habits a board has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Waveshare: pulses by coil `0x0200 + n`.
    Waveshare,
    /// LC technology: pulses by two registers at `3 + n * 5`.
    Lc,
}

/// What a command did to the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// One output is on for a time that the board keeps.
    Pulsed {
        /// Which, from 0.
        output: u8,
        /// How long.
        duration_ms: u64,
    },
    /// Outputs were switched and stay so; bit n is output n.
    Switched {
        /// All outputs afterwards.
        outputs: u8,
    },
}

/// What a board does about a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// The frame to send back; none for a frame that is damaged or for another board.
    pub answer: Option<Vec<u8>>,
    /// What happened to the outputs.
    pub effect: Option<Effect>,
    /// Whether somebody now knows the inputs.
    pub read_inputs: bool,
}

/// Where a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// More bytes must come.
    Incomplete,
    /// After so many bytes.
    Complete(usize),
    /// Only silence tells, because the function's length is not known.
    UntilSilence,
}

/// A board's outputs and inputs.
#[derive(Clone, Debug)]
pub struct Registers {
    dialect: Dialect,
    address: u8,
    held: u8,
    pulsed_until: [Option<Instant>; CHANNELS as usize],
    inputs: u8,
}

/// Why a request is refused; the numbers are Modbus's exception codes.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Function = 1,
    Address = 2,
    Value = 3,
}

/// Tells where the first frame in `bytes` ends.
pub fn framing(bytes: &[u8]) -> Framing {
    let Some(function) = bytes.get(1) else { return Framing::Incomplete };
    let length = match *function {
        0x01..=0x06 => 8,
        WRITE_COILS | WRITE_REGISTERS => match bytes.get(6) {
            Some(count) => 9 + usize::from(*count),
            None => return Framing::Incomplete,
        },
        _ => return Framing::UntilSilence,
    };
    if bytes.len() < length { Framing::Incomplete } else { Framing::Complete(length) }
}

/// The checksum of Modbus RTU (CRC-16, reflected polynomial 0xA001, starts with 0xFFFF), sent low byte first.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

impl Registers {
    /// A board with everything off.
    pub fn new(dialect: Dialect, address: u8) -> Self {
        Self { dialect, address, held: 0, pulsed_until: [None; CHANNELS as usize], inputs: 0 }
    }

    /// Without power for a moment: every relay has opened. What hangs on the inputs is as it is.
    pub fn start_anew(&mut self) {
        (self.held, self.pulsed_until) = (0, [None; CHANNELS as usize]);
    }

    /// Closes or opens the contact at an input; inputs that the board does not have are ignored.
    pub fn set_input(&mut self, input: u8, closed: bool) {
        if input < CHANNELS {
            self.inputs = with_bit(self.inputs, input, closed);
        }
    }

    /// Does what a frame asks and says what to answer.
    pub fn react(&mut self, frame: &[u8], now: Instant) -> Reaction {
        let Some((body, checksum)) = frame.split_last_chunk::<2>() else { return Reaction::default() };
        if frame.len() > LONGEST_FRAME || u16::from_le_bytes(*checksum) != crc16(body) {
            return Reaction::default();
        }
        let [address, function, data @ ..] = body else { return Reaction::default() };
        if *address != self.address {
            return Reaction::default();
        }
        let done = match *function {
            READ_COILS => self.read(data, self.outputs(now)),
            READ_INPUTS => self.read(data, self.inputs),
            WRITE_COIL => self.write_coil(data, now),
            WRITE_COILS => self.write_coils(data),
            WRITE_REGISTERS => self.write_registers(data, now),
            _ => Err(Refusal::Function),
        };
        let (answer, effect) = match done {
            Ok((data, effect)) => ([&[*address, *function], data.as_slice()].concat(), effect),
            Err(refusal) => (vec![*address, *function | 0x80, refusal as u8], None),
        };
        let read_inputs = *function == READ_INPUTS && answer[1] == READ_INPUTS;
        Reaction { answer: Some(with_checksum(answer)), effect, read_inputs }
    }

    fn outputs(&self, now: Instant) -> u8 {
        let pulsed = |n: &u8| self.pulsed_until[usize::from(*n)].is_some_and(|until| now < until);
        (0..CHANNELS).filter(pulsed).fold(self.held, |bits, n| with_bit(bits, n, true))
    }

    fn read(&self, data: &[u8], bits: u8) -> Result<(Vec<u8>, Option<Effect>), Refusal> {
        let [start, count] = words(data)?;
        if count == 0 {
            return Err(Refusal::Value);
        }
        if start.saturating_add(count) > u16::from(CHANNELS) {
            return Err(Refusal::Address);
        }
        let mask = u8::MAX >> (u16::from(CHANNELS) - count);
        Ok((vec![1, (bits >> start) & mask], None))
    }

    fn write_coil(&mut self, data: &[u8], now: Instant) -> Result<(Vec<u8>, Option<Effect>), Refusal> {
        let [coil, value] = words(data)?;
        let effect = match (self.dialect, coil) {
            (_, 0..=7) => {
                let on = on_or_off(value)?;
                self.switch(with_bit(self.held, low_byte(coil), on))
            }
            (Dialect::Waveshare, WAVESHARE_ALL) => {
                let on = on_or_off(value)?;
                self.switch(if on { u8::MAX } else { 0 })
            }
            (Dialect::Waveshare, 0x0200..=0x0207) => self.pulse(coil - WAVESHARE_FLASH_ON, value, now)?,
            (Dialect::Waveshare | Dialect::Lc, _) => return Err(Refusal::Address),
        };
        Ok((data.to_vec(), Some(effect)))
    }

    fn write_coils(&mut self, data: &[u8]) -> Result<(Vec<u8>, Option<Effect>), Refusal> {
        let Some((head, [1, bits])) = data.split_last_chunk::<2>() else { return Err(Refusal::Value) };
        let [start, count] = words(head)?;
        if count == 0 || start.saturating_add(count) > u16::from(CHANNELS) {
            return Err(Refusal::Address);
        }
        let mask = (u8::MAX >> (u16::from(CHANNELS) - count)) << start;
        let effect = self.switch((self.held & !mask) | ((bits << start) & mask));
        Ok((head.to_vec(), Some(effect)))
    }

    fn write_registers(&mut self, data: &[u8], now: Instant) -> Result<(Vec<u8>, Option<Effect>), Refusal> {
        match self.dialect {
            Dialect::Waveshare => return Err(Refusal::Function),
            Dialect::Lc => {}
        }
        let Some((head, [4, rest @ ..])) = data.split_first_chunk::<4>() else { return Err(Refusal::Value) };
        let [start, count] = words(head)?;
        let [action, tenths] = words(rest)?;
        let (first, each) = LC_FLASH;
        let output = start.checked_sub(first).filter(|offset| offset % each == 0).map(|offset| offset / each);
        let output = output.filter(|n| *n < u16::from(CHANNELS)).ok_or(Refusal::Address)?;
        if count != 2 || action != LC_FLASH_ON {
            return Err(Refusal::Value);
        }
        let effect = self.pulse(output, tenths, now)?;
        Ok((head.to_vec(), Some(effect)))
    }

    fn switch(&mut self, outputs: u8) -> Effect {
        self.held = outputs;
        Effect::Switched { outputs }
    }

    fn pulse(&mut self, output: u16, tenths: u16, now: Instant) -> Result<Effect, Refusal> {
        if tenths == 0 {
            return Err(Refusal::Value);
        }
        let duration_ms = u64::from(tenths) * 100;
        self.pulsed_until[usize::from(output)] = Some(now + Duration::from_millis(duration_ms));
        Ok(Effect::Pulsed { output: low_byte(output), duration_ms })
    }
}

fn on_or_off(value: u16) -> Result<bool, Refusal> {
    match value {
        0xFF00 => Ok(true),
        0x0000 => Ok(false),
        _ => Err(Refusal::Value),
    }
}

fn words(data: &[u8]) -> Result<[u16; 2], Refusal> {
    let [a, b, c, d] = data else { return Err(Refusal::Value) };
    Ok([u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])])
}

fn low_byte(word: u16) -> u8 {
    word.to_be_bytes()[1]
}

fn with_bit(bits: u8, place: u8, on: bool) -> u8 {
    if on { bits | (1 << place) } else { bits & !(1 << place) }
}

fn with_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = crc16(&frame);
    frame.extend(checksum.to_le_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waveshare_board_answers_the_documented_frames() {
        let echo = |frame: &str| check(Dialect::Waveshare, 1, frame, Some(frame));
        assert_eq!(echo("01 05 00 00 FF 00 8C 3A"), Some(Effect::Switched { outputs: 1 }));
        assert_eq!(echo("01 05 00 00 00 00 CD CA"), Some(Effect::Switched { outputs: 0 }));
        assert_eq!(echo("01 05 02 00 00 05 0C 71"), Some(Effect::Pulsed { output: 0, duration_ms: 500 }));
        assert_eq!(echo("01 05 02 00 00 07 8D B0"), Some(Effect::Pulsed { output: 0, duration_ms: 700 }));
        assert_eq!(echo("01 05 00 FF FF 00 BC 0A"), Some(Effect::Switched { outputs: 0xFF }));
        check(Dialect::Waveshare, 0xFF, "FF 05 00 00 FF 00 99 E4", Some("FF 05 00 00 FF 00 99 E4"));
        let all_on = check(Dialect::Waveshare, 1, "01 0F 00 00 00 08 01 FF BE D5", Some("01 0F 00 00 00 08 54 0D"));
        assert_eq!(all_on, Some(Effect::Switched { outputs: 0xFF }));
        check(Dialect::Waveshare, 0xFF, "FF 0F 00 00 00 08 01 FF 30 1D", Some("FF 0F 00 00 00 08 41 D3"));
    }

    #[test]
    fn an_lc_board_pulses_by_registers() {
        let effect = check(Dialect::Lc, 1, "01 10 00 03 00 02 04 00 04 00 05 32 78", Some("01 10 00 03 00 02 B1 C8"));
        assert_eq!(effect, Some(Effect::Pulsed { output: 0, duration_ms: 500 }));
        check(Dialect::Lc, 1, "01 05 02 00 00 05 0C 71", Some("01 85 02 C3 51"));
    }

    #[test]
    fn coils_and_inputs_are_read_as_they_are() {
        let mut board = Registers::new(Dialect::Waveshare, 1);
        let now = Instant::now();
        board.react(&bytes("01 05 00 00 FF 00 8C 3A"), now);
        let coils = board.react(&bytes("01 01 00 00 00 08 3D CC"), now);
        assert_eq!(coils.answer, Some(bytes("01 01 01 01 90 48")));
        board.set_input(0, true);
        board.set_input(2, true);
        let inputs = board.react(&bytes("01 02 00 00 00 08 79 CC"), now);
        assert_eq!(inputs.answer, Some(bytes("01 02 01 05 61 8B")));
        assert!(inputs.read_inputs && !coils.read_inputs);
    }

    #[test]
    fn a_pulse_ends_by_itself() {
        let mut board = Registers::new(Dialect::Waveshare, 1);
        let now = Instant::now();
        board.react(&bytes("01 05 02 00 00 05 0C 71"), now);
        assert_eq!(board.outputs(now + Duration::from_millis(499)), 1);
        assert_eq!(board.outputs(now + Duration::from_millis(500)), 0);
    }

    #[test]
    fn what_is_damaged_or_for_another_board_gets_silence() {
        check(Dialect::Waveshare, 1, "01 05 02 00 00 05 0C 72", None);
        check(Dialect::Waveshare, 2, "01 05 02 00 00 05 0C 71", None);
        check(Dialect::Waveshare, 1, "01", None);
        check(Dialect::Waveshare, 1, "", None);
    }

    #[test]
    fn what_is_not_possible_is_refused_with_the_reason() {
        check_refused("01 05 01 00 FF 00", 2);
        check_refused("01 05 00 01 01 00", 3);
        check_refused("01 05 02 08 00 05", 2);
        check_refused("01 05 02 00 00 00", 3);
        check_refused("01 02 00 00 00 09", 2);
        check_refused("01 02 00 00 00 00", 3);
        check_refused("01 01 FF FF FF FF", 2);
        check_refused("01 03 00 00 00 01", 1);
        check_refused("01 10 00 03 00 02 04 00 04 00 05", 1);
        check_refused("01 0F 00 04 00 08 01 FF", 2);
        check_refused("01 2B 0E 01 00", 1);
    }

    #[test]
    fn frames_end_where_their_function_says() {
        assert_eq!(framing(&bytes("01")), Framing::Incomplete);
        assert_eq!(framing(&bytes("01 05 02 00 00 05 0C")), Framing::Incomplete);
        assert_eq!(framing(&bytes("01 05 02 00 00 05 0C 71 01")), Framing::Complete(8));
        assert_eq!(framing(&bytes("01 10 00 03 00 02 04 00 04 00 05 32 78")), Framing::Complete(13));
        assert_eq!(framing(&bytes("01 0F 00 00 00 08")), Framing::Incomplete);
        assert_eq!(framing(&bytes("01 2B 0E")), Framing::UntilSilence);
    }

    /// Asks a fresh board and returns what it did.
    fn check(dialect: Dialect, address: u8, frame: &str, answer: Option<&str>) -> Option<Effect> {
        let reaction = Registers::new(dialect, address).react(&bytes(frame), Instant::now());
        assert_eq!(reaction.answer, answer.map(bytes), "{frame}");
        reaction.effect
    }

    fn check_refused(request: &str, code: u8) {
        let frame = with_checksum(bytes(request));
        let reaction = Registers::new(Dialect::Waveshare, 1).react(&frame, Instant::now());
        assert_eq!(reaction.answer, Some(with_checksum(vec![1, frame[1] | 0x80, code])), "{request}");
        assert_eq!(reaction.effect, None, "{request}");
    }

    fn bytes(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }
}
