//! Vectors by an encoder of ours, in OpenAI's shape.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sprat_cascade::{Deployed, Encoder};
use sprat_store::Ending;
use sprat_task::{Computed, Context, Embed, Embedded, ModelError, Money};

use crate::fakes::{Got, World, request};

/// Says of a text how long it is; fails on `broken`.
struct Lengths;

impl Embed for Lengths {
    fn dimensions(&self) -> usize {
        2
    }

    fn computed(&self) -> Computed {
        Computed { texts: 30, batches: 7 }
    }

    fn embed<'a>(
        &'a self,
        _: &'a Context,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Embedded, ModelError>> {
        let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vec![text.len() as f32, 0.5]).collect();
        let tokens = texts.iter().map(|text| text.split(' ').count() as u64).sum();
        let is_broken = texts.contains(&"broken");
        Box::pin(async move {
            if is_broken { Err(ModelError::Timeout) } else { Ok(Embedded { vectors, tokens }) }
        })
    }
}

fn world() -> World {
    let world = World::new();
    let encoders = vec![Encoder { id: "lengths".into(), embed: Arc::new(Lengths) }];
    world.gateway.current().exchange(2, Deployed { encoders, ..Deployed::default() });
    world
}

async fn embed(world: &World, more: Value) -> Got {
    let mut body = json!({"model": "lengths"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.send(request("/v1/embeddings", &[], body)).await
}

#[tokio::test]
async fn texts_become_vectors_in_order_with_what_they_took() {
    let world = world();
    let got = embed(&world, json!({"input": ["where is it", ""], "user": "u"})).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(
        got.json(),
        json!({
            "object": "list",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [11.0, 0.5]},
                {"object": "embedding", "index": 1, "embedding": [0.0, 0.5]},
            ],
            "model": "lengths",
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        })
    );
    let [line] = &world.ledger()[..] else { panic!("one request, one line") };
    assert_eq!((line.ending, line.cost), (Ending::Small, Some(Money::ZERO)));
    assert_eq!(line.answered_by.as_ref().map(|model| model.as_str()), Some("lengths"));
    assert_eq!(line.steps[0].usage.tokens.map(|tokens| tokens.input), Some(4));
}

#[tokio::test]
async fn operators_see_how_well_requests_share_its_batches() {
    let world = world();
    let metrics = Request::get("/metrics").body(Body::empty()).unwrap();
    let got = world.send_to(sprat_gateway::management(world.gateway.clone()), metrics).await;
    for line in [
        "sprat_encoder_texts_total{encoder=\"lengths\"} 30",
        "sprat_encoder_batches_total{encoder=\"lengths\"} 7",
    ] {
        assert!(got.text.contains(line), "{line}: {}", got.text);
    }
}

#[tokio::test]
async fn base64_holds_little_endian_floats() {
    let got = embed(&world(), json!({"input": "ab", "encoding_format": "base64"})).await;
    // 2.0 and 0.5 are 00 00 00 40 and 00 00 00 3f.
    assert_eq!(got.json()["data"][0]["embedding"], "AAAAQAAAAD8=");
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_at_the_field() {
    let world = world();
    for (more, param, said) in [
        (json!({"input": [1, 2]}), "input", "give the text itself"),
        (json!({"input": [[1], [2]]}), "input", "give the text itself"),
        (json!({"input": []}), "input", "must hold 1 to 2048"),
        (json!({"input": vec!["x"; 2_049]}), "input", "holds 2049 texts"),
        (json!({"input": "x", "dimensions": 3}), "dimensions", "the vectors of `lengths` have 2"),
        (json!({"input": "x", "encoding_format": "int8"}), "encoding_format", "`float` or `base64`"),
    ] {
        let got = embed(&world, more.clone()).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{more}");
        let error = &got.json()["error"];
        assert_eq!(error["param"], param, "{more}");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
    assert_eq!(world.ledger().len(), 0, "what is refused costs nothing");
    assert_eq!(embed(&world, json!({"input": "x", "dimensions": 2})).await.status, StatusCode::OK);
    assert_eq!(embed(&world, json!({})).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_encoder_that_fails_is_recorded_and_told() {
    let world = world();
    let got = embed(&world, json!({"input": "broken"})).await;
    assert_eq!(got.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(world.ledger()[0].ending, Ending::Failed);
}

#[tokio::test]
async fn it_is_listed_among_the_models() {
    let listed = world().send(Request::get("/v1/models").body(Body::empty()).unwrap()).await.json();
    assert!(listed["data"].as_array().unwrap().iter().any(|model| model["id"] == "lengths"), "{listed}");
}
