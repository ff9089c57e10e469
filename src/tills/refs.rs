//! The names under which tills know members: opaque, one for each till, forgotten when a member is long gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::access::Terminal;
use crate::domain::event::{MemberId, Shown};

/// How long after its last lookup a till may use a name: a long lunch.
const REF_LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);
/// How many names are remembered; the one looked up longest ago goes first.
const MOST_REFS: usize = 20_000;
/// Before a member's code in `member_ref`, for a till that scans and commits in one go.
pub(super) const CODE_PREFIX: &str = "code:";

/// The names that were given out since the start.
#[derive(Default)]
pub(super) struct MemberRefs {
    given: BTreeMap<String, (MemberId, Shown, Instant)>,
    by_age: BTreeSet<(Instant, String)>,
}

impl MemberRefs {
    /// The name of a member for a till; the same each time, and of no use to another till.
    pub(super) fn give(&mut self, terminal: &Terminal, member: &MemberId, shown: Shown, now: Instant) -> String {
        let name = format!("m-{}", terminal.token.name_for(&format!("{}\n{member}", terminal.id)));
        if let Some((.., since)) = self.given.insert(name.clone(), (member.clone(), shown, now)) {
            self.by_age.remove(&(since, name.clone()));
        }
        self.by_age.insert((now, name.clone()));
        if self.given.len() > MOST_REFS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.given.remove(&oldest);
        }
        name
    }

    /// The member behind a name that was given to this till, and how the member was shown last.
    pub(super) fn member(&self, terminal: &Terminal, name: &str, now: Instant) -> Option<(MemberId, Shown)> {
        let (member, shown, since) = self.given.get(name)?;
        let is_theirs = name == format!("m-{}", terminal.token.name_for(&format!("{}\n{member}", terminal.id)));
        (is_theirs && now.duration_since(*since) < REF_LIFETIME).then(|| (member.clone(), *shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_use_to_one_till_only_and_not_for_ever() {
        let (one, two) = (terminal("T1", "token-1"), terminal("T2", "token-2"));
        let member = MemberId::from("M1001");
        let mut refs = MemberRefs::default();
        let now = Instant::now();
        let name = refs.give(&one, &member, Shown::Plate, now);
        assert!(!name.contains("M1001"));
        assert_ne!(name, refs.give(&two, &member, Shown::Plate, now));
        assert_eq!(refs.member(&one, &name, now), Some((member.clone(), Shown::Plate)));
        assert_eq!(refs.member(&two, &name, now), None);
        assert_eq!(refs.member(&one, &name, now + REF_LIFETIME), None);
        assert_eq!(refs.give(&one, &member, Shown::Plate, now + REF_LIFETIME), name);
        assert!(refs.member(&one, &name, now + REF_LIFETIME).is_some());
    }

    #[test]
    fn the_oldest_name_is_forgotten_first() {
        let till = terminal("T1", "token-1");
        let mut refs = MemberRefs::default();
        let start = Instant::now();
        let first = refs.give(&till, &"M0".into(), Shown::Fixed, start);
        for number in 1..=MOST_REFS {
            let at = start + Duration::from_millis(number as u64);
            refs.give(&till, &MemberId(format!("M{number}")), Shown::Fixed, at);
        }
        assert_eq!(refs.member(&till, &first, start), None);
        assert_eq!((refs.given.len(), refs.by_age.len()), (MOST_REFS, MOST_REFS));
    }

    fn terminal(id: &str, token: &str) -> Terminal {
        Terminal { id: id.into(), token: token.into(), merchant: None }
    }
}
