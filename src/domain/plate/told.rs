//! What a camera tells of a vehicle besides the text of its plate: how sure it was, what else it may be, what it looks like.

use serde::{Deserialize, Serialize};

use super::Plate;
use crate::domain::event::UtcMs;

/// All of it; cameras differ, and what one does not say counts for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// What the statement is within its event.
    #[serde(skip_serializing_if = "Stage::is_full")]
    pub stage: Stage,
    /// 0 to 100 for each character of the plate; empty where the camera does not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub char_confidence: Vec<u8>,
    /// Other readings, best first; empty where the camera gives none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// The colour of the plate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// What kind of vehicle it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehicleKind>,
    /// Which end of the vehicle the camera looks at.
    #[serde(skip_serializing_if = "End::is_front")]
    pub end: End,
    /// When it was, by the camera's clock, where that is not believed: what is wrong with it may be found out later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<UtcMs>,
    /// What the camera read where that is no plate, such as a part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Whose picture it was read in, where no camera says it but one who reads the pictures of cameras: the camera's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_of: Option<String>,
    /// Whether it drives away from the lane, where the settings say which way is coming.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drives_away: bool,
}

impl Told {
    /// What it tells of the vehicle: two statements that differ in a wrong clock alone say the same.
    pub fn of_the_vehicle(&self) -> Self {
        Self { clock: None, ..self.clone() }
    }

    /// Whether the camera said nothing besides the text.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// An end of a vehicle. A lane's second camera looks at the rear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Where it comes from, as the driver does.
    #[default]
    Front,
    /// From behind.
    Rear,
}

impl End {
    fn is_front(&self) -> bool {
        *self == Self::Front
    }
}

/// What a statement is within its event: a later stage replaces an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A first guess; a full result follows.
    Quick,
    /// The result.
    #[default]
    Full,
    /// The last word after the vehicle was lost from sight; no vehicle need be there now.
    Last,
}

impl Stage {
    fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

/// Another reading of the same plate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The plate.
    pub plate: Plate,
    /// 0 to 100.
    pub confidence: u8,
}

/// The colour of a plate. Every product numbers them in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Small vehicles.
    Blue,
    /// Large vehicles, motorcycles, learners.
    Yellow,
    /// Police, army.
    White,
    /// Embassies, Hong Kong and Macau.
    Black,
    /// Small new-energy vehicles.
    Green,
    /// Large new-energy vehicles.
    YellowGreen,
}

impl Colour {
    /// The colour that a profile's map names; nothing for `unknown`.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "blue" => Self::Blue,
            "yellow" => Self::Yellow,
            "white" => Self::White,
            "black" => Self::Black,
            "green" => Self::Green,
            "yellow_green" => Self::YellowGreen,
            _ => return None,
        })
    }

    /// Whether it is one of the new-energy plates' colours.
    pub fn is_green(self) -> bool {
        match self {
            Self::Green | Self::YellowGreen => true,
            Self::Blue | Self::Yellow | Self::White | Self::Black => false,
        }
    }
}

/// What kind of vehicle a camera sees, as far as cameras agree on kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleKind {
    /// A car, whatever its shape.
    Car,
    /// A van or a small lorry.
    Van,
    /// A bus or a coach.
    Bus,
    /// A lorry.
    Truck,
    /// Two or three wheels.
    Motorcycle,
}

impl VehicleKind {
    /// The kind that a profile's map names; nothing for `unknown`.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "car" => Self::Car,
            "van" => Self::Van,
            "bus" => Self::Bus,
            "truck" => Self::Truck,
            "motorcycle" => Self::Motorcycle,
            _ => return None,
        })
    }
}

/// Where a camera says that the plate is in its scene, from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlateBox {
    /// Its left edge.
    pub left: u32,
    /// Its upper edge.
    pub top: u32,
    /// Its right edge.
    pub right: u32,
    /// Its lower edge.
    pub bottom: u32,
    /// What the whole width and height count; `None` for pixels.
    pub of: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_says_nothing_more_leaves_no_trace() {
        assert!(Told::default().is_silent());
        assert_eq!(serde_json::to_string(&Told::default()).expect("JSON"), "{}");
        let told: Told = serde_json::from_str("{}").expect("an old record");
        assert!(told.is_silent());
    }

    #[test]
    fn words_of_profiles_are_the_words_of_the_journal() {
        for word in ["blue", "yellow", "white", "black", "green", "yellow_green"] {
            let colour = Colour::of_word(word).expect("a colour");
            assert_eq!(serde_json::to_string(&colour).expect("JSON"), format!("\"{word}\""));
        }
        for word in ["car", "van", "bus", "truck", "motorcycle"] {
            let kind = VehicleKind::of_word(word).expect("a kind");
            assert_eq!(serde_json::to_string(&kind).expect("JSON"), format!("\"{word}\""));
        }
        assert_eq!((Colour::of_word("unknown"), VehicleKind::of_word("unknown")), (None, None));
    }
}
