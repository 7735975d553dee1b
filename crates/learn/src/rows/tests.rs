//! Every bad input with the message it gets, and every good one with the rows it gives.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, ListArray, RecordBatch, StringArray, TimestampMillisecondArray};
use parquet::arrow::ArrowWriter;
use sprat_task::{Source, read_task};

use super::*;

fn task_of(toml: &str) -> Task {
    read_task("tickets", &Source::new("tickets.toml", toml), |_| Err("no file".into())).expect("a task")
}

fn task() -> Task {
    task_of("kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\n")
}

fn moods() -> Task {
    task_of("kind = \"classify\"\nlabels = [\"joy\", \"anger\"]\nmulti = true\n")
}

/// A file in a folder of its own; the name is taken out of messages again by `said`.
struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn written(name: &str, bytes: impl AsRef<[u8]>) -> Written {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("writes");
    Written { _folder: folder, path }
}

impl Written {
    fn read(&self, task: &Task, options: &ReadOptions) -> Result<RowSet, Problem> {
        read_labelled(&[&self.path], task, options)
    }
}

fn said(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let file = written(name, bytes);
    let problem = file.read(&task(), &ReadOptions::default()).expect_err("the file is bad");
    let folder = format!("{}/", file.path.parent().expect("a folder").display());
    problem.to_string().replace(&folder, "")
}

fn rows_of(name: &str, bytes: impl AsRef<[u8]>) -> Vec<LabelledRow> {
    written(name, bytes).read(&task(), &ReadOptions::default()).expect("the file is good").rows
}

#[track_caller]
fn check(name: &str, bytes: impl AsRef<[u8]>, message: &str) {
    assert_eq!(said(name, bytes), message);
}

#[test]
fn an_empty_file_and_a_header_alone_are_told_apart() {
    check(
        "a.csv",
        "",
        "error: the file is empty\n  --> a.csv\nhint: rows are CSV with a header `text,label`, or JSON lines: \
         {\"text\": …, \"label\": …}",
    );
    check(
        "a.csv",
        "text,label\n",
        "error: the file has no rows, only a header\n  --> a.csv\nhint: add rows below the header",
    );
    check("a.csv", "\n\n", "error: the file holds nothing but blank lines\n  --> a.csv");
}

#[test]
fn a_missing_column_names_those_found_and_the_nearest() {
    check(
        "a.csv",
        "txet,label\nhello,refund\n",
        "error: there is no column `text`\n  --> a.csv:1\n  allowed: one of the columns found: txet, label\n\
         hint: did you mean `txet`? say so with --text-column txet",
    );
    check(
        "a.csv",
        "text,team\nhello,refund\n",
        "error: there is no column `label`\n  --> a.csv:1\n  allowed: one of the columns found: text, team\n\
         hint: name the right one with --label-column NAME",
    );
    check(
        "a.jsonl",
        "{\"text\":\"a\",\"label\":\"refund\"}\n{\"message\":\"b\",\"label\":\"refund\"}\n",
        "error: there is no column `text`\n  --> a.jsonl:2\n  allowed: one of the columns found: message, label\n\
         hint: name the right one with --text-column NAME",
    );
}

#[test]
fn an_unknown_label_is_shown_where_it_stands_with_the_nearest_one() {
    check(
        "a.csv",
        "text,label\nhello,refund\n\"a, b\",refnud\n",
        "error: label `refnud` is not one of this task's labels\n  --> a.csv:3:8\n  \
         allowed: billing, refund, technical\nhint: did you mean `refund`?",
    );
    check(
        "a.jsonl",
        "{\"text\":\"hello\",\"label\":\"banana\"}\n",
        "error: label `banana` is not one of this task's labels\n  --> a.jsonl:1\n  \
         allowed: billing, refund, technical",
    );
    check(
        "a.csv",
        "text,label\nhello,billing|refund\n",
        "error: label `billing|refund` is not one of this task's labels\n  --> a.csv:2:7\n  \
         allowed: billing, refund, technical\nhint: a task with several labels a row says `multi = true`",
    );
}

