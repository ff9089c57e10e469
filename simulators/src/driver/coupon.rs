//! A guest's coupon: shown at the pay desk on the way into the mall, and good once the cloud ledger has given it to this box
//! alone.

use std::time::{Duration, Instant};

use super::Trip;
use crate::tariff::COUPON_FEN;

/// What a box says of a coupon that it has alone.
const HAD_ALONE: &str = "claimed_here";
/// How long a driver waits for it: longer than the line to the cloud is cut in fast time.
const HAD_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(200);

impl Trip<'_> {
    /// From here on the driver expects to pay less.
    pub(super) async fn show_coupon(&mut self, coupon: &str) {
        let (till, plate) = (&self.mall.till, &self.plan.plate);
        let shown = match till.quote_plate_patiently(plate).await {
            Ok(quote) => till.show_coupon_patiently(&quote.stay, coupon).await,
            Err(error) => Err(error),
        };
        if let Err(error) = shown {
            return self.mall.trouble(format!("{plate} could not show the coupon {coupon}: {error}"));
        }
        self.visit.coupon = Some(coupon.to_owned());
        self.visit.rights.coupon_fen = COUPON_FEN;
        self.mall.tell(&format!("{plate} shows the coupon {coupon}, which takes off {COUPON_FEN} fen"), |_| {});
    }

    /// Waits until the box has the shown coupon alone; before that it takes nothing off.
    pub(super) async fn until_coupon_counts(&self) {
        let Some(coupon) = &self.visit.coupon else { return };
        let end = Instant::now() + HAD_WITHIN;
        loop {
            let state = self.mall.till.coupon_state(coupon).await;
            if state.as_ref().is_ok_and(|state| state == HAD_ALONE) {
                return;
            }
            if Instant::now() > end {
                return self.mall.trouble(format!("the box does not get the coupon {coupon}: {state:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
