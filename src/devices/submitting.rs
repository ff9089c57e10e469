//! From a link into the loop, in order, and the link's acknowledgement only after the loop has committed.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::looking::Look;
use super::wiring::Wiring;
use crate::domain::event::{CommandAnswer, CommandId, DeviceId, Input, LaneId, Reply, UtcMs};
use crate::metrics::Metrics;
use crate::photos::{Brought, Pending};
use crate::profile::statement::{Picture, Statement};
use crate::site::Handle;

/// How many messages of one link may wait for the loop or for its commit; then the link stops reading.
pub const WAITING_MAX: usize = 256;

/// Acknowledgements that may wait for room on their connection: no broker has more messages outstanding than MQTT has numbers
/// for them.
const RECEIPTS_MAX: usize = u16::MAX as usize;

/// How long an acknowledgement waits until the pictures of its message are on disk, so that a crash costs none that the
/// broker has forgotten. A disk that once was slower is not waited for again until it has caught up.
const PHOTOS_WAIT_MAX: Duration = Duration::from_millis(100);

/// What one message means, and what to acknowledge once it is on disk.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The inputs, in order; may be none.
    pub inputs: Vec<Input>,
    /// The pictures of the message, on their way to the disk.
    pub photos: Vec<Pending>,
    /// Those of them that somebody else is to read, once the message is decided.
    pub looks: Vec<Look>,
    /// Levels of the message that must first prove to be steady.
    pub held: Vec<oneshot::Receiver<()>>,
    /// The MQTT message.
    pub receipt: Option<Receipt>,
}

impl Delivery {
    /// What the same message means for another device.
    pub fn join(&mut self, other: Self) {
        let Self { inputs, photos, looks, held, receipt } = other;
        self.inputs.extend(inputs);
        self.photos.extend(photos);
        self.looks.extend(looks);
        self.held.extend(held);
        self.receipt = self.receipt.take().or(receipt);
    }
}

/// An MQTT message that waits for its acknowledgement. It holds the connection on which it came: on a newer one its
/// number means another message, and the old one is gone with its queue.
#[derive(Debug)]
pub struct Receipt {
    client: AsyncClient,
    message: Publish,
}

struct Submitted {
    answers: Vec<oneshot::Receiver<Reply>>,
    photos: Vec<Pending>,
    looks: Vec<Look>,
    held: Vec<oneshot::Receiver<()>>,
    receipt: Option<Receipt>,
}

impl Receipt {
    /// Keeps of the message only what its acknowledgement needs, not its pictures.
    pub fn new(client: &AsyncClient, message: &Publish) -> Self {
        let mut kept = Publish::new("", message.qos, Vec::new(), None);
        kept.pkid = message.pkid;
        Self { client: client.clone(), message: kept }
    }

    /// Waits for room on the connection. Where that has ended, the broker brings the message again on the next one.
    async fn acknowledge(self) {
        if self.message.qos != QoS::AtMostOnce {
            let _ = self.client.ack(&self.message).await;
        }
    }
}

/// The way into the loop for one link: the tasks that submit and acknowledge.
pub fn into_the_loop(handle: Handle, metrics: Arc<Metrics>, tasks: &mut JoinSet<()>) -> mpsc::Sender<Delivery> {
    let (deliveries, waiting) = mpsc::channel(WAITING_MAX);
    let (submitted, to_acknowledge) = mpsc::channel(WAITING_MAX);
    tasks.spawn(submit(handle, waiting, submitted));
    let (decided, to_hand_over) = mpsc::channel(RECEIPTS_MAX);
    tasks.spawn(acknowledge(to_acknowledge, decided, metrics));
    tasks.spawn(hand_over(to_hand_over));
    deliveries
}

/// The device's own running number of a message: whether others before it were never heard.
pub fn numbered(metrics: &Metrics, device: &DeviceId, number: Option<u64>) {
    if let Some(missing) = number.and_then(|number| metrics.health.numbered(device.as_str(), number)) {
        tracing::warn!(%device, missing, "messages of the device were never heard: its numbers have a gap");
    }
}

