//! What a lane promises: a stay opens and closes exactly once, and points are spent only when a vehicle has passed.

use gatepost::domain::event::{CommandAnswer, Fen, Input, Reply, StaffRefusal, StaffWish, TillAnswer, VehicleSign};

use crate::story::Story;

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";

#[test]
fn a_free_stay_opens_and_closes_once() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    story.minutes(14);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    assert_eq!(story.stays(), ["粤B12345 pending_exit 0 0 0"], "pending until passed");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
    assert_eq!(story.phase("out"), "idle");
}

#[test]
fn a_fee_is_due_until_a_guard_takes_exactly_it() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(61);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    let (raises, reply) = story.staff("out", StaffWish::Settle { fen: Fen(1000) });
    assert_eq!((raises, reply), (0, Reply::Staff(Err(StaffRefusal::AmountMismatch { due: Fen(1500) }))));
    assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(1500) }).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 1500 1500 0"]);
}

#[test]
fn points_are_pending_until_the_vehicle_has_passed() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    assert_eq!((story.usable(), story.points("spent")), (250, 0), "set aside, not spent");
    story.passage("out", true);
    assert_eq!(story.points("spent"), 0);
    story.passage("out", false);
    assert_eq!((story.points("spent"), story.points("returned"), story.usable()), (50, 250, 0));
}

#[test]
fn a_car_that_backs_out_of_the_exit_spends_nothing_and_may_come_again() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.arrival("out", false);
    assert_eq!(story.phase("out"), "raised", "it may be between the loops");
    story.seconds(5);
    assert_eq!((story.phase("out").as_str(), story.usable(), story.points("spent")), ("idle", 300, 0));
    assert_eq!(story.stays(), ["粤B12345 open 500 0 0"]);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.drive_through("out");
    assert_eq!(story.points("spent"), 50);
}

#[test]
fn a_car_that_backs_out_of_the_entry_was_never_inside() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.grant(300);
    story.arrival("in", false);
    story.seconds(5);
    assert_eq!(story.stays(), ["粤B12345 void - 0 0"]);
    assert_eq!((story.usable(), story.points("returned")), (0, 300), "nothing stays reserved here");
}

#[test]
fn a_grant_that_comes_after_the_car_has_left_goes_back_at_once() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.drive_through("out");
    story.grant(300);
    assert_eq!((story.usable(), story.points("returned")), (0, 300));
}

#[test]
fn a_waiting_member_is_let_go_when_the_grant_arrives() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0, "no points here yet");
    assert_eq!(story.grant(50), 1);
    story.drive_through("out");
    assert_eq!(story.points("spent"), 50);
}

#[test]
fn a_second_read_of_the_same_vehicle_changes_nothing() {
    let mut story = Story::new();
    story.arrival("in", true);
    let read = story.statement("in", PLATE);
    assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 1);
    assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 0, "the same statement");
    assert_eq!(story.read("in", PLATE), 0, "another statement about it");
    assert_eq!(story.read("in", "粤B12346"), 0, "a worse reading of a vehicle that has not moved");
    story.drive_through("in");
    assert_eq!(story.read("in", PLATE), 0, "its rear plate, driving off");
    assert_eq!(story.feed(Input::PlateRead(read)).0, 0, "delivered again by the broker");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
}

#[test]
fn a_vehicle_that_vanished_makes_room_for_another() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(61);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0, "it owes");
    story.arrival("out", false);
    story.arrival("out", true);
    assert_eq!(story.read("out", OTHER), 0);
    assert_eq!(story.stays(), ["粤B12345 open 1500 0 0", "粤BD98765 pending_exit 1500 0 0"]);
    story.staff("out", StaffWish::Settle { fen: Fen(1500) });
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 open 1500 0 0", "粤BD98765 closed 1500 1500 0"]);
}

#[test]
fn a_raise_for_a_vehicle_that_vanished_is_void_when_another_stands_there() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.arrival("in", false);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 1);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 void - 0 0", "粤BD98765 open - 0 0"]);
}

