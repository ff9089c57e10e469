//! The tills as staff see them: which there are, whether they are there, and what of their counts never arrived.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::staff::Answer;
use super::{Tills, date};
use crate::domain::event::TerminalId;
use crate::store::reader::tills::Scope;

/// `GET /staff/terminals`. A hole in a till's own count is a request that was lost on the way: the alarm tells of it when
/// it is seen, this list as long as the day lasts.
pub(super) async fn list(State(tills): State<Arc<Tills>>, headers: HeaderMap) -> Answer {
    tills.operator_in(&headers)?;
    let known = tills.known().await?;
    let (today, ids) = (tills.today(), known.keys().cloned().collect::<Vec<_>>());
    let look = tills.settings.reader.look(move |view| {
        let mut rows = BTreeMap::new();
        for id in ids {
            let totals = view.till_totals(&Scope::TerminalDay(id.clone(), today))?;
            let row = (view.current_shift(&id)?, view.last_number(&id)?, totals);
            rows.insert(id, row);
        }
        Ok(rows)
    });
    let rows = look.await?;
    let present = tills.present.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let row = |(id, known): (&TerminalId, &Known)| {
        let (shift, last, totals) = rows.get(id).cloned().unwrap_or_default();
        json!({
            "terminal": id,
            "merchant": known.merchant,
            "shut_out": known.is_shut_out,
            "present": present.get(id),
            "shift": shift,
            "last_number": last,
            "missing_numbers": totals.missing_numbers,
            "open_holds": totals.open_holds,
        })
    };
    let terminals: Vec<Value> = known.iter().map(row).collect();
    Ok(Json(json!({"business_date": date(today), "terminals": terminals})))
}

/// What is known of a till besides its name.
pub(super) struct Known {
    pub(super) merchant: Option<String>,
    pub(super) is_shut_out: bool,
}

impl Tills {
    /// The tills of the settings and those that staff let in or shut out.
    pub(super) async fn known(&self) -> Result<BTreeMap<TerminalId, Known>, super::Problem> {
        let mut known = BTreeMap::new();
        for terminal in &self.settings.terminals {
            known.insert(terminal.id.clone(), Known { merchant: terminal.merchant.clone(), is_shut_out: false });
        }
        let paired = self.paired().await?.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, pairing) in &*paired {
            let is_shut_out = pairing.token_sha256.is_none();
            known.insert(id.clone(), Known { merchant: pairing.merchant.clone(), is_shut_out });
        }
        Ok(known)
    }
}
