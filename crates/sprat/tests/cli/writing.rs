//! A decoder that writes texts: long ones in pieces, and what belongs into holes. It is the tiny one that knows some words, and
//! it writes for whom a text is.

use serde_json::{Value, json};
use sprat_engine::tiny::Knowing;

use crate::workspace::{Ran, Workspace};

const LABELS: [&str; 3] = ["billing", "refund", "technical"];
/// Three words for each label, in their order; the others say nothing.
const WORDS: [&str; 18] = [
    "invoice", "charged", "receipt", "money", "back", "returned", "crash", "error", "broken", "the", "my",
    "again", "today", "please", "was", "hello", "still", "and",
];
const TELLING: usize = 9;
/// The least that a model can look back on.
const CONTEXT: u32 = 256;
const ROWS: usize = 700;

const TASK: &str = "\
kind = \"generate\"
instructions = \"Which team?\"
rungs = [\"small\"]
large = \"large\"

[quality]
metric = \"exact\"

[target]
max_error = 0.05
";

/// A workspace with a task `teams`, a small model, and a large one that knows the answer to each row.
fn workspace(more: &str, rows: &[(String, String)]) -> Workspace {
    let workspace = Workspace::empty();
    let config = format!(
        "[models.small]\nkind = \"decoder\"\nsource = \"path:tiny.gguf\"\ncontext = {CONTEXT}\nthreads = 1\n\n\
         [models.large]\nkind = \"remote\"\nprovider = \"replay\"\nmodel = \"authored\"\npath = \"answers.jsonl\"\n"
    );
    workspace.write("sprat.toml", config).write("tasks/teams.toml", format!("{more}\n{TASK}"));
    write_model(&workspace, true);
    let lines = |line: &dyn Fn(&(String, String)) -> Value| {
        rows.iter().map(|row| format!("{}\n", line(row))).collect::<String>()
    };
    workspace.write("rows.jsonl", lines(&|(text, label)| json!({"text": text, "label": label})));
    let answer =
        |(text, label): &(String, String)| json!({"text": text, "answer": label, "provenance": "authored"});
    workspace.write("answers.jsonl", lines(&answer));
    workspace
}

fn write_model(workspace: &Workspace, writes: bool) {
    let words: Vec<(&str, Option<usize>)> =
        WORDS.iter().enumerate().map(|(at, word)| (*word, (at < TELLING).then_some(at / 3))).collect();
    let model = Knowing { labels: &LABELS, words: &words, context: CONTEXT, writes };
    model.write(&workspace.path("tiny.gguf")).unwrap();
}

/// Numbers that are the same on every machine.
struct Draw(usize);

impl Draw {
    fn of(number: usize) -> Self {
        Self(number.wrapping_mul(0x9E37_79B9) >> 3)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    /// Words of which so many speak for a label, and so many for none.
    fn words(&mut self, label: usize, telling: usize, others: usize) -> Vec<&'static str> {
        let mut words: Vec<&str> =
            (0..others).map(|_| WORDS[TELLING + self.below(WORDS.len() - TELLING)]).collect();
        for _ in 0..telling {
            let place = self.below(words.len() + 1);
            words.insert(place, WORDS[3 * label + self.below(3)]);
        }
        words
    }
}

/// A line about one team; or, each fourth time, a paragraph about each of three, together more than can be looked back on.
fn letter(number: usize) -> (String, String) {
    let mut draw = Draw::of(number);
    if !number.is_multiple_of(4) {
        let label = number % 3;
        let others = 3 + draw.below(4);
        return (format!("{} {number}", draw.words(label, 4, others).join(" ")), LABELS[label].to_owned());
    }
    let labels = [number / 4, number / 12, number / 36].map(|label| label % 3);
    let paragraphs = labels.map(|label| draw.words(label, 20, 40).join(" "));
    (format!("{} {number}", paragraphs.join("\n\n")), labels.map(|label| LABELS[label]).join("\n\n"))
}

fn ask(workspace: &Workspace, text: &str) -> Value {
    workspace.sprat(&["ask", "teams", text, "--json"]).json()
}

fn learn(workspace: &Workspace) -> Ran {
    workspace.sprat(&["learn", "teams", "rows.jsonl", "--json"])
}

#[test]
fn texts_longer_than_the_model_can_look_back_on_are_learned_certified_and_answered_in_pieces() {
    let rows: Vec<(String, String)> = (0..ROWS).map(letter).collect();
    let pieces = workspace("long = \"join\"", &rows);
    let ran = learn(&pieces);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    assert!(evidence["rungs"][0]["accuracy"].as_f64() > Some(0.95), "{}", evidence["rungs"][0]);
    // None of the rows is this one.
    let (text, right) = letter(4 * (ROWS / 4 + 5));
    let asked = ask(&pieces, &text);
    assert_eq!(
        (&asked["answered_by"], &asked["answer"]["text"]),
        (&json!("small"), &json!(right)),
        "{asked}"
    );

    let whole = workspace("", &rows);
    let evidence = learn(&whole).json()["evidence"].clone();
    let accuracy = evidence["rungs"][0]["accuracy"].as_f64().unwrap();
    assert!((0.7..0.8).contains(&accuracy), "each fourth text is too long: {accuracy}");
    let asked = ask(&whole, &rows[4].0);
    assert_eq!(
        (&asked["answered_by"], &asked["answer"]["text"]),
        (&json!("large"), &json!(rows[4].1)),
        "{asked}"
    );
}

/// What stands around a hole, and what belongs there; each tenth time far more than can be looked back on.
fn gap(number: usize) -> (String, String) {
    let mut draw = Draw::of(number);
    let label = number % 3;
    let side = |draw: &mut Draw| draw.words(label, 2, 4).join(" ");
    let (before, behind) = (side(&mut draw), side(&mut draw));
    let far = if number.is_multiple_of(10) { draw.words(0, 0, 400).join(" ") } else { String::new() };
    (format!("{far} {number} {before} <HOLE> {behind} {far}"), LABELS[label].to_owned())
}

#[test]
fn holes_are_learned_certified_and_filled_from_both_sides() {
    let mut rows: Vec<(String, String)> = (0..ROWS).map(gap).collect();
    let workspace = workspace("hole = \"<HOLE>\"", &rows);
    let ran = learn(&workspace);
    assert_eq!(ran.code, 0, "{ran}");
    let evidence = &ran.json()["evidence"];
    assert_eq!(evidence["certificate"]["status"], "certified", "{}", evidence["certificate"]);
    for number in [ROWS + 1, ROWS + 10] {
        let (text, right) = gap(number);
        let asked = ask(&workspace, &text);
        let said = asked["answer"]["text"].as_str().map(str::trim);
        assert_eq!((&asked["answered_by"], said), (&json!("small"), Some(right.as_str())), "{asked}");
    }
    // What has no hole is nothing that the small model could fill.
    rows.push(("the money is back".to_owned(), "refund".to_owned()));
    let large = json!({"text": "the money is back", "answer": "refund", "provenance": "authored"});
    workspace.write("answers.jsonl", format!("{large}\n"));
    let asked = ask(&workspace, "the money is back");
    assert_eq!(asked["answered_by"], "large", "{asked}");
    // As a row it is a fault, with its place.
    let known = workspace.read("rows.jsonl");
    for (text, told) in [
        ("the money is back", "the text has no `<HOLE>`, and this task fills that hole"),
        ("<HOLE> is <HOLE>", "`<HOLE>` stands in the text 2 times, the second time behind 10 characters"),
    ] {
        workspace.write("rows.jsonl", format!("{known}{}\n", json!({"text": text, "label": "refund"})));
        let ran = workspace.sprat(&["learn", "teams", "rows.jsonl"]);
        assert_eq!(ran.code, 1, "{ran}");
        for part in
            [told, &format!("rows.jsonl:{}", ROWS + 1), "allowed: `<HOLE>` once in every text", "hint: "]
        {
            assert!(ran.stderr.contains(part), "{part}: {ran}");
        }
    }
}

#[test]
fn a_model_that_was_not_taught_to_fill_holes_is_refused_before_anything_is_learned() {
    let rows: Vec<(String, String)> = (0..60).map(gap).collect();
    let workspace = workspace("hole = \"<HOLE>\"", &rows);
    write_model(&workspace, false);
    let ran = workspace.sprat(&["learn", "teams", "rows.jsonl"]);
    assert_eq!(ran.code, 1, "{ran}");
    for part in
        ["tiny.gguf was not taught to fill holes", "[models.small]", "remove `hole` from tasks/teams.toml"]
    {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
}
