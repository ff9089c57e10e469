//! What Gatepost knows and decides: pure functions over plain values, no clock, no files, no network.

mod access;
mod arrival;
pub mod benefit;
pub mod decide;
pub mod emergency;
mod escrow;
pub mod event;
mod gift;
pub mod lane;
pub mod matching;
mod passage;
pub mod plate;
pub mod points;
pub mod rules;
mod sale;
pub mod settlement;
pub mod stay;
pub mod tariff;
pub mod till;
