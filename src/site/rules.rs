//! Rules come into force: at the start, on a reload, when their time has come, or back to the version before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::event::{Input, Now, Record, Reply, RulesOffer, StaffRefusal};
use crate::domain::rules::Rules;
use crate::store::Store;

/// The largest file of rules: the journal's entries must fit into an upload.
const RULES_BYTES_MAX: usize = 256 << 10;

/// All versions of the rules, and which of them is in force; clones show the same.
#[derive(Clone, Debug, Default)]
pub struct RulesBook {
    shown: Arc<Mutex<Shown>>,
}

#[derive(Debug, Default)]
struct Shown {
    versions: BTreeMap<u32, Arc<Rules>>,
    in_force: u32,
}

impl RulesBook {
    /// A version that was ever in force.
    pub fn version(&self, version: u32) -> Option<Arc<Rules>> {
        self.lock().versions.get(&version).cloned()
    }

    /// The rules in force.
    pub fn in_force(&self) -> Option<Arc<Rules>> {
        let shown = self.lock();
        shown.versions.get(&shown.in_force).cloned()
    }

    /// Shows what the store has committed.
    pub(super) fn show(&self, store: &Store) {
        let mut shown = self.lock();
        if shown.in_force != store.rules_version() || shown.versions.len() != store.rules().len() {
            *shown = Shown { versions: store.rules().clone(), in_force: store.rules_version() };
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was in force before, for one version that is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The version in force; 0 where there is none yet.
    pub in_force: u32,
    /// The newest that ever was.
    pub newest: u32,
    /// What this version held when it was in force, as its hash.
    pub same: Option<String>,
}

impl Past {
    fn of(store: &Store, version: u32) -> anyhow::Result<Self> {
        let newest = store.rules().keys().next_back().copied().unwrap_or(0);
        Ok(Self { in_force: store.rules_version(), newest, same: store.rules_hash(version)? })
    }
}

/// What the rules of the settings come to at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtStart {
    /// They are in force.
    Hold,
    /// They come into force.
    Come,
    /// Their time has not come.
    Wait,
    /// Somebody put others in force after them.
    RolledBack,
}

/// Puts the rules of the settings in force at the start, where they are new. A version stands for one text for ever,
/// because stays pin it; one that was rolled back stays out of force until it is asked for again.
pub fn activate(store: &mut Store, text: &str, clock: &Clock) -> anyhow::Result<()> {
    let rules = Rules::parse(text)?;
    let past = Past::of(store, rules.version)?;
    let version = rules.version;
    match at_start(text, &rules, &past, clock.now())? {
        AtStart::Hold => {}
        AtStart::Wait => info!(version, "new rules wait for their time"),
        AtStart::RolledBack => {
            warn!(version, past.in_force, "these rules were rolled back; reload to put them in force again");
        }
        AtStart::Come => {
            put_in_force(store, version, text, None, clock.now())?;
            store.commit().context("put the rules in force")?;
        }
    }
    Ok(())
}

/// Whether a daemon would start with the rules of the settings; fails as it would.
pub fn may_start(text: &str, past: impl FnOnce(u32) -> anyhow::Result<Past>, now: Now) -> anyhow::Result<()> {
    let rules = Rules::parse(text)?;
    at_start(text, &rules, &past(rules.version)?, now).map(drop)
}

fn at_start(text: &str, rules: &Rules, past: &Past, now: Now) -> anyhow::Result<AtStart> {
    if let Some(from) = rules.effective_from.filter(|from| !is_time(*from, now)) {
        anyhow::ensure!(past.in_force > 0, "these rules hold only from {} ms on, and no others are in force", from.0);
        return Ok(AtStart::Wait);
    }
    match check(past, text, rules)? {
        Stand::InForce => Ok(AtStart::Hold),
        Stand::New => Ok(AtStart::Come),
        Stand::Known if rules.version > past.in_force => Ok(AtStart::RolledBack),
        Stand::Known => anyhow::bail!(
            "version {} of the rules is older than the one in force, {}; give the old content a new version",
            rules.version,
            past.in_force
        ),
    }
}

/// A bundle, or the one before, is to hold from the next decision on.
pub(super) fn offered(
    store: &mut Store,
    operator: Option<&str>,
    offer: &RulesOffer,
    now: Now,
) -> anyhow::Result<(Reply, Vec<Record>)> {
    let refuse = |why: String| Ok((Reply::Staff(Err(StaffRefusal::RulesRefused { why })), Vec::new()));
    let in_force = store.rules_version();
    let (version, text) = match offer {
        RulesOffer::Settings => return Ok((Reply::Done, Vec::new())),
        RulesOffer::Before => {
            let Some(before) = store.rules().range(..in_force).next_back().map(|(version, _)| *version) else {
                return refuse(format!("there is no version before {in_force}"));
            };
            (before, store.rules_text(before)?.context("find the text of a version that was in force")?)
        }
        RulesOffer::Text(text) => {
            let rules = match Rules::parse(text) {
                Ok(rules) => rules,
                Err(bad) => return refuse(bad.to_string()),
            };
            if rules.effective_from.is_some_and(|from| !is_time(from, now)) {
                return refuse(format!("version {} waits for its time", rules.version));
            }
            match check(&Past::of(store, rules.version)?, text, &rules) {
                Ok(Stand::New | Stand::Known) => (rules.version, text.clone()),
                Ok(Stand::InForce) => {
                    return Ok((Reply::Staff(Ok(format!("version {in_force} is in force"))), Vec::new()));
                }
                Err(error) => return refuse(error.to_string()),
            }
        }
    };
    let record = put_in_force(store, version, &text, operator, now)?;
    Ok((Reply::Staff(Ok(format!("version {version} is in force, after {in_force}"))), vec![record]))
}

/// How a bundle stands to what was in force before.
enum Stand {
    /// It is in force.
    InForce,
    /// It was in force and is not now.
    Known,
    /// It never was.
    New,
}

fn check(past: &Past, text: &str, rules: &Rules) -> anyhow::Result<Stand> {
    anyhow::ensure!(
        text.len() <= RULES_BYTES_MAX,
        "the rules have {} bytes; allowed are {RULES_BYTES_MAX}, because they go into the journal whole",
        text.len()
    );
    let (version, newest) = (rules.version, past.newest);
    if let Some(stored) = &past.same {
        anyhow::ensure!(
            *stored == hash(text),
            "version {version} of the rules was in force with another content; raise [bundle] version"
        );
        return Ok(if version == past.in_force { Stand::InForce } else { Stand::Known });
    }
    anyhow::ensure!(version > newest, "version {version} of the rules is older than the newest known here, {newest}");
    Ok(Stand::New)
}

fn put_in_force(
    store: &mut Store,
    version: u32,
    text: &str,
    operator: Option<&str>,
    now: Now,
) -> anyhow::Result<Record> {
    let record = Record::RulesActivated { version, hash: hash(text), text: text.to_owned() };
    let input = Input::RulesOffered { version, operator: operator.map(ToOwned::to_owned), offer: RulesOffer::Settings };
    store.append(&input, std::slice::from_ref(&record), now)?;
    info!(version, "rules are in force");
    Ok(record)
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Whether a moment has come, by a clock that is known to be right.
fn is_time(from: crate::domain::event::UtcMs, now: Now) -> bool {
    now.trusted && from <= now.utc
}
