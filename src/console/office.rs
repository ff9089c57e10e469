//! What staff do from the page beside the lanes and the books of stays: emergency, rules, tills, a spend undone, a day.

use maud::{Markup, html};

use super::words::Lang;

/// The forms. They are not a part that is swapped, because nothing in them changes.
pub(super) fn forms(lang: Lang) -> Markup {
    html! {
        section.card.answers #office aria-labelledby="office-title" {
            h2 #office-title { (lang.pick("值班与设置", "Duty and set-up")) }
            output.answer hidden role="status" {}
            div.forms {
                (form("emergency", lang.pick("紧急情况…", "Emergency…"), lang.pick("执行", "Do it"), html! {
                    label {
                        span { (lang.pick("所有道闸", "All barriers")) }
                        select name="active" {
                            option value="true" { (lang.pick("升起并保持", "Raise and hold up")) }
                            option value="false" { (lang.pick("结束紧急情况", "The emergency is over")) }
                        }
                    }
                    (reason(lang))
                }))
                (form("rules/activate", lang.pick("启用新规则…", "New rules…"), lang.pick("启用", "Put in force"), html! {
                    p.quiet { (lang.pick("启用配置中的规则文件，需要两个人。", "Puts the rules file of the settings in force. It takes two persons.")) }
                    (text("second", lang.pick("第二个人", "Second person"), 64))
                    label {
                        span { (lang.pick("第二个人的密码", "Second person's PIN")) }
                        input name="second_pin" type="password" inputmode="numeric" autocomplete="off" required maxlength="64";
                    }
                }))
                (form("rules/rollback", lang.pick("退回旧规则…", "Rules of before…"), lang.pick("退回", "Go back"), html! {
                    p.quiet { (lang.pick("恢复上一版规则；在场车辆仍按入场时的规则。", "Puts the version before in force. Vehicles inside keep the rules of their entry.")) }
                }))
                (form("pairings", lang.pick("接入收银机…", "Let a till in…"), lang.pick("接入", "Let in"), html! {
                    (text("code", lang.pick("收银机显示的八位数字", "Eight digits that the till shows"), 16))
                    (text("terminal", lang.pick("收银机名称", "The till's name"), 64))
                    label {
                        span { (lang.pick("商户（可留空）", "Merchant (may be empty)")) }
                        input name="merchant" maxlength="64" spellcheck="false";
                    }
                }))
                (form("terminals/{terminal}/revocation", lang.pick("停用收银机…", "Shut a till out…"), lang.pick("停用", "Shut out"), html! {
                    (text("terminal", lang.pick("收银机名称", "The till's name"), 64))
                }))
                (form("reversals", lang.pick("撤销积分抵扣…", "Undo a spend of points…"), lang.pick("撤销", "Undo"), html! {
                    (text("spend", lang.pick("抵扣记录号", "The spend's number"), 128))
                    (reason(lang))
                }))
                (voucher_forms(lang))
                (form("business-days/{day}/close", lang.pick("日结…", "Close a day…"), lang.pick("日结", "Close"), html! {
                    label {
                        span { (lang.pick("营业日", "Business day")) }
                        input name="day" type="date" required;
                    }
                }))
            }
        }
    }
}

/// Paper vouchers: given out and printed before the box is down, looked at, and keyed in afterwards.
fn voucher_forms(lang: Lang) -> Markup {
    let number = |name, label, most: u32| {
        html! {
            label {
                span { (label) }
                input name=(name) type="number" min="1" max=(most) inputmode="numeric" autocomplete="off";
            }
        }
    };
    let optional = |name, label, most: u32| {
        html! { label { span { (label) } input name=(name) maxlength=(most) autocomplete="off" spellcheck="false"; } }
    };
    html! {
        (form("vouchers", lang.pick("发放纸质券…", "Give paper vouchers out…"), lang.pick("发放", "Give out"), html! {
            (number("count", lang.pick("张数", "How many"), 500))
            label {
                span { (lang.pick("用途", "Good for")) }
                select name="for" {
                    option value="parking" { (lang.pick("停车费金额", "An amount of a parking fee")) }
                    option value="minutes" { (lang.pick("停车分钟", "Minutes of a stay")) }
                    option value="goods" { (lang.pick("商户购物", "Goods at a shop")) }
                }
            }
            (number("fen", lang.pick("面值（分，金额券）", "Worth in fen (amounts)"), 100_000))
            (number("minutes", lang.pick("分钟（分钟券）", "Minutes (time)"), 1_440))
            (text("funder", lang.pick("出资方", "Who pays for them"), 64))
        }))
        details {
            summary.button { (lang.pick("打印纸质券…", "Print paper vouchers…")) }
            form data-print="/api/v1/staff/vouchers" {
                (number("first", lang.pick("起始券号", "First number"), u32::MAX))
                (number("count", lang.pick("张数", "How many"), 500))
                button.primary type="submit" { (lang.pick("打印页", "Page to print")) }
            }
        }
        (form("vouchers/checks", lang.pick("查验纸质券…", "Check a paper voucher…"), lang.pick("查验", "Check"), html! {
            (number("number", lang.pick("券号", "Number"), u32::MAX))
            (text("seal", lang.pick("校验码", "Seal"), 64))
        }))
        (form("vouchers/uses", lang.pick("录入纸质券…", "Key a paper voucher in…"), lang.pick("录入", "Key in"), html! {
            (number("number", lang.pick("券号", "Number"), u32::MAX))
            (text("seal", lang.pick("校验码", "Seal"), 64))
            (optional("plate", lang.pick("车牌（停车券）", "Plate (parking)"), 32))
            label {
                span { (lang.pick("人工放行离场时间（可留空）", "Left by hand at (may be empty)")) }
                input name="left_at" type="datetime-local";
            }
            (number("cash_fen", lang.pick("另收现金（分）", "Money taken beside it (fen)"), 100_000_000))
            (optional("merchant", lang.pick("商户（购物券）", "Shop (goods)"), 64))
            (optional("remark", lang.pick("备注", "Remark"), 200))
        }))
    }
}

/// What stands in braces in the address is a field of the form; the page puts it in.
fn form(verb: &str, title: &str, done: &str, fields: Markup) -> Markup {
    html! {
        details {
            summary.button { (title) }
            form data-act={ "/api/v1/staff/" (verb) } data-once[matches!(verb, "vouchers" | "vouchers/uses")] {
                (fields)
                button.primary type="submit" { (done) }
            }
        }
    }
}

fn text(name: &str, label: &str, most: u32) -> Markup {
    html! {
        label {
            span { (label) }
            input name=(name) required maxlength=(most) autocomplete="off" spellcheck="false";
        }
    }
}

fn reason(lang: Lang) -> Markup {
    text("reason", lang.pick("原因", "Reason"), 200)
}
