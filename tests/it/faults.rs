//! Broken devices over their real links: whatever a line does to an answer, a raise is sent once, its end is told as what it
//! is, and the lane goes on.

use simulators::faults::{Fault, Faults, Suffers};
use simulators::led_card::{CardFault, Heard, LedLine};
use simulators::modbus::{Dialect, Effect};
use simulators::relay_board::{BoardFault, BoardReport, BoardSettings, RelayBoard};

use crate::boxed::{Broker, Site};
use crate::foreign::{IN, cameras, now_ms, pass, plate};

/// What is wrong, and what the box must say of the raise: accepted, or uncertain with an alarm.
const OF_CARDS: [(CardFault, &str); 7] = [
    (CardFault::None, "accepted"),
    (CardFault::AnswersLost, "silent"),
    (CardFault::AnswersSpoilt, "silent"),
    (CardFault::AnswersDoubled, "accepted"),
    (CardFault::AnswersLate, "silent"),
    // The card takes it and nothing moves: an acknowledgement is no more than that.
    (CardFault::RelayBurnt, "accepted"),
    (CardFault::Dead, "silent"),
];

#[test]
fn a_card_s_broken_answers_are_uncertain_raises_and_none_is_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let cards = LedLine::open(&[0]).unwrap();
    let mut site = Site::start(&on_device(
        &broker,
        "kf/dc199",
        &cards.path().display().to_string(),
        "params = { acks = \"yes\" }",
        1,
    ));
    site.daemon.hear("connected to the broker");
    until(|| site.metric(r#"gatepost_link_up{link="line"}"#) == 1);
    let mut answered = std::collections::BTreeMap::<&str, u64>::new();
    for (number, (fault, answer)) in OF_CARDS.into_iter().enumerate() {
        // A card that was lost is found again by its next poll; until then it is told nothing.
        until(|| site.metric(r#"gatepost_device_up{device="actor"}"#) == 1);
        while cards.heard_within(std::time::Duration::ZERO).is_some() {}
        cards.set_fault(fault);
        plate(&broker, IN, &format!("粤B1234{number}"), now_ms());
        *answered.entry(answer).or_default() += 1;
        let metric = format!(r#"gatepost_commands_total{{lane="entry-1",answer="{answer}"}}"#);
        until(|| site.metric(&metric) == answered[answer]);
        pass(&broker, IN);
        site.daemon.hear("a vehicle is inside");
        let mut raises = 0;
        while let Some((_, heard)) = cards.heard_within(std::time::Duration::ZERO) {
            raises += usize::from(matches!(heard, Heard::Raised(_)));
        }
        // A card whose answers are no use is soon known to be away, and is then not told to raise at all.
        let (least, most) = match fault {
            CardFault::None | CardFault::AnswersDoubled => (1, 1),
            CardFault::AnswersLost | CardFault::AnswersSpoilt | CardFault::AnswersLate => (0, 1),
            CardFault::RelayBurnt | CardFault::Dead => (0, 0),
        };
        assert!((least..=most).contains(&raises), "{fault:?}: {raises} raises");
        cards.set_fault(CardFault::None);
    }
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn a_board_s_broken_answers_are_uncertain_raises_and_none_is_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let settings = BoardSettings { dialect: Dialect::Waveshare, address: 1, report_frames: false };
    let (board, mut reports) = RelayBoard::open(settings).unwrap();
    let path = board.path().display().to_string();
    let mut site = Site::start(&on_device(&broker, "waveshare/modbus-relay-8", &path, "poll_ms = 50", 0));
    site.daemon.hear("connected to the broker");
    until(|| site.metric(r#"gatepost_link_up{link="line"}"#) == 1);
    let mut silent = 0;
    let faults = [BoardFault::None, BoardFault::Silent, BoardFault::WrongChecksum, BoardFault::None];
    for (number, fault) in faults.into_iter().enumerate() {
        until(|| site.metric(r#"gatepost_device_up{device="actor"}"#) == 1);
        // Only the raise suffers: a board that told no inputs either would be lost before the raise, wherever that is slow.
        board.set_fault_of_pulses(fault);
        plate(&broker, IN, &format!("粤B1234{number}"), now_ms());
        silent += u64::from(fault != BoardFault::None);
        let answered = number as u64 + 1;
        let of = |answer: &str| site.metric(&format!(r#"gatepost_commands_total{{lane="entry-1",answer="{answer}"}}"#));
        until(|| of("accepted") + of("silent") == answered);
        assert_eq!(of("silent"), silent, "{fault:?}");
        pass(&broker, IN);
        site.daemon.hear("a vehicle is inside");
        board.set_fault_of_pulses(BoardFault::None);
        let mut pulses = 0;
        while let Ok(report) = reports.try_recv() {
            pulses += usize::from(matches!(report, BoardReport::Acted(Effect::Pulsed { .. }, _)));
        }
        assert!(pulses <= 1, "{fault:?}: {pulses} pulses");
    }
    site.daemon.kill();
    site.verify().unwrap();
}

/// Answers to reads of inputs are lost, late, doubled and spoilt while vehicles drive over the loops: each is one stay, and the
/// board is not taken for lost. One that starts anew is, and then found again.
#[test]
fn a_board_whose_reads_of_inputs_suffer_counts_each_vehicle_once_and_is_lost_only_while_it_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let settings = BoardSettings { dialect: Dialect::Waveshare, address: 1, report_frames: false };
    let (board, mut reports) = RelayBoard::open(settings).unwrap();
    let path = board.path().display().to_string();
    let passage = "passage_loop = { device = \"cam-entry\", input = 1 }";
    let of_board = "passage_loop = { device = \"actor\", input = 1 }\narrival_loop = { device = \"actor\", input = 0 }";
    let lanes = on_device(&broker, "waveshare/modbus-relay-8", &path, "poll_ms = 50", 0);
    assert!(lanes.contains(passage), "{lanes}");
    let mut site = Site::start(&lanes.replacen(passage, of_board, 1));
    site.daemon.hear("connected to the broker");
    let is_up = |site: &Site| site.metric(r#"gatepost_device_up{device="actor"}"#) == 1;
    until(|| is_up(&site));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let step = |input: u8, is_on: bool| {
        board.set_input(input, is_on);
        runtime.block_on(board.inputs_noticed());
    };
    let all = [Fault::Lost, Fault::Late, Fault::Duplicated, Fault::Corrupted];
    let faults = Faults::of(all);
    board.suffer(faults.clone());
    let mut vehicles = 0;
    let have_struck = || faults.suffered().get(&Suffers::Polls).is_some_and(|polls| polls.values().all(|n| *n > 1));
    while !have_struck() {
        assert!(vehicles < 60, "{:?}", faults.suffered());
        step(0, true);
        plate(&broker, IN, &format!("粤B{}", 12_340 + vehicles), now_ms());
        until(|| matches!(reports.try_recv(), Ok(BoardReport::Acted(Effect::Pulsed { .. }, _))));
        step(1, true);
        step(0, false);
        step(1, false);
        site.daemon.hear("a vehicle is inside");
        vehicles += 1;
        assert!(is_up(&site), "noise is no loss: {:?}", faults.suffered());
    }
    let open = site.books()["stays"].as_array().unwrap().iter().filter(|stay| stay["state"] == "open").count();
    assert_eq!(open, vehicles, "each once");
    let rejected = |reason: &str| {
        let metric = format!("gatepost_rejections_total{{room=\"devices\",reason=\"{reason}\"}}");
        site.metric(&metric)
    };
    assert!(rejected("no-answer") > 1 && rejected("wrong-checksum") > 1, "counted");
    board.suffer(Faults::of([Fault::Reboot]));
    site.daemon.hear("the board is lost");
    site.daemon.hear("the board answers again");
    until(|| is_up(&site));
    site.daemon.kill();
    site.verify().unwrap();
}

/// The entry's barrier on a device of a serial line.
fn on_device(broker: &Broker, profile: &str, path: &str, more: &str, output: u16) -> String {
    let camera = "barrier = { device = \"cam-entry\", output = 0, pulse_ms = 1500 }";
    let lanes = cameras(broker);
    assert!(lanes.contains(camera), "{lanes}");
    let barrier = format!("barrier = {{ device = \"actor\", output = {output}, pulse_ms = 1000 }}");
    let line = format!(
        "[[links]]\nid = \"line\"\nkind = \"serial\"\npath = \"{path}\"\n\
         [[devices]]\nid = \"actor\"\nprofile = \"{profile}\"\nlink = \"line\"\n{more}\n"
    );
    lanes.replacen(camera, &barrier, 1) + &line
}

fn until(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + crate::boxed::PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::yield_now();
    }
}
