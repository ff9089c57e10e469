//! Whose read it is: orders in which cameras say and say again what they read, and vehicles that drive off misread.

use gatepost::domain::event::{CommandAnswer, DeviceId, Input, PlateRead, StaffWish};
use gatepost::domain::lane::{Detectors, LaneSettings, LoopRole, PassedBy};
use gatepost::domain::plate::told::{End, Stage, Told};

use crate::dice::Dice;
use crate::story::Story;

const PLATE: &str = "粤R11111";

/// What one camera says: its event, its plate where it has one, and how much it knows.
type Said = (&'static str, &'static str, Stage);

/// However the camera comes to its plate, the vehicle that stands there is let in once, and is known by it.
#[test]
fn a_vehicle_is_let_in_by_the_first_plate_whatever_was_said_before() {
    use Stage::{Full, Quick};
    let table: &[&[Said]] = &[
        &[("1", "", Quick), ("1", PLATE, Full)],
        &[("1", "", Full), ("1", PLATE, Full)],
        &[("1", PLATE, Quick), ("1", "", Full)],
        &[("1", "", Quick), ("1", "", Full), ("1", PLATE, Full)],
        &[("1", "", Quick), ("2", PLATE, Full)],
        &[("1", "", Quick), ("2", "", Quick), ("2", PLATE, Full)],
        &[("1", "", Quick), ("2", "", Quick), ("1", PLATE, Full)],
        &[("1", "", Quick), ("1", PLATE, Full), ("1", PLATE, Full), ("1", "", Full)],
        &[("rear", "", Quick), ("1", PLATE, Full)],
        &[("rear", "", Quick), ("1", "", Quick), ("rear", PLATE, Full), ("1", PLATE, Full)],
        &[("rear", PLATE, Full), ("1", "", Quick), ("1", PLATE, Full)],
    ];
    for lane in ["in", "in-bare"] {
        for said in table {
            let mut story = with_a_bare_entry();
            if lane == "in" {
                story.arrival(lane, true);
            }
            let raises: usize = said.iter().map(|said| says(&mut story, lane, said)).sum();
            assert_eq!((raises, story.phase(lane).as_str()), (1, "raised"), "{lane}: {said:?}");
            let stays = story.rows("SELECT plate || ' ' || state FROM stay");
            assert_eq!(stays, ["粤R11111 pending_entry"], "{lane}: {said:?}");
        }
    }
}

/// The same of a vehicle that stands behind another one.
#[test]
fn a_vehicle_behind_is_let_in_by_the_plate_that_comes_after_its_quick_result() {
    for is_late in [false, true] {
        let mut story = Story::new();
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤B12345"), 1);
        story.passage("in", true);
        story.arrival("in", false);
        story.arrival("in", true);
        assert_eq!(says(&mut story, "in", &("1", "", Stage::Quick)), 0);
        let full = ("1", PLATE, Stage::Full);
        let mut raises = if is_late { 0 } else { says(&mut story, "in", &full) };
        raises += story.feed(Input::LoopChanged { lane: "in".into(), role: LoopRole::Passage, occupied: false }).0;
        raises += if is_late { says(&mut story, "in", &full) } else { 0 };
        assert_eq!(raises, 1, "late: {is_late}");
        story.drive_through("in");
        assert_eq!(story.stays(), ["粤B12345 open - 0 0", "粤R11111 open - 0 0"], "late: {is_late}");
    }
}

/// Its full result comes when the vehicle has gone: nobody stands there.
#[test]
fn a_plate_that_comes_when_its_vehicle_has_gone_raises_for_nobody() {
    for is_let_in in [false, true] {
        let mut story = Story::new();
        story.arrival("in", true);
        says(&mut story, "in", &("1", "", Stage::Quick));
        if is_let_in {
            let why = "known to me".to_owned();
            let wish = StaffWish::Raise { reason: why, plate: None, debt: false, second: None };
            assert_eq!(story.staff("in", wish).0, 1);
            story.drive_through("in");
        } else {
            story.arrival("in", false);
            story.seconds(6);
        }
        story.arrival("in", true);
        assert_eq!(says(&mut story, "in", &("1", PLATE, Stage::Full)), 0, "let in: {is_let_in}");
        assert_eq!(story.phase("in"), "idle", "let in: {is_let_in}");
    }
}

#[test]
fn a_vehicle_that_drives_off_misread_raises_for_nobody() {
    for misread in ["粤S12348", "粤S12388"] {
        let mut story = Story::new();
        story.enter("in", "粤S12345");
        assert_eq!(story.read("in", misread), 0, "nobody stands there");
        assert_eq!(story.phase("in"), "idle");
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤T77777"), 1, "the next one");
        story.drive_through("in");
        assert_eq!(story.stays(), ["粤S12345 open - 0 0", "粤T77777 open - 0 0"]);
    }
}

