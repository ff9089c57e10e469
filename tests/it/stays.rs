//! The stay's whole life: no entry found, coming again, tickets, lists and passes, inner lots, tailgating, corrections.

use gatepost::domain::admission::table::NoEntry;
use gatepost::domain::event::{
    Correction, Fen, Input, LaneId, Reply, StaffRefusal, StaffWish, StayId, VehicleSign, Wrong,
};
use gatepost::domain::lane::{Detectors, LaneSettings, LoopRole};
use gatepost::domain::plate::class::Format;

use crate::story::Story;

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";

#[test]
fn a_vehicle_without_an_entry_waits_for_a_guard() {
    let mut story = Story::new();
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    assert_eq!(story.phase("out"), "waiting");
    assert_eq!(story.stays(), [""; 0]);
    let charge = |how| StaffWish::ChargeWithoutEntry { how, reason: "no photo".to_owned() };
    assert_eq!(story.staff("out", charge(NoEntry::DayMax)).0, 0, "it owes now");
    assert_eq!(story.stays(), ["粤B12345 pending_exit 6000 0 0"]);
    assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(6000) }).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 6000 6000 0"]);
    assert_eq!(story.alarms(), ["no_entry"]);
}

#[test]
fn the_site_lays_down_what_a_stay_without_an_entry_costs() {
    for (policy, fen) in [("day_max", 6000), ("minimum", 500)] {
        let mut story = with(&format!("[stays]\nno_entry = \"{policy}\"\n"));
        story.arrival("out", true);
        assert_eq!(story.read("out", PLATE), 0);
        assert_eq!(story.stays(), [format!("粤B12345 pending_exit {fen} 0 0")]);
        let lines = story.rows("SELECT fee ->> '$.lines[0].rule' FROM stay");
        assert_eq!(lines, [format!("no_entry.{policy}")], "the driver reads why");
    }
}

#[test]
fn a_guard_is_shown_the_last_vehicles_where_the_site_wants_it() {
    let mut story = with("[stays]\nno_entry_last = 2\n");
    for plate in [PLATE, OTHER, "粤A00001"] {
        story.enter("in", plate);
    }
    story.arrival("out", true);
    story.read("out", "京N99999");
    let shown = "SELECT json_array_length(state, '$.phase.candidates') || '' FROM lane WHERE lane = 'out'";
    assert_eq!(story.rows(shown), ["2"]);
    let stay = StayId(story.stay_of(OTHER));
    let choice = StaffWish::ChooseStay { stay, reason: "the photo".to_owned() };
    assert_eq!(story.staff("out", choice).0, 1);
    story.drive_through("out");
    assert!(story.stays().contains(&"粤BD98765 closed 0 0 0".to_owned()));
}

#[test]
fn a_vehicle_that_comes_again_is_kept_out_where_the_site_wants_it() {
    let mut story = with("[stays]\nrepeat_entry = \"refuse\"\n");
    story.enter("in", PLATE);
    story.minutes(30);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 0);
    assert_eq!((story.phase("in").as_str(), story.alarms()), ("waiting", vec!["repeat_entry".to_owned()]));
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"], "the old stay is not touched");
    let stay = StayId(story.stay_of(PLATE));
    assert_eq!(correct(&mut story, Wrong::Ended { stay }).0, 1, "once the old stay has ended it is let in");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 void - 0 0", "粤B12345 open - 0 0"]);
}

#[test]
fn passback_is_hard_or_soft_by_pass() {
    let pass = |passback: &str| {
        format!(
            "[[passes]]\nid = \"P-1\"\nplates = [\"{PLATE}\"]\nfrom = \"2026-03-01\"\nuntil = \"2026-03-31\"\npassback = \"{passback}\"\n"
        )
    };
    for (passback, raises) in [("hard", 0), ("soft", 1)] {
        let mut story = with(&pass(passback));
        story.enter("in", PLATE);
        story.minutes(30);
        story.arrival("in", true);
        assert_eq!(story.read("in", PLATE), raises, "{passback}");
        assert_eq!(story.alarms()[0], "passback");
    }
}

#[test]
fn a_vehicle_without_a_plate_comes_in_on_a_ticket_and_leaves_with_it() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", ""), 0);
    let (raises, reply) = story.staff("in", StaffWish::IssueTicket);
    let ticket = match reply {
        Reply::Ticket(ticket) => ticket,
        other @ (Reply::Done | Reply::Till(_) | Reply::Staff(_)) => panic!("{other:?}"),
    };
    assert_eq!((raises, ticket.as_str()), (1, "临00001"));
    story.drive_through("in");
    assert_eq!(story.stays(), ["临00001 open - 0 0"]);
    story.restart();
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", "");
    assert_eq!(story.staff("out", StaffWish::ShowTicket { ticket }).0, 0, "it owes");
    assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(500) }).0, 1);
    story.drive_through("out");
    assert_eq!(story.stays(), ["临00001 closed 500 500 0"]);
    let again = story.staff("in", StaffWish::IssueTicket).1;
    assert_eq!(again, Reply::Staff(Err(StaffRefusal::NothingWaiting)), "no ticket for nobody");
}

