//! What the loop promises to those who ask: one commit carries many, and nobody hears of anything before it is on disk.

use std::sync::Arc;

use gatepost::clock::Clock;
use gatepost::domain::event::{Fen, Input, LaneId, Reply, TerminalId, TillAnswer, TillCommit, TillMark};
use gatepost::domain::lane::Lanes;
use gatepost::site::{Core, Deadlines, Envelope, Handle, Outputs, Site, Unavailable, activate_rules};
use gatepost::store::Store;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

/// Fewer than a batch may hold, so that all of them share one.
const COMMITS: usize = 50;

#[test]
fn what_waits_together_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    let answers: Vec<_> = (0..COMMITS).map(|n| rig.send(sale(n))).collect();
    let versions = rig.run_to_the_end();
    assert_eq!(versions, 1, "one fsync for {COMMITS} tills");
    for answer in answers {
        let reply = answer.blocking_recv().unwrap();
        assert!(matches!(reply, Reply::Till(TillAnswer::Applied { .. })), "{reply:?}");
    }
}

#[test]
fn whoever_has_an_answer_finds_it_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    let inputs = rig.inputs.take().unwrap();
    let site = rig.site.take().unwrap();
    let running = std::thread::spawn(move || site.run());
    for n in 0..COMMITS {
        let (reply, answer) = oneshot::channel();
        inputs.blocking_send(Envelope { input: sale(n), reply }).unwrap();
        answer.blocking_recv().unwrap();
        let other = Connection::open(dir.path().join("ledger.db")).unwrap();
        let stored: usize = other.query_row("SELECT count(*) FROM operation", (), |row| row.get(0)).unwrap();
        assert_eq!(stored, n + 1, "another connection sees only what is committed");
    }
    drop(inputs);
    running.join().unwrap().unwrap();
}

#[test]
fn a_full_line_says_so_at_once_and_an_ended_loop_too() {
    let (inputs, waiting) = mpsc::channel(1);
    let handle = Handle::new(inputs);
    let lane = || Input::LaneDue { lane: LaneId::from("in") };
    assert!(handle.try_submit(lane()).is_ok());
    assert_eq!(handle.try_submit(lane()).err(), Some(Unavailable::Busy));
    drop(waiting);
    assert_eq!(handle.try_submit(lane()).err(), Some(Unavailable::Stopped));
}

struct Rig {
    inputs: Option<mpsc::Sender<Envelope>>,
    site: Option<Site>,
    version: watch::Receiver<u64>,
    _raises: mpsc::Receiver<gatepost::site::BarrierMove>,
}

impl Rig {
    fn new(dir: &std::path::Path) -> Self {
        let clock = Clock::new(None);
        let mut store = Store::open(&dir.join("ledger.db"), "box-1").unwrap();
        activate_rules(&mut store, include_str!("../../systemd/rules.toml"), &clock).unwrap();
        let (inputs, waiting) = mpsc::channel(COMMITS);
        let (raises, raised) = mpsc::channel(1);
        let version = watch::Sender::new(0);
        let seen = version.subscribe();
        let outputs = Outputs {
            raises,
            deadlines: Arc::new(Deadlines::default()),
            version,
            head: watch::Sender::new(store.head()),
            witnessed: None,
        };
        let site = Site::new(Core::new(store, Lanes::new()), clock, waiting, outputs);
        Self { inputs: Some(inputs), site: Some(site), version: seen, _raises: raised }
    }

    fn send(&self, input: Input) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        self.inputs.as_ref().unwrap().try_send(Envelope { input, reply }).unwrap();
        answer
    }

    /// Runs the loop over what waits, and gives the number of commits that changed something.
    fn run_to_the_end(&mut self) -> u64 {
        self.inputs = None;
        self.site.take().unwrap().run().unwrap();
        *self.version.borrow()
    }
}

fn sale(n: usize) -> Input {
    Input::Till(TillCommit {
        terminal: TerminalId::from("till-1"),
        key: format!("key-{n}"),
        fingerprint: "same".to_owned(),
        receipt: format!("R-{n}"),
        occurred: None,
        member: None,
        shown: None,
        sale: Fen(1000),
        stay: None,
        cash: Fen(1000),
        money: Vec::new(),
        points_cover: Fen(0),
        list: None,
        coupon: None,
        gift: None,
        hold: None,
        mark: TillMark::default(),
    })
}
