//! What drivers see and hear: the real daemon with a broker, and a display, voice and relay card on a serial line.

use std::time::Duration;

use simulators::led_card::{CardFault, Heard, LedLine};

use crate::boxed::{Broker, PATIENCE, Site};
use crate::foreign::{IN, OUT, cameras, commands, now_ms, pass, plate, raise_of};

const PLATE: &str = "粤B12345";

#[test]
fn drivers_are_told_after_the_raise_what_it_means_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let cards = LedLine::open(&[0, 5]).unwrap();
    let mut site = Site::start(&with_cards(&cameras(&broker), &cards, true));
    site.daemon.hear("connected to the broker");
    assert_eq!(until_screen(&cards, 0), ["欢迎光临", "减速慢行"]);

    plate(&broker, IN, PLATE, now_ms() - 7_199_000);
    let screen = Heard::Screen(vec![PLATE.to_owned(), "欢迎光临".to_owned(), "请入场停车".to_owned()]);
    let told = until_all(&cards, 0, &[screen.clone(), Heard::Said("粤B12345,欢迎光临".to_owned())]);
    let raised = told.iter().position(|heard| *heard == Heard::Raised(1)).expect("the card raises");
    assert_eq!(raised, 0, "the raise goes first: {told:?}");
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");

    plate(&broker, OUT, PLATE, now_ms());
    site.until("the car stands at the exit", |site| site.stays_of(PLATE) == ["pending_exit"]);
    let stay = site.books()["stays"][0]["stay"].as_str().unwrap().to_owned();
    let code = format!("https://pay.example/{stay}?fen=2000");
    let text = "粤B12345,停车1小时59分钟,请交费20.00元,扫码支付".to_owned();
    let asked = Heard::Said("粤B12345,停车1小时59分钟,请交费20.00元".to_owned());
    until_all(&cards, 5, &[Heard::Pay { code, text }, asked]);

    settle(&site, 2000);
    let paid = [PLATE, "停车1小时59分钟", "缴费成功 20.00元", "一路平安"].map(str::to_owned);
    let thanked = Heard::Said("粤B12345,缴费成功,祝您一路平安".to_owned());
    until_all(&cards, 5, &[Heard::Raised(1), Heard::Screen(paid.to_vec()), thanked]);
    assert_eq!((cards.shown().flash_writes, cards.broken_frames()), (0, 0), "no card is worn out");
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn a_dead_display_holds_up_nobody_and_shows_what_is_newest_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let cards = LedLine::open(&[0, 5]).unwrap();
    cards.set_fault(CardFault::Dead);
    let mut site = Site::start(&with_cards(&cameras(&broker), &cards, false));
    site.daemon.hear("connected to the broker");
    let untaken =
        |outcome: &str| site.metric(&format!(r#"gatepost_sign_orders_total{{device="card-in",outcome="{outcome}"}}"#));
    let end = std::time::Instant::now() + PATIENCE;
    while untaken("unknown") + untaken("not-sent") == 0 {
        assert!(std::time::Instant::now() < end, "the card is never told anything");
        std::thread::yield_now();
    }
    for car in [PLATE, "粤B12346", "粤B12347"] {
        plate(&broker, IN, car, now_ms());
        commands.hear(&raise_of(IN));
        pass(&broker, IN);
        site.daemon.hear("a vehicle is inside");
    }
    plate(&broker, IN, "粤B12348", now_ms());
    commands.hear(&raise_of(IN));
    cards.set_fault(CardFault::None);
    let newest = |heard: &Heard| matches!(heard, Heard::Screen(lines) if lines[0] == "粤B12348");
    let told = until(&cards, 0, newest);
    let older = |heard: &&Heard| matches!(heard, Heard::Screen(lines) if lines[0].starts_with("粤B") && !newest(heard));
    assert_eq!(told.iter().filter(older).count(), 0, "nobody is shown what was true before: {told:?}");
    site.daemon.kill();
    site.verify().unwrap();
}

/// The lanes of the cameras, each with a card of the line as its display and speaker, and perhaps as its barrier.
fn with_cards(cameras: &str, cards: &LedLine, raise_too: bool) -> String {
    let lane = |text: String, direction: &str, card: &str| {
        let at = format!("camera = \"cam-{direction}\"\n");
        text.replace(&at, &format!("{at}display = \"{card}\"\nspeaker = \"{card}\"\n"))
    };
    let text = lane(lane(cameras.to_owned(), "entry", "card-in"), "exit", "card-out");
    let text = if raise_too { raised_by_cards(text) } else { text };
    format!(
        r#"
        {text}
        [signs]
        pay_code = "https://pay.example/{{stay}}?fen={{due_fen}}"
        [[links]]
        id = "line"
        kind = "serial"
        path = "{path}"
        [[devices]]
        id = "card-in"
        profile = "kf/dc199"
        link = "line"
        [[devices]]
        id = "card-out"
        profile = "kf/dc199"
        link = "line"
        params = {{ address = 5 }}
        "#,
        path = cards.path().display()
    )
}

fn raised_by_cards(mut text: String) -> String {
    for (direction, card) in [("entry", "card-in"), ("exit", "card-out")] {
        let camera = format!("barrier = {{ device = \"cam-{direction}\", output = 0, pulse_ms = 1500 }}");
        assert!(text.contains(&camera), "{text}");
        text = text.replace(&camera, &format!("barrier = {{ device = \"{card}\", output = 1, pulse_ms = 1000 }}"));
    }
    text
}

/// What a card was told until it was told all of these, without what it is asked regularly.
fn until_all(cards: &LedLine, address: u8, wanted: &[Heard]) -> Vec<Heard> {
    let mut missing = wanted.to_vec();
    until(cards, address, |heard| {
        missing.retain(|wanted| wanted != heard);
        missing.is_empty()
    })
}

fn until_screen(cards: &LedLine, address: u8) -> Vec<String> {
    until(cards, address, |heard| matches!(heard, Heard::Screen(_)));
    cards.screen(address)
}

fn until(cards: &LedLine, address: u8, mut is_it: impl FnMut(&Heard) -> bool) -> Vec<Heard> {
    let mut told = Vec::new();
    let end = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < end {
        let Some((at, heard)) = cards.heard_within(Duration::from_millis(200)) else { continue };
        if at != address || heard == Heard::Other(0xD5) {
            continue;
        }
        told.push(heard);
        if told.last().is_some_and(&mut is_it) {
            return told;
        }
    }
    panic!("the card {address} was only told {told:?}");
}

/// A guard takes what is due at the exit.
fn settle(site: &Site, fen: i64) {
    let body = format!("{{\"operator\":\"guard\",\"pin\":\"4711\",\"fen\":{fen}}}");
    let key = [("Idempotency-Key", "s-1")];
    let answer = crate::boxed::request(site.address, "POST", "/api/v1/staff/lanes/exit-1/settle", &key, &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
}
