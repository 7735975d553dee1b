//! Which of the workspace's encoders make vectors of texts for the server's clients?

#[cfg(feature = "encoder")]
use std::sync::Arc;

use sprat_cascade::Encoder;
use sprat_task::{ModelId, Problem};

use crate::config::{Encoder as Declared, ModelConfig};
use crate::workspace::Workspace;

/// The encoders that can be opened, and a sentence for each that can't.
pub struct Encoders {
    /// Those that can.
    pub opened: Vec<Encoder>,
    /// What is wrong with the others.
    pub troubles: Vec<String>,
}

impl Encoders {
    /// Opens every declared encoder: its weights are read, and its threads started.
    pub fn open(workspace: &Workspace) -> Self {
        let mut encoders = Self { opened: Vec::new(), troubles: Vec::new() };
        for (id, model) in &workspace.config.models {
            let ModelConfig::Encoder(declared) = model else { continue };
            match open(workspace, id, declared) {
                Ok(encoder) => encoders.opened.push(encoder),
                Err(problem) => {
                    encoders.troubles.push(format!("model {id} is not served: {}", plainly(&problem)))
                }
            }
        }
        encoders
    }
}

#[cfg(feature = "encoder")]
fn open(workspace: &Workspace, id: &ModelId, declared: &Declared) -> Result<Encoder, Problem> {
    use sprat_models::encoder::classify::Place;
    use sprat_models::encoder::{Embedder, Sharing};

    let folder = match crate::models::place(&workspace.root, &declared.source) {
        Place::Folder(folder) => folder,
        Place::Missing(why) => return Err(Problem::new(why)),
    };
    let encoder = sprat_models::encoder::Encoder::open(&folder, declared.precision())?;
    let embedder = Embedder::start(Arc::new(encoder), &Sharing::default())?;
    Ok(Encoder { id: id.clone(), embed: Arc::new(embedder) })
}

#[cfg(not(feature = "encoder"))]
fn open(_: &Workspace, id: &ModelId, _: &Declared) -> Result<Encoder, Problem> {
    Err(Problem::new(format!("model `{id}` is an encoder, and this build has none"))
        .hint("build sprat with its feature `encoder`, which is on by default"))
}

/// A problem in one line, for a log.
fn plainly(problem: &Problem) -> String {
    let place = problem.place.as_ref().map(|place| format!("{}: ", place.file)).unwrap_or_default();
    let allowed = problem.allowed.as_ref().map(|allowed| format!("; allowed: {allowed}")).unwrap_or_default();
    format!("{place}{}{allowed}", problem.message)
}
