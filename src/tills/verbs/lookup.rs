//! Lookup: a till scans a code or types a plate and learns which member it is, and no more than it needs.

use std::sync::PoisonError;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::status::mode;
use crate::domain::event::MemberId;
use crate::domain::plate::Plate;
use crate::store::reader::members::MemberRow;
use crate::store::reader::{ReadError, View};
use crate::tills::Tills;
use crate::tills::access::Terminal;
use crate::tills::body::Body;
use crate::tills::problem::{Code, Problem};
use crate::tills::refs::CODE_PREFIX;
use crate::tills::wallet;

/// Longest member code: a signed dynamic code is the longest that is planned.
pub(in crate::tills) const MOST_CODE_CHARS: usize = 512;

enum By {
    Code(String),
    Plate(Plate),
}

/// What a till may write into `member_ref`.
pub(super) enum MemberRef {
    /// A name that this box gave.
    Known(MemberId),
    /// A scanned code.
    Code(String),
}

impl Tills {
    /// Which member a code or a plate is.
    pub(super) async fn look_up(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let by = match (body.text("code", MOST_CODE_CHARS)?, body.plate("plate")?) {
            (Some(code), None) => By::Code(wallet::check(code)?.to_owned()),
            (None, Some(plate)) => By::Plate(plate),
            (Some(_), Some(_)) | (None, None) => {
                return Err(Problem::field("code", "exactly one of code and plate is allowed"));
            }
        };
        let needs_consent = matches!(by, By::Plate(_));
        let cloud_is_up = self.cloud_is_up();
        let found = self.settings.reader.look(move |view| {
            let Some(member) = find(view, &by)? else { return Ok(None) };
            let usable = view.usable_points(&member.id)?;
            Ok(Some((member, usable, mode(view, cloud_is_up)?)))
        });
        let Some((member, usable, mode)) = found.await? else {
            return Err(Problem::new(Code::MemberUnknown, "no member of that code or plate is known to this box"));
        };
        if needs_consent && !member.consent_plates {
            let detail = "the member has not agreed to plates being matched; a member code is allowed";
            return Err(Problem::new(Code::ConsentMissing, detail));
        }
        let member_ref =
            self.refs.lock().unwrap_or_else(PoisonError::into_inner).give(terminal, &member.id, Instant::now());
        Ok(json!({
            "member_ref": member_ref,
            "handle": member.handle,
            "tier": member.tier,
            "points_usable": usable,
            "points_as_of": "grant",
            "mode": mode.word(),
        }))
    }

    /// The member that a till means; the till's own name for it or its code.
    pub(super) fn member_ref(&self, terminal: &Terminal, body: &Body) -> Result<Option<MemberRef>, Problem> {
        let Some(text) = body.text("member_ref", MOST_CODE_CHARS)? else { return Ok(None) };
        if let Some(code) = text.strip_prefix(CODE_PREFIX) {
            return Ok(Some(MemberRef::Code(wallet::check(code)?.to_owned())));
        }
        let refs = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
        match refs.member(terminal, text, Instant::now()) {
            Some(member) => Ok(Some(MemberRef::Known(member))),
            None => Err(member_gone()),
        }
    }
}

/// The member that is meant, as the ledger file knows it now.
pub(super) fn resolve(view: &View<'_>, member_ref: &MemberRef) -> Result<Option<MemberRow>, ReadError> {
    match member_ref {
        MemberRef::Known(id) => view.member(id),
        MemberRef::Code(code) => view.member_by_code(code),
    }
}

/// The refusal where a name is old or of another till, or the member has left.
pub(super) fn member_gone() -> Problem {
    let detail = "member_ref: not a name that this till was given in the last hours; look the member up again, \
                  or send code:<scanned code>";
    Problem::new(Code::MemberUnknown, detail).with("field", "member_ref")
}

fn find(view: &View<'_>, by: &By) -> Result<Option<MemberRow>, ReadError> {
    match by {
        By::Code(code) => view.member_by_code(code),
        By::Plate(plate) => view.member_by_plate(plate),
    }
}
