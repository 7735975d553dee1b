//! What sort of work is it, going by its answers: labels of a closed set, several fields, or free text?

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sprat_task::Kind;

use super::answers::{Answers, Field, fold, object, plain_label, scalar};
use super::closed::{Closed, LabelCount};
use super::schema::{self, Declared};

/// Fields that say something about the answer and are none: nobody has to learn them.
const REMARKS: [&str; 14] = [
    "confidence",
    "score",
    "probability",
    "certainty",
    "reason",
    "reasoning",
    "explanation",
    "rationale",
    "justification",
    "thought",
    "thoughts",
    "analysis",
    "id",
    "evidence",
];

/// Where the label of an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelPlace {
    /// The answer as a whole.
    Answer,
    /// A field of the JSON object that the answer is.
    Field(String),
}

/// The form of a group's answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// Where the label is, where there are labels.
    pub(super) place: Option<LabelPlace>,
    /// Commonest first.
    pub(super) labels: Vec<LabelCount>,
    /// Answers that are no label: given once, or refusals and the like.
    pub(super) left_out: Vec<LabelCount>,
    pub(super) multi: bool,
    /// Fields of the answer, remarks left out; empty for plain text.
    pub(super) fields: Vec<String>,
    /// The label of each folded spelling.
    by_spelling: BTreeMap<String, usize>,
}

impl Shape {
    pub(super) fn of(answers: &Answers, schema: Option<&Value>) -> Self {
        let declared = schema.and_then(schema::fields);
        if declared.is_none() && answers.objects * 2 < answers.count.max(1) {
            let closed = Closed::of(&answers.text, answers.count, None, false);
            return closed.map_or_else(
                || Self::free(Kind::Generate, Vec::new()),
                |closed| Self::labelled(closed, LabelPlace::Answer, Vec::new()),
            );
        }
        let declared = declared.unwrap_or_else(|| undeclared(answers));
        let names = || declared.iter().map(|field| field.name.clone());
        let fields: Vec<String> = names().filter(|name| !is_remark(name)).collect();
        // A schema of remarks alone has them as its answer.
        let fields = if fields.is_empty() { names().collect() } else { fields };
        let [name] = &fields[..] else { return Self::free(Kind::Extract, fields) };
        let name = name.clone();
        let field = declared.iter().find(|field| field.name == name);
        let counted = answers.fields.get(&name).cloned().unwrap_or_default();
        let is_list = field.is_some_and(|field| field.is_list);
        let values = field.and_then(|field| field.values.as_deref());
        match Closed::of(&counted, answers.count, values, is_list) {
            Some(closed) => Self::labelled(closed, LabelPlace::Field(name), fields),
            None => Self::free(Kind::Generate, fields),
        }
    }

    fn labelled(closed: Closed, place: LabelPlace, fields: Vec<String>) -> Self {
        let Closed { labels, left_out, multi, by_spelling } = closed;
        Self { kind: Kind::Classify, place: Some(place), labels, left_out, multi, fields, by_spelling }
    }

    fn free(kind: Kind, fields: Vec<String>) -> Self {
        let (labels, left_out, by_spelling) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { kind, place: None, labels, left_out, multi: false, fields, by_spelling }
    }

    /// The labels an answer gives, as places in [`labels`](Self::labels), ascending; `None` where it gives anything
    /// else, or not exactly one where only one may be.
    pub(super) fn labels_of(&self, answer: &str) -> Option<Vec<usize>> {
        let find = |text: &str| self.by_spelling.get(&fold(text)).copied();
        let mut labels = match self.place.as_ref()? {
            LabelPlace::Answer => vec![find(plain_label(answer))?],
            LabelPlace::Field(name) => match object(answer)?.get(name)? {
                Value::Array(items) => {
                    items.iter().map(|item| find(&scalar(item)?)).collect::<Option<_>>()?
                }
                one => vec![find(&scalar(one)?)?],
            },
        };
        labels.sort_unstable();
        labels.dedup();
        (self.multi || labels.len() == 1).then_some(labels)
    }

