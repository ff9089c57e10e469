//! What a till prints and returns of a transaction, made from the stored answer alone, so that a repeat is the same.

use serde_json::{Value, json};

use crate::domain::event::{Fen, OpId, Points, StayId};

/// A transaction that was applied, with the journal entry that holds it.
pub(super) struct Applied<'a> {
    pub(super) transaction: &'a OpId,
    pub(super) earned: Points,
    pub(super) spent: Points,
    pub(super) usable: Points,
    pub(super) stay: Option<&'a (StayId, Fen)>,
    /// What the stay has been paid in all.
    pub(super) stay_paid: Option<Fen>,
    pub(super) epoch: u32,
    pub(super) seq: u64,
    pub(super) head: &'a str,
}

impl Applied<'_> {
    /// The answer of `docs/till-api.md`.
    pub(super) fn to_json(&self) -> Value {
        let mut answer = json!({
            "transaction": self.transaction,
            "earned_points": self.earned,
            "spent_points": self.spent,
            "balance_usable": self.usable,
            "assurance": "grant",
            "journal": {"epoch": self.epoch, "seq": self.seq, "head": self.head},
            "receipt_lines": {"zh": self.lines_zh(), "en": self.lines_en()},
        });
        if let Some((stay, due)) = self.stay {
            answer["stay"] = json!({"stay": stay, "paid_fen": self.stay_paid, "due_fen": due});
        }
        answer
    }

    fn lines_zh(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((_, due)) = self.stay {
            lines.push(if due.0 == 0 {
                "停车费已付清".to_owned()
            } else {
                format!("停车费尚欠 {}", yuan(*due))
            });
        }
        if self.spent.0 > 0 {
            lines.push(format!("使用积分 {}", self.spent.0));
        }
        if self.earned.0 > 0 {
            lines.push(format!("获得积分 {}", self.earned.0));
        }
        if self.spent.0 > 0 || self.earned.0 > 0 {
            lines.push(format!("本场可用积分 {}", self.usable.0));
        }
        lines.push(format!("交易号 {}", self.transaction));
        lines
    }

    fn lines_en(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((_, due)) = self.stay {
            lines.push(if due.0 == 0 {
                "Parking paid".to_owned()
            } else {
                format!("Parking still due {}", yuan(*due))
            });
        }
        if self.spent.0 > 0 {
            lines.push(format!("Points used {}", self.spent.0));
        }
        if self.earned.0 > 0 {
            lines.push(format!("Points earned {}", self.earned.0));
        }
        if self.spent.0 > 0 || self.earned.0 > 0 {
            lines.push(format!("Points usable here {}", self.usable.0));
        }
        lines.push(format!("Transaction {}", self.transaction));
        lines
    }
}

/// Fen as yuan, `¥12.30`.
fn yuan(fen: Fen) -> String {
    format!("¥{}.{:02}", fen.0 / 100, fen.0 % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slip_says_what_happened_in_both_languages() {
        let stay = (StayId::from("S1-2"), Fen(350));
        let op = OpId::from("demo-1/1/9/0");
        let applied = Applied {
            transaction: &op,
            earned: Points(1280),
            spent: Points(0),
            usable: Points(1480),
            stay: Some(&stay),
            stay_paid: Some(Fen(500)),
            epoch: 1,
            seq: 9,
            head: "00",
        };
        let answer = applied.to_json();
        let zh = ["停车费尚欠 ¥3.50", "获得积分 1280", "本场可用积分 1480", "交易号 demo-1/1/9/0"];
        let en =
            ["Parking still due ¥3.50", "Points earned 1280", "Points usable here 1480", "Transaction demo-1/1/9/0"];
        assert_eq!(answer["receipt_lines"], json!({"zh": zh, "en": en}));
        assert_eq!(answer["stay"], json!({"stay": "S1-2", "paid_fen": 500, "due_fen": 350}));
    }
}
