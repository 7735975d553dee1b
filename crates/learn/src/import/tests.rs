use super::*;
use sprat_task::Money;

/// What a sink got.
#[derive(Default)]
struct Kept {
    calls: Vec<Found>,
    rejected: Vec<Rejected>,
}

impl Sink for Kept {
    type Error = std::convert::Infallible;

    fn keep(&mut self, found: Found) -> Result<(), Self::Error> {
        self.calls.push(found);
        Ok(())
    }

    fn reject(&mut self, rejected: Rejected) -> Result<(), Self::Error> {
        self.rejected.push(rejected);
        Ok(())
    }
}

/// $1 per million tokens in, $10 out; half of it in a batch.
fn price(model: &str) -> Option<Price> {
    model.starts_with("gpt").then_some(Price {
        input: 1_000_000,
        output: 10_000_000,
        cached_input: Some(100_000),
        cache_write: None,
        batch_input: Some(500_000),
        batch_output: Some(5_000_000),
    })
}

const IMPORTING: Importing<'static> = Importing { price: &price, progress: &|_| ControlFlow::Continue(()) };

fn read(logs: &[(&str, &[u8])]) -> (Kept, Imported) {
    let logs: Vec<LogText> = logs.iter().map(|(name, bytes)| LogText::new(*name, *bytes)).collect();
    let logs: Vec<&dyn Log> = logs.iter().map(|log| log as &dyn Log).collect();
    let mut kept = Kept::default();
    let counts = import(&logs, &IMPORTING, &mut kept).expect("a sink in memory never fails");
    (kept, counts)
}

/// The reasons of lines that can't be read, each with its line.
fn reasons(bytes: &[u8]) -> Vec<(u64, String)> {
    let (kept, _) = read(&[("a.jsonl", bytes)]);
    kept.rejected.into_iter().map(|rejected| (rejected.line, rejected.reason)).collect()
}

const CALL: &str = r#"{"request":{"model":"gpt-5","messages":[{"role":"system","content":"Route."},{"role":"user","content":"hi"}]},"response":{"model":"gpt-5","choices":[{"message":{"role":"assistant","content":"a"}}],"usage":{"prompt_tokens":1000,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":500}}}}"#;
const FAILED: &str = r#"{"request":{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]},"response":{"error":{"message":"overloaded"}}}"#;
const UNANSWERED: &str = r#"{"model":"local-llm","messages":[{"role":"user","content":"hi"}]}"#;

fn asked(id: &str) -> String {
    format!(
        r#"{{"custom_id":"{id}","method":"POST","url":"/v1/chat/completions","body":{{"model":"gpt-5","messages":[{{"role":"user","content":"text {id}"}}]}}}}"#
    )
}

fn answered(id: &str) -> String {
    format!(
        r#"{{"id":"r-{id}","custom_id":"{id}","response":{{"status_code":200,"body":{{"model":"gpt-5","choices":[{{"message":{{"role":"assistant","content":"answer {id}"}}}}],"usage":{{"prompt_tokens":1000,"completion_tokens":10}}}}}},"error":null}}"#
    )
}

