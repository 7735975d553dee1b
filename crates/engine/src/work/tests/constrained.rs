//! Is every answer under a constraint what was asked for? Over logits drawn by lot: a model that knows nothing, and so takes
//! every way that is open.

use serde::Deserialize;
use serde_json::Value;

use super::super::constrain::Constraints;
use super::super::generate::{Start, Writing};
use super::*;
use crate::protocol::Constraint;

const SCHEMA: &str = r##"{
    "type": "object",
    "additionalProperties": false,
    "required": ["name", "kind", "amount", "count", "note", "lines", "is_paid"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "kind": {"enum": ["refund", "the \"other\"\nkind", "Größe", "返金"]},
        "amount": {"type": "number", "minimum": -5, "maximum": 1000},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "note": {"type": ["string", "null"], "maxLength": 6},
        "lines": {
            "type": "array", "minItems": 1, "maxItems": 3,
            "items": {"$ref": "#/$defs/line"}
        },
        "is_paid": {"type": "boolean"}
    },
    "$defs": {
        "line": {
            "type": "object", "additionalProperties": false, "required": ["sku"],
            "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{2}[0-9]$"}, "price": {"enum": [1, 2.5]}}
        }
    }
}"##;

/// What the schema says, once more, in Rust: unknown, missing and mistyped fields can't be read into it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    name: String,
    kind: String,
    amount: f64,
    count: u8,
    note: Value,
    lines: Vec<Line>,
    #[serde(rename = "is_paid")]
    _is_paid: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sku: String,
    price: Option<f64>,
}

fn check(text: &str) {
    let answer: Answer = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let letters = |text: &str| text.chars().count();
    assert!((1..=12).contains(&letters(&answer.name)), "{text}");
    assert!(["refund", "the \"other\"\nkind", "Größe", "返金"].contains(&answer.kind.as_str()), "{text}");
    assert!((-5.0..=1_000.0).contains(&answer.amount) && answer.count <= 99, "{text}");
    assert!(answer.note.is_null() || answer.note.as_str().is_some_and(|note| letters(note) <= 6), "{text}");
    assert!((1..=3).contains(&answer.lines.len()), "{text}");
    for line in &answer.lines {
        let sku = line.sku.as_bytes();
        assert!(
            sku.len() == 3 && sku[..2].iter().all(u8::is_ascii_uppercase) && sku[2].is_ascii_digit(),
            "{text}"
        );
        assert!(line.price.is_none_or(|price| price == 1.0 || price == 2.5), "{text}");
    }
}

/// What is written where each token's logits are drawn by lot, and how it ended.
fn drawn(constraints: &mut Constraints, constraint: &Constraint, seed: u64, most: u32) -> (String, End) {
    let grammar = constraints.begin(constraint).unwrap();
    let order = generate(seed, "text", most);
    let start = Start { before: 0, text: &[1], known: 0, room: most as usize + 1, sequence: 0 };
    let (mut writing, _) = Writing::begin(&order, &start, Some(grammar));
    let network = Reckoning::new(0, 0);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = String::new();
    loop {
        let logits: Vec<f32> = (0..VOCABULARY).map(|_| random.f32() * 4.0).collect();
        let (reports, piece) = writing.hear(&logits, &network).unwrap();
        for report in reports {
            match report {
                Report::Text { text: piece, .. } => text += &piece,
                Report::Ended { end, .. } => return (text, end),
                other => panic!("{other:?}"),
            }
        }
        assert!(piece.is_some(), "it neither ended nor goes on: {text}");
    }
}

fn schema(text: &str) -> Constraint {
    Constraint::JsonSchema(text.to_owned())
}

fn regex(text: &str) -> Constraint {
    Constraint::Regex(text.to_owned())
}

#[test]
fn every_answer_that_is_finished_is_valid_under_its_schema() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    let schema = schema(SCHEMA);
    let (mut finished, mut beyond_ascii, mut escaped) = (0, 0, 0);
    for seed in 0..150 {
        match drawn(&mut constraints, &schema, seed, 1_000) {
            (text, End::Model) => {
                check(&text);
                finished += 1;
                beyond_ascii += u32::from(!text.is_ascii());
                escaped += u32::from(text.contains('\\'));
            }
            (text, end) => assert_eq!(end, End::MostTokens, "{text}"),
        }
    }
    assert!(finished > 120 && beyond_ascii > 20 && escaped > 20, "{finished} {beyond_ascii} {escaped}");
}

