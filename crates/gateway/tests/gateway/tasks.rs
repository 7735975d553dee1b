//! A task asked for by its name.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sprat_cascade::Cache;
use sprat_gateway::Settings;
use sprat_store::Ending;
use sprat_task::{Allowance, Money};

use crate::fakes::World;

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[tokio::test]
async fn a_sure_small_model_answers_alone_and_the_reply_says_so() {
    let world = World::new();
    let got = world.ask("refund 0.97").await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    let reply = got.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "refund");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!((&reply["object"], &reply["model"]), (&json!("chat.completion"), &json!("tickets")));
    assert_eq!(reply["usage"]["total_tokens"], 0, "no language model was asked");
    for (name, value) in [
        ("x-sprat-task", "tickets"),
        ("x-sprat-answered-by", "linear"),
        ("x-sprat-escalated", "false"),
        ("x-sprat-certificate", "certified"),
        ("x-sprat-release", "tickets@3"),
        ("x-sprat-threshold", "0.900000"),
        ("x-sprat-cost-micro-usd", "0"),
        ("x-sprat-baseline-micro-usd", "110"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    let confidence: f64 = got.header("x-sprat-confidence").unwrap().parse().unwrap();
    assert!((confidence - 0.97).abs() < 0.01, "{confidence}");
    assert!(got.header("x-sprat-overhead-us").is_some());
    assert_eq!(world.large.asked(), 0);
    let [line] = &world.ledger()[..] else { panic!("one request, one line") };
    assert_eq!(line.request.as_str(), got.header("x-request-id").unwrap());
    assert_eq!(
        (line.ending, line.cost, line.baseline_is_estimated),
        (Ending::Small, Some(Money::ZERO), true)
    );
}

#[tokio::test]
async fn an_unsure_small_model_is_charged_and_the_large_one_answers() {
    let world = World::new();
    let got = world.ask("delivery 0.5").await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "delivery");
    assert_eq!(
        (got.header("x-sprat-answered-by"), got.header("x-sprat-escalated")),
        (Some("large"), Some("true"))
    );
    assert_eq!(got.json()["usage"]["prompt_tokens"], 10);
    let [line] = &world.ledger()[..] else { panic!("one request, one line") };
    assert_eq!((line.ending, line.cost, line.steps.len()), (Ending::Large, Some(Money::from_micro(100)), 2));
    assert_eq!((line.baseline_all_large, line.baseline_is_estimated), (Some(Money::from_micro(100)), false));
}

#[tokio::test]
async fn a_stream_carries_the_same_answer_and_the_usage_only_where_asked() {
    let world = World::new();
    for (options, chunks) in [(json!({}), 3), (json!({"include_usage": true}), 4)] {
        let body = json!({"model": "tickets", "messages": user("refund 0.97"), "stream": true, "stream_options": options});
        let got = world.chat(body).await;
        assert!(got.header("content-type").unwrap().starts_with("text/event-stream"));
        let events = got.events();
        assert_eq!((events.len(), events.last().unwrap().as_str()), (chunks, "[DONE]"), "{events:?}");
        let first: Value = serde_json::from_str(&events[0]).unwrap();
        assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": "refund"}));
        if chunks == 4 {
            let usage: Value = serde_json::from_str(&events[2]).unwrap();
            assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(0)));
        }
    }
}

#[tokio::test]
async fn the_answer_takes_the_form_that_the_schema_asks_for() {
    let world = World::new();
    let schema = json!({"type": "object", "properties": {"team": {"enum": ["refund", "delivery"]}}, "required": ["team"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}});
    let got = world
        .chat(json!({"model": "tickets", "messages": user("refund 0.97"), "response_format": format}))
        .await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "{\"team\":\"refund\"}");
    let other = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}});
    let got = world
        .chat(json!({"model": "tickets", "messages": user("refund 0.97"), "response_format": other}))
        .await;
    assert_eq!(
        (got.status, &got.json()["error"]["param"]),
        (StatusCode::BAD_REQUEST, &json!("response_format"))
    );
}

