//! The real daemon as a child process, and the foreign programs around it: each is waited for by what it says, and
//! ends with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before the test says that it did not happen: a loaded machine is slow, never this slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs beside the test and tells what it does in lines.
pub struct Program {
    name: String,
    child: Child,
    lines: Arc<Lines>,
    heard: usize,
}

#[derive(Default)]
struct Lines {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    open_pipes: usize,
}

impl Program {
    /// Starts a program; both of its outputs are heard.
    pub fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}; ./test installs what the tests need"));
        let lines = Arc::new(Lines::default());
        lines.said.lock().unwrap().open_pipes = 2;
        listen(child.stdout.take().unwrap(), Arc::clone(&lines));
        listen(child.stderr.take().unwrap(), Arc::clone(&lines));
        Self { name: name.to_owned(), child, lines, heard: 0 }
    }

    /// The next line that contains `words`, skipping others; a line is heard once.
    pub fn hear(&mut self, words: &str) -> String {
        self.hear_within(words, PATIENCE).unwrap_or_else(|| {
            let said = self.lines.said.lock().unwrap().lines.join("\n");
            panic!("{} never said {words:?}; it said:\n{said}", self.name)
        })
    }

    fn hear_within(&mut self, words: &str, patience: Duration) -> Option<String> {
        let until = Instant::now() + patience;
        let mut said = self.lines.said.lock().unwrap();
        loop {
            let found = said.lines.iter().skip(self.heard).position(|line| line.contains(words));
            if let Some(offset) = found {
                let line = said.lines[self.heard + offset].clone();
                self.heard += offset + 1;
                return Some(line);
            }
            if said.open_pipes == 0 {
                return None;
            }
            let left = until.checked_duration_since(Instant::now())?;
            said = self.lines.news.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Says one line to it.
    pub fn tell(&mut self, line: &str) {
        let stdin: &mut ChildStdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// The most memory that it ever held, in KiB, as the kernel counts it.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(pipe: impl Read + Send + 'static, lines: Arc<Lines>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            lines.said.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
            lines.news.notify_all();
        }
        lines.said.lock().unwrap().open_pipes -= 1;
        lines.news.notify_all();
    });
}

/// Debian's mosquitto, with its memory on disk.
pub struct Broker {
    /// Where it listens on the loopback.
    pub port: u16,
    folder: PathBuf,
    access: String,
    program: Program,
}

impl Broker {
    /// Starts in `folder` on a port that was free a moment ago; tries others where somebody else was faster.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, "allow_anonymous true\n")
    }

    /// The same, with settings that say who may do what.
    pub fn start_with(folder: &Path, access: &str) -> Self {
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(program) = run_mosquitto(folder, port, access) {
                return Self { port, folder: folder.to_owned(), access: access.to_owned(), program };
            }
        }
        panic!("mosquitto does not start; ./test installs what the tests need");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// On the same port again.
    pub fn restart(&mut self) {
        self.program = run_mosquitto(&self.folder, self.port, &self.access).expect("the port was its own a moment ago");
    }
}

fn run_mosquitto(folder: &Path, port: u16, access: &str) -> Option<Program> {
    let file = folder.join("mosquitto.conf");
    let mut settings = format!(
        "listener {port} 127.0.0.1\n{access}{shipped}\n\
         persistence_location {}/\nautosave_on_changes true\nautosave_interval 1\n\
         log_dest stderr\n",
        folder.display(),
        shipped = include_str!("../../systemd/mosquitto-gatepost.conf"),
    );
    // Where root starts it, it would become a user that cannot write here.
    settings.push_str("user root\n");
    std::fs::write(&file, settings).unwrap();
    // Debian keeps it in sbin, which is not on everybody's path.
    let name = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let mut program = Program::start("mosquitto", Command::new(name).arg("-c").arg(&file));
    program.hear_within(" running", PATIENCE)?;
    Some(program)
}

/// A site's settings and ledger in a folder, and its daemon.
pub struct Site {
    /// Settings, rules and ledger.
    pub folder: tempfile::TempDir,
    /// Where the daemon listens this time.
    pub address: SocketAddr,
    /// The daemon.
    pub daemon: Program,
}

