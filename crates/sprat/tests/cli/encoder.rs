//! A ladder of the linear rung and an encoder, through every command that meets it. The encoder is the tiny one, whose
//! numbers were drawn by lot: what it learns it learns here.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::tiny::{self, FINE_TUNED, FROZEN};
use crate::workspace::{Ran, Workspace};

fn workspace(setting: &str) -> Workspace {
    tiny::workspace("", setting, "last = \"no-answer\"")
}

fn learn(workspace: &Workspace) -> Ran {
    workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"])
}

#[test]
fn a_ladder_with_an_encoder_is_learned_certified_and_answers_everywhere() {
    let workspace = workspace(FINE_TUNED);
    let ran = learn(&workspace);
    assert_eq!(ran.code, 0, "{ran}");
    let learned = ran.json();
    let evidence = &learned["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    let [linear, encoder] = [&evidence["rungs"][0], &evidence["rungs"][1]];
    assert_eq!((&linear["kind"], &encoder["kind"]), (&json!("linear"), &json!("encoder")));
    assert!(
        encoder["accuracy"].as_f64() > linear["accuracy"].as_f64().map(|share| share + 0.1),
        "{evidence}"
    );
    assert!(linear.get("told").is_none());
    let tried = encoder["told"]["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 5, "linear, frozen and fine-tuned, alone and blended");
    assert!(!encoder["told"]["passes"].as_array().unwrap().is_empty());
    let report = workspace.read(learned["report"].as_str().unwrap());
    assert!(report.contains("What was tried") && report.contains("Loss while fine-tuning"));

    let evaluated = workspace.sprat(&["eval", "tickets", "rows.jsonl", "--json"]).json();
    assert!(evaluated["accuracy"].as_f64() > Some(0.9), "{evaluated}");
    let standing = workspace.sprat(&["status", "tickets", "--json"]).json();
    assert_eq!(standing["tasks"][0]["stale"], json!([]));
    assert!(workspace.sprat(&["doctor"]).stdout.contains("2 layers of 30"));
    assert!(learn(&workspace).json()["unchanged"].as_bool() == Some(true));
}

#[test]
fn ask_shows_the_training_rows_that_the_encoder_sees_nearest_and_their_words_where_it_is_gone() {
    let workspace = workspace(FINE_TUNED);
    assert_eq!(learn(&workspace).code, 0);
    let taught: BTreeMap<String, Value> = workspace
        .lines(".sprat/releases/tickets/1/neighbours.jsonl")
        .iter()
        .map(|row| (row["text"].as_str().unwrap().to_owned(), row["label"].clone()))
        .collect();
    let (mut right, mut asked) = (0, 0);
    // A training row is nearest to itself, and to rows that say the same in other letters.
    for (text, label) in taught.iter().filter(|(text, _)| !text.contains("my")).step_by(400) {
        let json = workspace.sprat(&["ask", "tickets", text, "--neighbours", "5", "--json"]).json();
        assert_eq!(json["neighbours_by"], "encoder", "{json}");
        let near = json["neighbours"].as_array().unwrap();
        assert_eq!((near.len(), &near[0]["text"]), (5, &json!(text)));
        assert!(near[0]["similarity"].as_f64() > Some(0.9999), "{json}");
        let similarity = |row: &Value| row["similarity"].as_f64().unwrap();
        assert!(near.windows(2).all(|pair| similarity(&pair[0]) >= similarity(&pair[1])), "{json}");
        for row in near {
            assert_eq!(&row["label"], &taught[row["text"].as_str().unwrap()]);
            right += usize::from(row["label"] == *label);
            asked += 1;
        }
    }
    assert!(asked >= 25 && right * 10 >= asked * 8, "{right} of {asked} carry the text's own label");
    let shown = workspace.sprat(&["ask", "tickets", "b d card k n"]);
    assert!(shown.stdout.contains("Nearest training rows, as encoder sees them"), "{shown}");
    assert_eq!(
        workspace.sprat(&["ask", "tickets", "card", "--neighbours", "0", "--json"]).json()["neighbours"],
        json!([])
    );

    std::fs::remove_dir_all(workspace.path("tiny")).unwrap();
    let json = workspace.sprat(&["ask", "tickets", "b d card k n", "--small-only", "--json"]).json();
    assert_eq!(json["neighbours_by"], Value::Null, "{json}");
    let near = json["neighbours"].as_array().unwrap();
    assert!(near.iter().all(|row| row["text"].as_str().unwrap().contains("card")), "{json}");
}

#[test]
fn an_encoder_taught_by_pairs_answers_and_what_that_brought_is_told() {
    let workspace = workspace("fine_tune = \"contrastive\"\n");
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl"]);
    assert_eq!(ran.code, 0, "{ran}");
    for part in [
        "the encoder fine-tuned by pairs",
        "points over the head over the encoder as it came (95% interval",
        "points over the linear model alone",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {ran}");
    }
    let learned = learn(&workspace).json();
    let told = &learned["evidence"]["rungs"][1]["told"];
    assert_eq!(told["pair_passes"].as_array().unwrap().len(), 2);
    let gains = told["gains"].as_array().unwrap();
    assert_eq!(gains.len(), 2, "over the encoder as it came, and over the linear model");
    let report = workspace.read(learned["report"].as_str().unwrap());
    assert!(report.contains("What training brought") && report.contains("Loss while fine-tuning by pairs"));
    assert_eq!(workspace.sprat(&["ask", "tickets", "where is my money"]).code, 0);
}

#[test]
fn a_base_model_that_changed_makes_the_release_stale_and_small_answers_stop() {
    let workspace = workspace(FROZEN);
    assert_eq!(learn(&workspace).code, 0);
    let ask = || workspace.sprat(&["ask", "tickets", "b refund d", "--json"]);
    assert_eq!(ask().json()["answered_by"], "linear");
    sprat_models::encoder::tiny::write(&workspace.path("tiny"), 8).unwrap();
    let standing = workspace.sprat(&["status", "tickets", "--json"]).json();
    let stale = standing["tasks"][0]["stale"].to_string();
    assert!(stale.contains("model.safetensors") && stale.contains("learn again"), "{stale}");
    let asked = ask();
    assert_eq!((asked.code, &asked.json()["answered_by"]), (1, &Value::Null), "{asked}");
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

/// Passes over the rows that a state on disk has behind it; `None` where there is none.
fn passes(state: &Path) -> Option<u64> {
    let bytes = std::fs::read(state).ok()?;
    let (length, rest) = bytes.split_first_chunk()?;
    let header: Value = serde_json::from_slice(rest.get(..u64::from_le_bytes(*length) as usize)?).ok()?;
    let place: Value = serde_json::from_str(header["__metadata__"]["state"].as_str()?).ok()?;
    place["epochs"].as_u64()
}

/// Learns until so many passes are on disk, and is killed then; the fewest and the most that were seen there.
fn killed_after(workspace: &Workspace, wanted: u64) -> (u64, u64) {
    let state = workspace.path(".sprat/releases/tickets/.unfinished/encoder.held-out.safetensors");
    let mut child = workspace.start(&["learn", "tickets", "rows.jsonl", "--json"]);
    let mut fewest = u64::MAX;
    loop {
        let seen = passes(&state);
        fewest = fewest.min(seen.unwrap_or(u64::MAX));
        if seen.is_some_and(|seen| seen >= wanted) {
            break;
        }
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it could be killed, with {seen:?} of {wanted} passes on disk"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    (fewest, passes(&state).unwrap())
}

/// What is the same however long it took: every file of the release but its record, and of that what is no time.
fn made(workspace: &Workspace) -> BTreeMap<String, Vec<u8>> {
    let ran = learn(workspace);
    assert_eq!(ran.code, 0, "{ran}");
    let entries = std::fs::read_dir(workspace.path(".sprat/releases/tickets/1")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let content = |path: &Path| match path.file_name().unwrap() {
        name if name == "release.json" => {
            let mut release: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            without_times(&mut release);
            release.to_string().into_bytes()
        }
        _ => std::fs::read(path).unwrap(),
    };
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), content(&path))).collect()
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_time = |key: &str| ["_ms", "_us"].iter().any(|unit| key.ends_with(unit));
            fields.retain(|key, _| !is_time(key));
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

#[test]
fn learning_that_was_killed_twice_goes_on_to_the_very_same_release() {
    let whole = made(&workspace(FINE_TUNED));
    assert!(whole.len() > 6, "{:?}", whole.keys());
    let killed = workspace(FINE_TUNED);
    let (_, first) = killed_after(&killed, 1);
    let (fewest, _) = killed_after(&killed, first + 1);
    assert_eq!(fewest, first, "it went on from there, and didn't begin anew");
    let resumed = made(&killed);
    // What each rung said of the rows carries the time it took; the models and calibrators carry none.
    let is_timeless = |file: &str| file.ends_with(".safetensors") || file.ends_with(".calibrator.json");
    for (file, bytes) in whole.iter().filter(|(file, _)| is_timeless(file)) {
        assert!(resumed.get(file) == Some(bytes), "{file} is another one");
    }
    assert_eq!(whole.len(), resumed.len());
    assert!(!killed.path(".sprat/releases/tickets/.unfinished").exists(), "gone with the end of the work");
}

#[test]
fn pairs_that_were_killed_half_way_go_on_to_the_very_same_encoder() {
    let setting = "fine_tune = \"contrastive\"\n";
    let artifact = "encoder.encoder.safetensors";
    let whole = made(&workspace(setting)).remove(artifact).unwrap();
    let killed = workspace(setting);
    let mut child = killed.start(&["learn", "tickets", "rows.jsonl", "--json"]);
    let state = killed.path(".sprat/releases/tickets/.unfinished/encoder.pairs-0.safetensors");
    while passes(&state).is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(made(&killed).remove(artifact).unwrap() == whole);
    assert!(!state.exists(), "gone with the end of the work");
}
