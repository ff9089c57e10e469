//! The bundle as it is written: TOML tables, in which an unknown key is a mistake with its line.

use serde::Deserialize;
use toml::Spanned;

use super::golden::Golden;
use super::golden_sale::GoldenSale;
use super::{BadRules, EarnRate, Goodwill, GrantSize, PointsRate, Rules};
use crate::domain::admission::Admission;
use crate::domain::admission::table::{List, Policy, WrittenPass};
use crate::domain::benefit;
use crate::domain::event::UtcMs;
use crate::domain::tariff::Tariffs;
use crate::domain::tariff::calendar::{Calendar, Zone, date_of, moment};
use crate::domain::tariff::terms::{InnerLot, Tariff};

/// The most dates of a calendar: a century of holidays.
const DATES_MAX: usize = 5000;
/// The most golden cases; each is computed at every start.
const GOLDEN_MAX: usize = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    bundle: Header,
    #[serde(default)]
    calendar: Dates,
    #[serde(default)]
    zones: Vec<InnerLot>,
    tariffs: Vec<Tariff>,
    #[serde(default)]
    stays: Policy,
    #[serde(default)]
    lists: Vec<List>,
    #[serde(default)]
    passes: Vec<WrittenPass>,
    #[serde(default)]
    benefits: benefit::Table,
    points: PointsRate,
    earn: EarnRate,
    grants: GrantSize,
    #[serde(default)]
    goodwill: Goodwill,
    #[serde(default)]
    golden: Vec<Spanned<Golden>>,
    #[serde(default)]
    golden_sale: Vec<Spanned<GoldenSale>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: Spanned<i64>,
    /// Whose rules these are, for people.
    #[serde(default, rename = "programme")]
    _programme: Option<String>,
    effective_from: Option<Spanned<String>>,
    #[serde(default)]
    timezone: Option<Spanned<String>>,
    #[serde(default)]
    overridable: Vec<String>,
}

/// The calendar's dates: single ones `2026-10-01` and runs `2026-10-01..2026-10-08`, both ends included.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Dates {
    holidays: Vec<Spanned<String>>,
    workdays: Vec<Spanned<String>>,
}

/// A bundle as it was read, with the golden cases of stays and of sales that have to be proved first.
pub(super) type Unproved = (Rules, Vec<Spanned<Golden>>, Vec<Spanned<GoldenSale>>);

/// Reads a bundle, and its golden cases apart.
pub(super) fn read(text: &str) -> Result<Unproved, BadRules> {
    let bundle: Bundle = toml::from_str(text).map_err(|error| BadRules::unreadable(text, &error))?;
    let version = u32::try_from(*bundle.bundle.version.get_ref()).ok().filter(|version| *version > 0);
    let wrong_version = || {
        BadRules::at(
            text,
            bundle.bundle.version.span(),
            format!("version {}", bundle.bundle.version.get_ref()),
            "1 to 4294967295",
        )
    };
    let version = version.ok_or_else(wrong_version)?;
    let calendar = calendar(&bundle.bundle, &bundle.calendar, text)?;
    let effective_from = match &bundle.bundle.effective_from {
        None => None,
        Some(given) => {
            let at = moment(given.get_ref(), &calendar.zone);
            let wrong = || {
                BadRules::at(
                    text,
                    given.span(),
                    format!("{:?} is no moment", given.get_ref()),
                    "such as 2026-03-01T00:00:00+08:00",
                )
            };
            Some(UtcMs(at.ok_or_else(wrong)? * 1000))
        }
    };
    if bundle.golden.is_empty() || bundle.golden.len() > GOLDEN_MAX || bundle.golden_sale.len() > GOLDEN_MAX {
        let wrong = format!("{} [[golden]] cases; a bundle proves itself with at least one", bundle.golden.len());
        return Err(BadRules::whole(wrong, format!("1 to {GOLDEN_MAX}")));
    }
    let zone = &calendar.zone;
    let admission = Admission::of(bundle.stays, bundle.lists, bundle.passes, &bundle.zones, zone)
        .map_err(|(span, wrong)| BadRules::at(text, span, wrong, "what docs/stays.md describes"))?;
    let tariffs = Tariffs::of(calendar, bundle.zones, bundle.tariffs)
        .map_err(|(span, wrong)| BadRules::at(text, span, wrong, "what docs/tariffs.md describes"))?;
    benefit::check(&bundle.benefits).map_err(|wrong| {
        let (wrong, allowed) =
            wrong.split_once("; ").map_or((wrong.as_str(), "what docs/benefits.md describes"), |parts| parts);
        BadRules::whole(wrong, allowed.strip_prefix("allowed are ").unwrap_or(allowed))
    })?;
    let rules = Rules {
        version,
        effective_from,
        overridable: bundle.bundle.overridable,
        tariffs,
        admission,
        benefits: bundle.benefits,
        points: bundle.points,
        earn: bundle.earn,
        grants: bundle.grants,
        goodwill: bundle.goodwill,
    };
    Ok((rules, bundle.golden, bundle.golden_sale))
}

fn calendar(header: &Header, dates: &Dates, text: &str) -> Result<Calendar, BadRules> {
    let zone = match &header.timezone {
        None => Zone::named("Asia/Shanghai").expect("the zone stands in the database that is built in"),
        Some(name) => {
            let unknown = || {
                BadRules::at(
                    text,
                    name.span(),
                    format!("no time zone is called {:?}", name.get_ref()),
                    "a name of the tz database such as Asia/Shanghai",
                )
            };
            Zone::named(name.get_ref()).ok_or_else(unknown)?
        }
    };
    Ok(Calendar { zone, holidays: days(&dates.holidays, text)?, workdays: days(&dates.workdays, text)? })
}

fn days(given: &[Spanned<String>], text: &str) -> Result<Vec<i64>, BadRules> {
    let mut days = Vec::new();
    for date in given {
        let (from, to) = date.get_ref().split_once("..").unwrap_or((date.get_ref(), date.get_ref()));
        let wrong = |what: &str| {
            BadRules::at(
                text,
                date.span(),
                format!("{:?} {what}", date.get_ref()),
                "a date such as 2026-10-01, or a run such as 2026-10-01..2026-10-08",
            )
        };
        let (Some(from), Some(to)) = (date_of(from), date_of(to)) else { return Err(wrong("is no date")) };
        if to < from || to - from > 366 {
            return Err(wrong("is no run of at most a year"));
        }
        days.extend(from..=to);
        if days.len() > DATES_MAX {
            return Err(wrong("is one date too many"));
        }
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}
