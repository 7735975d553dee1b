//! Which of a model's files are fetched: those that are read, and no others.

use super::error::HubError;
use super::gguf;
use super::listing::{Listed, Listing};
use super::source::Repository;

/// Small files that say how the model is built and how its text is prepared. All but the first two are optional.
const SMALL: [&str; 9] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

/// What can't be done without, and what it is called in an error.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files to fetch, out of what the hub lists.
pub(super) fn choose(repository: &Repository, listing: &Listing) -> Result<Vec<Listed>, HubError> {
    for file in &listing.files {
        if !is_safe(&file.name) {
            return Err(HubError::BadName { repository: repository.clone(), name: file.name.clone() });
        }
    }
    let find = |name: &str| listing.files.iter().find(|file| file.name == name);
    let is_whole = find(WEIGHTS).or(find(INDEX)).is_some();
    let has_gguf = listing.files.iter().any(|file| gguf::is_gguf(&file.name));
    if repository.file.is_some() || (has_gguf && !is_whole) {
        return Ok(vec![gguf::choose(repository, listing)?.clone()]);
    }
    let not_a_model =
        |missing, instead| HubError::NotAModel { repository: repository.clone(), missing, instead };
    if let Some(missing) = REQUIRED.into_iter().find(|name| find(name).is_none()) {
        return Err(not_a_model(missing, None));
    }
    let weights: Vec<&Listed> = match (find(WEIGHTS), find(INDEX)) {
        (Some(whole), _) => vec![whole],
        (None, Some(index)) => {
            let shards = listing.files.iter().filter(|file| is_shard(&file.name));
            std::iter::once(index).chain(shards).collect()
        }
        (None, None) => {
            let other = |file: &&Listed| {
                [".bin", ".gguf", ".onnx", ".h5", ".safetensors"].iter().any(|end| file.name.ends_with(end))
            };
            return Err(not_a_model(WEIGHTS, listing.files.iter().find(other).map(|file| file.name.clone())));
        }
    };
    Ok(SMALL.iter().filter_map(|name| find(name)).chain(weights).cloned().collect())
}

/// `model-00001-of-00003.safetensors`.
fn is_shard(name: &str) -> bool {
    let middle = name.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors"));
    let numbers = middle.and_then(|middle| middle.split_once("-of-"));
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(number, of)| is_number(number) && is_number(of))
}

/// Whether a name stays below the folder it is written to, on every system.
fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_of(names: &[&str]) -> Result<Vec<String>, String> {
        let files = names.iter().map(|name| Listed { name: (*name).to_owned(), size: None, digest: None });
        let listing = Listing { commit: "c".to_owned(), files: files.collect() };
        let repository =
            Repository { owner: "o".into(), name: "n".into(), revision: "main".into(), file: None };
        let chosen = choose(&repository, &listing).map_err(|error| error.to_string())?;
        Ok(chosen.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn only_what_is_read_is_fetched() {
        let there = [
            "README.md",
            "model.safetensors",
            "onnx/model.onnx",
            "tokenizer.json",
            "config.json",
            "pytorch_model.bin",
        ];
        assert_eq!(choose_of(&there).unwrap(), ["config.json", "tokenizer.json", "model.safetensors"]);
        let shards = [
            "config.json",
            "tokenizer.json",
            INDEX,
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "x/model-00001-of-00002.safetensors",
        ];
        assert_eq!(choose_of(&shards).unwrap().len(), 5);
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there_instead() {
        let rows: [(&[&str], &str); 3] = [
            (&["tokenizer.json", "model.safetensors"], "has no config.json"),
            (&["config.json", "model.safetensors"], "has no tokenizer.json"),
            (
                &["config.json", "tokenizer.json", "pytorch_model.bin"],
                "has no model.safetensors, only pytorch_model.bin",
            ),
        ];
        for (names, said) in rows {
            let error = choose_of(names).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_refuses_the_whole_model() {
        for name in ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "C:x", "a//b", "", "a\0b", "./x"] {
            let error = choose_of(&["config.json", "tokenizer.json", "model.safetensors", name]).unwrap_err();
            assert!(error.contains("can't be kept"), "{error}");
        }
    }
}