#[test]
fn the_first_bad_row_says_how_many_more_there_are() {
    let message = said("a.csv", "text,label\na,nope\nb,refund\nc,nope\nd,nope\n");
    assert!(message.starts_with("error: label `nope`"), "{message}");
    assert!(
        message.ends_with("hint: 2 more rows are bad too; `--rejects FILE` sets them aside"),
        "{message}"
    );
}

#[test]
fn bad_rows_can_be_set_aside_and_none_is_lost() {
    let file = written("a.csv", b"text,label\na,nope\nb,refund\n\"\xFF\",refund\nragged\n");
    let options = ReadOptions { skip_bad: true, ..ReadOptions::default() };
    let set = file.read(&task(), &options).expect("the good rows");
    assert_eq!(set.rows.len(), 1);
    let raw: Vec<&str> = set.rejected.iter().map(|rejected| rejected.raw.as_str()).collect();
    assert_eq!(raw, ["a,nope", "\"\u{FFFD}\",refund", "ragged"]);
    assert_eq!(set.notices, ["3 rows can't be used and were set aside"]);
}

#[test]
fn one_class_and_three_rows_are_refused_with_what_is_needed() {
    let rows = |count: usize, label: &str| vec![LabelledRow::gold("text", Answer::label(label)); count];
    let said = |rows: &[LabelledRow]| enough::check_enough(rows, &task()).expect_err("too few").to_string();
    assert_eq!(
        said(&rows(3, "refund")),
        "error: 3 labelled rows are too few to learn from\n  \
         allowed: at least 20; at least 148 before anything can be certified at 5% error\n\
         hint: label more, or let the large model do it with `--teacher large`"
    );
    assert_eq!(
        said(&rows(30, "refund")),
        "error: every row is labelled `refund`: there is nothing to tell apart\n  \
         allowed: billing, refund, technical\nhint: add rows of the other labels"
    );
    let mixed = [rows(30, "refund"), rows(3, "billing")].concat();
    assert_eq!(
        enough::check_enough(&mixed, &task()),
        Ok(vec![
            "no row is labelled technical: the small models can't learn it".to_owned(),
            "fewer than 5 rows are labelled billing".to_owned(),
            "33 rows can't certify anything at 5% error: at least 148 are needed".to_owned(),
        ])
    );
}

#[test]
fn a_text_of_100_000_characters_is_kept_whole_and_pointed_out() {
    let text = "é".repeat(100_000);
    let file = written("a.csv", format!("text,label\n{text},refund\n"));
    let set = file.read(&task(), &ReadOptions::default()).expect("a long text is a text");
    assert_eq!(set.rows[0].input.text, text);
    let place = format!("{}:2", file.path.display());
    assert_eq!(set.notices, [format!("the longest text has 100000 characters ({place}); it is kept whole")]);
}

#[test]
fn what_is_not_text_is_told_with_its_place() {
    check(
        "a.csv",
        "text,label\n\"a\0b\",refund\n",
        "error: the text holds a NUL byte after 1 characters\n  --> a.csv:2:1\n\
         hint: the file may be UTF-16 or binary; save it as UTF-8 text",
    );
    check(
        "a.csv",
        b"text,label\nh\xC3\xA9llo \xFF,refund\n",
        "error: byte 8 of the line is not UTF-8\n  --> a.csv:2:8\n\
         hint: save the file as UTF-8, or set such rows aside with `--rejects FILE`",
    );
    check(
        "a.jsonl",
        b"{\"text\":\"\xFF\",\"label\":\"refund\"}\n",
        "error: byte 10 of the line is not UTF-8\n  --> a.jsonl:1:10\n\
         hint: save the file as UTF-8, or set such rows aside with `--rejects FILE`",
    );
    check(
        "a.csv",
        b"\xFF\xFEt\0e\0",
        "error: the file is UTF-16, not UTF-8\n  --> a.csv\nhint: save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")",
    );
    check("a.csv", b"\x1F\x8B\x08", "error: the file is compressed\n  --> a.csv\nhint: unpack it first");
    check("a.csv", "text,label\n \t ,refund\n", "error: the text is empty\n  --> a.csv:2:1");
}

