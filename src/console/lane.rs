//! A lane's card: who is there, what happens and why, and what a guard can do about it.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::picture::{LanePicture, Possible};
use super::words::{Lang, said, time_of_day, yuan};
use super::{devices, photo, take};
use crate::domain::event::{ArmPosition, CommandAnswer, Fen, RaiseCause};
use crate::domain::lane::{Direction, Lane, Phase, Raised, WaitReason, Waiting};
use crate::domain::plate::Plate;
use crate::store::reader::members::MemberRow;

/// The reasons that a guard can choose; the journal carries both languages.
const REASONS: [(&str, &str); 6] = [
    ("费用免收", "Fee waived"),
    ("车牌识别错误", "Plate misread"),
    ("设备故障", "Device fault"),
    ("紧急情况", "Emergency"),
    ("员工车辆", "Staff vehicle"),
    ("其他", "Other"),
];

/// The id of the part that shows what the lane does.
pub(super) fn now_id(number: usize) -> String {
    format!("lane-{number}-now")
}

/// The id of the part with what can be done at one touch.
pub(super) fn offers_id(number: usize) -> String {
    format!("lane-{number}-offers")
}

/// The id of the part with the forms.
pub(super) fn forms_id(number: usize) -> String {
    format!("lane-{number}-forms")
}

/// The whole card.
pub(super) fn card(number: usize, lane: &LanePicture, lang: Lang, zone: &TimeZone) -> Markup {
    html! {
        article.card.lane {
            (now(number, lane, lang, zone))
            (photo::of_lane(number, lane, lang))
            (offers(number, lane, lang, zone))
            (forms(number, lane, lang))
            output.answer role="status" hidden {}
        }
    }
}

/// What the lane does now.
pub(super) fn now(number: usize, lane: &LanePicture, lang: Lang, zone: &TimeZone) -> Markup {
    let (tone, sign, words) = headline(&lane.now, lang);
    html! {
        div.now #(now_id(number)) .(tone) aria-live="polite" {
            (title(lane, lang))
            (devices::lost(&lane.now, lang))
            (devices::broken(&lane.now, lang, zone))
            p.phase { span.sign aria-hidden="true" { (sign) } span { (words) } }
            div.vehicle {
                (plate_or_none(&lane.now, lang))
                @if let Some(member) = &lane.member { (badge(member, lane, lang)) }
            }
            (money(lane, lang))
            @match &lane.now.phase {
                Phase::Idle if lane.now.emergency.is_some() => (held_up(&lane.now, lang)),
                Phase::Idle => (last(&lane.now, lang, zone)),
                Phase::Waiting(waiting) => (missing(waiting, lang)),
                Phase::Raised(raised) => (why(raised, lane.now.arm, lang)),
            }
            @if let Some(next) = &lane.now.next {
                p.next {
                    span { (lang.pick("后面一辆", "Next behind it")) } " "
                    @match &next.plate {
                        Some(plate) => (plate_text(plate)),
                        None => span.plate.none { (lang.pick("无车牌", "No plate")) },
                    }
                }
            }
            @if let (Direction::Exit, Some(row)) = (lane.sign.direction, &lane.stay) {
                p.quiet { (lang.pick("入场 ", "Entered ")) (time_of_day(row.stay.entry, zone)) " · " (row.stay.entry_lane) " · " (row.stay.id) }
            }
        }
    }
}

/// What a guard can do at one touch: take what is due, choose a near plate.
pub(super) fn offers(number: usize, lane: &LanePicture, lang: Lang, zone: &TimeZone) -> Markup {
    html! {
        div.offers #(offers_id(number)) {
            (take::offers(lane, lang))
            @if !lane.possible.is_empty() {
                p.quiet { (lang.pick("可能是场内的这些车。请对比入场照片：", "It may be one of these, which are inside. Compare the pictures of their entries:")) }
                div.candidates {
                    @for possible in &lane.possible { (choice(lane, possible, lang, zone)) }
                }
            } @else if !lane.candidates.is_empty() {
                p.quiet { (lang.pick("可能是场内的这些车：", "It may be one of these, which are inside:")) }
                div.candidates {
                    @for plate in &lane.candidates {
                        form data-act=(address(lane, "plate")) {
                            input type="hidden" name="plate" value=(plate);
                            input type="hidden" name="reason" value="从相近车牌中选择 / chosen among near plates";
                            button type="submit" { (plate_text(plate)) }
                        }
                    }
                }
            }
        }
    }
}

