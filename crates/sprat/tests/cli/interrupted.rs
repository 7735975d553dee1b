//! Killed, stopped, or met by another: nothing that was paid for is lost, and no row.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use crate::provider::{Gate, PAID, Provider, Reply};
use crate::workspace::{Workspace, shows};

const TASK: &str =
    "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\nlarge = \"large\"\n";

/// Calls that a kill may cost once more: those whose answers were not yet on the disk (`KEPT_EVERY` of
/// learn/src/teacher.rs).
const IN_FLIGHT: usize = 16;

/// A workspace without a release, so that every row goes to a large model, which answers so many calls and lets the
/// others wait until the gate is open.
fn held_after(answered: usize) -> (Workspace, Provider, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::new(move |number, _| {
        if number >= answered {
            held.pass();
        }
        Reply::Says("{\"label\": \"refund\"}")
    });
    (Workspace::with(&provider.config(""), TASK), provider, gate)
}

fn numbered(rows: usize) -> String {
    (0..rows).map(|row| format!("{{\"text\": \"message number {row}\", \"row\": {row}}}\n")).collect()
}

/// How often each text was asked about, where more than once.
fn asked_again(provider: &Provider) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for text in provider.asked() {
        *times.entry(text).or_insert(0) += 1;
    }
    times.retain(|_, times| *times > 1);
    times
}

/// Every row of [`numbered`] is there, once, in order, answered.
fn is_whole(workspace: &Workspace, output: &str, rows: usize) {
    let written = workspace.lines(output);
    let numbers: Vec<u64> = written.iter().map(|row| row["row"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..rows as u64).collect::<Vec<_>>());
    assert!(written.iter().all(|row| row["answer"] == "refund" && row["error"].is_null()));
}

fn spent(workspace: &Workspace) -> i64 {
    workspace.sprat(&["cost", "--json"]).json()["net"]["cost_micro_usd"].as_i64().unwrap()
}

const RUN: [&str; 5] = ["run", "tickets", "in.jsonl", "-o", "out.jsonl"];

#[test]
fn a_run_that_was_killed_goes_on_and_pays_again_only_for_what_was_in_flight() {
    let (workspace, provider, gate) = held_after(40);
    workspace.write("in.jsonl", numbered(100));
    let mut killed = workspace.start(&RUN);
    provider.wait_for(48); // 40 are answered, and 8 wait: as many as are asked at once
    killed.kill().unwrap();
    killed.wait().unwrap();
    gate.open();
    assert!(!workspace.path("out.jsonl").exists());
    let ran = workspace.sprat(&RUN);
    assert_eq!(ran.code, 0, "{ran}");
    is_whole(&workspace, "out.jsonl", 100);
    let again = asked_again(&provider);
    assert!(again.len() <= IN_FLIGHT && again.values().all(|times| *times == 2), "{again:?}");
    assert_eq!(provider.asked().len(), 100 + again.len());
    let left: Vec<_> =
        ["out.jsonl.partial", "out.jsonl.journal"].map(|file| workspace.path(file).exists()).into();
    assert_eq!(left, [false, false]);
}

#[test]
fn what_a_killed_run_has_paid_for_is_in_the_ledger() {
    let (workspace, provider, gate) = held_after(40);
    workspace.write("in.jsonl", numbered(100));
    let mut killed = workspace.start(&RUN);
    provider.wait_for(48);
    killed.kill().unwrap();
    killed.wait().unwrap();
    gate.open();
    assert_eq!(workspace.sprat(&RUN).code, 0);
    let known = (100 - IN_FLIGHT as i64) * PAID;
    assert!((known..=100 * PAID).contains(&spent(&workspace)), "{} of {}", spent(&workspace), 100 * PAID);
}