    /// The label that seems to mean "none of these".
    pub(super) fn out_of_scope(&self) -> Option<&str> {
        const NAMES: [&str; 16] = [
            "other",
            "others",
            "none",
            "unknown",
            "n/a",
            "na",
            "null",
            "none of these",
            "none of the above",
            "out of scope",
            "oos",
            "not applicable",
            "unclassified",
            "unclear",
            "irrelevant",
            "no match",
        ];
        let names_it =
            |label: &&LabelCount| NAMES.contains(&fold(&label.label).replace(['_', '-'], " ").as_str());
        self.labels.iter().find(names_it).map(|label| label.label.as_str())
    }
}

/// The fields that at least half of the answers have, where no schema declares any.
fn undeclared(answers: &Answers) -> Vec<Declared> {
    let usual = answers.fields.iter().filter(|(_, field)| field.present * 2 >= answers.objects);
    let declared = |(name, field): (&String, &Field)| Declared {
        name: name.clone(),
        values: None,
        is_list: field.lists * 2 > field.present,
    };
    usual.map(declared).collect()
}

fn is_remark(name: &str) -> bool {
    REMARKS.contains(&name.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape(answers: &[(&str, usize)], schema: Option<&Value>) -> Shape {
        let mut all = Answers::default();
        for (answer, times) in answers {
            (0..*times).for_each(|_| all.add(answer));
        }
        Shape::of(&all, schema)
    }

    fn labels(shape: &Shape) -> Vec<(&str, u64)> {
        shape.labels.iter().map(|label| (label.label.as_str(), label.calls)).collect()
    }

    #[test]
    fn short_answers_that_repeat_are_labels_and_slips_are_left_out() {
        let found = shape(&[("spam", 20), ("Ham", 30), ("I'm sorry, I can't tell.", 2), ("hamm", 1)], None);
        assert_eq!(found.kind, Kind::Classify);
        assert_eq!(labels(&found), [("Ham", 30), ("spam", 20)]);
        assert_eq!(found.left_out.iter().map(|label| label.calls).sum::<u64>(), 3);
        assert_eq!(found.labels_of(" \"SPAM\". "), Some(vec![1]));
        assert_eq!(found.labels_of("hamm"), None);
    }

    #[test]
    fn the_sort_of_work_follows_from_the_answers() {
        let texts: Vec<String> =
            (0..40).map(|number| format!("A summary of text {number}, at length.")).collect();
        let texts: Vec<(&str, usize)> = texts.iter().map(|text| (text.as_str(), 1)).collect();
        for (answers, kind, place) in [
            (&texts[..], Kind::Generate, None),
            (&[("yes", 9), ("no", 9)], Kind::Classify, Some(LabelPlace::Answer)),
            (&[("a", 1), ("b", 1), ("c", 1)], Kind::Generate, None),
            (
                &[
                    ("{\"label\": \"a\", \"reason\": \"because\"}", 9),
                    ("{\"label\": \"b\", \"confidence\": 0.5}", 9),
                ],
                Kind::Classify,
                Some(LabelPlace::Field("label".to_owned())),
            ),
            (&[("{\"name\": \"Anna\", \"age\": 3}", 9)], Kind::Extract, None),
            (&[], Kind::Generate, None),
        ] {
            let found = shape(answers, None);
            assert_eq!((found.kind, found.place), (kind, place), "{answers:?}");
        }
    }

    #[test]
    fn a_schemas_labels_are_kept_also_when_they_are_rare() {
        let schema = json!({"type": "object", "properties": {
            "team": {"type": "string", "enum": ["billing", "refund", "Other"]}, "reason": {"type": "string"}}});
        let found = shape(
            &[("{\"team\": \"billing\", \"reason\": \"x\"}", 5), ("{\"team\": \"other\"}", 1)],
            Some(&schema),
        );
        assert_eq!(labels(&found), [("billing", 5), ("Other", 1), ("refund", 0)]);
        assert_eq!(found.out_of_scope(), Some("Other"));
    }

    #[test]
    fn a_list_of_labels_may_have_any_number() {
        let schema = json!({"type": "object", "properties": {"tags": {"type": "array", "items": {"enum": ["a", "b"]}}}});
        let found = shape(&[("{\"tags\": [\"b\", \"a\"]}", 5), ("{\"tags\": []}", 5)], Some(&schema));
        assert!(found.multi);
        assert_eq!(found.labels_of("{\"tags\": [\"b\", \"a\"]}"), Some(vec![0, 1]));
        assert_eq!(found.labels_of("{\"tags\": []}"), Some(vec![]));
    }
}
