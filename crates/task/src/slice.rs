//! Parts of a task's traffic that are watched by themselves: an error may rise in one and hide in the whole.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::Label;
use crate::prediction::Answer;

/// A part of what is answered small.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slice {
    /// Everything.
    Whole,
    /// What is answered with this label.
    Label(Label),
    /// What comes with this value of a metadata key that the task declares.
    Group {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

impl Slice {
    /// The slices that an answered input belongs to: the whole, one for each label of the answer, one for each group.
    pub fn of(answer: &Answer, groups: &BTreeMap<String, String>) -> Vec<Self> {
        let labels = labels(answer).iter().cloned().map(Self::Label);
        let groups = groups.iter().map(|(key, value)| Self::Group { key: key.clone(), value: value.clone() });
        std::iter::once(Self::Whole).chain(labels).chain(groups).collect()
    }

    /// Whether an answered input belongs to it.
    pub fn holds(&self, answer: &Answer, groups: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Whole => true,
            Self::Label(label) => labels(answer).contains(label),
            Self::Group { key, value } => groups.get(key) == Some(value),
        }
    }
}

fn labels(answer: &Answer) -> &[Label] {
    match answer {
        Answer::Label(label) => std::slice::from_ref(label),
        Answer::Labels(labels) => labels,
        Answer::Fields(_) | Answer::Text(_) => &[],
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.pad("everything"),
            Self::Label(label) => f.pad(&format!("answers `{label}`")),
            Self::Group { key, value } => f.pad(&format!("{key} = `{value}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_the_whole_to_each_of_its_labels_and_to_its_groups() {
        let several = Answer::labels(["joy".into(), "anger".into()]);
        let groups = BTreeMap::from([("channel".to_owned(), "mail".to_owned())]);
        let mail = Slice::Group { key: "channel".into(), value: "mail".into() };
        let slices = Slice::of(&several, &groups);
        assert_eq!(
            slices,
            [Slice::Whole, Slice::Label("anger".into()), Slice::Label("joy".into()), mail.clone()]
        );
        assert!(slices.iter().all(|slice| slice.holds(&several, &groups)));
        assert!(!Slice::Label("fear".into()).holds(&several, &groups));
        assert!(!mail.holds(&several, &BTreeMap::new()));
        assert_eq!(Slice::of(&Answer::Text("hello".into()), &BTreeMap::new()), [Slice::Whole]);
    }
}
