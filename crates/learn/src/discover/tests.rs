mod log;

use std::ops::ControlFlow;

use sprat_task::task::InputRule;
use sprat_task::{Answer, Kind, Money, Price, Source, Task, read_task};

use super::*;
use crate::import::{Found, Importing, LogText, Rejected, Sink, import};
use crate::rows::{ReadOptions, read_labelled};
use log::{HELPFUL, Maker, REVIEW, TRIAGE, mixed};

/// The calls of a log; a model costs `scale` thousandths of $10 per million tokens in and $30 out.
fn imported(lines: &str, scale: u64) -> Vec<Call> {
    struct Calls(Vec<Call>);
    impl Sink for Calls {
        type Error = std::convert::Infallible;
        fn keep(&mut self, found: Found) -> Result<(), Self::Error> {
            self.0.push(found.call);
            Ok(())
        }
        fn reject(&mut self, rejected: Rejected) -> Result<(), Self::Error> {
            panic!("{}", rejected.problem())
        }
    }
    let price = Price {
        input: 10_000 * scale,
        output: 30_000 * scale,
        cached_input: None,
        cache_write: None,
        batch_input: None,
        batch_output: None,
    };
    let importing = Importing { price: &|_| Some(price), progress: &|_| ControlFlow::Continue(()) };
    let mut calls = Calls(Vec::new());
    import(&[&LogText::new("log.jsonl", lines)], &importing, &mut calls)
        .expect("a sink in memory never fails");
    calls.0
}

fn found_in(make: impl FnOnce(&mut Maker)) -> Discovery {
    let mut log = Maker::new();
    make(&mut log);
    discover(&log.calls(false))
}

#[test]
fn seven_sorts_of_work_are_told_apart_in_a_mixed_log() {
    let calls = mixed().calls(false);
    let found = discover(&calls);
    let pattern =
        |before: &str, after: &str| InputRule::Pattern { before: before.into(), after: after.into() };
    let whole = InputRule::LastUserMessage;
    let keep = Advice::KeepLarge;
    for (name, kind, calls, advice, input, matches) in [
        (
            "ticket_routing",
            Kind::Classify,
            400,
            Advice::LearnIt,
            whole.clone(),
            Some("You are the triage desk of Kettle & Co."),
        ),
        ("classify-review", Kind::Classify, 400, Advice::LearnIt, pattern(REVIEW, "\""), Some(HELPFUL)),
        ("chat", Kind::Generate, 50, keep, whole.clone(), Some(HELPFUL)),
        (
            "summarise-article",
            Kind::Generate,
            40,
            keep,
            pattern("Summarise the following article in two sentences:\n\n", ""),
            None,
        ),
        (
            "extract-order",
            Kind::Extract,
            40,
            keep,
            whole.clone(),
            Some("Extract the order details from the mail."),
        ),
        ("chat-2", Kind::Generate, 40, keep, whole.clone(), Some("You book meeting rooms.")),
        (
            "write-friendly",
            Kind::Generate,
            40,
            keep,
            pattern("good evening from room ", ""),
            Some("You are the concierge of the hotel."),
        ),
    ] {
        let candidate = found.candidate(name).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!((candidate.kind, candidate.volume.calls), (kind, calls), "{name}");
        assert_eq!(candidate.verdict.advice, advice, "{name}: {}", candidate.verdict.reason);
        assert_eq!((&candidate.input, candidate.matches.as_deref()), (&input, matches), "{name}");
    }
    assert_eq!(found.candidates.len(), 7);
    assert_eq!(found.others.calls, 5, "five calls to a pirate are no sort of work");
    assert_eq!(found.log.calls, calls.len() as u64);
}

#[test]
fn every_call_and_every_cent_is_in_a_candidate_or_with_the_others() {
    let calls = mixed().calls(false);
    let found = discover(&calls);
    let counted: u64 = found.candidates.iter().map(|candidate| candidate.volume.calls).sum();
    assert_eq!(counted + found.others.calls, calls.len() as u64);
    let spent: Money = found.candidates.iter().map(|candidate| candidate.spend.in_log).sum();
    // 400 tokens in at $10 and 20 out at $30 per million.
    assert_eq!(spent + found.others.spend.in_log, Money::from_micro(4_600).times(calls.len() as u64));
    assert_eq!(found.log.spend.in_log, spent + found.others.spend.in_log);
}

