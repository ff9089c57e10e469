//! Status: what a till should tell its cashier about the box, cheap enough to be asked every few seconds.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::store::reader::{ReadError, View};
use crate::tills::access::Terminal;
use crate::tills::problem::Problem;
use crate::tills::{Tills, date, local_time};

/// What the box can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tills) enum Mode {
    /// The line to the cloud is up.
    Online,
    /// The line is down; everything works from what the box holds.
    Degraded,
    /// The box spends no more points.
    Quarantined,
}

impl Mode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Mode::Online => "online",
            Mode::Degraded => "degraded",
            Mode::Quarantined => "quarantined",
        }
    }

    /// What may be done, by the four classes that tills know; `down` is what a till says of a box that it does not reach.
    fn class(self) -> &'static str {
        match self {
            Mode::Online => "online",
            Mode::Degraded => "degraded",
            Mode::Quarantined => "earn_only",
        }
    }

    /// What the customer's receipt says of it; nothing where all is well.
    fn receipt_text(self) -> (&'static str, &'static str) {
        match self {
            Mode::Online => ("", ""),
            Mode::Degraded => ("积分余额以联网后为准", "Points are as this box knows them now"),
            Mode::Quarantined => ("积分已累计,暂不可使用", "Points are earned; they cannot be spent here now"),
        }
    }

    fn staff_text(self) -> (&'static str, &'static str) {
        match self {
            Mode::Online => ("一切正常", "All is well"),
            Mode::Degraded => ("离线:积分照常可用,联网后自动上传", "Offline: points still work; all is uploaded later"),
            Mode::Quarantined => {
                ("本机暂停使用积分,请用其他方式付款", "Points may not be spent here now; take another tender")
            }
        }
    }
}

/// What every till should know of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tills) struct BoxState {
    /// What it can do now.
    pub(in crate::tills) mode: Mode,
    /// Its rules in force.
    pub(in crate::tills) rules: Option<u32>,
}

impl BoxState {
    /// As a till hears it. It names no member, because a broker keeps it for whoever comes.
    pub(in crate::tills) fn to_json(self) -> Value {
        let (zh, en) = self.mode.staff_text();
        json!({"mode": self.mode.word(), "rules_version": self.rules, "staff_text": {"zh": zh, "en": en}})
    }
}

impl Tills {
    /// What every till should know of the box now.
    pub(in crate::tills) async fn box_state(&self) -> Result<BoxState, Problem> {
        let cloud_is_up = self.cloud_is_up();
        let look = self.settings.reader.look(move |view| Ok((mode(view, cloud_is_up)?, view.fact("rules_version")?)));
        let (mode, rules) = look.await?;
        Ok(BoxState { mode, rules: rules.and_then(|text| text.parse().ok()) })
    }

    /// What a till should tell its cashier.
    pub(super) async fn status(&self, terminal: &Terminal) -> Result<Value, Problem> {
        let (cloud_is_up, till) = (self.cloud_is_up(), terminal.id.clone());
        let look = self.settings.reader.look(move |view| {
            let mode = mode(view, cloud_is_up)?;
            let shift = view.current_shift(&till)?;
            let upload = (view.unacknowledged()?, view.oldest_unacknowledged_at()?);
            Ok((mode, view.head()?, upload, view.fact("rules_version")?, shift))
        });
        let (mode, head, (unacknowledged, oldest), rules, shift) = look.await?;
        let ((zh, en), (receipt_zh, receipt_en)) = (mode.staff_text(), mode.receipt_text());
        let now = (self.settings.pricing.now)();
        let lag_s = oldest.map_or(0, |at| (now.0 - at.0).max(0) / 1000);
        Ok(json!({
            "mode": mode.word(),
            "class": mode.class(),
            "unacknowledged_entries": unacknowledged,
            "upload_lag_s": lag_s,
            "staff_text": {"zh": zh, "en": en},
            "receipt_text": {"zh": receipt_zh, "en": receipt_en},
            "requests_per_s": self.settings.most_requests_per_s,
            "box": head.box_id,
            "rules_version": rules.and_then(|text| text.parse::<u32>().ok()),
            "shift": shift,
            "business_date": date(self.today()),
            "time": local_time(now, &self.settings.zone),
            "journal": {"epoch": head.epoch, "seq": head.seq, "head": head.head},
        }))
    }

    /// Whether the line to the cloud is up.
    pub(in crate::tills) fn cloud_is_up(&self) -> bool {
        self.settings.cloud_is_up.load(Ordering::Relaxed)
    }
}

/// What the box can do now.
pub(super) fn mode(view: &View<'_>, cloud_is_up: bool) -> Result<Mode, ReadError> {
    Ok(match (view.points_stopped()?, cloud_is_up) {
        (Some(_), true | false) => Mode::Quarantined,
        (None, true) => Mode::Online,
        (None, false) => Mode::Degraded,
    })
}
