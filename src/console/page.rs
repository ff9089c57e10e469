//! The page as a whole: its frame, and the parts that the live stream sends again when they change.

use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use super::words::Lang;
use super::{care, day, devices, lane, ledger, office, photo, picture::Picture};

/// A part of the page that is replaced as a whole.
pub(super) struct Part {
    /// The element's id.
    pub id: String,
    /// The element.
    pub html: String,
}

/// Every part as it looks now.
pub(super) fn parts(picture: &Picture, lang: Lang, zone: &TimeZone) -> Vec<Part> {
    let mut parts = vec![
        part("overview", ledger::overview(picture, lang)),
        part("alarms", ledger::alarms(picture, lang, zone)),
        part("ended", ledger::ended(picture, lang, zone)),
        part("day", day::losses(picture, lang)),
        part("reads", ledger::reads(picture, lang, zone)),
        part("devices", devices::devices(&picture.devices, lang)),
        part("journal", ledger::journal(picture, lang)),
    ];
    for (number, of) in picture.lanes.iter().enumerate() {
        parts.push(part(&lane::now_id(number), lane::now(number, of, lang, zone)));
        parts.push(part(&photo::id(number), photo::of_lane(number, of, lang)));
        parts.push(part(&lane::offers_id(number), lane::offers(number, of, lang, zone)));
        parts.push(part(&lane::forms_id(number), lane::forms(number, of, lang)));
    }
    parts
}

/// The whole page.
pub(super) fn page(picture: &Picture, lang: Lang, zone: &TimeZone, site: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(lang.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (site) " · Gatepost" }
                link rel="icon" type="image/svg+xml" href="/console/icon.svg";
                link rel="stylesheet" href="/console/app.css";
                script src="/console/app.js" defer {}
            }
            body data-lang=(lang.code()) {
                p #lost role="alert" hidden {
                    (lang.pick("与本机的连接已断开，画面不是最新的。正在重新连接…",
                        "The connection to the box is lost; what you see is old. Connecting again…"))
                }
                (masthead(lang, site))
                main {
                    (ledger::overview(picture, lang))
                    section aria-labelledby="lanes-title" {
                        div.bar {
                            h2 #lanes-title { (lang.pick("车道", "Lanes")) }
                            (sign_on(lang))
                        }
                        div.lanes {
                            @for (number, of) in picture.lanes.iter().enumerate() {
                                (lane::card(number, of, lang, zone))
                            }
                        }
                    }
                    (ledger::alarms(picture, lang, zone))
                    div.columns {
                        (ledger::ended(picture, lang, zone))
                        div.stack {
                            (ledger::reads(picture, lang, zone))
                            (day::losses(picture, lang))
                            (devices::devices(&picture.devices, lang))
                            (care::forms(&inner_lots(picture), lang))
                            (office::forms(lang))
                            (ledger::journal(picture, lang))
                        }
                    }
                }
                (photo::whole(lang))
            }
        }
    }
}

/// The inner lots whose bays are counted.
fn inner_lots(picture: &Picture) -> Vec<String> {
    picture.free.iter().map(|(zone, _)| zone.clone()).filter(|zone| !zone.is_empty()).collect()
}

fn part(id: &str, html: Markup) -> Part {
    Part { id: id.to_owned(), html: html.into_string() }
}

fn masthead(lang: Lang, site: &str) -> Markup {
    let (other, name) = lang.other();
    html! {
        header.masthead {
            img src="/console/icon.svg" alt="" width="40" height="40";
            div {
                h1 { (site) }
                p { "Gatepost" }
            }
            a.lang href={ "/?lang=" (other.code()) } hreflang=(other.tag()) lang=(other.tag()) { (name) }
        }
    }
}

fn sign_on(lang: Lang) -> Markup {
    html! {
        form #sign-on autocomplete="off"
            data-first=(lang.pick("请先填写工号和密码", "Enter operator and PIN first")) {
            label {
                span { (lang.pick("工号", "Operator")) }
                input name="operator" autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="64";
            }
            label {
                span { (lang.pick("密码", "PIN")) }
                input name="pin" type="password" inputmode="numeric" autocomplete="off" maxlength="64";
            }
        }
    }
}
