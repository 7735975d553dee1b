//! OpenAI clients in front of a remote model that speaks Anthropic's protocol.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sprat_cascade::{Protocol, Remote};
use sprat_store::Ending;
use sprat_task::{Money, Price, Tokens};

use crate::fakes::{Script, Wire, World, remote};

/// A dollar a million tokens in, a tenth of that from the cache, a quarter more to write there, two dollars out.
fn claude(script: Script) -> (World, Arc<Wire>) {
    let wire = Wire::new("claude", script);
    let price = remote(&wire).price.unwrap();
    let price = Price { cached_input: Some(100_000), cache_write: Some(1_250_000), ..price };
    let protocol = Protocol::Anthropic { max_tokens: 4_096 };
    let remote = Remote { model: "claude-opus-4-6".into(), protocol, price: Some(price), ..remote(&wire) };
    (World::serving_only(vec![remote]), wire)
}

fn call(extra: Value) -> Value {
    let mut call = json!({"model": "claude", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    call
}

/// 10 tokens of prompt beside 1,000 from the cache and 200 to it, 10 of answer: 380 micro-dollars.
const COST: i64 = 10 + 100 + 250 + 20;

fn usage() -> Value {
    json!({"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 1_000, "output_tokens": 10})
}

fn message(content: Value, stop_reason: &str) -> Script {
    let reply = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6-20260101",
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage()});
    Script::json(200, reply)
}

fn event(event: Value) -> Option<String> {
    Some(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
}

fn start() -> Option<String> {
    let mut usage = usage();
    usage["output_tokens"] = json!(1);
    event(
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
        "model": "claude-opus-4-6-20260101", "stop_reason": null, "stop_sequence": null, "usage": usage}}),
    )
}

fn block(index: u32, block: Value) -> Option<String> {
    event(json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn delta(index: u32, delta: Value) -> Option<String> {
    event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn text(text: &str) -> Option<String> {
    delta(0, json!({"type": "text_delta", "text": text}))
}

fn stop_block(index: u32) -> Option<String> {
    event(json!({"type": "content_block_stop", "index": index}))
}

fn end(reason: &str) -> [Option<String>; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    [
        event(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 10}})),
        event(json!({"type": "message_stop"})),
    ]
}

fn said(words: &[&str]) -> Vec<Option<String>> {
    let ping = event(json!({"type": "ping"}));
    let mut events = vec![start(), block(0, json!({"type": "text", "text": ""})), ping];
    events.extend(words.iter().map(|word| text(word)));
    events.push(stop_block(0));
    events
}

#[tokio::test]
async fn a_call_is_said_in_anthropics_words_and_the_reply_in_openais() {
    let content = json!([{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}]);
    let (world, wire) = claude(message(content, "tool_use"));
    let headers =
        [("openai-organization", "org"), ("anthropic-beta", "b"), ("authorization", "Bearer client")];
    let asked = call(json!({
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "reasoning_effort": "low", "seed": 7, "max_tokens": 50, "top_k": 5,
    }));
    let got = world.chat_with(&headers, asked).await;
    assert_eq!(
        wire.sent(),
        json!({
            "model": "claude-opus-4-6", "max_tokens": 50, "system": "Be brief.",
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "output_config": {"effort": "low"}, "top_k": 5,
        })
    );
    let sent = wire.sent.lock().unwrap();
    assert_eq!(
        (sent[0].path.as_str(), &sent[0].headers[..]),
        ("/messages", &[("anthropic-beta".into(), "b".into())][..])
    );
    drop(sent);
    let mut told = got.json();
    assert!(told["created"].take().as_u64().unwrap() > 1_700_000_000, "in seconds since 1970");
    let call =
        json!({"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    assert_eq!(
        told,
        json!({
            "id": "msg_1", "object": "chat.completion", "created": null, "model": "claude-opus-4-6-20260101",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "I look.", "tool_calls": [call]}, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1_210, "completion_tokens": 10, "total_tokens": 1_220,
                "prompt_tokens_details": {"cached_tokens": 1_000}, "cache_creation_input_tokens": 200},
        })
    );
    assert_eq!((got.status, got.header("x-sprat-answered-by")), (StatusCode::OK, Some("claude")));
    assert_eq!(got.header("x-sprat-left-out"), Some("seed"));
    let step = world.ledger()[0].steps[0].clone();
    let tokens = Tokens { input: 1_210, cached_input: 1_000, cache_write: 200, output: 10 };
    assert_eq!((step.usage.tokens, step.usage.cost), (Some(tokens), Some(Money::from_micro(COST))));
}

