//! What was given to a stay: a shop's gift as its kind says, or a paper voucher, which says by itself what it gives.

use super::{Candidate, Look};
use crate::domain::benefit::facts::{Source, Validation};
use crate::domain::benefit::reason::Reason;
use crate::domain::benefit::table::Give;

/// What a paper voucher is called in the lines of a fee.
const WORDS: (&str, &str) = ("纸质券", "Paper voucher");
/// Its class: what people hand over while the box is down excludes nothing else, because nobody there can reckon it.
const CLASS: &str = "paper";

impl<'a> Look<'a> {
    pub(super) fn at_gift(&self, given: &'a Validation) -> Result<Candidate<'a>, Reason> {
        if let Some(gives) = &given.gives {
            return self.at_voucher(given, gives);
        }
        let kind = self.table.validations.iter().find(|kind| kind.id == given.kind);
        kind.ok_or_else(Reason::unknown_kind).and_then(|kind| self.at_validation(kind, given))
    }

    fn at_voucher(&self, given: &'a Validation, gives: &'a Give) -> Result<Candidate<'a>, Reason> {
        self.may_have_any(false)?;
        let mut candidate = self.candidate(Source::Validation, &given.kind, WORDS, CLASS, gives);
        candidate.instance = Some(&given.id);
        candidate.merchant = Some(&given.merchant);
        candidate.operator = given.operator.as_deref();
        candidate.funder = &given.merchant;
        Ok(candidate)
    }
}
