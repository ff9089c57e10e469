//! One statement about a plate as the matching uses it: signs, how sure the camera was of each, colour.

use super::errors::{Read, Sureness};
use super::symbols::{PACKED_SIGNS, Packed};
use crate::domain::plate::Plate;
pub use crate::domain::plate::told::Colour;

/// A plate as one camera read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The signs.
    pub plate: Packed,
    /// How sure the camera was of each.
    pub sureness: [Sureness; PACKED_SIGNS],
    /// The colour, where it was told.
    pub colour: Option<Colour>,
}

impl Reading {
    /// A reading of which only the text is known.
    pub fn of(plate: Packed) -> Self {
        Self { plate, sureness: [Sureness::Unknown; PACKED_SIGNS], colour: None }
    }

    /// A reading with the camera's confidence in each character, in basis points. Confidences that do not fit the
    /// text's length say nothing and are left out. `None` where the matching cannot pack the plate.
    pub fn told(plate: &Plate, confidences: &[u16], colour: Option<Colour>) -> Option<Self> {
        let mut reading = Self { colour, ..Self::of(Packed::of(plate)?) };
        if confidences.len() == reading.plate.len() {
            for (sureness, confidence) in reading.sureness.iter_mut().zip(confidences) {
                *sureness = Sureness::of_bp(*confidence);
            }
        }
        Some(reading)
    }

    /// The chance that a plate that was read right is marked so by the camera.
    pub fn marks_if_right(&self) -> f64 {
        self.sureness[..self.len()].iter().map(|sureness| sureness.weights().0).product()
    }

    /// How many signs.
    pub fn len(&self) -> usize {
        self.plate.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.plate.is_empty()
    }

    /// The sign at a place and how sure the camera was of it.
    pub fn at(&self, place: usize) -> Read {
        Read { sign: self.plate.sign(place), sureness: self.sureness[place] }
    }
}
