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

/// One line of a command's own answer.
#[allow(clippy::print_stdout, reason = "the command's own answer")]
pub fn say(line: &str) {
    println!("{line}");
}

/// One line for the person, where the answer goes elsewhere.
#[allow(clippy::print_stderr, reason = "the command's own complaint")]
pub fn complain(line: &str) {
    eprintln!("{line}");
}
