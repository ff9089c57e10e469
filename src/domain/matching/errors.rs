//! How cameras get plates wrong: how often, and which sign they take for which.
//!
//! Here and in the rest of this room probabilities are floating-point numbers. They are only added, multiplied and
//! divided, never passed through a logarithm or a power, and IEEE 754 fixes the result of these to the last bit; so
//! every box computes the same. What leaves the room is whole millionths.

use serde::{Deserialize, Serialize};

use super::symbols::{
    self, LETTER_A, PROVINCE_FIRST, PROVINCES, SIGNS, Sign, is_digit, is_letter, is_province, is_serial_letter,
};

/// One row or column of a table: a place for every sign, and 0 for none.
pub const WIDTH: usize = SIGNS + 1;
/// The chance of a reading that no rule foresees, so that nothing is ever quite impossible.
const STRAY: f64 = 1e-7;

/// The most pairs of twins that a model may name.
pub const TWINS_MAX: usize = 1000;
/// The most that may go wrong, in millionths: with every fifth character wrong nothing can be matched.
const RATE_MAX_PPM: u32 = 200_000;

/// How a camera errs, in whole millionths and basis points, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorModel {
    /// Serial characters read wrong, in millionths.
    pub character_ppm: u32,
    /// Issuing letters read wrong, in millionths.
    pub issuer_ppm: u32,
    /// Province signs read wrong, in millionths.
    pub province_ppm: u32,
    /// Reads that lack a character, in millionths of the reads.
    pub missing_ppm: u32,
    /// Reads with a character too many, in millionths of the reads.
    pub added_ppm: u32,
    /// Of the misread signs, how many are taken for one that looks alike, in basis points.
    pub twin_share_bp: u32,
    /// Which look alike, as the true sign and the read one, `"8B"`.
    pub twins: Vec<String>,
}

/// Twins that public sources name, each in both directions.
///
/// Letters and digits: OpenALPR's list of candidates (0 D Q), the default equivalents of Genetec's AutoVu (0 D Q, 2 Z,
/// 5 S, 8 B, 6 G), the patent CN114092928A (the same and A 4). Provinces: reports of users of HyperLPR (issues 409: 鄂
/// as 粤; 256: 琼 as 京; 295: 豫 as 琼; 216: 苏 as 鄂) and of EasyPR (issues 138: 苏 as 桂; 248: 辽 as 宁).
const PUBLISHED: [&str; 16] =
    ["0D", "0Q", "DQ", "2Z", "5S", "8B", "6G", "4A", "17", "1T", "鄂粤", "琼京", "豫琼", "苏鄂", "苏桂", "辽宁"];

impl Default for ErrorModel {
    /// A camera in an ordinary lane: 95 of 100 plates are read right.
    fn default() -> Self {
        let reversed = |pair: &&str| pair.chars().rev().collect();
        Self {
            character_ppm: 6_000,
            issuer_ppm: 2_000,
            province_ppm: 12_000,
            missing_ppm: 3_000,
            added_ppm: 300,
            twin_share_bp: 7_000,
            twins: PUBLISHED.iter().map(|pair| (*pair).to_owned()).chain(PUBLISHED.iter().map(reversed)).collect(),
        }
    }
}

impl ErrorModel {
    /// What a person may have got wrong in it, in words.
    pub fn mistake(&self) -> Option<String> {
        let rates = [
            ("character_ppm", self.character_ppm),
            ("issuer_ppm", self.issuer_ppm),
            ("province_ppm", self.province_ppm),
            ("missing_ppm", self.missing_ppm),
            ("added_ppm", self.added_ppm),
        ];
        if let Some((name, ppm)) = rates.iter().find(|(_, ppm)| *ppm > RATE_MAX_PPM) {
            return Some(format!("{name} is {ppm}; allowed are 0 to {RATE_MAX_PPM}"));
        }
        if self.twin_share_bp > 10_000 {
            return Some(format!("twin_share_bp is {}; allowed are 0 to 10000", self.twin_share_bp));
        }
        if self.twins.len() > TWINS_MAX {
            return Some(format!("{} twins; allowed are {TWINS_MAX}", self.twins.len()));
        }
        let wrong = self.twins.iter().find(|pair| twin(pair).is_none())?;
        Some(format!("the twins {wrong:?}; allowed are two different signs of plates, the true one first"))
    }
}

