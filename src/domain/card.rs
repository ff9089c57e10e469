//! A card at a lane's reader: on record with whose it is, and told to staff where a vehicle waits there.

use super::decide::Work;
use super::event::{CardNumber, DeviceId, Record, ShownCard};
use super::lane::Phase;

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
