//! What is kept of requests, where a task says so.

use serde_json::{Value, json};
use sprat_cascade::{Deployed, Serving, Threshold};
use sprat_gateway::Settings;
use sprat_store::NewCaptured;
use sprat_task::{Answer, Sha256Hex};

use crate::fakes::{PROMPT, Script, World, event, lowering, remote, reply, schema, serving_of, usage_event};

/// A world whose task keeps texts without mail addresses.
fn keeping(settings: Settings) -> World {
    keeping_with(settings, |_| {})
}

fn keeping_with(settings: Settings, change: fn(&mut Serving)) -> World {
    let world = World::with(settings);
    let text = format!("{}[capture]\nenabled = true\nredact = [\"email\"]\n", lowering(Some(&schema())));
    let mut serving = serving_of(&text, &world.small, &world.large);
    change(&mut serving);
    let deployed = Deployed {
        tasks: vec![sprat_cascade::Deployment::of(serving)],
        remotes: vec![remote(&world.wire)],
        ..Deployed::default()
    };
    world.gateway.current().exchange(2, deployed);
    world
}

fn shadow() -> Settings {
    Settings { shadow: true, ..Settings::default() }
}

/// What was kept, oldest first.
fn kept(world: &World) -> Vec<NewCaptured> {
    world.gateway.settle_captures();
    world.store.captured().rows(&"tickets".into(), 0).map(|row| row.unwrap().row).collect()
}

/// An ordinary call that the task recognises.
fn call(text: &str, extra: Value) -> Value {
    let mut call = json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": format!("Ticket: {text}")},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "team", "schema": schema()}},
    });
    call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    call
}

fn refund() -> Option<Answer> {
    Some(Answer::label("refund"))
}

#[tokio::test]
async fn nothing_is_kept_unless_the_task_says_so() {
    let world = World::new();
    world.ask("refund 0.97").await;
    world.chat(call("refund 0.5", json!({}))).await;
    assert_eq!(kept(&world), []);
}

#[tokio::test]
async fn a_text_is_kept_without_what_is_to_be_blanked_out() {
    let world = keeping(Settings::default());
    let got = world.ask("refund 0.97 to ada@example.org").await;
    let [row] = &kept(&world)[..] else { panic!("one request, one row") };
    assert_eq!(
        (row.text.as_str(), row.request.as_str()),
        ("refund 0.97 to [email]", got.header("x-request-id").unwrap())
    );
    assert_eq!((&row.small, row.would_answer, &row.large), (&refund(), true, &None));
    assert_eq!((row.answered_by.as_ref().unwrap().as_str(), row.release), ("linear", Some(3)));
    assert_eq!((row.prompt_hash.as_ref(), row.propensity), (None, 0.0));
    assert!(row.confidence.unwrap().get() > 0.9);
    for file in std::fs::read_dir(world.store.path().parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        let has =
            path.is_file() && std::fs::read(&path).unwrap().windows(11).any(|part| part == b"ada@example");
        assert!(!has, "{} has it", path.display());
    }
}

#[tokio::test]
async fn a_row_says_whether_its_text_decided_that_the_large_model_was_asked() {
    let world = keeping(Settings::default());
    world.ask("refund 0.5").await;
    let large_only = json!({"model": "tickets", "messages": [{"role": "user", "content": "refund 0.5"}]});
    world.chat_with(&[("x-sprat-mode", "large-only")], large_only).await;
    let rows = kept(&world);
    let seen: Vec<_> = rows.iter().map(|row| (&row.large, row.would_answer, row.propensity)).collect();
    assert_eq!(seen, [(&refund(), false, 0.0), (&refund(), false, 1.0)]);
    let uncertified =
        keeping_with(Settings::default(), |serving| serving.ladder.rungs[0].threshold = Threshold::Never);
    uncertified.ask("refund 0.97").await;
    let [row] = &kept(&uncertified)[..] else { panic!("one request, one row") };
    assert_eq!((&row.small, row.would_answer, row.propensity), (&refund(), false, 1.0));
}

#[tokio::test]
async fn in_shadow_it_is_kept_what_the_small_model_would_have_answered() {
    let world = keeping(shadow());
    world.ask("refund 0.97").await;
    world.ask("delivery 0.5").await;
    world.wire.plays(Script::Reply(200, vec![], vec![Some(reply("{\"team\": \"delivery\"}"))]));
    world.chat(call("refund 0.97", json!({}))).await;
    let rows = kept(&world);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.small.clone(), row.would_answer, row.large.clone(), row.propensity))
        .collect();
    let delivery = || Some(Answer::label("delivery"));
    assert_eq!(
        seen,
        [
            (refund(), true, refund(), 1.0),
            (delivery(), false, delivery(), 1.0),
            (refund(), true, delivery(), 1.0)
        ]
    );
}

