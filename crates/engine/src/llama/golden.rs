//! Does a model of each architecture say here what it says in Hugging Face transformers? The golden values, and the script
//! that made them, are in `golden/`. Keys and values in 32 bits, no flash attention.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::Llama;
use super::tests::{a_text, run};
use crate::adapter::tests::write_peft;
use crate::gguf::Value;
use crate::gguf::write::{Stored, write};
use crate::protocol::{Generate, HELLO, Load, Order, Prompt, Report, Score};
use crate::tiny::vocabulary;
use crate::work::{Network, Piece, Scheduler, Sequence, Token};

/// How far a logit may be from transformers'. They spread by about 1.
const TOLERANCE: f32 = 1e-3;
/// Gemma's, whose gated feed-forward is a GELU: ggml reads that from a table of 16-bit numbers. The same rounding moves
/// transformers' own logits by 0.0010 (Gemma 2) and 0.0022 (Gemma 3), as `golden/make.py` prints.
const TOLERANCE_OF_GELU: f32 = 3e-3;

/// Numbers that are drawn from a tensor's name, as in `golden/make.py`: splitmix64, begun at its FNV-1a hash.
fn drawn(name: &str, count: u64, middle: f64, spread: f64) -> Vec<f32> {
    let start = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let number = |place: u64| {
        let z = start.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let share = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1_u32 << 24);
        (middle + spread * (share - 0.5)) as f32
    };
    (0..count).map(number).collect()
}

fn numbers<T>(json: &Json, of: impl Fn(&Json) -> Option<T>) -> Vec<T> {
    json.as_array().unwrap().iter().map(|number| of(number).unwrap()).collect()
}

fn float(json: &Json) -> Option<f32> {
    json.as_f64().map(|number| number as f32)
}

/// The model that a golden file describes.
pub(super) fn model(golden: &Json) -> (Vec<(String, Value)>, Vec<Stored>) {
    let entry = |entry: &Json| {
        let value = &entry[2];
        let value = match entry[1].as_str().unwrap() {
            "u32" => Value::u32(u32::try_from(value.as_u64().unwrap()).unwrap()),
            "f32" => Value::F32(float(value).unwrap()),
            _ => Value::text(value.as_str().unwrap()),
        };
        (entry[0].as_str().unwrap().to_owned(), value)
    };
    let mut metadata: Vec<(String, Value)> =
        golden["metadata"].as_array().unwrap().iter().map(entry).collect();
    let mut tensors: Vec<Stored> = Vec::new();
    for tensor in golden["tensors"].as_array().unwrap() {
        let (name, sizes) = (tensor[0].as_str().unwrap(), numbers(&tensor[1], Json::as_u64));
        let [middle, spread] = [2, 3].map(|place: usize| tensor[place].as_f64().unwrap());
        tensors.push(Stored::f32(name, &sizes, &drawn(name, sizes.iter().product(), middle, spread)));
    }
    for stored in golden["stored"].as_array().unwrap() {
        let own = numbers(&stored[1], float);
        tensors.push(Stored::f32(stored[0].as_str().unwrap(), &[own.len() as u64], &own));
    }
    let tokens = tensors.iter().find(|tensor| tensor.name == "token_embd.weight").unwrap().sizes[1];
    metadata.extend(vocabulary::metadata(&vocabulary::of(&[""; 0], tokens as usize)));
    (metadata, tensors)
}

/// What is said after some of the tokens: in one batch, and in two whose second goes on from a copy of the first.
fn said(
    llama: &mut Llama,
    adapter: Option<u32>,
    tokens: &[Token],
    rows: &[usize],
    cut: usize,
) -> Vec<Vec<f32>> {
    let mut said = Vec::new();
    let piece = |place: usize, sequence: Sequence| Piece {
        token: tokens[place],
        position: place as u32,
        sequences: vec![sequence],
        wanted: rows.contains(&place),
    };
    let mut hear = |_: usize, logits: &[f32]| said.push(logits.to_vec());
    let (first, second): (Vec<Piece>, Vec<Piece>) = (
        (0..cut).map(|place| piece(place, 0)).collect(),
        (cut..tokens.len()).map(|place| piece(place, 1)).collect(),
    );
    llama.compute(&first, adapter, &mut hear).unwrap();
    if !second.is_empty() {
        llama.fork(0, 1, cut as u32).unwrap();
        llama.compute(&second, adapter, &mut hear).unwrap();
    }
    llama.forget(0).unwrap();
    llama.forget(1).unwrap();
    said
}

