//! The reference cloud ledger: who has how many points, what is reserved for which box, and what each box has done.
//!
//! - [`journal`]: what the entries of a box's journal say, over the chain in `chain`; [`lot`]: the terms of points;
//!   [`sign`]: signatures; all pure;
//! - [`db`]: PostgreSQL or one SQLite file, the tables and their checks;
//! - [`ledger`]: the ledger itself. `boxes`: handshake, enrolment, epochs; `upload` and `apply`: what a box's entries
//!   do to the accounts; [`grants`] and [`escrow`]: what boxes hold; [`restore`]: what they get back;
//! - [`members`], [`privileges`], [`offers`], [`claims`], [`campaigns`], [`points`], [`debts`], [`statement`]: what the administrator does and reads, and the feed;
//! - [`import`] and [`rebuild`]: members from a table, a ledger from journals; [`transfer`]: every movement of points; [`verify`]: everything computed again from what is stored;
//! - [`http`]: the interface of `docs/cloud-api.md` in front of it all.
//!
//! A program that hosts the ledger opens a [`Ledger`] at a path and gives it to [`serve`] with a listener:
//!
//! ```no_run
//! # async fn host() -> anyhow::Result<()> {
//! let ledger = cloud_ledger::Ledger::open(std::path::Path::new("cloud.db"))?;
//! let tokens = cloud_ledger::Tokens::new("admin-token", [("demo-1".to_owned(), "box-token".to_owned())])?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = tokio::spawn(cloud_ledger::serve(listener, ledger.into(), tokens, async { drop(stopped.await) }));
//! drop(stop);
//! server.await??;
//! # Ok(())
//! # }
//! ```

mod apply;
mod boxes;
pub mod campaigns;
mod chain;
pub mod claims;
pub mod clock;
pub mod db;
pub mod debts;
pub mod escrow;
pub mod grants;
pub mod http;
pub mod import;
pub mod journal;
pub mod ledger;
pub mod lot;
pub mod members;
pub mod merchants;
pub mod offers;
pub mod phones;
pub mod points;
pub mod privileges;
pub mod rebuild;
pub mod restore;
pub mod sign;
pub mod statement;
pub mod transfer;
mod upload;
pub mod verify;

pub use http::{Tokens, serve};
pub use ledger::{Ledger, Refusal, Settings};
