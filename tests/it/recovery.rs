//! Boxes that burn down, are put back to an older state, or run out of disk: real processes, a real ledger, a timer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulators::phone::Phone;
use tokio::sync::oneshot;

use crate::boxed::{Answer, Broker, PATIENCE, Site, gatepost, request, until_ready};
use crate::foreign::{IN, cameras, now_ms, pass, plate};

const ADMIN: (&str, &str) = ("Authorization", "Bearer admin");
const TILL: [(&str, &str); 2] = [("Authorization", "Bearer secret"), ("Gatepost-Terminal", "till-1")];

#[test]
fn a_box_that_burned_down_is_replaced_in_minutes() {
    let (folder, cloud) = (tempfile::tempdir().unwrap(), Cloud::start());
    let broker = Broker::start(folder.path());
    let mut site = cloud.site(&cameras(&broker));
    site.daemon.hear("connected to the broker");
    cloud.admin("PUT", "members/M1", &member("粤B00001"));
    cloud.admin("POST", "members/M1/credits", &json!({"op": "c-1", "points": 5000, "reason": "opening"}));
    site.until("the box knows the member", |site| lookup(site).is_some());
    let cars: Vec<String> = (1..=12).map(|n| format!("粤B{n:05}")).collect();
    for (n, car) in (0..).zip(&cars) {
        plate(&broker, IN, car, now_ms() - 3_600_000 + n);
        site.until("the barrier is up", |site| site.stays_of(car) == ["pending_entry"]);
        pass(&broker, IN);
        site.until("the car is inside", |site| site.stays_of(car) == ["open"]);
    }
    site.until("the member's points are here", |site| lookup(site).is_some_and(|points| points > 0));
    let phone = cloud.phone();
    let shows = |later| phone.code(i64::try_from(now_ms()).unwrap() + later).unwrap();
    let code = shows(0);
    let fixed = sell(site.address, "fixed", 1000, 500).unwrap();
    assert_eq!((fixed.status, fixed.body.contains("member-code-static")), (403, true), "{}", fixed.body);
    let sold = pay(site.address, "before", 1000, 500, &code).unwrap();
    assert_eq!(sold.status, 200, "{}", sold.body);
    let copied = pay(site.address, "copied", 1000, 500, &code).unwrap();
    assert_eq!((copied.status, copied.body.contains("member-code-replayed")), (409, true), "{}", copied.body);
    let before = settled(&site);

    // Everything that was on the box is gone, its keys too; what is left is the settings file and a new token's worth.
    site.daemon.kill();
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock", "ledger.key"] {
        let _ = std::fs::remove_file(site.folder.path().join(file));
    }
    let timer = Instant::now();
    let said =
        run(&["restore", "--json", "--from-cloud", "--config"], &site.folder.path().join("gatepost.toml")).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["epoch"], &said["passed_over"]), (&json!(2), &json!([])), "{said}");
    let stages = said["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["enrolled", "journal", "in_place", "members", "epoch"], "{said}");
    let sum: u64 = stages.iter().map(|stage| stage["took_ms"].as_u64().unwrap()).sum();
    assert!(said["total_ms"].as_u64().unwrap() >= sum, "{said}");
    site.restart();
    let after = site.books();
    assert!(timer.elapsed() < Duration::from_secs(15 * 60), "{:?}", timer.elapsed());
    for list in ["stays", "payments", "points", "sales", "raises"] {
        assert_eq!(before[list], after[list], "{list}");
    }
    assert_eq!((&after["epoch"], after["stays"].as_array().unwrap().len()), (&json!(2), cars.len()));
    assert_eq!(
        pay(site.address, "before", 1000, 500, &code).unwrap().status,
        200,
        "a receipt that was answered is answered"
    );

    // It works on: the member's points come again, a car leaves, and the ledger's books agree.
    site.until("the member's points are here", |site| lookup(site).is_some_and(|points| points > 0));
    let sold = pay(site.address, "after", 1000, 1000, &shows(30_000)).unwrap();
    assert_eq!(sold.status, 200, "{}", sold.body);
    settled(&site);
    site.daemon.kill();
    site.verify().unwrap();
    let books = cloud.admin("GET", "verify", &Value::Null);
    assert_eq!(books["ok"], true, "{books}");
    let member = cloud.admin("GET", "members/M1", &Value::Null);
    assert_eq!(member["debited"], 150, "two spends, each once: {member}");
}

