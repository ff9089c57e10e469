//! A real PostgreSQL for tests: a new one in a folder of its own, without a port unless one is wanted, that ends with
//! the process that started it, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::getuid;

/// The user that the server runs as where the tests run as root, which PostgreSQL refuses to do.
const USER: &str = "postgres";

/// Makes a cluster, starts it, says where it is, and stops it when its input ends: when the tests are over or dead.
/// `$1` is the folder of the programs, the rest are settings of the server. Where `PRIMARY` is a server's folder, it is
/// a standby of that one instead.
const KEEPER: &str = r#"
bin=$1; shift
# Only the end of its input ends it, so that it always tidies up.
trap '' TERM INT HUP
set -e
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
if [ -n "$PRIMARY" ]; then
    make() { "$bin/pg_basebackup" --no-sync -h "$PRIMARY" -U postgres -c fast -R -D "$place/data"; }
else
    make() { "$bin/initdb" --no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C -D "$place/data"; }
fi
make >"$place/made" 2>&1 || { cat "$place/made" >&2; exit 1; }
set +e
"$bin/postgres" -D "$place/data" -k "$place" "$@" >"$place/log" 2>&1 </dev/null &
server=$!
until "$bin/pg_isready" -q -h "$place" -p "${PGPORT:-5432}"; do
    kill -0 $server 2>/dev/null || { cat "$place/log" >&2; exit 1; }
    sleep 0.05
done
echo "$place $server"
exec 3<&0
( trap - EXIT; read -r _ <&3; [ -e "$place/ended" ] || kill -QUIT $server 2>/dev/null ) &
reader=$!
# A server that a test killed is waited for at once: its number would keep the next one from starting on its files.
wait $server 2>/dev/null
: >"$place/ended"
wait $reader
"#;

/// A running server.
pub struct Postgres {
    /// Where its data, its socket and its log are.
    pub place: PathBuf,
    /// The process of the server, for whoever wants to kill it.
    #[allow(dead_code, reason = "not every test binary that uses this kills servers")]
    pub process: u32,
    port: Option<u16>,
    keeper: Child,
    // The server ends when this is closed.
    input: Option<ChildStdin>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server with these settings, such as `fsync=off`, that is reached by its socket alone.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_at(None, settings)
    }

    /// The same, reached also at this port of the loopback.
    pub fn start_at(port: Option<u16>, settings: &[&str]) -> Self {
        Self::begin(None, port, settings)
    }

    /// Starts a standby of this server, which is reached by its socket: a copy that follows every commit.
    pub fn standby(&self) -> Self {
        Self::begin(Some(&self.place), None, &[])
    }

    fn begin(primary: Option<&Path>, port: Option<u16>, settings: &[&str]) -> Self {
        let bin = programs();
        let mut command = if getuid().is_root() {
            // Not `runuser`, which stands between as a terminal would and kills the keeper before it has tidied up.
            let mut as_user = Command::new("setpriv");
            as_user.arg(format!("--reuid={USER}")).arg(format!("--regid={USER}")).args(["--init-groups", "sh"]);
            as_user
        } else {
            Command::new("sh")
        };
        command.args(["-c", KEEPER, "keeper"]).arg(&bin);
        match port {
            Some(port) => command.env("PGPORT", port.to_string()).args(["-c", "listen_addresses=127.0.0.1"]),
            None => command.env_remove("PGPORT").args(["-c", "listen_addresses="]),
        };
        match primary {
            Some(place) => command.env("PRIMARY", place),
            None => command.env_remove("PRIMARY"),
        };
        for setting in settings {
            command.args(["-c", setting]);
        }
        let mut keeper =
            command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell starts");
        let input = keeper.stdin.take();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let (place, process) = said.trim().split_once(' ').expect("PostgreSQL starts; its log is above");
        let (place, process) = (PathBuf::from(place), process.parse().unwrap());
        Self { place, process, port, keeper, input, databases: AtomicU32::new(0) }
    }

    /// A new, empty database in it, as an address for `--database`.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The address of a database.
    pub fn url(&self, name: &str) -> String {
        match self.port {
            Some(port) => format!("postgres://postgres@127.0.0.1:{port}/{name}"),
            None => format!("postgres://postgres@{}/{name}", self.socket()),
        }
    }

    /// Its socket, as it stands in an address.
    pub fn socket(&self) -> String {
        self.place.display().to_string().replace('/', "%2F")
    }

    /// Runs statements in a database, as an operator at a terminal would; what they answer, one row a line.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-qAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql]).arg("-h");
        psql.arg(&self.place).env("PGPORT", self.port.unwrap_or(5432).to_string());
        let done = psql.current_dir("/").output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut input) = self.input.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.keeper.wait();
    }
}

/// The server that the tests of this process share. It promises nothing about power cuts, so that tests are quick.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(&["fsync=off", "full_page_writes=off", "max_connections=400"]))
}

/// Where Debian keeps the programs of the newest PostgreSQL that it has.
pub fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed; ./test does it")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Path::new(&path).join("bin/initdb").exists().then(|| (version, path.join("bin")))
        })
        .collect();
    versions.sort();
    versions.pop().expect("PostgreSQL is installed with its server").1
}
