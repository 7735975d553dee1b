//! What stands beside the live release: a canary, a release that only watches; and what the live one itself would have
//! answered and saved while everything went to the large model.

use sprat_store::{Filter, ShadowSums, Spend, Store, StoreError, Totals};
use sprat_task::{Money, ReleaseId, Task, TaskName};

use super::format::{UNKNOWN, count, counted, known, money, share};
use super::overview::Figure;

/// The releases that stand beside the live one, a sentence each.
pub fn beside(store: &Store, task: &TaskName) -> Result<Vec<String>, StoreError> {
    let beside = store.registry().beside(task)?;
    let canary = beside
        .canary
        .map(|canary| format!("Canary: {} answers {} of the traffic.", canary.release, canary.share));
    let shadow = beside.shadow.map(|release| {
        let seen = Seen::of(store, &release)?;
        Ok(format!("Shadow: {release} watches; {}.", seen.sentence()))
    });
    Ok(canary.into_iter().chain(shadow.transpose()?).collect())
}

/// What is missing where everything goes to the large model and nothing of a task watches.
pub fn unwatched(store: &Store, task: &Task) -> Result<String, StoreError> {
    Ok(match task.capture.enabled {
        true => format!(
            "Nothing watches yet, because no release is live. {} of the large model’s are kept to learn from.",
            counted(store.captured().answered(&task.name)?, "answer")
        ),
        false => "Nothing watches, because no release is live, and the task keeps no texts to learn from ([capture] in its \
                  file)."
            .to_owned(),
    })
}

/// What releases would have answered while they only watched, and what that would have saved.
#[derive(Default)]
pub struct Seen {
    sums: ShadowSums,
    saved: Money,
    /// Releases without a price to compare with.
    unpriced: u64,
    releases: u64,
}

impl Seen {
    /// Of one release. What it would have saved is reckoned by what the large model alone costs a request of the task.
    pub fn of(store: &Store, release: &ReleaseId) -> Result<Self, StoreError> {
        let of_task = Filter { task: Some(release.task.clone()), spend: Some(Spend::Serving), period: None };
        Ok(Self::from_sums(store.shadow().of(release)?, &store.ledger().totals(&of_task)?))
    }

    fn from_sums(sums: ShadowSums, served: &Totals) -> Self {
        let saved = sums.saving(served);
        Self { sums, saved: saved.unwrap_or(Money::ZERO), unpriced: u64::from(saved.is_none()), releases: 1 }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            sums: self.sums.plus(other.sums),
            saved: self.saved + other.saved,
            unpriced: self.unpriced + other.unpriced,
            releases: self.releases + other.releases,
        }
    }

    /// Whether nothing has been watched.
    pub fn is_empty(&self) -> bool {
        self.sums.requests == 0
    }

    fn sentence(&self) -> String {
        let sums = &self.sums;
        if sums.requests == 0 {
            return "it has seen nothing yet".to_owned();
        }
        let mut text = format!(
            "of {} it would have answered {}",
            counted(sums.requests, "request"),
            count(sums.would_answer)
        );
        if sums.compared > 0 {
            text += &format!(
                "; of those that can be compared, {} of {} the same",
                count(sums.agreed),
                count(sums.compared)
            );
        }
        if self.unpriced == 0 {
            text += &format!("; about {} it would have saved", money(self.saved));
        }
        if sums.skipped > 0 {
            text += &format!("; {} skipped for want of room", count(sums.skipped));
        }
        text
    }

    /// As figures; none before anything has been watched.
    pub fn figures(&self) -> Vec<Figure> {
        let sums = &self.sums;
        if sums.requests == 0 {
            return Vec::new();
        }
        let saved = known(self.saved, self.unpriced, self.releases);
        let mut figures = vec![
            Figure {
                name: "Would have answered",
                value: share(sums.would_answer, sums.requests),
                note: format!("{} of {}", count(sums.would_answer), counted(sums.requests, "request")),
            },
            Figure {
                name: "Would have saved",
                value: if saved == UNKNOWN || self.saved == Money::ZERO {
                    saved
                } else {
                    format!("about {saved}")
                },
                note: match self.unpriced {
                    0 => "by what the large model costs a request".to_owned(),
                    _ => "where no price of the large model is known, neither is this".to_owned(),
                },
            },
            Figure {
                name: "The same answer",
                value: share(sums.agreed, sums.compared),
                note: match sums.compared {
                    0 => "nothing to compare with yet".to_owned(),
                    all => format!("{} of the {} that can be compared", count(sums.agreed), count(all)),
                },
            },
            Figure {
                name: "The same, sure or not",
                value: share(sums.all_agreed, sums.all_compared),
                note: match sums.all_compared {
                    0 => "nothing to compare with yet".to_owned(),
                    all => format!("{} of all its {}", count(sums.all_agreed), counted(all, "answer")),
                },
            },
        ];
        if sums.skipped > 0 {
            figures.push(Figure {
                name: "Skipped",
                value: count(sums.skipped),
                note: "not looked at, for want of room".to_owned(),
            });
        }
        figures
    }
}