#[test]
fn calls_are_counted_and_priced_from_their_tokens() {
    let log = format!("{CALL}\n{FAILED}\n\n{UNANSWERED}\n");
    let (kept, counts) = read(&[("a.jsonl", log.as_bytes())]);
    let expected = Imported {
        lines: 3,
        calls: 3,
        failed: 1,
        unanswered: 1,
        without_cost: 2,
        unpriced_models: [("local-llm".to_owned(), 1)].into(),
        ..Imported::default()
    };
    assert_eq!(counts, expected);
    let call = &kept.calls[0].call;
    assert_eq!(
        (call.system_prompt().as_deref(), call.last_user_text().as_deref()),
        (Some("Route."), Some("hi"))
    );
    // 500 tokens at $1, 500 cached at $0.10, 10 out at $10 per million.
    assert_eq!(
        (call.cost, call.cost_basis),
        (Some(Money::from_micro(500 + 50 + 100)), Some(CostBasis::PriceTable))
    );
    assert_eq!(kept.calls.iter().map(|found| found.line).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn what_the_log_says_of_a_cost_comes_before_the_price_table() {
    let log = CALL.replacen('{', r#"{"cost_usd":0.002,"#, 1);
    let (kept, _) = read(&[("a.jsonl", log.as_bytes())]);
    let call = &kept.calls[0].call;
    assert_eq!((call.cost, call.cost_basis), (Some(Money::from_micro(2_000)), Some(CostBasis::Log)));
}

#[test]
fn a_line_that_cant_be_read_is_handed_back_whole_with_its_place() {
    let torn = &CALL[..CALL.len() - 20];
    for (log, line, reason) in [
        (format!("{CALL}\n{torn}").into_bytes(), 2, "the line breaks off"),
        (format!("{torn}\n{CALL}").into_bytes(), 1, "not JSON"),
        (format!("{CALL}\n[1, 2]\n").into_bytes(), 2, "the line is an array"),
        (b"\xff\xfe\n".to_vec(), 1, "column 1: not UTF-8"),
        (br#"{"time": 1}"#.to_vec(), 1, "no prompt; the line has"),
        (format!("{}\n", answered("x")).into_bytes(), 1, "`x` is answered here, but nothing asks it"),
        (asked("x").into_bytes(), 1, "`x` is asked here, but nothing answers it"),
    ] {
        let found = reasons(&log);
        let text = String::from_utf8_lossy(&log);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].0, line, "{text}");
        assert!(found[0].1.contains(reason), "{text}: {found:?}");
        let (kept, counts) = read(&[("a.jsonl", &log)]);
        let whole = log.split(|byte| *byte == b'\n').nth(line as usize - 1).expect("there is such a line");
        assert_eq!(kept.rejected[0].bytes, whole);
        assert_eq!(counts.lines, counts.calls + counts.rejected);
    }
    let (kept, _) = read(&[("a.jsonl", b"{}")]);
    let said = kept.rejected[0].problem().to_string();
    assert!(said.starts_with("error: this line records no call: no prompt"), "{said}");
    assert!(said.contains("--> a.jsonl:1"), "{said}");
}

#[test]
fn the_two_files_of_a_batch_make_calls_in_any_order_at_the_batch_price() {
    let ids: Vec<String> = (0..30).map(|number| format!("row-{number}")).collect();
    let input: String = ids.iter().map(|id| asked(id) + "\n").collect();
    let output: String = ids.iter().rev().map(|id| answered(id) + "\r\n").collect();
    let (input, output) = (("input.jsonl", input.as_bytes()), ("output.jsonl", output.as_bytes()));
    let contents = |logs: &[(&str, &[u8])]| {
        let (kept, counts) = read(logs);
        assert_eq!((counts.calls, counts.from_batches, counts.rejected), (30, 30, 0));
        for found in &kept.calls {
            let (text, answer) = (found.call.last_user_text(), found.call.answer.clone());
            assert_eq!(text.map(|text| text.replace("text", "answer")), answer);
            assert_eq!(found.call.cost, Some(Money::from_micro(500 + 50)));
        }
        let mut contents: Vec<Sha256Hex> = kept.calls.into_iter().map(|found| found.content).collect();
        contents.sort();
        contents
    };
    assert_eq!(contents(&[input, output]), contents(&[output, input]));
}

#[test]
fn a_batch_that_names_two_lines_alike_is_not_guessed_at() {
    let log = format!("{}\n{}\n{}\n", asked("x"), asked("x").replace("text x", "other"), answered("x"));
    let (kept, counts) = read(&[("a.jsonl", log.as_bytes())]);
    assert_eq!((counts.calls, counts.rejected), (1, 1));
    assert!(kept.rejected[0].reason.contains("stands in a.jsonl:1 too"), "{:?}", kept.rejected[0]);
}

#[test]
fn the_same_file_gives_the_same_digests_and_a_repeated_question_its_own() {
    let with_id = CALL.replacen('{', r#"{"id":"c1","#, 1);
    let digests = |log: &str| {
        let (kept, _) = read(&[("a.jsonl", log.as_bytes())]);
        kept.calls.into_iter().map(|found| found.content).collect::<Vec<_>>()
    };
    let log = format!("{CALL}\n{CALL}\n{with_id}\n{with_id}\n");
    let once = digests(&log);
    assert_eq!(once, digests(&log));
    assert_ne!(once[0], once[1], "two lines without an id are two calls");
    assert_eq!(once[2], once[3], "an id names one call");
    let both = read(&[("a.jsonl", log.as_bytes()), ("copy.jsonl", log.as_bytes())]).0;
    assert_eq!(
        both.calls.iter().map(|found| found.content.clone()).collect::<Vec<_>>(),
        [once.clone(), once].concat()
    );
}

#[test]
fn somebody_who_asks_to_stop_is_obeyed() {
    let log = LogText::new("a.jsonl", CALL);
    let importing = Importing { price: &price, progress: &|_| ControlFlow::Break(()) };
    let stopped = import(&[&log], &importing, &mut Kept::default());
    assert!(matches!(stopped, Err(ImportError::Stopped)));
}

#[test]
fn a_log_that_cant_be_opened_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().join("gone.jsonl"), folder.path().to_owned()] {
        let log = LogFile::new(&path);
        let Err(ImportError::Log(problem)) = import(&[&log], &IMPORTING, &mut Kept::default()) else {
            panic!("{} can't be read", path.display())
        };
        assert!(problem.message.contains(log.name()), "{problem}");
    }
}

#[test]
fn a_store_knows_what_was_imported_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, format!("{CALL}\n{CALL}\nnonsense\n{FAILED}\n")).expect("written");
    let store =
        sprat_store::Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).expect("opens");
    let log = LogFile::new(&path);
    let mut rejected = Vec::new();
    let mut again = || {
        import_into(&store, &[&log], &IMPORTING, 7, &mut |line| rejected.push(line.bytes)).expect("imports")
    };
    let (first, second) = (again(), again());
    assert_eq!((first.added, first.known), (3, 0));
    assert_eq!((second.added, second.known), (0, 3));
    assert_eq!(rejected, [b"nonsense".to_vec(), b"nonsense".to_vec()]);
    let calls: Vec<Call> =
        stored_calls(&store, &Default::default()).collect::<Result<_, _>>().expect("readable");
    let (kept, _) = read(&[("log.jsonl", &std::fs::read(&path).expect("readable"))]);
    assert_eq!(calls, kept.calls.into_iter().map(|found| found.call).collect::<Vec<_>>());
}
