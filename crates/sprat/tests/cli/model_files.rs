//! Language models' files: fetched as one GGUF file of many, made smaller and judged, and reckoned with before anything.

use serde_json::{Value, json};
use sprat_engine::gguf::Gguf;
use sprat_engine::tiny::{Knowing, Tiny};

use crate::decoder::workspace;
use crate::models::{hub_with, run};
use crate::workspace::{Ran, Workspace, shows};

/// The files of a folder whose names end so.
fn ending(workspace: &Workspace, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(end)).collect()
}

fn quantize(workspace: &Workspace, arguments: &[&str]) -> Ran {
    workspace.sprat(&[&["models", "quantize"], arguments].concat())
}

fn size(workspace: &Workspace, arguments: &[&str]) -> Ran {
    workspace.sprat(&[&["models", "size"], arguments].concat())
}

#[test]
fn a_smaller_file_is_made_and_said_to_be_unmeasured() {
    let workspace = Workspace::empty();
    Tiny::SMALLEST.write(&workspace.path("tiny.gguf"), 3).unwrap();
    let ran = quantize(&workspace, &["tiny.gguf", "smaller.gguf", "--to", "q8_0", "--json"]);
    let json = ran.json();
    assert_eq!((&json["gate"], &json["quantization"]), (&Value::Null, &json!("q8_0")), "{json}");
    let made = Gguf::open(&workspace.path("smaller.gguf")).unwrap();
    assert_eq!(json["size_bytes"], made.bytes);
    assert_eq!(made.tensor("blk.0.attn_q.weight").unwrap().kind.name(), "Q8_0");
    // Two layers' second halves of the feed-forward have rows of 48 numbers, and blocks have 32.
    assert_eq!(json["fallbacks"], 2);
    assert_eq!(made.tensor("blk.1.ffn_down.weight").unwrap().kind.name(), "F16");
    let shown = quantize(&workspace, &["tiny.gguf", "q4.gguf", "--to", "Q4_K_M"]).stdout;
    for part in ["16 of 21 tensors got another kind of storage than q4_k_m", "Nothing was measured"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(ending(&workspace, ".part"), [""; 0]);
    let inspected = workspace.sprat(&["models", "inspect", "path:q4.gguf", "--json"]).json();
    assert_eq!(inspected["architecture"], "llama");
}

#[test]
fn a_smaller_file_is_weighed_and_judged_by_rows_that_it_was_not_weighed_with() {
    let workspace = workspace();
    let judged = ["--rows", "rows.jsonl", "--task", "tickets", "--context", "2048", "--json"];
    let ran = quantize(&workspace, &[&["small", "q8.gguf", "--to", "q8_0"], &judged[..]].concat());
    assert_eq!(ran.code, 0, "{ran}");
    let gate = ran.json()["gate"].clone();
    let number = |key: &str| gate[key].as_f64().unwrap_or_else(|| panic!("{key}: {gate}"));
    assert_eq!(
        (&gate["rows_weighed"], &gate["rows"], &gate["unanswered"]),
        (&json!(256), &json!(944), &json!(0))
    );
    assert_eq!((&gate["passed"], &gate["labelled"]), (&json!(true), &json!(944)));
    assert!(number("flip_share") <= 0.02 && number("mean_kl_nats") < 0.05, "{gate}");
    assert!(number("parent_accuracy") > 0.95 && number("child_accuracy") > 0.95, "{gate}");
    assert_eq!(ending(&workspace, ".part"), [""; 0]);
}

#[test]
fn a_smaller_file_that_answers_otherwise_is_refused_and_kept() {
    let workspace = workspace();
    // Numbers drawn by lot know nothing: what they answer hangs by a thread.
    Tiny { context: 2_048, ..Tiny::SMALLEST }.write(&workspace.path("tiny.gguf"), 7).unwrap();
    let rows = workspace.read("rows.jsonl");
    workspace.write("some.jsonl", rows.lines().take(200).map(|row| format!("{row}\n")).collect::<String>());
    let judged = ["--rows", "some.jsonl", "--task", "tickets", "--context", "2048", "--most-flips", "0"];
    let ran = quantize(&workspace, &[&["small", "q4.gguf", "--to", "q4_0"], &judged[..]].concat());
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.stdout.contains("of the rows are answered otherwise") && ran.stdout.contains("is kept"),
        "{ran}"
    );
    assert!(workspace.path("q4.gguf").exists());
}

/// Some words about one team each, which is the answer as a label, as labels, in a record and as a text.
const KINDS: [(&str, &str); 3] = [
    (
        "labels",
        "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\nmulti = true\nrungs = [\"small\"]\nlarge = \"large\"\n",
    ),
    (
        "record",
        "kind = \"extract\"\nrungs = [\"small\"]\nlarge = \"large\"\n\n[[fields]]\nname = \"team\"\ntype = \"enum\"\n\
         values = [\"billing\", \"refund\", \"technical\"]\n",
    ),
    (
        "text",
        "kind = \"generate\"\ninstructions = \"Which team?\"\nrungs = [\"small\"]\nlarge = \"large\"\n\n\
         [quality]\nmetric = \"exact\"\n",
    ),
];

