//! Looking into a picture: whether it is one, a small one for the page, and one for a person with the lane, the time and
//! the driver's seat made unrecognisable.
//!
//! A camera's bytes are a stranger's bytes. They are looked at only within limits on bytes, pixels and memory.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};

use super::font;
use crate::domain::plate::told::PlateBox;

/// The most pixels that are decoded: a camera of 12 million, 36 MB in memory.
pub const PIXELS_MAX: u64 = 12_000_000;
/// The longest side; a camera's is below 5000.
const SIDE_MAX: u32 = 8_192;
/// What a decoder may take beside its input: the pixels, and as much again for its own tables.
const DECODER_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// The small picture's width in pixels; the page shows it as large as that.
pub const THUMBNAIL_WIDTH: u32 = 320;
/// In fewer pixels than these, wide and high, nobody reads a plate.
const PLATE_LEAST: (u32, u32) = (16, 6);
/// How much is cut out around a plate on each side, as a part of it: a person wants to see the frame too.
const AROUND: u32 = 4;
/// The quality of what is encoded again, of 100: small for a page, good for a person.
const QUALITY: (u8, u8) = (75, 88);
/// How many coarse cells a blurred area is made of; no face survives in so few.
const BLUR_CELLS: (u32, u32) = (6, 5);
/// The colours of the strip below the picture.
const STRIP: (Rgb<u8>, Rgb<u8>) = (Rgb([16, 20, 24]), Rgb([236, 240, 244]));
/// The end of a JPEG is looked for in so many bytes; some cameras append some of their own.
const JPEG_TAIL: usize = 4 * 1024;

/// A part of the picture, in thousandths of its width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its left edge.
    pub x: u16,
    /// Its upper edge.
    pub y: u16,
    /// Its width.
    pub width: u16,
    /// Its height.
    pub height: u16,
}

/// What is done to a picture before anybody sees it.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// The driver's seat, where the settings name it.
    pub blur: Option<Area>,
    /// Lane and time, written below the picture.
    pub words: String,
}

/// Why bytes are no picture that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPicture {
    /// Neither JPEG nor PNG by its first bytes.
    #[error("neither JPEG nor PNG")]
    Foreign,
    /// It ends before its end.
    #[error("it is cut off")]
    Truncated,
    /// More pixels than [`PIXELS_MAX`], or more memory than a decoder gets.
    #[error("it has too many pixels")]
    TooManyPixels,
    /// The decoder gave up.
    #[error("it is damaged")]
    Damaged,
}

impl NotAPicture {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Foreign => "photo-foreign",
            Self::Truncated => "photo-truncated",
            Self::TooManyPixels => "photo-too-many-pixels",
            Self::Damaged => "photo-damaged",
        }
    }
}

/// The format that the first bytes tell; only these two are ever decoded.
pub fn format(bytes: &[u8]) -> Result<ImageFormat, NotAPicture> {
    if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Ok(ImageFormat::Jpeg)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(ImageFormat::Png)
    } else {
        Err(NotAPicture::Foreign)
    }
}

/// The small picture, as JPEG; and another of the plate alone, where it is to be cut out.
pub fn thumbnails(
    original: &[u8],
    finish: &Finish,
    plate_box: Option<PlateBox>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), NotAPicture> {
    let mut picture = decode(original)?;
    if let Some(area) = finish.blur {
        blur(&mut picture, area);
    }
    // After the blur: a camera's rectangle, whatever it says, brings nobody's face back.
    let plate = plate_box.and_then(|plate_box| cut(&picture, plate_box));
    let plate = plate.map(|plate| small(plate, finish)).transpose()?;
    Ok((small(picture, finish)?, plate))
}

fn small(mut picture: RgbImage, finish: &Finish) -> Result<Vec<u8>, NotAPicture> {
    let (width, height) = picture.dimensions();
    if width > THUMBNAIL_WIDTH {
        let small = (u64::from(height) * u64::from(THUMBNAIL_WIDTH) / u64::from(width)).clamp(1, u64::from(SIDE_MAX));
        picture = imageops::thumbnail(&picture, THUMBNAIL_WIDTH, small as u32);
    }
    encode(&with_strip(&picture, &finish.words, 1), QUALITY.0)
}

