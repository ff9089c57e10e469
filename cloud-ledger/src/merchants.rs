//! What the administrator says of merchants; the feed tells every box, and the newest word wins there.

use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, Refusal, check_name};
use crate::members::{What, put_what};

/// Longest text of a merchant: what fits a receipt's line, with room.
const TEXT_CHARS_MAX: usize = 64;
/// The most tags of a merchant.
const TAGS_MAX: usize = 64;

/// A merchant as the administrator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merchant {
    /// What customers call it.
    #[serde(default)]
    pub name: String,
    /// The floor.
    #[serde(default)]
    pub floor: String,
    /// What kind of trade.
    #[serde(default)]
    pub format: String,
    /// Other marks, such as the kind of lease.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether points pay there.
    #[serde(default = "yes")]
    pub accepts_points: bool,
    /// Whether its sales earn.
    #[serde(default = "yes")]
    pub earns_points: bool,
    /// Whether it gives parking.
    #[serde(default = "yes")]
    pub gives_parking: bool,
    /// It takes part in nothing before, in milliseconds since 1970.
    #[serde(default)]
    pub from_ms: Option<i64>,
    /// It takes part in nothing from then on.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

fn yes() -> bool {
    true
}

/// A merchant on the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedMerchant {
    /// Its id, as the `merchant` of its tills and in statements.
    pub id: String,
    /// The rest.
    #[serde(flatten)]
    pub merchant: Merchant,
}

impl Ledger {
    /// Tells every box of a merchant.
    pub fn put_merchant(&self, id: &str, merchant: &Merchant) -> Result<(), Refusal> {
        check_name("id", id)?;
        for (field, text) in [("name", &merchant.name), ("floor", &merchant.floor), ("format", &merchant.format)] {
            check_text(field, text)?;
        }
        if merchant.tags.len() > TAGS_MAX {
            return Err(Refusal::BadRequest(format!("tags: at most {TAGS_MAX} are allowed")));
        }
        merchant.tags.iter().try_for_each(|tag| check_name("tags", tag))?;
        if merchant.from_ms.zip(merchant.until_ms).is_some_and(|(from, until)| from >= until) {
            return Err(Refusal::BadRequest("until_ms: must come after from_ms".to_owned()));
        }
        let merchant = FeedMerchant { id: id.to_owned(), merchant: merchant.clone() };
        self.database.write(|tx| put_what(tx, &What::Merchant { merchant: merchant.clone() }))
    }
}

/// A text for people; it may be empty.
fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::BadRequest(format!("{field}: must be at most {TEXT_CHARS_MAX} characters that can be printed")))
}
