//! The words of a profile about pictures: where they stand in a message, and where the plate is in them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Condition;

/// A picture inside a message: a text in its body, or a part of a form.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureWords {
    /// Where its text stands: names and list positions joined by dots.
    #[serde(default)]
    pub path: String,
    /// How its bytes are written as that text.
    pub encoding: Option<PictureEncoding>,
    /// HTTP: the name or the file name of the part that it is.
    pub part: Option<String>,
    /// Of a scene: where the plate is in it, for a message that brings no picture of the plate alone.
    pub plate_box: Option<BoxWords>,
}

/// How a picture's bytes are written as text. White space in it does not matter, and padding may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PictureEncoding {
    /// Base64, standard alphabet.
    Base64,
    /// Base64 with `-` and `_`.
    Base64Url,
    /// `data:image/jpeg;base64,` before it.
    DataUrl,
}

/// The paths of a rectangle's edges: the left and the upper one, and the others or how far they are from them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoxWords {
    /// Its left edge.
    pub left: String,
    /// Its upper edge.
    pub top: String,
    /// Its right edge.
    pub right: Option<String>,
    /// Its lower edge.
    pub bottom: Option<String>,
    /// How wide it is, instead of its right edge.
    pub width: Option<String>,
    /// How high it is, instead of its lower edge.
    pub height: Option<String>,
    /// What the whole width and height count, for a product that counts no pixels; a rectangle beyond that is none.
    pub of: Option<u32>,
    /// It is one where all of these hold.
    #[serde(default)]
    pub when: Vec<Condition>,
}
