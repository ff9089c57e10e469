//! What the entries of a box's journal say of points and debts. Pure.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use crate::chain::{ChainFault, Cursor, Entry, Head, Linked, Run, link, natural, split};
use crate::lot::Terms;

/// The most points that one record, request or credit may name. Nine thousand million of them still fit a member's sums.
pub const POINTS_MAX: i64 = 1_000_000_000;

/// The most fen that one debt or payment may name.
const FEN_MAX: i64 = 1_000_000_000;

/// The most fen that one campaign's budget may be.
pub const BUDGET_FEN_MAX: i64 = 1_000_000_000_000;

/// How many characters an id in a record that moves points may have: twice what ids outside of journals have.
pub const TEXT_CHARS_MAX: usize = 256;

/// How much of an unknown kind is repeated in messages.
const KIND_CHARS_SHOWN: usize = 64;

/// Kinds of records that are kept as facts and move no points.
const KEPT_KINDS: [&str; 60] = [
    "alarm_raised",
    "barrier_answered",
    "barrier_commanded",
    "barrier_lowered",
    "barrier_moved",
    "benefits_held",
    "card_read",
    "count_taken",
    "coupon_moved",
    "coupon_shown",
    "day_closed",
    "day_posted",
    "day_reported",
    "device_changed",
    "emergency_changed",
    "epoch_began",
    "experience_reset",
    "grant_recalled",
    "grant_refused",
    "grant_requested",
    "hold_placed",
    "hold_voided",
    "lane_moved",
    "lease_lapsed",
    "lease_renewed",
    "limit_approved",
    "member_code_used",
    "office_noted",
    "operation_answered",
    "passage_seen",
    "payment_taken",
    "payment_voided",
    "points_owed",
    "quarantined",
    "read_taken",
    "rules_activated",
    "sale_committed",
    "shift_closed",
    "shift_opened",
    "started",
    "stay_closed",
    "stay_corrected",
    "stay_entered",
    "stay_exiting",
    "stay_matched",
    "stay_member_shown",
    "stay_opened",
    "stay_reread",
    "stay_resumed",
    "stay_voided",
    "tailgate_seen",
    "terminal_changed",
    "ticket_issued",
    "till_booked",
    "till_hold_ended",
    "till_hold_placed",
    "validation_given",
    "witness_seen",
    "zone_entered",
    "zone_left",
];

/// What a record says that concerns points or debts. Every other known kind is kept and says nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The box took a grant into its purse.
    GrantAccepted {
        /// The grant's id.
        grant: String,
        /// Whose points.
        member: String,
        /// How many.
        points: i64,
    },
    /// Points are gone, for goods.
    PointsSpent(Movement),
    /// Points were earned and stay in this box's escrow until it returns them.
    PointsEarned {
        /// The effect's id.
        op: String,
        /// Whose points.
        member: String,
        /// How many.
        points: i64,
        /// On which terms.
        terms: Box<Terms>,
    },
    /// Points go back to the member.
    PointsReturned(Movement),
    /// Points that were spent are back in the box's escrow.
    PointsReversed {
        /// The spend's op.
        of: String,
        /// What is undone of it.
        movement: Movement,
    },
    /// The box follows a share of a campaign's budget.
    ShareTaken {
        /// The campaign.
        campaign: String,
        /// Which turn of the ledger it follows.
        turn: i64,
        /// What the campaign may cost there.
        share_fen: i64,
        /// What it has cost there.
        spent_fen: i64,
    },
    /// The box's word about a coupon that one box has alone.
    CouponTold {
        /// The coupon.
        coupon: String,
        /// Which turn of the ledger the box follows.
        turn: i64,
        /// What it says.
        says: CouponSays,
    },
    /// A vehicle left owing money.
    DebtBooked(Box<Debt>),
    /// Some of a debt was paid.
    DebtPaid {
        /// The payment's id.
        op: String,
        /// The debt.
        debt: String,
        /// How much.
        fen: i64,
        /// By the box's clock, where it says.
        at_ms: Option<i64>,
    },
}

