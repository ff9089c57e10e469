//! The command `gatepost-cloud` as an operator uses it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::json;

use crate::host::{Journal, call, profile};

#[test]
fn a_database_that_cannot_be_used_is_refused() {
    for (database, expected) in [
        ("postgres://ledger@%2Fnowhere/ledger", "no connection to PostgreSQL"),
        ("postgres://ledger@/a/b?c", "read --database as a PostgreSQL address"),
        ("cloud.db", "allowed are postgres://USER@HOST/NAME and sqlite:FILE"),
        ("sqlite::memory:", "allowed are postgres://USER@HOST/NAME and sqlite:FILE"),
        ("sqlite:/nowhere/at/all/cloud.db", "open the database /nowhere/at/all/cloud.db"),
    ] {
        let refused = run(&["serve", "--database", database, "--admin-token", "a", "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(expected), "{database}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "one line for a person: {said}");
    }
    assert_eq!(run(&["verify", "--database", "sqlite:/nowhere/cloud.db"]).status.code(), Some(2));
}

#[test]
fn wrong_tokens_are_refused_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", place.path().join("cloud.db").display());
    for (boxes, expected) in [
        (&["demo-1"][..], "allowed is NAME=TOKEN"),
        (&["demo-1="], "the token of box 'demo-1' is empty"),
        (&["demo-1=a"], "has the administrator's token"),
        (&["demo-1=b", "demo-2=b"], "has the token of box 'demo-1'"),
        (&["demo-1=b", "demo-1=c"], "named twice"),
        (&["demo/1=b"], "cannot be a box's name"),
        (&["demo-1=@/nowhere/token"], "read the token in /nowhere/token"),
    ] {
        let mut arguments = vec!["serve", "--database", &database, "--admin-token", "a", "--listen", "127.0.0.1:0"];
        boxes.iter().for_each(|pair| arguments.extend(["--box", pair]));
        let refused = run(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(expected), "{boxes:?}: {said}");
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("admin"), "the-admin\n").unwrap();
    std::fs::write(place.path().join("box"), "the-box\n").unwrap();
    let ask = json!({"request": "r1", "epoch": 1, "member": "M1", "points": 60}).to_string();
    let grants = "/v1/boxes/demo-1/grants";

    let (mut server, address) = serve(place.path());
    call(address, "PUT", "/v1/members/M1", "the-admin", &profile(&[], &[]).to_string()).await;
    let credit = json!({"op": "c", "points": 100, "reason": "gift"}).to_string();
    call(address, "POST", "/v1/members/M1/credits", "the-admin", &credit).await;
    let hello = Journal::new("demo-1", 1).hello().to_string();
    call(address, "POST", "/v1/boxes/demo-1/hello", "the-box", &hello).await;
    let granted = call(address, "POST", grants, "the-box", &ask).await;
    assert_eq!((granted.status, &granted.body["points"]), (200, &json!(60)));
    server.kill();

    let (mut server, address) = serve(place.path());
    let member = call(address, "GET", "/v1/members/M1", "the-admin", "").await.body;
    assert_eq!((&member["available"], &member["outstanding"]), (&json!(40), &json!(60)));
    assert_eq!(call(address, "POST", grants, "the-box", &ask).await.body, granted.body);
    let database = format!("sqlite:{}", place.path().join("cloud.db").display());
    let checked = run(&["verify", "--database", &database]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("everything agrees"), "while it is served: {said}");
    assert!(server.terminate().success(), "SIGTERM is an orderly stop");

    let db = rusqlite::Connection::open(place.path().join("cloud.db")).unwrap();
    db.execute("UPDATE lot SET points = points + 1", []).unwrap();
    let checked = run(&["verify", "--database", &database]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(1) && said.contains("fault: 'M1'"), "{said}");
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost-cloud")).args(arguments).output().unwrap()
}

/// A command that ends with the test, however the test ends.
struct Server(Child);

impl Server {
    /// Ends it as a power cut would.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to stop as systemd would.
    fn terminate(&mut self) -> ExitStatus {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the command and reads from its log where it listens.
fn serve(place: &Path) -> (Server, std::net::SocketAddr) {
    let database = format!("sqlite:{}", place.join("cloud.db").display());
    let token = format!("demo-1=@{}", place.join("box").display());
    let mut server = Command::new(env!("CARGO_BIN_EXE_gatepost-cloud"))
        .args(["serve", "--listen", "127.0.0.1:0", "--database", &database, "--box", &token])
        .arg("--admin-token-file")
        .arg(place.join("admin"))
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(server.stderr.take().unwrap());
    let address = log.lines().map_while(Result::ok).find_map(|line| {
        let address = line.split_once("address=")?.1;
        address.split(' ').next()?.parse().ok()
    });
    (Server(server), address.expect("the command says where it listens"))
}