fn twin(pair: &str) -> Option<(Sign, Sign)> {
    let mut signs = pair.chars().map(symbols::sign);
    let (Some(Some(truth)), Some(Some(read)), None) = (signs.next(), signs.next(), signs.next()) else { return None };
    (truth != read).then_some((truth, read))
}

/// What stands at a place of a plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A digit.
    Digit,
    /// A letter of a serial.
    Letter,
    /// The letter of a new-energy plate: D or F mostly.
    NewEnergy,
    /// Anything: a plate of no known shape.
    Any,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Digit, Self::Letter, Self::NewEnergy, Self::Any];

    /// Whether a sign may stand there.
    pub fn allows(self, sign: Sign) -> bool {
        match self {
            Self::Digit => is_digit(sign),
            Self::Letter => is_serial_letter(sign),
            Self::NewEnergy => (LETTER_A..LETTER_A + 11).contains(&sign) && is_serial_letter(sign),
            Self::Any => sign != 0,
        }
    }

    /// How likely a sign is there, before anything is read.
    fn expects(self, sign: Sign) -> f64 {
        if !self.allows(sign) {
            return 0.0;
        }
        match self {
            Self::Digit => 1.0 / 10.0,
            Self::Letter => 1.0 / 24.0,
            // D for electric, F for the others; what other validators also take is rare.
            Self::NewEnergy => match sign - LETTER_A {
                3 => 0.78,
                5 => 0.20,
                _ => 0.02 / 8.0,
            },
            Self::Any => 1.0 / SIGNS as f64,
        }
    }
}

/// A table over pairs of signs.
#[derive(Clone, Debug, PartialEq)]
pub struct Table(Vec<f64>);

impl Table {
    /// A table with the same value everywhere.
    pub fn filled(value: f64) -> Self {
        Self(vec![value; WIDTH * WIDTH])
    }

    /// The value of a pair.
    pub fn at(&self, row: Sign, column: Sign) -> f64 {
        self.0[usize::from(row) * WIDTH + usize::from(column)]
    }

    /// Changes the value of a pair.
    pub fn set(&mut self, row: Sign, column: Sign, value: f64) {
        self.0[usize::from(row) * WIDTH + usize::from(column)] = value;
    }
}

/// The tables that follow from an error model: how likely a sign is read as another, and how likely two cameras read
/// the same sign as this and that.
#[derive(Clone, Debug)]
pub struct Confusion {
    /// A province taken for another.
    pub province: Table,
    /// An issuing letter taken for another.
    pub issuer: Table,
    /// A serial character taken for another.
    pub serial: Table,
    /// Of each kind: the entry camera reads the row and the exit camera the column.
    pairs: [Table; 4],
    /// Of each kind: a camera reads this sign.
    alone: [[f64; WIDTH]; 4],
    /// A read lacks a character.
    pub missing: f64,
    /// A read has one too many.
    pub added: f64,
}

impl Confusion {
    /// The tables of a model.
    pub fn of(model: &ErrorModel) -> Self {
        let rate = |ppm: u32| f64::from(ppm.min(RATE_MAX_PPM)) / 1e6;
        let twins: Vec<(Sign, Sign)> = model.twins.iter().take(TWINS_MAX).filter_map(|pair| twin(pair)).collect();
        let share = f64::from(model.twin_share_bp.min(10_000)) / 1e4;
        let table = |ppm, legal: fn(Sign) -> bool| reading(rate(ppm), share, &twins, legal);
        let province = table(model.province_ppm, is_province);
        let issuer = table(model.issuer_ppm, is_letter);
        let serial = table(model.character_ppm, |sign| is_digit(sign) || is_serial_letter(sign));
        let any = reading(rate(model.character_ppm), 0.0, &[], |sign| sign != 0);
        let of = |kind: Kind| if kind == Kind::Any { &any } else { &serial };
        let pairs = Kind::ALL.map(|kind| both(kind, of(kind)));
        let alone = Kind::ALL.map(|kind| one(kind, of(kind)));
        let (missing, added) = (rate(model.missing_ppm).max(STRAY), rate(model.added_ppm).max(STRAY));
        Self { province, issuer, serial, pairs, alone, missing, added }
    }

