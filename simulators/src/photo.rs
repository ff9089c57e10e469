//! What a simulated camera sees: a drawn car with its plate, as a small JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

use crate::plates::PlateKind;

const SCENE: (u32, u32) = (640, 360);
/// Where the car stands and where its plate is, in the scene: left, top, width, height.
const CAR: [u32; 4] = [170, 96, 300, 214];
const PLATE: [u32; 4] = [238, 244, 164, 40];
/// How much of the scene around the plate the close-up shows.
const MARGIN: u32 = 12;
const QUALITY: u8 = 72;

const ASPHALT: [u8; 3] = [82, 86, 90];
const WALL: [u8; 3] = [196, 200, 196];
const LINE: [u8; 3] = [236, 232, 214];
const GLASS: [u8; 3] = [38, 48, 60];
const TYRE: [u8; 3] = [24, 26, 28];
const LAMP: [u8; 3] = [250, 244, 214];
const SKIN: [u8; 3] = [214, 172, 140];
/// Car paint as it is seen in a car park.
const PAINTS: [[u8; 3]; 7] =
    [[238, 238, 236], [34, 36, 40], [150, 154, 158], [166, 34, 34], [28, 66, 130], [70, 92, 66], [186, 160, 112]];

/// The two pictures that a camera sends.
pub struct Pictures {
    /// The whole scene.
    pub scene: Vec<u8>,
    /// The plate alone.
    pub plate: Vec<u8>,
}

/// What the camera sees of a car with this plate; the same car always looks the same. Other words, such as those for a
/// car without a plate, leave the plate bare.
pub fn take(plate: &str) -> Pictures {
    let mut scene = RgbImage::from_pixel(SCENE.0, SCENE.1, Rgb(ASPHALT));
    fill(&mut scene, [0, 0, SCENE.0, 110], WALL);
    for stripe in 0..8 {
        fill(&mut scene, [stripe * 90 + 10, 330, 50, 8], LINE);
    }
    car(&mut scene, paint_of(plate));
    plate_on(&mut scene, plate);
    let [left, top, width, height] = PLATE;
    let close = [left - MARGIN, top - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN];
    let crop = image::imageops::crop_imm(&scene, close[0], close[1], close[2], close[3]).to_image();
    Pictures { scene: noting(plate, jpeg(&scene)), plate: noting(plate, jpeg(&crop)) }
}

/// What begins the note that a camera of this world leaves in a picture.
const NOTE: &[u8] = b"gatepost-sim plate ";

/// The picture with the plate as a comment behind its first two bytes, for who plays one that reads plates. One without a
/// plate has none.
fn noting(plate: &str, jpeg: Vec<u8>) -> Vec<u8> {
    if !(7..=8).contains(&plate.chars().count()) {
        return jpeg;
    }
    let note = [NOTE, plate.as_bytes()].concat();
    // A comment's length counts its own two bytes.
    let length = u16::try_from(note.len() + 2).unwrap_or(2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xFE], &length, &note, &jpeg[2..]].concat()
}

/// The plate that stands in a picture of this world, also where more is around it; none where there is none.
pub fn noted(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(NOTE.len()).position(|window| window == NOTE)?;
    let length = usize::from(u16::from_be_bytes(bytes.get(at.checked_sub(2)?..at)?.try_into().ok()?));
    let plate = bytes.get(at + NOTE.len()..(at + length).checked_sub(2)?)?;
    String::from_utf8(plate.to_vec()).ok()
}

fn car(scene: &mut RgbImage, paint: [u8; 3]) {
    let [left, top, width, height] = CAR;
    let right = left + width;
    for wheel in [left + 14, right - 54] {
        fill(scene, [wheel, top + height - 34, 40, 46], TYRE);
    }
    fill(scene, [left + 44, top, width - 88, 80], paint);
    fill(scene, [left, top + 74, width, height - 90], paint);
    fill(scene, [left + 60, top + 12, width - 120, 60], GLASS);
    // Somebody sits at the wheel: something for the settings to blur.
    fill(scene, [right - 132, top + 24, 28, 34], SKIN);
    fill(scene, [right - 148, top + 54, 60, 18], [60, 64, 110]);
    for lamp in [left + 14, right - 62] {
        fill(scene, [lamp, top + 100, 48, 26], LAMP);
    }
}

fn plate_on(scene: &mut RgbImage, plate: &str) {
    let (ground, ink) = match PlateKind::of(plate) {
        PlateKind::Ordinary => ([24, 72, 176], [255, 255, 255]),
        PlateKind::NewEnergy => ([150, 222, 170], [12, 28, 20]),
    };
    let [left, top, width, height] = PLATE;
    fill(scene, PLATE, ink);
    fill(scene, [left + 2, top + 2, width - 4, height - 4], ground);
    let letters: Vec<char> = plate.chars().collect();
    if !(7..=8).contains(&letters.len()) {
        return;
    }
    let advance = (width - 12) / letters.len() as u32;
    for (place, letter) in (0..).zip(letters) {
        let at = (left + 8 + place * advance, top + 9);
        match LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, rows)) => glyph(scene, at, rows, ink),
            // The province: a block of strokes, for want of a Chinese font.
            None => [0, 8, 16].into_iter().for_each(|down| fill(scene, [at.0, at.1 + down, 15, 5], ink)),
        }
    }
}

fn glyph(scene: &mut RgbImage, at: (u32, u32), rows: &[u8; 7], ink: [u8; 3]) {
    for (y, row) in (0..).zip(rows) {
        for x in (0..5).filter(|x| row >> (4 - x) & 1 == 1) {
            fill(scene, [at.0 + x * 3, at.1 + y * 3, 3, 3], ink);
        }
    }
}

fn fill(picture: &mut RgbImage, [left, top, width, height]: [u32; 4], colour: [u8; 3]) {
    for y in top..(top + height).min(picture.height()) {
        for x in left..(left + width).min(picture.width()) {
            picture.put_pixel(x, y, Rgb(colour));
        }
    }
}

fn paint_of(plate: &str) -> [u8; 3] {
    let sum: u32 = plate.bytes().map(u32::from).sum();
    PAINTS[sum as usize % PAINTS.len()]
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    picture.write_with_encoder(encoder).expect("memory takes every write, and the size is ours");
    bytes
}

/// Seven rows of five dots each, the leftmost dot in the highest bit.
#[rustfmt::skip]
const LETTERS: [(char, [u8; 7]); 36] = [
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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_car_looks_like_itself_and_no_other() {
        let (one, other) = (take("粤B12345"), take("粤BD12345"));
        assert!(one.scene == take("粤B12345").scene && one.scene != other.scene && one.plate != other.plate);
        for pictures in [one, other, take("_无_")] {
            assert!((2_000..20_000).contains(&pictures.scene.len()), "{} bytes", pictures.scene.len());
            assert!((500..8_000).contains(&pictures.plate.len()), "{} bytes", pictures.plate.len());
            let scene = image::load_from_memory(&pictures.scene).expect("a JPEG");
            assert_eq!((scene.width(), scene.height()), SCENE);
        }
        assert_eq!(noted(&take("粤B12345").plate).as_deref(), Some("粤B12345"));
        assert_eq!(noted(&take("_无_").scene), None);
    }
}
