//! What a guard takes in money at one touch: all that is due, or what the member's points leave to pay.

use maud::{Markup, html};

use super::lane::address;
use super::picture::LanePicture;
use super::words::{Lang, yuan};
use crate::domain::event::Fen;

pub(super) fn offers(lane: &LanePicture, lang: Lang) -> Markup {
    let waiting = lane.waiting();
    let due = waiting.and_then(|waiting| waiting.due).filter(|due| *due > Fen(0));
    let rest = waiting.and_then(|waiting| waiting.with_points);
    html! {
        @if let Some(due) = due {
            form data-act=(address(lane, "settle")) {
                input type="hidden" name="fen" value=(due.0);
                button.primary type="submit" { (lang.pick("收现金 ", "Take cash ")) b { (yuan(due)) } }
            }
        }
        @if let Some(rest) = rest {
            form data-act=(address(lane, "settle")) {
                input type="hidden" name="fen" value=(rest.0);
                button type="submit" { (lang.pick("积分抵扣后收现金 ", "Points, and cash ")) b { (yuan(rest)) } }
            }
        }
    }
}
