use proptest::prelude::*;

use super::write::Stored;
use super::*;
use crate::tiny::Tiny;

/// A whole model's bytes.
fn tiny() -> Vec<u8> {
    bytes(&Tiny::SMALLEST.metadata(), &Tiny::SMALLEST.tensors(1))
}

fn bytes(metadata: &[(String, Value)], tensors: &[Stored]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::write(&mut bytes, metadata, tensors).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Gguf, GgufError> {
    Gguf::read(bytes, bytes.len() as u64)
}

/// The sentence about a model that is the tiny one but for what `change` did to it.
fn unfit(change: impl FnOnce(&mut Vec<(String, Value)>, &mut Vec<Stored>)) -> String {
    let (mut metadata, mut tensors) = (Tiny::SMALLEST.metadata(), Tiny::SMALLEST.tensors(1));
    change(&mut metadata, &mut tensors);
    let file = read(&bytes(&metadata, &tensors)).unwrap();
    Shape::of(&file).unwrap_err().to_string()
}

fn set(metadata: &mut Vec<(String, Value)>, key: &str, value: Option<Value>) {
    metadata.retain(|(name, _)| name != key);
    metadata.extend(value.map(|value| (key.to_owned(), value)));
}

#[test]
fn what_was_written_is_read() {
    let file = read(&tiny()).unwrap();
    assert_eq!(file.version, 3);
    assert_eq!(file.metadata, Tiny::SMALLEST.metadata());
    let tensors = Tiny::SMALLEST.tensors(1);
    assert_eq!(file.tensors.len(), tensors.len());
    for (read, written) in file.tensors.iter().zip(&tensors) {
        assert_eq!((&read.name, &read.sizes, read.kind), (&written.name, &written.sizes, written.kind));
        let start = (file.data_start + read.offset) as usize;
        assert_eq!(&tiny()[start..start + written.bytes.len()], written.bytes.as_slice());
    }
}

#[test]
fn the_shape_of_a_model_is_in_its_file() {
    let shape = Shape::of(&read(&tiny()).unwrap()).unwrap();
    assert_eq!((shape.architecture.as_str(), shape.blocks, shape.width), ("llama", 2, 32));
    assert_eq!((shape.context, shape.vocabulary, shape.stored_as), (512, 320, "F32"));
    assert_eq!((shape.kv_heads.as_slice(), shape.key_width, shape.value_width), (&[2, 2][..], 8, 8));
    let drawn: usize = Tiny::SMALLEST.tensors(1).iter().map(|tensor| tensor.bytes.len() / 4).sum();
    assert_eq!(shape.parameters, drawn as u64);
}

#[test]
fn keys_and_values_cost_two_bytes_a_number_a_token_a_layer() {
    let file = read(&tiny()).unwrap();
    let shape = Shape::of(&file).unwrap();
    let needed = memory(&file, &shape, 1_000, 64);
    // 2 layers, 2 heads, 8 numbers in a key and 8 in a value, 2 bytes each.
    assert_eq!(needed.context, 1_000 * 2 * 2 * 16 * 2);
    assert_eq!(needed.weights, file.tensors.iter().filter_map(Tensor::bytes).sum::<u64>());
    assert!(needed.computing > 64 * 320 * 4);
}

/// TinyLlama 1.1B as Q4_0: what its makers' file takes up, by hand.
#[test]
fn blocks_of_quantised_tensors_are_counted_whole() {
    let kind = TensorKind::from_code(2).unwrap();
    let tensor = |sizes: &[u64]| Tensor { name: "t".to_owned(), sizes: sizes.to_vec(), kind, offset: 0 };
    assert_eq!(tensor(&[2_048, 5_632]).bytes(), Some(2_048 * 5_632 / 32 * 18));
    assert_eq!(tensor(&[33, 2]).bytes(), None);
    assert_eq!(tensor(&[32, u64::MAX]).bytes(), None);
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let whole = tiny();
    let head = read(&whole).unwrap().data_start as usize;
    for length in (0..head).step_by(7).chain([head, head + 1, whole.len() / 2, whole.len() - 32]) {
        let error = read(&whole[..length]).unwrap_err().to_string();
        assert!(
            error.starts_with("is cut off or damaged") || error.starts_with("is no GGUF file"),
            "{length}: {error}"
        );
    }
}

#[test]
fn files_of_another_sort_are_told_from_damage() {
    let check = |bytes: &[u8], expected: &str| assert_eq!(read(bytes).unwrap_err().to_string(), expected);
    check(b"", "is no GGUF file that can be read: it doesn't begin with `GGUF` (0 bytes in all)");
    check(
        b"<html>not found</html>",
        "is no GGUF file that can be read: it doesn't begin with `GGUF` (22 bytes in all)",
    );
    let of_version = |version: [u8; 4]| [b"GGUF", &version[..], &[0; 16]].concat();
    check(
        &of_version([1, 0, 0, 0]),
        "is no GGUF file that can be read: version 1 is no longer read; convert it anew",
    );
    check(
        &of_version([0, 0, 0, 3]),
        "is no GGUF file that can be read: it is big-endian; convert it for this machine",
    );
    check(&of_version([9, 0, 0, 0]), "is no GGUF file that can be read: version 9, and 2 and 3 are known");
}

#[test]
fn counts_that_no_file_can_hold_take_no_memory() {
    let header = |tensors: u64, keys: u64| {
        [b"GGUF", &3_u32.to_le_bytes()[..], &tensors.to_le_bytes(), &keys.to_le_bytes(), &[0; 100]].concat()
    };
    let error = |tensors, keys| read(&header(tensors, keys)).unwrap_err().to_string();
    assert!(
        error(u64::MAX, 0).contains("should have 18446744073709551615 tensors"),
        "{}",
        error(u64::MAX, 0)
    );
    assert!(error(0, 1 << 40).contains("should have 1099511627776 keys"));
    let mut long_key = header(0, 1);
    long_key[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(
        read(&long_key).unwrap_err().to_string().contains("a key should have 18446744073709551615 bytes")
    );
}

#[test]
fn tensors_that_lie_beyond_the_file_or_twice_in_it_are_refused() {
    let mut tensors = Tiny::SMALLEST.tensors(1);
    let metadata = Tiny::SMALLEST.metadata();
    let whole = bytes(&metadata, &tensors);
    let cut = &whole[..whole.len() - 33];
    assert!(
        read(cut).unwrap_err().to_string().contains("`output.weight` of 40960 bytes ends beyond the file")
    );
    tensors.push(tensors[0].clone());
    assert!(read(&bytes(&metadata, &tensors)).unwrap_err().to_string().contains("stands there twice"));
}

#[test]
fn a_file_that_is_no_whole_model_is_refused_in_a_sentence() {
    let whole = |number| Some(Value::u32(number));
    let check = |key: &str, value: Option<Value>, expected: &str| {
        let told = unfit(|metadata, _| set(metadata, key, value));
        assert_eq!(told, format!("can't be run: {expected}"));
    };
    check("general.architecture", None, "its metadata lacks `general.architecture`");
    check("general.type", Some(Value::text("adapter")), "it holds a model's adapter, not a model");
    check("llama.block_count", whole(0), "`llama.block_count` is 0");
    check("llama.block_count", whole(3), "layer 2 of 3 has no tensors");
    check(
        "llama.block_count",
        whole(1),
        "tensor `blk.1.attn_norm.weight` belongs to no layer: it says that it has 1",
    );
    check("llama.block_count", whole(u32::MAX), "it should have 4294967295 layers");
    check("llama.attention.head_count", whole(0), "it should have no attention heads at all");
    check("llama.attention.head_count_kv", whole(0), "it should have no attention heads at all");
    check("llama.attention.head_count_kv", whole(3), "4 heads can't share 3 of keys and values");
    check("llama.context_length", None, "its metadata lacks `llama.context_length`");
    check(
        "llama.embedding_length",
        Some(Value::text("wide")),
        "`llama.embedding_length` is no whole number of 32 bits",
    );
    for epsilon in [Value::F32(-1e-5), Value::F32(f32::NAN), Value::text("small")] {
        let key = "llama.attention.layer_norm_rms_epsilon";
        check(key, Some(epsilon), "`llama.attention.layer_norm_rms_epsilon` is no number from 0 on");
    }
    check("tokenizer.ggml.tokens", None, "it has no vocabulary (`tokenizer.ggml.model` and `.tokens`)");
    check("tokenizer.ggml.tokens", Some(Value::List(vec![])), "its vocabulary is empty, or no list of texts");
    check(
        "tokenizer.ggml.scores",
        Some(Value::List(vec![])),
        "`tokenizer.ggml.scores` has not one value for each token",
    );
    check(
        "tokenizer.ggml.bos_token_id",
        whole(320),
        "`tokenizer.ggml.bos_token_id` is none of the 320 tokens",
    );
    check("tokenizer.ggml.model", Some(Value::text("gpt2")), "its metadata lacks `tokenizer.ggml.merges`");
    check(
        "split.count",
        whole(4),
        "it is one of 4 parts, and parts are not read; merge them with llama.cpp's gguf-split",
    );
}

#[test]
fn a_vocabulary_that_llama_cpp_would_abort_at_is_refused() {
    let renamed = |from: &str, to: &str| {
        unfit(|metadata, _| {
            let tokens = metadata.iter_mut().find(|(key, _)| key == "tokenizer.ggml.tokens");
            let Some((_, Value::List(tokens))) = tokens else { unreachable!() };
            let token = tokens.iter_mut().find(|token| token.as_text() == Some(from)).unwrap();
            *token = Value::text(to);
        })
    };
    assert_eq!(renamed("▁the", "▁card"), "can't be run: token `▁card` stands in its vocabulary twice");
    assert_eq!(renamed("<0x41>", "A letter"), "can't be run: its vocabulary has no token for the byte 0x41");
    let kind =
        |kind: &str| unfit(|metadata, _| set(metadata, "tokenizer.ggml.model", Some(Value::text(kind))));
    assert!(kind("no_vocab").contains("is of the kind `no_vocab`, which no text can be read with"));
    let told = unfit(|metadata, _| {
        set(metadata, "tokenizer.ggml.model", Some(Value::text("rwkv")));
        set(metadata, "tokenizer.ggml.add_bos_token", Some(Value::Bool(true)));
        set(metadata, "tokenizer.ggml.bos_token_id", None);
    });
    assert_eq!(told, "can't be run: its metadata lacks `tokenizer.ggml.bos_token_id`");
}

#[test]
fn tensors_that_llama_cpp_would_not_compute_with_are_refused() {
    let stored = |name: &str, code: u32, bytes: usize| {
        unfit(|_, tensors| {
            let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
            tensor.kind = TensorKind::from_code(code).unwrap();
            tensor.bytes = vec![0; bytes];
        })
    };
    let told = |name: &str, kind: &str| {
        format!("can't be run: tensor `{name}` is stored as {kind}, which isn't computed with")
    };
    assert_eq!(stored("blk.1.attn_q.weight", 26, 32 * 32 * 4), told("blk.1.attn_q.weight", "I32"));
    assert_eq!(stored("output.weight", 9, 320 * 36), told("output.weight", "Q8_1"));
    assert_eq!(stored("blk.0.ffn_norm.weight", 1, 64), told("blk.0.ffn_norm.weight", "F16"));
}

#[test]
fn a_vocabulary_without_its_vectors_is_no_model() {
    let told = unfit(|_, tensors| tensors.retain(|tensor| tensor.name != "token_embd.weight"));
    assert_eq!(told, "can't be run: it has no `token_embd.weight`: is it only a vocabulary?");
    let told = unfit(|metadata, _| set(metadata, "llama.embedding_length", Some(Value::u32(64))));
    assert!(told.contains("`token_embd.weight` has sizes [32, 320]"), "{told}");
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&tail).is_err() || tail.len() >= 24);
        let _ = read(&[&b"GGUF\x03\0\0\0"[..], &tail].concat());
    }

    #[test]
    fn a_model_with_bytes_changed_is_read_or_refused(
        changes in proptest::collection::vec((0_usize..12_000, any::<u8>()), 1..6),
    ) {
        let mut bytes = tiny();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(file) = read(&bytes) && let Ok(shape) = Shape::of(&file) {
            let _ = memory(&file, &shape, u64::MAX, u64::MAX).total();
        }
    }
}
