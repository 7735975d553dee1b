//! What the output's columns will be called: the input's, then those that are added.

use std::fmt;
use std::io::BufRead;

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use sprat_task::Problem;
use sprat_task::problem::list;

use super::plan::{InputColumns, Plan};
use super::{Job, Names};
use crate::rows::arrow_value::is_readable;
use crate::rows::lines::Lines;
use crate::rows::source::{Format, cannot_read};

/// The columns that are added, in this order.
pub const ADDED: [&str; 6] = ["answer", "answered_by", "confidence", "escalated", "cost_micro_usd", "error"];

/// Where a line that is no JSON object is kept, since it has no columns.
const RAW: &str = "raw";

/// The prefix where the input has a column of an added name.
const PREFIX: &str = "sprat_";

/// The output's format and columns.
#[derive(Clone)]
pub struct Shape {
    /// The format.
    pub format: Format,
    /// The input's columns.
    pub input: InputColumns,
    /// The input's columns as names; a line that is no object is kept in the last one.
    pub names: Names,
    /// The added columns' names, in the order of [`ADDED`].
    pub added: [String; ADDED.len()],
    /// Where lines that are no JSON objects are kept, if there are any.
    pub raw: Option<String>,
}

impl Shape {
    /// The shape of a job's output.
    pub fn new(plan: &Plan, job: &Job) -> Result<Self, Problem> {
        let format = output_format(plan, job);
        let mut names = names_of(&plan.columns);
        if matches!(format, Format::Jsonl | Format::Parquet)
            && !matches!(plan.columns, InputColumns::Lines { .. })
        {
            name_the_nameless(&mut names);
        }
        let has_bad_lines = matches!(plan.columns, InputColumns::Lines { has_bad_lines: true, .. });
        let wanted = || ADDED.into_iter().chain(has_bad_lines.then_some(RAW));
        let collides = |prefix: &str| wanted().any(|name| names.contains(&format!("{prefix}{name}")));
        let prefix = match &job.prefix {
            Some(prefix) => prefix.as_str(),
            None if collides("") => PREFIX,
            None => "",
        };
        if collides(prefix) {
            return Err(Problem::in_file(
                &plan.name,
                "the input has columns of the names that would be added",
            )
            .allowed(format!(
                "none of: {}",
                list(
                    wanted()
                        .map(|name| format!("{prefix}{name}"))
                        .collect::<Vec<_>>()
                        .iter()
                        .map(String::as_str)
                )
            ))
            .hint("choose another beginning for them with --prefix"));
        }
        unreadable_column(&plan.columns, format, &plan.name)?;
        let raw = has_bad_lines.then(|| format!("{prefix}{RAW}"));
        names.extend(raw.clone());
        let added = ADDED.map(|name| format!("{prefix}{name}"));
        Ok(Self { format, input: plan.columns.clone(), names: names.into(), added, raw })
    }

    /// What the user ought to know about the names.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.added[0] != ADDED[0] {
            notices.push(format!("the added columns are called {}", self.added.join(", ")));
        }
        if let Some(raw) = &self.raw {
            notices.push(format!("lines that are not JSON are kept in `{raw}`"));
        }
        notices
    }
}

fn output_format(plan: &Plan, job: &Job) -> Format {
    let of_input = match &plan.columns {
        InputColumns::Delimited { delimiter: b'\t', .. } => Format::Tsv,
        InputColumns::Delimited { .. } => Format::Csv,
        InputColumns::Lines { .. } => Format::Jsonl,
        InputColumns::Arrow { .. } => Format::Parquet,
    };
    job.output_format.or(Format::of_name(&job.output)).unwrap_or(of_input)
}

fn names_of(columns: &InputColumns) -> Vec<String> {
    match columns {
        InputColumns::Delimited { names, .. } | InputColumns::Lines { names, .. } => names.to_vec(),
        InputColumns::Arrow { schema, .. } => {
            schema.fields().iter().map(|field| field.name().clone()).collect()
        }
    }
}

/// A column without a name has one by its place: CSV can do without, the others would mix several up.
fn name_the_nameless(names: &mut [String]) {
    for (index, name) in names.iter_mut().enumerate() {
        if name.is_empty() {
            *name = format!("column_{}", index + 1);
        }
    }
}

/// Says at once, not after an hour, that a column can't be written in the output's format.
fn unreadable_column(columns: &InputColumns, format: Format, file: &str) -> Result<(), Problem> {
    let InputColumns::Arrow { schema, .. } = columns else { return Ok(()) };
    let unreadable = schema.fields().iter().find(|field| !is_readable(field.data_type()));
    match unreadable {
        Some(field) if format != Format::Parquet => Err(Problem::in_file(
            file,
            format!(
                "column `{}` has a type that can't be written as text: {}",
                field.name(),
                field.data_type()
            ),
        )
        .hint("write Parquet: name the output .parquet")),
        _ => Ok(()),
    }
}

/// Every key of every object, in order of first appearance, and whether some lines are none.
pub fn keys_of_lines<R: BufRead>(mut lines: Lines<R>, file: &str) -> Result<(Names, bool), Problem> {
    let mut keys = Keys::default();
    let mut has_bad_lines = false;
    while let Some(line) = lines.read().map_err(|error| cannot_read(file, &error))? {
        let content = line.content();
        if content.trim_ascii().is_empty() {
            continue;
        }
        let known = keys.names.len();
        let mut json = serde_json::Deserializer::from_slice(content);
        let is_good = std::str::from_utf8(content).is_ok()
            && (&mut json).deserialize_map(&mut keys).is_ok()
            && json.end().is_ok();
        if !is_good {
            keys.names.truncate(known); // a bad line is kept as a whole and needs no columns
            keys.last = 0;
            has_bad_lines = true;
        }
    }
    Ok((keys.names.into(), has_bad_lines))
}

#[derive(Default)]
struct Keys {
    names: Vec<String>,
    /// Where the last key was found: the next is most often the one after it.
    last: usize,
}

impl Keys {
    fn add(&mut self, key: &str) {
        let next = self.last + 1;
        if self.names.get(next).is_some_and(|name| name == key) {
            self.last = next;
        } else if let Some(at) = self.names.iter().position(|name| name == key) {
            self.last = at;
        } else {
            self.names.push(key.to_owned());
            self.last = self.names.len() - 1;
        }
    }
}

impl<'de> Visitor<'de> for &mut Keys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            self.add(&key);
            map.next_value::<Checked>()?;
        }
        Ok(())
    }
}

/// A value that is read to its end and forgotten. Unlike [`serde::de::IgnoredAny`] it stumbles over whatever a row's own
/// reading would stumble over (half a character, too deep a nesting), so that the two agree on which lines are bad.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Self, S::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self, M::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
