//! A box's journal as it comes over the wire: the chain that holds it together and what each entry says. Pure.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The most points that one record, request or credit may name. Nine thousand million of them still fit a member's sums.
pub const POINTS_MAX: i64 = 1_000_000_000;

/// How many characters an id in a record that moves points may have: twice what ids outside of journals have.
pub const TEXT_CHARS_MAX: usize = 256;

/// How much of an unknown kind is repeated in messages.
const KIND_CHARS_SHOWN: usize = 64;

/// Kinds of records that are kept as facts and move no points.
const KEPT_KINDS: [&str; 27] = [
    "alarm_raised",
    "barrier_answered",
    "barrier_commanded",
    "barrier_moved",
    "emergency_changed",
    "experience_reset",
    "grant_refused",
    "grant_requested",
    "hold_placed",
    "hold_voided",
    "lane_moved",
    "operation_answered",
    "passage_seen",
    "payment_taken",
    "quarantined",
    "read_taken",
    "rules_activated",
    "sale_committed",
    "started",
    "stay_closed",
    "stay_corrected",
    "stay_entered",
    "stay_exiting",
    "stay_matched",
    "stay_opened",
    "stay_resumed",
    "stay_voided",
];

/// The hash that stands for an entry and everything before it. 64 hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Head(pub [u8; 32]);

/// How far the ledger holds a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which epoch's journal.
    pub epoch: u32,
    /// The newest entry applied; 0 before the first.
    #[serde(deserialize_with = "natural")]
    pub seq: i64,
    /// That entry's head, or the genesis head.
    pub head: Head,
}

/// One entry of a journal, as the box stored it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1, without holes.
    #[serde(deserialize_with = "natural")]
    pub seq: i64,
    /// The exact text that was hashed.
    pub body: String,
    /// What the box says is the head after it.
    pub head: Head,
}

/// The entries of one upload, sorted by what is to be done with them.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// At or below the cursor: applied long ago.
    pub repeated: &'a [Entry],
    /// Beyond the cursor, linked to it and to each other.
    pub fresh: &'a [Entry],
}

/// Why the entries of an upload do not continue what the ledger holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// The numbers do not go up one by one from at least 1; `index` is the first wrong entry of the request.
    NotARun {
        /// Its place in the request, from 0.
        index: usize,
    },
    /// Entries are missing between the cursor and the first one sent.
    Gap,
    /// This entry does not link to the one before it.
    Fork {
        /// The entry's number.
        seq: i64,
    },
}

/// What a record says that concerns points. Every other known kind is kept and says nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The box took a grant into its purse.
    GrantAccepted {
        /// The grant's id.
        grant: String,
        /// Whose points.
        member: String,
        /// How many.
        points: i64,
    },
    /// Points are gone, for goods.
    PointsSpent(Movement),
    /// Points were earned and stay in this box's escrow until it returns them.
    PointsEarned {
        /// The effect's id.
        op: String,
        /// Whose points.
        member: String,
        /// How many.
        points: i64,
    },
    /// Points go back to the member.
    PointsReturned(Movement),
}

/// Points that leave a box's escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The effect's id, unique for ever.
    pub op: String,
    /// Whose points.
    pub member: String,
    /// How many in all.
    pub points: i64,
    /// From which grants.
    pub parts: Vec<Part>,
}

/// A part of a movement, from one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// A grant's id, or `born:<member>`.
    pub grant: String,
    /// How many points.
    pub points: i64,
}

/// Why an entry cannot be applied. The cursor stops before it until a person has looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// A record of a kind that this version does not know.
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// The text is not a journal entry.
    Malformed {
        /// The field, as a path into the body.
        field: String,
        /// What is wrong with it.
        wrong: String,
    },
}

impl Head {
    /// The head before the first entry of a box's journal of one epoch.
    pub fn genesis(box_name: &str, epoch: u32) -> Self {
        Self(Sha256::digest(format!("gatepost-journal-v1\n{box_name}\n{epoch}")).into())
    }

    /// The head after one more entry.
    pub fn link(self, body: &str) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(body.as_bytes()).finalize().into())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.to_string()
    }
}

impl TryFrom<String> for Head {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut head = [0; 32];
        hex::decode_to_slice(&text, &mut head).map_err(|_| "a head is 64 hexadecimal digits")?;
        Ok(Self(head))
    }
}

impl Cursor {
    /// The cursor of a journal of which nothing is known yet.
    pub fn genesis(box_name: &str, epoch: u32) -> Self {
        Self { epoch, seq: 0, head: Head::genesis(box_name, epoch) }
    }
}

/// Checks that the entries continue the journal at `cursor`, and splits off those that it already has.
pub fn split<'a>(cursor: &Cursor, entries: &'a [Entry]) -> Result<Run<'a>, ChainFault> {
    for (index, entry) in entries.iter().enumerate() {
        let expected = if index == 0 { entry.seq.max(1) } else { entries[index - 1].seq.saturating_add(1) };
        if entry.seq != expected {
            return Err(ChainFault::NotARun { index });
        }
    }
    if entries.first().is_some_and(|first| first.seq > cursor.seq + 1) {
        return Err(ChainFault::Gap);
    }
    let (repeated, fresh) = entries.split_at(entries.partition_point(|entry| entry.seq <= cursor.seq));
    let mut head = cursor.head;
    for entry in fresh {
        head = head.link(&entry.body);
        if head != entry.head {
            return Err(ChainFault::Fork { seq: entry.seq });
        }
    }
    Ok(Run { repeated, fresh })
}

