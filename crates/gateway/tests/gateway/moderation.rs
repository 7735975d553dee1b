//! `POST /v1/moderations`, answered by a task.

use std::sync::Arc;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sprat_cascade::calibration::{Calibrator, Cleared, Temperature};
use sprat_cascade::{Deployed, Deployment, Ladder, LadderEnd, Rung, Serving, Threshold};
use sprat_store::Ending;
use sprat_task::*;

use crate::fakes::{Got, Says, Script, World, remote, request, serving, serving_of};

const TASK: &str = "kind = \"moderate\"\nlabels = [\"hate\", \"spam\"]\n";

/// Reads what it says out of the text: `hate=0.9 spam=0.1`. Above a half is flagged.
struct Judge(ModelId);

impl Model for Judge {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempt = |input: &Input| {
            let read = |word: &str| {
                Some((word.split_once('=')?.0.to_owned(), word.split_once('=')?.1.parse::<f32>().ok()?))
            };
            let scores: Vec<(String, f32)> = input.text.split(' ').filter_map(read).collect();
            let flagged = scores.iter().filter(|(_, score)| *score > 0.5);
            let prediction = Prediction {
                answer: Answer::labels(flagged.map(|(name, _)| Label::from(name.as_str()))),
                score: Score(1.0),
                features: Features::default(),
                alternatives: scores
                    .iter()
                    .map(|(name, score)| (name.as_str().into(), Score(score.ln())))
                    .collect(),
            };
            Attempt::free(prediction, std::time::Duration::from_micros(3))
        };
        let attempts = inputs.iter().map(attempt).collect();
        Box::pin(std::future::ready(attempts))
    }
}

/// The large model: it finds everything hateful.
struct Strict(ModelId);

impl Model for Strict {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempt = |input: &Input| match input.text.contains("broken") {
            true => Attempt::failed(ModelError::Timeout),
            false => Attempt::free(
                Prediction {
                    answer: Answer::labels(["hate".into()]),
                    score: Score(0.0),
                    features: Features::default(),
                    alternatives: Vec::new(),
                },
                std::time::Duration::from_micros(3),
            ),
        };
        let attempts = inputs.iter().map(attempt).collect();
        Box::pin(std::future::ready(attempts))
    }
}

/// A task of this name: a category is clear below a tenth.
fn moderating(name: &str, last: LadderEnd) -> Serving {
    let (small, large) = (Says::new("linear", 0), Says::new("large", 100));
    let limits = ["hate", "spam"].map(|label| (label.to_owned(), Some(f64::from(0.1_f32.ln())))).to_vec();
    // Above any threshold wherever all is flagged or clear: one logit is a probability of 1.
    let inner = Box::new(Calibrator::Temperature(Temperature::ONE));
    let rung = Rung {
        model: Arc::new(Judge("linear".into())),
        calibrator: Calibrator::Cleared(Cleared { limits, inner }),
        threshold: Threshold::Above(0.4),
    };
    let mut serving = serving_of(TASK, &small, &large);
    serving.task.name = name.into();
    serving.ladder = Ladder::new(vec![rung], last);
    serving
}

fn world(last: LadderEnd) -> World {
    let world = World::new();
    let deployed = Deployed {
        tasks: vec![
            Deployment::of(serving(&world.small, &world.large)),
            Deployment::of(moderating("safety", last)),
        ],
        remotes: vec![remote(&world.wire)],
        ..Deployed::default()
    };
    world.gateway.current().exchange(2, deployed);
    world.gateway.auditor().set_rate("safety", 0.0);
    world
}

fn strict() -> LadderEnd {
    LadderEnd::Remote(Arc::new(Strict("strict".into())))
}

async fn moderate(world: &World, body: Value) -> Got {
    world.send(request("/v1/moderations", &[], body)).await
}

#[tokio::test]
async fn a_text_that_is_clear_or_flagged_is_judged_small_in_openai_s_shape() {
    let world = world(strict());
    let got = moderate(&world, json!({"model": "safety", "input": "hate=0.9 spam=0.01"})).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    let reply = got.json();
    assert!(reply["id"].as_str().unwrap().starts_with("modr-"));
    assert_eq!(reply["model"], "safety");
    let result = &reply["results"][0];
    assert_eq!(
        (&result["flagged"], &result["categories"]),
        (&json!(true), &json!({"hate": true, "spam": false}))
    );
    let score = result["category_scores"]["hate"].as_f64().unwrap();
    assert!((score - 0.9).abs() < 1e-6, "{result}");
    assert_eq!(got.header("x-sprat-task"), Some("safety"));
    assert_eq!(got.header("x-sprat-answered-by"), Some("linear"));
    assert_eq!(world.ledger()[0].ending, Ending::Small);
}

