//! The loops and the arm: which mode holds it up, which lets it down, and that nothing ever comes down on a vehicle.

use gatepost::domain::event::{
    Action, ArmPosition, CommandAnswer, DeviceId, EmergencySource, Input, LaneId, Now, UtcMs, VehicleSign,
};
use gatepost::domain::lane::{Detectors, LaneSettings, LoopRole};
use gatepost::site::{Core, activate_rules};
use gatepost::store::Store;

use crate::dice::{Dice, lanes, memory};
use crate::story::Story;

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";

#[test]
fn at_once_the_arm_comes_down_when_both_loops_and_the_one_under_it_are_clear() {
    let mut story = of(Detectors::AtOnce);
    enter_until_under_the_arm(&mut story);
    story.passage("in", false);
    assert_eq!(story.lowers.len(), 0, "its tail is still under the arm");
    story.safety("in", false);
    assert_eq!(story.lowers.len(), 1);
    assert_eq!(journaled(&story), "1", "on disk before it goes out");
    story.feed(Input::BarrierAnswered {
        lane: "in".into(),
        command: story.lowers[0].clone(),
        answer: CommandAnswer::Silent("no answer in time".to_owned()),
    });
    story.seconds(60);
    assert_eq!((story.lowers.len(), journaled(&story).as_str()), (1, "2"), "never repeated; the arm has its own timer");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
}

#[test]
fn mode_3_leaves_the_arm_to_its_timer_while_the_next_stands_before_it_and_mode_4_closes_behind_the_first() {
    for (mode, lowers) in [(Detectors::AtOnce, 0), (Detectors::AntiTailgate, 1)] {
        let mut story = of(mode);
        enter_until_under_the_arm(&mut story);
        story.arrival("in", true);
        story.safety("in", false);
        story.passage("in", false);
        assert_eq!(story.lowers.len(), lowers, "{mode:?}");
    }
    let mut story = of(Detectors::AntiTailgate);
    enter_until_under_the_arm(&mut story);
    story.arrival("in", true);
    assert_eq!(story.read("in", OTHER), 0, "one vehicle a raise");
    let raised = story.commands.len();
    story.safety("in", false);
    story.passage("in", false);
    assert_eq!((story.commands.len(), story.lowers.len()), (raised + 1, 0), "the next one has paid: the arm stays up");
}

/// The loop under the arm lies before the passage loop: whoever follows is seen there first.
#[test]
fn who_is_under_the_arm_before_the_first_has_left_the_passage_loop_keeps_it_up() {
    for mode in [Detectors::AtOnce, Detectors::AntiTailgate] {
        let mut story = of(mode);
        enter_until_under_the_arm(&mut story);
        story.safety("in", false);
        story.safety("in", true);
        story.passage("in", false);
        assert_eq!(story.lowers.len(), 0, "{mode:?}: the next one is under it, and on no other loop yet");
        story.passage("in", true);
        story.safety("in", false);
        assert_eq!(story.lowers.len(), 0, "{mode:?}: its tail may be there");
        story.passage("in", false);
        assert_eq!(story.lowers.len(), 1, "{mode:?}: behind both");
    }
}

#[test]
fn a_vehicle_that_backs_out_leaves_the_arm_to_its_timer() {
    let mut story = of(Detectors::AtOnce);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.arrival("in", false);
    story.seconds(6);
    assert_eq!((story.phase("in").as_str(), story.lowers.len()), ("idle", 0));
}

#[test]
fn what_comes_under_an_arm_on_its_way_down_sends_it_up_again() {
    let mut story = of(Detectors::AntiTailgate);
    enter_until_under_the_arm(&mut story);
    story.safety("in", false);
    story.passage("in", false);
    assert_eq!(story.lowers.len(), 1);
    let raised = story.commands.len();
    story.safety("in", true);
    assert_eq!(story.commands.len(), raised + 1, "up again");
    assert!(story.alarms().contains(&"under_the_arm".to_owned()), "{:?}", story.alarms());
    story.safety("in", false);
    assert_eq!((story.lowers.len(), story.phase("in").as_str()), (1, "idle"), "its own timer lets it down");
    story.feed(Input::BarrierMoved { lane: "in".into(), position: ArmPosition::Down });
    story.safety("in", true);
    assert_eq!(story.commands.len(), raised + 1, "the arm is down: somebody walks by");
}

