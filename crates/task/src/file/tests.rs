use super::*;
use crate::input::Input;
use crate::judge::Judgements;
use crate::prediction::Answer;
use crate::quality::Quality;
use crate::target::Guarantee;
use crate::task::Last;

const DESIGN_EXAMPLE: &str = r#"
kind = "classify"
labels = ["billing", "refund", "technical"]
out_of_scope = "other"
instructions = "Which team should handle this ticket?"
rungs = ["linear", "encoder", "small"]
large = "large"
[target]
max_error = 0.05
confidence = 0.95
risk = "selective"
guarantee = "gold"
latency_p95_ms = 100
saving = 0.70
[match]
system_prompt_contains = "route the ticket"
input = "last_user_message"
[capture]
enabled = false
retention_days = 30
redact = ["email", "phone", "card", "iban"]
[audit]
rate = "auto"
"#;

fn read(text: &str) -> Result<Task, Problem> {
    read_task("tickets", &Source::new("tasks/tickets.toml", text), |path| match path {
        "labels.txt" => Ok("billing\nrefund\n\ntechnical\n".to_owned()),
        "twice.txt" => Ok("billing\nrefund\nbilling\n".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    })
}

fn fault(text: &str) -> String {
    read(text).expect_err("the file is wrong").to_string()
}

#[test]
fn the_example_of_the_design_is_a_task() {
    let task = read(DESIGN_EXAMPLE).expect("valid");
    assert_eq!(task.labels.len(), 4, "the out-of-scope label joins the labels");
    assert_eq!(task.last, Last::Large("large".into()));
    assert_eq!(task.target.guarantee, Some(Guarantee::Gold));
    assert_eq!(task.target.max_error_when_answered, 0.10);
    assert_eq!(task.target.latency_p95_ms, Some(100.0));
    assert_eq!(task.matching.as_ref().map(|m| &m.input), Some(&InputRule::LastUserMessage));
}

#[test]
fn labels_may_stand_in_a_file_of_their_own() {
    let task = read("kind = \"classify\"\nlabels_from = \"labels.txt\"").expect("valid");
    assert_eq!(task.labels.iter().map(Label::as_str).collect::<Vec<_>>(), ["billing", "refund", "technical"]);
}

#[test]
fn the_shortest_task_has_the_documented_defaults() {
    let task = read("kind = \"classify\"\nlabels = [\"a\", \"b\"]").expect("valid");
    assert_eq!(task.rungs, [ModelId::from("linear")]);
    assert_eq!(task.last, Last::NoAnswer);
    assert_eq!(task.target, Target::default());
    assert!(!task.capture.enabled);
}

#[test]
fn the_fields_of_a_task_are_read_in_their_order_and_found_by_a_tagger() {
    let text = "kind = \"extract\"\n\
        [[fields]]\nname = \"total\"\ntype = \"money\"\ncurrency = \"EUR\"\nrequired = true\ndecimal = \",\"\n\
        [[fields]]\nname = \"code\"\ntype = \"text\"\npattern = '[A-Z]+-\\d+'\nexamples = [\"AB-1\"]\n\
        [[fields]]\nname = \"size\"\ntype = \"enum\"\nvalues = [\"small\", \"large\"]\nsynonyms = { big = \"large\" }";
    let task = read(text).expect("valid");
    assert_eq!(
        task.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(),
        ["total", "code", "size"]
    );
    assert!(task.fields[0].required && !task.fields[1].required);
    assert!(
        task.fields[1]
            .pattern
            .as_ref()
            .is_some_and(|pattern| pattern.matches("AB-12") && !pattern.matches("xAB-12"))
    );
    assert_eq!(task.rungs, [ModelId::from("tagger")]);
    let other = read(&text.replace("large", "tall")).expect("valid");
    assert_ne!(task.labels_hash(), other.labels_hash(), "a certificate dies with the fields");
    let again: Task = serde_json::from_str(&serde_json::to_string(&task).expect("JSON")).expect("the same");
    assert_eq!(again, task);
}

/// What is wrong, and the beginning and a part of what is said of it.
#[test]
fn every_fault_says_what_where_and_what_would_be_right() {
    let base = "kind = \"classify\"\nlabels = [\"billing\", \"refund\"]\n";
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "kind = \"clasify\"\nlabels = [\"a\", \"b\"]",
            "error: `clasify` is not a kind of task\n  --> tasks/tickets.toml:1:8",
            &["did you mean `classify`?"],
        ),
        ("labels = [\"a\", \"b\"]", "error: the key `kind` is missing", &[]),
        ("kind = \"classify\"", "error: a task of kind `classify` needs `labels`", &["labels_from"]),
        (
            "kind = \"classify\"\nlabels = [\"a\", \"b\", \"a\"]",
            "error: label `a` is listed twice\n  --> tasks/tickets.toml:2:21",
            &["^^^"],
        ),
        (
            "kind = \"classify\"\nlabels = [\"a\"]",
            "error: a task needs at least two labels",
            &["tickets.toml:2:10"],
        ),
        ("kind = \"classify\"\nlabels = [\"a|b\", \"c\"]", "error: label `a|b` contains `|`", &[]),
        (
            "kind = \"classify\"\nlabels_from = \"twice.txt\"",
            "error: label `billing` is listed twice\n  --> twice.txt:3",
            &[],
        ),
        (
            "kind = \"classify\"\nlabels_from = \"gone.txt\"",
            "error: `gone.txt` can't be read: No such file",
            &["tickets.toml:2:15"],
        ),
        (
            "kind = \"classify\"\nlables = [\"a\", \"b\"]",
            "error: unknown key `lables`\n  --> tasks/tickets.toml:2:1",
            &["did you mean `labels`?", "^^^^^^"],
        ),
        (
            "kind = \"classify\"\nlabels = \"a\"",
            "error: wrong type: found string \"a\"",
            &["tickets.toml:2:10"],
        ),
        ("kind = \"classify\"\nlabels = [\"a\", \"b\"", "error: ", &["tickets.toml:2"]),
        ("kind = \"extract\"\nlabels = [\"a\", \"b\"]", "error: a task of kind `extract` has no labels", &[]),
        ("kind = \"generate\"\nmulti = true", "error: `multi` means several labels a row", &[]),
        ("kind = \"extract\"", "error: a task of kind `extract` needs `[[fields]]`", &["type = \"money\""]),
    ];
    let field = "kind = \"extract\"\n[[fields]]\nname = \"size\"\n";
    let in_field: &[(&str, &str, &[&str])] = &[
        ("", "error: the key `type` is missing", &[]),
        (
            "type = \"txt\"",
            "error: `txt` is not a type of field\n  --> tasks/tickets.toml:4:8",
            &["did you mean `text`?"],
        ),
        ("type = \"text\"\nreqired = true", "error: unknown key `reqired`", &["did you mean `required`?"]),
        (
            "type = \"text\"\n[[fields]]\nname = \" \"\ntype = \"text\"",
            "error: ` ` can't name a field",
            &["6:8"],
        ),
        ("type = \"enum\"", "error: field `size` is an enum and lists no `values`", &["tickets.toml:3:8"]),
        (
            "type = \"enum\"\nvalues = [\"a\", \"A\"]",
            "error: value `A` is listed twice\n  --> tasks/tickets.toml:5:16",
            &[],
        ),
        (
            "type = \"enum\"\nvalues = [\"large\"]\nsynonyms = { big = \"lagre\" }",
            "error: `lagre` is not one of the field's values\n  --> tasks/tickets.toml:6:20",
            &["did you mean `large`?"],
        ),
        (
            "type = \"number\"\npattern = \"x\"",
            "error: a field of type `number` has no `pattern`\n  --> tasks/tickets.toml:5:11",
            &["`pattern` is for text and list"],
        ),
        (
            "type = \"text\"\npattern = \"(\"",
            "error: `pattern` is no regular expression",
            &["tickets.toml:5:11"],
        ),
        (
            "type = \"text\"\npattern = '\\d+'\nexamples = [\"12\", \"x\"]",
            "error: `x` is not a value of field `size`\n  --> tasks/tickets.toml:6:19",
            &[],
        ),
        ("type = \"date\"\norder = \"dym\"", "error: `dym` is not an order", &["dmy, mdy, ymd"]),
        ("type = \"money\"\ncurrency = \"eur\"", "error: `eur` is not a currency", &["EUR"]),
        ("type = \"money\"\ndecimal = \";\"", "error: `;` is no decimal point", &["tickets.toml:5:11"]),
        (
            "type = \"text\"\n[[fields]]\nname = \"size\"\ntype = \"text\"",
            "error: field `size` is declared twice\n  --> tasks/tickets.toml:6:8",
            &[],
        ),
    ];
    for (text, start, parts) in in_field {
        check(&format!("{field}{text}"), start, parts);
    }
    check(
        "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n[[fields]]\nname = \"x\"\ntype = \"text\"",
        "error: a task of kind `classify` has no fields\n  --> tasks/tickets.toml:4:8",
        &["kind = \"extract\""],
    );
    let in_table: &[(&str, &str, &[&str])] = &[
        ("rungs = []", "error: a ladder needs at least one rung", &[]),
        ("rungs = [\"linear\", \"linear\"]", "error: rung `linear` is listed twice", &[]),
        (
            "rungs = [\"small\", \"Small\"]",
            "error: rungs `small` and `Small` differ in upper and lower case alone",
            &["another name"],
        ),
        ("rungs = [\"big\"]\nlarge = \"big\"", "error: `big` is both a rung and the large model", &[]),
        ("large = \"big\"\nlast = \"people\"", "error: `large` and `last` are both given", &[]),
        ("last = \"poeple\"", "error: `poeple` is not an end of a ladder", &["did you mean `people`?"]),
        (
            "[target]\nmax_error = 5",
            "error: `max_error` = 5 is out of range\n  --> tasks/tickets.toml:4:13",
            &["5% is max_error = 0.05"],
        ),
        (
            "[target]\nmax_error = 0.7",
            "error: `max_error` = 0.7 would accept answers that are mostly wrong",
            &[],
        ),
        (
            "[target]\nconfidence = 1.0",
            "error: `confidence` = 1 is out of range",
            &["more than 0 and less than 1"],
        ),
        ("[target]\nmax_error = nan", "error: `max_error` = NaN is out of range", &[]),
        (
            "[target]\nrisk = \"selectiv\"",
            "error: `selectiv` is not a value this key knows",
            &["did you mean `selective`?"],
        ),
        ("[target]\nmax_eror = 0.1", "error: unknown key `max_eror`", &["did you mean `max_error`?"]),
        ("[target]\nmistake_cost = -1.0", "error: `mistake_cost` = -1 is out of range", &[]),
        (
            "[[target.slice]]\nlabel = \"refnud\"\nmax_error = 0.1",
            "error: label `refnud` is not one of this task's labels",
            &["allowed: billing, refund", "did you mean `refund`?"],
        ),
        ("[match]\nsystem_prompt_contains = \" \"", "error: an empty `system_prompt_contains`", &[]),
        (
            "[match]\nsystem_prompt_contains = \"x\"\ninput = \"first\"",
            "error: `first` doesn't say where the input is",
            &["{input}"],
        ),
        (
            "[match]\nsystem_prompt_contains = \"x\"\nlower = true",
            "error: `lower` = true, and `bound_to` lists no call",
            &["sprat serve --shadow", "x-sprat-call-hash"],
        ),
        (
            "[match]\nsystem_prompt_contains = \"x\"\nbound_to = [\"E3B0\"]",
            "error: `E3B0` is not the hash of a call",
            &["64 hexadecimal digits"],
        ),
        (
            "[capture]\nredact = [\"emial\"]",
            "error: `emial` is not something that can be redacted",
            &["did you mean `email`?"],
        ),
        ("[audit]\nrate = 2.0", "error: `rate` = 2.0 is not a share", &[]),
    ];
    for (text, start, parts) in rows {
        check(text, start, parts);
    }
    for (text, start, parts) in in_table {
        check(&format!("{base}{text}"), start, parts);
    }
}

