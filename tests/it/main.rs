//! One integration-test binary: stories of lanes, tables of cases, and the tidiness of the source.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lanes;
mod model;
mod random;
mod story;
