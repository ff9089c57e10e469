//! Lots: points of one credit or one earning, and the terms on which they may be used. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many characters an issuer, funder or source may have.
const PARTY_CHARS_MAX: usize = 64;

/// How many boxes the places of a lot may name.
const PLACES_MAX: usize = 64;

/// How many windows of time a lot may have: two for each day of the week, and two to spare.
const WINDOWS_MAX: usize = 16;

/// All of the face value, in basis points.
const FACE_BPS: u32 = 10_000;

/// Minutes of a day.
const DAY_MIN: u32 = 24 * 60;

/// Who gave points, who pays for them, and when and where they may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// Who gave them.
    pub issuer: String,
    /// Who pays the acceptor.
    pub funder: String,
    /// What they were given for.
    pub source: String,
    /// What the acceptor is paid of the face value, in basis points.
    pub settle_bps: u32,
    /// From when on they are worth nothing, or never.
    pub expires_ms: Option<i64>,
    /// From when on they may be used, or at once.
    pub valid_from_ms: Option<i64>,
    /// The boxes where they may be used; none means everywhere.
    pub places: Vec<String>,
    /// When they may be used, or at any time.
    pub times: Option<Vec<Window>>,
}

/// Minutes of some days of the week, in the site's local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From Monday, 1, to Sunday, 7.
    pub days: Vec<u32>,
    /// Minutes after midnight.
    pub from_min: u32,
    /// Minutes after midnight, not included.
    pub to_min: u32,
}

/// A lot as it is shown: its id and terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lot {
    /// `credit:<op>` or `born:<op>`.
    pub id: String,
    /// Its terms.
    #[serde(flatten)]
    pub terms: Terms,
}

impl Terms {
    /// The terms of points about which nothing was said but their source.
    pub fn of(source: &str) -> Self {
        Self {
            issuer: "mall".to_owned(),
            funder: "mall".to_owned(),
            source: source.to_owned(),
            settle_bps: FACE_BPS,
            expires_ms: None,
            valid_from_ms: None,
            places: Vec::new(),
            times: None,
        }
    }

    /// Reads the terms in `lot`, with those of `source` where one is missing; else the field and what is wrong.
    pub fn read(lot: Option<&Value>, source: &str) -> Result<Self, (String, String)> {
        let mut terms = Self::of(source);
        let fields = match lot {
            None | Some(Value::Null) => return Ok(terms),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(("lot".to_owned(), "must be an object".to_owned())),
        };
        party(fields, "issuer", &mut terms.issuer)?;
        party(fields, "funder", &mut terms.funder)?;
        party(fields, "source", &mut terms.source)?;
        if let Some(bps) = given(fields, "settle_bps") {
            let bps = bps.as_u64().and_then(|bps| u32::try_from(bps).ok()).filter(|bps| *bps <= FACE_BPS);
            terms.settle_bps = bps.ok_or_else(|| wrong("settle_bps", "must be a whole number up to 10000"))?;
        }
        terms.expires_ms = time(fields, "expires_ms")?;
        terms.valid_from_ms = time(fields, "valid_from_ms")?;
        if let Some(places) = given(fields, "places") {
            terms.places = read_places(places)?;
        }
        if let Some(times) = given(fields, "times") {
            terms.times = Some(read_times(times)?).filter(|times| !times.is_empty());
        }
        Ok(terms)
    }

    /// The places as one text.
    pub fn places_text(&self) -> String {
        self.places.join(",")
    }

    /// The times as one text.
    pub fn times_text(&self) -> String {
        let window = |window: &Window| {
            let days: Vec<String> = window.days.iter().map(u32::to_string).collect();
            format!("{}@{}-{}", days.join(","), window.from_min, window.to_min)
        };
        let windows: Vec<String> = self.times.iter().flatten().map(window).collect();
        windows.join(";")
    }

    /// The lines of a grant's signature that speak of the terms.
    pub fn lines(&self) -> [String; 8] {
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        [
            self.issuer.clone(),
            self.funder.clone(),
            self.source.clone(),
            self.settle_bps.to_string(),
            number(self.expires_ms),
            number(self.valid_from_ms),
            self.places_text(),
            self.times_text(),
        ]
    }
}

/// The places of a text that [`Terms::places_text`] made.
pub fn places_of(text: &str) -> Vec<String> {
    text.split(',').filter(|place| !place.is_empty()).map(str::to_owned).collect()
}

/// The times of a text that [`Terms::times_text`] made.
pub fn times_of(text: &str) -> Option<Vec<Window>> {
    let window = |text: &str| {
        let (days, minutes) = text.split_once('@')?;
        let (from, to) = minutes.split_once('-')?;
        let days = days.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Window { days, from_min: from.parse().ok()?, to_min: to.parse().ok()? })
    };
    let windows: Vec<Window> = text.split(';').filter_map(window).collect();
    Some(windows).filter(|windows| !windows.is_empty())
}

fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn wrong(name: &str, why: &str) -> (String, String) {
    (format!("lot.{name}"), why.to_owned())
}

fn party(fields: &Map<String, Value>, name: &str, party: &mut String) -> Result<(), (String, String)> {
    let Some(value) = given(fields, name) else { return Ok(()) };
    let fits =
        |text: &&str| (1..=PARTY_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control());
    let text = value.as_str().filter(fits);
    *party = text.ok_or_else(|| wrong(name, "must be 1 to 64 characters on one line"))?.to_owned();
    Ok(())
}

fn time(fields: &Map<String, Value>, name: &str) -> Result<Option<i64>, (String, String)> {
    let Some(value) = given(fields, name) else { return Ok(None) };
    let time = value.as_i64().filter(|time| *time >= 0);
    time.map(Some).ok_or_else(|| wrong(name, "must be milliseconds since 1970 or null"))
}

fn read_places(value: &Value) -> Result<Vec<String>, (String, String)> {
    let list = value.as_array().filter(|list| list.len() <= PLACES_MAX);
    let list = list.ok_or_else(|| wrong("places", "must be a list of at most 64 boxes"))?;
    let place = |(index, value): (usize, &Value)| {
        let is_name = |text: &&str| {
            let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != ',';
            (1..=PARTY_CHARS_MAX).contains(&text.chars().count()) && text.chars().all(plain)
        };
        let name = value.as_str().filter(is_name);
        name.map(str::to_owned).ok_or_else(|| wrong(&format!("places[{index}]"), "must be a box's name"))
    };
    list.iter().enumerate().map(place).collect()
}

fn read_times(value: &Value) -> Result<Vec<Window>, (String, String)> {
    let list = value.as_array().filter(|list| list.len() <= WINDOWS_MAX);
    let list = list.ok_or_else(|| wrong("times", "must be null or a list of at most 16 windows"))?;
    let window = |(index, value): (usize, &Value)| {
        let window = Window::deserialize(value).ok().filter(Window::is_one);
        let why = "must have days from 1 to 7 and from_min < to_min <= 1440";
        window.ok_or_else(|| wrong(&format!("times[{index}]"), why))
    };
    list.iter().enumerate().map(window).collect()
}

impl Window {
    fn is_one(&self) -> bool {
        let goes_up = self.days.windows(2).all(|pair| pair[0] < pair[1]);
        let are_days = !self.days.is_empty() && self.days.iter().all(|day| (1..=7).contains(day));
        goes_up && are_days && self.from_min < self.to_min && self.to_min <= DAY_MIN
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_of_a_lot_is_the_default() {
        assert_eq!(Terms::read(None, "credit"), Ok(Terms::of("credit")));
        assert_eq!(Terms::read(Some(&json!(null)), "earned"), Ok(Terms::of("earned")));
        let some = json!({"issuer": "M017", "expires_ms": 5, "times": [], "later": 1});
        let expected = Terms { issuer: "M017".into(), expires_ms: Some(5), ..Terms::of("credit") };
        assert_eq!(Terms::read(Some(&some), "credit"), Ok(expected));
    }

    #[test]
    fn texts_of_places_and_times_read_back() {
        let lot = json!({"places": ["demo-1", "demo-2"], "times": [
            {"days": [1, 2, 5], "from_min": 540, "to_min": 1080}, {"days": [7], "from_min": 0, "to_min": 1440}]});
        let terms = Terms::read(Some(&lot), "credit").unwrap();
        assert_eq!(terms.times_text(), "1,2,5@540-1080;7@0-1440");
        assert_eq!((places_of(&terms.places_text()), times_of(&terms.times_text())), (terms.places, terms.times));
        assert_eq!((places_of(""), times_of("")), (Vec::new(), None));
    }

    #[test]
    fn a_wrong_term_is_named() {
        for (lot, field) in [
            (json!(7), "lot"),
            (json!({"issuer": ""}), "lot.issuer"),
            (json!({"funder": "a\nb"}), "lot.funder"),
            (json!({"settle_bps": 10001}), "lot.settle_bps"),
            (json!({"expires_ms": -1}), "lot.expires_ms"),
            (json!({"places": ["a", "b c"]}), "lot.places[1]"),
            (json!({"places": ["a,b"]}), "lot.places[0]"),
            (json!({"times": [{"days": [0], "from_min": 0, "to_min": 5}]}), "lot.times[0]"),
            (json!({"times": [{"days": [2, 1], "from_min": 0, "to_min": 5}]}), "lot.times[0]"),
            (json!({"times": [{"days": [1], "from_min": 5, "to_min": 5}]}), "lot.times[0]"),
        ] {
            assert_eq!(Terms::read(Some(&lot), "credit").unwrap_err().0, field, "{lot}");
        }
    }
}
