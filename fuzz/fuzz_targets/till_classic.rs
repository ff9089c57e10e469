//! Harm at the door `till_classic`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("till_classic").expect("it is in the list")(bytes));
