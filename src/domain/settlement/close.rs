//! Closing a day: only one that is over, one after the other, and each once.

use super::{Closed, Closing, ClosingFacts};
use crate::domain::decide::Facts;
use crate::domain::event::{BusinessDay, Decision, Record, Reply, StaffRefusal};

/// Staff close a business day. A day that is closed already stays as it was.
pub(in crate::domain) fn close(closing: &Closing, facts: &Facts) -> Decision {
    let ClosingFacts { last, oldest, report } = &facts.tills.closing;
    let refused =
        |why: String| Decision { reply: Reply::Staff(Err(StaffRefusal::DayRefused { why })), ..Decision::nothing() };
    if last.is_some_and(|last| closing.day <= last) {
        let text = format!("{} was closed before", date(closing.day));
        return Decision { reply: Reply::Staff(Ok(text)), ..Decision::nothing() };
    }
    if closing.day >= facts.day {
        return refused(format!("{} is not over; days before {} can be closed", date(closing.day), date(facts.day)));
    }
    if let Some(first) = oldest.filter(|oldest| *oldest < closing.day) {
        return refused(format!("{} is not closed yet; the days are closed one after the other", date(first)));
    }
    let exceptions = report.exceptions.len() as u64 + report.more_exceptions;
    let text = format!("{} is closed; {exceptions} things to look at", date(closing.day));
    Decision {
        records: vec![Record::DayClosed(Closed { day: closing.day, by: closing.by.clone(), report: report.clone() })],
        reply: Reply::Staff(Ok(text)),
        ..Decision::nothing()
    }
}

/// A day in words.
fn date(day: BusinessDay) -> String {
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day.0));
    date.map_or_else(|_| format!("day {}", day.0), |date| date.to_string())
}
