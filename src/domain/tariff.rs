//! What a stay costs, line by line, from the rules in force when it began.

use serde::{Deserialize, Serialize};

use super::event::Fen;

/// One line of a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeLine {
    /// The rule's name in the bundle.
    pub rule: String,
    /// What it adds or takes away.
    pub fen: Fen,
    /// The arithmetic in Chinese.
    pub zh: String,
    /// The arithmetic in English.
    pub en: String,
}

/// A fee: lines that sum to the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// The sum of the lines.
    pub total: Fen,
    /// The lines, in the order of evaluation.
    pub lines: Vec<FeeLine>,
}
