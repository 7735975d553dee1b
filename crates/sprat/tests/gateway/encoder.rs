//! An encoder in the ladder of a running gateway: what it answers, who shares it, and what happens when its base model
//! changes or isn't there. The encoder is the tiny one, whose numbers were drawn by lot.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use sprat_store::Ending;

use crate::client::{Reply, get, post};
use crate::mock::{Act, Mock};
use crate::tiny::{self, FINE_TUNED, FROZEN};
use crate::workspace::Workspace;
use crate::world::{Gateway, World, eventually, news, recorded};

/// A ladder of the linear rung and the tiny encoder, learned and certified.
fn learned(mock: &Mock, setting: &str) -> Workspace {
    let workspace = tiny::workspace(&mock.config(""), setting, "large = \"large\"");
    // The models are to answer each time, not the memory of their answers.
    let task = workspace.read("tasks/tickets.toml");
    workspace.write("tasks/tickets.toml", format!("{task}\n[cache]\nexact = false\n"));
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--require-certified"]);
    assert_eq!(ran.code, 0, "{ran}");
    workspace
}

/// Texts that nothing was learned from.
fn texts() -> Vec<String> {
    tiny::texts(5_000).skip(4_900).map(|(text, _)| text).take(80).collect()
}

/// A text that the linear rung is sure of.
const SURE: &str = "b d refund g h";

fn ask(world: &World, text: &str) -> Reply {
    let body = json!({"model": "tickets", "messages": [{"role": "user", "content": text}]});
    let reply = post(world.gateway.clients, "/v1/chat/completions", &body).reply().unwrap();
    assert_eq!(reply.head.status, 200, "{}", reply.body);
    reply
}

fn by(reply: &Reply) -> &str {
    reply.head.header("x-sprat-answered-by").unwrap()
}

fn embed(world: &World, texts: &[&str]) -> Reply {
    let body = json!({"model": "encoder", "input": texts});
    post(world.gateway.clients, "/v1/embeddings", &body).reply().unwrap()
}

fn stale(world: &World) -> String {
    get(world.gateway.operators, "/health/readiness").json()["tasks"][0]["stale"].to_string()
}

#[test]
fn a_ladder_with_an_encoder_answers_small_and_callers_share_its_batches() {
    let mock = Mock::new(|_| Act::Answer(1));
    let world = World::of(learned(&mock, FINE_TUNED), mock);
    let texts = texts();
    let alone: Vec<Reply> = texts.iter().map(|text| ask(&world, text)).collect();
    for model in ["encoder", "large"] {
        let answered: Vec<&Reply> = alone.iter().filter(|reply| by(reply) == model).collect();
        assert!(!answered.is_empty(), "{model} answers some of {} texts", texts.len());
        for reply in answered {
            let header = |name: &str| reply.head.header(name).unwrap();
            let is_small = model != "large";
            assert_eq!(header("x-sprat-escalated"), if is_small { "false" } else { "true" });
            assert_eq!((header("x-sprat-task"), header("x-sprat-release")), ("tickets", "tickets@1"));
            assert_eq!(header("x-sprat-certificate"), "certified");
            if is_small {
                let number = |name: &str| header(name).parse::<f64>().unwrap();
                assert!(number("x-sprat-confidence") > number("x-sprat-threshold"));
                assert_eq!(header("x-sprat-cost-micro-usd"), "0");
            }
        }
    }

    let vectors = |reply: &Reply| -> Value { reply.json()["data"][0]["embedding"].clone() };
    let one_by_one: Vec<Value> = texts.iter().map(|text| vectors(&embed(&world, &[text]))).collect();
    assert_eq!(one_by_one[0].as_array().unwrap().len(), 30);
    let (computed, batches) = (
        "sprat_encoder_texts_total{encoder=\"encoder\"}",
        "sprat_encoder_batches_total{encoder=\"encoder\"}",
    );
    assert_eq!((world.metric(computed), world.metric(batches)), (80, 80), "nobody to share with");
    // Many at the same time get what they would have got alone.
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (world, texts, alone, one_by_one) = (&world, &texts, &alone, &one_by_one);
            scope.spawn(move || {
                for place in (0..texts.len()).map(|step| (step + client * 5) % texts.len()) {
                    assert_eq!(vectors(&embed(world, &[&texts[place]])), one_by_one[place]);
                    if place % 8 == 0 {
                        let reply = ask(world, &texts[place]);
                        assert_eq!(by(&reply), by(&alone[place]));
                        assert_eq!(reply.json()["choices"], alone[place].json()["choices"]);
                    }
                }
            });
        }
    });
    assert_eq!(world.metric(computed), 80 + 16 * 80);
    assert!(world.metric(batches) < 80 + 16 * 80, "callers at the same time share a batch");

    let mine = 80 + 80 + 16 * 80 + 16 * 10;
    let entries = recorded(&world.workspace.store(), mine);
    let small = entries.iter().filter(|entry| entry.ending == Ending::Small);
    assert!(small.clone().count() > 100 && small.into_iter().all(|entry| entry.cost.unwrap().micro() == 0));
    assert!(!world.gateway.said().contains("panicked"), "{}", world.gateway.said());
}