/// One stay that the waiting vehicle may be: the picture of its entry, and the button that says that it is the one.
fn choice(lane: &LanePicture, possible: &Possible, lang: Lang, zone: &TimeZone) -> Markup {
    html! {
        div.candidate {
            (photo::of_entry(&possible.photos, lang))
            form data-act=(address(lane, "stay")) {
                input type="hidden" name="stay" value=(possible.stay.stay);
                input type="hidden" name="reason" value="从可能的车辆中选择 / chosen among the likely ones";
                button type="submit" {
                    (plate_text(&possible.stay.plate)) " " span.quiet { (percent(possible.stay.posterior_ppm)) }
                }
            }
            @if let Some((at, entry_lane)) = &possible.entered {
                p.quiet { (lang.pick("入场 ", "Entered ")) (time_of_day(*at, zone)) " · " (entry_lane) }
            }
        }
    }
}

/// What a guard has to fill in; the page never swaps it while somebody does.
pub(super) fn forms(number: usize, lane: &LanePicture, lang: Lang) -> Markup {
    html! {
        div.forms #(forms_id(number)) data-keep="" {
            @if let Some(waiting) = lane.waiting() {
                (correct(lane, lang))
                (without_plate(lane, waiting.why, lang))
                (without_entry(lane, waiting.why, lang))
            }
            (raise(lane, lang))
        }
    }
}

/// A plate as it looks on a car.
pub(super) fn plate_text(plate: &Plate) -> Markup {
    let chars: Vec<char> = plate.as_str().chars().collect();
    let kind = match chars.len() {
        7 => "blue",
        8 => "green",
        _ => "plain",
    };
    let (front, back) = chars.split_at(2.min(chars.len()));
    html! {
        span.plate .(kind) {
            (front.iter().collect::<String>()) span.dot aria-hidden="true" { "·" } (back.iter().collect::<String>())
        }
    }
}

/// The tone, the sign and the words that are read first.
fn headline(lane: &Lane, lang: Lang) -> (&'static str, &'static str, &'static str) {
    match &lane.phase {
        Phase::Idle if lane.arrival => {
            ("idle", "●", lang.pick("有车，等待识别", "A vehicle is here; waiting for its plate"))
        }
        Phase::Idle => ("idle", "○", lang.pick("空闲", "Free")),
        Phase::Waiting(waiting) => ("waiting", "▲", waiting_words(waiting.why, lang)),
        Phase::Raised(raised) if raised.is_uncertain() => {
            ("trouble", "!", lang.pick("不确定是否抬杆", "Nobody knows if the arm went up"))
        }
        Phase::Raised(raised) if raised.is_not_sent() => {
            ("trouble", "!", lang.pick("抬杆指令未发出", "The barrier was not told to go up"))
        }
        Phase::Raised(raised) if raised.on_passage => ("raised", "✓", lang.pick("正在通过", "Driving through")),
        Phase::Raised(raised) if raised.told => {
            ("waiting", "▲", lang.pick("已抬杆，车未开走", "Raised, but it does not drive on"))
        }
        Phase::Raised(_) => ("raised", "✓", lang.pick("已抬杆，请通行", "Raised; go ahead")),
    }
}

/// A certainty as a guard reads it: whole per cents, and never quite none or all.
fn percent(ppm: u32) -> String {
    match ppm / 10_000 {
        0 => "<1 %".to_owned(),
        99.. => ">99 %".to_owned(),
        whole => format!("{whole} %"),
    }
}

fn waiting_words(why: WaitReason, lang: Lang) -> &'static str {
    match why {
        WaitReason::FeeDue => lang.pick("等待付款", "Waiting for payment"),
        WaitReason::NoEntryFound => lang.pick("没有入场记录", "No entry found"),
        WaitReason::ChoiceOfStay => lang.pick("请选择车辆", "Which vehicle is it?"),
        WaitReason::NoPlate => lang.pick("看不清车牌", "Plate not readable"),
        WaitReason::LeavingElsewhere => lang.pick("正从另一车道离场", "Leaving by another lane"),
        WaitReason::Blocked => lang.pick("黑名单车辆", "On a block list"),
        WaitReason::Full => lang.pick("车位已满", "No space is free"),
        WaitReason::DebtsDue => lang.pick("有未付欠费", "Owes for earlier stays"),
        WaitReason::InsideAlready => lang.pick("该车已在场内", "Inside already"),
        WaitReason::NoZoneRight => lang.pick("无权进入此区域", "No right to this area"),
    }
}

