//! Whether a profile for card readers makes sense: every bit that it names is there.

use toml::Spanned;

use super::super::language::reader::{CardFormat, OsdpWords, WiegandWords};
use super::super::mistake::{Mistake, Source};
use super::{POLL_MS, REPLY_MS, address, head, unused, within};

/// Bits of a card; the longest in the field have 64.
const BITS: std::ops::RangeInclusive<usize> = 4..=256;
/// Bits of a number that is kept as one.
const NUMBER_BITS_MAX: usize = 64;
/// A reader sends a bit every 1 or 2 ms.
const GAP_MS: std::ops::RangeInclusive<u64> = 5..=500;

/// The mistakes of a profile for a reader with two data wires.
pub fn wiegand(source: &Source, words: &WiegandWords) -> Vec<Mistake> {
    let mut mistakes = head(source, &words.profile, &words.params);
    within(source, &words.gap_ms, &GAP_MS, "gap_ms", &mut mistakes);
    cards(source, &words.cards, &mut mistakes);
    unused::only_address(source, &words.profile, &words.params, &mut mistakes);
    mistakes
}

/// The mistakes of a profile for a reader on an OSDP bus.
pub fn osdp(source: &Source, words: &OsdpWords) -> Vec<Mistake> {
    let mut mistakes = head(source, &words.profile, &words.params);
    address(source, &words.profile, &words.params, 126, &mut mistakes);
    within(source, &words.every_ms, &POLL_MS, "every_ms", &mut mistakes);
    within(source, &words.reply_timeout_ms, &REPLY_MS, "reply_timeout_ms", &mut mistakes);
    cards(source, &words.cards, &mut mistakes);
    unused::only_address(source, &words.profile, &words.params, &mut mistakes);
    mistakes
}

fn cards(source: &Source, cards: &[Spanned<CardFormat>], mistakes: &mut Vec<Mistake>) {
    for card in cards {
        let words = card.get_ref();
        let mut wrong = |wrong: String, allowed: String| mistakes.push(source.mistake(card.span(), wrong, allowed));
        if !BITS.contains(&words.bits) {
            wrong(format!("a card of {} bits", words.bits), format!("{} to {}", BITS.start(), BITS.end()));
        }
        let spans = words.parity.iter().map(|parity| parity.over).chain([words.number]).chain(words.facility);
        for [first, last] in spans.filter(|[first, last]| first > last || *last >= words.bits) {
            let allowed = format!("first and last bit from 0 to {}", words.bits.saturating_sub(1));
            wrong(format!("the bits {first} to {last} are not there"), allowed);
        }
        for parity in words.parity.iter().filter(|parity| parity.at >= words.bits) {
            wrong(
                format!("the parity bit {} is not there", parity.at),
                format!("0 to {}", words.bits.saturating_sub(1)),
            );
        }
        for [first, last] in [words.number].into_iter().chain(words.facility) {
            if last.saturating_sub(first) >= NUMBER_BITS_MAX {
                wrong(format!("the number of bits {first} to {last} is too long"), "at most 64 bits".to_owned());
            }
        }
    }
}
