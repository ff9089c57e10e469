//! Which vehicle is it? Compares what a camera read with what is known, and says how sure that is.
//!
//! [`index`] finds the few plates that may be meant, [`likelihood`] weighs each, [`answer`] turns the weights into
//! posteriors and these into a decision. [`errors`] is how cameras err, [`population`] what is usual here,
//! [`learning`] what a camera pair has shown, [`traffic`] which ways vehicles go. [`park`] holds who is inside, [`members`] who
//! might come.

pub mod answer;
pub mod errors;
pub mod fusion;
pub mod index;
pub mod learning;
pub mod likelihood;
pub mod members;
pub mod park;
pub mod population;
pub mod prior;
pub mod reading;
pub mod symbols;
#[cfg(test)]
mod tests;
pub mod traffic;

use crate::domain::plate::Plate;
use index::Reach;
use symbols::Packed;

/// Whether two plates may be readings of one: two signs differ at most, or one is missing and one differs.
pub fn are_alike(one: &Plate, other: &Plate) -> bool {
    one == other
        || match (Packed::of(one), Packed::of(other)) {
            (Some(one), Some(other)) => index::is_near(Reach::Two, one, other),
            (Some(_) | None, _) => false,
        }
}