/// What happens about the thing that is missing, and what a guard can do.
fn missing(waiting: &Waiting, lang: Lang) -> Markup {
    let todo = match waiting.why {
        WaitReason::FeeDue => None,
        WaitReason::NoEntryFound => Some(
            lang.pick("请核对车牌，或选择场内的相近车牌。", "Check the plate, or choose a near one that is inside."),
        ),
        WaitReason::ChoiceOfStay => Some(lang.pick(
            "车牌与场内车辆相近，但不能确定。请核对后选择。",
            "The plate is like one inside, but not surely it. Look, and choose.",
        )),
        WaitReason::NoPlate => Some(lang.pick("请看车牌并填写。", "Look at the plate and enter it.")),
        WaitReason::LeavingElsewhere => Some(lang.pick(
            "同一车牌此刻在另一出口。请核对车牌，可能是误读或套牌。",
            "The same plate is at another exit at this moment. Check it: misread, or a copied plate.",
        )),
        WaitReason::Blocked => Some(lang.pick("请按管理规定处理。", "Do what the management has laid down for it.")),
        WaitReason::Full => Some(lang.pick("有车离开后自动放行。", "It is let in when a vehicle has left.")),
        WaitReason::DebtsDue => Some(lang.pick("付清后自动放行。", "It is let in when that is paid.")),
        WaitReason::InsideAlready => Some(lang.pick(
            "账上该车未离场。请核对车牌，或结束旧的停车记录。",
            "By the books it has not left. Check the plate, or end the old stay.",
        )),
        WaitReason::NoZoneRight => {
            Some(lang.pick("可说明原因后人工放行。", "It may be let in by hand, with a reason."))
        }
    };
    html! {
        @if waiting.asked_for_points {
            p.asked {
                span.sign aria-hidden="true" { "…" } " "
                (lang.pick("正在向云端申请更多积分", "Asking the cloud for more points"))
            }
        }
        @if let Some(todo) = todo { p.todo { (todo) } }
    }
}

/// The vehicle before, which somebody may ask about.
fn last(lane: &Lane, lang: Lang, zone: &TimeZone) -> Markup {
    html! {
        @if let Some(last) = &lane.last {
            p.quiet {
                (lang.pick("上一辆 ", "Last ")) span.masked { (last.plate.masked()) } " · " (time_of_day(last.at, zone))
            }
        }
    }
}

fn title(lane: &LanePicture, lang: Lang) -> Markup {
    let (arrow, word) = match lane.sign.direction {
        Direction::Entry => ("↓", lang.pick("入口", "Entry")),
        Direction::Exit => ("↑", lang.pick("出口", "Exit")),
    };
    let (class, arm) = devices::arm(&lane.now, lang);
    html! {
        div.title {
            span.arrow aria-hidden="true" { (arrow) }
            h3 { (word) " " span.quiet { (lane.sign.id) } }
            span.loops {
                (loop_mark(lane.now.arrival, lang.pick("前地感", "Arrival loop"), lang))
                (loop_mark(lane.now.passage, lang.pick("后地感", "Passage loop"), lang))
            }
            figure.arm .(class) {
                svg viewBox="0 0 64 50" width="64" height="50" aria-hidden="true" {
                    rect.post x="6" y="21" width="11" height="28" rx="2.5" {}
                    rect.beam x="9" y="25" width="46" height="6" rx="3" {}
                }
                figcaption { (arm) }
            }
        }
    }
}

fn loop_mark(occupied: bool, name: &str, lang: Lang) -> Markup {
    let word = if occupied { lang.pick("有车", "occupied") } else { lang.pick("无车", "free") };
    html! { span.loop .on[occupied] title={ (name) ": " (word) } aria-label={ (name) ": " (word) } role="img" {} }
}

fn plate_or_none(lane: &Lane, lang: Lang) -> Markup {
    let none = lang.pick("无车牌", "No plate");
    match (lane.visit().and_then(|visit| visit.plate.as_ref()), &lane.phase) {
        (Some(plate), _) => plate_text(plate),
        (None, Phase::Idle) => html! { span.plate.none aria-hidden="true" { "— — —" } },
        (None, Phase::Waiting(_) | Phase::Raised(_)) => html! { span.plate.none { (none) } },
    }
}

fn badge(member: &MemberRow, lane: &LanePicture, lang: Lang) -> Markup {
    let greeting = lane.now.visit().and_then(|visit| visit.greeting.as_ref()).map(|(zh, en)| lang.pick(zh, en));
    html! {
        span.badge {
            span aria-hidden="true" { "★" } " " (member.tier) " · " (member.handle)
            small { (lane.usable.0) " " (lang.pick("分可用", "points usable")) }
            @if let Some(words) = greeting { small { (words) } }
        }
    }
}

