//! A tariff made ready for reckoning: lengths in seconds, and for each kind of date the segments in order.

use std::collections::BTreeSet;

use super::calendar::{DAY_S, DayKind};
use super::terms::{
    Block, Cap, CapPeriod, DaysFrom, Free, FreeReading, LIST_MAX, Outside, Restart, Segment, Tariff, Unit,
};

/// A tariff that was found consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// As it is written.
    pub tariff: Tariff,
    /// The beginning of the stay.
    pub blocks: Blocks,
    /// The repeating unit, where there are no segments.
    pub unit: Option<Step>,
    /// The segments in the order of the file; the first that holds at a moment counts.
    pub segments: Vec<SegmentPlan>,
    /// The rule's name of each cap.
    pub cap_rules: Vec<String>,
    /// For each cap, the segments that count towards it; bit `n` is the `n`th.
    pub cap_masks: Vec<u64>,
    /// Whether the wall clock matters.
    pub needs_wall: bool,
    /// Whether every full 24 hours cost the same once the amounts of all caps have come to their last.
    pub repeats: bool,
    profiles: Vec<Vec<Span>>,
    /// The profile of a date, by weekday, kind of the day before and kind of the day.
    profile_of: Vec<usize>,
}

/// Blocks of one beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// In order.
    pub steps: Vec<Step>,
    /// How long they are together.
    pub seconds: i64,
}

/// Units of one price. The repeating unit lasts for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it ends, counted from the beginning.
    pub until_s: i64,
    /// The length of its unit.
    pub unit_s: i64,
    /// The price of its unit.
    pub fen: i64,
}

/// A segment made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlan {
    /// Its own beginning.
    pub blocks: Blocks,
    /// Its repeating unit.
    pub unit: Step,
    /// The most that it costs each time it comes.
    pub cap: Option<i64>,
    /// Seconds that cost nothing each time it comes, and their reading.
    pub free: Option<(i64, FreeReading)>,
}

/// A part of a day in which one segment holds, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The second of the day at which it ends.
    pub until: i64,
    /// The segment, and whether it began on the day before.
    pub segment: Option<(usize, bool)>,
}

const KINDS: [DayKind; 3] = [DayKind::Workday, DayKind::Weekend, DayKind::Holiday];

impl Plan {
    /// Makes a tariff ready, or says what contradicts itself in it.
    pub fn of(tariff: Tariff) -> Result<Self, String> {
        check_lists(&tariff)?;
        if tariff.unit.is_some() != tariff.segments.is_empty() {
            return Err("either `unit` or `segments` is needed, and not both".to_owned());
        }
        if tariff.outside == Outside::Free && tariff.segments.is_empty() {
            return Err("outside = \"free\" needs segments".to_owned());
        }
        let (profiles, profile_of) = profiles(&tariff)?;
        let (cap_rules, cap_masks) = caps(&tariff)?;
        let has_day_caps = tariff.caps.iter().any(|cap| cap.per == CapPeriod::Day);
        let needs_wall = !tariff.segments.is_empty() || has_day_caps || tariff.restart == Restart::Midnight;
        let repeats = tariff.restart == Restart::Hours24
            && tariff.days_from == DaysFrom::Entry
            && !tariff.restart_free
            && tariff.caps.iter().all(|cap| cap.per == CapPeriod::Hours24)
            && tariff.segments.iter().all(|segment| segment.days.is_empty());
        Ok(Self {
            blocks: Blocks::of(&tariff.blocks)?,
            unit: tariff.unit.map(Step::repeating),
            segments: tariff.segments.iter().map(SegmentPlan::of).collect::<Result<_, _>>()?,
            cap_rules,
            cap_masks,
            needs_wall,
            repeats,
            profiles,
            profile_of,
            tariff,
        })
    }

    /// The tariff's name.
    pub fn id(&self) -> &str {
        self.tariff.id.get_ref()
    }

