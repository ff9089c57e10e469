//! The link to devices that are only asked: commands go out as requests of their own, and one that reads pictures is handed
//! those of cameras.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::calling::Caller;
use super::looking::{self, Eye};
use super::order::{Order, Outcome};
use super::planning::{HttpDevice, StreamPlan};
use super::submitting::Delivery;
use crate::metrics::Metrics;

/// Devices that are only asked.
pub struct Asking {
    devices: Vec<(HttpDevice, Arc<Caller>)>,
    eyes: Vec<Eye>,
    deliveries: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
}

impl Asking {
    /// The link as the settings plan it; `waiting` has the pictures for those that read some.
    pub fn new(
        plan: StreamPlan,
        waiting: &[Arc<looking::Waiting>],
        deliveries: mpsc::Sender<Delivery>,
        metrics: Arc<Metrics>,
    ) -> Self {
        // Each request has a connection of its own: there is none that could be down.
        metrics.link_up(&plan.id, true);
        let asked = |device: HttpDevice| {
            let caller = Caller::new(&device, device.call.clone()?, Arc::clone(&metrics)).ok()?;
            Some((device, Arc::new(caller)))
        };
        let devices: Vec<_> = plan.devices.into_iter().filter_map(asked).collect();
        let eye = |(device, caller): &(HttpDevice, Arc<Caller>)| {
            let waiting = waiting.iter().find(|waiting| waiting.is_for(&device.wiring.device))?;
            let (waiting, caller) = (Arc::clone(waiting), Arc::clone(caller));
            Some(Eye::new(device.clone(), caller, waiting, deliveries.clone(), Arc::clone(&metrics)))
        };
        let eyes = devices.iter().filter_map(eye).collect();
        Self { devices, eyes, deliveries, metrics }
    }

    /// The devices that can be asked.
    pub fn asked(&self) -> Vec<(HttpDevice, Arc<Caller>)> {
        self.devices.clone()
    }

    /// Asks until the loop is gone.
    pub async fn run(self, orders: mpsc::Receiver<Order>) {
        let mut looking = JoinSet::new();
        for eye in self.eyes {
            looking.spawn(eye.run());
        }
        carry(self.devices, orders, self.deliveries, self.metrics).await;
    }
}

/// Sends each command to its device, none after another's answer, and tells what came of it.
pub(super) async fn carry(
    devices: Vec<(HttpDevice, Arc<Caller>)>,
    mut orders: mpsc::Receiver<Order>,
    deliveries: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
) {
    let mut calls = JoinSet::new();
    while let Some(order) = orders.recv().await {
        while calls.try_join_next().is_some() {}
        let device = devices.iter().find(|(device, _)| device.wiring.device == order.device);
        let caller = device.map(|(_, caller)| Arc::clone(caller));
        let (deliveries, metrics) = (deliveries.clone(), Arc::clone(&metrics));
        calls.spawn(async move {
            let outcome = match caller {
                Some(caller) => caller.tell(&order).await,
                None => Outcome::not_sent("the device cannot be asked for this"),
            };
            if let Some(input) = order.end(outcome, &metrics) {
                // Without the loop nobody is left to tell.
                let _ = deliveries.send(Delivery { inputs: vec![input], ..Delivery::default() }).await;
            }
        });
    }
}