/// A driver who waits takes a raise for a leave, so a start must not raise for what it cannot know.
#[test]
fn a_start_raises_for_nobody_and_lowers_nothing() {
    let mut story = of(Detectors::AntiTailgate);
    enter_until_under_the_arm(&mut story);
    story.safety("in", false);
    story.passage("in", false);
    story.arrival("in", true);
    let (raised, lowered) = (story.commands.len(), story.lowers.len());
    story.restart();
    story.safety("in", false);
    assert_eq!((story.commands.len(), story.lowers.len()), (raised, lowered));
}

#[test]
fn without_the_loop_under_it_no_arm_comes_down() {
    let mut story = of(Detectors::AntiTailgate);
    enter_until_under_the_arm(&mut story);
    story.safety("in", false);
    device(&mut story, "safety", true);
    story.passage("in", false);
    assert_eq!((story.lowers.len(), story.phase("in").as_str()), (0, "idle"), "the lane goes on, the arm has a timer");
    device(&mut story, "safety", false);
    assert_eq!(story.lowers.len(), 0, "back, but it has not said yet that nothing is there");
    story.enter("in", OTHER);
    assert_eq!(story.lowers.len(), 0);
    story.safety("in", true);
    story.safety("in", false);
    assert_eq!(story.lowers.len(), 1);
}

#[test]
fn a_loop_that_is_lost_while_the_arm_comes_down_sends_it_up_again() {
    let mut story = of(Detectors::AtOnce);
    enter_until_under_the_arm(&mut story);
    story.safety("in", false);
    story.passage("in", false);
    assert_eq!(story.lowers.len(), 1);
    let raised = story.commands.len();
    device(&mut story, "safety", true);
    assert_eq!(story.commands.len(), raised + 1);
}

/// A loop that is away for a moment says nothing of itself when it is back: a board that tells changes has none to tell.
#[test]
fn a_loop_that_was_away_while_the_arm_came_down_strands_nobody() {
    for mode in [Detectors::AtOnce, Detectors::AntiTailgate] {
        for (away, is_back) in [("safety", true), ("safety", false), ("board", true)] {
            let mut story = of(mode);
            enter_until_under_the_arm(&mut story);
            story.safety("in", false);
            story.passage("in", false);
            assert_eq!(story.lowers.len(), 1);
            device(&mut story, away, true);
            let raised = story.commands.len();
            if is_back {
                device(&mut story, away, false);
            }
            story.arrival("in", true);
            // What is under the arm was told before the board went, and by another.
            let is_known = away == "board";
            let at_once = story.read("in", OTHER);
            assert_eq!(at_once, usize::from(is_known), "{mode:?}, {away}: the arm goes up again");
            story.seconds(6);
            assert_eq!(story.commands.len(), raised + 1, "{mode:?}, {away} back: {is_back}: its turn");
            story.drive_through("in");
            let inside = story.rows("SELECT plate FROM stay WHERE state = 'open' ORDER BY plate");
            assert_eq!(inside, [PLATE, OTHER], "{mode:?}, {away} back: {is_back}");
            assert!(is_known || story.lowers.len() == 1, "nobody knows what is under the arm");
            assert!(!story.alarms().contains(&"not_driving_on".to_owned()), "{:?}", story.alarms());
        }
    }
}

#[test]
fn mode_1_holds_the_arm_up_for_a_vehicle_on_a_loop_and_repeats_no_uncertain_raise() {
    let mut story = of(Detectors::Hold);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.seconds(3);
    assert_eq!(story.commands.len(), 1, "nobody knows yet if it went up");
    let mut story = of(Detectors::Hold);
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.answer("in", CommandAnswer::Accepted);
    story.seconds(3);
    assert_eq!(story.commands.len(), 2, "held up");
    story.passage("in", true);
    story.arrival("in", false);
    story.seconds(3);
    assert_eq!(story.commands.len(), 3, "still on a loop");
    story.passage("in", false);
    story.arrival("in", true);
    story.seconds(3);
    assert_eq!(story.commands.len(), 3, "whoever stands before the arm without a leave holds nothing up");
    assert_eq!(story.stays(), ["粤B12345 open - 0 0"]);
}

