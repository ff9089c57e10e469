//! Whether a profile's commands make sense: known to the house, within bounds, repeated only where that does no harm.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::super::language::{
    Ack, Arg, ArgKind, FREE_BAYS, Guard, LOWER, PAY_SCREEN, RAISE, REFILL, Retry, SAY, SHOW, TUNNEL, WHITELIST_ADD,
    WHITELIST_DELETE,
};
use super::super::mistake::{Mistake, Source, nearest, one_of};
use super::super::{CommandOf, Profile};

/// More often than this, a device that does not answer would hold up everything else.
const RETRIES: std::ops::RangeInclusive<u8> = 1..=5;
/// Shorter, the device is still at the first one; longer, whoever asked has gone.
const RETRY_PAUSE_MS: std::ops::RangeInclusive<u64> = 10..=10_000;

/// The house's own commands, with the arguments that it gives to each.
const HOUSE: [(&str, &[&str]); 13] = [
    (RAISE, &["output", "pulse_ms"]),
    ("lower", &["output", "pulse_ms"]),
    ("tunnel", &["channel", "bytes"]),
    (SAY, &["text"]),
    (SHOW, &["lines", "text", "voice"]),
    (PAY_SCREEN, &["code", "text", "seconds"]),
    (FREE_BAYS, &["count", "text"]),
    ("trigger", &[]),
    ("read_inputs", &[]),
    ("print", &["text"]),
    (WHITELIST_ADD, &["plate", "from", "until", "from_date", "from_time", "until_date", "until_time"]),
    (WHITELIST_DELETE, &["plate"]),
    (REFILL, &["from", "count", "after"]),
];

/// Commands for which devices differ in what they take: the house gives each what it has a place for.
const OFFERED: [&str; 5] = [SHOW, PAY_SCREEN, FREE_BAYS, WHITELIST_ADD, REFILL];

/// What the house gives to a command of this name; nothing to one of an installer's.
pub(super) fn given_by_the_house(name: &str) -> &'static [&'static str] {
    HOUSE.iter().find(|(known, _)| *known == name).map_or(&[], |(_, given)| given)
}

/// What a dry talk sends must move nothing and need nothing.
pub fn question(source: &Source, profile: &Profile) -> Option<Mistake> {
    let asked = profile.head().check.as_ref()?;
    let name = asked.get_ref().as_str();
    let commands = profile.commands();
    let Some(command) = commands.iter().find(|command| command.name == name) else {
        let known = one_of(commands.iter().map(|command| command.name));
        return Some(source.mistake(asked.span(), format!("there is no command {name:?}"), known));
    };
    let needs_nothing = command.args.values().all(|arg| arg.default.is_some());
    let may_be_sent = command.guard.is_none() && !matches!(name, RAISE | LOWER | TUNNEL);
    let is_answered = matches!(command.ack, Ack::Device | Ack::LimitSwitch);
    if needs_nothing && may_be_sent && is_answered {
        return None;
    }
    let allowed = "a command without a guard and without arguments that somebody must give, with an answer; no barrier";
    Some(source.mistake(asked.span(), format!("{name} cannot be asked at any time"), allowed))
}

/// Commands of one name are one command in several ways to say it: the installation chooses by a parameter, and whatever it
/// chooses there is exactly one, of which the house knows the same.
pub fn variants(source: &Source, profile: &Profile) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let commands = profile.commands();
    for (number, command) in commands.iter().enumerate() {
        let of_name: Vec<_> = commands.iter().filter(|other| other.name == command.name).collect();
        if commands[..number].iter().any(|before| before.name == command.name)
            || (of_name.len() == 1 && command.only_if.is_empty())
        {
            continue;
        }
        let mut wrong = |wrong: String, allowed: String| {
            mistakes.push(source.mistake(command.at.clone(), wrong, allowed));
        };
        let chosen_by = command.only_if.keys().next().and_then(|name| profile.params().get_key_value(name));
        let chosen_by = chosen_by.filter(|(_, param)| !param.choices.is_empty());
        let Some((param, choices)) = chosen_by.map(|(name, param)| (name, &param.choices)) else {
            let allowed = "only_if = { PARAMETER = \"word\" } with a choice parameter, on each command of this name";
            wrong(format!("what chooses the command {} is not clear", command.name), allowed.to_owned());
            continue;
        };
        let words: Vec<&String> = of_name.iter().filter_map(|one| one.only_if.get(param)).collect();
        let is_one_for_each = words.len() == of_name.len()
            && of_name.len() == choices.len()
            && of_name.iter().all(|one| one.only_if.len() == 1)
            && choices.iter().all(|choice| words.contains(&choice));
        let is_bound = profile.params()[param].required || profile.params()[param].default.is_some();
        if !is_one_for_each || !is_bound {
            let allowed = format!("one for each of {}, and a default", one_of(choices.iter().map(String::as_str)));
            wrong(format!("{param} does not choose exactly one command {}", command.name), allowed);
        }
        let known = |one: &CommandOf| (one.is_service, one.ack, one.retry, one.args.clone(), one.guard.cloned());
        if of_name.iter().any(|one| known(one) != known(command)) {
            let allowed = "the same service, ack, retry, guard and args on each".to_owned();
            wrong(format!("the commands {} differ in what the house knows of them", command.name), allowed);
        }
    }
    mistakes
}

