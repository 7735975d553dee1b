//! What is around the answers: names, limits, feedback, health, and what changes while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sprat_cascade::{Deployed, Deployment, LadderLoader};
use sprat_gateway::server::ServeError;
use sprat_gateway::{Addresses, Gateway, Server, Settings, management, routes};
use sprat_store::Thumb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::fakes::{Got, Says, Script, World, event, request, serving};

#[tokio::test]
async fn every_name_that_a_request_may_give_is_listed_and_every_other_is_an_error() {
    let world = World::new();
    let got = world.send(Request::get("/v1/models").body(Body::empty()).unwrap()).await;
    let names: Vec<Value> =
        got.json()["data"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect();
    assert_eq!(names, ["tickets", "large", "auto"]);
    let got = world.chat(json!({"model": "gpt-9", "messages": [{"role": "user", "content": "hi"}]})).await;
    let error = &got.json()["error"];
    assert_eq!((got.status, &error["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    assert!(error["message"].as_str().unwrap().ends_with("there are: tickets, large, auto"), "{error}");
}

#[tokio::test]
async fn each_name_that_is_listed_can_be_asked_for() {
    let world = World::new();
    let get = |name: &str| Request::get(format!("/v1/models/{name}")).body(Body::empty()).unwrap();
    for name in ["tickets", "large", "auto"] {
        let got = world.send(get(name)).await;
        assert_eq!((got.status, &got.json()["id"]), (StatusCode::OK, &json!(name)));
        assert_eq!(got.json()["object"], "model");
    }
    // A name with a slash in it, as clients send it and as people type it.
    for name in ["some%2Fone", "some/one"] {
        let got = world.send(get(name)).await;
        let error = &got.json()["error"];
        assert_eq!((got.status, &error["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
        assert!(error["message"].as_str().unwrap().contains("`some/one`"), "{error}");
    }
}

#[tokio::test]
async fn bad_requests_are_told_in_openais_four_keys() {
    let world = World::new();
    let raw = |method: &str, path: &str, body: &str| {
        Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap()
    };
    for (request, status, says) in [
        (raw("POST", "/v1/chat/completions", "{\"model\": 3}"), StatusCode::BAD_REQUEST, "line 1"),
        (raw("POST", "/v1/chat/completions", "{\"model\""), StatusCode::BAD_REQUEST, "line 1"),
        (raw("POST", "/v1/chat/completions", ""), StatusCode::BAD_REQUEST, "can't be read"),
        (raw("GET", "/v1/chat/completions", ""), StatusCode::METHOD_NOT_ALLOWED, "doesn't take GET"),
        (raw("POST", "/v1/completions", "{}"), StatusCode::NOT_FOUND, "/v1/completions"),
        (raw("POST", "/v1/embeddings", "{}"), StatusCode::BAD_REQUEST, "`model`"),
    ] {
        let got = world.send(request).await;
        assert_eq!(got.status, status, "{}", got.text);
        let json = got.json();
        let keys: Vec<&String> = json["error"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
        assert!(json["error"]["message"].as_str().unwrap().contains(says), "{json}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_the_next_request_is_served() {
    let world = World::with(Settings { body_limit: 1_000, ..Settings::default() });
    assert_eq!(world.ask(&"x".repeat(2_000)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.ask("refund 0.97").await.status, StatusCode::OK);
}

#[tokio::test]
async fn more_requests_than_places_are_told_to_come_back() {
    let world = World::with(Settings { most_at_once: 1, ..Settings::default() });
    world.wire.plays(Script::Hang(vec![event(json!({"content": "hel"}), None)]));
    let body = json!({"model": "large", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let running =
        routes(world.gateway.clone()).oneshot(request("/v1/chat/completions", &[], body)).await.unwrap();
    let got = world.ask("refund 0.97").await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    drop(running);
    assert_eq!(world.ask("refund 0.97").await.status, StatusCode::OK, "the place is free again");
}

#[tokio::test]
async fn feedback_is_kept_with_the_request_it_is_about() {
    let world = World::new();
    let id = world.ask("refund 0.97").await.header("x-request-id").unwrap().to_owned();
    let say = |body: Value| world.send(request("/v1/feedback", &[], body));
    assert_eq!(
        say(json!({"request_id": id, "label": "delivery", "thumbs": "down"})).await.status,
        StatusCode::OK
    );
    let kept = world.store.feedback().of_request(&id.as_str().into()).unwrap();
    assert_eq!((kept.len(), kept[0].thumb), (1, Some(Thumb::Down)));
    for (body, status) in [
        (json!({"request_id": id, "label": "nonsense"}), StatusCode::BAD_REQUEST),
        (json!({"request_id": id}), StatusCode::BAD_REQUEST),
        (json!({"request_id": "req-0", "thumbs": "up"}), StatusCode::NOT_FOUND),
    ] {
        let got = say(body).await;
        assert_eq!(got.status, status, "{}", got.text);
    }
}

/// Loads release after release.
struct Releases {
    generation: AtomicU64,
    broken: AtomicU64,
}

impl LadderLoader for Releases {
    fn generation(&self) -> Result<u64, String> {
        Ok(self.generation.load(Ordering::SeqCst))
    }

    fn load<'a>(&'a self) -> BoxFuture<'a, Result<Deployed, String>> {
        Box::pin(async move {
            let generation = self.generation()?;
            if generation == self.broken.load(Ordering::SeqCst) {
                return Err("the disk is away".to_owned());
            }
            let mut serving = serving(&Says::new("linear", 0), &Says::new("large", 100));
            serving.release.as_mut().unwrap().version = generation as u32;
            Ok(Deployed { tasks: vec![Deployment::of(serving)], ..Deployed::default() })
        })
    }
}

async fn operators(gateway: &Arc<Gateway>, path: &str) -> Got {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = management(gateway.clone()).oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

#[tokio::test(start_paused = true)]
async fn a_promotion_is_served_within_two_seconds_and_what_cannot_be_loaded_changes_nothing() {
    let world = World::new();
    let loader = Releases { generation: AtomicU64::new(7), broken: AtomicU64::new(8) };
    let cancel = CancellationToken::new();
    let following = world.gateway.current().follow(&loader, &cancel);
    let changing = async {
        let release =
            || world.gateway.current().deployed().tasks["tickets"].live.release.clone().unwrap().version;
        for (generation, served) in [(7, 7), (8, 7), (9, 9)] {
            loader.generation.store(generation, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(release(), served);
        }
        cancel.cancel();
    };
    tokio::join!(following, changing);
}

#[tokio::test]
async fn operators_see_health_readiness_and_what_was_done() {
    let world = World::new();
    assert_eq!(operators(&world.gateway, "/health").await.json()["product"], "sprat");
    let ready = operators(&world.gateway, "/health/readiness").await;
    assert_eq!((ready.status, &ready.json()["tasks"][0]["release"]), (StatusCode::OK, &json!("tickets@3")));
    let empty = Arc::new(Gateway::new(Settings::default(), world.store.clone()));
    assert_eq!(operators(&empty, "/health/readiness").await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.ask("refund 0.97").await;
    world.ask("delivery 0.5").await;
    let metrics = operators(&world.gateway, "/metrics").await.text;
    for line in [
        "sprat_requests_total{task=\"tickets\",ending=\"small\"} 1",
        "sprat_requests_total{task=\"tickets\",ending=\"large\"} 1",
        "sprat_cost_micro_usd_total{task=\"tickets\"} 100",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_server_answers_over_sockets_and_leaves_with_its_ledger_written() {
    let world = World::new();
    let loader = Arc::new(Releases { generation: AtomicU64::new(1), broken: AtomicU64::new(0) });
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let addresses = Addresses { listen: any, management: any };
    let server = Server::start(world.gateway.clone(), loader.clone(), addresses).await.unwrap();
    let bound = server.addresses().unwrap();
    let taken =
        Server::start(world.gateway.clone(), loader, Addresses { listen: bound.listen, management: any })
            .await;
    assert!(matches!(taken, Err(ServeError::Bind { address, .. }) if address == bound.listen));
    let cancel = CancellationToken::new();
    let running = tokio::spawn(server.run(cancel.clone()));
    let body =
        json!({"model": "tickets", "messages": [{"role": "user", "content": "refund 0.97"}]}).to_string();
    let mut socket = TcpStream::connect(bound.listen).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains("\"content\":\"refund\""), "{reply}");
    cancel.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(world.ledger().len(), 1);
    assert!(TcpStream::connect(bound.listen).await.is_err(), "nobody listens any more");
}
