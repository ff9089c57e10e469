//! The X and the Z slip of a shift; the Z slip carries the journal's head, so that paper proves the journal.

use super::receipt::name;
use super::{Lang, Slip, on_paper, yuan};
use crate::domain::event::{Fen, MoneyKind, NotCash, Stated, Tally, TerminalId, Totals, UtcMs};

/// A shift and where the journal stood.
#[derive(Clone, Debug)]
pub(in crate::tills) struct ShiftSlip {
    /// At which till.
    pub(in crate::tills) terminal: TerminalId,
    /// Which of its shifts.
    pub(in crate::tills) shift: u32,
    /// The business day.
    pub(in crate::tills) day: String,
    /// Whether it is over.
    pub(in crate::tills) is_closed: bool,
    /// What it did.
    pub(in crate::tills) totals: Totals,
    /// What the till says that it did.
    pub(in crate::tills) stated: Option<Stated>,
    /// When it was closed, or when the slip was asked for.
    pub(in crate::tills) at: UtcMs,
    /// The box.
    pub(in crate::tills) box_id: String,
    /// Where the journal stood after the entry that closed it, or stands: `epoch/seq/head`, as a witness writes it.
    pub(in crate::tills) head: String,
}

/// The slip in a language.
pub(in crate::tills) fn shift_slip(of: &ShiftSlip, site: &str, zone: &jiff::tz::TimeZone, lang: Lang) -> Slip {
    let mut slip = Slip::default();
    slip.title(site);
    slip.title(if of.is_closed {
        lang.pick("日结单 (Z)", "Z report")
    } else {
        lang.pick("中间报表 (X)", "X report")
    });
    slip.pair(lang.pick("收银机", "Till"), of.terminal.as_str());
    slip.pair(lang.pick("班次", "Shift"), &of.shift.to_string());
    slip.pair(lang.pick("营业日", "Business day"), &of.day);
    slip.pair(lang.pick("时间", "Time"), &on_paper(of.at, zone));
    slip.rule();
    let totals = &of.totals;
    kind(&mut slip, lang.pick("销售", "Sales"), &totals.sales, lang);
    kind(&mut slip, lang.pick("积分支付", "Points taken"), &totals.captures, lang);
    kind(&mut slip, lang.pick("撤销", "Voids"), &totals.voids, lang);
    kind(&mut slip, lang.pick("退货", "Refunds"), &totals.refunds, lang);
    if totals.coupons > 0 {
        slip.pair(&format!("{} x{}", lang.pick("优惠券", "Coupons"), totals.coupons), &yuan(totals.coupons_fen));
    }
    slip.rule();
    slip.pair(lang.pick("应收合计", "Money due"), &yuan(totals.money()));
    let NotCash { card, wallet, other } = totals.not_cash;
    let kinds = [(MoneyKind::Card, card), (MoneyKind::Wallet, wallet), (MoneyKind::Other, other)];
    for (kind, fen) in [(MoneyKind::Cash, totals.cash())].into_iter().chain(kinds).filter(|(_, fen)| fen.0 != 0) {
        slip.pair(&format!("  {}", name(kind, lang)), &yuan(fen));
    }
    for (name, by) in of.stated.iter().flat_map(|stated| stated.differences(totals)) {
        let words = format!("{} {name}", lang.pick("收银机多报", "Till says more:"));
        slip.pair(&words, &if name == "sales" { by.to_string() } else { yuan(Fen(by)) });
    }
    slip.pair(lang.pick("未结预留", "Open holds"), &totals.open_holds.to_string());
    slip.pair(lang.pick("缺失序号", "Missing numbers"), &totals.missing_numbers.to_string());
    slip.rule();
    slip.text(lang.pick("账本凭证", "Journal head"));
    slip.qr(&format!("GPH1:{}/{}", of.box_id, of.head));
    slip
}

fn kind(slip: &mut Slip, words: &str, tally: &Tally, lang: Lang) {
    if tally.count == 0 {
        return;
    }
    slip.pair(&format!("{words} x{}", tally.count), &yuan(Fen(tally.sale_fen.0 + tally.parking_fen.0)));
    let by_points = Fen(tally.sale_points_fen.0 + tally.parking_points_fen.0);
    if by_points.0 > 0 {
        slip.pair(&format!("  {}", lang.pick("其中积分", "of it points")), &yuan(by_points));
    }
    let (spent, earned) = (tally.points_spent.0, tally.points_earned.0);
    if spent > 0 || earned > 0 {
        let texts = format!("{spent}/{earned}");
        slip.pair(&format!("  {}", lang.pick("积分 用/得", "points used/earned")), &texts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Points;

    #[test]
    fn a_z_slip_proves_the_journal_and_fits_every_paper() {
        let sales = Tally { count: 3, sale_fen: Fen(12_800), points_spent: Points(30), ..Tally::default() };
        let of = ShiftSlip {
            terminal: TerminalId::from("till-1"),
            shift: 7,
            day: "2026-03-01".to_owned(),
            is_closed: true,
            totals: Totals {
                sales,
                not_cash: NotCash { wallet: Fen(12_000), ..NotCash::default() },
                missing_numbers: 2,
                ..Totals::default()
            },
            stated: Some(Stated { cash_fen: Some(Fen(750)), wallet_fen: Some(Fen(12_000)), ..Stated::default() }),
            at: UtcMs(1_772_337_600_000),
            box_id: "box-1".to_owned(),
            head: format!("1/9/{}", "0c".repeat(32)),
        };
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
        for (lang, words) in [
            (Lang::Zh, ["缺失序号", "销售 x3", "  手机支付              ￥120.00", "  现金                    ￥8.00"]),
            (Lang::En, ["Missing numbers", "Sales x3", "Money due", "  Cash                    ￥8.00"]),
        ] {
            let lines = shift_slip(&of, "万象", &zone, lang).lines(32).join("\n");
            assert!(words.iter().all(|word| lines.contains(word)), "{lines}");
            assert!(
                lines.contains("cash_fen") && lines.contains("-￥0.50") && !lines.contains("wallet_fen"),
                "{lines}"
            );
            let solid: String = lines.split_whitespace().collect();
            assert!(solid.contains(&format!("GPH1:box-1/1/9/{}", "0c".repeat(32))), "{lines}");
        }
    }
}
