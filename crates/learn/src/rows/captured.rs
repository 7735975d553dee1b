//! Rows from traffic: captured requests with what the large model answered, and what people said of them since.

use std::collections::{BTreeMap, HashMap};

use sprat_store::{CapturedRow, Store, StoreError};
use sprat_task::redact::is_redacted;
use sprat_task::{Answer, LabelledRow, Sha256Hex, Task, TaskName};

use super::RowSet;

/// What stands where the file of a row is named.
const PLACE: &str = "captured requests";
/// Calls that are named one by one.
const SHOWN: usize = 5;

/// The captured requests of a task that came at this time, in milliseconds since 1970, or later; of ordinary calls only
/// those that the task lists, where it lists any. What a person said is
/// right is gold wherever the same text was asked, a label given in review before one volunteered as feedback. A row
/// whose label is known only because of what it says may teach and never certifies.
pub fn captured_rows(store: &Store, task: &Task, since_unix_ms: i64) -> Result<RowSet, StoreError> {
    let gold = gold(store, &task.name)?;
    let listed = task.matching.as_ref().map_or(&[][..], |rule| rule.bound_to.as_slice());
    let mut calls: BTreeMap<Sha256Hex, u64> = BTreeMap::new();
    let mut set = RowSet::default();
    let (mut redacted, mut only_teaching) = (0_u64, 0_u64);
    for captured in store.captured().rows(&task.name, 0) {
        let captured = captured?;
        if captured.row.time_unix_ms < since_unix_ms {
            continue;
        }
        if let Some(call) = captured.row.prompt_hash.as_ref().filter(|call| !listed.contains(call)) {
            *calls.entry(call.clone()).or_default() += 1;
            if !listed.is_empty() {
                continue;
            }
        }
        let row = labelled(captured, &gold);
        redacted += u64::from(is_redacted(&row.input.text));
        match row.target() {
            Some(_) => {
                only_teaching += u64::from(row.only_teaches);
                set.rows.push(row);
            }
            None => set.unlabelled.push(row),
        }
    }
    set.files.push((PLACE.to_owned(), set.rows.len()));
    set.notices.extend(not_listed(&calls, listed.is_empty()));
    if only_teaching > 0 {
        set.notices.push(format!(
            "{only_teaching} of {} rows went to the large model because the small ones were unsure of them; they teach, and \
             none of them certifies",
            set.rows.len()
        ));
    }
    if redacted > 0 {
        set.notices.push(format!(
            "something was blanked out of {redacted} texts; small models will be asked about the whole text"
        ));
    }
    Ok(set)
}

/// Calls that the task doesn't list, the commonest first.
fn not_listed(calls: &BTreeMap<Sha256Hex, u64>, lists_none: bool) -> Option<String> {
    let mut calls: Vec<(&Sha256Hex, u64)> = calls.iter().map(|(call, rows)| (call, *rows)).collect();
    calls.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let rows: u64 = calls.iter().map(|(_, rows)| rows).sum();
    let shown: Vec<String> =
        calls.iter().take(SHOWN).map(|(call, rows)| format!("{call} ({rows})")).collect();
    let what = if lists_none {
        "learned from all the same; before small models may answer such calls, list them there and certify again"
    } else {
        "left out"
    };
    (rows > 0).then(|| {
        let requests = if rows == 1 { "request" } else { "requests" };
        format!(
            "{rows} {requests} came with prompts and schemas that `bound_to` doesn't list: {what}: {}",
            shown.join(", ")
        )
    })
}

/// What people said is right, by the digest of the text.
pub(crate) fn gold(store: &Store, task: &TaskName) -> Result<HashMap<Sha256Hex, Answer>, StoreError> {
    let mut gold = store.captured().labels(task)?;
    for reviewed in store.review().labelled(task) {
        let reviewed = reviewed?;
        if let Some(label) = reviewed.label {
            gold.insert(sprat_task::Input::new(reviewed.row.text).hash(), label.answer);
        }
    }
    Ok(gold)
}

fn labelled(CapturedRow { id, hash, row }: CapturedRow, gold: &HashMap<Sha256Hex, Answer>) -> LabelledRow {
    LabelledRow {
        gold: gold.get(&hash).cloned(),
        large: row.large,
        large_provenance: row.provenance,
        session: row.session,
        time_unix_ms: Some(row.time_unix_ms),
        line: u64::try_from(id).unwrap_or_default(),
        only_teaches: row.propensity <= 0.0,
        captured: true,
        ..LabelledRow::unlabelled(row.text)
    }
}

