//! Harm at the door `profile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("profile").expect("it is in the list")(bytes));
