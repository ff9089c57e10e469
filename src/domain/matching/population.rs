//! Which plates are usual here: regions, shapes and lengths, counted from the vehicles inside.

use super::errors::Kind;
use super::symbols::{LETTER_A, PACKED_SIGNS, PROVINCE_FIRST, PROVINCES, Packed, Sign, is_letter, is_province};

const LETTERS: usize = 26;
/// How many plates the expectation before any count weighs.
const EXPECTATION_PLATES: f64 = 50.0;
/// What is taken from every count for regions not seen yet (absolute discounting, Ney, Essen and Kneser 1994).
const DISCOUNT: f64 = 0.75;
/// The most extra formats that the settings may name.
pub const FORMATS_MAX: usize = 32;

/// What stands at each place of one kind of plate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How many signs.
    pub length: usize,
    /// Whether it begins with a province and an issuing letter.
    pub has_region: bool,
    /// What stands at each place; the first two are the region's where there is one.
    pub kinds: [Kind; PACKED_SIGNS],
    /// Whether the plate is green by law.
    pub is_green: bool,
    /// How usual it is before anything was counted, in shares of one.
    expected: f64,
}

impl Shape {
    fn fits(&self, signs: &[Sign; PACKED_SIGNS], length: usize) -> bool {
        let first = if self.has_region { 2 } else { 0 };
        length == self.length
            && (!self.has_region || is_province(signs[0]) && is_letter(signs[1]))
            && (first..length).all(|place| self.kinds[place].allows(signs[place]))
    }
}

/// The plates inside, counted.
#[derive(Clone, Debug)]
pub struct Population {
    shapes: Vec<Shape>,
    /// Of each shape and, last, of none.
    counts: Vec<u32>,
    plates: u32,
    regions: [[u32; LETTERS]; PROVINCES],
    provinces: [u32; PROVINCES],
    /// With how many letters each province was seen, and with how many provinces each letter.
    letters_of: [u32; PROVINCES],
    provinces_of: [u32; LETTERS],
    with_region: u32,
    pairs_seen: u32,
}

impl Population {
    /// Nothing counted yet. `formats` are extra shapes, letters as `A`, digits as `9`, anything as `*`.
    pub fn new(formats: &[String]) -> Self {
        let shapes = shapes(formats);
        Self {
            counts: vec![0; shapes.len() + 1],
            shapes,
            plates: 0,
            regions: [[0; LETTERS]; PROVINCES],
            provinces: [0; PROVINCES],
            letters_of: [0; PROVINCES],
            provinces_of: [0; LETTERS],
            with_region: 0,
            pairs_seen: 0,
        }
    }

    /// How many plates are counted.
    pub fn len(&self) -> u32 {
        self.plates
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.plates == 0
    }

    /// Counts a plate in.
    pub fn add(&mut self, plate: Packed) {
        self.count(plate, true);
    }

    /// Counts a plate out that was counted in before.
    pub fn take(&mut self, plate: Packed) {
        self.count(plate, false);
    }

    /// The shapes and how usual each is, in shares of one.
    pub fn shapes(&self) -> impl Iterator<Item = (&Shape, f64)> {
        let plates = f64::from(self.plates) + EXPECTATION_PLATES;
        let share =
            move |(shape, count): (&Shape, &u32)| (f64::from(*count) + EXPECTATION_PLATES * shape.expected) / plates;
        self.shapes.iter().zip(&self.counts).map(move |both| (both.0, share(both)))
    }

    /// The share of plates of no shape, for each length.
    pub fn of_no_shape(&self) -> f64 {
        let count = self.counts.last().copied().unwrap_or(0);
        (f64::from(count) + 0.5) / (f64::from(self.plates) + EXPECTATION_PLATES) / PACKED_SIGNS as f64
    }

    /// How usual a province and issuing letter are among plates that have them; 0 for signs that are neither.
    pub fn region(&self, province: Sign, letter: Sign) -> f64 {
        if !is_province(province) || !is_letter(letter) {
            return 0.0;
        }
        let (row, column) = (usize::from(province - PROVINCE_FIRST), usize::from(letter - LETTER_A));
        // How widely a letter is spread over the provinces tells more of an unseen pair than how often it was seen.
        let spread = (f64::from(self.provinces_of[column]) + 0.5) / (f64::from(self.pairs_seen) + 0.5 * LETTERS as f64);
        let in_province = f64::from(self.provinces[row]);
        let of_province = if self.provinces[row] == 0 {
            spread
        } else {
            let seen = (f64::from(self.regions[row][column]) - DISCOUNT).max(0.0);
            (seen + DISCOUNT * f64::from(self.letters_of[row]) * spread) / in_province
        };
        (in_province + 0.5) / (f64::from(self.with_region) + 0.5 * PROVINCES as f64) * of_province
    }

