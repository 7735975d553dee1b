//! How long does the linear model take, and how large is it?
//!
//! `linear_speed TRAIN.jsonl TEXTS.jsonl THREADS` fits on lines of `{"text": ..., "label": ...}`, then answers the
//! other file's texts one by one, and prints one JSON object.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use serde_json::{Value, json};
use sprat_models::linear::{Config, LinearModel, LinearRung, Rows, Scratch, Watch};
use sprat_task::{Context, Input, Model, Source, read_task};

/// Times the texts are gone through, after one round that warms caches up.
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, texts, threads] = arguments.as_slice() else {
        return Err("usage: linear_speed TRAIN.jsonl TEXTS.jsonl THREADS".into());
    };
    let (train, asked) = (lines(train)?, lines(texts)?);
    let labels: Vec<String> =
        train.iter().map(|row| field(row, "label")).collect::<BTreeSet<_>>().into_iter().collect();
    let texts: Vec<String> = train.iter().map(|row| field(row, "text")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let place = |row| labels.binary_search(&field(row, "label")).unwrap_or(0) as u32;
    let targets: Vec<u32> = train.iter().map(place).collect();
    let rows = Rows::one_label(&texts, &targets, &labels)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;

    let (start, cpu) = (Instant::now(), cpu_ms());
    let model = pool.install(|| LinearModel::fit(&rows, &Config::default(), Watch::default()))?;
    let fit = (start.elapsed(), cpu_ms().zip(cpu).map(|(after, before)| after - before));

    let bytes = model.size();
    let inputs: Vec<Input> = asked.iter().map(|row| Input::new(field(row, "text"))).collect();
    let mut scratch = Scratch::default();
    let alone = medians(&inputs, |input| {
        black_box(model.predict_into(&input.text, &mut scratch));
    });
    let file = format!("kind = \"classify\"\nlabels = {}", serde_json::to_string(&labels)?);
    let task = read_task("speed", &Source::new("speed.toml", file), |_| Err(String::new()))?;
    let rung = LinearRung::new("linear".into(), model);
    let cx = Context::until(Instant::now() + Duration::from_secs(3_600), "speed");
    let served = medians(&inputs, |input| {
        black_box(block_on(rung.predict(&cx, &task, std::slice::from_ref(input))));
    });
    let report = json!({
        "fit_wall_ms": fit.0.as_millis() as u64,
        "fit_cpu_ms": fit.1,
        "bytes": bytes,
        "model_us": alone,
        "rung_us": served,
    });
    println!("{report}");
    Ok(())
}

fn lines(file: &str) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn field(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

/// Each round's median time of one text, in microseconds.
fn medians(inputs: &[Input], mut answer: impl FnMut(&Input)) -> Vec<f64> {
    inputs.iter().for_each(&mut answer);
    let mut round = || {
        let mut taken: Vec<Duration> = Vec::with_capacity(inputs.len());
        for input in inputs {
            let start = Instant::now();
            answer(input);
            taken.push(start.elapsed());
        }
        taken.sort_unstable();
        taken.get(taken.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    (0..ROUNDS).map(|_| round()).collect()
}

/// User and system time of this process with all its threads, in milliseconds; `None` where there is no `/proc`. The
/// kernel counts in hundredths of a second here.
fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let ticks = |place: usize| after_name.split_whitespace().nth(place)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) * 10)
}