#[tokio::test]
async fn a_schema_is_answered_in_the_messages_text() {
    let (world, wire) = claude(message(
        json!([{"type": "tool_use", "id": "t", "name": "team", "input": {"label": "refund"}}]),
        "tool_use",
    ));
    let schema = json!({"type": "object", "properties": {"label": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "team", "schema": schema}});
    let got = world.chat(call(json!({"response_format": format}))).await.json();
    assert_eq!(wire.sent()["tool_choice"], json!({"type": "tool", "name": "team"}));
    assert_eq!(wire.sent()["max_tokens"], 4_096, "the protocol wants a limit");
    let choice = &got["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!("{\"label\":\"refund\"}"), &json!("stop"))
    );
    assert!(choice["message"].get("tool_calls").is_none());
}

#[tokio::test]
async fn a_stream_comes_as_chunks_with_the_usage_only_where_asked_for() {
    for asks in [false, true] {
        let (world, wire) = claude(Script::stream([said(&["hel", "lo"]), end("end_turn").to_vec()].concat()));
        let got = world.chat(call(json!({"stream": true, "stream_options": {"include_usage": asks}}))).await;
        assert_eq!((&wire.sent()["stream"], wire.sent().get("stream_options")), (&json!(true), None));
        let events = got.events();
        let chunks: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
        let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
        let expected = [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "hel"}),
            json!({"content": "lo"}),
            json!({}),
        ];
        assert_eq!(deltas[..4], expected.iter().collect::<Vec<_>>());
        assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
        assert!(
            chunks.iter().all(|chunk| chunk["id"] == "msg_1" && chunk["object"] == "chat.completion.chunk")
        );
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        assert_eq!(chunks.len(), if asks { 5 } else { 4 });
        if asks {
            assert_eq!(
                (&chunks[4]["choices"], &chunks[4]["usage"]["prompt_tokens"]),
                (&json!([]), &json!(1_210))
            );
        }
        assert!(got.text.contains("usage") == asks && !got.text.contains("event:"), "{}", got.text);
        assert_eq!(world.ledger()[0].cost, Some(Money::from_micro(COST)), "metered either way");
    }
}