    fn count(&mut self, plate: Packed, is_in: bool) {
        let step = |count: &mut u32| *count = if is_in { *count + 1 } else { count.saturating_sub(1) };
        let (signs, length) = (plate.signs(), plate.len());
        let shape = self.shapes.iter().position(|shape| shape.fits(&signs, length)).unwrap_or(self.shapes.len());
        step(&mut self.counts[shape]);
        step(&mut self.plates);
        if !is_province(signs[0]) || !is_letter(signs[1]) {
            return;
        }
        let (row, column) = (usize::from(signs[0] - PROVINCE_FIRST), usize::from(signs[1] - LETTER_A));
        let before = self.regions[row][column];
        step(&mut self.regions[row][column]);
        step(&mut self.provinces[row]);
        step(&mut self.with_region);
        let after = self.regions[row][column];
        if (before == 0) != (after == 0) {
            step(&mut self.letters_of[row]);
            step(&mut self.provinces_of[column]);
            step(&mut self.pairs_seen);
        }
    }
}

/// GA 36: five serial characters of which at most two are letters; new-energy plates, small ones with the letter first
/// and large ones with it last.
fn shapes(formats: &[String]) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let with_region = |length: usize, serial: [Kind; 7], is_green: bool, expected: f64| {
        let kinds = std::array::from_fn(|place| if place < 2 { Kind::Any } else { serial[place - 2] });
        Shape { length, has_region: true, kinds, is_green, expected }
    };
    let mut normal = |letters: &[usize], expected: f64| {
        let serial = std::array::from_fn(|place| if letters.contains(&place) { Kind::Letter } else { Kind::Digit });
        shapes.push(with_region(7, serial, false, expected));
    };
    normal(&[], 0.12);
    for first in 0..5 {
        normal(&[first], 0.24 / 5.0);
        for second in first + 1..5 {
            normal(&[first, second], 0.22 / 10.0);
        }
    }
    let green = [Kind::NewEnergy, Kind::Digit, Kind::Digit, Kind::Digit, Kind::Digit, Kind::Digit, Kind::Any];
    let mut lettered = green;
    lettered[1] = Kind::Letter;
    let mut large = green;
    (large[0], large[5]) = (Kind::Digit, Kind::NewEnergy);
    shapes.extend([
        with_region(8, green, true, 0.19),
        with_region(8, lettered, true, 0.19),
        with_region(8, large, true, 0.01),
    ]);
    shapes.extend(formats.iter().take(FORMATS_MAX).filter_map(|format| written(format)));
    shapes
}

/// A shape as the settings write it.
fn written(format: &str) -> Option<Shape> {
    let length = format.chars().count();
    let mut kinds = [Kind::Any; PACKED_SIGNS];
    for (place, c) in format.chars().enumerate() {
        *kinds.get_mut(place)? = match c {
            'A' => Kind::Letter,
            '9' => Kind::Digit,
            _ => Kind::Any,
        };
    }
    (length > 0).then_some(Shape { length, has_region: false, kinds, is_green: false, expected: 0.002 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::matching::symbols::sign;

    #[test]
    fn shares_sum_to_one_whatever_is_counted() {
        let mut population = Population::new(&["AA9999".to_owned()]);
        for plates in [&["粤B12345", "粤BD12345", "湘A1B2C3"][..], &["AB1234", "粤B1234警", "京A12345"][..]] {
            let shares: f64 = population.shapes().map(|(_, share)| share).sum();
            assert!((0.9..1.02).contains(&shares), "{shares}");
            let regions: f64 = (PROVINCE_FIRST..PROVINCE_FIRST + 31)
                .flat_map(|province| (LETTER_A..LETTER_A + 26).map(move |letter| (province, letter)))
                .map(|(province, letter)| population.region(province, letter))
                .sum();
            assert!((regions - 1.0).abs() < 1e-9, "{regions}");
            plates.iter().for_each(|text| population.add(packed(text)));
        }
    }

    #[test]
    fn counting_out_undoes_counting_in() {
        let mut population = Population::new(&[]);
        population.add(packed("粤B12345"));
        let before = format!("{population:?}");
        population.add(packed("湘AD12345"));
        population.take(packed("湘AD12345"));
        assert_eq!(format!("{population:?}"), before);
    }

    #[test]
    fn what_is_usual_here_is_expected() {
        let mut population = Population::new(&[]);
        (0..100).for_each(|n| population.add(packed(&format!("粤B123{n:02}"))));
        population.add(packed("湘A12345"));
        let (yue, xiang, a, b) = (number('粤'), number('湘'), number('A'), number('B'));
        assert!(population.region(yue, b) > 0.8);
        assert!(population.region(xiang, a) > population.region(xiang, b));
        assert!(population.region(xiang, b) > 0.0);
        assert_eq!((population.region(a, b), population.region(yue, yue)), (0.0, 0.0));
    }

    fn number(c: char) -> Sign {
        sign(c).expect("a sign")
    }

    fn packed(text: &str) -> Packed {
        Packed::of(&text.parse().expect("a plate")).expect("known signs")
    }
}
