//! The frames of relay and input boards on a serial bus. Own framing, because the flash-on pulse is a function 5 with a
//! value that the Modbus standard does not allow, and public libraries refuse to send it.

use std::sync::Arc;

use super::language::{Link, ModbusCommand, ModbusWords, Number};
use super::meaning;
use super::statement::CannotSend;
use super::template::{Value, Values};

/// The longest frame that Modbus RTU allows.
pub const FRAME_BYTES_MAX: usize = 256;

/// One board: the profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub struct ModbusCodec {
    words: Arc<ModbusWords>,
    address: u8,
}

/// How frames are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Address before, check behind; also through a gateway that passes bytes on as they are.
    Rtu,
    /// A transaction number and a length before.
    Tcp,
}

/// A frame to be sent, and what its answer looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The bytes with their check.
    pub frame: Vec<u8>,
    /// How many bytes the answer has, where the board does not refuse.
    pub answer_bytes: usize,
}

/// What the board answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It repeated the command: it took it.
    Echo,
    /// The inputs, in the board's order.
    Inputs(Vec<bool>),
    /// It refused, with the number that the standard gives the reason.
    Refused(u8),
}

/// Why the bytes on the bus are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Fewer bytes than an answer has.
    #[error("the frame is cut off")]
    CutOff,
    /// The check does not fit the bytes.
    #[error("the checksum is wrong")]
    WrongChecksum,
    /// Another board or another function answered.
    #[error("it answers something else")]
    NotTheAnswer,
}

impl BadFrame {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::CutOff => "frame-cut-off",
            Self::WrongChecksum => "wrong-checksum",
            Self::NotTheAnswer => "not-the-answer",
        }
    }
}

/// The number of every recorded request over TCP.
pub const RECORDED_TRANSACTION: u16 = 1;

/// The function bit that marks a refusal.
const REFUSED: u8 = 0x80;
/// Address, function, reason, two bytes of check.
const REFUSAL_BYTES: usize = 5;
/// Address, function, four bytes that repeat the request, two bytes of check.
const ECHO_BYTES: usize = 8;

impl ModbusCodec {
    pub(super) fn new(words: Arc<ModbusWords>, params: &Values) -> Self {
        let address = match params.get("address") {
            Some(Value::Integer(address)) => u8::try_from(*address).unwrap_or(1),
            Some(Value::Text(_) | Value::Bytes(_) | Value::Rows(_)) | None => 1,
        };
        Self { words, address }
    }

    /// The board's address on the bus.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// How its frames are wrapped.
    pub fn framing(&self) -> Framing {
        if self.words.profile.link == Link::ModbusTcp { Framing::Tcp } else { Framing::Rtu }
    }

    /// How long the board may take to answer, in milliseconds.
    pub fn reply_timeout_ms(&self) -> u64 {
        *self.words.reply_timeout_ms.get_ref()
    }

    /// What is read again and again, with the first input's number and the time between two reads in milliseconds.
    pub fn polls(&self) -> Vec<(Request, u16, u64)> {
        self.words.polls.iter().map(|poll| (self.read(poll), poll.address, *poll.every_ms.get_ref())).collect()
    }

    /// The frame that carries a command.
    pub fn encode(&self, command: &str, args: &Values) -> Result<Request, CannotSend> {
        let words = self.words.commands.iter().find(|words| words.name.get_ref() == command);
        let words = words.ok_or_else(|| CannotSend::NoCommand(command.to_owned()))?;
        let args = meaning::arguments(&words.args, words.guard.as_ref(), args)?;
        let address = number(words.address.get_ref(), &args)?;
        let values: Result<Vec<u16>, CannotSend> =
            words.values.get_ref().iter().map(|value| number(value, &args)).collect();
        Ok(self.write(words, address, &values?))
    }

    fn read(&self, poll: &super::language::Poll) -> Request {
        let count = *poll.count.get_ref();
        let mut frame = vec![self.address, *poll.function.get_ref()];
        frame.extend(poll.address.to_be_bytes());
        frame.extend(count.to_be_bytes());
        Request { frame: checked(frame), answer_bytes: 3 + usize::from(count.div_ceil(8)) + 2 }
    }

    fn write(&self, command: &ModbusCommand, address: u16, values: &[u16]) -> Request {
        let function = *command.function.get_ref();
        let mut frame = vec![self.address, function];
        frame.extend(address.to_be_bytes());
        if function == 16 {
            let count = u16::try_from(values.len()).expect("the catalogue allows few values");
            frame.extend(count.to_be_bytes());
            frame.push(u8::try_from(values.len() * 2).expect("the catalogue allows few values"));
        }
        if function == 15 {
            return self.outputs(frame, values);
        }
        for value in values {
            frame.extend(value.to_be_bytes());
        }
        Request { frame: checked(frame), answer_bytes: ECHO_BYTES }
    }
}

impl ModbusCodec {
    /// Function 15: one bit for each output, the first in the lowest bit of the first byte.
    fn outputs(&self, mut frame: Vec<u8>, values: &[u16]) -> Request {
        let count = u16::try_from(values.len()).expect("the catalogue allows few values");
        let mut bits = vec![0u8; values.len().div_ceil(8)];
        for (n, _) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
            bits[n / 8] |= 1 << (n % 8);
        }
        frame.extend(count.to_be_bytes());
        frame.push(u8::try_from(bits.len()).expect("the catalogue allows few values"));
        frame.extend(bits);
        Request { frame: checked(frame), answer_bytes: ECHO_BYTES }
    }
}