#[test]
fn a_base_model_replaced_under_a_running_server_answers_nothing_new_and_then_nothing_small() {
    let mock = Mock::new(|_| Act::Answer(1));
    let world = World::of(learned(&mock, FINE_TUNED), mock);
    let texts = texts();
    let before: Vec<Reply> = texts.iter().map(|text| ask(&world, text)).collect();
    assert!(before.iter().any(|reply| by(reply) == "encoder"));
    let base = world.workspace.path("tiny");
    type Break = fn(&Path);
    let breaks: [(&str, Break); 3] = [
        ("other weights", |base| sprat_models::encoder::tiny::write(base, 8).unwrap()),
        ("a cut tokenizer", |base| {
            std::fs::write(base.join("tokenizer.json"), "{\"version\": \"1.0\"").unwrap()
        }),
        ("gone", |base| std::fs::remove_dir_all(base).unwrap()),
    ];
    for (number, (name, change)) in (1..).step_by(2).zip(breaks) {
        change(&base);
        for (text, before) in texts.iter().zip(&before) {
            let reply = ask(&world, text);
            assert_eq!(by(&reply), by(before), "{name}: what was loaded stays");
            assert_eq!(reply.json()["choices"], before.json()["choices"], "{name}");
        }
        news(&world.workspace.store(), number + 1);
        eventually("the gateway sees that the base model has changed", || stale(&world) != "[]");
        for text in &texts {
            assert_eq!(by(&ask(&world, text)), "large", "{name}");
        }
        sprat_models::encoder::tiny::write(&base, 7).unwrap();
        news(&world.workspace.store(), number + 2);
        eventually("the gateway sees that the base model is back", || stale(&world) == "[]");
    }
    for (text, before) in texts.iter().zip(&before) {
        assert_eq!(by(&ask(&world, text)), by(before));
    }
    assert!(!world.gateway.said().contains("panicked"), "{}", world.gateway.said());
}

#[test]
fn without_its_base_model_a_server_starts_and_the_large_model_answers() {
    let mock = Mock::new(|_| Act::Answer(1));
    let workspace = learned(&mock, FROZEN);
    std::fs::remove_dir_all(workspace.path("tiny")).unwrap();
    let world = World::of(workspace, mock);
    assert!(stale(&world).contains("no such folder"), "{}", stale(&world));
    assert_eq!(by(&ask(&world, SURE)), "large");
    let refused = embed(&world, &[SURE]);
    assert_eq!(refused.head.status, 404, "{}", refused.body);
    for part in ["model encoder is not served", "no such folder"] {
        assert!(world.gateway.said().contains(part), "{part}: {}", world.gateway.said());
    }
    sprat_models::encoder::tiny::write(&world.workspace.path("tiny"), 7).unwrap();
    news(&world.workspace.store(), 2);
    eventually("the base model is there", || stale(&world) == "[]");
    assert_eq!(by(&ask(&world, SURE)), "linear");
}

#[test]
fn a_server_fetches_no_model_and_says_what_to_pull() {
    let mock = Mock::new(|_| Act::Answer(1));
    let workspace = learned(&mock, FROZEN);
    tiny::configure(&workspace, &mock.config(""), "hf:sentence-transformers/all-MiniLM-L6-v2", FROZEN);
    // Whoever asked the hub would be waiting here.
    let hub = TcpListener::bind("127.0.0.1:0").unwrap();
    hub.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", hub.local_addr().unwrap());
    let mut command = workspace.command(&crate::world::ARGUMENTS);
    let gateway = Gateway::run(command.env("HF_ENDPOINT", &endpoint));
    let world = World { gateway, mock, workspace };
    let told = "`sprat models pull hf:sentence-transformers/all-MiniLM-L6-v2` fetches it";
    assert!(stale(&world).contains(told), "{}", stale(&world));
    assert!(world.gateway.said().contains(told), "{}", world.gateway.said());
    assert_eq!(by(&ask(&world, SURE)), "large");
    assert_eq!(embed(&world, &["text"]).head.status, 404);
    let ask_hub = |arguments: &[&str]| {
        let ran = world.workspace.run(world.workspace.command(arguments).env("HF_ENDPOINT", &endpoint));
        assert!(ran.stderr.contains("all-MiniLM-L6-v2") || ran.stdout.contains("all-MiniLM-L6-v2"), "{ran}");
        ran.code
    };
    assert_eq!(ask_hub(&["learn", "tickets", "rows.jsonl"]), 1);
    assert_eq!(ask_hub(&["ask", "tickets", SURE, "--small-only"]), 0);
    assert_eq!(ask_hub(&["doctor"]), 0, "a warning");
    let asked = hub.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock), "the hub is asked by `models pull` alone");
}
