//! What Gatepost knows and decides: pure functions over plain values, no clock, no files, no network.

pub mod event;
pub mod lane;
pub mod plate;
pub mod points;
pub mod stay;
pub mod tariff;
