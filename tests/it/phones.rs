//! Members' phones, with a cloud ledger that has signed whose they are.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use simulators::phone::Phone;

/// The settings by which a box knows the codes of [`phone_code`].
pub fn code_keys() -> String {
    format!("[members]\ncode_keys = [\"{}\"]\n", STANDARD.encode(ledger().public_key().as_ref()))
}

/// What the phone of `member` shows now; the token is made as `docs/member-code.md` says.
pub fn phone_code(member: &str) -> String {
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis())
        .expect("before the year 292 million");
    let phone = Phone::of([2; 32]);
    let key = STANDARD.decode(phone.public_key()).expect("its own base64");
    let until = (now / 1000 + 86_400).to_be_bytes();
    let said = [&[1, u8::try_from(member.len()).expect("a short name")], member.as_bytes(), &key, &until].concat();
    let signature = ledger().sign(&[b"gatepost-member-token-v1\n", &said[..]].concat());
    let token = URL_SAFE_NO_PAD.encode([&said, signature.as_ref()].concat());
    phone.with_token(token).code(now).expect("it has a token")
}

fn ledger() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("any 32 bytes are a seed")
}
