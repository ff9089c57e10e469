//! A disk that is full, on a file system of a few megabytes that the test mounts for itself: the lane goes on moving on
//! the room that was put aside, what was answered stays, and with room everything is as before.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::boxed::{Broker, Program, Site, until_ready};
use crate::foreign::{IN, cameras, now_ms, pass, plate};
use crate::recovery::sell;

/// As small as a disk can be with a ledger file and its log on it.
const DISK_MB: u64 = 32;
/// What the test leaves free beside the room that the box has put aside.
const LEFT_BYTES: u64 = 300_000;
/// More receipts than fit.
const RECEIPTS_MAX: usize = 20_000;

#[test]
fn on_a_full_disk_the_lane_goes_on_and_nothing_that_was_answered_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut site = Site::start(&cameras(&broker));
    site.daemon.hear("connected to the broker");
    let disk = Disk::mount(&site);
    site.daemon.kill();
    disk.move_ledger(&site);

    disk.start(&mut site);
    let spare = disk.seen("ledger.db.spare");
    assert!(fs::metadata(&spare).unwrap().len() > 0, "room was put aside");
    disk.fill();
    let mut answered = sell_until_it_ends(&mut site, "full");
    assert!(!site.daemon.hear("the loop stopped").is_empty());

    // As systemd would: it starts again, and there is room.
    disk.start(&mut site);
    assert!(!spare.exists(), "what was put aside is used");
    assert_eq!(site.metric("gatepost_ledger_disk_full"), 1);
    site.daemon.hear("connected to the broker");
    let car = "粤B00001";
    plate(&broker, IN, car, now_ms());
    site.until("the barrier is up", |site| site.stays_of(car) == ["pending_entry"]);
    pass(&broker, IN);
    site.until("the car is inside", |site| site.stays_of(car) == ["open"]);
    let more = sell_until_it_ends(&mut site, "spare");
    assert!(more.len() > 60, "the room lasts for a while: {}", more.len());
    answered.extend(more);
    assert_eq!(disk.verify(), Ok(()), "nothing is there by half");

    // Somebody makes room.
    fs::remove_file(disk.seen("filler")).unwrap();
    disk.start(&mut site);
    assert!(spare.exists(), "room is put aside again");
    assert_eq!(site.metric("gatepost_ledger_disk_full"), 0);
    assert_eq!(site.stays_of(car), ["open"]);
    let receipts: Vec<String> = receipts(&site);
    let lost: Vec<&String> = answered.iter().filter(|key| !receipts.contains(key)).collect();
    assert_eq!(lost, Vec::<&String>::new(), "of {}", answered.len());
    assert_eq!(sell(site.address, "after", 1000, 0).unwrap().status, 200);
    site.daemon.kill();
    assert_eq!(disk.verify(), Ok(()));
}

/// Sells until nobody answers any more; what was answered.
fn sell_until_it_ends(site: &mut Site, run: &str) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0..RECEIPTS_MAX {
        let key = format!("{run}-{n}");
        match sell(site.address, &key, 1000, 0) {
            Ok(answer) if answer.status == 200 => answered.push(key),
            Ok(_) | Err(_) => return answered,
        }
    }
    panic!("the disk never filled");
}

fn receipts(site: &Site) -> Vec<String> {
    let books = site.books();
    let sales = books["sales"].as_array().unwrap();
    sales.iter().map(|sale| sale["receipt"].as_str().unwrap().to_owned()).collect()
}

/// A small file system below the site's folder, in a mount namespace of its own that ends with the test.
struct Disk {
    _keeper: Program,
    pid: String,
    place: PathBuf,
}

impl Disk {
    fn mount(site: &Site) -> Self {
        let place = site.folder.path().join("disk");
        fs::create_dir(&place).unwrap();
        let script = "mount -t tmpfs -o size=$1m,mode=0700 gatepost-test \"$2\" && echo \"mounted by $$\" && exec cat";
        let mut command = Command::new("unshare");
        command.args([if is_root() { "-m" } else { "-rm" }, "sh", "-c", script, "keeper"]);
        command.arg(DISK_MB.to_string()).arg(&place);
        let mut keeper = Program::start("the keeper of the small disk", &mut command);
        let pid = keeper.hear("mounted by ").split(' ').next_back().unwrap().to_owned();
        Self { _keeper: keeper, pid, place }
    }

    /// A file of the disk, as this process sees it.
    fn seen(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(&self.pid).join("root").join(self.place.strip_prefix("/").unwrap()).join(name)
    }

    /// A command that sees the disk.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "-m"]);
        if !is_root() {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.arg(program);
        command
    }

    /// The settings name the disk, and the ledger is on it.
    fn move_ledger(&self, site: &Site) {
        let config = site.folder.path().join("gatepost.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("/ledger.db\"", "/disk/ledger.db\"")).unwrap();
        for ending in ["", "-wal", "-shm"] {
            let name = format!("ledger.db{ending}");
            if let Ok(bytes) = fs::read(site.folder.path().join(&name)) {
                fs::write(self.seen(&name), bytes).unwrap();
            }
        }
    }

    /// Another program takes the room, but for a little.
    fn fill(&self) {
        let mut file = fs::File::create(self.seen("filler")).unwrap();
        let block = vec![7; 1 << 16];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - LEFT_BYTES).unwrap();
    }

    fn start(&self, site: &mut Site) {
        site.daemon.kill();
        let mut command = self.command(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["run", "--config"]).arg(site.folder.path().join("gatepost.toml"));
        (site.daemon, site.address) = until_ready(&mut command);
    }

    fn verify(&self) -> Result<(), String> {
        let mut command = self.command(env!("CARGO_BIN_EXE_gatepost"));
        let done = command.args(["journal", "verify", "--ledger"]).arg(self.place.join("ledger.db")).output().unwrap();
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stdout).into_owned()) }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}
