//! Rows in, answers out, and what they cost: the whole loop on examples/tickets.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::workspace::Workspace;

/// What the authored large model takes for each text, in micro-units.
fn price_list(workspace: &Workspace) -> HashMap<String, i64> {
    let lines = workspace.lines("answers.jsonl").into_iter();
    lines.map(|line| (text(&line), line["cost_micro_usd"].as_i64().unwrap())).collect()
}

fn text(row: &Value) -> String {
    row["text"].as_str().unwrap().to_owned()
}

/// Answers the example's 1,000 new messages.
fn answered(workspace: &Workspace, more: &[&str]) -> (Value, Vec<Value>) {
    let run = ["run", "tickets", "stream.jsonl", "-o", "out.jsonl", "--json"];
    let ran = workspace.sprat(&[&run[..], more].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
    (ran.json(), workspace.lines("out.jsonl"))
}

#[test]
fn learning_the_example_certifies_it_and_puts_it_live() {
    let workspace = Workspace::tickets();
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let json = ran.json();
    assert_eq!((&json["release"], &json["live"]), (&json!("tickets@1"), &json!(true)));
    let evidence = &json["evidence"];
    let certificate = &evidence["certificate"];
    assert_eq!((&certificate["status"], &certificate["guarantee"]), (&json!("certified"), &json!("gold")));
    assert!(
        certificate["bound"].as_f64() <= Some(0.05) && certificate["bad"].as_u64() > Some(0),
        "{certificate}"
    );
    assert!(evidence["ladder"]["coverage"].as_f64() > Some(0.5), "{}", evidence["ladder"]);
    let rows = &evidence["rows"];
    let count = |key: &str| rows[key].as_u64().unwrap();
    assert_eq!(count("read"), workspace.lines("rows.jsonl").len() as u64);
    assert_eq!(count("train") + count("certification"), count("read") - count("exact_duplicates"));
    assert_eq!(count("certification"), certificate["n"].as_u64().unwrap());
    assert!(evidence["savings"]["share"].as_f64() > Some(0.3), "{}", evidence["savings"]);
    assert_eq!(evidence["savings"]["provenance"], "authored");
    let report = workspace.read(json["report"].as_str().unwrap());
    assert!(report.contains("<svg") && report.contains("authored"));
    let standing = &workspace.sprat(&["status", "tickets", "--json"]).json()["tasks"][0];
    assert_eq!((&standing["live"], &standing["status"]), (&json!("tickets@1"), &json!("certified")));
    assert_eq!((&standing["certificate"], &standing["stale"]), (certificate, &json!([])));
}

#[test]
fn a_person_reads_the_promise_in_one_sentence_with_its_next_step() {
    let ran = Workspace::tickets().sprat(&["learn", "tickets", "rows.jsonl"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
    let promise =
        "ok    certified (gold): of the answers it gives, at most 5% are wrong, with 95% confidence: ";
    assert!(ran.stdout.lines().any(|line| line.starts_with(promise)), "{ran}");
    for part in
        ["[large model: authored]", "report: .sprat/reports/tickets-1.html", "next: sprat run tickets"]
    {
        assert!(ran.stdout.contains(part), "{part:?} is not in\n{ran}");
    }
}

#[test]
fn ask_answers_small_where_it_is_sure_and_explains_the_step() {
    let workspace = Workspace::learned();
    let json = workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]).json();
    assert_eq!((&json["answer"], &json["answered_by"]), (&json!({"label": "delivery"}), &json!("linear")));
    assert_eq!((&json["escalated"], &json["release"]), (&json!(false), &json!("tickets@1")));
    assert_eq!((&json["certificate"], &json["stale"]), (&json!("certified"), &json!([])));
    let steps = json["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["model"]), (1, &json!("linear")));
    let confidence = steps[0]["outcome"]["accepted"].as_f64().unwrap();
    assert_eq!(json["own_answer"]["confidence"].as_f64(), Some(confidence));
    assert_eq!((&json["cost_micro_usd"], &json["baseline_is_estimated"]), (&json!(0), &json!(true)));
    assert!(json["baseline_micro_usd"].as_i64() > Some(0));
    let neighbours = json["neighbours"].as_array().unwrap();
    let taught: Vec<String> = workspace.lines("rows.jsonl").iter().map(text).collect();
    assert_eq!(neighbours.len(), 3);
    assert!(
        neighbours.iter().all(|row| taught.contains(&text(row))),
        "reasons are rows that it learned from"
    );
    let ran = workspace.sprat(&["ask", "tickets", "where is my parcel?"]);
    assert!(ran.stdout.starts_with("delivery   (answered by linear)\n"), "{ran}");
}

#[test]
fn what_is_not_sure_goes_to_the_large_model_and_is_paid_for_once() {
    let workspace = Workspace::learned();
    let (_, rows) = answered(&workspace, &["--small-only"]);
    let unsure = text(rows.iter().find(|row| row["escalated"] == true).unwrap());
    let price = price_list(&workspace)[&unsure];
    let ask = || workspace.sprat(&["ask", "tickets", &unsure, "--json"]).json();
    let (first, second) = (ask(), ask());
    assert_eq!((&first["answered_by"], &first["escalated"]), (&json!("large"), &json!(true)));
    let models: Vec<&Value> = first["steps"].as_array().unwrap().iter().map(|step| &step["model"]).collect();
    assert_eq!(models, ["linear", "large"]);
    assert!(first["steps"][0]["outcome"]["deferred"].is_f64(), "{first}");
    assert_eq!((&first["cost_micro_usd"], &first["baseline_micro_usd"]), (&json!(price), &json!(price)));
    assert_eq!((&second["answer"], &second["cost_micro_usd"]), (&first["answer"], &json!(0)));
}

#[test]
fn run_writes_every_row_once_in_order_with_all_its_columns_and_an_answer() {
    let workspace = Workspace::learned();
    let (told, rows) = answered(&workspace, &[]);
    let mut read = workspace.lines("stream.jsonl").into_iter();
    assert_eq!((told["rows"].as_u64(), told["failed"].as_u64()), (Some(rows.len() as u64), Some(0)));
    for row in &rows {
        let before = read.next().expect("as many rows as were read");
        let kept = before.as_object().unwrap().iter().all(|(column, value)| row[column] == *value);
        assert!(kept && row["answer"].is_string() && row["error"].is_null(), "{row}");
        let by = if row["escalated"] == true { "large" } else { "linear" };
        assert_eq!(row["answered_by"], by, "{row}");
    }
    assert_eq!(read.next(), None);
    let small = rows.iter().filter(|row| row["escalated"] == false).count() as u64;
    assert_eq!(told["answered_small"].as_u64(), Some(small));
    assert!(small > 500, "{told}");
    // The same rows from and to another format: the same answers.
    let mut csv = "text\n".to_owned();
    for row in &rows {
        csv.push_str(&format!("\"{}\"\n", text(row).replace('"', "\"\"")));
    }
    workspace.write("in.csv", csv);
    assert_eq!(workspace.sprat(&["run", "tickets", "in.csv", "-o", "again.jsonl"]).code, 0);
    let answers = |rows: &[Value]| rows.iter().map(|row| row["answer"].clone()).collect::<Vec<_>>();
    assert_eq!(answers(&workspace.lines("again.jsonl")), answers(&rows));
}

#[test]
fn the_ledger_agrees_with_the_rows_and_the_price_list_to_the_micro_unit() {
    let workspace = Workspace::learned();
    let (told, rows) = answered(&workspace, &[]);
    let prices = price_list(&workspace);
    let charged = |row: &Value| row["cost_micro_usd"].as_i64().unwrap();
    for row in &rows {
        let due = if row["escalated"] == true { prices[&text(row)] } else { 0 };
        assert_eq!(charged(row), due, "{row}");
    }
    let spent: i64 = rows.iter().map(charged).sum();
    let json = workspace.sprat(&["cost", "tickets", "--json"]).json();
    let (net, task) = (&json["net"], &json["tasks"][0]);
    assert_eq!((&told["cost_micro_usd"], &net["cost_micro_usd"]), (&json!(spent), &json!(spent)));
    assert_eq!((&task["cost_micro_usd"], &task["cost_unknown"]), (&json!(spent), &json!(0)));
    assert_eq!(net["requests"].as_u64(), Some(rows.len() as u64));
    let by_model: i64 = json["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["cost_micro_usd"].as_i64().unwrap())
        .sum();
    assert_eq!(by_model, spent);
    // What the large model alone would have cost: what it took where it was asked, an estimate where it wasn't.
    let estimate = workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]).json();
    let estimate = estimate["baseline_micro_usd"].as_i64().unwrap();
    let small = rows.iter().filter(|row| row["escalated"] == false).count() as i64;
    assert_eq!(task["all_large_estimated"].as_i64(), Some(small));
    assert_eq!(task["all_large_micro_usd"].as_i64(), Some(spent + small * estimate));
    assert_eq!(net["saved_micro_usd"].as_i64(), Some(small * estimate));
    assert!(task.as_object().unwrap().contains_key("cheapest_single"), "{task}");
    assert_eq!(json["provenance"], "authored");
}

#[test]
fn eval_measures_what_run_gives() {
    let workspace = Workspace::learned();
    let (_, rows) = answered(&workspace, &["--small-only"]);
    let small: Vec<&Value> = rows.iter().filter(|row| row["escalated"] == false).collect();
    let right = small.iter().filter(|row| row["answer"] == row["label"]).count();
    let json = workspace.sprat(&["eval", "tickets", "stream.jsonl", "--json"]).json();
    let share = |part: usize, whole: usize| Some(part as f64 / whole as f64);
    assert_eq!((json["rows"].as_u64(), &json["judged_by"]), (Some(rows.len() as u64), &json!("gold")));
    assert_eq!(json["coverage"].as_f64(), share(small.len(), rows.len()));
    assert_eq!(json["selective_accuracy"].as_f64(), share(right, small.len()));
    let labelled = json["labels"].as_array().unwrap().iter().map(|label| label["rows"].as_u64().unwrap());
    assert_eq!(labelled.sum::<u64>(), rows.len() as u64);
    let gate = ["eval", "tickets", "stream.jsonl", "--min-coverage", "0.999"];
    assert_eq!(workspace.sprat(&gate).code, 1, "a target missed is exit code 1");
}

#[test]
fn the_same_rows_make_no_second_release_and_other_ones_wait_for_promote() {
    let workspace = Workspace::learned();
    let live = || workspace.sprat(&["status", "tickets", "--json"]).json()["tasks"][0]["live"].clone();
    let learn = |more: &[&str]| {
        let ran = workspace.sprat(&[&["learn", "tickets", "rows.jsonl", "--json"], more].concat());
        assert_eq!(ran.code, 0, "{ran}");
        ran.json()
    };
    let again = learn(&[]);
    assert_eq!((&again["release"], &again["unchanged"]), (&json!("tickets@1"), &json!(true)));
    let second = learn(&["--seed", "7"]);
    assert_eq!((&second["release"], &second["live"]), (&json!("tickets@2"), &json!(false)));
    assert_eq!(second["evidence"]["certificate"]["look"], 2, "the same rows were looked at before");
    assert_eq!(live(), "tickets@1");
    assert_eq!(workspace.sprat(&["promote", "tickets"]).code, 0);
    assert_eq!(live(), "tickets@2");
    let (_, rows) = answered(&workspace, &["--small-only"]);
    assert!(!rows.is_empty(), "the second release answers too");
    assert_eq!(workspace.sprat(&["rollback", "tickets"]).code, 0);
    assert_eq!(live(), "tickets@1");
    let listed = workspace.sprat(&["releases", "tickets", "--json"]).json();
    let actions: Vec<&str> = listed["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    assert_eq!((listed["releases"].as_array().unwrap().len(), actions.len()), (2, 3), "{listed}");
}

#[test]
fn the_demonstration_ends_with_one_object_and_leaves_a_workspace_to_look_at() {
    let workspace = Workspace::empty();
    let ran = workspace.sprat(&["demo", "--json", "--dir", "try"]);
    assert_eq!(ran.code, 0, "{ran}");
    let json = ran.json();
    let summary = &json["summary"];
    let number = |key: &str| summary[key].as_f64().unwrap();
    assert!(number("coverage") > 0.0 && number("saving") > 0.0, "{summary}");
    assert_eq!(number("answered_small") + number("escalated"), number("rows"), "{summary}");
    assert!(number("selective_accuracy") > 0.9, "{summary}");
    assert_eq!(summary["provenance"], "authored");
    assert_eq!(summary["books"]["equal"], true, "the ledger is the large model's own bill: {summary}");
    assert!(summary["drift"]["alarm"].is_string() && summary["drift"]["stale_after"] == 0, "{summary}");
    let folder = json["workspace"].as_str().unwrap();
    assert!(workspace.path(folder).join(summary["report"].as_str().unwrap()).is_file());
    // It is a workspace like any other.
    let status = workspace.sprat(&["status", "--json", "--workspace", folder]).json();
    assert_eq!(status["tasks"][0]["status"], "certified", "{status}");
}

#[test]
fn the_demonstration_puts_an_encoder_into_the_ladder_where_there_is_one() {
    let workspace = Workspace::empty();
    let missing = workspace.sprat(&["demo", "--dir", "try", "--encoder", "nowhere"]);
    assert_eq!(missing.code, 1, "{missing}");
    assert!(missing.stderr.contains("this folder has no model.safetensors"), "{missing}");
    std::fs::create_dir(workspace.path("tiny")).unwrap();
    sprat_models::encoder::tiny::write(&workspace.path("tiny"), 7).unwrap();
    let ran = workspace.sprat(&["demo", "--json", "--dir", "try", "--encoder", "tiny"]);
    assert_eq!(ran.code, 0, "{ran}");
    let json = ran.json();
    assert_eq!(json["summary"]["books"]["equal"], true, "{json}");
    let status = workspace.sprat(&["status", "--json", "--workspace", "try"]).json();
    assert_eq!(status["tasks"][0]["status"], "certified", "{status}");
    assert!(workspace.read("try/tasks/tickets.toml").contains("rungs = [\"linear\", \"encoder\"]"));
    assert!(workspace.read("try/sprat.toml").contains("[models.encoder]"), "it is declared when all is over");
}

#[test]
fn a_folder_that_no_demonstration_made_is_left_alone() {
    let workspace = Workspace::empty();
    workspace.write("mine/notes.txt", "precious");
    crate::workspace::shows!("demo in a folder of one's own", workspace.sprat(&["demo", "--dir", "mine"]));
    assert_eq!(workspace.read("mine/notes.txt"), "precious");
}