#[test]
fn a_ledger_put_back_to_an_older_state_is_noticed_and_gets_a_new_epoch() {
    let cloud = Cloud::start();
    let mut site = cloud.site(&lane());
    cloud.admin("PUT", "members/M1", &member("粤B00001"));
    cloud.admin("POST", "members/M1/credits", &json!({"op": "c-1", "points": 5000, "reason": "opening"}));
    site.until("the box knows the member", |site| lookup(site).is_some());
    assert_eq!(sell(site.address, "first", 10_000, 0).unwrap().status, 200);
    let copy = site.folder.path().join("copy.db");
    let ledger = site.folder.path().join("ledger.db");
    let said = run(&["backup", "--ledger", ledger.to_str().unwrap()], &copy).unwrap();
    assert!(said.contains("entries"), "{said}");
    assert_eq!(run(&["backup", "--ledger", ledger.to_str().unwrap()], &copy).unwrap_err().0, Some(1), "never replaced");
    assert_eq!(sell(site.address, "second", 10_000, 0).unwrap().status, 200);
    settled(&site);
    let witness = run(&["journal", "head", "--ledger"], &ledger).unwrap().trim().to_owned();
    site.daemon.kill();

    // The image of an hour ago is put back, and the line is cut: the till remembers.
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(site.folder.path().join(format!("ledger.db{ending}")));
    }
    std::fs::copy(&copy, &ledger).unwrap();
    cloud.cut_for(&site);
    site.restart();
    let [token, name] = TILL;
    let answer = request(site.address, "GET", "/api/v1/status", &[token, name, ("Gatepost-Witness", &witness)], "");
    let status: Value = serde_json::from_str(&answer.unwrap().body).unwrap();
    assert_eq!(status["mode"], "quarantined", "{status}");
    assert_eq!(sell(site.address, "third", 10_000, 0).unwrap().status, 200, "money is money");

    // The line is back: a new epoch, and what was done beside the ledger's journal is kept there as a branch.
    site.daemon.kill();
    cloud.mend_for(&site);
    site.restart();
    site.until("a new epoch", |site| site.books()["epoch"] == 2 && site.books()["unacknowledged_entries"] == 0);
    let this_box = cloud.admin("GET", "boxes/box-1", &Value::Null);
    assert!(this_box["alarms"].to_string().contains("branch-kept"), "{this_box}");
    assert_eq!(sell(site.address, "fourth", 10_000, 0).unwrap().status, 200);
    settled(&site);
    site.daemon.kill();
    site.verify().unwrap();
    assert_eq!(cloud.admin("GET", "verify", &Value::Null)["ok"], true);
}