/// The fields beside a plate whose value nobody could read: counted, because somebody should look at the profile.
pub fn strange(metrics: &Metrics, device: &DeviceId, fields: &[&'static str]) {
    for field in fields {
        metrics.rejected("devices", "strange-value");
        tracing::debug!(%device, field, "a value beside the plate cannot be read and is left out");
    }
}

/// What a device's statements mean for the lanes; and that it is there, and what its clock says.
pub fn inputs_of(metrics: &Metrics, wiring: &Wiring, says: Vec<Statement>, received: UtcMs) -> Vec<Input> {
    let device = wiring.device.as_str();
    for statement in &says {
        if let Statement::PlateRead(seen) = statement
            && let Some(captured) = wiring.captured(seen, received).filter(|_| !seen.stored_offline)
        {
            metrics.health.clock(device, captured.0.saturating_sub(received.0));
        }
    }
    heard_of(metrics, wiring, says, received)
}

/// The same of what did not come at once, so that it tells nothing of the clock.
pub fn heard_of(metrics: &Metrics, wiring: &Wiring, says: Vec<Statement>, received: UtcMs) -> Vec<Input> {
    let device = wiring.device.as_str();
    if says.contains(&Statement::Away {}) {
        metrics.health.is_gone(device);
    } else {
        metrics.health.heard(device);
    }
    for _ in says.iter().filter(|says| matches!(says, Statement::PlateRead(seen) if seen.unread.is_some())) {
        metrics.rejected("devices", "not-a-plate");
    }
    says.into_iter().flat_map(|statement| wiring.inputs_of(statement, received)).collect()
}

/// The pictures that could be taken out of their message; the others are counted.
pub fn whole(metrics: &Metrics, pictures: Vec<Picture>) -> Brought {
    let mut whole = Brought::default();
    for picture in pictures {
        match picture.bytes {
            Ok(bytes) => {
                whole.plate_box = whole.plate_box.or(picture.plate_box);
                whole.pictures.push((picture.kind, bytes));
            }
            Err(why) => metrics.rejected("photos", why.name()),
        }
    }
    whole
}

/// A command's answer as the loop takes it, counted.
pub fn answered(metrics: &Metrics, lane: LaneId, command: CommandId, answer: CommandAnswer) -> Input {
    let word = match &answer {
        CommandAnswer::Accepted => "accepted",
        CommandAnswer::Refused(_) => "refused",
        CommandAnswer::Unconfirmed(_) => "unconfirmed",
        CommandAnswer::Silent(_) => "silent",
        CommandAnswer::NotSent(_) => "not_sent",
    };
    metrics.command_answered(lane.as_str(), word);
    match &answer {
        CommandAnswer::Accepted => tracing::debug!(%lane, %command, "the device took the raise"),
        CommandAnswer::Refused(why) => tracing::warn!(%lane, %command, why, "the device refused the raise"),
        CommandAnswer::Unconfirmed(why) => tracing::debug!(%lane, %command, why, "the raise is on its way"),
        CommandAnswer::Silent(why) => tracing::warn!(%lane, %command, why, "the outcome of the raise is unknown"),
        CommandAnswer::NotSent(why) => tracing::warn!(%lane, %command, why, "the raise was not sent"),
    }
    Input::BarrierAnswered { lane, command, answer }
}

async fn submit(handle: Handle, mut waiting: mpsc::Receiver<Delivery>, submitted: mpsc::Sender<Submitted>) {
    while let Some(delivery) = waiting.recv().await {
        let Delivery { inputs, photos, looks, held, receipt } = delivery;
        let mut next = Submitted { answers: Vec::new(), photos, looks, held, receipt };
        for input in inputs {
            let Ok(answer) = handle.submit(input).await else { return };
            next.answers.push(answer);
        }
        if submitted.send(next).await.is_err() {
            return;
        }
    }
}

/// In the order of arrival, as MQTT asks; the loop commits in that order too, so nothing waits for a later one.
async fn acknowledge(mut submitted: mpsc::Receiver<Submitted>, decided: mpsc::Sender<Receipt>, metrics: Arc<Metrics>) {
    let mut patience = PHOTOS_WAIT_MAX;
    'messages: while let Some(next) = submitted.recv().await {
        for answer in next.answers {
            // Without a reply there was no commit: the broker keeps the message.
            if answer.await.is_err() {
                continue 'messages;
            }
            metrics.input_taken();
        }
        // The raise goes before them, and what is read in them comes after what the camera said.
        next.looks.into_iter().for_each(Look::ask);
        // Written down, or it was none: either way nothing of it is owed.
        all(next.held).await;
        // Decided: the pictures may have the core and the disk.
        let photos = next.photos.into_iter().map(|pending| pending.on_disk).collect();
        // The raise has long been sent. Only the broker's copy of the pictures is kept until ours is on disk.
        patience =
            if tokio::time::timeout(patience, all(photos)).await.is_ok() { PHOTOS_WAIT_MAX } else { Duration::ZERO };
        // Never waiting: a connection that waits for the loop takes no acknowledgement, and the loop's answers come through here.
        if next.receipt.is_some_and(|receipt| decided.try_send(receipt).is_err()) {
            metrics.rejected("devices", "acknowledgement-late");
        }
    }
}