    /// The chance that a sign of this kind is read as `entry` by one camera and as `exit` by the other.
    pub fn pair(&self, kind: Kind, entry: Read, exit: Read) -> f64 {
        let all = self.pairs[kind as usize].at(entry.sign, exit.sign);
        if entry.sureness == Sureness::Unknown && exit.sureness == Sureness::Unknown {
            return all;
        }
        let (right_in, wrong_in) = entry.sureness.weights();
        let (right_out, wrong_out) = exit.sureness.weights();
        let true_as =
            |sign: Sign| kind.expects(sign) * self.serial.at(sign, entry.sign) * self.serial.at(sign, exit.sign);
        if entry.sign == exit.sign {
            let right = true_as(entry.sign);
            return right * right_in * right_out + (all - right).max(0.0) * wrong_in * wrong_out;
        }
        let (as_entry, as_exit) = (true_as(entry.sign), true_as(exit.sign));
        as_entry * right_in * wrong_out
            + as_exit * wrong_in * right_out
            + (all - as_entry - as_exit).max(0.0) * wrong_in * wrong_out
    }

    /// The chance that a camera reads a sign of this kind so.
    pub fn alone(&self, kind: Kind, read: Read) -> f64 {
        let all = self.alone[kind as usize][usize::from(read.sign)];
        if read.sureness == Sureness::Unknown {
            return all;
        }
        let (right, wrong) = read.sureness.weights();
        let as_read = kind.expects(read.sign) * self.serial.at(read.sign, read.sign);
        as_read * right + (all - as_read).max(0.0) * wrong
    }
}

/// A sign as a camera read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Which.
    pub sign: Sign,
    /// How sure the camera was of it.
    pub sureness: Sureness,
}

/// How sure a camera was of one character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sureness {
    /// It does not say.
    #[default]
    Unknown,
    /// Sure.
    Sure,
    /// Not sure.
    Unsure,
}

/// From this confidence on a character counts as sure, in basis points. Cameras' scales differ too much for more.
const SURE_BP: u16 = 8_500;

impl Sureness {
    /// What a camera's number means; numbers above 100 % are taken for 100 %.
    pub fn of_bp(confidence: u16) -> Self {
        if confidence >= SURE_BP { Self::Sure } else { Self::Unsure }
    }

    /// How likely a right and a wrong character are marked so: 3 of 100 right ones and 70 of 100 wrong ones are unsure.
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Unknown => (1.0, 1.0),
            Self::Sure => (0.97, 0.30),
            Self::Unsure => (0.03, 0.70),
        }
    }
}

/// How likely each sign is read as each other, where `legal` says which can stand and be read there.
fn reading(rate: f64, twin_share: f64, twins: &[(Sign, Sign)], legal: fn(Sign) -> bool) -> Table {
    let signs: Vec<Sign> = (1..WIDTH as Sign).filter(|sign| legal(*sign)).collect();
    let others = (signs.len() - 1) as f64;
    let mut table = Table::filled(STRAY);
    for truth in &signs {
        let alike: Vec<Sign> =
            twins.iter().filter(|(from, to)| from == truth && legal(*to)).map(|(_, to)| *to).collect();
        let share = if alike.is_empty() { 0.0 } else { twin_share };
        for read in &signs {
            let chance = if read == truth {
                1.0 - rate
            } else {
                let as_twin = if alike.contains(read) { rate * share / alike.len() as f64 } else { 0.0 };
                as_twin + rate * (1.0 - share) / others
            };
            table.set(*truth, *read, chance.max(STRAY));
        }
    }
    table
}

