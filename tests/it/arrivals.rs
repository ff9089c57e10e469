//! Several reads of one arrival, what cameras tell besides the text, and members whose plates are read a little wrong.

use gatepost::domain::event::{EmergencySource, Input, PlateRead, StaffWish, UtcMs};
use gatepost::domain::lane::LoopRole;
use gatepost::domain::plate::told::{Candidate, Colour, Stage, Told, VehicleKind};

use crate::story::Story;

const MATCHED: &str = "SELECT read FROM stay_match";

#[test]
fn the_full_result_of_a_waiting_vehicle_is_weighed_with_the_quick_one() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12346");
    story.minutes(5);
    story.arrival("out", true);
    let quick = PlateRead { told: quick(), ..story.statement("out", "粤B12348") };
    assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 0, "it may be either");
    let full = PlateRead { plate: Some("粤B12345".parse().unwrap()), told: Told::default(), ..quick };
    assert_eq!(story.feed(Input::PlateRead(full)).0, 1, "the same event, read better");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤B12346 open - 0 0"]);
    assert_eq!(story.rows(MATCHED), ["粤B12345"]);
}

#[test]
fn a_second_camera_outvotes_the_first_and_a_third_read_changes_nothing_any_more() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12B45");
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤B12845"), 0, "a 3 read as an 8, or a B");
    assert_eq!(story.read("out", "粤B12345"), 1, "the rear camera is sure of it");
    assert_eq!(story.read("out", "粤B12B45"), 0, "a raised barrier is never decided again");
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤B12B45 open - 0 0"]);
}

#[test]
fn a_plate_that_is_read_better_at_a_raised_entry_is_what_the_stay_is_known_by() {
    let mut story = Story::new();
    story.arrival("in", true);
    let quick = PlateRead { told: quick(), ..story.statement("in", "粤B1Z345") };
    assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 1);
    let full = PlateRead { plate: Some("粤B12345".parse().unwrap()), told: blue_car(), ..quick };
    assert_eq!(story.feed(Input::PlateRead(full.clone())).0, 0, "raised already");
    assert_eq!(story.feed(Input::PlateRead(full)).0, 0, "and said before");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
    assert_eq!(story.rows("SELECT entry_read ->> '$.told.colour' FROM stay"), ["blue"]);
    let corrected = "SELECT CAST(body AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%stay_reread%'";
    assert_eq!(story.rows(corrected).len(), 1);
    story.restart();
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤B12345"), 1);
    story.drive_through("out");
}

/// The Axis document's sequence: a car ID that is new, is updated with another plate, and is lost from sight.
#[test]
fn new_updated_and_lost_are_one_passage_with_the_final_plate() {
    let mut story = Story::new();
    story.arrival("in", true);
    let told = |stage| Told { stage, ..Told::default() };
    let new = PlateRead { told: told(Stage::Quick), ..story.statement("in", "AA7690EQ") };
    let says = |plate: &str, stage| PlateRead { plate: Some(plate.parse().unwrap()), told: told(stage), ..new.clone() };
    assert_eq!(story.feed(Input::PlateRead(new.clone())).0, 1);
    let more = [says("AA7690EQ", Stage::Full), says("AA7690EO", Stage::Full), says("AA7690EO", Stage::Last)];
    for read in more {
        assert_eq!(story.feed(Input::PlateRead(read)).0, 0, "raised already");
    }
    story.drive_through("in");
    assert_eq!(story.stays(), ["AA7690EO open - 0 0"]);
    assert_eq!(story.feed(Input::PlateRead(says("AA7690EO", Stage::Last))).0, 0, "long gone");
    assert_eq!(story.stays().len(), 1);
}

#[test]
fn a_last_word_on_a_vehicle_that_nobody_heard_of_moves_no_barrier() {
    let mut story = Story::new();
    for lane in ["in", "out"] {
        story.arrival(lane, true);
        let told = Told { stage: Stage::Last, ..Told::default() };
        let lost = PlateRead { told, ..story.statement(lane, "粤B12345") };
        assert_eq!(story.feed(Input::PlateRead(lost.clone())).0, 0);
        assert_eq!(story.feed(Input::PlateRead(lost)).0, 0, "and again");
        assert_eq!(story.phase(lane), "idle");
    }
    assert_eq!(story.rows("SELECT outcome FROM plate_read"), ["lost", "lost"]);
    assert_eq!(story.stays(), Vec::<String>::new());
}

