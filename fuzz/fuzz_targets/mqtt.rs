//! Harm at the door `mqtt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("mqtt").expect("it is in the list")(bytes));
