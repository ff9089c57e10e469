//! Harm at the door `settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("settings").expect("it is in the list")(bytes));