#[test]
fn a_schema_that_asks_for_nothing_gets_any_json_and_one_for_a_number_a_number() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    for (text, is_it) in [
        ("true", (|_| true) as fn(&Value) -> bool),
        ("{}", |_| true),
        (r#"{"type": "object"}"#, Value::is_object),
        (r#"{"type": "integer", "minimum": -20, "maximum": 300}"#, |value| {
            value.as_i64().is_some_and(|number| (-20..=300).contains(&number))
        }),
        (r#"{"const": {"a": [1, null]}}"#, |value| *value == serde_json::json!({"a": [1, null]})),
        (r#"{"anyOf": [{"type": "boolean"}, {"const": "ja"}]}"#, |value| value.is_boolean() || value == "ja"),
        // Options of llguidance's are taken out.
        (r#"{"type": "boolean", "x-guidance": {"whitespace_pattern": "never"}}"#, Value::is_boolean),
    ] {
        let finished = (0..30).map(|seed| drawn(&mut constraints, &schema(text), seed, 400));
        let finished: Vec<String> =
            finished.filter(|(_, end)| *end == End::Model).map(|(text, _)| text).collect();
        assert!(finished.len() > 5, "{text}: {}", finished.len());
        for answer in finished {
            // A number of a thousand digits is JSON, and nothing that can be read.
            match serde_json::from_str(&answer) {
                Ok(value) => assert!(is_it(&value), "{text}: {answer}"),
                Err(error) => assert!(error.to_string().contains("number out of range"), "{text}: {answer}"),
            }
        }
    }
}

#[test]
fn an_answer_matches_its_expression_from_its_beginning_to_its_end() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    let expression = regex(r"(ja|nein), [a-c]{2}/\d{1,3}ö?");
    for seed in 0..60 {
        let (text, end) = drawn(&mut constraints, &expression, seed, 100);
        assert_eq!(end, End::Model, "{text}");
        let rest = text.strip_prefix("ja, ").or_else(|| text.strip_prefix("nein, "));
        let (letters, digits) = rest.and_then(|rest| rest.split_once('/')).expect("a slash");
        assert!(letters.len() == 2 && letters.chars().all(|letter| ('a'..='c').contains(&letter)), "{text}");
        let digits = digits.strip_suffix('ö').unwrap_or(digits);
        assert!((1..=3).contains(&digits.chars().count()) && digits.chars().all(char::is_numeric), "{text}");
    }
}

#[test]
fn the_model_ends_only_where_its_answer_may_be_over() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    let network = Reckoning::new(0, 0);
    let mut wants_to_end = vec![0.0; VOCABULARY];
    wants_to_end[END as usize] = 9.0;
    for (expression, expected) in [("a+", "a"), ("(ab)*", ""), ("abc", "abc")] {
        let grammar = constraints.begin(&regex(expression)).unwrap();
        let greedy = Generate { sampling: Sampling::GREEDY, ..generate(1, "", 9) };
        let start = Start { before: 0, text: &[1], known: 0, room: 10, sequence: 0 };
        let (mut writing, _) = Writing::begin(&greedy, &start, Some(grammar));
        let mut reports = Vec::new();
        while !matches!(reports.last(), Some(Report::Ended { .. })) {
            reports.extend(writing.hear(&wants_to_end, &network).unwrap().0);
        }
        let (text, end) = written(&reports, 1);
        assert_eq!((text.as_str(), end.map(|(end, _)| end)), (expected, Some(End::Model)), "{expression}");
    }
}

#[test]
fn a_constraint_is_a_matter_of_choice_and_changes_nothing_of_what_the_model_thought() {
    let mut scheduler = Scheduler::new(Reckoning::new(300, 32), 10);
    let bound = Generate { constraint: Some(regex("abc")), ..generate(1, "text", 9) };
    let free = generate(2, "text", 9);
    let alone = run(&mut Scheduler::new(Reckoning::new(300, 32), 10), vec![Order::Generate(free.clone())]);
    let reports = run(&mut scheduler, vec![Order::Generate(bound), Order::Generate(free)]);
    assert_eq!(written(&reports, 1), ("abc".to_owned(), Some((End::Model, 3))));
    assert_eq!(written(&reports, 2), written(&alone, 2), "beside a constraint is without one");
    let thought: f32 = reports
        .iter()
        .filter_map(|report| match report {
            Report::Ended { id: 1, written, .. } => {
                Some(written.iter().map(|token| token.log_probability).sum::<f32>())
            }
            _ => None,
        })
        .sum();
    assert!((thought - by_hand("", "text", "", "abc")).abs() < 1e-3, "{thought}");
}