#[test]
fn the_next_vehicle_waits_until_the_first_has_passed() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.passage("in", true);
    story.arrival("in", false);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 0, "one raise lets one vehicle through");
    story.passage("in", false);
    assert_eq!(story.commands.len(), 2, "and now the second");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤BD98765 open - 0 0"]);
}

#[test]
fn a_next_vehicle_that_has_gone_is_not_let_in() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATE);
    story.passage("in", true);
    assert_eq!(story.read("in", "粤B12346"), 0, "its own rear plate, misread");
    story.arrival("in", false);
    story.passage("in", false);
    assert_eq!((story.commands.len(), story.phase("in").as_str()), (1, "idle"), "nobody stands there");
}

#[test]
fn a_misread_at_the_exit_is_corrected_by_the_camera_or_by_staff() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "京C77777"), 0, "no such car is inside");
    assert_eq!(story.read("out", PLATE), 1);
    story.drive_through("out");
    story.enter("in", OTHER);
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "京C77776"), 0);
    let wish = StaffWish::CorrectPlate { plate: OTHER.parse().unwrap(), reason: "seen".to_owned() };
    assert_eq!(story.staff("out", wish).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤BD98765 closed 0 0 0"]);
}

#[test]
fn a_lunch_earns_points_that_pay_the_exit_with_the_cloud_away() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.minutes(40);
    let (_, answer) = story.till("k1", Some("M1"), 12_800, None, 12_800, 0);
    assert!(matches!(answer, TillAnswer::Applied { earned, .. } if earned.0 == 128), "{answer:?}");
    let (_, again) = story.till("k1", Some("M1"), 12_800, None, 12_800, 0);
    assert!(matches!(again, TillAnswer::Applied { replayed: true, .. }), "{again:?}");
    assert_eq!(story.points("earned"), 128, "once");
    let (_, reused) = story.till("k1", Some("M1"), 99_800, None, 99_800, 0);
    assert!(matches!(&reused, TillAnswer::Refused { code, .. } if code == "idempotency-key-reused"), "{reused:?}");
    story.minutes(15);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.drive_through("out");
    assert_eq!((story.points("spent"), story.points("returned")), (100, 28));
}

#[test]
fn a_payment_at_the_till_raises_only_when_the_car_is_at_the_exit() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(25);
    let stay = story.stay_of(PLATE);
    let (raises, answer) = story.till("k1", None, 0, Some(&stay), 400, 0);
    assert!(matches!(&answer, TillAnswer::Refused { code, .. } if code == "tender-mismatch"), "{answer:?}");
    assert_eq!(raises, 0);
    let (raises, _) = story.till("k2", None, 0, Some(&stay), 500, 0);
    assert_eq!(raises, 0, "the car is not there yet");
    story.minutes(10);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "inside the grace");
    story.drive_through("out");
    story.enter("in", OTHER);
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", OTHER), 0);
    let stay = story.stay_of(OTHER);
    assert_eq!(story.till("k3", None, 0, Some(&stay), 500, 0).0, 1, "the car stands there");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 500 500 0", "粤BD98765 closed 500 500 0"]);
}

#[test]
fn two_cars_of_one_member_cannot_use_the_same_points() {
    let mut story = Story::new();
    story.member("M1", &[PLATE, OTHER]);
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.grant(30);
    story.minutes(25);
    story.arrival("out", true);
    story.arrival("out-2", true);
    assert_eq!(story.read("out", PLATE), 1, "60 points are here, 50 are needed");
    assert_eq!(story.read("out-2", OTHER), 0, "10 are left");
    story.drive_through("out");
    assert_eq!((story.points("spent"), story.usable()), (50, 10), "kept for the car that is still inside");
    story.staff("out-2", StaffWish::Settle { fen: Fen(500) });
    story.drive_through("out-2");
    assert_eq!((story.points("spent"), story.points("returned"), story.usable()), (50, 10, 0));
}

