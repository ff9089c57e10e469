//! The receipt of a transaction, from the journal alone, so that it is the same whenever it is printed.

use super::{Lang, Slip, on_paper, yuan};
use crate::domain::event::{Booking, BookingKind, Fen, Money, MoneyKind, Points, UtcMs};

/// A line of the tills' books and the journal's entry that holds it.
#[derive(Clone, Debug)]
pub(in crate::tills) struct Printed {
    /// The line.
    pub(in crate::tills) line: Booking,
    /// When the box decided it.
    pub(in crate::tills) at: UtcMs,
    /// What this box could spend for the member then.
    pub(in crate::tills) usable: Option<Points>,
    /// Where it is in the journal.
    pub(in crate::tills) epoch: u32,
    /// Its number in that epoch.
    pub(in crate::tills) seq: u64,
    /// The head after it.
    pub(in crate::tills) head: String,
}

/// The receipt in a language.
pub(in crate::tills) fn receipt(of: &Printed, site: &str, zone: &jiff::tz::TimeZone, lang: Lang) -> Slip {
    let line = &of.line;
    let mut slip = Slip::default();
    slip.title(site);
    slip.title(match line.what {
        BookingKind::Sale => lang.pick("收据", "Receipt"),
        BookingKind::Capture => lang.pick("积分收据", "Points receipt"),
        BookingKind::Void => lang.pick("撤销单", "Void"),
        BookingKind::Refund => lang.pick("退货单", "Refund"),
    });
    if let Some(merchant) = &line.merchant {
        slip.pair(lang.pick("商户", "Shop"), merchant);
    }
    slip.pair(lang.pick("收银机", "Till"), line.terminal.as_str());
    if !line.receipt.is_empty() {
        slip.pair(lang.pick("小票号", "Receipt no."), &line.receipt);
    }
    slip.pair(lang.pick("时间", "Time"), &on_paper(of.at, zone));
    slip.rule();
    amounts(&mut slip, line, lang);
    slip.rule();
    points(&mut slip, of, zone, lang);
    slip.text(&format!("{} {}", lang.pick("交易号", "Transaction"), line.op));
    if let Some(original) = &line.of {
        slip.text(&format!("{} {original}", lang.pick("原交易号", "Original")));
    }
    slip.text(&format!(
        "{} {}/{}/{}",
        lang.pick("凭证", "Journal"),
        of.epoch,
        of.seq,
        of.head.get(..12).unwrap_or_default()
    ));
    slip
}

fn amounts(slip: &mut Slip, line: &Booking, lang: Lang) {
    if let Some(list) = line.list_fen {
        slip.pair(lang.pick("原价", "List price"), &yuan(list));
    }
    if line.sale_fen.0 > 0 {
        match &line.price_level {
            Some(level) => slip.pair(&format!("{} {level}", lang.pick("会员价", "Member price")), &yuan(line.sale_fen)),
            None => slip.pair(lang.pick("商品", "Goods"), &yuan(line.sale_fen)),
        }
    }
    if line.parking_fen.0 > 0 {
        slip.pair(lang.pick("停车费", "Parking"), &yuan(line.parking_fen));
    }
    let by_points = Fen(line.sale_points_fen.0 + line.parking_points_fen.0);
    if by_points.0 > 0 {
        slip.pair(lang.pick("积分支付", "Paid with points"), &yuan(by_points));
    }
    let money = Fen(line.sale_fen.0 + line.parking_fen.0 - by_points.0);
    let is_back = matches!(line.what, BookingKind::Void | BookingKind::Refund);
    if money.0 > 0 && (is_back || line.money.is_empty()) {
        slip.pair(if is_back { lang.pick("退款", "Money back") } else { lang.pick("现金", "Cash") }, &yuan(money));
    }
    for Money { kind, fen, reference } in &line.money {
        let indent = if is_back { "  " } else { "" };
        slip.pair(&format!("{indent}{}", name(*kind, lang)), &yuan(*fen));
        if let Some(reference) = reference {
            slip.text(&format!("  {reference}"));
        }
    }
}

/// A kind of money on paper.
pub(super) fn name(kind: MoneyKind, lang: Lang) -> &'static str {
    match kind {
        MoneyKind::Cash => lang.pick("现金", "Cash"),
        MoneyKind::Card => lang.pick("银行卡", "Card"),
        MoneyKind::Wallet => lang.pick("手机支付", "Mobile payment"),
        MoneyKind::Other => lang.pick("其他", "Other"),
    }
}

