//! A second look at cameras' pictures: few wait, and not for long, for the one who reads them; what it reads is said of the
//! vehicle in the picture. Nobody waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, mpsc};

use super::Sparing;
use super::calling::Caller;
use super::planning::HttpDevice;
use super::submitting::Delivery;
use crate::domain::event::{DeviceId, Input, PhotoKind, PlateRead};
use crate::domain::matching::are_alike;
use crate::domain::plate::Plate;
use crate::domain::plate::told::{Stage, Told};
use crate::metrics::Metrics;
use crate::photos::Brought;
use crate::profile::statement::{SeenPlate, Statement};

/// Pictures that wait while one is read. The oldest has to go: its vehicle most likely has gone, too.
const WAITING_MAX: usize = 4;
/// Pictures whose own statement is not on disk yet, so that nothing may be said of them: a stalled disk costs looks and no
/// memory.
const UNDECIDED_MAX: usize = 8;

/// The pictures that wait for one device that reads them.
#[derive(Debug)]
pub struct Waiting {
    device: DeviceId,
    pictures: Mutex<VecDeque<Question>>,
    put: Notify,
    undecided: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// A picture and what its camera said.
#[derive(Debug)]
struct Question {
    of: PlateRead,
    picture: Bytes,
}

/// A picture that is to be read when its camera's statement is decided; until then it is nobody's business.
#[derive(Debug)]
pub struct Look {
    waiting: Arc<Waiting>,
    question: Option<Question>,
}

impl Waiting {
    /// Nothing yet.
    pub fn new(device: DeviceId, metrics: Arc<Metrics>) -> Arc<Self> {
        let (pictures, put, undecided) = (Mutex::default(), Notify::new(), AtomicUsize::new(0));
        Arc::new(Self { device, pictures, put, undecided, metrics })
    }

    /// Whether it is this device that reads them.
    pub fn is_for(&self, device: &DeviceId) -> bool {
        self.device == *device
    }

    /// What is to be read of the pictures that came with a read: the scene, or else the plate alone. Nothing of a vehicle
    /// that does not stand there.
    pub fn look(self: &Arc<Self>, read: &PlateRead, brought: &Brought) -> Option<Look> {
        if read.stored_offline || read.told.drives_away || read.told.stage == Stage::Last {
            return None;
        }
        let (_, picture) = brought.pictures.iter().min_by_key(|(kind, _)| *kind != PhotoKind::Scene)?;
        let mut look = Look { waiting: Arc::clone(self), question: None };
        if self.undecided.fetch_add(1, Ordering::Relaxed) >= UNDECIDED_MAX {
            self.metrics.rejected("devices", "picture-passed-over");
            return None;
        }
        look.question = Some(Question { of: read.clone(), picture: picture.clone() });
        Some(look)
    }

    fn take(&self, question: Question) {
        let mut pictures = self.pictures();
        pictures.push_back(question);
        if pictures.len() > WAITING_MAX {
            pictures.pop_front();
            self.metrics.rejected("devices", "picture-passed-over");
        }
        self.put.notify_one();
    }

    async fn next(&self) -> Question {
        loop {
            // Told before it is waited for, it is remembered.
            let first = self.pictures().pop_front();
            match first {
                Some(question) => return question,
                None => self.put.notified().await,
            }
        }
    }

