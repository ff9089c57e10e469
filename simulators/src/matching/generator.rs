//! Draws car parks full of plates and what cameras make of them, right and wrong.

use std::collections::BTreeSet;

/// The 31 provinces.
const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
/// Letters that are issued: no I, no O.
const LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
/// Neighbours of the car park's own city.
const NEIGHBOURS: &str = "ACSEFLPT";
/// Cities of other provinces.
const FAR_CITIES: &str = "ABCDEFG";

/// Which sign is taken for which: the true one, then what it looks like.
const TWINS: [(char, &str); 43] = [
    ('0', "DQ"),
    ('D', "0Q"),
    ('Q', "0D"),
    ('8', "B"),
    ('B', "8"),
    ('2', "Z"),
    ('Z', "2"),
    ('5', "S"),
    ('S', "5"),
    ('1', "7T"),
    ('7', "1T"),
    ('T', "17"),
    ('6', "G"),
    ('G', "6"),
    ('A', "4"),
    ('4', "A"),
    ('H', "M"),
    ('M', "HN"),
    ('N', "M"),
    ('U', "V"),
    ('V', "U"),
    ('C', "G"),
    ('E', "F"),
    ('F', "E"),
    ('K', "X"),
    ('X', "K"),
    ('3', "8"),
    ('9', "8"),
    ('皖', "赣"),
    ('赣', "皖"),
    ('苏', "鲁"),
    ('鲁', "苏"),
    ('津', "浙"),
    ('浙', "津"),
    ('鄂', "粤"),
    ('粤', "鄂"),
    ('闽', "湘"),
    ('湘', "闽"),
    ('川', "渝"),
    ('豫', "渝"),
    ('晋', "青"),
    ('京', "宁"),
    ('沪', "浙"),
];

/// How often a camera errs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// A serial character; the issuing letter errs 0.3 times as often.
    pub character: f64,
    /// A province.
    pub province: f64,
    /// A character is missing.
    pub missing: f64,
}

impl Rates {
    /// 98.3 of 100 plates are read right.
    pub const CLEAN: Self = Self { character: 0.002, province: 0.004, missing: 0.001 };
    /// 95.2 of 100.
    pub const NORMAL: Self = Self { character: 0.006, province: 0.012, missing: 0.003 };
    /// 90.1 of 100.
    pub const DEGRADED: Self = Self { character: 0.012, province: 0.030, missing: 0.005 };

    /// The same camera erring `factor` times as often.
    pub fn times(self, factor: f64) -> Self {
        Self { character: self.character * factor, province: self.province * factor, missing: self.missing * factor }
    }
}

/// How the cameras' world differs from the plain one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// How often cameras err.
    pub rates: Rates,
    /// Of the misread signs, how many become a twin.
    pub twin_share: f64,
    /// Whether one read in a hundred is of a dirty plate, with fifteen times the errors.
    pub has_dirt: bool,
    /// Whether three in ten misreads at the entry are made again at the exit.
    pub repeats: bool,
    /// Whether every tenth plate belongs to a fleet with running numbers.
    pub has_fleets: bool,
    /// Whether every tenth vehicle's owner has a second one inside whose plate differs in one digit.
    pub has_pairs: bool,
    /// Whether the cameras mark characters of which they are unsure: 3 of 100 right and 70 of 100 wrong ones.
    pub tells_confidence: bool,
    /// Of the vehicles at the exit, how many have no entry.
    pub without_entry: f64,
}

impl World {
    /// The plain world.
    pub fn plain(rates: Rates) -> Self {
        Self {
            rates,
            twin_share: 0.7,
            has_dirt: false,
            repeats: false,
            has_fleets: false,
            has_pairs: false,
            tells_confidence: false,
            without_entry: 0.01,
        }
    }
}

/// What a camera made of a plate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The text.
    pub text: String,
    /// Of each character, whether the camera is sure; empty where it does not say.
    pub sure: Vec<bool>,
}

/// A full car park and the vehicles that come to its exit.
#[derive(Debug)]
pub struct Lot {
    /// What was read of each vehicle inside when it came in.
    pub entries: Vec<Read>,
    /// What is read at the exit, and which vehicle it is; none for one without an entry.
    pub exits: Vec<(Read, Option<usize>)>,
}

/// A lot of `inside` vehicles, each of which may come to the exit once; `exits` reads in all.
pub fn lot(rng: &mut fastrand::Rng, world: &World, inside: usize, exits: usize) -> Lot {
    let mut taken = BTreeSet::new();
    let plates = fill(rng, world, inside, &mut taken);
    let entries: Vec<Read> = plates.iter().map(|plate| read(rng, world, plate)).collect();
    let mut order: Vec<usize> = (0..inside).collect();
    rng.shuffle(&mut order);
    let mut order = order.into_iter().cycle();
    let mut reads = Vec::with_capacity(exits);
    for _ in 0..exits {
        if rng.f64() < world.without_entry {
            let stranger = stranger(rng, world, &plates, &mut taken);
            reads.push((read(rng, world, &stranger), None));
            continue;
        }
        let vehicle = order.next().expect("a lot holds somebody, and the order goes round");
        let entry = &entries[vehicle];
        let is_again = world.repeats && entry.text != text(&plates[vehicle]) && rng.f64() < 0.3;
        let exit = if is_again { entry.clone() } else { read(rng, world, &plates[vehicle]) };
        reads.push((exit, Some(vehicle)));
    }
    Lot { entries, exits: reads }
}