fn money(lane: &LanePicture, lang: Lang) -> Markup {
    let (due, waived) = match &lane.now.phase {
        Phase::Idle => (None, None),
        Phase::Waiting(waiting) => (waiting.due.filter(|due| *due > Fen(0)), None),
        Phase::Raised(raised) => (None, Some(raised.waived).filter(|waived| *waived > Fen(0))),
    };
    let fee = lane.stay.as_ref().and_then(|row| row.stay.fee.as_ref());
    let fee = fee.filter(|_| lane.sign.direction == Direction::Exit);
    html! {
        @if due.is_some() || waived.is_some() || fee.is_some() {
            div.money {
                @if let Some(due) = due {
                    p.due { span { (lang.pick("应付", "Due")) } b { (yuan(due)) } }
                }
                @if let Some(waived) = waived {
                    p.waived { span { (lang.pick("▲ 未收 ", "▲ Let go unpaid ")) } b { (yuan(waived)) } }
                }
                @if let Some(fee) = fee {
                    ul.lines {
                        @for line in &fee.lines { li { span { (lang.pick(&line.zh, &line.en)) } b { (yuan(line.fen)) } } }
                    }
                }
            }
        }
    }
}

/// An emergency holds the barrier up; where it does not obey, somebody must go there.
fn held_up(now: &Lane, lang: Lang) -> Markup {
    let obeys = now.emergency.as_ref().is_none_or(|held| !held.told);
    html! {
        p.why { (lang.pick("紧急情况，保持开启", "Emergency: held up")) }
        @if !obeys {
            p.uncertain { (lang.pick("道闸没有应答，请到现场手动开闸。", "The barrier does not answer: go there and open it by hand.")) }
        }
    }
}

/// Why it was raised, and what a guard can do where that is not certain or not enough.
fn why(raised: &Raised, arm: Option<ArmPosition>, lang: Lang) -> Markup {
    let words = match &raised.cause {
        RaiseCause::Entry => lang.pick("欢迎入场", "Welcome in").to_owned(),
        RaiseCause::NothingDue => lang.pick("无需付费", "Nothing is due").to_owned(),
        RaiseCause::Points => lang.pick("积分已抵扣停车费", "Points pay the fee").to_owned(),
        RaiseCause::Paid => lang.pick("停车费已付清", "The fee is paid").to_owned(),
        RaiseCause::Debt => lang.pick("先离场，欠费已记账", "Leaves now; what is due is booked as a debt").to_owned(),
        RaiseCause::Zone => lang.pick("请通行", "Go ahead").to_owned(),
        RaiseCause::StillThere => lang.pick("车还在，再次抬杆", "The vehicle is still there; raised again").to_owned(),
        RaiseCause::Emergency => lang.pick("紧急情况，保持开启", "Emergency: held up").to_owned(),
        RaiseCause::HeldByLoop => lang.pick("地感有车，保持开启", "A loop holds it up").to_owned(),
        RaiseCause::SafetyLoop => lang.pick("杆下有物，已重新抬杆", "Something is under it; up again").to_owned(),
        RaiseCause::Staff { operator, reason } => {
            format!("{}{operator}{}{reason}", lang.pick("人工放行 · ", "Raised by hand · "), lang.pick("：", ": "))
        }
    };
    html! {
        @if raised.is_uncertain() || raised.is_not_sent() { (look_at_the_barrier(raised.answer.as_ref(), arm, lang)) }
        p.why { (words) }
    }
}

/// What a guard can do about a raise of which nobody knows the end, and what the device said.
fn look_at_the_barrier(answer: Option<&CommandAnswer>, arm: Option<ArmPosition>, lang: Lang) -> Markup {
    let todo = match arm {
        Some(ArmPosition::Up) => {
            lang.pick("限位显示杆在上：请让车通行。", "Its limit switch shows the arm up: let the vehicle through.")
        }
        Some(ArmPosition::Down | ArmPosition::Between) | None => lang.pick(
            "请看道闸。杆在上：让车通行。杆未抬：按下面的“抬杆…”再抬一次，或手动开闸。",
            "Look at the barrier. Arm up: let the vehicle through. Not up: press “Raise…” below once more, or open it \
             by hand.",
        ),
    };
    html! {
        div.todo {
            p { (todo) }
            @if let Some((who, words)) = said(answer, lang) { p.quiet { (who) (words) } }
        }
    }
}

