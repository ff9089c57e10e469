//! One integration-test binary: stories of lanes, tables of cases, and the tidiness of the source.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alone;
mod arrivals;
mod benefits;
mod boxed;
mod cards;
mod corrections;
mod demo;
mod dice;
mod doors;
mod emergency;
mod escrow;
mod fees;
mod foreign;
mod full;
mod group_commit;
mod kill;
mod lanes;
mod matching;
mod mishaps;
mod model;
mod packaging;
mod page;
mod photos;
mod random;
mod recovery;
mod settlement;
mod source;
mod stays;
mod story;
mod tidy;
mod till_lines;
mod tills;
mod uplink;
