//! Points: which grants pay for what, and in which order they are taken.

use serde::{Deserialize, Serialize};

use super::event::{GrantId, OpId, Points, UtcMs};

/// A part of an amount of points, taken from one grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The grant.
    pub grant: GrantId,
    /// How many points of it.
    pub points: Points,
}

/// What a grant's points may be spent on: the terms of the lot that the cloud ledger cut it from. A field that this
/// version does not know belongs to the ledger and is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lot {
    /// The ledger's name of the lot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who issued the points.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// Who pays for them when they are spent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub funder: String,
    /// What they were given for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The share of their worth that is settled, in basis points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_bps: Option<u32>,
    /// Before this moment they cannot be spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from_ms: Option<UtcMs>,
    /// From this moment on they cannot be spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<UtcMs>,
    /// The boxes where they can be spent; empty where that is everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// When in the week they can be spent, by the site's own time; nothing where that is always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<Vec<Window>>,
}

/// A part of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The days, from Monday = 1.
    pub days: Vec<u8>,
    /// The first minute of the day.
    pub from_min: u16,
    /// The minute of the day before which it ends.
    pub to_min: u16,
}

/// A moment and a place where points are to be spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Till<'a> {
    /// The box.
    pub box_id: &'a str,
    /// The moment.
    pub at: UtcMs,
    /// The day of the week by the site's own time, from Monday = 1.
    pub day: u8,
    /// The minute of that day.
    pub minute: u16,
}

impl Lot {
    /// Whether nothing is known of the lot, so that its points may be spent anywhere at any time.
    pub fn is_unrestricted(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the lot's points may be spent there and then.
    pub fn is_valid(&self, till: &Till<'_>) -> bool {
        let is_here = self.places.is_empty() || self.places.iter().any(|place| place == till.box_id);
        let has_begun = self.valid_from_ms.is_none_or(|from| from <= till.at);
        let is_in = |window: &Window| {
            window.days.contains(&till.day) && (window.from_min..window.to_min).contains(&till.minute)
        };
        let is_time = self.times.as_ref().is_none_or(|windows| windows.iter().any(is_in));
        is_here && is_time && has_begun && self.expires_ms.is_none_or(|until| till.at < until)
    }

    fn is_restricted(&self) -> bool {
        !self.places.is_empty() || self.times.is_some()
    }
}

/// What is left of one grant, with what decides when it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pocket {
    /// The grant.
    pub grant: GrantId,
    /// What is left of it.
    pub remaining: Points,
    /// What its points may be spent on.
    pub lot: Lot,
    /// The entry that brought it: the smaller, the older.
    pub since: u64,
}

impl Pocket {
    /// First what is lost first, then what fits the fewest purposes, then the oldest.
    fn order(&self) -> (i64, bool, u64, &GrantId) {
        let expires = self.lot.expires_ms.map_or(i64::MAX, |at| at.0);
        (expires, !self.lot.is_restricted(), self.since, &self.grant)
    }
}

/// The points of one member that a box may spend, in the order in which they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purse {
    pockets: Vec<Pocket>,
}

impl Purse {
    /// An empty purse.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a pocket where its turn is.
    pub fn add(&mut self, pocket: Pocket) {
        let at = self.pockets.partition_point(|other| other.order() < pocket.order());
        self.pockets.insert(at, pocket);
    }

    /// The pockets, the first to be taken first.
    pub fn pockets(&self) -> &[Pocket] {
        &self.pockets
    }

    /// Only what may be spent there and then.
    pub fn valid(&self, till: &Till<'_>) -> Self {
        let pockets = self.pockets.iter().filter(|pocket| pocket.lot.is_valid(till)).cloned().collect();
        Self { pockets }
    }
}

