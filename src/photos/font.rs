//! The letters of the strip below a picture: a small bitmap font of our own, so that no font file has to be shipped.

/// How high a letter is, in dots.
pub const HEIGHT: u32 = 7;
/// How wide a letter is with the gap behind it, in dots.
const ADVANCE: u32 = 6;
/// How wide a letter is, in dots.
const DOTS: u32 = 5;

/// How wide a text is at a scale, in pixels.
pub fn width(text: &str, scale: u32) -> u32 {
    text.chars().count() as u32 * ADVANCE * scale
}

/// Calls `dot` for every pixel of the text, from its upper left corner on. Small letters are written as capitals; a
/// character that the font does not have leaves a gap.
pub fn write(text: &str, scale: u32, mut dot: impl FnMut(u32, u32)) {
    for (place, letter) in (0..).zip(text.chars()) {
        let Some(rows) = rows(letter.to_ascii_uppercase()) else { continue };
        for (y, row) in (0..).zip(rows) {
            for x in (0..DOTS).filter(|x| row >> (DOTS - 1 - x) & 1 == 1) {
                for (right, down) in (0..scale).flat_map(|right| (0..scale).map(move |down| (right, down))) {
                    dot((place * ADVANCE + x) * scale + right, y * scale + down);
                }
            }
        }
    }
}

fn rows(letter: char) -> Option<[u8; HEIGHT as usize]> {
    LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, rows)| *rows)
}

/// Seven rows of five dots each, the leftmost dot in the highest bit.
#[rustfmt::skip]
const LETTERS: [(char, [u8; HEIGHT as usize]); 39] = [
    ('0', [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110]),
    ('1', [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('2', [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111]),
    ('3', [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110]),
    ('4', [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010]),
    ('5', [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110]),
    ('6', [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110]),
    ('7', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000]),
    ('8', [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110]),
    ('9', [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100]),
    ('A', [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('B', [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110]),
    ('C', [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110]),
    ('D', [0b11100, 0b10010, 0b10001, 0b10001, 0b10001, 0b10010, 0b11100]),
    ('E', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111]),
    ('F', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('G', [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111]),
    ('H', [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('I', [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('J', [0b00111, 0b00010, 0b00010, 0b00010, 0b00010, 0b10010, 0b01100]),
    ('K', [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001]),
    ('L', [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111]),
    ('M', [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001]),
    ('N', [0b10001, 0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001]),
    ('O', [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('P', [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('Q', [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101]),
    ('R', [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001]),
    ('S', [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('T', [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('U', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('V', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100]),
    ('W', [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b10101, 0b01010]),
    ('X', [0b10001, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b10001]),
    ('Y', [0b10001, 0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100]),
    ('Z', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111]),
    ('-', [0b00000, 0b00000, 0b00000, 0b11111, 0b00000, 0b00000, 0b00000]),
    (':', [0b00000, 0b01100, 0b01100, 0b00000, 0b01100, 0b01100, 0b00000]),
    ('_', [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b11111]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_looks_like_itself() {
        let mut dots = [[' '; 18]; 7];
        write("1:e", 1, |x, y| dots[y as usize][x as usize] = '#');
        let seen: Vec<String> = dots.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect();
        assert_eq!(
            seen,
            [
                "  #         #####",
                " ##    ##   #",
                "  #    ##   #",
                "  #         ####",
                "  #    ##   #",
                "  #    ##   #",
                " ###        #####"
            ]
        );
    }

    #[test]
    fn what_a_lane_may_be_called_can_be_written() {
        let may = ('0'..='9').chain('a'..='z').chain('A'..='Z').chain(['-', '_', ':']);
        for letter in may {
            assert!(rows(letter.to_ascii_uppercase()).is_some(), "{letter}");
        }
    }
}