#[tokio::test]
async fn what_a_task_cannot_honour_is_refused_by_name_and_costs_nothing() {
    let world = World::new();
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]);
    for (field, value, messages) in [
        ("tools", tool, user("refund 0.97")),
        ("n", json!(2), user("refund 0.97")),
        ("logprobs", json!(true), user("refund 0.97")),
        ("messages", Value::Null, image),
        ("messages", Value::Null, json!([{"role": "system", "content": "x"}])),
        ("messages", Value::Null, json!([])),
    ] {
        let mut body = json!({"model": "tickets", "messages": messages});
        if !value.is_null() {
            body[field] = value;
        }
        let got = world.chat(body).await;
        let error = &got.json()["error"];
        assert_eq!((got.status, &error["param"]), (StatusCode::BAD_REQUEST, &json!(field)), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error.as_object().unwrap().contains_key("code"));
    }
    assert_eq!((world.small.asked(), world.large.asked(), world.ledger().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_conversation_is_the_large_models_with_all_that_was_said() {
    let world = World::new();
    let messages = json!([{"role": "user", "content": "refund 0.99"}, {"role": "assistant", "content": "sure?"},
        {"role": "user", "content": "yes 0.99"}]);
    let got = world.chat(json!({"model": "tickets", "messages": messages})).await;
    assert_eq!(got.header("x-sprat-answered-by"), Some("large"), "{}", got.text);
    assert_eq!(world.small.asked(), 0);
    assert_eq!(
        world.large.texts.lock().unwrap()[0],
        "user: refund 0.99\n\nassistant: sure?\n\nuser: yes 0.99"
    );
}

#[tokio::test]
async fn the_client_may_choose_who_answers_and_how_much_error_it_takes() {
    let world = World::new();
    let body = || json!({"model": "tickets", "messages": user("refund 0.97")});
    for (header, value, by) in [
        ("x-sprat-mode", "large-only", "large"),
        ("x-sprat-mode", "shadow", "large"),
        ("x-sprat-mode", "small-only", "linear"),
        ("x-sprat-max-error", "0.02", "large"),
        ("x-sprat-max-error", "0.05", "linear"),
    ] {
        let got = world.chat_with(&[(header, value)], body()).await;
        assert_eq!(got.header("x-sprat-answered-by"), Some(by), "{header}: {value}");
    }
    let unsure = json!({"model": "tickets", "messages": user("refund 0.5")});
    let got = world.chat_with(&[("x-sprat-mode", "small-only")], unsure).await;
    assert_eq!(
        (got.status, &got.json()["error"]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_answer"))
    );
    for (header, value) in [("x-sprat-mode", "fast"), ("x-sprat-max-error", "5%")] {
        let got = world.chat_with(&[(header, value)], body()).await;
        assert_eq!((got.status, &got.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(header)));
    }
}

#[tokio::test]
async fn in_shadow_the_large_model_answers_and_the_small_one_only_watches() {
    let world = World::with(Settings { shadow: true, ..Settings::default() });
    for text in ["refund 0.97", "delivery 0.5"] {
        assert_eq!(world.ask(text).await.header("x-sprat-answered-by"), Some("large"));
    }
    while world.small.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.large.asked(), 2);
    assert!(world.ledger().iter().all(|line| line.steps.len() == 1), "what watches is no step of the answer");
}

#[tokio::test]
async fn a_large_model_that_fails_is_an_error_that_clients_understand() {
    let world = World::new();
    let got = world.ask("busy").await;
    assert_eq!(
        (got.status, got.header("retry-after"), got.header("retry-after-ms")),
        (StatusCode::TOO_MANY_REQUESTS, Some("2"), Some("1500"))
    );
    assert_eq!(got.json()["error"]["code"], "rate_limit_exceeded");
    let got = world.ask("slow").await;
    assert_eq!(got.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(world.ledger().iter().all(|line| line.ending == Ending::Failed && line.answered_by.is_none()));
}

#[tokio::test]
async fn a_text_that_was_answered_small_is_answered_again_without_asking_and_audited_all_the_same() {
    let world = World::serving(|serving| serving.cache = Cache::default());
    world.gateway.auditor().set_rate("tickets", 1.0);
    let first = world.ask("refund 0.95").await;
    let again = world.ask("refund 0.95").await;
    assert_eq!(world.small.asked(), 1);
    assert_eq!(again.json()["choices"], first.json()["choices"]);
    assert_eq!(again.header("x-sprat-answered-by"), Some("cache"));
    for name in ["x-sprat-confidence", "x-sprat-threshold", "x-sprat-certificate", "x-sprat-escalated"] {
        assert!(again.header(name).is_some() && again.header(name) == first.header(name), "{name}");
    }
    assert_eq!(again.header("x-sprat-cost-micro-usd"), Some("0"));
    world.gateway.quiet().await;
    let lines = world.ledger();
    let by = lines.iter().map(|line| line.answered_by.as_ref().unwrap().as_str());
    let mut by: Vec<&str> = by.collect();
    by.sort_unstable();
    assert_eq!(by, ["cache", "large", "large", "linear"], "both answers were audited");
}

#[tokio::test]
async fn what_the_large_model_answered_or_another_key_asked_is_asked_again() {
    let world = World::serving(|serving| serving.cache = Cache::default());
    for _ in 0..2 {
        world.ask("refund 0.5").await;
    }
    assert_eq!((world.small.asked(), world.large.asked()), (2, 2));
    for key in ["one", "other"] {
        let bearer = format!("Bearer {}", world.key(key, Allowance::default()));
        let body = json!({"model": "tickets", "messages": [{"role": "user", "content": "refund 0.95"}]});
        let got = world.chat_with(&[("authorization", &bearer)], body).await;
        assert_eq!(got.header("x-sprat-answered-by"), Some("linear"), "{}", got.text);
    }
    assert_eq!(world.small.asked(), 4);
}