/// At a lane of one camera the backs of vehicles that drive off on the other side are read, too.
#[test]
fn a_vehicle_that_drives_away_moves_no_barrier_and_disturbs_none_that_waits() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.minutes(5);
    let away = |read: PlateRead| PlateRead { told: Told { drives_away: true, ..Told::default() }, ..read };
    for lane in ["in", "out"] {
        story.arrival(lane, true);
        let read = away(story.statement(lane, "粤B54321"));
        assert_eq!(story.feed(Input::PlateRead(read.clone())).0, 0);
        assert_eq!(story.feed(Input::PlateRead(read)).0, 0, "and again");
        assert_eq!(story.phase(lane), "idle");
    }
    let outcomes = "SELECT outcome FROM plate_read WHERE plate = '粤B54321'";
    assert_eq!(story.rows(outcomes), ["drives_away", "drives_away"]);
    let quick = story.statement("out", "粤B12345");
    assert_eq!(story.feed(Input::PlateRead(away(quick.clone()))).0, 0, "the quick result saw it drive away");
    assert_eq!(story.feed(Input::PlateRead(quick)).0, 1, "the full one did not");
    let behind = away(story.statement("out", "粤B54321"));
    assert_eq!(story.feed(Input::PlateRead(behind)).0, 0, "it does not wait behind the one that goes");
    story.drive_through("out");
    assert_eq!(story.phase("out"), "idle");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
}

#[test]
fn a_vehicle_that_drives_away_in_an_emergency_has_not_come() {
    let mut story = Story::new();
    story.feed(Input::Emergency { source: EmergencySource::Contact, active: true });
    let read = story.statement("in", "粤B54321");
    story.feed(Input::PlateRead(PlateRead { told: Told { drives_away: true, ..Told::default() }, ..read }));
    assert_eq!(story.rows("SELECT outcome FROM plate_read"), ["drives_away"]);
    assert_eq!(story.stays(), Vec::<String>::new());
}

#[test]
fn a_correction_at_an_exit_is_recorded_at_any_time_and_decides_nothing() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.minutes(5);
    story.arrival("out", true);
    let quick = PlateRead { told: quick(), ..story.statement("out", "粤B12345") };
    let says = |plate: &str| PlateRead { plate: Some(plate.parse().unwrap()), told: Told::default(), ..quick.clone() };
    let taken = |story: &Story| {
        let sql = "SELECT count(*) || '' FROM journal WHERE CAST(body AS TEXT) LIKE '%\"read_taken\"%event-2%'";
        story.rows(sql)[0].parse::<usize>().unwrap()
    };
    assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 1);
    assert_eq!(taken(&story), 1);
    let surer = Told { char_confidence: vec![99; 7], ..Told::default() };
    for (read, entries, why) in [
        (PlateRead { told: surer, ..quick.clone() }, 2, "the full result is surer of the same"),
        (says("粤B12346"), 3, "and then it is another"),
        (says("粤B12346"), 3, "a repeat of it is known"),
        (quick.clone(), 3, "a late quick result corrects nothing"),
    ] {
        assert_eq!(story.feed(Input::PlateRead(read)).0, 0, "{why}");
        assert_eq!((taken(&story), story.phase("out").as_str()), (entries, "raised"), "{why}");
    }
    story.drive_through("out");
    assert_eq!(story.feed(Input::PlateRead(says("粤B12348"))).0, 0, "it has gone");
    assert_eq!(story.feed(Input::PlateRead(quick)).0, 0);
    assert_eq!((taken(&story), story.phase("out").as_str()), (4, "idle"));
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
    assert_eq!(story.rows("SELECT plate FROM plate_read WHERE event = 'event-2'"), ["粤B12348"]);
}

