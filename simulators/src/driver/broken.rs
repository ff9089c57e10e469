//! What people do about an arm that hangs or is torn off: the guard in the booth reads on the page what is wrong, and goes
//! there.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{PATIENCE, Trip};
use crate::barrier::Barrier;
use crate::faults::Fault;
use crate::outcome::Hurt;

impl Trip<'_> {
    /// When the arm goes up, if it does before the driver's patience is over, or by the guard's hand where it hangs.
    pub(super) async fn goes_up(&self, lane: &mut Barrier, patience: Duration) -> Option<Instant> {
        let seen = self.mall.look_at_box();
        if let Some(raised) = lane.raised(patience).await {
            return Some(raised);
        }
        if !lane.hangs() {
            return None;
        }
        let is_excused = self.mall.box_was_off_since(seen);
        // The box needs longer than any driver to be sure, so what it says of this arm comes after this number.
        let number = self.mall.guard.newest_alarm().await;
        self.guard_comes(lane, number, (Fault::StuckArm, "arm_stuck"), is_excused).await;
        lane.free();
        lane.raised(PATIENCE).await
    }

    /// Through the closed arm; where that tears it off, the guard comes and puts it on again.
    pub(super) async fn drive_through_the_arm(&self, lane: &Barrier) -> Result<()> {
        if !lane.is_torn_off() {
            return lane.drive_through().await;
        }
        let number = self.mall.guard.newest_alarm().await;
        let seen = self.mall.look_at_box();
        lane.drive_through().await?;
        let is_excused = self.mall.box_was_off_since(seen);
        self.guard_comes(lane, number, (Fault::TornArm, "arm_broken"), is_excused).await;
        Ok(())
    }

    /// The guard looks at the page until it tells what is wrong there. A box that was off while it happened need not have
    /// seen it; one that is killed later still tells, because it knows it by its journal.
    async fn guard_comes(&self, lane: &Barrier, number: u64, wrong: (Fault, &'static str), is_excused: bool) {
        let (what, alarm) = wrong;
        let is_told = self.mall.guard.told_since(number, &[(alarm, lane.name())]).await.is_some();
        let reason = if is_told { alarm } else { "nobody was told" };
        self.mall.tell(&format!("the guard goes to {}: {reason}; {}", lane.name(), what.words()), |_| {});
        self.mall.note_hurt(Hurt { what, lane: lane.name(), alarm, is_told, is_excused });
    }
}
