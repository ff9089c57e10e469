//! How statements travel to PostgreSQL: in the server's words, many rows as a few arrays, several on one journey.

use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio_postgres::types::{ToSql, Type};

use super::{Ask, Value, with_lists};

/// Waits for all; the first wait of each sends it, so they go out in order. The first that failed is the reason: those
/// behind it fail because the transaction has.
pub async fn in_order<T, E>(mut waiting: Vec<Pin<Box<impl Future<Output = Result<T, E>>>>>) -> Result<Vec<T>, E> {
    let mut done: Vec<Option<Result<T, E>>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (waiting, done) in waiting.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(answer) = waiting.as_mut().poll(context) {
                *done = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// What goes with a statement.
pub enum Values<'a> {
    /// The values of one statement.
    One(&'a [Value]),
    /// The columns of many rows.
    Each(Vec<Column<'a>>),
}

impl Values<'_> {
    /// In the order of the statement.
    pub fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        match self {
            Values::One(values) => values.iter().map(|value| value as _).collect(),
            Values::Each(columns) => columns.iter().map(|column| column as _).collect(),
        }
    }
}

/// A statement as it is sent; none where it has no rows to work on.
pub fn ready<'a>(ask: &Ask<'a>) -> Option<(String, Values<'a>)> {
    match *ask {
        Ask::One(sql, values) => Some((spoken(sql), Values::One(values))),
        Ask::Each(_, _, []) => None,
        Ask::Each(sql, types, rows) => {
            let mut unnest = "SELECT * FROM unnest(".to_owned();
            let mut columns = Vec::with_capacity(types.len());
            for (index, kind) in types.chars().enumerate() {
                let (array, column) = column(kind, rows, index);
                let comma = if index == 0 { "" } else { ", " };
                write!(unnest, "{comma}${}::{array}[]", index + 1).expect("a text takes what is written to it");
                columns.push(column);
            }
            unnest.push(')');
            Some((spoken(sql).replace("{rows}", &unnest), Values::Each(columns)))
        }
    }
}

/// One column of many rows, as an array that PostgreSQL knows the type of.
pub enum Column<'a> {
    /// Texts.
    Text(Vec<Option<&'a str>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Bytes.
    Bytes(Vec<Option<&'a [u8]>>),
}

impl std::fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a column of rows")
    }
}

impl ToSql for Column<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Column::Text(column) => column.to_sql(kind, out),
            Column::Int(column) => column.to_sql(kind, out),
            Column::Bytes(column) => column.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// The column `index` of all rows, as the array that its type asks for.
fn column<'a>(kind: char, rows: &'a [Vec<Value>], index: usize) -> (&'static str, Column<'a>) {
    let text = |value: &'a Value| if let Value::Text(text) = value { Some(text.as_str()) } else { None };
    let int = |value: &'a Value| if let Value::Int(number) = value { Some(*number) } else { None };
    let bytes = |value: &'a Value| if let Value::Bytes(bytes) = value { Some(bytes.as_slice()) } else { None };
    match kind {
        't' => ("text", Column::Text(each(rows, index, text))),
        'i' => ("bigint", Column::Int(each(rows, index, int))),
        'b' => ("bytea", Column::Bytes(each(rows, index, bytes))),
        other => panic!("a statement for many rows has a column of the unknown type '{other}'"),
    }
}

fn each<'a, T>(rows: &'a [Vec<Value>], index: usize, typed: impl Fn(&'a Value) -> Option<T>) -> Vec<Option<T>> {
    let wrong = || -> T { panic!("column {index} of a statement for many rows is not of the type that it says") };
    let cell = |row: &'a Vec<Value>| {
        let value = &row[index];
        (*value != Value::Null).then(|| typed(value).unwrap_or_else(wrong))
    };
    rows.iter().map(cell).collect()
}

/// The statement as PostgreSQL says it. The lock lets others still refer to the row by its key.
pub fn spoken(sql: &str) -> String {
    let sql = sql.replace("{lock}", "FOR NO KEY UPDATE").replace("{share}", "FOR SHARE");
    with_lists(&sql, |value| format!("= ANY({value}::text[])"))
}
