//! Harm at the door `till_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("till_body").expect("it is in the list")(bytes));
