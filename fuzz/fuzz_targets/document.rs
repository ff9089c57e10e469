//! Harm at the door `document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("document").expect("it is in the list")(bytes));
