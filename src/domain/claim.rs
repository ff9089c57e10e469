//! Coupons that one box has alone: when this box wants one, when it gives one back, and what it says of their uses.
//!
//! What is said follows from what the tables hold, in the same transaction as what changed them. So every way in which
//! a use comes about or comes to nothing is told, and no coupon is given back that is used or set aside.

use std::collections::BTreeSet;

use super::benefit::CouponState;
use super::decide::Facts;
use super::event::{
    Action, CloudNews, CouponMove, CouponSays, CouponWord, CouponsLook, Decision, FeedChange, Fen, Input, LaneId,
    MemberId, Now, Record, UtcMs,
};

/// What this box knows of one coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouponNow {
    /// Its own number.
    pub coupon: String,
    /// Its kind in the rules.
    pub kind: String,
    /// Not good from then on.
    pub until: Option<UtcMs>,
    /// Whether its issuer's word lets it be used.
    pub is_issued: bool,
    /// The turn that the ledger told last.
    pub turn: u64,
    /// Who has it alone.
    pub holder: Holder,
    /// Whether the ledger says that somebody else wants it.
    pub is_wanted: bool,
    /// Whose it is.
    pub member: Option<MemberId>,
    /// Whether a vehicle of that member is inside.
    pub member_inside: bool,
    /// Whether the look is for a visit of that member that began or ended.
    pub visit_changed: bool,
    /// Whether it is set aside for a vehicle.
    pub is_held: bool,
    /// The use that stands here, or the box that the ledger says has used it, and what it took off.
    pub used: Option<(String, Fen)>,
    /// Whether another box has used it.
    pub is_used_elsewhere: bool,
    /// The turn at which this box said that it wants it.
    pub said_wanted: Option<u64>,
    /// The turn at which it said that it has it.
    pub said_taken: Option<u64>,
    /// The use that this box told.
    pub said_used: Option<String>,
    /// Where vehicles wait that it may be used for; looked up where this box has it alone since a moment ago.
    pub waits_at: Vec<LaneId>,
}

impl CouponNow {
    /// Whether this box has it alone, and has not said so yet.
    pub fn just_came(&self) -> bool {
        self.holder == Holder::Here && self.said_taken != Some(self.turn)
    }
}

/// Who has a coupon alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody, or this box no more: in another epoch, or it has given it back.
    Nobody,
    /// This box, now.
    Here,
    /// Another box.
    Other,
}

/// Lets the coupons be looked at that a decision may have changed something about. No decision goes without.
pub(super) fn post(decision: &mut Decision, facts: &Facts) {
    let mut look = CouponsLook::default();
    let mut is_new_epoch = false;
    for record in &decision.records {
        if let Record::StayEntered { stay, .. }
        | Record::StayMemberShown { stay, .. }
        | Record::StayResumed { stay }
        | Record::StayClosed { stay, .. }
        | Record::StayVoided { stay, .. } = record
        {
            look.stays.push(stay.clone());
        } else if let Record::StayCorrected(corrected) = record {
            look.stays.push(corrected.stay.id.clone());
        } else if let Record::CouponMoved(CouponMove::Used(used) | CouponMove::Returned { of: used, .. }) = record {
            look.coupons.extend(used.used.instance.clone());
        } else if let Record::Fed { changes, .. } = record {
            look.coupons.extend(changes.iter().filter_map(named));
        } else if let Record::EpochBegan { .. } = record {
            is_new_epoch = true;
        }
    }
    // A till named one that this box has not alone: refused or not, the next try should find it here.
    if let Some(held) = facts.coupon.as_ref().filter(|held| is_to_be_had(held.state)) {
        look.coupons.push(held.id.clone());
        look.asked = true;
    }
    if is_new_epoch || !look.is_everything() {
        let look = if is_new_epoch { CouponsLook::default() } else { look };
        decision.actions.push(Action::Then(Box::new(Input::Cloud(CloudNews::CouponsLooked(look)))));
    }
}

