//! Harm at the door `till_fields`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("till_fields").expect("it is in the list")(bytes));