#[test]
fn a_pass_covers_its_days_and_one_car_of_two() {
    let rules = "[[passes]]\nid = \"P-1\"\nplates = [\"粤B12345\", \"粤BD98765\"]\nfrom = \"2026-03-01\"\nuntil = \"2026-03-02\"\n";
    let mut story = with(rules);
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(60);
    leave_for(&mut story, PLATE, 0);
    leave_for(&mut story, OTHER, 1000);
    let right =
        story.rows("SELECT coalesce(right_held ->> '$.id', '-') FROM stay ORDER BY CAST(substr(stay, 4) AS INTEGER)");
    assert_eq!(right, ["P-1", "-"], "the first car is inside on the pass, the second pays");
    story.enter("in", PLATE);
    // It leaves at 01:00 of the day after the pass has ended: one hour is charged.
    story.minutes(16 * 60);
    leave_for(&mut story, PLATE, 1000);
}

#[test]
fn lists_let_in_for_nothing_or_keep_out() {
    let rules = format!(
        "[[lists]]\nid = \"staff\"\nkind = \"allow\"\nplates = [\"{PLATE}\"]\n\
         [[lists]]\nid = \"wanted\"\nkind = \"block\"\nreason = \"managed\"\nplates = [\"{OTHER}\"]\n"
    );
    let mut story = with(&rules);
    story.enter("in", PLATE);
    story.minutes(3 * 24 * 60);
    leave_for(&mut story, PLATE, 0);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 0);
    assert_eq!(story.alarms(), ["blocked"]);
    let reason = "the police were told".to_owned();
    let raise = StaffWish::Raise { reason, plate: None, debt: false, second: None };
    assert_eq!(story.staff("in", raise).0, 1, "a guard may let it in with a reason");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤BD98765 open - 0 0"]);
}

#[test]
fn a_full_car_park_lets_the_next_in_when_one_has_left() {
    let mut story = with("[stays]\nspaces = 1\n");
    story.enter("in", PLATE);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 0, "full");
    let before = story.commands.len();
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.drive_through("out");
    assert_eq!(story.commands.len(), before + 2, "one leaves and the one that waited is let in");
    story.drive_through("in");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤BD98765 open - 0 0"]);
}

#[test]
fn a_count_by_hand_puts_the_free_spaces_right() {
    let mut story = with("[stays]\nspaces = 2\n");
    story.enter("in", PLATE);
    correct(&mut story, Wrong::Count { zone: None, vehicles: 2 });
    story.restart();
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 0, "somebody saw two vehicles");
    assert_eq!(correct(&mut story, Wrong::Count { zone: None, vehicles: 1 }).0, 1);
}

#[test]
fn debts_may_be_collected_before_the_vehicle_comes_in() {
    let mut story = with("[stays]\ndebts = \"at_entry\"\n");
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.staff("out", StaffWish::Raise { reason: "no cash".to_owned(), plate: None, debt: true, second: None });
    story.drive_through("out");
    story.minutes(30);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 0, "it owes 5.00");
    assert_eq!(story.staff("in", StaffWish::Settle { fen: Fen(500) }).0, 1);
    story.drive_through("in");
    story.minutes(10);
    leave_for(&mut story, PLATE, 0);
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["500 500"]);
}

#[test]
fn a_vehicle_that_owes_and_turns_back_has_not_come_in() {
    let mut story = with("[stays]\ndebts = \"at_entry\"\n");
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.staff("out", StaffWish::Raise { reason: "no cash".to_owned(), plate: None, debt: true, second: None });
    story.drive_through("out");
    story.minutes(30);
    story.arrival("in", true);
    story.read("in", PLATE);
    story.arrival("in", false);
    story.seconds(6);
    assert_eq!(story.phase("in"), "idle");
    assert_eq!(story.stays()[1], "粤B12345 void - 0 0");
}

#[test]
fn a_stay_is_split_where_it_drives_into_an_inner_lot() {
    let mut story = with(VIP);
    inner_lanes(&mut story);
    story.enter("in", PLATE);
    story.minutes(60);
    story.arrival("vip-in", true);
    assert_eq!(story.read("vip-in", PLATE), 1);
    story.drive_through("vip-in");
    story.minutes(60);
    story.restart();
    story.arrival("vip-out", true);
    assert_eq!(story.read("vip-out", PLATE), 1);
    story.drive_through("vip-out");
    story.minutes(60);
    // Two hours outside, 20.00; one hour in the lot, 10.00; the outer clock stood still meanwhile.
    leave_for(&mut story, PLATE, 3000);
    assert_eq!(story.rows("SELECT zone || ' ' || ((to_ms - from_ms) / 60000) FROM zone_visit"), ["vip 60"]);
}

