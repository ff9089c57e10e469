//! A paper voucher as a slip: its number, what it is worth, its seal, and room for what people write on it.

use super::{Lang, Slip, yuan};
use crate::domain::event::VoucherGives;
use crate::domain::office::Voucher;

/// A voucher that is printed.
#[derive(Clone, Debug)]
pub(in crate::tills) struct VoucherSlip {
    /// Its number.
    pub(in crate::tills) number: u32,
    /// What it is good for, and who pays for it.
    pub(in crate::tills) voucher: Voucher,
    /// What only this box can print on it.
    pub(in crate::tills) seal: String,
}

impl VoucherSlip {
    /// What it is, in Chinese and English.
    pub(in crate::tills) fn title(&self) -> (&'static str, &'static str) {
        match self.voucher.gives {
            VoucherGives::Parking | VoucherGives::Minutes { .. } => ("停车抵用券", "Parking voucher"),
            VoucherGives::Goods => ("购物抵用券", "Shopping voucher"),
        }
    }

    /// What it is worth.
    pub(in crate::tills) fn worth(&self) -> String {
        match self.voucher.gives {
            VoucherGives::Minutes { minutes } => format!("{minutes} min"),
            VoucherGives::Parking | VoucherGives::Goods => yuan(self.voucher.fen),
        }
    }
}

/// The voucher in a language.
pub(in crate::tills) fn voucher(of: &VoucherSlip, site: &str, lang: Lang) -> Slip {
    let mut slip = Slip::default();
    slip.title(site);
    slip.title(lang.pick(of.title().0, of.title().1));
    slip.pair(lang.pick("券号", "No."), &of.number.to_string());
    slip.pair(lang.pick("面值", "Worth"), &of.worth());
    slip.pair(lang.pick("校验码", "Seal"), &of.seal);
    slip.rule();
    let blank = "__________________";
    match of.voucher.gives {
        VoucherGives::Goods => slip.pair(lang.pick("商户", "Shop"), blank),
        VoucherGives::Parking | VoucherGives::Minutes { .. } => slip.pair(lang.pick("车牌", "Plate"), blank),
    }
    slip.pair(lang.pick("时间", "Time"), blank);
    slip.pair(lang.pick("经手", "By"), blank);
    slip
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Fen;

    #[test]
    fn a_voucher_says_number_worth_and_seal_on_every_width() {
        let of = |gives, fen| {
            let voucher = Voucher { fen: Fen(fen), funder: "MALL".to_owned(), gives };
            VoucherSlip { number: 25, voucher, seal: "0c6dd72e".to_owned() }
        };
        let parking = voucher(&of(VoucherGives::Parking, 1_000), "万象", Lang::Zh);
        let expect = [
            "              万象",
            "           停车抵用券",
            "券号                          25",
            "面值                     ￥10.00",
            "校验码                  0c6dd72e",
            "--------------------------------",
            "车牌          __________________",
            "时间          __________________",
            "经手          __________________",
        ];
        assert_eq!(parking.lines(32), expect);
        let time = voucher(&of(VoucherGives::Minutes { minutes: 120 }, 0), "M", Lang::En);
        assert_eq!(time.lines(42)[3], format!("Worth{}120 min", " ".repeat(30)));
        let goods = voucher(&of(VoucherGives::Goods, 5), "M", Lang::En);
        assert_eq!(goods.lines(48)[6], format!("Shop{}__________________", " ".repeat(26)));
        assert!(goods.bytes(48).ends_with(b"\x1DV\x00"), "each is cut off by itself");
    }
}
