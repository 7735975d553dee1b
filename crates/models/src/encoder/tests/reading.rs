//! Texts become the tokens that the model was trained on.

use super::super::{Checkpoint, SentenceConfig, Tokenizer, tiny};
use super::{minilm, tiny_folder};

fn tokenizer(change: impl FnOnce(&mut SentenceConfig)) -> Tokenizer {
    let folder = tiny_folder();
    let mut sentence = SentenceConfig::read(folder.path(), &tiny::CONFIG).unwrap();
    change(&mut sentence);
    Tokenizer::open(&folder.path().join("tokenizer.json"), &tiny::CONFIG, &sentence).unwrap()
}

#[test]
fn a_text_stands_between_its_special_tokens() {
    let tokenizer = tokenizer(|_| {});
    assert_eq!(tokenizer.ids("Where is my card").unwrap(), [2, 6, 7, 8, 4, 3]);
    assert_eq!(tokenizer.ids("").unwrap(), [2, 3]);
    assert_eq!(tokenizer.around(), 2);
}

#[test]
fn tokens_say_where_they_stand_in_the_text() {
    let tokens = tokenizer(|sentence| sentence.prompt = "the ".into()).tokens("Lost my cardab").unwrap();
    assert_eq!(tokens.ids, [2, 9, 10, 8, 4, 12, 14, 3]);
    assert_eq!(tokens.spans, [0..0, 0..0, 0..4, 5..7, 8..12, 12..13, 13..14, 0..0]);
}

#[test]
fn a_long_text_is_cut_with_its_last_token_kept() {
    let tokenizer = tokenizer(|sentence| sentence.max_tokens = 5);
    assert_eq!(tokenizer.ids("where where where where where").unwrap(), [2, 6, 6, 6, 3]);
    // What can't be among the kept tokens is not even looked at, and no letter is cut in two.
    assert_eq!(tokenizer.ids(&"é".repeat(1 << 20)).unwrap(), [2, 1, 3]);
}

#[test]
fn lower_case_asked_for_beside_the_tokenizer_keeps_the_places_of_letters() {
    let tokens = tokenizer(|sentence| sentence.lowercase = true).tokens("İ CARD").unwrap();
    assert_eq!(tokens.spans.last().unwrap(), &(0..0));
    assert!(tokens.spans.contains(&(3..7)), "{tokens:?}");
}

#[test]
fn a_tokenizer_of_a_larger_model_is_refused() {
    let folder = tiny_folder();
    let path = folder.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"card\":4", "\"card\":64")).unwrap();
    let refused = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("a token of number 64, the model only 64 rows"), "{refused}");
    std::fs::write(&path, "{}").unwrap();
    let refused = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("tokenizer.json") && refused.contains("can't be understood"), "{refused}");
}

/// From the Python package tokenizers 0.23.3 on the same tokenizer.json.
#[test]
fn texts_are_split_as_all_minilm_l6_v2_was_trained() {
    let Some(folder) = minilm() else { return };
    let model = Checkpoint::open(&folder).unwrap();
    let ids = model.tokenizer.ids("Where's my refund? Überweisung of 50€ — 东京").unwrap();
    assert_eq!(
        ids,
        [
            101, 2073, 1005, 1055, 2026, 25416, 8630, 1029, 19169, 19845, 19729, 2290, 1997, 2753, 30102,
            1517, 100, 1755, 102
        ]
    );
    assert_eq!(model.tokenizer.ids(&"card ".repeat(1000)).unwrap().len(), 256);
}
