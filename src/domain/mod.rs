//! What Gatepost knows and decides: pure functions over plain values, no clock, no files, no network.

mod access;
pub mod admission;
mod arrival;
pub mod benefit;
pub mod capacity;
mod corrections;
pub mod decide;
pub mod emergency;
mod entry;
mod escrow;
pub mod event;
mod gift;
pub mod lane;
pub mod losses;
pub mod matching;
mod passage;
pub mod plate;
pub mod points;
mod reread;
pub mod rules;
mod sale;
pub mod settlement;
pub mod stay;
mod tailgate;
pub mod tariff;
pub mod till;
mod zones;
