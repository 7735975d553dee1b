//! Fields found in texts: the whole loop on examples/bookings.

use std::path::Path;

use serde_json::{Value, json};

use crate::workspace::Workspace;

/// examples/bookings: invented mail to an invented restaurant.
pub fn bookings() -> Workspace {
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/bookings"));
    let workspace = Workspace::empty();
    for file in ["sprat.toml", "tasks/bookings.toml", "rows.jsonl"] {
        workspace.write(file, std::fs::read(example.join(file)).unwrap());
    }
    workspace
}

#[test]
fn a_task_that_extracts_is_learned_certified_asked_and_run() {
    let workspace = bookings();
    let ran = workspace.sprat(&["learn", "bookings", "rows.jsonl", "--require-certified", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["records"], json!(true));
    assert!(evidence["ladder"]["coverage"].as_f64() > Some(0.5), "{}", evidence["ladder"]);
    assert_eq!(evidence["rungs"][0]["kind"], "tagger");
    let fields: Vec<&str> = evidence["plots"]["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["label"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["allergies", "day", "deposit", "guests", "name", "seating"]);
    for file in ["tuning.jsonl", "fresh.jsonl"] {
        let kept = workspace.read(&format!(".sprat/releases/bookings/1/{file}"));
        assert!(kept.contains("seating") && !kept.contains("terrace"), "{file} says what of no text");
    }

    let text = "Hello, table for 5, 24/12/2026, outside please. Name: Ada Holm. Allergies: nuts and milk.";
    let asked = workspace.sprat(&["ask", "bookings", text, "--small-only", "--json"]);
    let own = &asked.json()["own_answer"];
    let record = &own["answer"]["fields"];
    assert_eq!((&record["day"], &record["guests"]), (&json!("2026-12-24"), &json!(5)), "{asked}");
    assert_eq!((&record["seating"], &record["name"]), (&json!("terrace"), &json!("Ada Holm")), "{asked}");
    let sure = own["alternatives"].as_array().unwrap();
    assert_eq!((sure.len(), &sure[0][0]), (6, &json!("name")), "each field with its confidence");

    let run = workspace.sprat(&["run", "bookings", "rows.jsonl", "-o", "out.jsonl", "--json"]);
    assert_eq!(run.code, 0, "{run}");
    let answers = workspace.lines("out.jsonl");
    let (answered, right) = answers.iter().fold((0, 0), |(answered, right), row| {
        let given = !row["answer"].is_null();
        (answered + usize::from(given), right + usize::from(given && row["answer"] == row["fields"]))
    });
    assert!(answered > 320 && right * 100 >= answered * 97, "{right} of {answered}");

    let eval = workspace.sprat(&["eval", "bookings", "rows.jsonl", "--json"]);
    assert!(eval.json()["selective_accuracy"].as_f64() > Some(0.97), "{eval}");
    let promise = workspace.sprat(&["status", "bookings"]);
    assert!(promise.stdout.contains("of the records it fills, at most 5% have a wrong field"), "{promise}");
}

#[test]
fn rows_and_tasks_that_do_not_fit_are_told_with_their_place() {
    let workspace = bookings();
    let learn = |rows: &str| {
        workspace.write("bad.jsonl", rows);
        workspace.sprat(&["learn", "bookings", "bad.jsonl"])
    };
    for (row, said) in [
        (
            json!({"text": "for 5", "fields": {"gusts": 5}}),
            "`gusts` is not one of this task's fields\n  --> bad.jsonl:1",
        ),
        (
            json!({"text": "for 5", "fields": {"guests": "five"}}),
            "`five` is not a value of field `guests`\n  --> bad.jsonl:1",
        ),
        (json!({"text": "for 5", "fields": "x"}), "the fields are not a JSON object\n  --> bad.jsonl:1"),
        (
            json!({"text": "for 5", "spans": [{"field": "guests", "start": 4, "end": 6}]}),
            "there is no text from character 4 to 6\n  --> bad.jsonl:1",
        ),
        (json!({"text": "for 5", "spans": [{"field": "guests"}]}), "is not a span\n  --> bad.jsonl:1"),
    ] {
        let ran = learn(&format!("{row}\n"));
        assert!(ran.code == 1 && ran.stderr.contains(said), "{said}\n{ran}");
    }
    let task = workspace.read("tasks/bookings.toml");
    workspace.write("tasks/bookings.toml", task.replace("[target]", "rungs = [\"linear\"]\n[target]"));
    let ran = workspace.sprat(&["learn", "bookings", "rows.jsonl"]);
    assert_eq!(ran.code, 1, "{ran}");
}

#[test]
fn values_that_stand_nowhere_are_counted_and_named() {
    let workspace = bookings();
    let mut rows: Vec<Value> = workspace.lines("rows.jsonl");
    for row in rows.iter_mut().take(3) {
        row["fields"]["name"] = json!("Nobody Atall");
    }
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    workspace.write("rows.jsonl", rows);
    let ran = workspace.sprat(&["learn", "bookings", "rows.jsonl", "--json"]);
    let notices = ran.json()["evidence"]["notices"].to_string();
    assert!(
        notices.contains("3 of ")
            && notices.contains("values of `name` stand nowhere in their texts, the first in line 1"),
        "{notices}"
    );
}
