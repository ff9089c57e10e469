//! What a lane does when the world does not play along: two lanes and one plate, guards who know better, clocks and
//! clouds that are wrong. Most of these began as a random story that ended badly.

use gatepost::domain::event::{Input, StaffWish, TillAnswer, VehicleSign};

use crate::story::{Story, given};

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";

fn raise(plate: Option<&str>) -> StaffWish {
    StaffWish::Raise {
        reason: "seen".to_owned(),
        plate: plate.map(|plate| plate.parse().unwrap()),
        debt: false,
        second: None,
    }
}

#[test]
fn a_guard_cannot_take_a_stay_from_the_lane_by_which_it_leaves() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    assert_eq!(story.staff("out-2", raise(Some(PLATE))).0, 1, "a guard's raise always raises");
    story.drive_through("out-2");
    assert_eq!(story.stays(), ["粤B12345 pending_exit 0 0 0"]);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
    assert_eq!(story.alarms(), ["leaving_elsewhere"]);
}

#[test]
fn a_vehicle_that_waits_at_one_exit_may_leave_by_another_with_a_guard() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    assert_eq!(story.staff("out-2", raise(Some(PLATE))).0, 1);
    assert_eq!(story.phase("out"), "idle");
    story.drive_through("out-2");
    assert_eq!(story.stays(), ["粤B12345 closed 500 0 500"], "what the guard let go is on record");
}

#[test]
fn a_plate_read_at_an_entry_while_it_leaves_touches_no_stay() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 0, "one of the two was misread");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
    assert_eq!(story.read("in", PLATE), 1, "now it may be this one");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤B12345 open - 0 0"]);
}

#[test]
fn a_plate_read_at_two_entries_enters_once() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.arrival("in-2", true);
    assert_eq!(story.read("in-2", PLATE), 0);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.staff("in-2", raise(None)).0, 1, "a guard sees who it is");
}

#[test]
fn a_vehicle_that_follows_at_an_entry_where_it_waited_is_inside_once() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.arrival("in-2", true);
    assert_eq!(story.read("in-2", PLATE), 0, "one of the two was misread");
    story.drive_through("in");
    story.arrival("in-2", false);
    story.sign("in-2", VehicleSign::Tailgated);
    assert_eq!(story.stays(), ["粤B12345 void - 0 0", "粤B12345 open - 0 0"], "whoever it is, the books hold one");
}

#[test]
fn a_plate_read_at_an_exit_while_it_enters_touches_no_stay() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.read("out", PLATE), 1, "it is inside now");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
}

#[test]
fn a_guard_who_names_another_plate_ends_that_ones_stay() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    assert_eq!(story.staff("out", raise(Some(OTHER))).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 open 500 0 0", "粤BD98765 closed 500 0 500"]);
}

#[test]
fn what_is_paid_after_a_guards_raise_is_not_let_go() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.staff("out", raise(None));
    let stay = story.stay_of(PLATE);
    story.till("k", None, 0, Some(&stay), 500, 0);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 500 500 0"]);
}

#[test]
fn a_loop_that_flickers_under_a_standing_vehicle_does_not_send_it_back() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATE);
    story.arrival("in", false);
    story.arrival("in", true);
    story.seconds(6);
    assert_eq!(story.phase("in"), "raised");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
}

#[test]
fn a_lane_that_sees_no_passage_takes_a_vehicle_that_left_its_loop_for_passed() {
    let mut story = Story::new();
    story.arrival("in-blind", true);
    story.read("in-blind", PLATE);
    story.arrival("in-blind", false);
    story.arrival("in-blind", true);
    assert_eq!(story.read("in-blind", OTHER), 1, "the next vehicle proves it");
    story.arrival("in-blind", false);
    story.seconds(5);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤BD98765 open - 0 0"]);
    assert_eq!(story.rows("SELECT entry_evidence FROM stay ORDER BY changed_seq"), ["next_vehicle", "unconfirmed"]);
}

#[test]
fn a_passage_loop_that_stays_covered_is_told_and_does_not_close_the_lane() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATE);
    story.passage("in", true);
    story.arrival("in", false);
    story.seconds(60);
    assert_eq!(story.alarms(), ["not_driving_on"]);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 1, "the next one is not stranded");
    story.arrival("in", false);
    story.seconds(5);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤BD98765 open - 0 0"]);
}

#[test]
fn a_lane_that_was_rebuilt_with_a_vehicle_in_it_keeps_no_stay() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 1);
    let gone = story.lanes.remove(&"out".into()).unwrap();
    story.lanes.insert("in".into(), gone);
    story.restart();
    assert_eq!(story.stays(), ["粤B12345 open 500 0 0", "粤BD98765 open - 0 0"]);
    assert_eq!((story.usable(), story.alarms()), (300, vec!["lane_rebuilt".to_owned(); 2]));
    story.arrival("out-2", true);
    assert_eq!(story.read("out-2", PLATE), 1);
    story.drive_through("out-2");
    assert_eq!(story.points("spent"), 50);
}

