//! What stays cost: published price sheets case by case, and random ones beside a naive meter.

mod force;
mod naive;
mod properties;
mod published;
mod random;
