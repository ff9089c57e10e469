//! The arm of a lane: it goes up for a pulse and comes down behind its vehicle, and sometimes it is broken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::{ArmPosition, Gear, Moves, Pulse};
use crate::faults::Fault;

/// How long the arm moves; real ones need seconds, and the box does not wait for them.
const ARM_TRAVELS: Duration = Duration::from_millis(15);
/// How long one that is slow needs to go up: longer than drivers wait before they roll back for a fresh read.
const SLOW_ARM_TRAVELS: Duration = Duration::from_millis(2500);
/// How long the arm stays up for a vehicle that does not come.
const ARM_WAITS: Duration = Duration::from_secs(3);

/// The arm, in its own task.
pub(super) struct Arm {
    pub gear: Gear,
    /// Whether it sees that its vehicle has gone, and comes down by itself; one on a board's relays waits for the box.
    pub has_eyes: bool,
    pub pulses: mpsc::Receiver<Pulse>,
    pub clearings: mpsc::Receiver<()>,
    /// A guard's hand, where it hangs.
    pub freed: mpsc::Receiver<()>,
    pub raised: mpsc::Sender<Instant>,
    pub moved: watch::Sender<ArmPosition>,
    pub moves: Arc<Moves>,
}

impl Arm {
    pub async fn work(mut self) {
        while let Some(pulse) = self.pulses.recv().await {
            // One that is down already has nowhere to go.
            let Pulse::Up(at) = pulse else { continue };
            if self.gear.faults.strikes(Fault::DeadRelay) {
                self.moves.failed.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            while self.clearings.try_recv().is_ok() {}
            self.go_up().await;
            let _ = self.raised.try_send(at);
            let is_told = self.stay_up().await;
            self.travel(ArmPosition::Down, ARM_TRAVELS).await;
            // Its own controller has eyes; an order from outside is obeyed blindly.
            if is_told && self.moves.is_under.load(Ordering::SeqCst) {
                self.moves.hits.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Until the vehicle is gone or it is told to come down, or for a while; another raise begins the while again. True
    /// where it was told.
    async fn stay_up(&mut self) -> bool {
        loop {
            tokio::select! {
                _ = self.clearings.recv(), if self.has_eyes => return false,
                Some(pulse) = self.pulses.recv() => match pulse {
                    Pulse::Up(at) => { let _ = self.raised.try_send(at); }
                    Pulse::Down => {
                        self.moves.lowered.fetch_add(1, Ordering::SeqCst);
                        return true;
                    }
                },
                () = tokio::time::sleep(ARM_WAITS) => {
                    if !self.moves.is_under.load(Ordering::SeqCst) {
                        return false;
                    }
                }
            }
        }
    }

    /// Goes up, or hangs halfway until it is freed. Not where switches tell of another arm: nobody could say of which.
    async fn go_up(&mut self) {
        let is_seen = self.gear.cables.wrong().is_none();
        if is_seen && self.gear.faults.strikes(Fault::StuckArm) {
            self.moves.failed.fetch_add(1, Ordering::SeqCst);
            while self.freed.try_recv().is_ok() {}
            self.is_at(ArmPosition::Between).await;
            self.moves.hangs.store(true, Ordering::SeqCst);
            // The drive has no strength to obey meanwhile, and the sender lives as long as the lane.
            let _ = self.freed.recv().await;
            while self.pulses.try_recv().is_ok() {}
            self.moves.hangs.store(false, Ordering::SeqCst);
            return self.is_at(ArmPosition::Up).await;
        }
        if is_seen && self.gear.faults.strikes(Fault::SlowArm) {
            self.moves.failed.fetch_add(1, Ordering::SeqCst);
            return self.travel(ArmPosition::Up, SLOW_ARM_TRAVELS).await;
        }
        self.travel(ArmPosition::Up, ARM_TRAVELS).await;
    }

    async fn travel(&self, to: ArmPosition, takes: Duration) {
        self.is_at(ArmPosition::Between).await;
        tokio::time::sleep(takes).await;
        self.is_at(to).await;
    }

    async fn is_at(&self, position: ArmPosition) {
        if let Err(error) = self.gear.report_arm(position).await {
            tracing::warn!(%error, "the arm's position was not reported");
        }
        self.moved.send_replace(position);
    }
}