    /// The free minutes of the stay in seconds, and how they are read.
    pub fn free(&self) -> Option<(i64, &Free)> {
        self.tariff.free.as_ref().map(|free| (free.minutes.seconds(), free))
    }

    /// The parts of a date: its weekday and kind, and the kind of the day before.
    pub fn parts_of(&self, (weekday, kind): (usize, DayKind), before: DayKind) -> &[Span] {
        &self.profiles[self.profile_of[weekday * 9 + number(before) * 3 + number(kind)]]
    }

    /// From which window on a cap's amounts no longer change.
    pub fn caps_settle_at(&self) -> i64 {
        self.tariff.caps.iter().map(|cap| cap.fen.0.len() as i64 - 1).max().unwrap_or(0)
    }
}

impl Blocks {
    fn of(blocks: &[Block]) -> Result<Self, String> {
        let mut made = Self::default();
        for block in blocks {
            let unit_s = block.unit_minutes.unwrap_or(block.minutes).seconds();
            if block.minutes.seconds() % unit_s != 0 {
                return Err(format!(
                    "a block of {} minutes cannot be made of units of {} minutes",
                    block.minutes.0,
                    unit_s / 60
                ));
            }
            made.seconds += block.minutes.seconds();
            made.steps.push(Step { until_s: made.seconds, unit_s, fen: block.fen.0 });
        }
        Ok(made)
    }

    /// The step that holds `clock_s` after the beginning.
    pub fn at(&self, clock_s: i64) -> Option<(usize, Step)> {
        if clock_s >= self.seconds {
            return None;
        }
        self.steps.iter().copied().enumerate().find(|(_, step)| clock_s < step.until_s)
    }
}

impl Step {
    fn repeating(unit: Unit) -> Self {
        Self { until_s: i64::MAX, unit_s: unit.minutes.seconds(), fen: unit.fen.0 }
    }
}

impl SegmentPlan {
    fn of(segment: &Segment) -> Result<Self, String> {
        let blocks =
            Blocks::of(&segment.blocks).map_err(|wrong| format!("segment {}: {wrong}", segment.id.get_ref()))?;
        Ok(Self {
            blocks,
            unit: Step::repeating(segment.unit),
            cap: segment.cap_fen.map(|price| price.0),
            free: segment.free.map(|free| (free.minutes.seconds(), free.reading)),
        })
    }
}

fn number(kind: DayKind) -> usize {
    match kind {
        DayKind::Workday => 0,
        DayKind::Weekend => 1,
        DayKind::Holiday => 2,
    }
}

fn check_lists(tariff: &Tariff) -> Result<(), String> {
    let lists = [
        ("blocks", tariff.blocks.len()),
        ("segments", tariff.segments.len()),
        ("caps", tariff.caps.len()),
        ("multipliers", tariff.multipliers.len()),
        ("classes", tariff.classes.len()),
        ("zones", tariff.zones.len()),
    ];
    if let Some((name, length)) = lists.into_iter().find(|(_, length)| *length > LIST_MAX) {
        return Err(format!("{length} {name}; allowed are {LIST_MAX}"));
    }
    let names: BTreeSet<&str> = tariff.segments.iter().map(|segment| segment.id.get_ref().as_str()).collect();
    if names.len() < tariff.segments.len() {
        return Err("two segments have one id".to_owned());
    }
    let classes: BTreeSet<&str> = tariff.multipliers.iter().map(|multiplier| multiplier.class.as_str()).collect();
    if classes.len() < tariff.multipliers.len() {
        return Err("two multipliers have one class".to_owned());
    }
    if let Some(class) = tariff.classes.iter().find(|class| classes.contains(class.as_str())) {
        return Err(format!("the class {class} stands both in `classes` and in `multipliers`"));
    }
    Ok(())
}

