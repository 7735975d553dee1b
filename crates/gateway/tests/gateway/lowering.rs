//! Ordinary calls that a task recognises.

use serde_json::{Value, json};
use sprat_store::Ending;
use sprat_task::Money;

use crate::fakes::World;

fn call(text: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"team": {"enum": ["refund", "delivery"]}}, "required": ["team"]});
    json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Please route the ticket to a team."},
            {"role": "user", "content": format!("Ticket: {text}")},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "team", "strict": true, "schema": schema}},
        "zz_unknown": {"kept": [1, 2]},
        "temperature": 0.25,
    })
}

#[tokio::test]
async fn a_call_that_fits_is_answered_small_in_the_schema_it_asks_for() {
    let world = World::new();
    let got = world.chat(call("refund 0.97")).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "{\"team\":\"refund\"}");
    assert_eq!(
        (got.header("x-sprat-task"), got.header("x-sprat-answered-by")),
        (Some("tickets"), Some("linear"))
    );
    assert_eq!(world.small.texts.lock().unwrap()[0], "refund 0.97", "the rule's part of the message");
    assert_eq!(world.wire.sent.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn an_unsure_answer_sends_the_call_on_as_it_came_and_both_are_charged() {
    let world = World::new();
    let got = world.chat(call("refund 0.5")).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "hello", "the upstream's own words");
    assert_eq!(got.json()["service_tier"], "default", "with every field it has");
    let mut expected = call("refund 0.5");
    expected["model"] = json!("big-1");
    assert_eq!(world.wire.sent(), expected);
    let keys: Vec<String> = world.wire.sent().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys[..2], ["model", "messages"], "in their order");
    assert_eq!(
        (got.header("x-sprat-answered-by"), got.header("x-sprat-escalated")),
        (Some("large"), Some("true"))
    );
    let [line] = &world.ledger()[..] else { panic!("one request, one line") };
    assert_eq!((line.task.as_str(), line.ending, line.steps.len()), ("tickets", Ending::Large, 2));
    assert_eq!(line.cost, Some(Money::from_micro(120)));
}

#[tokio::test]
async fn what_does_not_fit_in_every_respect_is_passed_on() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 7] = [
        ("no schema", |call| drop(call.as_object_mut().unwrap().remove("response_format"))),
        ("another schema", |call| {
            call["response_format"]["json_schema"]["schema"]["required"] = json!(["team", "why"])
        }),
        ("several turns", |call| {
            call["messages"].as_array_mut().unwrap().insert(1, json!({"role": "assistant", "content": "hm"}))
        }),
        ("tools", |call| call["tools"] = json!([{"type": "function", "function": {"name": "f"}}])),
        ("two answers", |call| call["n"] = json!(2)),
        ("log-probabilities", |call| call["logprobs"] = json!(true)),
        ("another form of message", |call| call["messages"][1]["content"] = json!("refund 0.97")),
    ];
    for (name, change) in changes {
        let world = World::new();
        let mut call = call("refund 0.97");
        change(&mut call);
        let got = world.chat(call).await;
        assert_eq!(
            (got.header("x-sprat-answered-by"), world.small.asked()),
            (Some("large"), 0),
            "{name}: {}",
            got.text
        );
    }
}

#[tokio::test]
async fn a_call_that_no_task_recognises_goes_to_the_only_model() {
    let world = World::new();
    let got = world.chat(json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})).await;
    assert_eq!((got.header("x-sprat-answered-by"), got.header("x-sprat-task")), (Some("large"), None));
    assert_eq!(world.ledger()[0].task.as_str(), "-");
}

#[tokio::test]
async fn a_model_by_name_is_never_answered_by_a_task() {
    let world = World::new();
    let mut call = call("refund 0.97");
    call["model"] = json!("large");
    assert_eq!(world.chat(call).await.header("x-sprat-answered-by"), Some("large"));
    assert_eq!(world.small.asked(), 0);
}
