//! The arithmetic of shares: what may be promised to which box, and what a box's word sets free. Pure.

/// A box's part of a budget, in fen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Which box.
    pub name: String,
    /// In which epoch.
    pub epoch: u32,
    /// What the box was told last.
    pub told: i64,
    /// The most that it may believe to have: never below what it was told, nor below what it has spent.
    pub reserved: i64,
    /// What it has spent, by its last word.
    pub spent: i64,
    /// What epochs that were lost may have spent beyond what is known of them.
    pub lost: i64,
}

/// A box's word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// The epoch in which it was given.
    pub epoch: u32,
    /// Whether it follows the newest that was told: nothing else is on its way to the box then.
    pub answers_newest: bool,
    /// What the box takes as its share.
    pub share: i64,
    /// What it has spent.
    pub spent: i64,
}

impl Share {
    /// Takes up a word; how much was spent beyond what was reserved, which no box does whose journal is whole.
    pub fn hear(&mut self, word: &Word) -> i64 {
        if word.epoch < self.epoch {
            return 0;
        }
        if word.epoch > self.epoch {
            // A journal that nobody has seen may have spent all of it.
            self.lost += (self.reserved - word.spent).max(0);
            (self.epoch, self.told, self.reserved, self.spent) = (word.epoch, word.spent, word.spent, word.spent);
            return 0;
        }
        let beyond = (word.spent - self.reserved).max(0);
        self.spent = word.spent;
        if word.answers_newest {
            self.reserved = word.share.max(self.told);
        }
        self.reserved = self.reserved.max(word.spent);
        beyond
    }
}

/// What of `room` is promised to nobody.
pub(super) fn unreserved(shares: &[Share], room: i64) -> i64 {
    (room - shares.iter().map(|share| share.reserved + share.lost).sum::<i64>()).max(0)
}