/// The plate with some of what is around it; `None` where the rectangle is none or lies outside.
fn cut(picture: &RgbImage, plate: PlateBox) -> Option<RgbImage> {
    let (width, height) = picture.dimensions();
    let pixels = |value: u32, side: u32| match plate.of {
        Some(of) => (u64::from(value) * u64::from(side) / u64::from(of.max(1))).min(u64::from(side)) as u32,
        None => value.min(side),
    };
    let (left, right) = (pixels(plate.left, width), pixels(plate.right, width));
    let (top, bottom) = (pixels(plate.top, height), pixels(plate.bottom, height));
    let (wide, high) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
    if wide < PLATE_LEAST.0 || high < PLATE_LEAST.1 {
        return None;
    }
    let (left, top) = (left.saturating_sub(wide / AROUND), top.saturating_sub(high / AROUND));
    let (right, bottom) = ((right + wide / AROUND).min(width), (bottom + high / AROUND).min(height));
    Some(imageops::crop_imm(picture, left, top, right - left, bottom - top).to_image())
}

/// The picture for a person, as large as it came, as JPEG.
pub fn full(original: &[u8], finish: &Finish) -> Result<Vec<u8>, NotAPicture> {
    let mut picture = decode(original)?;
    if let Some(area) = finish.blur {
        blur(&mut picture, area);
    }
    let scale = (picture.width() / 320).clamp(1, 6);
    encode(&with_strip(&picture, &finish.words, scale), QUALITY.1)
}

fn decode(original: &[u8]) -> Result<RgbImage, NotAPicture> {
    let format = format(original)?;
    // The decoder fills what is missing with grey and says nothing.
    let tail = &original[original.len().saturating_sub(JPEG_TAIL)..];
    if format == ImageFormat::Jpeg && !tail.windows(2).any(|pair| pair == [0xFF, 0xD9]) {
        return Err(NotAPicture::Truncated);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(original), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| problem(&error))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > DECODER_BYTES_MAX {
        return Err(NotAPicture::TooManyPixels);
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| problem(&error))?;
    Ok(picture.into_rgb8())
}

fn problem(error: &image::ImageError) -> NotAPicture {
    match error {
        image::ImageError::Limits(_) => NotAPicture::TooManyPixels,
        image::ImageError::IoError(_) => NotAPicture::Truncated,
        image::ImageError::Decoding(_)
        | image::ImageError::Encoding(_)
        | image::ImageError::Parameter(_)
        | image::ImageError::Unsupported(_) => NotAPicture::Damaged,
    }
}

/// Nothing of the area comes through but the colour of a few coarse cells.
fn blur(picture: &mut RgbImage, area: Area) {
    let (width, height) = picture.dimensions();
    let part = |side: u32, thousandths: u16| (u64::from(side) * u64::from(thousandths) / 1000) as u32;
    let (x, y) = (part(width, area.x), part(height, area.y));
    // Rounded up, so that no line of it stays at the edge.
    let (wide, high) = (part(width, area.width) + 1, part(height, area.height) + 1);
    let (wide, high) = (wide.min(width.saturating_sub(x)), high.min(height.saturating_sub(y)));
    if wide == 0 || high == 0 {
        return;
    }
    let seat = imageops::crop_imm(picture, x, y, wide, high).to_image();
    let cells = imageops::thumbnail(&seat, BLUR_CELLS.0.min(wide), BLUR_CELLS.1.min(high));
    let coarse = imageops::resize(&cells, wide, high, FilterType::Triangle);
    imageops::replace(picture, &coarse, i64::from(x), i64::from(y));
}

/// The words stand below the picture, never on it: nothing of what the camera saw is covered.
fn with_strip(picture: &RgbImage, words: &str, scale: u32) -> RgbImage {
    if words.is_empty() {
        return picture.clone();
    }
    let scale = scale.min((picture.width() / font::width(words, 1)).max(1));
    let (width, height) = picture.dimensions();
    let margin = 2 * scale;
    let wide = width.max(font::width(words, scale) + 2 * margin);
    let mut canvas = RgbImage::from_pixel(wide, height + font::HEIGHT * scale + 2 * margin, STRIP.0);
    imageops::replace(&mut canvas, picture, 0, 0);
    font::write(words, scale, |x, y| canvas.put_pixel(margin + x, height + margin + y, STRIP.1));
    canvas
}

