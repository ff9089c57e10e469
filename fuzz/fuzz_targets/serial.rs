//! Harm at the door `serial`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("serial").expect("it is in the list")(bytes));