/// A model with adapters that lie in `folder`.
fn load(golden: &Json, folder: &Path, adapters: Vec<PathBuf>) -> Llama {
    let file = folder.join("model.gguf");
    let (metadata, tensors) = model(golden);
    write(std::fs::File::create(&file).unwrap(), &metadata, &tensors).unwrap();
    let wanted = Load { hello: HELLO.to_owned(), file, context: 256, threads: 1, waiting: 1, adapters };
    Llama::load_as(&wanted, 1, true).unwrap()
}

/// Whether a model says what was expected after some tokens, however they are cut in two.
fn compare(llama: &mut Llama, adapter: Option<u32>, tokens: &[Token], expected: &Json, tolerance: f32) {
    let expected = expected.as_object().unwrap();
    let rows: Vec<usize> = expected.keys().map(|row| row.parse().unwrap()).collect();
    for cut in [tokens.len(), 5, 20] {
        let said = said(llama, adapter, tokens, &rows, cut);
        assert_eq!(said.len(), rows.len());
        for ((row, expected), said) in expected.iter().zip(said) {
            let expected = numbers(expected, float);
            assert_eq!(said.len(), expected.len());
            let furthest = said.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < tolerance, "{adapter:?} after token {row}, cut at {cut}: {furthest}");
        }
    }
}

fn tokens(golden: &Json) -> Vec<Token> {
    numbers(&golden["tokens"], |token| token.as_i64().and_then(|token| Token::try_from(token).ok()))
}

fn check(golden: &str, tolerance: f32) {
    let golden: Json = serde_json::from_str(golden).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut llama = load(&golden, folder.path(), vec![]);
    compare(&mut llama, None, &tokens(&golden), &golden["logits"], tolerance);
}

/// A model with the adapters that a golden file describes, as PEFT writes them.
fn adapted(golden: &Json, base: &Json) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let told = golden["adapters"].as_array().unwrap();
    let written = told.iter().map(|told| {
        let name = told["name"].as_str().unwrap();
        let tensor = |tensor: &Json| {
            let key = tensor[0].as_str().unwrap();
            let sizes: Vec<usize> = numbers(&tensor[1], |size| size.as_u64().map(|size| size as usize));
            let count = sizes.iter().product::<usize>() as u64;
            (key.to_owned(), sizes, drawn(&format!("{name}/{key}"), count, 0.0, tensor[2].as_f64().unwrap()))
        };
        let tensors: Vec<_> = told["tensors"].as_array().unwrap().iter().map(tensor).collect();
        let own = folder.path().join(name);
        write_peft(&own, &told["config"], &tensors);
        own
    });
    load(base, folder.path(), written.collect())
}

/// The same with each of two adapters and without one, in turns.
fn check_adapters(golden: &str, base: &str, tolerance: f32) {
    let [golden, base]: [Json; 2] = [golden, base].map(|text| serde_json::from_str(text).unwrap());
    let mut llama = adapted(&golden, &base);
    let (told, tokens) = (&golden["adapters"], tokens(&base));
    for _ in 0..2 {
        compare(&mut llama, Some(0), &tokens, &told[0]["logits"], tolerance);
        compare(&mut llama, None, &tokens, &base["logits"], tolerance);
        compare(&mut llama, Some(1), &tokens, &told[1]["logits"], tolerance);
    }
}

macro_rules! golden {
    ($($name:ident within $tolerance:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(include_str!(concat!("../../golden/", stringify!($name), ".json")), $tolerance);
            }
        )*
    };
}

golden! {
    llama within TOLERANCE
    llama_3_2 within TOLERANCE
    deepseek_coder within TOLERANCE
    mistral within TOLERANCE
    mixtral within TOLERANCE
    smollm3 within TOLERANCE
    qwen2 within TOLERANCE
    qwen3 within TOLERANCE
    gemma2 within TOLERANCE_OF_GELU
    gemma3 within TOLERANCE_OF_GELU
    phi2 within TOLERANCE
    phi3 within TOLERANCE
}

