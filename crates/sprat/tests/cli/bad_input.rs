//! What strangers' files hold: each fault told with its place and a next step, and nothing that is text refused.

use crate::provider::{Provider, Reply};
use crate::workspace::{Ran, Workspace, shows};

const TASK: &str = "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\n";

/// Sixty rows of JSON that can be learned from.
fn rows() -> String {
    const WORDS: [(&str, &str); 3] = [
        ("billing", "the invoice of my card was charged"),
        ("refund", "send my money back for what I returned"),
        ("technical", "the screen of the app shows an error"),
    ];
    let row = |number: usize| {
        let (label, words) = WORDS[number % 3];
        format!("{{\"text\": \"{words} {}\", \"label\": \"{label}\"}}\n", number * 7919 % 1_000)
    };
    (0..60).map(row).collect()
}

fn learn(file: &str, bytes: impl AsRef<[u8]>) -> Ran {
    let workspace = Workspace::with("", TASK);
    workspace.write(file, bytes);
    let ran = workspace.sprat(&["learn", "tickets", file]);
    assert!(!workspace.path(".sprat/releases").exists() || ran.code == 0, "{ran}");
    ran
}

#[test]
fn rows_that_cannot_be_learned_from_are_told_with_their_place() {
    let parquet = [&b"PAR1\x15\x04\x15\x20"[..], &[0; 400]].concat();
    let one_class: String =
        (0..60).map(|row| format!("money back {},refund\n", row * 7919 % 1_000)).collect();
    let cases: [(&str, &str, Vec<u8>); 15] = [
        ("empty file", "rows.csv", b"".into()),
        ("header only", "rows.csv", b"text,label\n".into()),
        ("missing text column", "rows.csv", b"body,label\nmoney back,refund\n".into()),
        ("missing label column", "rows.csv", b"text,team\nmoney back,refund\n".into()),
        ("unknown label", "rows.csv", b"text,label\nmoney,refund\nmoney back,refnud\n".into()),
        ("one class only", "rows.csv", format!("text,label\n{one_class}").into()),
        (
            "three rows",
            "rows.csv",
            b"text,label\nmy money,refund\nmy card,billing\nmy app,technical\n".into(),
        ),
        ("NUL byte", "rows.csv", b"text,label\nfine,refund\nmoney\0back,refund\n".into()),
        ("lone surrogate", "rows.jsonl", br#"{"text": "half a face: \ud800", "label": "refund"}"#.into()),
        ("invalid UTF-8", "rows.csv", b"text,label\nfine,refund\nthe caf\xe9 card,billing\n".into()),
        ("ragged row", "rows.csv", b"text,label\nfine,refund\nmy card, again,billing\n".into()),
        ("quote never closed", "rows.csv", b"text,label\n\"fine,refund\nmy card,billing\n".into()),
        ("truncated Parquet", "rows.parquet", parquet),
        ("line of another shape", "rows.jsonl", b"[\"money back\", \"refund\"]\n".into()),
        ("file that is not there", "other.txt", b"".into()),
    ];
    for (name, file, bytes) in cases {
        let ran = if name == "file that is not there" {
            Workspace::with("", TASK).sprat(&["learn", "tickets", "rows.csv"])
        } else {
            learn(file, bytes)
        };
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{name}: {ran}");
        shows!(format!("learning from {name}"), ran);
    }
}

#[test]
fn a_fault_of_the_rows_under_json_is_one_object_with_its_place() {
    let workspace = Workspace::with("", TASK);
    workspace.write("rows.csv", "text,label\nmoney back,refnud\n");
    let ran = workspace.sprat(&["learn", "tickets", "rows.csv", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran}");
    shows!("learning from unknown label as json", ran);
    ran.json();
}

#[test]
fn bad_rows_are_set_aside_where_that_was_asked_for() {
    let workspace = Workspace::with("", TASK);
    let bad =
        "{\"text\": \"\\ud800\", \"label\": \"refund\"}\n{\"text\": \"money\", \"label\": \"refnud\"}\n{\"te";
    workspace.write("rows.jsonl", rows() + bad);
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--rejects", "bad.jsonl", "--json"]);
    assert_eq!((ran.code, ran.json()["evidence"]["rows"]["read"].as_u64()), (0, Some(60)), "{ran}");
    shows!("bad rows set aside", ran.stderr);
    shows!("the bad rows", workspace.read("bad.jsonl"));
}

/// The sentences about the rows, after learning from sixty good ones and these.
fn notices(more: &str) -> String {
    let workspace = Workspace::with("", TASK);
    workspace.write("rows.jsonl", rows() + more);
    let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let json = ran.json();
    assert_eq!(json["evidence"]["rows"]["read"], 60 + more.lines().count(), "{ran}");
    let notices = json["evidence"]["notices"].as_array().unwrap().iter();
    notices.map(|notice| format!("- {}\n", notice.as_str().unwrap())).collect()
}

#[test]
fn odd_rows_are_learned_from_and_pointed_out() {
    let long = format!("{{\"text\": \"{}\", \"label\": \"refund\"}}\n", "money back ".repeat(9_091));
    let twice = "{\"text\": \"same text\", \"label\": \"refund\"}\n{\"text\": \"same text\", \"label\": \"billing\"}\n";
    let scripts = "{\"text\": \"أريد استرداد أموالي\", \"label\": \"refund\"}\n\
                   {\"text\": \"החזר כספי בבקשה\", \"label\": \"refund\"}\n\
                   {\"text\": \"💸🔙😡\", \"label\": \"refund\"}\n";
    shows!("rows with a long text", notices(&long));
    shows!("rows with two labels for one text", notices(twice));
    assert_eq!(
        notices(scripts).replace("63 rows", "60 rows"),
        notices(""),
        "there is nothing odd about a script"
    );
}

/// Sends a file through `run`; the large model takes everything for a refund.
fn run(file: &str, bytes: impl AsRef<[u8]>) -> (Workspace, Ran, Vec<String>) {
    let provider = Provider::new(|_, _| Reply::Says("{\"label\": \"refund\"}"));
    let workspace = Workspace::with(&provider.config(""), &format!("{TASK}large = \"large\"\n"));
    workspace.write(file, bytes);
    let ran = workspace.sprat(&["run", "tickets", file, "-o", "out.jsonl", "--json"]);
    (workspace, ran, provider.asked())
}

#[test]
fn a_row_that_cannot_be_asked_stays_with_its_error_and_the_others_are_answered() {
    for (name, file, bytes) in [
        (
            "a broken CSV",
            "in.csv",
            &b"id,text\n1,fine\n2,money\0back\n3,the caf\xe9 card\n4,my card, again\n5\n6,\n7,fine too\n"[..],
        ),
        (
            "broken JSON lines",
            "in.jsonl",
            b"{\"text\": \"fine\"}\n{\"text\": \"half \\ud800\"}\n[1]\n{\"body\": \"x\"}\n{\"text\": 3}\n{\"te\n",
        ),
    ] {
        let (workspace, ran, _) = run(file, bytes);
        assert_eq!(ran.code, 0, "{name}: {ran}");
        let shown = |row: &serde_json::Value| format!("{} {}\n", row["answer"], row["error"]);
        let told: String = workspace.lines("out.jsonl").iter().map(shown).collect();
        shows!(format!("answers to {name}"), told);
    }
}

#[test]
fn every_text_that_is_text_reaches_the_model_as_it_was_written() {
    let long = "money back ".repeat(9_091);
    let texts = [
        "أريد استرداد أموالي",
        "💸🔙 \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        long.trim(),
        "a \"quoted\", text",
    ];
    let lines = texts.map(|text| serde_json::json!({ "text": text }).to_string());
    let (workspace, ran, mut asked) = run("in.jsonl", lines.join("\n"));
    assert_eq!(ran.code, 0, "{ran}");
    let written: Vec<String> =
        workspace.lines("out.jsonl").iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(written, texts);
    asked.sort();
    let mut texts = texts;
    texts.sort_unstable();
    assert_eq!(asked, texts);
}

#[test]
fn a_file_that_holds_no_rows_to_answer_is_told_and_nothing_is_asked() {
    for (name, file, bytes) in [
        ("empty file", "in.csv", &b""[..]),
        ("missing text column", "in.csv", b"body\nx\n"),
        ("truncated Parquet", "in.parquet", b"PAR1\x15\x04\x15"),
    ] {
        let (workspace, ran, asked) = run(file, bytes);
        assert_eq!((ran.code, asked.len()), (1, 0), "{name}: {ran}");
        assert!(!workspace.path("out.jsonl").exists());
        let ran = workspace.sprat(&["run", "tickets", file, "-o", "out.jsonl"]);
        shows!(format!("running on {name}"), ran.stderr);
    }
    let (workspace, ran, _) = run("in.csv", "text\n");
    assert_eq!(
        (ran.code, ran.json()["rows"].as_u64(), workspace.read("out.jsonl").as_str()),
        (0, Some(0), "")
    );
}

const CALL: &str = "{\"model\": \"gpt-5-mini\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \
                    \"response\": {\"choices\": [{\"message\": {\"role\": \"assistant\", \"content\": \"refund\"}}]}}\n";

#[test]
fn a_log_with_half_a_line_gives_its_whole_ones() {
    let workspace = Workspace::with("", TASK);
    workspace.write("calls.jsonl", CALL.repeat(2) + &CALL[..60]);
    let ran = workspace.sprat(&["import", "calls.jsonl", "--rejects", "bad.jsonl"]);
    assert_eq!(workspace.read("bad.jsonl"), format!("{}\n", &CALL[..60]));
    shows!("importing half a line", ran);
    shows!("importing it again", workspace.sprat(&["import", "calls.jsonl"]));
}

#[test]
fn a_log_without_calls_is_told() {
    let workspace = Workspace::with("", TASK);
    for (name, text) in [
        ("empty log", &b""[..]),
        ("rows instead of a log", b"{\"text\": \"money back\", \"label\": \"refund\"}\n"),
        ("log of bytes", b"\x00\xff\xfe\n\x80\n"),
    ] {
        workspace.write("calls.jsonl", text);
        let ran = workspace.sprat(&["import", "calls.jsonl"]);
        assert_eq!(ran.code, 1, "{name}: {ran}");
        shows!(format!("importing {name}"), ran);
    }
}
