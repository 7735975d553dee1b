//! Ordinary calls that a task recognises.

use serde_json::{Value, json};
use sprat_cascade::{Deployed, Serving};
use sprat_store::Ending;
use sprat_task::{Binding, Money, Sha256Hex};

use crate::fakes::{PROMPT, TASK, World, lowering, remote, schema, serving_of};

fn call(text: &str) -> Value {
    json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": format!("Ticket: {text}")},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "team", "strict": true, "schema": schema()}},
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
    let changes: [(&str, Change); 9] = [
        ("no schema", |call| drop(call.as_object_mut().unwrap().remove("response_format"))),
        ("another schema", |call| {
            call["response_format"]["json_schema"]["schema"]["required"] = json!(["team", "why"])
        }),
        ("several turns", |call| {
            call["messages"].as_array_mut().unwrap().insert(1, json!({"role": "assistant", "content": "hm"}))
        }),
        ("tools", |call| call["tools"] = json!([{"type": "function", "function": {"name": "f"}}])),
        ("two answers", |call| call["n"] = json!(2)),
        ("a stop text", |call| call["stop"] = json!("e")),
        ("functions", |call| call["functions"] = json!([{"name": "f"}])),
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

/// The same world with another task file, and a serving that is changed by `change`.
fn world(file: &str, change: impl FnOnce(&mut Serving)) -> World {
    let world = World::new();
    let mut serving = serving_of(file, &world.small, &world.large);
    change(&mut serving);
    let deployed = Deployed {
        tasks: vec![sprat_cascade::Deployment::of(serving)],
        remotes: vec![remote(&world.wire)],
        ..Deployed::default()
    };
    world.gateway.current().exchange(2, deployed);
    world
}

fn hash() -> String {
    Sha256Hex::of_call(Some(PROMPT), Some(&schema())).to_string()
}

#[tokio::test]
async fn only_a_listed_call_of_a_task_that_says_so_is_answered_small() {
    let listed = lowering(Some(&schema()));
    let not_opted_in = listed.replace("lower = true", "lower = false");
    let nothing_said = TASK.to_owned();
    let another = lowering(Some(&serde_json::json!({"type": "object"})));
    for file in [not_opted_in, nothing_said, another] {
        let world = world(&file, |_| {});
        let got = world.chat(call("refund 0.97")).await;
        assert_eq!((got.header("x-sprat-answered-by"), world.small.asked()), (Some("large"), 0), "{file}");
        assert_eq!(got.header("x-sprat-call-hash"), Some(hash().as_str()), "to be copied");
        assert_eq!(got.header("x-sprat-task"), Some("tickets"));
        assert_eq!(world.ledger()[0].task.as_str(), "tickets", "it is the task's all the same");
    }
    let world = world(&listed, |_| {});
    let got = world.chat(call("refund 0.97")).await;
    assert_eq!(
        (got.header("x-sprat-answered-by"), got.header("x-sprat-call-hash")),
        (Some("linear"), Some(hash().as_str()))
    );
}

#[tokio::test]
async fn a_certificate_that_was_not_made_for_these_calls_answers_none_of_them() {
    for calls in [None, Some(Sha256Hex::of(b"another list"))] {
        let world = world(&lowering(Some(&schema())), |serving| {
            let binding = Binding { calls: calls.clone(), ..Binding::default() };
            serving.certificate.as_mut().unwrap().binding = binding;
        });
        let got = world.chat(call("refund 0.97")).await;
        assert_eq!((got.header("x-sprat-answered-by"), world.small.asked()), (Some("large"), 0));
        assert_eq!(
            world.ask("refund 0.97").await.header("x-sprat-answered-by"),
            Some("linear"),
            "by name it answers"
        );
    }
}

#[tokio::test]
async fn a_bare_label_is_given_only_where_the_task_says_that_the_prompt_asks_for_it() {
    let bare = || {
        let mut call = call("refund 0.97");
        call.as_object_mut().unwrap().remove("response_format");
        call
    };
    let plain = format!("{}plain = true\n", lowering(None));
    for (file, by, said) in
        [(plain.as_str(), "linear", "refund"), (lowering(None).as_str(), "large", "hello")]
    {
        let world = world(file, |_| {});
        for format in [json!(null), json!({"type": "text"})] {
            let mut call = bare();
            call["response_format"] = format;
            let got = world.chat(call).await;
            assert_eq!(got.header("x-sprat-answered-by"), Some(by), "{}", got.text);
            assert_eq!(got.json()["choices"][0]["message"]["content"], said);
        }
        let mut some_object = bare();
        some_object["response_format"] = json!({"type": "json_object"});
        let got = world.chat(some_object).await;
        assert_eq!(got.header("x-sprat-answered-by"), Some("large"), "nobody knows its fields");
    }
}
