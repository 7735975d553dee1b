use std::fs::File;
use std::path::Path;

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value as Json, json};

use super::names::{Matrix, turn};
use super::*;
use crate::gguf::write::{Stored, write};
use crate::gguf::{TensorKind, Value};
use crate::tiny::Tiny;

/// Name, shape and numbers of a tensor.
pub(crate) type Peft = (String, Vec<usize>, Vec<f32>);

/// Writes what PEFT would.
pub(crate) fn write_peft(folder: &Path, config: &Json, tensors: &[Peft]) {
    let bytes = tensors
        .iter()
        .map(|(_, _, numbers)| numbers.iter().flat_map(|number| number.to_le_bytes()).collect());
    let bytes: Vec<Vec<u8>> = bytes.collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    write_files(folder, config, &safetensors::serialize(views, None).unwrap());
}

fn write_files(folder: &Path, config: &Json, tensors: &[u8]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("adapter_model.safetensors"), tensors).unwrap();
}

fn config() -> Json {
    json!({"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none", "use_rslora": false, "use_dora": false})
}

/// Both matrices of a module whose own has `inside` columns and `outside` rows.
fn pair(module: &str, inside: usize, outside: usize, rank: usize) -> [Peft; 2] {
    let name = |side: &str| format!("base_model.model.{module}.lora_{side}.weight");
    let numbers = |count: usize| (0..count).map(|number| number as f32).collect();
    [
        (name("A"), vec![rank, inside], numbers(rank * inside)),
        (name("B"), vec![outside, rank], numbers(rank * outside)),
    ]
}

/// The smallest model: 32 wide, 48 inside, 4 heads of 8 numbers of which 2 have keys.
fn base(folder: &Path) -> Gguf {
    let file = folder.join("base.gguf");
    Tiny::SMALLEST.write(&file, 1).unwrap();
    Gguf::open(&file).unwrap()
}

fn opened(folder: &Path, config: &Json, tensors: &[Peft]) -> Result<Gguf, String> {
    write_peft(&folder.join("adapter"), config, tensors);
    let adapter = Adapter::open(&folder.join("adapter"), &base(folder)).map_err(|error| error.to_string())?;
    Ok(Gguf::open(adapter.file()).unwrap())
}

#[test]
fn an_adapter_of_pefts_becomes_one_of_ggufs() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = [
        pair("model.layers.0.self_attn.q_proj", 32, 32, 2),
        pair("model.layers.1.self_attn.v_proj", 32, 16, 2),
        pair("model.layers.1.mlp.down_proj", 48, 32, 2),
    ];
    let adapter = opened(folder.path(), &config(), &tensors.concat()).unwrap();
    assert_eq!(adapter.get("adapter.lora.alpha"), Some(&Value::F32(6.0)));
    let sizes: Vec<(&str, &[u64])> =
        adapter.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.sizes.as_slice())).collect();
    let expected: [(&str, &[u64]); 6] = [
        ("blk.0.attn_q.weight.lora_a", &[32, 2]),
        ("blk.0.attn_q.weight.lora_b", &[2, 32]),
        ("blk.1.attn_v.weight.lora_a", &[32, 2]),
        ("blk.1.attn_v.weight.lora_b", &[2, 16]),
        ("blk.1.ffn_down.weight.lora_a", &[48, 2]),
        ("blk.1.ffn_down.weight.lora_b", &[2, 32]),
    ];
    assert_eq!(sizes, expected);
    // What is divided by the rank is the root of it times as much.
    let rooted = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 6, "use_rslora": true});
    let adapter = opened(folder.path(), &rooted, &tensors[0]).unwrap();
    assert_eq!(adapter.get("adapter.lora.alpha"), Some(&Value::F32(6.0 * 2.0_f32.sqrt())));
}

