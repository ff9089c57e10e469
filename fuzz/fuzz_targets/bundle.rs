//! Harm at the door `bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("bundle").expect("it is in the list")(bytes));
