//! The commands beside running the daemon, one file each.

pub mod profile;
mod record;
