//! The chain that holds a box's journal together, as it comes over the wire. Pure.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

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
    /// What the box says is the head after it; may be missing on all but the last entry of a request.
    #[serde(default)]
    pub head: Option<Head>,
}

/// An entry that links to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked<'a> {
    /// Its number.
    pub seq: i64,
    /// The exact text that was hashed.
    pub body: &'a str,
    /// The head after it.
    pub head: Head,
}

/// The entries of one upload, sorted by what is to be done with them.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// At or below the cursor: applied long ago.
    pub repeated: &'a [Entry],
    /// Beyond the cursor, linked to it and to each other.
    pub fresh: Vec<Linked<'a>>,
}

/// Why the entries of an upload do not continue what the ledger holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// The numbers do not go up one by one from at least 1; `index` is the first wrong entry of the request.
    NotARun {
        /// Its place in the request, from 0.
        index: usize,
    },
    /// The last entry brings no head, so nothing proves the bodies before it.
    Headless {
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
    if entries.last().is_some_and(|last| last.head.is_none()) {
        return Err(ChainFault::Headless { index: entries.len() - 1 });
    }
    let (repeated, fresh) = entries.split_at(entries.partition_point(|entry| entry.seq <= cursor.seq));
    Ok(Run { repeated, fresh: link(cursor.head, fresh)? })
}

/// Links entries from the head before the first of them.
pub fn link(mut head: Head, entries: &[Entry]) -> Result<Vec<Linked<'_>>, ChainFault> {
    let mut linked = Vec::with_capacity(entries.len());
    for entry in entries {
        head = head.link(&entry.body);
        if entry.head.is_some_and(|said| said != head) {
            return Err(ChainFault::Fork { seq: entry.seq });
        }
        linked.push(Linked { seq: entry.seq, body: &entry.body, head });
    }
    Ok(linked)
}

/// Reads a whole number from 0 that the database can hold.
pub fn natural<'de, D: Deserializer<'de>>(source: D) -> Result<i64, D::Error> {
    i64::try_from(u64::deserialize(source)?).map_err(serde::de::Error::custom)
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
    fn the_last_head_proves_the_bodies_before_it() {
        let mut entries = chain(5);
        let heads: Vec<Head> = split(&cursor_at(&entries, 0), &entries).unwrap().fresh.iter().map(|e| e.head).collect();
        entries[..4].iter_mut().for_each(|entry| entry.head = None);
        let run = split(&cursor_at(&entries, 0), &entries).unwrap();
        assert_eq!(run.fresh.iter().map(|entry| entry.head).collect::<Vec<_>>(), heads);
        let mut rewritten = entries.clone();
        rewritten[1].body.push(' ');
        assert_eq!(split(&cursor_at(&entries, 0), &rewritten), Err(ChainFault::Fork { seq: 5 }));
        entries[4].head = None;
        assert_eq!(split(&cursor_at(&entries, 0), &entries), Err(ChainFault::Headless { index: 4 }));
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

    fn chain(length: i64) -> Vec<Entry> {
        let mut head = Head::genesis("demo-1", 1);
        let entry = |seq| {
            let body = format!(r#"{{"at_ms":{seq},"records":[]}}"#);
            head = head.link(&body);
            Entry { seq, body, head: Some(head) }
        };
        (1..=length).map(entry).collect()
    }

    fn cursor_at(entries: &[Entry], held: usize) -> Cursor {
        let head = held.checked_sub(1).and_then(|last| entries[last].head).unwrap_or(Head::genesis("demo-1", 1));
        Cursor { epoch: 1, seq: held as i64, head }
    }
}