#[test]
fn rows_of_queries_are_ordered_as_llama_cpp_turns_them() {
    // Two heads of four rows: each one's halves are laid into each other.
    assert_eq!(turn(&[0, 1, 2, 3, 4, 5, 6, 7], 1, 2).unwrap(), [0, 2, 1, 3, 4, 6, 5, 7]);
    assert_eq!(turn(&[0, 0, 1, 1, 2, 2, 3, 3], 2, 1).unwrap(), [0, 0, 2, 2, 1, 1, 3, 3]);
    for (rows, row, heads) in [(8, 1, 3), (8, 3, 2), (6, 1, 2), (8, 0, 2), (8, 1, 0)] {
        assert_eq!(turn(&vec![0; rows], row, heads), None, "{rows} {row} {heads}");
    }
    let matrix = |module: &str| Matrix::of(&format!("model.layers.3.{module}")).unwrap();
    assert!(matrix("self_attn.k_proj").turned("llama").is_some());
    assert!(matrix("self_attn.v_proj").turned("llama").is_none());
    assert!(matrix("self_attn.q_proj").turned("qwen3").is_none());
}

#[test]
fn numbers_of_16_bits_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = [1.5_f32, -0.375, 65_504.0];
    let halves = |of: fn(f32) -> [u8; 2], count: usize| -> Vec<u8> {
        (0..count).flat_map(|place| of(numbers[place % 3])).collect()
    };
    let (a, b) = (
        halves(|number| half::f16::from_f32(number).to_le_bytes(), 64),
        halves(|number| half::bf16::from_f32(number).to_le_bytes(), 32),
    );
    let name = |side: &str| format!("base_model.model.model.layers.0.self_attn.v_proj.lora_{side}.weight");
    let views = [
        (name("A"), TensorView::new(Dtype::F16, vec![2, 32], &a).unwrap()),
        (name("B"), TensorView::new(Dtype::BF16, vec![16, 2], &b).unwrap()),
    ];
    let own = folder.path().join("adapter");
    write_files(&own, &config(), &safetensors::serialize(views, None).unwrap());
    let adapter = Adapter::open(&own, &base(folder.path())).unwrap();
    let (file, bytes) = (Gguf::open(adapter.file()).unwrap(), std::fs::read(adapter.file()).unwrap());
    let first = |tensor: &str| {
        let start = (file.data_start + file.tensor(tensor).unwrap().offset) as usize;
        [0, 1, 2].map(|place| f32::from_le_bytes(bytes[start + 4 * place..][..4].try_into().unwrap()))
    };
    assert_eq!(first("blk.0.attn_v.weight.lora_a"), numbers);
    // bfloat16 keeps eight bits of a number.
    assert_eq!(first("blk.0.attn_v.weight.lora_b"), [1.5, -0.375, 65_536.0]);
}

#[test]
fn what_cant_be_said_in_gguf_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let query = pair("model.layers.0.self_attn.q_proj", 32, 32, 2);
    for (key, value, expected) in [
        ("peft_type", json!("IA3"), "`peft_type` is `IA3`, and `LORA` can be used"),
        ("r", json!(0), "`r` is 0"),
        ("lora_alpha", json!(0), "`lora_alpha` is 0, and should be above 0"),
        ("use_dora", json!(true), "it is a DoRA adapter"),
        ("bias", json!("all"), "it adapts biases"),
        ("lora_bias", json!(true), "it adapts biases"),
        ("fan_in_fan_out", json!(true), "its matrices lie on their side"),
        ("modules_to_save", json!(["lm_head"]), "it brings whole modules of its own (`modules_to_save`)"),
        ("init_lora_weights", json!("pissa"), "`init_lora_weights` is `pissa`, which changed the model too"),
        ("alpha_pattern", json!({"q_proj": 3}), "its matrices have scales of their own"),
        ("layer_replication", json!([[0, 1], [0, 1]]), "it repeats layers"),
        ("target_parameters", json!(["experts.w"]), "it adapts single parameters"),
        ("trainable_token_indices", json!([7]), "it adapts the vectors of tokens"),
        ("alora_invocation_tokens", json!([7]), "it is to begin in the middle of a text"),
    ] {
        let mut config = config();
        config[key] = value;
        let error = opened(folder.path(), &config, &query).unwrap_err();
        assert!(error.starts_with(&format!("doesn't fit the model: {expected}")), "{key}: {error}");
    }
    let mut roots = config();
    (roots["use_rslora"], roots["rank_pattern"]) = (json!(true), json!({"q_proj": 4}));
    assert!(opened(folder.path(), &roots, &query).unwrap_err().contains("GGUF can't say that"));
    // What PEFT writes where nothing of it is used.
    let mut plain = config();
    for key in ["modules_to_save", "rank_pattern", "layer_replication", "trainable_token_indices"] {
        plain[key] = Json::Null;
    }
    (plain["init_lora_weights"], plain["alpha_pattern"]) = (json!(true), json!({}));
    opened(folder.path(), &plain, &query).unwrap();
}