impl Site {
    /// Writes `settings` below the parts that all tests share, and starts the daemon. `{folder}` in them is the
    /// site's folder.
    pub fn start(settings: &str) -> Self {
        Self::start_by(settings, |file, _| run(file))
    }

    /// The same, where `command` makes the daemon's command from the settings file and the site's folder.
    pub fn start_by(settings: &str, command: impl Fn(&Path, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = write_settings(folder.path(), settings);
        let (daemon, address) = until_ready(&mut command(&file, folder.path()));
        Self { folder, address, daemon }
    }

    /// After a kill: the same settings and the same ledger.
    pub fn restart(&mut self) {
        (self.daemon, self.address) = until_ready(&mut run(&self.folder.path().join("gatepost.toml")));
    }

    /// What the metrics say about `name`, which may carry labels; 0 where it was never counted.
    pub fn metric(&self, name: &str) -> u64 {
        let text = request(self.address, "GET", "/metrics", &[], "").unwrap().body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// The books, as a guard reads them.
    pub fn books(&self) -> Value {
        let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
        let answer = request(self.address, "GET", "/api/v1/staff/books", &guard, "").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The stays of a plate: their states.
    pub fn stays_of(&self, plate: &str) -> Vec<String> {
        let books = self.books();
        let stays = books["stays"].as_array().unwrap().iter().filter(|stay| stay["plate"] == plate);
        stays.map(|stay| stay["state"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until `is_so`, looking again whenever the page's live stream tells of a change.
    pub fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /console/events HTTP/1.1\r\nHost: box\r\n\r\n").unwrap();
        let until = Instant::now() + PATIENCE;
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(line)) = lines.next() {
            if line == "event: beat" {
                if is_so(self) {
                    return;
                }
                assert!(Instant::now() < until, "it never came to: {what}; the books: {}", self.books());
            }
        }
        panic!("the page's stream ended before: {what}");
    }

    /// `gatepost journal verify` on the ledger of a daemon that does not run any more.
    pub fn verify(&self) -> Result<String, String> {
        self.verify_with(&[])
    }

    /// The same with more arguments.
    pub fn verify_with(&self, more: &[&str]) -> Result<String, String> {
        let ledger = self.folder.path().join("ledger.db");
        let verdict = gatepost().args(["journal", "verify", "--ledger"]).arg(ledger).args(more).output().unwrap();
        let text = String::from_utf8_lossy(&verdict.stdout).into_owned() + &String::from_utf8_lossy(&verdict.stderr);
        if verdict.status.success() { Ok(text) } else { Err(text) }
    }
}

const COMMON: &str = r#"
[box]
id = "box-1"
[ledger]
file = "{folder}/ledger.db"
[http]
listen = "127.0.0.1:0"
till_requests_per_s = 100000
[rules]
file = "rules.toml"
[[terminals]]
id = "till-1"
token = "secret"
[[operators]]
id = "guard"
pin = "4711"
"#;

fn write_settings(folder: &Path, settings: &str) -> PathBuf {
    let file = folder.join("gatepost.toml");
    let settings = format!("{COMMON}{settings}").replace("{folder}", &folder.display().to_string());
    std::fs::write(&file, settings).unwrap();
    std::fs::copy(root().join("systemd/rules.toml"), folder.join("rules.toml")).unwrap();
    file
}

/// The daemon's command for a settings file.
pub fn run(settings: &Path) -> Command {
    let mut command = gatepost();
    command.arg("run").arg("--config").arg(settings);
    command
}

/// A daemon that serves its page, and where. What it said until then can still be heard: a link may be faster than the
/// page.
pub fn until_ready(command: &mut Command) -> (Program, SocketAddr) {
    let mut daemon = Program::start("gatepost", command);
    let ready = daemon.hear("ready address=");
    daemon.heard = 0;
    let address = ready.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    (daemon, address.parse().unwrap())
}

/// The binary under test.
pub fn gatepost() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gatepost"))
}

/// The folder of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An answer over HTTP.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Everything after the headers.
    pub body: String,
}

/// One request on a connection of its own. An error means that the other side went away: nobody knows what happened.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut_off = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let (head, rest) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut_off)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| length != rest.len()) {
        return Err(cut_off());
    }
    Ok(Answer { status, body: rest.to_owned() })
}
