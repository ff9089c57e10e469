//! The rules that are in use elsewhere, for the same exits: exact, unique within one character, nearest within two.

use std::collections::BTreeMap;

use super::generator::Read;

/// All entries of a lot, as these rules see them.
pub(super) struct Rules {
    by_length: BTreeMap<usize, Vec<(usize, Vec<char>)>>,
}

/// What the rules say of one exit: the vehicle, or none where a person must look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdicts {
    /// The plate is equal.
    pub exact: Option<usize>,
    /// One plate alone differs in no more than one character.
    pub unique_within_one: Option<usize>,
    /// One plate alone is nearest, and differs in no more than two.
    pub nearest_within_two: Option<usize>,
}

impl Rules {
    pub(super) fn of(entries: &[Read]) -> Self {
        let mut by_length: BTreeMap<usize, Vec<(usize, Vec<char>)>> = BTreeMap::new();
        for (number, entry) in entries.iter().enumerate() {
            let chars: Vec<char> = entry.text.chars().collect();
            by_length.entry(chars.len()).or_default().push((number, chars));
        }
        Self { by_length }
    }

    pub(super) fn apply(&self, read: &str) -> Verdicts {
        let read: Vec<char> = read.chars().collect();
        let mut found: [Vec<usize>; 3] = Default::default();
        for (number, entry) in self.by_length.get(&read.len()).map_or(&[][..], Vec::as_slice) {
            let differing = entry.iter().zip(&read).filter(|(a, b)| a != b).take(3).count();
            if let Some(at) = found.get_mut(differing) {
                at.push(*number);
            }
        }
        let only = |numbers: &[usize]| if let [one] = numbers { Some(*one) } else { None };
        let within_one: Vec<usize> = found[..2].concat();
        let nearest = found.iter().find(|numbers| !numbers.is_empty());
        Verdicts {
            exact: only(&found[0]),
            unique_within_one: only(&within_one),
            nearest_within_two: nearest.and_then(|numbers| only(numbers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_what_it_says() {
        check(&["AB123", "AB124"], "AB123", (Some(0), None, Some(0)));
        check(&["AB123", "AB199"], "AB124", (None, Some(0), Some(0)));
        check(&["AB123", "AB199"], "AB133", (None, Some(0), Some(0)));
        check(&["AB123", "AB200"], "AB145", (None, None, Some(0)));
        check(&["AB123", "AB145"], "AB167", (None, None, None));
        check(&["AB123"], "AB1234", (None, None, None));
    }

    fn check(entries: &[&str], read: &str, expect: (Option<usize>, Option<usize>, Option<usize>)) {
        let entries: Vec<Read> =
            entries.iter().map(|text| Read { text: (*text).to_owned(), sure: Vec::new() }).collect();
        let found = Rules::of(&entries).apply(read);
        assert_eq!((found.exact, found.unique_within_one, found.nearest_within_two), expect, "{read}");
    }
}