#[test]
fn matrices_that_are_none_of_the_models_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let check = |tensors: &[Peft], expected: &str| {
        let error = opened(folder.path(), &config(), tensors).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    let query = pair("model.layers.0.self_attn.q_proj", 32, 32, 2);
    check(&[], "it has no matrices");
    check(
        &pair("lm_head", 32, 320, 2),
        "it adapts `lm_head`, and only the matrices of attention and feed-forward can be",
    );
    check(&pair("model.embed_tokens", 320, 32, 2), "it adapts `model.embed_tokens`");
    check(&pair("model.layers.0.mlp.experts.0.w1", 32, 48, 2), "it adapts `model.layers.0.mlp.experts.0.w1`");
    check(
        &pair("model.layers.7.self_attn.q_proj", 32, 32, 2),
        "has 32 rows, which the heads of the model's layer can't share",
    );
    check(&pair("model.layers.7.mlp.up_proj", 32, 48, 2), "`blk.7.ffn_up.weight` is no matrix of the model");
    check(
        &pair("model.layers.0.self_attn.qkv_proj", 32, 64, 2),
        "`blk.0.attn_qkv.weight` is no matrix of the model",
    );
    check(
        &pair("model.layers.0.mlp.gate_up_proj", 32, 96, 2),
        "has sizes [2, 96], and [2, 48] was expected: is it another model's?",
    );
    check(
        &pair("model.layers.0.self_attn.q_proj", 64, 32, 2),
        "has sizes [64, 2], and [32, rank] was expected",
    );
    check(&pair("model.layers.0.self_attn.q_proj", 32, 40, 2), "has sizes [2, 40], and [2, 32] was expected");
    check(
        &pair("model.layers.0.self_attn.q_proj", 32, 32, 3),
        "has the rank 3, and adapter_config.json says 2",
    );
    check(&query[..1], "`blk.0.attn_q.weight` has only one of its two matrices");
    let magnitude = (
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector".to_owned(),
        vec![32],
        vec![1.0; 32],
    );
    check(&[query.to_vec(), vec![magnitude]].concat(), "which is no matrix of a plain LoRA adapter");
    let [(name, _, numbers), _] = query.clone();
    check(&[(name, vec![64], numbers)], "has the shape [64], and a matrix was expected");
}

#[test]
fn files_that_are_missing_or_damaged_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let own = folder.path().join("adapter");
    let error = |path: &Path| Adapter::open(path, &base).map(drop).unwrap_err().to_string();
    assert!(error(&own).starts_with("can't be read: "), "{}", error(&own));
    std::fs::create_dir(&own).unwrap();
    assert!(
        error(&own).starts_with("is no adapter of PEFT's that can be read: adapter_config.json: "),
        "{}",
        error(&own)
    );
    write_files(&own, &json!({"r": 2}), b"");
    assert!(error(&own).contains("adapter_config.json: missing field `peft_type`"), "{}", error(&own));
    for garbage in [&b""[..], b"oops", &[0xFF; 64]] {
        write_files(&own, &config(), garbage);
        assert!(error(&own).contains("adapter_model.safetensors: "), "{}", error(&own));
    }
    let other = folder.path().join("other");
    std::fs::write(&other, "no GGUF").unwrap();
    assert!(error(&other).starts_with("is no GGUF file"), "{}", error(&other));
    // A whole model is no adapter.
    let error = error(&folder.path().join("base.gguf"));
    assert_eq!(error, "doesn't fit the model: `general.type` is ``, and should be `adapter`");
}

/// An adapter that fits, as GGUF has it.
pub(crate) fn whole() -> (Vec<(String, Value)>, Vec<Stored>) {
    let metadata = [
        ("general.type", Value::text("adapter")),
        ("general.architecture", Value::text("llama")),
        ("adapter.type", Value::text("lora")),
        ("adapter.lora.alpha", Value::F32(4.0)),
    ];
    let tensors = vec![
        Stored::f32("blk.0.attn_v.weight.lora_a", &[32, 2], &[0.5; 64]),
        Stored::f32("blk.0.attn_v.weight.lora_b", &[2, 16], &[0.5; 32]),
    ];
    (metadata.map(|(key, value)| (key.to_owned(), value)).to_vec(), tensors)
}