/// The matcher's error model, as its documented JSON, for a world that it is told everything about.
pub fn told(rates: Rates, twin_share: f64, keeps_twin: impl Fn(usize) -> bool) -> serde_json::Value {
    let ppm = |share: f64| (share * 1e6).round() as u64;
    let all = TWINS.iter().enumerate().filter(|(place, _)| keeps_twin(*place)).map(|(_, twins)| twins);
    let twins: Vec<String> = all.flat_map(|(from, to)| to.chars().map(move |to| format!("{from}{to}"))).collect();
    serde_json::json!({
        "character_ppm": ppm(rates.character),
        "issuer_ppm": ppm(rates.character * 0.3),
        "province_ppm": ppm(rates.province),
        "missing_ppm": ppm(rates.missing),
        "added_ppm": 0,
        "twin_share_bp": (twin_share * 1e4).round() as u64,
        "twins": twins,
    })
}

/// One plate, drawn as in a car park of a southern city.
pub fn plate(rng: &mut fastrand::Rng) -> Vec<char> {
    let mut plate = match rng.u32(..10) {
        0..6 => vec!['粤', 'B'],
        6..9 => vec!['粤', one_of(rng, NEIGHBOURS)],
        _ => vec![one_of(rng, PROVINCES), one_of(rng, FAR_CITIES)],
    };
    if rng.u32(..100) < 40 {
        plate.push(if rng.u32(..100) < 80 { 'D' } else { 'F' });
        plate.push(alphanumeric(rng));
        plate.extend((0..4).map(|_| one_of(rng, DIGITS)));
        return plate;
    }
    let mut serial: Vec<char> = (0..5).map(|_| one_of(rng, DIGITS)).collect();
    let letters = [0, 1, 1, 2, 2][rng.usize(..5)];
    let mut places = [0, 1, 2, 3, 4];
    rng.shuffle(&mut places);
    places[..letters].iter().for_each(|place| serial[*place] = one_of(rng, LETTERS));
    plate.extend(serial);
    plate
}

/// What a camera reads of a plate.
pub fn read(rng: &mut fastrand::Rng, world: &World, plate: &[char]) -> Read {
    let is_dirty = world.has_dirt && rng.f64() < 0.01;
    let rates = if is_dirty { world.rates.times(15.0) } else { world.rates };
    let mut chars = plate.to_vec();
    let mut wrong = vec![false; chars.len()];
    if rng.f64() < rates.missing {
        let gone = rng.usize(..chars.len());
        chars.remove(gone);
        wrong.remove(gone);
    } else {
        for place in 0..chars.len() {
            let rate = [rates.province, rates.character * 0.3].get(place).copied().unwrap_or(rates.character);
            if rng.f64() < rate {
                let truth = chars[place];
                chars[place] = misread(rng, world, truth, place);
                wrong[place] = true;
            }
        }
    }
    let told = if world.tells_confidence { wrong } else { Vec::new() };
    let sure = told.into_iter().map(|wrong| rng.f64() >= if wrong { 0.70 } else { 0.03 }).collect();
    Read { text: text(&chars), sure }
}

fn fill(rng: &mut fastrand::Rng, world: &World, inside: usize, taken: &mut BTreeSet<Vec<char>>) -> Vec<Vec<char>> {
    let mut plates: Vec<Vec<char>> = Vec::with_capacity(inside);
    while plates.len() < inside {
        if world.has_fleets && rng.u32(..10) == 0 {
            // Twenty vehicles with running numbers; every tenth plate drawn and not every tenth draw.
            if rng.u32(..20) == 0 {
                let first = fleet_plate(rng);
                let members = (0..20).map(|n| numbered(&first, n)).filter(|plate| taken.insert(plate.clone()));
                let room = inside - plates.len();
                plates.extend(members.take(room));
            }
            continue;
        }
        let plate = plate(rng);
        if !taken.insert(plate.clone()) {
            continue;
        }
        if world.has_pairs && rng.u32(..20) == 0 && plates.len() + 1 < inside {
            let second = sibling(rng, &plate);
            if taken.insert(second.clone()) {
                plates.push(second);
            }
        }
        plates.push(plate);
    }
    plates
}

