//! How much of a listener one address may have: its connections, and the posts that are read at once. Who has posted well
//! before and who has not have places apart, and in both what brings nothing gives way to who waits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Connections at once of known addresses: twenty cameras with two each, and some to spare.
const CONNECTIONS_MAX: usize = 64;
/// Connections at once of addresses that have posted nothing well, each of which may be reading a post. A box that was just
/// started knows nobody, and its cameras come back.
const STRANGERS_MAX: usize = 16;
/// Connections from one address: a device that opens one after the other and says nothing must not keep the others out.
const CONNECTIONS_OF_ONE_MAX: usize = 8;
/// Posts from one address that are read at once, so that the slow ones of a few addresses leave places to all others.
const BODIES_OF_ONE_MAX: usize = 2;
/// Posts of known addresses that are read at once; with those of strangers they are 24.
const BODIES_MAX: usize = 8;
/// A body of more bytes carries large pictures, and few of them are read at once: with all others they hold 84 MiB at most.
pub const LONG_BODY_BYTES: usize = 2 * 1024 * 1024;
const LONG_BODIES_MAX: usize = 4;
/// Of strangers, whose long bodies keep none of a known camera waiting.
const STRANGERS_LONG_MAX: usize = 2;
/// A connection that has brought nothing for so long may have to give way: what a camera says is there in less. Eighty that
/// come before it are five rounds of this, before any camera's deadline.
const UNDISTURBED: Duration = Duration::from_millis(100);
/// What comes faster, in bytes a second, need not give way: a tenth of what the longest post needs to end in time.
const MOVING: u128 = 32 * 1024;
/// How often one who waits looks for somebody who has to give way.
pub const LOOK: Duration = Duration::from_millis(20);
/// For how long an address is known after a post that a device of the settings could have made: one that speaks for vehicles
/// only is silent through the night.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Addresses that are known; more than any site has cameras.
const KNOWN_MAX: usize = 1_024;

/// What each address has.
#[derive(Clone, Debug, Default)]
pub struct Places {
    shared: Arc<Shared>,
}

/// Whether there is a place.
#[derive(Debug)]
pub enum Room {
    /// There is.
    For(Place),
    /// In a moment: nobody can give way yet.
    Later,
    /// The address has as many as it may.
    Never,
}

#[derive(Debug)]
struct Shared {
    taken: Mutex<Taken>,
    bodies: Semaphore,
    long_bodies: Semaphore,
    strangers_long: Semaphore,
}

#[derive(Debug, Default)]
struct Taken {
    connections: BTreeMap<u64, Connection>,
    known: BTreeMap<IpAddr, Instant>,
    last: u64,
}

#[derive(Debug)]
struct Connection {
    from: IpAddr,
    doing: Doing,
    since: Instant,
    /// Of the post that is read.
    bytes: usize,
    own: Arc<Semaphore>,
    gives_way: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing was asked, or what was asked waits until it may be read.
    Waits,
    /// A post is read.
    Reads,
    /// A post is whole, and is decided.
    Answers,
}

/// One connection's place; it is free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Places,
    number: u64,
    from: IpAddr,
    own: Arc<Semaphore>,
    gives_way: Arc<Notify>,
}

/// A connection that is doing something until this is dropped.
#[derive(Debug)]
pub struct Busy<'p> {
    place: &'p Place,
    /// The places of a post that is read: the address's own, and one of all known ones.
    _turns: (Option<SemaphorePermit<'p>>, Option<SemaphorePermit<'p>>),
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            taken: Mutex::default(),
            bodies: Semaphore::new(BODIES_MAX),
            long_bodies: Semaphore::new(LONG_BODIES_MAX),
            strangers_long: Semaphore::new(STRANGERS_LONG_MAX),
        }
    }
}

impl Places {
    /// A place for one more connection. Where all are taken, the oldest that brings nothing ends.
    pub fn take(&self, from: IpAddr) -> Room {
        let mut taken = self.taken();
        let Some(own) = taken.own(from) else { return Room::Never };
        let is_known = taken.knows(from);
        if !taken.has_room_for(is_known) && !taken.ends_one(is_known, |_| true) {
            return Room::Later;
        }
        taken.last += 1;
        let (number, gives_way) = (taken.last, Arc::new(Notify::new()));
        let place = Place { of: self.clone(), number, from, own: Arc::clone(&own), gives_way: Arc::clone(&gives_way) };
        let since = Instant::now();
        taken.connections.insert(number, Connection { from, doing: Doing::Waits, since, bytes: 0, own, gives_way });
        Room::For(place)
    }

    /// A panic elsewhere leaves at worst one place taken.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The places for posts of this address; none where it has as many connections as it may.
    fn own(&self, from: IpAddr) -> Option<Arc<Semaphore>> {
        let of_it = || self.connections.values().filter(|connection| connection.from == from);
        if of_it().count() >= CONNECTIONS_OF_ONE_MAX {
            return None;
        }
        let own = of_it().next().map(|connection| Arc::clone(&connection.own));
        Some(own.unwrap_or_else(|| Arc::new(Semaphore::new(BODIES_OF_ONE_MAX))))
    }