#[test]
fn the_vehicle_behind_is_served_by_all_that_was_read_of_it() {
    for front_and_rear in [false, true] {
        let mut story = Story::new();
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤A99999"), 1);
        story.passage("in", true);
        let quick = PlateRead { told: quick(), ..story.statement("in", "粤B1Z345") };
        assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 0, "it waits behind");
        let other = if front_and_rear { story.statement("in", "粤B12345") } else { quick };
        let full = PlateRead { plate: Some("粤B12345".parse().unwrap()), told: blue_car(), ..other };
        assert_eq!(story.feed(Input::PlateRead(full)).0, 0);
        let away = Input::LoopChanged { lane: "in".into(), role: LoopRole::Passage, occupied: false };
        assert_eq!(story.feed(away).0, 1, "its turn");
        let reads = "SELECT state ->> '$.phase.visit.reads[0].plate' FROM lane WHERE lane = 'in'";
        assert_eq!(story.rows(reads), ["粤B1Z345"], "what was read first is not forgotten");
        story.drive_through("in");
        assert_eq!(story.stays(), ["粤A99999 open - 0 0", "粤B12345 open - 0 0"]);
    }
}

#[test]
fn what_a_camera_held_possible_is_kept_with_the_read_and_with_the_stay() {
    let mut story = Story::new();
    story.arrival("in", true);
    let candidates = vec![Candidate { plate: "粤B1234S".parse().unwrap(), confidence: 61 }];
    let told = Told { candidates, char_confidence: vec![99, 98, 97, 96, 95, 94, 55], ..Told::default() };
    let read = PlateRead { told, ..story.statement("in", "粤B12345") };
    assert_eq!(story.feed(Input::PlateRead(read)).0, 1);
    let kept = ["[99,98,97,96,95,94,55] 粤B1234S 61"];
    let told = "SELECT (entry_read ->> '$.told.char_confidence') || ' ' ||
                       (entry_read ->> '$.told.candidates[0].plate') || ' ' ||
                       (entry_read ->> '$.told.candidates[0].confidence') FROM stay";
    assert_eq!(story.rows(told), kept);
    let journal = story.rows("SELECT CAST(body AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%read_taken%'");
    for told in [r#""char_confidence":[99,98,97,96,95,94,55]"#, r#"{"plate":"粤B1234S","confidence":61}"#] {
        assert!(journal.len() == 1 && journal[0].contains(told), "{journal:?}");
    }
}

#[test]
fn a_right_and_debts_follow_the_plate_that_was_read_better() {
    let pass = |plate: &str| {
        format!(
            "[[passes]]\nid = \"P-{plate}\"\nplates = [\"{plate}\"]\nfrom = \"2026-03-01\"\nuntil = \"2026-03-31\"\n"
        )
    };
    let mut story = crate::stays::with(&pass("粤B12345"));
    story.enter("in", "粤B1Z345");
    story.minutes(61);
    let owe = StaffWish::Raise { reason: "no money".to_owned(), plate: None, debt: true, second: None };
    story.arrival("out", true);
    story.read("out", "粤B1Z345");
    assert_eq!(story.staff("out", owe).0, 1);
    story.drive_through("out");
    story.minutes(10);
    story.arrival("in", true);
    let quick = PlateRead { told: quick(), ..story.statement("in", "粤B1Z345") };
    assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 1);
    let inside = "SELECT debts_fen || ' ' || coalesce(right_held ->> '$.id', '-') FROM stay WHERE state <> 'closed'";
    assert_eq!(story.rows(inside), ["1500 -"]);
    let full = PlateRead { plate: Some("粤B12345".parse().unwrap()), told: blue_car(), ..quick };
    story.feed(Input::PlateRead(full));
    assert_eq!(story.rows(inside), ["0 P-粤B12345"]);
    story.drive_through("in");
    story.minutes(600);
    crate::stays::leave_for(&mut story, "粤B12345", 0);
}

