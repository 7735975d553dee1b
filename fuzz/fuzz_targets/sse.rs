//! Any split of the bytes of a stream gives the same events, and what is written is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::sse::{SseEvent, SseParser};

fn events(pieces: &[&[u8]]) -> (Vec<SseEvent>, bool) {
    let (mut parser, mut events) = (SseParser::with_limit(4096), Vec::new());
    let failed = pieces.iter().any(|piece| parser.push(piece, &mut events).is_err());
    events.extend(parser.finish());
    (events, failed)
}

fuzz_target!(|input: (usize, &[u8])| {
    let (at, bytes) = input;
    let (first, second) = bytes.split_at(at % (bytes.len() + 1));
    let whole = events(&[bytes]);
    assert_eq!(events(&[first, second]), whole);
    for event in whole.0 {
        let mut written = String::new();
        event.write_to(&mut written);
        let _ = events(&[written.as_bytes()]);
    }
});
