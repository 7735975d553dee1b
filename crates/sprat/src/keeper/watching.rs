//! One release under watch: what its audits say, what is taken away for it, and what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;
use sprat_cascade::alarm::{AlarmLevel, BASELINE_AUDITS, Baseline, Ear, Heard, Tally};
use sprat_cascade::watch::{Seen, Taken, Watch};
use sprat_cascade::way_back::{self, Move, Promise, Standing};
use sprat_learn::observe::ObservedRow;
use sprat_learn::release as files;
use sprat_store::{Audit, Level, NewNotice, NewStepBack, StepBack, Store, WayBack};
use sprat_task::{Answer, Guarantee, Release, ReleaseId, Slice, Task};

use super::drifting::Drifting;
use crate::failure::Failure;
use crate::output::words;

/// Audits read at once.
const AT_ONCE: usize = 2_000;
/// Audits without a label are told of from so many in a day,
const MANY_MISSING: u64 = 10;
/// where they are this share of them.
const MISSING_SHARE: f64 = 0.1;
const DAY_MS: i64 = 24 * 3_600_000;

/// A release and what has been heard of it.
pub struct Watching {
    release: Release,
    /// What was said of the certification rows.
    gold: Baseline,
    agreement: Baseline,
    watch: Watch,
    /// By which the watch was made: it is made again when any of them changes.
    steps: Vec<StepBack>,
    labelled: u64,
    /// Nothing where the release was certified on too little to compare with.
    drifting: Option<Drifting>,
    /// What has been told of and still holds, so that it is told once.
    told: BTreeSet<String>,
}

impl Watching {
    /// Begins to watch a release.
    pub fn open(
        store: &Store,
        releases: &Path,
        task: &Task,
        id: &ReleaseId,
        now_unix_ms: i64,
    ) -> Result<Self, Failure> {
        let release = store.registry().release(id)?;
        // Without its observations a release is watched by what it promises alone.
        let rows = files::read_observations(&files::folder(releases, id)).map(|(_, fresh)| fresh);
        let rows = rows.unwrap_or_default();
        let (gold, agreement) = baselines(&release, &rows);
        let watch = Watch::new(gold.clone(), agreement.clone(), task.labels.len(), Vec::new());
        let drifting = Drifting::of(id, &rows, now_unix_ms);
        let mut watching = Self {
            release,
            gold,
            agreement,
            watch,
            steps: Vec::new(),
            labelled: 0,
            drifting,
            told: BTreeSet::new(),
        };
        watching.begin_anew(store, task)?;
        Ok(watching)
    }

    /// Hears what is new, and does what follows from it.
    pub fn look(&mut self, store: &Store, task: &Task, now_unix_ms: i64) -> Result<(), Failure> {
        let id = &self.release.id;
        let is_the_same = store.step_backs().of(id)? == self.steps
            && store.audits().counts(id, 0)?.labelled == self.labelled;
        if !is_the_same {
            self.begin_anew(store, task)?;
        }
        let before = self.watch.heard();
        self.hear(store, now_unix_ms)?;
        self.take_away(store, now_unix_ms)?;
        self.bring_back(store, task, now_unix_ms)?;
        if self.watch.heard() != before || !is_the_same {
            store.audits().keep_watched(&self.release.id, &self.watch.watched(), now_unix_ms)?;
            self.warn(store, now_unix_ms)?;
        }
        Ok(())
    }

    /// Whether what comes in looks different from what the release was certified on.
    pub fn has_drifted(&self) -> bool {
        self.drifting.as_ref().is_some_and(Drifting::has_drifted)
    }

    /// Compares what has come in with what the release was certified on.
    pub fn compare(&mut self, store: &Store, now_unix_ms: i64) -> Result<(), Failure> {
        let Some(drifting) = &mut self.drifting else { return Ok(()) };
        if drifting.look(store)? {
            let text = format!(
                "{}: {}. Nothing is taken away; more answers are audited, unless the task declares how many",
                self.release.id,
                drifting.sentence()
            );
            tracing::warn!("{text}");
            tell(store, &self.release.id, "drift", Level::Warning, text, now_unix_ms)?;
        }
        Ok(())
    }