#[test]
fn labels_are_counted_and_a_closed_answer_is_recognised_in_any_dress() {
    let found = discover(&mixed().calls(false));
    let tickets = found.candidate("ticket_routing").expect("found");
    assert_eq!(tickets.label_place, Some(LabelPlace::Field("team".to_owned())));
    assert_eq!(tickets.labels.iter().map(|label| label.calls).sum::<u64>(), 400);
    assert_eq!((tickets.labels.len(), tickets.out_of_scope.as_deref()), (5, Some("other")));
    let reviews = found.candidate("classify-review").expect("found");
    let labels: Vec<&str> = reviews.labels.iter().map(|label| label.label.as_str()).collect();
    assert_eq!(labels, ["positive", "negative"]);
    assert!(reviews.output.distinct > 2 && reviews.output.entropy_bits > 1.0, "{:?}", reviews.output);
}

#[test]
fn what_would_be_saved_follows_from_spend_time_and_the_probe() {
    let found = discover(&mixed().calls(false));
    let tickets = found.candidate("ticket_routing").expect("found");
    let learnable = tickets.learnable.as_ref().expect("tried");
    assert!(learnable.accuracy.interval.lower > learnable.majority, "{learnable:?}");
    let days = found.log.days.expect("the log has times");
    let month = tickets.spend.per_month.expect("the log has times").units();
    assert!((month - tickets.spend.in_log.units() * 30.0 / days).abs() < 1e-5);
    let saving = tickets.saving.as_ref().expect("priced");
    assert_eq!(saving.per, Period::Month);
    assert!((saving.amount.units() - month * learnable.answerable.value).abs() < 1e-5);
    assert!(saving.interval.0 <= saving.amount && saving.amount <= saving.interval.1);
}

#[test]
fn the_same_log_gives_the_same_discovery() {
    let calls = mixed().calls(false);
    let said = || serde_json::to_string(&discover(&calls)).expect("serialises");
    assert_eq!(said(), said());
}

#[test]
fn the_verdict_names_its_reason() {
    let coin = |number: u64| if hash::scatter(number).is_multiple_of(2) { "yes" } else { "no" };
    let decide = |log: &mut Maker, calls: u64, answer: &dyn Fn(u64) -> String| {
        for number in 0..calls {
            let text = format!("case {:x}", hash::scatter(number + 7_000));
            log.ask(Some("Decide the case."), &text, &answer(number));
        }
    };
    let noisy = |log: &mut Maker| {
        for number in 0..1_600 {
            let (says, wrong) = (coin(number), hash::scatter(number + 9_000) % 10 < 3);
            let answer = if (says == "yes") == wrong { "no" } else { "yes" };
            log.ask(Some("Decide the case."), &format!("case {number}: they say {says}"), answer);
        }
    };
    let rows: [(&str, Advice, Discovery); 7] = [
        ("would answer only", Advice::KeepLarge, found_in(noisy)),
        (
            "100 usable calls are too few",
            Advice::MoreRows,
            found_in(|log| (0..100).for_each(|number| log.review(number))),
        ),
        (
            "no better than always giving",
            Advice::MoreRows,
            found_in(|log| decide(log, 400, &|number| coin(number).to_owned())),
        ),
        (
            "no better than always giving",
            Advice::KeepLarge,
            found_in(|log| decide(log, 1_600, &|number| coin(number).to_owned())),
        ),
        (
            "nearly every answer is `yes`",
            Advice::KeepLarge,
            found_in(|log| decide(log, 400, &|_| "yes".to_owned())),
        ),
        (
            "free text: 100% of them are different",
            Advice::KeepLarge,
            found_in(|log| decide(log, 400, &|number| format!("it depends on {number}"))),
        ),
        ("tools", Advice::KeepLarge, found_in(|log| (0..30).for_each(|number| log.booking(number)))),
    ];
    for (reason, advice, found) in rows {
        let verdict = &found.candidates[0].verdict;
        assert!(verdict.reason.contains(reason), "{reason}: {verdict:?}");
        assert_eq!(verdict.advice, advice, "{reason}");
    }
    let mut log = Maker::new();
    (0..400).for_each(|number| log.ticket(number));
    let verdict = discover(&log.calls(true)).candidates[0].verdict.clone();
    assert_eq!(verdict.advice, Advice::KeepLarge);
    assert!(verdict.reason.contains("a month"), "{verdict:?}");
}

