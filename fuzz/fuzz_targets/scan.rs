//! Harm at the door `scan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("scan").expect("it is in the list")(bytes));
