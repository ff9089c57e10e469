//! What staff put right in the books from the page: a wrong plate or entry, a stay that is over, a count by hand.

use maud::{Markup, html};

use super::words::Lang;

/// Where the forms about a stay go; the page puts the stay's id in.
const STAY: &str = "/api/v1/staff/stays/{stay}/";

/// The forms. They are not a part that is swapped, because nothing in them changes.
pub(super) fn forms(zones: &[String], lang: Lang) -> Markup {
    html! {
        section.card.answers #care aria-labelledby="care-title" {
            h2 #care-title { (lang.pick("更正账目", "Put the books right")) }
            p.quiet { (lang.pick("每项更正都要写明原因和依据，记入账本，不会删除任何记录。", "Each needs a reason and what you know it from, and is written into the journal. Nothing is deleted.")) }
            output.answer hidden role="status" {}
            div.forms {
                (about_a_stay("correct", lang.pick("更正车牌…", "Wrong plate…"), lang, html! {
                    label {
                        span { (lang.pick("正确车牌", "The right plate")) }
                        input name="plate" required maxlength="12" autocapitalize="characters" spellcheck="false";
                    }
                }))
                (about_a_stay("correct", lang.pick("更正入场时间…", "Wrong entry time…"), lang, html! {
                    label {
                        span { (lang.pick("入场时间", "Entered at")) }
                        input name="entered_at" type="datetime-local" required;
                    }
                }))
                (about_a_stay("merge", lang.pick("合并两次停车…", "One visit, two stays…"), lang, html! {
                    label {
                        span { (lang.pick("先入场的记录号", "The stay that began first")) }
                        input name="first" required maxlength="80" spellcheck="false" placeholder="S1-22";
                    }
                }))
                (about_a_stay("split", lang.pick("拆成两次停车…", "Two visits, one stay…"), lang, html! {
                    label {
                        span { (lang.pick("离场时间", "Left at")) }
                        input name="left_at" type="datetime-local" required;
                    }
                    label {
                        span { (lang.pick("再次入场时间", "Back at")) }
                        input name="back_at" type="datetime-local" required;
                    }
                }))
                (about_a_stay("approve", lang.pick("超出优惠限额…", "Beyond a limit…"), lang, html! {
                    label {
                        span { (lang.pick("限额名称", "The limit's name")) }
                        input name="limit" required maxlength="64" spellcheck="false";
                    }
                    label {
                        span { (lang.pick("第二个人", "Second person")) }
                        input name="second" required maxlength="64" autocomplete="off" spellcheck="false";
                    }
                    label {
                        span { (lang.pick("第二个人的密码", "Second person's PIN")) }
                        input name="second_pin" type="password" inputmode="numeric" autocomplete="off" required maxlength="64";
                    }
                }))
                (about_a_stay("end", lang.pick("车已不在场…", "It is not inside any more…"), lang, html! {}))
                (count(zones, lang))
            }
        }
    }
}

fn about_a_stay(verb: &str, title: &str, lang: Lang, fields: Markup) -> Markup {
    html! {
        details {
            summary.button { (title) }
            form data-act={ (STAY) (verb) } {
                label {
                    span { (lang.pick("停车记录号", "Stay")) }
                    input name="stay" required maxlength="80" spellcheck="false" placeholder="S1-23";
                }
                (fields)
                (why(lang))
                button.primary type="submit" { (lang.pick("更正", "Put right")) }
            }
        }
    }
}

/// How many vehicles somebody has counted.
fn count(zones: &[String], lang: Lang) -> Markup {
    html! {
        details {
            summary.button { (lang.pick("清点车辆…", "Count by hand…")) }
            form data-act="/api/v1/staff/counts" {
                label {
                    span { (lang.pick("区域", "Where")) }
                    select name="zone" {
                        option value="" { (lang.pick("车场（不含内部区域）", "The car park without inner lots")) }
                        @for zone in zones { option value=(zone) { (zone) } }
                    }
                }
                label {
                    span { (lang.pick("在场车辆", "Vehicles inside")) }
                    input name="vehicles" type="number" min="0" max="100000" required;
                }
                (why(lang))
                button.primary type="submit" { (lang.pick("记录清点", "Write it down")) }
            }
        }
    }
}

fn why(lang: Lang) -> Markup {
    html! {
        label {
            span { (lang.pick("原因", "Reason")) }
            input name="reason" required maxlength="200";
        }
        label {
            span { (lang.pick("依据（照片、票据、谁看到）", "Evidence (photo, receipt, who saw it)")) }
            input name="evidence" required maxlength="400";
        }
    }
}
