//! Over an engine that is this test binary once more: it scores labels by what the text says, and ends as it is told to.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use serde_json::{Value, json};
use sprat_engine::protocol::{
    self, Constraint, End, Generate, HELLO, Loaded, Order, Prompt, Refusal, Report, Scored, Written,
};
use sprat_engine::tiny::Tiny;
use sprat_task::file::read_task;
use sprat_task::model::WireRequest;
use sprat_task::{
    Answer, Context, Input, LabelledRow, ModelError, Source, Task, Trainer, Training, Upstream,
};

use super::chat::{ChatModel, ChatTemplate};
use super::*;

const LABELS: [&str; 3] = ["billing", "refund", "technical"];

#[test]
#[ignore = "the other tests start it, as an engine"]
fn fake_engine() {
    let mut socket = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut writer = socket.try_clone().unwrap();
    let mut say = |report: &Report| protocol::write(&mut writer, report).unwrap();
    let mut labels: Vec<String> = Vec::new();
    while let Ok(order) = protocol::read::<Order>(&mut socket) {
        match order {
            Order::Load(load) if load.file.ends_with("broken.gguf") => {
                return say(&Report::NotLoaded("broken.gguf is broken".to_owned()));
            }
            Order::Load(load) => {
                let hello = HELLO.to_owned();
                say(&Report::Loaded(Loaded {
                    hello,
                    context: load.context,
                    threads: 1,
                    kernels: String::new(),
                    took_ms: 1,
                }));
            }
            Order::Prompt(prompt) if prompt.before.contains("too long") => {
                let why = Refusal::TooLong { tokens: 9_000, room: 512 };
                say(&Report::NoPrompt { prompt: prompt.prompt, why });
            }
            Order::Prompt(prompt) => labels = prompt.labels,
            Order::Score(score) => match score.text.as_str() {
                "abort" => std::process::abort(),
                "exit" => {
                    eprintln!("GGML_ASSERT(n_tokens <= n_batch) failed");
                    std::process::exit(3);
                }
                "hang" => std::thread::sleep(Duration::from_secs(600)),
                "silence" => {}
                "garbage" => drop(std::io::Write::write_all(&mut socket, b"\x04\0\0\0oops")),
                "full" => say(&Report::Refused { id: score.id, why: Refusal::Full }),
                _ if labels.is_empty() => {
                    let why = Refusal::Bad("there is no prompt".to_owned());
                    say(&Report::Refused { id: score.id, why });
                }
                text => {
                    let fits = |label: &String| match label.trim().split_once(": ") {
                        Some((_, "no")) => -2.0,
                        Some((word, _)) if text.contains(word) => -0.5,
                        None if text.contains(label.trim()) => -0.5,
                        _ => -4.0,
                    };
                    let log_likelihoods = labels.iter().map(fits).collect();
                    let tokens = vec![1; labels.len()];
                    say(&Report::Scored(Scored { id: score.id, log_likelihoods, tokens, read: 3 }));
                }
            },
            Order::Generate(order) => writes(&order, &mut say),
            Order::Cancel(_) => {}
        }
    }
}

/// What the engine writes: three words, or the call that it is made to write; and what else it is told to do.
fn writes(order: &Generate, say: &mut dyn FnMut(&Report)) {
    let id = order.id;
    let text = order.text.as_str();
    if text.contains("too long") {
        let why = Refusal::TooLong { tokens: 9_000, room: 512 };
        return say(&Report::Refused { id, why });
    }
    // A token is two bytes, and of what begins with `~` it reads so many.
    let own = text.rsplit("Text:\n").next().unwrap_or_default();
    let tokens = text.len().div_ceil(2) as u64;
    if own.starts_with('~') && tokens > READS {
        let why = Refusal::TooLong { tokens, room: READS };
        return say(&Report::Refused { id, why });
    }
    if own.contains("silence") {
        return;
    }
    if matches!(&order.constraint, Some(Constraint::JsonSchema(schema)) if schema.contains("impossible")) {
        return say(&Report::Refused { id, why: Refusal::Bad("the schema can't be met".to_owned()) });
    }
    let pieces = match &order.constraint {
        Some(Constraint::JsonSchema(schema)) if schema.contains("weather") => {
            ["{\"name\": \"weather\", ", "\"arguments\": {\"city\": \"Bern\"}}"].map(str::to_owned).to_vec()
        }
        Some(Constraint::JsonSchema(schema)) if schema.contains("guests") => written_record(text),
        None if order.behind.is_some() => vec![filled(text, order.behind.as_deref().unwrap_or_default())],
        None if own.starts_with("~~") => vec![first_words(own)],
        None if own.starts_with('~') => vec![own.to_uppercase()],
        None if text.contains("twice") => {
            ["<tool_call>{\"name\": \"weather\"}</tool_call>"; 2].map(str::to_owned).to_vec()
        }
        _ => match text.rsplit_once("echo ") {
            Some((_, echoed)) => vec![echoed.to_owned()],
            None => ["Hello", ", ", "world"].map(str::to_owned).to_vec(),
        },
    };
    let mut written = Vec::new();
    for piece in pieces {
        say(&Report::Text { id, text: piece.clone() });
        if text.contains("abort") {
            std::process::abort();
        }
        let shown = |text: &str| if order.likeliest > 0 { text.as_bytes().to_vec() } else { Vec::new() };
        written.push(Written {
            bytes: piece.len() as u32,
            log_probability: if own.contains("doubtful") { -3.0 } else { -0.5 },
            margin: 1.0,
            text: shown(&piece),
            likeliest: (0..order.likeliest).map(|_| (shown("x"), -1.0)).collect(),
        });
    }
    written.push(Written {
        bytes: 0,
        log_probability: -0.1,
        margin: 3.0,
        text: Vec::new(),
        likeliest: Vec::new(),
    });
    let is_cut = order.most_tokens < 4 || text.ends_with("endless");
    let end = if is_cut { End::MostTokens } else { End::Model };
    say(&Report::Ended { id, end, read: text.split_whitespace().count() as u32, written });
}