/// What a box says of a coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CouponSays {
    /// It wants it alone.
    Wanted,
    /// It has heard that it has it alone.
    Taken,
    /// It had it alone, has not used it, and never will by that turn.
    Returned,
    /// It has used it.
    Used {
        /// For which stay, or with which effect at a till.
        purpose: String,
        /// What it took off.
        fen: i64,
        /// Whether the box had it alone.
        claimed: bool,
    },
    /// A use came to nothing.
    Unused {
        /// Which.
        purpose: String,
    },
}

/// A parking debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Its id, unique for ever.
    pub debt: String,
    /// How much.
    pub fen: i64,
    /// The vehicle's plate, where it is known.
    pub plate: Option<String>,
    /// The member, where there is one.
    pub member: Option<String>,
    /// The stay that it is owed for.
    pub stay: Option<String>,
    /// By the box's clock, where it says.
    pub at_ms: Option<i64>,
}

/// Points that leave a box's escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The effect's id, unique for ever.
    pub op: String,
    /// Whose points.
    pub member: String,
    /// How many in all.
    pub points: i64,
    /// From which grants.
    pub parts: Vec<Part>,
}

/// A part of a movement, from one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// A grant's id, `born:<op>`, or `born:<member>`.
    pub grant: String,
    /// How many points.
    pub points: i64,
}

/// Why an entry cannot be applied. The cursor stops before it until a person has looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// A record of a kind that this version does not know.
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// The text is not a journal entry.
    Malformed {
        /// The field, as a path into the body.
        field: String,
        /// What is wrong with it.
        wrong: String,
    },
}

/// What an entry says about points: each fact with the place of its record in the entry, from 0.
pub fn facts(body: &str) -> Result<Vec<(usize, Fact)>, BodyFault> {
    let body: Value = serde_json::from_str(body).map_err(|error| malformed("body", error))?;
    let records =
        body.get("records").and_then(Value::as_array).ok_or_else(|| malformed("records", "must be a list"))?;
    let mut facts = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let path = format!("records[{index}]");
        let fields = record.as_object().ok_or_else(|| malformed(&path, "must be an object"))?;
        if let Some(fact) = (Reader { fields, path }).fact()? {
            facts.push((index, fact));
        }
    }
    Ok(facts)
}

/// Reads an amount of points: 1 to [`POINTS_MAX`].
pub fn some_points<'de, D: Deserializer<'de>>(source: D) -> Result<i64, D::Error> {
    let points = i64::deserialize(source)?;
    if (1..=POINTS_MAX).contains(&points) {
        return Ok(points);
    }
    Err(serde::de::Error::custom(format!("must be a whole number from 1 to {POINTS_MAX}")))
}

/// An object of an entry, with its place in the body for messages.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