    /// Tells of alarms that come near, and of audits that get no label.
    fn warn(&mut self, store: &Store, now_unix_ms: i64) -> Result<(), Failure> {
        let id = &self.release.id;
        let mut holds: BTreeMap<String, (&str, String)> = BTreeMap::new();
        let watched = self.watch.watched();
        for (ear, heard) in watched
            .gold
            .iter()
            .map(|heard| (Ear::Gold, heard))
            .chain(watched.agreement.iter().map(|heard| (Ear::Agreement, heard)))
            .filter(|(_, heard)| heard.level == AlarmLevel::Warning)
        {
            let text = format!("{id}: {}. Nothing is taken away yet; it may soon be", sentence(ear, heard));
            holds.insert(format!("{} {}", word(ear), heard.slice), ("warning", text));
        }
        let counts = store.audits().counts(id, now_unix_ms.saturating_sub(DAY_MS))?;
        if counts.missing >= MANY_MISSING && counts.missing as f64 > MISSING_SHARE * counts.drawn as f64 {
            let text = format!(
                "{id}: {} of {} audits of the last day got no answer from the large model, and the alarms hear nothing of them",
                words::count(counts.missing),
                words::count(counts.drawn)
            );
            holds.insert("missing".to_owned(), ("missing-labels", text));
        }
        for (what, (kind, text)) in &holds {
            if !self.told.contains(what) {
                tracing::warn!("{text}");
                tell(store, id, kind, Level::Warning, text.clone(), now_unix_ms)?;
            }
        }
        self.told = holds.into_keys().collect();
        Ok(())
    }

    fn begin_anew(&mut self, store: &Store, task: &Task) -> Result<(), Failure> {
        self.steps = store.step_backs().of(&self.release.id)?;
        self.labelled = store.audits().counts(&self.release.id, 0)?.labelled;
        let taken = self.steps.iter().map(taken).collect();
        self.watch = Watch::new(self.gold.clone(), self.agreement.clone(), task.labels.len(), taken);
        Ok(())
    }

    fn hear(&mut self, store: &Store, now_unix_ms: i64) -> Result<(), Failure> {
        loop {
            let audits = store.audits().after(&self.release.id, self.watch.heard(), AT_ONCE)?;
            let seen: Vec<Seen> = audits.iter().map(seen).collect();
            let heard = self.watch.hear(&seen, now_unix_ms);
            if heard < AT_ONCE {
                return Ok(());
            }
        }
    }

    fn take_away(&self, store: &Store, now_unix_ms: i64) -> Result<(), Failure> {
        for (ear, heard) in self.watch.alarms() {
            let why = sentence(ear, &heard);
            tracing::warn!(
                "{}: {why}; {} go to the end of the ladder until they have proved themselves again",
                self.release.id,
                heard.slice
            );
            tell(
                store,
                &self.release.id,
                "step-back",
                Level::Alarm,
                format!(
                    "{}: {why}; {} go to the large model until they have proved themselves again",
                    self.release.id, heard.slice
                ),
                now_unix_ms,
            )?;
            store.step_backs().begin(&NewStepBack {
                release: self.release.id.clone(),
                slice: heard.slice,
                ear: word(ear).to_owned(),
                why,
                after_audit: self.watch.heard(),
                time_unix_ms: now_unix_ms,
            })?;
        }
        Ok(())
    }

