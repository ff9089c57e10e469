//! Receipts and slips on paper: made from the journal, so that they are the same whenever they are printed.

use serde_json::{Value, json};

use super::parse::MOST_OP_CHARS;
use crate::domain::event::{OpId, TerminalId};
use crate::store::reader::tills::{BookedLine, Scope};
use crate::tills::access::Terminal;
use crate::tills::body::Body;
use crate::tills::problem::{Code, Problem};
use crate::tills::slip::{Printed, ShiftSlip, Wanted, receipt, shift_slip};
use crate::tills::{Tills, date};

impl Tills {
    /// The receipt of a transaction, or of what was given back, of this terminal or of another one of its shop.
    pub(super) async fn receipt(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let wanted = Wanted::read(body)?;
        let op = OpId::from(body.needed_text("transaction", MOST_OP_CHARS)?);
        let of = op.clone();
        let found = self.settings.reader.look(move |view| view.booked(&of)).await?;
        let is_theirs = |found: &BookedLine| {
            found.line.terminal == terminal.id
                || terminal.merchant.is_some() && terminal.merchant == found.line.merchant
        };
        let unknown = || Problem::new(Code::TransactionUnknown, "no such transaction of this till or its shop");
        let BookedLine { line, usable, at, head } = found.filter(is_theirs).ok_or_else(unknown)?;
        let printed = Printed { line, at, usable, epoch: head.epoch, seq: head.seq, head: head.head };
        let mut answer = wanted.answer(|lang| receipt(&printed, &self.settings.site, &self.settings.zone, lang));
        answer["transaction"] = json!(op);
        Ok(answer)
    }

    /// The Z slip of a shift that is over, or the X slip of the open one.
    pub(super) async fn slip(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let wanted = Wanted::read(body)?;
        let shift = body.whole("shift", 1, i64::from(u32::MAX))?.and_then(|shift| u32::try_from(shift).ok());
        let slip = self.shift_slip(terminal.id.clone(), shift).await?;
        let mut answer = wanted.answer(|lang| shift_slip(&slip, &self.settings.site, &self.settings.zone, lang));
        answer["shift"] = json!(slip.shift);
        answer["closed"] = json!(slip.is_closed);
        Ok(answer)
    }

    async fn shift_slip(&self, terminal: TerminalId, shift: Option<u32>) -> Result<ShiftSlip, Problem> {
        let (now, today) = ((self.settings.pricing.now)(), self.today());
        let look = self.settings.reader.look(move |view| {
            let open = view.current_shift(&terminal)?;
            let shift = shift.unwrap_or(open);
            let closed = view.closed_shift(&terminal, shift)?;
            let is_closed = closed.is_some();
            let (day, totals, stated, at, head) = match closed {
                Some(closed) => (closed.day, closed.totals, closed.stated, closed.at, closed.head),
                None => (today, view.till_totals(&Scope::Shift(terminal.clone(), shift))?, None, now, view.head()?),
            };
            let (day, box_id) = (date(day), head.box_id);
            let head = format!("{}/{}/{}", head.epoch, head.seq, head.head);
            Ok((shift > open, ShiftSlip { terminal, shift, day, is_closed, totals, stated, at, box_id, head }))
        });
        let (has_not_begun, slip) = look.await?;
        if has_not_begun {
            return Err(Problem::new(Code::ShiftClosed, format!("shift {} has not begun", slip.shift)));
        }
        Ok(slip)
    }
}