/// A vehicle without an entry. Where there are fleets, it may be one more of a fleet that is inside.
fn stranger(
    rng: &mut fastrand::Rng,
    world: &World,
    inside: &[Vec<char>],
    taken: &mut BTreeSet<Vec<char>>,
) -> Vec<char> {
    loop {
        let is_relative = (world.has_fleets || world.has_pairs) && rng.u32(..10) == 0;
        let relative = is_relative.then(|| rng.usize(..inside.len()));
        let plate = match relative {
            Some(vehicle) => sibling(rng, &inside[vehicle]),
            None => plate(rng),
        };
        if taken.insert(plate.clone()) {
            return plate;
        }
    }
}

fn fleet_plate(rng: &mut fastrand::Rng) -> Vec<char> {
    let mut plate = vec!['粤', 'B', 'D', one_of(rng, DIGITS)];
    plate.extend((0..4).map(|_| one_of(rng, DIGITS)));
    plate
}

/// The plate whose last two digits run on from `first`'s.
fn numbered(first: &[char], n: u32) -> Vec<char> {
    let (head, tail) = first.split_at(first.len() - 2);
    let start = tail.iter().fold(0, |number, digit| number * 10 + digit.to_digit(10).unwrap_or(0));
    let number = (start + n) % 100;
    let digits = [number / 10, number % 10].map(|digit| char::from_digit(digit, 10).unwrap_or('0'));
    head.iter().copied().chain(digits).collect()
}

/// The same plate with its last digit changed.
fn sibling(rng: &mut fastrand::Rng, plate: &[char]) -> Vec<char> {
    let mut plate = plate.to_vec();
    let places: Vec<usize> = (0..plate.len()).filter(|place| plate[*place].is_ascii_digit()).collect();
    if let Some(place) = places.last() {
        plate[*place] = one_of(rng, DIGITS);
    }
    plate
}

fn misread(rng: &mut fastrand::Rng, world: &World, truth: char, place: usize) -> char {
    let legal = match place {
        0 => PROVINCES.to_owned(),
        1 => LETTERS.to_owned(),
        _ => format!("{DIGITS}{LETTERS}"),
    };
    let twins: String = TWINS
        .iter()
        .filter(|(from, _)| *from == truth)
        .flat_map(|(_, to)| to.chars())
        .filter(|to| legal.contains(*to))
        .collect();
    if !twins.is_empty() && rng.f64() < world.twin_share {
        return one_of(rng, &twins);
    }
    loop {
        let other = one_of(rng, &legal);
        if other != truth {
            return other;
        }
    }
}

fn alphanumeric(rng: &mut fastrand::Rng) -> char {
    let place = rng.usize(..34);
    if place < 10 { DIGITS.as_bytes()[place].into() } else { LETTERS.as_bytes()[place - 10].into() }
}

fn one_of(rng: &mut fastrand::Rng, from: &str) -> char {
    let place = rng.usize(..from.chars().count());
    from.chars().nth(place).expect("the place is below the count")
}

fn text(chars: &[char]) -> String {
    chars.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_rates_are_the_published_ones() {
        for (rates, low, high) in
            [(Rates::CLEAN, 0.980, 0.987), (Rates::NORMAL, 0.948, 0.956), (Rates::DEGRADED, 0.896, 0.906)]
        {
            let mut rng = fastrand::Rng::with_seed(1);
            let world = World::plain(rates);
            let right = (0..20_000).filter(|_| {
                let plate = plate(&mut rng);
                read(&mut rng, &world, &plate).text == text(&plate)
            });
            let share = right.count() as f64 / 20_000.0;
            assert!((low..high).contains(&share), "{share}");
        }
    }

    #[test]
    fn plates_have_the_described_shape() {
        let mut rng = fastrand::Rng::with_seed(2);
        let plates: Vec<Vec<char>> = (0..10_000).map(|_| plate(&mut rng)).collect();
        let share = |is: &dyn Fn(&[char]) -> bool| plates.iter().filter(|plate| is(plate)).count() as f64 / 10_000.0;
        assert!((0.58..0.62).contains(&share(&|plate| text(plate).starts_with("粤B"))));
        assert!((0.38..0.42).contains(&share(&|plate| plate.len() == 8)));
        let letters = |plate: &[char]| plate[2..].iter().filter(|c| c.is_ascii_alphabetic()).count();
        assert!(plates.iter().all(|plate| letters(plate) <= 2 && !text(plate).contains(['I', 'O'])));
    }

    #[test]
    fn a_lot_has_no_plate_twice_and_its_exits_are_its_own() {
        let mut rng = fastrand::Rng::with_seed(3);
        let world = World { has_fleets: true, has_pairs: true, ..World::plain(Rates::CLEAN.times(0.0)) };
        let lot = lot(&mut rng, &world, 500, 400);
        assert_eq!(lot.entries.iter().map(|read| &read.text).collect::<BTreeSet<_>>().len(), 500);
        for (exit, vehicle) in &lot.exits {
            match vehicle {
                Some(vehicle) => assert_eq!(exit, &lot.entries[*vehicle]),
                None => assert!(lot.entries.iter().all(|entry| entry.text != exit.text)),
            }
        }
    }
}
