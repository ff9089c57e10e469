//! Harm at the door `digest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("digest").expect("it is in the list")(bytes));
