//! Inputs that devices tell by themselves: a level goes on to the loop once it has been steady, as one does that is asked
//! for, so that a contact that chatters fills no journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::contacts::Contacts;
use super::planning::Plan;
use super::wiring::Wiring;
use crate::site::Handle;

/// One device's inputs between its words and the loop.
#[derive(Debug)]
pub struct Steady {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    contacts: Contacts,
    /// The level that is on its way to the loop, which has not committed it yet.
    telling: Option<(u16, bool)>,
    /// For each input, whom to tell that its newest word is done with; dropped when it is, or when it is not the newest.
    held: BTreeMap<u16, oneshot::Sender<()>>,
    /// The other ends, until the link takes them; no more than there are inputs.
    waits: BTreeMap<u16, oneshot::Receiver<()>>,
}

/// Every device that tells its inputs by itself and whose settings ask for it gets its watch.
pub(super) fn start(plan: &mut Plan, handle: &Handle) -> Vec<impl Future<Output = ()> + Send + 'static> {
    let of_brokers = plan.brokers.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
    let of_pushes = plan.pushes.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
    let of_streams = plan.streams.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
    let of_lines = plan.lines.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
    let of_readers = plan.readers.iter_mut().flat_map(|link| &mut link.readers).map(|reader| &mut reader.wiring);
    let all = of_brokers.chain(of_pushes).chain(of_streams).chain(of_lines).chain(of_readers);
    let patient = all.filter(|wiring| wiring.debounce_ms > 0 || !wiring.presence_ms.is_empty());
    let watch = |wiring: &mut Wiring| {
        let steady = Arc::new(Steady::new(wiring.debounce_ms));
        wiring.steady = Some(Arc::clone(&steady));
        watch(steady, wiring.clone(), handle.clone())
    };
    patient.map(watch).collect()
}

impl Steady {
    fn new(debounce_ms: u32) -> Self {
        let contacts = Contacts::new(debounce_ms);
        let state = State { contacts, telling: None, held: BTreeMap::new(), waits: BTreeMap::new() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// The device tells a level. Whether it is kept back until it is steady; what the loop knows already may go on.
    pub fn keeps_back(&self, number: u16, is_on: bool) -> bool {
        let mut state = self.state();
        let is_being_told = state.telling == Some((number, is_on)) && state.contacts.is_now(number, is_on);
        if is_being_told || state.contacts.is_known(number, is_on) {
            return false;
        }
        state.contacts.read(number, [is_on], Instant::now());
        let (done, wait) = oneshot::channel();
        if state.contacts.is_settled(number) {
            // As it was before it chattered.
            state.held.remove(&number);
        } else {
            state.held.insert(number, done);
            state.waits.insert(number, wait);
        }
        drop(state);
        self.changed.notify_one();
        true
    }

    /// The device tells of a whole pulse that it has made out by itself.
    pub fn has_pulsed(&self, number: u16) {
        let mut state = self.state();
        state.contacts.read(number, [false], Instant::now());
        state.contacts.told(number, false);
        state.held.remove(&number);
    }

    /// What an acknowledgement of the words heard last has to wait for: each ends when its word is on disk, or was none.
    pub fn waits(&self) -> Vec<oneshot::Receiver<()>> {
        std::mem::take(&mut self.state().waits).into_values().collect()
    }

    /// The level goes to the loop. What the device says again from now on is no news that must first be steady.
    fn tells(&self, number: u16, is_on: bool) {
        self.state().telling = Some((number, is_on));
    }

    /// The loop has committed it.
    fn told(&self, number: u16, is_on: bool) {
        let mut state = self.state();
        state.telling = None;
        state.contacts.told(number, is_on);
        if state.contacts.is_settled(number) {
            state.held.remove(&number);
        }
    }

    /// A panic elsewhere leaves at worst one level untold.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what has been steady for long enough, until the loop is gone.
async fn watch(steady: Arc<Steady>, wiring: Wiring, handle: Handle) {
    loop {
        let due = steady.state().contacts.due(&wiring);
        let at = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = steady.changed.notified() => continue,
            () = at => {}
        }
        let news = steady.state().contacts.news(&wiring, Instant::now());
        for (number, is_on) in news {
            let Some(input) = wiring.level(number, is_on) else { continue };
            steady.tells(number, is_on);
            let Ok(answer) = handle.submit(input).await else { return };
            // Without a reply there was no commit, and the loop is gone.
            if answer.await.is_err() {
                return;
            }
            steady.told(number, is_on);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    /// Between the loop's answer and the next line of its watch a device may well say the same once more.
    #[test]
    fn a_level_that_is_said_again_while_it_is_told_goes_on_at_once_and_the_first_still_waits_for_its_commit() {
        let steady = Steady::new(0);
        assert!(steady.keeps_back(0, true));
        let mut first = steady.waits();
        steady.tells(0, true);
        assert!(!steady.keeps_back(0, true), "said again");
        assert!(!steady.keeps_back(0, true), "and again");
        assert_eq!(first[0].try_recv(), Err(TryRecvError::Empty), "not on disk yet");
        assert!(steady.keeps_back(0, false), "another level must prove to be steady");
        assert!(steady.keeps_back(0, true), "and so must what comes after it");
        assert!(steady.keeps_back(1, true), "and every other input");
        steady.told(0, true);
        assert!(!steady.keeps_back(0, true), "on disk");
        assert_eq!(first[0].try_recv(), Err(TryRecvError::Closed));
    }
}
