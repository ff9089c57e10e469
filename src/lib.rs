//! The map of the house. An input is decided, journaled, then acted on:
//!
//! - [`domain`]: what is decided, pure;
//! - [`profile`]: what a device's bytes mean, by a TOML file per product, pure;
//! - [`store`]: where it is written, the only place with SQL;
//! - [`site`]: the loop that ties them together;
//! - [`devices`], [`tills`], [`console`], [`sync`]: the edges, which never import each other;
//! - [`photos`]: the pictures of arrivals, beside the ledger;
//! - [`member_code`]: what a member's phone shows, and whether it is true;
//! - [`metrics`]: what is counted; [`witness`]: how far the journal has been, remembered on another disk;
//! - [`clock`]: the only reader of the system's clocks;
//! - [`bundle`]: rule files, overlays and signatures;
//! - [`config`], [`daemon`]: the settings, and who introduces the rooms to each other;
//! - [`doors`]: every way in for bytes from outside, for those who test them with harm.

pub mod bundle;
pub mod clock;
pub mod config;
pub mod console;
pub mod daemon;
#[cfg(feature = "demo")]
pub mod demo;
pub mod devices;
pub mod domain;
pub mod doors;
pub mod member_code;
pub mod metrics;
pub mod photos;
pub mod profile;
pub mod site;
pub mod store;
pub mod sync;
pub mod tills;
pub mod witness;