#[test]
fn a_backup_brings_the_settings_and_stays_back_and_no_points() {
    let cloud = Cloud::start();
    let mut site = cloud.site(&lane());
    site.until("the box is heard", |site| site.books()["unacknowledged_entries"] == 0);
    assert_eq!(sell(site.address, "first", 10_000, 0).unwrap().status, 200);
    let (ledger, copy) = (site.folder.path().join("ledger.db"), site.folder.path().join("copy.db"));
    run(&["backup", "--ledger", ledger.to_str().unwrap()], &copy).unwrap();
    site.daemon.kill();
    std::fs::remove_file(&ledger).unwrap();
    cloud.cut_for(&site);
    let config = site.folder.path().join("gatepost.toml");
    let said = run(&["restore", "--from-backup", copy.to_str().unwrap(), "--config"], &config).unwrap();
    assert!(said.contains("no points are spent"), "{said}");
    site.restart();
    assert_eq!(sell(site.address, "first", 10_000, 0).unwrap().status, 200);
    let status = request(site.address, "GET", "/api/v1/status", &TILL, "").unwrap().body;
    assert!(status.contains("quarantined"), "{status}");
    site.daemon.kill();
    cloud.mend_for(&site);
    site.restart();
    site.until("a new epoch", |site| site.books()["epoch"] == 2 && site.books()["unacknowledged_entries"] == 0);
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn a_witness_on_another_disk_notices_without_any_line() {
    let mut site = Site::start(&lane());
    let config = site.folder.path().join("gatepost.toml");
    let file = site.folder.path().join("witness");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("ledger.db\"\n", &format!("ledger.db\"\nwitness = {file:?}\n"));
    std::fs::write(&config, text).unwrap();
    site.daemon.kill();
    site.restart();
    let (ledger, copy) = (site.folder.path().join("ledger.db"), site.folder.path().join("copy.db"));
    run(&["backup", "--ledger", ledger.to_str().unwrap()], &copy).unwrap();
    assert_eq!(sell(site.address, "lost", 10_000, 0).unwrap().status, 200);
    let newest = run(&["journal", "head", "--ledger"], &ledger).unwrap();
    let newest: Vec<&str> = newest.trim().split('/').collect();
    // At most once a second: another receipt after it proves that this one is remembered.
    let remembered = format!(" {} {} {}", newest[0], newest[1], newest[2]);
    let until = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&file).unwrap_or_default().contains(&remembered) {
        assert!(Instant::now() < until, "the witness never heard of {remembered}");
        std::thread::yield_now();
    }
    site.daemon.kill();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(site.folder.path().join(format!("ledger.db{ending}")));
    }
    std::fs::copy(&copy, &ledger).unwrap();
    site.restart();
    site.daemon.hear("somebody remembers entries that this journal does not hold");
    let status = request(site.address, "GET", "/api/v1/status", &TILL, "").unwrap().body;
    assert!(status.contains("quarantined"), "{status}");
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn a_disk_that_fills_in_the_middle_of_a_commit_loses_nothing_that_was_answered() {
    let mut site = Site::start(&lane());
    let config = site.folder.path().join("gatepost.toml");
    let mut answered = Vec::new();
    for round in 0..3 {
        site.daemon.kill();
        // Files may not grow beyond this; the system says so as it does where a disk is full.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" run --config \"$1\"", 700 + 900 * round);
        let mut full = Command::new("sh");
        full.args(["-c", &script, env!("CARGO_BIN_EXE_gatepost")]).arg(&config);
        (site.daemon, site.address) = until_ready(&mut full);
        for n in 0.. {
            let key = format!("{round}-{n}");
            match sell(site.address, &key, 1000, 0) {
                Ok(answer) if answer.status == 200 => answered.push(key),
                Ok(_) | Err(_) => break,
            }
            assert!(n < 5000, "the disk never filled");
        }
        site.daemon.hear("the loop stopped");
        site.daemon.kill();
        site.verify().unwrap();
        site.restart();
        for key in &answered {
            let answer = request(site.address, "GET", &format!("/api/v1/operations/{key}"), &TILL, "").unwrap();
            assert!(answer.body.contains("applied"), "{key}: {}", answer.body);
        }
    }
    assert!(answered.len() > 3, "{answered:?}");
}

#[test]
fn what_can_be_read_of_a_damaged_ledger_is_saved_and_what_is_lost_is_said() {
    let mut site = Site::start(&lane());
    for n in 0..40 {
        assert_eq!(sell(site.address, &format!("k{n}"), 1000, 0).unwrap().status, 200);
    }
    site.daemon.kill();
    let (ledger, copy) = (site.folder.path().join("ledger.db"), site.folder.path().join("copy.db"));
    run(&["backup", "--ledger", ledger.to_str().unwrap()], &copy).unwrap();
    let whole = run(&["journal", "export", "--ledger"], &copy).unwrap();
    let lines: Vec<&str> = whole.lines().filter(|line| line.starts_with('{')).collect();
    let out = site.folder.path().join("saved.jsonl");
    let salvage = ["journal", "salvage", "--ledger", copy.to_str().unwrap()];
    run(&salvage, &out).unwrap();
    assert_eq!(
        std::fs::read_to_string(&out).unwrap().lines().collect::<Vec<_>>(),
        lines,
        "nothing is lost of a whole file"
    );

    // One letter of one entry in the middle is another one.
    let db = rusqlite::Connection::open(&copy).unwrap();
    let sql = "UPDATE journal SET body = CAST(replace(CAST(body AS TEXT), 'k20', 'k21') AS BLOB) WHERE entry = 22";
    db.execute(sql, ()).unwrap();
    drop(db);
    std::fs::remove_file(&out).unwrap();
    let (code, said) = run(&salvage, &out).unwrap_err();
    assert_eq!(code, Some(1));
    assert!(said.contains("21 entries are proven") && said.contains("LOST: entry 22 of epoch 1"), "{said}");
    let saved = std::fs::read_to_string(&out).unwrap();
    assert_eq!(saved.lines().count(), lines.len() - 1, "the others link to each other");
    let tail = run(&["journal", "tail", "-n", "3", "--ledger"], &ledger).unwrap();
    assert_eq!(tail.lines().count(), 3, "{tail}");
    assert!(tail.lines().last().unwrap().contains("k39"), "{tail}");
}

/// The reference cloud ledger in a thread of its own.
struct Cloud {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
    _folder: tempfile::TempDir,
}

