//! Harm at the door `recording`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("recording").expect("it is in the list")(bytes));
