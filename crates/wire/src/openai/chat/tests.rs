use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::{BodyError, Object, parse_body};

/// Parses, writes, and expects what was read.
fn survives<T: Serialize + DeserializeOwned>(written: Value) -> T {
    let read: T =
        parse_body(written.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    read
}

#[test]
fn a_request_with_everything_survives_unknown_fields_included() {
    let request: ChatRequest = survives(json!({
        "model": "gpt-5-mini",
        "messages": [
            {"role": "developer", "content": "Route the ticket.", "name": "router"},
            {"role": "user", "content": [
                {"type": "text", "text": "My card \u{1f4b3}", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/card.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "find_card", "arguments": "{\"last4\":\"1234\"}"}}]},
            {"role": "tool", "content": "lost", "tool_call_id": "call_1"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}], "refusal": "I can't."},
            {"role": "critic", "content": "Of a role not yet invented."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "route", "strict": true,
            "schema": {"type": "object", "properties": {"label": {"type": "string", "enum": ["lost", "stolen"]}}}}},
        "temperature": 0.2, "top_p": 0.9, "max_tokens": 64, "max_completion_tokens": 128,
        "stop": ["\n", "END"], "seed": -7, "n": 1, "stream": true,
        "stream_options": {"include_usage": true, "include_obfuscation": false},
        "tools": [
            {"type": "function", "function": {"name": "find_card", "description": "Finds a card.", "parameters": {"type": "object"}, "strict": true}},
            {"type": "custom", "custom": {"name": "sql"}}],
        "tool_choice": {"type": "function", "function": {"name": "find_card"}},
        "parallel_tool_calls": false, "logprobs": true, "top_logprobs": 5,
        "user": "customer-17", "metadata": {"team": "payments"}, "store": true,
        "zebra": {"b": 1, "a": [null, 18446744073709551615_u64]}, "reasoning_effort": "minimal"
    }));
    assert_eq!(
        request.rest.keys().collect::<Vec<_>>(),
        ["zebra", "reasoning_effort"],
        "in the order they came"
    );
    assert_eq!(request.system_prompt().as_deref(), Some("Route the ticket."));
    assert_eq!(request.last_user_text().as_deref(), Some("My card \u{1f4b3}"));
    assert_eq!(request.messages[1].content.as_ref().map(Content::is_text_only), Some(false));
    assert_eq!(request.messages[5].role, Role::Other("critic".to_owned()));
    assert_eq!(request.tool_choice.as_ref().and_then(ToolChoice::named_function), Some("find_card"));
    let names: Vec<_> = request.tools.iter().flatten().filter_map(Tool::name).collect();
    assert_eq!(names, ["find_card", "sql"]);
    assert!(request.is_stream() && request.wants_stream_usage());
}

#[test]
fn every_form_of_answer_survives() {
    for format in [
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": true, "x-note": 1}}),
        json!({"type": "grammar", "grammar": "root ::= \"yes\""}),
    ] {
        survives::<ResponseFormat>(format);
    }
}

