//! Why a benefit was looked at and not used, in a code and in sentences that a driver can read.

use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};

use super::table::{Limit, Window};
use crate::domain::event::Fen;
use crate::domain::tariff::yuan;

/// A benefit that was looked at and not used, or used for less than it could give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NotUsed {
    /// The rule in the bundle.
    pub benefit: String,
    /// The coupon's, pass's or validation's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Why, in a word.
    pub code: String,
    /// Why, in Chinese.
    pub zh: String,
    /// Why, in English.
    pub en: String,
}

/// The same as the journal keeps it: the code, without the sentences that follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The rule in the bundle.
    pub benefit: String,
    /// The coupon's, pass's or validation's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Why, in a word.
    pub code: String,
}

/// The most that an entry keeps of one stay: what was shown or given comes first, and an entry stays small.
const DENIED_MAX: usize = 24;

/// What of `told` the journal keeps.
pub(super) fn denied(told: &[NotUsed]) -> Vec<Denied> {
    let mut told: Vec<&NotUsed> = told.iter().collect();
    told.sort_by_key(|told| told.instance.is_none());
    let kept = told.into_iter().take(DENIED_MAX).cloned();
    kept.map(|NotUsed { benefit, instance, code, .. }| Denied { benefit, instance, code }).collect()
}

/// Why a benefit was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    code: &'static str,
    zh: String,
    en: String,
}

impl Reason {
    /// The whole statement about `benefit`.
    pub fn about(self, benefit: &str, instance: Option<&str>) -> NotUsed {
        let instance = instance.map(str::to_owned);
        NotUsed { benefit: benefit.to_owned(), instance, code: self.code.to_owned(), zh: self.zh, en: self.en }
    }

    fn new(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { code, zh: zh.into(), en: en.into() }
    }

    pub fn no_consent() -> Self {
        Self::new("no_consent", "会员未同意按车牌识别", "the member has not agreed to plate matching")
    }

    pub fn blocked(why: &str) -> Self {
        Self::new("blocked", format!("已停用优惠:{why}"), format!("benefits are blocked: {why}"))
    }

    pub fn unknown_kind() -> Self {
        Self::new("unknown_kind", "本场规则中没有此优惠", "the rules of this site do not know it")
    }

    pub fn clock_doubtful() -> Self {
        Self::new(
            "clock_doubtful",
            "设备时间待核实,核实后补给",
            "the box is unsure of the time; made good once it is sure",
        )
    }

    pub fn not_yet(from: DateTime) -> Self {
        Self::new("not_yet", format!("{from}起可用"), format!("good from {from}"))
    }

    pub fn expired(until: DateTime) -> Self {
        Self::new("expired", format!("已于{until}到期"), format!("expired at {until}"))
    }

    pub fn not_today() -> Self {
        Self::new("not_today", "今日不可用", "not good today")
    }

    pub fn not_at_this_hour(from: Time, until: Time) -> Self {
        Self::new("not_at_this_hour", format!("仅{from}至{until}可用"), format!("good from {from} to {until} only"))
    }

    pub fn not_here() -> Self {
        Self::new("not_here", "此处不可用", "not good here")
    }

    pub fn not_this_merchant(who: &str) -> Self {
        Self::new("not_this_merchant", format!("商户{who}不可用"), format!("not good at merchant {who}"))
    }

    pub fn needs_fee(need: Fen, had: Fen) -> Self {
        Self::new(
            "needs_fee",
            format!("停车费满¥{}可用,本次¥{}", yuan(need.0), yuan(had.0)),
            format!("needs a parking fee of ¥{}, this one is ¥{}", yuan(need.0), yuan(had.0)),
        )
    }

    pub fn needs_spend(need: Fen, had: Fen) -> Self {
        Self::new(
            "needs_spend",
            format!("消费满¥{}可用,当前¥{}", yuan(need.0), yuan(had.0)),
            format!("needs spend of ¥{}, you had ¥{}", yuan(need.0), yuan(had.0)),
        )
    }

    pub fn tier_stale(tier: &str) -> Self {
        Self::new(
            "tier_stale",
            format!("等级{tier}待核实,核实后补给"),
            format!("tier {tier} could not be confirmed; made good once it is"),
        )
    }

    pub fn other_vehicle() -> Self {
        Self::new("other_vehicle", "由先入场的车辆使用", "for the member's vehicle that came in first")
    }

    pub fn allowance_used(minutes: u32, per: Window) -> Self {
        Self::new(
            "allowance_used",
            format!("{}{minutes}分钟已用完", window_zh(per)),
            format!("the {minutes} min {} are used up", window_en(per)),
        )
    }

    pub fn limit_reached(limit: &Limit) -> Self {
        Self::new("limit_reached", limit_zh(limit), limit_en(limit))
    }

    pub fn needs_approval(limit: &str) -> Self {
        Self::new("needs_approval", format!("需第二人批准({limit})"), format!("a second person must agree ({limit})"))
    }

    pub fn not_combinable(other: &str) -> Self {
        Self::new("not_combinable", format!("不可与{other}同用"), format!("not combinable with {other}"))
    }

