//! Arms that break, as the page shows them.

use super::super::rig::Rig;
use super::raised;
use crate::domain::arm::{Limits, Odd, Oddity};
use crate::domain::event::{ArmPosition, RaiseCause, UtcMs};
use crate::domain::lane::Lane;

#[tokio::test]
async fn an_arm_that_is_broken_is_shown_as_it_is_with_what_to_do_about_it() {
    let rig = Rig::new().await;
    let odd = |what| Some(Odd { what, since_ms: 0, since: UtcMs(1_772_409_600_000), told: true });
    let hangs = Limits { odd: odd(Oddity::Between), ..Limits::default() };
    let nowhere = Limits { odd: odd(Oddity::Both), ..Limits::default() };
    let [stays_up, is_early, is_broken] = [true; 3];
    let shown = [
        (Some(ArmPosition::Between), Limits::default(), ["Arm moving", "", "杆在动", ""]),
        (
            Some(ArmPosition::Between),
            Limits { upper: Some(false), ..Limits::default() },
            ["Arm not up", "", "杆未到上位", ""],
        ),
        (
            Some(ArmPosition::Between),
            hangs,
            ["Arm hangs", "between its ends since 08:00:00", "杆停在中间", "杆自 08:00:00 起停在中间"],
        ),
        (None, nowhere, ["Arm at both ends", "Both limit switches are closed", "限位矛盾", "两个限位同时闭合"]),
        (
            Some(ArmPosition::Up),
            Limits { stays_up, ..Limits::default() },
            ["Arm up", "did not come down when told", "杆在上", "杆没有按指令落下"],
        ),
        (
            Some(ArmPosition::Down),
            Limits { is_early, ..Limits::default() },
            ["Arm down", "came down before its vehicle", "杆在下", "杆在车通过前已落下"],
        ),
        (
            Some(ArmPosition::Down),
            Limits { is_broken, ..Limits::default() },
            ["Arm down", "look whether it is broken off", "杆在下", "请看杆是否折断"],
        ),
    ];
    let todos: Vec<&str> = shown.iter().flat_map(|(.., [_, en, _, zh])| [*en, *zh]).filter(|w| !w.is_empty()).collect();
    for (arm, limits, words) in shown.clone() {
        rig.sample.lane("X1", &Lane { arm, limits, ..raised(RaiseCause::Paid, None) });
        let [en, en_todo, zh, zh_todo] = words;
        for (lang, caption, todo) in [("en", en, en_todo), ("zh", zh, zh_todo)] {
            let page = rig.text(&format!("/?lang={lang}")).await;
            assert!(page.contains(caption), "{caption}: {page}");
            let said: Vec<&str> = todos.iter().copied().filter(|todo| page.contains(*todo)).collect();
            let expect: Vec<&str> = Some(todo).into_iter().filter(|todo| !todo.is_empty()).collect();
            assert_eq!(said, expect, "{caption}: {page}");
        }
    }
}
