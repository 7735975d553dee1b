//! `[[fields]]` of a task that extracts.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::extract::field::{DateOrder, Field, FieldType, Pattern};
use crate::extract::value::says_nothing;
use crate::kind::Kind;
use crate::problem::{Problem, list};
use crate::source::Source;

/// One field, as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldTable {
    name: Spanned<String>,
    #[serde(rename = "type")]
    kind: Spanned<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    description: String,
    pattern: Option<Spanned<String>>,
    #[serde(default)]
    examples: Vec<Spanned<String>>,
    values: Option<Spanned<Vec<Spanned<String>>>>,
    synonyms: Option<Spanned<BTreeMap<String, Spanned<String>>>>,
    order: Option<Spanned<String>>,
    currency: Option<Spanned<String>>,
    decimal: Option<Spanned<String>>,
}

/// More fields than this are no record but a table.
const MOST_FIELDS: usize = 200;

/// The fields of a task: some where it extracts, none where it doesn't.
pub(super) fn fields(source: &Source, kind: Kind, tables: &[FieldTable]) -> Result<Vec<Field>, Problem> {
    match (kind, tables) {
        (Kind::Extract, []) => {
            let hint =
                "add [[fields]] with name = \"total\" and type = \"money\" below it, once for each field";
            return Err(source.problem_in_file("a task of kind `extract` needs `[[fields]]`").hint(hint));
        }
        (Kind::Extract, _) => {}
        (_, []) => return Ok(Vec::new()),
        (other, [first, ..]) => {
            return Err(source
                .problem_at(&first.name, format!("a task of kind `{other}` has no fields"))
                .hint("kind = \"extract\" finds fields in a text"));
        }
    }
    if let Some(one_too_many) = tables.get(MOST_FIELDS) {
        return Err(source.problem_at(&one_too_many.name, format!("more than {MOST_FIELDS} fields")));
    }
    let mut fields: Vec<Field> = Vec::new();
    for table in tables {
        let name = table.name.get_ref();
        if fields.iter().any(|earlier| earlier.name == *name) {
            return Err(source
                .problem_at(&table.name, format!("field `{name}` is declared twice"))
                .hint("remove one of them"));
        }
        fields.push(field(source, table)?);
    }
    Ok(fields)
}

fn field(source: &Source, table: &FieldTable) -> Result<Field, Problem> {
    check_name(source, &table.name)?;
    let kind = kind_of(source, &table.kind)?;
    check_keys(source, table, kind)?;
    let field = Field {
        name: table.name.get_ref().clone(),
        kind,
        required: table.required,
        description: table.description.trim().to_owned(),
        pattern: pattern(source, table)?,
        examples: table.examples.iter().map(|example| example.get_ref().clone()).collect(),
        values: values(source, table, kind)?,
        synonyms: synonyms(source, table)?,
        order: order(source, table)?,
        currency: currency(source, table)?,
        decimal: decimal(source, table)?,
    };
    let bad = table.examples.iter().find(|example| field.read(example.get_ref()).is_none());
    match bad {
        None => Ok(field),
        Some(example) => Err(source
            .problem_at(example, format!("`{}` is not a value of field `{}`", example.get_ref(), field.name))
            .allowed(field.kind.looks_like())
            .hint("an example is written as a text would say it")),
    }
}

fn check_name(source: &Source, name: &Spanned<String>) -> Result<(), Problem> {
    let text = name.get_ref();
    let is_key = (1..=64).contains(&text.len()) && text.trim() == text && !text.contains(char::is_control);
    if is_key {
        return Ok(());
    }
    Err(source
        .problem_at(name, format!("`{}` can't name a field", text.escape_debug()))
        .allowed("1 to 64 bytes without line breaks, no white space at the ends"))
}

fn kind_of(source: &Source, word: &Spanned<String>) -> Result<FieldType, Problem> {
    FieldType::from_word(word.get_ref()).ok_or_else(|| {
        let known = FieldType::ALL.map(FieldType::word);
        source
            .problem_at(word, format!("`{}` is not a type of field", word.get_ref()))
            .allowed(list(known))
            .did_you_mean(word.get_ref(), known)
    })
}

/// Where a key's value stands in the file, if it is there.
type WrittenAt = Option<std::ops::Range<usize>>;

