//! The newest journal entry that a till has seen: each answer names one, each request may bring one back, and one that
//! this journal does not hold means that the journal was rewound.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::Tills;
use super::access::text_header;
use crate::domain::event::{Input, JournalHead, Witnessed};
use crate::store::reader::ReadError;

/// `1/41/<64 hex>`: epoch, entry, head.
const WITNESS: HeaderName = HeaderName::from_static("gatepost-witness");
/// Hex digits of a head.
const HEAD_CHARS: usize = 64;

/// Looks at what a till remembers before its request is served, and gives it the newest entry with the answer. Only a
/// till that has shown its token is heard: anybody else could stop this box from spending points.
pub(super) async fn hear(State(tills): State<Arc<Tills>>, request: Request, next: Next) -> Response {
    if let Some(head) = text_header(request.headers(), WITNESS.as_str()).and_then(parse)
        && let Ok(terminal) = tills.terminal(request.headers()).await
        && tills.is_news(&head).await
    {
        let seen = Input::Witnessed(Witnessed { by: terminal.id.to_string(), head });
        // The request itself is decided after it, in line; where the line is full the till will bring it again.
        if let Ok(decided) = tills.settings.handle.try_submit(seen) {
            let _ = decided.await;
        }
    }
    let mut response = next.run(request).await;
    if let Ok(head) = tills.settings.reader.look(|view| view.head()).await
        && let Ok(value) = HeaderValue::from_str(&format!("{}/{}/{}", head.epoch, head.seq, head.head))
    {
        response.headers_mut().insert(WITNESS, value);
    }
    response
}

fn parse(text: &str) -> Option<JournalHead> {
    let mut parts = text.split('/');
    let (epoch, seq, head) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    let is_head = head.len() == HEAD_CHARS && head.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_head && parts.next().is_none()).then(|| JournalHead { epoch, seq, head: head.to_owned() })
}

impl Tills {
    /// Whether this journal does not hold what is remembered. A journal that cannot be read now is asked the next time.
    async fn is_news(&self, head: &JournalHead) -> bool {
        let JournalHead { epoch, seq, head } = head.clone();
        let look = self.settings.reader.look(move |view| -> Result<bool, ReadError> {
            let newest = view.head()?.epoch;
            let ours = view.head_at(epoch, seq)?;
            // What an epoch that has ended had is spent here no more, whatever of it was lost.
            Ok(epoch >= newest && ours.is_none_or(|ours| ours != head))
        });
        look.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_is_a_witness() {
        let hex = "0c6dd72e47906e9395e1a1e20f899526a697c855696e84e01682b7c41550da9f";
        let head = parse(&format!("2/41/{hex}")).expect("a witness");
        assert_eq!((head.epoch, head.seq, head.head.as_str()), (2, 41, hex));
        for wrong in ["", "2/41", "2/41/00", &format!("x/41/{hex}"), &format!("2/41/{hex}/1"), &hex.to_uppercase()] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
