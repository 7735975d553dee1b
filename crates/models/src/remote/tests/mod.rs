//! Remote models over real loopback connections, each test with a provider of its own.

mod answering;
mod passing_through;
mod replaying;
pub(crate) mod server;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sprat_task::{Attempt, Context, Input, Model, Price, Source, Task, Tokens, Usage, read_task};

use super::*;
use server::{Act, Server};

/// Long enough for any answer on a busy machine: no test waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Enough to have reached a loopback server; only tests whose server never answers wait for it.
const IMPATIENCE: Duration = Duration::from_millis(300);

const KEY: &str = "sk-test-0123456789abcdef";

/// A dollar per million tokens in, two out: easy to add up.
const PRICE: Price = Price {
    input: 1_000_000,
    output: 2_000_000,
    cached_input: None,
    cache_write: None,
    batch_input: None,
    batch_output: None,
};

fn task_of(more: &str) -> Task {
    let text = format!("kind = \"classify\"\nlabels = [\"refund\", \"billing\", \"other\"]\n{more}");
    read_task("tickets", &Source::new("tickets.toml", text), |_| Err(String::new())).unwrap()
}

fn task() -> Task {
    task_of("out_of_scope = \"other\"")
}

fn within(patience: Duration) -> Context {
    Context::until(Instant::now() + patience, "r1")
}

/// A configuration for a server of the tests: pauses so short that nobody notices them.
fn config(server: &Server) -> RemoteConfig {
    let mut config = RemoteConfig::new(Provider::Compatible { base_url: server.url() }, "m");
    config.api_key = Some(Secret::new(KEY).unwrap());
    config.backoff = Duration::from_millis(1);
    config.price = Some(PRICE);
    config
}

fn open(config: RemoteConfig) -> RemoteModel {
    RemoteModel::open("large".into(), config, &PriceTable::built_in().unwrap(), Arc::new(NoExamples)).unwrap()
}

async fn ask(model: &RemoteModel, texts: &[&str]) -> Vec<Attempt> {
    ask_within(model, PATIENCE, texts).await
}

async fn ask_within(model: &RemoteModel, patience: Duration, texts: &[&str]) -> Vec<Attempt> {
    let inputs: Vec<Input> = texts.iter().map(|text| Input::new(*text)).collect();
    model.predict(&within(patience), &task(), &inputs).await
}

/// The answer as a line, or what went wrong.
fn line(attempt: &Attempt) -> Result<String, String> {
    match &attempt.result {
        Ok(Some(prediction)) => Ok(prediction.answer.to_line()),
        Ok(None) => Err("abstained".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn lines(attempts: &[Attempt]) -> Vec<Result<String, String>> {
    attempts.iter().map(line).collect()
}

/// A chat completion that says this, for 100 tokens in and 10 out.
fn chat(content: &str) -> Value {
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    })
}

/// What [`chat`] costs at [`PRICE`].
fn paid() -> Usage {
    let tokens = Tokens { input: 100, output: 10, ..Tokens::default() };
    Usage { tokens: Some(tokens), cost: Some(PRICE.cost(tokens)) }
}

fn says(content: &str) -> Vec<Act> {
    vec![Act::json(200, &[], &chat(content))]
}
