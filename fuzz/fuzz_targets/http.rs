//! Harm at the door `http`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("http").expect("it is in the list")(bytes));
