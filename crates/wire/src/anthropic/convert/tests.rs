use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::anthropic::messages::{ErrorBody, MessagesResponse, StreamEvent};
use crate::openai::chat::{
    ChatChunk, ChatRequest, ChunkAccumulator, FinishReason, StreamData, parse_stream_data,
};
use crate::sse::SseParser;

fn chat(body: Value) -> ChatRequest {
    serde_json::from_value(body).unwrap()
}

fn converted(body: Value) -> Converted {
    to_anthropic(&chat(body), "claude-sonnet-4-5").unwrap()
}

#[test]
fn a_conversation_with_tools_and_an_image_is_said_in_anthropics_words() {
    let asked = json!({
        "model": "claude-sonnet-4-5",
        "messages": [
            {"role": "system", "content": "You route tickets."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [
                {"type": "text", "text": "What is on this receipt?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/receipt.jpg"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "read_total", "arguments": "{\"page\":1}"}},
                {"id": "call_2", "type": "function", "function": {"name": "read_date", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "12.50 EUR"},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            {"role": "user", "content": "And the shop?"}],
        "tools": [
            {"type": "function", "function": {"name": "read_total", "description": "Reads the total.",
                "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}}}},
            {"type": "function", "function": {"name": "read_date"}}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "max_completion_tokens": 300,
        "stop": "END",
        "temperature": 0.5,
        "user": "customer-17",
        "seed": 7,
        "stream": true,
        "stream_options": {"include_usage": true},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "service_tier": "auto"
    });
    let expected = json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 300,
        "system": "You route tickets.\n\nBe brief.",
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is on this receipt?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/receipt.jpg"}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "read_total", "input": {"page": 1}},
                {"type": "tool_use", "id": "call_2", "name": "read_date", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "12.50 EUR"},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "And the shop?"}]}],
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "stream": true,
        "tools": [
            {"name": "read_total", "description": "Reads the total.",
                "input_schema": {"type": "object", "properties": {"page": {"type": "integer"}}}},
            {"name": "read_date", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "metadata": {"user_id": "customer-17"},
        "thinking": {"type": "enabled", "budget_tokens": 1024}
    });
    let converted = converted(asked);
    assert_eq!(serde_json::to_value(&converted.request).unwrap(), expected);
    assert_eq!(converted.left_out, ["seed", "messages[2].content[1].image_url.detail", "service_tier"]);
    assert_eq!(converted.answer_tool, None);
}

#[test]
fn a_schema_becomes_a_tool_that_must_be_called() {
    let schema = json!({"type": "object", "properties": {"label": {"enum": ["billing", "refund"]}}, "required": ["label"]});
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "route", "schema": schema, "strict": true}});
    let tool = json!([{"type": "function", "function": {"name": "route"}}]);
    let user = json!([{"role": "user", "content": "My money is gone"}]);

    let alone = converted(json!({"model": "m", "messages": user, "response_format": format}));
    assert_eq!(alone.answer_tool.as_deref(), Some("route"));
    assert_eq!(alone.request.max_tokens, DEFAULT_MAX_TOKENS);
    let request = serde_json::to_value(&alone.request).unwrap();
    assert_eq!(request["tool_choice"], json!({"type": "tool", "name": "route"}));
    assert_eq!(request["tools"][0]["input_schema"], schema);
    assert_eq!(alone.left_out, ["response_format.json_schema.strict"], "asked for, not promised");

    let beside = converted(json!({"model": "m", "messages": user, "response_format": format, "tools": tool}));
    assert_eq!(beside.answer_tool.as_deref(), Some("route_answer"), "the caller's tool keeps its name");
    let choice = |more: Value| {
        let mut call = json!({"model": "m", "messages": user, "response_format": format, "tools": tool});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::to_value(converted(call).request.tool_choice).unwrap()
    };
    assert_eq!(choice(json!({})), json!({"type": "any"}), "theirs may be called instead");
    assert_eq!(choice(json!({"tool_choice": "none"})), json!({"type": "tool", "name": "route_answer"}));
    let named = json!({"type": "function", "function": {"name": "route"}});
    assert_eq!(choice(json!({"tool_choice": named})), json!({"type": "tool", "name": "route"}));
    let thinking = json!({"type": "enabled", "budget_tokens": 2048});
    assert_eq!(choice(json!({"thinking": thinking})), json!({"type": "auto"}), "who thinks can't be made to");
    assert_eq!(
        choice(json!({"parallel_tool_calls": false})),
        json!({"type": "any", "disable_parallel_tool_use": true})
    );
}

