//! Requests through as they came, replies back as they come.

use futures::StreamExt;
use sprat_task::ModelError;
use sprat_task::model::WireRequest;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::*;

fn request(body: &Value) -> WireRequest {
    WireRequest { path: "/chat/completions".into(), headers: Vec::new(), body: body.to_string().into_bytes() }
}

async fn next(reply: &mut WireReply) -> Option<Result<String, ModelError>> {
    Some(reply.body.next().await?.map(|chunk| String::from_utf8(chunk).unwrap()))
}

/// A server that sends one chunk of a stream, and then does this.
async fn streaming(then: fn() -> Vec<Act>) -> Server {
    Server::new(move |_, _| {
        [Act::head_of_stream(), Act::chunk("data: 1\n\n")].into_iter().chain(then()).collect()
    })
    .await
}

#[tokio::test]
async fn a_request_goes_through_unchanged_and_only_the_key_is_ours() {
    let server = Server::new(|_, _| vec![Act::json(200, &[("x-request-id", "u-1")], &chat("hi"))]).await;
    let body = json!({"model": "m", "messages": [], "a_field_of_2031": {"b": [1]}});
    let mut sent = request(&body);
    for (name, value) in
        [("OpenAI-Beta", "x=y"), ("Authorization", "Bearer the-clients-own"), ("Connection", "close")]
    {
        sent.headers.push((name.into(), value.into()));
    }
    let mut reply = open(config(&server)).send(&within(PATIENCE), sent).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.headers.contains(&("x-request-id".into(), "u-1".into())));
    assert_eq!(next(&mut reply).await, Some(Ok(chat("hi").to_string())));
    assert_eq!(next(&mut reply).await, None);

    let seen = &server.seen()[0];
    assert_eq!(seen.body, body);
    assert_eq!(seen.headers["openai-beta"], "x=y");
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    assert!(!seen.headers.contains_key("connection"));
}

#[tokio::test]
async fn chunks_arrive_while_the_provider_is_still_speaking() {
    let word = Arc::new(Semaphore::new(0));
    let waits = word.clone();
    let server = Server::new(move |_, _| {
        let more = [Act::chunk("data: 2\n\n"), Act::chunk("")];
        let first = [Act::head_of_stream(), Act::chunk("data: 1\n\n"), Act::Until(waits.clone())];
        first.into_iter().chain(more).collect()
    })
    .await;
    let mut reply = open(config(&server)).send(&within(PATIENCE), request(&json!({}))).await.unwrap();
    assert_eq!(next(&mut reply).await, Some(Ok("data: 1\n\n".into())));
    // The server says no more before the first chunk is here: had anything buffered it, this would hang.
    word.add_permits(1);
    assert_eq!(next(&mut reply).await, Some(Ok("data: 2\n\n".into())));
    assert_eq!(next(&mut reply).await, None);
}

#[tokio::test]
async fn a_stream_cut_in_the_middle_ends_with_an_error_and_is_not_tried_again() {
    for cut in [(|| vec![Act::Reset]) as fn() -> Vec<Act>, || vec![Act::Close]] {
        let server = streaming(cut).await;
        let mut reply = open(config(&server)).send(&within(PATIENCE), request(&json!({}))).await.unwrap();
        let mut heard = Vec::new();
        while let Some(chunk) = next(&mut reply).await {
            heard.push(chunk);
        }
        // A reset may overtake the chunk before it; the error is there either way, and last.
        let last = heard.pop().expect("an end");
        let error = last.expect_err("a cut is an error").to_string();
        assert!(error.starts_with("the reply broke off after "), "{error}");
        assert!(heard.iter().all(|chunk| chunk.as_deref() == Ok("data: 1\n\n")));
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_hangs_is_cut_at_the_deadline() {
    let server = streaming(|| vec![Act::Hang]).await;
    let mut reply = open(config(&server)).send(&within(PATIENCE), request(&json!({}))).await.unwrap();
    assert_eq!(next(&mut reply).await, Some(Ok("data: 1\n\n".into())));
    // From here on the clock jumps to whatever is next, which is the deadline.
    tokio::time::pause();
    assert_eq!(next(&mut reply).await, Some(Err(ModelError::Timeout)));
    assert_eq!(next(&mut reply).await, None);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_it_upstream_and_frees_its_place() {
    let server = streaming(|| vec![Act::Hang]).await;
    let model = open(RemoteConfig { max_concurrency: 1, ..config(&server) });
    let cancel = CancellationToken::new();
    let cx = Context { cancel: cancel.clone(), ..within(PATIENCE) };

    let mut told = model.send(&cx, request(&json!({}))).await.unwrap();
    assert_eq!(next(&mut told).await, Some(Ok("data: 1\n\n".into())));
    cancel.cancel();
    assert_eq!(next(&mut told).await, Some(Err(ModelError::Cancelled)));
    server.left().await;

    let mut dropped = model.send(&within(PATIENCE), request(&json!({}))).await.unwrap();
    assert_eq!(next(&mut dropped).await, Some(Ok("data: 1\n\n".into())));
    drop(dropped);
    server.left().await;
    model.send(&within(PATIENCE), request(&json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_stands_is_a_reply_with_its_headers() {
    let refusal = json!({"error": {"message": "slow down", "type": "tokens", "param": null, "code": "rate_limit_exceeded"}});
    let body = refusal.clone();
    let server = Server::new(move |_, _| vec![Act::json(429, &[("retry-after", "3600")], &body)]).await;
    let mut reply = open(config(&server)).send(&within(PATIENCE), request(&json!({}))).await.unwrap();
    assert_eq!(reply.status, 429);
    assert!(reply.headers.contains(&("retry-after".into(), "3600".into())));
    assert_eq!(next(&mut reply).await, Some(Ok(refusal.to_string())));
}

#[tokio::test]
async fn before_the_first_byte_a_failure_is_tried_again() {
    let server = Server::new(|number, _| match number {
        0 => vec![Act::reply(503, &[], "text/plain", "")],
        1 => vec![Act::Reset],
        _ => says("hi"),
    })
    .await;
    let reply = open(config(&server)).send(&within(PATIENCE), request(&json!({}))).await.unwrap();
    assert_eq!((reply.status, server.seen().len()), (200, 3));
}

#[tokio::test]
async fn a_header_that_is_none_and_a_path_that_leads_elsewhere_are_refused() {
    let server = Server::new(|_, _| says("hi")).await;
    let model = open(config(&server));
    let header = WireRequest { headers: vec![("x".into(), "a\r\nb: c".into())], ..request(&json!({})) };
    let path = WireRequest { path: "@evil.example/".into(), ..request(&json!({})) };
    for request in [header, path] {
        assert!(model.send(&within(PATIENCE), request).await.is_err());
    }
    assert!(server.seen().is_empty());
}
