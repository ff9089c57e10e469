//! A primary that is lost, and a standby that takes its place: what was answered before is there afterwards.

use std::sync::Arc;

use ledger_conformance::wire::{Office, Site, Target};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::host::{ADMIN, BOX_1, BOX_2, Host};
use crate::postgres::Postgres;
use crate::storm::{insist, kill};

/// How often each of two boxes asks, spends and uploads.
const ROUNDS: usize = 40;
/// The primary is killed when the boxes have heard so many answers, while they go on asking.
const ANSWERS_BEFORE: usize = 50;
/// How often an operator looks at the primary while the standby hears nothing: the boxes would get dozens of answers.
const MOMENT: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_at_the_standby_that_takes_the_place_of_a_killed_primary() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (primary, standby, name) = tokio::task::spawn_blocking(two_servers).await.unwrap();
    let host = Host::start_at(format!("postgres://postgres@{},{}/{name}", primary.socket(), standby.socket())).await;
    let boxes = [("demo-1", BOX_1), ("demo-2", BOX_2)].map(|(name, token)| (name.to_owned(), token.to_owned()));
    let target = Target { url: format!("http://{}", host.address), admin_token: ADMIN.to_owned(), boxes };
    let office = Office::new(&target).unwrap();
    let members = [office.member(10_000).await.unwrap(), office.member(10_000).await.unwrap()];
    let mut sites = [office.site(0).await.unwrap(), office.site(1).await.unwrap()];
    let (answered, mut heard) = watch::channel(0);
    let (primary, standby) = (Arc::new(primary), Arc::new(standby));
    let failing_over = async {
        heard.wait_for(|answers| *answers >= ANSWERS_BEFORE).await.unwrap();
        let (primary, standby) = (Arc::clone(&primary), Arc::clone(&standby));
        tokio::task::spawn_blocking(move || fail_over(&primary, &standby)).await.unwrap();
        *heard.borrow()
    };
    let [first, second] = &mut sites;
    let [one, other] = &members;
    let (here, there, answers) =
        tokio::join!(shop(first, one, &answered), shop(second, other, &answered), failing_over);
    assert!(answers < 4 * ROUNDS, "the boxes went on asking while there was no primary");
    for ((site, told), member) in sites.iter().zip([here, there]).zip(&members) {
        for (ask, answer) in &told.asked {
            assert_eq!(insist(|| site.post("grants", ask)).await, *answer, "the same answer as from the first primary");
        }
        let expected = [10_000, told.spent, 10_000 - told.given, told.given - told.spent];
        assert_eq!(office.sums(member).await.unwrap(), expected);
        assert_eq!(office.alarms(site, "grant-unknown").await.unwrap(), 0);
    }
    let report = office.ask("GET", "/v1/verify", &Value::Null).await.unwrap();
    assert_eq!(report.body["faults"], json!([]), "{}", report.body);
    host.stop().await;
}

/// A primary that answers no commit before its standby has it, the standby, and the name of a database.
fn two_servers() -> (Postgres, Postgres, String) {
    let primary = Postgres::start(&[]);
    let url = primary.database();
    let standby = primary.standby();
    primary.run("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.run("postgres", "SELECT pg_reload_conf()");
    while primary.run("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync\n" {}
    (primary, standby, url.rsplit('/').next().unwrap().to_owned())
}

/// The standby hears no more, the primary is killed a moment later, and the standby takes its place.
fn fail_over(primary: &Postgres, standby: &Postgres) {
    let sender = primary.run("postgres", "SELECT pid FROM pg_stat_replication").trim().parse().unwrap();
    kill(sender, Signal::STOP);
    // A primary that waits for no standby would go on answering now, and all of it would be lost.
    for _ in 0..MOMENT {
        primary.run("postgres", "SELECT 1");
    }
    kill(primary.process, Signal::KILL);
    kill(sender, Signal::KILL);
    assert_eq!(standby.run("postgres", "SELECT pg_promote()"), "t\n", "the standby is the primary now");
}

/// What a box was told.
struct Told {
    /// Each wish for points with its answer.
    asked: Vec<(Value, Value)>,
    given: i64,
    spent: i64,
}

/// Asks for points, spends some, uploads; each until there is an answer.
async fn shop(site: &mut Site<'_>, member: &str, answered: &watch::Sender<usize>) -> Told {
    let mut told = Told { asked: Vec::new(), given: 0, spent: 0 };
    for round in 0..ROUNDS {
        let ask = json!({"request": format!("shop-{round}"), "epoch": site.epoch, "member": member, "points": 100});
        let answer = insist(|| site.post("grants", &ask)).await;
        answered.send_modify(|answers| *answers += 1);
        let (grant, points) = (answer["grants"][0]["grant"].clone(), answer["points"].as_i64().unwrap());
        site.write(&json!([{"kind": "grant_accepted", "grant": grant, "member": member, "points": points}]));
        let spend = site.moved("points_spent", member, &[(grant.as_str().unwrap(), 40)]);
        site.write(&json!([spend]));
        (told.given, told.spent) = (told.given + points, told.spent + 40);
        told.asked.push((ask, answer));
        let seq = site.journal.len();
        let cursor = insist(|| site.upload(seq - 1, seq)).await;
        assert_eq!(cursor["cursor"], site.cursor(seq));
        answered.send_modify(|answers| *answers += 1);
    }
    told
}