#[test]
fn a_lone_surrogate_is_half_a_character() {
    for escape in ["\\ud83d", "\\ude00", "\\ud83d!", "\\ud83d\\n"] {
        let message = said("a.jsonl", format!("{{\"text\":\"{escape}\",\"label\":\"refund\"}}\n"));
        assert!(
            message
                .starts_with("error: a \\u escape is half a character (a lone surrogate)\n  --> a.jsonl:1:"),
            "{escape}: {message}"
        );
    }
}

#[test]
fn right_to_left_text_and_emoji_come_through_unchanged() {
    let texts = ["مرحبا، أين بطاقتي؟", "שלום \u{202E}abc\u{202C}", "👩‍👩‍👧‍👦 🏴‍☠️ e\u{301}"];
    let csv: String = texts.iter().map(|text| format!("\"{text}\",refund\n")).collect();
    let json: String = texts
        .iter()
        .map(|text| format!("{}\n", serde_json::json!({"text": text, "label": "refund"})))
        .collect();
    for rows in [rows_of("a.csv", format!("text,label\n{csv}")), rows_of("a.jsonl", json)] {
        let read: Vec<&str> = rows.iter().map(|row| row.input.text.as_str()).collect();
        assert_eq!(read, texts);
    }
}

#[test]
fn ragged_rows_and_open_quotes_are_told_by_the_line_the_record_begins_on() {
    check(
        "a.csv",
        "text,label\n\"two\nlines\",refund,\"more\n\"\n",
        "error: the row has 3 fields, and the header 2\n  --> a.csv:2\n\
         hint: put quotes around a text that holds a comma: \"Hello, there\"",
    );
    check(
        "a.csv",
        "text,label\nhello\n",
        "error: the row has 1 field, and the header 2\n  --> a.csv:2\n\
         hint: a field may be empty, but its comma must stand",
    );
    check(
        "a.csv",
        "text,label\nfine,refund\nbad,\"refund\nmore,refund\n",
        "error: the quote that begins here is never closed\n  --> a.csv:3:5\n\
         hint: close it, and write a quote inside a quoted field twice: \"\"",
    );
    check(
        "a.csv",
        "text,label,text\na,refund,b\n",
        "error: the header names `text` twice\n  --> a.csv:1:12\nhint: rename one of them",
    );
}

#[test]
fn json_that_breaks_off_or_is_no_object_has_its_line() {
    let good = "{\"text\":\"a\",\"label\":\"refund\"}\n";
    check(
        "a.jsonl",
        format!("{good}{{\"text\":\"b\",\"lab"),
        "error: the line breaks off in the middle\n  --> a.jsonl:2:16\n\
         hint: the file was cut off while it was written; remove its last line",
    );
    check(
        "a.jsonl",
        format!("{good}{{\"text\":\"b\n"),
        "error: the line breaks off in the middle\n  --> a.jsonl:2:10\n\
         hint: a line break inside a text is written \\n in JSON",
    );
    check(
        "a.jsonl",
        "{\"text\":\"é😀\",\"label\":\"b",
        "error: the line breaks off in the middle\n  --> a.jsonl:1:23\n\
         hint: the file was cut off while it was written; remove its last line",
    );
    check(
        "a.json",
        "[{\"text\":\"a\",\"label\":\"refund\"}]\n",
        "error: the line is a JSON array, not an object\n  --> a.json:1\n\
         hint: one object a line; jq -c '.[]' turns an array into lines",
    );
    assert!(said("a.json", "{\n\"text\": \"a\"\n}\n").contains("the JSON is spread over several lines"));
    assert!(said("a.jsonl", "{\"text\": nope}\n").starts_with("error: the line is not JSON: expected"));
}

