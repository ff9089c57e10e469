//! Check: what a coupon is, whether it may be used at this till now, and what it would take off.

use std::sync::Arc;

use serde_json::{Value, json};

use super::parse::MOST_OP_CHARS;
use crate::domain::benefit::{
    CouponKind, CouponState, Give, HeldCoupon, Moment, SaleFacts, for_goods, pass_for_goods, sale_coupon,
};
use crate::domain::event::{Fen, UtcMs};
use crate::domain::rules::Rules;
use crate::tills::access::Terminal;
use crate::tills::body::Body;
use crate::tills::problem::{Code, Problem};
use crate::tills::{Tills, local_time};

impl Tills {
    /// What a coupon is for this till now. Nothing is used up, and nothing is promised.
    pub(super) async fn check_coupon(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let code = body.needed_text("coupon", MOST_OP_CHARS)?.to_owned();
        let sale = body.fen("sale_fen")?;
        let merchant = terminal.merchant.clone().unwrap_or_else(|| terminal.id.0.clone());
        let rules = self.rules_in_force().await?;
        let (of, wanted) = (rules.clone(), code.clone());
        let found = self.settings.reader.look(move |view| view.coupon(&wanted, &of)).await?;
        let unknown = || Problem::new(Code::BenefitUnknown, format!("coupon: no {code:?} is known here"));
        let Some((held, known)) = found else { return self.check_pass(code, &rules, &merchant, sale).await };
        let kind = rules.benefits.coupons.iter().find(|kind| kind.id == held.kind).ok_or_else(unknown)?;
        let mut answer = self.described(kind, &held);
        if kind.merchants.is_empty() {
            answer["usable"] = json!(matches!(held.state, CouponState::Issued | CouponState::ClaimedHere));
            return Ok(answer);
        }
        // The box's civil clock may be doubtful; then the loop says so when the coupon is used.
        let moment = Moment { at: (self.settings.pricing.now)(), trusted: true };
        if matches!(kind.give, Give::MultiplyBps(_)) {
            let facts = SaleFacts { at: moment.at, trusted: moment.trusted, ..SaleFacts::default() };
            let facts =
                SaleFacts { campaigns: known.campaigns.clone(), campaigns_as_of: known.campaigns_as_of, ..facts };
            let used = sale_coupon(&rules, &held, &known, &merchant, (None, sale.unwrap_or_default()), &facts);
            answer["usable"] = json!(used.is_ok());
            if let Err(why) = used {
                answer["why"] = json!({"code": why.code, "zh": why.zh, "en": why.en});
            }
            return Ok(answer);
        }
        match for_goods(&rules, &held, &known, &merchant, sale, moment) {
            Ok(used) => {
                answer["usable"] = json!(true);
                answer["takes_off_fen"] = json!(used.fen);
            }
            Err(why) => {
                answer["usable"] = json!(false);
                answer["why"] = json!({"code": why.code, "zh": why.zh, "en": why.en});
            }
        }
        Ok(answer)
    }

    /// The same of a pass: a number of days, a set of shops, so many uses at each.
    async fn check_pass(
        &self,
        number: String,
        rules: &Arc<Rules>,
        merchant: &str,
        sale: Option<Fen>,
    ) -> Result<Value, Problem> {
        let (of, wanted) = (rules.clone(), number.clone());
        let found = self.settings.reader.look(move |view| view.pass(&wanted, &of)).await?;
        let unknown = || Problem::new(Code::BenefitUnknown, format!("coupon: no {number:?} is known here"));
        let (held, member, known) = found.ok_or_else(unknown)?;
        let kind = rules.benefits.passes.iter().find(|kind| kind.id == held.kind).ok_or_else(unknown)?;
        let mut answer = json!({
            "coupon": held.id,
            "kind": kind.id,
            "zh": kind.zh,
            "en": kind.en,
            "state": held.state,
            "first_day": held.first_day,
            "days": kind.days,
            "for": "pass",
            "gives": gives(&kind.give),
        });
        let moment = Moment { at: (self.settings.pricing.now)(), trusted: true };
        let used = pass_for_goods(rules, (&held, &member), &known, merchant, sale, moment);
        answer["usable"] = json!(used.is_ok());
        match used {
            Ok(used) => answer["takes_off_fen"] = json!(used.fen),
            Err(why) => answer["why"] = json!({"code": why.code, "zh": why.zh, "en": why.en}),
        }
        Ok(answer)
    }

    pub(super) async fn rules_in_force(&self) -> Result<Arc<Rules>, Problem> {
        let version = self.settings.reader.look(|view| view.fact("rules_version")).await?;
        let rules =
            version.and_then(|text| text.parse().ok()).and_then(|version| (self.settings.pricing.rules)(version));
        rules.ok_or_else(|| Problem::new(Code::Busy, "the rules are not there yet; try again"))
    }

    fn described(&self, kind: &CouponKind, held: &HeldCoupon) -> Value {
        let moment = |at: Option<UtcMs>| at.map(|at| local_time(at, &self.settings.zone));
        json!({
            "coupon": held.id,
            "kind": kind.id,
            "zh": kind.zh,
            "en": kind.en,
            "state": held.state,
            "from": moment(held.from),
            "until": moment(held.until),
            "for": purpose(kind),
            "gives": gives(&kind.give),
        })
    }
}

fn purpose(kind: &CouponKind) -> &'static str {
    if matches!(kind.give, Give::MultiplyBps(_)) {
        return "points";
    }
    if kind.merchants.is_empty() { "parking" } else { "goods" }
}

fn gives(give: &Give) -> Value {
    match give {
        Give::Minutes(minutes) => json!({"minutes": minutes}),
        Give::FirstMinutes(minutes) => json!({"first_minutes": minutes}),
        Give::Fen(fen) => json!({"fen": fen}),
        Give::PercentBps(bps) => json!({"percent_bps": bps}),
        Give::FixedPriceFen(fen) => json!({"fixed_price_fen": fen}),
        Give::Full => json!({"full": true}),
        Give::Zone(zone) => json!({"zone": zone}),
        Give::GraceMinutes(minutes) => json!({"grace_minutes": minutes}),
        Give::Greeting { zh, en } => json!({"greeting": {"zh": zh, "en": en}}),
        Give::PriceLevel(level) => json!({"price_level": level}),
        Give::Service(what) => json!({"service": what}),
        Give::MultiplyBps(bps) => json!({"multiply_bps": bps}),
    }
}
