//! Any stream of Anthropic's becomes pieces that OpenAI's clients read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::anthropic::convert::StreamTranslator;
use sprat_wire::anthropic::messages::StreamEvent;
use sprat_wire::openai::chat::{ChunkAccumulator, parse_stream_data};
use sprat_wire::sse::SseParser;

fuzz_target!(|input: (bool, &[u8])| {
    let (answer_tool, bytes) = input;
    let (mut parser, mut events) = (SseParser::new(), Vec::new());
    let _ = parser.push(bytes, &mut events);
    events.extend(parser.finish());
    let mut translator = StreamTranslator::new(answer_tool.then(|| "f".to_owned()), 0);
    let mut whole = ChunkAccumulator::new();
    for event in events {
        let Ok(event) = serde_json::from_str::<StreamEvent>(&event.data) else { continue };
        let Ok(Some(chunk)) = translator.push(&event) else { continue };
        parse_stream_data(&serde_json::to_string(&chunk).unwrap()).unwrap();
        whole.push(&chunk);
    }
    whole.push(&translator.usage_chunk());
    let _ = whole.finish();
});
