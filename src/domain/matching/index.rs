//! Finds the known plates that differ a little from a read one, among a million, without looking at most of them.
//!
//! A plate is cut into four blocks of two or three signs. The index keeps every packed plate several times, each time
//! with other blocks moved to the end, and each of these orders sorted. Whatever differs in the moved blocks only,
//! stands together in that order. With one block moved at a time one changed sign is found, with two at a time any two.
//! A missing sign shifts the rest, so the read is shifted to and fro and looked up again.

use super::symbols::{PACKED_SIGNS, Packed};

/// How many entries one search may look at; a fleet of near-identical plates must not hold up a lane.
pub const VISITED_MAX: usize = 65_536;
/// How many near plates one search may bring; more cannot be told apart by their text anyway.
pub const FOUND_MAX: usize = 256;

/// Entries in a chunk before it is cut in two: inserting moves half of this at most.
const CHUNK_MAX: usize = 1024;
/// Entries in a chunk when many plates come at once, so that the first inserts find room.
const CHUNK_FILL: usize = 960;

/// How far plates may be apart to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One sign changed, missing or too many: for members' plates, a million of them.
    One,
    /// Two signs changed, or one missing or too many and one changed: for open stays.
    Two,
}

/// A set of packed plates that is asked for what is near.
#[derive(Clone, Debug)]
pub struct Index {
    reach: Reach,
    orders: Vec<Order>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near {
    /// Plates within reach, the same one first where it is there, in no other order of meaning.
    pub found: Vec<Packed>,
    /// Whether a limit ended the search: there may be more.
    pub is_cut: bool,
    /// How many entries were looked at; never more than [`VISITED_MAX`].
    pub visited: usize,
}

impl Index {
    /// An empty index.
    pub fn new(reach: Reach) -> Self {
        Self::of(reach, Vec::new())
    }

    /// An index of many plates; the same plate twice counts once.
    pub fn of(reach: Reach, mut plates: Vec<Packed>) -> Self {
        plates.sort_unstable();
        plates.dedup();
        let orders = moved(reach).iter().map(|moved| Order::of(*moved, &plates)).collect();
        Self { reach, orders }
    }

    /// How many plates.
    pub fn len(&self) -> usize {
        self.orders[0].chunks.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        let chunk = |chunk: &Vec<u64>| chunk.capacity() * 8 + size_of::<Vec<u64>>();
        self.orders.iter().map(|order| order.chunks.iter().map(chunk).sum::<usize>()).sum()
    }

    /// Adds a plate; false where it was there.
    pub fn insert(&mut self, plate: Packed) -> bool {
        self.orders.iter_mut().fold(true, |_, order| order.insert(plate))
    }

    /// Takes a plate out; false where it was not there.
    pub fn remove(&mut self, plate: Packed) -> bool {
        self.orders.iter_mut().fold(true, |_, order| order.remove(plate))
    }

    /// Whether this very plate is there.
    pub fn contains(&self, plate: Packed) -> bool {
        let order = &self.orders[0];
        let word = order.moved.to_end(plate);
        order.chunks.get(order.chunk_of(word)).is_some_and(|chunk| chunk.binary_search(&word).is_ok())
    }

    /// The plates near `read`: itself first, then those that a few signs set apart.
    pub fn near(&self, read: Packed) -> Near {
        let mut search = Search { read, reach: self.reach, near: Near::default() };
        if read.is_empty() {
            return search.near;
        }
        if self.contains(read) {
            search.near.found.push(read);
        }
        for order in &self.orders {
            search.along(order, read);
        }
        self.with_one_more(&mut search);
        self.with_one_less(&mut search);
        search.near
    }

    /// Plates that have a sign which the read lacks: the gap is tried at every place, in the orders that move it away.
    fn with_one_more(&self, search: &mut Search) {
        if search.read.len() == PACKED_SIGNS {
            return;
        }
        for order in &self.orders {
            let mut last = None;
            for gap in 0..=search.read.len() {
                let shifted = with_gap(search.read, gap);
                let kept = order.moved.kept(shifted);
                if order.moved.moves(gap) && last != Some(kept) {
                    last = Some(kept);
                    search.along(order, shifted);
                }
            }
        }
    }

