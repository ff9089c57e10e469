//! Quote: what a stay costs now and why, or what a sale would earn, before anything is decided.

use serde_json::{Value, json};

use super::lookup::{member_gone, resolve};
use crate::domain::benefit::Known;
use crate::domain::event::{Fen, Points, StayId};
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
        if body.has("member_ref") {
            return Err(Problem::field("member_ref", "allowed beside sale_fen only"));
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

    async fn sale_quote(&self, terminal: &Terminal, body: &Body, sale: Fen) -> Result<Value, Problem> {
        let pricing = &self.settings.pricing;
        let Some(member_ref) = self.member_ref(terminal, body)? else {
            return Ok(json!({"earn_points": 0, "points_usable": 0, "max_points_fen": 0}));
        };
        let look = self.settings.reader.look(move |view| {
            let Some(member) = resolve(view, &member_ref)? else { return Ok(None) };
            Ok(Some(view.usable_points(&member.id)?))
        });
        let usable = look.await?.ok_or_else(member_gone)?;
        let most = (pricing.worth)(usable).min(sale);
        Ok(json!({"earn_points": (pricing.earned)(sale), "points_usable": usable, "max_points_fen": most}))
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
