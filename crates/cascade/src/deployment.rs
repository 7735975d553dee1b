//! What answers now: the ladders of each task, live, canary and shadow, and who gives them to a server that outlives
//! releases.

use std::sync::Arc;

use futures::future::BoxFuture;
use sprat_task::{
    Answer, Certificate, Context, Embed, Input, Judge, Judgements, ModelId, Money, Price, Provenance,
    ReleaseId, Sha256Hex, Share, Task, Upstream,
};

use crate::cache::Cache;
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
    /// What its small models have answered already.
    pub cache: Cache,
    /// The share of its small answers that is checked, where that isn't left to the task: more while it is on trial.
    pub audit_rate: Option<f64>,
    /// What the large model is expected to cost a request, where it isn't asked; `None` where unknown.
    pub large_estimate: Option<Money>,
    /// Where the large model's answers and prices come from.
    pub provenance: Provenance,
    /// Who says which texts are good enough, where no measure does. Never asked before an answer has gone out.
    pub judge: Option<Arc<dyn Judge>>,
}

/// How one answer stands beside another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Whether it is as good.
    pub is_as_good: bool,
    /// Why nobody could say so, where a judge was asked in vain: then it isn't as good.
    pub unclear: Option<String>,
}

impl Serving {
    /// Whether an answer to an input is as good as the right one; the judge is asked where that takes one.
    pub async fn compare(&self, cx: &Context, input: &Input, said: &Answer, right: &Answer) -> Compared {
        let mut judgements = Judgements::default();
        let mut unclear = None;
        if let Some(pair) = self.task.to_judge(input, said, right) {
            unclear = judgements.ask(self.judge.as_deref(), cx, &[pair]).await.why;
        }
        Compared { is_as_good: self.task.is_as_good(input, said, right, &judgements), unclear }
    }

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

/// What answers a task at one moment, and what watches.
pub struct Deployment {
    /// Answers what the canary doesn't.
    pub live: Arc<Serving>,
    /// Answers a share of the traffic.
    pub canary: Option<Canary>,
    /// Answers nothing; says what it would have answered.
    pub shadow: Option<Arc<Serving>>,
}

/// A release that answers a share of the traffic.
pub struct Canary {
    /// The release.
    pub serving: Arc<Serving>,
    /// How much it answers.
    pub share: Share,
}

impl Deployment {
    /// Live alone.
    pub fn of(live: Serving) -> Self {
        Self { live: Arc::new(live), canary: None, shadow: None }
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.live.task
    }

    /// Who answers requests with this key, such as a conversation or a user: always the same one while the releases and
    /// the share stay. A larger share moves keys from live to the canary, never back.
    pub fn choose(&self, key: &str) -> &Arc<Serving> {
        match &self.canary {
            Some(canary) if place(canary.serving.release.as_ref(), key) < canary.share.get() => {
                &canary.serving
            }
            _ => &self.live,
        }
    }
}

/// Where a key stands, in [0, 1). The release goes in, so that it isn't always the same users who try what is new.
fn place(release: Option<&ReleaseId>, key: &str) -> f64 {
    let release = release.map(ReleaseId::to_string).unwrap_or_default();
    let digest = Sha256Hex::of_parts([release.as_bytes(), key.as_bytes()]);
    // 13 hexadecimal digits are 52 bits, which a float holds exactly.
    let bits = digest.as_str().get(..13).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    bits.unwrap_or(u64::MAX) as f64 / (1_u64 << 52) as f64
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

/// A model of ours that makes vectors of texts.
#[derive(Clone)]
pub struct Encoder {
    /// Its declared name.
    pub id: ModelId,
    /// The model.
    pub embed: Arc<dyn Embed>,
}

/// Everything that answers at one moment.
#[derive(Default)]
pub struct Deployed {
    /// The tasks.
    pub tasks: Vec<Deployment>,
    /// The remote models.
    pub remotes: Vec<Remote>,
    /// Our own models that make vectors of texts.
    pub encoders: Vec<Encoder>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::LadderEnd;
    use proptest::prelude::*;
    use sprat_task::{Source, read_task};

    fn serving(version: u32) -> Arc<Serving> {
        let text = "kind = \"classify\"\nlabels = [\"a\", \"b\"]\nlast = \"people\"\n";
        let task = read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap();
        Arc::new(Serving {
            release: Some(ReleaseId { task: task.name.clone(), version }),
            task,
            certificate: None,
            stale: Vec::new(),
            ladder: Ladder::new(Vec::new(), LadderEnd::People),
            cache: Cache::off(),
            audit_rate: None,
            large_estimate: None,
            provenance: Provenance::Measured,
            judge: None,
        })
    }

    fn deployment(share: f64) -> Deployment {
        let canary = Canary { serving: serving(2), share: Share::new(share).unwrap() };
        Deployment { live: serving(1), canary: Some(canary), shadow: Some(serving(3)) }
    }

    fn is_canary(deployment: &Deployment, key: &str) -> bool {
        match deployment.choose(key).release.as_ref().unwrap().version {
            2 => true,
            1 => false,
            other => panic!("{other} only watches"),
        }
    }

    proptest! {
        #[test]
        fn a_key_stays_on_its_side_and_a_larger_share_only_moves_keys_to_the_canary(
            key in ".*", one in 0.000_001..=1.0_f64, other in 0.000_001..=1.0_f64,
        ) {
            let (small, large) = (deployment(one.min(other)), deployment(one.max(other)));
            prop_assert_eq!(is_canary(&small, &key), is_canary(&deployment(one.min(other)), &key));
            prop_assert!(!is_canary(&small, &key) || is_canary(&large, &key));
        }

        #[test]
        fn the_whole_share_is_every_key_and_no_canary_is_none(key in ".*") {
            prop_assert!(is_canary(&deployment(1.0), &key));
            let alone = Deployment { canary: None, ..deployment(0.5) };
            prop_assert!(!is_canary(&alone, &key));
        }
    }

    #[test]
    fn the_share_of_many_keys_is_the_one_asked_for_also_where_keys_are_alike() {
        for share in [0.01, 0.1, 0.5, 0.9] {
            let deployment = deployment(share);
            let keys = 20_000;
            let chosen = (0..keys).filter(|key| is_canary(&deployment, &format!("user-{key}"))).count();
            // Five standard deviations of a fair draw.
            let slack = 5.0 * (share * (1.0 - share) * f64::from(keys)).sqrt();
            let off = (chosen as f64 - share * f64::from(keys)).abs();
            assert!(off <= slack, "{chosen} of {keys} at {share}");
        }
    }

    #[test]
    fn another_canary_is_tried_by_other_users() {
        let place = |version, key: &str| place(serving(version).release.as_ref(), key);
        let same = (0..1_000).filter(|key| {
            let key = format!("user-{key}");
            (place(2, &key) < 0.5) == (place(3, &key) < 0.5)
        });
        assert!((400..600).contains(&same.count()));
    }
}
