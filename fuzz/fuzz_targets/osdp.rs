//! Harm at the door `osdp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("osdp").expect("it is in the list")(bytes));
