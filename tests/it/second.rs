//! A second look at a camera's picture: it is said of the vehicle in the picture, moves that one only while it waits, and never
//! re-decides a raised barrier.

use gatepost::domain::event::{EmergencySource, Input, LaneId, PlateRead, StaffAct, StaffWish, StayId};
use gatepost::domain::lane::LaneSettings;
use gatepost::domain::plate::told::{Candidate, Told};

use crate::story::Story;

const OUTCOMES: &str = "SELECT outcome FROM plate_read WHERE device = 'engine' ORDER BY seq";
const PENDING: &str = "SELECT coalesce(plate, '-') || ' ' || state FROM stay ORDER BY stay";

#[test]
fn a_vehicle_whose_plate_the_camera_could_not_read_is_known_by_its_picture_alone() {
    let mut story = with_an_engine();
    story.arrival("in", true);
    let unread = story.statement("in", "");
    assert_eq!(story.feed(Input::PlateRead(unread.clone())).0, 0, "it waits");
    assert_eq!(story.phase("in"), "waiting");
    assert_eq!(looked(&mut story, &unread, "粤B12345"), 1);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    // The pictures of the entry are found by the camera's own event.
    assert_eq!(story.rows("SELECT entry_read ->> '$.event' FROM stay"), [unread.event.as_str()]);
    story.restart();
}

#[test]
fn a_picture_of_a_later_statement_of_a_waiting_vehicle_is_its_picture_too() {
    let mut story = with_an_engine();
    story.arrival("in", true);
    assert_eq!(story.read("in", ""), 0);
    let again = story.statement("in", "");
    assert_eq!(story.feed(Input::PlateRead(again.clone())).0, 0, "seen again, no plate");
    assert_eq!(looked(&mut story, &again, "粤B12345"), 1);
    story.drive_through("in");
}

#[test]
fn where_the_camera_s_character_is_unsure_the_second_look_decides() {
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12346");
    story.minutes(5);
    story.arrival("out", true);
    let unsure = PlateRead { told: unsure(), ..story.statement("out", "粤B12348") };
    assert_eq!(story.feed(Input::PlateRead(unsure.clone())).0, 0, "it may be either");
    assert_eq!(looked(&mut story, &unsure, "粤B12345"), 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤B12346 open - 0 0"]);
}

#[test]
fn a_camera_that_leaves_no_room_is_not_outvoted() {
    for sure in [Vec::new(), vec![99; 7]] {
        let mut story = with_an_engine();
        story.arrival("in", true);
        let told = Told { char_confidence: sure, ..Told::default() };
        let read = PlateRead { told, ..story.statement("in", "粤B12348") };
        assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 1);
        assert_eq!(looked(&mut story, &read, "粤B12343"), 0);
        story.drive_through("in");
        assert_eq!(story.stays(), ["粤B12348 open - 0 0"], "a 3 is often read as an 8, and this is an 8");
    }
    for sure in [Vec::new(), vec![99; 7]] {
        let mut story = with_an_engine();
        story.enter("in", "粤B12345");
        story.enter("in", "粤B12346");
        story.minutes(5);
        story.arrival("out", true);
        let told = Told { char_confidence: sure, ..Told::default() };
        let read = PlateRead { told, ..story.statement("out", "粤B12348") };
        assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 0, "it may be either");
        assert_eq!((looked(&mut story, &read, "粤B12345"), story.phase("out").as_str()), (0, "waiting"));
        assert_eq!(story.rows(OUTCOMES), ["same_vehicle"], "a guard chooses");
    }
}

#[test]
fn a_second_look_that_says_nothing_new_changes_nothing() {
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.minutes(61);
    story.arrival("out", true);
    let read = story.statement("out", "粤B12345");
    assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 0, "it owes");
    let before = story.rows(PENDING);
    assert_eq!(looked(&mut story, &read, "粤B12345"), 0);
    assert_eq!((story.phase("out").as_str(), story.rows(PENDING)), ("waiting", before));
    assert_eq!(story.rows(OUTCOMES), ["same_vehicle"]);
}

#[test]
fn a_late_answer_is_kept_and_a_raised_barrier_is_never_decided_again() {
    let mut story = with_an_engine();
    story.arrival("in", true);
    let told = Told { char_confidence: vec![99, 99, 99, 20, 99, 99, 99], ..Told::default() };
    let read = PlateRead { told, ..story.statement("in", "粤B1Z345") };
    assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 1);
    assert_eq!(looked(&mut story, &read, "粤B12345"), 0, "raised already");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"], "and it is known by the better plate");
    let corrected = "SELECT CAST(body AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%stay_reread%'";
    assert_eq!(story.rows(corrected).len(), 1);
    // It has gone: on record, and no more.
    assert_eq!(looked(&mut story, &read, "粤B12346"), 0);
    assert_eq!((story.phase("in").as_str(), story.stays()), ("idle", vec!["粤B12345 open - 0 0".to_owned()]));
    assert_eq!(story.rows(OUTCOMES), ["same_vehicle", "same_vehicle"]);
    story.restart();
}

#[test]
fn the_answer_about_one_vehicle_s_picture_does_not_fall_to_the_next() {
    let mut story = with_an_engine();
    story.arrival("in", true);
    let first = story.statement("in", "粤B11111");
    assert_eq!(story.feed(Input::PlateRead(first.clone())).0, 1);
    story.drive_through("in");
    story.seconds(30);
    story.arrival("in", true);
    let second = story.statement("in", "");
    assert_eq!(story.feed(Input::PlateRead(second.clone())).0, 0);
    assert_eq!(looked(&mut story, &first, "粤B11112"), 0, "of the one before");
    assert_eq!(story.phase("in"), "waiting");
    assert_eq!(looked(&mut story, &second, "粤B22222"), 1);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B11111 open - 0 0", "粤B22222 open - 0 0"]);
}

