//! Which device a message is about, where several speak on one topic or post to one path: a field that holds one of their
//! parameters.

use super::json::{Body, scalar};
use super::language::Identity;
use super::statement::{Rejection, Statement};
use super::template::{Value, Values};

/// What stands in the messages of the device with these parameters; `None` where its topic or path alone tells.
pub fn of(identity: Option<&Identity>, params: &Values) -> Option<String> {
    params.get(identity?.param.get_ref()).map(Value::written)
}

/// Whether a message names the device with these parameters; false where it names none.
/// [`Rejection::NotForThis`] where it names another.
pub fn is_named(identity: Option<&Identity>, params: &Values, body: Body) -> Result<bool, Rejection> {
    let (Some(words), Some(ours)) = (identity, of(identity, params)) else { return Ok(true) };
    let Some(found) = words.paths.iter().find_map(|path| body.at(path).and_then(scalar)) else { return Ok(false) };
    if found.eq_ignore_ascii_case(&ours) { Ok(true) } else { Err(Rejection::NotForThis(words.param.get_ref().clone())) }
}

/// Where several devices could be meant.
pub fn missing() -> Rejection {
    Rejection::MissingField("that names the device, which shares this topic or path".to_owned())
}

/// Whether it can be said of several devices at once: no more than that they are there, or gone.
pub fn may_be_of_all(says: &[Statement]) -> bool {
    says.iter().all(|says| matches!(says, Statement::KeepAlive {} | Statement::Away {}))
}
