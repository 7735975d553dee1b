//! What answers now: the ladder of each task, and who gives it to a server that outlives releases.

use std::sync::Arc;

use futures::future::BoxFuture;
use sprat_task::{Certificate, Money, Price, Provenance, ReleaseId, Task, Upstream};

use crate::climb::Climbed;
use crate::ladder::Ladder;
use crate::ledger::Account;

/// A task's ladder, and what must be known of it to serve it.
pub struct Serving {
    /// The task.
    pub task: Task,
    /// The release that answers; `None` before there is one, when everything goes to the end of the ladder.
    pub release: Option<ReleaseId>,
    /// The release's promise.
    pub certificate: Option<Certificate>,
    /// Why the certificate no longer holds, a sentence each.
    pub stale: Vec<String>,
    /// The ladder. It answers nothing small unless the release is certified and unchanged.
    pub ladder: Ladder,
    /// What the large model is expected to cost a request, where it isn't asked; `None` where unknown.
    pub large_estimate: Option<Money>,
    /// Where the large model's answers and prices come from.
    pub provenance: Provenance,
}

impl Serving {
    /// What a climb cost, beside what the large model alone would have.
    pub fn account(&self, climbed: &Climbed) -> Account {
        Account::of(climbed, self.large_estimate)
    }

    /// In one word, whether small models may answer: the certificate's status, `stale`, or `none` without a release.
    pub fn standing(&self) -> &'static str {
        match &self.certificate {
            None => "none",
            Some(_) if !self.stale.is_empty() => "stale",
            Some(certificate) => certificate.status.word(),
        }
    }

    /// The share of wrong answers that is promised never to be exceeded; `None` where nothing is promised.
    pub fn promised_error(&self) -> Option<f64> {
        let certificate = self.certificate.as_ref().filter(|_| self.stale.is_empty())?;
        certificate.allows_small_answers().then_some(certificate.alpha)
    }
}

/// A remote model that requests are passed on to as they came.
#[derive(Clone)]
pub struct Remote {
    /// The wire.
    pub upstream: Arc<dyn Upstream>,
    /// What its provider calls the model.
    pub model: String,
    /// The protocol it speaks: requests come in OpenAI's, and are translated where it has another.
    pub protocol: Protocol,
    /// Who is asked where it fails, in order; their own lists are not followed.
    pub fallback: Vec<Arc<Remote>>,
    /// What its tokens cost; `None` where unknown.
    pub price: Option<Price>,
    /// Where its answers and prices come from.
    pub provenance: Provenance,
}

/// What a remote model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic {
        /// Most tokens of answer where a request sets no limit, which this protocol requires.
        max_tokens: u64,
    },
}

/// Everything that answers at one moment.
#[derive(Default)]
pub struct Deployed {
    /// The tasks.
    pub tasks: Vec<Serving>,
    /// The remote models.
    pub remotes: Vec<Remote>,
    /// What could not be loaded, a sentence each: it goes to the end of its ladder, or is not there.
    pub troubles: Vec<String>,
}

/// Gives a server its ladders: a promotion or a finished learning is live without a restart.
pub trait LadderLoader: Send + Sync {
    /// Raised by whatever may change what answers. The sentence of an error says what is in the way.
    fn generation(&self) -> Result<u64, String>;

    /// Loads everything afresh.
    fn load<'a>(&'a self) -> BoxFuture<'a, Result<Deployed, String>>;
}
