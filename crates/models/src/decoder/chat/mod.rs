//! A local model in OpenAI's protocol, as if it were a provider: the gateway passes any chat call on to it.
//!
//! | question | file |
//! |---|---|
//! | What does a call ask, and can it be honoured? | `asked.rs` |
//! | How is a conversation written for the model? | `template.rs` |
//! | Which tools does an answer call? | `calls.rs` |
//! | How does an answer become a reply? | `reply.rs` |

mod asked;
mod calls;
mod reply;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use futures::stream::{self, StreamExt};
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{Context, ModelError, ModelId, OwnProcess, Upstream};

use self::asked::{Asked, Refused};
use super::engine::Engine;
use super::engines::Engines;
use super::generate::Wanted;
use super::settings::Settings;
pub use template::{ChatTemplate, Conversation};

/// The only path that it serves.
const CHAT: &str = "/chat/completions";

/// A local model that holds conversations.
pub struct ChatModel {
    id: ModelId,
    engine: Arc<Engine>,
    /// Or why it has none.
    template: Result<ChatTemplate, String>,
    adapter: Option<u32>,
}

impl ChatModel {
    /// Over the model that `settings` tell of.
    ///
    /// # Errors
    /// A sentence with the file: it is no whole model, or can't fit.
    pub fn open(id: ModelId, settings: &Settings, engines: &Engines) -> Result<Self, String> {
        let (engine, file) = settings.open(engines)?;
        Ok(Self { adapter: settings.adapter, ..Self::new(id, engine, ChatTemplate::of(&file)) })
    }

    /// Over an engine, in its model's own way to write conversations; where it has none, each is refused with the reason.
    pub fn new(id: ModelId, engine: Arc<Engine>, template: Result<ChatTemplate, String>) -> Self {
        Self { id, engine, template, adapter: None }
    }

    /// Tokens of an answer whose length is left open: a quarter of what all requests share.
    fn usual_length(&self) -> u32 {
        (self.engine.config().context / 4).max(1)
    }

    async fn answer(&self, cx: &Context, body: &[u8]) -> Result<WireReply, ModelError> {
        let asked = match Asked::read(body, fastrand::u64(..)) {
            Ok(asked) => asked,
            Err(refused) => return Ok(refused.reply()),
        };
        let template = self.template.as_ref().map_err(Clone::clone);
        let text = match template.and_then(|template| template.render(&asked.conversation)) {
            Ok(text) => text,
            Err(why) => return Ok(Refused::conversation(format!("{}: {why}", self.id)).reply()),
        };
        let wanted = Wanted {
            text,
            most_tokens: asked.most_tokens.unwrap_or_else(|| self.usual_length()),
            stop: asked.stop.clone(),
            sampling: asked.sampling,
            constraint: asked.constraint.clone(),
            adapter: self.adapter,
            likeliest: asked.likeliest.map_or(0, |most| most.max(1)),
            ..Wanted::default()
        };
        let name = reply::Name::draw(self.id.as_str());
        let mut said = self.engine.generate(cx, wanted)?;
        // Whether there will be an answer is known with its first piece: until then it can still be refused.
        let first = match said.next().await {
            Some(Err(ModelError::Refused(why))) => {
                return Ok(Refused::too_long(format!("{}: {why}", self.id)).reply());
            }
            Some(first) => first?,
            None => return Err(ModelError::Unavailable("its engine is gone".to_owned())),
        };
        let said = stream::once(ready(Ok(first))).chain(said).boxed();
        match asked.is_stream {
            true => Ok(reply::in_pieces(&asked, name, said)),
            false => reply::at_once(&asked, &name, said).await,
        }
    }
}

impl Upstream for ChatModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(
        &'a self,
        cx: &'a Context,
        request: WireRequest,
    ) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        Box::pin(async move {
            if request.path != CHAT {
                return Err(NoReply::unsent(ModelError::BadInput(format!(
                    "a local language model serves {CHAT} only"
                ))));
            }
            self.answer(cx, &request.body).await.map_err(NoReply::unsent)
        })
    }

    fn own_process(&self) -> Option<OwnProcess> {
        Some(self.engine.standing().into())
    }
}