impl Reader<'_> {
    fn fact(&self) -> Result<Option<Fact>, BodyFault> {
        let kind = self.text("kind")?;
        let fact = match kind.as_str() {
            "grant_accepted" => Fact::GrantAccepted {
                grant: self.text("grant")?,
                member: self.text("member")?,
                points: self.points("points")?,
            },
            // What was earned too much leaves the box and the member as a spend does; nobody is paid for it.
            "points_spent" | "points_taken_back" => Fact::PointsSpent(self.movement()?),
            "points_earned" => Fact::PointsEarned {
                op: self.text("op")?,
                member: self.text("member")?,
                points: self.points("points")?,
                terms: Box::new(self.terms()?),
            },
            "points_returned" => Fact::PointsReturned(self.movement()?),
            "points_reversed" => Fact::PointsReversed { of: self.text("of")?, movement: self.movement()? },
            "campaign_share_taken" => Fact::ShareTaken {
                campaign: self.text("campaign")?,
                turn: self.whole("turn", i64::MAX)?,
                share_fen: self.whole("share_fen", BUDGET_FEN_MAX)?,
                spent_fen: self.whole("spent_fen", BUDGET_FEN_MAX)?,
            },
            "coupon_told" => Fact::CouponTold {
                coupon: self.text("coupon")?,
                turn: self.whole("turn", i64::MAX)?,
                says: self.coupon_says()?,
            },
            "debt_booked" => Fact::DebtBooked(Box::new(Debt {
                debt: self.text("debt")?,
                fen: self.fen()?,
                plate: self.opt_text("plate")?,
                member: self.opt_text("member")?,
                stay: self.opt_text("stay")?,
                at_ms: self.time(),
            })),
            "debt_paid" => {
                Fact::DebtPaid { op: self.text("op")?, debt: self.text("debt")?, fen: self.fen()?, at_ms: self.time() }
            }
            kept if KEPT_KINDS.binary_search(&kept).is_ok() => return Ok(None),
            unknown => {
                let kind = unknown.chars().take(KIND_CHARS_SHOWN).collect();
                return Err(BodyFault::UnknownKind { kind });
            }
        };
        Ok(Some(fact))
    }

    fn coupon_says(&self) -> Result<CouponSays, BodyFault> {
        Ok(match self.text("says")?.as_str() {
            "wanted" => CouponSays::Wanted,
            "taken" => CouponSays::Taken,
            "returned" => CouponSays::Returned,
            "used" => CouponSays::Used {
                purpose: self.text("by")?,
                fen: self.fen()?,
                claimed: self.fields.get("claimed").and_then(Value::as_bool).unwrap_or(false),
            },
            "unused" => CouponSays::Unused { purpose: self.text("by")? },
            other => {
                let other: String = other.chars().take(KIND_CHARS_SHOWN).collect();
                let wrong = format!("is '{other}'; allowed are wanted, taken, returned, used and unused");
                return Err(malformed(format!("{}.says", self.path), wrong));
            }
        })
    }

    fn movement(&self) -> Result<Movement, BodyFault> {
        let parts = self.fields.get("parts").and_then(Value::as_array);
        let parts = parts.ok_or_else(|| malformed(format!("{}.parts", self.path), "must be a list"))?;
        let mut read = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let path = format!("{}.parts[{index}]", self.path);
            let fields = part.as_object().ok_or_else(|| malformed(&path, "must be an object"))?;
            let part = Reader { fields, path };
            read.push(Part { grant: part.text("grant")?, points: part.points("points")? });
        }
        Ok(Movement { op: self.text("op")?, member: self.text("member")?, points: self.points("points")?, parts: read })
    }

    fn text(&self, name: &str) -> Result<String, BodyFault> {
        let fits =
            |text: &&str| (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        let text = self.fields.get(name).and_then(Value::as_str).filter(fits);
        let wrong = || {
            malformed(format!("{}.{name}", self.path), format!("must be 1 to {TEXT_CHARS_MAX} characters on one line"))
        };
        text.map(str::to_owned).ok_or_else(wrong)
    }

    fn opt_text(&self, name: &str) -> Result<Option<String>, BodyFault> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(name).map(Some),
        }
    }

    fn points(&self, name: &str) -> Result<i64, BodyFault> {
        self.whole(name, POINTS_MAX)
    }

    fn fen(&self) -> Result<i64, BodyFault> {
        self.whole("fen", FEN_MAX)
    }

    fn time(&self) -> Option<i64> {
        self.fields.get("at_ms").and_then(Value::as_i64).filter(|at_ms| *at_ms >= 0)
    }

    fn whole(&self, name: &str, most: i64) -> Result<i64, BodyFault> {
        let number = self.fields.get(name).and_then(Value::as_i64).filter(|number| (0..=most).contains(number));
        let wrong = || malformed(format!("{}.{name}", self.path), format!("must be a whole number up to {most}"));
        number.ok_or_else(wrong)
    }

    fn terms(&self) -> Result<Terms, BodyFault> {
        let wrong = |(field, wrong): (String, String)| malformed(format!("{}.{field}", self.path), wrong);
        Terms::read(self.fields.get("lot"), "earned").map_err(wrong)
    }
}

