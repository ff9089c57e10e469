//! The world outside the box: cars, cameras, loops, barriers, tills, guards and a line to the cloud that can be cut.
//!
//! Everything here speaks the protocols that real devices speak, and knows nothing of the box's own code:
//! two independent implementations meet on the wire.

pub mod alone;
mod asked;
pub mod barrier;
pub mod books;
pub mod cables;
pub mod camera;
pub mod clock;
pub mod conformance;
pub mod coupons;
mod driver;
pub mod engine;
pub mod faults;
pub mod gear;
pub mod guard;
pub mod led_card;
pub mod line;
pub mod matching;
pub mod modbus;
pub mod outcome;
pub mod passage;
pub mod phone;
pub mod photo;
pub mod plan;
pub mod plates;
pub mod relay_board;
pub mod tariff;
pub mod till;
pub mod world;