#[test]
fn files_that_cannot_be_opened_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = |path: &Path| {
        let problem = read_labelled(&[path], &task(), &ReadOptions::default()).expect_err("can't be read");
        problem.to_string().replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(
        said(folder.path()),
        "error: this is a directory, not a file of rows\n  --> DIR\nhint: name its files: DIR/*.csv"
    );
    std::fs::write(folder.path().join("rows.csv"), "text,label\n").expect("writes");
    assert_eq!(
        said(&folder.path().join("row.csv")),
        "error: can't be opened: there is no such file\n  --> DIR/row.csv\nhint: did you mean `rows.csv`?"
    );
    // The tests may run as root, whom no permission stops.
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(
        source::cannot_open(Path::new("rows.csv"), &denied).to_string(),
        "error: can't be opened: permission denied\n  --> rows.csv\nhint: check who may read it, with ls -l"
    );
}

#[test]
fn byte_order_marks_crlf_tabs_and_semicolons_are_understood() {
    let expected = [("a, b\r\nc", "refund", 2), ("d", "billing", 4)];
    for (name, bytes) in [
        ("a.csv", "\u{FEFF}text,label\r\n\"a, b\r\nc\",refund\r\nd,billing\r\n"),
        ("a.tsv", "text\tlabel\n\"a, b\r\nc\"\trefund\nd\tbilling"),
        ("a.csv", "Text ;LABEL\n\"a, b\r\nc\"; refund \nd;billing\n"),
        ("a", "text\tlabel\n\"a, b\r\nc\"\trefund\nd\tbilling"),
    ] {
        let rows = rows_of(name, bytes);
        let seen: Vec<(&str, String, u64)> = rows
            .iter()
            .map(|row| (row.input.text.as_str(), row.gold.as_ref().expect("gold").to_line(), row.line))
            .collect();
        let expected: Vec<(&str, String, u64)> = expected.map(|(t, l, n)| (t, l.to_owned(), n)).to_vec();
        assert_eq!(seen, expected, "{name} {bytes:?}");
    }
}

#[test]
fn extra_columns_are_read_for_what_they_are() {
    let rows = rows_of(
        "a.csv",
        "id,text,label,large,conversation_id,timestamp,weight,provenance\n\
         1,hello,refund,billing,c7,2026-11-20T10:15:00Z,3,authored\n\
         2,bye,,technical,,1795169700,,\n",
    );
    let first = &rows[0];
    assert_eq!(first.large, Some(Answer::label("billing")));
    assert_eq!((first.session.as_deref(), first.time_unix_ms), (Some("c7"), Some(1_795_169_700_000)));
    assert_eq!((first.weight, first.large_provenance), (3.0, Provenance::Authored));
    let second = &rows[1];
    assert_eq!((&second.gold, second.target()), (&None, Some(&Answer::label("technical"))));
    assert_eq!((second.session.as_deref(), second.time_unix_ms), (None, Some(1_795_169_700_000)));
    for (cell, message) in [
        (
            "tomorrow,1",
            "error: `tomorrow` is not a time\n  --> a.csv:2:10\n  allowed: 2026-11-20T10:15:00Z, or seconds or milliseconds since 1970",
        ),
        (
            "0,-1",
            "error: `-1` is not a weight\n  --> a.csv:2:12\n  allowed: how many identical rows this one stands for, at least 1",
        ),
    ] {
        check("a.csv", format!("text,label,time,weight\nx,refund,{cell}\n"), message);
    }
}

