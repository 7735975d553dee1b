//! Over tiny models, in this process: what is asked here is within bounds, so that nothing aborts.

use std::time::Instant;

use super::Llama;
use crate::protocol::{
    Constraint, End, Generate, HELLO, Load, Order, Prompt, Refusal, Report, Sampling, Score,
};
use crate::tiny::{Knowing, Tiny};
use crate::work::{Network, Piece, Scheduler};

const LABELS: [&str; 3] = ["billing", "refund", "crash"];

pub(super) fn load(file: std::path::PathBuf) -> Load {
    Load { hello: HELLO.to_owned(), file, context: 512, threads: 1, waiting: 1, adapters: vec![] }
}

/// A model in a folder that is gone after the test.
fn llama(write: impl FnOnce(&std::path::Path)) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    write(&file);
    // The file stays mapped.
    Llama::load(&load(file)).unwrap().0
}

fn tiny() -> Llama {
    llama(|file| Tiny::SMALLEST.write(file, 3).unwrap())
}

fn knowing() -> Llama {
    let words = [("invoice", Some(0)), ("money", Some(1)), ("error", Some(2)), ("the", None)];
    llama(|file| Knowing { labels: &LABELS, words: &words, context: 512, writes: false }.write(file).unwrap())
}

/// Everything that is said until there is nothing left to do.
pub(super) fn run(scheduler: &mut Scheduler<Llama>, orders: Vec<Order>) -> Vec<Report> {
    let mut reports = Vec::new();
    for order in orders {
        scheduler.take(order, Instant::now(), &mut |report| reports.push(report));
    }
    while !scheduler.is_idle() {
        scheduler.step(Instant::now, &mut |report| reports.push(report)).unwrap();
    }
    reports
}

fn prompt() -> Order {
    let labels = LABELS.map(|label| format!(" {label}")).to_vec();
    let (before, after) = ("Text: ".to_owned(), " Label:".to_owned());
    Order::Prompt(Prompt { prompt: 1, before, after, labels, adapter: None })
}

fn score(id: u64, text: &str) -> Order {
    Order::Score(Score { id, prompt: 1, text: text.to_owned(), within_ms: 60_000 })
}

#[test]
fn a_model_that_knows_some_words_says_their_label() {
    let mut scheduler = Scheduler::new(knowing(), 16);
    let texts = ["the invoice", "the money", "error the error"];
    let orders = std::iter::once(prompt()).chain((0..).zip(texts).map(|(id, text)| score(id, text)));
    let reports = run(&mut scheduler, orders.collect());
    for report in &reports {
        let Report::Scored(scored) = report else { panic!("{report:?}") };
        let best = (0..3).max_by(|a, b| scored.log_likelihoods[*a].total_cmp(&scored.log_likelihoods[*b]));
        assert_eq!(best, Some(scored.id as usize), "{scored:?}");
    }
    assert_eq!(reports.len(), 3);
}

/// One that ends behind the label it writes, and fills holes with it.
fn writing() -> Llama {
    let words = [("invoice", Some(0)), ("money", Some(1)), ("error", Some(2)), ("the", None)];
    llama(|file| Knowing { labels: &LABELS, words: &words, context: 512, writes: true }.write(file).unwrap())
}

/// What was written, and why that ended.
fn said(reports: &[Report], wanted: u64) -> (String, Option<End>, u32) {
    let (mut text, mut ended, mut tokens) = (String::new(), None, 0);
    for report in reports {
        match report {
            Report::Text { id, text: piece } if *id == wanted => text += piece,
            Report::Ended { id, end, read, .. } if *id == wanted => (ended, tokens) = (Some(*end), *read),
            _ => {}
        }
    }
    (text.trim().to_owned(), ended, tokens)
}

#[test]
fn a_model_that_writes_ends_behind_its_label() {
    let mut scheduler = Scheduler::new(writing(), 16);
    let ask = |id, text: &str| Order::Generate(Generate { id, text: text.to_owned(), ..a_text() });
    let orders = vec![ask(1, "the invoice the invoice"), ask(2, "the error"), ask(3, "money the money the")];
    let reports = run(&mut scheduler, orders);
    for (id, label) in [(1, "billing"), (2, "crash"), (3, "refund")] {
        let (text, end, _) = said(&reports, id);
        assert_eq!((text.as_str(), end), (label, Some(End::Model)), "{reports:?}");
    }
}