#[test]
fn an_empty_log_and_a_log_without_times_say_only_what_is_known() {
    let nothing = discover(&[]);
    assert_eq!((nothing.candidates.len(), nothing.log.days), (0, None));
    let said = nothing.candidate("chat").expect_err("nothing is there").to_string();
    assert!(said.contains("fewer than 20 calls"), "{said}");
    let mut calls = mixed().calls(false);
    calls.iter_mut().for_each(|call| (call.time_unix_ms, call.cost) = (None, None));
    let found = discover(&calls);
    let tickets = found.candidate("ticket_routing").expect("found");
    assert_eq!((tickets.volume.calls_per_day, tickets.spend.per_month, &tickets.saving), (None, None, &None));
    assert_eq!(tickets.spend.calls_without_cost, 400);
    let said = found.candidate("ticket_ruoting").expect_err("misspelt").to_string();
    assert!(said.contains("did you mean `ticket_routing`?"), "{said}");
}

/// The task that a draft says, read as `sprat` reads it.
fn task_of(draft: &Draft<'_>, name: &str) -> Task {
    let source = Source::new(format!("tasks/{name}.toml"), draft.toml.as_str());
    read_task(name, &source, |_| Err(String::new()))
        .unwrap_or_else(|problem| panic!("{problem}\n{}", draft.toml))
}

#[test]
fn a_drafted_task_and_its_rows_are_read_by_the_next_command() {
    let calls = mixed().calls(false);
    let found = discover(&calls);
    let folder = tempfile::tempdir().expect("a folder");
    for candidate in &found.candidates {
        let draft = found.draft(&candidate.name, Some("large")).unwrap_or_else(|problem| panic!("{problem}"));
        let task = task_of(&draft, &candidate.name);
        assert_eq!(task.kind, candidate.kind);
        assert_eq!(
            task.matching.map(|matching| matching.input),
            candidate.matches.as_ref().map(|_| candidate.input.clone())
        );
        let task = task_of(&draft, &candidate.name);
        let rows: Vec<String> = calls.iter().filter_map(|call| draft.row(call)).collect();
        if rows.is_empty() {
            assert_eq!(candidate.volume.usable, 0, "{}", candidate.name);
            continue;
        }
        let path = folder.path().join(format!("{}.jsonl", candidate.name));
        std::fs::write(&path, rows.join("\n")).expect("written");
        let read = read_labelled(&[&path], &task, &ReadOptions::default());
        let read = read.unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(read.rows.len() as u64, candidate.volume.usable, "{}", candidate.name);
        assert!(
            read.rows
                .iter()
                .all(|row| row.gold.is_none() && row.session.is_some() && row.time_unix_ms.is_some())
        );
        assert!(read.rows.iter().filter_map(|row| row.large.as_ref()).all(|answer| task.admits(answer)));
    }
}

#[test]
fn the_draft_of_a_classification_says_everything_the_log_knows() {
    let calls = mixed().calls(false);
    let found = discover(&calls);
    let draft = found.draft("ticket_routing", None).expect("a classification");
    let task = task_of(&draft, "ticket_routing");
    assert_eq!((task.labels.len(), task.instructions.as_str()), (5, TRIAGE));
    assert_eq!(task.out_of_scope.as_ref().map(|label| label.as_str()), Some("other"));
    assert_eq!(task.target.guarantee, None, "the rows say which promise can be made");
    assert!(draft.toml.contains("# large = \"large\""), "{}", draft.toml);
    let rule = task.matching.expect("a rule");
    let call = calls.iter().find(|call| draft.row(call).is_some()).expect("it has rows");
    let hash = sprat_task::Sha256Hex::of_call(call.system_prompt().as_deref(), call.schema());
    assert_eq!((rule.lower, rule.bound_to), (false, vec![hash]), "opting in is a person's");
    let reviews = found.draft("classify-review", None).expect("a classification");
    let row = calls.iter().find_map(|call| reviews.row(call)).expect("it has rows");
    assert!(row.starts_with("{\"text\":\"The ") && row.contains("\"large\":\""), "{row}");
}