#[tokio::test]
async fn a_text_that_is_neither_goes_to_the_large_model() {
    let world = world(strict());
    let got = moderate(&world, json!({"model": "safety", "input": "hate=0.01 spam=0.3"})).await;
    let result = &got.json()["results"][0];
    assert_eq!(result["categories"], json!({"hate": true, "spam": false}));
    assert_eq!(result["category_scores"], json!({"hate": 1.0, "spam": 0.0}));
    assert_eq!(result["sprat"]["answered_by"], "strict");
    assert_eq!(got.header("x-sprat-escalated"), Some("true"));
}

#[tokio::test]
async fn each_text_of_a_list_is_judged_by_itself_and_in_order() {
    let world = world(strict());
    world.gateway.auditor().set_rate("safety", 1.0);
    let input = ["hate=0.01 spam=0.01", "hate=0.3 spam=0.01", "hate=0.01 spam=0.8"];
    let got = moderate(&world, json!({"input": input})).await;
    let reply = got.json();
    let results = reply["results"].as_array().unwrap();
    let flagged: Vec<&Value> = results.iter().map(|result| &result["flagged"]).collect();
    assert_eq!(flagged, [&json!(false), &json!(true), &json!(true)]);
    world.gateway.quiet().await;
    let lines = world.ledger();
    let served: Vec<_> = lines.iter().filter(|line| line.source == sprat_store::Source::Serve).collect();
    assert_eq!(served.len(), 3);
    assert_eq!(lines.len() - served.len(), 2, "the two small answers were audited");
    let mut names: Vec<&str> = served.iter().map(|line| line.request.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn what_nobody_can_judge_is_flagged_and_says_that_it_was_not_judged() {
    for last in [LadderEnd::People, LadderEnd::NoAnswer] {
        let world = world(last);
        let got = moderate(&world, json!({"input": "hate=0.3 spam=0.01"})).await;
        let result = &got.json()["results"][0];
        assert_eq!(
            (&result["flagged"], &result["categories"]["hate"]),
            (&json!(true), &Value::Null),
            "{result}"
        );
        assert_eq!(result["sprat"]["answered_by"], Value::Null);
    }
}

#[tokio::test]
async fn a_large_model_that_fails_is_an_error_and_no_verdict() {
    let world = world(strict());
    let got = moderate(&world, json!({"input": ["hate=0.01 spam=0.01", "broken hate=0.3 spam=0.3"]})).await;
    assert_eq!(got.status, StatusCode::GATEWAY_TIMEOUT, "{}", got.text);
}

#[tokio::test]
async fn the_only_task_that_moderates_stands_in_for_openai_s_and_every_other_name_is_passed_on() {
    let world = world(strict());
    let input = "hate=0.01 spam=0.01";
    for model in
        [json!("auto"), json!("omni-moderation-latest"), json!("text-moderation-stable"), Value::Null]
    {
        let got = moderate(&world, json!({"model": model, "input": input})).await;
        assert_eq!(got.json()["model"], "safety", "{}", got.text);
    }
    world.wire.plays(Script::json(200, json!({"id": "modr-1", "model": "big-1", "results": []})));
    let got = moderate(&world, json!({"model": "large", "input": input})).await;
    assert_eq!((got.json()["id"].as_str(), world.wire.asked()), (Some("modr-1"), 1));
    for (model, says) in [("tickets", "kind `classify`"), ("gpt-9", "there are:")] {
        let got = moderate(&world, json!({"model": model, "input": input})).await;
        assert!(got.text.contains(says), "{}", got.text);
    }
    let deployed = Deployed {
        tasks: ["safety", "other"].map(|name| Deployment::of(moderating(name, strict()))).into(),
        ..Deployed::default()
    };
    world.gateway.current().exchange(3, deployed);
    let got = moderate(&world, json!({"input": input})).await;
    assert!(got.text.contains("name one of them: other, safety"), "{}", got.text);
}

#[tokio::test]
async fn what_can_t_be_judged_at_all_is_refused_by_field() {
    let world = world(strict());
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]);
    for (input, says) in
        [(json!([]), "1 to 1024"), (image, "read text only"), (json!(7), "moderation request")]
    {
        let got = moderate(&world, json!({"model": "safety", "input": input})).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        assert!(got.text.contains(says), "{}", got.text);
    }
    let parts = json!([{"type": "text", "text": "hate=0.9"}, {"type": "text", "text": "spam=0.01"}]);
    let got = moderate(&world, json!({"model": "safety", "input": parts})).await;
    assert_eq!(got.json()["results"].as_array().unwrap().len(), 1, "parts are one text");
}
