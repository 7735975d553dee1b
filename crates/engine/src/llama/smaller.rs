//! Is a smaller file what was planned, and does a matrix get the weights that its texts give it? Over models drawn by lot.

use std::path::{Path, PathBuf};

use super::{Llama, golden, job};
use crate::gguf::write::{Stored, write};
use crate::gguf::{Gguf, Shape, Tensor, TensorKind, Value};
use crate::protocol::{self, HELLO, Load};
use crate::quantize::{Importance, Job, Plan, Quantization, Quantize, Told, Weigh};
use crate::tiny::Tiny;
use crate::work::Network;

/// Rows of whole blocks of 256, and enough layers for the rules about them.
const WHOLE: Tiny =
    Tiny { blocks: 9, width: 256, heads: 4, kv_heads: 2, inside: 256, context: 512, vocabulary: 320 };
const TEXTS: [&str; 3] = ["the card is on", "where is the card", "in there"];

fn at(folder: &Path, metadata: &[(String, Value)], tensors: &[Stored]) -> PathBuf {
    let file = folder.join("model.gguf");
    write(std::fs::File::create(&file).unwrap(), metadata, tensors).unwrap();
    file
}

/// What the process says to a job, the last thing last.
fn told(job: &Job) -> Vec<Told> {
    let (mut order, mut said) = (Vec::new(), Vec::new());
    protocol::write(&mut order, job).unwrap();
    job::work(order.as_slice(), &mut said).unwrap();
    let mut said = said.as_slice();
    std::iter::from_fn(|| protocol::read(&mut said).ok()).collect()
}