#[test]
fn whatever_a_task_asks_for_a_smaller_file_is_judged_by_it() {
    const LABELS: [&str; 3] = ["billing", "refund", "technical"];
    let words = [("invoice", Some(0)), ("money", Some(1)), ("crash", Some(2)), ("the", None), ("my", None)];
    let workspace = workspace();
    let model = Knowing { labels: &LABELS, words: &words, context: 2_048, writes: true };
    model.write(&workspace.path("tiny.gguf")).unwrap();
    for (kind, task) in KINDS {
        workspace.write(&format!("tasks/{kind}.toml"), task);
        let row = |number: usize| {
            let (word, label) = (words[number % 3].0, LABELS[number % 3]);
            let text = format!("the {word} my {word} {number}");
            let row = match kind {
                "labels" => json!({"text": text, "label": [label]}),
                "record" => json!({"text": text, "fields": {"team": label}}),
                _ => json!({"text": text, "label": label}),
            };
            format!("{row}\n")
        };
        workspace.write(&format!("{kind}.jsonl"), (0..60).map(row).collect::<String>());
        let judge = |model: &str, to: &str, most: &str| {
            let (out, rows) = (format!("{kind}-{to}-{most}.gguf"), format!("{kind}.jsonl"));
            let judged =
                ["--rows", &rows, "--task", kind, "--context", "2048", "--most-flips", most, "--json"];
            quantize(&workspace, &[&[model, &out, "--to", to], &judged[..]].concat())
        };
        let ran = judge("small", "q8_0", "0.05");
        let gate = ran.json()["gate"].clone();
        println!("{kind}: {gate}");
        assert_eq!((ran.code, &gate["rows"], &gate["rows_weighed"]), (0, &json!(30), &json!(30)), "{ran}");
        assert!(gate["mean_kl_nats"].as_f64().is_some_and(|lost| lost.abs() < 0.05), "{gate}");
        assert_eq!(gate["labelled"], 30, "{gate}");
    }
}

#[test]
fn what_can_t_be_made_smaller_is_said_before_anything_is_written() {
    let workspace = workspace();
    quantize(&workspace, &["small", "q8.gguf", "--to", "q8_0"]);
    workspace.write("text.gguf", "no model");
    workspace.write("few.jsonl", "{\"text\": \"a\", \"label\": \"billing\"}\n");
    for (name, arguments) in [
        ("quantizing what is quantized", &["q8.gguf", "q4.gguf", "--to", "q4_0"][..]),
        ("quantizing onto a file", &["small", "q8.gguf", "--to", "q4_0"]),
        ("quantizing into no folder", &["small", "nowhere/q4.gguf", "--to", "q4_0"]),
        ("quantizing what is no model", &["text.gguf", "q4.gguf", "--to", "q4_0"]),
        ("quantizing to what is none", &["small", "q4.gguf", "--to", "q3_k"]),
        ("quantizing a remote model", &["large", "q4.gguf", "--to", "q4_0"]),
        (
            "quantizing by a handful of rows",
            &["small", "q4.gguf", "--to", "q4_0", "--rows", "few.jsonl", "--task", "tickets"],
        ),
    ] {
        let ran = quantize(&workspace, arguments);
        assert_eq!(ran.code, 1, "{ran}");
        shows!(name, ran);
    }
    // What stands before every text doesn't fit: the process says so, and nothing is left lying about.
    let arguments = ["small", "q4.gguf", "--to", "q4_0", "--rows", "rows.jsonl", "--task", "tickets"];
    let ran = quantize(&workspace, &[&arguments[..], &["--context", "64"]].concat());
    assert!(ran.code == 2 && ran.stderr.contains("tokens stand before every text"), "{ran}");
    assert!(!workspace.path("q4.gguf").exists());
    assert_eq!(ending(&workspace, ".part"), [""; 0]);
}

#[test]
fn what_fits_is_reckoned_from_the_table_of_tensors() {
    let workspace = workspace();
    let json = size(&workspace, &["small", "--context", "1024", "--gpu", "l4", "--json"]).json();
    let sizes = json["sizes"].as_array().unwrap();
    let names: Vec<&str> = sizes.iter().map(|size| size["quantization"].as_str().unwrap()).collect();
    assert_eq!(names, ["as it is", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]);
    for size in sizes {
        let part = |key: &str| size[key].as_u64().unwrap();
        // One layer with a key and a value of 32 numbers of 16 bits for each token.
        assert_eq!(part("context_bytes"), 1_024 * 2 * 32 * 2);
        assert_eq!(
            part("total_bytes"),
            part("weights_bytes") + part("context_bytes") + part("computing_bytes"),
            "{size}"
        );
        assert_eq!(size["fits"], true);
    }
    // A data sheet's bytes a second, over all that is read for a token: the whole file but its first matrix.
    let made = Gguf::open(&workspace.path("tiny.gguf")).unwrap();
    let read: u64 = made
        .tensors
        .iter()
        .filter(|tensor| tensor.name != "token_embd.weight")
        .map(|t| t.bytes().unwrap())
        .sum();
    let predicted = sizes[0]["tokens_per_second"][0].as_f64().unwrap();
    assert!((predicted - 300e9 / read as f64).abs() < 1.0, "{predicted}");
    let small = size(&workspace, &["small", "--memory", "0.001", "--json"]).json();
    assert!(small["sizes"].as_array().unwrap().iter().all(|size| size["fits"] == false));
    assert_eq!(small["place"]["measured"], true);
    assert!(small["place"]["bytes_per_second"].as_f64() > Some(1e8), "{small}");
}

