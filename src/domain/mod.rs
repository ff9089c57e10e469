//! What Gatepost knows and decides: pure functions over plain values, no clock, no files, no network.

mod access;
mod arrival;
pub mod decide;
pub mod emergency;
pub mod event;
pub mod lane;
pub mod matching;
mod passage;
pub mod plate;
pub mod points;
pub mod rules;
mod sale;
pub mod stay;
pub mod tariff;
