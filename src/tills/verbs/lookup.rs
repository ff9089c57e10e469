//! Lookup: a till scans a code or types a plate and learns which member it is, and no more than it needs.

use std::sync::PoisonError;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::status::mode;
use crate::domain::benefit::Basket;
use crate::domain::event::{
    CloudNews, CouponsLook, Fen, Input, MemberId, MemberShown, Reply, Shown, ShownAt, StaffRefusal, TillAnswer,
};
use crate::domain::plate::Plate;
use crate::member_code;
use crate::store::reader::members::MemberRow;
use crate::store::reader::{ReadError, View};
use crate::tills::Tills;
use crate::tills::access::Terminal;
use crate::tills::body::Body;
use crate::tills::problem::{Code, Problem};
use crate::tills::refs::CODE_PREFIX;
use crate::tills::wallet;

/// Longest member code: a phone's signed code with the longest name of a member is 400 characters.
pub(in crate::tills) const MOST_CODE_CHARS: usize = 512;

/// Whom a till means.
#[derive(Clone)]
pub(in crate::tills) enum MemberRef {
    /// A member by name, and how that is known.
    Known(MemberId, Shown),
    /// A code that stays the same.
    Fixed(String),
    /// A plate.
    Plate(Plate),
}

impl Tills {
    /// Which member a code or a plate is.
    pub(super) async fn look_up(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let by = match (body.text("code", MOST_CODE_CHARS)?, body.plate("plate")?) {
            (Some(code), None) => self.of_code(code)?,
            (None, Some(plate)) => MemberRef::Plate(plate),
            (None, None) => match self.take_scan(&terminal.id) {
                Some((member, shown)) => MemberRef::Known(member, shown),
                None => {
                    let wrong = "exactly one of code and plate is allowed, or none after a scan beside this till";
                    return Err(Problem::field("code", wrong));
                }
            },
            (Some(_), Some(_)) => return Err(Problem::field("code", "exactly one of code and plate is allowed")),
        };
        let (needs_consent, cloud_is_up) = (matches!(by, MemberRef::Plate(_)), self.cloud_is_up());
        let now = (self.settings.pricing.now)();
        let rules = self.rules_in_force().await?;
        let found = self.settings.reader.look(move |view| {
            let Some((member, shown)) = resolve(view, &by)? else { return Ok(None) };
            let points = view.points_here(&member.id, now)?;
            let sale = view.sale_facts(&member.id, &rules)?;
            Ok(Some((member, shown, points, sale, mode(view, cloud_is_up)?)))
        });
        let Some((member, shown, points, sale, mode)) = found.await? else {
            return Err(Problem::new(Code::MemberUnknown, "no member of that code or plate is known to this box"));
        };
        if needs_consent && !member.consent_plates {
            let detail = "the member has not agreed to plates being matched; a member code is allowed";
            return Err(Problem::new(Code::ConsentMissing, detail));
        }
        if cloud_is_up {
            // Nobody waits for it: its coupons are asked for while the member stands here.
            let look = CouponsLook { members: vec![member.id.clone()], asked: true, ..CouponsLook::default() };
            let _ = self.settings.handle.try_submit(Input::Cloud(CloudNews::CouponsLooked(look)));
        }
        if let Shown::Code { .. } = shown {
            let at = ShownAt::Till { terminal: terminal.id.clone() };
            self.claim(MemberShown { at, member: member.id.clone(), shown }).await?;
        }
        let basket = Basket { member: &member.id, fen: Fen(0), sale: &sale, coupon: None };
        let (_, price_level) = (self.settings.pricing.earned)(&basket);
        let member_ref =
            self.refs.lock().unwrap_or_else(PoisonError::into_inner).give(terminal, &member.id, shown, Instant::now());
        Ok(json!({
            "member_ref": member_ref,
            "handle": member.handle,
            "tier": member.tier,
            "may_pay": matches!(shown, Shown::Code { .. }),
            "points_usable": points.usable,
            "points_pending": points.pending,
            "status_points": points.status,
            "price_level": price_level,
            "points_as_of": "grant",
            "mode": mode.word(),
        }))
    }

