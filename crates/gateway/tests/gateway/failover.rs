//! Where one remote model fails, the next in declared order is asked.

use std::sync::Arc;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sprat_cascade::{Protocol, Remote};
use sprat_store::Ending;
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{Context, ModelError, ModelId, Money, OwnProcess, Upstream};

use crate::fakes::{Got, Script, Wire, World, event, remote, reply, usage_event};

/// A remote model that falls back on others, in this order.
fn with_fallback(first: Arc<Wire>, others: &[&Arc<Wire>]) -> Remote {
    let fallback = others.iter().map(|other| Arc::new(remote(other))).collect();
    Remote { fallback, ..remote(&first) }
}

fn answers(id: &str) -> Arc<Wire> {
    Wire::new(id, Script::json(200, reply(id)))
}

fn call(extra: Value) -> Value {
    let mut call = json!({"model": "first", "messages": [{"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    call
}

fn said(text: &str) -> Option<String> {
    Some(event(json!({"content": text}), None))
}

/// The reply of a first model with this script and a second that answers, and whether the second was asked.
async fn check(script: Script, extra: Value) -> (World, Got, usize) {
    let second = answers("second");
    let world = World::serving_only(vec![with_fallback(Wire::new("first", script), &[&second])]);
    let got = world.chat(call(extra)).await;
    (world, got, second.asked())
}

#[tokio::test]
async fn a_failure_of_the_provider_goes_to_the_next_and_every_attempt_is_a_step() {
    let error = |message: &str| json!({"error": {"message": message}});
    let scripts = [
        Script::Fail(ModelError::Timeout),
        Script::Fail(ModelError::Unavailable("nobody listens".into())),
        Script::Fail(ModelError::Busy { retry_after_ms: Some(9_000) }),
        Script::json(401, error("bad key")),
        Script::json(402, error("no money")),
        Script::json(408, error("too slow")),
        Script::json(429, error("slow down")),
        Script::json(500, error("on fire")),
        Script::json(503, error("down")),
        Script::Reply(200, vec![("content-type", "application/json")], vec![Some("{".into()), None]),
        Script::stream(vec![None]),
        Script::stream(vec![Some(event(json!({"role": "assistant"}), None)), None]),
        Script::stream(vec![Some("data: {\"error\": {\"message\": \"overloaded\"}}\n\n".into())]),
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        let (world, got, asked) = check(script, json!({"stream": number > 9})).await;
        assert_eq!((got.status, asked), (StatusCode::OK, 1), "{number}: {}", got.text);
        assert_eq!(got.json()["choices"][0]["message"]["content"], "second");
        assert_eq!(got.header("x-sprat-answered-by"), Some("second"));
        let [line] = &world.ledger()[..] else { panic!("one request, one line") };
        let steps: Vec<_> =
            line.steps.iter().map(|step| (step.model.as_str(), step.outcome.word())).collect();
        assert_eq!(steps, [("first", "failed"), ("second", "last")], "{number}");
        assert_eq!((line.ending, line.steps[1].usage.cost), (Ending::Large, Some(Money::from_micro(120))));
        let known = line.steps[0].usage.cost.map(|cost| cost + Money::from_micro(120));
        assert_eq!(line.cost, known, "{number}: the whole, or unknown");
        let told = known.map(|cost| cost.micro().to_string());
        assert_eq!(got.header("x-sprat-cost-micro-usd"), told.as_deref());
    }
}

#[tokio::test]
async fn a_fault_of_the_request_stands() {
    for status in [400, 404, 413, 422] {
        let error =
            json!({"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": null}});
        let (world, got, asked) = check(Script::json(status, error.clone()), json!({})).await;
        assert_eq!((got.status.as_u16(), got.json(), asked), (status, error, 0));
        assert_eq!(world.ledger()[0].steps.len(), 1);
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_goes_to_the_next_who_may_have_more_room() {
    let error = json!({"error": {"message": "too long", "code": "context_length_exceeded"}});
    let (world, got, asked) = check(Script::json(400, error), json!({})).await;
    assert_eq!((got.status, asked), (StatusCode::OK, 1), "{}", got.text);
    let entry = world.ledger().pop().unwrap();
    assert_eq!((entry.steps.len(), entry.ending), (2, Ending::Large));
}

/// A model of this machine.
struct Local(Arc<Wire>);

impl Upstream for Local {
    fn id(&self) -> &ModelId {
        self.0.id()
    }

    fn send<'a>(
        &'a self,
        cx: &'a Context,
        request: WireRequest,
    ) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        self.0.send(cx, request)
    }

    fn own_process(&self) -> Option<OwnProcess> {
        Some(OwnProcess { is_running: true, crashes: 2, last: None })
    }
}

#[tokio::test]
async fn a_model_of_this_machine_answers_those_alone_who_name_it() {
    let (far, near) = (answers("far"), answers("near"));
    let local = Remote { upstream: Arc::new(Local(near.clone())), ..remote(&near) };
    let world = World::serving_only(vec![remote(&far), local]);
    assert_eq!(world.chat(call(json!({"model": "auto"}))).await.status, StatusCode::OK);
    assert_eq!((far.asked(), near.asked()), (1, 0), "the only one of a provider is who `auto` means");
    assert_eq!(world.chat(call(json!({"model": "near"}))).await.status, StatusCode::OK);
    assert_eq!((far.asked(), near.asked()), (1, 1));
}

#[tokio::test]
async fn after_the_first_content_nothing_else_is_asked() {
    let (world, got, asked) = check(Script::stream(vec![said("hel"), None]), json!({"stream": true})).await;
    assert_eq!(asked, 0);
    assert!(got.events()[0].contains("hel") && got.events()[1].contains("upstream_error"), "{}", got.text);
    assert_eq!(world.ledger()[0].steps.len(), 1);
}

#[tokio::test]
async fn a_stream_goes_on_to_a_stream() {
    let pieces = vec![
        said("hello"),
        Some(event(json!({}), Some("stop"))),
        Some(usage_event()),
        Some("data: [DONE]\n\n".into()),
    ];
    let second = Wire::new("second", Script::stream(pieces));
    let first = Wire::new("first", Script::stream(vec![None]));
    let world = World::serving_only(vec![with_fallback(first, &[&second])]);
    let got = world.chat(call(json!({"stream": true}))).await;
    assert_eq!((got.events().len(), got.header("x-sprat-answered-by")), (3, Some("second")));
    let line = &world.ledger()[0];
    assert_eq!(
        (line.steps.len(), line.ending, line.cost),
        (2, Ending::Large, None),
        "the first may have cost something"
    );
}

#[tokio::test]
async fn they_are_asked_in_order_and_the_last_ones_words_are_the_reply() {
    let second = Wire::new("second", Script::json(500, json!({"error": {"message": "on fire"}})));
    let busy = vec![("retry-after", "7"), ("retry-after-ms", "7000")];
    let third = Wire::new(
        "third",
        Script::Reply(429, busy, vec![Some(json!({"error": {"message": "slow down"}}).to_string())]),
    );
    let first = Wire::new("first", Script::Fail(ModelError::Timeout));
    let world = World::serving_only(vec![with_fallback(first, &[&second, &third])]);
    let got = world.chat(call(json!({}))).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("7")));
    assert_eq!(got.json()["error"]["message"], "slow down");
    let line = &world.ledger()[0];
    let asked: Vec<&str> = line.steps.iter().map(|step| step.model.as_str()).collect();
    assert_eq!((asked, line.ending), (vec!["first", "second", "third"], Ending::Failed));
    third.plays(Script::Fail(ModelError::Busy { retry_after_ms: Some(3_000) }));
    let got = world.chat(call(json!({}))).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("3")));
    third.plays(Script::Fail(ModelError::Resting {
        why: "it failed too often".into(),
        retry_after_ms: 4_500,
    }));
    let got = world.chat(call(json!({}))).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
}

