//! A release whose files are missing or have changed is made again from its rows: the same rows, settings and seed give
//! the same files, so that its certificate holds again and no new look at the certification rows is spent.

use sprat_task::{Artifact, Guarantee, Release};

use super::{Data, LearnError, Learned, Order, train_ladder};
use crate::judge::Judging;
use crate::release::{Draft, clear_unfinished, is_whole};

/// What these very inputs made before.
pub(super) enum Before {
    /// Nothing, or nothing that can be told.
    Nothing,
    /// A release, whole.
    Whole(Box<Learned>),
    /// A release that can't answer.
    Broken(Box<Learned>),
}

impl Before {
    /// Looks at a release's files.
    pub(super) fn of(learned: Option<Learned>) -> Self {
        match learned {
            None => Self::Nothing,
            Some(learned) if is_whole(&learned.folder, &learned.release) => Self::Whole(Box::new(learned)),
            Some(learned) => Self::Broken(Box::new(learned)),
        }
    }
}

/// Puts a release's files back. `None` where training gives other files than the release had (by another build, say):
/// then it stays as it is, and a release of its own is made.
pub(super) async fn mend(
    order: &Order<'_>,
    guarantee: Guarantee,
    data: &Data,
    judging: &mut Judging<'_>,
    broken: Learned,
) -> Result<Option<Learned>, LearnError> {
    let draft = Draft::start(order.releases, order.task)?;
    let ladder = train_ladder(order, guarantee, data, judging, draft.folder()).await?;
    let mut made: Vec<Artifact> = Vec::new();
    for trained in &ladder.trained {
        made.extend(trained.file.as_deref().map(|file| draft.artifact(file)).transpose()?);
        made.push(draft.write_calibrator(trained.rung.model.id(), &trained.rung.calibrator)?);
    }
    if !artifacts(&broken.release).eq(made.iter()) {
        return Ok(None);
    }
    draft.put_back(&broken.folder, &broken.release, &made)?;
    clear_unfinished(order.releases, order.task);
    Ok(Some(broken))
}

fn artifacts(release: &Release) -> impl Iterator<Item = &Artifact> {
    release.rungs.iter().flat_map(|rung| rung.weights.iter().chain([&rung.calibrator]))
}
