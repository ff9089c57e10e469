//! What a broker kept while the box was away, told apart from what is said now: no arm rises for a vehicle that has long left.
//!
//! After a connect the broker first brings what it kept, and what is said now comes behind it. A message of our own that goes
//! through the same queue marks where the one ends and the other begins.

use std::time::{Duration, Instant};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish, RetainForwardRule};

use super::wiring::Wiring;
use crate::domain::event::UtcMs;
use crate::profile::statement::{SeenPlate, Statement};

/// How long ago a vehicle may have been seen and still stand there: a box is back from a restart in less, and whoever has
/// waited for so long without a barrier has called somebody or turned round.
const STILL_THERE: Duration = Duration::from_secs(30);
/// How long the mark is waited for. A broker whose access list keeps it from us never brings it, and what is said now must
/// count one day.
const MARK_WITHIN: Duration = Duration::from_secs(60);

/// Where a connection stands between what was kept for it and what is said now.
#[derive(Debug)]
pub struct Kept {
    topic: String,
    /// When the broker last had nothing kept for us.
    caught_up: Option<Instant>,
    pending: Option<Pending>,
    is_connected: bool,
    connections: u64,
}

#[derive(Debug)]
struct Pending {
    mark: String,
    until: Instant,
    is_sent: bool,
}

impl Kept {
    /// Of a box that knows its broker under this name.
    pub fn new(client_id: &str) -> Self {
        Self {
            topic: format!("gatepost/{client_id}/mark"),
            caught_up: None,
            pending: None,
            is_connected: false,
            connections: 0,
        }
    }

    /// A connection is about to be made.
    pub fn connecting(&mut self) {
        (self.pending, self.is_connected) = (None, false);
    }

    /// The subscription that brings the mark back.
    pub fn filter(&self) -> Filter {
        let mut filter = Filter::new(self.topic.as_str(), QoS::AtLeastOnce);
        filter.retain_forward_rule = RetainForwardRule::Never;
        filter
    }

    /// Connected. Must be called before anybody else publishes on the connection and after its subscriptions, so that the
    /// mark is the first publish and comes back. Where the broker does not know us, or missed us for a moment only, there is no need.
    pub fn begin(&mut self, client: &AsyncClient, is_known: bool, now: Instant, utc: UtcMs) {
        (self.pending, self.is_connected) = (None, true);
        self.connections += 1;
        let was_away = self.caught_up.map(|then| now.saturating_duration_since(then));
        if !is_known || was_away.is_some_and(|away| away <= STILL_THERE) {
            return;
        }
        // Another one each time: the broker may have kept an old one as well.
        let mark = format!("{} {}", utc.0, self.connections);
        // A connection that cannot take it is ending.
        let _ = client.try_publish(self.topic.as_str(), QoS::AtLeastOnce, false, mark.clone());
        self.pending = Some(Pending { mark, until: now + MARK_WITHIN, is_sent: false });
    }

    /// Whether the publish that just went out is the mark, which is no command: the first one is.
    pub fn is_mark(&mut self) -> bool {
        self.pending.as_mut().is_some_and(|pending| !std::mem::replace(&mut pending.is_sent, true))
    }

    /// Whether this message is a mark, ours of now or an old one.
    pub fn heard(&mut self, publish: &Publish) -> bool {
        if publish.topic != self.topic.as_bytes() {
            return false;
        }
        if self.pending.as_ref().is_some_and(|pending| publish.payload == pending.mark.as_bytes()) {
            self.pending = None;
        }
        true
    }

    /// Whether what comes may have been kept.
    pub fn is_coming(&self) -> bool {
        self.pending.is_some()
    }

    /// Something came or went on the connection.
    pub fn look(&mut self, now: Instant) {
        if self.pending.as_ref().is_some_and(|pending| now >= pending.until) {
            tracing::warn!(
                topic = self.topic,
                "the broker does not bring back a message of the box: give it the right to read and write there, so that \
                 what was kept is told from what is said now"
            );
            self.pending = None;
        }
        if self.pending.is_none() && self.is_connected {
            self.caught_up = Some(now);
        }
    }
}

/// Makes what was kept for too long something that is only written down; how many statements that were. A read without a
/// time, or of a clock that shows another day, cannot be told from one of an hour ago: it counts as one. A card is no record.
pub fn written_down_only(
    mut says: Vec<Statement>,
    wiring: &Wiring,
    offset_ms: Option<i64>,
    received: UtcMs,
) -> (Vec<Statement>, usize) {
    let count = says.len();
    says.retain(|statement| !matches!(statement, Statement::Card { .. }));
    let mut too_old = count - says.len();
    for statement in &mut says {
        if let Statement::PlateRead(seen) = statement
            && !seen.stored_offline
            && !is_of_now(seen, wiring, offset_ms, received)
        {
            seen.stored_offline = true;
            too_old += 1;
        }
    }
    (says, too_old)
}