    pub fn cheaper_without() -> Self {
        Self::new("cheaper_without", "不用此项更优惠", "the other benefits take more off without it")
    }

    pub fn nothing_left() -> Self {
        Self::new("nothing_left", "已无需使用,为您保留", "nothing left that it could pay; kept for you")
    }

    pub fn cap_reached(cap: Fen) -> Self {
        Self::new(
            "cap_reached",
            format!("优惠合计上限¥{}", yuan(cap.0)),
            format!("benefits take off ¥{} at most", yuan(cap.0)),
        )
    }

    pub fn campaign_stopped(id: &str) -> Self {
        Self::new("campaign_stopped", format!("活动{id}已停止"), format!("campaign {id} was stopped"))
    }

    pub fn campaign_silent(id: &str, hours: u32) -> Self {
        Self::new(
            "campaign_silent",
            format!("活动{id}超过{hours}小时未能确认"),
            format!("campaign {id} was not confirmed for {hours} h"),
        )
    }

    pub fn campaign_over(id: &str) -> Self {
        Self::new("campaign_over", format!("不在活动{id}时间内"), format!("outside the time of campaign {id}"))
    }

    pub fn not_in_audience(id: &str) -> Self {
        Self::new("not_in_audience", format!("活动{id}不适用"), format!("campaign {id} is for others"))
    }

    pub fn budget_spent(id: &str) -> Self {
        Self::new("budget_spent", format!("活动{id}预算已用完"), format!("the budget of campaign {id} is spent"))
    }

    pub fn claimed_elsewhere() -> Self {
        Self::new("claimed_elsewhere", "已在其他场所锁定", "another site has set it aside")
    }

    pub fn needs_claim() -> Self {
        Self::new("needs_claim", "需联网核销", "it must be claimed first, and the cloud cannot be asked")
    }

    pub fn coupon_held() -> Self {
        Self::new("coupon_held", "已为另一车辆占用", "it is set aside for another vehicle")
    }

    pub fn coupon_used() -> Self {
        Self::new("coupon_used", "已使用", "it has been used")
    }

    pub fn coupon_revoked() -> Self {
        Self::new("coupon_revoked", "已作废", "its issuer took it back")
    }

    pub fn pass_over(last: Date) -> Self {
        Self::new("pass_over", format!("最后可用日{last}"), format!("its last day was {last}"))
    }

    pub fn not_for_parking() -> Self {
        Self::new("not_for_parking", "不用于停车费", "it is not for parking")
    }

    pub fn not_for_goods() -> Self {
        Self::new("not_for_goods", "仅限停车费", "it is for parking only")
    }

    pub fn with_the_sale() -> Self {
        Self::new(
            "with_the_sale",
            "积分倍数券，请随消费一同提交",
            "it multiplies what a sale earns; it is named with that sale",
        )
    }

    pub fn not_for_points() -> Self {
        Self::new("not_for_points", "不是积分倍数券", "it multiplies no points; it is used by a request of its own")
    }

    pub fn not_at_this_shop(shops: &[String]) -> Self {
        if shops.is_empty() {
            return Self::not_for_goods();
        }
        Self::new("not_at_this_shop", "本店不可使用", format!("it is good at {} only", shops.join(", ")))
    }

    pub fn points_not_now() -> Self {
        Self::new("points_not_now", "该批积分当前不可用", "these points are not good now")
    }

    pub fn points_not_here() -> Self {
        Self::new("points_not_here", "该批积分不可用于停车", "these points are not for parking here")
    }

    pub fn points_excluded(source: &str) -> Self {
        Self::new(
            "points_excluded",
            format!("来源为{source}的积分不可抵停车费"),
            format!("points from {source} do not pay for parking"),
        )
    }
}

fn limit_zh(limit: &Limit) -> String {
    let bounds = [
        limit.max_uses.map(|uses| format!("{uses}次")),
        limit.max_fen.map(|fen| format!("¥{}", yuan(fen))),
        limit.max_minutes.map(|minutes| format!("{minutes}分钟")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    format!("已达上限:{}最多{}({})", window_zh(limit.window), bounds.join("、"), limit.id)
}

fn limit_en(limit: &Limit) -> String {
    let bounds = [
        limit.max_uses.map(|uses| format!("{uses} ×")),
        limit.max_fen.map(|fen| format!("¥{}", yuan(fen))),
        limit.max_minutes.map(|minutes| format!("{minutes} min")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    format!("limit reached: at most {} {} ({})", bounds.join(", "), window_en(limit.window), limit.id)
}

fn window_zh(window: Window) -> &'static str {
    match window {
        Window::Visit => "每次",
        Window::Day => "每天",
        Window::Week => "每七天",
        Window::Month => "每月",
        Window::Year => "每年",
    }
}

fn window_en(window: Window) -> &'static str {
    match window {
        Window::Visit => "a visit",
        Window::Day => "a day",
        Window::Week => "in seven days",
        Window::Month => "a month",
        Window::Year => "a year",
    }
}
