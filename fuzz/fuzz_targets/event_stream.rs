//! Harm at the door `event_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("event_stream").expect("it is in the list")(bytes));
