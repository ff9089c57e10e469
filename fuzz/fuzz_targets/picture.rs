//! Harm at the door `picture`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("picture").expect("it is in the list")(bytes));