#[test]
fn a_plate_that_became_anothers_leaves_no_points_behind() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(90);
    story.member("M2", &[PLATE]);
    story.enter("in", PLATE);
    assert_eq!((story.usable(), story.points("returned")), (0, 300));
}

#[test]
fn a_guard_who_types_a_members_plate_at_the_entry_lets_a_member_in() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.arrival("in", true);
    story.read("in", "");
    story.staff("in", raise(Some(PLATE)));
    assert_eq!(story.rows("SELECT member FROM stay"), ["M1"]);
    assert_eq!(story.rows("SELECT member FROM grant_request"), ["M1"]);
}

#[test]
fn a_late_read_of_the_last_vehicle_does_not_send_the_next_one_away() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.arrival("in", true);
    story.read("in", "");
    assert_eq!(story.read("in", PLATE), 0, "its rear plate");
    assert_eq!(story.phase("in"), "waiting", "the one without a plate still waits");
}

#[test]
fn a_vehicle_served_before_the_clock_was_put_right_is_served_again() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.drive_through("out");
    story.minutes(-365 * 24 * 60);
    story.enter("in", PLATE);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
}

#[test]
fn an_amount_that_no_till_can_mean_is_refused() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    for (sale, cash, points) in [(-500, -500, 0), (0, -500, 500), (i64::MAX, i64::MAX, 0), (i64::MAX, 0, i64::MAX)] {
        let (_, answer) = story.till(&format!("{sale} {points}"), Some("M1"), sale, None, cash, points);
        assert!(matches!(&answer, TillAnswer::Refused { code, .. } if code == "bad-request"), "{answer:?}");
    }
}

#[test]
fn a_fee_of_an_impossible_stay_asks_for_points_in_bounds() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.minutes(i64::MAX / 60_000 - 40_000_000);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    assert_eq!(story.phase("out"), "waiting");
    let by_two = StaffWish::Raise {
        reason: "the clock".to_owned(),
        plate: None,
        debt: false,
        second: Some("manager-1".to_owned()),
    };
    assert_eq!(story.staff("out", by_two).0, 1);
}

#[test]
fn a_grant_is_taken_once_from_the_cloud_and_for_its_asker() {
    use gatepost::domain::event::{CloudNews, MemberId, OpId};
    let mut story = Story::new();
    story.member("M1", &[PLATE, OTHER]);
    story.enter("in", PLATE);
    story.grant(100);
    let taken = story.rows("SELECT grant_id FROM points_grant").remove(0);
    let answers = [
        (taken.as_str(), "M1", 100, 100),
        ("born:M1", "M1", 100, 100),
        ("G-x", "M1", i64::MAX, 100),
        ("G-x", "M2", 100, 100),
        ("G-x", "M1", -100, 100),
        ("G-x", "M1", 100, 200),
    ];
    for (grant, member, points, usable) in answers {
        story.arrival("in", true);
        story.read("in", OTHER);
        let request = story.rows("SELECT request FROM grant_request WHERE state = 'open'").pop().unwrap();
        story.feed(Input::Cloud(CloudNews::Granted {
            request: OpId::from(request.as_str()),
            member: MemberId::from(member),
            epoch: 1,
            grants: vec![given(grant, points)],
        }));
        assert_eq!(story.usable(), usable, "{points} points for {member} as {grant}");
        story.arrival("in", false);
        story.seconds(5);
    }
}

#[test]
fn a_cursor_beyond_the_journal_is_a_doubt_and_the_box_still_starts() {
    use gatepost::domain::event::CloudNews;
    for seq in [1000, u64::MAX] {
        let mut story = Story::new();
        story.feed(Input::Cloud(CloudNews::Acknowledged { epoch: 1, seq }));
        assert_eq!(story.alarms(), ["quarantined"]);
        story.feed(Input::Cloud(CloudNews::Fed { changes: Vec::new(), next: u64::MAX }));
        story.restart();
        story.enter("in", PLATE);
    }
}

#[test]
fn a_ledger_behind_the_cloud_starts_and_spends_no_points() {
    let mut story = Story::new();
    rusqlite::Connection::open(story.path())
        .unwrap()
        .execute("INSERT INTO cloud_cursor VALUES ('acknowledged', 99)", ())
        .unwrap();
    story.restart();
    assert_eq!(story.alarms(), ["quarantined"]);
    story.enter("in", PLATE);
}
