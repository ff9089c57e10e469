//! A recorded plate with every sign that a plate may begin with, in both character sets: in GBK some of them are letters of
//! UTF-8.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::charset::SIGNS;
use super::super::statement::{Rejection, Statement};

/// How a plate stands in a text.
type Written = fn(&[u8]) -> Vec<u8>;

const FORMS: [Written; 3] = [
    <[u8]>::to_vec,
    |plate| STANDARD.encode(plate).into_bytes(),
    |plate| {
        plate
            .iter()
            .flat_map(|byte| if byte.is_ascii() { vec![*byte] } else { format!("%{byte:02X}").into_bytes() })
            .collect()
    },
];

/// How many copies of a text in UTF-8 mean the plate that stands in them, or the first that does not.
pub(super) fn of(
    whole: &[u8],
    meant: &Result<Vec<Statement>, Rejection>,
    decode: impl Fn(&[u8]) -> Result<Vec<Statement>, Rejection>,
) -> Result<usize, String> {
    let Some(plate) = meant.as_deref().ok().and_then(plate_of) else { return Ok(0) };
    let Some(rest) = plate.strip_prefix(|c| SIGNS.contains(c)) else { return Ok(0) };
    let mut count = 0;
    for written in FORMS {
        let here = written(plate.as_bytes());
        if !stands_alone(whole, &here) {
            continue;
        }
        for sign in SIGNS.chars() {
            let other = format!("{sign}{rest}");
            let in_utf8 = replaced(whole, &here, &written(other.as_bytes()));
            let in_gbk = match std::str::from_utf8(&in_utf8) {
                // What says itself that it is ASCII has the other character set within.
                Ok(text) if text.is_ascii() => replaced(whole, &here, &written(&encoding_rs::GBK.encode(&other).0)),
                Ok(text) => encoding_rs::GBK.encode(text).0.into_owned(),
                Err(_) => return Ok(count),
            };
            for (copy, how, may_be_rejected) in [(in_utf8, "UTF-8", false), (in_gbk, "GBK", true)] {
                count += 1;
                let found = decode(&copy);
                let is_right = found.as_deref().map_or(may_be_rejected, |says| plate_of(says) == Some(&other));
                if !is_right {
                    return Err(format!("with {sign} in {how} it is another plate, or none"));
                }
            }
        }
    }
    Ok(count)
}

fn plate_of(says: &[Statement]) -> Option<&str> {
    match says {
        [Statement::PlateRead(read)] => read.plate.as_ref().map(|plate| plate.as_str()),
        _ => None,
    }
}

/// Whether it is there, and is nowhere a part of something longer.
fn stands_alone(whole: &[u8], what: &[u8]) -> bool {
    let ends: Vec<usize> = memchr::memmem::find_iter(whole, what).map(|at| at + what.len()).collect();
    let goes_on =
        |end: &usize| whole.get(*end).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+/=|%".contains(byte));
    !ends.is_empty() && !ends.iter().any(goes_on)
}

fn replaced(whole: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(whole.len() + new.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(whole, old) {
        out.extend_from_slice(&whole[from..at]);
        out.extend_from_slice(new);
        from = at + old.len();
    }
    out.extend_from_slice(&whole[from..]);
    out
}
