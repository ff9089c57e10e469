//! What the settings say for a device: each parameter of its profile with its kind and its bounds.

use std::collections::BTreeMap;

use super::language::{Param, ParamKind};
use super::mistake::one_of;
use super::template::{Value, Values};

/// Why parameters do not fit a profile: which one, what is wrong, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub wrong: String,
    /// What is allowed.
    pub allowed: String,
}

/// The values of a device's parameters, or everything that is wrong with what the settings say.
pub(super) fn bound(
    known: &BTreeMap<String, Param>,
    given: &BTreeMap<String, toml::Value>,
) -> Result<Values, Vec<BadParam>> {
    let mut values = Values::new();
    let mut mistakes = Vec::new();
    for name in given.keys().filter(|name| !known.contains_key(*name)) {
        mistakes.push(BadParam {
            name: name.clone(),
            wrong: format!("the profile has no parameter {name}"),
            allowed: one_of(known.keys().map(String::as_str)),
        });
    }
    for (name, param) in known {
        let Some(value) = given.get(name).or_else(|| param.default.as_ref().map(|default| default.get_ref())) else {
            if param.required {
                let (wrong, allowed) = (format!("the parameter {name} is missing"), param.help.clone());
                mistakes.push(BadParam { name: name.clone(), wrong, allowed });
            }
            continue;
        };
        match param_value(param, value) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(allowed) => {
                let wrong = format!("the parameter {name} is {value}");
                mistakes.push(BadParam { name: name.clone(), wrong, allowed });
            }
        }
    }
    if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
}

/// The longest parameter: every topic and every message holds it.
const PARAM_CHARS_MAX: usize = 100;

/// One value, or what is allowed instead.
pub(super) fn param_value(param: &Param, value: &toml::Value) -> Result<Value, String> {
    let odd: &[char] = match param.kind {
        ParamKind::Integer => {
            let (min, max) = (param.min.unwrap_or(i64::MIN), param.max.unwrap_or(i64::MAX));
            return match value.as_integer() {
                Some(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
                Some(_) | None => Err(format!("a whole number from {min} to {max}: {}", param.help)),
            };
        }
        ParamKind::Choice => {
            let is_one = value.as_str().is_some_and(|word| param.choices.iter().any(|choice| choice == word));
            return match value.as_str().filter(|_| is_one) {
                Some(word) => Ok(Value::Text(word.to_owned())),
                None => Err(format!("{}: {}", one_of(param.choices.iter().map(String::as_str)), param.help)),
            };
        }
        ParamKind::Text => &['/', '+', '#', '{', '}'],
        ParamKind::Topic => &['+', '#', '{', '}'],
    };
    let allowed = || format!("1 to {PARAM_CHARS_MAX} characters, none of {}: {}", String::from_iter(odd), param.help);
    let text = value.as_str().ok_or_else(allowed)?;
    let is_right = (1..=PARAM_CHARS_MAX).contains(&text.chars().count())
        && !text.contains(odd)
        && !text.contains(char::is_control);
    if is_right { Ok(Value::Text(text.to_owned())) } else { Err(allowed()) }
}