#[test]
fn a_reply_with_everything_survives() {
    let reply: ChatResponse = survives(json!({
        "id": "chatcmpl-CfX0", "object": "chat.completion", "created": 1_795_218_187, "model": "gpt-5-mini-2025-08-07",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "{\"label\":\"lost\"}", "annotations": []},
            "finish_reason": "stop",
            "logprobs": {"content": [
                {"token": "lost", "logprob": -0.01, "bytes": [108, 111, 115, 116], "top_logprobs": [
                    {"token": "lost", "logprob": -0.01, "bytes": [108, 111, 115, 116]},
                    {"token": "stolen", "logprob": -4.6, "bytes": null}]}]}}],
        "usage": {"prompt_tokens": 1210, "completion_tokens": 42, "total_tokens": 1252,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 30, "accepted_prediction_tokens": 0}},
        "system_fingerprint": "fp_1", "service_tier": "default"
    }));
    assert_eq!(reply.text().as_deref(), Some(r#"{"label":"lost"}"#));
    let usage = reply.usage.unwrap();
    assert_eq!((usage.cached_tokens(), usage.reasoning_tokens()), (Some(1024), Some(30)));
}

#[test]
fn an_answer_is_not_lost_to_a_detail_beside_it() {
    let rows = [
        (
            "a fractional time",
            json!({"created": 1_795_218_187.5, "choices": [{"message": {"role": "assistant", "content": "ok"}}]}),
        ),
        (
            "counts that are floats",
            json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}], "usage": {"prompt_tokens": 3.0, "completion_tokens": "many"}}),
        ),
        (
            "nulls",
            json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok", "refusal": null, "tool_calls": null}, "logprobs": null, "finish_reason": null}], "usage": null, "system_fingerprint": null, "created": null}),
        ),
        (
            "content in parts",
            json!({"choices": [{"message": {"role": "assistant", "content": [{"type": "text", "text": "o"}, {"type": "text", "text": "k"}]}}]}),
        ),
        (
            "a reason of its own",
            json!({"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "eos"}]}),
        ),
        (
            "arguments that are an object",
            json!({"choices": [{"message": {"role": "assistant", "content": "ok", "tool_calls": [{"id": null, "function": {"name": "f", "arguments": {}}}]}}]}),
        ),
    ];
    for (what, body) in rows {
        let reply: ChatResponse =
            parse_body(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(reply.text().as_deref(), Some("ok"), "{what}");
        let unknown = reply.usage.and_then(|usage| usage.completion_tokens);
        assert_eq!(unknown, None, "{what}: what isn't known isn't 0");
    }
}

#[test]
fn a_body_that_is_wrong_says_where_and_never_panics() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let with_field = |value: &str| format!(r#"{{"model":"m","messages":[],"x":{value}}}"#).into_bytes();
    let rows: Vec<(&str, Vec<u8>, bool, &str)> = vec![
        ("nothing", vec![], false, "line 1, column 0: EOF while parsing a value"),
        ("half", br#"{"model":"m""#.to_vec(), false, "line 1, column 12: EOF while parsing an object"),
        ("no messages", br#"{"model":"m"}"#.to_vec(), true, "line 1, column 13: missing field `messages`"),
        (
            "twice",
            br#"{"model":"m","model":"n","messages":[]}"#.to_vec(),
            true,
            "line 1, column 20: duplicate field `model`",
        ),
        (
            "content",
            b"{\"model\":\"m\",\n\"messages\":[{\"role\":\"user\",\"content\":7}]}".to_vec(),
            true,
            "line 2, column 38: invalid type: integer `7`, expected a string or an array",
        ),
        (
            "a part without a type",
            br#"{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}"#.to_vec(),
            true,
            "line 1, column 64: an object here needs a `type`",
        ),
        (
            "a text part without text",
            br#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#.to_vec(),
            true,
            "line 1, column 67: in `text`: missing field `text`",
        ),
        (
            "a lone surrogate",
            with_field(r#""\ud83d""#),
            false,
            "line 1, column 39: unexpected end of hex escape",
        ),
        (
            "half a pair",
            with_field(r#""\udc00x""#),
            false,
            "line 1, column 38: lone leading surrogate in hex escape",
        ),
        (
            "not UTF-8",
            with_field("\"?\"").iter().map(|&byte| if byte == b'?' { 0xff } else { byte }).collect(),
            false,
            "line 1, column 33: invalid unicode code point",
        ),
        ("too deep", with_field(&nested(200)), false, "line 1, column 158: recursion limit exceeded"),
        ("far too deep", with_field(&nested(200_000)), false, "line 1, column 158: recursion limit exceeded"),
        (
            "more after the end",
            br#"{"model":"m","messages":[]} {}"#.to_vec(),
            false,
            "line 1, column 29: trailing characters",
        ),
    ];
    for (what, body, is_json, said) in rows {
        let error: BodyError = parse_body::<ChatRequest>(&body).expect_err(what);
        assert_eq!((error.to_string().as_str(), error.is_json), (said, is_json), "{what}");
    }
    assert!(parse_body::<ChatRequest>(&with_field(&nested(100))).is_ok());
}

fn put_together(events: &[&str]) -> ChatResponse {
    let mut pieces = ChunkAccumulator::new();
    for event in events {
        match parse_stream_data(event).unwrap() {
            StreamData::Chunk(chunk) => pieces.push(&chunk),
            other => panic!("not a piece: {other:?}"),
        }
    }
    pieces.finish().unwrap()
}

#[test]
fn a_streamed_answer_is_put_together_with_its_usage() {
    let mut pieces = ChunkAccumulator::new();
    let events = [
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"reasoning_content":"Hm"},"finish_reason":null}]}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"reasoning_content":"m."},"finish_reason":null}]}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":"re"},"logprobs":{"content":[{"token":"re","logprob":-0.1,"bytes":null,"top_logprobs":[]}]},"finish_reason":null}]}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":"fund"},"logprobs":{"content":[{"token":"fund","logprob":-0.2,"bytes":null,"top_logprobs":[]}]},"finish_reason":null}]}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795218187,"model":"gpt-5-mini","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
    ];
    for (index, event) in events.iter().enumerate() {
        assert_eq!(pieces.is_complete(), index > 5, "before piece {index}");
        let StreamData::Chunk(chunk) = parse_stream_data(event).unwrap() else { panic!("{event}") };
        pieces.push(&chunk);
    }
    assert_eq!((pieces.text(0), pieces.usage()), (Some("refund"), Some(&Usage::new(9, 2))));
    let token = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": null, "top_logprobs": []});
    let expected = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_795_218_187, "model": "gpt-5-mini", "service_tier": "default",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "refund", "reasoning_content": "Hmm."},
            "finish_reason": "stop", "logprobs": {"content": [token("re", -0.1), token("fund", -0.2)]}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}});
    assert_eq!(serde_json::to_value(pieces.finish().unwrap()).unwrap(), expected);
}