fn check(text: &str, start: &str, parts: &[&str]) {
    let said = fault(text);
    assert!(said.starts_with(start), "for {text:?}\nexpected {start}\nsaid {said}");
    for part in parts {
        assert!(said.contains(part), "for {text:?}\nexpected to contain {part}\nsaid {said}");
    }
}

#[test]
fn a_task_name_is_safe_in_a_path() {
    let source = Source::new("x.toml", DESIGN_EXAMPLE);
    let said = read_task("../evil", &source, |_| Err(String::new())).expect_err("refused").to_string();
    assert!(said.starts_with("error: `../evil` can't name a task"), "{said}");
}

/// The example with a few places cut out or exchanged.
fn almost() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let pieces = ["\"", "=", "[", "]", "[[", "\n", "nan", "-1", "1979-05-27", "{", "}", "#", "\u{0}", "é"];
    let edit = (any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(pieces.to_vec()));
    prop::collection::vec(edit, 0..5).prop_map(|edits| {
        let mut text: Vec<char> = DESIGN_EXAMPLE.chars().collect();
        for (at, length, piece) in edits {
            let from = at.index(text.len());
            text.splice(from..(from + length).min(text.len()), piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest::proptest! {
    #[test]
    fn a_file_with_any_mistake_is_a_task_or_a_problem_with_its_place(text in almost()) {
        if let Err(problem) = read(&text) {
            proptest::prop_assert!(!problem.message.is_empty());
            proptest::prop_assert!(problem.to_string().contains("tasks/tickets.toml"), "{}", problem);
        }
    }
}

#[test]
fn a_task_that_moderates_promises_something_for_each_category() {
    let task = read("kind = \"moderate\"\nlabels = [\"hate\", \"spam\"]").expect("valid");
    let missed =
        |task: &Task| task.target.recall.iter().map(|recall| recall.max_missed).collect::<Vec<f64>>();
    assert_eq!((task.multi, missed(&task)), (true, vec![0.05, 0.05]));
    assert!(task.admits(&Answer::labels([])) && !task.admits(&Answer::label("hate")));
    let task = read(
        "kind = \"moderate\"\nlabels = [\"hate\", \"spam\"]\n[target]\nmax_missed = 0.1\n\
         [[target.category]]\nlabel = \"hate\"\nmax_missed = 0.02",
    );
    assert_eq!(missed(&task.expect("valid")), [0.02, 0.1]);
    assert_eq!(read("kind = \"moderate\"\nlabels = [\"spam\"]").expect("valid").labels.len(), 1);
    for (text, said) in [
        ("kind = \"moderate\"\nlabels = []", "at least one category"),
        ("kind = \"moderate\"\nlabels = [\"a\"]\nout_of_scope = \"none\"", "no label for"),
        ("kind = \"moderate\"\nlabels = [\"a\"]\n[target]\nmax_missed = 5", "max_missed = 0.05"),
        (
            "kind = \"moderate\"\nlabels = [\"hate\"]\n[[target.category]]\nlabel = \"hat\"\nmax_missed = 0.1",
            "did you mean `hate`?",
        ),
        ("kind = \"classify\"\nlabels = [\"a\", \"b\"]\n[target]\nmax_missed = 0.1", "moderate"),
    ] {
        let problem = fault(text);
        assert!(problem.contains(said), "{problem}");
    }
}

#[test]
fn a_server_remembers_answers_unless_the_task_says_not() {
    let text = "kind = \"classify\"\nlabels = [\"a\", \"b\"]";
    assert!(read(text).expect("valid").exact_cache);
    assert!(!read(&format!("{text}\n[cache]\nexact = false")).expect("valid").exact_cache);
    assert!(fault(&format!("{text}\n[cache]\nexct = false")).contains("exct"));
}

#[test]
fn a_task_that_generates_says_when_a_text_is_good_enough() {
    let text = "kind = \"generate\"\n[quality]\nmetric = \"rouge_l\"\nleast = 0.6";
    let task = read(text).expect("valid");
    let said = |text: &str| Answer::Text(text.to_owned());
    let (input, judgements) = (Input::default(), Judgements::default());
    assert!(task.is_as_good(&input, &said("the cat is here"), &said("the cat was here"), &judgements));
    assert!(!task.is_as_good(&input, &said("a dog"), &said("the cat was here"), &judgements));
    // Whoever compares what is left of them without words comes to the same.
    let right = said("the cat was here");
    let judged = |text: &str| task.judged(&input, &said(text), Some(&right), &judgements);
    assert_eq!(judged("the cat is here"), right.without_words());
    assert_ne!(judged("a dog"), right.without_words());
    assert!(!right.without_words().to_line().contains("cat"));
    let exact = read("kind = \"generate\"\n[quality]\nmetric = \"exact\"").expect("valid");
    assert_ne!(exact.labels_hash(), task.labels_hash(), "a certificate is about one quality");
    for (text, said) in [
        ("kind = \"generate\"\n[quality]\nmetric = \"rouge\"\nleast = 0.6", "did you mean `rouge_l`?"),
        ("kind = \"generate\"\n[quality]\nmetric = \"f1\"", "add least = 0.6"),
        ("kind = \"generate\"\n[quality]\nmetric = \"f1\"\nleast = 1.5", "above 0 and up to 1"),
        ("kind = \"generate\"\n[quality]\nleast = 0.5", "metric"),
        (
            "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n[quality]\nmetric = \"exact\"",
            "compares answers, not texts",
        ),
    ] {
        let problem = fault(text);
        assert!(problem.contains(said), "{problem}");
    }
}

#[test]
fn a_task_that_generates_says_what_becomes_of_long_texts() {
    let text = "kind = \"generate\"\n[quality]\nmetric = \"exact\"";
    assert_eq!(read(text).expect("valid").long, None);
    for long in crate::Long::ALL {
        let task = read(&format!("long = \"{long}\"\n{text}")).expect("valid");
        assert_eq!(task.long, Some(long));
        assert_eq!(crate::Long::from_word(long.word()), Some(long));
    }
    let as_it_was = serde_json::to_string(&read(text).expect("valid")).expect("JSON");
    assert!(!as_it_was.contains("long") && !as_it_was.contains("hole"), "releases know the task by its hash");
    for (text, said) in [
        (format!("long = \"agian\"\n{text}"), "did you mean `again`?"),
        (format!("long = \"join\"\nhole = \"<HOLE>\"\n{text}"), "remove `long`"),
        ("long = \"join\"\nkind = \"classify\"\nlabels = [\"a\", \"b\"]".to_owned(), "writes no texts"),
    ] {
        let problem = fault(&text);
        assert!(problem.contains(said) && problem.contains("tickets.toml:1:8"), "{problem}");
    }
}

#[test]
fn a_task_that_fills_holes_says_what_marks_them() {
    let text = "kind = \"generate\"\n[quality]\nmetric = \"exact\"";
    let marked = read(&format!("hole = \"<HOLE>\"\n{text}")).expect("valid");
    assert_eq!(marked.hole.as_ref().map(crate::Hole::marker), Some("<HOLE>"));
    let plain = read(text).expect("valid");
    let other = read(&format!("hole = \"___\"\n{text}")).expect("valid");
    let hashes = [&plain, &marked, &other].map(crate::Task::labels_hash);
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2], "a certificate dies with the marker");
    for (text, said) in [
        (format!("hole = \" \"\n{text}"), "such as \"<HOLE>\""),
        ("hole = \"_\"\nkind = \"classify\"\nlabels = [\"a\", \"b\"]".to_owned(), "remove `hole`"),
    ] {
        let problem = fault(&text);
        assert!(problem.contains(said), "{problem}");
    }
}

const JUDGED: &str = "kind = \"generate\"\n[quality]\nmetric = \"judge\"\nmodel = \"large\"\nleast = 0.75";
const TESTED: &str = "kind = \"generate\"\n[quality]\nmetric = \"tests\"\ncommand = [\"sh\", \"labels.txt\"]";

#[test]
fn a_task_may_name_a_judge_or_tests_and_is_bound_to_all_that_it_says_of_them() {
    let Some(Quality::Judged { judge }) = read(JUDGED).expect("valid").quality else { panic!("no judge") };
    assert_eq!((judge.model.as_str(), judge.least, judge.question.is_empty()), ("large", 0.75, false));
    let Some(Quality::Tested { tests }) = read(TESTED).expect("valid").quality else { panic!("no tests") };
    assert_eq!((tests.command.join(" ").as_str(), tests.within_s), ("sh labels.txt", 10));
    let named: Vec<&str> = tests.files.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(named, ["labels.txt"], "`sh` is no file");
    let mut hashes: Vec<_> = [
        JUDGED.to_owned(),
        JUDGED.replace("\"large\"", "\"larger\""),
        JUDGED.replace("0.75", "0.5"),
        format!("{JUDGED}\nquestion = \"Is it polite?\""),
        format!("instructions = \"Translate.\"\n{JUDGED}"),
        TESTED.to_owned(),
        TESTED.replace("\"sh\"", "\"bash\""),
        TESTED.replace("labels.txt", "missing.txt"),
        format!("{TESTED}\nwithin_s = 3"),
    ]
    .iter()
    .map(|text| read(text).expect("valid").labels_hash())
    .collect();
    let all = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), all, "each is another promise");
}

