//! Whatever is read as a chat request is written and read again, and converted or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::anthropic::convert::to_anthropic;
use sprat_wire::openai::chat::ChatRequest;
use sprat_wire::parse_body;

fuzz_target!(|body: &[u8]| {
    let Ok(read) = parse_body::<ChatRequest>(body) else { return };
    let _ = (read.is_stream(), read.wants_stream_usage(), read.system_prompt(), read.last_user_text());
    let _ = to_anthropic(&read, "claude");
    let written = serde_json::to_vec(&read).unwrap();
    assert_eq!(parse_body::<ChatRequest>(&written).unwrap(), read);
});
