//! The model's table in every test run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims;
mod table;