#[tokio::test]
async fn parallel_tool_calls_come_in_pieces_with_their_index() {
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let arguments =
        |index, json: &str| delta(index, json!({"type": "input_json_delta", "partial_json": json}));
    let events = vec![
        start(),
        block(0, tool("t0")),
        arguments(0, "{\"a\""),
        arguments(0, ":1}"),
        stop_block(0),
        block(1, tool("t1")),
        arguments(1, ""),
        stop_block(1),
    ];
    let (world, _) = claude(Script::stream([events, end("tool_use").to_vec()].concat()));
    let events = world.chat(call(json!({"stream": true}))).await.events();
    let calls = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let calls: Vec<Value> = calls
        .map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].clone())
        .filter(|call| !call.is_null())
        .collect();
    let begins = |index: u32, id: &str| json!({"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}});
    let goes_on = |index: u32, arguments: &str| json!({"index": index, "function": {"arguments": arguments}});
    assert_eq!(
        calls,
        [begins(0, "t0"), goes_on(0, "{\"a\""), goes_on(0, ":1}"), begins(1, "t1"), goes_on(1, "{}")]
    );
    assert!(events[events.len() - 2].contains("\"finish_reason\":\"tool_calls\""));
}

#[tokio::test]
async fn a_refusal_is_told_in_openais_four_keys_with_its_status_and_its_wish() {
    let error = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_u"});
    for (status, kind, message, told, code) in [
        (
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
            StatusCode::BAD_REQUEST,
            json!("context_length_exceeded"),
        ),
        (404, "not_found_error", "model: claude-9", StatusCode::NOT_FOUND, json!("model_not_found")),
        (429, "rate_limit_error", "slow down", StatusCode::TOO_MANY_REQUESTS, json!("rate_limit_exceeded")),
        (529, "overloaded_error", "Overloaded", StatusCode::SERVICE_UNAVAILABLE, Value::Null),
    ] {
        let headers = vec![("retry-after", "7"), ("request-id", "req_u")];
        let (world, _) = claude(Script::Reply(status, headers, vec![Some(error(kind, message).to_string())]));
        let got = world.chat(call(json!({}))).await;
        let expected = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
        assert_eq!((got.status, got.json()), (told, expected));
        assert_eq!(
            (got.header("retry-after"), got.header("x-upstream-request-id")),
            (Some("7"), Some("req_u"))
        );
    }
}

#[tokio::test]
async fn what_a_provider_says_of_its_key_is_not_for_clients() {
    let (world, _) = claude(Script::json(
        401,
        json!({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key sk-ant-1"}}),
    ));
    let got = world.chat(call(json!({}))).await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY, "the client's own key is not at fault");
    assert!(got.text.contains("did not accept its key") && !got.text.contains("sk-ant"), "{}", got.text);
}

#[tokio::test]
async fn what_the_protocol_cannot_say_is_refused_by_name_and_not_sent() {
    for (extra, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
        (json!({"temperature": 1.5}), "temperature"),
    ] {
        let (world, wire) = claude(Script::Fail(sprat_task::ModelError::Timeout));
        let got = world.chat(call(extra)).await;
        assert_eq!((got.status, &got.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)));
        assert_eq!(wire.asked(), 0);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_with_an_unknown_cost() {
    let overloaded =
        event(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    for broken in [None, overloaded, Some("event: x\ndata: {\n\n".to_owned())] {
        let (world, _) = claude(Script::stream(vec![start(), broken.clone()]));
        let got = world.chat(call(json!({"stream": true}))).await;
        assert!(
            got.status.is_server_error(),
            "before the first content it is an ordinary error: {}",
            got.text
        );
        let (world, _) = claude(Script::stream([said(&["hel"]), vec![broken]].concat()));
        let got = world.chat(call(json!({"stream": true}))).await;
        let last: Value = serde_json::from_str(got.events().last().unwrap()).unwrap();
        assert_eq!((got.status, &last["error"]["type"]), (StatusCode::OK, &json!("upstream_error")));
        let line = &world.ledger()[0];
        assert_eq!(
            (line.ending, line.cost),
            (Ending::Failed, None),
            "the counts at its beginning are not the bill"
        );
    }
}

#[tokio::test]
async fn a_stream_that_said_why_it_ended_is_whole_without_its_last_event() {
    let [ended, _] = end("max_tokens");
    let (world, _) = claude(Script::stream([said(&["hel"]), vec![ended]].concat()));
    let got = world.chat(call(json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
    let events = got.events();
    assert!(events[2].contains("\"length\"") && events[3].contains("\"usage\""), "{events:?}");
    assert_eq!((events.len(), events[4].as_str()), (5, "[DONE]"));
    assert_eq!(
        (world.ledger()[0].ending, world.ledger()[0].cost),
        (Ending::Large, Some(Money::from_micro(COST)))
    );
}

#[tokio::test]
async fn a_reply_of_another_protocol_is_told_apart() {
    let (world, _) = claude(Script::json(200, crate::fakes::reply("hello")));
    let got = world.chat(call(json!({}))).await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    assert!(got.text.contains("not one of Anthropic's protocol"), "{}", got.text);
    assert_eq!(world.ledger()[0].cost, None);
}

#[tokio::test]
async fn embeddings_are_not_among_what_it_serves() {
    let (world, wire) = claude(Script::Fail(sprat_task::ModelError::Timeout));
    let request = crate::fakes::request("/v1/embeddings", &[], json!({"model": "claude", "input": "x"}));
    assert_eq!(world.send(request).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(wire.asked(), 0);
}
