//! Harm at the door `till_paper`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("till_paper").expect("it is in the list")(bytes));
