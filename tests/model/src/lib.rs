//! The grants protocol as a model: every order of messages, crashes and fences is tried, and no point is spent twice.
//!
//! - [`state`]: what the ledger, the boxes and the network hold, and the sums over them;
//! - [`protocol`]: what may happen next, and under which change the protocol is wrong on purpose;
//! - `ledger`, `device`: what the cloud ledger and a box do;
//! - [`properties`]: what must hold in every state, and what must be reachable for that to mean something;
//! - [`claims`]: the same for a coupon that one box has alone, small and apart;
//! - [`table`]: the sizes that are checked, what each must give, and the broken variants with what must catch them.
//!
//! `docs/proof.md` says what follows from it and what does not. The same model judges the real box and the real ledger:
//! each of their steps must be one that [`protocol::Protocol::next`] accepts.

pub mod claims;
mod device;
mod ledger;
pub mod properties;
pub mod protocol;
pub mod state;
pub mod table;