#[test]
fn the_wish_for_some_json_object_becomes_a_tool_that_takes_any() {
    let asked = json!({"model": "m", "messages": [{"role": "user", "content": "As JSON."}], "response_format": {"type": "json_object"}});
    let converted = converted(asked);
    let request = serde_json::to_value(&converted.request).unwrap();
    assert_eq!(request["tools"][0]["input_schema"], json!({"type": "object", "additionalProperties": true}));
    assert_eq!(request["tool_choice"], json!({"type": "tool", "name": "answer"}));
    assert_eq!((converted.answer_tool.as_deref(), converted.left_out.len()), (Some("answer"), 0));
}

#[test]
fn fields_go_on_unless_they_are_openais_own() {
    let converted = converted(json!({
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "top_k": 5, "mcp_servers": [], "a_field_of_2031": 1,
        "verbosity": "low", "prompt_cache_key": "k", "reasoning_effort": "high", "modalities": ["text"], "logit_bias": {},
        "prediction": null, "store": true, "metadata": {"a": "b"}, "stop": [],
    }));
    let expected = json!({
        "model": "claude-sonnet-4-5", "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": "hi"}], "top_k": 5, "mcp_servers": [], "a_field_of_2031": 1,
    });
    assert_eq!(serde_json::to_value(&converted.request).unwrap(), expected);
    assert_eq!(
        converted.left_out,
        ["metadata", "store", "verbosity", "prompt_cache_key", "reasoning_effort"],
        "this model takes no effort"
    );
}

#[test]
fn the_effort_is_told_to_models_that_take_one() {
    let effort = |model: &str, word: &str| {
        let asked = json!({"model": "x", "messages": [], "reasoning_effort": word});
        let converted = to_anthropic(&chat(asked), model).unwrap();
        (converted.request.rest.get("output_config").cloned(), converted.left_out.len())
    };
    for (model, word, told) in [
        ("claude-opus-4-6", "minimal", Some("low")),
        ("claude-sonnet-4-6-20260217", "medium", Some("medium")),
        ("anthropic/claude-opus-5", "high", Some("high")),
        ("claude-fable-5-20261001", "xhigh", Some("xhigh")),
        ("claude-opus-4-6", "none", None),
    ] {
        let told = told.map(|word| json!({"effort": word}));
        assert_eq!(effort(model, word), (told, 0), "{model} {word}");
    }
    for model in
        ["claude-opus-4-5-20251101", "claude-opus-4-20250514", "claude-3-5-haiku-20241022", "a-proxys-name"]
    {
        assert_eq!(effort(model, "high"), (None, 1), "{model}");
    }
}

