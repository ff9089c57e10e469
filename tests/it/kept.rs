//! What a broker kept while the box was away: on record, and no arm rises for a vehicle that has long left.

use crate::boxed::{Broker, Site};
use crate::floods::{lines, until};
use crate::foreign::{IN, cameras, commands, gpio_message, now_ms, pass, plate, publish, raise_of};

#[test]
fn vehicles_that_came_while_the_box_was_away_are_on_record_and_raise_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let mut site = Site::start(&with_an_arrival_loop(&broker));
    site.daemon.hear("connected to the broker");
    site.daemon.kill();
    let now = now_ms();
    arrival(&broker, 1);
    plate(&broker, IN, "粤B12345", now - 600_000);
    plate(&broker, IN, "粤B12346", now - 540_000);
    arrival(&broker, 0);
    site.restart();
    site.daemon.hear("connected to the broker");

    arrival(&broker, 1);
    plate(&broker, IN, "粤B12347", now_ms());
    commands.hear(&raise_of(IN));
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    let books = site.books();
    let raises: Vec<_> = books["raises"].as_array().unwrap().iter().collect();
    assert_eq!((site.stays_of("粤B12347").len(), raises.len()), (1, 1), "{books}");
    assert_eq!(site.metric(r#"gatepost_rejections_total{room="devices",reason="kept-too-long"}"#), 2);
    site.daemon.kill();
    site.verify().unwrap();
    let ledger = rusqlite::Connection::open(site.folder.path().join("ledger.db")).unwrap();
    let stored = "SELECT group_concat(plate || ' ' || outcome || ' ' || (captured_ms / 1000)) FROM
                  (SELECT * FROM plate_read WHERE outcome = 'stored_offline' ORDER BY seq)";
    let stored: String = ledger.query_row(stored, (), |row| row.get(0)).unwrap();
    let then = |ago_ms| (now - ago_ms) / 1000;
    let told = format!("粤B12345 stored_offline {},粤B12346 stored_offline {}", then(600_000), then(540_000));
    assert_eq!(stored, told, "with the time at which they were there");
}

#[test]
fn a_vehicle_that_came_a_moment_before_the_box_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let mut site = Site::start(&cameras(&broker));
    site.daemon.hear("connected to the broker");
    site.daemon.kill();
    plate(&broker, IN, "粤B12345", now_ms());
    site.restart();
    commands.hear(&raise_of(IN));
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    assert_eq!(site.stays_of("粤B12345"), ["open"]);
}

/// Twenty cameras say every five seconds that they are there.
#[test]
fn signs_of_life_push_no_vehicle_out_of_what_the_broker_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut site = Site::start(&cameras(&broker));
    site.daemon.hear("connected to the broker");
    site.daemon.kill();
    let alive = format!("device/{IN}/message/up/keep_alive");
    let sent = lines(&broker, &alive, vec![r#"{"sn":"a","name":"keep_alive"}"#.to_owned(); 1200]);
    assert!(sent.wait_with_output().unwrap().status.success());
    plate(&broker, IN, "粤B12345", now_ms() - 600_000);
    site.restart();
    let kept = r#"gatepost_rejections_total{room="devices",reason="kept-too-long"}"#;
    until(|| site.metric(kept) == 1);
}

fn arrival(broker: &Broker, level: u8) {
    publish(broker, &format!("device/{IN}/message/up/gpio_in"), &gpio_message(IN, 0, level));
}

fn with_an_arrival_loop(broker: &Broker) -> String {
    let own = "arrival_loop = { device = \"cam-entry\", input = 0 }\npassage_loop = { device = \"cam-entry\"";
    cameras(broker).replacen("passage_loop = { device = \"cam-entry\"", own, 1)
}
