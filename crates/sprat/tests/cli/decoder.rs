//! A decoder as a rung, through every command that meets it, and what happens when its engine is killed. The decoder is the
//! tiny one that knows some words.

use serde_json::{Value, json};
use sprat_engine::tiny::{Knowing, Taught, Tiny};

use crate::models::{hub_with, run};
use crate::served::{Served, wait_for};
use crate::workspace::{Ran, Workspace};

const LABELS: [&str; 3] = ["billing", "refund", "technical"];

/// Each of the first speaks for a label.
const WORDS: [(&str, Option<usize>); 18] = [
    ("invoice", Some(0)),
    ("charged", Some(0)),
    ("receipt", Some(0)),
    ("money", Some(1)),
    ("back", Some(1)),
    ("returned", Some(1)),
    ("crash", Some(2)),
    ("error", Some(2)),
    ("broken", Some(2)),
    ("the", None),
    ("my", None),
    ("again", None),
    ("today", None),
    ("please", None),
    ("was", None),
    ("hello", None),
    ("still", None),
    ("and", None),
];
/// Of them, those that speak for a label.
const TELLING: usize = 9;

const CONFIG: &str = "\
[models.small]
kind = \"decoder\"
source = \"path:tiny.gguf\"
context = 2048
threads = 1

[models.large]
kind = \"remote\"
provider = \"replay\"
model = \"authored\"
path = \"answers.jsonl\"
";

const TASK: &str = "\
kind = \"classify\"
labels = [\"billing\", \"refund\", \"technical\"]
instructions = \"Which team should read this?\"
rungs = [\"small\"]
large = \"large\"

[target]
max_error = 0.05
";

/// A task whose only rung is the decoder.
pub fn workspace() -> Workspace {
    let workspace = Workspace::with(CONFIG, TASK);
    Knowing { labels: &LABELS, words: &WORDS, context: 2_048, writes: false }
        .write(&workspace.path("tiny.gguf"))
        .unwrap();
    let rows: Vec<(String, &str)> = (0..1_200).map(row).collect();
    let line = |(text, label): &(String, &str)| format!("{}\n", json!({"text": text, "label": label}));
    workspace.write("rows.jsonl", rows.iter().map(line).collect::<String>());
    let answer = |(text, label): &(String, &str)| {
        format!("{}\n", json!({"text": text, "answer": label, "provenance": "authored"}))
    };
    workspace.write("answers.jsonl", rows.iter().map(answer).collect::<String>());
    workspace
}

/// The same on every machine: some words that say nothing, and one or two that speak for the label.
fn row(number: usize) -> (String, &'static str) {
    let label = number % LABELS.len();
    let mut draw = number.wrapping_mul(0x9E37_79B9) >> 3;
    let mut next = |below: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) % below
    };
    let mut words: Vec<&str> =
        (0..4 + next(4)).map(|_| WORDS[TELLING + next(WORDS.len() - TELLING)].0).collect();
    for _ in 0..=next(2) {
        let place = next(words.len());
        words.insert(place, WORDS[3 * label + next(3)].0);
    }
    (format!("{} {number}", words.join(" ")), LABELS[label])
}

fn learn(workspace: &Workspace) -> Ran {
    workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"])
}

fn ask(workspace: &Workspace, text: &str) -> Value {
    workspace.sprat(&["ask", "tickets", text, "--json"]).json()
}

#[test]
fn a_ladder_with_a_decoder_is_learned_certified_and_answers_everywhere() {
    let workspace = workspace();
    let ran = learn(&workspace);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    let decoder = &evidence["rungs"][0];
    assert_eq!(decoder["kind"], "decoder");
    assert!(decoder["accuracy"].as_f64() > Some(0.95), "{decoder}");
    let asked = ask(&workspace, "hello my invoice was charged");
    assert_eq!(
        (&asked["answered_by"], &asked["answer"]["label"]),
        (&json!("small"), &json!("billing")),
        "{asked}"
    );
    let evaluated = workspace.sprat(&["eval", "tickets", "rows.jsonl", "--json"]).json();
    assert!(evaluated["accuracy"].as_f64() > Some(0.95), "{evaluated}");
    let standing = workspace.sprat(&["status", "tickets", "--json"]).json();
    assert_eq!(standing["tasks"][0]["stale"], json!([]));
    assert_eq!(learn(&workspace).json()["unchanged"].as_bool(), Some(true));
}

