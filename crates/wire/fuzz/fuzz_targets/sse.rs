//! Any split of the bytes gives the same events; the first byte chooses where to cut. Its twin is in `sse/tests.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_wire::sse::{SseError, SseEvent, SseParser};

const LIMIT: usize = 64;

fn events_of(pieces: &[&[u8]]) -> (Vec<SseEvent>, Option<SseError>, Option<SseEvent>) {
    let mut parser = SseParser::with_limit(LIMIT);
    let mut events = Vec::new();
    let mut error = None;
    for piece in pieces {
        error = parser.push(piece, &mut events).err();
    }
    (events, error, parser.finish())
}

fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let (left, right) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = events_of(&[bytes]);
    assert_eq!(events_of(&[left, right]), whole);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(events_of(&single), whole);
});
