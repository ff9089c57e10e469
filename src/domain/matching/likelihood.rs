//! How likely two reads are if one vehicle was before both cameras, and how likely a read is by itself.
//!
//! A read comes from a true plate of one of the usual shapes. The sum goes over the shapes and, place by place, over
//! every true sign, so that a letter where only digits stand is known for a misread, and which of the two reads is
//! wrong need not be known. After Oliveira-Neto, Han and Jeong (IEEE T-ITS 14(4), 2013), with shapes and lengths added.

use super::errors::{Confusion, Kind, Read, Sureness};
use super::learning::Learned;
use super::population::{Population, Shape};
use super::reading::{Colour, Reading};
use super::symbols::{PACKED_SIGNS, SIGNS, is_province};

/// How likely a camera sees a colour that the plate does not have.
const WRONG_COLOUR: f64 = 0.03;
/// What a vehicle without a shape of plate that fits its colour weighs.
const FITTING_COLOUR: f64 = 1.0 - WRONG_COLOUR;

type Row = [f64; PACKED_SIGNS];

/// The lane's cameras and the plates that are usual here.
pub struct Likelihood<'a> {
    confusion: &'a Confusion,
    population: &'a Population,
}

impl<'a> Likelihood<'a> {
    /// With how cameras err and what is usual here.
    pub fn new(confusion: &'a Confusion, population: &'a Population) -> Self {
        Self { confusion, population }
    }

    /// The chance that a vehicle gives this read, whoever it is.
    pub fn alone(&self, read: &Reading) -> f64 {
        let length = read.len();
        let rows = Kind::ALL.map(|kind| -> Row { row(length, |place| self.confusion.alone(kind, read.at(place))) });
        let region = self.region_alone(read.at(0), read.at(1));
        let whole = 1.0 - self.confusion.missing - self.confusion.added;
        let mut sum = 0.0;
        for (shape, share) in self.population.shapes() {
            let share = share * colour_fits(shape, read.colour);
            if shape.length == length {
                sum += share * whole * self.product(shape, region, &rows, length);
            } else if shape.length == length + 1 {
                sum += share * self.confusion.missing * self.alone_with_gap(shape, read);
            }
        }
        let any: f64 = rows[Kind::Any as usize][..length].iter().product();
        sum + self.population.of_no_shape() * any
    }

    /// The chance that a camera shows this colour where the plate is a new-energy one, or is none.
    pub fn shows_colour(&self, is_green: bool, colour: Option<Colour>) -> f64 {
        match colour {
            None => 1.0,
            Some(colour) if colour.is_green() == is_green => FITTING_COLOUR,
            Some(_) => WRONG_COLOUR,
        }
    }

    /// The chance that a vehicle gives both reads, with what this pair of cameras has learned, where it has.
    pub fn both(&self, entry: &Reading, exit: &Reading, learned: Option<&Learned>) -> f64 {
        match entry.len() as i32 - exit.len() as i32 {
            0 => self.both_whole(entry, exit) * learned.map_or(1.0, |learned| habit(learned, entry, exit)),
            1 => self.one_shorter(entry, exit, false),
            -1 => self.one_shorter(exit, entry, true),
            _ => 0.0,
        }
    }

    fn both_whole(&self, entry: &Reading, exit: &Reading) -> f64 {
        let length = entry.len();
        let rows = Kind::ALL
            .map(|kind| -> Row { row(length, |place| self.confusion.pair(kind, entry.at(place), exit.at(place))) });
        let region = self.region_both([entry.at(0), entry.at(1)], [exit.at(0), exit.at(1)]);
        let mut sum = 0.0;
        for (shape, share) in self.population.shapes().filter(|(shape, _)| shape.length == length) {
            let colours = colour_fits(shape, entry.colour) * colour_fits(shape, exit.colour);
            sum += share * colours * self.product(shape, region, &rows, length);
        }
        let whole = 1.0 - self.confusion.missing - self.confusion.added;
        let any: f64 = rows[Kind::Any as usize][..length].iter().product();
        sum * whole * whole + self.population.of_no_shape() * any
    }

    /// Both reads where the shorter one lacks a sign, or the longer one has one too many; summed over every place where
    /// that may be.
    fn one_shorter(&self, long: &Reading, short: &Reading, is_entry_short: bool) -> f64 {
        let length = long.len();
        let pair = |kind, place: usize, shift: usize| {
            let (one, other) = (long.at(place), short.at(place - shift));
            let (entry, exit) = if is_entry_short { (other, one) } else { (one, other) };
            self.confusion.pair(kind, entry, exit)
        };
        let before = Kind::ALL.map(|kind| -> Row { row(length - 1, |place| pair(kind, place, 0)) });
        let after =
            Kind::ALL.map(|kind| -> Row { row(length, |place| if place == 0 { 0.0 } else { pair(kind, place, 1) }) });
        let gap = Kind::ALL.map(|kind| -> Row { row(length, |place| self.confusion.alone(kind, long.at(place))) });
        let region = self.region_both([long.at(0), long.at(1)], [short.at(0), short.at(1)]);
        let regions = [self.region_lost(long, short, 0), self.region_lost(long, short, 1), region];
        let places = length as f64;
        let mut sum = 0.0;
        for (shape, share) in self.population.shapes() {
            let colours = colour_fits(shape, long.colour) * colour_fits(shape, short.colour);
            if shape.length == length {
                let kind = |place: usize| shape.kinds[place] as usize;
                let lost = gapped(
                    shape.has_region,
                    length,
                    |place, side| match side {
                        Side::Before => before[kind(place)][place],
                        Side::Gap => gap[kind(place)][place],
                        Side::After => after[kind(place)][place],
                    },
                    regions,
                );
                sum += share * colours * self.confusion.missing / places * lost;
            } else if shape.length + 1 == length {
                let stray = 1.0 / SIGNS as f64;
                let kind = |place: usize| shape.kinds[place] as usize;
                let added = gapped(
                    shape.has_region,
                    length,
                    |place, side| match side {
                        Side::Before => before[kind(place)][place],
                        Side::Gap => stray,
                        Side::After => after[kind(place - 1)][place],
                    },
                    [0.0, 0.0, region],
                );
                sum += share * colours * self.confusion.added / places * added;
            }
        }
        sum
    }

