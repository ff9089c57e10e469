//! A vehicle of the house at the inner lot. Where cables are wrong there it drives in and out, as people do, until staff
//! were told and the electrician has come.

use anyhow::{Result, bail};

use super::{PATIENCE, READS_BEFORE_HELP, Trip};
use crate::barrier::{Barrier, Loop};
use crate::cables::{Misled, Swap, the_other};
use crate::outcome::Passage;
use crate::world::INNER_LANES;

/// Times in and out at most: more than all wrong cables need one after the other.
const ROUNDS: usize = 6;
/// Fresh reads before a guard is called where cables are wrong, and no box starts anew.
const READS_AT_WRONG_CABLES: usize = 3;

impl Trip<'_> {
    /// Into the inner lot, and out of it later.
    pub(super) async fn visit_inner_lot(&mut self, entered_ms: i64) -> Result<()> {
        if self.mall.cables.are_right() {
            for (lane, quarter) in INNER_LANES.into_iter().zip([1, 3]) {
                self.mall.until_moment(entered_ms + self.plan.parked_ms * quarter / 4).await;
                self.pass_inner(lane).await?;
            }
            return Ok(());
        }
        // A box that is killed between a vehicle and its words about it has nothing to tell, and nobody could demand it.
        self.mall.until_kill_is_over().await;
        let _turn = self.mall.rounds.lock().await;
        for lane in INNER_LANES {
            self.lane(lane).await?.tell_arm().await?;
        }
        for _ in 0..ROUNDS {
            for lane in INNER_LANES {
                self.mall.cables.go_on();
                self.pass_inner(lane).await?;
            }
            if self.mall.cables.are_right() {
                break;
            }
        }
        Ok(())
    }

    /// Through one lane of the inner lot.
    async fn pass_inner(&mut self, name: &'static str) -> Result<()> {
        let mut lane = self.lane(name).await?;
        let mut passage = Passage { lane: name.to_owned(), ..Passage::default() };
        lane.closed().await?;
        lane.step(Loop::Arrival, true).await?;
        let up = self.get_raised_inside(&mut lane, &mut passage).await?;
        if !up {
            lane.back_out().await?;
            bail!("is kept out at {name}");
        }
        lane.drive_through().await?;
        self.visit.inner.push(passage);
        self.mall.tell(&format!("{} drives through {name}", self.plan.plate), |_| {});
        if let Some(misled) = self.mall.cables.passed(name) {
            self.electrician_comes(&mut lane, misled).await?;
        }
        Ok(())
    }

    /// The arm goes up for its vehicle, or a guard is called; and where another arm went up instead, the electrician.
    async fn get_raised_inside(&self, lane: &mut Barrier, passage: &mut Passage) -> Result<bool> {
        let cables = &self.mall.cables;
        let (are_wrong, times_astray) = (cables.wrong().is_some(), cables.times_astray());
        let reads = if are_wrong { READS_AT_WRONG_CABLES } else { READS_BEFORE_HELP };
        while passage.captures_ms.len() < reads {
            if self.read_and_wait(lane, passage, &self.plan.plate, PATIENCE).await? {
                return Ok(true);
            }
        }
        let why = "the barrier stays down";
        if (are_wrong || passage.is_failed) && self.guard_raises(lane, passage, why).await {
            return Ok(true);
        }
        if cables.times_astray() == times_astray {
            return Ok(false);
        }
        self.electrician_comes(lane, Misled::arm(Swap::Relays, lane.name())).await?;
        Ok(self.guard_raises(lane, passage, why).await)
    }

    /// Staff look at the page until it tells them what to look at; then the cables are put right while no arm is up.
    async fn electrician_comes(&self, lane: &mut Barrier, misled: Misled) -> Result<()> {
        let told = self.mall.guard.told_of(&misled.alarms).await;
        let reason = match told {
            Some(code) => format!("{code} is told"),
            None => "nobody was told, and he comes all the same".to_owned(),
        };
        self.mall.tell(&format!("the electrician comes to {}: {reason}; {}", lane.name(), misled.swap.words()), |_| {});
        self.mall.note_misled(misled);
        lane.closed().await?;
        let mut other = self.lane(the_other(lane.name())).await?;
        other.closed().await?;
        self.mall.cables.mend();
        lane.tell_arm().await?;
        other.tell_arm().await
    }
}