    fn bring_back(&self, store: &Store, task: &Task, now_unix_ms: i64) -> Result<(), Failure> {
        for (taken, labels) in self.watch.taken().filter(|(taken, _)| taken.is_open) {
            let Some(step) = self.steps.iter().find(|step| step.id == taken.id) else { continue };
            let Some(in_order) = self.watch.in_order(taken.ear, &taken.slice) else { continue };
            let promise = Promise::after(taken.ear, in_order, task.target.delta());
            let WayBack { share, looks, looked_at } = step.way_back;
            let heard = self.watch.heard();
            let moved = |standing: Standing, after_audit| {
                let Standing { share, looks, looked_at } = standing;
                store.step_backs().moved(step.id, WayBack { share, looks, looked_at }, after_audit)
            };
            match way_back::next(promise, Standing { share, looks, looked_at }, labels) {
                Move::Wait { .. } => {}
                Move::Looked(standing) => moved(standing, heard)?,
                Move::Up(standing) | Move::Down(standing) => {
                    tracing::info!(
                        "{}: {} of {} are answered small again",
                        self.release.id,
                        words::share(standing.share),
                        taken.slice
                    );
                    moved(standing, heard)?;
                }
                Move::Restored => {
                    tracing::info!("{}: {} are answered small again", self.release.id, taken.slice);
                    let text = format!(
                        "{}: {} proved themselves again and are answered small",
                        self.release.id, taken.slice
                    );
                    tell(store, &self.release.id, "restored", Level::Info, text, now_unix_ms)?;
                    store.step_backs().end(step.id, "proved itself again", heard, now_unix_ms)?;
                }
            }
        }
        Ok(())
    }
}

/// Leaves a notice for whoever is to be told.
pub fn tell(
    store: &Store,
    release: &ReleaseId,
    kind: &str,
    level: Level,
    text: String,
    time_unix_ms: i64,
) -> Result<(), Failure> {
    let notice = NewNotice {
        time_unix_ms,
        task: Some(release.task.clone()),
        kind: kind.to_owned(),
        level,
        text,
        json: json!({ "release": release.to_string() }),
    };
    store.notices().add(&notice)?;
    Ok(())
}

/// What is in order, by people's labels and by the large model's answers.
fn baselines(release: &Release, rows: &[ObservedRow]) -> (Baseline, Baseline) {
    let certificate = &release.certificate;
    let thresholds: Vec<Option<f64>> = release.rungs.iter().map(|rung| rung.threshold).collect();
    let tallied = |right: &dyn Fn(&ObservedRow) -> Option<&Answer>| {
        let mut slices: BTreeMap<Slice, Tally> = BTreeMap::new();
        for row in rows {
            let Some(((_, said), right)) = row.answering(&thresholds).zip(right(row)) else { continue };
            for slice in Slice::of(&said.answer, &BTreeMap::new()) {
                slices.entry(slice).or_default().add(said.answer != *right);
            }
        }
        slices
    };
    let gold = match certificate.guarantee {
        // What people say of these answers was never promised: it is measured first.
        Guarantee::Agreement => Baseline::ToMeasure,
        Guarantee::Gold | Guarantee::Harm => {
            Baseline::Known { whole: certificate.alpha, slices: tallied(&|row| row.gold.as_ref()) }
        }
    };
    let compared = tallied(&|row| row.large.as_ref());
    let enough = certificate.guarantee == Guarantee::Agreement
        || compared.get(&Slice::Whole).is_some_and(|whole| whole.n >= BASELINE_AUDITS);
    (gold, if enough { Baseline::of_disagreement(compared) } else { Baseline::ToMeasure })
}

fn taken(step: &StepBack) -> Taken {
    Taken {
        id: step.id,
        slice: step.taken.slice.clone(),
        ear: if step.taken.ear == word(Ear::Gold) { Ear::Gold } else { Ear::Agreement },
        after_audit: step.taken.after_audit,
        is_open: step.ended.is_none(),
    }
}

fn seen(audit: &Audit) -> Seen {
    Seen {
        id: audit.id,
        slices: audit.slices(),
        held: audit.drawn.held.clone(),
        drawn_unix_ms: audit.drawn.time_unix_ms,
        is_settled: audit.large.is_some(),
        differs: audit.differs(),
        is_wrong: audit.is_wrong(),
    }
}

fn word(ear: Ear) -> &'static str {
    match ear {
        Ear::Gold => "gold",
        Ear::Agreement => "agreement",
    }
}

fn sentence(ear: Ear, heard: &Heard) -> String {
    let what = match ear {
        Ear::Gold => "are wrong, as people say",
        Ear::Agreement => "differ from the large model's",
    };
    format!(
        "of {} audited answers ({}), {} {what}, where {} is in order",
        words::count(heard.audits),
        heard.slice,
        words::count(heard.bad),
        words::share(heard.baseline)
    )
}
