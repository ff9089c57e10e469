//! Grants: points of a member that are reserved for one box before it hears of them.

use serde::{Deserialize, Serialize};

use crate::db::{Ask, Row, Tx};
use crate::journal::some_points;
use crate::ledger::{Ledger, Refusal, check_name};
use crate::lot::{Lot, Terms, places_of, times_of};
use crate::transfer::{self, Cause, What};
use crate::values;

/// How many grants one request may bring: the small earnings of two months. Who needs more asks again.
pub const GRANTS_MAX: usize = 64;

/// The whole, in basis points.
const WHOLE_BPS: i64 = 10_000;

/// The columns of a lot, in the order that [`lot_of`] reads.
pub(crate) const LOT_COLUMNS: &str = "id, issuer, funder, source, settle_bps, expires_ms, valid_from_ms, places, times";

/// A wish for points.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantAsk {
    /// The box's id of the wish; a repeat has the same.
    pub request: String,
    /// The box's epoch.
    pub epoch: u32,
    /// Whose points.
    pub member: String,
    /// How many, from 1.
    #[serde(deserialize_with = "some_points")]
    pub points: i64,
    /// Whether the box keeps them while the member is away.
    #[serde(default)]
    pub standing: bool,
}

/// The answer to a wish: points reserved for a box, durably, before it hears of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The wish that it answers.
    pub request: String,
    /// Whose points.
    pub member: String,
    /// For which epoch.
    pub epoch: u32,
    /// How many in all; may be less than wished.
    pub points: i64,
    /// The one grant, where there is exactly one.
    pub grant: Option<String>,
    /// Each with the lot that it was cut from.
    pub grants: Vec<Granted>,
}

/// Points of one lot, reserved for a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Granted {
    /// The grant's id.
    pub grant: String,
    /// How many.
    pub points: i64,
    /// Where they come from, and on which terms.
    pub lot: Lot,
    /// The ledger's.
    pub signature: String,
}

impl Ledger {
    /// Reserves what is available, up to what is asked, in one commit before it answers. Nothing but the box's own
    /// journal ever frees it. The answer has at most `most` grants.
    pub fn grant(&self, box_name: &str, ask: &GrantAsk, most: usize, now_ms: i64) -> Result<Grant, Refusal> {
        check_name("request", &ask.request)?;
        let mut grant = self.database.write(|tx| {
            // The member's row is held before the request is looked up, so that its twin at the same moment waits.
            let (member, lots) = (&ask.member, usable_lots());
            let answered = tx.all(&[
                Ask::One("SELECT epoch, revoked FROM box WHERE name = $1 {share}", values![box_name]),
                Ask::One("SELECT member FROM account WHERE member = $1 {lock}", values![member]),
                Ask::One(STORED, values![box_name, &ask.request]),
                Ask::One("SELECT home FROM member WHERE id = $1", values![member]),
                Ask::One(&lots, values![member, now_ms]),
            ])?;
            let [standing, account, stored, home, lots] = &answered[..] else {
                unreachable!("each statement has an answer")
            };
            let standing = standing.first().ok_or_else(|| Refusal::BoxUnknown(box_name.to_owned()))?;
            if standing.flag(1) {
                return Err(Refusal::Revoked("the key of this box was taken back".to_owned()));
            }
            if ask.epoch != standing.epoch(0) {
                return Err(Refusal::WrongEpoch { current: standing.epoch(0) });
            }
            if let Some(stored) = stored.first() {
                return stored_grant(tx, box_name, ask, stored);
            }
            let Some(home) = home.first().filter(|_| !account.is_empty()) else {
                return Err(Refusal::MemberUnknown(ask.member.clone()));
            };
            let mut wanted = ask.points;
            if ask.standing {
                let is_home = home.opt_text(0).as_deref() == Some(box_name);
                let room = self.standing_room(tx, &ask.member)?;
                wanted = if is_home { wanted.min(room) } else { 0 };
            }
            let cuts = cut(lots, box_name, wanted, most);
            reserve(tx, box_name, ask, cuts, now_ms)
        })?;
        for granted in &mut grant.grants {
            granted.signature = self.sign_grant(box_name, ask, granted);
        }
        Ok(grant)
    }

