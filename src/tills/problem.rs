//! What a till or a guard hears when a request is refused: a code, what is wrong, what is allowed, in two languages.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::store::reader::ReadError;

/// Every code of `docs/till-api.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "docs/till-api.md says what each means")]
#[allow(clippy::enum_variant_names, reason = "a wallet's payment code is called so")]
pub enum Code {
    IdempotencyKeyMissing,
    BadRequest,
    CardNumber,
    PaymentCode,
    TerminalRevoked,
    OperatorUnknown,
    ConsentMissing,
    MemberCodeStatic,
    MerchantRefused,
    MemberUnknown,
    StayUnknown,
    BenefitUnknown,
    LaneUnknown,
    HoldUnknown,
    TransactionUnknown,
    PairingUnknown,
    PhotoUnknown,
    NotFound,
    MethodNotAllowed,
    IdempotencyKeyInProgress,
    InsufficientPoints,
    MemberCodeReplayed,
    CouponState,
    TenderMismatch,
    Quarantined,
    NothingWaiting,
    AmountMismatch,
    HoldEnded,
    NotReversible,
    ShiftClosed,
    Tombstoned,
    StaleRequest,
    SpendElsewhere,
    BusyAtLane,
    RulesRefused,
    DayOpen,
    SecondNeeded,
    NotThatWay,
    HoldExpired,
    MemberCodeExpired,
    BodyTooLarge,
    IdempotencyKeyReused,
    LateRedemption,
    TooManyAttempts,
    TooManyRequests,
    Internal,
    Busy,
    AnswerLate,
}

/// What a refused request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    None,
    /// Nobody knows yet; ask for the key.
    Unknown,
}

/// One row of the table of codes.
struct Row {
    code: Code,
    name: &'static str,
    status: StatusCode,
    retryable: bool,
    zh: &'static str,
    en: &'static str,
}

macro_rules! rows {
    ($($code:ident $name:literal $status:ident $retryable:literal $zh:literal $en:literal;)*) => {
        &[$(Row {
            code: Code::$code,
            name: $name,
            status: StatusCode::$status,
            retryable: $retryable,
            zh: $zh,
            en: $en,
        }),*]
    };
}