/// Shares `room` out anew among `boxes`, each with its epoch: what all of them have not spent is divided evenly. Who has
/// more than that is told less; who has less gets more as far as it is promised to nobody.
pub(super) fn share_out(shares: &mut Vec<Share>, boxes: &[(String, u32)], room: i64) {
    for (name, epoch) in boxes {
        if !shares.iter().any(|share| share.name == *name) {
            let (name, epoch) = (name.clone(), *epoch);
            shares.push(Share { name, epoch, told: 0, reserved: 0, spent: 0, lost: 0 });
        }
    }
    shares.sort_by(|a, b| a.name.cmp(&b.name));
    let has_part = |share: &Share| boxes.iter().any(|(name, epoch)| share.name == *name && share.epoch == *epoch);
    // What an ended epoch may still have spent is gone until its box has spoken in the next one.
    let is_ended = |share: &Share| boxes.iter().any(|(name, epoch)| share.name == *name && share.epoch < *epoch);
    let gone = |share: &Share| share.lost + if is_ended(share) { share.reserved } else { share.spent };
    let unspent = (room - shares.iter().map(gone).sum::<i64>()).max(0);
    let parts = i64::try_from(shares.iter().filter(|share| has_part(share)).count()).unwrap_or(i64::MAX);
    let each = unspent.checked_div(parts).unwrap_or(0);
    let mut free = unreserved(shares, room);
    for share in shares.iter_mut().filter(|share| !is_ended(share)) {
        let target = share.spent + if has_part(share) { each } else { 0 };
        let more = (target - share.reserved).clamp(0, free);
        (share.reserved, free) = (share.reserved + more, free - more);
        share.told = target.min(share.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box as far as its journal goes: what it believes, and what it has said that the ledger has not heard.
    struct Site {
        epoch: u32,
        share: i64,
        spent: i64,
        /// What was told and not taken up: the turn, the epoch, the share.
        feed: Vec<(i64, u32, i64)>,
        words: Vec<(u32, i64, i64, i64)>,
    }

    fn next(seed: &mut u64, most: i64) -> i64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(*seed >> 33).unwrap() % most.max(1)
    }

    /// Boxes spend whatever they believe to have, hear late, speak later, and lose their journals' ends.
    #[test]
    fn all_boxes_together_never_spend_more_than_the_budget() {
        let (mut spends, mut full) = (0, 0);
        for story in 0..400_u64 {
            let mut seed = story.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
            let budget = 100 + next(&mut seed, 10_000);
            let mut sites: Vec<Site> = (0..2 + next(&mut seed, 4))
                .map(|_| Site { epoch: 1, share: 0, spent: 0, feed: Vec::new(), words: Vec::new() })
                .collect();
            let (mut shares, mut turn) = (Vec::new(), 0_i64);
            // What was spent by journals whose ends are lost.
            let mut forgotten = 0;
            for _ in 0..300 {
                let n = usize::try_from(next(&mut seed, i64::try_from(sites.len()).unwrap())).unwrap();
                match next(&mut seed, 10) {
                    0..2 => {
                        let boxes: Vec<(String, u32)> =
                            sites.iter().enumerate().map(|(n, site)| (format!("box-{n}"), site.epoch)).collect();
                        let before = shares.clone();
                        share_out(&mut shares, &boxes, budget);
                        turn += i64::from(before != shares);
                        for (site, share) in sites.iter_mut().zip(&shares) {
                            site.feed.push((turn, share.epoch, share.told));
                        }
                    }
                    2..4 => {
                        let site = &mut sites[n];
                        // One part of the feed, or all that is there: then only the newest counts.
                        let all = next(&mut seed, 2) == 0;
                        let taken = if all { site.feed.pop() } else { site.feed.first().copied() };
                        site.feed.drain(..if all { site.feed.len() } else { usize::from(taken.is_some()) });
                        if let Some((turn, epoch, told)) = taken {
                            site.share = if epoch == site.epoch { told.max(site.spent) } else { site.spent };
                            site.words.push((site.epoch, turn, site.share, site.spent));
                        }
                    }
                    4..6 if !sites[n].words.is_empty() => {
                        let (epoch, of, share, spent) = sites[n].words.remove(0);
                        let stored = shares.iter_mut().find(|share| share.name == format!("box-{n}")).unwrap();
                        assert_eq!(stored.hear(&Word { epoch, answers_newest: of == turn, share, spent }), 0);
                    }
                    6 if next(&mut seed, 12) == 0 => {
                        // Made again from what the ledger has heard: what was spent since is known to nobody.
                        let site = &mut sites[n];
                        let known = shares.iter().find(|share| share.name == format!("box-{n}"));
                        let known = known.filter(|share| share.epoch == site.epoch).map_or(0, |share| share.spent);
                        if known <= site.spent && site.words.iter().all(|word| word.0 == site.epoch) {
                            forgotten += site.spent - known;
                            (site.epoch, site.share, site.spent) = (site.epoch + 1, known, known);
                            site.words.clear();
                        }
                    }
                    _ => {
                        let room = sites[n].share - sites[n].spent;
                        let fen = next(&mut seed, room + 1);
                        sites[n].spent += fen;
                        spends += i64::from(fen > 0);
                    }
                }
                let spent: i64 = sites.iter().map(|site| site.spent).sum::<i64>() + forgotten;
                assert!(spent <= budget, "story {story}: {spent} of {budget}\n{shares:#?}");
            }
            full += i64::from(sites.iter().map(|site| site.spent).sum::<i64>() + forgotten > budget * 9 / 10);
        }
        assert!(spends > 10_000 && full > 200, "{spends} spends, {full} budgets nearly used up");
    }

    #[test]
    fn who_has_used_its_share_gets_some_of_what_others_left() {
        let boxes = [("a".to_owned(), 1), ("b".to_owned(), 1)];
        let mut shares = Vec::new();
        share_out(&mut shares, &boxes, 1000);
        assert_eq!(shares.iter().map(|share| share.told).collect::<Vec<_>>(), [500, 500]);
        shares[0].hear(&Word { epoch: 1, answers_newest: true, share: 500, spent: 500 });
        share_out(&mut shares, &boxes, 1000);
        assert_eq!((shares[0].told, shares[1].told), (500, 250), "nothing is free before the other has said so");
        shares[1].hear(&Word { epoch: 1, answers_newest: true, share: 250, spent: 0 });
        share_out(&mut shares, &boxes, 1000);
        assert_eq!((shares[0].told, shares[1].told), (750, 250));
        share_out(&mut shares, &[("a".to_owned(), 2), boxes[1].clone()], 1000);
        assert_eq!(shares[0].told, 750, "an ended epoch keeps what it has until its box speaks in the next one");
        shares[0].hear(&Word { epoch: 2, answers_newest: false, share: 400, spent: 400 });
        assert_eq!((shares[0].lost, shares[0].reserved), (350, 400));
    }
}
