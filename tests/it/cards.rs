//! A card at a lane's reader: on record with whose it is, told to staff where a vehicle waits, and no barrier moves by it.

use gatepost::domain::event::{CardNumber, CloudNews, DeviceId, FeedChange, Input, LaneId, Reply};

use crate::story::Story;

const PLATE: &str = "粤B12345";

#[test]
fn a_card_is_on_record_and_moves_nothing() {
    let mut story = Story::new();
    assert_eq!(story.feed(shown(1, 12345)), (0, Reply::Done), "in an idle lane");
    assert_eq!(story.rows("SELECT CAST(count(*) AS TEXT) FROM alarm"), ["0"], "staff have nothing to do");
    story.enter("in", PLATE);
    story.minutes(61);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0, "a fee is due");
    assert_eq!(story.feed(shown(1, 12345)).0, 0, "a card is no payment");
    assert_eq!(
        story.rows("SELECT code || ': ' || text FROM alarm WHERE code = 'card_shown'"),
        ["card_shown: The card 1-12345 of nobody known was shown at out where a vehicle waits"]
    );
    assert_eq!(
        story.rows("SELECT CAST(count(*) AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%card_read%'"),
        ["2"]
    );
    assert_eq!(story.phase("out"), "waiting");
}

#[test]
fn a_member_s_card_is_that_member_s() {
    let mut story = Story::new();
    let mut member = story.member_of("M1", &[]);
    member.codes.push("1-12345".to_owned());
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: 1 }));
    story.arrival("out", true);
    story.read("out", PLATE);
    story.feed(shown(1, 12345));
    let told = story.rows("SELECT text FROM alarm WHERE code = 'card_shown'");
    assert_eq!(told, ["The card 1-12345 of member M1 was shown at out where a vehicle waits"]);
    story.feed(shown(1, 12346));
    assert_eq!(story.rows("SELECT text FROM alarm WHERE text LIKE '%1-12346 of nobody known%'").len(), 1);
}

fn shown(facility: u64, number: u64) -> Input {
    let card = CardNumber::new(Some(facility), number);
    Input::CardRead { lane: LaneId::from("out"), device: DeviceId::from("reader-out"), card }
}
