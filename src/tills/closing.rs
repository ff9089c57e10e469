//! The close of a business day that nobody has to think of: at a time of the settings the box closes what is over.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::domain::event::{BusinessDay, Input, Reply};
use crate::domain::settlement::Closing;
use crate::site::Handle;
use crate::store::reader::Reader;

/// How often is looked whether a day is to be closed.
const LOOK: Duration = Duration::from_secs(30);
/// Who closes such a day, in the day's record.
const BY: &str = "box";

/// The first business day that is not to be closed yet; none while the clock is in doubt.
pub type OpenFrom = Arc<dyn Fn() -> Option<BusinessDay> + Send + Sync>;

/// Closes every day before it, the oldest first, until the loop ends. Staff may close a day before its time comes.
pub(super) async fn keep(reader: Reader, handle: Handle, open_from: OpenFrom) {
    loop {
        if let Some(open) = open_from()
            && close_before(open, &reader, &handle).await.is_err()
        {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The loop has ended.
struct Stopped;

async fn close_before(open: BusinessDay, reader: &Reader, handle: &Handle) -> Result<(), Stopped> {
    loop {
        let day = match reader.look(|view| view.oldest_open_day()).await {
            Ok(Some(day)) if day < open => day,
            Ok(_) => return Ok(()),
            Err(error) => {
                warn!(%error, "business days cannot be looked at");
                return Ok(());
            }
        };
        let input = Input::DayClosing(Closing { day, by: BY.to_owned() });
        let answer = handle.submit(input).await.map_err(|_| Stopped)?;
        match answer.await.map_err(|_| Stopped)? {
            Reply::Staff(Ok(_)) => {}
            // It is looked at again in a while; the log says it once for each look.
            reply @ (Reply::Staff(Err(_)) | Reply::Done | Reply::Till(_) | Reply::Ticket(_)) => {
                warn!(day = day.0, ?reply, "a business day cannot be closed");
                return Ok(());
            }
        }
    }
}
