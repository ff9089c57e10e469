//! The cloud ledger from outside: what boxes and the administrator see over the wire, and that points add up.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod command;
mod conformance;
mod host;
mod identity;
mod lots;
mod office;
mod paths;
mod points;
mod postgres;
mod standby;
mod storm;
mod trouble;
mod wire;
