//! What was counted on the way to a fee: so many units of so much, and what each cap took off. Numbers only.

/// What a unit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The `n`th block of the stay's beginning.
    Block(usize),
    /// The `n`th block of a segment.
    SegmentBlock(usize, usize),
    /// The repeating unit of a segment.
    Segment(usize),
    /// The repeating unit of a tariff without segments.
    Unit,
}

/// Units of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Of what.
    pub source: Source,
    /// How many.
    pub units: i64,
    /// How long the vehicle stayed in them.
    pub seconds: i64,
    /// The length of one.
    pub unit_s: i64,
    /// The price of one.
    pub fen: i64,
}

/// Which cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// A segment's own.
    Segment(usize),
    /// The tariff's `n`th.
    Cap(usize),
}

/// What a cap took off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which.
    pub limit: Limit,
    /// How much, 0 or more.
    pub fen: i64,
    /// In how many of its times.
    pub times: i64,
    last_window: i64,
}

/// The count of one vehicle in one lot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Units in the order in which they first came.
    pub charged: Vec<Charged>,
    /// Caps in the order in which they first bit.
    pub cuts: Vec<Cut>,
}

impl Tally {
    /// The sum, after caps.
    pub fn total(&self) -> i64 {
        let units: i64 = self.charged.iter().map(|charged| charged.units * charged.fen).sum();
        units - self.cuts.iter().map(|cut| cut.fen).sum::<i64>()
    }

    /// Counts `units` more of a kind and returns its place.
    pub fn charge(&mut self, source: Source, unit_s: i64, fen: i64, units: i64) -> usize {
        let place = self.charged.iter().position(|charged| charged.source == source);
        let place = place.unwrap_or_else(|| {
            self.charged.push(Charged { source, units: 0, seconds: 0, unit_s, fen });
            self.charged.len() - 1
        });
        self.charged[place].units += units;
        place
    }

    /// Counts what a cap took off in one of its times.
    pub fn cut(&mut self, limit: Limit, window: i64, fen: i64) {
        let place = self.cuts.iter().position(|cut| cut.limit == limit);
        let place = place.unwrap_or_else(|| {
            self.cuts.push(Cut { limit, fen: 0, times: 0, last_window: i64::MIN });
            self.cuts.len() - 1
        });
        let cut = &mut self.cuts[place];
        cut.fen += fen;
        cut.times += i64::from(cut.last_window != window);
        cut.last_window = window;
    }

    /// Counts `times` more of everything that was counted since `mark`.
    pub fn repeat(&mut self, mark: &Tally, times: i64) {
        for (n, charged) in self.charged.iter_mut().enumerate() {
            let (units, seconds) = mark.charged.get(n).map_or((0, 0), |before| (before.units, before.seconds));
            charged.units += times * (charged.units - units);
            charged.seconds += times * (charged.seconds - seconds);
        }
        for (n, cut) in self.cuts.iter_mut().enumerate() {
            let (fen, hits) = mark.cuts.get(n).map_or((0, 0), |before| (before.fen, before.times));
            cut.fen += times * (cut.fen - fen);
            cut.times += times * (cut.times - hits);
        }
    }
}
