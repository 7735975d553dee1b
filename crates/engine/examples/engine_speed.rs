//! How fast are short answers and long? Times one model as the engine's process runs it, schedule and all, and prints the
//! medians as JSON. `bench/run decoder` compares them with llama.cpp's own loop.
//!
//! `engine_speed make SHAPE FILE` writes a model of numbers drawn by lot (`smollm2-135m` or `tinyllama-1.1b` in shape);
//! `engine_speed first FILE THREADS` times a cold start to the first token, `labels FILE THREADS` the
//! scoring of labels, `time FILE THREADS` the rest.

use std::path::PathBuf;
use std::time::Instant;

use sprat_engine::llama::Llama;
use sprat_engine::protocol::{Generate, HELLO, Load, Order, Prompt, Report, Sampling, Score};
use sprat_engine::tiny::Tiny;
use sprat_engine::work::Scheduler;

const SMOLLM2_135M: Tiny =
    Tiny { blocks: 30, width: 576, heads: 9, kv_heads: 3, inside: 1_536, context: 2_048, vocabulary: 49_152 };
const TINYLLAMA_1_1B: Tiny = Tiny {
    blocks: 22,
    width: 2_048,
    heads: 32,
    kv_heads: 4,
    inside: 5_632,
    context: 2_048,
    vocabulary: 32_000,
};

const CONTEXT: u32 = 2_048;
const ROUNDS: usize = 3;
/// Tokens written in one measurement, after the first.
const WRITTEN: u32 = 48;
const AT_ONCE: u64 = 8;
const LABELS: usize = 20;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["make", "smollm2-135m", file] => Ok(SMOLLM2_135M.write(file.as_ref(), 1)?),
        ["make", "tinyllama-1.1b", file] => Ok(TINYLLAMA_1_1B.write(file.as_ref(), 1)?),
        ["first", file, threads] => first(file, threads.parse()?),
        ["time", file, threads] => time(file, threads.parse()?),
        ["labels", file, threads] => labels(file, threads.parse()?),
        _ => Err("usage: engine_speed make SHAPE FILE | first FILE THREADS | time FILE THREADS | labels FILE THREADS".into()),
    }
}

fn load(file: &str, threads: u32) -> Result<Scheduler<Llama>, Failed> {
    let file = PathBuf::from(file);
    let load =
        Load { hello: HELLO.to_owned(), file, context: CONTEXT, threads, waiting: 64, adapters: Vec::new() };
    Ok(Scheduler::new(Llama::load(&load)?.0, 64))
}