#[tokio::test]
async fn a_call_that_is_passed_on_is_kept_with_the_answer_in_the_tasks_terms() {
    let world = keeping(Settings::default());
    world.wire.plays(Script::Reply(200, vec![], vec![Some(reply(" {\"team\": \"refund\"}\n"))]));
    world.chat(call("delivery 0.5", json!({"user": "ada@example.org"}))).await;
    world
        .chat(call("delivery 0.5", json!({"user": "ada@example.org", "metadata": {"session_id": "s-1"}})))
        .await;
    let rows = kept(&world);
    assert_eq!((rows[0].text.as_str(), &rows[0].large), ("delivery 0.5", &refund()));
    assert_eq!(rows[0].prompt_hash, Some(Sha256Hex::of_call(Some(PROMPT), Some(&schema()))));
    let session = rows[0].session.as_ref().unwrap();
    assert!(!session.contains("ada") && Some(session) != rows[1].session.as_ref(), "{session}");
}

#[tokio::test]
async fn a_call_whose_hash_is_not_listed_is_kept_under_its_own_hash() {
    let world = keeping(Settings::default());
    world.wire.plays(Script::Reply(200, vec![], vec![Some(reply("{\"team\": \"refund\"}"))]));
    let prompt = "Please route the ticket. Now!";
    let mut call = call("refund 0.97", json!({}));
    call["messages"][0]["content"] = json!(prompt);
    let got = world.chat(call.clone()).await;
    assert_eq!(got.header("x-sprat-answered-by"), Some("large"));
    call["model"] = json!("large");
    world.chat(call).await;
    let hash = Sha256Hex::of_call(Some(prompt), Some(&schema()));
    for row in kept(&world) {
        assert_eq!((row.prompt_hash.as_ref(), row.would_answer, row.propensity), (Some(&hash), true, 1.0));
        assert_eq!(row.large, refund());
    }
    assert_eq!(kept(&world).len(), 2, "also where the client names the model");
}

#[tokio::test]
async fn what_is_no_answer_of_the_task_is_kept_as_none() {
    let cut = reply("{\"team\":\"refund\"}").replace("\"stop\"", "\"length\"");
    let tool = json!({"role": "assistant", "content": "{\"team\":\"refund\"}",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let tool = json!({"choices": [{"index": 0, "message": tool, "finish_reason": "stop"}]}).to_string();
    let broken = "{".to_owned();
    for said in [reply("refund"), reply("{\"team\":\"billing\"}"), cut, tool, broken] {
        let world = keeping(Settings::default());
        world.wire.plays(Script::Reply(200, vec![], vec![Some(said.clone())]));
        world.chat(call("delivery 0.5", json!({}))).await;
        let [row] = &kept(&world)[..] else { panic!("one request, one row") };
        assert_eq!(row.large, None, "{said}");
    }
    let world = keeping(Settings::default());
    world.wire.plays(Script::Reply(500, vec![], vec![Some("no".to_owned())]));
    world.chat(call("delivery 0.5", json!({}))).await;
    assert_eq!((&kept(&world)[0].large, &kept(&world)[0].answered_by), (&None, &None));
}

#[tokio::test]
async fn a_stream_is_read_to_its_end_and_half_of_one_is_no_answer() {
    let said = |text: &str| Some(event(json!({"content": text}), None));
    let stop = || Some(event(json!({}), Some("stop")));
    let done = || Some("data: [DONE]\n\n".to_owned());
    let whole = vec![said("{\"te"), said("am\":\"refund\"}"), stop(), Some(usage_event()), done()];
    let broken = vec![said("{\"team\":\"refund\"}"), None];
    let cut = vec![said("{\"team\":\"refund\"}"), Some(event(json!({}), Some("length"))), done()];
    for (pieces, large) in [(whole, refund()), (broken, None), (cut, None)] {
        let world = keeping(Settings::default());
        world.wire.plays(Script::Reply(200, vec![("content-type", "text/event-stream")], pieces.clone()));
        world.chat(call("delivery 0.5", json!({"stream": true}))).await;
        let [row] = &kept(&world)[..] else { panic!("one request, one row") };
        assert_eq!(row.large, large, "{pieces:?}");
    }
}

#[tokio::test]
async fn conversations_and_texts_too_long_are_not_kept_and_the_latter_are_counted() {
    let world = keeping(Settings::default());
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]);
    world.chat(json!({"model": "tickets", "messages": messages})).await;
    world.ask(&format!("refund 0.97 {}", "x".repeat(300_000))).await;
    assert_eq!(kept(&world), []);
    let metrics = axum::http::Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
    let got =
        tower::ServiceExt::oneshot(sprat_gateway::management(world.gateway.clone()), metrics).await.unwrap();
    let text = axum::body::to_bytes(got.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("sprat_not_captured_total{task=\"tickets\"} 1\n"), "{text}");
}