fn both(kind: Kind, reading: &Table) -> Table {
    let truths: Vec<Sign> = (1..WIDTH as Sign).filter(|sign| kind.allows(*sign)).collect();
    let mut table = Table::filled(0.0);
    for entry in 1..WIDTH as Sign {
        for exit in 1..=entry {
            let chance =
                truths.iter().map(|truth| kind.expects(*truth) * reading.at(*truth, entry) * reading.at(*truth, exit));
            let chance: f64 = chance.sum();
            table.set(entry, exit, chance);
            table.set(exit, entry, chance);
        }
    }
    table
}

fn one(kind: Kind, reading: &Table) -> [f64; WIDTH] {
    std::array::from_fn(|read| {
        (1..WIDTH as Sign).map(|truth| kind.expects(truth) * reading.at(truth, read as Sign)).sum()
    })
}

/// All provinces, for those who sum over them.
pub fn provinces() -> impl Iterator<Item = Sign> {
    PROVINCE_FIRST..PROVINCE_FIRST + PROVINCES as Sign
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_is_read_as_something() {
        let confusion = Confusion::of(&ErrorModel::default());
        for (table, legal) in [
            (&confusion.province, is_province as fn(Sign) -> bool),
            (&confusion.issuer, is_letter),
            (&confusion.serial, |sign| is_digit(sign) || is_serial_letter(sign)),
        ] {
            for truth in (1..WIDTH as Sign).filter(|sign| legal(*sign)) {
                let sum: f64 = (1..WIDTH as Sign).map(|read| table.at(truth, read)).sum();
                assert!((sum - 1.0).abs() < 1e-4, "{truth}: {sum}");
            }
        }
        for kind in Kind::ALL {
            let sum: f64 = (1..WIDTH as Sign).map(|read| confusion.alone[kind as usize][usize::from(read)]).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{kind:?}: {sum}");
        }
    }

    #[test]
    fn a_twin_is_likelier_than_a_stranger() {
        let confusion = Confusion::of(&ErrorModel::default());
        let chance = |entry, exit| {
            let read = |c| Read { sign: symbols::sign(c).expect("a sign"), sureness: Sureness::Unknown };
            confusion.pair(Kind::Digit, read(entry), read(exit))
        };
        assert!(chance('8', '8') > 50.0 * chance('8', 'B'));
        assert!(chance('8', 'B') > 20.0 * chance('8', 'K'));
        // Only digits stand here, so that two letters are two misreads.
        assert!(chance('B', 'B') < chance('8', 'B'));
    }

    #[test]
    fn an_unsure_character_counts_less() {
        let confusion = Confusion::of(&ErrorModel::default());
        let read = |c, sureness| Read { sign: symbols::sign(c).expect("a sign"), sureness };
        let plain = confusion.pair(Kind::Digit, read('8', Sureness::Unknown), read('3', Sureness::Unknown))
            / confusion.alone(Kind::Digit, read('3', Sureness::Unknown));
        let unsure = confusion.pair(Kind::Digit, read('8', Sureness::Unknown), read('3', Sureness::Unsure))
            / confusion.alone(Kind::Digit, read('3', Sureness::Unsure));
        assert!(unsure > 5.0 * plain, "{unsure} {plain}");
        assert_eq!((Sureness::of_bp(u16::MAX), Sureness::of_bp(0)), (Sureness::Sure, Sureness::Unsure));
    }

    #[test]
    fn a_mistake_in_a_model_is_told() {
        let with = |twins: &str| ErrorModel { twins: vec![twins.to_owned()], ..ErrorModel::default() };
        assert_eq!(ErrorModel::default().mistake(), None);
        assert!(with("8").mistake().is_some_and(|text| text.contains("two different signs")));
        assert!(with("88").mistake().is_some() && with("8B0").mistake().is_some() && with("8?").mistake().is_some());
        let model = ErrorModel { province_ppm: 300_000, ..ErrorModel::default() };
        assert_eq!(model.mistake().as_deref(), Some("province_ppm is 300000; allowed are 0 to 200000"));
    }
}