/// What an entry says about points: each fact with the place of its record in the entry, from 0.
pub fn facts(body: &str) -> Result<Vec<(usize, Fact)>, BodyFault> {
    let body: Value = serde_json::from_str(body).map_err(|error| malformed("body", error))?;
    let records =
        body.get("records").and_then(Value::as_array).ok_or_else(|| malformed("records", "must be a list"))?;
    let mut facts = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let path = format!("records[{index}]");
        let fields = record.as_object().ok_or_else(|| malformed(&path, "must be an object"))?;
        if let Some(fact) = (Reader { fields, path }).fact()? {
            facts.push((index, fact));
        }
    }
    Ok(facts)
}

/// Reads a whole number from 0 that the database can hold.
pub fn natural<'de, D: Deserializer<'de>>(source: D) -> Result<i64, D::Error> {
    i64::try_from(u64::deserialize(source)?).map_err(serde::de::Error::custom)
}

/// Reads an amount of points: 1 to [`POINTS_MAX`].
pub fn some_points<'de, D: Deserializer<'de>>(source: D) -> Result<i64, D::Error> {
    let points = i64::deserialize(source)?;
    if (1..=POINTS_MAX).contains(&points) {
        return Ok(points);
    }
    Err(serde::de::Error::custom(format!("must be a whole number from 1 to {POINTS_MAX}")))
}

/// An object of an entry, with its place in the body for messages.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

impl Reader<'_> {
    fn fact(&self) -> Result<Option<Fact>, BodyFault> {
        let kind = self.text("kind")?;
        let fact = match kind.as_str() {
            "grant_accepted" => Fact::GrantAccepted {
                grant: self.text("grant")?,
                member: self.text("member")?,
                points: self.points("points")?,
            },
            "points_spent" => Fact::PointsSpent(self.movement()?),
            "points_earned" => Fact::PointsEarned {
                op: self.text("op")?,
                member: self.text("member")?,
                points: self.points("points")?,
            },
            "points_returned" => Fact::PointsReturned(self.movement()?),
            kept if KEPT_KINDS.binary_search(&kept).is_ok() => return Ok(None),
            unknown => {
                let kind = unknown.chars().take(KIND_CHARS_SHOWN).collect();
                return Err(BodyFault::UnknownKind { kind });
            }
        };
        Ok(Some(fact))
    }

    fn movement(&self) -> Result<Movement, BodyFault> {
        let parts = self.fields.get("parts").and_then(Value::as_array);
        let parts = parts.ok_or_else(|| malformed(format!("{}.parts", self.path), "must be a list"))?;
        let mut read = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let path = format!("{}.parts[{index}]", self.path);
            let fields = part.as_object().ok_or_else(|| malformed(&path, "must be an object"))?;
            let part = Reader { fields, path };
            read.push(Part { grant: part.text("grant")?, points: part.points("points")? });
        }
        Ok(Movement { op: self.text("op")?, member: self.text("member")?, points: self.points("points")?, parts: read })
    }

    fn text(&self, name: &str) -> Result<String, BodyFault> {
        let fits = |text: &&str| !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX;
        let text = self.fields.get(name).and_then(Value::as_str).filter(fits);
        let wrong = || malformed(format!("{}.{name}", self.path), format!("must be 1 to {TEXT_CHARS_MAX} characters"));
        text.map(str::to_owned).ok_or_else(wrong)
    }

    fn points(&self, name: &str) -> Result<i64, BodyFault> {
        let points = self.fields.get(name).and_then(Value::as_i64).filter(|points| (0..=POINTS_MAX).contains(points));
        let wrong = || malformed(format!("{}.{name}", self.path), format!("must be a whole number up to {POINTS_MAX}"));
        points.ok_or_else(wrong)
    }
}