#[test]
fn answers_that_are_no_label_are_left_out_with_their_rows_and_counted() {
    let mut log = Maker::new();
    (0..400).for_each(|number| log.review(number));
    for (text, answer) in
        [("a", "mixed"), ("b", "I'm sorry, I can't tell."), ("c", "I'm sorry, I can't tell.")]
    {
        log.ask(Some(HELPFUL), &format!("{REVIEW}{text}\""), answer);
    }
    let calls = log.calls(false);
    let found = discover(&calls);
    let candidate = &found.candidates[0];
    assert_eq!(candidate.left_out.iter().map(|label| label.calls).sum::<u64>(), 3);
    assert!(
        candidate.notices.iter().any(|notice| notice.starts_with("3 answers (0.7%) are no label")),
        "{:?}",
        candidate.notices
    );
    let draft = found.draft(&candidate.name, None).expect("a classification");
    assert_eq!(calls.iter().filter(|call| draft.row(call).is_some()).count(), 400);
    assert!(draft.toml.contains("# Note: 3 answers"), "{}", draft.toml);
}

#[test]
fn a_prompt_with_anything_in_it_makes_a_task_file_that_can_be_read() {
    let prompt =
        "Rate \"quotes\", \\backslashes\\,\ttabs\nand \"\"\"triple\"\"\" quotes, \u{7} bells and 中文.\n";
    let calls = imported(
        &{
            let mut log = Maker::new();
            for number in 0..40 {
                log.ask(
                    Some(prompt),
                    &format!("text {number}"),
                    if number % 2 == 0 { "a \\ b" } else { "it's \"so\"" },
                );
            }
            log.lines()
        },
        1,
    );
    let found = discover(&calls);
    let draft = found.draft(&found.candidates[0].name, None).expect("two labels");
    let task = task_of(&draft, "odd");
    assert_eq!(task.instructions, prompt.trim());
    let rows: Vec<String> = calls.iter().filter_map(|call| draft.row(call)).collect();
    assert_eq!(rows.len(), 40);
    for row in rows {
        let row: serde_json::Value = serde_json::from_str(&row).expect("JSON");
        assert!(task.admits(&Answer::label(row["large"].as_str().expect("a label"))), "{row}");
    }
}

#[test]
fn one_label_alone_makes_no_task() {
    let found = found_in(|log| (0..40).for_each(|number| log.ask(None, &format!("Check: {number} x"), "ok")));
    let Err(problem) = found.draft(&found.candidates[0].name, None) else { panic!("it must be refused") };
    assert!(problem.message.ends_with("is `ok`"), "{problem}");
}

#[test]
fn a_log_of_a_thousand_prompts_that_differ_in_a_name_holds_one_sort_of_work() {
    let found = found_in(|log| (0..60).for_each(|number| log.concierge(number)));
    assert_eq!(found.candidates.len(), 1);
    assert_eq!(found.candidates[0].volume.calls, 60);
    assert!(found.candidates[0].notices.iter().any(|notice| notice.contains("varies")));
}

#[test]
fn more_prompts_than_can_be_held_are_counted_and_not_kept() {
    let mut log = Survey::default();
    let mut call = Maker::new();
    (0..40).for_each(|number| call.summary(number));
    let mut calls = call.calls(false);
    calls.iter().for_each(|call| log.add(call));
    let mut call = calls.remove(0);
    for number in 0..20_000_u64 {
        let words: Vec<String> = (0..4)
            .map(|word| {
                format!("{:x}", hash::scatter(number * 4 + word)).replace(|c: char| c.is_ascii_digit(), "q")
            })
            .collect();
        call.messages = vec![
            sprat_wire::openai::chat::Message::system(words.join(" ")),
            sprat_wire::openai::chat::Message::user("hi"),
        ];
        log.add(&call);
    }
    let found = log.finish();
    assert_eq!(found.candidates.iter().map(|one| one.volume.calls).sum::<u64>() + found.others.calls, 20_040);
    assert_eq!(found.candidate("summarise-article").expect("kept").volume.calls, 40);
}