#[test]
fn pieces_of_tool_calls_find_their_call_with_and_without_an_index() {
    let expected = [("call_a", "find", r#"{"q":1}"#), ("call_b", "find", r#"{"q":2}"#)];
    let with_index = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"find","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"find","arguments":"{\"q\""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\":1}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":":2}"}}]},"finish_reason":"tool_calls"}]}"#,
    ];
    let without_index = [
        r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"id":"call_a","function":{"name":"find","arguments":"{\"q\":1}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"call_b","function":{"name":"find","arguments":"{\"q\""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":":2}"}}]},"finish_reason":"tool_calls"}]}"#,
    ];
    let far_index = [
        r#"{"choices":[{"index":4294967295,"delta":{"tool_calls":[{"index":5,"id":"call_a","function":{"name":"find","arguments":"{\"q\":1}"}}]}}]}"#,
        r#"{"choices":[{"index":4294967295,"delta":{"tool_calls":[{"index":4294967295,"id":"call_b","function":{"name":"find","arguments":"{\"q\":2}"}}]},"finish_reason":"tool_calls"}]}"#,
    ];
    for events in [&with_index[..], &without_index, &far_index] {
        let reply = put_together(events);
        let calls = reply.choices[0].message.tool_calls.as_deref().unwrap();
        let said: Vec<_> = calls
            .iter()
            .map(|call| {
                let function = call.function.as_ref().unwrap();
                (call.id.as_str(), function.name.as_str(), function.arguments.as_str())
            })
            .collect();
        assert_eq!(said, expected);
        assert_eq!(reply.choices[0].finish_reason, Some(FinishReason::ToolCalls));
        assert_eq!(reply.text(), None);
    }
}

