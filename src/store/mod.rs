//! The ledger file: journal and tables, one writer; the only place with SQL.

pub mod reader;
