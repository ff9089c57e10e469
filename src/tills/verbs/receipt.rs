//! What a till prints and returns of a transaction, made from the stored answer alone, so that a repeat is the same.

use serde_json::{Value, json};

use crate::domain::event::{CouponMove, Fen, GivenBack, OpId, Points, Reversal, StayId, Tally, TillDone, Totals};
use crate::tills::{date, local_time};

/// A transaction that was applied, with the journal entry that holds it.
pub(super) struct Applied<'a> {
    pub(super) transaction: &'a OpId,
    pub(super) earned: Points,
    pub(super) spent: Points,
    pub(super) usable: Points,
    pub(super) stay: Option<&'a (StayId, Fen)>,
    /// What the stay has been paid in all.
    pub(super) stay_paid: Option<Fen>,
    /// The same sale that came by another way before.
    pub(super) duplicate_of: Option<&'a OpId>,
    pub(super) place: Place<'a>,
}

/// The journal entry that holds what was done.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) epoch: u32,
    pub(super) seq: u64,
    pub(super) head: &'a str,
}

impl Place<'_> {
    fn to_json(self) -> Value {
        json!({"epoch": self.epoch, "seq": self.seq, "head": self.head})
    }
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
            "journal": self.place.to_json(),
            "receipt_lines": {"zh": self.lines_zh(), "en": self.lines_en()},
        });
        if let Some((stay, due)) = self.stay {
            answer["stay"] = json!({"stay": stay, "paid_fen": self.stay_paid, "due_fen": due});
        }
        if let Some(other) = self.duplicate_of {
            answer["duplicate_of"] = json!(other);
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

/// What else was done, as a till hears it.
pub(super) fn done(done: &TillDone, zone: &jiff::tz::TimeZone, place: &Place<'_>) -> Value {
    let mut answer = match done {
        TillDone::Held { hold, points, fen, expires, usable } => json!({
            "hold": hold,
            "points": points,
            "fen": fen,
            "expires_at": local_time(*expires, zone),
            "balance_usable": usable,
        }),
        TillDone::Captured { transaction, hold, points, fen, released, usable } => json!({
            "transaction": transaction,
            "hold": hold,
            "spent_points": points,
            "fen": fen,
            "released_points": released,
            "balance_usable": usable,
        }),
        TillDone::Released { hold, points, usable } => {
            json!({"hold": hold, "released_points": points, "balance_usable": usable})
        }
        TillDone::GivenBack(back) => given_back(back),
        TillDone::Reversed { original_key, result, back } => {
            let mut answer = json!({"original_key": original_key, "result": word(*result)});
            if let Some(back) = back {
                answer["given_back"] = given_back(back);
            }
            answer
        }
        TillDone::Coupon(CouponMove::Used(used)) => json!({
            "use": used.op,
            "coupon": used.used.instance,
            "kind": used.used.benefit,
            "takes_off_fen": used.used.fen,
        }),
        TillDone::Coupon(CouponMove::Returned { op, of, .. }) => json!({
            "return": op,
            "use": of.op,
            "coupon": of.used.instance,
            "kind": of.used.benefit,
        }),
        TillDone::Reported(told) => {
            json!({"hour": local_time(told.hour, zone), "count": told.count, "sale_fen": told.sale_fen})
        }
        TillDone::ShiftOpened { shift, day } => json!({"shift": shift, "business_date": date(*day)}),
        TillDone::ShiftClosed { shift, day, totals: closed, stated } => {
            let mut answer = totals(closed);
            if let Some(stated) = stated {
                let differs = stated.differences(closed).into_iter().map(|(name, by)| (name.to_owned(), json!(by)));
                answer["differs"] = Value::Object(differs.collect());
            }
            answer["shift"] = json!(shift);
            answer["business_date"] = json!(date(*day));
            answer["closed"] = json!(true);
            answer
        }
    };
    answer["journal"] = place.to_json();
    answer
}

fn word(result: Reversal) -> &'static str {
    match result {
        Reversal::Reversed => "reversed",
        Reversal::Tombstoned => "tombstoned",
        Reversal::NothingToUndo => "nothing_to_undo",
        Reversal::Kept => "kept",
    }
}

fn given_back(back: &GivenBack) -> Value {
    let mut answer = json!({
        "given_back": back.back,
        "transaction": back.transaction,
        "sale_fen": back.sale_fen,
        "cash_fen": back.cash_fen,
        "points_fen": back.points_fen,
        "restored_points": back.points,
        "taken_back_points": back.taken,
        "owed_points": back.owed,
        "balance_usable": back.usable,
    });
    if !back.money.is_empty() {
        answer["money"] = json!(back.money);
    }
    if let Some(stay) = &back.stay {
        answer["stay"] = json!(stay);
    }
    if let Some(coupon) = &back.coupon {
        answer["coupon"] = json!(coupon);
    }
    answer
}

/// Totals as a till prints them.
pub(super) fn totals(totals: &Totals) -> Value {
    json!({
        "money_fen": totals.money(),
        "cash_fen": totals.cash(),
        "card_fen": totals.not_cash.card,
        "wallet_fen": totals.not_cash.wallet,
        "other_fen": totals.not_cash.other,
        "sales": tally(&totals.sales),
        "captures": tally(&totals.captures),
        "voids": tally(&totals.voids),
        "refunds": tally(&totals.refunds),
        "open_holds": totals.open_holds,
        "missing_numbers": totals.missing_numbers,
        "coupons": {"count": totals.coupons, "takes_off_fen": totals.coupons_fen},
    })
}

fn tally(tally: &Tally) -> Value {
    json!({
        "count": tally.count,
        "sale_fen": tally.sale_fen,
        "sale_points_fen": tally.sale_points_fen,
        "parking_fen": tally.parking_fen,
        "parking_points_fen": tally.parking_points_fen,
        "points_spent": tally.points_spent,
        "points_earned": tally.points_earned,
    })
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
            duplicate_of: None,
            place: Place { epoch: 1, seq: 9, head: "00" },
        };
        let answer = applied.to_json();
        let zh = ["停车费尚欠 ¥3.50", "获得积分 1280", "本场可用积分 1480", "交易号 demo-1/1/9/0"];
        let en =
            ["Parking still due ¥3.50", "Points earned 1280", "Points usable here 1480", "Transaction demo-1/1/9/0"];
        assert_eq!(answer["receipt_lines"], json!({"zh": zh, "en": en}));
        assert_eq!(answer["stay"], json!({"stay": "S1-2", "paid_fen": 500, "due_fen": 350}));
    }
}