/// From a repository to answers: nothing tells the model what words mean but rows, and none of those are the rows that it is
/// judged on.
#[test]
fn a_decoder_that_was_taught_here_is_pulled_learned_certified_and_served() {
    let workspace = workspace();
    let taught_by: Vec<(String, usize)> = (0..900)
        .map(|number| {
            let (text, label) = row(1_000_000 + number);
            (text, LABELS.iter().position(|known| *known == label).unwrap())
        })
        .collect();
    let rows: Vec<(&str, usize)> = taught_by.iter().map(|(text, label)| (text.as_str(), *label)).collect();
    let file = workspace.path("tiny.gguf");
    Taught::by(&LABELS, &rows).write(&file, 2_048).unwrap();
    let hub = hub_with("small/taught", vec![("Taught-F32.gguf", std::fs::read(&file).unwrap())]);
    std::fs::remove_file(&file).unwrap();
    let config = workspace.read("sprat.toml").replace("path:tiny.gguf", "hf:small/taught");
    workspace.write("sprat.toml", config);
    let ran = learn(&workspace);
    assert!(ran.code == 1 && ran.stdout.contains("sprat models pull"), "{ran}");
    let pulled = run(&workspace, &hub, &["pull"]);
    assert_eq!(pulled.code, 0, "{pulled}");
    let ran = learn(&workspace);
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{ran}");
    assert!(evidence["rungs"][0]["accuracy"].as_f64() > Some(0.95), "{}", evidence["rungs"][0]);
    let served = Served::start(&workspace);
    let by: Vec<String> = (2_000..2_020).map(|number| answered_by(&served, &row(number).0)).collect();
    let small = by.iter().filter(|by| *by == "small").count();
    assert!(small >= 15, "{by:?}");
}

/// Who answered a request, and whether it went up to the large model.
fn answered_by(served: &Served, text: &str) -> String {
    let body = json!({"model": "tickets", "messages": [{"role": "user", "content": text}]}).to_string();
    let reply = Served::send(served.clients, "POST /v1/chat/completions", &body);
    let header = reply.lines().find_map(|line| line.strip_prefix("x-sprat-answered-by: "));
    header.unwrap_or_else(|| panic!("{reply}")).trim().to_owned()
}

/// The processes that a process has started, by their arguments.
#[cfg(target_os = "linux")]
fn engines(of: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).unwrap();
    let started = tasks.flat_map(|task| {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        children.split_whitespace().map(|child| child.parse().unwrap()).collect::<Vec<u32>>()
    });
    let is_engine = |child: &u32| {
        let arguments = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).nth(1) == Some(b"engine")
    };
    started.filter(is_engine).collect()
}