#[test]
fn an_answer_that_runs_out_of_tokens_says_so_and_is_left_as_it_is() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    assert_eq!(drawn(&mut constraints, &regex("abcdef"), 1, 3), ("abc".to_owned(), End::MostTokens));
}

#[test]
fn a_constraint_that_cant_be_used_is_refused_with_its_reason_and_the_next_is_answered() {
    let long = format!(r#"{{"title": "{}"}}"#, "x".repeat(70_000));
    for (constraint, expected) in [
        (schema("{"), "the schema is no JSON: EOF while parsing an object at line 1 column 1"),
        (schema("7"), "the schema can't be used: schema must be an object or boolean"),
        (schema(r#"{"type": "strnig"}"#), "the schema can't be used: Invalid type: strnig"),
        (schema("false"), "the schema can't be used: Unsatisfiable schema"),
        (
            schema(r#"{"type": "object", "required": ["a"], "properties": {"a": false}}"#),
            "the schema can't be used: Unsatisfiable schema: required property 'a' is unsatisfiable",
        ),
        (
            schema(r#"{"type": "string", "minLength": 3, "maxLength": 1}"#),
            "the schema can't be used: Unsatisfiable",
        ),
        (schema(r##"{"$ref": "#/$defs/none"}"##), "the schema can't be used: Reference segment"),
        (
            schema(r#"{"type": "object", "unevaluatedProperties": false}"#),
            r#"the schema can't be used: Unimplemented keys: ["unevaluatedProperties"]"#,
        ),
        (schema(&long), "the schema has 70013 bytes, and 65536 is the most"),
        (regex("("), "the regular expression can't be used: unclosed group"),
        (regex(r"[^\s\S]"), "the regular expression can't be used: nothing meets it"),
    ] {
        let mut scheduler = Scheduler::new(Reckoning::new(100, 32), 10);
        let bad = Generate { constraint: Some(constraint.clone()), ..generate(1, "text", 4) };
        let good = Generate { constraint: Some(regex("ok")), ..generate(2, "text", 4) };
        let reports = run(&mut scheduler, vec![Order::Generate(bad), Order::Generate(good)]);
        match &reports[0] {
            Report::Refused { id: 1, why: Refusal::Bad(why) } => assert!(why.starts_with(expected), "{why}"),
            other => panic!("{constraint:?}: {other:?}"),
        }
        assert_eq!(written(&reports, 2).0, "ok");
    }
}

#[test]
fn grammars_are_made_once_and_only_the_last_ones_are_kept() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    let counted = |number: u32| regex(&format!("answer {number}"));
    for number in [1, 2, 1, 1, 2] {
        constraints.begin(&counted(number)).map(drop).unwrap();
    }
    assert_eq!(constraints.kept(), [&counted(1), &counted(2)]);
    (3..40).for_each(|number| constraints.begin(&counted(number)).map(drop).unwrap());
    assert_eq!(constraints.kept().len(), 8);
    assert_eq!(drawn(&mut constraints, &counted(1), 0, 20).0, "answer 1");
}

#[test]
fn a_grammar_that_breaks_says_so_and_isnt_used_again() {
    let mut constraints = Constraints::of(&Reckoning::new(0, 0)).unwrap();
    let mut grammar = constraints.begin(&regex("abc")).unwrap();
    for token in [Token::from(b'z') + 3, -1, Token::MAX] {
        assert!(grammar.take(token).is_err(), "{token}");
    }
    let mut logits = vec![0.0; VOCABULARY];
    let error = grammar.rule_out(&mut logits).unwrap_err();
    assert!(error.starts_with("the constraint can't be followed any further: "), "{error}");
    constraints.begin(&regex("xyz")).map(drop).unwrap();
    assert_eq!(constraints.kept(), [&regex("xyz")], "the broken one is gone");
    assert_eq!(drawn(&mut constraints, &regex("abc"), 1, 9).0, "abc");
}
