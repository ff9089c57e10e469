//! Tables of stays with what they must cost, each under the row of the requirements that it shows.

mod bundle;
mod cases;
mod properties;
