//! How the devices are: one line each, with what is wrong, how far off its clock is, and what of it was never heard.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::words::{Lang, time_of_day};
use crate::domain::event::{ArmPosition, DeviceId};
use crate::domain::lane::Lane;
use crate::metrics::{DeviceHealth, Trouble};

/// A clock that is off by less says nothing: the way of a message takes as long.
const CLOCK_SHOWN_MS: u64 = 2_000;

/// Every device of the settings. Nothing here counts seconds, so that a quiet page stays quiet.
pub(super) fn devices(devices: &[DeviceHealth], lang: Lang) -> Markup {
    html! {
        section.card #devices aria-labelledby="devices-title" hidden[devices.is_empty()] {
            h2 #devices-title { (lang.pick("设备", "Devices")) }
            dl.facts {
                @for device in devices {
                    dt { (device.device) }
                    dd { (state(device, lang)) }
                }
            }
        }
    }
}

/// The devices of a lane that are away: what staff must do themselves there.
pub(super) fn lost(lane: &Lane, lang: Lang) -> Markup {
    let names: Vec<&str> = lane.lost.iter().map(DeviceId::as_str).collect();
    html! {
        @if !names.is_empty() {
            p.uncertain { "▲ " (lang.pick("设备离线：", "Devices away: ")) (names.join(", ")) }
        }
    }
}

/// Where a lane's arm is: the name of its picture, and words.
pub(super) fn arm(lane: &Lane, lang: Lang) -> (&'static str, &'static str) {
    let limits = &lane.limits;
    match (lane.arm, limits.hangs_since()) {
        (Some(ArmPosition::Up), _) => ("up", lang.pick("杆在上", "Arm up")),
        (Some(ArmPosition::Down), _) => ("down", lang.pick("杆在下", "Arm down")),
        (Some(ArmPosition::Between), Some(_)) => ("between", lang.pick("杆停在中间", "Arm hangs")),
        // Where one end alone is seen, the arm is most likely at the other.
        (Some(ArmPosition::Between), None) if limits.upper.is_some() && limits.lower.is_none() => {
            ("between", lang.pick("杆未到上位", "Arm not up"))
        }
        (Some(ArmPosition::Between), None) if limits.lower.is_some() && limits.upper.is_none() => {
            ("between", lang.pick("杆未到下位", "Arm not down"))
        }
        (Some(ArmPosition::Between), None) => ("between", lang.pick("杆在动", "Arm moving")),
        (None, _) if limits.is_nowhere() => ("unknown", lang.pick("限位矛盾", "Arm at both ends")),
        (None, _) => ("unknown", lang.pick("杆位未知", "Arm not seen")),
    }
}

/// What is wrong with a lane's arm, and what staff must do about it.
pub(super) fn broken(lane: &Lane, lang: Lang, zone: &TimeZone) -> Markup {
    let limits = &lane.limits;
    let mut wrong = Vec::new();
    if let Some(since) = limits.hangs_since() {
        let since = time_of_day(since, zone);
        wrong.push(match lang {
            Lang::Zh => format!("杆自 {since} 起停在中间：请到现场查看，系统不会再自动抬杆。"),
            Lang::En => {
                format!("The arm has hung between its ends since {since}: go there; nothing raises it by itself.")
            }
        });
    }
    if limits.is_nowhere() {
        wrong.push(
            lang.pick(
                "两个限位同时闭合：请检查限位开关与接线。",
                "Both limit switches are closed: look at them and their cables.",
            )
            .to_owned(),
        );
    }
    if limits.stays_up {
        wrong.push(
            lang.pick("杆没有按指令落下：请看道闸。", "The arm did not come down when told: look at the barrier.")
                .to_owned(),
        );
    }
    if limits.is_early {
        wrong.push(
            lang.pick("杆在车通过前已落下：车还在杆前。", "The arm came down before its vehicle drove on.").to_owned(),
        );
    }
    if limits.is_broken {
        wrong.push(
            lang.pick(
                "杆在下时有车冲过：请看杆是否折断。",
                "A vehicle drove through the closed arm: look whether it is broken off.",
            )
            .to_owned(),
        );
    }
    html! {
        @for words in wrong { p.uncertain { "▲ " (words) } }
    }
}

fn state(device: &DeviceHealth, lang: Lang) -> Markup {
    let (sign, words) = match (device.trouble, device.heard) {
        (Some(Trouble::Silent), _) => ("▲", lang.pick("没有应答", "does not answer")),
        (Some(Trouble::Garbled), _) => ("▲", lang.pick("数据无法识别", "is not understood")),
        (Some(Trouble::Refused), _) => ("▲", lang.pick("拒绝指令", "refuses what it is asked")),
        (Some(Trouble::Login), _) => ("▲", lang.pick("密码或密钥不对", "does not accept our login or key")),
        (Some(Trouble::Gone), _) => ("▲", lang.pick("已离线", "is gone")),
        (None, Some(_)) => ("✓", lang.pick("正常", "well")),
        (None, None) => ("–", lang.pick("尚无消息", "not heard yet")),
    };
    let off = device.clock_offset_ms.filter(|offset_ms| offset_ms.unsigned_abs() >= CLOCK_SHOWN_MS);
    html! {
        span.sign aria-hidden="true" { (sign) } " " (words)
        @if let Some(offset_ms) = off {
            " · " (lang.pick("时钟差", "clock off by")) " " (offset_ms / 1000) " s"
        }
        @if let Some(listed) = device.listed {
            " · " (lang.pick("脱机名单", "own list:")) " " (listed.held)
            @if listed.pending > 0 { " (" (lang.pick("待更新", "to change:")) " " (listed.pending) ")" }
        }
        @if device.missing > 0 {
            " · " (lang.pick("漏收", "never heard:")) " " (device.missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Listed;

    #[test]
    fn a_device_says_what_is_wrong_with_it_and_nothing_that_changes_by_itself() {
        let well = DeviceHealth {
            device: "cam-in".to_owned(),
            heard: Some(Duration::from_millis(12)),
            trouble: None,
            clock_offset_ms: Some(-7_400),
            missing: 3,
            listed: Some(Listed { held: 120, pending: 3 }),
        };
        let shown = |device: &DeviceHealth, lang| devices(std::slice::from_ref(device), lang).into_string();
        let page = shown(&well, Lang::En);
        assert!(
            page.contains("well")
                && page.contains("clock off by -7 s")
                && page.contains("never heard: 3")
                && page.contains("own list: 120 (to change: 3)"),
            "{page}"
        );
        let later = DeviceHealth { heard: Some(Duration::from_secs(9)), ..well.clone() };
        assert_eq!(shown(&later, Lang::En), page, "the page does not count seconds");
        let lost = DeviceHealth { trouble: Some(Trouble::Silent), clock_offset_ms: Some(900), missing: 0, ..well };
        let page = shown(&lost, Lang::Zh);
        assert!(page.contains("没有应答") && !page.contains("时钟差") && !page.contains("漏收"), "{page}");
        let lane = Lane { lost: ["cam-in".into()].into(), ..Lane::default() };
        assert!(super::lost(&lane, Lang::En).into_string().contains("Devices away: cam-in"));
        assert_eq!(super::lost(&Lane::default(), Lang::En).into_string(), "");
        assert!(devices(&[], Lang::Zh).into_string().contains("hidden"));
    }
}