#[test]
fn json_rows_may_nest_their_text_and_list_their_labels() {
    let file = written(
        "a.jsonl",
        concat!(
            "{\"input\":{\"text\":\"one\"},\"labels\":[\"joy\",\"anger\",\"joy\"],\"session\":7}\n",
            "\n",
            "{\"text\":\"two\",\"labels\":[],\"time\":1795169700000}\n",
            "{\"text\":\"three\",\"label\":\"anger | joy\",\"large\":[\"joy\"]}\n",
            "{\"text\":\"four\",\"gold\":{\"labels\":[\"joy\"]}}\n",
            "{\"text\":\"five\",\"label\":null}\n",
        ),
    );
    let set = file.read(&moods(), &ReadOptions::default()).expect("good rows");
    let lines: Vec<String> =
        set.rows.iter().filter_map(|row| row.gold.as_ref()).map(Answer::to_line).collect();
    assert_eq!(lines, ["anger|joy", "", "anger|joy", "joy"]);
    assert_eq!((set.rows[0].session.as_deref(), set.rows[1].line), (Some("7"), 3));
    assert_eq!((set.unlabelled.len(), set.notices.as_slice()), (1, &["1 rows have no label".to_owned()][..]));
}

#[test]
fn an_answer_of_the_large_model_outside_the_labels_counts_as_wrong_but_teaches_nobody() {
    let file = written("a.csv", "text,label,large\nhello,refund,I think refund\n");
    let set = file.read(&task(), &ReadOptions::default()).expect("a good row");
    assert_eq!(set.rows[0].large, Some(Answer::label("I think refund")));
    assert_eq!(
        set.notices,
        ["1 answers of the large model are none of this task's labels; they count as wrong"]
    );
    check(
        "a.csv",
        "text,large\nhello,I think refund\n",
        "error: label `I think refund` is not one of this task's labels\n  --> a.csv:2:7\n  \
         allowed: billing, refund, technical",
    );
}

#[test]
fn named_columns_are_read_instead_of_the_usual_ones() {
    let file = written("a.csv", "text,body,team\nwrong,right,refund\n");
    let columns = Columns { text: Some("body".into()), label: Some("team".into()), ..Columns::default() };
    let set = file.read(&task(), &ReadOptions { columns, ..ReadOptions::default() }).expect("good rows");
    assert_eq!(set.rows[0].input.text, "right");
}

#[test]
fn texts_alone_are_read_without_looking_at_labels() {
    let file = written("a.csv", "text,label\nhello,nonsense\n");
    let set = read_unlabelled(&[&file.path], &ReadOptions::default()).expect("texts");
    assert_eq!((set.rows.len(), set.unlabelled.len(), set.notices.len()), (0, 1, 0));
}

#[test]
fn several_files_are_one_set_and_a_row_knows_its_file() {
    let (one, other) = (
        written("a.csv", "text,label\na,refund\n"),
        written("b.jsonl", "{\"text\":\"b\",\"label\":\"billing\"}\n"),
    );
    let set = read_labelled(&[&one.path, &other.path], &task(), &ReadOptions::default()).expect("rows");
    assert_eq!(set.place_of(0), format!("{}:2", one.path.display()));
    assert_eq!(set.place_of(1), format!("{}:1", other.path.display()));
    let reversed = read_labelled(&[&other.path, &one.path], &task(), &ReadOptions::default()).expect("rows");
    assert_ne!(set.digest(), reversed.digest());
    let none: [&Path; 0] = [];
    assert!(read_labelled(&none, &task(), &ReadOptions::default()).is_err());
}

#[test]
fn what_comes_through_a_pipe_is_sniffed_like_a_file() {
    for bytes in
        [b"text,label\na,refund\n".to_vec(), b"{\"text\":\"a\",\"label\":\"refund\"}".to_vec(), parquet()]
    {
        let stream = Box::new(std::io::Cursor::new(bytes));
        let opened = source::open_stream(stream, "standard input", None).expect("opens");
        let (task, options) = (task(), ReadOptions::default());
        let wanted = Wanted { task: Some(&task), options: &options };
        let mut sink = Sink::new(&wanted);
        sink.begin("standard input");
        read_one(opened, &mut sink).expect("reads");
        sink.end().expect("has rows");
        assert_eq!(sink.finish().expect("good rows").rows[0].gold, Some(Answer::label("refund")));
    }
}

