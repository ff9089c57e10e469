//! What tills may be told of the journal's newest entries: members who have come, and gifts to stays.

use rusqlite::OptionalExtension;
use serde::Deserialize;

use super::{ReadError, View, from_json};
use crate::domain::event::{MemberId, Record, StayId};

/// Something that tills may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A member's vehicle has come in, or stands at an exit; only of members who agree to plates being matched.
    Arrived {
        /// The stay.
        stay: StayId,
        /// The member as a cashier may read the name.
        handle: String,
        /// The tier.
        tier: String,
        /// Whether it is about to leave.
        at_exit: bool,
    },
    /// A shop has given a stay something.
    Validated {
        /// The stay.
        stay: StayId,
        /// The gift's own number.
        validation: String,
        /// Its kind in the rules.
        kind: String,
        /// The shop.
        merchant: String,
    },
}

/// What of an entry is looked at.
#[derive(Deserialize)]
struct Decided {
    records: Vec<Record>,
}

impl View<'_> {
    /// What the entries behind `entry` tell, at most `most` of them, and the number of the last one that was looked at.
    pub fn news_since(&self, entry: u64, most: usize) -> Result<(Vec<News>, u64), ReadError> {
        let sql = "SELECT entry, body FROM journal WHERE entry > ?1 ORDER BY entry LIMIT ?2";
        let mut query = self.tx.prepare_cached(sql)?;
        let mut rows = query.query((entry, most as i64))?;
        let (mut news, mut last) = (Vec::new(), entry);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let body: Vec<u8> = row.get(1)?;
            let decided: Decided = from_json("journal entry", &String::from_utf8_lossy(&body))?;
            for record in decided.records {
                news.extend(self.news_of(record)?);
            }
        }
        Ok((news, last))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "tills are told of these kinds and of no other")]
    fn news_of(&self, record: Record) -> Result<Option<News>, ReadError> {
        let (stay, member, at_exit) = match record {
            Record::StayOpened { stay } => (stay.id, stay.member, false),
            Record::StayReread(reread) => (reread.stay, reread.member, false),
            Record::StayExiting { stay, .. } => {
                let member = self.member_of_stay(&stay)?;
                (stay, member, true)
            }
            Record::StayMemberShown { stay, member } => (stay, Some(member), true),
            Record::ValidationGiven { stay, validation, .. } => {
                let (kind, merchant) = (validation.kind, validation.merchant);
                return Ok(Some(News::Validated { stay, validation: validation.id, kind, merchant }));
            }
            _ => return Ok(None),
        };
        let Some(member) = member else { return Ok(None) };
        let known = self.consented(&member)?;
        Ok(known.map(|(handle, tier)| News::Arrived { stay, handle, tier, at_exit }))
    }

    fn member_of_stay(&self, stay: &StayId) -> Result<Option<MemberId>, ReadError> {
        let sql = "SELECT member FROM stay WHERE stay = ?1";
        let found = self.tx.prepare_cached(sql)?.query_row([stay.as_str()], |row| row.get::<_, Option<String>>(0));
        Ok(found.optional()?.flatten().map(MemberId))
    }

    /// Handle and tier of a member who agrees now to plates being matched.
    fn consented(&self, member: &MemberId) -> Result<Option<(String, String)>, ReadError> {
        let sql = "SELECT handle, tier FROM cloud_member WHERE member = ?1 AND consent_plates = 1";
        let found = self.tx.prepare_cached(sql)?.query_row([member.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?)
    }
}