    /// A panic elsewhere leaves the line as it was.
    fn pictures(&self) -> MutexGuard<'_, VecDeque<Question>> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    /// What the camera said is on disk: the picture may be read.
    pub fn ask(mut self) {
        if let Some(question) = self.question.take() {
            self.waiting.take(question);
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.waiting.undecided.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One device that reads pictures, one after the other.
pub struct Eye {
    device: HttpDevice,
    caller: Arc<Caller>,
    waiting: Arc<Waiting>,
    deliveries: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
    warned: Sparing,
}

impl Eye {
    /// A device and the pictures that wait for it.
    pub fn new(
        device: HttpDevice,
        caller: Arc<Caller>,
        waiting: Arc<Waiting>,
        deliveries: mpsc::Sender<Delivery>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { device, caller, waiting, deliveries, metrics, warned: Sparing::default() }
    }

    /// Reads until the loop is gone.
    pub async fn run(mut self) {
        loop {
            let question = tokio::select! {
                question = self.waiting.next() => question,
                () = self.deliveries.closed() => return,
            };
            let Some(input) = self.read(question).await else { continue };
            if self.deliveries.send(Delivery { inputs: vec![input], ..Delivery::default() }).await.is_err() {
                return;
            }
        }
    }

    async fn read(&mut self, question: Question) -> Option<Input> {
        let event = event_of(&question);
        let Some(call) = self.device.codec.picture_call(&question.picture) else {
            self.metrics.rejected("devices", "picture-foreign");
            return None;
        };
        let (status, content_type, body) = match self.caller.look(call).await {
            Ok(answer) => answer,
            Err(why) => {
                self.metrics.rejected("devices", "picture-unread");
                tracing::debug!(device = %self.device.wiring.device, why, "a picture was not read");
                return None;
            }
        };
        match self.device.codec.decode_answer(status, &content_type, &body) {
            Ok(says) => {
                let plate = |says| if let Statement::PlateRead(seen) = says { Some(seen) } else { None };
                let seen = says.into_iter().find_map(plate)?;
                let read = second_read(&self.device.wiring.device, event, &question.of, seen);
                if read.is_none() {
                    self.metrics.rejected("devices", "picture-of-several");
                }
                read.map(Input::PlateRead)
            }
            Err(rejection) => {
                let (device, reason) = (&self.device.wiring.device, rejection.name());
                self.metrics.rejected("devices", reason);
                if self.warned.allows(reason) {
                    tracing::warn!(%device, reason, "the answer about a picture was rejected: {rejection}");
                }
                None
            }
        }
    }
}

/// The identity of a look: the same for the same picture of the same event, which a camera may bring twice.
fn event_of(question: &Question) -> String {
    let Question { of, picture } = question;
    let mut hash = Sha256::new();
    for text in [of.device.as_str(), &of.event] {
        hash.update(text);
        hash.update([0]);
    }
    hash.update(picture);
    hex::encode(&hash.finalize()[..16])
}

/// What was read in the picture of a camera's read, as said of that vehicle; nothing where nobody can say which of several
/// plates in the picture is its own.
///
/// The time is the camera's: that of the picture.
fn second_read(device: &DeviceId, event: String, of: &PlateRead, seen: SeenPlate) -> Option<PlateRead> {
    let first = seen.plate?;
    let mut found = vec![(first.clone(), seen.confidence)];
    found.extend(seen.candidates.iter().map(|other| (other.plate.clone(), other.confidence)));
    let is_other = |one: &Plate, other: &Plate| one != other && !are_alike(one, other);
    let (plate, confidence) = match &of.plate {
        Some(known) => found.iter().find(|(plate, _)| !is_other(known, plate)).or(found.first()).cloned()?,
        None if found.iter().any(|(plate, _)| is_other(&first, plate)) => return None,
        None => found.first().cloned()?,
    };
    let is_first = plate == first;
    let candidates = seen.candidates.into_iter().filter(|other| !is_other(&plate, &other.plate)).collect();
    let told = Told {
        char_confidence: if is_first { seen.char_confidence } else { Vec::new() },
        candidates,
        colour: seen.colour.filter(|_| is_first),
        vehicle: seen.vehicle.filter(|_| is_first),
        end: of.told.end,
        picture_of: Some(of.event.clone()),
        ..Told::default()
    };
    let (lane, captured) = (of.lane.clone(), of.captured);
    let (device, plate, earlier) = (device.clone(), Some(plate), Vec::new());
    Some(PlateRead {
        lane,
        device,
        event,
        plate,
        confidence,
        captured,
        stored_offline: false,
        photos: None,
        told,
        earlier,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::photos::sample;

    #[test]
    fn of_several_plates_in_a_picture_the_one_like_the_camera_s_counts() {
        check(Some("粤B12845"), &["湘A6Z789", "粤B12345"], Some(("粤B12345", &["粤B12345"])));
        check(Some("粤B12845"), &["粤B12345", "湘A6Z789", "粤B12346"], Some(("粤B12345", &["粤B12345", "粤B12346"])));
        check(Some("粤B12845"), &["湘A6Z789"], Some(("湘A6Z789", &["湘A6Z789"])));
        // Two readings of one plate are one vehicle; two plates are two, and nobody knows which stands there.
        check(None, &["粤B12345", "粤B12346"], Some(("粤B12345", &["粤B12345", "粤B12346"])));
        check(None, &["粤B12345", "湘A6Z789"], None);
    }

    #[test]
    fn nothing_is_asked_of_a_vehicle_that_does_not_stand_there_and_no_stalled_disk_fills_the_memory() {
        let metrics = Arc::new(Metrics::default());
        let waiting = Waiting::new(DeviceId::from("engine"), Arc::clone(&metrics));
        let brought = || Brought::from(vec![(PhotoKind::Plate, vec![1]), (PhotoKind::Scene, vec![2])]);
        let here = sample::read("in", "e");
        let stored = PlateRead { stored_offline: true, ..here.clone() };
        let told = |told| PlateRead { told, ..here.clone() };
        let last = told(Told { stage: Stage::Last, ..Told::default() });
        let away = told(Told { drives_away: true, ..Told::default() });
        for read in [stored, last, away] {
            assert!(waiting.look(&read, &brought()).is_none(), "{read:?}");
        }
        assert!(waiting.look(&here, &Brought::default()).is_none(), "no picture");
        let looks: Vec<Option<Look>> = (0..10).map(|_| waiting.look(&here, &brought())).collect();
        assert_eq!(looks.iter().flatten().count(), UNDECIDED_MAX);
        assert_eq!(metrics.rejections("devices", "picture-passed-over"), 2);
        let scene = looks[0].as_ref().and_then(|look| look.question.as_ref()).map(|question| question.picture.clone());
        assert_eq!(scene, Some(Bytes::from_static(&[2])), "the whole scene, where there is one");
        drop(looks);
        assert!(waiting.look(&here, &brought()).is_some(), "the places are given back");
    }

    fn check(known: Option<&str>, found: &[&str], expect: Option<(&str, &[&str])>) {
        let of = PlateRead { plate: known.map(|plate| plate.parse().expect("a plate")), ..sample::read("in", "e") };
        let candidates: Vec<_> = found.iter().map(|plate| json!({"plate": plate, "confidence": 90})).collect();
        let seen = json!({"plate": found[0], "confidence": 90, "candidates": candidates, "colour": "blue"});
        let seen = serde_json::from_value(seen).expect("a read");
        let read = second_read(&DeviceId::from("engine"), "id".to_owned(), &of, seen);
        let read = read.map(|read| {
            let others = read.told.candidates.iter().map(|other| other.plate.to_string()).collect::<Vec<_>>();
            (read.plate.expect("a plate").to_string(), others)
        });
        let expect = expect.map(|(plate, others)| (plate.to_owned(), others.iter().map(|o| (*o).to_owned()).collect()));
        assert_eq!(read, expect, "{known:?} {found:?}");
    }
}
