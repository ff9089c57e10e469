//! The reference cloud ledger: who has how many points, what is reserved for which box, and what each box has done.
//!
//! - [`journal`]: a box's journal as it comes over the wire: its chain and what its entries say, pure;
//! - [`store`]: the database file, its tables and their checks;
//! - [`ledger`]: what boxes ask for: handshake, upload, grants;
//! - `apply`: what a box's entries do to the accounts;
//! - [`members`]: what the administrator does, and the feed that tells the boxes;
//! - [`verify`]: everything computed again from what is stored;
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
pub mod clock;
pub mod http;
pub mod journal;
pub mod ledger;
pub mod members;
pub mod store;
pub mod verify;

pub use http::{Tokens, serve};
pub use ledger::{Ledger, Refusal};