impl Request {
    /// The same request for a board behind a TCP port, under this transaction number: no check, because TCP has its own.
    pub fn over_tcp(&self, transaction: u16) -> Vec<u8> {
        let body = &self.frame[..self.frame.len() - 2];
        let mut bytes = transaction.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(u16::try_from(body.len()).expect("a frame is short").to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// How many bytes the first answer among these has; `None` while it cannot be known.
    pub fn awaits_over_tcp(so_far: &[u8]) -> Result<Option<usize>, BadFrame> {
        let Some(head) = so_far.first_chunk::<6>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        if head[2..4] != [0, 0] || !(2..=FRAME_BYTES_MAX).contains(&length) {
            return Err(BadFrame::NotTheAnswer);
        }
        Ok(Some(6 + length))
    }

    /// What came back over TCP for this transaction number.
    pub fn answered_over_tcp(&self, transaction: u16, bytes: &[u8]) -> Result<Answer, BadFrame> {
        let (head, body) = bytes.split_first_chunk::<6>().ok_or(BadFrame::CutOff)?;
        if head[..4] != [transaction.to_be_bytes(), [0, 0]].concat() {
            return Err(BadFrame::NotTheAnswer);
        }
        if body.len() != usize::from(u16::from_be_bytes([head[4], head[5]])) {
            return Err(BadFrame::CutOff);
        }
        self.answered(&checked(body.to_vec()))
    }

    /// How many bytes to wait for, now that these have come; `None` while it cannot be known.
    pub fn awaits(&self, so_far: &[u8]) -> Option<usize> {
        let function = so_far.get(1)?;
        Some(if function & REFUSED != 0 { REFUSAL_BYTES } else { self.answer_bytes })
    }

    /// What the bytes that came back mean.
    pub fn answered(&self, bytes: &[u8]) -> Result<Answer, BadFrame> {
        let expected = self.awaits(bytes).ok_or(BadFrame::CutOff)?;
        if bytes.len() < expected {
            return Err(BadFrame::CutOff);
        }
        let (body, check) = bytes[..expected].split_at(expected - 2);
        if crc16(body).to_le_bytes() != check {
            return Err(BadFrame::WrongChecksum);
        }
        if body[0] != self.frame[0] || body[1] & !REFUSED != self.frame[1] {
            return Err(BadFrame::NotTheAnswer);
        }
        if body[1] & REFUSED != 0 {
            return Ok(Answer::Refused(body[2]));
        }
        match self.frame[1] {
            1 | 2 => self.inputs(body),
            _ if body[2..6] == self.frame[2..6] => Ok(Answer::Echo),
            _ => Err(BadFrame::NotTheAnswer),
        }
    }

    fn inputs(&self, body: &[u8]) -> Result<Answer, BadFrame> {
        let count = usize::from(u16::from_be_bytes([self.frame[4], self.frame[5]]));
        if usize::from(body[2]) != count.div_ceil(8) {
            return Err(BadFrame::NotTheAnswer);
        }
        let is_on = |number: usize| body[3 + number / 8] >> (number % 8) & 1 == 1;
        Ok(Answer::Inputs((0..count).map(is_on).collect()))
    }
}

/// The check of Modbus RTU: polynomial A001 reflected, start FFFF, low byte first on the wire.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

fn checked(mut frame: Vec<u8>) -> Vec<u8> {
    frame.extend(crc16(&frame).to_le_bytes());
    debug_assert!(frame.len() <= FRAME_BYTES_MAX);
    frame
}

fn number(words: &Number, args: &Values) -> Result<u16, CannotSend> {
    let name = words.arg.as_deref().unwrap_or_default();
    let bad = || CannotSend::BadArgument(name.to_owned(), "a number that fits a register".to_owned());
    let argument = match &words.arg {
        None => 0,
        Some(name) => match args.get(name) {
            Some(Value::Integer(number)) => *number,
            Some(Value::Text(_) | Value::Bytes(_) | Value::Rows(_)) => return Err(bad()),
            None => return Err(CannotSend::MissingArgument(name.clone())),
        },
    };
    let scaled = argument.checked_mul(words.times).and_then(|scaled| scaled.checked_div(words.divided_by));
    let value = scaled.and_then(|scaled| words.base.checked_add(scaled)).ok_or_else(bad)?;
    u16::try_from(value).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_of_a_known_frame() {
        assert_eq!(crc16(&[0x01, 0x05, 0x02, 0x00, 0x00, 0x05]).to_le_bytes(), [0x0C, 0x71]);
    }

    #[test]
    fn what_comes_back_for_a_read_of_eight_inputs() {
        check("01 02 01 05 61 8B", Ok(Answer::Inputs(vec![true, false, true, false, false, false, false, false])));
        check("01 02 01 05 61 8C", Err(BadFrame::WrongChecksum));
        check("01 02 01 05 61", Err(BadFrame::CutOff));
        check("", Err(BadFrame::CutOff));
        check("02 02 01 05 25 8B", Err(BadFrame::WrongChecksum));
        check("01 01 01 01 90 48", Err(BadFrame::NotTheAnswer));
    }

    fn check(bytes: &str, expect: Result<Answer, BadFrame>) {
        let request = Request { frame: checked(vec![1, 2, 0, 0, 0, 8]), answer_bytes: 6 };
        let bytes = hex::decode(bytes.replace(' ', "")).expect("hex");
        assert_eq!(request.answered(&bytes), expect);
    }
}
