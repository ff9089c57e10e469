//! A card reader with two data wires behind a bridge that writes its bits on a line: a 0 or a 1 for each pulse, and a pause
//! or the end of the line after each card.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::order::{Order, Outcome};
use super::planning::BitsPlan;
use super::serial::{Fault, Port, Reopening};
use super::submitting::{self, Delivery};
use super::{Clock, Sparing};
use crate::metrics::{Metrics, Trouble};
use crate::profile::wiegand::CARD_BITS_MAX;

/// One line with one reader.
pub struct Bits {
    plan: BitsPlan,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
    warned: Sparing,
}

impl Bits {
    /// The line as the settings plan it.
    pub fn new(plan: BitsPlan, deliveries: mpsc::Sender<Delivery>, now: Clock, metrics: Arc<Metrics>) -> Self {
        Self { plan, deliveries, now, metrics, warned: Sparing::default() }
    }

    /// Opens the port, listens, and opens it again when it is lost, until the loop is gone.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let metrics = Arc::clone(&self.metrics);
        tokio::select! {
            () = self.listen_on() => {}
            () = async {
                while let Some(order) = orders.recv().await {
                    let none = order.end(Outcome::not_sent("a reader takes no commands"), &metrics);
                    debug_assert!(none.is_none(), "no lane's barrier hangs on a reader");
                }
            } => {}
        }
    }

    async fn listen_on(&mut self) {
        let mut reopening = Reopening::new(self.plan.id.clone(), self.plan.wire.clone(), Arc::clone(&self.metrics));
        while !self.deliveries.is_closed() {
            let fault = match reopening.open().await {
                Ok(mut port) => self.listen(&mut port).await,
                Err(fault) => fault,
            };
            sleep_until(reopening.closed(&fault)).await;
        }
    }

    /// Until the port is lost, and why.
    async fn listen(&mut self, port: &mut Port) -> Fault {
        let gap = Duration::from_millis(self.plan.gap_ms);
        let mut bits: Vec<bool> = Vec::new();
        let mut is_noise = false;
        loop {
            let heard =
                if bits.is_empty() && !is_noise { Ok(port.hear().await) } else { timeout(gap, port.hear()).await };
            let bytes = match heard {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(fault)) => return fault,
                // The pause that ends a card.
                Err(_) => vec![b'\n'],
            };
            for byte in bytes {
                match byte {
                    b'0' | b'1' if bits.len() < CARD_BITS_MAX => bits.push(byte == b'1'),
                    b'\r' | b'\n' => {
                        self.card(&std::mem::take(&mut bits), std::mem::take(&mut is_noise)).await;
                    }
                    // A bit more than any card has, or no bit at all.
                    _ => is_noise = true,
                }
            }
        }
    }

    async fn card(&mut self, bits: &[bool], is_noise: bool) {
        if bits.is_empty() && !is_noise {
            return;
        }
        let wiring = &self.plan.wiring;
        let device = wiring.device.as_str();
        let reason = if is_noise {
            "malformed"
        } else {
            match self.plan.cards.decode(bits) {
                Ok(card) => {
                    let inputs = submitting::inputs_of(&self.metrics, wiring, vec![card], (self.now)());
                    if !inputs.is_empty() {
                        // Without the loop nobody is left to tell.
                        let _ = self.deliveries.send(Delivery { inputs, ..Delivery::default() }).await;
                    }
                    return;
                }
                Err(no_card) => no_card.name(),
            }
        };
        self.metrics.rejected("devices", reason);
        self.metrics.health.fails(device, Trouble::Garbled);
        if self.warned.allows(reason) {
            tracing::warn!(link = self.plan.id, device, reason, bits = bits.len(), "what came is no card");
        }
    }
}