/// To the connection, each when there is room: a broker that hears nothing of one message may send no other.
async fn hand_over(mut decided: mpsc::Receiver<Receipt>) {
    while let Some(receipt) = decided.recv().await {
        receipt.acknowledge().await;
    }
}

/// Whether each was kept or not does not matter here.
pub async fn all(waits: Vec<oneshot::Receiver<()>>) {
    for wait in waits {
        let _ = wait.await;
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::MqttOptions;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Far beyond what it takes, so that only a fault reaches it.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A broker that sends faster than the connection takes acknowledgements: none is left out, and they keep their order.
    #[tokio::test]
    async fn every_message_of_a_burst_is_acknowledged_once_there_is_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let options = MqttOptions::new("box", "127.0.0.1", listener.local_addr().expect("its address").port());
        let (client, mut connection) = AsyncClient::new(options, 4);
        let metrics = Arc::new(Metrics::default());
        let mut tasks = JoinSet::new();
        let (submitted, to_acknowledge) = mpsc::channel(300);
        let (decided, to_hand_over) = mpsc::channel(RECEIPTS_MAX);
        tasks.spawn(acknowledge(to_acknowledge, decided, Arc::clone(&metrics)));
        tasks.spawn(hand_over(to_hand_over));
        for number in 1..=300 {
            let mut message = Publish::new("a", QoS::AtLeastOnce, "", None);
            message.pkid = number;
            let receipt = Some(Receipt::new(&client, &message));
            let next =
                Submitted { answers: Vec::new(), photos: Vec::new(), held: Vec::new(), looks: Vec::new(), receipt };
            submitted.send(next).await.expect("taken");
        }
        drop(submitted);
        // All are decided before the connection takes the first.
        tasks.join_next().await.expect("it ends").expect("without a panic");
        tasks.spawn(async move { while connection.poll().await.is_ok() {} });
        let told = async {
            let (mut box_end, _) = listener.accept().await.expect("it connects");
            assert!(box_end.read(&mut [0; 256]).await.expect("its greeting") > 0);
            box_end.write_all(&[0x20, 3, 0, 0, 0]).await.expect("welcome");
            let mut acknowledgements = [0; 4 * 300];
            box_end.read_exact(&mut acknowledgements).await.expect("all of them");
            acknowledgements
        };
        let told = tokio::time::timeout(PATIENCE, told).await.expect("all in time");
        let numbers: Vec<u16> = told.chunks(4).map(|packet| u16::from_be_bytes([packet[2], packet[3]])).collect();
        assert_eq!(numbers, (1..=300).collect::<Vec<u16>>());
        assert_eq!(metrics.rejections("devices", "acknowledgement-late"), 0);
    }

    #[test]
    fn every_live_read_tells_how_far_the_camera_s_clock_is_off_and_a_stored_one_nothing() {
        let metrics = Metrics::default();
        let wiring = Wiring::new(DeviceId::from("cam"), 5_000);
        let offset_after = |captured: i64, stored: bool| {
            let read = json!({"plate_read": {"event": "e", "captured": captured, "stored_offline": stored}});
            let says = vec![serde_json::from_value(read).expect("a statement")];
            inputs_of(&metrics, &wiring, says, UtcMs(1_000_000));
            metrics.health.all().first().and_then(|device| device.clock_offset_ms)
        };
        assert_eq!(offset_after(500_000, true), None, "it was seen long ago");
        assert_eq!(offset_after(1_007_000, false), Some(7_000), "ahead, and beyond what is believed");
        assert_eq!(offset_after(996_500, false), Some(-3_500), "behind");
    }
}
