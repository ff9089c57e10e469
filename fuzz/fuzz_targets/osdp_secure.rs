//! Harm at the door `osdp_secure`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("osdp_secure").expect("it is in the list")(bytes));
