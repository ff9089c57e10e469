//! Harm at the door `modbus_rtu`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost::doors::door("modbus_rtu").expect("it is in the list")(bytes));
