//! The commands that wait until their device posts and takes them with its answer: few of them and not for long, and a
//! raise is never the one that has to go.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::order::Order;
use crate::profile::language::{WHITELIST_ADD, WHITELIST_DELETE};
use crate::profile::template::Value;

/// How long a command waits for the device to ask. Later, another vehicle could stand there.
const CARRIED_WITHIN: Duration = Duration::from_secs(5);
/// What a device is to remember is as right a minute later, and some ask no more often.
const REMEMBERED_WITHIN: Duration = Duration::from_secs(90);
/// Commands that wait for one device.
const CARRIED_MAX: usize = 4;

/// The command by which a device lets a lane's barrier rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaisedBy {
    /// Its name.
    pub command: &'static str,
    /// Which port of the device, where the barrier hangs on one.
    pub channel: Option<u16>,
}

/// What waits for one device.
#[derive(Debug)]
pub struct Waiting {
    orders: Mutex<VecDeque<(Order, Instant)>>,
    put: Notify,
    raised_by: Option<RaisedBy>,
}

impl Waiting {
    /// Nothing yet, for a device by which a barrier may rise.
    pub fn new(raised_by: Option<RaisedBy>) -> Self {
        Self { orders: Mutex::default(), put: Notify::new(), raised_by }
    }

    /// Puts a command in line. Where there are too many it gives back the oldest that raises nothing; where all of them
    /// raise, the new one.
    pub fn put(&self, order: Order) -> Option<Order> {
        let within = match order.command.as_str() {
            WHITELIST_ADD | WHITELIST_DELETE => REMEMBERED_WITHIN,
            _ => CARRIED_WITHIN,
        };
        let mut orders = self.orders();
        orders.push_back((order, Instant::now() + within));
        self.put.notify_waiters();
        if orders.len() <= CARRIED_MAX {
            return None;
        }
        let goes = orders.iter().position(|(order, _)| !self.may_raise(order)).unwrap_or(orders.len() - 1);
        orders.remove(goes).map(|(order, _)| order)
    }

    /// Until a command is there by which a barrier may rise.
    pub async fn has_raise(&self) {
        loop {
            let told = self.put.notified();
            tokio::pin!(told);
            // Asked for before the look, so that nothing falls between the two.
            told.as_mut().enable();
            if self.orders().iter().any(|(order, _)| self.may_raise(order)) {
                return;
            }
            told.await;
        }
    }

    /// Those that are in time and travel in this answer, in their order.
    pub fn take_all(&self, travels: impl Fn(&Order) -> bool) -> Vec<Order> {
        let now = Instant::now();
        self.take(|(order, until)| *until > now && travels(order))
    }

    /// Those that are too late.
    pub fn take_late(&self) -> Vec<Order> {
        let now = Instant::now();
        self.take(|(_, until)| *until <= now)
    }

    /// When the next one will be too late.
    pub fn next_end(&self) -> Option<Instant> {
        self.orders().iter().map(|(_, until)| *until).min()
    }

    fn may_raise(&self, order: &Order) -> bool {
        let is_it = |by: RaisedBy| {
            let channel = by.channel.map(|channel| Value::Integer(i64::from(channel)));
            order.command == by.command && channel.is_none_or(|channel| order.args.get("channel") == Some(&channel))
        };
        order.is_raise() || self.raised_by.is_some_and(is_it)
    }

    fn take(&self, which: impl Fn(&(Order, Instant)) -> bool) -> Vec<Order> {
        let mut orders = self.orders();
        let (taken, kept): (VecDeque<_>, VecDeque<_>) = orders.drain(..).partition(which);
        *orders = kept;
        taken.into_iter().map(|(order, _)| order).collect()
    }

    /// A panic elsewhere leaves the line as it was.
    fn orders(&self) -> MutexGuard<'_, VecDeque<(Order, Instant)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{CommandId, DeviceId, LaneId};
    use crate::profile::language::{RAISE, TUNNEL};
    use crate::profile::template::Values;

    #[tokio::test]
    async fn an_answer_waits_for_the_raise_and_for_nothing_else() {
        let waiting = Waiting::new(Some(RaisedBy { command: RAISE, channel: None }));
        assert!(waiting.put(told(WHITELIST_ADD, 0)).is_none());
        assert!(waiting.put(told(TUNNEL, 0)).is_none());
        assert!(!is_there(&waiting).await, "a list and a display are no raise");
        assert!(waiting.put(raise()).is_none());
        assert!(is_there(&waiting).await);
        let through = Waiting::new(Some(RaisedBy { command: TUNNEL, channel: Some(1) }));
        assert!(through.put(told(TUNNEL, 0)).is_none());
        assert!(!is_there(&through).await, "the display's port is not the barrier's");
        assert!(through.put(told(TUNNEL, 1)).is_none());
        assert!(is_there(&through).await);
    }

    #[test]
    fn a_raise_is_never_the_one_that_goes() {
        let waiting = Waiting::new(None);
        assert!(waiting.put(raise()).is_none());
        for n in 0..8 {
            let goes = waiting.put(told(WHITELIST_DELETE, n)).map(|order| order.command);
            assert_eq!(goes.as_deref(), (n >= 3).then_some(WHITELIST_DELETE), "order {n}");
        }
        assert_eq!(waiting.take_all(Order::is_raise).len(), 1);
        for _ in 0..CARRIED_MAX {
            waiting.put(raise());
        }
        assert!(waiting.put(told(TUNNEL, 0)).is_some_and(|order| !order.is_raise()));
        assert!(waiting.put(raise()).is_some(), "and there is an end to them");
    }

    #[test]
    fn what_a_camera_is_to_remember_waits_for_one_that_seldom_asks() {
        let waiting = Waiting::new(None);
        waiting.put(told(WHITELIST_ADD, 0));
        let list = waiting.next_end().expect("one waits");
        waiting.put(raise());
        let raise = waiting.next_end().expect("two wait");
        assert!(list.duration_since(raise) > Duration::from_secs(60), "the raise is old before the list is");
    }

    async fn is_there(waiting: &Waiting) -> bool {
        tokio::time::timeout(Duration::ZERO, waiting.has_raise()).await.is_ok()
    }

    fn told(command: &str, channel: i64) -> Order {
        let args = Values::from([("channel".to_owned(), Value::Integer(channel))]);
        Order::asked(DeviceId::from("cam"), command, args, String::new()).0
    }

    fn raise() -> Order {
        Order::raise(LaneId::from("in"), CommandId::from("c"), DeviceId::from("cam"), Values::new(), true)
    }
}
