//! A file of answers in the place of a model.

use std::io::Write;

use futures::StreamExt;
use sprat_task::model::{NoReply, WireRequest};
use sprat_task::{ModelError, Money};
use sprat_wire::openai::chat::{ChunkAccumulator, StreamData, parse_stream_data};

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().prefix("answers").suffix(".jsonl").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn try_replay(text: &str) -> Result<RemoteModel, String> {
    let file = file(text);
    let config = RemoteConfig::new(Provider::Replay { path: file.path().into() }, "gpt-4o");
    RemoteModel::open("large".into(), config, &PriceTable::built_in().unwrap(), Arc::new(NoExamples))
        .map_err(|problem| problem.to_string())
}

fn replay(text: &str) -> RemoteModel {
    try_replay(text).unwrap()
}

const TWO: &str = concat!(
    r#"{"provenance": "recorded"}"#,
    "\n",
    r#"{"text": "money back", "answer": "refund", "input_tokens": 100, "output_tokens": 10, "cost_micro_usd": 7, "latency_ms": 1250.5}"#,
    "\n\n",
    r#"{"input_sha256": "82E35A63CEBA37E9646434C5DD412EA577147F1E4A41CCDE1614253187E3DBF9", "answer": "Billing", "input_tokens": 100, "output_tokens": 10}"#,
    "\n",
);

#[tokio::test]
async fn answers_come_with_what_they_cost_and_took_then() {
    let model = replay(TWO);
    assert_eq!(model.provenance(), Provenance::Recorded);
    // The second line is known by the hash of `goodbye`.
    let attempts = ask(&model, &["money back", "goodbye", "never seen"]).await;
    assert_eq!(attempts[0].usage.cost, Some(Money::from_micro(7)));
    assert_eq!(attempts[0].latency, Duration::from_micros(1_250_500));
    // Without a cost in the file, gpt-4o's price: 100 tokens at $2.50 and 10 at $10 per million.
    assert_eq!(attempts[1].usage.cost, Some(Money::from_micro(250 + 100)));
    let missing = "unavailable: the file of answers has none for this input (2 in all)".to_owned();
    assert_eq!(lines(&attempts), [Ok("refund".to_owned()), Ok("billing".to_owned()), Err(missing)]);
}