fn points(slip: &mut Slip, of: &Printed, zone: &jiff::tz::TimeZone, lang: Lang) {
    let line = &of.line;
    let is_back = matches!(line.what, BookingKind::Void | BookingKind::Refund);
    let used = line.sale_points.0 + line.parking_points.0;
    if used > 0 {
        let words =
            if is_back { lang.pick("退回积分", "Points back") } else { lang.pick("使用积分", "Points used") };
        slip.pair(words, &used.to_string());
    }
    if line.earned.0 > 0 {
        let words = if is_back {
            lang.pick("扣回积分", "Points taken back")
        } else {
            lang.pick("获得积分", "Points earned")
        };
        slip.pair(words, &line.earned.0.to_string());
    }
    if let (Some(usable), true) = (of.usable, line.member.is_some()) {
        slip.pair(lang.pick("本场可用积分", "Points usable here"), &usable.0.to_string());
        slip.text(&format!("{} {}", lang.pick("截至", "as of"), on_paper(of.at, zone)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{BusinessDay, MemberId, OpId, TerminalId};

    #[test]
    fn a_receipt_says_what_was_paid_and_what_is_left() {
        let slip = receipt(&printed(), "万象", &jiff::tz::TimeZone::fixed(jiff::tz::offset(8)), Lang::Zh);
        let expect = [
            "              万象",
            "              收据",
            "商户                        cafe",
            "收银机                    till-1",
            "小票号                      A-17",
            "时间         2026-03-01 12:00:00",
            "--------------------------------",
            "商品                    ￥128.00",
            "积分支付                 ￥30.00",
            "现金                     ￥98.00",
            "--------------------------------",
            "使用积分                     300",
            "获得积分                      98",
            "本场可用积分                 178",
            "截至 2026-03-01 12:00:00",
            "交易号 box-1/1/9/0",
            "凭证 1/9/0c6dd72e4790",
        ];
        assert_eq!(slip.lines(32), expect);
    }

    #[test]
    fn a_member_s_price_stands_on_every_width_and_in_the_printer_s_bytes() {
        let mut printed = printed();
        (printed.line.price_level, printed.line.list_fen) = (Some("P2".to_owned()), Some(Fen(15_000)));
        let zone = jiff::tz::TimeZone::UTC;
        for columns in [32, 42, 48] {
            let zh = receipt(&printed, "M", &zone, Lang::Zh);
            let lines = zh.lines(columns);
            let pair = |left: &str, right: &str, used: usize| format!("{left}{}{right}", " ".repeat(columns - used));
            assert!(lines.contains(&pair("原价", "￥150.00", 4 + 8)), "{lines:?}");
            assert!(lines.contains(&pair("会员价 P2", "￥128.00", 9 + 8)), "{lines:?}");
            let bytes = zh.bytes(columns);
            let level = [encoding_rs::GBK.encode("会员价").0.as_ref(), b" P2"].concat();
            assert!(bytes.windows(level.len()).any(|found| found == level), "{columns}");
            let en = receipt(&printed, "M", &zone, Lang::En).lines(columns);
            assert!(en.contains(&pair("Member price P2", "￥128.00", 15 + 8)), "{en:?}");
        }
        printed.line.list_fen = None;
        assert!(!receipt(&printed, "M", &zone, Lang::Zh).lines(32).iter().any(|line| line.contains("原价")));
    }

    #[test]
    fn payments_stand_on_the_paper_by_their_kinds_and_numbers() {
        let mut printed = printed();
        let money =
            |kind, fen, reference: Option<&str>| Money { kind, fen: Fen(fen), reference: reference.map(str::to_owned) };
        printed.line.money =
            vec![money(MoneyKind::Wallet, 9_000, Some("4200001234")), money(MoneyKind::Cash, 800, None)];
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
        let lines = receipt(&printed, "M", &zone, Lang::En).lines(32);
        let expect = ["Mobile payment           ￥90.00", "  4200001234", "Cash                      ￥8.00"];
        assert_eq!(lines[9..12], expect, "{lines:#?}");
        (printed.line.what, printed.line.of) = (BookingKind::Refund, Some(OpId::from("box-1/1/8/0")));
        let lines = receipt(&printed, "M", &zone, Lang::Zh).lines(32);
        assert!(lines.contains(&"退款                     ￥98.00".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"  手机支付               ￥90.00".to_owned()), "{lines:#?}");
    }

    fn printed() -> Printed {
        let line = Booking {
            op: OpId::from("box-1/1/9/0"),
            what: BookingKind::Sale,
            of: None,
            terminal: TerminalId::from("till-1"),
            shift: 1,
            day: BusinessDay(20_513),
            merchant: Some("cafe".to_owned()),
            shop: None,
            receipt: "A-17".to_owned(),
            left_with: None,
            duplicate_of: None,
            late_ms: 0,
            member: Some(MemberId::from("M1")),
            stay: None,
            price_level: None,
            list_fen: None,
            visit: None,
            sale_fen: Fen(12_800),
            sale_points_fen: Fen(3_000),
            sale_points: Points(300),
            parking_fen: Fen(0),
            parking_points_fen: Fen(0),
            parking_points: Points(0),
            money: Vec::new(),
            earned: Points(98),
            earning: None,
            how: None,
            rules: 1,
            at: UtcMs(0),
        };
        let head = "0c6dd72e47906e9395e1a1e20f899526a697c855696e84e01682b7c41550da9f".to_owned();
        Printed { line, at: UtcMs(1_772_337_600_000), usable: Some(Points(178)), epoch: 1, seq: 9, head }
    }
}
