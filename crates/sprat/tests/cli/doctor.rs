//! `sprat doctor`: each check, well and ill.

use serde_json::Value;

use crate::workspace::{Ran, Workspace, shows};

const TASK: &str =
    "kind = \"classify\"\nlabels = [\"a\", \"b\"]\nrungs = [\"linear\", \"encoder\"]\nlarge = \"large\"\n";

const CONFIG: &str = "[models.encoder]\nkind = \"encoder\"\nsource = \"hf:a/b\"\n\
                      [models.large]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n\
                      [models.spare]\nkind = \"remote\"\nprovider = \"compatible\"\nmodel = \"no-such-model\"\n\
                      base_url = \"http://127.0.0.1:1/v1\"\n\
                      [models.tape]\nkind = \"remote\"\nprovider = \"replay\"\npath = \"answers.jsonl\"\n";

const ANSWERS: &str = "{\"provenance\": \"authored\"}\n{\"text\": \"x\", \"answer\": \"a\"}\n";

/// What was said about a kind of thing, one line each, without what depends on the machine.
fn said(ran: &Ran) -> String {
    let json = ran.json();
    let checks = json["checks"].as_array().unwrap().iter();
    let steady = checks.filter(|check| {
        !["processor", "disk", "version", "prices"].map(Value::from).contains(&check["what"])
    });
    let line = |check: &Value| {
        let next = check["next"].as_str().map(|next| format!(" -> {next}")).unwrap_or_default();
        format!(
            "{} {}: {}{next}",
            check["mark"].as_str().unwrap(),
            check["what"].as_str().unwrap(),
            check["found"].as_str().unwrap()
        )
    };
    let lines: Vec<String> = steady.map(line).collect();
    format!("exit code {}\n{}", ran.code, lines.join("\n"))
}

#[test]
fn what_is_missing_is_named_with_its_next_step() {
    let workspace = Workspace::with(CONFIG, TASK);
    shows!("doctor finds faults", said(&workspace.sprat(&["doctor", "--json"])));
}

#[test]
fn what_is_there_is_named_too() {
    let workspace = Workspace::with(CONFIG, TASK);
    workspace.write("answers.jsonl", ANSWERS);
    drop(workspace.store());
    let mut command = workspace.command(&["doctor", "--json"]);
    let ran = workspace.run(command.env("OPENAI_API_KEY", "sk-hidden-0123456789"));
    assert!(!ran.stdout.contains("hidden"), "{ran}");
    shows!("doctor finds everything", said(&ran));
}

#[test]
fn a_person_sees_a_line_for_each_check_and_the_machine() {
    let ran = Workspace::with("", "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n").sprat(&["doctor"]);
    assert_eq!(ran.code, 0, "{ran}");
    for start in [
        "version: sprat ",
        "processor: ",
        "disk: ",
        "workspace: ",
        "store: ",
        "prices: as of ",
        "model: linear",
    ] {
        assert!(ran.stdout.lines().any(|line| line.contains(start)), "{start:?} is not in\n{ran}");
    }
}

#[test]
fn a_damaged_store_is_told_and_left_alone() {
    let workspace = Workspace::with("", "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n");
    let noise = b"this is not a database, whatever its name says".repeat(100);
    workspace.write(".sprat/sprat.db", &noise);
    let ran = workspace.sprat(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("FAIL  store: ") && ran.stdout.contains("nothing was deleted"), "{ran}");
    assert_eq!(std::fs::read(workspace.path(".sprat/sprat.db")).unwrap(), noise);
    shows!("a command meets a damaged store", workspace.sprat(&["status"]));
}

#[test]
fn a_store_of_another_sort_is_refused_without_its_password() {
    let config = "[store]\nurl = \"postgres://me:hunter2@db/sprat\"\n";
    let workspace = Workspace::with(config, "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n");
    for arguments in [&["doctor"][..], &["status"], &["config", "show"], &["status", "--json"]] {
        let ran = workspace.sprat(arguments);
        assert!(!ran.to_string().contains("hunter2"), "{ran}");
    }
    shows!("store of another sort", workspace.sprat(&["status"]));
}

#[test]
fn a_broken_configuration_doesn_t_hide_the_machine() {
    let workspace = Workspace::with("[sever]\n[modles]\n", TASK);
    shows!("doctor of a broken configuration", said(&workspace.sprat(&["doctor", "--json"])));
    shows!("doctor without a workspace", said(&Workspace::empty().sprat(&["doctor", "--json"])));
}
