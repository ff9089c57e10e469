//! Points that a till set aside and forgot: the box's own clock frees them, and the journal says so.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::domain::event::{Input, UtcMs};
use crate::site::Handle;
use crate::store::reader::Reader;

/// How often holds are looked at. A hold may live so much longer than it should, and nobody may use it then.
const LOOK: Duration = Duration::from_secs(1);
/// How many are freed in one look.
const MOST: u32 = 64;

/// Frees holds whose time is over, until the loop ends.
pub(super) async fn keep(reader: Reader, handle: Handle, now: Arc<dyn Fn() -> UtcMs + Send + Sync>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let at = now();
        let due = match reader.look(move |view| view.due_holds(at, MOST)).await {
            Ok(due) => due,
            Err(error) => {
                warn!(%error, "holds of tills cannot be looked at");
                continue;
            }
        };
        for hold in due {
            if handle.submit(Input::TillHoldDue { hold }).await.is_err() {
                return;
            }
        }
    }
}
