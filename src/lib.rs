//! The map of the house. An input is decided, journaled, then acted on:
//!
//! - [`domain`]: what is decided, pure;
//! - [`store`]: where it is written, the only place with SQL;
//! - [`site`]: the loop that ties the two;
//! - [`profile`]: what a device's bytes mean, by a TOML file per product, pure;
//! - [`metrics`]: what is counted;
//! - [`devices`], `tills`, `console`, `sync`: the edges, which never import each other;
//! - `config`, `clock`: settings and the system's clocks.

pub mod clock;
pub mod console;
pub mod devices;
pub mod domain;
pub mod metrics;
pub mod profile;
pub mod site;
pub mod store;
pub mod tills;
