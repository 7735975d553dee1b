//! A request that parses can be written, read again the same, and converted without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::anthropic::convert::to_anthropic;
use sprat_wire::anthropic::messages::MessagesRequest;
use sprat_wire::openai::chat::{ChatRequest, ChatResponse};
use sprat_wire::parse_body;

fuzz_target!(|body: &[u8]| {
    if let Ok(request) = parse_body::<ChatRequest>(body) {
        let written = serde_json::to_vec(&request).expect("what was read can be written");
        assert_eq!(parse_body::<ChatRequest>(&written).as_ref(), Ok(&request));
        let _ = to_anthropic(&request, "claude");
    }
    let _ = parse_body::<ChatResponse>(body);
    let _ = parse_body::<MessagesRequest>(body);
});
