//! The commands of the binary, one file each.

pub mod backup;
pub mod bundle;
pub mod check;
pub mod day;
pub mod fee;
pub mod journal;
pub mod matching;
pub mod profile;
mod record;
pub mod restore;
pub mod simulate;
pub mod tell;

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// The exit code of a command whose answer nobody reads to its end: a shell's for one that a broken pipe ended.
const EXIT_UNREAD: i32 = 128 + 13;

/// One line of a command's own answer. Where nobody reads on (`gatepost … | head`), the command ends like any other tool.
pub fn say(line: impl Display) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        if error.kind() != ErrorKind::BrokenPipe {
            complain(&format!("gatepost: cannot print the answer: {error}"));
        }
        std::process::exit(EXIT_UNREAD);
    }
}

/// One line for the person, where the answer goes elsewhere.
#[allow(clippy::print_stderr, reason = "the command's own complaint")]
pub fn complain(line: &str) {
    eprintln!("{line}");
}
