//! What people say of records, what traffic teaches of them, and what a release made of traffic keeps.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sprat_store::{Ending, LedgerEntry, NewCaptured, Source};
use sprat_task::{Answer, Money, Provenance, Task, read_task};

use crate::extract::bookings;
use crate::traffic;
use crate::workspace::{Ran, Workspace};

fn task(workspace: &Workspace) -> Task {
    let source = sprat_task::Source::new("bookings.toml", workspace.read("tasks/bookings.toml"));
    read_task("bookings", &source, |_| Err(String::new())).unwrap()
}

fn record(fields: &Value) -> Answer {
    Answer::Fields(fields.as_object().unwrap().clone())
}

/// The rows of examples/bookings as if they had come in shadow, one a minute, the last one now.
fn captured(workspace: &Workspace) -> Vec<NewCaptured> {
    let (task, rows) = (task(workspace), workspace.lines("rows.jsonl"));
    let shape = traffic::captured(&Workspace::tickets()).remove(0);
    let begun = shape.time_unix_ms;
    let row = |(number, row): (i64, &Value)| {
        let text = row["text"].as_str().unwrap().to_owned();
        let large = task.record(row["fields"].as_object().unwrap(), &text).unwrap();
        NewCaptured {
            task: "bookings".into(),
            request: format!("req-{number}").into(),
            time_unix_ms: begun + number * 60_000,
            large: Some(Answer::Fields(large)),
            text,
            ..shape.clone()
        }
    };
    (0..).zip(&rows).map(row).collect()
}

/// Runs the program with these lines on its standard input.
fn typed(workspace: &Workspace, arguments: &[&str], lines: &str) -> Ran {
    workspace.write("typed.txt", lines);
    let typed = File::open(workspace.path("typed.txt")).unwrap();
    workspace.run(workspace.command(arguments).stdin(typed))
}

