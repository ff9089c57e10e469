//! Rules come into force by people: two of them put new ones in force, one goes back to those before.

use std::sync::Arc;

use axum::extract::State;

use super::Tills;
use super::body::Body;
use super::problem::{Code, Problem};
use super::staff::{Answer, Given};
use crate::domain::event::{Input, RulesOffer};

/// Told after an answer that does not come.
const LATE: &str = "the box has not answered yet; look at the rules in force before you do it again";

/// `POST /staff/rules/activate`: the rules files of the settings, as they now are, hold from the next entry on.
pub(super) async fn activate(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "second", "second_pin"])?;
    let first = tills.operator_of(&body)?;
    let second = tills.second_of(&body, &first)?;
    let second = second.ok_or_else(|| Problem::field("second", "missing; new rules need two persons"))?;
    let read = Arc::clone(&tills.settings.read_rules);
    let text = tokio::task::spawn_blocking(move || read()).await;
    let text = text.map_err(|_| Problem::new(Code::Internal, "the rules could not be read; the box's log says why"))?;
    let text = text.map_err(|wrong| Problem::new(Code::RulesRefused, wrong))?;
    let operator = Some(format!("{first} and {second}"));
    tills.decided(Input::RulesOffered { version: 0, operator, offer: RulesOffer::Text(text) }, LATE).await
}

/// `POST /staff/rules/rollback`: the version before the one in force holds again.
pub(super) async fn roll_back(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin"])?;
    let operator = Some(tills.operator_of(&body)?);
    tills.decided(Input::RulesOffered { version: 0, operator, offer: RulesOffer::Before }, LATE).await
}
