//! Where a number or an answer comes from, shown wherever it is shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where answers, prices and latencies come from. Anything computed from mixed sources carries the weakest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// Written by hand to look like the real thing: demonstrations.
    Authored,
    /// Produced by a simulation.
    Simulated,
    /// Recorded from a real model earlier and played back.
    Recorded,
    /// Happened here, now.
    #[default]
    Measured,
}

impl Provenance {
    /// The weaker of two: what a figure computed from both may claim.
    pub fn weaker(self, other: Self) -> Self {
        self.min(other)
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Authored => "authored",
            Self::Simulated => "simulated",
            Self::Recorded => "recorded",
            Self::Measured => "measured",
        })
    }
}