impl FromIterator<Pocket> for Purse {
    fn from_iter<I: IntoIterator<Item = Pocket>>(pockets: I) -> Self {
        let mut pockets: Vec<Pocket> = pockets.into_iter().collect();
        pockets.sort_by(|a, b| a.order().cmp(&b.order()));
        Self { pockets }
    }
}

/// The most that one amount of points may be, as in `docs/cloud-api.md`: a larger one is a mistake, and keeps every sum
/// far inside 64 bits.
pub const POINTS_MAX: i64 = 1_000_000_000;
/// The longest name of a grant, as in `docs/cloud-api.md`.
const GRANT_CHARS_MAX: usize = 128;

/// Whether a grant may have this name: not one of the pockets that are born here, and no longer than the ledger says.
pub fn is_clouds(grant: &GrantId) -> bool {
    !grant.0.is_empty() && !grant.0.starts_with("born:") && grant.0.chars().count() <= GRANT_CHARS_MAX
}

/// The pocket for what this box's tills earned by one effect: it needs no grant, it was born here.
pub fn born(earning: &OpId) -> GrantId {
    GrantId(format!("born:{earning}"))
}

/// What a purse holds in all.
pub fn usable(purse: &Purse) -> Points {
    Points(purse.pockets.iter().map(|pocket| pocket.remaining.0).sum())
}

/// The parts that make up `points`, or nothing where the purse holds less.
pub fn take(purse: &Purse, points: Points) -> Option<Vec<Part>> {
    assert!(points.0 > 0, "nothing is never taken");
    let mut wanted = points.0;
    let mut parts = Vec::new();
    for pocket in &purse.pockets {
        let part = wanted.min(pocket.remaining.0);
        if part > 0 {
            parts.push(Part { grant: pocket.grant.clone(), points: Points(part) });
            wanted -= part;
        }
    }
    (wanted == 0).then_some(parts)
}

/// What a purse holds after `parts`, which were taken from it, are gone.
pub fn lower(purse: &mut Purse, parts: &[Part]) {
    for part in parts {
        let pocket = purse.pockets.iter_mut().find(|pocket| pocket.grant == part.grant);
        let remaining = &mut pocket.expect("parts are taken from this purse").remaining;
        remaining.0 -= part.points.0;
        assert!(remaining.0 >= 0, "a part is never more than its grant holds");
    }
}

/// Everything that a purse holds, as parts.
pub fn all(purse: &Purse) -> Vec<Part> {
    let held = purse.pockets.iter().filter(|pocket| pocket.remaining.0 > 0);
    held.map(|pocket| Part { grant: pocket.grant.clone(), points: pocket.remaining }).collect()
}

/// What a purse holds beyond `keep`: the pockets that would be taken last stay, because they last longest.
pub fn beyond(purse: &Purse, keep: Points) -> Vec<Part> {
    let spare = usable(purse).0 - keep.0.max(0);
    if spare > 0 { take(purse, Points(spare)).unwrap_or_default() } else { Vec::new() }
}

/// Parts without others that were taken from them.
pub fn less(parts: &mut Vec<Part>, gone: &[Part]) {
    for gone in gone {
        if let Some(part) = parts.iter_mut().find(|part| part.grant == gone.grant) {
            part.points.0 -= gone.points.0;
        }
    }
    parts.retain(|part| part.points.0 > 0);
}

/// What parts add up to.
pub fn sum(parts: &[Part]) -> Points {
    Points(parts.iter().map(|part| part.points.0).sum())
}

/// The amount that 95 of 100 spends do not exceed; none where there are too few to tell.
pub fn usual_most(mut spends: Vec<Points>) -> Option<Points> {
    if spends.len() < SPENDS_TO_TELL {
        return None;
    }
    spends.sort_unstable();
    let rank = (spends.len() * 95).div_ceil(100);
    spends.get(rank - 1).copied()
}