fn encode(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, NotAPicture> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    picture.write_with_encoder(encoder).map_err(|_| NotAPicture::Damaged)?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_picture_gets_small_and_keeps_its_shape() {
        let finish = Finish { words: "EXIT-1 2026-03-02 16:00:00".to_owned(), blur: None };
        for original in [jpeg(1280, 720), png(1280, 720)] {
            let small = decode(&thumbnail(&original, &finish).expect("a picture")).expect("what we write we read");
            assert_eq!(small.dimensions(), (THUMBNAIL_WIDTH, 180 + font::HEIGHT + 4));
            let full = decode(&full(&original, &finish).expect("a picture")).expect("what we write we read");
            assert_eq!(full.width(), 1280);
            assert!(full.height() > 720, "the words stand below");
        }
        let crop = decode(&thumbnail(&jpeg(40, 12), &finish).expect("a picture")).expect("readable");
        assert_eq!(crop.width(), font::width(&finish.words, 1) + 4, "the strip is as wide as its words");
    }

    #[test]
    fn the_words_stand_below_the_picture_dot_for_dot() {
        for (words, others) in [("EXIT-1 2026-03-02 16:00:00", "EXIT-2 2026-03-02 16:00:00"), ("A", "")] {
            let finish = Finish { words: words.to_owned(), blur: None };
            let made = decode(&full(&jpeg(1280, 720), &finish).expect("a picture")).expect("readable");
            let scale = 1280 / 320;
            let lit = |text: &str| {
                let mut dots = std::collections::BTreeSet::new();
                font::write(text, scale, |x, y| _ = dots.insert((x, y)));
                dots
            };
            let (left, top) = (2 * scale, 720 + 2 * scale);
            let places = (0..1280 - left).flat_map(|x| (0..font::HEIGHT * scale).map(move |y| (x, y)));
            let found = places.filter(|(x, y)| made.get_pixel(left + x, top + y).0[1] > 128).collect();
            assert_eq!(lit(words), found);
            assert_ne!(lit(others), found);
        }
    }

    #[test]
    fn the_plate_is_cut_out_of_the_scene_with_some_of_what_is_around_it() {
        let original = encode(&scene_with_a_plate(), 95).expect("encoded");
        let at = |left, top, right, bottom, of| {
            let plate_box = PlateBox { left, top, right, bottom, of };
            let (_, plate) = thumbnails(&original, &Finish::default(), Some(plate_box)).expect("a picture");
            plate.map(|plate| decode(&plate).expect("readable"))
        };
        for plate in [at(100, 80, 160, 100, None), at(250, 400, 400, 500, Some(1000))] {
            let plate = plate.expect("a plate");
            assert_eq!(plate.dimensions(), (60 + 2 * 15, 20 + 2 * 5));
            let is_white = |x, y| plate.get_pixel(x, y).0[1] > 200;
            assert!(is_white(20, 10) && is_white(70, 20), "the plate");
            assert!(!is_white(5, 2) && !is_white(85, 27), "and what is around it");
        }
        assert_eq!(at(390, 190, u32::MAX, u32::MAX, None), None, "hardly anything of it is in the picture");
        assert_eq!(at(0, 0, u32::MAX, u32::MAX, None).map(|plate| plate.width()), Some(THUMBNAIL_WIDTH));
        for (left, top, right, bottom) in
            [(160, 80, 100, 100), (100, 100, 160, 80), (500, 300, 600, 400), (0, 0, 0, 0), (10, 10, 20, 14)]
        {
            assert_eq!(at(left, top, right, bottom, None), None);
        }
        assert_eq!(at(0, 0, 1, 1, Some(0)).map(|plate| plate.width()), Some(THUMBNAIL_WIDTH), "no division by it");
    }

    #[test]
    fn what_is_no_picture_has_a_name() {
        let whole = jpeg(200, 100);
        check(b"", NotAPicture::Foreign);
        check(b"this is a text and no JPEG", NotAPicture::Foreign);
        check(b"GIF89a\x01\x00\x01\x00\x80\x00\x00", NotAPicture::Foreign);
        check(b"<svg xmlns='http://www.w3.org/2000/svg'/>", NotAPicture::Foreign);
        check(&whole[..whole.len() / 2], NotAPicture::Truncated);
        check(&whole[..whole.len() - 2], NotAPicture::Truncated);
        check(&[&[0xFF, 0xD8, 0xFF][..], b"a text after the first three bytes\xFF\xD9"].concat(), NotAPicture::Damaged);
        let cut_png = png(200, 100);
        assert!(thumbnail(&cut_png[..cut_png.len() / 2], &Finish::default()).is_err());
    }

    #[test]
    fn a_bomb_is_refused_by_its_head() {
        // 30 000 x 30 000 pixels in a few hundred bytes: 2.7 GB if anybody believed it.
        check(&png_that_claims(30_000, 30_000), NotAPicture::TooManyPixels);
        check(&png_that_claims(8_000, 8_000), NotAPicture::TooManyPixels);
        check(&jpeg_that_claims(60_000, 60_000), NotAPicture::TooManyPixels);
        check(&jpeg_that_claims(8_000, 8_000), NotAPicture::TooManyPixels);
    }

    #[test]
    fn the_drivers_seat_cannot_be_made_out() {
        let stripes = RgbImage::from_fn(400, 200, |x, _| if x % 4 < 2 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        let original = encode(&stripes, 100).expect("encoded");
        let area = Area { x: 250, y: 100, width: 500, height: 500 };
        for make in [full, thumbnail] {
            let made = make(&original, &Finish { blur: Some(area), words: String::new() }).expect("a picture");
            let made = decode(&made).expect("readable");
            let scale = made.width() * 10 / 400;
            let contrast = |left: u32, right: u32| {
                let line = (left * scale / 10..right * scale / 10).map(|x| made.get_pixel(x, 60 * scale / 10).0[0]);
                let (least, most) = line.fold((255, 0), |(least, most), now| (now.min(least), now.max(most)));
                i32::from(most) - i32::from(least)
            };
            assert!(contrast(110, 290) < 50, "inside: {}", contrast(110, 290));
            assert!(contrast(0, 90) > 100 && contrast(310, 399) > 100, "outside it stays as it was");
        }
    }

    /// A camera that calls the whole scene a plate must not show what the settings hide.
    #[test]
    fn a_plate_is_cut_out_after_the_blur() {
        let stripes = RgbImage::from_fn(400, 200, |x, _| if x % 4 < 2 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        let original = encode(&stripes, 100).expect("encoded");
        let area = Area { x: 250, y: 100, width: 500, height: 500 };
        let finish = Finish { blur: Some(area), words: String::new() };
        let plate_box = PlateBox { left: 150, top: 50, right: 250, bottom: 80, of: None };
        let (_, plate) = thumbnails(&original, &finish, Some(plate_box)).expect("a picture");
        let plate = decode(&plate.expect("a plate")).expect("readable");
        let line = (0..plate.width()).map(|x| plate.get_pixel(x, 20).0[0]);
        let (least, most) = line.fold((255, 0), |(least, most), now| (now.min(least), now.max(most)));
        assert!(i32::from(most) - i32::from(least) < 50, "{least} to {most}");
    }

    #[test]
    fn an_area_at_the_edge_stays_inside() {
        for area in [(0, 0, 1000, 1000), (999, 999, 1, 1), (1000, 1000, 0, 0), (500, 500, 1000, 1000)] {
            let (x, y, width, height) = area;
            let finish = Finish { blur: Some(Area { x, y, width, height }), words: String::new() };
            assert!(full(&jpeg(3, 2), &finish).is_ok(), "{area:?}");
        }
    }

    fn thumbnail(original: &[u8], finish: &Finish) -> Result<Vec<u8>, NotAPicture> {
        thumbnails(original, finish, None).map(|(small, _)| small)
    }

    fn check(bytes: &[u8], expect: NotAPicture) {
        assert_eq!(thumbnail(bytes, &Finish::default()).err(), Some(expect), "{} bytes", bytes.len());
    }

    pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
        encode(&sample(width, height), 80).expect("encoded")
    }

    pub fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        sample(width, height).write_to(&mut bytes, ImageFormat::Png).expect("encoded");
        bytes.into_inner()
    }

    /// A right PNG whose head is replaced by one that claims more, with its checksum.
    pub fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = png(8, 8);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// A right JPEG whose frame header claims more.
    pub fn jpeg_that_claims(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = jpeg(8, 8);
        let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a baseline frame");
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        bytes
    }

    /// Upright stripes, four pixels wide.
    pub fn striped() -> Vec<u8> {
        let stripes = RgbImage::from_fn(320, 180, |x, _| if x % 8 < 4 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        encode(&stripes, 95).expect("encoded")
    }

    /// The darkest against the brightest of a line through the middle.
    pub fn contrast(shown: &[u8]) -> u8 {
        let shown = decode(shown).expect("readable");
        let line = (0..320).map(|x| shown.get_pixel(x, 90).0[1]);
        let (least, most) = line.fold((255, 0), |(least, most): (u8, u8), now| (now.min(least), now.max(most)));
        most - least
    }

    /// Grey, and a white plate.
    pub fn scene_with_a_plate() -> RgbImage {
        let is_plate = |x, y| (100..160).contains(&x) && (80..100).contains(&y);
        RgbImage::from_fn(400, 200, |x, y| if is_plate(x, y) { Rgb([255; 3]) } else { Rgb([90; 3]) })
    }

    fn sample(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 90]))
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc: u32, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
        })
    }
}