impl Cloud {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cloud.db");
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let ledger = cloud_ledger::Ledger::open(&file).unwrap();
                let tokens = cloud_ledger::Tokens::new("admin", [("box-1".to_owned(), "token".to_owned())]).unwrap();
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                cloud_ledger::serve(listener, ledger.into(), tokens, async { drop(stopped.await) }).await.unwrap();
            });
        });
        Self { address: told.recv().unwrap(), _stop: stop, _folder: folder }
    }

    /// A site whose box knows this ledger.
    fn site(&self, settings: &str) -> Site {
        let cloud = format!(
            "[cloud]\nurl = \"http://{}/\"\ntoken_file = \"{{folder}}/token\"\nretry_max_s = 1\n",
            self.address
        );
        let site = Site::start(&(cloud + settings));
        std::fs::write(site.folder.path().join("token"), "token\n").unwrap();
        site
    }

    /// From the next start on the box's line leads nowhere.
    fn cut_for(&self, site: &Site) {
        self.change(site, &self.address.to_string(), "127.0.0.1:1");
    }

    fn mend_for(&self, site: &Site) {
        self.change(site, "127.0.0.1:1", &self.address.to_string());
    }

    fn change(&self, site: &Site, from: &str, to: &str) {
        let config = site.folder.path().join("gatepost.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&config, text.replace(from, to)).unwrap();
    }

    /// The member's phone, with the ledger's word about it.
    fn phone(&self) -> Phone {
        let phone = Phone::of([7; 32]);
        let given = self.admin("POST", "members/M1/phones", &json!({ "phone_key": phone.public_key() }));
        phone.with_token(given["token"].as_str().unwrap())
    }

    fn admin(&self, method: &str, what: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = request(self.address, method, &format!("/v1/{what}"), &[ADMIN], &body).unwrap();
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

fn member(plate: &str) -> Value {
    json!({"handle": "王**", "tier": "gold", "consent_plates": true, "plates": [plate], "codes": ["GPM1"]})
}

/// A site that only sells needs one lane all the same.
fn lane() -> String {
    "[[links]]\nid = \"broker\"\nkind = \"mqtt\"\nport = 1\n\
     [[devices]]\nid = \"cam\"\nprofile = \"vzenith/r-mqtt\"\nlink = \"broker\"\nparams = { sn = \"265e1040-85e01fb7\" }\n\
     [[lanes]]\nid = \"entry-1\"\ndirection = \"entry\"\ncamera = \"cam\"\n\
     barrier = { device = \"cam\", output = 0, pulse_ms = 500 }\n"
        .to_owned()
}

/// What the box can spend for the member; none where it does not know the member.
fn lookup(site: &Site) -> Option<i64> {
    let [token, name] = TILL;
    let headers = [token, name, ("Idempotency-Key", "look")];
    let answer = request(site.address, "POST", "/api/v1/member-lookups", &headers, r#"{"code":"GPM1"}"#).unwrap();
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["points_usable"].as_i64()
}

/// A sale of so many fen, of which the member's points pay some. An error means that nobody answered.
pub fn sell(address: SocketAddr, key: &str, fen: i64, by_points: i64) -> std::io::Result<Answer> {
    pay(address, key, fen, by_points, "GPM1")
}

/// The same, where the member shows a code.
fn pay(address: SocketAddr, key: &str, fen: i64, by_points: i64, code: &str) -> std::io::Result<Answer> {
    let mut body = json!({"receipt_no": key, "sale_fen": fen, "tenders": []});
    for (kind, fen) in [("cash", fen - by_points), ("points", by_points)] {
        if fen > 0 {
            body["tenders"].as_array_mut().unwrap().push(json!({"kind": kind, "fen": fen}));
        }
    }
    if by_points > 0 {
        body["member_ref"] = json!(format!("code:{code}"));
    }
    let [token, name] = TILL;
    request(address, "POST", "/api/v1/transactions", &[token, name, ("Idempotency-Key", key)], &body.to_string())
}

/// The books once the ledger holds all of them.
fn settled(site: &Site) -> Value {
    site.until("the ledger holds everything", |site| site.books()["unacknowledged_entries"] == 0);
    site.books()
}

/// Runs a command whose last argument is a file. What it said, or its exit code and that.
fn run(args: &[&str], file: &Path) -> Result<String, (Option<i32>, String)> {
    let output = gatepost().args(args).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(said) } else { Err((output.status.code(), said)) }
}