#[test]
fn the_tests_that_a_certificate_is_about_are_those_in_their_files() {
    let read =
        |check: &str| {
            let source = Source::new("t.toml", TESTED);
            let task = read_task("t", &source, |word| {
                if word == "labels.txt" { Ok(check.into()) } else { Err(String::new()) }
            });
            task.expect("valid").labels_hash()
        };
    assert_ne!(read("exit 0"), read("exit 1"));
    assert_eq!(read("exit 0"), read("exit 0"));
}

#[test]
fn what_is_wrong_with_a_judge_or_with_tests_is_told_at_its_place() {
    let judged = |more: &str| format!("kind = \"generate\"\n[quality]\nmetric = \"judge\"\n{more}");
    let tested = |more: &str| format!("kind = \"generate\"\n[quality]\nmetric = \"tests\"\n{more}");
    for (text, place, said) in [
        (judged("least = 0.5"), "tasks/tickets.toml:3:10", "add model = \"large\""),
        (judged("model = \"large\""), "tasks/tickets.toml:3:10", "add least = 0.75"),
        (judged("model = \"large\"\nleast = 5"), "tasks/tickets.toml:5:9", "above 0 and up to 1"),
        (
            judged("model = \"large\"\nleast = 0.5\nquestion = \" \""),
            "tasks/tickets.toml:6:12",
            "there is a default",
        ),
        (
            judged("model = \"large\"\nleast = 0.5\ncommand = [\"a\"]"),
            "tasks/tickets.toml:6:11",
            "remove `command`",
        ),
        (tested(""), "tasks/tickets.toml:3:10", "add command = ["),
        (tested("command = []"), "tasks/tickets.toml:4:11", "starts nothing"),
        (tested("command = [\"\", \"a\"]"), "tasks/tickets.toml:4:12", "names no program"),
        (tested("command = [\"a\"]\nwithin_s = 0"), "tasks/tickets.toml:5:12", "1 to 3600"),
        (tested("command = [\"a\"]\nleast = 0.5"), "tasks/tickets.toml:5:9", "`least` says nothing"),
        (format!("{JUDGED}\nmodle = \"a\""), "tasks/tickets.toml:6:1", "did you mean `model`?"),
        (judged("").replace("judge", "jugde"), "tasks/tickets.toml:3:10", "did you mean `judge`?"),
        (
            "kind = \"generate\"\n[quality]\nmetric = \"f1\"\nleast = 0.5\nmodel = \"a\"".to_owned(),
            "tasks/tickets.toml:5:9",
            "`model` with metric = \"judge\"",
        ),
    ] {
        let problem = fault(&text);
        assert!(problem.contains(place) && problem.contains(said), "{problem}");
    }
}
