//! Harm at the door `till_strong`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("till_strong").expect("it is in the list")(bytes));
