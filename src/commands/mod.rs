//! The commands of the binary, one file each.

pub mod bundle;
pub mod fee;
pub mod matching;
pub mod profile;
mod record;

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