/// It has left the inner lot, and its loops told that it went back; by then it stands at the exit.
#[test]
fn who_went_back_at_an_inner_lot_leaves_by_the_exit_all_the_same() {
    let mut story = with(VIP);
    inner_lanes(&mut story);
    story.enter("in", PLATE);
    story.arrival("vip-out", true);
    assert_eq!(story.read("vip-out", PLATE), 1);
    story.arrival("vip-out", false);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.seconds(6);
    assert_eq!((story.phase("vip-out"), story.phase("out")), ("idle".to_owned(), "raised".to_owned()));
    story.drive_through("out");
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0"]);
}

#[test]
fn an_inner_lot_is_for_those_who_have_a_right_or_a_guards_word() {
    let rules = VIP.replace("outer = \"paused\"", "outer = \"paused\"\naccess = \"entitled\"\nspaces = 1");
    let rules = rules.replace("until = \"2026-01-02\"", "until = \"2026-12-31\"\nzones = [\"vip\"]");
    let mut story = with(&rules);
    inner_lanes(&mut story);
    story.enter("in", OTHER);
    story.arrival("vip-in", true);
    assert_eq!(story.read("vip-in", OTHER), 0);
    let reason = "a wheelchair".to_owned();
    let raise = StaffWish::Raise { reason, plate: None, debt: false, second: None };
    assert_eq!(story.staff("vip-in", raise).0, 1);
    story.drive_through("vip-in");
    let inside = "SELECT stay FROM zone_visit WHERE to_ms IS NULL";
    assert_eq!(story.rows(inside), [story.stay_of(OTHER)], "its stay is split all the same");
    story.enter("in", PLATE);
    story.arrival("vip-in", true);
    assert_eq!(story.read("vip-in", PLATE), 0, "its pass names the lot, but the lot is full");
    let before = story.commands.len();
    story.arrival("vip-out", true);
    story.read("vip-out", OTHER);
    story.drive_through("vip-out");
    assert_eq!(story.commands.len(), before + 2, "and now it is not");
}

#[test]
fn who_follows_another_out_owes_it() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(10);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.minutes(20);
    story.read("out", OTHER);
    story.passage("out", true);
    story.arrival("out", false);
    story.arrival("out", true);
    story.read("out", OTHER);
    story.passage("out", false);
    assert_eq!(story.phase("out"), "waiting", "the second one owes");
    story.passage("out", true);
    story.arrival("out", false);
    story.passage("out", false);
    story.seconds(6);
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤BD98765 closed 500 0 0"]);
    assert_eq!(story.rows("SELECT plate || ' ' || fen FROM debt"), ["粤BD98765 500"]);
    assert!(story.alarms().contains(&"tailgated".to_owned()));
}

#[test]
fn somebody_on_the_passage_loop_does_not_make_a_waiting_vehicle_an_escaped_one() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.passage("out", true);
    story.passage("out", false);
    story.seconds(6);
    assert_eq!(story.phase("out"), "waiting");
    story.arrival("out", false);
    story.seconds(6);
    assert_eq!(story.stays(), ["粤B12345 open 500 0 0"], "it went back");
}

#[test]
fn a_camera_tells_who_followed_another_in() {
    let mut story = Story::new();
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.passage("in", true);
    story.read("in", OTHER);
    story.sign("in", VehicleSign::Tailgated);
    story.arrival("in", false);
    story.passage("in", false);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤BD98765 open - 0 0"], "each has a stay of its own");
    assert_eq!(story.alarms(), ["tailgated"]);
}

#[test]
fn a_loop_that_stays_covered_is_told_once_and_blocks_nobody() {
    let mut story = Story::new();
    set(&mut story, "in", |lane| lane.stuck_ms = 120_000);
    story.arrival("in", true);
    story.read("in", PLATE);
    story.passage("in", true);
    story.arrival("in", false);
    story.seconds(121);
    assert_eq!(story.phase("in"), "idle");
    assert!(story.alarms().contains(&"stuck_loop".to_owned()));
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 1, "the next vehicle comes in");
    story.arrival("in", false);
    story.seconds(6);
    story.seconds(200);
    assert_eq!(story.alarms().iter().filter(|code| *code == "stuck_loop").count(), 1);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤BD98765 open - 0 0"]);
}

