//! Closing a day: only one that is over, one after the other, and each once.

use super::{Closed, Closing, ClosingFacts};
use crate::domain::decide::Facts;
use crate::domain::event::{Decision, Record, Reply, StaffRefusal};

/// Staff close a business day. A day that is closed already stays as it was.
pub(in crate::domain) fn close(closing: &Closing, facts: &Facts) -> Decision {
    let ClosingFacts { last, oldest, report, forgets } = &facts.tills.closing;
    let said = |text: Result<String, StaffRefusal>| Decision { reply: Reply::Staff(text), ..Decision::nothing() };
    if last.is_some_and(|last| closing.day <= last) {
        return said(Ok("the day was closed before".to_owned()));
    }
    if closing.day >= facts.day {
        return said(Err(StaffRefusal::DayRefused { first: None }));
    }
    if oldest.is_some_and(|oldest| oldest < closing.day) {
        return said(Err(StaffRefusal::DayRefused { first: *oldest }));
    }
    let exceptions = report.exceptions.len() as u64 + report.more_exceptions;
    let Closing { day, by } = closing.clone();
    let record = Record::DayClosed(Closed { day, by, report: report.clone(), forgets: *forgets });
    let text = format!("the day is closed; {exceptions} things to look at");
    Decision { records: vec![record], reply: Reply::Staff(Ok(text)), ..Decision::nothing() }
}