fn correct(lane: &LanePicture, lang: Lang) -> Markup {
    html! {
        details {
            summary.button { (lang.pick("更正车牌…", "Fix plate…")) }
            form data-act=(address(lane, "plate")) {
                label {
                    span { (lang.pick("正确车牌", "The right plate")) }
                    input name="plate" required maxlength="12" autocapitalize="characters" spellcheck="false";
                }
                label {
                    span { (lang.pick("依据", "How you know")) }
                    input name="reason" required maxlength="200" value=(lang.pick("目视核对", "Seen with own eyes"));
                }
                button.primary type="submit" { (lang.pick("更正", "Correct")) }
            }
        }
    }
}

/// A vehicle whose plate nobody can read comes in on a ticket, and leaves by its number.
fn without_plate(lane: &LanePicture, why: WaitReason, lang: Lang) -> Markup {
    let is_entry = lane.sign.direction == Direction::Entry;
    html! {
        @if why == WaitReason::NoPlate && is_entry {
            form data-act=(address(lane, "ticket")) {
                button type="submit" { (lang.pick("发临时票入场", "Let it in on a ticket")) }
            }
        } @else if matches!(why, WaitReason::NoPlate | WaitReason::NoEntryFound) && !is_entry {
            details {
                summary.button { (lang.pick("输入票号…", "Ticket number…")) }
                form data-act=(address(lane, "ticket")) {
                    label {
                        span { (lang.pick("票上的号码", "The number on the ticket")) }
                        input name="ticket" required maxlength="12" value="临" spellcheck="false";
                    }
                    button.primary type="submit" { (lang.pick("按此票离场", "Leave on it")) }
                }
            }
        }
    }
}

/// What a vehicle pays whose entry nobody knows.
fn without_entry(lane: &LanePicture, why: WaitReason, lang: Lang) -> Markup {
    let is_unknown = matches!(why, WaitReason::NoEntryFound | WaitReason::ChoiceOfStay | WaitReason::NoPlate);
    html! {
        @if is_unknown && lane.sign.direction == Direction::Exit {
            details {
                summary.button { (lang.pick("无入场记录收费…", "Charge without an entry…")) }
                form data-act=(address(lane, "no-entry")) {
                    label {
                        span { (lang.pick("按", "As")) }
                        select name="charge" {
                            option value="day_max" { (lang.pick("24 小时前入场", "if it came 24 hours ago")) }
                            option value="minimum" { (lang.pick("最低收费", "the least that is charged")) }
                        }
                    }
                    label {
                        span { (lang.pick("依据", "How you know")) }
                        input name="reason" required maxlength="200";
                    }
                    button.primary type="submit" { (lang.pick("计费", "Charge")) }
                }
            }
        }
    }
}

fn raise(lane: &LanePicture, lang: Lang) -> Markup {
    html! {
        details {
            summary.button { (lang.pick("抬杆…", "Raise…")) }
            form data-act=(address(lane, "raise")) {
                label {
                    span { (lang.pick("原因", "Reason")) }
                    select name="reason" {
                        @for (zh, en) in REASONS { option value={ (zh) " / " (en) } { (lang.pick(zh, en)) } }
                    }
                }
                label {
                    span { (lang.pick("说明（可不填）", "Note (optional)")) }
                    input name="note" maxlength="120";
                }
                label {
                    span { (lang.pick("车牌（可不填）", "Plate (optional)")) }
                    input name="plate" maxlength="12" autocapitalize="characters" spellcheck="false";
                }
                @if lane.sign.direction == Direction::Exit { (unpaid(lang)) }
                button.danger type="submit" { (lang.pick("确认抬杆", "Raise the barrier")) }
                p.quiet { (lang.pick("抬杆会记入账本，不能撤销。", "A raise is written into the journal and cannot be undone.")) }
            }
        }
    }
}

/// What becomes of a fee that is not paid: much is let go only by two, and whoever is alone books it as a debt.
fn unpaid(lang: Lang) -> Markup {
    html! {
        label {
            span { (lang.pick("未付费用", "What is not paid")) }
            select name="unpaid" {
                option value="" { (lang.pick("免收", "is let go")) }
                option value="debt" { (lang.pick("记为欠费", "is owed by the plate")) }
            }
        }
        label {
            span { (lang.pick("第二人工号（大额免收时）", "Second operator (for much)")) }
            input name="second" maxlength="64" autocomplete="off" autocapitalize="off" spellcheck="false";
        }
        label {
            span { (lang.pick("第二人密码", "Second PIN")) }
            input name="second_pin" type="password" inputmode="numeric" autocomplete="off" maxlength="64";
        }
    }
}

/// Where a form of this lane goes.
pub(super) fn address(lane: &LanePicture, verb: &str) -> String {
    format!("/api/v1/staff/lanes/{}/{verb}", lane.sign.id)
}