#[cfg(unix)]
#[test]
fn ctrl_c_waits_for_what_is_being_asked_and_nothing_is_asked_twice() {
    let (workspace, provider, gate) = held_after(100);
    workspace.write("in.jsonl", numbered(1_300));
    let mut stopped = workspace.start(&RUN);
    provider.wait_for(108);
    let sent = Command::new("kill").args(["-INT", &stopped.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut said = BufReader::new(stopped.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("stopping where nothing is lost") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it says that it stops");
    }
    gate.open();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!((stopped.wait().unwrap().code(), rest.trim()), (Some(130), "stopped; what was done is kept"));
    let before = provider.asked().len();
    assert!((108..1_300).contains(&before), "{before}");
    assert!(!workspace.path("out.jsonl").exists());
    let ran = workspace.sprat(&[&RUN[..], &["--json"]].concat());
    assert_eq!((ran.code, ran.json()["resumed_rows"].as_u64()), (0, Some(before as u64)), "{ran}");
    is_whole(&workspace, "out.jsonl", 1_300);
    assert_eq!((provider.asked().len(), asked_again(&provider)), (1_300, BTreeMap::new()));
    assert_eq!(spent(&workspace), 1_300 * PAID);
}

#[test]
fn a_text_that_stands_in_a_file_twice_is_paid_for_once() {
    let (workspace, provider, _) = held_after(usize::MAX);
    let rows = "{\"text\": \"money back\"}\n{\"text\": \"my card\"}\n".repeat(20);
    workspace.write("in.jsonl", rows);
    assert_eq!(workspace.sprat(&RUN).code, 0);
    assert_eq!(workspace.lines("out.jsonl").len(), 40);
    assert_eq!(asked_again(&provider), BTreeMap::new());
}

#[test]
fn a_second_run_of_the_same_output_is_refused_and_the_first_goes_on() {
    let (workspace, provider, gate) = held_after(20);
    workspace.write("in.jsonl", numbered(50));
    let first = workspace.start(&RUN);
    provider.wait_for(28);
    shows!("two runs of one output", workspace.sprat(&RUN));
    gate.open();
    let ran = workspace.ran(first.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran}");
    is_whole(&workspace, "out.jsonl", 50);
    assert_eq!(asked_again(&provider), BTreeMap::new());
}

#[test]
fn two_that_learn_in_one_workspace_make_two_whole_releases() {
    let workspace = Workspace::tickets();
    let learn = |seed| workspace.start(&["learn", "tickets", "rows.jsonl", "--json", "--seed", seed]);
    let ran: Vec<_> =
        [learn("1"), learn("2")].map(|child| workspace.ran(child.wait_with_output().unwrap())).into();
    let mut made: Vec<String> = Vec::new();
    for ran in ran {
        assert_eq!(ran.code, 0, "{ran}");
        made.push(ran.json()["release"].as_str().unwrap().to_owned());
    }
    made.sort();
    assert_eq!(made, ["tickets@1", "tickets@2"]);
    let listed = workspace.sprat(&["releases", "tickets", "--json"]).json();
    assert_eq!(listed["releases"].as_array().unwrap().len(), 2);
    // The two looked at the same certification rows: the second look is counted as one.
    let looks = listed["releases"].as_array().unwrap().iter().map(|release| release["look"].as_u64());
    assert_eq!(looks.max(), Some(Some(2)), "{listed}");
    let live = listed["live"]["live"]["version"].as_u64().expect("the first look certifies");
    let status = workspace.sprat(&["status", "tickets", "--json"]).json();
    assert_eq!(status["tasks"][0]["stale"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!(status["tasks"][0]["live"], format!("tickets@{live}"));
    let ran = workspace.sprat(&["run", "tickets", "stream.jsonl", "-o", "out.jsonl", "--json"]);
    assert!(ran.code == 0 && ran.json()["answered_small"].as_u64() > Some(0), "{ran}");
}

#[test]
fn a_learner_that_was_killed_is_not_in_the_way_of_the_next() {
    for moment in [".sprat/sprat.db", ".sprat/releases/tickets"] {
        let workspace = Workspace::tickets();
        let mut killed = workspace.start(&["learn", "tickets", "rows.jsonl"]);
        wait_for(&workspace.path(moment));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"]);
        assert_eq!(ran.code, 0, "killed once {moment} was there: {ran}");
        let status = workspace.sprat(&["status", "tickets", "--json"]).json();
        assert_eq!(status["tasks"][0]["stale"].as_array().map(Vec::len), Some(0), "{status}");
    }
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
