//! Number plates as they are seen on the roads of China, and how a camera gets them wrong.

use std::collections::BTreeSet;

/// Where most of the simulated mall's visitors come from, with the neighbours.
const PROVINCES: [char; 8] = ['粤', '粤', '粤', '粤', '湘', '桂', '赣', '闽'];
/// Letters that stand on plates: no I and no O, which look like digits.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Cities of a province that have plates of their own; the first ones are the big ones.
const CITIES: &[u8] = b"AABBBCDEFGHJK";

/// What a plate's shape says about the vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlateKind {
    /// Blue, seven characters.
    Ordinary,
    /// Green, eight characters, with D or F for electric or hybrid.
    NewEnergy,
}

impl PlateKind {
    /// Tells the kind by the number of characters.
    pub fn of(plate: &str) -> Self {
        if plate.chars().count() == 8 { Self::NewEnergy } else { Self::Ordinary }
    }
}

/// Draws a plate that is not in `taken` and adds it.
///
/// Two plates that differ in one character only are never drawn, so that a misread is not another guest's plate.
pub fn draw(rng: &mut fastrand::Rng, kind: PlateKind, taken: &mut BTreeSet<String>) -> String {
    loop {
        let plate = match kind {
            PlateKind::Ordinary => ordinary(rng),
            PlateKind::NewEnergy => new_energy(rng),
        };
        if taken.iter().all(|other| differing_characters(other, &plate) > 2) {
            taken.insert(plate.clone());
            return plate;
        }
    }
}

/// The plate with one digit read as another one: a valid plate, but not this car's.
pub fn misread(rng: &mut fastrand::Rng, plate: &str) -> String {
    let mut chars: Vec<char> = plate.chars().collect();
    let digits: Vec<usize> = (2..chars.len()).filter(|i| chars[*i].is_ascii_digit()).collect();
    let place = digits[rng.usize(..digits.len())];
    chars[place] = match chars[place] {
        '0' => '8',
        '1' => '7',
        '2' => '7',
        '3' => '8',
        '4' => '1',
        '5' => '6',
        '6' => '5',
        '7' => '1',
        '8' => '0',
        _ => '8',
    };
    chars.into_iter().collect()
}

/// In how many places two plates differ; plates of different length differ everywhere.
fn differing_characters(one: &str, other: &str) -> usize {
    let (one_length, other_length) = (one.chars().count(), other.chars().count());
    if one_length != other_length {
        return one_length.max(other_length);
    }
    one.chars().zip(other.chars()).filter(|(a, b)| a != b).count()
}

/// Province, city, then five letters or digits of which at most the first two are letters.
fn ordinary(rng: &mut fastrand::Rng) -> String {
    let mut plate = String::from(PROVINCES[rng.usize(..PROVINCES.len())]);
    plate.push(pick(rng, CITIES));
    let letters = [0, 0, 0, 1, 1, 2][rng.usize(..6)];
    for place in 0..5 {
        plate.push(if place < letters { pick(rng, LETTERS) } else { pick(rng, b"0123456789") });
    }
    plate
}

/// Province, city, D or F, a letter or digit, four digits: a small new-energy vehicle.
fn new_energy(rng: &mut fastrand::Rng) -> String {
    let mut plate = String::from(PROVINCES[rng.usize(..PROVINCES.len())]);
    plate.push(pick(rng, CITIES));
    plate.push(pick(rng, b"DDDF"));
    plate.push(if rng.bool() { pick(rng, LETTERS) } else { pick(rng, b"0123456789") });
    for _ in 0..4 {
        plate.push(pick(rng, b"0123456789"));
    }
    plate
}

fn pick(rng: &mut fastrand::Rng, from: &[u8]) -> char {
    char::from(from[rng.usize(..from.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_plates_have_the_shape_of_their_kind() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut taken = BTreeSet::new();
        for round in 0..500 {
            let kind = if round % 3 == 0 { PlateKind::NewEnergy } else { PlateKind::Ordinary };
            check_shape(&draw(&mut rng, kind, &mut taken), kind);
        }
        assert_eq!(taken.len(), 500);
        for (place, plate) in taken.iter().enumerate() {
            let alike = taken.iter().skip(place + 1).find(|other| differing_characters(plate, other) <= 2);
            assert_eq!(alike, None, "{plate}");
        }
    }

    #[test]
    fn a_misread_differs_in_one_character_and_is_nobody_elses_plate() {
        let mut rng = fastrand::Rng::with_seed(8);
        let mut taken = BTreeSet::new();
        for _ in 0..200 {
            let plate = draw(&mut rng, PlateKind::Ordinary, &mut taken);
            let wrong = misread(&mut rng, &plate);
            check_shape(&wrong, PlateKind::Ordinary);
            assert_eq!(differing_characters(&plate, &wrong), 1, "{plate} {wrong}");
            assert!(!taken.contains(&wrong));
        }
    }

    fn check_shape(plate: &str, kind: PlateKind) {
        let chars: Vec<char> = plate.chars().collect();
        assert_eq!(PlateKind::of(plate), kind, "{plate}");
        assert!(PROVINCES.contains(&chars[0]), "{plate}");
        assert!(chars[1].is_ascii_uppercase(), "{plate}");
        assert!(
            chars[2..].iter().all(|c| c.is_ascii_digit() || (c.is_ascii_uppercase() && !"IO".contains(*c))),
            "{plate}"
        );
        assert!(chars[chars.len() - 3..].iter().all(char::is_ascii_digit), "{plate}");
        match kind {
            PlateKind::Ordinary => assert_eq!(chars.len(), 7, "{plate}"),
            PlateKind::NewEnergy => assert!(chars.len() == 8 && matches!(chars[2], 'D' | 'F'), "{plate}"),
        }
    }
}