#[test]
fn a_person_gives_records_field_by_field_or_whole_and_they_are_learned_from() {
    let workspace = bookings();
    let rows = [
        "Ada Holm, 24/12/2026, for 5, outside, nuts and milk, 20 eur paid",
        "table for 3, GRACE Hopper",
        "nothing to find here",
    ];
    let rows: Vec<String> = rows.iter().map(|text| format!("{}\n", json!({"text": text}))).collect();
    workspace.write("new.jsonl", rows.concat());
    let queued = workspace.sprat(&["review", "bookings", "new.jsonl", "--random", "--no-ask"]);
    assert_eq!(queued.code, 0, "{queued}");
    // They come in an order that chance has drawn.
    let waiting = workspace.store().review().next(&"bookings".into(), 9).unwrap();
    let mut lines = String::new();
    for row in &waiting {
        lines += match row.row.text.split(' ').next().unwrap() {
            "Ada" => "ada holm\nsoon\n24/12/2026\n5\nroof\noutside\nnuts|milk\n20 eur\n",
            "table" => {
                "{\"name\": \"grace hopper\", \"gusts\": 3}\n{\"name\": \"grace hopper\", \"guests\": 3}\n"
            }
            _ => "-\n\n\n\n\n\n",
        };
    }
    let ran = typed(&workspace, &["review", "bookings", "--json"], &lines);
    assert_eq!((ran.code, &ran.json()["labelled_now"]), (0, &json!(3)), "{ran}");
    for part in [
        "`soon` is not a value of field `day`",
        "`roof` is not a value of field `seating`",
        "allowed: inside, terrace, bar; Enter keeps",
        "`gusts` is not one of this task's fields",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    let said = |text: &str| {
        let labelled = workspace.store().review().labelled(&"bookings".into());
        let row = labelled.map(Result::unwrap).find(|row| row.row.text.starts_with(text));
        row.unwrap().label.unwrap().answer
    };
    let ada = json!({"name": "Ada Holm", "day": "2026-12-24", "guests": 5, "seating": "terrace",
        "allergies": ["milk", "nuts"], "deposit": {"amount": 20, "currency": "EUR"}});
    assert_eq!(said("Ada"), record(&ada));
    assert_eq!(said("table"), record(&json!({"name": "GRACE Hopper", "guests": 3})));
    assert_eq!(said("nothing"), record(&json!({})));

    let exported = workspace.sprat(&["review", "bookings", "--export", "labels.jsonl"]);
    assert_eq!(exported.code, 0, "{exported}");
    let learned = workspace.sprat(&["learn", "bookings", "rows.jsonl", "labels.jsonl", "--json"]);
    assert_eq!(learned.code, 0, "{learned}");
    assert_eq!(learned.json()["evidence"]["rows"]["read"], json!(643));
}

#[test]
fn enter_keeps_what_a_model_has_found() {
    let workspace = bookings();
    let review = sprat_store::NewReview {
        task: "bookings".into(),
        text: "Ada Holm for 5".to_owned(),
        small: Some(record(&json!({"name": "Ada", "guests": 5, "seating": "bar"}))),
        large: None,
        confidence: None,
        reason: sprat_store::Reason::Audit,
        propensity: 0.1,
        priority: 0.0,
        request: None,
    };
    workspace.store().review().add(vec![review], 1).unwrap();
    let ran = typed(&workspace, &["review", "bookings"], "Ada Holm\n\n\n-\n\n\n");
    assert!(ran.stderr.contains("name [Ada]> ") && ran.stderr.contains("guests [5]> "), "{ran}");
    let labelled = workspace.store().review().labelled(&"bookings".into()).next().unwrap().unwrap();
    let right = record(&json!({"name": "Ada Holm", "guests": 5}));
    assert_eq!(labelled.label.unwrap().answer, right);
}

/// What the ledger has of a request that was served.
fn served(request: &str) -> LedgerEntry {
    LedgerEntry {
        request: request.into(),
        task: "bookings".into(),
        release: None,
        time_unix_ms: 1,
        source: Source::Serve,
        ending: Ending::Large,
        answered_by: Some("large".into()),
        steps: Vec::new(),
        cost: Some(Money::ZERO),
        baseline_all_large: None,
        baseline_is_estimated: false,
        provenance: Provenance::Authored,
        latency_us: 1,
        key: None,
        held: None,
    }
}

#[test]
fn feedback_with_a_record_is_kept_beside_the_text_and_nowhere_else() {
    let workspace = bookings();
    let store = workspace.store();
    store.ledger().append(&served("req-0")).unwrap();
    store.ledger().append(&served("req-gone")).unwrap();
    store.ledger().settle().unwrap();
    let row = NewCaptured { text: "for 5, Ada HOLM".to_owned(), ..captured(&workspace).remove(0) };
    store.captured().add(vec![row]).unwrap();
    let say =
        |request: &str, said: &[&str]| workspace.sprat(&[&["feedback", request], said, &["--json"]].concat());
    let ran = say("req-0", &["--fields", r#"{"name": "ada holm", "guests": "5"}"#]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(ran.json()["label"], json!({"fields": {"name": "Ada HOLM", "guests": 5}}));
    for (request, said, part) in [
        ("req-0", &["--fields", "5"][..], "--fields is not a JSON object"),
        ("req-0", &["--fields", r#"{"gusts": 5}"#], "did you mean `guests`?"),
        ("req-0", &["--label", "refund"], "has fields, and no labels"),
        ("req-gone", &["--fields", "{}"], "kept only beside its text"),
    ] {
        let ran = say(request, said);
        assert!(ran.code == 1 && ran.to_string().contains(part), "{part}: {ran}");
    }
    let learned = workspace.sprat(&["learn", "bookings", "--from-traffic"]);
    assert!(learned.stderr.contains("1 labelled row is too few"), "one row teaches nothing: {learned}");
}

/// Every file of a folder and of the folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Whether a text stands in any file of a release, or in its report.
fn stands_somewhere(workspace: &Workspace, text: &str) -> Option<PathBuf> {
    let all =
        files(&workspace.path(".sprat/releases")).into_iter().chain(files(&workspace.path(".sprat/reports")));
    all.into_iter().find(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[test]
fn records_of_the_large_model_teach_and_their_texts_outlive_no_retention() {
    let workspace = bookings();
    let rows = captured(&workspace);
    workspace.store().captured().add(rows.clone()).unwrap();
    let ran = workspace.sprat(&["learn", "bookings", "--from-traffic", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["guarantee"], "agreement", "{ran}");
    assert_eq!(evidence["certificate"]["status"], "certified", "{ran}");
    assert_eq!(evidence["rows"]["read"].as_u64(), Some(rows.len() as u64));
    for row in &rows {
        assert_eq!(stands_somewhere(&workspace, &row.text), None, "{}", row.text);
    }
    let ask = || workspace.sprat(&["ask", "bookings", &rows[3].text, "--json"]).json()["neighbours"].clone();
    let near = ask();
    let taught: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    for row in near.as_array().unwrap() {
        assert!(taught.contains(&row["text"].as_str().unwrap()), "{row}");
        assert!(row["label"].as_str().unwrap().starts_with('{'), "{row}");
    }
    workspace.store().captured().forget_all(&"bookings".into()).unwrap();
    assert_eq!(ask(), json!([]), "nothing is left that could be compared");
}

#[test]
fn a_release_made_of_traffic_shows_texts_while_they_are_kept_and_says_what_it_costs_after() {
    let workspace = Workspace::tickets();
    let rows = traffic::captured(&workspace);
    workspace.store().captured().add(rows.clone()).unwrap();
    let ran = workspace.sprat(&["learn", "tickets", "--from-traffic", "--require-certified"]);
    assert_eq!(ran.code, 0, "{ran}");
    for row in rows.iter().step_by(40).filter(|row| row.text.len() > 30) {
        assert_eq!(stands_somewhere(&workspace, &row.text), None, "{}", row.text);
    }
    let ask = || workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]).json();
    let before = ask();
    assert_eq!(
        (&before["answered_by"], before["neighbours"].as_array().unwrap().len()),
        (&json!("linear"), 3)
    );
    workspace.store().captured().forget_all(&"tickets".into()).unwrap();
    let after = ask();
    assert_eq!((&after["answer"], &after["neighbours"]), (&before["answer"], &json!([])));
    assert!(after["baseline_micro_usd"].as_i64() > Some(0), "{after}");
}
