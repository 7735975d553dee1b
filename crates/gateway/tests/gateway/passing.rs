//! Calls passed on to a remote model: whole and in pieces, well and broken.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::StreamExt;
use serde_json::{Value, json};
use sprat_gateway::routes;
use sprat_store::Ending;
use sprat_task::{ModelError, Money, Outcome};
use tower::ServiceExt;

use crate::fakes::{Script, World, event, reply, request, usage_event};

fn call(extra: Value) -> Value {
    let mut call = json!({"model": "openai/big-1", "messages": [{"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    call
}

fn stream(pieces: Vec<Option<String>>) -> Script {
    Script::Reply(200, vec![("content-type", "text/event-stream"), ("x-request-id", "theirs")], pieces)
}

fn said(text: &str) -> Option<String> {
    Some(event(json!({"content": text}), None))
}

#[tokio::test]
async fn a_reply_comes_as_it_was_and_its_usage_is_charged() {
    let world = World::new();
    let body =
        call(json!({"tools": [{"type": "function", "function": {"name": "f"}}], "reasoning_effort": "low"}));
    let got = world
        .chat_with(
            &[("x-sprat-mode", "auto"), ("openai-beta", "x"), ("authorization", "Bearer client")],
            body,
        )
        .await;
    assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, reply("hello").as_str()), "byte for byte");
    let sent = world.wire.sent.lock().unwrap();
    assert_eq!(
        sent[0].headers,
        [("openai-beta".to_owned(), "x".to_owned())],
        "the client's key and our headers stay here"
    );
    assert_eq!(sent[0].path, "/chat/completions");
    drop(sent);
    assert_eq!(world.wire.sent()["reasoning_effort"], "low");
    assert_eq!(got.header("x-sprat-cost-micro-usd"), Some("120"));
    assert_eq!(world.ledger()[0].cost, Some(Money::from_micro(120)));
}

#[tokio::test]
async fn a_refusal_keeps_its_status_its_words_and_its_headers() {
    let world = World::new();
    let theirs =
        r#"{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    world.wire.plays(Script::Reply(
        429,
        vec![("retry-after", "7"), ("x-request-id", "theirs")],
        vec![Some(theirs.into())],
    ));
    let got = world.chat(call(json!({}))).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("7")));
    assert_eq!(got.json(), serde_json::from_str::<Value>(theirs).unwrap());
    assert_eq!(got.header("x-upstream-request-id"), Some("theirs"));
    assert!(got.header("x-request-id").unwrap().starts_with("req-"));
    world.wire.plays(Script::Reply(502, vec![("content-type", "text/html")], vec![Some("<html>".into())]));
    let got = world.chat(call(json!({}))).await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("502"), "{}", got.text);
    let ledger = world.ledger();
    assert_eq!((ledger[0].cost, ledger[1].cost), (Some(Money::ZERO), None), "a 502 may have cost something");
}