/// What is the same in the commands of every link.
pub(super) struct Named<'w> {
    pub name: &'w Spanned<String>,
    pub is_service: bool,
    pub ack: Ack,
    pub retry: Retry,
    pub guard: Option<&'w Guard>,
    pub args: &'w BTreeMap<String, Arg>,
}

pub(super) fn check_named(source: &Source, words: &Named, mistakes: &mut Vec<Mistake>) {
    let name = words.name.get_ref().as_str();
    let at = || words.name.span();
    let house = HOUSE.iter().find(|(known, _)| *known == name);
    match (house, words.is_service) {
        (None, false) => {
            let near = nearest(name, HOUSE.iter().map(|(known, _)| *known));
            let near = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
            let known = one_of(HOUSE.iter().map(|(known, _)| *known));
            let wrong = format!("the house has no command {name:?}{near}");
            mistakes.push(source.mistake(at(), wrong, format!("{known}; another name with service = true")));
        }
        (Some(_), true) => {
            let wrong = format!("{name} is a command of the house, not of an installer");
            mistakes.push(source.mistake(at(), wrong, "service = false, or another name"));
        }
        (Some((_, given)), false) => {
            args(source, at(), given, words.args, mistakes);
            let takes_none = !given.is_empty() && !given.iter().any(|name| words.args.contains_key(*name));
            if OFFERED.contains(&name) && takes_none {
                let wrong = format!("{name} takes nothing of what the house gives");
                mistakes.push(source.mistake(at(), wrong, one_of(given.iter().copied())));
            }
        }
        (None, true) => {}
    }
    bounds(source, at(), words.args, mistakes);
    match words.retry {
        Retry::Again(_) if name == RAISE || name == "lower" => {
            let wrong = "a barrier command is never repeated: the arm may have moved";
            mistakes.push(source.mistake(at(), wrong, "retry = \"never\""));
        }
        Retry::Again(again) if !RETRY_PAUSE_MS.contains(&again.pause_ms) => {
            let allowed = format!("{} to {}", RETRY_PAUSE_MS.start(), RETRY_PAUSE_MS.end());
            mistakes.push(source.mistake(at(), format!("a pause of {} ms", again.pause_ms), allowed));
        }
        Retry::Again(_) if !matches!(words.ack, Ack::Device | Ack::LimitSwitch) => {
            let wrong = "nothing tells whether this command must be repeated";
            mistakes.push(source.mistake(at(), wrong, "retry with ack = \"device\" or \"limit-switch\" only"));
        }
        Retry::Again(again) if !RETRIES.contains(&again.times) => {
            mistakes.push(source.mistake(at(), format!("{} repetitions", again.times), "1 to 5"));
        }
        Retry::Again(_) | Retry::Never => {}
    }
    let needs_a_plate = |guard: &Guard| guard.never || guard.needs.iter().any(|need| need == "plate");
    if name == WHITELIST_DELETE && !words.guard.is_some_and(needs_a_plate) {
        let wrong = "a delete without a plate may empty the whole list";
        mistakes.push(source.mistake(at(), wrong, "guard = { needs = [\"plate\"], because = … }"));
    }
    if words.guard.is_some_and(|guard| guard.per_day_max == Some(0)) {
        mistakes.push(source.mistake(at(), "per_day_max is 0", "1 or more; never = true for what is never sent"));
    }
    for unknown in words.guard.iter().flat_map(|guard| &guard.needs).filter(|name| !words.args.contains_key(*name)) {
        let allowed = one_of(words.args.keys().map(String::as_str));
        mistakes.push(source.mistake(
            at(),
            format!("the guard needs the argument {unknown}, which is not one"),
            allowed,
        ));
    }
}

fn args(source: &Source, at: Range<usize>, given: &[&str], args: &BTreeMap<String, Arg>, mistakes: &mut Vec<Mistake>) {
    for (name, _) in args.iter().filter(|(name, arg)| !given.contains(&name.as_str()) && arg.default.is_none()) {
        let wrong = format!("the house gives no argument {name} to this command");
        let allowed = format!("{}, or an argument with a default", one_of(given.iter().copied()));
        mistakes.push(source.mistake(at.clone(), wrong, allowed));
    }
    let is_offered = OFFERED.iter().any(|name| HOUSE.iter().any(|(known, of)| known == name && *of == given));
    // A device that times its pulse itself is told of none.
    let may_lack = |name: &str| is_offered || name == "pulse_ms";
    for name in given.iter().filter(|name| !args.contains_key(**name) && !may_lack(name)) {
        let wrong = format!("the argument {name} has no bounds");
        mistakes.push(source.mistake(at.clone(), wrong, "args with what each may be"));
    }
}

fn bounds(source: &Source, at: Range<usize>, args: &BTreeMap<String, Arg>, mistakes: &mut Vec<Mistake>) {
    for (name, arg) in args {
        let is_open = arg.kind == ArgKind::Integer && (arg.min.is_none() || arg.max.is_none());
        if is_open {
            let wrong = format!("the argument {name} has no bounds");
            mistakes.push(source.mistake(at.clone(), wrong, "min and max"));
            continue;
        }
        let (min, max) = (arg.min.unwrap_or(0), arg.max.unwrap_or(i64::MAX));
        if min < 0 || min > max || arg.step < 1 {
            let wrong = format!("{name} from {min} to {max} by {}", arg.step);
            mistakes.push(source.mistake(at.clone(), wrong, "0 <= min <= max, step of 1 or more"));
        }
    }
}
