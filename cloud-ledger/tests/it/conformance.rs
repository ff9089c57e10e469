//! The reference ledger keeps every promise of the page, asked for by a suite that shares no code with it.

use ledger_conformance::wire::Target;

use crate::host::{ADMIN, BOX_1, BOX_2, Host, on_both};

on_both!(every_promise_is_kept);

async fn every_promise_is_kept() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = Host::start().await;
    let boxes = [("demo-1", BOX_1), ("demo-2", BOX_2)].map(|(name, token)| (name.to_owned(), token.to_owned()));
    let target = Target { url: format!("http://{}", host.address), admin_token: ADMIN.to_owned(), boxes };
    // Twice, because a chain asks its ledger again and again.
    for _ in 0..2 {
        let outcomes = ledger_conformance::run(&target).await.unwrap();
        assert!(outcomes.len() > 20, "{outcomes:?}");
        let broken: Vec<_> = outcomes.iter().filter(|outcome| outcome.broken.is_some()).collect();
        assert!(broken.is_empty(), "{} broken: {broken:#?}", broken.len());
    }
    host.stop().await;
}