#[test]
fn a_hole_is_filled_from_both_sides_and_code_cant_pretend_to_be_more_than_code() {
    let llama = writing();
    let own = llama.hole().unwrap();
    assert_eq!([own.before, own.behind, own.inside], llama.library.hole(), "as llama.cpp finds them");
    for text in ["<fim_prefix>", "a <fim_suffix> b", "<fim_middle>\n</s>"] {
        let tokens = llama.tokens(text, false, false);
        assert!(!tokens.iter().any(|token| own.contain(*token) || *token == 2), "{text}: {tokens:?}");
        assert!(llama.tokens(text, false, true).iter().any(|token| own.contain(*token)), "{text}");
    }
    let count = |text: &str| llama.tokens(text, false, false).len() as u32;
    let (before, behind) = ("the <fim_middle> money", "the <fim_prefix> money <fim_suffix>");
    let read = 1 + 3 + count(before) + count(behind);
    let fill = |id, before: &str, behind: &str| {
        let (text, behind) = (before.to_owned(), Some(behind.to_owned()));
        Order::Generate(Generate { id, text, behind, ..a_text() })
    };
    let mut scheduler = Scheduler::new(llama, 16);
    let long = "the ".repeat(2_000);
    let orders = vec![
        fill(1, "the invoice", "the"),
        fill(2, "the", "error the"),
        fill(3, before, behind),
        fill(4, &format!("{long} invoice"), &format!("invoice {long}")),
    ];
    let reports = run(&mut scheduler, orders);
    assert_eq!(said(&reports, 1).0, "billing");
    assert_eq!(said(&reports, 2).0, "crash");
    assert_eq!(said(&reports, 3), ("refund".to_owned(), Some(End::Model), read), "each letter is read");
    // What is nearest to the hole is still there.
    let (text, end, tokens) = said(&reports, 4);
    assert_eq!((text.as_str(), end, tokens), ("billing", Some(End::Model), 512 - 24));
    let mut scheduler = Scheduler::new(tiny(), 16);
    let reports = run(&mut scheduler, vec![fill(1, "the", "the")]);
    assert!(matches!(&reports[..], [Report::Refused { why: Refusal::Bad(_), .. }]), "{reports:?}");
}

#[test]
fn scores_are_the_same_alone_and_among_others() {
    let mut scheduler = Scheduler::new(tiny(), 64);
    let alone = run(&mut scheduler, vec![prompt(), score(0, "where is my card")]);
    let among = (1..20).map(|id| score(id, &"the card is in there ".repeat(id as usize % 4 + 1)));
    let reports = run(&mut scheduler, among.chain([score(0, "where is my card")]).collect());
    let find = |reports: &[Report]| {
        reports.iter().find_map(|report| match report {
            Report::Scored(scored) if scored.id == 0 => Some(scored.log_likelihoods.clone()),
            _ => None,
        })
    };
    let (alone, among) = (find(&alone).unwrap(), find(&reports).unwrap());
    for (alone, among) in alone.iter().zip(&among) {
        // Sums are taken in another order, and keys are kept in 16 bits.
        assert!((alone - among).abs() < 0.02, "{alone} and {among}");
    }
}

/// Something to go on from.
pub(super) fn a_text() -> Generate {
    Generate {
        id: 0,
        prompt: None,
        text: "the card".to_owned(),
        behind: None,
        most_tokens: 24,
        stop: vec![],
        sampling: Sampling::GREEDY,
        constraint: None,
        likeliest: 0,
        adapter: None,
        within_ms: 60_000,
    }
}

#[test]
fn a_text_is_written_and_the_same_seed_writes_the_same() {
    let generate = |id, sampling| Order::Generate(Generate { id, sampling, ..a_text() });
    let drawn = Sampling { temperature: 1.0, top_p: 0.9, seed: 5 };
    let mut scheduler = Scheduler::new(tiny(), 16);
    let orders = vec![generate(1, drawn), generate(2, drawn), generate(3, Sampling::GREEDY)];
    let reports = run(&mut scheduler, orders);
    let text = |wanted: u64| -> String {
        let own = reports.iter().filter_map(|report| match report {
            Report::Text { id, text } if *id == wanted => Some(text.as_str()),
            _ => None,
        });
        own.collect()
    };
    assert_eq!(text(1), text(2));
    assert_ne!(text(1), text(3));
    let ended = reports.iter().filter(|report| {
        matches!(report, Report::Ended { end: End::MostTokens | End::Model, written, .. } if !written.is_empty())
    });
    assert_eq!(ended.count(), 3, "{reports:?}");
}

