//! What the administrator asks about coupons.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::auth::{Admin, Body};
use super::{Answer, Desk};
use crate::claims::CouponView;
use crate::clock::now_ms;
use crate::escrow::Release;
use crate::offers::Coupon;

pub(super) async fn put(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(coupon): Body<Coupon>,
) -> Answer<Value> {
    desk.run(move |ledger| ledger.put_coupon(&id, &coupon).map(|()| json!({ "told": id }))).await
}

pub(super) async fn show(State(desk): State<Arc<Desk>>, _: Admin, Path(id): Path<String>) -> Answer<CouponView> {
    desk.run(move |ledger| ledger.coupon(&id)).await
}

pub(super) async fn release(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(release): Body<Release>,
) -> Answer<CouponView> {
    desk.run(move |ledger| ledger.release_coupon(&id, &release, now_ms())).await
}