/// Both ends have read it already.
#[test]
fn a_vehicle_that_drives_off_misread_from_behind_raises_for_nobody() {
    let mut story = Story::new();
    set(&mut story, |lane| lane.gear.rear_camera = Some(DeviceId::from("rear")));
    story.arrival("in", true);
    assert_eq!(story.read("in", "粤G11111"), 1);
    assert_eq!(says(&mut story, "in", &("rear", "粤G11111", Stage::Full)), 0);
    story.drive_through("in");
    let behind = story.statement("in", "粤G1111I");
    let told = Told { end: End::Rear, ..Told::default() };
    assert_eq!(story.feed(Input::PlateRead(PlateRead { device: "rear".into(), told, ..behind })).0, 0);
    assert_eq!((story.phase("in").as_str(), story.commands.len()), ("idle", 1));
}

/// A family's cars have plates one behind the other, and drive one behind the other.
#[test]
fn the_sister_that_stands_on_the_arrival_loop_is_let_in() {
    let mut story = Story::new();
    story.enter("in", "粤B12345");
    story.arrival("in", true);
    assert_eq!(story.read("in", "粤B12346"), 1);
    story.drive_through("in");
    story.seconds(11);
    assert_eq!(story.read("in", "粤B12347"), 1, "read before it came to the loop, but long after the last");
    story.arrival("in", true);
    story.drive_through("in");
    let plates = story.rows("SELECT plate FROM stay WHERE state = 'open' ORDER BY plate");
    assert_eq!(plates, ["粤B12345", "粤B12346", "粤B12347"]);
}

/// It was not the last one misread a little, but quite: the next one must not go in as what nobody is.
#[test]
fn who_stands_where_a_phantom_never_came_is_let_in_as_itself() {
    let mut story = Story::new();
    story.enter("in", "粤S12345");
    assert_eq!(story.read("in", "粤X98712"), 1, "nobody can tell yet");
    story.arrival("in", true);
    assert_eq!(story.read("in", "粤T77777"), 1);
    story.drive_through("in");
    let stays = story.rows("SELECT plate || ' ' || state FROM stay ORDER BY plate");
    assert_eq!(stays, ["粤S12345 open", "粤T77777 open", "粤X98712 void"]);
}

/// A camera that looks far reads a vehicle before it is on the loop, and the one behind it then.
#[test]
fn who_was_read_ahead_and_has_come_is_not_sent_away_by_a_read_of_another() {
    for (first, has_come) in [("粤S12345", true), ("", false)] {
        let mut story = Story::new();
        if !first.is_empty() {
            story.enter("in", first);
        }
        assert_eq!(story.read("in", "粤X98712"), 1);
        story.arrival("in", true);
        if has_come {
            assert_eq!(story.read("in", "粤X98712"), 0, "it has come");
        }
        assert_eq!(story.read("in", "粤T77777"), 0, "{first:?}");
        story.drive_through("in");
        assert_eq!(story.rows("SELECT state FROM stay WHERE plate = '粤X98712'"), ["open"], "{first:?}");
    }
}

/// It was over the loop and nothing read it there. What tells that it has passed is the next one.
#[test]
fn who_was_read_ahead_and_has_driven_over_the_loop_has_passed_when_the_next_one_comes() {
    let mut story = Story::new();
    set(&mut story, |lane| lane.passed_by = PassedBy::Timeout);
    story.enter("in", "粤S12345");
    assert_eq!(story.read("in", "粤X98712"), 1);
    story.arrival("in", true);
    story.arrival("in", false);
    story.arrival("in", true);
    assert_eq!(story.read("in", "粤T77777"), 1);
    let stays = story.rows("SELECT plate || ' ' || state FROM stay ORDER BY plate");
    assert_eq!(stays, ["粤S12345 open", "粤T77777 pending_entry", "粤X98712 open"]);
}

/// The camera of the entry says something; how many raises followed. `rear` is the event of its other camera.
fn says(story: &mut Story, lane: &str, (event, plate, stage): &Said) -> usize {
    let is_rear = *event == "rear";
    let told = Told { stage: *stage, end: if is_rear { End::Rear } else { End::Front }, ..Told::default() };
    let device = DeviceId(if is_rear { "rear".to_owned() } else { format!("camera-{lane}") });
    let read = PlateRead { device, event: format!("e{event}"), told, ..story.statement(lane, plate) };
    story.feed(Input::PlateRead(read)).0
}