#[test]
fn points_follow_the_plate_that_was_read_better() {
    let mut story = Story::new();
    story.member("M1", &["粤B12345"]);
    story.arrival("in", true);
    let quick = PlateRead { told: quick(), ..story.statement("in", "粤B12345") };
    assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 1);
    story.grant(500);
    assert_eq!(story.usable(), 500);
    let full = PlateRead { plate: Some("粤B12348".parse().unwrap()), told: Told::default(), ..quick };
    story.feed(Input::PlateRead(full));
    assert_eq!((story.usable(), story.points("returned")), (0, 500), "it was never the member's vehicle");
    assert_eq!(story.rows("SELECT count(*) || '' FROM stay WHERE member IS NOT NULL"), ["0"]);
    story.drive_through("in");

    story.arrival("in", true);
    let quick = PlateRead { told: quick_told(), ..story.statement("in", "粤B1234S") };
    story.feed(Input::PlateRead(quick.clone()));
    let full = PlateRead { plate: Some("粤B12345".parse().unwrap()), told: Told::default(), ..quick };
    story.feed(Input::PlateRead(full));
    story.grant(500);
    story.drive_through("in");
    assert_eq!((story.usable(), story.stays()[1].as_str()), (500, "粤B12345 open - 0 0"));
}

#[test]
fn a_regular_member_is_recognised_by_a_plate_that_can_be_nobody_else_s() {
    let mut story = Story::new();
    story.member("M1", &["粤BD12845"]);
    (0..100).for_each(|n| story.enter("in-2", &format!("粤B7{n:04}")));
    let member_of = |story: &Story| {
        story.rows("SELECT coalesce(member, '-') FROM stay WHERE state = 'open' AND plate LIKE '粤BD%'")
    };
    story.enter("in", "粤BD12B45");
    assert_eq!(member_of(&story), ["-"], "a stranger's plate may be read so too");
    leave(&mut story, "粤BD12B45");
    for _ in 0..24 {
        story.enter("in", "粤BD12845");
        leave(&mut story, "粤BD12845");
    }
    story.restart();
    story.enter("in", "粤BD12B45");
    assert_eq!(member_of(&story), ["M1"], "no new-energy plate has a B there, and this member is here every day");
    let recognised =
        "SELECT (entry_read ->> '$.recognised.plate') || (entry_read ->> '$.recognised.posterior_ppm' >= 999000)
                      FROM stay WHERE state = 'open' AND plate LIKE '粤BD%'";
    assert_eq!(story.rows(recognised), ["粤BD128451"]);
    leave(&mut story, "粤BD12B45");
    // The feed takes the plate away: nobody is recognised by it any more.
    story.member("M1", &["粤B99999"]);
    story.enter("in", "粤BD12B45");
    assert_eq!(member_of(&story), ["-"]);
    story.member("M2", &["粤BD12845"]);
    story.enter("in-2", "粤BD12Z45");
    assert_eq!(member_of(&story), ["-", "-"], "Z for 8 is no usual misread");
}

#[test]
fn candidates_and_confidences_of_a_camera_decide_between_two() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12346");
    story.minutes(5);
    story.arrival("out", true);
    let candidates = vec![Candidate { plate: "粤B12345".parse().unwrap(), confidence: 90 }];
    let told = Told { candidates, char_confidence: vec![99, 99, 99, 99, 99, 99, 20], ..Told::default() };
    let read = PlateRead { told, ..story.statement("out", "粤B12348") };
    story.feed(Input::PlateRead(read));
    assert_eq!(story.phase("out"), "raised");
    assert_eq!(story.rows("SELECT plate FROM stay WHERE state = 'pending_exit'"), ["粤B12345"]);
}

#[test]
fn colour_and_kind_are_a_second_factor_for_a_member_s_points() {
    for (told, by_points) in [(blue_car(), true), (Told::default(), false)] {
        let mut story = Story::new();
        story.member("M1", &["粤B12345"]);
        // A fleet with running numbers: even the exact plate is not quite certain.
        for n in [0, 1, 3, 4, 6, 7, 8, 9] {
            story.enter("in", &format!("粤B1234{n}"));
            story.enter("in-2", &format!("粤B1{n}345"));
        }
        story.arrival("in", true);
        let entry = PlateRead { told: blue_car(), ..story.statement("in", "粤B12345") };
        story.feed(Input::PlateRead(entry));
        story.drive_through("in");
        story.grant(100_000);
        story.minutes(200);
        story.arrival("out", true);
        let exit = PlateRead { told: told.clone(), ..story.statement("out", "粤B12345") };
        let raises = story.feed(Input::PlateRead(exit)).0;
        let certainty = story.rows("SELECT posterior_ppm || '' FROM stay_match");
        assert!((950_000..999_000).contains(&certainty[0].parse::<u32>().unwrap()), "{certainty:?}");
        assert_eq!(raises == 1, by_points, "{certainty:?}");
    }
}

