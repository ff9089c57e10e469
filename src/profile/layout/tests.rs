//! Layouts written and read back, and what happens to bytes that do not fit.

use super::super::language::frame::Part;
use super::super::template::{Value, Values};
use super::*;

const LINES: &str = r#"
parts = [
  { count_of = "lines" },
  { each = "lines", between = "0D", parts = [{ number = "row" }, { name = "length", counts = ["text"], add = 1 }, { text = "text" }] },
  { always = "00" },
  { text = "voice", ends = "00" },
]
"#;

#[test]
fn rows_and_their_lengths_are_written_and_read() {
    let parts = parts(LINES);
    let row = |text: &str| Values::from([("text".to_owned(), Value::Text(text.to_owned()))]);
    let values = Values::from([
        ("lines".to_owned(), Value::Rows(vec![row("ab"), row("c")])),
        ("voice".to_owned(), Value::Text("hi".to_owned())),
    ]);
    let bytes = write(&parts, &values).expect("written");
    assert_eq!(hex::encode(&bytes), "0200036162".to_owned() + "0d010263" + "00" + "686900");
    let found = read(&parts, &bytes).expect("read");
    assert_eq!(found.values["lines"][1]["text"], "c");
    assert_eq!(found.values["voice"], "hi");
    for length in 0..bytes.len() {
        assert!(read(&parts, &bytes[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(read(&parts, &[bytes, vec![1]].concat()).map(|_| ()), Err(Fault::LeftOver(1)));
}

#[test]
fn a_number_has_a_width_an_order_and_a_scale() {
    let parts = parts(
        r#"parts = [{ number = "a", bytes = 2, order = "low-first" }, { number = "b", base = 1, times = 2, divided_by = 100 }]"#,
    );
    let values =
        |a: i64, b: i64| Values::from([("a".to_owned(), Value::Integer(a)), ("b".to_owned(), Value::Integer(b))]);
    let bytes = write(&parts, &values(0x1234, 500)).expect("written");
    assert_eq!(bytes, [0x34, 0x12, 11]);
    assert_eq!(read(&parts, &bytes).expect("read").values["b"], 500);
    assert!(write(&parts, &values(0x1_0000, 0)).is_err(), "too large");
    assert!(write(&parts, &values(-1, 0)).is_err(), "negative");
    assert!(write(&parts, &Values::new()).is_err(), "missing");
}

#[test]
fn a_text_that_the_character_set_lacks_is_refused_and_not_replaced() {
    let gbk = parts(r#"parts = [{ text = "t" }]"#);
    let values = |text: &str| Values::from([("t".to_owned(), Value::Text(text.to_owned()))]);
    assert!(write(&gbk, &values("粤B12345")).is_ok());
    assert!(write(&gbk, &values("🚗")).is_err());
    assert_eq!(read(&gbk, &[0x81]).map(|_| ()), Err(Fault::BadText("t".to_owned())));
}

/// The frame of the ID-12 reader's document: ten digits and the exclusive or of the five bytes that they stand for.
#[test]
fn numbers_and_checks_may_be_written_as_digits() {
    let parts = parts(
        r#"parts = [
          { number = "facility", bytes = 2, digits = "hex" },
          { number = "card", bytes = 8, digits = "hex" },
          { name = "check", bytes = 2, digits = "hex", check = "xor", over = ["facility", "card"], over_hex = true },
          { number = "count", bytes = 3, digits = "decimal" },
          { name = "small", bytes = 2, digits = "hex-small", check = "sum", over = ["count"] },
        ]"#,
    );
    let number = |name: &str, value: i64| (name.to_owned(), Value::Integer(value));
    let values =
        |count: i64| Values::from([number("facility", 0x62), number("card", 0xE308_6CED), number("count", count)]);
    let bytes = write(&parts, &values(42)).expect("written");
    assert_eq!(String::from_utf8_lossy(&bytes), "62E3086CED0804296");
    let found = read(&parts, &bytes).expect("read").values;
    assert_eq!((found["card"].as_i64(), found["count"].as_i64()), (Some(0xE308_6CED), Some(42)));
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 0x20;
        assert!(
            read(&parts, &other).is_err(),
            "byte {at} is no digit, or another one: {}",
            String::from_utf8_lossy(&other)
        );
    }
    assert!(write(&parts, &values(1000)).is_err(), "four digits in three places");
    assert!(write(&parts, &values(-1)).is_err(), "a digit is no sign");
}

fn parts(text: &str) -> Vec<Part> {
    #[derive(serde::Deserialize)]
    struct Words {
        parts: Vec<Part>,
    }
    toml::from_str::<Words>(text).expect("right words").parts
}