/// By the camera's clock, put right by what it was last found to be off.
fn is_of_now(seen: &SeenPlate, wiring: &Wiring, offset_ms: Option<i64>, received: UtcMs) -> bool {
    let Some(said) = wiring.captured(seen, received) else { return false };
    let at = said.0.saturating_sub(offset_ms.unwrap_or(0));
    u128::from(at.abs_diff(received.0)) <= STILL_THERE.as_millis()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::event::DeviceId;

    #[test]
    fn only_what_the_camera_dates_of_now_may_raise() {
        let ago_s = |seconds: i64| Some(NOW.0 - seconds * 1000);
        check(ago_s(5), None, false);
        check(ago_s(30), None, false);
        check(ago_s(31), None, true);
        check(ago_s(540), None, true);
        check(None, None, true);
        // Its clock was eight hours slow when it last spoke, or is so by no measure.
        check(ago_s(8 * 3600 + 5), Some(-8 * 3_600_000), false);
        check(ago_s(8 * 3600 + 540), Some(-8 * 3_600_000), true);
        check(ago_s(8 * 3600 + 5), None, true);
        // Ten minutes fast, so that ten minutes ago looks like now.
        check(ago_s(0), Some(600_000), true);
        check(ago_s(-600), None, true);
    }

    #[test]
    fn a_card_that_was_kept_is_nobody_s_and_what_else_was_kept_is_heard() {
        let wiring = Wiring::new(DeviceId::from("cam"), 5_000);
        let sign = json!({"vehicle_sign": {"sign": "passed"}});
        let all = [json!({"card": {"number": 7}}), sign.clone(), json!({"input": {"number": 0, "level": "on"}})];
        let says = all.into_iter().map(|says| serde_json::from_value(says).expect("a statement")).collect();
        let (says, too_old) = written_down_only(says, &wiring, None, NOW);
        assert_eq!((says.len(), serde_json::to_value(&says[0]).expect("JSON"), too_old), (2, sign, 1));
    }

    #[test]
    fn the_mark_of_this_connection_ends_it_and_none_is_needed_after_a_moment() {
        let mut kept = Kept::new("gatepost-mall-1");
        let (client, _connection) = AsyncClient::new(rumqttc::v5::MqttOptions::new("a", "127.0.0.1", 1), 10);
        let is_coming = |kept: &mut Kept, now: Instant| {
            kept.look(now);
            kept.is_coming()
        };
        let begin = Instant::now();
        assert!(!is_coming(&mut kept, begin), "not connected");
        kept.begin(&client, true, begin, NOW);
        assert!(is_coming(&mut kept, begin), "a box that was just started cannot know for how long it was away");
        kept.connecting();
        kept.begin(&client, false, begin, NOW);
        assert!(!is_coming(&mut kept, begin), "the broker does not know us");
        let later = begin + Duration::from_secs(31);
        kept.connecting();
        kept.begin(&client, true, later, NOW);
        assert!(is_coming(&mut kept, later));
        assert!((kept.is_mark(), kept.is_mark()) == (true, false), "the first that goes out is it");
        let mark = |text: &str| Publish::new("gatepost/gatepost-mall-1/mark", QoS::AtLeastOnce, text.to_owned(), None);
        assert!(kept.heard(&mark("1000 1")) && kept.is_coming(), "one of another connection");
        assert!(!kept.heard(&Publish::new("device/a/up", QoS::AtLeastOnce, "", None)));
        assert!(kept.heard(&mark(&format!("{} 3", NOW.0))) && !is_coming(&mut kept, later));
        let soon = later + Duration::from_secs(30);
        kept.connecting();
        kept.begin(&client, true, soon, NOW);
        assert!(!is_coming(&mut kept, soon), "nothing can be older");
        let long_after = soon + STILL_THERE * 2;
        kept.connecting();
        kept.begin(&client, true, long_after, NOW);
        let end = long_after + MARK_WITHIN;
        assert!(is_coming(&mut kept, end - Duration::from_millis(1)), "it may come yet");
        kept.connecting();
        kept.begin(&client, true, end, NOW);
        assert!(is_coming(&mut kept, end), "a link that broke meanwhile has not caught up");
        assert!(!is_coming(&mut kept, end + MARK_WITHIN), "the broker keeps it from us");
    }

    const NOW: UtcMs = UtcMs(1_772_409_600_000);

    fn check(captured: Option<i64>, offset_ms: Option<i64>, is_stored: bool) {
        let wiring = Wiring::new(DeviceId::from("cam"), 5_000);
        let read = json!({"plate_read": {"event": "e", "captured": captured}});
        let says = vec![serde_json::from_value(read).expect("a statement")];
        let (says, count) = written_down_only(says, &wiring, offset_ms, NOW);
        let Statement::PlateRead(seen) = &says[0] else { panic!("a read") };
        assert_eq!((seen.stored_offline, count), (is_stored, usize::from(is_stored)), "{captured:?} {offset_ms:?}");
    }
}