#[test]
fn the_data_of_an_event_is_a_piece_the_end_or_an_error() {
    assert_eq!(parse_stream_data("[DONE]"), Ok(StreamData::Done));
    let error = parse_stream_data(
        r#"{"error":{"message":"out of memory","type":"server_error","param":null,"code":null}}"#,
    );
    assert!(matches!(error, Ok(StreamData::Error(body)) if body.error.message == "out of memory"));
    let azure = parse_stream_data(r#"{"choices":[],"error":null,"prompt_filter_results":[]}"#);
    assert!(
        matches!(azure, Ok(StreamData::Chunk(chunk)) if chunk.rest.contains_key("prompt_filter_results"))
    );
    assert!(parse_stream_data("{\"choices\":").is_err());
    assert_eq!(ChunkAccumulator::new().finish(), None);
}

fn a_reply() -> impl Strategy<Value = ChatResponse> {
    let call = ("[a-z0-9]{1,6}", "[a-z]{1,6}", ".{0,12}")
        .prop_map(|(id, name, arguments)| ToolCall::function(id, name, arguments));
    let calls = prop::option::of(prop::collection::vec(call, 1..4));
    let message = (prop::option::of(".{0,20}"), calls, prop::option::of(".{0,9}")).prop_map(
        |(text, tool_calls, refusal)| Message {
            content: text.map(Content::Text),
            tool_calls,
            refusal,
            ..Message::empty(Role::Assistant)
        },
    );
    let reason = prop::option::of(
        prop::sample::select(vec!["stop", "length", "tool_calls", "eos"]).prop_map(FinishReason::from),
    );
    let choices = prop::collection::vec((message, reason), 0..4);
    (choices, prop::option::of((0..9_u64, 0..9_u64))).prop_map(|(choices, usage)| ChatResponse {
        usage: usage.map(|(prompt, completion)| Usage::new(prompt, completion)),
        choices: (0..)
            .zip(choices)
            .map(|(index, (message, finish_reason))| Choice {
                index,
                message,
                finish_reason,
                logprobs: None,
                rest: Object::new(),
            })
            .collect(),
        ..ChatResponse::from_text("chatcmpl-1", 1_795_218_187, "tickets", "", None)
    })
}

proptest! {
    #[test]
    fn a_number_passed_on_is_the_number_that_came(temperature in 0.0..2.0_f64, unknown in any::<f64>(), whole in any::<i64>()) {
        let written = json!({"model": "m", "messages": [], "temperature": temperature, "penalty": unknown, "bias": whole});
        let read: ChatRequest = parse_body(written.to_string().as_bytes()).unwrap();
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }

    #[test]
    fn a_reply_sent_in_pieces_arrives_whole(reply in a_reply()) {
        let mut pieces = ChunkAccumulator::new();
        for chunk in chunks_of(&reply, true) {
            let data = serde_json::to_string(&chunk).unwrap();
            let Ok(StreamData::Chunk(chunk)) = parse_stream_data(&data) else { panic!("{data}") };
            pieces.push(&chunk);
        }
        prop_assert_eq!(pieces.finish(), Some(reply));
    }

    #[test]
    fn bytes_of_any_kind_never_make_a_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a-z0-9\\\\u]{0,80}") {
        for body in [&body[..], text.as_bytes()] {
            let _ = parse_body::<ChatRequest>(body);
            let _ = parse_body::<ChatResponse>(body);
            let _ = parse_body::<crate::anthropic::messages::MessagesRequest>(body);
            let _ = crate::openai::error::ErrorBody::find(body);
        }
        let _ = parse_stream_data(&text);
    }

    #[test]
    fn whatever_is_read_as_a_request_is_written_and_read_again(body in crate::mutated::mutated(A_REQUEST)) {
        if let Ok(read) = parse_body::<ChatRequest>(body.as_bytes()) {
            let _ = (read.is_stream(), read.wants_stream_usage(), read.system_prompt(), read.last_user_text());
            let _ = crate::anthropic::convert::to_anthropic(&read, "claude");
            let written = serde_json::to_vec(&read).unwrap();
            prop_assert_eq!(parse_body::<ChatRequest>(&written).unwrap(), read);
        }
    }
}

/// A request with most of what a request can have.
const A_REQUEST: &str = r#"{"model": "m", "stream": true, "stream_options": {"include_usage": true}, "n": 1, "stop": ["END"],
    "messages": [{"role": "system", "content": "Route the ticket."},
        {"role": "user", "content": [{"type": "text", "text": "late"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"page\":1}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "12.50"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties":
        {"label": {"enum": ["a", "b"]}}, "required": ["label"]}}},
    "temperature": 0.5, "max_completion_tokens": 30, "logprobs": false, "seed": 7, "unknown": {"kept": [1, null]}}"#;
