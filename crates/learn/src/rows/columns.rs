//! Which column is which.

/// What a column can hold, as far as Sprat cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What is asked.
    Text,
    /// What a person says is right: a label, labels, fields or a text, by the kind of task.
    Label,
    /// Where the values of a record stand in the text.
    Spans,
    /// What the large model answered.
    Large,
    /// Where the large model's answer comes from: `measured`, `recorded`, `simulated`, `authored`.
    Provenance,
    /// The conversation or user.
    Session,
    /// When it was asked.
    Time,
    /// How many identical rows it stands for.
    Weight,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Label,
        Self::Spans,
        Self::Large,
        Self::Provenance,
        Self::Session,
        Self::Time,
        Self::Weight,
    ];

    /// The role's place in an array of all roles.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The names it usually has, the likeliest first.
    fn usual_names(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["text", "input"],
            Self::Label => &["label", "labels", "gold", "fields"],
            Self::Spans => &["spans"],
            Self::Large => &["large"],
            Self::Provenance => &["large_provenance", "provenance"],
            Self::Session => &["session", "session_id", "conversation_id", "conversation", "user", "user_id"],
            Self::Time => &["time", "timestamp", "time_unix_ms"],
            Self::Weight => &["weight"],
        }
    }
}

/// Names of columns, where the usual ones don't fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The text's; `text` or `input` unless named.
    pub text: Option<String>,
    /// The label's; `label`, `labels`, `gold` or `fields` unless named.
    pub label: Option<String>,
    /// The large model's answer's; `large` unless named.
    pub large: Option<String>,
    /// The conversation's or user's; `session`, `conversation_id`, `user` or the like unless named.
    pub session: Option<String>,
    /// The time's; `time` or `timestamp` unless named.
    pub time: Option<String>,
}

impl Columns {
    /// The name the user gave a role, if any.
    pub fn named(&self, role: Role) -> Option<&str> {
        match role {
            Role::Text => self.text.as_deref(),
            Role::Label => self.label.as_deref(),
            Role::Large => self.large.as_deref(),
            Role::Session => self.session.as_deref(),
            Role::Time => self.time.as_deref(),
            Role::Spans | Role::Provenance | Role::Weight => None,
        }
    }

    /// The position of a role's column among `names`: the named one exactly, else the first usual name, whatever its
    /// case.
    pub fn find<'a>(&self, role: Role, names: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
        if let Some(named) = self.named(role) {
            return names.clone().position(|name| name == named);
        }
        role.usual_names()
            .iter()
            .find_map(|usual| names.clone().position(|name| name.trim().eq_ignore_ascii_case(usual)))
    }

    /// What to call a role's column in a message.
    pub fn name_of(&self, role: Role) -> &str {
        self.named(role).unwrap_or(role.usual_names()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_found_by_its_given_name_or_by_a_usual_one() {
        let names = ["ID", "Text", "conversation_id", "user", "team"];
        let usual = Columns::default();
        assert_eq!(usual.find(Role::Text, names.into_iter()), Some(1));
        assert_eq!(usual.find(Role::Session, names.into_iter()), Some(2), "the conversation before the user");
        assert_eq!(usual.find(Role::Label, names.into_iter()), None);
        let named = Columns { label: Some("team".into()), ..Columns::default() };
        assert_eq!(named.find(Role::Label, names.into_iter()), Some(4));
    }
}