#[test]
fn a_stay_leaves_by_one_lane_only() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.arrival("out-2", true);
    assert_eq!(story.read("out-2", PLATE), 0);
    assert_eq!(story.phase("out-2"), "waiting");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
    assert_eq!(story.alarms(), ["leaving_elsewhere"]);
}

#[test]
fn a_guard_raises_with_a_reason_and_the_debt_is_on_record() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    let wish = StaffWish::Raise { reason: "till out of order".to_owned(), plate: None, debt: false, second: None };
    assert_eq!(story.staff("out", wish.clone()).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 500 0 500"]);
    assert_eq!(story.staff("out", wish).0, 1, "a raise for nobody works too");
    story.drive_through("out");
    assert_eq!(story.alarms(), ["raised_without_stay"]);
}

#[test]
fn an_uncertain_raise_is_repeated_only_for_a_vehicle_that_still_stands_there() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATE);
    story.answer("in", CommandAnswer::Silent("no reply in 10 s".to_owned()));
    story.seconds(20);
    assert_eq!(story.commands.len(), 1, "never blindly");
    assert_eq!(story.read("in", PLATE), 1, "a fresh read proves it");
    story.answer("in", CommandAnswer::Accepted);
    assert_eq!(story.read("in", PLATE), 0);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.alarms(), ["raise_uncertain"]);
}

#[test]
fn a_raise_that_never_left_the_box_is_told_as_such_and_repeated_for_a_vehicle_that_still_stands_there() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATE);
    story.answer("in", CommandAnswer::NotSent("the port is not there".to_owned()));
    story.seconds(20);
    assert_eq!(story.commands.len(), 1, "not by itself");
    assert_eq!(story.read("in", PLATE), 1, "a fresh read proves that it waits");
    story.answer("in", CommandAnswer::Accepted);
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.alarms(), ["raise_not_sent"]);
}

#[test]
fn a_passage_that_nobody_saw_is_listed() {
    let mut story = Story::new();
    story.read("in", PLATE);
    story.seconds(60);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.alarms(), ["unconfirmed"]);
}

#[test]
fn a_vehicle_that_does_not_drive_on_keeps_its_raise() {
    let mut story = Story::new();
    story.arrival("in", true);
    story.read("in", PLATE);
    story.seconds(60);
    story.seconds(60);
    assert_eq!((story.phase("in").as_str(), story.alarms()), ("raised", vec!["not_driving_on".to_owned()]));
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
}

#[test]
fn a_lane_without_loops_believes_its_camera() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(5);
    assert_eq!(story.read("out-bare", PLATE), 1);
    story.sign("out-bare", VehicleSign::TurnedBack);
    assert_eq!(story.stays()[0], "粤B12345 open 0 0 0");
    assert_eq!(story.read("out-bare", PLATE), 1);
    story.sign("out-bare", VehicleSign::Passed);
    assert_eq!(story.read("out-bare", OTHER), 1);
    story.sign("out-bare", VehicleSign::Passed);
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤BD98765 closed 0 0 0"]);
}

#[test]
fn a_vehicle_without_a_plate_enters_and_leaves_by_a_guard() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", ""), 0);
    assert_eq!(
        story.staff("in", StaffWish::Raise { reason: "no plate".to_owned(), plate: None, debt: false, second: None }).0,
        1
    );
    story.drive_through("in");
    assert_eq!(story.stays(), ["- open - 0 0"]);
}

#[test]
fn entering_twice_without_an_exit_is_an_alarm_and_one_visit() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(90);
    story.enter("in", PLATE);
    assert_eq!(story.stays(), ["粤B12345 void - 0 0", "粤B12345 open - 0 0"]);
    assert_eq!(story.alarms(), ["repeat_entry"]);
}

