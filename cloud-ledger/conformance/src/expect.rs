//! What a check says where an answer is not what the page promises.

use serde_json::Value;

use crate::wire::Answer;

/// A promise that was not kept, in words.
pub type Broken = String;

/// The body of an answer that must be a success.
pub fn ok(what: &str, answer: Answer) -> Result<Value, Broken> {
    if answer.status == 200 {
        return Ok(answer.body);
    }
    Err(format!("{what}: expected 200, got {} {}", answer.status, answer.body))
}

/// An answer that must be this refusal.
pub fn refused(what: &str, answer: Answer, status: u16, code: &str) -> Result<Value, Broken> {
    if answer.status == status && answer.body["code"] == code {
        return Ok(answer.body);
    }
    Err(format!("{what}: expected {status} {code}, got {} {}", answer.status, answer.body))
}

/// Two things that must be the same.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), Broken> {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}"))
}

/// A statement that must be true.
pub fn holds(what: &str, is_true: bool, seen: &Value) -> Result<(), Broken> {
    if is_true { Ok(()) } else { Err(format!("{what}: {seen}")) }
}
