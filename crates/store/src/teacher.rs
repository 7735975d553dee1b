//! Answers bought from large models, so that none is paid for twice.

use rusqlite::{OptionalExtension, Row};
use sprat_task::{Answer, ModelId, Provenance, Sha256Hex, Usage};

use crate::columns::{
    count, from_json, from_json_option, from_word, signed, to_json, to_json_option, to_word, unsigned,
};
use crate::error::{Fault, StoreError};
use crate::store::Store;

/// The bought answers of a store.
#[derive(Clone, Copy)]
pub struct TeacherAnswers<'a> {
    pub(super) store: &'a Store,
}

/// What an answer was bought for, apart from the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TeacherKey {
    /// Who was asked.
    pub model: ModelId,
    /// Digest of everything in the prompt but the input: instructions, labels, examples, schema, settings.
    pub prompt: Sha256Hex,
}

/// An answer that has been paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherAnswer {
    /// The answer; `None` where the model abstained or answered outside the task, which costs as much.
    pub answer: Option<Answer>,
    /// What it used.
    pub usage: Usage,
    /// How long it took, in microseconds.
    pub latency_us: u64,
    /// Where it comes from.
    pub provenance: Provenance,
    /// When it was bought, in milliseconds since 1970.
    pub time_unix_ms: i64,
}

impl TeacherAnswers<'_> {
    /// What has been bought for these inputs (by [`Input::hash`](sprat_task::Input::hash)), in their order.
    pub fn get_many(
        &self,
        key: &TeacherKey,
        inputs: &[Sha256Hex],
    ) -> Result<Vec<Option<TeacherAnswer>>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM teacher WHERE model = ?1 AND prompt = ?2 AND input = ?3")?;
            inputs
                .iter()
                .map(|input| {
                    statement
                        .query_row((key.model.as_str(), key.prompt.as_str(), input.as_str()), |row| {
                            Ok(read_answer(row))
                        })
                        .optional()?
                        .transpose()
                })
                .collect()
        })
    }

    /// Keeps answers; they are on the disk when this returns. The first answer for an input stays, so that learning
    /// again learns the same; only where there was no answer does a later one take its place.
    pub fn put_many(
        &self,
        key: &TeacherKey,
        answers: Vec<(Sha256Hex, TeacherAnswer)>,
    ) -> Result<(), StoreError> {
        let key = key.clone();
        self.store.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO teacher (model, prompt, input, answer, usage, latency_us, provenance, time_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT DO UPDATE SET
                     answer = excluded.answer, usage = excluded.usage, latency_us = excluded.latency_us,
                     provenance = excluded.provenance, time_unix_ms = excluded.time_unix_ms
                 WHERE answer IS NULL",
            )?;
            for (input, bought) in &answers {
                statement.execute((
                    key.model.as_str(),
                    key.prompt.as_str(),
                    input.as_str(),
                    to_json_option("answer", bought.answer.as_ref())?,
                    to_json("usage", &bought.usage)?,
                    signed(bought.latency_us),
                    to_word("provenance", &bought.provenance)?,
                    bought.time_unix_ms,
                ))?;
            }
            Ok(())
        })
    }

    /// How many answers have been bought under a key.
    pub fn count(&self, key: &TeacherKey) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            Ok(unsigned(connection.query_row(
                "SELECT count(*) FROM teacher WHERE model = ?1 AND prompt = ?2",
                (key.model.as_str(), key.prompt.as_str()),
                |row| row.get(0),
            )?))
        })
    }
}

fn read_answer(row: &Row<'_>) -> Result<TeacherAnswer, Fault> {
    Ok(TeacherAnswer {
        answer: from_json_option("answer", row.get("answer")?)?,
        usage: from_json("usage", &row.get::<_, String>("usage")?)?,
        latency_us: count(row, "latency_us")?,
        provenance: from_word("provenance", row.get("provenance")?)?,
        time_unix_ms: row.get("time_unix_ms")?,
    })
}
