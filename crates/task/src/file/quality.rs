//! `[quality]`: when does a free text count as right?

use serde::Deserialize;
use toml::Spanned;

use crate::kind::Kind;
use crate::problem::{Problem, list};
use crate::quality::{Metric, Quality};
use crate::source::Source;

/// The table, as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityTable {
    metric: Spanned<String>,
    least: Option<Spanned<f64>>,
}

/// The quality of a task that generates.
pub(super) fn quality(
    source: &Source,
    kind: Kind,
    table: Option<&QualityTable>,
) -> Result<Option<Quality>, Problem> {
    let Some(QualityTable { metric, least }) = table else { return Ok(None) };
    if kind != Kind::Generate {
        return Err(source
            .problem_at(metric, format!("a task of kind `{kind}` compares answers, not texts"))
            .hint("remove [quality]: it is for kind = \"generate\""));
    }
    let word = metric.get_ref();
    let Some(metric) = Metric::from_word(word) else {
        let known = Metric::ALL.map(Metric::word);
        return Err(source
            .problem_at(metric, format!("`{word}` is not a way to compare texts"))
            .allowed(list(known))
            .did_you_mean(word, known));
    };
    match (metric, least) {
        // There is nothing between the same and another.
        (Metric::Exact, None) => Ok(Some(Quality { metric, least: 1.0 })),
        (_, Some(least)) if *least.get_ref() > 0.0 && *least.get_ref() <= 1.0 => {
            Ok(Some(Quality { metric, least: *least.get_ref() }))
        }
        (_, Some(least)) => Err(source
            .problem_at(least, format!("`least` is {}", least.get_ref()))
            .allowed("a number above 0 and up to 1")),
        (_, None) => Err(source
            .problem_in_file(format!(
                "[quality] says how texts are compared ({metric}), and not what is good enough"
            ))
            .hint("add least = 0.6, or what a good answer of yours reaches beside another")),
    }
}
