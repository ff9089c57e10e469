//! What goes into a statement and what comes out of it.

use std::error::Error as StdError;

use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// One value of a statement or a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number, or 1 and 0 for true and false.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The texts for a `{any $n}`.
    List(Vec<String>),
}

/// One row of an answer. Each reading names the column from 0; a column of another kind is a mistake of the statement.
#[derive(Clone, Debug)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// A whole number.
    pub fn int(&self, column: usize) -> i64 {
        self.opt_int(column).expect("the statement selects a number here")
    }

    /// A whole number or nothing.
    pub fn opt_int(&self, column: usize) -> Option<i64> {
        match &self.0[column] {
            Value::Null => None,
            Value::Int(number) => Some(*number),
            Value::Text(_) | Value::Bytes(_) | Value::List(_) => panic!("the statement selects a number here"),
        }
    }

    /// An epoch.
    pub fn epoch(&self, column: usize) -> u32 {
        u32::try_from(self.int(column)).expect("an epoch was checked when it was stored")
    }

    /// True or false.
    pub fn flag(&self, column: usize) -> bool {
        self.int(column) != 0
    }

    /// A text.
    pub fn text(&self, column: usize) -> String {
        self.opt_text(column).expect("the statement selects a text here")
    }

    /// A text or nothing.
    pub fn opt_text(&self, column: usize) -> Option<String> {
        match &self.0[column] {
            Value::Null => None,
            Value::Text(text) => Some(text.clone()),
            Value::Int(_) | Value::Bytes(_) | Value::List(_) => panic!("the statement selects a text here"),
        }
    }

    /// 32 bytes: a hash or a key.
    pub fn hash(&self, column: usize) -> [u8; 32] {
        self.opt_hash(column).expect("the statement selects 32 bytes here")
    }

    /// 32 bytes or nothing.
    pub fn opt_hash(&self, column: usize) -> Option<[u8; 32]> {
        match &self.0[column] {
            Value::Null => None,
            Value::Bytes(bytes) => Some(bytes.as_slice().try_into().expect("the table checks the length")),
            Value::Int(_) | Value::Text(_) | Value::List(_) => panic!("the statement selects bytes here"),
        }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Int(i64::from(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::Int(i64::try_from(number).expect("nothing here is that long"))
    }
}

impl From<bool> for Value {
    fn from(is_true: bool) -> Self {
        Value::Int(i64::from(is_true))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<[u8; 32]> for Value {
    fn from(bytes: [u8; 32]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl From<Vec<String>> for Value {
    fn from(list: Vec<String>) -> Self {
        Value::List(list)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::List(list) => {
                let json = serde_json::to_string(list).expect("texts are always JSON");
                ToSqlOutput::Owned(rusqlite::types::Value::Text(json))
            }
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Value::Int(number) => number.to_sql(kind, out),
            Value::Text(text) => text.to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
            Value::List(list) => list.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