fn with_a_bare_entry() -> Story {
    let mut story = Story::new();
    story.lanes.insert("in-bare".into(), LaneSettings::plain(gatepost::domain::lane::Direction::Entry));
    for lane in ["in", "in-bare"] {
        let gear = &mut story.lanes.get_mut(&lane.into()).unwrap().gear;
        (gear.camera, gear.rear_camera) = (Some(DeviceId(format!("camera-{lane}"))), Some("rear".into()));
    }
    story.restart();
    story
}

fn set(story: &mut Story, change: impl Fn(&mut LaneSettings)) {
    change(story.lanes.get_mut(&"in".into()).unwrap());
    story.restart();
}

const STORIES: u64 = 24;

/// Whatever cameras, boards and links do: each vehicle that stands before the arm is let in once, as itself, and nobody else.
#[test]
fn each_vehicle_is_let_in_once_and_nobody_else() {
    let mut lowers = 0;
    for seed in 0..STORIES {
        lowers += Queue::new(seed).pass();
    }
    assert!(lowers > 20, "only {lowers} arms came down in all stories");
}

/// Vehicles, one behind the other, at the entry.
struct Queue {
    seed: u64,
    dice: Dice,
    story: Story,
    /// How many vehicles have come.
    came: usize,
}

impl Queue {
    fn new(seed: u64) -> Self {
        let (mut dice, mut story) = (Dice(seed), Story::new());
        let mode = dice.pick(&[Detectors::Timer, Detectors::AtOnce, Detectors::AntiTailgate]);
        set(&mut story, |lane| {
            lane.detectors = mode;
            let boards = [(LoopRole::Arrival, "board"), (LoopRole::Passage, "board"), (LoopRole::Safety, "safety")];
            lane.gear.loops = boards.map(|(role, device)| (role, DeviceId::from(device))).into();
        });
        story.safety("in", false);
        Self { seed, dice, story, came: 0 }
    }

    /// How often the arm was let down.
    fn pass(mut self) -> usize {
        let plates = ["粤B11111", "粤C22222", "粤D33333", "粤E44444", "粤F55555"];
        for plate in plates {
            self.come(plate);
            self.drive_off(plate);
        }
        let inside = self.story.rows("SELECT plate FROM stay WHERE state <> 'void' ORDER BY plate");
        assert_eq!(inside, plates, "seed {}", self.seed);
        self.story.lowers.len()
    }

    /// It is said without a plate first, or with it, and then again and again by a camera that is in no hurry.
    fn come(&mut self, plate: &'static str) {
        self.came += 1;
        let raised = self.story.commands.len();
        self.story.arrival("in", true);
        let without = self.dice.below(3);
        let again = self.dice.below(4);
        let plates = (0..without).map(|_| "").chain([plate]).chain((0..again).map(|_| plate));
        for said in plates.collect::<Vec<_>>() {
            let event = self.dice.below(2);
            let stage = if said.is_empty() { Stage::Quick } else { Stage::Full };
            let told = Told { stage, ..Told::default() };
            let event = format!("{}-{event}", self.came);
            let read = PlateRead { event, told, ..self.story.statement("in", said) };
            if self.story.feed(Input::PlateRead(read)).0 > 0 {
                let why = "nothing came".to_owned();
                let silent = CommandAnswer::Silent(why.clone());
                let answer = self.dice.pick(&[CommandAnswer::Accepted, silent, CommandAnswer::Refused(why)]);
                self.story.answer("in", answer);
            }
            self.story.seconds(self.dice.pick(&[0, 0, 1]));
        }
        let raises = self.story.commands.len() - raised;
        assert_eq!((raises, self.story.phase("in").as_str()), (1, "raised"), "seed {}: {plate}", self.seed);
    }

    /// It drives off, is read once more with a sign that is wrong, and a device is away for a moment.
    fn drive_off(&mut self, plate: &str) {
        self.story.safety("in", true);
        self.story.drive_through("in");
        self.misread(plate);
        self.story.safety("in", false);
        if self.dice.one_in(2) {
            let device = DeviceId::from(self.dice.pick(&["safety", "board"]));
            self.story.feed(Input::DeviceLost { device: device.clone(), why: "unplugged".to_owned() });
            self.story.feed(Input::DeviceBack { device });
            self.story.seconds(6);
            assert_eq!(self.story.phase("in"), "idle", "seed {}: behind {plate}", self.seed);
        }
        self.misread(plate);
        self.story.seconds(self.dice.pick(&[0, 1, 20]));
    }

    fn misread(&mut self, plate: &str) {
        if self.dice.one_in(2) {
            let misread = format!("{}8", &plate[..plate.len() - 1]);
            assert_eq!(self.story.read("in", &misread), 0, "seed {}: nobody is there after {plate}", self.seed);
        }
    }
}
