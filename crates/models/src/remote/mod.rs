//! Models behind an address: OpenAI, Anthropic, whoever speaks OpenAI's protocol, and a file of answers.
//!
//! | question | file |
//! |---|---|
//! | What can be set? | [`config`], [`secret`] |
//! | What is the model told, and shown? | [`prompt`], [`examples`] |
//! | How is that said in a protocol, and what if the provider doesn't know a part of it? | `protocol`, `dialect` |
//! | Which label is this answer? | [`parse`] |
//! | What does it cost? | [`prices`], [`quote`], `meter` |
//! | How do bytes come and go? | [`http`], `upstream` |
//! | How is somebody told something? | [`webhook`] |
//! | What if they don't? | `line`, [`retry`], [`breaker`], [`pace`], `refusal` |
//! | What may an error quote? | `quoting` |
//! | What if there is no network? | [`replay`], `replay_file`, `replay_wire` |

pub mod api;
pub mod breaker;
pub mod config;
mod dialect;
pub mod examples;
pub(crate) mod http;
mod line;
mod meter;
pub mod pace;
pub mod parse;
pub mod prices;
pub mod prompt;
mod protocol;
pub mod quote;
pub(crate) mod quoting;
mod refusal;
pub mod replay;
mod replay_file;
mod replay_wire;
pub mod retry;
pub mod secret;
#[cfg(test)]
pub(crate) mod tests;
mod upstream;
pub mod webhook;

use std::sync::Arc;

use futures::future::BoxFuture;
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{
    Attempt, Context, Input, Model, ModelId, Price, Problem, Provenance, Sha256Hex, Task, Upstream, Usage,
};

pub use api::ApiModel;
pub use config::{JsonSchema, Provider, RemoteConfig};
pub use examples::{Example, Examples, FixedExamples, NearestExamples, NoExamples};
pub use http::install_tls;
pub use parse::parse_answer;
pub use prices::PriceTable;
pub use quote::{Basis, Quote};
pub use replay::ReplayModel;
pub use secret::Secret;
pub use webhook::{Webhook, WebhookError};

/// A remote model, whichever way it answers.
#[derive(Debug)]
pub enum RemoteModel {
    /// Over the network.
    Api(Box<ApiModel>),
    /// From a file.
    Replay(ReplayModel),
}

impl RemoteModel {
    /// Opens a configured model. Over the network nothing is sent yet; a file of answers is read through.
    ///
    /// # Errors
    /// A configuration that makes no sense; a machine without CA certificates; what is wrong in the file, with its
    /// line.
    pub fn open(
        id: ModelId,
        config: RemoteConfig,
        prices: &PriceTable,
        examples: Arc<dyn Examples>,
    ) -> Result<Self, Problem> {
        config.validate()?;
        match &config.provider {
            Provider::Replay { path } => {
                let price = prices.price_of(&config);
                let replay = ReplayModel::open(id, path, config.model.as_str(), price, config.replay_waits)?;
                Ok(Self::Replay(replay))
            }
            _ => Ok(Self::Api(Box::new(ApiModel::new(id, config, prices, examples)?))),
        }
    }

    /// Where its answers come from: to be shown with everything computed from them.
    pub fn provenance(&self) -> Provenance {
        match self {
            Self::Api(api) => api.provenance(),
            Self::Replay(replay) => replay.provenance(),
        }
    }

    /// Identifies everything about it that its answers to a task depend on: certificates about its answers and the
    /// teacher's cache are bound to it.
    pub fn prompt_hash(&self, task: &Task) -> Sha256Hex {
        match self {
            Self::Api(api) => api.prompt_hash(task),
            Self::Replay(replay) => replay.hash().clone(),
        }
    }

    /// What answering these inputs will cost.
    pub fn quote(&self, task: &Task, inputs: &[Input]) -> Quote {
        match self {
            Self::Api(api) => api.quote(task, inputs),
            Self::Replay(replay) => replay.quote(inputs),
        }
    }

    /// What its tokens cost; `None` where nobody knows, or where hardware is paid by the hour.
    pub fn price(&self) -> Option<Price> {
        match self {
            Self::Api(api) => api.price(),
            Self::Replay(replay) => replay.price(),
        }
    }
}

impl Model for RemoteModel {
    fn id(&self) -> &ModelId {
        match self {
            Self::Api(api) => Model::id(api.as_ref()),
            Self::Replay(replay) => Model::id(replay),
        }
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        match self {
            Self::Api(api) => api.predict(cx, task, inputs),
            Self::Replay(replay) => replay.predict(cx, task, inputs),
        }
    }

    fn at_most(&self, task: &Task, input: &Input) -> Usage {
        match self {
            Self::Api(api) => api.at_most(task, input),
            Self::Replay(replay) => replay.at_most(task, input),
        }
    }
}

impl Upstream for RemoteModel {
    fn id(&self) -> &ModelId {
        Model::id(self)
    }

    fn send<'a>(
        &'a self,
        cx: &'a Context,
        request: WireRequest,
    ) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        match self {
            Self::Api(api) => api.send(cx, request),
            Self::Replay(replay) => replay.send(cx, request),
        }
    }
}
