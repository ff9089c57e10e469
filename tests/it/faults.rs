//! Broken devices over their real links: whatever a line does to an answer, a raise is sent once, its end is told as what it
//! is, and the lane goes on.

use simulators::led_card::{CardFault, Heard, LedLine};
use simulators::modbus::{Dialect, Effect};
use simulators::relay_board::{BoardFault, BoardReport, BoardSettings, RelayBoard};

use crate::boxed::{Broker, Site};
use crate::foreign::{IN, cameras, now_ms, pass, plate};

/// What is wrong, and what the box must say of the raise: accepted, or uncertain with an alarm.
const OF_CARDS: [(CardFault, &str); 6] = [
    (CardFault::None, "accepted"),
    (CardFault::AnswersLost, "silent"),
    (CardFault::AnswersSpoilt, "silent"),
    (CardFault::AnswersDoubled, "accepted"),
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
            CardFault::AnswersLost | CardFault::AnswersSpoilt => (0, 1),
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
        board.set_fault(fault);
        plate(&broker, IN, &format!("粤B1234{number}"), now_ms());
        silent += u64::from(fault != BoardFault::None);
        let answered = number as u64 + 1;
        let of = |answer: &str| site.metric(&format!(r#"gatepost_commands_total{{lane="entry-1",answer="{answer}"}}"#));
        until(|| of("accepted") + of("silent") == answered);
        assert_eq!(of("silent"), silent, "{fault:?}");
        pass(&broker, IN);
        site.daemon.hear("a vehicle is inside");
        board.set_fault(BoardFault::None);
        let mut pulses = 0;
        while let Ok(report) = reports.try_recv() {
            pulses += usize::from(matches!(report, BoardReport::Acted(Effect::Pulsed { .. }, _)));
        }
        assert!(pulses <= 1, "{fault:?}: {pulses} pulses");
    }
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

fn until(is_so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + crate::boxed::PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::yield_now();
    }
}