    /// The member that a till means; the till's own name for it or its code.
    pub(super) fn member_ref(&self, terminal: &Terminal, body: &Body) -> Result<Option<MemberRef>, Problem> {
        let Some(text) = body.text("member_ref", MOST_CODE_CHARS)? else { return Ok(None) };
        if let Some(code) = text.strip_prefix(CODE_PREFIX) {
            return self.of_code(code).map(Some);
        }
        let refs = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
        match refs.member(terminal, text, Instant::now()) {
            Some((member, shown)) => Ok(Some(MemberRef::Known(member, shown))),
            None => Err(member_gone()),
        }
    }

    /// Whom a scanned text means. Other wallets' payment codes come through the same scanners.
    pub(in crate::tills) fn of_code(&self, code: &str) -> Result<MemberRef, Problem> {
        let code = wallet::check(code)?;
        if !member_code::is_meant(code) {
            return Ok(MemberRef::Fixed(code.to_owned()));
        }
        let seen = member_code::read(code, &self.settings.code_keys, (self.settings.pricing.now)());
        let seen = seen.map_err(|wrong| match wrong {
            member_code::Wrong::Broken | member_code::Wrong::Forged => {
                Problem::new(Code::MemberUnknown, format!("code: {wrong}")).with("field", "code")
            }
            member_code::Wrong::TokenExpired => {
                Problem::new(Code::MemberCodeExpired, format!("code: {wrong}")).with("field", "code")
            }
        })?;
        Ok(MemberRef::Known(seen.member, Shown::Code { step: seen.step }))
    }

    /// Has the journal keep that a phone's code was shown here, so that no other place takes it.
    pub(in crate::tills) async fn claim(&self, shown: MemberShown) -> Result<(), Problem> {
        let reply = self.settings.handle.try_submit(Input::MemberShown(shown)).map_err(super::unavailable)?;
        let late = || Problem::new(Code::AnswerLate, "the box has not answered yet; scan the code again");
        let reply = tokio::time::timeout(self.settings.answer_timeout, reply).await.map_err(|_| late())?;
        match reply.map_err(|_| late())? {
            Reply::Done | Reply::Staff(Ok(_)) => Ok(()),
            Reply::Till(TillAnswer::Refused { code, detail }) => Err(super::write::refusal(&code, &detail)),
            Reply::Staff(Err(StaffRefusal::NothingWaiting)) => {
                Err(Problem::new(Code::NothingWaiting, "no vehicle waits in this lane; the code is still good"))
            }
            Reply::Till(_) | Reply::Staff(Err(_)) | Reply::Ticket(_) => {
                tracing::error!("the loop answered a shown code with another's reply");
                Err(Problem::new(Code::Internal, "the box gave no answer about the code"))
            }
        }
    }
}

/// The member that is meant, as the ledger file knows it now, and how it is known.
pub(in crate::tills) fn resolve(
    view: &View<'_>,
    member_ref: &MemberRef,
) -> Result<Option<(MemberRow, Shown)>, ReadError> {
    Ok(match member_ref {
        MemberRef::Known(id, shown) => view.member(id)?.map(|member| (member, *shown)),
        MemberRef::Fixed(code) => view.member_by_code(code)?.map(|member| (member, Shown::Fixed)),
        MemberRef::Plate(plate) => view.member_by_plate(plate)?.map(|member| (member, Shown::Plate)),
    })
}

/// The refusal where a name is old or of another till, or the member has left.
pub(super) fn member_gone() -> Problem {
    let detail = "member_ref: not a name that this till was given in the last hours; look the member up again, \
                  or send code:<scanned code>";
    Problem::new(Code::MemberUnknown, detail).with("field", "member_ref")
}