#[test]
fn a_lost_board_holds_up_nobody() {
    let mut story = Story::new();
    set(&mut story, "in", |lane| {
        lane.detectors = Detectors::OneByOne;
        lane.gear.loops = [LoopRole::Arrival, LoopRole::Passage].map(|role| (role, DeviceId::from("board"))).into();
    });
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.passage("in", true);
    story.feed(Input::DeviceLost { device: "board".into(), why: "it does not answer".to_owned() });
    assert_eq!(
        story.rows("SELECT text FROM alarm WHERE code = 'device_lost'"),
        ["board is away: at in the loops are not known"]
    );
    story.seconds(60);
    assert_eq!(story.phase("in"), "idle", "nobody sees it pass, so the time tells");
    assert_eq!(story.read("in", OTHER), 1, "a loop of which nothing is known blocks nobody");
    story.sign("in", VehicleSign::Passed);
    assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤BD98765 open - 0 0"], "now the camera's word counts");
    story.feed(Input::DeviceBack { device: "board".into() });
    let told =
        "SELECT CAST(count(*) AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%\"kind\":\"device_changed\"%'";
    assert_eq!(story.rows(told), ["2"]);
}

#[test]
fn a_lost_camera_and_a_lost_barrier_are_told_to_staff_and_a_printer_is_not() {
    let mut story = Story::new();
    set(&mut story, "in", |lane| {
        (lane.gear.camera, lane.gear.barrier) = (Some("cam".into()), Some("board".into()));
    });
    for device in ["cam", "board", "printer"] {
        story.feed(Input::DeviceLost { device: device.into(), why: "its link is down".to_owned() });
    }
    assert_eq!(
        story.rows("SELECT text FROM alarm WHERE code = 'device_lost' ORDER BY seq"),
        ["cam is away: at in plates are not read", "board is away: at in the arm cannot be moved from here"]
    );
}

/// Whatever the loops say, in whatever order, with power cuts, lost devices, emergencies and late commands: an arm is let
/// down only while the loop under it is known to be clear.
#[test]
fn no_arm_ever_comes_down_on_a_vehicle() {
    let mut lowers = 0;
    for seed in 0..STORIES {
        lowers += random_lane(seed);
    }
    assert!(u64::from(lowers) > STORIES / 2, "only {lowers} arms came down in all stories");
}

const STORIES: u64 = 120;

