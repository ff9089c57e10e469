//! A card at a lane's reader: on record with whose it is, and told to staff where a vehicle waits there; and a member's
//! phone, whose code makes the waiting stay the member's.

use super::decide::Work;
use super::event::{
    Action, CardNumber, DeviceId, Input, MemberShown, Record, Reply, ShownCard, StaffRefusal, TillAnswer,
};
use super::lane::{Phase, WaitReason};
use super::stay::StayState;
use super::till::check_shown;

/// A card was shown. It moves no barrier by itself: staff see whose card it is and raise with a reason, because a card,
/// unlike a plate, stays with whoever holds it.
pub(super) fn read(work: &mut Work<'_>, device: &DeviceId, card: &CardNumber) {
    let member = work.facts.member.as_ref().map(|member| member.id.clone());
    let (lane, at) = (work.lane_id.clone(), work.now.utc);
    let shown = ShownCard { lane, device: device.clone(), card: card.clone(), member: member.clone(), at };
    work.records.push(Record::CardRead(shown));
    if matches!(work.lane.phase, Phase::Waiting(_)) {
        let whose = member.map_or_else(|| "of nobody known".to_owned(), |member| format!("of member {member}"));
        let text = format!("The card {} {whose} was shown at {} where a vehicle waits", card.as_str(), work.lane_id);
        work.alarm("card_shown", text);
    }
}

/// The driver of the vehicle that waits shows the code of a member's phone: the stay is that member's from now on, whose
/// points may pay for it. It is decided as at the read whether they do.
pub(super) fn member_shown(work: &mut Work<'_>, shown: &MemberShown) {
    let refused = |code: &str, detail: &str| {
        Reply::Till(TillAnswer::Refused { code: code.to_owned(), detail: detail.to_owned() })
    };
    let inside = work.facts.visit_stay.clone().filter(|inside| inside.stay.state == StayState::PendingExit);
    let Phase::Waiting(waiting) = &mut work.lane.phase else {
        work.reply = Reply::Staff(Err(StaffRefusal::NothingWaiting));
        return;
    };
    let Some(inside) = inside.filter(|inside| waiting.why == WaitReason::FeeDue && inside.hold.is_none()) else {
        work.reply = Reply::Staff(Err(StaffRefusal::NothingWaiting));
        return;
    };
    if work.facts.member.is_none() {
        work.reply = refused("member-unknown", "no such member is known to this box");
        return;
    }
    let (place, at) = (shown.at.name(), work.now.utc);
    let code = check_shown(Some(&shown.shown), Some(&shown.member), &place, true, work.facts, at, work.now);
    match code {
        Ok(code) => {
            waiting.asked_for_points = false;
            work.records.extend(code);
            let (stay, member) = (inside.stay.id.clone(), shown.member.clone());
            work.records.push(Record::StayMemberShown { stay, member });
            let lane = work.lane_id.clone();
            work.actions.push(Action::Then(Box::new(Input::LaneReconsidered { lane })));
            work.reply = Reply::Staff(Ok("the stay is the member's; what is due is reckoned again".to_owned()));
        }
        Err((code, detail)) => work.reply = refused(code, &detail),
    }
}
