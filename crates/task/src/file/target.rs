//! `[target]` of a task file: what is promised, in numbers that can't be wrong.

use serde::Deserialize;
use toml::Spanned;

use super::unknown_label;
use crate::kind::Kind;
use crate::money::Money;
use crate::names::Label;
use crate::problem::Problem;
use crate::source::Source;
use crate::target::{Guarantee, MAX_MISSED, Recall, Risk, Slice, Target};

/// `[target]`, as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetTable {
    max_error: Option<Spanned<f64>>,
    confidence: Option<Spanned<f64>>,
    risk: Option<Risk>,
    guarantee: Option<Guarantee>,
    max_error_when_answered: Option<Spanned<f64>>,
    smallest_coverage: Option<Spanned<f64>>,
    mistake_cost: Option<Spanned<f64>>,
    latency_p95_ms: Option<Spanned<f64>>,
    saving: Option<Spanned<f64>>,
    non_inferiority_margin: Option<Spanned<f64>>,
    max_missed: Option<Spanned<f64>>,
    #[serde(default)]
    slice: Vec<SliceTable>,
    #[serde(default)]
    category: Vec<CategoryTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryTable {
    label: Spanned<String>,
    max_missed: Spanned<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SliceTable {
    label: Spanned<String>,
    max_error: Spanned<f64>,
}

/// What the task promises.
pub fn target(source: &Source, table: &TargetTable, labels: &[Label]) -> Result<Target, Problem> {
    let defaults = Target::default();
    let share = |name: &str, value: &Option<Spanned<f64>>, default: f64| match value {
        None => Ok(default),
        Some(value) if *value.get_ref() > 0.0 && *value.get_ref() < 1.0 => Ok(*value.get_ref()),
        Some(value) => Err(source
            .problem_at(value, format!("`{name}` = {} is out of range", value.get_ref()))
            .allowed("more than 0 and less than 1")
            .hint(percent_hint(name, *value.get_ref()))),
    };
    let positive = |name: &str, value: &Option<Spanned<f64>>| match value {
        None => Ok(None),
        Some(value) if value.get_ref().is_finite() && *value.get_ref() > 0.0 => Ok(Some(*value.get_ref())),
        Some(value) => Err(source
            .problem_at(value, format!("`{name}` = {} is out of range", value.get_ref()))
            .allowed("more than 0")),
    };
    let max_error = share("max_error", &table.max_error, defaults.max_error)?;
    if let Some(value) = table.max_error.as_ref().filter(|value| *value.get_ref() > 0.5) {
        return Err(source
            .problem_at(
                value,
                format!("`max_error` = {} would accept answers that are mostly wrong", value.get_ref()),
            )
            .allowed("more than 0 and at most 0.5"));
    }
    let mut slices = Vec::new();
    for slice in &table.slice {
        let name = slice.label.get_ref();
        if !labels.iter().any(|label| label.as_str() == name) {
            return Err(unknown_label(
                source.problem_at(&slice.label, format!("label `{name}` is not one of this task's labels")),
                name,
                labels,
            ));
        }
        let max_error = share("max_error", &Some(slice.max_error.clone()), 0.0)?;
        slices.push(Slice { label: Label::from(name.as_str()), max_error });
    }
    let saving = table.saving.is_some().then(|| share("saving", &table.saving, 0.0)).transpose()?;
    Ok(Target {
        max_error,
        confidence: share("confidence", &table.confidence, defaults.confidence)?,
        risk: table.risk.unwrap_or(defaults.risk),
        guarantee: table.guarantee,
        max_error_when_answered: share(
            "max_error_when_answered",
            &table.max_error_when_answered,
            (2.0 * max_error).min(0.999),
        )?,
        smallest_coverage: share("smallest_coverage", &table.smallest_coverage, defaults.smallest_coverage)?,
        mistake_cost: positive("mistake_cost", &table.mistake_cost)?.and_then(Money::from_units),
        latency_p95_ms: positive("latency_p95_ms", &table.latency_p95_ms)?,
        saving,
        non_inferiority_margin: share(
            "non_inferiority_margin",
            &table.non_inferiority_margin,
            defaults.non_inferiority_margin,
        )?,
        slices,
        recall: Vec::new(),
    })
}

/// What a `moderate` task promises for each of its categories.
pub fn recall(
    source: &Source,
    kind: Kind,
    table: &TargetTable,
    labels: &[Label],
) -> Result<Vec<Recall>, Problem> {
    let share = |value: &Spanned<f64>| match *value.get_ref() {
        share if share > 0.0 && share <= 0.5 => Ok(share),
        other => Err(source
            .problem_at(value, format!("`max_missed` = {other} is out of range"))
            .allowed("more than 0 and at most 0.5")
            .hint(percent_hint("max_missed", other))),
    };
    let stray = table.max_missed.as_ref().map(Spanned::span);
    let stray = stray.or_else(|| table.category.first().map(|category| category.label.span()));
    match (kind, stray) {
        (Kind::Moderate, _) => {}
        (_, None) => return Ok(Vec::new()),
        (_, Some(span)) => {
            return Err(source
                .problem(span, format!("a task of kind `{kind}` promises nothing about what it misses"))
                .hint("kind = \"moderate\" has categories that must not be missed"));
        }
    }
    let all = table.max_missed.as_ref().map_or(Ok(MAX_MISSED), share)?;
    let promised = |label: &Label| Recall { label: label.clone(), max_missed: all };
    let mut recall: Vec<Recall> = labels.iter().map(promised).collect();
    for category in &table.category {
        let name = category.label.get_ref();
        let Some(of_this) = recall.iter_mut().find(|recall| recall.label.as_str() == name) else {
            let what = format!("label `{name}` is not one of this task's labels");
            return Err(unknown_label(source.problem_at(&category.label, what), name, labels));
        };
        of_this.max_missed = share(&category.max_missed)?;
    }
    Ok(recall)
}

fn percent_hint(name: &str, value: f64) -> String {
    if value > 1.0 && value < 100.0 {
        format!("it is a share, not a percentage: {value}% is {name} = {}", value / 100.0)
    } else {
        format!("for example {name} = 0.05 for 5%")
    }
}
