//! Hours or days, one after another: what the charts and the tables beside them show.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use sprat_store::{Filter, Spend, Store, StoreError, Totals};
use sprat_task::{Money, TaskName};

use super::format::{When, count, duration_or_unknown, known, money, share};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How far back a page looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Span {
    /// 24 hours.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// 7 days by the hour.
    #[serde(rename = "7d")]
    Week,
    /// 30 days.
    #[serde(rename = "30d")]
    Month,
    /// 365 days.
    #[serde(rename = "1y")]
    Year,
}

impl Span {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// Its name in an address.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Year => "1y",
        }
    }

    /// In a sentence.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Day => "the last 24 hours",
            Self::Week => "the last 7 days",
            Self::Month => "the last 30 days",
            Self::Year => "the last 365 days",
        }
    }

    /// Milliseconds of one step.
    pub fn step_ms(&self) -> i64 {
        match self {
            Self::Day | Self::Week => HOUR_MS,
            Self::Month | Self::Year => DAY_MS,
        }
    }

    /// One step in a word.
    pub fn step(&self) -> &'static str {
        if self.step_ms() == HOUR_MS { "hour" } else { "day" }
    }

    fn steps(&self) -> i64 {
        match self {
            Self::Day => 24,
            Self::Week => 168,
            Self::Month => 30,
            Self::Year => 365,
        }
    }

    /// Whole hours or days (UTC), the present one last.
    pub fn period(&self, now_unix_ms: i64) -> Range<i64> {
        let step = self.step_ms();
        let until = (now_unix_ms.div_euclid(step) + 1) * step;
        until - self.steps() * step..until
    }
}

/// A span of time, step by step.
pub struct Series {
    /// How far back.
    pub span: Span,
    /// From when to when, in milliseconds since 1970.
    pub period: Range<i64>,
    /// Steps in which anything happened, oldest first.
    pub steps: Vec<Step>,
}

/// One hour or day.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Its first millisecond.
    pub at: i64,
    /// What was answered.
    pub served: Totals,
    /// Labels, training, audits, evaluation and judgements.
    pub beside: Beside,
}

/// What was spent on something other than answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The sum of what is known.
    pub cost: Money,
    /// How many costs are not.
    pub unknown: u64,
}

impl Beside {
    /// What is in all the spending and not in the answers'.
    pub fn of(all: &Totals, served: &Totals) -> Self {
        Self { cost: all.cost - served.cost, unknown: all.cost_unknown.saturating_sub(served.cost_unknown) }
    }
}

impl Series {
    /// Reads it, for one task or for all.
    pub fn read(
        store: &Store,
        task: Option<&TaskName>,
        span: Span,
        now_unix_ms: i64,
    ) -> Result<Self, StoreError> {
        let period = span.period(now_unix_ms);
        let of = |spend| {
            let filter = Filter { task: task.cloned(), spend, period: Some(period.clone()) };
            match span.step_ms() {
                HOUR_MS => store.ledger().per_hour(&filter),
                _ => store.ledger().per_day(&filter),
            }
        };
        let mut served: BTreeMap<i64, Totals> = of(Some(Spend::Serving))?.into_iter().collect();
        let step = |(at, all): (i64, Totals)| {
            let served = served.remove(&at).unwrap_or_default();
            Step { at, beside: Beside::of(&all, &served), served }
        };
        Ok(Self { span, period: period.clone(), steps: of(None)?.into_iter().map(step).collect() })
    }
}

/// A line of the table beside the charts. Scripts draw from the same cells.
pub struct Row {
    /// Its first millisecond.
    pub at: i64,
    /// The same for people.
    pub when: When,
    /// Answered small, left to the end of the ladder, and failed among these.
    pub small: u64,
    /// Left to the end of the ladder.
    pub escalated: u64,
    /// All requests.
    pub requests: u64,
    /// Without an answer, because the large model failed.
    pub failed: u64,
    /// Answered small, as a share.
    pub coverage: String,
    /// Requests whose cost and baseline are both known.
    pub compared: u64,
    /// What the requests cost, whose cost and baseline are known, with labels, training, audits, evaluation and judgements; in
    /// millionths.
    pub spent: i64,
    /// What the large model would have cost for them, in millionths.
    pub large: i64,
    /// What one model alone would have cost for the requests of known cost, in millionths, where one would do.
    pub single: Option<i64>,
    /// What is known of the answers' cost, in words.
    pub cost: String,
    /// What was saved, in words; unknown where there is nothing to compare.
    pub saved: String,
    /// Median latency, in words.
    pub p50: String,
    /// 99th percentile of the latency, in words.
    pub p99: String,
}

impl Row {
    /// Of a step. `single`: what one model alone costs a request, in millionths.
    pub fn of(span: Span, step: &Step, single: Option<f64>) -> Self {
        let Step { at, served, beside } = step;
        let compared = &served.compared;
        Self {
            at: *at,
            when: if span.step_ms() == HOUR_MS { When::minute(*at) } else { When::day(*at) },
            small: served.small,
            escalated: served.escalated,
            requests: served.requests,
            failed: served.failed,
            coverage: share(served.small, served.requests),
            compared: compared.requests,
            spent: (compared.cost + beside.cost).micro(),
            large: compared.baseline.micro(),
            single: single.map(|each| (each * (served.requests - served.cost_unknown) as f64).round() as i64),
            cost: known(served.cost, served.cost_unknown, served.requests),
            saved: match compared.requests {
                0 if beside.cost == Money::ZERO => super::format::UNKNOWN.to_owned(),
                _ => money(compared.saved() - beside.cost),
            },
            p50: duration_or_unknown(served.latency.quantile_us(0.5)),
            p99: duration_or_unknown(served.latency.quantile_us(0.99)),
        }
    }

    /// Requests with thousands apart.
    pub fn requests_text(&self) -> String {
        count(self.requests)
    }

    /// Answers with thousands apart.
    pub fn small_text(&self) -> String {
        count(self.small)
    }

    /// Escalations with thousands apart.
    pub fn escalated_text(&self) -> String {
        count(self.escalated)
    }
}

/// The lines of a series, newest first.
pub fn rows(series: &Series, single: Option<f64>) -> Vec<Row> {
    series.steps.iter().rev().map(|step| Row::of(series.span, step, single)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_the_present_hour_or_day() {
        let now = 10 * DAY_MS + 5 * HOUR_MS + 7;
        for (span, from, until) in [
            (Span::Day, 9 * DAY_MS + 6 * HOUR_MS, 10 * DAY_MS + 6 * HOUR_MS),
            (Span::Week, 3 * DAY_MS + 6 * HOUR_MS, 10 * DAY_MS + 6 * HOUR_MS),
            (Span::Month, -19 * DAY_MS, 11 * DAY_MS),
        ] {
            assert_eq!(span.period(now), from..until, "{span:?}");
        }
    }
}
