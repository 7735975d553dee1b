//! Learning from what was captured.

use serde_json::json;
use sprat_store::{Feedback, NewCaptured};
use sprat_task::{Answer, Provenance};

use crate::workspace::Workspace;

/// The rows of examples/tickets as if they had come in shadow, one a minute, the last one now.
pub fn captured(workspace: &Workspace) -> Vec<NewCaptured> {
    let rows = workspace.lines("rows.jsonl");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let begun = now - rows.len() as i64 * 60_000;
    let row = |(number, row): (i64, &serde_json::Value)| NewCaptured {
        task: "tickets".into(),
        request: format!("req-{number}").into(),
        time_unix_ms: begun + number * 60_000,
        text: row["text"].as_str().unwrap().to_owned(),
        prompt_hash: None,
        session: None,
        small: None,
        confidence: None,
        would_answer: false,
        large: row["label"].as_str().map(Answer::label),
        answered_by: Some("large".into()),
        release: None,
        propensity: 1.0,
        provenance: Provenance::Authored,
    };
    (0..).zip(&rows).map(row).collect()
}

#[test]
fn shadow_traffic_certifies_agreement_with_the_large_model_on_its_latest_requests() {
    let workspace = Workspace::tickets();
    let rows = captured(&workspace);
    let store = workspace.store();
    store.captured().add(rows.clone()).unwrap();
    // A few labels by people don't make it a promise about truth, but they are what is learned.
    let label = Some(Answer::label("refund"));
    let said = Feedback { request: "req-1".into(), thumb: None, label, by: None, time_unix_ms: 1 };
    store.feedback().add(&said).unwrap();
    let ran = workspace.sprat(&["learn", "tickets", "--from-traffic", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["guarantee"], "agreement", "{ran}");
    assert_eq!(evidence["certificate"]["status"], "certified", "{ran}");
    assert_eq!(
        (&evidence["rows"]["by_time"], &evidence["large_provenance"]),
        (&json!(true), &json!("authored"))
    );
    assert_eq!(evidence["rows"]["read"].as_u64(), Some(rows.len() as u64));
    let standing = &workspace.sprat(&["status", "--json"]).json()["tasks"][0];
    assert_eq!(
        (&standing["status"], &standing["captured"]["requests"]),
        (&json!("certified"), &json!(rows.len()))
    );
    let shown = workspace.sprat(&["status"]);
    let line = format!("captured: {} requests, ", words(rows.len()));
    assert!(
        shown.stdout.contains(&line) && shown.stdout.contains("kept for 30 days; capture is off now"),
        "{shown}"
    );
}

#[test]
fn a_task_that_learns_from_traffic_asks_for_more_of_it_and_for_nobodys_labels() {
    let workspace = Workspace::tickets();
    let task = workspace.read("tasks/tickets.toml");
    workspace.write("tasks/tickets.toml", format!("{task}\n[capture]\nenabled = true\n"));
    let next =
        || workspace.sprat(&["status", "--json"]).json()["tasks"][0]["next"].as_str().unwrap().to_owned();
    assert_eq!(next(), "sprat learn tickets ROWS");
    let mut rows = captured(&workspace);
    rows.truncate(700);
    workspace.store().captured().add(rows).unwrap();
    assert_eq!(next(), "sprat learn tickets --from-traffic");
    assert_eq!(workspace.sprat(&["learn", "tickets", "--from-traffic"]).code, 0);
    let next = next();
    assert!(next.starts_with("tickets@1 is underpowered; "), "{next}");
    assert!(next.contains("sprat serve --shadow learns from calls as they come"), "{next}");
    assert!(!next.contains("label about"), "{next}");
}

fn words(number: usize) -> String {
    sprat_task::certificate::count(number as u64)
}

#[test]
fn without_an_answer_to_learn_from_the_next_step_is_said() {
    let workspace = Workspace::tickets();
    let ran = workspace.sprat(&["learn", "tickets", "--from-traffic"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("no request of task `tickets` has been captured"), "{ran}");
    assert!(ran.stderr.contains("`enabled = true` under [capture] in tasks/tickets.toml"), "{ran}");
    let rows = captured(&workspace).into_iter().map(|row| NewCaptured { large: None, ..row });
    workspace.store().captured().add(rows.take(3).collect()).unwrap();
    let ran = workspace.sprat(&["learn", "tickets", "--from-traffic", "--since", "1"]);
    assert!(ran.stderr.contains("no request of task `tickets` has been captured"), "they are older: {ran}");
    let ran = workspace.sprat(&["learn", "tickets", "--from-traffic", "--since", "30"]);
    assert!(ran.stderr.contains("none of 3 captured requests of task `tickets` has an answer"), "{ran}");
    let ran = workspace.sprat(&["learn", "tickets", "--since", "1"]);
    assert_eq!(ran.code, 1, "{ran}");
}
