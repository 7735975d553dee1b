//! Files of a workspace that something else has broken: nothing small answers, nothing is overwritten, no panic.

use serde_json::json;

use crate::workspace::{Workspace, shows};

const MODEL: &str = ".sprat/releases/tickets/1/linear.sprat";

/// A way to break a file.
type Break = fn(Vec<u8>) -> Vec<u8>;

/// Each with its name.
fn breaks() -> [(&'static str, Break); 4] {
    [
        ("cut", |bytes| bytes[..bytes.len() / 3].to_vec()),
        ("emptied", |_| Vec::new()),
        ("flipped", |mut bytes| {
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).step_by(997).for_each(|byte| *byte ^= 0x5a);
            bytes
        }),
        ("replaced", |bytes| b"not a model at all ".repeat(bytes.len() / 19)),
    ]
}

/// Keeps the beginning of the live release's model.
fn cut_the_model(workspace: &Workspace) {
    let bytes = std::fs::read(workspace.path(MODEL)).unwrap();
    workspace.write(MODEL, &bytes[..1_000]);
}

#[test]
fn a_broken_model_answers_nothing_and_everything_escalates_with_a_warning() {
    let workspace = Workspace::learned();
    let good = std::fs::read(workspace.path(MODEL)).unwrap();
    for (name, change) in breaks() {
        std::fs::write(workspace.path(MODEL), change(good.clone())).unwrap();
        let output = format!("{name}.jsonl");
        let ran = workspace.sprat(&["run", "tickets", "stream.jsonl", "-o", &output, "--json"]);
        assert_eq!(ran.code, 0, "{name}: {ran}");
        let told = ran.json();
        assert_eq!((&told["escalated"], &told["failed"]), (&json!(1_000), &json!(0)), "{name}: {told}");
        assert!(workspace.lines(&output).iter().all(|row| row["answered_by"] == "large"));
        assert!(ran.stderr.contains("the certificate of tickets is stale"), "{name}: {ran}");
        let text = workspace.lines("stream.jsonl")[0]["text"].as_str().unwrap().to_owned();
        let ran = workspace.sprat(&["ask", "tickets", &text, "--json"]);
        let told = ran.json();
        assert_eq!((ran.code, &told["answered_by"]), (0, &json!("large")), "{name}: {ran}");
        assert_eq!(told["stale"].as_array().map(Vec::len), Some(1), "{name}: {told}");
        let status = &workspace.sprat(&["status", "tickets", "--json"]).json()["tasks"][0];
        assert_eq!(status["status"], "stale", "{name}");
        std::fs::write(workspace.path(MODEL), &good).unwrap();
    }
    let ran = workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]);
    assert_eq!((ran.stderr.as_str(), &ran.json()["answered_by"]), ("", &json!("linear")), "whole again");
}

#[test]
fn a_broken_model_is_told_with_what_to_do() {
    let workspace = Workspace::learned();
    cut_the_model(&workspace);
    let text = workspace.lines("stream.jsonl")[0]["text"].as_str().unwrap().to_owned();
    let said = workspace.sprat(&["ask", "tickets", &text]).stderr;
    shows!("asking a broken model", said);
    shows!("certifying a broken model", workspace.sprat(&["certify", "tickets", "stream.jsonl"]));
}

#[test]
fn learning_again_makes_a_release_that_answers_where_the_live_one_is_broken() {
    let workspace = Workspace::learned();
    cut_the_model(&workspace);
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--promote"]);
    assert_eq!(ran.code, 0, "{ran}");
    let ran = workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]);
    assert_eq!((ran.stderr.as_str(), &ran.json()["answered_by"]), ("", &json!("linear")), "{ran}");
}

#[test]
fn the_other_files_of_a_release_may_break_too_and_nothing_panics() {
    let workspace = Workspace::learned();
    let folder = workspace.path(".sprat/releases/tickets/1");
    let few: Vec<String> = workspace.read("stream.jsonl").lines().take(30).map(str::to_owned).collect();
    workspace.write("few.jsonl", few.join("\n"));
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let good = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (how, change) in breaks() {
            std::fs::write(&path, change(good.clone())).unwrap();
            let output = format!("{looked_at}.jsonl");
            let ran = workspace.sprat(&["run", "tickets", "few.jsonl", "-o", &output, "--json"]);
            assert_eq!((ran.code, workspace.lines(&output).len()), (0, 30), "{name} {how}: {ran}");
            let status = workspace.sprat(&["status", "tickets"]);
            assert_eq!(status.code, 0, "{name} {how}: {status}");
            looked_at += 1;
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(looked_at > 10, "{looked_at}");
}

#[test]
fn a_broken_database_is_told_by_every_command_and_left_as_it_is() {
    let workspace = Workspace::learned();
    let database = workspace.path(".sprat/sprat.db");
    let good = std::fs::read(&database).unwrap();
    // An empty file is a database with nothing in it; a page turned to noise in the middle may not be needed.
    for name in ["cut", "first page flipped", "replaced"] {
        let broken = match name {
            "cut" => good[..good.len() / 3].to_vec(),
            "replaced" => b"garbage ".repeat(1_000),
            _ => good
                .iter()
                .enumerate()
                .map(|(at, byte)| if at < 4_096 { byte ^ 0x5a } else { *byte })
                .collect(),
        };
        std::fs::write(&database, &broken).unwrap();
        for arguments in [
            &["ask", "tickets", "where is my parcel?"][..],
            &["run", "tickets", "stream.jsonl", "-o", "out.jsonl"],
            &["learn", "tickets", "rows.jsonl"],
            &["status"],
            &["cost", "--json"],
        ] {
            let ran = workspace.sprat(arguments);
            assert_eq!(ran.code, 2, "{name} {arguments:?}: {ran}");
            assert!(ran.to_string().contains("nothing was deleted"), "{name} {arguments:?}: {ran}");
        }
        assert!(std::fs::read(&database).unwrap() == broken, "{name}: it was written to");
        assert!(!workspace.path("out.jsonl").exists());
    }
    let run = ["run", "tickets", "stream.jsonl", "-o", "out.jsonl"];
    shows!("running on a broken database", workspace.sprat(&run));
    std::fs::write(&database, good).unwrap();
    let ran = workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]);
    assert_eq!(ran.json()["answered_by"], "linear", "a backup in its place is enough: {ran}");
}

#[test]
fn what_a_broken_database_says_to_do_works() {
    let workspace = Workspace::learned();
    workspace.write(".sprat/sprat.db", b"garbage ".repeat(1_000));
    for file in ["sprat.db", "sprat.db-wal", "sprat.db-shm"] {
        let path = workspace.path(".sprat").join(file);
        if path.exists() {
            std::fs::rename(&path, workspace.path(file)).unwrap();
        }
    }
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl"]);
    assert_eq!(ran.code, 0, "{ran}");
    let ran = workspace.sprat(&["ask", "tickets", "where is my parcel?", "--json"]);
    assert_eq!(ran.json()["answered_by"], "linear", "{ran}");
}
