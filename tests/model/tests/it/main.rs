//! The model's table in every test run, and the real box and ledger held to the model.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod table;
mod walk;