fn malformed(field: impl Into<String>, wrong: impl ToString) -> BodyFault {
    BodyFault::Malformed { field: field.into(), wrong: wrong.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_page_is_known_and_no_other() {
        let page = include_str!("../../docs/cloud-api.md");
        let table = page.split("| kind | fields | effect |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        let kinds = table.lines().filter_map(|row| row.split('|').nth(1));
        let kinds: Vec<&str> = kinds.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(kinds.len() > KEPT_KINDS.len(), "the table is where it was: {kinds:?}");
        for kind in &kinds {
            let body = format!(r#"{{"records":[{{"kind":"{kind}"}}]}}"#);
            assert!(!matches!(facts(&body), Err(BodyFault::UnknownKind { .. })), "{kind} is on the page");
        }
        for kind in KEPT_KINDS {
            assert!(kinds.contains(&kind), "{kind} is not on the page");
        }
        assert_eq!(kinds.len(), KEPT_KINDS.len() + 10, "ten kinds are applied: {kinds:?}");
        assert!(KEPT_KINDS.is_sorted(), "a kind is found by halving");
    }

    #[test]
    fn a_wrong_body_names_its_field() {
        let cases = [
            ("not json", "body"),
            (r#"{}"#, "records"),
            (r#"{"records":[7]}"#, "records[0]"),
            (r#"{"records":[{"op":"a"}]}"#, "records[0].kind"),
            (r#"{"records":[{"kind":"points_earned","op":"a","member":"M","points":"5"}]}"#, "records[0].points"),
            (r#"{"records":[{"kind":"points_earned","op":"a","member":"M","points":-5}]}"#, "records[0].points"),
            (r#"{"records":[{"kind":"points_earned","op":"a","member":"M","points":1.5}]}"#, "records[0].points"),
            (r#"{"records":[{"kind":"points_earned","member":"M","points":5}]}"#, "records[0].op"),
            (r#"{"records":[{"kind":"points_spent","op":"a","member":"M","points":5}]}"#, "records[0].parts"),
            (
                r#"{"records":[{"kind":"started"},{"kind":"points_spent","op":"a","member":"M","points":5,"parts":[{"points":5}]}]}"#,
                "records[1].parts[0].grant",
            ),
        ];
        for (body, expected) in cases {
            match facts(body) {
                Err(BodyFault::Malformed { field, .. }) => assert_eq!(field, expected, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn no_text_of_a_box_fills_the_ledgers_messages() {
        let kind = "é".repeat(200);
        let cut = BodyFault::UnknownKind { kind: "é".repeat(KIND_CHARS_SHOWN) };
        assert_eq!(facts(&format!(r#"{{"records":[{{"kind":"{kind}"}}]}}"#)), Err(cut));
        let earned =
            |op: &str| format!(r#"{{"records":[{{"kind":"points_earned","op":"{op}","member":"M","points":5}}]}}"#);
        assert!(facts(&earned(&"é".repeat(TEXT_CHARS_MAX))).is_ok());
        assert!(facts(&earned(&"é".repeat(TEXT_CHARS_MAX + 1))).is_err());
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_kinds_are_not() {
        let body = r#"{"later":1,"records":[{"kind":"started","new":[]},{"kind":"points_earned","op":"a","member":"M","points":5,"lots":"x"}]}"#;
        let terms = Box::new(Terms::of("earned"));
        let earned = Fact::PointsEarned { op: "a".into(), member: "M".into(), points: 5, terms };
        assert_eq!(facts(body), Ok(vec![(1, earned)]));
        let unknown = Err(BodyFault::UnknownKind { kind: "points_lent".into() });
        assert_eq!(facts(r#"{"records":[{"kind":"started"},{"kind":"points_lent"}]}"#), unknown);
    }
}
