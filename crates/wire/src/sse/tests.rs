use proptest::prelude::*;

use super::*;

fn events_of(pieces: &[&[u8]], limit: usize) -> (Vec<SseEvent>, Option<SseError>, Option<SseEvent>) {
    let mut parser = SseParser::with_limit(limit);
    let mut events = Vec::new();
    let mut error = None;
    for piece in pieces {
        error = parser.push(piece, &mut events).err();
    }
    (events, error, parser.finish())
}

fn event(name: &str, data: &str, id: &str) -> SseEvent {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SseEvent { event: some(name), data: data.to_owned(), id: some(id) }
}

#[test]
fn a_stream_is_read_as_the_standard_says() {
    let rows: &[(&str, &[u8], &[SseEvent])] = &[
        ("line feeds", b"data: a\n\ndata: b\n\n", &[event("", "a", ""), event("", "b", "")]),
        ("carriage returns", b"data: a\r\rdata: b\r\r", &[event("", "a", ""), event("", "b", "")]),
        ("both", b"data: a\r\n\r\ndata: b\r\n\r\n", &[event("", "a", ""), event("", "b", "")]),
        ("several lines of data", b"data: YHOO\ndata: +2\ndata: 10\n\n", &[event("", "YHOO\n+2\n10", "")]),
        ("a name", b"event: message_stop\ndata: {}\n\n", &[event("message_stop", "{}", "")]),
        ("a name lasts one event", b"event: x\n\ndata: 1\n\n", &[event("", "1", "")]),
        ("an id lasts", b"id: 7\ndata: 1\n\ndata: 2\n\n", &[event("", "1", "7"), event("", "2", "7")]),
        ("an id with a NUL is ignored", b"id: a\0b\ndata: 1\n\n", &[event("", "1", "")]),
        ("comments", b": keep-alive\n\ndata: 1\n:\n\n", &[event("", "1", "")]),
        ("no space after the colon", b"data:1\n\n", &[event("", "1", "")]),
        ("only one space is taken", b"data:  1\n\n", &[event("", " 1", "")]),
        ("a field without a colon", b"data\n\ndata\ndata\n\n", &[event("", "", ""), event("", "\n", "")]),
        ("a byte order mark", b"\xef\xbb\xbfdata: 1\n\n", &[event("", "1", "")]),
        ("unknown fields", b"foo: 1\n data: 2\ndata: 3\n\n", &[event("", "3", "")]),
        ("bytes that are not UTF-8", b"data: \xff\n\n", &[event("", "\u{fffd}", "")]),
        ("no blank line yet", b"data: 1\n", &[]),
    ];
    for (what, bytes, expected) in rows {
        assert_eq!(events_of(&[bytes], 1000).0, *expected, "{what}");
    }
}

#[test]
fn the_end_of_a_stream_gives_the_event_it_cut_off() {
    for bytes in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r\n"] {
        assert_eq!(events_of(&[bytes.as_bytes()], 1000).2, Some(event("", "[DONE]", "")), "{bytes:?}");
    }
    assert_eq!(events_of(&[b"data: 1\n\n: bye\n"], 1000).2, None);
}

#[test]
fn retry_is_a_whole_number_of_milliseconds_or_nothing() {
    for (line, expected) in
        [("retry: 2500", Some(2500)), ("retry: soon", None), ("retry:", None), ("retry: -1", None)]
    {
        let mut parser = SseParser::new();
        parser.push(format!("{line}\n").as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(parser.retry_ms(), expected, "{line}");
    }
}

#[test]
fn an_event_beyond_the_limit_is_an_error_that_stays() {
    let limit = 16;
    let (events, error, cut) =
        events_of(&[b"data: short\n\ndata: far too long a line", b"\n\ndata: 1\n\n"], limit);
    assert_eq!(events, [event("", "short", "")]);
    assert_eq!((error, cut), (Some(SseError::TooLong { limit }), None));
}

#[test]
fn many_short_lines_count_towards_the_limit_of_their_event() {
    let bytes = b"data: 12345678\n".repeat(100);
    assert_eq!(events_of(&[&bytes], 256).1, Some(SseError::TooLong { limit: 256 }));
    let bytes = b"data: 12345678\n\n".repeat(100);
    assert_eq!(events_of(&[&bytes], 256).0.len(), 100);
}

/// Bytes that look like a stream more often than chance would have it.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"data: "[..],
            b"data:",
            b"event: ",
            b"id: ",
            b"retry: 3",
            b":",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\xef\xbb\xbf",
            b"{\"choices\":[]}",
            b"[DONE]",
            "\u{e9}\u{1f41f}".as_bytes(),
            b"\0",
            b" ",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_events(
        bytes in stream_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        limit in 4_usize..200,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(0);
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let whole = events_of(&[&bytes], limit);
        prop_assert_eq!(&events_of(&pieces, limit), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&events_of(&single, limit).0, &whole.0);
    }

    #[test]
    fn what_is_written_is_read_again(
        name in prop::option::of("[a-z_]{1,12}"),
        data in "(?s).{0,60}",
        id in prop::option::of("[a-z0-9]{1,8}"),
    ) {
        let written = SseEvent { event: name, data: data.replace("\r\n", "\n").replace('\r', "\n"), id };
        let mut out = String::new();
        write_comment("ping", &mut out);
        written.write_to(&mut out);
        prop_assert_eq!(events_of(&[out.as_bytes()], 100_000).0, vec![written]);
    }
}