#[tokio::test]
async fn a_stream_comes_in_its_pieces_and_the_usage_we_asked_for_stays_here() {
    let world = World::new();
    let pieces = || {
        stream(vec![
            Some(event(json!({"role": "assistant"}), None)),
            said("hel"),
            said("lo"),
            Some(event(json!({}), Some("stop"))),
            Some(usage_event()),
            Some("data: [DONE]\n\n".into()),
        ])
    };
    world.wire.plays(pieces());
    let got = world.chat(call(json!({"stream": true}))).await;
    assert_eq!(world.wire.sent()["stream_options"], json!({"include_usage": true}));
    let events = got.events();
    assert_eq!((events.len(), events[4].as_str()), (5, "[DONE]"), "{events:?}");
    assert!(!got.text.contains("usage"));
    assert_eq!(world.ledger()[0].cost, Some(Money::from_micro(120)));
    world.wire.plays(pieces());
    let got = world.chat(call(json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
    assert_eq!(got.events().len(), 6);
    assert_eq!(world.ledger().len(), 2);
}

#[tokio::test]
async fn tool_calls_come_in_pieces_with_their_index() {
    let world = World::new();
    let tool = json!({"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    world.wire.plays(stream(vec![
        Some(event(tool, None)),
        Some(event(json!({}), Some("tool_calls"))),
        Some("data: [DONE]\n\n".into()),
    ]));
    let events = world.chat(call(json!({"stream": true}))).await.events();
    let first: Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(first["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
    assert!(events[1].contains("\"tool_calls\""));
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_content_is_an_ordinary_error() {
    let world = World::new();
    for pieces in [vec![], vec![None], vec![Some(event(json!({"role": "assistant"}), None)), None]] {
        world.wire.plays(stream(pieces));
        let got = world.chat(call(json!({"stream": true}))).await;
        assert_eq!(
            (got.status, &got.json()["error"]["type"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("upstream_error"))
        );
    }
    assert!(
        world.ledger().iter().all(|line| line.ending == Ending::Failed && line.cost.is_none()),
        "unknown, not nothing"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_later_ends_with_an_error_event_and_no_done() {
    let world = World::new();
    for end in
        [vec![None], vec![], vec![Some("data: {\"error\": {\"message\": \"overloaded\"}}\n\n".to_owned())]]
    {
        world.wire.plays(stream([vec![said("hel")], end].concat()));
        let got = world.chat(call(json!({"stream": true}))).await;
        assert_eq!(got.status, StatusCode::OK);
        let events = got.events();
        let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
        assert_eq!((events.len(), last["error"]["type"].as_str()), (2, Some("upstream_error")), "{events:?}");
    }
    assert!(world.ledger().iter().all(|line| line.ending == Ending::Failed && line.cost.is_none()));
}

#[tokio::test]
async fn a_stream_without_done_that_said_why_it_ended_is_whole() {
    let world = World::new();
    world.wire.plays(stream(vec![said("hello"), Some(event(json!({}), Some("stop")))]));
    let got = world.chat(call(json!({"stream": true}))).await;
    assert_eq!(got.events().last().unwrap(), "[DONE]");
    assert_eq!(
        (world.ledger()[0].ending, world.ledger()[0].cost),
        (Ending::Large, None),
        "nobody said what it used"
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_recorded_with_an_unknown_cost() {
    let world = World::new();
    world.wire.plays(Script::Hang(vec![event(json!({"content": "hel"}), None)]));
    let body = call(json!({"stream": true}));
    let response =
        routes(world.gateway.clone()).oneshot(request("/v1/chat/completions", &[], body)).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.unwrap().is_ok(), "the first content has come");
    assert_eq!(world.ledger().len(), 0);
    drop(body);
    let [line] = &world.ledger()[..] else { panic!("one request, one line") };
    assert_eq!((line.ending, line.cost), (Ending::Failed, None));
    assert_eq!(line.steps[0].outcome, Outcome::Failed(ModelError::Cancelled));
}

#[tokio::test]
async fn an_upstream_that_cannot_be_asked_is_told_by_what_is_wrong() {
    let world = World::new();
    for (error, status) in [
        (ModelError::Timeout, StatusCode::GATEWAY_TIMEOUT),
        (ModelError::Unavailable("down".into()), StatusCode::SERVICE_UNAVAILABLE),
        (ModelError::Refused("401".into()), StatusCode::BAD_GATEWAY),
    ] {
        world.wire.plays(Script::Fail(error));
        assert_eq!(world.chat(call(json!({}))).await.status, status);
    }
}

#[tokio::test]
async fn embeddings_and_moderations_are_passed_on() {
    let world = World::new();
    for path in ["/v1/embeddings", "/v1/moderations"] {
        let theirs = r#"{"data":[],"usage":{"prompt_tokens":50,"total_tokens":50}}"#;
        world.wire.plays(Script::Reply(
            200,
            vec![("content-type", "application/json")],
            vec![Some(theirs.into())],
        ));
        let got =
            world.send(request(path, &[], json!({"model": "large", "input": "x", "dimensions": 8}))).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, theirs));
        assert_eq!(world.wire.sent(), json!({"model": "big-1", "input": "x", "dimensions": 8}));
    }
    assert_eq!(world.ledger()[0].cost, Some(Money::from_micro(50)));
}

#[tokio::test]
async fn many_streams_at_once_keep_their_own_words() {
    let world = Arc::new(World::new());
    world.wire.plays(stream(vec![
        said("hel"),
        said("lo"),
        Some(event(json!({}), Some("stop"))),
        Some(usage_event()),
        Some("data: [DONE]\n\n".into()),
    ]));
    let all = (0..64).map(|_| {
        let world = world.clone();
        tokio::spawn(async move { world.chat(call(json!({"stream": true}))).await.events().len() })
    });
    for events in futures::future::join_all(all).await {
        assert_eq!(events.unwrap(), 4);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let total: Money = world.ledger().iter().filter_map(|line| line.cost).sum();
    assert_eq!(total, Money::from_micro(64 * 120), "the ledger is the upstream's own bill");
}
