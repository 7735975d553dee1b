//! Who comes in, how often, and to what.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sprat_gateway::{Gateway, Settings, routes};
use sprat_task::Allowance;
use tower::ServiceExt;

use crate::fakes::{Got, PROMPT, Script, World, event, request, schema};

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

async fn ask(world: &World, key: &str, body: Value) -> Got {
    world.chat_with(&[("authorization", &bearer(key))], body).await
}

fn to(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "refund 0.97"}]})
}

#[tokio::test]
async fn where_there_are_keys_nothing_is_open_without_one() {
    let world = World::new();
    assert_eq!(world.ask("refund 0.97").await.status, StatusCode::OK, "no keys, no question");
    let key = world.key("web", Allowance::default());
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/moderations", "/v1/feedback", "/v1/nothing"] {
        for headers in [
            vec![],
            vec![("authorization", "Bearer")],
            vec![("authorization", "Bearer unused")],
            vec![("authorization", "Basic c3ByYXQ=")],
            vec![("x-api-key", "sprat-0")],
        ] {
            let got = world.send(request(path, &headers, to("tickets"))).await;
            let error = got.json()["error"].clone();
            assert_eq!((got.status, &error["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_api_key")));
            let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["message", "type", "param", "code"]);
            assert_eq!(
                (got.header("www-authenticate"), got.header("x-should-retry")),
                (Some("Bearer"), Some("false"))
            );
            assert!(got.header("x-request-id").unwrap().starts_with("req-"));
        }
    }
    let models = || Request::get("/v1/models");
    assert_eq!(world.send(models().body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let shown = models().header("authorization", bearer(&key)).body(Body::empty()).unwrap();
    assert_eq!(world.send(shown).await.status, StatusCode::OK);
    assert_eq!(ask(&world, &key, to("tickets")).await.status, StatusCode::OK);
    let as_anthropic = world.chat_with(&[("x-api-key", &key)], to("large")).await;
    assert_eq!(as_anthropic.status, StatusCode::OK);
    let sent = world.wire.sent.lock().unwrap();
    assert_eq!(sent[0].headers, [] as [(String, String); 0], "the key stays here");
    drop(sent);
    let keys: Vec<_> = world.ledger().into_iter().map(|line| line.key.map(|key| key.to_string())).collect();
    assert_eq!(keys, [None, Some("web".to_owned()), Some("web".to_owned())]);
}

#[tokio::test]
async fn a_gateway_without_the_workspace_s_secret_lets_nobody_in_where_there_are_keys() {
    let world = World::new();
    let key = world.key("web", Allowance::default());
    let other = Arc::new(Gateway::new(Settings::default(), world.store.clone()));
    let got = routes(other)
        .oneshot(request("/v1/chat/completions", &[("authorization", &bearer(&key))], to("tickets")))
        .await
        .unwrap();
    assert_eq!(got.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_that_is_revoked_rotated_or_expired_opens_nothing_more() {
    let world = World::new();
    let (one, other) = (world.key("one", Allowance::default()), world.key("other", Allowance::default()));
    assert_eq!(ask(&world, &one, to("tickets")).await.status, StatusCode::OK);
    world.store.keys().revoke(&"one".into(), 1).unwrap();
    world
        .store
        .keys()
        .rotate(&"other".into(), "sprat-0", crate::fakes::secret().digest("sprat-new"))
        .unwrap();
    let expired = sprat_store::Key {
        id: "old".into(),
        digest: crate::fakes::secret().digest("sprat-old"),
        expires_unix_ms: Some(1),
        ..world.store.keys().key(&"other".into()).unwrap()
    };
    world.store.keys().add(&expired).unwrap();
    world.gateway.load_keys().unwrap();
    for (key, says) in [(one.as_str(), "revoked"), (&other, "not one of"), ("sprat-old", "expired")] {
        let got = ask(&world, key, to("tickets")).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        assert!(got.json()["error"]["message"].as_str().unwrap().contains(says), "{}", got.text);
    }
    assert_eq!(ask(&world, "sprat-new", to("tickets")).await.status, StatusCode::OK);
    world.store.keys().revoke(&"other".into(), 1).unwrap();
    world.gateway.load_keys().unwrap();
    assert_eq!(
        world.ask("refund 0.97").await.status,
        StatusCode::UNAUTHORIZED,
        "the last one opens nothing either"
    );
}

#[tokio::test]
async fn a_key_may_use_what_its_lists_name_and_nothing_else() {
    let world = World::new();
    let task = world.key("task", Allowance { tasks: vec!["tickets".into()], ..Allowance::default() });
    let model = world.key("model", Allowance { models: vec!["large".into()], ..Allowance::default() });
    let both =
        Allowance { tasks: vec!["tickets".into()], models: vec!["large".into()], ..Allowance::default() };
    let both = world.key("both", both);
    for (key, name, status, by) in [
        (&task, "tickets", StatusCode::OK, Some("linear")),
        (&task, "large", StatusCode::FORBIDDEN, None),
        (&task, "big-1", StatusCode::FORBIDDEN, None),
        (&task, "auto", StatusCode::FORBIDDEN, None),
        (&model, "tickets", StatusCode::FORBIDDEN, None),
        (&model, "openai/big-1", StatusCode::OK, Some("large")),
        (&model, "auto", StatusCode::OK, Some("large")),
        (&both, "auto", StatusCode::OK, Some("linear")),
    ] {
        let mut call = to(name);
        if name == "auto" {
            call = json!({"model": "auto", "messages": [
                {"role": "system", "content": PROMPT}, {"role": "user", "content": "Ticket: refund 0.97"}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "t", "schema": schema()}}});
        }
        let got = ask(&world, key, call).await;
        assert_eq!((got.status, got.header("x-sprat-answered-by")), (status, by), "{name}: {}", got.text);
        if status == StatusCode::FORBIDDEN {
            assert_eq!(got.json()["error"]["code"], "not_allowed");
        }
    }
    let embedding = request(
        "/v1/embeddings",
        &[("authorization", &bearer(&task))],
        json!({"model": "large", "input": "x"}),
    );
    assert_eq!(world.send(embedding).await.status, StatusCode::FORBIDDEN);
    let models =
        Request::get("/v1/models").header("authorization", bearer(&task)).body(Body::empty()).unwrap();
    let got = world.send(models).await.json();
    let names: Vec<&Value> = got["data"].as_array().unwrap().iter().map(|entry| &entry["id"]).collect();
    assert_eq!(names, ["tickets", "auto"]);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_it_may() {
    let world = World::new();
    let key = world.key("web", Allowance { requests_per_minute: Some(2), ..Allowance::default() });
    let first = ask(&world, &key, to("tickets")).await;
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert!(first.header("x-ratelimit-reset-requests").is_some());
    assert_eq!(ask(&world, &key, to("tickets")).await.status, StatusCode::OK);
    let got = ask(&world, &key, to("tickets")).await;
    assert_eq!(
        (got.status, &got.json()["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limit_exceeded"))
    );
    assert_eq!(got.header("x-should-retry"), None, "later it may");
    let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(got.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(world.small.asked(), 2);
}

#[tokio::test]
async fn tokens_are_counted_when_they_are_used_and_small_answers_use_none() {
    let world = World::new();
    let key = world.key("web", Allowance { tokens_per_minute: Some(1_000), ..Allowance::default() });
    let small = ask(&world, &key, to("tickets")).await;
    assert_eq!(small.header("x-ratelimit-remaining-tokens"), Some("1000"));
    let mut call = to("large");
    call["max_tokens"] = json!(50);
    let large = ask(&world, &key, call.clone()).await;
    let left: u64 = large.header("x-ratelimit-remaining-tokens").unwrap().parse().unwrap();
    assert!((890..=900).contains(&left), "110 were used: {left}");
    call["max_tokens"] = json!(5_000);
    let got = ask(&world, &key, call).await;
    assert_eq!((got.status, got.header("x-should-retry")), (StatusCode::TOO_MANY_REQUESTS, Some("false")));
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("max_tokens"), "{}", got.text);
}

#[tokio::test]
async fn a_stream_holds_its_place_to_its_end() {
    let world = World::new();
    let key = world.key("web", Allowance { concurrency: Some(1), ..Allowance::default() });
    world.wire.plays(Script::Hang(vec![event(json!({"content": "hel"}), None)]));
    let mut call = to("large");
    call["stream"] = json!(true);
    let running = routes(world.gateway.clone())
        .oneshot(request("/v1/chat/completions", &[("authorization", &bearer(&key))], call))
        .await
        .unwrap();
    let got = ask(&world, &key, to("tickets")).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    drop(running);
    assert_eq!(ask(&world, &key, to("tickets")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_changed_key_counts_within_two_seconds() {
    let world = World::new();
    let key = world.key("web", Allowance::default());
    let cancel = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(sprat_gateway::keys::Keyring::follow(world.gateway.clone(), cancel.clone()));
    assert_eq!(ask(&world, &key, to("tickets")).await.status, StatusCode::OK);
    world.store.keys().revoke(&"web".into(), 1).unwrap();
    // Time is the real one here: the store is read on a thread that the runtime's own clock doesn't wait for.
    let refused = async {
        while ask(&world, &key, to("tickets")).await.status == StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("it is told in time");
    cancel.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_key_is_nowhere_in_what_is_kept_or_shown() {
    let world = World::new();
    let key = world.key("web", Allowance::default());
    ask(&world, &key, to("tickets")).await;
    ask(&world, &format!("{key}x"), to("tickets")).await;
    world.store.ledger().settle().unwrap();
    let mut looked_at = 0;
    let mut folders = vec![world.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            looked_at += 1;
            let bytes = std::fs::read(&path).unwrap();
            // The first characters are kept to recognise it by; the rest is nowhere.
            let rest = &key.as_bytes()[16..48];
            assert!(!bytes.windows(rest.len()).any(|window| window == rest), "{}", path.display());
        }
    }
    assert!(looked_at > 1, "a database and its log");
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let body = sprat_gateway::management(world.gateway.clone()).oneshot(request).await.unwrap().into_body();
    let metrics = String::from_utf8(axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    for line in ["sprat_key_requests_total{key=\"web\"} 1", "sprat_refused_total{key=\"\",why=\"key\"} 1"] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(!metrics.contains(&key[6..]));
}
