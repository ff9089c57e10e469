//! The box dies when what a till asked is on its disk and the till has heard nothing, on every line and at every request
//! that changes something: nothing is lost, and nothing is done twice.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};
use simulators::conformance::{Options, Survivor, Transport, pseudo_terminal};

use crate::boxed::{Broker, PATIENCE, Site};
use crate::coupons::{member_at, stocked};
use crate::phones::phone_code;
use crate::till_lines::{LANE, stock_of};

/// How many sales a till makes in its day.
const SALES: usize = 3;

#[test]
fn a_box_that_dies_between_commit_and_answer_has_done_it_once_on_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(folder.path(), "allow_anonymous true\n");
    let (classic, classic_end, classic_port) = pseudo_terminal().unwrap();
    let (strong, strong_end, strong_port) = pseudo_terminal().unwrap();
    let mut settings = String::new();
    for till in 2..=6 {
        settings.push_str(&format!("[[terminals]]\nid = \"till-{till}\"\ntoken = \"token-{till}\"\n"));
    }
    let line = |kind: &str, more: &str| format!("[[till_lines]]\nkind = \"{kind}\"\n{more}\n");
    let port = |till: u32, port: &std::path::Path| format!("terminal = \"till-{till}\"\nport = \"{}\"", port.display());
    settings.push_str(&line("serial-classic", &port(2, &classic_port)));
    settings.push_str("check_seed = 0x7F\ncheck_with_stx = true\n");
    settings.push_str(&line("serial-strong", &port(3, &strong_port)));
    settings.push_str(&line("files", "terminal = \"till-4\"\nfolder = \"{folder}/till-4\""));
    let bus = format!("site = \"site\"\naccess = \"broker\"\nport = {}", broker.port);
    settings.push_str(&line("mqtt", &bus));
    let mut site = stocked(&format!("{settings}{LANE}"));
    let base = |site: &Site| format!("http://{}", site.address);
    let at = |till, transport| {
        let broker = Some(format!("127.0.0.1:{}", broker.port));
        Options { broker, ..stock_of(till, transport) }
    };
    let over = |till, transport, line: OwnedFd| Survivor::over(&stock_of(till, transport), line).unwrap();
    let files = Options { folder: Some(site.folder.path().join("till-4")), ..stock_of(4, Transport::Files) };
    let mut tills = [
        Survivor::new(&stock_of(1, Transport::Http), &base(&site), "till-1", "secret").unwrap(),
        over(2, Transport::SerialClassic, classic),
        over(3, Transport::SerialStrong, strong),
        Survivor::new(&files, "", "", "").unwrap(),
        Survivor::new(&at(5, Transport::Mqtt5), "", "till-5", "").unwrap(),
        Survivor::new(&at(6, Transport::Mqtt311), "", "till-6", "").unwrap(),
    ];
    for (till, number) in tills.iter_mut().zip(1..) {
        let mut members = (0..).map(|member| member_at(number, member));
        for step in 0..Survivor::STEPS {
            let name = format!("till-{number}, {}", Survivor::name(step));
            if Survivor::name(step) == "HOLD" {
                till.show(&phone_code(&members.next().unwrap())).expect(&name);
            }
            assert!(till.ready(step).expect(&name), "{name}: the till lacks what it needs");
            kill_at_commit(&mut site, || till.ask().expect(&name));
            site.restart();
            till.find(&base(&site)).expect(&name);
            till.check().expect(&name);
        }
    }
    drop((classic_end, strong_end));
    let sales = site.books()["sales"].as_array().unwrap().len();
    assert_eq!(sales, SALES * tills.len(), "each sale once");
    site.daemon.kill();
    site.verify().unwrap();
}

/// Kills the daemon at the moment at which another reader of its file sees that something was committed.
fn kill_at_commit(site: &mut Site, ask: impl FnOnce() + Send) {
    let ledger = site.folder.path().join("ledger.db");
    let db = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let entries = || db.query_row("SELECT max(entry) FROM journal", (), |row| row.get::<_, i64>(0)).unwrap();
    let before = entries();
    std::thread::scope(|scope| {
        let asking = scope.spawn(ask);
        let until = Instant::now() + PATIENCE;
        while entries() == before {
            assert!(Instant::now() < until, "nothing was committed");
            std::thread::yield_now();
        }
        site.daemon.kill();
        asking.join().unwrap();
    });
}
