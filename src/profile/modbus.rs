//! The frames of relay and input boards on a serial bus. Own framing, because the flash-on pulse is a function 5 with a
//! value that the Modbus standard does not allow, and public libraries refuse to send it.

use std::sync::Arc;

use super::language::frame::Order;
use super::language::{Link, ModbusCommand, ModbusWords, Number, Poll};
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
    /// How inputs stand in the answer, where it is asked for them.
    reads: Option<Reads>,
}

/// How inputs stand in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reads {
    inputs: u16,
    /// In how many bits of each register; 1 for a register of its own.
    per_register: u16,
    order: Order,
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

    /// What is read again and again, with the first input's number (none where what is read is no input) and the time
    /// between two reads in milliseconds.
    pub fn polls(&self) -> Vec<(Request, Option<u16>, u64)> {
        let first = |poll: &Poll| (!poll.untold).then(|| poll.first.unwrap_or(poll.address));
        self.words.polls.iter().map(|poll| (self.read(poll), first(poll), *poll.every_ms.get_ref())).collect()
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

    /// The commands that a frame can be, or can be the echo of; or that it refuses, with the reason's number. The frame
    /// begins with the board's address; over TCP it has no check.
    pub fn commands_of(&self, frame: &[u8], is_tcp: bool) -> Vec<(&str, Option<u8>)> {
        let body = if is_tcp { Some(frame) } else { frame.split_last_chunk::<2>().map(|(body, _)| body) };
        let is_right = is_tcp || body.is_some_and(|body| checked(body.to_vec()) == frame);
        let Some([address, function, rest @ ..]) = body.filter(|_| is_right) else { return Vec::new() };
        let one = |words: &'_ ModbusCommand| {
            let own = *words.function.get_ref();
            let is_refused = *function == own | REFUSED && rest.len() == 1;
            let is_it = *function == own && rest.len() >= 4 && self.may_write(words, rest);
            (*address == self.address && (is_refused || is_it)).then(|| is_refused.then(|| rest[0]))
        };
        self.words.commands.iter().filter_map(|words| Some((words.name.get_ref().as_str(), one(words)?))).collect()
    }

    /// Whether the four bytes behind the function are ones that this command can have: what no argument changes is as it is, and what
    /// one changes is between its bounds.
    fn may_write(&self, command: &ModbusCommand, rest: &[u8]) -> bool {
        let at = |place: usize| u16::from_be_bytes([rest[place], rest[place + 1]]);
        let with = |words: &Number, value: Option<i64>| {
            let given = words.arg.clone().zip(value.map(Value::Integer));
            number(words, &given.into_iter().collect()).ok()
        };
        let is_it = |words: &Number, found: u16| {
            let Some(arg) = words.arg.as_ref().map(|name| command.args.get(name)) else {
                return with(words, None).is_none_or(|fixed| fixed == found);
            };
            let (min, max) = (arg.and_then(|arg| arg.min).unwrap_or(0), arg.and_then(|arg| arg.max).unwrap_or(0));
            let ends = with(words, Some(min)).zip(with(words, Some(max)));
            ends.is_none_or(|(one, other)| (one.min(other)..=one.max(other)).contains(&found))
        };
        let values = command.values.get_ref();
        let value_fits = match (command.function.get_ref(), values.as_slice()) {
            (5 | 6, [value]) => is_it(value, at(2)),
            _ => usize::from(at(2)) == values.len(),
        };
        is_it(command.address.get_ref(), at(0)) && value_fits
    }

    fn read(&self, poll: &Poll) -> Request {
        let inputs = *poll.count.get_ref();
        let per_register = poll.bits.as_ref().map_or(1, |bits| *bits.get_ref());
        let (asked, bytes) = match poll.function.get_ref() {
            3 | 4 => (inputs.div_ceil(per_register), 2 * inputs.div_ceil(per_register)),
            _ => (inputs, inputs.div_ceil(8)),
        };
        let mut frame = vec![self.address, *poll.function.get_ref()];
        frame.extend(poll.address.to_be_bytes());
        frame.extend(asked.to_be_bytes());
        let reads = Reads { inputs, per_register, order: poll.order };
        Request { frame: checked(frame), answer_bytes: 3 + usize::from(bytes) + 2, reads: Some(reads) }
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
        Request { frame: checked(frame), answer_bytes: ECHO_BYTES, reads: None }
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
        Request { frame: checked(frame), answer_bytes: ECHO_BYTES, reads: None }
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

    /// How many inputs it asks for.
    pub fn inputs_asked(&self) -> usize {
        self.reads.map_or(0, |reads| usize::from(reads.inputs))
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
        match self.reads {
            Some(reads) => self.inputs(reads, body),
            None if body[2..6] == self.frame[2..6] => Ok(Answer::Echo),
            None => Err(BadFrame::NotTheAnswer),
        }
    }

    fn inputs(&self, reads: Reads, body: &[u8]) -> Result<Answer, BadFrame> {
        let data = &body[3..];
        if usize::from(body[2]) != data.len() {
            return Err(BadFrame::NotTheAnswer);
        }
        let is_on = |number: usize| data[number / 8] >> (number % 8) & 1 == 1;
        let in_register = |number: usize| {
            let (at, bit) = (number / usize::from(reads.per_register), number % usize::from(reads.per_register));
            let bytes = [data[2 * at], data[2 * at + 1]];
            let register = match reads.order {
                Order::HighFirst => u16::from_be_bytes(bytes),
                Order::LowFirst => u16::from_le_bytes(bytes),
            };
            if reads.per_register == 1 { register != 0 } else { register >> bit & 1 == 1 }
        };
        let inputs = 0..usize::from(reads.inputs);
        let are_registers = matches!(self.frame[1], 3 | 4);
        Ok(Answer::Inputs(if are_registers { inputs.map(in_register).collect() } else { inputs.map(is_on).collect() }))
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
        let inputs = "function = 2, address = 0, count = 8";
        check(inputs, "01 02 01 05 61 8B", Ok("10100000"));
        check(inputs, "01 02 01 05 61 8C", Err(BadFrame::WrongChecksum));
        check(inputs, "01 02 01 05 61", Err(BadFrame::CutOff));
        check(inputs, "", Err(BadFrame::CutOff));
        check(inputs, "02 02 01 05 25 8B", Err(BadFrame::WrongChecksum));
        check(inputs, "01 01 01 01 90 48", Err(BadFrame::NotTheAnswer));
        let coils = "function = 1, address = 0, count = 8";
        assert_eq!(hex::encode(&codec(coils).polls()[0].0.frame), "0101000000083dcc");
        check(coils, "01 01 01 01 90 48", Ok("10000000"));
    }

    #[test]
    fn what_comes_back_for_a_read_of_registers() {
        let each = "function = 3, address = 1, count = 3";
        assert_eq!(hex::encode(&codec(each).polls()[0].0.frame), "010300010003540b");
        check(each, &with_check("01 03 06 01 00 00 00 00 01"), Ok("101"));
        check(each, &with_check("01 04 06 01 00 00 00 00 01"), Err(BadFrame::NotTheAnswer));
        check(each, &with_check("01 03 04 01 00 00 00 00 01"), Err(BadFrame::NotTheAnswer));
        let packed = "function = 4, address = 0, count = 12, bits = 10";
        assert_eq!(codec(packed).polls()[0].0.frame[..6], [1, 4, 0, 0, 0, 2], "two registers of ten");
        check(packed, &with_check("01 04 04 02 01 00 02"), Ok("100000000101"));
        check(&format!("{packed}, order = \"low-first\""), &with_check("01 04 04 01 02 02 00"), Ok("100000000101"));
    }

    #[test]
    fn an_input_is_numbered_from_first_or_its_address_on_and_what_is_untold_has_none() {
        let first = |poll: &str| codec(poll).polls()[0].1;
        assert_eq!(first("function = 3, address = 1, count = 8"), Some(1));
        assert_eq!(first("function = 3, address = 1, count = 8, first = 0"), Some(0));
        assert_eq!(first("function = 3, address = 1, count = 8, untold = true"), None);
    }

    fn check(poll: &str, bytes: &str, expect: Result<&str, BadFrame>) {
        let (request, _, _) = codec(poll).polls().remove(0);
        let bytes = hex::decode(bytes.replace(' ', "")).expect("hex");
        let levels = |levels: &str| Answer::Inputs(levels.chars().map(|level| level == '1').collect());
        assert_eq!(request.answered(&bytes), expect.map(levels), "{poll}");
    }

    fn with_check(text: &str) -> String {
        hex::encode(checked(hex::decode(text.replace(' ', "")).expect("hex")))
    }

    fn codec(poll: &str) -> ModbusCodec {
        let words = format!(
            "reply_timeout_ms = 100\npoll = [{{ every_ms = 50, {poll} }}]\n\
            profile = {{ id = \"a/b\", vendor = \"\", product = \"\", link = \"modbus-rtu\" }}"
        );
        ModbusCodec::new(Arc::new(toml::from_str(&words).expect("right words")), &Values::new())
    }
}