    /// How many more points of a member may be away in standing grants.
    fn standing_room(&self, tx: &mut Tx<'_>, member: &str) -> Result<i64, Refusal> {
        let available =
            tx.only("SELECT CAST(coalesce(sum(available), 0) AS BIGINT) FROM lot WHERE member = $1", values![member])?;
        let away = tx.only(
            "SELECT CAST(coalesce(sum(amount - spent - returned - released), 0) AS BIGINT),
                    CAST(coalesce(sum((amount - spent - returned - released) * standing), 0) AS BIGINT)
             FROM escrow WHERE member = $1",
            values![member],
        )?;
        let balance = available.int(0) + away.int(0);
        Ok((balance * self.settings.standing_share_bps / WHOLE_BPS - away.int(1)).max(0))
    }

    fn sign_grant(&self, box_name: &str, ask: &GrantAsk, granted: &Granted) -> String {
        let (epoch, points) = (ask.epoch.to_string(), granted.points.to_string());
        let Granted { grant, lot, .. } = granted;
        let terms = lot.terms.lines();
        let mut lines = vec!["gatepost-grant-v1", box_name, &epoch, &ask.request, &ask.member, grant, &points, &lot.id];
        lines.extend(terms.iter().map(String::as_str));
        self.key.sign(&lines)
    }
}

/// A lot with what is to be taken of it.
pub(crate) struct Cut {
    pub lot: Lot,
    pub points: i64,
}

/// Takes `wanted` points, or what there is, from the lots of a member that may be used at a box now: the one that
/// expires first, then those for some places before those for all, then the oldest. The member's row is held.
pub(crate) fn cuts(
    tx: &mut Tx<'_>,
    place: &str,
    member: &str,
    wanted: i64,
    most: usize,
    now_ms: i64,
) -> Result<Vec<Cut>, Refusal> {
    Ok(cut(&tx.rows(&usable_lots(), values![member, now_ms])?, place, wanted, most))
}

/// Asks for the lots of a member that are valid at a moment.
fn usable_lots() -> String {
    format!(
        "SELECT {LOT_COLUMNS}, available, at_ms FROM lot
         WHERE member = $1 AND available > 0 AND (expires_ms IS NULL OR expires_ms > $2)
               AND (valid_from_ms IS NULL OR valid_from_ms <= $2)"
    )
}

fn cut(lots: &[Row], place: &str, mut wanted: i64, most: usize) -> Vec<Cut> {
    let mut lots: Vec<(Lot, i64, i64)> = lots.iter().map(|row| (lot_of(row), row.int(9), row.int(10))).collect();
    lots.retain(|(lot, ..)| lot.terms.places.is_empty() || lot.terms.places.iter().any(|named| named == place));
    let order = |(lot, _, at_ms): &(Lot, i64, i64)| {
        (lot.terms.expires_ms.unwrap_or(i64::MAX), lot.terms.places.is_empty(), *at_ms, lot.id.clone())
    };
    lots.sort_by_cached_key(order);
    let mut cuts = Vec::new();
    for (lot, available, _) in lots.into_iter().take(most) {
        let points = available.min(wanted);
        if points > 0 {
            wanted -= points;
            cuts.push(Cut { lot, points });
        }
    }
    cuts
}

/// A lot from a row whose first columns are [`LOT_COLUMNS`].
pub(crate) fn lot_of(row: &Row) -> Lot {
    let terms = Terms {
        issuer: row.text(1),
        funder: row.text(2),
        source: row.text(3),
        settle_bps: u32::try_from(row.int(4)).expect("the table checks it"),
        expires_ms: row.opt_int(5),
        valid_from_ms: row.opt_int(6),
        places: places_of(&row.text(7)),
        times: times_of(&row.text(8)),
    };
    Lot { id: row.text(0), terms }
}

/// Asks for the answer that a request was given.
const STORED: &str =
    "SELECT epoch, member, asked, standing, granted FROM grant_request WHERE box = $1 AND request = $2";

