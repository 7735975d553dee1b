//! How long does an encoder take?
//!
//! `encoder_speed MODEL PRECISION THREADS SHAPES [TEXTS]` computes made-up tokens in each of the shapes, a JSON list of
//! `{"texts", "tokens", "repeats"}`, then the vectors of the lines of a file, and prints one JSON object.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use sprat_models::encoder::{Encoder, Precision};

#[derive(Deserialize)]
struct Shape {
    texts: usize,
    tokens: usize,
    repeats: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, precision, threads, shapes, texts @ ..] = arguments.as_slice() else {
        return Err("usage: encoder_speed MODEL f32|bf16 THREADS SHAPES [TEXTS]".into());
    };
    let precision: Precision = serde_json::from_value(precision.as_str().into())?;
    let encoder = Encoder::open(Path::new(model), precision)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    let shapes: Vec<Shape> = serde_json::from_str(shapes)?;
    let shapes: Vec<Value> = pool.install(|| shapes.iter().map(|shape| of_shape(&encoder, shape)).collect());
    let mut report = json!({ "shapes": shapes });
    if let [file] = texts {
        let texts = fs::read_to_string(file)?;
        let texts: Vec<&str> = texts.lines().collect();
        let start = Instant::now();
        pool.install(|| encoder.encode(&texts))?;
        report["texts_s"] = start.elapsed().as_secs_f64().into();
    }
    println!("{report}");
    Ok(())
}

fn of_shape(encoder: &Encoder, shape: &Shape) -> Value {
    let token = |place: usize| 1_000 + (place % 20_000) as u32;
    let tokens: Vec<Vec<u32>> = (0..shape.texts)
        .map(|text| (0..shape.tokens).map(|at| token(text * 7_919 + at * 104_729)).collect())
        .collect();
    let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    let states = encoder.network().states(&tokens);
    let times: Vec<f64> = (0..shape.repeats)
        .map(|_| {
            let start = Instant::now();
            encoder.network().states(&tokens);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    json!({ "ms": times, "vector": &mean(&states[0], encoder.dimensions())[..8] })
}

fn mean(states: &[f32], dimensions: usize) -> Vec<f32> {
    let rows = (states.len() / dimensions) as f32;
    (0..dimensions).map(|at| states.iter().skip(at).step_by(dimensions).sum::<f32>() / rows).collect()
}
