//! Whether each word of a message's fields does something there: a word that is taken and passed over misleads whoever wrote it.

use toml::Spanned;

use super::super::language::Field;
use super::super::mistake::{Mistake, Source, one_of};

/// What says where a field stands.
const PLACE: [&str; 3] = ["path", "always", "or_join"];
/// The steps from what stands there to a text.
const STEPS: [&str; 5] = ["decode", "nulls", "first_before", "map", "default"];
/// What a number takes.
const NUMBER: [&str; 2] = ["times", "times_up_to"];

/// The words of a field that its kind does not use. `each` and `format` are looked at elsewhere.
pub(super) fn unused(source: &Source, name: &str, field: &Spanned<Field>, mistakes: &mut Vec<Mistake>) {
    let used = used_by(name);
    for word in said(field.get_ref()).into_iter().filter(|word| !used.contains(word)) {
        let wrong = format!("{name} does not use {word}");
        mistakes.push(source.mistake(field.span(), wrong, one_of(used.iter().copied())));
    }
}

fn used_by(name: &str) -> Vec<&'static str> {
    let text = [&PLACE[..], &STEPS].concat();
    match name {
        "char_confidence" => [&["path", "split"][..], &NUMBER].concat(),
        "candidates" => [&["path", "plate", "confidence"][..], &STEPS[..4], &NUMBER].concat(),
        "bytes" => [&PLACE[..], &["decode"]].concat(),
        "bits" => [&text[..], &["each"]].concat(),
        "captured_local" => [&text[..], &["format"]].concat(),
        "confidence" | "facility" | "captured_ms" | "captured_s" | "captured_us" => [&text[..], &NUMBER].concat(),
        _ => text,
    }
}

fn said(field: &Field) -> Vec<&'static str> {
    let words = [
        ("path", field.path.is_some()),
        ("always", field.always.is_some()),
        ("or_join", !field.or_join.is_empty()),
        ("times", field.times.is_some()),
        ("times_up_to", field.times_up_to.is_some()),
        ("split", field.split.is_some()),
        ("plate", field.plate.is_some()),
        ("confidence", field.confidence.is_some()),
        ("decode", !field.decode.is_empty()),
        ("nulls", !field.nulls.is_empty()),
        ("first_before", field.first_before.is_some()),
        ("map", !field.map.is_empty()),
        ("default", field.default.is_some()),
    ];
    words.into_iter().filter(|(_, is_said)| *is_said).map(|(word, _)| word).collect()
}