fn parquet_of(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("writes");
    writer.close().expect("closes");
    bytes
}

fn parquet() -> Vec<u8> {
    parquet_of(vec![
        ("id", Arc::new(Float64Array::from(vec![1.0, 2.0]))),
        ("text", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("label", Arc::new(StringArray::from(vec![Some("refund"), None]))),
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1_795_169_700_250, 0]))),
    ])
}

#[test]
fn parquet_gives_texts_labels_and_times() {
    let set = written("a.parquet", parquet()).read(&task(), &ReadOptions::default()).expect("good rows");
    assert_eq!((set.rows.len(), set.unlabelled.len()), (1, 1));
    assert_eq!((set.rows[0].time_unix_ms, set.unlabelled[0].line), (Some(1_795_169_700_250), 2));
    let moods_list = ListArray::from_nested_iter::<arrow_array::builder::StringBuilder, _, _, _>([
        Some(vec![Some("joy")]),
        Some(vec![]),
    ]);
    let bytes = parquet_of(vec![
        ("text", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ("labels", Arc::new(moods_list) as ArrayRef),
    ]);
    let set = written("a.parquet", bytes).read(&moods(), &ReadOptions::default()).expect("good rows");
    assert_eq!(set.rows[0].gold, Some(Answer::labels(["joy".into()])));
    assert_eq!(set.rows[1].gold, Some(Answer::labels([])));
}

#[test]
fn a_truncated_or_damaged_parquet_file_is_told() {
    let bytes = parquet();
    check(
        "a.parquet",
        &bytes[..bytes.len() / 2],
        "error: the Parquet file is cut off: its end, with the table of contents, is missing\n  --> a.parquet\n\
         hint: copy or write it again",
    );
    check(
        "a.parquet",
        "text,label\na,refund\n",
        "error: this is not a Parquet file: it doesn't begin with `PAR1`\n  --> a.parquet\n\
         hint: give the file the ending its format has: .csv, .tsv, .jsonl or .parquet",
    );
    let mut damaged = bytes.clone();
    let (from, to) = (bytes.len() - 60, bytes.len() - 20);
    damaged[from..to].fill(0xFF);
    assert!(said("a.parquet", damaged).starts_with("error: the Parquet file is damaged: "));
    let only_numbers = parquet_of(vec![("id", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]);
    check(
        "a.parquet",
        only_numbers,
        "error: there is no column `text`\n  --> a.parquet\n  allowed: one of the columns found: id\n\
         hint: name the right one with --text-column NAME",
    );
}

#[test]
fn a_text_whose_hole_cant_be_filled_is_a_fault_with_its_place() {
    let task = task_of("kind = \"generate\"\nhole = \"<HOLE>\"\n[quality]\nmetric = \"exact\"\n");
    let read = |bytes: &str| {
        let file = written("a.csv", bytes);
        let folder = format!("{}/", file.path.parent().expect("a folder").display());
        let read = file.read(&task, &ReadOptions::default());
        read.map(|set| set.rows.len()).map_err(|problem| problem.to_string().replace(&folder, ""))
    };
    assert_eq!(read("text,label\nf(<HOLE>),x\n"), Ok(1));
    let told = "error: the text has no `<HOLE>`, and this task fills that hole\n  --> a.csv:2:3\n  allowed: `<HOLE>` once in every \
                text\nhint: write <HOLE> where the label was taken out";
    assert_eq!(read("label,text\nx,f(x)\n"), Err(told.to_owned()));
    let told = "error: `<HOLE>` stands in the text 2 times, the second time behind 6 characters\n  --> a.csv:2:1\n  allowed: `<HOLE>` \
                once in every text\nhint: keep the <HOLE> that the label belongs in, and write what belongs in the others";
    assert_eq!(read("text,label\n<HOLE><HOLE>,x\n"), Err(told.to_owned()));
}
