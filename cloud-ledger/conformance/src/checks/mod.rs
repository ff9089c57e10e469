//! The promises of `docs/cloud-api.md`, each with the function that asks for it.

mod journal;
mod lots;
mod offers;
mod points;
mod trust;

use std::future::Future;
use std::pin::Pin;

use crate::expect::Broken;
use crate::wire::Office;

/// What asking for a promise gives.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;

/// A promise and how to ask for it.
pub struct Check {
    /// The promise, in a sentence.
    pub promise: &'static str,
    /// Asks for it.
    pub ask: for<'a> fn(&'a Office) -> Asking<'a>,
}

macro_rules! checks {
    ($($promise:literal: $module:ident::$name:ident,)*) => {
        vec![$(Check { promise: $promise, ask: |office| Box::pin($module::$name(office)) },)*]
    };
}

/// Every promise, in the order of the page.
pub fn all() -> Vec<Check> {
    checks![
        "the same key enrols once, another key ends the epoch": trust::enrolment,
        "a request with a wrong signature changes nothing": trust::forged_requests,
        "no box speaks for another": trust::foreign_boxes,
        "a key that another has followed hands in its past and gets nothing": trust::old_keys,
        "the handshake says where the journals differ": trust::handshake,
        "an entry is applied once, in its turn": journal::uploads,
        "a journal that was rewritten is noticed and kept apart": journal::forks,
        "an unknown kind stops the cursor before it": journal::unknown_kinds,
        "heads may be left out and bodies compressed": journal::small_uploads,
        "an epoch ends once, and what it did is still taken": journal::epochs,
        "a journal can be read back byte by byte": journal::restores,
        "points are reserved, spent and given back to the point": points::arithmetic,
        "a request for points is answered once": points::grant_repeats,
        "nobody gets more than is available, however many ask": points::grant_races,
        "an op has its effect once, on every way": points::op_repeats,
        "what is earned stays with its box until it is given back": points::earnings,
        "a spend beyond what is reserved is an alarm and not a negative account": points::beyond,
        "a spend is reversed where it was made, and not beyond": points::reversals,
        "a fenced box's points wait for its journal": points::fences,
        "what is released is paid by the reserve": points::releases,
        "an online spend happens once, and can be undone": points::online,
        "a grant is cut from one lot, first what expires first": lots::order,
        "points stay where they may be used": lots::places,
        "standing grants are for the home and a share of the balance": lots::standing,
        "a recalled grant is asked for until it is given back": lots::recalls,
        "the feed has no holes and tells the newest": lots::feed,
        "debts are listed until they are paid": lots::debts,
        "what a member has beside the tier reaches the boxes": offers::privileges,
        "boxes are never promised more of a budget than there is": offers::shares,
        "a coupon is had by one box at a time, and goes on by that box's word alone": offers::claims,
    ]
}
