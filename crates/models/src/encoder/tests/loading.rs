//! A folder that isn't whole is told apart from one that is, and the message says what to do.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::serialize_to_file;
use safetensors::tensor::{Dtype, TensorView};

use super::super::{Checkpoint, EncoderConfig, Pooling, SentenceConfig, Weights, tiny};
use super::{minilm, tiny_folder};

/// Spoils a tiny encoder and gives the message it is then refused with.
fn refusal(spoil: impl FnOnce(&Path)) -> String {
    let folder = tiny_folder();
    spoil(folder.path());
    let refused = Checkpoint::open(folder.path()).unwrap_err().to_string();
    refused.replace(&folder.path().display().to_string(), "MODEL")
}

fn check(refused: &str, parts: &[&str]) {
    for part in parts {
        assert!(refused.contains(part), "`{part}` is not in:\n{refused}");
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_whole_folder_is_read_with_what_it_says_of_texts() {
    let folder = tiny_folder();
    let model = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(model.config, tiny::CONFIG);
    let sentence = SentenceConfig {
        pooling: Pooling::Mean,
        normalise: true,
        max_tokens: 24,
        lowercase: false,
        prompt: String::new(),
    };
    assert_eq!(model.sentence, sentence);
    assert_eq!(model.weights, tiny::weights(&tiny::CONFIG, 7));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let refused = Checkpoint::open(Path::new("no/such/model")).unwrap_err().to_string();
    check(
        &refused,
        &["no such folder", "no/such/model", "config.json, model.safetensors and tokenizer.json"],
    );
}

#[test]
fn a_missing_file_is_named_with_what_it_is_for() {
    for (file, what) in [
        ("config.json", "what shape the model has"),
        ("tokenizer.json", "without it no text can be read"),
        ("model.safetensors", "it holds the model's weights"),
    ] {
        let refused = refusal(|folder| fs::remove_file(folder.join(file)).unwrap());
        check(&refused, &[&format!("MODEL/{file}"), what, "hint: "]);
    }
}

#[test]
fn weights_in_a_format_that_can_run_code_are_refused_by_name() {
    let refused = refusal(|folder| {
        fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    });
    check(&refused, &["pytorch_model.bin, which can run code when it is opened"]);
}

#[test]
fn a_weights_file_cut_off_anywhere_is_told_and_never_panics() {
    let folder = tiny_folder();
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(whole.len() / 50) {
        fs::write(&path, &whole[..length]).unwrap();
        let refused = Checkpoint::open(folder.path()).unwrap_err().to_string();
        check(&refused, &["cut off or damaged", &format!("{length} bytes long"), "fetch the model again"]);
    }
}

#[test]
fn another_architecture_is_told_with_the_ones_that_would_do() {
    let refused = refusal(|folder| edit(&folder.join("config.json"), "\"bert\"", "\"llama\""));
    check(&refused, &["of type `llama`", "bert, roberta, xlm-roberta", "MODEL/config.json"]);
    let refused = refusal(|folder| {
        edit(&folder.join("config.json"), "\"pad_token_id\"", "\"is_decoder\":true,\"pad_token_id\"")
    });
    check(&refused, &["the model is a decoder"]);
    let refused = refusal(|folder| edit(&folder.join("config.json"), "absolute", "rope"));
    check(&refused, &["positions are `rope`"]);
}

#[test]
fn a_config_that_makes_no_sense_is_refused_with_its_numbers() {
    for (from, to, what) in [
        (
            "\"num_attention_heads\":3",
            "\"num_attention_heads\":4",
            "can't be shared among `num_attention_heads` = 4",
        ),
        ("\"num_hidden_layers\":2", "\"num_hidden_layers\":0", "`num_hidden_layers` = 0 is out of range"),
        (
            "\"num_hidden_layers\":2",
            "\"num_hidden_layers\":99999999999999",
            "`num_hidden_layers` = 99999999999999 is out of range",
        ),
        ("\"gelu\"", "\"swish\"", "`hidden_act` = \"swish\""),
        ("\"max_position_embeddings\":40", "\"max_position_embeddings\":1", "leaves no room for a text"),
        ("\"layer_norm_eps\":", "\"layer_norm_eps\":-", "is out of range"),
        ("{", "", "can't be understood"),
    ] {
        let refused = refusal(|folder| edit(&folder.join("config.json"), from, to));
        check(&refused, &[what, "MODEL/config.json"]);
    }
}

#[test]
fn weights_of_another_shape_are_told_with_both_shapes() {
    let refused = refusal(|folder| {
        edit(&folder.join("config.json"), "\"intermediate_size\":52", "\"intermediate_size\":53");
    });
    check(
        &refused,
        &["`encoder.layer.0.intermediate.dense.weight` has the shape [52, 30]", "[53, 30], by config.json"],
    );
}

#[test]
fn a_tensor_that_is_missing_is_named() {
    let refused = refusal(|folder| {
        edit(&folder.join("config.json"), "\"num_hidden_layers\":2", "\"num_hidden_layers\":3")
    });
    check(&refused, &["`encoder.layer.2.attention.self.query.weight` is missing", "[30, 30]"]);
}

#[test]
fn a_file_of_something_else_is_told_with_what_it_holds() {
    let refused =
        refusal(|folder| save(folder, Dtype::F32, "lm_head.", |number| number.to_le_bytes().to_vec()));
    check(&refused, &["no tensor `embeddings.word_embeddings.weight`", "lm_head.embeddings.LayerNorm.bias"]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let refused = refusal(|folder| save(folder, Dtype::F32, "", |_| f32::NAN.to_le_bytes().to_vec()));
    check(&refused, &["numbers that are infinite or none"]);
    let refused = refusal(|folder| save(folder, Dtype::I32, "", |_| 1_i32.to_le_bytes().to_vec()));
    check(&refused, &["numbers of type I32", "F32, F16, BF16"]);
}

#[test]
fn weights_in_sixteen_bits_are_widened_and_a_prefix_is_seen_through() {
    let exact = tiny::weights(&tiny::CONFIG, 7);
    let folder = tiny_folder();
    let nearest = |narrow: fn(f32) -> f32| {
        let found = Checkpoint::open(folder.path()).unwrap().weights;
        for (found, exact) in found.parameters().iter().zip(exact.parameters()) {
            assert!(found.data.iter().zip(&exact.data).all(|(found, exact)| *found == narrow(*exact)));
        }
    };
    save(folder.path(), Dtype::F16, "bert.", |number| f16::from_f32(number).to_le_bytes().to_vec());
    nearest(|number| f16::from_f32(number).to_f32());
    save(folder.path(), Dtype::BF16, "", |number| bf16::from_f32(number).to_le_bytes().to_vec());
    nearest(|number| bf16::from_f32(number).to_f32());
}

/// Writes the tiny encoder's weights in another type, under other names.
fn save(folder: &Path, dtype: Dtype, prefix: &str, narrow: impl Fn(f32) -> Vec<u8>) {
    let weights = tiny::weights(&tiny::CONFIG, 7);
    let bytes: Vec<Vec<u8>> = weights
        .parameters()
        .iter()
        .map(|parameter| parameter.data.iter().flat_map(|number| narrow(*number)).collect())
        .collect();
    let views: HashMap<String, TensorView<'_>> = weights
        .parameters()
        .iter()
        .zip(&bytes)
        .map(|(parameter, bytes)| {
            let view = TensorView::new(dtype, parameter.shape.clone(), bytes).unwrap();
            (format!("{prefix}{}", parameter.name), view)
        })
        .collect();
    serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
fn what_was_saved_is_read_back() {
    let folder = tiny_folder();
    let weights = tiny::weights(&tiny::CONFIG, 8);
    let path = folder.path().join("model.safetensors");
    weights.save(&path).unwrap();
    assert_eq!(Weights::open(&path, &tiny::CONFIG).unwrap(), weights);
}

#[test]
fn weights_made_here_are_held_to_the_same_shape() {
    let complete = tiny::weights(&tiny::CONFIG, 7).into_parameters();
    let mut short = complete.clone();
    short.pop();
    assert!(Weights::new(&tiny::CONFIG, short).unwrap_err().message.contains("is missing"));
    let mut bent = complete.clone();
    bent[0].shape = vec![1, 2];
    assert!(Weights::new(&tiny::CONFIG, bent).unwrap_err().message.contains("has the shape [1, 2]"));
    let mut long = complete.clone();
    long.push(long[0].clone());
    assert!(Weights::new(&tiny::CONFIG, long).is_err());
    assert!(Weights::new(&tiny::CONFIG, complete).is_ok());
}

#[test]
fn ways_to_one_vector_are_read_or_refused_by_name() {
    let folder = tiny_folder();
    let read = || SentenceConfig::read(folder.path(), &tiny::CONFIG);
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    write("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#);
    assert_eq!(read().unwrap().pooling, Pooling::Cls);
    write("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#);
    check(&read().unwrap_err().to_string(), &["joined by `cls_token and mean_tokens`", "one of them"]);
    write("1_Pooling/config.json", r#"{"pooling_mode": "lasttoken"}"#);
    check(&read().unwrap_err().to_string(), &["joined by `lasttoken`"]);
    write("modules.json", r#"[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#);
    check(&read().unwrap_err().to_string(), &["a module `Dense`", "Transformer, Pooling, Normalize"]);
}

#[test]
fn without_files_of_sentence_transformers_its_defaults_hold() {
    let folder = tempfile::tempdir().unwrap();
    let sentence = SentenceConfig::read(folder.path(), &tiny::CONFIG).unwrap();
    assert_eq!((sentence.pooling, sentence.normalise, sentence.max_tokens), (Pooling::Mean, false, 40));
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"model_max_length": 16}"#).unwrap();
    assert_eq!(SentenceConfig::read(folder.path(), &tiny::CONFIG).unwrap().max_tokens, 16);
    let endless = r#"{"model_max_length": 1000000000000000019884624838656}"#;
    fs::write(folder.path().join("tokenizer_config.json"), endless).unwrap();
    assert_eq!(SentenceConfig::read(folder.path(), &tiny::CONFIG).unwrap().max_tokens, 40);
}

#[test]
fn positions_of_robertas_begin_after_the_padding_token() {
    let folder = tiny_folder();
    let path = folder.path().join("config.json");
    edit(&path, "\"bert\"", "\"xlm-roberta\"");
    edit(&path, "\"pad_token_id\":0", "\"pad_token_id\":1");
    let config = EncoderConfig::read(&path).unwrap();
    assert_eq!((config.first_position, config.most_tokens()), (2, 38));
}

#[test]
fn all_minilm_l6_v2_is_read() {
    let Some(folder) = minilm() else { return };
    let model = Checkpoint::open(&folder).unwrap();
    assert_eq!((model.config.layers, model.config.hidden, model.config.heads), (6, 384, 12));
    assert_eq!(
        (model.sentence.pooling, model.sentence.normalise, model.sentence.max_tokens),
        (Pooling::Mean, true, 256)
    );
}
