//! The second camera of a lane, behind the vehicles: it reads each of them too, a little earlier or later than the one in
//! front, and now and then reads another plate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

use crate::camera::{Camera, Capture, NO_PLATE, Reported};
use crate::plates;

/// Between the two cameras' words about one vehicle.
const APART: Duration = Duration::from_millis(40);
/// Of so many vehicles the camera behind reads the first after the other camera, the second before it, and the third
/// wrong.
const TURNS: usize = 3;
/// How sure a camera is that reads a plate wrong.
const UNSURE: u8 = 81;

/// The camera behind the vehicles of a lane.
pub struct Rear {
    camera: Camera,
    vehicles: AtomicUsize,
}

/// What the cameras of a lane said of a vehicle.
#[derive(Clone, Debug)]
pub struct Both {
    /// When, and whether at all.
    pub reported: Reported,
    /// What the camera behind read where both spoke and it read another plate.
    pub otherwise: Option<String>,
}

impl Rear {
    /// A camera that has seen nobody yet.
    pub fn new(camera: Camera) -> Self {
        Self { camera, vehicles: AtomicUsize::new(0) }
    }

    /// Both cameras read a vehicle, whose plate `behind` is. What they say together is said as soon as one is heard.
    pub(super) async fn read_too(&self, front: &Camera, capture: &Capture, behind: &str) -> Result<Both> {
        let turn = self.vehicles.fetch_add(1, Ordering::Relaxed) % TURNS;
        let seen = self.seen(capture, behind, turn);
        let (first, second) = if turn == 1 {
            let first = self.camera.report(&seen).await?;
            tokio::time::sleep(APART).await;
            (first, front.report(capture).await?)
        } else {
            let first = front.report(capture).await?;
            tokio::time::sleep(APART).await;
            (first, self.camera.report(&seen).await?)
        };
        // The arm hangs on the front camera, if on any.
        let starts_anew = if turn == 1 { second.starts_anew } else { first.starts_anew };
        let said = match (first.is_said, second.is_said) {
            // Whichever of the two the box raises for.
            (true, true) => Reported { full: second.full, ..first },
            (true, false) => first,
            (false, _) => second,
        };
        let otherwise = (first.is_said && second.is_said && seen.plate != capture.plate).then_some(seen.plate);
        Ok(Both { reported: Reported { starts_anew, ..said }, otherwise })
    }

    /// What it sees of a vehicle that the other camera has read right: the plate, or one that differs in a sign.
    fn seen(&self, capture: &Capture, behind: &str, turn: usize) -> Capture {
        let is_right = capture.plate == behind && behind != NO_PLATE;
        if turn + 1 < TURNS || !is_right {
            return Capture { plate: behind.to_owned(), ..capture.clone() };
        }
        let mut rng = fastrand::Rng::with_seed(capture.at_ms.unsigned_abs());
        Capture { plate: plates::misread(&mut rng, behind), confidence: UNSURE, ..capture.clone() }
    }
}
