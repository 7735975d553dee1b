//! The vectors are the ones that other programs compute from the same weights.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use super::super::compute::Cpu;
use super::super::{Activation, Checkpoint, Encoder, EncoderConfig, Network, Pooling, Precision, tiny};
use super::{minilm, tiny_folder};

/// What `golden.py tiny` printed.
const TINY: &str = include_str!("tiny.json");
/// What `golden.py` printed of all-MiniLM-L6-v2.
const MINILM: &str = include_str!("all-minilm-l6-v2.json");

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    mean: Vec<Vec<f32>>,
}

fn farthest(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected).flat_map(|(found, expected)| {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected)
    });
    pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

fn tiny_encoder(cpu: Cpu, activation: Activation, pooling: Pooling) -> Encoder {
    let folder = tiny_folder();
    let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
    checkpoint.config.activation = activation;
    checkpoint.sentence.pooling = pooling;
    Encoder::on(cpu, checkpoint, Precision::F32)
}

#[test]
fn the_tiny_encoder_gives_the_vectors_of_transformers_on_every_sort_of_vector() {
    let golden: Value = serde_json::from_str(TINY).unwrap();
    let tokens: Vec<Vec<u32>> = serde_json::from_value(golden["tokens"].clone()).unwrap();
    let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    for cpu in Cpu::all_here() {
        for (name, activation) in
            [("gelu", Activation::Gelu), ("gelu_tanh", Activation::GeluTanh), ("relu", Activation::Relu)]
        {
            for (way, pooling) in [("mean", Pooling::Mean), ("cls", Pooling::Cls)] {
                let expected: Vec<Vec<f32>> = serde_json::from_value(golden[name][way].clone()).unwrap();
                let found = tiny_encoder(*cpu, activation, pooling).pooled(&tokens);
                let off = farthest(&found, &expected);
                assert!(off < 2e-6, "{cpu:?} {name} {way}: off by {off}");
            }
        }
    }
}

#[test]
fn all_minilm_l6_v2_gives_the_vectors_of_sentence_transformers() {
    let Some(folder) = minilm() else { return };
    let golden: Golden = serde_json::from_str(MINILM).unwrap();
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    for cpu in Cpu::all_here() {
        let encoder = Encoder::on(*cpu, Checkpoint::open(&folder).unwrap(), Precision::F32);
        let off = farthest(&encoder.encode(&texts).unwrap(), &golden.mean);
        assert!(off < 1e-5, "{cpu:?}: off by {off}");
    }
}

#[test]
fn half_the_bits_turn_a_vector_by_little_and_alike_on_every_sort_of_vector() {
    let Some(folder) = minilm() else { return };
    let golden: Golden = serde_json::from_str(MINILM).unwrap();
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let rounded = Cpu::all_here().iter().map(|cpu| {
        let encoder = Encoder::on(*cpu, Checkpoint::open(&folder).unwrap(), Precision::Bf16);
        encoder.encode(&texts).unwrap()
    });
    let rounded: Vec<Vec<Vec<f32>>> = rounded.collect();
    for (vectors, cpu) in rounded.iter().zip(Cpu::all_here()) {
        for (at, vector) in vectors.iter().enumerate() {
            let exact = cosine(vector, &golden.mean[at]);
            assert!((0.999..0.999_999_9).contains(&exact), "{cpu:?}: cosine {exact} for {:?}", texts[at]);
            let alike = cosine(vector, &rounded[0][at]);
            assert!(alike > 0.999, "{cpu:?}: {alike} from the widest, for {:?}", texts[at]);
        }
    }
}

/// Texts of every length that the tiny encoder can read, and more of them than one group holds.
fn many_texts() -> Vec<Vec<u32>> {
    (0..40).map(|text| (0..1 + text * 7 % 40).map(|token| (token * 5 + text) % 64).collect()).collect()
}

#[test]
fn a_text_has_the_same_vector_alone_and_among_others_on_any_number_of_threads() {
    let encoder = tiny_encoder(Cpu::detect(), Activation::Gelu, Pooling::Mean);
    let texts = many_texts();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let alone: Vec<Vec<f32>> = texts.iter().flat_map(|text| encoder.pooled(&[text])).collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| encoder.pooled(&texts)), alone, "{threads} threads");
    }
}

#[test]
fn the_vectors_of_tokens_come_text_by_text() {
    let weights = tiny::weights(&tiny::CONFIG, 7);
    let network = Network::new(&tiny::CONFIG, &weights, Precision::F32);
    let states = network.states(&[&[2, 4, 5, 3], &[2, 3]]);
    assert_eq!(states.iter().map(Vec::len).collect::<Vec<_>>(), [4 * 30, 2 * 30]);
    let encoder = tiny_encoder(Cpu::detect(), Activation::Gelu, Pooling::Cls);
    let mut first = states[0][..30].to_vec();
    super::super::encoder::to_unit_length(&mut first);
    assert_eq!(encoder.pooled(&[&[2, 4, 5, 3]]), [first]);
}

#[test]
fn no_texts_have_no_vectors() {
    let encoder = tiny_encoder(Cpu::detect(), Activation::Gelu, Pooling::Mean);
    assert_eq!(encoder.encode(&[]).unwrap(), Vec::<Vec<f32>>::new());
}

#[test]
fn positions_that_begin_later_are_counted_from_there() {
    let weights = tiny::weights(&tiny::CONFIG, 7);
    let shifted = EncoderConfig { first_position: 2, ..tiny::CONFIG };
    let states = Network::new(&shifted, &weights, Precision::F32).states(&[&[2, 4]]);
    // The same, by a table of positions that has lost its first two rows.
    let mut parameters = weights.into_parameters();
    let positions = &mut parameters[1].data;
    positions.copy_within(2 * 30.., 0);
    let moved = super::super::Weights::new(&tiny::CONFIG, parameters).unwrap();
    assert_eq!(Network::new(&tiny::CONFIG, &moved, Precision::F32).states(&[&[2, 4]]), states);
}

#[test]
fn a_model_without_normalisation_gives_vectors_of_any_length() {
    let folder = tiny_folder();
    fs::remove_file(folder.path().join("modules.json")).unwrap();
    let encoder = Encoder::open(folder.path(), Precision::F32).unwrap();
    let vector = &encoder.encode(&["where is my card"]).unwrap()[0];
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    assert!((length - 1.0).abs() > 0.01, "{length}");
}