#[test]
fn the_answer_about_the_vehicle_behind_is_kept_until_its_turn() {
    let mut story = with_an_engine();
    story.arrival("in", true);
    assert_eq!(story.read("in", "粤B11111"), 1);
    story.passage("in", true);
    let behind = PlateRead { told: unsure(), ..story.statement("in", "粤B2222Z") };
    assert_eq!(story.feed(Input::PlateRead(behind.clone())).0, 0, "it stands behind");
    assert_eq!(looked(&mut story, &behind, "粤B22222"), 0);
    assert_eq!(story.phase("in"), "raised", "the first one drives yet");
    story.passage("in", false);
    assert_eq!(story.commands.len(), 2, "its turn");
    assert_eq!(story.rows(PENDING), ["粤B11111 open", "粤B22222 pending_entry"]);
    assert_eq!(story.rows(OUTCOMES), ["queued"]);
}

#[test]
fn another_vehicle_s_plate_in_the_picture_drives_nobody_away() {
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.enter("in", "湘A6Z789");
    story.minutes(61);
    story.arrival("out", true);
    let read = story.statement("out", "粤B12345");
    assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 0, "it owes");
    let before = story.rows(PENDING);
    assert_eq!(looked(&mut story, &read, "湘A6Z789"), 0);
    assert_eq!((story.phase("out").as_str(), story.rows(PENDING)), ("waiting", before));
    // Nor does that of the vehicle that has just driven off, in the picture of one without a plate.
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.arrival("in", true);
    let unread = story.statement("in", "");
    assert_eq!(story.feed(Input::PlateRead(unread.clone())).0, 0);
    assert_eq!(looked(&mut story, &unread, "粤B12345"), 0, "the one before, driving off");
    assert_eq!(story.phase("in"), "waiting");
}

#[test]
fn who_a_vehicle_is_by_a_person_s_word_no_picture_changes() {
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.minutes(61);
    story.arrival("out", true);
    let unread = story.statement("out", "");
    assert_eq!(story.feed(Input::PlateRead(unread.clone())).0, 0);
    let what = StaffWish::CorrectPlate { plate: "粤B12345".parse().unwrap(), reason: "seen".to_owned() };
    story.feed(Input::Staff(StaffAct { lane: "out".into(), operator: "guard-1".to_owned(), what }));
    let before = story.rows(PENDING);
    assert_eq!(looked(&mut story, &unread, "粤B12346"), 0);
    assert_eq!(story.rows(PENDING), before);
    assert_eq!(story.rows("SELECT state ->> '$.phase.visit.plate' FROM lane WHERE lane = 'out'"), ["粤B12345"]);
    // Nor the stay that a person chose, though the camera was unsure of the sign that differs.
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12346");
    story.minutes(61);
    story.arrival("out", true);
    let unsure = PlateRead { told: unsure(), ..story.statement("out", "粤B12348") };
    assert_eq!(story.feed(Input::PlateRead(unsure.clone())).0, 0, "it may be either");
    let (chosen, reason) = (story.stay_of("粤B12346"), "seen".to_owned());
    assert_eq!(story.staff("out", StaffWish::ChooseStay { stay: StayId(chosen.clone()), reason }).0, 0, "it owes");
    assert_eq!(looked(&mut story, &unsure, "粤B12345"), 0);
    assert_eq!(story.rows("SELECT state ->> '$.phase.visit.stay' FROM lane WHERE lane = 'out'"), [chosen]);
}

#[test]
fn in_an_emergency_a_second_look_is_on_record_and_ends_no_stay() {
    let mut story = with_an_engine();
    story.enter("in", "粤B12345");
    story.arrival("out", true);
    let unread = story.statement("out", "");
    assert_eq!(story.feed(Input::PlateRead(unread.clone())).0, 0);
    story.feed(Input::Emergency { source: EmergencySource::Contact, active: true });
    looked(&mut story, &unread, "粤B12345");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.rows(OUTCOMES), ["emergency"]);
}

#[test]
fn an_engine_that_is_away_is_told_with_what_its_lanes_lack() {
    let mut story = with_an_engine();
    story.feed(Input::DeviceLost { device: "engine".into(), why: "it does not answer".to_owned() });
    let told = story.rows("SELECT text FROM alarm WHERE code = 'device_lost' ORDER BY seq");
    let lacks = |lane: &str| format!("engine is away: at {lane} plates are read by the cameras alone");
    assert_eq!(told, [lacks("in"), lacks("out")]);
}

/// The engine says this of a camera's picture; how many raises followed.
fn looked(story: &mut Story, of: &PlateRead, plate: &str) -> usize {
    let candidates = vec![Candidate { plate: plate.parse().unwrap(), confidence: 97 }];
    let told = Told { picture_of: Some(of.event.clone()), candidates, ..Told::default() };
    let (device, plate) = ("engine".into(), Some(plate.parse().unwrap()));
    let event = format!("look-{}-{}", of.event, story.rows("SELECT count(*) || '' FROM plate_read")[0]);
    story.feed(Input::PlateRead(PlateRead { device, event, plate, told, photos: None, ..of.clone() })).0
}

fn unsure() -> Told {
    Told { char_confidence: vec![99, 99, 99, 99, 99, 99, 20], ..Told::default() }
}

/// Both lanes' pictures are read by one engine.
fn with_an_engine() -> Story {
    let mut story = Story::new();
    for lane in ["in", "out"] {
        let settings: &mut LaneSettings = story.lanes.get_mut(&LaneId::from(lane)).unwrap();
        settings.gear.second_reader = Some("engine".into());
    }
    story.restart();
    story
}