/// The coupon that a change of the feed is about.
fn named(change: &FeedChange) -> Option<String> {
    match change {
        FeedChange::Coupon { coupon } => Some(coupon.id.clone()),
        FeedChange::CouponClaim(claim) => Some(claim.coupon.clone()),
        FeedChange::Member { .. }
        | FeedChange::MemberRemoved { .. }
        | FeedChange::Campaign { .. }
        | FeedChange::Merchant { .. } => None,
    }
}

fn is_to_be_had(state: CouponState) -> bool {
    match state {
        CouponState::Issued | CouponState::ClaimedElsewhere => true,
        CouponState::ClaimedHere | CouponState::Held | CouponState::Used | CouponState::Revoked => false,
    }
}

/// What is to be said of the coupons that were looked at. Where one came that a vehicle at a lane waits for, what is due
/// there is reckoned again.
pub(super) fn looked(decision: &mut Decision, look: &CouponsLook, facts: &Facts, now: Now) {
    let mut lanes = BTreeSet::new();
    for coupon in &facts.escrow.coupons {
        let words = words(coupon, look, facts, now);
        if words.iter().any(|word| word.says == CouponSays::Taken) {
            lanes.extend(coupon.waits_at.iter().cloned());
        }
        decision.records.extend(words.into_iter().map(Record::CouponTold));
    }
    let again = lanes.into_iter().map(|lane| Action::Then(Box::new(Input::LaneReconsidered { lane })));
    decision.actions.extend(again);
}

fn words(coupon: &CouponNow, look: &CouponsLook, facts: &Facts, now: Now) -> Vec<CouponWord> {
    let word = |says| CouponWord { coupon: coupon.coupon.clone(), turn: coupon.turn, says };
    let mut words = Vec::new();
    let used_by = coupon.used.as_ref().map(|(by, _)| by);
    if coupon.said_used.as_ref() != used_by {
        words.extend(coupon.said_used.clone().map(|by| word(CouponSays::Unused { by })));
        // A box in doubt has nothing alone.
        let claimed = coupon.holder == Holder::Here && !facts.quarantined;
        let used = coupon.used.clone();
        words.extend(used.map(|(by, fen)| word(CouponSays::Used { by, fen, claimed })));
    }
    if coupon.just_came() && !facts.quarantined {
        words.push(word(CouponSays::Taken));
    }
    if used_by.is_none() && !facts.quarantined {
        if is_free(coupon) && is_done_with(coupon, look) {
            words.push(word(CouponSays::Returned));
        } else if is_missed(coupon, look, facts, now) {
            words.push(word(CouponSays::Wanted));
        }
    }
    words
}

/// Whether this box has it alone, and nothing here rests on it.
fn is_free(coupon: &CouponNow) -> bool {
    coupon.holder == Holder::Here && !coupon.is_held && coupon.used.is_none()
}

/// Whether it can be of no use here for now. What nobody else wants stays where a till asked for it.
fn is_done_with(coupon: &CouponNow, look: &CouponsLook) -> bool {
    let has_left = coupon.visit_changed && coupon.member.is_some() && !look.asked;
    !coupon.member_inside && (coupon.is_wanted || has_left)
}

/// Whether it could be used here if this box had it. Asked for once each turn: the request is in the journal.
fn is_missed(coupon: &CouponNow, look: &CouponsLook, facts: &Facts, now: Now) -> bool {
    let is_ours = facts.rules.benefits.coupons.iter().any(|kind| kind.id == coupon.kind);
    let is_over = now.trusted && coupon.until.is_some_and(|until| now.utc >= until);
    let is_good = coupon.is_issued && !coupon.is_used_elsewhere && is_ours && !is_over;
    is_good
        && coupon.holder != Holder::Here
        && (coupon.member_inside || look.asked)
        && coupon.said_wanted != Some(coupon.turn)
}

/// The last words of an epoch whose journal is whole: what is free goes back.
pub(super) fn last_words(facts: &Facts) -> Vec<Record> {
    let free = facts.escrow.coupons.iter().filter(|coupon| is_free(coupon));
    let word = |coupon: &CouponNow| CouponWord {
        coupon: coupon.coupon.clone(),
        turn: coupon.turn,
        says: CouponSays::Returned,
    };
    free.map(word).map(Record::CouponTold).collect()
}
