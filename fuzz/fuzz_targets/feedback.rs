//! Whatever is read as feedback is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::feedback::Feedback;
use sprat_wire::parse_body;

fuzz_target!(|body: &[u8]| {
    let Ok(read) = parse_body::<Feedback>(body) else { return };
    let _ = read.check();
    let written = serde_json::to_vec(&read).unwrap();
    assert_eq!(parse_body::<Feedback>(&written).unwrap(), read);
});