/// Keys that only fields of some types have.
fn check_keys(source: &Source, table: &FieldTable, kind: FieldType) -> Result<(), Problem> {
    use FieldType::{Date, Enum, List, Money, Number, Text};
    let keys: [(&str, WrittenAt, &[FieldType]); 6] = [
        ("pattern", table.pattern.as_ref().map(Spanned::span), &[Text, List]),
        ("values", table.values.as_ref().map(Spanned::span), &[Enum]),
        ("synonyms", table.synonyms.as_ref().map(Spanned::span), &[Enum]),
        ("order", table.order.as_ref().map(Spanned::span), &[Date]),
        ("currency", table.currency.as_ref().map(Spanned::span), &[Money]),
        ("decimal", table.decimal.as_ref().map(Spanned::span), &[Number, Money]),
    ];
    for (key, span, kinds) in keys {
        if let Some(span) = span.filter(|_| !kinds.contains(&kind)) {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            return Err(source
                .problem(span, format!("a field of type `{kind}` has no `{key}`"))
                .allowed(format!("`{key}` is for {}", words.join(" and "))));
        }
    }
    Ok(())
}

fn pattern(source: &Source, table: &FieldTable) -> Result<Option<Pattern>, Problem> {
    let Some(written) = &table.pattern else { return Ok(None) };
    Pattern::new(written.get_ref()).map(Some).map_err(|why| {
        let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        source
            .problem_at(written, format!("`pattern` is no regular expression: {last}"))
            .hint("write it in single quotes, so that \\d stays \\d: pattern = '\\d{4}-[A-Z]+'")
    })
}

fn values(source: &Source, table: &FieldTable, kind: FieldType) -> Result<Vec<String>, Problem> {
    let Some(values) = &table.values else {
        return match kind {
            FieldType::Enum => Err(source
                .problem_at(
                    &table.name,
                    format!("field `{}` is an enum and lists no `values`", table.name.get_ref()),
                )
                .hint("values = [\"small\", \"large\"]")),
            _ => Ok(Vec::new()),
        };
    };
    let mut seen: Vec<String> = Vec::new();
    for value in values.get_ref() {
        let text = value.get_ref();
        if says_nothing(&text.as_str().into()) {
            return Err(source.problem_at(value, "a value can't be empty"));
        }
        if seen.iter().any(|earlier| earlier.eq_ignore_ascii_case(text)) {
            return Err(source
                .problem_at(value, format!("value `{text}` is listed twice"))
                .hint("remove one of them: values are read whatever their case"));
        }
        seen.push(text.clone());
    }
    if seen.is_empty() {
        return Err(source.problem(values.span(), "an enum needs at least one value"));
    }
    Ok(seen)
}

fn synonyms(source: &Source, table: &FieldTable) -> Result<BTreeMap<String, String>, Problem> {
    let Some(synonyms) = &table.synonyms else { return Ok(BTreeMap::new()) };
    let declared: Vec<&str> = table
        .values
        .iter()
        .flat_map(|values| values.get_ref())
        .map(|value| value.get_ref().as_str())
        .collect();
    for meant in synonyms.get_ref().values() {
        if !declared.contains(&meant.get_ref().as_str()) {
            return Err(source
                .problem_at(meant, format!("`{}` is not one of the field's values", meant.get_ref()))
                .allowed(list(declared.iter().copied()))
                .did_you_mean(meant.get_ref(), declared.iter().copied()));
        }
    }
    let pairs = synonyms.get_ref().iter();
    Ok(pairs.map(|(synonym, meant)| (synonym.clone(), meant.get_ref().clone())).collect())
}

fn order(source: &Source, table: &FieldTable) -> Result<Option<DateOrder>, Problem> {
    let Some(word) = &table.order else { return Ok(None) };
    DateOrder::from_word(word.get_ref()).map(Some).ok_or_else(|| {
        let known = DateOrder::ALL.map(DateOrder::word);
        source
            .problem_at(word, format!("`{}` is not an order of day, month and year", word.get_ref()))
            .allowed(list(known))
            .did_you_mean(word.get_ref(), known)
    })
}

fn currency(source: &Source, table: &FieldTable) -> Result<Option<String>, Problem> {
    let Some(word) = &table.currency else { return Ok(None) };
    let text = word.get_ref();
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(Some(text.clone()));
    }
    Err(source
        .problem_at(word, format!("`{text}` is not a currency"))
        .allowed("a code of ISO 4217, such as EUR"))
}

fn decimal(source: &Source, table: &FieldTable) -> Result<char, Problem> {
    match table.decimal.as_ref().map(|mark| mark.get_ref().as_str()) {
        None | Some(".") => Ok('.'),
        Some(",") => Ok(','),
        Some(other) => {
            let at = table.decimal.as_ref().map_or(0..0, Spanned::span);
            Err(source.problem(at, format!("`{other}` is no decimal point")).allowed("\".\" or \",\""))
        }
    }
}