fn malformed(field: impl Into<String>, wrong: impl ToString) -> BodyFault {
    BodyFault::Malformed { field: field.into(), wrong: wrong.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_what_the_page_says() {
        // Computed with `sha256sum` from the definition in docs/cloud-api.md.
        let genesis = Head::genesis("demo-1", 1);
        assert_eq!(genesis.to_string(), "0c6dd72e47906e9395e1a1e20f899526a697c855696e84e01682b7c41550da9f");
        assert_eq!(
            genesis.link(r#"{"records":[]}"#).to_string(),
            "960060749408c8ba344a23673024b77602a8dfb3e6ad80b72ce9ba344989f258"
        );
    }

    #[test]
    fn a_run_is_split_at_the_cursor() {
        let entries = chain(5);
        for held in 0..=5 {
            let run = split(&cursor_at(&entries, held), &entries).unwrap();
            assert_eq!((run.repeated.len(), run.fresh.len()), (held, 5 - held));
        }
        assert_eq!(split(&cursor_at(&entries, 3), &[]).unwrap().fresh, []);
    }

    #[test]
    fn what_does_not_continue_the_journal_is_named() {
        let entries = chain(5);
        assert_eq!(split(&cursor_at(&entries, 1), &entries[2..]), Err(ChainFault::Gap));

        let mut rewritten = entries.clone();
        rewritten[3].body = r#"{"records":[],"again":true}"#.into();
        assert_eq!(split(&cursor_at(&entries, 2), &rewritten), Err(ChainFault::Fork { seq: 4 }));

        let mut twice = entries.clone();
        twice[4].seq = 4;
        assert_eq!(split(&cursor_at(&entries, 0), &twice), Err(ChainFault::NotARun { index: 4 }));
        let zero = [Entry { seq: 0, ..entries[0].clone() }];
        assert_eq!(split(&cursor_at(&entries, 0), &zero), Err(ChainFault::NotARun { index: 0 }));
    }

    #[test]
    fn every_kind_of_the_page_is_known_and_no_other() {
        let page = include_str!("../../docs/cloud-api.md");
        let table = page.split("| kind | fields | effect |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        let kinds = table.lines().filter_map(|row| row.split('|').nth(1));
        let kinds: Vec<&str> = kinds.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(kinds.len() > KEPT_KINDS.len(), "the table is where it was: {kinds:?}");
        for kind in &kinds {
            let body = format!(r#"{{"records":[{{"kind":"{kind}"}}]}}"#);
            assert!(!matches!(facts(&body), Err(BodyFault::UnknownKind { .. })), "{kind} is on the page");
        }
        for kind in KEPT_KINDS {
            assert!(kinds.contains(&kind), "{kind} is not on the page");
        }
        assert_eq!(kinds.len(), KEPT_KINDS.len() + 4, "four kinds move points: {kinds:?}");
        assert!(KEPT_KINDS.is_sorted(), "a kind is found by halving");
    }

    #[test]
    fn a_wrong_body_names_its_field() {
        let cases = [
            ("not json", "body"),
            (r#"{}"#, "records"),
            (r#"{"records":[7]}"#, "records[0]"),
            (r#"{"records":[{"op":"a"}]}"#, "records[0].kind"),
            (r#"{"records":[{"kind":"points_earned","op":"a","member":"M","points":"5"}]}"#, "records[0].points"),
            (r#"{"records":[{"kind":"points_earned","op":"a","member":"M","points":-5}]}"#, "records[0].points"),
            (r#"{"records":[{"kind":"points_earned","op":"a","member":"M","points":1.5}]}"#, "records[0].points"),
            (r#"{"records":[{"kind":"points_earned","member":"M","points":5}]}"#, "records[0].op"),
            (r#"{"records":[{"kind":"points_spent","op":"a","member":"M","points":5}]}"#, "records[0].parts"),
            (
                r#"{"records":[{"kind":"started"},{"kind":"points_spent","op":"a","member":"M","points":5,"parts":[{"points":5}]}]}"#,
                "records[1].parts[0].grant",
            ),
        ];
        for (body, expected) in cases {
            match facts(body) {
                Err(BodyFault::Malformed { field, .. }) => assert_eq!(field, expected, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn no_text_of_a_box_fills_the_ledgers_messages() {
        let kind = "é".repeat(200);
        let cut = BodyFault::UnknownKind { kind: "é".repeat(KIND_CHARS_SHOWN) };
        assert_eq!(facts(&format!(r#"{{"records":[{{"kind":"{kind}"}}]}}"#)), Err(cut));
        let earned =
            |op: &str| format!(r#"{{"records":[{{"kind":"points_earned","op":"{op}","member":"M","points":5}}]}}"#);
        assert!(facts(&earned(&"é".repeat(TEXT_CHARS_MAX))).is_ok());
        assert!(facts(&earned(&"é".repeat(TEXT_CHARS_MAX + 1))).is_err());
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_kinds_are_not() {
        let body = r#"{"later":1,"records":[{"kind":"started","new":[]},{"kind":"points_earned","op":"a","member":"M","points":5,"lot":"x"}]}"#;
        let earned = Fact::PointsEarned { op: "a".into(), member: "M".into(), points: 5 };
        assert_eq!(facts(body), Ok(vec![(1, earned)]));
        let unknown = Err(BodyFault::UnknownKind { kind: "points_lent".into() });
        assert_eq!(facts(r#"{"records":[{"kind":"started"},{"kind":"points_lent"}]}"#), unknown);
    }

    fn chain(length: i64) -> Vec<Entry> {
        let mut head = Head::genesis("demo-1", 1);
        let entry = |seq| {
            let body = format!(r#"{{"at_ms":{seq},"records":[]}}"#);
            head = head.link(&body);
            Entry { seq, body, head }
        };
        (1..=length).map(entry).collect()
    }

    fn cursor_at(entries: &[Entry], held: usize) -> Cursor {
        let head = if held == 0 { Head::genesis("demo-1", 1) } else { entries[held - 1].head };
        Cursor { epoch: 1, seq: held as i64, head }
    }
}
