//! Whether a profile for relay and input boards makes sense: what it reads is there, what it writes fits its frame.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::language::frame::Order;
use super::super::language::{Arg, ModbusWords, Number, Poll};
use super::super::mistake::{Mistake, Source, one_of};
use super::{POLL_MS, REPLY_MS, address, check_named, head, unused, within};

/// More inputs than any board here has, and a short answer.
const POLL_INPUTS: std::ops::RangeInclusive<u16> = 1..=64;
/// A register has 16 bits; with one of them it would be a register for each input, which goes without `bits`.
const REGISTER_BITS: std::ops::RangeInclusive<u16> = 2..=16;
/// A frame stays short.
const VALUES_MAX: usize = 16;

/// The mistakes of a profile for a serial bus.
pub fn modbus(source: &Source, words: &ModbusWords) -> Vec<Mistake> {
    let mut mistakes = head(source, &words.profile, &words.params);
    address(source, &words.profile, &words.params, 255, &mut mistakes);
    within(source, &words.reply_timeout_ms, &REPLY_MS, "reply_timeout_ms", &mut mistakes);
    for poll in &words.polls {
        self::poll(source, poll, &mut mistakes);
    }
    for command in &words.commands {
        check_named(source, &named!(command), &mut mistakes);
        let values = command.values.get_ref();
        let (count_is_right, allowed) = match command.function.get_ref() {
            5 | 6 => (values.len() == 1, "one value"),
            15 | 16 => ((1..=VALUES_MAX).contains(&values.len()), "1 to 16 values"),
            _ => (false, "function 5 or 6 with one value, 15 or 16 with 1 to 16 values"),
        };
        if !count_is_right {
            let wrong = format!("function {} with {} values", command.function.get_ref(), values.len());
            mistakes.push(source.mistake(command.values.span(), wrong, allowed));
        }
        let is_guarded = command.guard.as_ref().is_some_and(|guard| guard.moves || guard.never);
        if command.service && matches!(command.function.get_ref(), 5 | 15) && !is_guarded {
            let wrong = format!("{} switches outputs, and an arm may hang on one", command.name.get_ref());
            let allowed = "guard = { moves = true, because = … }, so that nobody moves a lane's arm with it";
            mistakes.push(source.mistake(command.name.span(), wrong, allowed));
        }
        let address = (command.address.span(), command.address.get_ref());
        for (at, number) in values.iter().map(|value| (command.values.span(), value)).chain([address]) {
            frame_number(source, at, number, &command.args, &mut mistakes);
        }
    }
    unused::modbus(source, words, &mut mistakes);
    mistakes
}

fn poll(source: &Source, poll: &Poll, mistakes: &mut Vec<Mistake>) {
    within(source, &poll.every_ms, &POLL_MS, "every_ms", mistakes);
    within(source, &poll.count, &POLL_INPUTS, "count", mistakes);
    let mut wrong = |at: Range<usize>, wrong: &str, allowed: &str| mistakes.push(source.mistake(at, wrong, allowed));
    let reads_registers = match poll.function.get_ref() {
        1 | 2 => false,
        3 | 4 => true,
        _ => {
            let allowed = "2 (inputs), 1 (coils), 3 (holding registers), 4 (input registers)";
            wrong(poll.function.span(), "this function reads no inputs", allowed);
            false
        }
    };
    if !reads_registers && (poll.bits.is_some() || poll.order != Order::HighFirst) {
        wrong(poll.function.span(), "bits and order are of registers", "function = 3 or 4 with bits and order");
    }
    if poll.address.checked_add(*poll.count.get_ref()).is_none() {
        wrong(poll.count.span(), "the inputs end beyond 65535", "address + count below 65536");
    }
    if poll.first.is_some_and(|first| first.checked_add(*poll.count.get_ref()).is_none()) {
        wrong(poll.count.span(), "the numbers of the inputs end beyond 65535", "first + count below 65536");
    }
    if let Some(bits) = &poll.bits {
        within(source, bits, &REGISTER_BITS, "bits", mistakes);
    }
}

fn frame_number(
    source: &Source,
    at: Range<usize>,
    number: &Number,
    args: &BTreeMap<String, Arg>,
    mistakes: &mut Vec<Mistake>,
) {
    let (min, max) = match &number.arg {
        None => (0, 0),
        Some(name) => match args.get(name) {
            Some(arg) => (arg.min.unwrap_or(0), arg.max.unwrap_or(0)),
            None => {
                let allowed = one_of(args.keys().map(String::as_str));
                mistakes.push(source.mistake(at, format!("the command has no argument {name}"), allowed));
                return;
            }
        },
    };
    let fits = |argument: i64| {
        let scaled = argument.checked_mul(number.times).and_then(|scaled| scaled.checked_div(number.divided_by));
        scaled.and_then(|scaled| scaled.checked_add(number.base)).is_some_and(|value| u16::try_from(value).is_ok())
    };
    if !(fits(min) && fits(max)) {
        mistakes.push(source.mistake(
            at,
            "the number does not fit a register",
            "0 to 65535 for every allowed argument",
        ));
    }
}