#[cfg(target_os = "linux")]
fn kill(process: u32) {
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn an_engine_that_is_killed_under_load_costs_answers_of_the_large_model_and_comes_back() {
    let workspace = workspace();
    assert_eq!(learn(&workspace).code, 0);
    let texts: Vec<String> = (0..60).map(|number| row(number).0).collect();
    let served = Served::start(&workspace);
    assert_eq!(answered_by(&served, &texts[0]), "small");
    let [engine] = engines(served.process())[..] else { panic!("one engine was expected") };
    let by: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            texts[1..].iter().map(|text| scope.spawn(|| answered_by(&served, text))).collect();
        kill(engine);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    // Nobody goes without: whoever waited for the engine, or came while it rested, was answered by the large model.
    assert!(by.iter().all(|by| by == "small" || by == "large"), "{by:?}");
    assert!(by.iter().any(|by| by == "large"), "{by:?}");
    let mut fresh = (60..).map(|number| row(number).0);
    wait_for("the engine", || (answered_by(&served, &fresh.next().unwrap()) == "small").then_some(()));
    let after = engines(served.process());
    assert!(after.len() == 1 && after[0] != engine, "{after:?}, and {engine} was killed");
    // Operators see it.
    let metrics = Served::send(served.operators, "GET /metrics", "");
    for line in ["sprat_model_crashes_total{model=\"small\"} 1", "sprat_model_running{model=\"small\"} 1"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let page = Served::send(served.operators, "GET /tasks/tickets", "");
    assert!(page.contains("small: its process ended by itself, 1 time since the server started."), "{page}");
}

#[test]
fn a_model_file_that_changed_makes_the_release_stale_and_small_answers_stop() {
    let workspace = workspace();
    assert_eq!(learn(&workspace).code, 0);
    let text = row(5).0;
    assert_eq!(ask(&workspace, &text)["answered_by"], "small");
    Tiny::SMALLEST.write(&workspace.path("tiny.gguf"), 8).unwrap();
    let standing = workspace.sprat(&["status", "tickets", "--json"]).json();
    let stale = standing["tasks"][0]["stale"].to_string();
    assert!(stale.contains("tiny.gguf") && stale.contains("learn again"), "{stale}");
    assert_eq!(ask(&workspace, &text)["answered_by"], "large");
}

#[test]
fn a_model_that_knows_nothing_is_certified_for_nothing() {
    let workspace = workspace();
    Tiny { context: 2_048, ..Tiny::SMALLEST }.write(&workspace.path("tiny.gguf"), 7).unwrap();
    let evidence = learn(&workspace).json()["evidence"].clone();
    assert!(evidence["rungs"][0]["accuracy"].as_f64() < Some(0.6), "numbers drawn by lot: {evidence}");
    assert_ne!(evidence["certificate"]["status"], "certified");
    assert_eq!(ask(&workspace, &row(5).0)["answered_by"], "large");
}

#[test]
fn a_file_that_is_no_model_is_refused_and_nothing_is_learned() {
    let workspace = workspace();
    let whole = std::fs::read(workspace.path("tiny.gguf")).unwrap();
    for (bytes, why) in [
        (&whole[..whole.len() / 2], "tiny.gguf is cut off or damaged"),
        (&b"<html>not found</html>"[..], "tiny.gguf is no GGUF file"),
    ] {
        workspace.write("tiny.gguf", bytes);
        let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl"]);
        assert_eq!(ran.code, 1, "{ran}");
        for part in [why, "[models.small]"] {
            assert!(ran.stderr.contains(part), "{part}: {ran}");
        }
    }
}

#[test]
fn a_person_who_starts_an_engine_is_told_what_it_is_for() {
    let ran = Workspace::empty().sprat(&["engine"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("is started by Sprat itself"), "{ran}");
}

#[test]
fn inspect_shows_what_a_file_is_and_the_arithmetic_of_its_memory() {
    let workspace = workspace();
    let json = workspace.sprat(&["models", "inspect", "small", "--json"]).json();
    let needs = |part: &str| json["memory_bytes"][part].as_u64().unwrap();
    // One layer with a key and a value of 32 numbers of 16 bits for each of 2,048 tokens.
    assert_eq!(needs("context"), 2_048 * 2 * 32 * 2);
    assert_eq!(needs("earlier"), needs("context"));
    let parts = ["weights", "context", "earlier", "computing"];
    assert_eq!(needs("total"), parts.map(needs).iter().sum::<u64>());
    assert_eq!((&json["architecture"], &json["fits"]), (&json!("llama"), &json!(true)), "{json}");
    let shown = workspace.sprat(&["models", "inspect", "path:tiny.gguf"]);
    assert!(shown.stdout.contains("weights +") && shown.stdout.contains("it fits"), "{shown}");
    workspace.write("cut.gguf", &std::fs::read(workspace.path("tiny.gguf")).unwrap()[..5_000]);
    let refused = workspace.sprat(&["models", "inspect", "path:cut.gguf"]);
    assert!(refused.code == 1 && refused.stderr.contains("is cut off or damaged"), "{refused}");
}

/// Asks the model `small` itself, and gives the reply's status and body.
fn talk(served: &Served, more: Value) -> (u16, String) {
    let mut body = json!({"model": "small", "messages": [{"role": "user", "content": "is the car on the card"}], "max_tokens": 12});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = Served::send(served.clients, "POST /v1/chat/completions", &body.to_string());
    let status = reply.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, reply.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn said(served: &Served, more: Value) -> Value {
    let (status, body) = talk(served, more);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_local_model_holds_conversations_by_name() {
    let workspace = workspace();
    Tiny { context: 2_048, ..Tiny::SMALLEST }.write(&workspace.path("tiny.gguf"), 7).unwrap();
    let served = Served::start(&workspace);
    let models = Served::send(served.clients, "GET /v1/models", "");
    assert!(
        models.contains("\"id\":\"small\",\"object\":\"model\",\"created\":0,\"owned_by\":\"sprat\""),
        "{models}"
    );

    let drawn = said(&served, json!({"seed": 5, "logprobs": true, "top_logprobs": 3}));
    let usage = &drawn["usage"];
    assert!(
        usage["prompt_tokens"].as_u64() > Some(5) && usage["completion_tokens"].as_u64() <= Some(12),
        "{usage}"
    );
    let first = &drawn["choices"][0]["logprobs"]["content"][0];
    assert!(
        first["logprob"].as_f64() < Some(0.0) && first["top_logprobs"].as_array().unwrap().len() == 3,
        "{first}"
    );
    let text = |said: &Value| said["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(text(&said(&served, json!({"seed": 5}))), text(&drawn), "the same seed draws the same");
    assert_ne!(text(&said(&served, json!({"seed": 6}))), text(&drawn));

    let (status, stream) = talk(&served, json!({"seed": 5, "stream": true}));
    let events: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert!(status == 200 && events.last() == Some(&"[DONE]"), "{stream}");
    let pieces = events[..events.len() - 1].iter().filter_map(|event| {
        let chunk: Value = serde_json::from_str(event).unwrap();
        chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    });
    assert_eq!(pieces.collect::<String>(), text(&drawn), "whole or in pieces");

    let schema = json!({"type": "object", "properties": {"colour": {"enum": ["red", "green"]}, "many": {"type": "boolean"}},
        "required": ["colour", "many"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "paint", "schema": schema}});
    for seed in 0..5 {
        let said = said(&served, json!({"seed": seed, "max_tokens": 200, "response_format": format}));
        let record: Value = serde_json::from_str(&text(&said)).unwrap();
        assert!(
            record["many"].is_boolean() && ["red", "green"].contains(&record["colour"].as_str().unwrap()),
            "{record}"
        );
    }
    let tool = json!({"type": "function", "function": {"name": "paint", "parameters": schema}});
    let called = said(&served, json!({"max_tokens": 200, "tools": [tool], "tool_choice": "required"}));
    let call = &called["choices"][0]["message"]["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(call["name"] == "paint" && arguments["many"].is_boolean(), "{called}");

    for (more, part) in [
        (json!({"n": 2}), "one answer a call"),
        (json!({"presence_penalty": 1.5}), "can't honour `presence_penalty`"),
        (json!({"messages": [{"role": "user", "content": "car ".repeat(5_000)}]}), "context_length_exceeded"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 3}}}}),
            "type",
        ),
    ] {
        let (status, body) = talk(&served, more);
        assert!(status == 400 && body.contains(part), "{status}: {body}");
    }
}
