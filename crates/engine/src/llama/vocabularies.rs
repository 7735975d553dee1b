//! Do real tokenizers, read from GGUF files, give the tokens that their makers' give? Each vocabulary of llama.cpp's own
//! collection is put before a model whose numbers are drawn by lot, and asked as every request is: through [`Network`].
//!
//! The files (MIT, by llama.cpp) are not part of the repository: they are looked for in `vocab/` of `$SPRAT_DATA`, else of
//! `../shared/data`.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Llama;
use crate::gguf::write::write;
use crate::gguf::{Gguf, Value};
use crate::protocol::{HELLO, Load};
use crate::tiny::Tiny;
use crate::work::{Network, Token};

/// What stands between two texts of a `.inp` file.
const BETWEEN: &str = "\n__ggml_vocab_test__\n";

fn folder() -> PathBuf {
    let data = std::env::var_os("SPRAT_DATA").map(PathBuf::from);
    data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")).join("vocab")
}

/// A model with the vocabulary of a file that has nothing else.
fn with_vocabulary_of(file: &Path) -> Llama {
    let vocabulary: Vec<(String, Value)> = Gguf::open(file)
        .unwrap()
        .metadata
        .into_iter()
        .filter(|(key, _)| key.starts_with("tokenizer."))
        .collect();
    let tokens =
        vocabulary.iter().find(|(key, _)| key == "tokenizer.ggml.tokens").unwrap().1.as_list().unwrap();
    let shape = Tiny { vocabulary: u32::try_from(tokens.len()).unwrap(), ..Tiny::SMALLEST };
    let mut metadata = shape.metadata();
    metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    metadata.extend(vocabulary);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    write(File::create(&file).unwrap(), &metadata, &shape.tensors(1)).unwrap();
    Llama::load(&Load {
        hello: HELLO.to_owned(),
        file,
        context: 512,
        threads: 1,
        waiting: 1,
        adapters: Vec::new(),
    })
    .unwrap()
    .0
}

fn check(name: &str) {
    let file = folder().join(format!("{name}.gguf"));
    if !file.exists() {
        eprintln!("SKIPPED: {} is not there; SPRAT_DATA names the folder above `vocab`", file.display());
        return;
    }
    let beside = |end: &str| std::fs::read_to_string(file.with_extension(end)).unwrap();
    let (texts, expected) = (beside("gguf.inp"), beside("gguf.out"));
    let texts: Vec<&str> = texts.strip_suffix(BETWEEN).unwrap_or(&texts).split(BETWEEN).collect();
    let ids = |line: &str| line.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<Token>>();
    let expected: Vec<Vec<Token>> = expected.lines().map(ids).collect();
    assert_eq!((texts.len(), expected.len()), (46, 46));
    let llama = with_vocabulary_of(&file);
    // What holes are filled with is found as llama.cpp finds it.
    let own = llama.hole().map(|own| [own.before, own.behind, own.inside]);
    let theirs = llama.library.hole();
    assert_eq!(own, (theirs.iter().all(|token| *token >= 0)).then_some(theirs), "{name}");
    for (text, expected) in texts.iter().zip(&expected) {
        // What a stranger wrote, within a prompt: no beginning, no words that the vocabulary keeps for itself.
        assert_eq!(llama.tokens(text, false, false), *expected, "{name}: {text:?}");
    }
}

macro_rules! vocabularies {
    ($($test:ident: $name:literal)*) => {
        $(
            #[test]
            fn $test() {
                check($name);
            }
        )*
    };
}

vocabularies! {
    llama_s_sentencepiece: "llama-spm"
    phi_3_s_sentencepiece: "phi-3"
    gpt_2_s_byte_pairs: "gpt-2"
    deepseek_coder_s_byte_pairs: "deepseek-coder"
    starcoder_s_byte_pairs: "starcoder"
    bert_s_word_pieces: "bert-bge"
}
