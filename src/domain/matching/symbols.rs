//! The signs that stand on plates as small numbers, and a plate packed into one machine word.

use crate::domain::plate::Plate;

/// A sign: 1 to [`SIGNS`]; 0 is none.
pub type Sign = u8;

/// The ten digits, the letters A to Z, the 31 provinces and the signs of special plates, in the order of their numbers.
const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\
京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼\
警学挂港澳使领试超民航应急临电";

/// How many signs there are: 10 + 26 + 31 + 15.
pub const SIGNS: usize = 82;
/// The most signs that a packed plate has: seven bits each in one word.
pub const PACKED_SIGNS: usize = 9;
const BITS: usize = 7;
const MASK: u64 = 0x7f;

pub const DIGIT_ZERO: Sign = 1;
pub const DIGIT_ONE: Sign = 2;
pub const LETTER_A: Sign = 11;
const LETTER_Z: Sign = 36;
const LETTER_I: Sign = LETTER_A + 8;
const LETTER_O: Sign = LETTER_A + 14;
pub const PROVINCE_FIRST: Sign = 37;
pub const PROVINCES: usize = 31;
pub const SPECIAL_FIRST: Sign = PROVINCE_FIRST + PROVINCES as Sign;

/// The number of a sign; `None` for what stands on no plate that the matching knows.
pub fn sign(c: char) -> Option<Sign> {
    // The ASCII part answers without a search, which is nearly all of every plate.
    match c {
        '0'..='9' => Some(DIGIT_ZERO + (c as u8 - b'0')),
        'A'..='Z' => Some(LETTER_A + (c as u8 - b'A')),
        other => {
            let place = ALPHABET.chars().skip(36).position(|known| known == other)?;
            Sign::try_from(place + 37).ok()
        }
    }
}

/// The character of a sign.
pub fn character(sign: Sign) -> Option<char> {
    ALPHABET.chars().nth(usize::from(sign).checked_sub(1)?)
}

pub fn is_digit(sign: Sign) -> bool {
    (DIGIT_ZERO..LETTER_A).contains(&sign)
}

pub fn is_letter(sign: Sign) -> bool {
    (LETTER_A..=LETTER_Z).contains(&sign)
}

/// A letter that serials have: all but I and O.
pub fn is_serial_letter(sign: Sign) -> bool {
    is_letter(sign) && sign != LETTER_I && sign != LETTER_O
}

pub fn is_province(sign: Sign) -> bool {
    (PROVINCE_FIRST..SPECIAL_FIRST).contains(&sign)
}

/// Up to nine signs, the first one in the highest bits, so that packed plates sort like their text.
///
/// Where the shape is province, letter, serial, an O in the serial is a 0 and an I is a 1: the standard has neither
/// letter there. Nothing else is changed, and special plates not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packed(pub u64);

impl Packed {
    /// Packs a plate; `None` where it is longer than nine or has a sign that the matching does not know. Such a plate
    /// is compared exactly and nothing else.
    pub fn of(plate: &Plate) -> Option<Self> {
        Self::of_text(plate.as_str())
    }

    /// Packs the text of a plate that was checked before.
    pub fn of_text(text: &str) -> Option<Self> {
        let mut signs = [0; PACKED_SIGNS];
        let mut length = 0;
        for c in text.chars() {
            *signs.get_mut(length)? = sign(c)?;
            length += 1;
        }
        let is_ordinary = (7..=8).contains(&length)
            && is_province(signs[0])
            && is_letter(signs[1])
            && signs[2..length].iter().all(|sign| is_digit(*sign) || is_letter(*sign));
        if is_ordinary {
            for sign in &mut signs[2..length] {
                *sign = match *sign {
                    LETTER_O => DIGIT_ZERO,
                    LETTER_I => DIGIT_ONE,
                    other => other,
                };
            }
        }
        Some(Self::pack(&signs[..length]))
    }

    /// Packs signs; those after the ninth are left out.
    pub fn pack(signs: &[Sign]) -> Self {
        let places = (0..PACKED_SIGNS).rev().map(|place| place * BITS);
        Self(signs.iter().zip(places).fold(0, |word, (sign, shift)| word | u64::from(*sign) << shift))
    }

    /// The signs, 0 after the last.
    pub fn signs(self) -> [Sign; PACKED_SIGNS] {
        std::array::from_fn(|place| self.sign(place))
    }

    /// The sign at a place; 0 beyond the last.
    pub fn sign(self, place: usize) -> Sign {
        // Seven bits always fit.
        (self.0 >> ((PACKED_SIGNS - 1 - place) * BITS) & MASK) as Sign
    }

    /// How many signs.
    pub fn len(self) -> usize {
        PACKED_SIGNS - (self.0.trailing_zeros() as usize / BITS).min(PACKED_SIGNS)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The plate's text with the serial's O and I as digits.
    pub fn text(self) -> String {
        self.signs().into_iter().filter_map(character).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_has_its_number_and_its_character() {
        assert_eq!(ALPHABET.chars().count(), SIGNS);
        for (c, number) in ALPHABET.chars().zip(1..) {
            assert_eq!(sign(c), Some(number), "{c}");
            assert_eq!(character(number), Some(c));
        }
        assert_eq!((sign('軍'), character(0), character(83)), (None, None, None));
        assert_eq!(ALPHABET.chars().filter_map(sign).filter(|sign| is_province(*sign)).count(), PROVINCES);
    }

    #[test]
    fn a_plate_is_packed_and_comes_back() {
        for (text, expect) in [
            ("粤B12345", Some("粤B12345")),
            ("粤BD1234O", Some("粤BD12340")),
            ("粤BI2345", Some("粤B12345")),
            ("粤O12345", Some("粤O12345")),
            ("WJ12OI5", Some("WJ12OI5")),
            ("粤Z1O34港", Some("粤Z1O34港")),
            ("ABCDEFG12", Some("ABCDEFG12")),
            ("ABCDEFG123", None),
            ("軍A12345", None),
        ] {
            let plate: Plate = text.parse().expect("a plate");
            let packed = Packed::of(&plate);
            assert_eq!(packed.map(Packed::text).as_deref(), expect, "{text}");
            assert_eq!(packed.map_or(0, Packed::len), expect.map_or(0, |text| text.chars().count()));
        }
        assert_eq!((Packed(0).len(), Packed(0).is_empty()), (0, true));
    }
}
