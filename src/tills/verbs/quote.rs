//! Quote: what a stay costs now and why, or what a sale would earn, before anything is decided.

use serde_json::{Value, json};

use super::lookup::{member_gone, resolve};
use super::parse::MOST_OP_CHARS;
use crate::domain::benefit::{Basket, HeldCoupon, Known, NotUsed, SaleEarns, SaleFacts};
use crate::domain::event::{Fen, MemberId, Points, Shown, StayId};
use crate::domain::plate::Plate;
use crate::domain::stay::StayState;
use crate::store::reader::stays::StayRow;
use crate::store::reader::{ReadError, View};
use crate::tills::access::Terminal;
use crate::tills::body::Body;
use crate::tills::problem::{Code, Problem};
use crate::tills::{Tills, local_time};

/// Longest stay id that a box makes, with room.
pub(in crate::tills) const MOST_STAY_CHARS: usize = 64;

enum Which {
    Stay(StayId),
    Plate(Plate),
}

impl Tills {
    /// What a stay costs now and why, or what a sale would earn.
    pub(super) async fn quote(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let stay = body.text("stay", MOST_STAY_CHARS)?.map(StayId::from);
        match (stay, body.plate("plate")?, body.fen("sale_fen")?) {
            (Some(stay), None, None) => self.stay_quote(body, Which::Stay(stay)).await,
            (None, Some(plate), None) => self.stay_quote(body, Which::Plate(plate)).await,
            (None, None, Some(sale)) => self.sale_quote(terminal, body, sale).await,
            _ => Err(Problem::field("stay", "exactly one of stay, plate and sale_fen is allowed")),
        }
    }

    async fn stay_quote(&self, body: &Body, which: Which) -> Result<Value, Problem> {
        for field in ["member_ref", "coupon", "points_fen"] {
            if body.has(field) {
                return Err(Problem::field(field, "allowed beside sale_fen only"));
            }
        }
        let rules = self.settings.pricing.rules.clone();
        let look = self.settings.reader.look(move |view| {
            let Some(row) = find(view, &which)? else { return Ok(None) };
            let usable = match &row.stay.member {
                Some(member) => view.usable_points(member)?,
                None => Points(0),
            };
            let prior = match &row.stay.plate {
                Some(plate) => view.prior_visits(plate, row.stay.entry, &row.stay.id)?,
                None => Vec::new(),
            };
            let known = match rules(row.stay.rules) {
                Some(rules) => view.benefits(&rules, &row.stay)?,
                None => Known::default(),
            };
            Ok(Some((row, usable, prior, known)))
        });
        let unknown = || Problem::new(Code::StayUnknown, "no stay of that id or plate is open");
        let (row, usable, prior, known) = look.await?.ok_or_else(unknown)?;
        let pricing = &self.settings.pricing;
        // A vehicle that stands at the exit owes what it owed when it was read there, as in a commit.
        let at_exit = row.exit.filter(|_| row.stay.state == StayState::PendingExit);
        let at = at_exit.unwrap_or_else(|| (pricing.now)());
        let stay = row.stay;
        let price = (pricing.quote)(&stay, &prior, &known, at).ok_or_else(|| {
            tracing::error!(stay = %stay.id, rules = stay.rules, "the rules of a stay are missing");
            Problem::new(Code::Internal, format!("rules version {} of this stay are not on this box", stay.rules))
        })?;
        Ok(json!({
            "stay": stay.id,
            "plate_masked": stay.plate.as_ref().map(Plate::masked),
            "entered_at": local_time(stay.entry, &self.settings.zone),
            "minutes": (at.0 - stay.entry.0).max(0) / 60_000,
            "fee_fen": price.fee.total,
            "paid_fen": stay.paid,
            "due_fen": price.due,
            "lines": price.fee.lines,
            "points_needed": price.points_needed,
            "points_usable": usable,
            "points_cap_fen": price.points_cap,
            "not_used": price.not_used,
        }))
    }