#[test]
fn a_loop_before_or_under_the_arm_that_stays_covered_is_told_once_and_a_vehicle_that_waits_is_no_fault() {
    for role in [LoopRole::Arrival, LoopRole::Safety] {
        let mut story = Story::new();
        set(&mut story, "out", |lane| lane.stuck_ms = 120_000);
        let loop_is = |story: &mut Story, occupied| match role {
            LoopRole::Safety => story.safety("out", occupied),
            LoopRole::Arrival | LoopRole::Passage => story.arrival("out", occupied),
        };
        let told = |story: &Story| story.alarms().iter().filter(|code| *code == "stuck_loop").count();
        loop_is(&mut story, true);
        story.seconds(119);
        assert_eq!(told(&story), 0, "{role:?}: somebody may stand there");
        story.seconds(2);
        assert_eq!(told(&story), 1, "{role:?}");
        story.seconds(400);
        assert_eq!(told(&story), 1, "{role:?}: once");
        loop_is(&mut story, false);
        loop_is(&mut story, true);
        story.seconds(121);
        assert_eq!(told(&story), 2, "{role:?}: it was clear in between");
    }
    let mut story = Story::new();
    set(&mut story, "out", |lane| lane.stuck_ms = 120_000);
    story.arrival("out", true);
    story.read("out", PLATE);
    assert_eq!(story.phase("out"), "waiting", "nobody came in under this plate");
    story.seconds(600);
    assert!(!story.alarms().contains(&"stuck_loop".to_owned()), "a driver who has not paid stands there");
}

#[test]
fn a_lane_without_an_arrival_loop_forgets_a_vehicle_that_nobody_sees_any_more() {
    let mut story = Story::new();
    set(&mut story, "out-bare", |lane| lane.forget_ms = 60_000);
    story.enter("in", PLATE);
    story.minutes(25);
    story.read("out-bare", PLATE);
    story.seconds(40);
    story.read("out-bare", PLATE);
    story.seconds(40);
    assert_eq!(story.phase("out-bare"), "waiting", "it was seen again");
    story.seconds(21);
    assert_eq!((story.phase("out-bare").as_str(), story.stays().remove(0).as_str()), ("idle", "粤B12345 open 500 0 0"));
}

#[test]
fn one_by_one_keeps_the_next_vehicle_until_the_first_is_away() {
    let mut story = Story::new();
    set(&mut story, "in", |lane| lane.detectors = Detectors::OneByOne);
    story.feed(Input::LoopChanged { lane: "in".into(), role: LoopRole::Passage, occupied: true });
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 0, "somebody is still under the arm");
    let before = story.commands.len();
    story.passage("in", false);
    assert_eq!(story.commands.len(), before + 1);
}

#[test]
fn plates_of_the_sites_own_shapes_are_plain_plates() {
    for (formats, raises) in [(vec![], 0), (vec![Format::parse("AA99999").unwrap()], 1)] {
        let mut story = Story::new();
        story.enter("in", "AB12845");
        story.know_plates(formats);
        story.minutes(10);
        story.arrival("out", true);
        assert_eq!(
            story.read("out", "AB12B45"),
            raises,
            "an 8 read as a B; the army's plates are never taken for misread"
        );
    }
}

const VIP: &str = r#"
[[zones]]
id = "vip"
outer = "paused"
[[tariffs]]
id = "vip"
zones = ["vip"]
unit = { minutes = 60, fen = 1000 }
[[passes]]
id = "P-1"
plates = ["粤B12345"]
from = "2026-01-01"
until = "2026-01-02"
"#;

/// A car park with more rules.
pub fn with(more: &str) -> Story {
    let mut story = Story::new();
    story.rules(|text| format!("{text}\n{more}"));
    story
}

/// A pair of lanes of the inner lot.
fn inner_lanes(story: &mut Story) {
    for (new, like) in [("vip-in", "in"), ("vip-out", "out")] {
        let lane = story.lanes[&LaneId::from(like)].clone();
        story.lanes.insert(new.into(), LaneSettings { zone: Some("vip".to_owned()), ..lane });
    }
    story.restart();
}

fn set(story: &mut Story, lane: &str, change: impl Fn(&mut LaneSettings)) {
    change(story.lanes.get_mut(&LaneId::from(lane)).unwrap());
    story.restart();
}

/// Leaves by the exit and pays what is due.
pub fn leave_for(story: &mut Story, plate: &str, fen: i64) {
    story.arrival("out", true);
    let raises = story.read("out", plate);
    assert_eq!(raises, usize::from(fen == 0), "{plate} owes {fen} fen: {:?}", story.stays());
    if fen > 0 {
        assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(fen) }).0, 1, "{plate}: {:?}", story.stays());
    }
    story.drive_through("out");
}

pub fn correct(story: &mut Story, what: Wrong) -> (usize, Reply) {
    story.feed(Input::Corrected(Correction {
        operator: "manager-1".to_owned(),
        reason: "a driver asked".to_owned(),
        evidence: "photo in/2026-03-02/17".to_owned(),
        what,
    }))
}