fn profiles(tariff: &Tariff) -> Result<(Vec<Vec<Span>>, Vec<usize>), String> {
    let mut edges = BTreeSet::from([DAY_S]);
    edges.extend(tariff.segments.iter().flat_map(|segment| [segment.from.0, segment.to.0]).filter(|edge| *edge > 0));
    let (mut profiles, mut profile_of) = (Vec::new(), Vec::new());
    for weekday in 0..7 {
        for (before, kind) in KINDS.iter().flat_map(|before| KINDS.iter().map(move |kind| (*before, *kind))) {
            let profile = profile(tariff, &edges, (weekday, kind), ((weekday + 6) % 7, before));
            refuse_gaps(tariff, &profile, weekday, kind)?;
            let known = profiles.iter().position(|known| *known == profile);
            profile_of.push(known.unwrap_or(profiles.len()));
            if known.is_none() {
                profiles.push(profile);
            }
        }
    }
    Ok((profiles, profile_of))
}

fn profile(tariff: &Tariff, edges: &BTreeSet<i64>, today: (usize, DayKind), before: (usize, DayKind)) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut from = 0;
    for until in edges {
        let holds = |(n, segment): (usize, &Segment)| segment.holds(from, today, before).map(|early| (n, early));
        let segment = tariff.segments.iter().enumerate().find_map(holds);
        match spans.last_mut() {
            Some(last) if last.segment == segment => last.until = *until,
            Some(_) | None => spans.push(Span { until: *until, segment }),
        }
        from = *until;
    }
    spans
}

fn refuse_gaps(tariff: &Tariff, profile: &[Span], weekday: usize, kind: DayKind) -> Result<(), String> {
    if tariff.segments.is_empty() || tariff.outside == Outside::Free {
        return Ok(());
    }
    let Some(at) = profile.iter().position(|span| span.segment.is_none()) else { return Ok(()) };
    // A weekend's kind on a day of work never comes.
    if kind == DayKind::Weekend && weekday < 5 {
        return Ok(());
    }
    let from = if at == 0 { 0 } else { profile[at - 1].until };
    let day = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][weekday];
    let kind = match kind {
        DayKind::Workday => "a day of work",
        DayKind::Weekend => "of the weekend",
        DayKind::Holiday => "a holiday",
    };
    Err(format!(
        "no segment holds at {:02}:{:02} on a {day} that is {kind}; write outside = \"free\" if that time costs nothing",
        from / 3600,
        from / 60 % 60
    ))
}

fn caps(tariff: &Tariff) -> Result<(Vec<String>, Vec<u64>), String> {
    let (mut rules, mut masks) = (Vec::new(), Vec::new());
    for cap in &tariff.caps {
        check_cap(cap)?;
        let mut mask = if cap.segments.is_empty() { u64::MAX } else { 0 };
        for name in &cap.segments {
            let n = tariff.segments.iter().position(|segment| segment.id.get_ref() == name);
            mask |= 1 << n.ok_or_else(|| format!("a cap names the segment {name}, which is not there"))?;
        }
        let of: String = cap.segments.iter().flat_map(|name| [".", name.as_str()]).collect();
        let rule = format!("{}.cap.{}{of}", tariff.id.get_ref(), cap.per.word());
        if rules.contains(&rule) {
            return Err(format!("two caps per {} for the same segments", cap.per.word()));
        }
        rules.push(rule);
        masks.push(mask);
    }
    Ok((rules, masks))
}

fn check_cap(cap: &Cap) -> Result<(), String> {
    let per = cap.per.word();
    if cap.fen.0.is_empty() || cap.fen.0.len() > LIST_MAX {
        return Err(format!("a cap per {per} has {} amounts; allowed are 1 to {LIST_MAX}", cap.fen.0.len()));
    }
    if cap.per != CapPeriod::Hours24 && cap.fen.0.len() > 1 {
        return Err(format!("a cap per {per} has one amount; a list is for 24h"));
    }
    if cap.shared && cap.per != CapPeriod::Day {
        return Err(format!("a cap per {per} cannot be shared; visits of one day share a cap per day"));
    }
    Ok(())
}
