//! What fuzzing begins with: the recordings, the profiles, the manual and the examples, a few of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gatepost::profile::Profile;
use gatepost::profile::hostile::seeds;
use gatepost::profile::mistake::Source;
use gatepost::profile::shipped::{EXAMPLES, SHIPPED};

use super::folder;
use crate::boxed::root;

/// Larger seeds teach a fuzzer nothing and slow it down.
const SEED_BYTES_MAX: usize = 6_000;
/// Seeds of each door.
const SEEDS_MAX: usize = 24;

/// Writes every door's seeds. What fuzzing has found lies beside them under other names, and stays.
pub fn write() {
    let mut of_door: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut of_link: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (which, shipped) in SHIPPED.iter().enumerate() {
        let profile = Profile::parse(&Source { file: Path::new(shipped.file), text: shipped.text }).unwrap();
        of_link.entry(profile.link().word().replace('-', "_")).or_default().push(which);
        of_door.entry("profile".to_owned()).or_default().push(shipped.text.as_bytes().to_vec());
        of_door.entry("recording".to_owned()).or_default().push(shipped.recording.as_bytes().to_vec());
    }
    for (which, bytes) in seeds() {
        let (link, place) = of_link
            .iter()
            .find_map(|(link, all)| Some((link.clone(), all.iter().position(|one| *one == which)?)))
            .unwrap();
        for way in 0..3 {
            let head = [u8::try_from(place).unwrap(), way];
            of_door.entry(link.clone()).or_default().push([&head, &bytes[..]].concat());
        }
        if link == "http" {
            for kind in 0..6 {
                of_door.entry("document".to_owned()).or_default().push([&[kind], &bytes[..]].concat());
            }
        }
    }
    let event =
        "--boundary\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":[1]}\r\n--boundary--\r\n";
    for kind in [3, 4] {
        of_door.entry("event_stream".to_owned()).or_default().push([&[kind], event.as_bytes()].concat());
    }
    let plates =
        ["粤B12345", "粤BD12345", "粤Z1234港", "京A12345警", "AB12 CDE", "临00042", "无", "沪A·12345", "使014578"];
    of_door.insert("plate".to_owned(), plates.iter().map(|plate| plate.as_bytes().to_vec()).collect());
    let manual = std::fs::read_to_string(root().join("device-profiles/README.md")).unwrap();
    let settings = manual.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    of_door.insert("settings".to_owned(), settings.map(|text| text.as_bytes().to_vec()).collect());
    let mut rules = vec![std::fs::read(root().join("systemd/rules.toml")).unwrap()];
    let mut examples: Vec<PathBuf> =
        std::fs::read_dir(root().join("examples/tariffs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    examples.sort();
    rules.extend(examples.iter().map(|file| std::fs::read(file).unwrap()));
    of_door.insert("bundle".to_owned(), rules);
    of_door.entry("profile".to_owned()).or_default().extend(devices());
    for (name, seed) in tills().into_iter().chain(gear()).chain(pictures()) {
        of_door.entry(name.to_owned()).or_default().push(seed);
    }
    for (name, mut seeds) in of_door {
        seeds.retain(|seed| seed.len() <= SEED_BYTES_MAX);
        seeds.sort();
        seeds.dedup();
        // Some of everything, not the first of one product.
        let step = seeds.len().div_ceil(SEEDS_MAX).max(1);
        std::fs::create_dir_all(folder(&name)).unwrap();
        for number in 0..SEEDS_MAX {
            let _ = std::fs::remove_file(folder(&name).join(format!("{number:02}")));
        }
        for (number, seed) in seeds.iter().step_by(step).enumerate() {
            std::fs::write(folder(&name).join(format!("{number:02}")), seed).unwrap();
        }
    }
}

/// The examples' devices, each with something that it says behind its profile.
fn devices() -> Vec<Vec<u8>> {
    let says: [&[u8]; 3] = [
        br#"{"number":17,"plate":"A12345","others":[{"p":"B1","c":90}]}"#,
        br#"{"kind":"full","sn":"A1","result":{"id":"e7","text":"57KkQjEyMzQ1","score":0.9,"colour":"b"}}"#,
        b"\x7E\x01\x81\x05\x00\x81\x55\x6F\x6B\x00\xC3\xB2\x7E",
    ];
    // Without its comments an example is short enough to be changed in the right places.
    let terse = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let each = EXAMPLES.iter().flat_map(|example| says.map(|says| (terse(example.text), says)));
    each.map(|(text, says)| [text.as_bytes(), b"\0\0", says].concat()).collect()
}

/// What tills, printers and scanners send.
fn tills() -> Vec<(&'static str, Vec<u8>)> {
    let lines = [
        "STATUS||",
        "COMMIT|7|2|receipt_no=A-17|sale_fen=500|cash_fen=300|points_fen=200|member_ref=code:GPM1",
        "REVERSE|8|2|original=7",
        "TOTALS_Z|9|2",
        "REPORT|10|2|hour=2026-03-01T12:00:00+08:00|count=4|sale_fen=700",
    ];
    let bodies: [(u8, &str); 9] = [
        (2, r#"{"code":"GPM1001","plate":"粤B12345"}"#),
        (4, r#"{"member_ref":"code:GPM1","points":50,"ttl_s":300}"#),
        (5, r#"{"hold":"H1","fen":500,"receipt_no":"A"}"#),
        (
            7,
            r#"{"receipt_no":"A-17","sale_fen":500,"member_ref":"m","tenders":[{"kind":"cash","fen":300},{"kind":"points","fen":200}]}"#,
        ),
        (9, r#"{"transaction":"T","fen":5}"#),
        (14, r#"{"stay":"S1","kind":"two-hours","receipt_no":"A","spend_fen":10000}"#),
        (15, r#"{"stay":"S1","coupon":"C1"}"#),
        (17, r#"{"coupon":"C1","use":"U1"}"#),
        (20, r#"{"hour":"2026-03-01T12:00:00+08:00","count":4,"sale_fen":700}"#),
    ];
    let mut found = Vec::new();
    for line in lines {
        let check = line.bytes().fold(0x03, |check, byte| check ^ byte);
        found.push(("till_classic", [&[0, 0x02], line.as_bytes(), &[0x03, check]].concat()));
        found.push(("till_fields", [&[2], line.as_bytes()].concat()));
        found.push(("till_fields", [&[0], line.replace('|', ",").as_bytes()].concat()));
    }
    for (verb, body) in bodies {
        found.push(("till_body", [&[verb], body.as_bytes()].concat()));
        found.push(("till_strong", [&[1, verb + 1], body.as_bytes()].concat()));
        let head = "k-1\tgp/site/pos/T1/res/a\t7\t2\n";
        found.push(("till_letter", [&[verb | 0x80], head.as_bytes(), body.as_bytes()].concat()));
        let times = r#""ts":"2026-03-01T11:59:55+08:00","expires_at":"2026-03-01T12:00:05+08:00""#;
        let three = format!("\n{{\"v\":1,\"op\":\"HOLD\",\"key\":\"k\",\"seq\":7,{times},\"body\":{body}}}");
        found.push(("till_letter", [&[4], three.as_bytes()].concat()));
    }
    let frame = hex::decode("020101190102303132333435363738396162636465667b7d756b7cc100").unwrap();
    found.push(("till_strong", [&[0], &frame[..]].concat()));
    let words = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let receipt = words("小票号: A-17\n拿铁 x2      60.00\n合计     ￥1,060.50\n会员号：GPM1\n");
    found.push(("till_paper", [b"\x1B@\x1C&\x1Ba\x01\x1D!\x11", &receipt[..], b"\x1Bp\x00\x19\xFA\x1DVB\0"].concat()));
    found.push((
        "till_paper",
        [b"\x1Dv0\x00\x02\x00\x01\x00ab\x1D(k\x02\x001P\x1B*\x21\x01\x00abc", &receipt[..]].concat(),
    ));
    found
}

/// Small pictures in both formats, and one that says it is larger than any camera's.
fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let plate = [60, 60, 200, 120];
    let scene = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, (x ^ y) as u8]));
    let grey = image::DynamicImage::from(scene.clone()).to_luma8();
    let mut found = Vec::new();
    for format in [image::ImageFormat::Jpeg, image::ImageFormat::Png] {
        for picture in [image::DynamicImage::from(scene.clone()), grey.clone().into()] {
            let mut bytes = std::io::Cursor::new(plate.to_vec());
            bytes.set_position(4);
            picture.write_to(&mut bytes, format).unwrap();
            found.push(bytes.into_inner());
        }
    }
    let mut huge = found[0].clone();
    let sizes = huge.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap() + 5;
    huge[sizes..sizes + 4].fill(0xFF);
    found.push(huge);
    found.into_iter().map(|bytes| ("picture", bytes)).collect()
}

/// What readers, scanners and cameras send besides.
fn gear() -> Vec<(&'static str, Vec<u8>)> {
    let challenges = [
        r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b71", opaque="5ccc069c""#,
        r#"Digest realm="a", nonce="b", algorithm=SHA-256, qop=auth"#,
        r#"digest nonce=b , realm = "a,b=c""#,
        r#"Basic realm="x""#,
    ];
    let token = "A".repeat(160);
    let scans = ["GPM1001\r", "\n134567890123456789\r\n", "GPT1:临00042:00\n", "4111111111111111\r", "x\u{FF}y\n"]
        .map(String::from);
    let phone = [format!("GP2.{token}.59000000.{token}\r")];
    let packets: [&[u8]; 4] = [
        b"\x00\x50\x00\x01\x1A\x00\x80\x98\x1C\xC0",
        b"\x00\x40",
        b"\x01\x53\x80\x08\x00\x04\x40\x59\xAC",
        b"\x01\x53\x80\x10\x00\x05\x50\x00\x01\x1A\x00\x80\x98\x1C\xC0\x53\xF1",
    ];
    let challenges = challenges.into_iter().map(|text| ("digest", text.as_bytes().to_vec()));
    let scans = scans.into_iter().chain(phone).map(|text| ("scan", text.into_bytes()));
    challenges.chain(scans).chain(packets.into_iter().map(|bytes| ("osdp_secure", bytes.to_vec()))).collect()
}