    fn knows(&self, from: IpAddr) -> bool {
        self.known.get(&from).is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    fn has_room_for(&self, is_known: bool) -> bool {
        let alike = self.connections.values().filter(|connection| self.knows(connection.from) == is_known);
        alike.count() < if is_known { CONNECTIONS_MAX } else { STRANGERS_MAX }
    }

    /// Ends the oldest of these that brings nothing, known ones for known ones only and strangers for strangers. Who needs the
    /// place has it at once; the other learns of it.
    fn ends_one(&mut self, is_known: bool, is_wanted: impl Fn(&Connection) -> bool) -> bool {
        let idle = self.connections.iter().filter(|(_, connection)| {
            self.knows(connection.from) == is_known && is_wanted(connection) && connection.brings_nothing()
        });
        let oldest = idle.min_by_key(|(_, connection)| connection.since).map(|(number, _)| *number);
        let ended = oldest.and_then(|number| self.connections.remove(&number));
        ended.inspect(|connection| connection.gives_way.notify_one()).is_some()
    }
}

impl Connection {
    /// What is whole already waits for the box, and not the box for it.
    fn brings_nothing(&self) -> bool {
        let (so_long, bytes) = (self.since.elapsed(), self.bytes as u128);
        self.doing != Doing::Answers && so_long >= UNDISTURBED && bytes * 1000 < MOVING * so_long.as_millis()
    }
}

impl Place {
    /// Until a post of this connection may be read; it may be while what comes back is held.
    pub async fn reads(&self) -> Option<Busy<'_>> {
        // The address's own first: who waits for that holds nothing of the others'.
        let own = self.own.acquire().await.ok()?;
        // A stranger's connection is its place.
        let is_known = self.of.taken().knows(self.from);
        let of_known = if is_known { Some(self.turn().await?) } else { None };
        self.does(Doing::Reads);
        Some(Busy { place: self, _turns: (Some(own), of_known) })
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let mut turn = pin!(self.of.shared.bodies.acquire());
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                turn = &mut turn => return turn.ok(),
                _ = looks.tick() => self.of.taken().ends_one(true, |connection| connection.doing == Doing::Reads),
            };
        }
    }

    /// Until the post may be longer than [`LONG_BODY_BYTES`]; it may be while what comes back is held.
    pub async fn reads_long(&self) -> Option<SemaphorePermit<'_>> {
        let Shared { taken: _, bodies: _, long_bodies, strangers_long } = &*self.of.shared;
        let is_known = self.of.taken().knows(self.from);
        if is_known { long_bodies } else { strangers_long }.acquire().await.ok()
    }

    /// So much more of the post is there.
    pub fn brought(&self, bytes: usize) {
        if let Some(connection) = self.of.taken().connections.get_mut(&self.number) {
            connection.bytes += bytes;
        }
    }

    /// The post is whole: nobody else's need ends the connection while what comes back is held.
    pub fn answers(&self) -> Busy<'_> {
        self.does(Doing::Answers);
        Busy { place: self, _turns: (None, None) }
    }

    /// A device of the settings has posted from here, or one that knows its name.
    pub fn is_known(&self) {
        let mut taken = self.of.taken();
        taken.known.insert(self.from, Instant::now());
        if taken.known.len() > KNOWN_MAX
            && let Some(oldest) = taken.known.iter().min_by_key(|(_, at)| **at).map(|(from, _)| *from)
        {
            taken.known.remove(&oldest);
        }
    }

    /// Until somebody else needs the place more.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }

    fn does(&self, doing: Doing) {
        if let Some(connection) = self.of.taken().connections.get_mut(&self.number) {
            (connection.doing, connection.since, connection.bytes) = (doing, Instant::now(), 0);
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.place.does(Doing::Waits);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.taken().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn of_long_bodies_four_of_cameras_and_two_of_strangers_are_read_at_once() {
        for (is_known, most) in [(true, 4), (false, 2)] {
            let places = Places::default();
            let all: Vec<Place> = (0..=most).map(|n| seated(&places, n, is_known)).collect();
            let mut reading: Vec<_> = all.iter().map(|place| at_once(place.reads_long()).flatten()).collect();
            let is_read = |reading: &[Option<_>]| reading.iter().filter(|permit| Option::is_some(permit)).count();
            assert_eq!(is_read(&reading), usize::from(most), "known: {is_known}");
            assert!(reading.pop().expect("the last").is_none(), "it waits for its turn");
            let other = seated(&places, 100, !is_known);
            assert!(at_once(other.reads_long()).is_some(), "those keep none of the others waiting");
            reading.clear();
            assert!(at_once(all[usize::from(most)].reads_long()).is_some(), "its turn has come");
        }
    }

    /// What comes of it without any wait.
    fn at_once<T>(waits: impl Future<Output = T>) -> Option<T> {
        match pin!(waits).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    fn seated(places: &Places, n: u8, is_known: bool) -> Place {
        let Room::For(place) = places.take(IpAddr::from([127, 0, 0, n])) else { panic!("there is room") };
        if is_known {
            place.is_known();
        }
        place
    }
}
