//! `[notices]`: who is told of alarms, and in which form.

use serde::Deserialize;
use sprat_task::problem::list;
use sprat_task::{Problem, Source};
use toml::Spanned;
use toml::de::DeValue;

use super::secret::{self, KeySource};

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notices {
    /// Where the address is found: whoever knows it may write there, so that it is a secret.
    pub webhook: KeySource,
    /// The form of a message.
    pub format: NoticeFormat,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoticeFormat {
    /// An object with a field for each thing known.
    #[default]
    Json,
    /// What Slack's incoming webhooks take.
    Slack,
}

impl NoticeFormat {
    const ALL: [Self; 2] = [Self::Json, Self::Slack];

    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticesTable {
    webhook: Spanned<toml::Value>,
    format: Option<Spanned<String>>,
}

/// `[notices]`.
pub fn read(source: &Source, value: Spanned<DeValue<'_>>) -> Result<Option<Notices>, Problem> {
    let table: NoticesTable = source.parse_part(value)?;
    let webhook = secret::read_as(source, "webhook", &table.webhook)?;
    let format = table.format.map(|format| read_format(source, &format)).transpose()?.unwrap_or_default();
    Ok(Some(Notices { webhook, format }))
}

fn read_format(source: &Source, format: &Spanned<String>) -> Result<NoticeFormat, Problem> {
    let word = format.get_ref().as_str();
    NoticeFormat::ALL.into_iter().find(|format| format.word() == word).ok_or_else(|| {
        let known = NoticeFormat::ALL.map(NoticeFormat::word);
        source
            .problem_at(format, format!("`{word}` is not a form of notices"))
            .allowed(list(known))
            .did_you_mean(word, known)
    })
}