/// The same visit, cut off after every step in turn: it ends the same, and nothing is spent or taken twice.
#[test]
fn a_restart_in_every_state_ends_the_same() {
    type Act = fn(&mut Story);
    let visit: [Act; 11] = [
        |s| s.member("M1", &[PLATE]),
        |s| s.arrival("in", true),
        |s| {
            s.read("in", PLATE);
        },
        |s| {
            s.grant(300);
        },
        |s| s.passage("in", true),
        |s| s.arrival("in", false),
        |s| s.passage("in", false),
        |s| {
            s.minutes(25);
            s.arrival("out", true);
        },
        |s| {
            s.read("out", PLATE);
        },
        |s| s.passage("out", true),
        |s| {
            s.arrival("out", false);
            s.passage("out", false);
        },
    ];
    for cut in 0..=visit.len() {
        let mut story = Story::new();
        for (n, act) in visit.iter().enumerate() {
            if n == cut {
                story.restart();
            }
            act(&mut story);
        }
        if cut == visit.len() {
            story.restart();
        }
        assert_eq!(story.stays(), ["粤B12345 closed 500 0 0"], "cut before step {cut}");
        assert_eq!((story.points("spent"), story.points("returned")), (50, 250), "cut before step {cut}");
        assert_eq!(story.phase("out"), "idle");
    }
}

#[test]
fn a_doubted_journal_spends_no_points_and_still_lets_cars_out() {
    use gatepost::domain::event::{CloudNews, EpochReason};
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    let reason = "the ledger knows more entries".to_owned();
    story.feed(Input::Cloud(CloudNews::Doubted { why: EpochReason::Behind, reason }));
    story.restart();
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0, "no points");
    let (_, refused) = story.till("k", Some("M1"), 500, None, 0, 500);
    assert!(matches!(&refused, TillAnswer::Refused { code, .. } if code == "quarantined"), "{refused:?}");
    story.staff("out", StaffWish::Settle { fen: Fen(500) });
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 500 500 0"]);
    // What the journal has forgotten may have spent them: given back, they would be handed out a second time.
    assert_eq!((story.points("returned"), story.usable()), (0, 300));
    assert!(matches!(story.till("k2", Some("M1"), 500, None, 500, 0).1, TillAnswer::Applied { .. }));
    assert_eq!(story.points("returned"), 0);
}

#[test]
fn a_changed_byte_in_the_journal_or_a_table_is_found() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    let path = story.path();
    story.restart();
    let tamper = |sql: &str| {
        let copy = path.with_extension("copy");
        let _ = std::fs::remove_file(&copy);
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        let db = rusqlite::Connection::open(&copy).unwrap();
        assert_eq!(db.execute(sql, ()).unwrap(), 1, "{sql}");
        gatepost::store::journal::verify(&copy).unwrap().faults.join("; ")
    };
    let faults =
        tamper("UPDATE journal SET body = CAST(replace(CAST(body AS TEXT), '97', '98') AS BLOB) WHERE seq = 3");
    assert!(faults.contains("entry 3 of epoch 1 does not link"), "{faults}");
    let faults = tamper("UPDATE stay SET paid_fen = 500");
    assert!(faults.contains("table stay"), "{faults}");
    let faults = tamper("DELETE FROM journal WHERE seq = 2");
    assert!(faults.contains("entry 2 of epoch 1 is missing"), "{faults}");
}

#[test]
fn points_at_the_till_pay_parking_first_and_the_books_close() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(25);
    let stay = story.stay_of(PLATE);
    let (_, answer) = story.till("k1", Some("M1"), 1_000, Some(&stay), 700, 800);
    assert!(
        matches!(answer, TillAnswer::Applied { spent, earned, .. } if (spent.0, earned.0) == (80, 7)),
        "{answer:?}"
    );
    let spends = story.rows(
        "SELECT coalesce(stay, '-') || ' ' || points || ' ' || fen FROM points_entry WHERE kind = 'spent' ORDER BY op",
    );
    assert_eq!(spends, [format!("{stay} 50 500"), "- 30 300".to_owned()]);
    let (_, refused) = story.till("k2", Some("M1"), 100_000, None, 0, 100_000);
    assert!(matches!(&refused, TillAnswer::Refused { code, .. } if code == "insufficient-points"), "{refused:?}");
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "paid before");
    story.drive_through("out");
    assert_eq!((story.points("spent"), story.points("returned"), story.usable()), (80, 227, 0));
}