#[test]
fn a_calls_name_keeps_to_the_letters_that_anthropic_takes() {
    let asked = json!({"model": "m", "messages": [
        {"role": "assistant", "tool_calls": [{"id": "functions.f:0", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"}]});
    let request = serde_json::to_value(converted(asked).request).unwrap();
    assert_eq!(request["messages"][0]["content"][0]["id"], "functions_f_0");
    assert_eq!(request["messages"][1]["content"][0]["tool_use_id"], "functions_f_0");
}

#[test]
fn cache_control_stays_where_it_was() {
    let mark = json!({"type": "ephemeral"});
    let request = converted(json!({"model": "m", "messages": [
        {"role": "system", "content": [{"type": "text", "text": "A long manual.", "cache_control": mark}]},
        {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": mark}]}]}))
    .request;
    let request = serde_json::to_value(request).unwrap();
    assert_eq!(request["system"], json!([{"type": "text", "text": "A long manual.", "cache_control": mark}]));
    assert_eq!(request["messages"][0]["content"][0]["cache_control"], mark);
}

#[test]
fn what_would_change_the_answer_is_refused_by_name() {
    let rows = [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"presence_penalty": 0.5}), "presence_penalty"),
        (json!({"functions": []}), "functions"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"stop": "\n"}), "stop"),
        (json!({"stop": ["END", " "]}), "stop"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}), "tools[0]"),
        (json!({"tools": [{"function": {"name": "x"}}], "tool_choice": "perhaps"}), "tool_choice"),
        (json!({"response_format": {"type": "grammar"}}), "response_format"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}}),
            "response_format.json_schema.schema",
        ),
        (json!({"messages": [{"role": "critic", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:text/html,x"}}]}]}),
            "messages[0].content[0].image_url.url",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ];
    for (fields, field) in rows {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(to_anthropic(&chat(body), "m").unwrap_err().field, field);
    }
    let harmless = json!({"model": "m", "messages": [], "n": 1, "logprobs": false, "presence_penalty": 0, "logit_bias": {}});
    assert!(to_anthropic(&chat(harmless), "m").is_ok());
}

fn reply(content: Value, stop_reason: &str, usage: Value) -> MessagesResponse {
    serde_json::from_value(
        json!({"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage}),
    )
    .unwrap()
}

#[test]
fn a_reply_with_tools_and_thinking_is_said_in_openais_words() {
    let content = json!([
        {"type": "thinking", "thinking": "They want a total.", "signature": "c2ln"},
        {"type": "text", "text": "I will look."},
        {"type": "tool_use", "id": "toolu_1", "name": "read_total", "input": {"page": 1}}]);
    let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 1000, "output_tokens": 42});
    let expected = json!({
        "id": "msg_01", "object": "chat.completion", "created": 1_795_218_187, "model": "claude-sonnet-4-5-20250929",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "I will look.", "reasoning_content": "They want a total.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "read_total", "arguments": "{\"page\":1}"}}]}}],
        "usage": {"prompt_tokens": 1210, "completion_tokens": 42, "total_tokens": 1252,
            "prompt_tokens_details": {"cached_tokens": 1000}, "cache_creation_input_tokens": 200}});
    let converted = to_openai(&reply(content, "tool_use", usage), None, 1_795_218_187);
    assert_eq!(serde_json::to_value(converted).unwrap(), expected);
}

#[test]
fn a_call_of_the_answers_own_tool_is_the_answer() {
    let content = json!([{"type": "text", "text": "Here:"}, {"type": "tool_use", "id": "t", "name": "route", "input": {"label": "refund"}}]);
    let converted = to_openai(&reply(content, "tool_use", json!({"output_tokens": 9})), Some("route"), 0);
    assert_eq!(converted.text().as_deref(), Some(r#"{"label":"refund"}"#));
    assert_eq!(converted.choices[0].finish_reason, Some(FinishReason::Stop));
    let usage = converted.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (None, Some(9), None));
}

#[test]
fn every_reason_to_stop_has_its_word_and_a_new_one_survives() {
    let rows = [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        ("sunset", "sunset"),
    ];
    for (anthropic, openai) in rows {
        assert_eq!(finish_reason_of(&anthropic.into()).as_str(), openai);
    }
}

#[test]
fn an_error_keeps_its_kind_and_its_sentence() {
    let body =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
    let error: ErrorBody = serde_json::from_str(body).unwrap();
    assert_eq!(serde_json::to_string(&error).unwrap(), body);
    let expected =
        json!({"error": {"message": "Overloaded", "type": "overloaded_error", "param": null, "code": null}});
    assert_eq!(serde_json::to_value(error_to_openai(&error.error)).unwrap(), expected);
    for (kind, message, code) in [
        ("rate_limit_error", "slow down", Some("rate_limit_exceeded")),
        ("not_found_error", "model: claude-9", Some("model_not_found")),
        ("not_found_error", "no such path", None),
        (
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            Some("context_length_exceeded"),
        ),
    ] {
        let told = error_to_openai(&ErrorBody::new(kind, message).error).error;
        assert_eq!((told.kind.as_deref(), told.code.as_deref()), (Some(kind), code), "{message}");
    }
}

/// A stream as Anthropic sends it.
fn wire(events: &[Value]) -> String {
    let mut bytes = String::new();
    for event in events {
        let name = event["type"].as_str().unwrap();
        crate::sse::SseEvent::named(name, event.to_string()).write_to(&mut bytes);
    }
    bytes
}

/// The chunks that a stream becomes whose bytes come in these pieces; the one with the usage last.
fn chunks<'a>(answer_tool: Option<&str>, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<ChatChunk> {
    let (mut parser, mut parsed) = (SseParser::new(), Vec::new());
    for piece in pieces {
        parser.push(piece, &mut parsed).unwrap();
    }
    let mut translator = StreamTranslator::new(answer_tool.map(str::to_owned), 1_795_218_187);
    let events = parsed.into_iter().map(|event| serde_json::from_str::<StreamEvent>(&event.data).unwrap());
    let mut chunks: Vec<ChatChunk> = events.filter_map(|event| translator.push(&event).unwrap()).collect();
    chunks.push(translator.usage_chunk());
    chunks
}

/// The events of a stream, translated and put together again.
fn streamed(answer_tool: Option<&str>, events: &[Value]) -> crate::openai::chat::ChatResponse {
    let mut pieces = ChunkAccumulator::new();
    for chunk in chunks(answer_tool, std::iter::once(wire(events).as_bytes())) {
        pieces.push(&chunk);
    }
    pieces.finish().unwrap()
}

fn stream_of(blocks: &[(Value, &[Value])], stop_reason: &str) -> Vec<Value> {
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "msg_01", "type": "message", "role": "assistant", "content": [],
            "model": "claude-sonnet-4-5-20250929", "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1}}}),
        json!({"type": "ping"}),
        json!({"type": "surprise", "of": "a newer version"}),
    ];
    for (index, (block, deltas)) in blocks.iter().enumerate() {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        events.extend(
            deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null}, "usage": {"output_tokens": 15}}));
    events.push(json!({"type": "message_stop"}));
    events
}

