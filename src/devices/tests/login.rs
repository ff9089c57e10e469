//! A camera that keeps its nonce and wants every number higher than the one before, as strict ones do; and what is still
//! asked when it refuses.

use tokio::net::TcpListener;

use super::super::order::Outcome;
use super::stream::{REFUSED, TAKEN, asked, opened, send, settings};
use super::*;
use crate::profile::template::{Value, Values};

#[tokio::test]
async fn after_a_refusal_the_numbers_of_a_kept_nonce_go_on() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let _stream = opened(&camera).await;
    site.until(|metrics| metrics.is_link_up("events")).await;
    for (number, answer, is_taken) in [
        ("nc=00000002", TAKEN, true),
        // It has reasons of its own; the same proof once more would be another guess.
        ("nc=00000003", REFUSED, false),
        ("nc=00000004", TAKEN, true),
        ("nc=00000005", REFUSED, false),
        ("nc=00000006", TAKEN, true),
    ] {
        site.raise("exit-1", number).await;
        let (mut call, request) = asked(&camera).await;
        assert!(request.starts_with("PUT ") && request.contains(number), "{number}: {request}");
        send(&mut call, answer).await;
        assert_eq!(site.answer(number).await == CommandAnswer::Accepted, is_taken, "{number}");
    }
    assert_eq!(site.metrics.rejections("devices", "login-refused"), 0, "none of them is two in a row");
    assert_eq!(site.metrics.health.of("cam").expect("known").trouble, None);
}

#[tokio::test]
async fn of_those_that_wait_for_their_turn_the_raise_is_the_next() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let _stream = opened(&camera).await;
    site.until(|metrics| metrics.is_link_up("events")).await;
    let teller = site.devices.teller();
    let mut first = Box::pin(teller.tell("cam", "whitelist_delete", plate()));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err(), "it is on its way");
    let (mut hanging, request) = asked(&camera).await;
    assert!(request.contains("nc=00000002"), "{request}");
    let mut second = Box::pin(teller.tell("cam", "whitelist_delete", plate()));
    assert!(timeout(Duration::ZERO, &mut second).await.is_err(), "it waits");
    site.raise("exit-1", "c1").await;
    send(&mut hanging, TAKEN).await;
    assert_eq!(in_time(first).await.expect("known"), Outcome::Taken);
    let (mut call, request) = asked(&camera).await;
    assert!(request.starts_with("PUT /ISAPI/Parking") && request.contains("nc=00000003"), "{request}");
    send(&mut call, TAKEN).await;
    assert_eq!(site.answer("c1").await, CommandAnswer::Accepted);
    let (mut call, request) = asked(&camera).await;
    assert!(request.starts_with("DELETE ") && request.contains("nc=00000004"), "{request}");
    send(&mut call, TAKEN).await;
    assert_eq!(in_time(second).await.expect("known"), Outcome::Taken);
}

#[tokio::test]
async fn while_nothing_is_asked_one_raise_is_tried_and_ends_the_pause_if_it_is_taken() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let _stream = opened(&camera).await;
    site.until(|metrics| metrics.is_link_up("events")).await;
    for (number, answer) in [("nc=00000002", REFUSED), ("nc=00000003", REFUSED), ("nc=00000004", TAKEN)] {
        let is_paused = number == "nc=00000004";
        assert_eq!(site.metrics.rejections("devices", "login-refused"), u64::from(is_paused), "before {number}");
        if is_paused {
            assert_eq!(site.metrics.health.of("cam").expect("known").trouble, Some(crate::metrics::Trouble::Login));
            let told = site.devices.teller().tell("cam", "whitelist_delete", plate()).await.expect("known");
            let Outcome::NotSent(why) = told else { panic!("nothing is asked: {told:?}") };
            assert!(why.contains("nothing is asked for 1 min"), "{why}");
        }
        site.raise("exit-1", number).await;
        let (mut call, request) = asked(&camera).await;
        assert!(request.starts_with("PUT ") && request.contains(number), "{number}: {request}");
        send(&mut call, answer).await;
        assert_eq!(site.answer(number).await == CommandAnswer::Accepted, answer == TAKEN, "{number}");
    }
    let teller = site.devices.teller();
    let listing = tokio::spawn(async move { teller.tell("cam", "whitelist_delete", plate()).await });
    let (mut call, request) = asked(&camera).await;
    assert!(request.starts_with("DELETE ") && request.contains("nc=00000005"), "{request}");
    send(&mut call, TAKEN).await;
    assert_eq!(listing.await.expect("it ran").expect("known"), Outcome::Taken);
}

fn plate() -> Values {
    [("plate".to_owned(), Value::Text("粤B12345".to_owned()))].into()
}