fn first(file: &str, threads: u32) -> Result<(), Failed> {
    let start = Instant::now();
    let mut scheduler = load(file, threads)?;
    let (_, tokens) = ask(&mut scheduler, vec![generate(1, &text(5), 1)])?;
    println!("{{\"ms\": {}, \"tokens\": {tokens}}}", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn time(file: &str, threads: u32) -> Result<(), Failed> {
    let mut scheduler = load(file, threads)?;
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next
    };
    let (mut prefill, mut decode, mut parallel) = (vec![], vec![], vec![]);
    let mut behind = 0;
    let long = text(170);
    let (_, read) = ask(&mut scheduler, vec![generate(fresh(), &long, 1)])?;
    for _ in 0..ROUNDS {
        let (ms, _) = ask(&mut scheduler, vec![generate(fresh(), &long, 1)])?;
        prefill.push(f64::from(read) / ms * 1e3);

        let short = text(5);
        let (begun, _) = ask(&mut scheduler, vec![generate(fresh(), &short, 1)])?;
        let (all, few) = ask(&mut scheduler, vec![generate(fresh(), &short, 1 + WRITTEN)])?;
        behind = few;
        decode.push(f64::from(WRITTEN) / (all - begun) * 1e3);

        let mut eight = |most| (0..AT_ONCE).map(|_| generate(fresh(), &short, most)).collect::<Vec<_>>();
        let (one, more) = (eight(1), eight(1 + WRITTEN));
        let (begun, _) = ask(&mut scheduler, one)?;
        let (all, _) = ask(&mut scheduler, more)?;
        parallel.push(AT_ONCE as f64 * f64::from(WRITTEN) / (all - begun) * 1e3);
    }
    let medians = [
        ("prefill_tokens_per_s", prefill),
        ("decode_tokens_per_s", decode),
        ("parallel_tokens_per_s", parallel),
    ];
    let medians = medians.map(|(name, found)| format!("\"{name}\": {}", median(found)));
    let resident = resident_mib();
    println!(
        "{{\"prefill_tokens\": {read}, \"short_tokens\": {behind}, {}, \"resident_mib\": {resident}}}",
        medians.join(", ")
    );
    Ok(())
}

/// A prefix of 256 tokens, 20 labels of 8 behind a text of 16: with all labels together, and each by itself.
fn labels(file: &str, threads: u32) -> Result<(), Failed> {
    let mut scheduler = load(file, threads)?;
    let (mut together, mut apart) = (vec![], vec![]);
    let labels: Vec<String> = (0..LABELS).map(|label| text_from(2, label)).collect();
    for round in 0..ROUNDS as u64 {
        let prompt = |number: u64, labels: &[String]| Prompt {
            prompt: number,
            before: format!("{round} {}", text(85)),
            after: "\n".to_owned(),
            labels: labels.to_vec(),
            adapter: None,
        };
        let score =
            |prompt: u64| Order::Score(Score { id: prompt, prompt, text: text(5), within_ms: 600_000 });
        let number = 1_000 * (round + 1);
        let start = Instant::now();
        tell(&mut scheduler, Order::Prompt(prompt(number, &labels)));
        ask(&mut scheduler, vec![score(number)])?;
        together.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        for (number, label) in (number + 1..).zip(&labels) {
            tell(&mut scheduler, Order::Prompt(prompt(number, std::slice::from_ref(label))));
            ask(&mut scheduler, vec![score(number)])?;
        }
        apart.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!("{{\"together_ms\": {}, \"apart_ms\": {}}}", median(together), median(apart));
    Ok(())
}

/// About three tokens a word.
fn text(words: usize) -> String {
    text_from(words, 0)
}

fn text_from(words: usize, seed: usize) -> String {
    const WORDS: [&str; 7] = ["carpet", "island", "thing", "card", "reward", "fishing", "london"];
    (0..words)
        .map(|place| WORDS[(place + seed * 3 + place * seed) % WORDS.len()])
        .collect::<Vec<_>>()
        .join(" ")
}

fn generate(id: u64, text: &str, most_tokens: u32) -> Order {
    Order::Generate(Generate {
        id,
        prompt: None,
        // Another beginning each time, so that nothing of it is remembered.
        text: format!("{id} {text}"),
        behind: None,
        most_tokens,
        stop: Vec::new(),
        sampling: Sampling::GREEDY,
        constraint: None,
        likeliest: 0,
        adapter: None,
        within_ms: 600_000,
    })
}

fn tell(scheduler: &mut Scheduler<Llama>, order: Order) {
    scheduler.take(order, Instant::now(), &mut |_| {});
}

/// Takes orders and works until all are done: how long that took in milliseconds, and the tokens that the first one read.
fn ask(scheduler: &mut Scheduler<Llama>, orders: Vec<Order>) -> Result<(f64, u32), Failed> {
    let start = Instant::now();
    let wanted: Vec<u32> = orders
        .iter()
        .filter_map(|order| match order {
            Order::Generate(order) => Some(order.most_tokens),
            _ => None,
        })
        .collect();
    let (mut left, mut read, mut short) = (orders.len(), None, None);
    let mut hear = |report: Report| match report {
        Report::Ended { read: tokens, written, .. } => {
            left -= 1;
            read.get_or_insert(tokens);
            if wanted.first().is_some_and(|wanted| written.len() < *wanted as usize) {
                short = Some(format!("the model ended after {} tokens", written.len()));
            }
        }
        Report::Scored(scored) => {
            left -= 1;
            read.get_or_insert(scored.read);
        }
        Report::Refused { why, .. } | Report::NoPrompt { why, .. } => short = Some(why.to_string()),
        _ => {}
    };
    for order in orders {
        scheduler.take(order, Instant::now(), &mut hear);
    }
    while !scheduler.is_idle() {
        scheduler.step(Instant::now, &mut hear)?;
    }
    let took = start.elapsed().as_secs_f64() * 1e3;
    match (short, left) {
        (Some(why), _) => Err(why.into()),
        (None, 0) => Ok((took, read.unwrap_or(0))),
        (None, left) => Err(format!("{left} answers are missing").into()),
    }
}

fn median(mut found: Vec<f64>) -> f64 {
    found.sort_by(f64::total_cmp);
    found[found.len() / 2]
}

/// What the process holds in memory, mapped weights that were read among it; 0 where that can't be found out.
fn resident_mib() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}