/// The table of codes, in the order of [`Code`].
#[rustfmt::skip]
const ROWS: &[Row] = rows! {
    IdempotencyKeyMissing "idempotency-key-missing" BAD_REQUEST false "收银程序缺少幂等键,请联系技术人员" "The till sent no idempotency key; call the technician";
    BadRequest "bad-request" BAD_REQUEST false "请求内容有误,请检查后再试" "Something in the request is wrong; check and try again";
    CardNumber "card-number" BAD_REQUEST false "请不要发送银行卡号" "A card number must not be sent to this box";
    PaymentCode "payment-code" BAD_REQUEST false "这是付款码,请扫会员码" "This is a payment code; scan the member code";
    TerminalRevoked "terminal-revoked" UNAUTHORIZED false "本收银机未登记或已停用" "This till is not registered or was switched off";
    OperatorUnknown "operator-unknown" UNAUTHORIZED false "工号或密码不对" "Operator or PIN is wrong";
    ConsentMissing "consent-missing" FORBIDDEN false "会员未同意车牌识别,请扫会员码" "The member has not agreed to plate matching; scan the member code";
    MemberCodeStatic "member-code-static" FORBIDDEN false "此码只能积分,付款请出示手机动态会员码" "This code earns and does not pay; scan the moving code on the phone";
    MerchantRefused "merchant-refused" FORBIDDEN false "本店不参加此项活动" "This shop does not take part in that";
    MemberUnknown "member-unknown" NOT_FOUND false "查不到该会员,请重新扫码" "No such member; scan the code again";
    StayUnknown "stay-unknown" NOT_FOUND false "场内没有这辆车" "This car is not inside";
    BenefitUnknown "benefit-unknown" NOT_FOUND false "没有这种优惠,或本店不可发放" "No such benefit, or this shop may not give it";
    LaneUnknown "lane-unknown" NOT_FOUND false "没有这条车道" "No such lane";
    HoldUnknown "hold-unknown" NOT_FOUND false "没有这笔积分预留" "This till has set no points aside by that name";
    TransactionUnknown "transaction-unknown" NOT_FOUND false "本机没有这笔交易" "This box has no such transaction";
    PairingUnknown "pairing-unknown" NOT_FOUND false "配对码不对或已过期" "The pairing code is wrong or its time is over";
    PhotoUnknown "photo-unknown" NOT_FOUND false "没有这张照片,可能已过保存期" "No such picture; it may be older than pictures are kept";
    NotFound "not-found" NOT_FOUND false "没有这个接口" "No such request";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED false "请求方法不对" "Wrong method";
    IdempotencyKeyInProgress "idempotency-key-in-progress" CONFLICT true "上一次请求还在处理,请稍候" "The same request is still being worked on; wait a moment";
    InsufficientPoints "insufficient-points" CONFLICT false "可用积分不足,请改用其他方式付款" "Not enough points; take another tender";
    MemberCodeReplayed "member-code-replayed" CONFLICT false "此会员码已使用过,请刷新后重新出示" "This code was used before; show the phone's new one";
    CouponState "coupon-state" CONFLICT false "此券不可使用" "This coupon cannot be used";
    TenderMismatch "tender-mismatch" CONFLICT false "付款合计与应付金额不符" "The tenders do not add up to what is due";
    Quarantined "quarantined" CONFLICT false "本机暂停使用积分,请改用其他方式付款" "This box may not spend points now; take another tender";
    NothingWaiting "nothing-waiting" CONFLICT false "该车道没有等待的车辆" "No vehicle waits in this lane";
    AmountMismatch "amount-mismatch" CONFLICT false "收款金额与应付金额不符" "The money taken is not what is due";
    HoldEnded "hold-ended" CONFLICT false "这笔积分预留已经结束" "These points are not set aside any more";
    NotReversible "not-reversible" CONFLICT false "这笔交易不能整单撤销" "This transaction cannot be taken back as a whole";
    ShiftClosed "shift-closed" CONFLICT false "班次已结束,请重新开班" "The shift is closed; open a new one";
    Tombstoned "tombstoned" CONFLICT false "该请求已被收银机放弃,请重新录入" "The till gave this request up; enter it again";
    StaleRequest "stale-request" CONFLICT false "请求已过时,请重新操作" "The request is too old; do it again";
    SpendElsewhere "spend-elsewhere" CONFLICT false "本机没有这笔积分使用记录,无法撤销" "This box has no such spend and cannot undo it";
    BusyAtLane "busy-at-lane" CONFLICT true "车辆正在车道,请稍后再试" "The vehicle stands at a lane now; try again later";
    RulesRefused "rules-refused" CONFLICT false "规则未生效" "The rules were not put in force";
    DayOpen "day-open" CONFLICT false "这一天还不能日结" "This day cannot be closed yet";
    SecondNeeded "second-needed" CONFLICT false "金额较大,需要第二人确认" "So much is let go only by two persons";
    NotThatWay "not-that-way" CONFLICT false "账目不能这样更正" "The books cannot be put right in that way";
    HoldExpired "hold-expired" GONE false "积分预留已超时,请重新操作" "The points are not set aside any more; do it again";
    MemberCodeExpired "member-code-expired" GONE false "会员码已过期,请刷新后重新出示" "The code is too old; show the phone's new one";
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE false "请求内容过大" "The request is too large";
    IdempotencyKeyReused "idempotency-key-reused" UNPROCESSABLE_ENTITY false "同一幂等键对应了不同内容,请联系技术人员" "One key was used for two different requests; call the technician";
    LateRedemption "late-redemption" UNPROCESSABLE_ENTITY false "补录的交易不能使用积分" "A sale that is sent late cannot spend points";
    TooManyAttempts "too-many-attempts" TOO_MANY_REQUESTS true "密码错误次数过多,请一分钟后再试" "Too many wrong PINs; try again in a minute";
    TooManyRequests "too-many-requests" TOO_MANY_REQUESTS true "请求过于频繁,请稍候" "This till asks too often; wait a second";
    Internal "internal" INTERNAL_SERVER_ERROR true "本机出错,请稍后再试" "The box had a fault; try again";
    Busy "busy" SERVICE_UNAVAILABLE true "系统繁忙,请再试一次" "The box is busy; try again";
    AnswerLate "answer-late" GATEWAY_TIMEOUT true "结果未知,请先查询再决定" "The outcome is unknown; ask before you try again";
};

impl Code {
    /// The code as it is written.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The code of a name that the domain chose.
    pub fn named(name: &str) -> Option<Code> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.code)
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.code == self).expect("a test walks over every code and finds its row")
    }
}

/// Every code as it is written.
pub(super) fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Every code with its status.
pub(super) fn table() -> impl Iterator<Item = (&'static str, u16)> {
    ROWS.iter().map(|row| (row.name, row.status.as_u16()))
}

/// A refusal, RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    outcome: Outcome,
    more: Map<String, Value>,
    is_replayed: bool,
}

