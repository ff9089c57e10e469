//! Who may ask and act at a site: tills, scanners and operators with one name each, and the keys that sign members' phones.

use toml::Spanned;

use super::{File, MembersConfig, NAME_ALLOWED, is_name};
use crate::member_code::Keys;
use crate::profile::mistake::{Mistake, Source};

/// Names that two have, that nobody can have, and scanners that stand nowhere.
pub(super) fn people(file: &File, source: &Source<'_>, mistakes: &mut Vec<Mistake>) {
    let tills = file.terminals.iter().map(|terminal| ("terminal", terminal.id.as_str()));
    let staff = file.operators.iter().map(|operator| ("operator", operator.id.as_str()));
    let merchants = file.merchants.iter().map(|merchant| ("merchant", merchant.id.as_str()));
    let mut seen = std::collections::BTreeSet::new();
    let scanners = file.scanners.iter().map(|scanner| ("scanner", scanner.id.as_str()));
    for (what, id) in tills.chain(staff).chain(scanners).chain(merchants) {
        // The room that owns these settings keeps no places; the name's last mention is the one that is wrong.
        let at = source.text.rfind(&format!("\"{id}\"")).unwrap_or(0);
        let at = at..at + id.len();
        // A merchant is called as in contracts and statements.
        if what != "merchant" && !is_name(id) {
            mistakes.push(source.mistake(at.clone(), format!("{id:?} is no {what}'s name"), NAME_ALLOWED));
        }
        if !seen.insert((what, id)) {
            mistakes.push(source.mistake(at, format!("two {what}s have the name {id:?}"), "one name each"));
        }
    }
    for scanner in &file.scanners {
        let at = source.text.rfind(&format!("\"{}\"", scanner.id)).unwrap_or(0);
        let at = at..at + scanner.id.len();
        if scanner.terminal.is_some() == scanner.lane.is_some() {
            let wrong = format!("the scanner {:?} stands at no one place", scanner.id);
            mistakes.push(source.mistake(at.clone(), wrong, "exactly one of terminal and lane"));
        }
        if scanner.token.is_none() && scanner.port.is_none() {
            let wrong = format!("nobody can hear the scanner {:?}", scanner.id);
            mistakes.push(source.mistake(at, wrong, "a port, a token, or both"));
        }
    }
}

/// Reads the keys of `[members]`.
pub(super) fn code_keys(members: &MembersConfig, source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> Keys {
    let texts: Vec<String> = members.code_keys.iter().map(|key| key.get_ref().clone()).collect();
    Keys::named(&texts).unwrap_or_else(|wrong| {
        let span = members.code_keys.iter().find(|key| *key.get_ref() == wrong).map_or(0..0, Spanned::span);
        mistakes.push(source.mistake(span, format!("{wrong:?} is no public key"), "32 bytes in base64"));
        Keys::default()
    })
}