#[test]
fn a_prediction_is_checked_by_running_the_file() {
    let workspace = Workspace::empty();
    Tiny::SMALLEST.write(&workspace.path("tiny.gguf"), 3).unwrap();
    let check =
        size(&workspace, &["tiny.gguf", "--context", "512", "--check", "--json"]).json()["check"].clone();
    assert!(check["measured_tokens_per_second"].as_f64() > Some(0.0), "{check}");
    assert!(check["predicted_tokens_per_second"].as_f64() > Some(0.0), "{check}");
}

#[test]
fn public_models_are_reckoned_from_their_shapes() {
    let workspace = Workspace::empty();
    let json = size(&workspace, &["--gpu", "L4", "--json"]).json();
    let models = json["models"].as_array().unwrap();
    let of = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    assert_eq!(of("Llama 3.2 1B")["fits"]["quantization"], "q8_0");
    assert_eq!(of("Mixtral 8x7B")["fits"], Value::Null, "28 GB at the least, and 21.6 there are");
    assert_eq!(of("Mixtral 8x7B")["smallest"]["quantization"], "q4_0");
    shows!("models size on a gpu", size(&workspace, &["--gpu", "rtx-3060"]));
    shows!("models size on a gpu that is none", size(&workspace, &["--gpu", "rtx-3061"]));
}

/// A repository as most are: one model at several quantizations.
fn repository(workspace: &Workspace) -> Vec<(&'static str, Vec<u8>)> {
    let small = std::fs::read(workspace.path("tiny.gguf")).unwrap();
    quantize(workspace, &["tiny.gguf", "q8.gguf", "--to", "q8_0"]);
    let smaller = std::fs::read(workspace.path("q8.gguf")).unwrap();
    vec![
        ("README.md", b"a model".to_vec()),
        ("Small-F32.gguf", small),
        ("Small-Q8_0.gguf", smaller),
        ("Small-Q4_K_M-00001-of-00002.gguf", b"half".to_vec()),
        ("Small-Q4_K_M-00002-of-00002.gguf", b"half".to_vec()),
    ]
}

#[test]
fn one_file_of_a_repository_is_pulled_and_the_rung_runs_it() {
    let workspace = workspace();
    let files = repository(&workspace);
    let hub = hub_with("small/gguf", files);
    let sprat = |arguments: &[&str]| run(&workspace, &hub, arguments);
    for (name, arguments) in [
        ("pulling one of several files", &["pull", "hf:small/gguf"][..]),
        ("pulling a file in parts", &["pull", "hf:small/gguf", "--quantization", "q4_k_m"]),
        ("pulling a quantization that isn't there", &["pull", "hf:small/gguf#q5_k_m"]),
        ("pulling two files at once", &["pull", "hf:small/gguf#q8_0", "--file", "Small-F32.gguf"]),
    ] {
        let ran = sprat(arguments);
        assert_eq!(ran.code, 1, "{ran}");
        shows!(name, ran);
    }
    let config = workspace.read("sprat.toml");
    workspace.write(
        "sprat.toml",
        config.replace("source = \"path:tiny.gguf\"", "source = \"hf:small/gguf\"\nfile = \"q8_0\""),
    );
    let ran = sprat(&["inspect", "small"]);
    assert!(ran.code == 1 && ran.stderr.contains("sprat models pull hf:small/gguf#q8_0"), "{ran}");
    assert_eq!(sprat(&["pull"]).code, 0);
    assert_eq!(sprat(&["pull", "hf:small/gguf", "--file", "Small-F32.gguf"]).code, 0);
    let pulled = sprat(&["list", "--json"]).json()["pulled"].clone();
    let revisions: Vec<&Value> = pulled.as_array().unwrap().iter().map(|model| &model["revisions"]).collect();
    assert_eq!(revisions, [&json!(["main#Small-F32.gguf"]), &json!(["main#q8_0"])]);
    let inspected = sprat(&["inspect", "small", "--json"]).json();
    assert_eq!(inspected["stored_as"], "Q8_0");
    assert_eq!(sprat(&["inspect", "hf:small/gguf#Small-F32.gguf", "--json"]).json()["stored_as"], "F32");
    // The rung answers from the file that was pulled.
    let learned = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"]);
    assert_eq!(learned.json()["evidence"]["certificate"]["status"], "certified", "{learned}");
    assert_eq!(sprat(&["remove", "hf:small/gguf#Small-F32.gguf"]).code, 0);
    assert_eq!(sprat(&["inspect", "small"]).code, 0, "the other file is still there");
}
