//! `long` and `hole`: what is a task that generates asked about, besides texts that a model can read as a whole?

use toml::Spanned;

use super::TaskFile;
use crate::hole::Hole;
use crate::kind::Kind;
use crate::long::Long;
use crate::problem::{Problem, list};
use crate::source::Source;

/// What becomes of texts that are too long.
pub(super) fn long(source: &Source, kind: Kind, file: &TaskFile) -> Result<Option<Long>, Problem> {
    let Some(written) = &file.long else { return Ok(None) };
    let word = written.get_ref();
    only_where_texts_are_written(source, kind, written, "long")?;
    let Some(long) = Long::from_word(word) else {
        let known = Long::ALL.map(Long::word);
        return Err(source
            .problem_at(written, format!("`{word}` says nothing of what becomes of a long text"))
            .allowed(list(known))
            .did_you_mean(word, known));
    };
    if file.hole.is_some() {
        return Err(source.problem_at(written, "`long` and `hole` are both given").hint(
            "remove `long`: of what stands around a hole, the farthest is left out where it is too long",
        ));
    }
    Ok(Some(long))
}

/// What marks the hole in every text.
pub(super) fn hole(source: &Source, kind: Kind, file: &TaskFile) -> Result<Option<Hole>, Problem> {
    let Some(written) = &file.hole else { return Ok(None) };
    only_where_texts_are_written(source, kind, written, "hole")?;
    Hole::marked(written.get_ref()).map(Some).ok_or_else(|| {
        source
            .problem_at(written, "`hole` marks nothing: it is empty, or blank")
            .allowed("a marker that stands in every text once, such as \"<HOLE>\"")
    })
}

fn only_where_texts_are_written(
    source: &Source,
    kind: Kind,
    written: &Spanned<String>,
    key: &str,
) -> Result<(), Problem> {
    match kind {
        Kind::Generate => Ok(()),
        kind => Err(source
            .problem_at(written, format!("a task of kind `{kind}` writes no texts, and has no `{key}`"))
            .hint(format!("remove `{key}`: it is for kind = \"generate\""))),
    }
}