#[test]
fn a_stream_put_together_again_says_what_the_whole_reply_says() {
    let text = |text: &str| json!({"type": "text_delta", "text": text});
    let json_text = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let tool = |name: &str, input: Value| json!({"type": "tool_use", "id": format!("toolu_{name}"), "name": name, "input": input});
    let said = [text("Hel"), text("lo \u{1f41f}")];
    let thought = [
        json!({"type": "thinking_delta", "thinking": "Hm."}),
        json!({"type": "signature_delta", "signature": "c2ln"}),
    ];
    let arguments = [json_text(""), json_text("{\"page\""), json_text(":1}")];
    let label = [json_text("{\"label\":"), json_text("\"refund\"}")];
    let empty_text = json!({"type": "text", "text": ""});
    let whole_text = json!({"type": "text", "text": "Hello \u{1f41f}"});
    let empty_thought = json!({"type": "thinking", "thinking": ""});

    type Row<'a> = (&'a str, Option<&'a str>, Vec<(Value, &'a [Value])>, &'a str, Value);
    let rows: Vec<Row> = vec![
        ("text", None, vec![(empty_text.clone(), &said)], "end_turn", json!([whole_text])),
        (
            "thinking, then tools, one of them without arguments",
            None,
            vec![
                (empty_thought, &thought),
                (tool("read_total", json!({})), &arguments),
                (tool("read_date", json!({})), &arguments[..1]),
            ],
            "tool_use",
            json!([{"type": "thinking", "thinking": "Hm."}, tool("read_total", json!({"page": 1})), tool("read_date", json!({}))]),
        ),
        (
            "an answer by a schema, with text beside it",
            Some("route"),
            vec![(empty_text.clone(), &said), (tool("route", json!({})), &label)],
            "tool_use",
            json!([whole_text, tool("route", json!({"label": "refund"}))]),
        ),
        (
            "text where a schema was asked for",
            Some("route"),
            vec![(empty_text, &said)],
            "refusal",
            json!([whole_text]),
        ),
        (
            "arguments at the start of a block",
            None,
            vec![(tool("read_total", json!({"page": 1})), &[])],
            "tool_use",
            json!([tool("read_total", json!({"page": 1}))]),
        ),
    ];
    for (what, answer_tool, blocks, stop_reason, content) in rows {
        let usage = json!({"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 15});
        let whole = to_openai(&reply(content, stop_reason, usage), answer_tool, 1_795_218_187);
        let mut streamed = streamed(answer_tool, &stream_of(&blocks, stop_reason));
        let message = &mut streamed.choices[0].message;
        // A stream opens with an empty text, so that a message of tool calls only has "" where the whole has null.
        if message.text().as_deref() == Some("") {
            message.content = None;
        }
        assert_eq!(streamed, whole, "{what}");
    }
}

#[test]
fn an_error_in_the_middle_of_a_stream_is_an_error() {
    let event: StreamEvent = serde_json::from_value(
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    )
    .unwrap();
    let error = StreamTranslator::new(None, 0).push(&event).unwrap_err();
    assert_eq!(error.error.message, "Overloaded");
}

/// A stream with thinking, text and a tool call.
const A_STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"c","stop_reason":null,"usage":{"input_tokens":25,"output_tokens":1}}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

