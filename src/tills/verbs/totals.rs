//! Totals: what a shift, a terminal's day or the site's day has done, read and not closed.

use serde_json::{Value, json};

use super::receipt;
use crate::domain::event::BusinessDay;
use crate::store::reader::tills::Scope;
use crate::tills::access::Terminal;
use crate::tills::body::Body;
use crate::tills::problem::Problem;
use crate::tills::{Tills, date, day_of};

impl Tills {
    /// The X slip: of a shift of this terminal, or of a business day of this terminal or of the site.
    pub(super) async fn totals(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let shift = body.whole("shift", 1, i64::from(u32::MAX))?.and_then(|shift| u32::try_from(shift).ok());
        let day = match body.text("day", 10)? {
            None => None,
            Some(text) => Some(day_of(text).ok_or_else(|| Problem::field("day", "a date such as 2026-03-01"))?),
        };
        let of_site = match body.text("scope", 16)? {
            None | Some("terminal") => false,
            Some("site") => true,
            Some(other) => return Err(Problem::field("scope", format!("{other:?}; terminal and site are allowed"))),
        };
        let (id, today) = (terminal.id.clone(), self.today());
        let look = self.settings.reader.look(move |view| {
            let scope = match (shift, day, of_site) {
                (Some(shift), _, _) => Scope::Shift(id, shift),
                (None, day, true) => Scope::Day(day.unwrap_or(today)),
                (None, Some(day), false) => Scope::TerminalDay(id, day),
                (None, None, false) => {
                    let shift = view.current_shift(&id)?;
                    Scope::Shift(id, shift)
                }
            };
            let is_closed = match &scope {
                Scope::Shift(id, shift) => *shift < view.current_shift(id)?,
                Scope::TerminalDay(..) | Scope::Day(_) => false,
            };
            let totals = view.till_totals(&scope)?;
            Ok((scope, is_closed, totals))
        });
        let (scope, is_closed, totals) = look.await?;
        let mut answer = receipt::totals(&totals);
        match scope {
            Scope::Shift(_, shift) => {
                answer["shift"] = json!(shift);
                answer["closed"] = json!(is_closed);
            }
            Scope::TerminalDay(_, day) | Scope::Day(day) => answer["business_date"] = json!(date(day)),
        }
        if !of_site {
            answer["terminal"] = json!(terminal.id);
        }
        Ok(answer)
    }

    /// The business day of this moment.
    pub(in crate::tills) fn today(&self) -> BusinessDay {
        (self.settings.pricing.today)()
    }
}