    /// Plates that lack a sign which the read has. Where only this may differ, one order is enough; where another sign
    /// may have changed too, the orders must move every block once.
    fn with_one_less(&self, search: &mut Search) {
        let orders = match self.reach {
            Reach::One => &self.orders[..1],
            Reach::Two => &self.orders[..2],
        };
        let mut last = None;
        for place in 0..search.read.len() {
            let shorter = without(search.read, place);
            if last != Some(shorter) {
                last = Some(shorter);
                orders.iter().for_each(|order| search.along(order, shorter));
            }
        }
    }
}

/// One search on its way.
struct Search {
    read: Packed,
    reach: Reach,
    near: Near,
}

impl Search {
    /// Looks at everything that has `pattern`'s kept blocks.
    fn along(&mut self, order: &Order, pattern: Packed) {
        let (low, high) = order.moved.range(pattern);
        let first = order.chunk_of(low);
        for chunk in &order.chunks[first.min(order.chunks.len())..] {
            let start = chunk.partition_point(|word| *word < low);
            for word in &chunk[start..] {
                if *word > high {
                    return;
                }
                if self.near.visited >= VISITED_MAX {
                    self.near.is_cut = true;
                    return;
                }
                self.near.visited += 1;
                let plate = order.moved.back(*word);
                if plate != self.read && is_near(self.reach, self.read, plate) {
                    self.add(plate);
                }
            }
        }
    }

    fn add(&mut self, plate: Packed) {
        if self.near.found.contains(&plate) {
            return;
        }
        if self.near.found.len() >= FOUND_MAX {
            self.near.is_cut = true;
            return;
        }
        self.near.found.push(plate);
    }
}

/// Whether two plates are within reach of each other.
pub fn is_near(reach: Reach, one: Packed, other: Packed) -> bool {
    let changed = match reach {
        Reach::One => 1,
        Reach::Two => 2,
    };
    let (left, right) = (one.len(), other.len());
    if left == right {
        return differences(one.0 ^ other.0) <= changed;
    }
    let (long, short) = if left > right { (one, other) } else { (other, one) };
    left.abs_diff(right) == 1 && (0..long.len()).any(|gap| differences(without(long, gap).0 ^ short.0) < changed)
}

/// How many of the nine signs are not 0.
fn differences(mut word: u64) -> u32 {
    let mut count = 0;
    while word != 0 {
        count += 1;
        // Clears the highest sign that is not 0.
        let place = (62 - word.leading_zeros().saturating_sub(1)) / 7;
        word &= (1 << (place * 7)) - 1;
    }
    count
}

/// The plate with room for a sign at `gap`; the room is 0, which stands on no plate.
fn with_gap(plate: Packed, gap: usize) -> Packed {
    let below = low_bits((PACKED_SIGNS - gap) * 7);
    Packed((plate.0 & !below) | ((plate.0 & below) >> 7))
}

/// The plate without the sign at `place`.
pub(super) fn without(plate: Packed, place: usize) -> Packed {
    let from = low_bits((PACKED_SIGNS - place) * 7);
    let after = low_bits((PACKED_SIGNS - 1 - place) * 7);
    Packed((plate.0 & !from) | ((plate.0 & after) << 7))
}

fn low_bits(count: usize) -> u64 {
    (1 << count) - 1
}

/// The blocks: where each begins and ends, in bits from the lowest. Signs 0-1, 2-3, 4-5 and 6-8.
const BLOCKS: [(u32, u32); 4] = [(49, 63), (35, 49), (21, 35), (0, 21)];

/// One sorted order of all plates.
#[derive(Clone, Debug)]
struct Order {
    moved: Moved,
    /// Sorted, none of them empty, each below the next.
    chunks: Vec<Vec<u64>>,
}

impl Order {
    fn of(moved: Moved, plates: &[Packed]) -> Self {
        let mut words: Vec<u64> = plates.iter().map(|plate| moved.to_end(*plate)).collect();
        words.sort_unstable();
        let chunks = words
            .chunks(CHUNK_FILL)
            .map(|words| {
                let mut chunk = Vec::with_capacity(CHUNK_MAX);
                chunk.extend_from_slice(words);
                chunk
            })
            .collect();
        Self { moved, chunks }
    }