fn stored_grant(tx: &mut Tx<'_>, box_name: &str, ask: &GrantAsk, stored: &Row) -> Result<Grant, Refusal> {
    let asked = GrantAsk {
        request: ask.request.clone(),
        epoch: stored.epoch(0),
        member: stored.text(1),
        points: stored.int(2),
        standing: stored.flag(3),
    };
    if asked != *ask {
        return Err(Refusal::RequestReused { id: ask.request.clone() });
    }
    let cut = tx.rows(
        &format!(
            "SELECT {}, escrow.id, escrow.amount FROM escrow JOIN lot ON lot.id = escrow.lot
             WHERE escrow.box = $1 AND escrow.epoch = $2 AND escrow.request = $3 ORDER BY escrow.place",
            LOT_COLUMNS.split(", ").map(|column| format!("lot.{column}")).collect::<Vec<_>>().join(", ")
        ),
        values![box_name, ask.epoch, &ask.request],
    )?;
    let granted =
        |row: &Row| Granted { grant: row.text(9), points: row.int(10), lot: lot_of(row), signature: String::new() };
    Ok(answer(ask, stored.int(4), cut.iter().map(granted).collect()))
}

fn reserve(tx: &mut Tx<'_>, box_name: &str, ask: &GrantAsk, cuts: Vec<Cut>, now_ms: i64) -> Result<Grant, Refusal> {
    let points = cuts.iter().map(|cut| cut.points).sum();
    let number = tx.only(
        "INSERT INTO grant_request (box, request, epoch, member, asked, standing, granted)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING number",
        values![box_name, &ask.request, ask.epoch, &ask.member, ask.points, ask.standing, points],
    )?;
    let number = number.int(0);
    let mut grants = Vec::with_capacity(cuts.len());
    for (place, cut) in cuts.into_iter().enumerate() {
        let id = if place == 0 { format!("G-{number}") } else { format!("G-{number}-{}", place + 1) };
        grants.push(Granted { grant: id, points: cut.points, lot: cut.lot, signature: String::new() });
    }
    let escrow = |(place, granted): (usize, &Granted)| {
        values![
            &granted.grant,
            box_name,
            ask.epoch,
            &ask.member,
            &granted.lot.id,
            &ask.request,
            place,
            ask.standing,
            granted.points,
        ]
        .to_vec()
    };
    let escrow: Vec<_> = grants.iter().enumerate().map(escrow).collect();
    let taken: Vec<_> = grants.iter().map(|granted| values![&granted.lot.id, granted.points].to_vec()).collect();
    let cause = Cause { at_ms: now_ms, op: &ask.request, of_op: None, place: Some((box_name, ask.epoch, 0)) };
    let granted = |granted: &Granted| {
        let what = What::Granted { lot: &granted.lot.id, escrow: &granted.grant };
        what.row(&cause, &ask.member, granted.points)
    };
    let moved: Vec<_> = grants.iter().map(granted).collect();
    tx.all(&[
        Ask::Each(
            "INSERT INTO escrow (id, box, epoch, member, lot, request, place, standing, amount) {rows}",
            "ttitttiii",
            &escrow,
        ),
        Ask::Each(TAKE_FROM_LOTS, "ti", &taken),
        transfer::written(&moved),
    ])?;
    Ok(answer(ask, points, grants))
}

/// Lowers what is available of lots. The table refuses what would go below nothing.
const TAKE_FROM_LOTS: &str = "WITH taken (id, points) AS ({rows})
    UPDATE lot SET available = lot.available - taken.points FROM taken WHERE lot.id = taken.id";

/// Lowers what is available of lots.
pub(crate) fn take_from_lots<'a>(tx: &mut Tx<'_>, taken: impl Iterator<Item = (&'a str, i64)>) -> Result<(), Refusal> {
    let rows: Vec<_> = taken.map(|(lot, points)| values![lot, points].to_vec()).collect();
    tx.each(TAKE_FROM_LOTS, "ti", &rows)?;
    Ok(())
}

fn answer(ask: &GrantAsk, points: i64, grants: Vec<Granted>) -> Grant {
    let grant = match grants.as_slice() {
        [only] => Some(only.grant.clone()),
        [] | [_, _, ..] => None,
    };
    Grant { request: ask.request.clone(), member: ask.member.clone(), epoch: ask.epoch, points, grant, grants }
}