/// What is done to an adapter's metadata and tensors.
type Change<'a> = &'a dyn Fn(&mut Vec<(String, Value)>, &mut Vec<Stored>);

#[test]
fn a_gguf_adapter_that_llama_cpp_would_abort_at_or_misread_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let told = |change: Change<'_>| {
        let (mut metadata, mut tensors) = whole();
        change(&mut metadata, &mut tensors);
        let file = folder.path().join("adapter.gguf");
        write(File::create(&file).unwrap(), &metadata, &tensors).unwrap();
        Adapter::open(&file, &base).map(|_| "fits".to_owned()).unwrap_or_else(|error| error.to_string())
    };
    let set = |key: &'static str, value: Value| {
        told(&|metadata, _| {
            metadata.retain(|(name, _)| name != key);
            metadata.push((key.to_owned(), value.clone()));
        })
    };
    let unfit = |why: &str| format!("doesn't fit the model: {why}");
    assert_eq!(told(&|_, _| ()), "fits");
    assert_eq!(told(&|metadata, _| metadata.retain(|(key, _)| key != "adapter.lora.alpha")), "fits");
    assert_eq!(
        set("general.architecture", Value::text("qwen2")),
        unfit("`general.architecture` is `qwen2`, and should be `llama`")
    );
    assert_eq!(set("adapter.type", Value::u32(1)), unfit("`adapter.type` is ``, and should be `lora`"));
    // llama.cpp aborts at a value of another kind.
    assert_eq!(
        set("adapter.lora.alpha", Value::text("4")),
        unfit("`adapter.lora.alpha` is no number of 32 bits")
    );
    assert_eq!(
        set("adapter.lora.alpha", Value::F32(f32::NAN)),
        unfit("`adapter.lora.alpha` is no number of 32 bits")
    );
    assert!(set("adapter.alora.invocation_tokens", Value::List(vec![Value::u32(1)])).contains("aLoRA"));
    let rename = |from: &'static str, to: &'static str| {
        told(&|_, tensors| tensors.iter_mut().for_each(|tensor| tensor.name = tensor.name.replace(from, to)))
    };
    assert!(rename("lora_a", "lora_c").contains("is none of the two matrices of a LoRA adapter"));
    assert!(
        rename("attn_v.weight.lora_b", "attn_norm.weight.lora_b")
            .contains("has only one of its two matrices")
    );
    assert!(rename("attn_v", "attn_norm").contains("is no plain matrix: its sizes are [32]"));
    assert!(rename("blk.0.attn_v", "output").contains("belongs to no layer"));
    assert!(rename("blk.0.attn_v", "blk.0.ffn_up").contains("and [2, 48] was expected"));
    let told = told(&|_, tensors| {
        tensors[0] =
            Stored { kind: TensorKind::from_code(24).unwrap(), bytes: vec![0; 64], ..tensors[0].clone() };
    });
    assert_eq!(told, unfit("`blk.0.attn_v.weight.lora_a` is stored as I8, and F32, F16, BF16, Q8_0 can be"));
}

proptest! {
    #[test]
    fn an_adapter_with_bytes_changed_is_read_or_refused_and_never_a_panic(
        changes in proptest::collection::vec((0_usize..2_000, any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let base = base(folder.path());
        let changed = |mut bytes: Vec<u8>| {
            changes.iter().for_each(|(at, byte)| {
                let at = at % bytes.len();
                bytes[at] = *byte;
            });
            bytes
        };
        let (metadata, tensors) = whole();
        let mut bytes = Vec::new();
        write(&mut bytes, &metadata, &tensors).unwrap();
        let file = folder.path().join("adapter.gguf");
        std::fs::write(&file, changed(bytes)).unwrap();
        let _ = Adapter::open(&file, &base);
        let own = folder.path().join("adapter");
        write_peft(&own, &config(), &pair("model.layers.0.self_attn.q_proj", 32, 32, 2));
        for name in ["adapter_model.safetensors", "adapter_config.json"] {
            let whole = std::fs::read(own.join(name)).unwrap();
            std::fs::write(own.join(name), changed(whole.clone())).unwrap();
            let _ = Adapter::open(&own, &base);
            std::fs::write(own.join(name), whole).unwrap();
        }
    }
}
