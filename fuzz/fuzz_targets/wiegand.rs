//! Harm at the door `wiegand`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("wiegand").expect("it is in the list")(bytes));