    /// What a basket would earn now: for as much as money pays of it, with the coupon that the till would name. A shop
    /// whose sales earn nothing promises nothing.
    async fn sale_quote(&self, terminal: &Terminal, body: &Body, sale: Fen) -> Result<Value, Problem> {
        let pricing = &self.settings.pricing;
        let (code, by_points) = (body.text("coupon", MOST_OP_CHARS)?, body.fen("points_fen")?.unwrap_or_default());
        if by_points > sale {
            return Err(Problem::field("points_fen", "more than sale_fen; what points pay is a part of it"));
        }
        let Some(member_ref) = self.member_ref(terminal, body)? else {
            if code.is_some() {
                return Err(Problem::field("coupon", "it multiplies what a member's sale earns; member_ref is needed"));
            }
            return Ok(json!({"earn_points": 0, "points_usable": 0, "max_points_fen": 0}));
        };
        let (now, rules, shop) =
            ((pricing.now)(), self.rules_in_force().await?, self.shop_of(terminal.merchant.as_deref()).await?);
        let wanted = code.map(str::to_owned);
        let look = self.settings.reader.look(move |view| {
            let Some((member, shown)) = resolve(view, &member_ref)? else { return Ok(None) };
            let (points, facts) = (view.points_here(&member.id, now)?, view.sale_facts(&member.id, &rules)?);
            let coupon = match &wanted {
                Some(code) => Some(view.coupon_of(code, &rules)?),
                None => None,
            };
            Ok(Some((points, facts, coupon, member.id, shown)))
        });
        let (points, facts, coupon, member, shown) = look.await?.ok_or_else(member_gone)?;
        let earns_nothing = shop.is_some_and(|shop| shop.earns_nothing);
        let fen = if earns_nothing { Fen(0) } else { Fen(sale.0 - by_points.0) };
        let merchant = terminal.merchant.as_deref().unwrap_or(terminal.id.as_str());
        let facts = SaleFacts { merchant: Some(merchant.to_owned()), ..facts };
        let plain = Basket { member: &member, fen, sale: &facts, coupon: None };
        let (without, price_level) = (pricing.earned)(&plain);
        let without = without.map_err(|_| Problem::new(Code::Internal, "a sale without a coupon has no coupon"))?;
        let (earns, told) = match (code, coupon) {
            (Some(code), Some(found)) => self.with_coupon(&plain, code, found, merchant, &without)?,
            (Some(_) | None, None) | (None, Some(_)) => (without, None),
        };
        let may_pay = matches!(shown, Shown::Code { .. });
        let most = if may_pay { (pricing.worth)(points.usable, sale) } else { Fen(0) };
        let bonuses = earns.extra.iter().map(|(bonus, points)| json!({"bonus": bonus, "points": points}));
        let mut answer = json!({
            "earn_points": earns.points(),
            "bonuses": bonuses.collect::<Vec<_>>(),
            "earn_status_points": earns.status,
            "price_level": price_level,
            "points_usable": points.usable,
            "max_points_fen": most,
        });
        if let Some(told) = told {
            answer["coupon"] = told;
        }
        Ok(answer)
    }

    /// The same with the coupon, and what is told of it; one that would add nothing is kept, as a commit keeps it.
    fn with_coupon(
        &self,
        plain: &Basket<'_>,
        code: &str,
        found: Option<(HeldCoupon, Known, Option<MemberId>)>,
        merchant: &str,
        without: &SaleEarns,
    ) -> Result<(SaleEarns, Option<Value>), Problem> {
        let unknown = || Problem::new(Code::BenefitUnknown, format!("coupon: no {code:?} is known here"));
        let (held, known, owner) = found.ok_or_else(unknown)?;
        if owner.is_some_and(|owner| owner != *plain.member) {
            return Err(Problem::new(Code::CouponState, format!("coupon {code:?}: it is another member's")));
        }
        let basket = Basket { coupon: Some((&held, &known, merchant)), ..*plain };
        Ok(match (self.settings.pricing.earned)(&basket).0 {
            Ok(with) if with.points() > without.points() => {
                let adds = with.points().0 - without.points().0;
                (with, Some(json!({"coupon": code, "usable": true, "adds_points": adds})))
            }
            Ok(_) => (without.clone(), Some(json!({"coupon": code, "usable": false, "adds_points": 0}))),
            Err(NotUsed { code: why, zh, en, .. }) => {
                let why = json!({"code": why, "zh": zh, "en": en});
                (without.clone(), Some(json!({"coupon": code, "usable": false, "adds_points": 0, "why": why})))
            }
        })
    }
}

fn find(view: &View<'_>, which: &Which) -> Result<Option<StayRow>, ReadError> {
    let row = match which {
        Which::Stay(id) => view.stay(id)?,
        Which::Plate(plate) => view.stay_inside_by_plate(plate)?,
    };
    Ok(row.filter(|row| is_inside(row.stay.state)))
}

fn is_inside(state: StayState) -> bool {
    match state {
        StayState::PendingEntry | StayState::Open | StayState::PendingExit => true,
        StayState::Closed | StayState::Void => false,
    }
}