    /// The first chunk that may hold `word` or what is above it.
    fn chunk_of(&self, word: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < word))
    }

    fn insert(&mut self, plate: Packed) -> bool {
        let word = self.moved.to_end(plate);
        let place = self.chunk_of(word).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(place) else {
            self.chunks.push(vec![word]);
            return true;
        };
        let Err(at) = chunk.binary_search(&word) else { return false };
        chunk.insert(at, word);
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            chunk.shrink_to(CHUNK_MAX / 2 + CHUNK_MAX / 4);
            self.chunks.insert(place + 1, upper);
        }
        true
    }

    fn remove(&mut self, plate: Packed) -> bool {
        let word = self.moved.to_end(plate);
        let place = self.chunk_of(word);
        let Some(chunk) = self.chunks.get_mut(place) else { return false };
        let Ok(at) = chunk.binary_search(&word) else { return false };
        chunk.remove(at);
        if chunk.is_empty() {
            self.chunks.remove(place);
        }
        true
    }
}

/// Which blocks an order moves to the end, as a mask of the four.
#[derive(Clone, Copy, Debug)]
struct Moved(u8);

/// The orders of each reach. For two, the first two orders together move every block.
fn moved(reach: Reach) -> &'static [Moved] {
    match reach {
        Reach::One => &[Moved(0b0001), Moved(0b0010), Moved(0b0100), Moved(0b1000)],
        Reach::Two => &[Moved(0b0011), Moved(0b1100), Moved(0b0101), Moved(0b0110), Moved(0b1001), Moved(0b1010)],
    }
}

impl Moved {
    /// The word of a plate in this order: the kept blocks above the moved ones.
    fn to_end(self, plate: Packed) -> u64 {
        let mut word = 0;
        for is_moved in [false, true] {
            for (block, (low, high)) in BLOCKS.iter().enumerate() {
                if (self.0 >> block & 1 == 1) == is_moved {
                    word = word << (high - low) | (plate.0 >> low & ((1 << (high - low)) - 1));
                }
            }
        }
        word
    }

    /// The plate of a word.
    fn back(self, word: u64) -> Packed {
        let (mut plate, mut rest) = (0, word);
        for is_moved in [true, false] {
            for (block, (low, high)) in BLOCKS.iter().enumerate().rev() {
                if (self.0 >> block & 1 == 1) == is_moved {
                    let width = high - low;
                    plate |= (rest & ((1 << width) - 1)) << low;
                    rest >>= width;
                }
            }
        }
        Packed(plate)
    }

    /// The first and the last word that have the pattern's kept blocks.
    fn range(self, pattern: Packed) -> (u64, u64) {
        let width: u32 = BLOCKS
            .iter()
            .enumerate()
            .filter(|(block, _)| self.0 >> block & 1 == 1)
            .map(|(_, (low, high))| high - low)
            .sum();
        let free = (1 << width) - 1;
        let word = self.to_end(pattern);
        (word & !free, word | free)
    }

    fn kept(self, pattern: Packed) -> u64 {
        self.range(pattern).0
    }