#[test]
fn adapters_in_one_schedule_answer_each_as_it_does_alone() {
    let [golden, base] =
        [include_str!("../../golden/adapter_llama.json"), include_str!("../../golden/llama.json")];
    let [golden, base] = [golden, base].map(|text| serde_json::from_str(text).unwrap());
    let mut scheduler = Scheduler::new(adapted(&golden, &base), 16);
    let orders = |number: u64| {
        let adapter = number.checked_sub(1).map(|adapter| adapter as u32);
        let labels = [" lost", " stolen", " late"].map(str::to_owned).to_vec();
        let (before, after) = ("Which label? ".to_owned(), "\nLabel:".to_owned());
        let score = Score { id: number, prompt: number, text: "my card".to_owned(), within_ms: 60_000 };
        let generate = Generate { id: 10 + number, adapter, most_tokens: 12, likeliest: 1, ..a_text() };
        let prompt = Prompt { prompt: number, before, after, labels, adapter };
        [Order::Prompt(prompt), Order::Score(score), Order::Generate(generate)]
    };
    // The scores, and each written token's log-probability; the tokens as they stand.
    let told = |reports: &[Report], number: u64| -> (Vec<f32>, Vec<Vec<u8>>) {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for report in reports {
            match report {
                Report::Scored(scored) if scored.id == number => numbers.extend(&scored.log_likelihoods),
                Report::Ended { id, written, .. } if *id == 10 + number => {
                    texts = written.iter().map(|token| token.text.clone()).collect();
                    numbers.extend(written.iter().map(|token| token.log_probability));
                }
                _ => {}
            }
        }
        numbers.sort_by(f32::total_cmp);
        (numbers, texts)
    };
    let alone = [0, 1, 2].map(|number| told(&run(&mut scheduler, orders(number).to_vec()), number));
    let reports = run(&mut scheduler, [orders(0), orders(1), orders(2)].concat());
    let furthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    for number in [0, 1, 2] {
        let (numbers, texts) = told(&reports, number);
        let (alone, alone_texts) = &alone[number as usize];
        assert_eq!((numbers.len(), &texts), (alone.len(), alone_texts));
        assert!(!texts.is_empty() && furthest(&numbers, alone) < TOLERANCE, "{numbers:?} and {alone:?}");
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert!(furthest(&alone[one].0, &alone[other].0) > 0.1, "{one} and {other} say the same");
    }
}

#[test]
fn the_next_turn_of_a_conversation_says_what_it_says_from_the_beginning() {
    // Gemma's window of 8 tokens slides; llama has none.
    for golden in [include_str!("../../golden/llama.json"), include_str!("../../golden/gemma3.json")] {
        let golden: Json = serde_json::from_str(golden).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let scheduler = || Scheduler::new(load(&golden, folder.path(), vec![]), 4);
        let ask = |scheduler: &mut Scheduler<Llama>, text: &str, most_tokens| {
            let order = Generate { text: text.to_owned(), most_tokens, likeliest: 1, ..a_text() };
            let reports = run(scheduler, vec![Order::Generate(order)]);
            let Some(Report::Ended { written, .. }) = reports.into_iter().next_back() else { unreachable!() };
            written
        };
        let mut talk = scheduler();
        let (first, second) = ("a card was lost, and so is everything else on it", " what now?");
        // One token, which nothing is computed for: what is remembered is the text.
        ask(&mut talk, first, 1);
        for text in [format!("{first}{second}"), format!("{first}!"), first.to_owned()] {
            let (again, alone) = (ask(&mut talk, &text, 8), ask(&mut scheduler(), &text, 8));
            assert_eq!(again.len(), alone.len());
            for (again, alone) in again.iter().zip(&alone) {
                let apart = (again.log_probability - alone.log_probability).abs();
                assert!(again.text == alone.text && apart < TOLERANCE, "{text}: {apart}");
            }
        }
    }
}

macro_rules! adapters {
    ($($name:ident of $base:ident within $tolerance:ident)*) => {
        $(
            #[test]
            fn $name() {
                let golden = include_str!(concat!("../../golden/", stringify!($name), ".json"));
                let base = include_str!(concat!("../../golden/", stringify!($base), ".json"));
                check_adapters(golden, base, $tolerance);
            }
        )*
    };
}

adapters! {
    adapter_llama of llama within TOLERANCE
    adapter_smollm3 of smollm3 within TOLERANCE
    adapter_qwen2 of qwen2 within TOLERANCE
    adapter_qwen3 of qwen3 within TOLERANCE
    adapter_gemma2 of gemma2 within TOLERANCE_OF_GELU
    adapter_phi3 of phi3 within TOLERANCE
}
