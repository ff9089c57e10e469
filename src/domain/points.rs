//! Points: which grants pay for what.

use serde::{Deserialize, Serialize};

use super::event::{GrantId, MemberId, Points, Purse};

/// A part of an amount of points, taken from one grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The grant.
    pub grant: GrantId,
    /// How many points of it.
    pub points: Points,
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

/// The pocket for what this box's tills earned for a member: it needs no grant, it was born here.
pub fn born(member: &MemberId) -> GrantId {
    GrantId(format!("born:{member}"))
}

/// What a purse holds in all.
pub fn usable(purse: &Purse) -> Points {
    Points(purse.values().map(|points| points.0).sum())
}

/// The parts that make up `points`, or nothing where the purse holds less. Grants go before born points, because a
/// grant left open keeps points from the member elsewhere.
pub fn take(purse: &Purse, points: Points) -> Option<Vec<Part>> {
    assert!(points.0 > 0, "nothing is never taken");
    let mut wanted = points.0;
    let mut parts = Vec::new();
    for (grant, remaining) in purse {
        let part = wanted.min(remaining.0);
        if part > 0 {
            parts.push(Part { grant: grant.clone(), points: Points(part) });
            wanted -= part;
        }
    }
    (wanted == 0).then_some(parts)
}

/// What a purse holds after `parts`, which were taken from it, are gone.
pub fn lower(purse: &mut Purse, parts: &[Part]) {
    for part in parts {
        let remaining = purse.get_mut(&part.grant).expect("parts are taken from this purse");
        remaining.0 -= part.points.0;
        assert!(remaining.0 >= 0, "a part is never more than its grant holds");
    }
}

/// Everything that a purse holds, as parts.
pub fn all(purse: &Purse) -> Vec<Part> {
    purse
        .iter()
        .filter(|(_, remaining)| remaining.0 > 0)
        .map(|(grant, remaining)| Part { grant: grant.clone(), points: *remaining })
        .collect()
}

/// What parts add up to.
pub fn sum(parts: &[Part]) -> Points {
    Points(parts.iter().map(|part| part.points.0).sum())
}

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
            let purse: Purse = held.iter().map(|(g, p)| (GrantId(g.clone()), Points(*p))).collect();
            match take(&purse, Points(wanted)) {
                Some(parts) => {
                    prop_assert_eq!(sum(&parts), Points(wanted));
                    prop_assert!(parts.iter().all(|p| p.points.0 > 0 && p.points <= purse[&p.grant]));
                }
                None => prop_assert!(usable(&purse).0 < wanted),
            }
        }
    }

    #[test]
    fn grants_are_spent_before_born_points() {
        let member = MemberId::from("M1");
        let purse = Purse::from([(born(&member), Points(50)), (GrantId::from("G-2"), Points(30))]);
        let parts = take(&purse, Points(40)).expect("80 are there");
        assert_eq!(parts[0], Part { grant: GrantId::from("G-2"), points: Points(30) });
        assert_eq!(parts[1], Part { grant: born(&member), points: Points(10) });
    }
}