impl Problem {
    /// A refusal that did nothing; `detail` says what is wrong and what is allowed.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), outcome: Outcome::None, more: Map::new(), is_replayed: false }
    }

    /// A field of the body that is wrong.
    pub fn field(name: &str, wrong: impl std::fmt::Display) -> Self {
        Self::new(Code::BadRequest, format!("{name}: {wrong}")).with("field", name)
    }

    /// The loop has not answered in time.
    pub fn late(key: &str) -> Self {
        let detail = format!("the box has not answered yet; ask GET /api/v1/operations/{key} before anything else");
        Self { outcome: Outcome::Unknown, ..Self::new(Code::AnswerLate, detail) }
    }

    /// The same, when nobody can say what became of it.
    pub fn with_unknown_outcome(self) -> Self {
        Self { outcome: Outcome::Unknown, ..self }
    }

    /// The same, where it was said before for the same key.
    pub fn replayed(self) -> Self {
        Self { is_replayed: true, ..self }
    }

    /// Whether it was said before for the same key.
    pub fn is_replayed(&self) -> bool {
        self.is_replayed
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether the same request may be done if it is sent again.
    pub fn is_retryable(&self) -> bool {
        self.code.row().retryable
    }

    /// The same, with one more member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The refusal as JSON.
    pub fn to_json(&self) -> Value {
        let row = self.code.row();
        let mut body = self.more.clone();
        body.insert("type".to_owned(), json!(format!("urn:gatepost:problem:{}", row.name)));
        body.insert("title".to_owned(), json!(row.en));
        body.insert("status".to_owned(), json!(row.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.insert("code".to_owned(), json!(row.name));
        body.insert("retryable".to_owned(), json!(row.retryable));
        let outcome = match self.outcome {
            Outcome::None => "none",
            Outcome::Unknown => "unknown",
        };
        body.insert("outcome".to_owned(), json!(outcome));
        body.insert("staff_text".to_owned(), json!({"zh": row.zh, "en": row.en}));
        Value::Object(body)
    }

    fn retry_after(&self) -> Option<&'static str> {
        match self.code {
            Code::Busy | Code::IdempotencyKeyInProgress | Code::AnswerLate | Code::TooManyRequests => Some("1"),
            Code::TooManyAttempts => Some("60"),
            Code::IdempotencyKeyMissing
            | Code::BadRequest
            | Code::TerminalRevoked
            | Code::OperatorUnknown
            | Code::ConsentMissing
            | Code::MemberCodeStatic
            | Code::MerchantRefused
            | Code::MemberCodeReplayed
            | Code::MemberCodeExpired
            | Code::MemberUnknown
            | Code::StayUnknown
            | Code::BenefitUnknown
            | Code::LaneUnknown
            | Code::PhotoUnknown
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::InsufficientPoints
            | Code::CouponState
            | Code::TenderMismatch
            | Code::Quarantined
            | Code::NothingWaiting
            | Code::AmountMismatch
            | Code::SpendElsewhere
            | Code::BusyAtLane
            | Code::SecondNeeded
            | Code::NotThatWay
            | Code::BodyTooLarge
            | Code::IdempotencyKeyReused
            | Code::RulesRefused
            | Code::DayOpen
            | Code::CardNumber
            | Code::PaymentCode
            | Code::HoldUnknown
            | Code::TransactionUnknown
            | Code::PairingUnknown
            | Code::HoldEnded
            | Code::NotReversible
            | Code::ShiftClosed
            | Code::Tombstoned
            | Code::StaleRequest
            | Code::HoldExpired
            | Code::LateRedemption
            | Code::Internal => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let row = self.code.row();
        let mut response = (row.status, Json(self.to_json())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.code == Code::TerminalRevoked {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        tracing::warn!(error = %error, "could not look at the ledger file");
        match error {
            ReadError::Deadline(_) => Problem::new(Code::Busy, "the box is behind; try again"),
            ReadError::Sqlite(_) | ReadError::Foreign { .. } | ReadError::Broken => {
                Problem::new(Code::Internal, "the box could not read its ledger; its log says why")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row_in_the_table() {
        for row in ROWS {
            assert_eq!(Code::named(row.name), Some(row.code), "{}", row.name);
            assert!(row.status.is_client_error() || row.status.is_server_error(), "{}", row.name);
        }
        let in_order: Vec<usize> = ROWS.iter().map(|row| row.code as usize).collect();
        let every: Vec<usize> = (0..=Code::AnswerLate as usize).collect();
        assert_eq!(in_order, every, "one row for each code, in the order of the enum");
    }

    #[test]
    fn the_document_names_every_code_with_its_status() {
        let document = include_str!("../../docs/till-api.md");
        for row in ROWS {
            let line = format!("| `{}` | {} |", row.name, row.status.as_u16());
            assert!(document.contains(&line), "docs/till-api.md lacks {line:?}");
        }
    }
}