#[test]
fn an_answer_under_a_schema_is_valid_whatever_the_model_knows() {
    let schema = r#"{
        "type": "object", "additionalProperties": false, "required": ["card", "count"],
        "properties": {"card": {"enum": ["the card", "Karte"]}, "count": {"type": "integer", "maximum": 99, "minimum": 0}}
    }"#;
    let order = |id| Generate {
        id,
        sampling: Sampling { temperature: 1.0, top_p: 1.0, seed: id },
        constraint: Some(Constraint::JsonSchema(schema.to_owned())),
        most_tokens: 60,
        ..a_text()
    };
    let mut scheduler = Scheduler::new(tiny(), 16);
    let reports = run(&mut scheduler, (0..5).map(|id| Order::Generate(order(id))).collect());
    for wanted in 0..5 {
        let text: String = reports
            .iter()
            .filter_map(|report| match report {
                Report::Text { id, text } if *id == wanted => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(["the card", "Karte"].map(Some).contains(&answer["card"].as_str()), "{text}");
        assert!(answer["count"].as_u64().is_some_and(|count| count < 100), "{text}");
        let ended = reports.iter().find_map(|report| match report {
            Report::Ended { id, end, written, .. } if *id == wanted => Some((*end, written)),
            _ => None,
        });
        let (end, written) = ended.unwrap();
        assert_eq!((end, written.iter().map(|token| token.bytes as usize).sum()), (End::Model, text.len()));
    }
}

#[test]
fn what_would_abort_is_refused() {
    let mut llama = tiny();
    let piece = Piece { token: 5, position: 0, sequences: vec![0], wanted: true };
    for (batch, why) in [
        (vec![], "a batch of 0 tokens"),
        (vec![piece.clone(); 513], "a batch of 513 tokens"),
        (vec![Piece { token: 320, ..piece.clone() }], "token 320 is none of the 320"),
        (vec![Piece { token: -1, ..piece.clone() }], "token -1 is none"),
        (vec![Piece { position: 512, ..piece.clone() }], "place 512"),
        (vec![Piece { sequences: vec![], ..piece.clone() }], "no sequence"),
        (vec![Piece { sequences: vec![500], ..piece.clone() }], "sequence 500"),
    ] {
        let error = llama.compute(&batch, None, &mut |_, _| ()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(llama.fork(0, 500, 1).is_err() && llama.forget(500).is_err());
    assert_eq!((llama.bytes(-3), llama.is_end(1 << 20)), (Vec::new(), false));
    let error = llama.compute(std::slice::from_ref(&piece), Some(0), &mut |_, _| ()).unwrap_err();
    assert_eq!(error, "adapter 0, and there are 0");
    llama.compute(&[piece], None, &mut |_, logits| assert_eq!(logits.len(), 320)).unwrap();
}

#[test]
fn a_text_that_is_too_long_is_refused_and_the_next_is_answered() {
    let mut scheduler = Scheduler::new(tiny(), 16);
    let reports = run(&mut scheduler, vec![prompt(), score(1, &"card ".repeat(600)), score(2, "card")]);
    assert!(
        matches!(&reports[..], [Report::Refused { id: 1, why: Refusal::TooLong { .. } }, Report::Scored(_)]),
        "{reports:?}"
    );
}

#[test]
fn tokens_and_their_bytes_are_the_text() {
    let llama = tiny();
    for text in ["the card", "ÄÖ 漢字 \u{1F600}", "a\0b", "</s><s>", ""] {
        let tokens = llama.tokens(text, false, false);
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| llama.bytes(*token)).collect();
        assert_eq!(String::from_utf8_lossy(&bytes).trim_start(), text);
    }
    assert_eq!(llama.tokens("a", true, false)[0], 1, "the beginning has a token of its own");
    assert!(llama.tokens("</s>", false, true).contains(&2));
    assert!(!llama.tokens("</s>", false, false).contains(&2), "not from a stranger");
}

#[test]
fn a_context_that_llama_cpp_would_abort_at_is_refused_and_the_least_one_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    Tiny::SMALLEST.write(&file, 3).unwrap();
    let of = |context| Llama::load(&Load { context, ..load(file.clone()) });
    for context in [0, 1, 64, 191, 255] {
        let error = of(context).map(|_| ()).unwrap_err();
        assert!(error.ends_with(&format!("a context of {context} tokens: 256 is the least")), "{error}");
    }
    let (mut llama, _) = of(256).unwrap();
    let piece = |position| Piece { token: 5, position, sequences: vec![0], wanted: false };
    let error = llama.compute(&vec![piece(0); 257], None, &mut |_, _| ()).unwrap_err();
    assert_eq!(error, "a batch of 257 tokens, and 1 to 256 can be");
    llama.compute(&(0..256).map(piece).collect::<Vec<_>>(), None, &mut |_, _| ()).unwrap();
}

#[test]
fn texts_of_nothing_and_of_special_tokens_only_are_answered_or_refused() {
    let mut scheduler = Scheduler::new(tiny(), 16);
    let generate =
        |id, text: &str| Order::Generate(Generate { id, text: text.to_owned(), most_tokens: 3, ..a_text() });
    let special = ["<s></s><s>", "</s>", "<unk>"];
    let orders = (0..).zip(special).map(|(id, text)| generate(id, text));
    let reports = run(&mut scheduler, orders.chain([prompt(), score(9, "</s><s>"), score(10, "")]).collect());
    let ended = reports.iter().filter(|report| matches!(report, Report::Ended { .. } | Report::Scored(_)));
    assert_eq!(ended.count(), 5, "{reports:?}");
}

#[test]
fn a_model_without_a_token_for_the_beginning_refuses_an_empty_text() {
    let bare = llama(|file| {
        let mut metadata = Tiny::SMALLEST.metadata();
        metadata.push(("tokenizer.ggml.add_bos_token".to_owned(), crate::gguf::Value::Bool(false)));
        metadata.push(("tokenizer.ggml.add_space_prefix".to_owned(), crate::gguf::Value::Bool(false)));
        let tensors = Tiny::SMALLEST.tensors(3);
        crate::gguf::write::write(std::fs::File::create(file).unwrap(), &metadata, &tensors).unwrap();
    });
    let mut scheduler = Scheduler::new(bare, 16);
    let empty = Order::Generate(Generate { id: 1, text: String::new(), ..a_text() });
    let Order::Prompt(prompt) = prompt() else { unreachable!() };
    let reports = run(&mut scheduler, vec![empty, Order::Prompt(Prompt { before: String::new(), ..prompt })]);
    // A prompt is told of when it comes, a text when it is its turn.
    let bad = |why: &str| Refusal::Bad(why.to_owned());
    let told = Report::NoPrompt { prompt: 1, why: bad("nothing stands before the text") };
    assert!(reports.contains(&told), "{reports:?}");
    let told = Report::Refused { id: 1, why: bad("an empty text has nothing that could follow it") };
    assert!(reports.contains(&told), "{reports:?}");
}

#[test]
fn an_adapter_that_doesnt_fit_is_refused_before_llama_cpp_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    Tiny::SMALLEST.write(&file, 3).unwrap();
    let error =
        Llama::load(&Load { adapters: vec![file.clone()], ..load(file.clone()) }).map(|_| ()).unwrap_err();
    assert!(
        error.contains("model.gguf doesn't fit the model: `general.type` is ``, and should be `adapter`"),
        "{error}"
    );
    let none = folder.path().join("none.gguf");
    let error = Llama::load(&Load { adapters: vec![none], ..load(file) }).map(|_| ()).unwrap_err();
    assert!(error.contains("none.gguf can't be read: No such file"), "{error}");
}

#[test]
fn what_is_no_model_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    // Whole, but one tensor short: only llama.cpp knows which tensors an architecture has.
    let mut tensors = Tiny::SMALLEST.tensors(1);
    tensors.retain(|tensor| tensor.name != "blk.1.ffn_up.weight");
    crate::gguf::write::write(std::fs::File::create(&file).unwrap(), &Tiny::SMALLEST.metadata(), &tensors)
        .unwrap();
    let error = Llama::load(&load(file)).map(|_| ()).unwrap_err();
    assert!(error.contains("was refused by llama.cpp") && error.contains("ffn_up"), "{error}");
}