#[tokio::test]
async fn another_protocol_stands_in_where_it_can_say_the_same() {
    let told = json!({"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 100, "output_tokens": 10}});
    let claude = Wire::new("claude", Script::json(200, told));
    let first = Wire::new("first", Script::json(503, json!({"error": {"message": "down"}})));
    let protocol = Protocol::Anthropic { max_tokens: 4_096 };
    let stand_in = Remote { protocol, model: "claude-opus-4-6".into(), ..remote(&claude) };
    let world = World::serving_only(vec![Remote { fallback: vec![Arc::new(stand_in)], ..remote(&first) }]);
    let got = world.chat(call(json!({}))).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "hello");
    assert_eq!(
        (claude.sent()["model"].as_str(), first.sent()["model"].as_str()),
        (Some("claude-opus-4-6"), Some("big-1"))
    );
    let got = world.chat(call(json!({"n": 2}))).await;
    assert_eq!(
        (got.status, claude.asked()),
        (StatusCode::SERVICE_UNAVAILABLE, 1),
        "what it can't say it isn't asked"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_leaves_time_to_the_next() {
    for hangs in [vec![], vec![event(json!({"role": "assistant"}), None)]] {
        let (world, got, asked) = check(Script::Hang(hangs), json!({"stream": true})).await;
        assert_eq!((got.status, asked), (StatusCode::OK, 1), "{}", got.text);
        assert_eq!(world.ledger()[0].steps[0].outcome.word(), "failed");
    }
}

#[tokio::test]
async fn vectors_of_another_model_are_no_substitute() {
    let second = answers("second");
    let first = Wire::new("first", Script::json(503, json!({"error": {"message": "down"}})));
    let world = World::serving_only(vec![with_fallback(first, &[&second])]);
    let request = crate::fakes::request("/v1/embeddings", &[], json!({"model": "first", "input": "x"}));
    assert_eq!((world.send(request).await.status, second.asked()), (StatusCode::SERVICE_UNAVAILABLE, 0));
}
