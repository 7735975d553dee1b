//! A line gives a call with a prompt, or an error. Its twin is in `log/tests.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::log::parse_log_bytes;

fuzz_target!(|line: &[u8]| {
    if let Ok(call) = parse_log_bytes(line) {
        assert!(!call.messages.is_empty());
    }
});