/// With fewer spends than this the highest of them would speak alone.
const SPENDS_TO_TELL: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn taking_gives_exactly_what_was_asked_or_nothing(
            held in proptest::collection::btree_map("[a-z]{1,3}", 0_i64..200, 0..6),
            wanted in 1_i64..600,
        ) {
            let purse: Purse = held.iter().map(|(g, p)| pocket(g, *p, None, &[], 1)).collect();
            match take(&purse, Points(wanted)) {
                Some(parts) => {
                    prop_assert_eq!(sum(&parts), Points(wanted));
                    prop_assert!(parts.iter().all(|p| p.points.0 > 0 && p.points.0 <= held[p.grant.as_str()]));
                }
                None => prop_assert!(usable(&purse).0 < wanted),
            }
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(order in Just((0..6).collect::<Vec<_>>()).prop_shuffle()) {
            let all = [
                pocket("a", 1, Some(9), &[], 1), pocket("b", 1, Some(5), &[], 4), pocket("c", 1, None, &["b1"], 3),
                pocket("d", 1, None, &[], 2), pocket("e", 1, None, &[], 5), pocket("f", 1, Some(9), &["b1"], 6),
            ];
            let mut purse = Purse::new();
            order.iter().for_each(|n: &usize| purse.add(all[*n].clone()));
            let names: Vec<&str> = purse.pockets().iter().map(|p| p.grant.as_str()).collect();
            prop_assert_eq!(names, ["b", "f", "a", "c", "d", "e"]);
            prop_assert_eq!(purse, all.into_iter().collect::<Purse>());
        }
    }

    #[test]
    fn a_lot_counts_only_where_and_while_it_is_valid() {
        let purse: Purse = [
            pocket("gone", 10, Some(1000), &[], 1),
            pocket("elsewhere", 20, None, &["box-2"], 2),
            pocket("here", 30, Some(1001), &["box-1", "box-2"], 3),
        ]
        .into_iter()
        .collect();
        let till = |box_id, at| Till { box_id, at: UtcMs(at), day: 6, minute: 600 };
        assert_eq!(usable(&purse.valid(&till("box-1", 1000))), Points(30));
        assert_eq!(usable(&purse.valid(&till("box-2", 999))), Points(60));
        let mut lot = Lot { valid_from_ms: Some(UtcMs(7)), ..Lot::default() };
        assert!(!lot.is_valid(&till("box-1", 6)) && lot.is_valid(&till("box-1", 7)));
        for (days, from_min, to_min, expect) in [
            (vec![6, 7], 600, 601, true),
            (vec![6], 601, 700, false),
            (vec![5], 0, 1440, false),
            (vec![6], 0, 600, false),
        ] {
            lot.times = Some(vec![Window { days, from_min, to_min }]);
            assert_eq!(lot.is_valid(&till("box-1", 7)), expect, "{lot:?}");
        }
    }

    #[test]
    fn what_goes_beyond_a_share_is_taken_in_turn() {
        let purse: Purse =
            [pocket("first", 30, Some(5), &[], 1), pocket("last", 40, None, &[], 2)].into_iter().collect();
        assert_eq!(beyond(&purse, Points(70)), []);
        assert_eq!(beyond(&purse, Points(35)).iter().map(|p| p.points.0).collect::<Vec<_>>(), [30, 5]);
    }

    #[test]
    fn ninety_five_of_a_hundred_spends_are_covered() {
        assert_eq!(usual_most((1..=100).map(Points).collect()), Some(Points(95)));
        assert_eq!(usual_most((1..=20).rev().map(Points).collect()), Some(Points(19)));
        assert_eq!(usual_most((1..=19).map(Points).collect()), None);
    }

    fn pocket(grant: &str, points: i64, expires: Option<i64>, places: &[&str], since: u64) -> Pocket {
        let places = places.iter().map(|&place| place.to_owned()).collect();
        let lot = Lot { expires_ms: expires.map(UtcMs), places, ..Lot::default() };
        Pocket { grant: grant.into(), remaining: Points(points), lot, since }
    }
}
