//! Harm at the door `plate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("plate").expect("it is in the list")(bytes));