#[tokio::test]
async fn an_answer_of_the_file_is_no_more_trusted_than_a_models() {
    let model = replay(r#"{"text": "x", "answer": "refnud", "cost_micro_usd": 3, "provenance": "authored"}"#);
    let attempts = ask(&model, &["x"]).await;
    assert_eq!(lines(&attempts), [Err("the answer is not one of this task's: `refnud`".to_owned())]);
    assert_eq!(attempts[0].usage.cost, Some(Money::from_micro(3)));
    assert_eq!(model.provenance(), Provenance::Authored);
}

#[tokio::test]
async fn several_labels_are_a_list_and_what_is_not_said_is_unknown() {
    let model = replay(r#"{"text": "x", "answer": ["refund", "billing"], "provenance": "simulated"}"#);
    let inputs = [Input::new("x")];
    let attempts = model.predict(&within(PATIENCE), &task_of("multi = true"), &inputs).await;
    assert_eq!(line(&attempts[0]).as_deref(), Ok("billing|refund"));
    assert_eq!(attempts[0].usage, Usage::UNKNOWN);
}

#[test]
fn the_weakest_provenance_speaks_for_the_file() {
    let mixed = "{\"text\": \"a\", \"answer\": \"x\", \"provenance\": \"recorded\"}\n{\"text\": \"b\", \"answer\": \"x\", \"provenance\": \"authored\"}";
    assert_eq!(replay(mixed).provenance(), Provenance::Authored);
}

#[test]
fn a_quote_is_the_sum_of_the_file_and_says_what_is_missing() {
    let quote = replay(TWO).quote(&task(), &[Input::new("money back"), Input::new("never seen")]);
    assert_eq!((quote.calls, quote.cost_estimate), (1, Some(Money::from_micro(7))));
    assert_eq!(quote.basis, Basis::File { missing: 1 });
}

#[test]
fn every_fault_has_its_file_and_line() {
    let two = |second: &str| {
        format!("{{\"text\": \"a\", \"answer\": \"x\", \"provenance\": \"recorded\"}}\n{second}")
    };
    let rows = [
        (String::new(), "holds no answers", ".jsonl\n"),
        ("{\"provenance\": \"authored\"}\n".into(), "holds no answers", ".jsonl\n"),
        (two("{\"text\": \"b\""), "not a line of answers", ".jsonl:2:"),
        (two("{\"text\": \"b\", \"answer\": \"x\", \"cost\": 3}"), "unknown field `cost`", ".jsonl:2:"),
        (
            two("{\"text\": \"b\", \"answer\": \"x\"}"),
            "doesn't say where its answer comes from",
            ".jsonl:2\n",
        ),
        (
            two("{\"text\": \"a\", \"answer\": \"y\", \"provenance\": \"recorded\"}"),
            "line 1 answers the same input otherwise",
            ".jsonl:2",
        ),
        (two("{\"answer\": \"y\", \"provenance\": \"recorded\"}"), "`text` is missing", ".jsonl:2"),
        (
            two("{\"input_sha256\": \"zz\", \"answer\": \"y\", \"provenance\": \"recorded\"}"),
            "64 hexadecimal digits",
            ".jsonl:2",
        ),
        (
            two("{\"text\": \"b\", \"answer\": 5, \"provenance\": \"recorded\"}"),
            "`answer` must be",
            ".jsonl:2",
        ),
        (
            two("{\"text\": \"b\", \"answer\": \"x\", \"provenance\": \"measured\"}"),
            "not measured here",
            ".jsonl:2",
        ),
        (
            two("{\"text\": \"b\", \"answer\": \"x\", \"provenance\": \"recorded\", \"latency_ms\": -1}"),
            "`latency_ms`",
            ".jsonl:2",
        ),
        (
            two("{\"text\": \"b\", \"answer\": \"x\", \"provenance\": \"recorded\", \"cost_micro_usd\": -1}"),
            "`cost_micro_usd`",
            ".jsonl:2",
        ),
    ];
    for (text, said, place) in rows {
        let problem = try_replay(&text).expect_err(&text);
        assert!(problem.contains(said) && format!("{problem}\n").contains(place), "{problem}");
    }
    let nowhere = RemoteConfig::new(Provider::Replay { path: "no/such/file.jsonl".into() }, "m");
    let problem =
        RemoteModel::open("m".into(), nowhere, &PriceTable::empty(), Arc::new(NoExamples)).unwrap_err();
    assert!(problem.to_string().contains("--> no/such/file.jsonl"), "{problem}");
}

#[test]
fn the_same_answer_twice_is_no_fault_and_a_mark_at_the_beginning_is_not_seen() {
    let line = "{\"text\": \"a\", \"answer\": \"x\", \"provenance\": \"recorded\"}\r\n";
    assert!(try_replay(&format!("\u{feff}{line}{line}")).is_ok());
}

#[tokio::test]
async fn a_hundred_thousand_answers_are_found_again() {
    let mut text = String::from("{\"provenance\": \"authored\"}\n");
    for number in 0..100_000 {
        text.push_str(&format!(
            "{{\"text\": \"text {number}\", \"answer\": \"{}\"}}\n",
            ["refund", "billing"][number % 2]
        ));
    }
    let model = replay(&text);
    let attempts = ask(&model, &["text 0", "text 99999"]).await;
    assert_eq!(lines(&attempts), [Ok("refund".to_owned()), Ok("billing".to_owned())]);
    assert_ne!(model.prompt_hash(&task()), replay(TWO).prompt_hash(&task()), "other answers, other model");
}

#[tokio::test(start_paused = true)]
async fn it_waits_as_long_as_the_model_did_only_when_asked_to() {
    let file = file(TWO);
    for (waits, waited) in [(false, 0), (true, 1)] {
        let mut config = RemoteConfig::new(Provider::Replay { path: file.path().into() }, "m");
        config.replay_waits = waits;
        let model = open(config);
        let begun = tokio::time::Instant::now();
        ask(&model, &["money back"]).await;
        assert_eq!(begun.elapsed().as_secs(), waited, "{waits}");
    }
}

#[tokio::test]
async fn as_an_upstream_it_speaks_chat_whole_and_in_pieces() {
    let model = replay(TWO);
    let request = |stream: bool, text: &str| WireRequest {
        path: "/chat/completions".into(),
        headers: Vec::new(),
        body: json!({
            "model": "m", "stream": stream, "stream_options": {"include_usage": true},
            "messages": [{"role": "system", "content": "sort"}, {"role": "user", "content": text}],
        })
        .to_string()
        .into_bytes(),
    };
    let cx = within(PATIENCE);
    let whole = model.send(&cx, request(false, "money back")).await.unwrap();
    assert!(whole.headers.contains(&("x-sprat-provenance".into(), "recorded".into())));
    let body: Vec<u8> = whole.body.map(Result::unwrap).concat().await;
    let reply: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(reply["choices"][0]["message"]["content"], "refund");

    let pieces = model.send(&cx, request(true, "money back")).await.unwrap();
    let mut whole = ChunkAccumulator::new();
    let text = String::from_utf8(pieces.body.map(Result::unwrap).concat().await).unwrap();
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if let Ok(StreamData::Chunk(chunk)) = parse_stream_data(data) {
            whole.push(&chunk);
        }
    }
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!((whole.text(0), whole.usage().unwrap().prompt_tokens), (Some("refund"), Some(100)));
    assert!(matches!(
        model.send(&cx, request(false, "never")).await,
        Err(NoReply { error: ModelError::Unavailable(_), unknown_cost: false })
    ));
}
