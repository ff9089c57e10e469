//! A business day on paper: what the tills took, who owes whom, what somebody should look at, and the journal's head.

use super::{Lang, Slip, yuan};
use crate::domain::event::Fen;
use crate::domain::settlement::{Mismatch, Report};

/// A business day and where the journal stood.
#[derive(Clone, Debug)]
pub(in crate::tills) struct DaySlip {
    /// Which.
    pub(in crate::tills) day: String,
    /// Who closed it; none: it is open.
    pub(in crate::tills) by: Option<String>,
    /// What it came to.
    pub(in crate::tills) report: Report,
    /// The box.
    pub(in crate::tills) box_id: String,
    /// Where the journal stood after the entry that closed it, or stands: `epoch/seq/head`, as a witness writes it.
    pub(in crate::tills) head: String,
}

/// The slip in a language.
pub(in crate::tills) fn day_slip(of: &DaySlip, site: &str, lang: Lang) -> Slip {
    let DaySlip { day, by, report, box_id, head } = of;
    let mut slip = Slip::default();
    slip.title(site);
    slip.title(match by {
        Some(_) => lang.pick("营业日结算", "Day closed"),
        None => lang.pick("营业日(未结)", "Day so far"),
    });
    slip.pair(lang.pick("营业日", "Business day"), day);
    if let Some(by) = by {
        slip.pair(lang.pick("结算人", "Closed by"), by);
    }
    slip.rule();
    for till in &report.tills {
        slip.pair(till.terminal.as_str(), &yuan(till.totals.money()));
    }
    slip.pair(&format!("{} x{}", lang.pick("停车费", "Parking fees"), report.stays.count), &yuan(report.stays.fee_fen));
    slip.rule();
    for owed in &report.owed {
        slip.pair(&format!("{} > {}", owed.payer, owed.acceptor), &yuan(owed.fen));
    }
    slip.rule();
    slip.pair(lang.pick("相符", "Matched"), &report.matched.to_string());
    for (state, count, fen) in states(report) {
        slip.pair(&format!("{} x{count}", words(state, lang)), &yuan(fen));
    }
    if report.more_exceptions > 0 {
        slip.pair(lang.pick("未列出", "Not listed"), &report.more_exceptions.to_string());
    }
    slip.rule();
    slip.text(lang.pick("账本凭证", "Journal head"));
    slip.qr(&format!("GPH1:{box_id}/{head}"));
    slip
}

/// How many things of each state are listed, and what they come to.
fn states(report: &Report) -> Vec<(Mismatch, usize, Fen)> {
    let mut states: Vec<Mismatch> = report.exceptions.iter().map(|found| found.state).collect();
    states.sort_unstable();
    states.dedup();
    let sum = |state| {
        let of = report.exceptions.iter().filter(|found| found.state == state);
        (state, of.clone().count(), Fen(of.map(|found| found.fen.0).sum()))
    };
    states.into_iter().map(sum).collect()
}

fn words(state: Mismatch, lang: Lang) -> &'static str {
    match state {
        Mismatch::TillOnly => lang.pick("仅收银机", "Till only"),
        Mismatch::BoxOnly => lang.pick("仅本机", "Box only"),
        Mismatch::LaneOnly => lang.pick("仅车道", "Lane only"),
        Mismatch::AmountDiff => lang.pick("金额不符", "Amounts differ"),
        Mismatch::TimeDiff => lang.pick("时间不符", "Times differ"),
        Mismatch::Duplicate => lang.pick("重复", "Twice"),
        Mismatch::Disputed => lang.pick("有异议", "Disputed"),
        Mismatch::WrittenOff => lang.pick("已免收", "Let go"),
    }
}
