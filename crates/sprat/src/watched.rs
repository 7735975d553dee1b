//! What a release would have answered while it watched, in the numbers and words of every command.

use serde::Serialize;
use sprat_store::{ShadowSums, Totals};
use sprat_task::{Money, ReleaseId};

use crate::output::words;

/// What a release would have answered while it watched.
#[derive(Serialize)]
pub struct Watched {
    release: String,
    #[serde(flatten)]
    sums: ShadowSums,
    /// Share of requests that it would have answered.
    coverage: Option<f64>,
    /// Of what it would have answered, the share that was answered the same.
    agreement: Option<f64>,
    /// The same over every request, sure or not.
    agreement_of_all: Option<f64>,
    /// What it would have saved ([`ShadowSums::saving`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    would_save_micro_usd: Option<Money>,
}

impl From<(ReleaseId, ShadowSums)> for Watched {
    fn from((release, sums): (ReleaseId, ShadowSums)) -> Self {
        Self {
            release: release.to_string(),
            sums,
            coverage: sums.coverage(),
            agreement: sums.agreement(),
            agreement_of_all: sums.agreement_of_all(),
            would_save_micro_usd: None,
        }
    }
}

impl Watched {
    /// The headings of [`row`](Self::row).
    pub const COLUMNS: [&str; 6] =
        ["release", ">watched", ">would answer", ">same, of these", ">same, of all", ">skipped"];

    /// The same, with what it would have saved of what these requests cost.
    pub fn of_cost(mut self, served: &Totals) -> Self {
        self.would_save_micro_usd = self.sums.saving(served);
        self
    }

    /// As cells of a table.
    pub fn row(&self) -> [String; 6] {
        let share = |share: Option<f64>| share.map_or_else(|| "unknown".to_owned(), words::share);
        [
            self.release.clone(),
            words::count(self.sums.requests),
            share(self.coverage),
            share(self.agreement),
            share(self.agreement_of_all),
            words::count(self.sums.skipped),
        ]
    }

    /// As a sentence.
    pub fn sentence(&self) -> String {
        let sums = &self.sums;
        if sums.requests == 0 {
            return format!("{}, which has seen no request yet", self.release);
        }
        let [release, watched, coverage, agreement, of_all, skipped] = self.row();
        let mut text = format!("{release}, {watched} watched, {coverage} it would have answered");
        if sums.compared > 0 {
            text += &format!(", {agreement} of these the same ({} compared)", words::count(sums.compared));
        }
        if sums.all_compared > 0 {
            text += &format!("; of all its answers, sure or not, {of_all} the same");
        }
        if let Some(saved) = self.would_save_micro_usd {
            text += &format!("; about {saved} it would have saved");
        }
        if sums.skipped > 0 {
            text += &format!("; {skipped} skipped for want of room");
        }
        text
    }
}
