//! Codes that are not a member's: other wallets' payment codes and card numbers, refused with the right words.

use super::problem::{Code, Problem};

/// A member's code, or the refusal where it is a payment code or a card number. Payment codes are looked at first,
/// because those of UnionPay look like cards.
pub(super) fn check(code: &str) -> Result<&str, Problem> {
    if let Some(wallet) = payment_code(code) {
        let detail = format!("code: this is a payment code of {wallet}; the member code is allowed");
        return Err(Problem::new(Code::PaymentCode, detail).with("field", "code"));
    }
    refuse_card("code", code)?;
    Ok(code)
}

/// Refuses a text in which a card number stands: nothing on this box may ever hold one.
pub(super) fn refuse_card(field: &str, text: &str) -> Result<(), Problem> {
    if digit_runs(text).iter().any(|digits| is_card(digits)) {
        let detail = format!("{field}: this looks like a card number; a payment reference or a tag is allowed");
        return Err(Problem::new(Code::CardNumber, detail).with("field", field));
    }
    Ok(())
}

/// The wallet whose payment code it is. Lengths and first digits as the wallets publish them: WeChat Pay 18 digits from
/// 10 to 15, Alipay 16 to 24 digits from 25 to 30, UnionPay 19 digits from 62.
fn payment_code(code: &str) -> Option<&'static str> {
    let code = code.trim();
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let first: u32 = code.get(..2)?.parse().ok()?;
    match (code.len(), first) {
        (18, 10..=15) => Some("WeChat Pay"),
        (16..=24, 25..=30) => Some("Alipay"),
        (19, 62) => Some("UnionPay"),
        _ => None,
    }
}

/// The runs of digits in a text; single blanks and hyphens between digits do not end one, as cards are written so.
fn digit_runs(text: &str) -> Vec<String> {
    let mut runs = vec![String::new()];
    let mut gap = 0;
    for c in text.chars() {
        let run = runs.last_mut().expect("there is always one");
        if c.is_ascii_digit() {
            run.push(c);
            gap = 0;
        } else if matches!(c, ' ' | '-') && gap == 0 && !run.is_empty() {
            gap = 1;
        } else if !run.is_empty() {
            runs.push(String::new());
            gap = 0;
        }
    }
    runs
}

/// Whether digits are a card number: an issuer's first digits, a length that its cards have, and the check digit of
/// ISO/IEC 7812-1. Without the first two every tenth receipt number would be one.
fn is_card(digits: &str) -> bool {
    let first = |n: usize| digits.get(..n).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let is_issued = match digits.len() {
        14 => matches!(first(2), 36 | 38),
        15 => matches!(first(2), 34 | 37),
        16 => {
            first(1) == 4
                || matches!(first(2), 51..=55 | 60 | 62 | 65 | 81)
                || (2221..=2720).contains(&first(4))
                || (3528..=3589).contains(&first(4))
        }
        17..=19 => first(1) == 4 && digits.len() == 19 || matches!(first(2), 60 | 62 | 65 | 81),
        _ => false,
    };
    is_issued && has_check_digit(digits)
}

/// The last digit is the check digit by Luhn's formula.
fn has_check_digit(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            let doubled = if place % 2 == 1 { digit * 2 } else { digit };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_seen_however_it_is_written() {
        let cards = ["4111111111111111", "4111 1111 1111 1111", "no 4111-1111-1111-1111.", "378282246310005"];
        for card in cards.into_iter().chain(["5555555555554444", "6200000000000005", "36227206271667"]) {
            assert_eq!(refuse_card("receipt_no", card).expect_err(card).code(), Code::CardNumber, "{card}");
        }
        for other in ["4111111111111112", "2026030112345678", "A-17", "6901234567892", "41111111111111111", ""] {
            assert!(refuse_card("receipt_no", other).is_ok(), "{other}");
        }
    }

    #[test]
    fn a_payment_code_is_no_member_and_no_card() {
        for code in ["134567890123456789", "281234567890123456", "6200000000000000003"] {
            assert_eq!(check(code).expect_err(code).code(), Code::PaymentCode, "{code}");
        }
        assert_eq!(check("4111111111111111").expect_err("a card").code(), Code::CardNumber);
        assert_eq!(check("GPM1001"), Ok("GPM1001"));
    }
}
