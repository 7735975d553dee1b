//! Which values of a field are its labels, and are they a closed set?

use std::collections::BTreeMap;

use serde::Serialize;

use super::answers::{Field, fold};

/// More labels than this and a task is better served by search.
const MOST_LABELS: usize = 200;
/// A closed set must cover this share of the answers: the rest are slips.
const CLOSED: f64 = 0.9;
/// On average a label must have been given this often, or "closed" only means "short log".
const CALLS_A_LABEL: usize = 4;
/// An undeclared label of more words is a sentence.
const MOST_WORDS: usize = 6;
/// A label and how often it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// The label in its commonest spelling, or as the schema declares it.
    pub label: String,
    /// Answers that gave it.
    pub calls: u64,
}

/// A closed set of values.
pub(super) struct Closed {
    pub(super) labels: Vec<LabelCount>,
    pub(super) left_out: Vec<LabelCount>,
    pub(super) multi: bool,
    /// The label of each folded spelling.
    pub(super) by_spelling: BTreeMap<String, usize>,
}

impl Closed {
    /// The values of a field as labels; `None` where they are not a closed set.
    pub(super) fn of(
        field: &Field,
        answers: u64,
        declared: Option<&[String]>,
        is_list: bool,
    ) -> Option<Self> {
        let writable = declared.unwrap_or_default().iter().filter(|value| is_writable(value));
        let declared: BTreeMap<String, &str> = writable.map(|value| (fold(value), value.as_str())).collect();
        let (mut labels, mut left_out) = (Vec::new(), Vec::new());
        for (folded, spellings) in &field.values {
            let calls = spellings.count();
            match declared.get(folded) {
                Some(label) => labels.push(LabelCount { label: (*label).to_owned(), calls }),
                None => {
                    let found = LabelCount { label: spellings.best().to_owned(), calls };
                    let is_label = declared.is_empty() && calls > 1 && is_sayable(&found.label);
                    if is_label { labels.push(found) } else { left_out.push(found) }
                }
            }
        }
        if declared.is_empty() {
            let covered: u64 = labels.iter().map(|label| label.calls).sum();
            let all = if is_list {
                covered + left_out.iter().map(|label| label.calls).sum::<u64>()
            } else {
                answers
            };
            let is_closed = field.is_counted()
                && !labels.is_empty()
                && covered as f64 >= CLOSED * all as f64
                && labels.len() <= MOST_LABELS.min(answers as usize / CALLS_A_LABEL);
            if !is_closed {
                return None;
            }
        } else {
            let unseen = declared.iter().filter(|(folded, _)| !field.values.contains_key(*folded));
            labels.extend(unseen.map(|(_, label)| LabelCount { label: (*label).to_owned(), calls: 0 }));
        }
        for list in [&mut labels, &mut left_out] {
            list.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.label.cmp(&b.label)));
        }
        let by_spelling = labels.iter().enumerate().map(|(at, label)| (fold(&label.label), at)).collect();
        Some(Self { labels, left_out, multi: is_list, by_spelling })
    }
}

/// Whether a text can stand as a label in a task file.
fn is_writable(label: &str) -> bool {
    !label.is_empty() && label.trim() == label && !label.contains(['|', '\n', '\r'])
}

/// Whether a text that nobody declared could be a label, and is no refusal or sentence.
fn is_sayable(label: &str) -> bool {
    const REFUSALS: [&str; 7] =
        ["sorry", "i can't", "i can’t", "i cannot", "unable to", "as an ai", "i don't know"];
    let folded = fold(label);
    is_writable(label)
        && !folded.is_empty()
        && folded.split_whitespace().count() <= MOST_WORDS
        && !REFUSALS.iter().any(|refusal| folded.contains(refusal))
}
