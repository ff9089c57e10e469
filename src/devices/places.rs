//! How much of a listener one address may have: its connections, and the posts that are read at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Connections from one address: a device that opens one after the other and says nothing must not keep the others out.
const CONNECTIONS_OF_ONE_MAX: usize = 8;
/// Posts from one address that are read at once, so that the slow ones of a few addresses leave places to all others.
const BODIES_OF_ONE_MAX: usize = 2;
/// Posts that are read at once; few of them may be long ones.
const BODIES_MAX: usize = 16;

/// What each address has.
#[derive(Clone, Debug)]
pub struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    taken: Mutex<BTreeMap<IpAddr, (usize, Arc<Semaphore>)>>,
    bodies: Semaphore,
}

/// One connection's place; it is free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Places,
    from: IpAddr,
    bodies: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { taken: Mutex::default(), bodies: Semaphore::new(BODIES_MAX) }) }
    }
}

impl Places {
    /// None where the address has as many as it may.
    pub fn take(&self, from: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        let (count, bodies) = taken.entry(from).or_insert_with(|| (0, Arc::new(Semaphore::new(BODIES_OF_ONE_MAX))));
        if *count >= CONNECTIONS_OF_ONE_MAX {
            return None;
        }
        *count += 1;
        Some(Place { of: self.clone(), from, bodies: Arc::clone(bodies) })
    }

    /// A panic elsewhere leaves at worst one place taken.
    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, (usize, Arc<Semaphore>)>> {
        self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Until a post of this connection may be read; it may be while what comes back is held.
    pub async fn reads(&self) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        // The address's own first: who waits for that holds nothing of the others'.
        let own = self.bodies.acquire().await.ok()?;
        let any = self.of.shared.bodies.acquire().await.ok()?;
        Some((own, any))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if let Some((count, _)) = taken.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.from);
            }
        }
    }
}