#[cfg(test)]
mod tests {
    use sprat_store::{Feedback, Labelled, NewCaptured, NewReview, Reason};
    use sprat_task::{Provenance, Source, read_task};

    use super::*;

    fn row(number: i64, text: &str, large: Option<&str>, propensity: f64) -> NewCaptured {
        NewCaptured {
            task: "tickets".into(),
            request: format!("r-{number}").into(),
            time_unix_ms: number,
            text: text.to_owned(),
            prompt_hash: None,
            session: Some("s".to_owned()),
            small: None,
            confidence: None,
            would_answer: false,
            large: large.map(Answer::label),
            answered_by: None,
            release: None,
            propensity,
            provenance: Provenance::Recorded,
        }
    }

    fn task(more: &str) -> Task {
        let text = format!("kind = \"classify\"\nlabels = [\"refund\", \"delivery\", \"billing\"]\n{more}");
        read_task("tickets", &Source::new("t.toml", text), |_| Err(String::new())).unwrap()
    }

    #[test]
    fn calls_that_are_not_listed_are_left_out_where_any_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
        let call = |name: &str| Some(Sha256Hex::of(name.as_bytes()));
        let rows = [None, call("one"), call("two")]
            .map(|prompt_hash| NewCaptured { prompt_hash, ..row(1, "a", Some("refund"), 1.0) });
        store.captured().add(rows.to_vec()).unwrap();
        let matching = "[match]\nsystem_prompt_contains = \"x\"\n";
        let listing = format!("{matching}bound_to = [\"{}\"]\n", Sha256Hex::of(b"one"));
        for (file, learned, notice) in
            [(matching, 3, "2 requests came"), (listing.as_str(), 2, "1 request came")]
        {
            let set = captured_rows(&store, &task(file), 0).unwrap();
            assert_eq!(set.rows.len(), learned);
            assert!(set.notices[0].starts_with(notice), "{:?}", set.notices);
        }
    }

    #[test]
    fn what_people_said_is_gold_wherever_the_same_text_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
        let rows = [
            row(1, "too old", Some("refund"), 1.0),
            row(2, "a [email]", Some("refund"), 1.0),
            row(3, "a [email]", None, 1.0),
            row(4, "b", Some("refund"), 1.0),
            row(5, "c", Some("delivery"), 0.0),
            row(6, "nobody said", None, 1.0),
        ];
        store.captured().add(rows.to_vec()).unwrap();
        let said = |request: &str, label: &str| Feedback {
            request: request.into(),
            thumb: None,
            label: Some(Answer::label(label)),
            by: None,
            time_unix_ms: 9,
        };
        store.feedback().add(&said("r-3", "delivery")).unwrap();
        store.feedback().add(&said("r-4", "delivery")).unwrap();
        let review = NewReview {
            task: "tickets".into(),
            text: "b".to_owned(),
            small: None,
            large: None,
            confidence: None,
            reason: Reason::Unsure,
            propensity: 1.0,
            priority: 0.0,
            request: None,
        };
        store.review().add(vec![review], 9).unwrap();
        let label = Labelled { answer: Answer::label("billing"), by: "Ada".to_owned(), time_unix_ms: 9 };
        store.review().label(1, &label).unwrap();

        let set = captured_rows(&store, &task(""), 2).unwrap();
        let seen: Vec<_> = set
            .rows
            .iter()
            .map(|row| {
                let line = |answer: &Option<Answer>| answer.as_ref().map(Answer::to_line);
                (row.time_unix_ms.unwrap(), line(&row.gold), line(&row.large), row.only_teaches)
            })
            .collect();
        let some = |label: &str| Some(label.to_owned());
        assert_eq!(
            seen,
            [
                (2, some("delivery"), some("refund"), false),
                (3, some("delivery"), None, false),
                (4, some("billing"), some("refund"), false),
                (5, None, some("delivery"), true),
            ]
        );
        assert_eq!((set.unlabelled.len(), set.place_of(3)), (1, "captured requests:5".to_owned()));
        assert_eq!(set.rows[0].large_provenance, Provenance::Recorded);
        assert!(
            set.notices[0].starts_with("1 of 4 rows") && set.notices[1].contains("2 texts"),
            "{:?}",
            set.notices
        );
    }
}