    /// A read that lacks one sign of a shape, summed over every place of the gap.
    fn alone_with_gap(&self, shape: &Shape, read: &Reading) -> f64 {
        let length = shape.length;
        let one = |place: usize, from: usize| self.confusion.alone(shape.kinds[place], read.at(from));
        let lost_province: f64 =
            super::errors::provinces().map(|sign| self.population.region(sign, read.at(0).sign)).sum();
        let lost_letter = if is_province(read.at(0).sign) {
            (0..26).map(|n| self.population.region(read.at(0).sign, super::symbols::LETTER_A + n)).sum()
        } else {
            0.0
        };
        let regions = [lost_province, lost_letter, self.region_alone(read.at(0), read.at(1))];
        let sum = gapped(
            shape.has_region,
            length,
            |place, side| match side {
                Side::Before => one(place, place),
                Side::Gap => 1.0,
                Side::After => one(place, place - 1),
            },
            regions,
        );
        sum / length as f64
    }

    fn product(&self, shape: &Shape, region: f64, rows: &[Row; 4], length: usize) -> f64 {
        let (first, mut product) = if shape.has_region { (2, region) } else { (0, 1.0) };
        for place in first..length {
            product *= rows[shape.kinds[place] as usize][place];
        }
        product
    }

    fn region_alone(&self, province: Read, letter: Read) -> f64 {
        let (right_in, _) = province.sureness.weights();
        let (right_out, _) = letter.sureness.weights();
        self.population.region(province.sign, letter.sign) * right_in * right_out
    }

    /// The region of both reads, for each true one that either of them says: a third would take two misreads.
    fn region_both(&self, entry: [Read; 2], exit: [Read; 2]) -> f64 {
        let mut sum = 0.0;
        for province in either(entry[0].sign, exit[0].sign) {
            for letter in either(entry[1].sign, exit[1].sign) {
                let share = self.population.region(province, letter);
                if share == 0.0 {
                    continue;
                }
                let (provinces, letters) = (&self.confusion.province, &self.confusion.issuer);
                sum += share
                    * weighed(provinces.at(province, entry[0].sign), province, entry[0])
                    * weighed(provinces.at(province, exit[0].sign), province, exit[0])
                    * weighed(letters.at(letter, entry[1].sign), letter, entry[1])
                    * weighed(letters.at(letter, exit[1].sign), letter, exit[1]);
            }
        }
        sum
    }

    /// The region where the short read lacks the province (0) or the letter (1).
    fn region_lost(&self, long: &Reading, short: &Reading, place: usize) -> f64 {
        let share = self.population.region(long.at(0).sign, long.at(1).sign);
        if place == 0 {
            share * self.confusion.issuer.at(long.at(1).sign, short.at(0).sign)
        } else {
            share * self.confusion.province.at(long.at(0).sign, short.at(0).sign)
        }
    }
}

/// What a camera pair has learned about all places of two reads. The issuing letter is not among it.
fn habit(learned: &Learned, entry: &Reading, exit: &Reading) -> f64 {
    let places = (0..entry.len()).filter(|place| *place != 1 || !is_province(entry.plate.sign(0)));
    places.map(|place| learned.ratio(entry.plate.sign(place), exit.plate.sign(place))).product()
}

/// Where a place lies, seen from the gap.
#[derive(Clone, Copy)]
enum Side {
    Before,
    Gap,
    After,
}

/// The sum over every place of a gap of the product over the places before it, the gap itself and the places after it.
/// `regions` are the region's chances with the gap in its first sign, in its second, and behind it.
fn gapped(has_region: bool, length: usize, chance: impl Fn(usize, Side) -> f64, regions: [f64; 3]) -> f64 {
    let first = if has_region { 2 } else { 0 };
    let mut behind = [1.0; PACKED_SIGNS + 1];
    for place in (first..length).rev() {
        behind[place] = if place == 0 { 1.0 } else { chance(place, Side::After) * behind[place + 1] };
    }
    let (mut sum, mut product) =
        if has_region { ((regions[0] + regions[1]) * behind[2], regions[2]) } else { (0.0, 1.0) };
    for place in first..length {
        sum += product * chance(place, Side::Gap) * behind[place + 1];
        if place + 1 < length {
            product *= chance(place, Side::Before);
        }
    }
    sum
}

fn row(length: usize, chance: impl Fn(usize) -> f64) -> Row {
    std::array::from_fn(|place| if place < length { chance(place) } else { 1.0 })
}

/// One or two signs, each once.
fn either(one: u8, other: u8) -> impl Iterator<Item = u8> {
    std::iter::once(one).chain((other != one).then_some(other))
}

fn weighed(chance: f64, truth: u8, read: Read) -> f64 {
    let (right, wrong) = read.sureness.weights();
    if read.sureness == Sureness::Unknown {
        chance
    } else if truth == read.sign {
        chance * right
    } else {
        chance * wrong
    }
}

/// How well a colour fits a shape: green stands on new-energy plates only, and blue never does.
fn colour_fits(shape: &Shape, colour: Option<Colour>) -> f64 {
    let Some(colour) = colour else { return 1.0 };
    if colour.is_green() == shape.is_green { FITTING_COLOUR } else { WRONG_COLOUR }
}
