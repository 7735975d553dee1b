//! `[models.NAME]` with `kind = "encoder"`: where the base model is, and how it is taught.

use serde::Deserialize;
use sprat_models::hub::ModelSource;
use sprat_task::{Problem, Source};
use toml::Spanned;
use toml::de::DeString;

use super::file;
use super::model::{checked_place, share};

/// An encoder, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoder {
    /// Where the base model is.
    pub source: ModelSource,
    /// Whether the encoder itself is trained: one of [`FINE_TUNE`].
    pub fine_tune: &'static str,
    /// Most passes of fine-tuning; by the number of rows where it isn't set.
    pub epochs: Option<u32>,
    /// Fine-tuning's largest learning rate.
    pub learning_rate: f32,
    /// How far rare labels are lifted.
    pub balance: f32,
    /// How finely it computes where it answers: one of [`PRECISION`].
    pub precision: &'static str,
    /// Share of right answers that may be given up to refuse what is out of scope.
    pub in_scope_loss: f32,
}

#[cfg(feature = "encoder")]
impl Encoder {
    /// How finely it computes where it answers.
    pub fn precision(&self) -> sprat_models::encoder::Precision {
        match self.precision {
            "bf16" => sprat_models::encoder::Precision::Bf16,
            _ => sprat_models::encoder::Precision::F32,
        }
    }
}

/// The keys.
pub const KEYS: &[&str] =
    &["kind", "source", "precision", "fine_tune", "epochs", "learning_rate", "balance", "in_scope_loss"];

/// Whether the encoder itself is trained: where it is better on rows that it has not seen, never, always by pairs of rows, or
/// always by labels.
pub const FINE_TUNE: [&str; 4] = ["auto", "never", "contrastive", "always"];

/// How finely it computes where it answers: in 32 bits, or rounded to 16 where numbers are multiplied.
pub const PRECISION: [&str; 2] = ["f32", "bf16"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    source: Option<Spanned<String>>,
    precision: Option<Spanned<String>>,
    fine_tune: Option<Spanned<String>>,
    epochs: Option<Spanned<i64>>,
    learning_rate: Option<Spanned<f64>>,
    balance: Option<Spanned<f64>>,
    in_scope_loss: Option<Spanned<f64>>,
}

pub(super) fn read(source: &Source, name: &Spanned<DeString<'_>>, table: Table) -> Result<Encoder, Problem> {
    let epochs = file::whole(source, "epochs", table.epochs.as_ref(), 1, 100)?;
    let learning_rate = match &table.learning_rate {
        None => 1e-4,
        Some(rate) if (1e-7..=1e-2).contains(rate.get_ref()) => *rate.get_ref() as f32,
        Some(rate) => {
            return Err(source
                .problem_at(rate, format!("`learning_rate` = {} is out of range", rate.get_ref()))
                .allowed("0.0000001 to 0.01; 0.0001 is the default"));
        }
    };
    Ok(Encoder {
        source: checked_place(source, name, table.source)?,
        precision: one_of(source, "precision", table.precision.as_ref(), PRECISION)?,
        fine_tune: one_of(source, "fine_tune", table.fine_tune.as_ref(), FINE_TUNE)?,
        epochs: epochs.and_then(|epochs| u32::try_from(epochs).ok()),
        learning_rate,
        balance: share(source, "balance", &table.balance, 0.2)?,
        in_scope_loss: share(source, "in_scope_loss", &table.in_scope_loss, 0.01)?,
    })
}

/// One of the words, the first where none is written.
fn one_of<const N: usize>(
    source: &Source,
    key: &str,
    written: Option<&Spanned<String>>,
    words: [&'static str; N],
) -> Result<&'static str, Problem> {
    let Some(word) = written else { return Ok(words[0]) };
    words.into_iter().find(|known| known == word.get_ref()).ok_or_else(|| {
        source
            .problem_at(word, format!("`{key}` = \"{}\" is not understood", word.get_ref()))
            .allowed(sprat_task::problem::list(words))
            .did_you_mean(word.get_ref(), words)
    })
}
