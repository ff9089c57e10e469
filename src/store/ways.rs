//! The same sale by other ways: which of them has earned, what came back by them, and which stands.

use rusqlite::params;

use super::Store;
use super::facts::parse;
use super::tills::booked;
use crate::domain::event::{Booking, Fen, OpId};
use crate::domain::till::facts::{Booked, Ways};

/// The most ways of one sale that are looked at: a till, a tap and a picture are three.
const WAYS_MAX: u32 = 8;

/// What became of the sale at other terminals. A way that names no member, or another one, takes no points back.
pub(super) fn ways(store: &Store, of: &Booked) -> anyhow::Result<Ways> {
    let line = &of.booking;
    let (Some(shop), Some(member)) = (&line.merchant, &line.member) else { return Ok(Ways::default()) };
    let first = match &line.duplicate_of {
        Some(first) => booked(store, first)?.filter(|first| first.booking.member.as_ref() == Some(member)),
        None => None,
    };
    if line.duplicate_of.is_some() && first.is_none() {
        return Ok(Ways::default());
    }
    let earner = first.as_ref().map_or(line, |first| &first.booking);
    let mut others: Vec<OpId> = first.iter().map(|first| first.booking.op.clone()).collect();
    let payment = earner.money.first().and_then(|money| money.reference.as_deref());
    for (what, text) in [("$.receipt", Some(earner.receipt.as_str())), ("$.money[0].ref", payment)] {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        let sql = format!(
            "SELECT line FROM till_book WHERE what = 'sale' AND member IS NOT NULL AND merchant = ?1
             AND line ->> '{what}' = ?2 AND line ->> '$.duplicate_of' = ?3 AND member = ?4 ORDER BY seq LIMIT ?5"
        );
        let mut query = store.db.prepare_cached(&sql)?;
        let values = params![shop, text, earner.op.as_str(), member.as_str(), WAYS_MAX];
        let lines = query.query_map(values, |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        for text in lines {
            let other: Booking = parse(&text)?;
            if other.op != line.op && !others.contains(&other.op) {
                others.push(other.op);
            }
        }
    }
    let mut ways = Ways { first: first.map(Box::new), ..Ways::default() };
    for other in others {
        let sql = "SELECT coalesce(sum(sale_fen) FILTER (WHERE line ->> '$.left_with' IS NULL), 0),
                   coalesce(sum(sale_fen), 0) FROM till_book WHERE of = ?1";
        let values = store.db.prepare_cached(sql)?.query_row([other.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
        let (returned, gone): (i64, i64) = values?;
        ways.returned.0 += returned;
        if Fen(gone) < line.sale_fen && ways.stands.is_none() {
            ways.stands = Some(other);
        }
    }
    Ok(ways)
}