pub(super) fn quantize(
    file: &Path,
    to: Quantization,
    importance: Option<PathBuf>,
) -> Result<PathBuf, String> {
    let out = file.with_file_name("smaller.gguf");
    let (hello, file) = (HELLO.to_owned(), file.to_owned());
    let job = Job::Quantize(Quantize { hello, file, to, importance, threads: 1, out: out.clone() });
    match told(&job).pop() {
        Some(Told::Done) => Ok(out),
        Some(Told::Failed(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn weigh(file: &Path, texts: &[&str], before: &str) -> Importance {
    let out = file.with_file_name("importance.gguf");
    let job = Job::Weigh(Weigh {
        hello: HELLO.to_owned(),
        file: file.to_owned(),
        context: 512,
        threads: 1,
        before: before.to_owned(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        out: out.clone(),
    });
    assert_eq!(told(&job).pop(), Some(Told::Done));
    Importance::open(&out).unwrap()
}

/// The tables of the plan and of what llama.cpp wrote, in one order.
fn check(metadata: &[(String, Value)], tensors: &[Stored], to: Quantization) {
    let folder = tempfile::tempdir().unwrap();
    let file = at(folder.path(), metadata, tensors);
    let source = Gguf::open(&file).unwrap();
    let plan = Plan::of(&source, &Shape::of(&source).unwrap(), to, false);
    let made = Gguf::open(&quantize(&file, to, None).unwrap()).unwrap();
    let table = |tensors: Vec<&Tensor>| -> Vec<String> {
        let row = |tensor: &&Tensor| format!("{} {:?} {}", tensor.name, tensor.sizes, tensor.kind.name());
        tensors.iter().map(row).collect()
    };
    let planned = table(plan.tensors.iter().map(|planned| &planned.tensor).collect());
    assert_eq!(planned, table(made.tensors.iter().collect()), "{to}");
    assert_eq!(made.data_start + plan.bytes(made.alignment), made.bytes, "{to}");
    Shape::of(&made).unwrap();
}

fn check_all(metadata: &[(String, Value)], tensors: &[Stored]) {
    Quantization::ALL.into_iter().for_each(|to| check(metadata, tensors, to));
}

#[test]
fn whole_blocks_become_what_was_planned() {
    check_all(&WHOLE.metadata(), &WHOLE.tensors(1));
}

#[test]
fn a_model_whose_first_matrix_is_its_last_becomes_what_was_planned() {
    let mut tensors = WHOLE.tensors(1);
    tensors.retain(|tensor| tensor.name != "output.weight");
    check_all(&WHOLE.metadata(), &tensors);
}

#[test]
fn rows_that_are_no_whole_blocks_fall_back_as_planned() {
    // 288 is a multiple of 32, and not of 256; 48 is no multiple of 32 either.
    for shape in [Tiny { width: 288, heads: 9, kv_heads: 3, ..WHOLE }, Tiny::SMALLEST] {
        check_all(&shape.metadata(), &shape.tensors(1));
        let folder = tempfile::tempdir().unwrap();
        let source = Gguf::open(&at(folder.path(), &shape.metadata(), &shape.tensors(1))).unwrap();
        let plan = Plan::of(&source, &Shape::of(&source).unwrap(), Quantization::Q4KM, false);
        assert!(plan.fallbacks() > 0);
    }
}

/// A mixture of as many experts as Mixtral has.
fn mixture() -> (Vec<(String, Value)>, Vec<Stored>) {
    let (mut metadata, mut tensors) = (WHOLE.metadata(), WHOLE.tensors(1));
    metadata.push(("llama.expert_count".to_owned(), Value::u32(8)));
    metadata.push(("llama.expert_used_count".to_owned(), Value::u32(2)));
    for tensor in &mut tensors {
        let is_expert = ["ffn_gate.", "ffn_up.", "ffn_down."].iter().any(|part| tensor.name.contains(part));
        if is_expert {
            tensor.name = tensor.name.replace(".weight", "_exps.weight");
            tensor.sizes.push(8);
            tensor.bytes = tensor.bytes.repeat(8);
        }
    }
    let drawn = WHOLE.tensors(2);
    for block in 0..WHOLE.blocks {
        let name = format!("blk.{block}.ffn_gate_inp.weight");
        let like = drawn.iter().find(|tensor| tensor.name == format!("blk.{block}.attn_q.weight")).unwrap();
        let bytes = like.bytes[..256 * 8 * 4].to_vec();
        tensors.push(Stored { name, sizes: vec![256, 8], kind: TensorKind::F32, bytes });
    }
    (metadata, tensors)
}

#[test]
fn a_mixture_of_eight_becomes_what_was_planned() {
    let (metadata, tensors) = mixture();
    [Quantization::Q4KM, Quantization::Q4_0].into_iter().for_each(|to| check(&metadata, &tensors, to));
}

#[test]
fn each_architecture_becomes_what_was_planned() {
    for golden in [
        include_str!("../../golden/qwen2.json"),
        include_str!("../../golden/qwen3.json"),
        include_str!("../../golden/gemma2.json"),
        include_str!("../../golden/gemma3.json"),
        include_str!("../../golden/phi2.json"),
        include_str!("../../golden/phi3.json"),
        include_str!("../../golden/smollm3.json"),
        include_str!("../../golden/mixtral.json"),
    ] {
        let (metadata, tensors) = golden::model(&serde_json::from_str(golden).unwrap());
        check(&metadata, &tensors, Quantization::Q4KM);
        check(&metadata, &tensors, Quantization::Q8_0);
    }
}

/// The numbers of a tensor of 32 bits.
fn numbers(tensors: &[Stored], name: &str) -> Vec<f32> {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    tensor.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn a_matrix_is_weighed_with_what_its_texts_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let (metadata, tensors) = (WHOLE.metadata(), WHOLE.tensors(1));
    let file = at(folder.path(), &metadata, &tensors);
    let before = "on the card:";
    let weighed = weigh(&file, &TEXTS, before);
    // The first layer's queries are multiplied with the tokens' vectors, scaled to length, times the gains: by hand.
    let load =
        Load { hello: HELLO.to_owned(), file, context: 512, threads: 1, waiting: 1, adapters: Vec::new() };
    let llama = Llama::load(&load).unwrap().0;
    let mut tokens = llama.tokens(before, true, true);
    TEXTS.iter().for_each(|text| tokens.extend(llama.tokens(text, false, false)));
    let (vectors, gains) =
        (numbers(&tensors, "token_embd.weight"), numbers(&tensors, "blk.0.attn_norm.weight"));
    let mut expected = vec![0.0_f64; 256];
    for token in &tokens {
        let vector = &vectors[256 * *token as usize..][..256];
        let mean = vector.iter().map(|number| f64::from(number * number)).sum::<f64>() / 256.0;
        for ((sum, number), gain) in expected.iter_mut().zip(vector).zip(&gains) {
            *sum += f64::from(number * gain).powi(2) / (mean + 1e-5);
        }
    }
    let queries = &weighed.tensors["blk.0.attn_q.weight"];
    assert_eq!(queries.counts, [tokens.len() as f32]);
    for (sum, expected) in queries.sums.iter().zip(expected) {
        assert!((f64::from(*sum) - expected).abs() < 1e-3 * expected.max(1.0), "{sum} and {expected}");
    }
    // Every matrix of every layer saw every token, the last ones too.
    assert_eq!(weighed.tensors.len(), 9 * 7);
    assert!(weighed.tensors.values().all(|weighed| weighed.counts == queries.counts));
}

#[test]
fn each_expert_of_a_mixture_is_weighed_with_what_it_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (metadata, tensors) = mixture();
    let weighed = weigh(&at(folder.path(), &metadata, &tensors), &TEXTS, "the");
    let tokens = weighed.tensors["blk.0.attn_q.weight"].counts[0];
    for part in ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"] {
        let experts = &weighed.tensors[&format!("blk.3.{part}.weight")];
        assert_eq!((experts.counts.len(), experts.sums.len()), (8, 8 * 256));
        assert_eq!(experts.counts.iter().sum::<f32>(), 2.0 * tokens, "each token asks two");
        for (count, sums) in experts.counts.iter().zip(experts.sums.chunks(256)) {
            assert_eq!(*count > 0.0, sums.iter().any(|sum| *sum > 0.0));
        }
    }
}

#[test]
fn texts_that_are_read_together_are_weighed_as_those_that_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = at(folder.path(), &Tiny::SMALLEST.metadata(), &Tiny::SMALLEST.tensors(1));
    // More than a batch, more texts than are read at a time, and one that is longer than the model looks back.
    let long = "the card ".repeat(400);
    let texts: Vec<String> = (0..80).map(|number| format!("the card is on {number}")).collect();
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = weigh(&file, &texts, "the");
    texts.push(&long);
    assert_eq!(weigh(&file, &texts, "the"), together, "a text that is too long counts nothing");
    let halves = [&texts[..40], &texts[40..80]].map(|half| weigh(&file, half, "the"));
    let load =
        Load { hello: HELLO.to_owned(), file, context: 512, threads: 1, waiting: 1, adapters: Vec::new() };
    let before = Llama::load(&load).unwrap().0.tokens("the", true, true).len() as f32;
    let count = |weighed: &Importance| weighed.tensors["blk.1.ffn_down.weight"].counts[0];
    assert_eq!(
        count(&together),
        count(&halves[0]) + count(&halves[1]) - before,
        "what stands before counts once"
    );
}

#[test]
fn what_matters_changes_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = at(folder.path(), &WHOLE.metadata(), &WHOLE.tensors(1));
    let importance = file.with_file_name("importance.gguf");
    weigh(&file, &TEXTS, "the");
    for to in [Quantization::Q4KM, Quantization::Q4_0] {
        let read = |file: PathBuf| std::fs::read(file).unwrap();
        let plain = read(quantize(&file, to, None).unwrap());
        let weighed = read(quantize(&file, to, Some(importance.clone())).unwrap());
        assert_ne!(plain, weighed, "{to}");
        let source = Gguf::open(&file).unwrap();
        let plan = Plan::of(&source, &Shape::of(&source).unwrap(), to, true);
        let made = Gguf::open(&file.with_file_name("smaller.gguf")).unwrap();
        let kinds =
            |tensors: Vec<&Tensor>| tensors.iter().map(|tensor| tensor.kind.name()).collect::<Vec<_>>();
        let planned = kinds(plan.tensors.iter().map(|planned| &planned.tensor).collect());
        assert_eq!(planned, kinds(made.tensors.iter().collect()), "{to}");
    }
}

#[test]
fn what_can_t_be_made_smaller_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = at(folder.path(), &WHOLE.metadata(), &WHOLE.tensors(1));
    let smaller = quantize(&file, Quantization::Q8_0, None).unwrap();
    let again = smaller.with_file_name("again.gguf");
    std::fs::rename(&smaller, &again).unwrap();
    let error = quantize(&again, Quantization::Q4KM, None).unwrap_err();
    assert!(error.contains("again.gguf is quantized already") && error.contains("Q8_0"), "{error}");
    let other = Tiny { inside: 512, ..WHOLE };
    let elsewhere = tempfile::tempdir().unwrap();
    let weighed = at(elsewhere.path(), &other.metadata(), &other.tensors(1));
    weigh(&weighed, &TEXTS, "the");
    let importance = Some(weighed.with_file_name("importance.gguf"));
    let error = quantize(&file, Quantization::Q4KM, importance).unwrap_err();
    assert!(error.contains("is of another model") && error.contains("ffn_down"), "{error}");
    let nowhere = folder.path().join("nowhere").join("smaller.gguf");
    let (hello, to) = (HELLO.to_owned(), Quantization::Q8_0);
    let job = Job::Quantize(Quantize { hello, file, to, importance: None, threads: 1, out: nowhere });
    assert!(matches!(told(&job).pop(), Some(Told::Failed(why)) if why.contains("can't be quantized")));
}
