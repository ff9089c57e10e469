//! Harm at the door `modbus_tcp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("modbus_tcp").expect("it is in the list")(bytes));