    /// Whether the sign at this place is in a moved block.
    fn moves(self, place: usize) -> bool {
        self.0 >> (place / 2).min(3) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::matching::symbols::Sign;

    /// A few signs only, so that there are many near ones, from both ends of the alphabet.
    fn plate() -> impl Strategy<Value = Packed> {
        prop::collection::vec(prop::sample::select(vec![1_u8, 2, 80]), 5..=9).prop_map(|signs| packed(&signs))
    }

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(
            plates in prop::collection::btree_set(plate(), 0..120),
            added in prop::collection::vec(plate(), 0..40),
            removed in prop::collection::vec(plate(), 0..40),
            read in plate(),
        ) {
            for reach in [Reach::One, Reach::Two] {
                let mut set = plates.clone();
                let mut index = Index::of(reach, plates.iter().copied().collect());
                for plate in &added {
                    prop_assert_eq!(index.insert(*plate), set.insert(*plate));
                }
                for plate in &removed {
                    prop_assert_eq!(index.remove(*plate), set.remove(plate));
                }
                let scan: BTreeSet<Packed> = set.iter().copied().filter(|plate| is_near(reach, read, *plate)).collect();
                let near = index.near(read);
                prop_assert!(!near.is_cut);
                prop_assert_eq!(near.found.len(), scan.len());
                prop_assert_eq!(near.found.iter().copied().collect::<BTreeSet<_>>(), scan);
                prop_assert_eq!(near.found.first() == Some(&read), set.contains(&read));
                prop_assert_eq!(index.len(), set.len());
            }
        }

        #[test]
        fn every_order_gives_the_plate_back(plate in plate()) {
            for moved in moved(Reach::One).iter().chain(moved(Reach::Two)) {
                prop_assert_eq!(moved.back(moved.to_end(plate)), plate);
            }
        }

        #[test]
        fn being_near_works_both_ways(one in plate(), other in plate()) {
            for reach in [Reach::One, Reach::Two] {
                prop_assert_eq!(is_near(reach, one, other), is_near(reach, other, one));
                prop_assert_eq!(is_near(reach, one, other), is_near_by_the_book(reach, one, other));
            }
        }
    }

    #[test]
    fn chunks_are_cut_and_emptied() {
        let mut index = Index::new(Reach::One);
        let plates: Vec<Packed> =
            (0..5000_u64).map(|n| Packed(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1 | 1)).collect();
        plates.iter().for_each(|plate| assert!(index.insert(*plate)));
        assert_eq!(index.len(), 5000);
        assert!(plates.iter().all(|plate| index.contains(*plate)));
        plates.iter().for_each(|plate| assert!(index.remove(*plate)));
        assert!(index.is_empty() && index.orders.iter().all(|order| order.chunks.is_empty()));
    }

    /// Work is counted and not time: whatever is asked of a million plates that differ in their last six digits only,
    /// no more entries are looked at than the limit says.
    #[test]
    fn a_search_among_a_million_near_identical_plates_ends() {
        let plates = (0..1_000_000_u64).map(|n| {
            let digits: Vec<Sign> = (0..7).map(|place| (n / 10_u64.pow(place) % 10) as Sign + 1).collect();
            packed(&digits)
        });
        let plates: Vec<Packed> = plates.collect();
        for (reach, plates, is_cut) in [(Reach::One, &plates[..], false), (Reach::Two, &plates[..20_000], true)] {
            let index = Index::of(reach, plates.to_vec());
            let near = index.near(packed(&[1; 7]));
            assert_eq!(near.is_cut, is_cut, "{reach:?}");
            assert_eq!(near.found[0], packed(&[1; 7]));
            assert!(near.visited <= VISITED_MAX && near.found.len() <= FOUND_MAX);
            for read in
                [packed(&[1; 6]), packed(&[1; 8]), packed(&[9; 9]), packed(&[]), packed(&[77, 1, 1, 1, 1, 1, 1])]
            {
                let near = index.near(read);
                assert!(near.visited <= VISITED_MAX && near.found.len() <= FOUND_MAX, "{reach:?} {read:?}");
            }
        }
    }

    fn packed(signs: &[Sign]) -> Packed {
        Packed::pack(signs)
    }

    /// The same question asked sign by sign.
    fn is_near_by_the_book(reach: Reach, one: Packed, other: Packed) -> bool {
        let changed = if reach == Reach::One { 1 } else { 2 };
        let signs = |plate: Packed| plate.signs()[..plate.len()].to_vec();
        let (mut long, mut short) = (signs(one), signs(other));
        if long.len() < short.len() {
            std::mem::swap(&mut long, &mut short);
        }
        let unlike = |a: &[Sign], b: &[Sign]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        if long.len() == short.len() {
            return unlike(&long, &short) <= changed;
        }
        long.len() == short.len() + 1
            && (0..long.len()).any(|gap| {
                let mut shorter = long.clone();
                shorter.remove(gap);
                unlike(&shorter, &short) < changed
            })
    }
}