data: {"type":"content_block_stop","index":0}

data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"hello"}}

data: {"type":"content_block_stop","index":1}

data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}

data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}

data: {"type":"content_block_stop","index":2}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":15}}

data: {"type":"message_stop"}

"#;

proptest::proptest! {
    #[test]
    fn any_stream_becomes_pieces_that_openai_clients_read(
        stream in crate::mutated::mutated(A_STREAM),
        tool in proptest::option::of(proptest::sample::select(vec!["f", "g"])),
    ) {
        let (mut parser, mut events) = (SseParser::new(), Vec::new());
        parser.push(stream.as_bytes(), &mut events).unwrap();
        events.extend(parser.finish());
        let mut translator = StreamTranslator::new(tool.map(str::to_owned), 0);
        let mut whole = ChunkAccumulator::new();
        for event in events {
            let Ok(event) = serde_json::from_str::<StreamEvent>(&event.data) else { continue };
            let Ok(Some(chunk)) = translator.push(&event) else { continue };
            let written = serde_json::to_string(&chunk).unwrap();
            let read = parse_stream_data(&written).unwrap();
            proptest::prop_assert_eq!(read, StreamData::Chunk(Box::new(chunk.clone())));
            whole.push(&chunk);
        }
        whole.push(&translator.usage_chunk());
        let _ = whole.finish();
    }
}

/// A reply with everything: thinking, text beyond ASCII, two tools.
fn eventful() -> String {
    let text = |text: &str| json!({"type": "text_delta", "text": text});
    let arguments = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let tool =
        |name: &str| json!({"type": "tool_use", "id": format!("toolu_{name}"), "name": name, "input": {}});
    let thought = [json!({"type": "thinking_delta", "thinking": "Hm."})];
    let said = [text("Gr\u{fc}\u{df} Gott "), text("\u{1f41f}\n")];
    let (page, nothing) = ([arguments("{\"page\""), arguments(":1}")], []);
    wire(&stream_of(
        &[
            (json!({"type": "thinking", "thinking": ""}), &thought),
            (json!({"type": "text", "text": ""}), &said),
            (tool("read_total"), &page),
            (tool("read_date"), &nothing),
        ],
        "tool_use",
    ))
}

proptest! {
    #[test]
    fn a_stream_becomes_the_same_chunks_wherever_its_bytes_are_cut(
        answer_tool in proptest::option::of(Just("read_total")),
        mut cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
    ) {
        let bytes = eventful().into_bytes();
        let mut places: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(chunks(answer_tool, pieces), chunks(answer_tool, std::iter::once(&bytes[..])));
    }
}
