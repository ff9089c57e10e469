//! A fee that points and money pay together at a lane.

use super::benefit::{self, ByPoints, Moment, Outcome, Paying};
use super::decide::{StayFacts, Work};
use super::event::{Fen, MemberId, Points, RaiseCause, Record, StaffRefusal, Tender, UtcMs};
use super::lane::{Visit, Waiting};
use super::matching::answer::Thresholds;
use super::points;
use super::{access, arrival, dues};

/// What the member of a vehicle at an exit pays with points.
pub(super) struct Offered {
    pub member: MemberId,
    /// As many as the caps, the limits and the purse allow.
    pub most: Option<ByPoints>,
    /// How many more could pay.
    pub lacking: Points,
}

impl Offered {
    /// What of `due` is left for money where points pay as much as they may; nothing where they pay none or all.
    pub fn rest(&self, due: Fen) -> Option<Fen> {
        let rest = due.0 - self.most.as_ref()?.offer.fen.0;
        (rest > 0).then_some(Fen(rest))
    }
}

/// What points pay at a lane, where the vehicle is certainly its member's. A wrong match would spend somebody else's
/// points: below that certainty, and where the vehicle does not look like the one that came in, other tenders pay.
pub(super) fn offered(
    work: &Work<'_>,
    inside: &StayFacts,
    outcome: &Outcome,
    visit: &Visit,
    at: UtcMs,
) -> Option<Offered> {
    let is_certain =
        visit.second_factor || visit.matched_ppm.is_none_or(|matched| matched >= Thresholds::default().member_ppm);
    if !is_certain || outcome.points_cap.0 == 0 || work.facts.points_are_stopped().is_some() {
        return None;
    }
    let member = inside.stay.member.clone()?;
    let purse = inside.purse.valid(&work.facts.till(work.now));
    let moment = Moment { at, trusted: work.now.trusted };
    let StayFacts { rules, stay, benefits: known, .. } = inside;
    let paying = Paying { rules, stay, known, payer: &member, purse: &purse, moment };
    let (most, lacking) = (outcome.most_by_points(&paying), outcome.points_lacking(&paying));
    Some(Offered { member, most, lacking })
}

/// A person takes the money that points leave to pay, and the points are spent beside it. Both are payments, as at a
/// till: a half that is paid and a half that is only set aside would leave a driver who goes back with a paid stay.
pub(super) fn pay(
    work: &mut Work<'_>,
    operator: &str,
    waiting: Waiting,
    (fen, due): (Fen, Fen),
) -> Result<String, StaffRefusal> {
    let refused = StaffRefusal::AmountMismatch { due };
    let Some(inside) = work.facts.visit_stay.clone() else { return Err(refused) };
    let at = waiting.visit.captured;
    let moment = Moment { at, trusted: work.now.trusted };
    let purse = points::Purse::new();
    let outcome = benefit::quote(&inside.rules, &inside.stay, &inside.prior, &inside.benefits, &purse, moment);
    let offered = offered(work, &inside, &outcome, &waiting.visit, at);
    let is_rest = |offered: &Offered| offered.rest(outcome.due) == Some(fen);
    let Some(Offered { member, most: Some(ByPoints { offer, uses }), .. }) = offered.filter(is_rest) else {
        return Err(refused);
    };
    let stay = inside.stay.id.clone();
    dues::hold_benefits(work, &inside, outcome.uses_with(&inside.benefits, &uses));
    access::take_payment(work, &stay, fen, Tender::Guard { operator: operator.to_owned() });
    let (op, parts) = (work.op(), offer.parts());
    let (points, by_points) = (offer.points, offer.fen);
    let of = (member.clone(), Some(stay.clone()));
    work.records.push(Record::PointsSpent { op, member: of.0, points, fen: by_points, parts, stay: of.1 });
    access::take_payment(work, &stay, by_points, Tender::Points { member });
    arrival::raise(work, waiting.visit, RaiseCause::Paid, Fen(0));
    Ok(format!("paid, and {} points beside it, raising {}", points.0, work.lane_id))
}