/// What the engine reads of a text that begins with `~`, in tokens.
const READS: u64 = 250;

/// What it fills a hole with: what stands next to it on both sides.
fn filled(before: &str, behind: &str) -> String {
    let (last, next) = (before.split(' ').next_back(), behind.split(' ').next());
    format!("{} {}", last.unwrap_or_default(), next.unwrap_or_default())
}

/// Of each line that begins with `~~`, the word behind that.
fn first_words(text: &str) -> String {
    let words = text.lines().filter_map(|line| line.split_whitespace().nth(1));
    format!("~~ {}", words.collect::<Vec<_>>().join(" "))
}

/// The record of a text such as `a table in Bern for 3`; half of it where the text says so.
fn written_record(text: &str) -> Vec<String> {
    let word_after = |word: &str| text.split_whitespace().skip_while(|other| *other != word).nth(1);
    let city = word_after("in").map_or("null".to_owned(), |city| format!("\"{city}\""));
    let guests = word_after("for").unwrap_or("null").to_owned();
    let mut pieces =
        vec!["{\"city\": ".to_owned(), city, ", \"guests\": ".to_owned(), guests, "}".to_owned()];
    pieces.truncate(if text.contains("half") { 3 } else { 5 });
    pieces
}

/// This test binary, as an engine.
fn fake() -> (PathBuf, Vec<String>) {
    let arguments = ["--exact", "decoder::tests::fake_engine", "--ignored", "--nocapture"];
    (std::env::current_exe().expect("a program has a place"), arguments.map(str::to_owned).to_vec())
}

fn config(file: &str) -> EngineConfig {
    let (program, arguments) = fake();
    EngineConfig {
        program,
        arguments: arguments.iter().map(Into::into).collect(),
        file: file.into(),
        context: 512,
        threads: 1,
        adapters: Vec::new(),
        waiting: 16,
        patience: Duration::from_millis(700),
        loading: Duration::from_secs(60),
    }
}

fn engine() -> (Arc<Engines>, Arc<Engine>) {
    let engines = Engines::new(1_000);
    let engine = engines.open(config("model.gguf"), 600).expect("it fits");
    (engines, engine)
}

fn prompt(before: &str) -> Prompt {
    let labels = LABELS.map(|label| format!(" {label}")).to_vec();
    let (before, after) = (before.to_owned(), "\nLabel:".to_owned());
    Prompt { prompt: before.len() as u64, before, after, labels, adapter: None }
}

fn context(within: Duration) -> Context {
    Context::until(Instant::now() + within, "test")
}

async fn ask(engine: &Engine, text: &str) -> Result<Scored, ModelError> {
    engine.score(&context(Duration::from_secs(60)), &prompt("Text: "), text).await
}