/// How often the arm was let down.
fn random_lane(seed: u64) -> u32 {
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir_in(memory()).unwrap();
    let path = folder.path().join("ledger.db");
    let lane = LaneId::from("in");
    let mut all = lanes();
    lowering(all.get_mut(&lane).unwrap(), dice.pick(&[Detectors::AtOnce, Detectors::AntiTailgate]));
    let open = || {
        let mut store = Store::open(&path, "box-1").unwrap();
        activate_rules(&mut store, include_str!("../../systemd/rules.toml"), &gatepost::clock::Clock::new(None))
            .unwrap();
        let mut core = Core::new(store, all.clone());
        for input in core.first_inputs() {
            let now = Now { uptime_ms: 0, utc: UtcMs(1_772_409_600_000), trusted: true };
            let step = core.step(input, now).unwrap();
            assert!(!step.actions.iter().any(|action| matches!(action, Action::Lower { .. })), "seed {seed}");
        }
        core.commit().unwrap();
        core
    };
    let (mut core, mut uptime_ms, mut lowers) = (open(), 1_000, 0);
    // What is known of the loop under the arm: nothing, before it has said so.
    let (mut known_clear, mut is_lost, mut is_emergency) = (false, false, false);
    for n in 0..150_u32 {
        uptime_ms += dice.pick(&[0, 50, 200, 1_000, 4_000, 16_000]);
        let turn = |role, occupied| Input::LoopChanged { lane: lane.clone(), role, occupied };
        let occupied = dice.one_in(2);
        let input = match dice.below(16) {
            0..=3 => {
                known_clear = !occupied;
                turn(LoopRole::Safety, occupied)
            }
            4..=6 => turn(LoopRole::Passage, occupied),
            7..=8 => turn(LoopRole::Arrival, occupied),
            9..=10 => Input::PlateRead(a_read(&lane, n)),
            11 => Input::LaneDue { lane: lane.clone() },
            12 => {
                Input::BarrierMoved { lane: lane.clone(), position: dice.pick(&[ArmPosition::Up, ArmPosition::Down]) }
            }
            13 if dice.one_in(3) => {
                is_emergency = occupied;
                Input::Emergency { source: EmergencySource::Contact, active: occupied }
            }
            14 if occupied => {
                (is_lost, known_clear) = (true, false);
                Input::DeviceLost { device: "safety".into(), why: "unplugged".to_owned() }
            }
            14 => {
                is_lost = false;
                Input::DeviceBack { device: "safety".into() }
            }
            15 if dice.one_in(4) => {
                drop(core);
                core = open();
                (known_clear, is_lost) = (false, false);
                continue;
            }
            _ => Input::VehicleSeen { lane: lane.clone(), sign: VehicleSign::Passed },
        };
        let now = Now { uptime_ms, utc: UtcMs(1_772_409_600_000 + i64::from(n) * 1_000), trusted: true };
        let step = core.step(input.clone(), now).unwrap();
        core.commit().unwrap();
        if step.actions.iter().any(|action| matches!(action, Action::Lower { .. })) {
            lowers += 1;
            assert!(known_clear && !is_lost && !is_emergency, "seed {seed}, step {n}: {input:?}");
        }
    }
    lowers
}

fn a_read(lane: &LaneId, n: u32) -> gatepost::domain::event::PlateRead {
    gatepost::domain::event::PlateRead {
        lane: lane.clone(),
        device: "camera-in".into(),
        event: format!("event-{n}"),
        plate: Some(format!("京N{n:05}").parse().unwrap()),
        confidence: 97,
        captured: UtcMs(1_772_409_600_000 + i64::from(n) * 1_000),
        stored_offline: false,
        photos: None,
        told: Default::default(),
        earlier: Vec::new(),
    }
}

/// A story whose entry is in this mode, with a loop under its arm that is known to be clear.
fn of(mode: Detectors) -> Story {
    let mut story = Story::new();
    set(&mut story, "in", |lane| lowering(lane, mode));
    story.safety("in", false);
    story
}

fn lowering(lane: &mut LaneSettings, mode: Detectors) {
    lane.detectors = mode;
    lane.gear.loops = [
        (LoopRole::Arrival, DeviceId::from("board")),
        (LoopRole::Passage, DeviceId::from("board")),
        (LoopRole::Safety, DeviceId::from("safety")),
    ]
    .into();
}

fn set(story: &mut Story, lane: &str, change: impl Fn(&mut LaneSettings)) {
    change(story.lanes.get_mut(&LaneId::from(lane)).unwrap());
    story.restart();
}

/// Over the arrival loop, read, raised, and now under the arm and on the passage loop.
fn enter_until_under_the_arm(story: &mut Story) {
    story.arrival("in", true);
    assert_eq!(story.read("in", PLATE), 1);
    story.safety("in", true);
    story.passage("in", true);
    story.arrival("in", false);
}

fn device(story: &mut Story, device: &str, is_lost: bool) {
    story.feed(match is_lost {
        true => Input::DeviceLost { device: device.into(), why: "unplugged".to_owned() },
        false => Input::DeviceBack { device: device.into() },
    });
}

/// How many lines the journal has about arms that were let down.
fn journaled(story: &Story) -> String {
    let sql =
        "SELECT CAST(count(*) AS TEXT) FROM journal WHERE CAST(body AS TEXT) LIKE '%\"kind\":\"barrier_lowered\"%'";
    story.rows(sql)[0].clone()
}
