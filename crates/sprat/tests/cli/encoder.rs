//! A ladder of the linear rung and an encoder, through every command that meets it. The encoder is the tiny one, whose
//! numbers were drawn by lot: what it learns it learns here.

use serde_json::json;

use crate::workspace::{Ran, Workspace};

const MODEL: &str = "\n[models.encoder]\nkind = \"encoder\"\nsource = \"path:tiny\"\nepochs = 2\n";

/// examples/tickets with an encoder above the linear rung.
fn workspace(setting: &str) -> Workspace {
    let workspace = Workspace::tickets();
    sprat_models::encoder::tiny::write(&workspace.path("tiny"), 7).unwrap();
    workspace.write("sprat.toml", format!("{}{MODEL}{setting}", workspace.read("sprat.toml")));
    let task = workspace.read("tasks/tickets.toml");
    let rungs: Vec<&str> = task.lines().filter(|line| !line.starts_with("rungs")).collect();
    let (first, rest) = rungs.split_first().unwrap();
    workspace.write(
        "tasks/tickets.toml",
        format!("{first}\nrungs = [\"linear\", \"encoder\"]\n{}\n", rest.join("\n")),
    );
    workspace
}

fn learn(workspace: &Workspace) -> Ran {
    workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"])
}

#[test]
fn a_ladder_with_an_encoder_is_learned_certified_and_answers_everywhere() {
    let workspace = workspace("fine_tune = \"always\"\n");
    let ran = learn(&workspace);
    assert_eq!(ran.code, 0, "{ran}");
    let learned = ran.json();
    let evidence = &learned["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    let [linear, encoder] = [&evidence["rungs"][0], &evidence["rungs"][1]];
    assert_eq!((&linear["kind"], &encoder["kind"]), (&json!("linear"), &json!("encoder")));
    assert!(linear.get("told").is_none());
    let tried = encoder["told"]["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 5, "linear, frozen and fine-tuned, alone and blended");
    assert_eq!(encoder["told"]["passes"].as_array().unwrap().len(), 2);
    let report = workspace.read(learned["report"].as_str().unwrap());
    assert!(report.contains("What was tried") && report.contains("Loss while fine-tuning"));

    let asked = workspace.sprat(&["ask", "tickets", "where is my money", "--json"]);
    assert_eq!(asked.code, 0, "{asked}");
    let evaluated = workspace.sprat(&["eval", "tickets", "rows.jsonl", "--json"]).json();
    assert!(evaluated["accuracy"].as_f64() > Some(0.8), "{evaluated}");
    let standing = workspace.sprat(&["status", "tickets", "--json"]).json();
    assert_eq!(standing["tasks"][0]["stale"], json!([]));
    assert!(workspace.sprat(&["doctor"]).stdout.contains("2 layers of 30"));
    assert!(learn(&workspace).json()["unchanged"].as_bool() == Some(true));
}

#[test]
fn a_base_model_that_changed_makes_the_release_stale_and_small_answers_stop() {
    let workspace = workspace("fine_tune = \"never\"\n");
    assert_eq!(learn(&workspace).code, 0);
    sprat_models::encoder::tiny::write(&workspace.path("tiny"), 8).unwrap();
    let standing = workspace.sprat(&["status", "tickets", "--json"]).json();
    let stale = standing["tasks"][0]["stale"].to_string();
    assert!(stale.contains("model.safetensors") && stale.contains("learn again"), "{stale}");
    let asked = workspace.sprat(&["ask", "tickets", "i want my money back", "--json"]).json();
    assert_ne!(asked["answered_by"], "encoder", "{asked}");
    assert_ne!(asked["answered_by"], "linear", "{asked}");
}

#[test]
fn without_the_base_models_files_nothing_is_learned_and_the_next_step_is_told() {
    let workspace = workspace("");
    std::fs::remove_dir_all(workspace.path("tiny")).unwrap();
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl"]);
    assert_eq!(ran.code, 1, "{ran}");
    for part in ["no such folder", "model.safetensors", "[models.encoder]"] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
}

#[test]
fn learning_that_was_killed_half_way_goes_on_to_the_very_same_model() {
    let artifact = |workspace: &Workspace| {
        let ran = learn(workspace);
        assert_eq!(ran.code, 0, "{ran}");
        std::fs::read(workspace.path(".sprat/releases/tickets/1/encoder.encoder.safetensors")).unwrap()
    };
    let setting = "fine_tune = \"always\"\n";
    let whole = artifact(&workspace(setting));
    let killed = workspace(setting);
    let mut child = killed.start(&["learn", "tickets", "rows.jsonl", "--json"]);
    let state = killed.path(".sprat/releases/tickets/.unfinished/encoder.held-out.safetensors");
    while !state.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(artifact(&killed) == whole);
    assert!(!state.exists(), "what was kept is gone with the end of the work");
}
