//! Which vehicle is it? Compares what a camera read with what is known, and says how sure that is.
//!
//! [`index`] finds the few plates that may be meant, [`likelihood`] weighs each, [`answer`] turns the weights into
//! posteriors and these into a decision. [`errors`] is how cameras err, [`population`] what is usual here,
//! [`learning`] what a camera pair has shown.

pub mod answer;
pub mod errors;
pub mod fusion;
pub mod index;
pub mod learning;
pub mod likelihood;
pub mod park;
pub mod population;
pub mod prior;
pub mod reading;
pub mod symbols;