/// Asks until the engine no longer rests.
async fn ask_again(engine: &Engine, text: &str) -> Result<Scored, ModelError> {
    loop {
        match ask(engine, text).await {
            Err(ModelError::Resting { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn an_engine_is_started_when_it_is_first_asked_and_stays() {
    let (_engines, engine) = engine();
    assert_eq!(engine.standing().process, None);
    let scored = ask(&engine, "a refund please").await.unwrap();
    assert_eq!(scored.log_likelihoods, [-4.0, -0.5, -4.0]);
    let first = engine.standing();
    assert!(first.process.is_some() && first.is_loaded, "{first:?}");
    ask(&engine, "billing").await.unwrap();
    assert_eq!(engine.standing(), first);
}

#[tokio::test]
async fn a_crash_fails_those_who_wait_and_the_engine_comes_back_after_a_rest() {
    let (_engines, engine) = engine();
    ask(&engine, "billing").await.unwrap();
    let (waiting, crashed) = tokio::join!(ask(&engine, "silence"), ask(&engine, "abort"));
    for answer in [waiting, crashed] {
        let error = answer.unwrap_err();
        assert!(matches!(&error, ModelError::Unavailable(why) if why.contains("SIGABRT")), "{error}");
    }
    let error = loop {
        match ask(&engine, "billing").await {
            Err(ModelError::Unavailable(_)) => tokio::task::yield_now().await,
            other => break other.unwrap_err(),
        }
    };
    assert!(matches!(&error, ModelError::Resting { why, .. } if why.contains("SIGABRT")), "{error}");
    assert!(ask_again(&engine, "billing").await.is_ok());
    assert_eq!(engine.standing().crashes, 1);
}

#[tokio::test]
async fn one_that_is_killed_is_started_again() {
    let (_engines, engine) = engine();
    ask(&engine, "billing").await.unwrap();
    let process = engine.standing().process.unwrap();
    let status = std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    assert!(status.success());
    // It may take the signal before or after it hears of the request.
    let first = ask(&engine, "silence").await.unwrap_err();
    assert!(
        matches!(&first, ModelError::Unavailable(why) | ModelError::Resting { why, .. } if why.contains("SIGKILL")),
        "{first}"
    );
    ask_again(&engine, "billing").await.unwrap();
    assert_ne!(engine.standing().process, Some(process));
}

#[tokio::test]
async fn its_last_words_are_told() {
    let (_engines, engine) = engine();
    let error = ask(&engine, "exit").await.unwrap_err().to_string();
    assert!(
        error.contains("its engine ended with exit code 3: GGML_ASSERT(n_tokens <= n_batch) failed"),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_is_stuck_is_ended() {
    let (_engines, engine) = engine();
    ask(&engine, "billing").await.unwrap();
    let error = ask(&engine, "hang").await.unwrap_err().to_string();
    assert!(error.contains("it said nothing for 700ms"), "{error}");
    ask_again(&engine, "billing").await.unwrap();
}

#[tokio::test]
async fn one_that_talks_nonsense_is_ended() {
    let (_engines, engine) = engine();
    ask(&engine, "billing").await.unwrap();
    let error = ask(&engine, "garbage").await.unwrap_err().to_string();
    assert!(
        error.contains("a message that can't be understood") || error.contains("it said expected"),
        "{error}"
    );
    assert_eq!(engine.standing().crashes, 1);
}

#[tokio::test]
async fn a_model_that_cant_be_loaded_says_why_and_rests_longer_each_time() {
    let engines = Engines::new(1_000);
    let engine = engines.open(config("broken.gguf"), 600).unwrap();
    let mut rests = Vec::new();
    for _ in 0..3 {
        let error = ask_again(&engine, "billing").await.unwrap_err().to_string();
        assert_eq!(error, "unavailable: broken.gguf is broken");
        let retry_after_ms = loop {
            match ask(&engine, "billing").await {
                Err(ModelError::Resting { retry_after_ms, .. }) => break retry_after_ms,
                _ => tokio::task::yield_now().await,
            }
        };
        rests.push(retry_after_ms);
    }
    assert!(rests[0] <= 500 && rests[1] > 500 && rests[1] <= 1_000 && rests[2] > 1_000, "{rests:?}");
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_waited_for_and_costs_nobody_else() {
    let (_engines, engine) = engine();
    ask(&engine, "billing").await.unwrap();
    let late = engine.score(&context(Duration::from_millis(30)), &prompt("Text: "), "silence").await;
    assert_eq!(late, Err(ModelError::Timeout));
    let left = context(Duration::from_secs(60));
    left.cancel.cancel();
    assert_eq!(engine.score(&left, &prompt("Text: "), "silence").await, Err(ModelError::Cancelled));
    ask(&engine, "billing").await.unwrap();
    assert_eq!(engine.standing().crashes, 0);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (_engines, engine) = engine();
    assert_eq!(ask(&engine, "full").await, Err(ModelError::Busy { retry_after_ms: None }));
    let (other_engines, other) = self::engine();
    let long = other.score(&context(Duration::from_secs(60)), &prompt("too long"), "text").await.unwrap_err();
    assert_eq!(long, ModelError::BadInput("9000 tokens, and the model has room for 512".to_owned()));
    drop(other_engines);
}

#[tokio::test]
async fn a_program_that_isnt_there_is_said_to_be_missing() {
    let engines = Engines::new(1_000);
    let engine =
        engines.open(EngineConfig { program: "/no/such/program".into(), ..config("a.gguf") }, 1).unwrap();
    let error = ask(&engine, "text").await.unwrap_err().to_string();
    assert!(error.contains("its engine can't be started (/no/such/program)"), "{error}");
}

#[tokio::test]
async fn models_that_nobody_waits_for_make_way_for_others() {
    let engines = Engines::new(1_000);
    let [a, b, c] = ["a", "b", "c"].map(|name| engines.open(config(&format!("{name}.gguf")), 400).unwrap());
    ask(&a, "billing").await.unwrap();
    ask(&b, "billing").await.unwrap();
    ask(&a, "billing").await.unwrap();
    ask(&c, "billing").await.unwrap();
    assert_eq!(
        [&a, &b, &c].map(|engine| engine.is_running()),
        [true, false, true],
        "b was asked longest ago"
    );
    assert_eq!(b.standing().crashes, 0, "it was told to end");
    ask(&b, "billing").await.unwrap();
    assert!(Arc::ptr_eq(&engines.open(config("a.gguf"), 400).unwrap(), &a), "one model has one engine");
}

#[tokio::test]
async fn one_that_finds_no_room_beside_models_at_work_says_so() {
    let engines = Engines::new(1_000 << 20);
    let [a, b] = ["a", "b"].map(|name| engines.open(config(&format!("{name}.gguf")), 600 << 20).unwrap());
    ask(&a, "billing").await.unwrap();
    let beside = async {
        // Until the other's request is on its way.
        while a.idle_since().is_some() {
            tokio::task::yield_now().await;
        }
        ask(&b, "billing").await
    };
    let within = context(Duration::from_millis(400));
    let words = prompt("Text: ");
    let (_, refused) = tokio::join!(a.score(&within, &words, "silence"), beside);
    let expected = "unavailable: b.gguf needs 600 MiB of memory, and models at work hold 600 MiB of 1000 MiB";
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

#[test]
fn a_model_that_can_never_fit_is_refused_with_the_arithmetic() {
    let error = Engines::new(100 << 20).open(config("large.gguf"), 300 << 20).map(|_| ()).unwrap_err();
    assert_eq!(
        error,
        "large.gguf needs 300 MiB of memory with a context of 512 tokens, and models may take 100 MiB"
    );
}

fn task() -> Task {
    let text = "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\n";
    read_task("tickets", &Source::new("tickets.toml", text), |_| Err(String::new())).expect("a valid task")
}

fn rows() -> Vec<LabelledRow> {
    let row = |number: usize| {
        let label = LABELS[number % 3];
        LabelledRow::gold(format!("row {number} is about {label}"), Answer::label(label))
    };
    (0..30).map(row).collect()
}

fn trainer(file: &Path) -> DecoderTrainer {
    let (file, adapters) = (file.to_owned(), Vec::new());
    let settings = Settings { engine: fake(), file, context: 512, threads: 1, adapters, adapter: None };
    DecoderTrainer::new("small".into(), settings, Engines::new(1 << 30))
}

fn fit(trainer: &DecoderTrainer, folder: &Path) -> Result<sprat_task::Fitted, sprat_task::TrainError> {
    let training =
        Training { seed: 1, threads: 1, kept: None, progress: &|_| std::ops::ControlFlow::Continue(()) };
    trainer.fit(&training, &task(), &rows(), &[0; 30], folder)
}

#[tokio::test]
async fn a_decoder_becomes_a_rung_and_is_opened_as_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let trainer = trainer(&file);
    let fitted = fit(&trainer, folder.path()).unwrap();
    let shown = fitted.out_of_fold.iter().filter(|attempt| attempt.is_none()).count();
    assert_eq!(shown, 8, "rows that it is shown calibrate nothing");
    for (row, attempt) in rows().iter().zip(&fitted.out_of_fold) {
        let Some(attempt) = attempt else { continue };
        let prediction = attempt.prediction().unwrap();
        assert_eq!(Some(&prediction.answer), row.target());
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
    }
    let opened = trainer.open(&task(), &folder.path().join(&fitted.file)).unwrap();
    let inputs = [Input::new("a refund"), Input::new("technical trouble")];
    let cx = context(Duration::from_secs(60));
    let strip = |attempts: Vec<sprat_task::Attempt>| {
        attempts.into_iter().map(|attempt| attempt.result).collect::<Vec<_>>()
    };
    let first = strip(fitted.model.predict(&cx, &task(), &inputs).await);
    assert_eq!(strip(opened.predict(&cx, &task(), &inputs).await), first);
    // Another model under the same name is not the one that was certified.
    Tiny::SMALLEST.write(&file, 2).unwrap();
    let error = trainer.open(&task(), &folder.path().join(&fitted.file)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("is not the file that the rung was made with"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_before_any_engine_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = trainer(&file).check().unwrap_err();
    assert!(error.contains("cut.gguf is cut off or damaged"), "{error}");
    let error = trainer(&folder.path().join("none.gguf")).check().unwrap_err();
    assert!(error.contains("none.gguf can't be read"), "{error}");
}

fn chat_model() -> (Arc<Engines>, ChatModel) {
    let (engines, engine) = engine();
    let template =
        ChatTemplate::new("{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}", None, "", "");
    (engines, ChatModel::new("small".into(), engine, template))
}

/// What a model replies to a call: status, and all of the body or why it broke off.
async fn reply(model: &ChatModel, mut call: Value) -> (u16, Result<String, ModelError>) {
    call["model"] = "small".into();
    let request =
        WireRequest { path: "/chat/completions".into(), headers: Vec::new(), body: call.to_string().into() };
    let reply = match model.send(&context(Duration::from_secs(60)), request).await {
        Ok(reply) => reply,
        Err(none) => return (0, Err(none.error)),
    };
    let status = reply.status;
    let body: Result<Vec<Vec<u8>>, ModelError> = reply.body.try_collect().await;
    (status, body.map(|body| String::from_utf8(body.concat()).expect("a text")))
}

async fn answer(model: &ChatModel, call: Value) -> Value {
    let (status, body) = reply(model, call).await;
    assert_eq!(status, 200, "{body:?}");
    serde_json::from_str(&body.expect("a whole reply")).expect("JSON")
}

fn saying(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test]
async fn a_local_model_replies_as_openai_does() {
    let (_engines, model) = chat_model();
    let said = answer(&model, saying("hi there")).await;
    assert_eq!(said["object"], "chat.completion");
    assert_eq!(said["model"], "small");
    let message = json!({ "role": "assistant", "content": "Hello, world" });
    assert_eq!(said["choices"], json!([{ "index": 0, "message": message, "finish_reason": "stop" }]));
    assert_eq!(said["usage"], json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 }));
    let mut call = saying("hi");
    call["max_tokens"] = 3.into();
    assert_eq!(answer(&model, call).await["choices"][0]["finish_reason"], "length");
    assert!(model.own_process().unwrap().is_running);
}

#[tokio::test]
async fn a_local_model_streams_as_openai_does() {
    let (_engines, model) = chat_model();
    let mut call = saying("hi");
    call["stream"] = true.into();
    call["stream_options"] = json!({ "include_usage": true });
    call["logprobs"] = true.into();
    let (_, body) = reply(&model, call.clone()).await;
    let body = body.unwrap();
    let events: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({ "role": "assistant", "content": "Hello" }));
    assert_eq!((deltas[1], deltas[2]), (&json!({ "content": ", " }), &json!({ "content": "world" })));
    let ended = &chunks[3]["choices"][0];
    assert_eq!((&ended["delta"], &ended["finish_reason"]), (&json!({}), &json!("stop")));
    assert_eq!(ended["logprobs"]["content"].as_array().unwrap().len(), 3);
    assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]["total_tokens"]), (&json!([]), &json!(6)));
    assert_eq!(chunks.len(), 5);
}

#[tokio::test]
async fn a_local_model_calls_the_tool_that_it_must_call() {
    let (_engines, model) = chat_model();
    let mut call = saying("weather?");
    call["tools"] = json!([{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object" } } }]);
    call["tool_choice"] = "required".into();
    let said = answer(&model, call.clone()).await;
    let choice = &said["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null)
    );
    let function = json!({ "name": "weather", "arguments": "{\"city\":\"Bern\"}" });
    assert_eq!(choice["message"]["tool_calls"][0]["function"], function);
    call["stream"] = true.into();
    let (_, body) = reply(&model, call).await;
    let body = body.unwrap();
    assert!(body.contains("\"tool_calls\":[{\"index\":0") && !body.contains("Bern\"}}\""), "{body}");
}

#[tokio::test]
async fn a_local_model_calls_several_tools_only_where_it_may() {
    let (_engines, model) = chat_model();
    let mut call = saying("weather, twice");
    call["tools"] = json!([{ "type": "function", "function": { "name": "weather" } }]);
    for (may, calls) in [(Value::Null, 2), (json!(true), 2), (json!(false), 1)] {
        call["parallel_tool_calls"] = may;
        let said = answer(&model, call.clone()).await;
        assert_eq!(said["choices"][0]["message"]["tool_calls"].as_array().unwrap().len(), calls);
    }
}

#[tokio::test]
async fn the_likeliest_tokens_are_told_where_they_are_asked_for() {
    let (_engines, model) = chat_model();
    let mut call = saying("hi");
    call["logprobs"] = true.into();
    call["top_logprobs"] = 2.into();
    let said = answer(&model, call).await;
    let first = &said["choices"][0]["logprobs"]["content"][0];
    assert_eq!((&first["token"], &first["logprob"]), (&json!("Hello"), &json!(-0.5)));
    assert_eq!(first["top_logprobs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_local_model_cant_answer_is_refused_before_it_replies() {
    let (_engines, model) = chat_model();
    let (status, body) = reply(&model, saying("too long")).await;
    let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
    assert_eq!((status, &body["error"]["code"]), (400, &json!("context_length_exceeded")));
    assert_eq!(body["error"]["message"], "small: 9000 tokens, and the model has room for 512");
    let mut call = saying("hi");
    call["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": { "not": "impossible" } } });
    let (_, body) = reply(&model, call).await;
    assert_eq!(body.unwrap_err(), ModelError::BadInput("the schema can't be met".to_owned()));
    let (engines, engine) = engine();
    let untold = ChatModel::new("base".into(), engine, Err("its file has no chat template".to_owned()));
    let (status, body) = reply(&untold, saying("hi")).await;
    assert!(status == 400 && body.unwrap().contains("base: its file has no chat template"));
    drop(engines);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_an_answer_ends_it_with_an_error() {
    let (_engines, model) = chat_model();
    let (status, body) = reply(&model, saying("abort")).await;
    assert!(
        status == 0 && matches!(&body, Err(ModelError::Unavailable(why)) if why.contains("SIGABRT")),
        "{body:?}"
    );
    let mut call = saying("abort");
    call["stream"] = true.into();
    loop {
        match reply(&model, call.clone()).await {
            (0, Err(ModelError::Resting { .. })) => tokio::time::sleep(Duration::from_millis(20)).await,
            (200, Err(ModelError::Unavailable(why))) => break assert!(why.contains("SIGABRT"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

fn bookings() -> Task {
    let text = "kind = \"extract\"\ninstructions = \"Who comes where?\"\n\
        [[fields]]\nname = \"city\"\ntype = \"text\"\nrequired = true\n\
        [[fields]]\nname = \"guests\"\ntype = \"number\"\n";
    read_task("bookings", &Source::new("bookings.toml", text), |_| Err(String::new())).expect("a valid task")
}

fn booking(text: &str, record: Value) -> LabelledRow {
    let Value::Object(record) = record else { panic!("a record is an object") };
    LabelledRow::gold(text, Answer::Fields(bookings().record(&record, text).expect("one of the task's")))
}

#[tokio::test]
async fn a_decoder_writes_records_and_says_how_sure_it_was_of_each_value() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let trainer = trainer(&file);
    let mut rows: Vec<LabelledRow> = (0..12)
        .map(|guests| {
            let city = ["Bern", "Basel", "Genf"][guests % 3];
            booking(&format!("a table in {city} for {guests}"), json!({ "city": city, "guests": guests }))
        })
        .collect();
    rows.push(booking("half a table in Bern", json!({ "city": "Bern" })));
    let training =
        Training { seed: 1, threads: 1, kept: None, progress: &|_| std::ops::ControlFlow::Continue(()) };
    let fitted = trainer.fit(&training, &bookings(), &rows, &[0; 13], folder.path()).unwrap();
    let shown = fitted.out_of_fold.iter().filter(|attempt| attempt.is_none()).count();
    assert_eq!(shown, 6, "rows that it is shown calibrate nothing");
    for (row, attempt) in rows[..12].iter().zip(&fitted.out_of_fold) {
        let Some(attempt) = attempt else { continue };
        let prediction = attempt.prediction().unwrap();
        assert_eq!(Some(&prediction.answer), row.target());
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
        // Two values of one token each, and half a nat for each token.
        assert_eq!(prediction.features.0[..5], [-0.5, -0.5, -1.0, 1.0, 2.0]);
        assert_eq!(prediction.alternatives.len(), 2);
    }
    let opened = trainer.open(&bookings(), &folder.path().join(&fitted.file)).unwrap();
    let cx = context(Duration::from_secs(60));
    let inputs = [Input::new("dinner in Chur"), Input::new("half a table in Bern")];
    let said = opened.predict(&cx, &bookings(), &inputs).await;
    assert_eq!(said[0].prediction().unwrap().answer.to_line(), "{\"city\":\"Chur\"}");
    assert!(matches!(&said[1].result, Err(ModelError::BadAnswer(_))), "half a record is none: {:?}", said[1]);
    let mut other = bookings();
    other.fields.pop();
    let error = trainer.open(&other, &folder.path().join(&fitted.file)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("learn again"), "{error}");
}

#[tokio::test]
async fn a_decoder_writes_texts_and_is_shown_rows_of_other_folds_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let text = "kind = \"generate\"\n[quality]\nmetric = \"exact\"\n";
    let task = read_task("echo", &Source::new("echo.toml", text), |_| Err(String::new())).unwrap();
    let words = ["alpha", "beta", "gamma", "delta", "endless", "omega"];
    let row =
        |word: &&str| LabelledRow::gold(format!("say this: echo {word}"), Answer::Text((*word).to_owned()));
    let mut rows: Vec<LabelledRow> = words.iter().map(row).collect();
    rows[5].captured = true;
    let training =
        Training { seed: 1, threads: 1, kept: None, progress: &|_| std::ops::ControlFlow::Continue(()) };
    let fitted = trainer(&file).fit(&training, &task, &rows, &[0, 1, 2, 0, 1, 2], folder.path()).unwrap();
    for (row, attempt) in rows.iter().zip(&fitted.out_of_fold) {
        let attempt = attempt.as_ref().expect("each row is asked about");
        if row.input.text.ends_with("endless") {
            assert!(
                matches!(&attempt.result, Err(ModelError::BadAnswer(why)) if why.contains("isn't finished"))
            );
            continue;
        }
        let prediction = attempt.prediction().unwrap();
        assert_eq!(Some(&prediction.answer), row.target());
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
    }
    let kept = std::fs::read_to_string(folder.path().join(&fitted.file)).unwrap();
    assert!(kept.contains("alpha") && !kept.contains("omega"), "what was captured is not kept");
    let opened = trainer(&file).open(&task, &folder.path().join(&fitted.file)).unwrap();
    let said = opened.predict(&context(Duration::from_secs(60)), &task, &[Input::new("echo zeta")]).await;
    assert_eq!(said[0].prediction().unwrap().answer, Answer::Text("zeta".to_owned()));
}

#[tokio::test]
async fn a_rung_made_with_an_adapter_is_opened_with_that_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(format!("{name}.gguf")));
    for adapter in [&one, &other] {
        std::fs::write(adapter, adapter.display().to_string()).unwrap();
    }
    let with = |adapters: &[&PathBuf], adapter: Option<u32>| {
        let adapters = adapters.iter().map(|path| (*path).clone()).collect();
        let settings =
            Settings { engine: fake(), file: file.clone(), context: 512, threads: 1, adapters, adapter };
        DecoderTrainer::new("small".into(), settings, Engines::new(1 << 30))
    };
    let fitted = fit(&with(&[&one], Some(0)), folder.path()).unwrap();
    let learned = folder.path().join(&fitted.file);
    let opened = |trainer: DecoderTrainer| {
        trainer.open(&task(), &learned).map(|_| ()).map_err(|error| error.to_string())
    };
    // Where it stands among the adapters of its base is no matter.
    opened(with(&[&other, &one], Some(1))).unwrap();
    assert!(
        opened(with(&[&one, &other], Some(1)))
            .unwrap_err()
            .contains("is not the file that the rung was made with")
    );
    assert!(opened(with(&[], None)).unwrap_err().contains("none is declared"));
    let plain = fit(&with(&[], None), folder.path()).unwrap();
    assert_eq!(plain.file, fitted.file);
    assert!(opened(with(&[&one], Some(0))).unwrap_err().contains("was made without"));
    let words = || super::prompt::named("a".into(), "b".into(), vec![]);
    let numbers = [None, Some(0), Some(1)].map(|adapter| super::prompt::read_by(adapter, words()).prompt);
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2], "each reads its own: {numbers:?}");
}

#[tokio::test]
async fn a_decoder_says_yes_or_no_to_each_of_several_labels() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let text = "kind = \"moderate\"\nlabels = [\"hate\", \"spam\"]\n";
    let task = read_task("posts", &Source::new("posts.toml", text), |_| Err(String::new())).unwrap();
    let row = |number: usize| {
        let labels = [&["hate"][..], &["spam"], &[], &["hate", "spam"]][number % 4];
        let answer = Answer::labels(labels.iter().map(|label| (*label).into()));
        LabelledRow::gold(format!("row {number} {}", labels.join(" and ")), answer)
    };
    let rows: Vec<LabelledRow> = (0..40).map(row).collect();
    let folds: Vec<u32> = (0..40).map(|row| row % 5).collect();
    let training =
        Training { seed: 1, threads: 1, kept: None, progress: &|_| std::ops::ControlFlow::Continue(()) };
    let fitted = trainer(&file).fit(&training, &task, &rows, &folds, folder.path()).unwrap();
    assert_eq!(fitted.out_of_fold.iter().filter(|attempt| attempt.is_none()).count(), 6);
    for (row, attempt) in rows.iter().zip(&fitted.out_of_fold) {
        let Some(attempt) = attempt else { continue };
        let prediction = attempt.prediction().unwrap();
        assert_eq!(Some(&prediction.answer), row.target());
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
        assert_eq!(prediction.alternatives.len(), 2, "every category has its probability");
    }
    let opened = trainer(&file).open(&task, &folder.path().join(&fitted.file)).unwrap();
    let inputs = ["spam and ham", "nothing"].map(Input::new);
    let said = opened.predict(&context(Duration::from_secs(60)), &task, &inputs).await;
    let answers = said.iter().map(|attempt| attempt.prediction().unwrap().answer.to_line());
    assert_eq!(answers.collect::<Vec<_>>(), ["spam", ""]);
}

fn generates(more: &str) -> Task {
    let text = format!("kind = \"generate\"\n{more}\n[quality]\nmetric = \"exact\"\n");
    read_task("texts", &Source::new("texts.toml", text), |_| Err(String::new())).expect("a valid task")
}

/// Rows that are asked about, and none of them shown.
fn unshown(pairs: &[(String, String)]) -> Vec<LabelledRow> {
    let row = |(text, right): &(String, String)| LabelledRow {
        captured: true,
        ..LabelledRow::gold(text.clone(), Answer::Text(right.clone()))
    };
    pairs.iter().map(row).collect()
}

fn fit_texts(
    trainer: &DecoderTrainer,
    task: &Task,
    rows: &[LabelledRow],
    folder: &Path,
) -> Result<sprat_task::Fitted, sprat_task::TrainError> {
    let training =
        Training { seed: 1, threads: 1, kept: None, progress: &|_| std::ops::ControlFlow::Continue(()) };
    trainer.fit(&training, task, rows, &vec![0; rows.len()], folder)
}

/// So many lines of forty bytes or so.
fn lines(count: usize, more: &str) -> String {
    (0..count)
        .map(|line| format!("~ line {line} has some words in it{more}\n"))
        .collect::<String>()
        .trim()
        .to_owned()
}

#[tokio::test]
async fn a_long_text_is_answered_in_pieces_in_learning_as_in_serving() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let task = generates("long = \"join\"");
    let mut pairs: Vec<(String, String)> =
        (1..14).map(|count| (lines(count, ""), lines(count, "").to_uppercase())).collect();
    let doubtful = lines(12, "").replace("line 7", "a doubtful line 7");
    pairs.push((doubtful.clone(), doubtful.to_uppercase()));
    let rows = unshown(&pairs);
    let trainer = trainer(&file);
    let fitted = fit_texts(&trainer, &task, &rows, folder.path()).unwrap();
    assert_eq!((fitted.model.feature_names().len(), fitted.model.scorer_version()), (20, 2));
    let predictions: Vec<_> =
        fitted.out_of_fold.iter().map(|attempt| attempt.as_ref().unwrap().prediction()).collect();
    for (row, prediction) in rows.iter().zip(&predictions) {
        assert_eq!(prediction.map(|said| &said.answer), row.target());
    }
    let answers = |place: usize| predictions[place].unwrap().features.0[16].exp().round() as usize;
    assert_eq!(answers(0), 1, "a short text is asked about once");
    assert_eq!(answers(12), 2, "of thirteen lines an answer would have no room");
    // One bad piece is seen in the features of all.
    let least_mean = |place: usize| predictions[place].unwrap().features.0[17];
    assert!(least_mean(13) < -1.0 && least_mean(12) > -0.5, "{} {}", least_mean(13), least_mean(12));
    // What is served says the same of the same rows, many of them at once.
    let opened = trainer.open(&task, &folder.path().join(&fitted.file)).unwrap();
    let inputs: Vec<Input> = rows.iter().map(|row| row.input.clone()).collect();
    let said = opened.predict(&context(Duration::from_secs(60)), &task, &inputs).await;
    for (said, learned) in said.iter().zip(&fitted.out_of_fold) {
        assert_eq!(said.result, learned.as_ref().unwrap().result);
    }
    let longer = Input::new(lines(200, ""));
    let why = opened.predict(&context(Duration::from_secs(60)), &task, &[longer]).await.remove(0).result;
    assert!(matches!(&why, Err(ModelError::Refused(why)) if why.contains("16 pieces")), "{why:?}");
    // A rung that was made for another way with long texts is learned again.
    for other in [generates(""), generates("long = \"again\"")] {
        let error = trainer.open(&other, &folder.path().join(&fitted.file)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("learn again"), "{error}");
    }
}

#[tokio::test]
async fn what_is_said_of_pieces_is_asked_about_again_where_the_task_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let task = generates("long = \"again\"");
    let story = |lines: usize| {
        let line = |line: usize| format!("~~ word{} and what else there is to be said\n", line % 3);
        (0..lines).map(line).collect::<String>().trim().to_owned()
    };
    let pairs: Vec<(String, String)> =
        (1..7).map(|lines| (story(lines), first_words(&story(lines)))).collect();
    let trainer = trainer(&file);
    let fitted = fit_texts(&trainer, &task, &unshown(&pairs), folder.path()).unwrap();
    let input = Input::new(story(12));
    let said = fitted.model.predict(&context(Duration::from_secs(60)), &task, &[input]).await;
    let prediction = said[0].prediction().unwrap_or_else(|| panic!("{said:?}"));
    let Answer::Text(text) = &prediction.answer else { panic!("{prediction:?}") };
    // Each piece begins with one of three words, and so does what was said of it.
    assert!(!text.contains('\n') && text.starts_with("~~ word0 "), "{text}");
    let answers = prediction.features.0[16].exp().round() as usize;
    assert_eq!(answers, text.split_whitespace().count(), "each piece, and all of them once more: {text}");
}

#[tokio::test]
async fn a_piece_that_has_no_answer_leaves_none_and_the_deadline_holds_for_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let task = generates("long = \"join\"");
    let pairs: Vec<(String, String)> =
        (1..9).map(|count| (lines(count, ""), lines(count, "").to_uppercase())).collect();
    let fitted = fit_texts(&trainer(&file), &task, &unshown(&pairs), folder.path()).unwrap();
    let ask = async |text: String, cx: &Context| {
        fitted.model.predict(cx, &task, &[Input::new(text)]).await.remove(0).result
    };
    let enough = context(Duration::from_secs(60));
    let broken = lines(12, "").replace("it\n~ line 6", "endless\n\n~ line 6");
    let told = ask(broken, &enough).await;
    assert!(matches!(&told, Err(ModelError::BadAnswer(why)) if why.contains("isn't finished")), "{told:?}");
    let silent = lines(12, "").replace("line 9", "line of silence");
    assert_eq!(ask(silent.clone(), &context(Duration::from_millis(300))).await, Err(ModelError::Timeout));
    let left = context(Duration::from_secs(60));
    let (told, ()) = tokio::join!(ask(silent, &left), async {
        // Until it is under way, or at least until others had their turn.
        tokio::task::yield_now().await;
        left.cancel.cancel();
    });
    assert_eq!(told, Err(ModelError::Cancelled));
    assert!(ask(lines(12, ""), &enough).await.is_ok(), "the others are answered as before");
}

/// A tiny model that was taught to fill holes, as far as its file says.
fn fills_holes(file: &Path) {
    let mut metadata = Tiny::SMALLEST.metadata();
    for (place, name) in ["fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id"].iter().enumerate() {
        let token = sprat_engine::gguf::Value::u32(300 + place as u32);
        metadata.push((format!("tokenizer.ggml.{name}"), token));
    }
    let tensors = Tiny::SMALLEST.tensors(1);
    let output = File::create(file).expect("a file");
    sprat_engine::gguf::write::write(output, &metadata, &tensors).expect("it is written");
}

#[tokio::test]
async fn a_decoder_fills_holes_from_both_sides_and_is_shown_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    let task = generates("hole = \"<HOLE>\"");
    let mut rows: Vec<LabelledRow> = (0..8)
        .map(|number| {
            let text = format!("let a{number} = one{number}<HOLE>two{number} + 1;");
            LabelledRow::gold(text, Answer::Text(format!("one{number} two{number}")))
        })
        .collect();
    rows.push(LabelledRow::gold("no hole at all", Answer::Text("nothing".to_owned())));
    Tiny::SMALLEST.write(&file, 1).unwrap();
    let untaught =
        fit_texts(&trainer(&file), &task, &rows, folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(untaught.contains("tiny.gguf was not taught to fill holes"), "{untaught}");
    assert!(trainer(&file).check_for(&task).is_err() && trainer(&file).check_for(&generates("")).is_ok());
    fills_holes(&file);
    let trainer = trainer(&file);
    let fitted = fit_texts(&trainer, &task, &rows, folder.path()).unwrap();
    for (row, attempt) in rows[..8].iter().zip(&fitted.out_of_fold) {
        let prediction = attempt.as_ref().unwrap().prediction().unwrap();
        assert_eq!(Some(&prediction.answer), row.target());
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
    }
    let holeless = fitted.out_of_fold[8].as_ref().unwrap().result.clone();
    assert!(matches!(&holeless, Err(ModelError::BadInput(why)) if why.contains("0 times")), "{holeless:?}");
    let opened = trainer.open(&task, &folder.path().join(&fitted.file)).unwrap();
    let inputs = ["a = <HOLE>b <fim_middle>", "<HOLE><HOLE>"].map(Input::new);
    let said = opened.predict(&context(Duration::from_secs(60)), &task, &inputs).await;
    // The blank that stood before it is no part of the answer, and the one within is.
    assert_eq!(said[0].prediction().unwrap().answer, Answer::Text(" b".to_owned()));
    assert!(matches!(&said[1].result, Err(ModelError::BadInput(why)) if why.contains("2 times")));
    let error = trainer.open(&generates(""), &folder.path().join(&fitted.file)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("learn again"), "{error}");
}
