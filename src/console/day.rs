//! What was lost on the last day of the calendar, for the one who opens the booth in the morning.

use maud::{Markup, html};

use super::picture::Picture;
use super::words::{Lang, yuan};

/// The report of the last day that is over.
pub(super) fn losses(picture: &Picture, lang: Lang) -> Markup {
    html! {
        section.card #day aria-labelledby="day-title" {
            h2 #day-title { (lang.pick("昨日损失", "Lost on the last day")) }
            @match &picture.last_day {
                None => p.quiet { (lang.pick("还没有结束的营业日", "No day is over yet")) },
                Some(report) => dl.facts {
                    dt { (lang.pick("日期", "Day")) } dd { (report.date) }
                    dt { (lang.pick("入场 / 离场", "Entered / left")) } dd { (report.entered) " / " (report.left) }
                    dt { (lang.pick("免收", "Let go unpaid")) } dd { (yuan(report.waived)) }
                    dt { (lang.pick("欠费离场", "Left owing")) } dd { (yuan(report.owed)) }
                    dt { (lang.pick("无车抬杆", "Raised for nobody")) } dd { (report.raised_without_stay.count) }
                    dt { (lang.pick("未抬杆通过", "Passed without a raise")) } dd { (report.passed_without_raise) }
                    dt { (lang.pick("跟车", "Followed another")) } dd { (report.tailgated) }
                    dt { (lang.pick("无离场记录", "Without an exit")) } dd { (report.without_exit.count) }
                    dt { (lang.pick("无入场记录", "Without an entry")) } dd { (report.without_entry.count) }
                    dt { (lang.pick("已付未离场", "Paid and still inside")) } dd { (report.paid_inside.count) }
                    dt { (lang.pick("识别记录缺号", "Gaps in camera numbers")) } dd { (report.gaps.count) }
                },
            }
        }
    }
}
