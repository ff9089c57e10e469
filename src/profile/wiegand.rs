//! Cards as readers with two data wires send them: a row of bits with a few parity bits, by the profile's formats.

use std::sync::Arc;

use toml::Spanned;

use super::language::reader::{CardFormat, EvenOdd, Parity};
use super::statement::{CannotSend, Statement};

/// The formats that a reader sends.
#[derive(Clone, Debug)]
pub struct Cards {
    formats: Arc<[CardFormat]>,
}

/// Why bits are no card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCard {
    /// No format has so many bits.
    #[error("no format of the profile has {0} bits")]
    UnknownLength(usize),
    /// A parity bit does not fit: a bit was lost or invented on the way.
    #[error("parity bit {0} is wrong")]
    WrongParity(usize),
}

impl NoCard {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownLength(_) => "wrong-length",
            Self::WrongParity(_) => "wrong-parity",
        }
    }
}

impl Cards {
    pub(super) fn new(formats: &[Spanned<CardFormat>]) -> Self {
        Self { formats: formats.iter().map(|format| format.get_ref().clone()).collect() }
    }

    /// The card that these bits say, in the order in which they came. One format without a fault is enough.
    pub fn decode(&self, bits: &[bool]) -> Result<Statement, NoCard> {
        let mut why = NoCard::UnknownLength(bits.len());
        for format in self.formats.iter().filter(|format| format.bits == bits.len()) {
            match format.parity.iter().find(|parity| !fits(parity, bits)) {
                Some(parity) => why = NoCard::WrongParity(parity.at),
                None => {
                    let facility = format.facility.map(|[first, last]| number(&bits[first..=last]));
                    return Ok(Statement::Card {
                        facility,
                        number: number(&bits[format.number[0]..=format.number[1]]),
                    });
                }
            }
        }
        Err(why)
    }

    /// The bits of a card in the format of this name; for simulators and tests.
    pub fn encode(&self, format: &str, facility: Option<u64>, card: u64) -> Result<Vec<bool>, CannotSend> {
        let known = self.formats.iter().find(|known| known.name == format);
        let format = known.ok_or_else(|| CannotSend::BadArgument("format".to_owned(), self.names()))?;
        let mut bits = vec![false; format.bits];
        put(&mut bits, format.number, card, "number")?;
        if let Some(place) = format.facility {
            put(&mut bits, place, facility.unwrap_or(0), "facility")?;
        }
        for parity in &format.parity {
            bits[parity.at] = false;
            bits[parity.at] = !fits(parity, &bits);
        }
        Ok(bits)
    }

    /// Whether a parity of a format with so many bits covers this bit.
    pub fn covers(&self, bits: usize, bit: usize) -> bool {
        let of_length = self.formats.iter().filter(|format| format.bits == bits);
        of_length
            .flat_map(|format| &format.parity)
            .any(|parity| parity.at == bit || (parity.over[0]..=parity.over[1]).contains(&bit))
    }

    fn names(&self) -> String {
        super::mistake::one_of(self.formats.iter().map(|format| format.name.as_str()))
    }
}

/// Bits as a person writes them: 0 and 1, blanks between them as one likes.
pub fn bits(text: &str) -> Result<Vec<bool>, String> {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| match c {
            '0' => Ok(false),
            '1' => Ok(true),
            other => Err(format!("{other:?} is neither 0 nor 1")),
        })
        .collect()
}

fn fits(parity: &Parity, bits: &[bool]) -> bool {
    let [first, last] = parity.over;
    let ones = bits[first..=last].iter().chain([&bits[parity.at]]).filter(|bit| **bit).count();
    match parity.is {
        EvenOdd::Even => ones % 2 == 0,
        EvenOdd::Odd => ones % 2 == 1,
    }
}

fn number(bits: &[bool]) -> u64 {
    bits.iter().fold(0, |number, bit| number << 1 | u64::from(*bit))
}

fn put(bits: &mut [bool], [first, last]: [usize; 2], value: u64, name: &str) -> Result<(), CannotSend> {
    let width = last - first + 1;
    if width < 64 && value >> width != 0 {
        return Err(CannotSend::BadArgument(name.to_owned(), format!("a number of at most {width} bits")));
    }
    for (n, bit) in bits[first..=last].iter_mut().enumerate() {
        *bit = value >> (width - 1 - n) & 1 == 1;
    }
    Ok(())
}