#[test]
fn a_wrong_clock_is_in_the_journal_and_is_no_news_by_itself() {
    let mut story = Story::new();
    story.arrival("in", true);
    let said = |clock| Told { clock: Some(UtcMs(clock)), ..Told::default() };
    let first = PlateRead { told: said(946_684_800_000), ..story.statement("in", "粤B12345") };
    assert_eq!(story.feed(Input::PlateRead(first.clone())).0, 1);
    assert_eq!(story.feed(Input::PlateRead(PlateRead { told: said(946_684_900_000), ..first })).0, 0);
    let taken = "SELECT CAST(body AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%read_taken%'";
    let taken = story.rows(taken);
    assert!(taken.len() == 1 && taken[0].contains(r#""clock":946684800000"#), "{taken:?}");
}

/// What a camera may tell besides the text, sense or none; one of 48.
pub fn something_told(n: u64) -> Told {
    Told {
        stage: if n.is_multiple_of(3) { Stage::Quick } else { Stage::Full },
        char_confidence: [vec![], vec![99; 7], vec![20; 7], vec![255; 40]][n as usize % 4].clone(),
        colour: [None, Some(Colour::Blue), Some(Colour::Green), Some(Colour::Yellow)][n as usize / 12 % 4],
        vehicle: [None, Some(VehicleKind::Car), Some(VehicleKind::Truck)][n as usize / 3 % 3],
        ..Told::default()
    }
}

fn leave(story: &mut Story, plate: &str) {
    story.minutes(5);
    story.arrival("out", true);
    assert_eq!(story.read("out", plate), 1, "{plate} leaves");
    story.drive_through("out");
    story.minutes(60);
}

fn quick() -> Told {
    Told { stage: Stage::Quick, ..Told::default() }
}

fn quick_told() -> Told {
    Told { colour: Some(Colour::Blue), ..quick() }
}

fn blue_car() -> Told {
    Told { colour: Some(Colour::Blue), vehicle: Some(VehicleKind::Car), ..Told::default() }
}

#[test]
fn a_camera_that_numbers_its_vehicles_anew_hides_nobody() {
    let mut story = Story::new();
    let first = read_as(&mut story, "粤B12345", "1");
    story.arrival("in", true);
    assert_eq!(story.feed(Input::PlateRead(first.clone())).0, 1);
    story.drive_through("in");
    story.minutes(9);
    story.arrival("in", true);
    let again = PlateRead { captured: story.now(), ..first.clone() };
    assert_eq!(story.feed(Input::PlateRead(again)).0, 0, "the camera repeats itself");
    story.arrival("in", false);
    story.minutes(2);
    // What was on its way for long tells when it was, whether the camera's clock is believed or not.
    let mut late = PlateRead { captured: story.now(), ..first.clone() };
    late.told.clock = Some(first.captured);
    for late in [first.clone(), late] {
        assert_eq!(story.feed(Input::PlateRead(late)).0, 0, "the same, brought again");
    }
    assert_eq!(story.rows("SELECT plate || outcome FROM plate_read"), ["粤B12345taken"]);
    story.arrival("in", true);
    let second = read_as(&mut story, "粤B98765", "1");
    assert_eq!(story.feed(Input::PlateRead(second.clone())).0, 1, "the camera was started again");
    story.drive_through("in");
    story.restart();
    assert_eq!(story.feed(Input::PlateRead(second)).0, 0, "brought again after a restart");
    assert_eq!(story.rows("SELECT plate || outcome FROM plate_read"), ["粤B98765taken"]);
}

fn read_as(story: &mut Story, plate: &str, event: &str) -> PlateRead {
    PlateRead { event: event.to_owned(), ..story.statement("in", plate) }
}
