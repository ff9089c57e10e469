//! Harm at the door `till_letter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("till_letter").expect("it is in the list")(bytes));
