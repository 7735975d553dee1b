//! A release whose audits go bad in one part, from the alarm to the way back.

use std::collections::BTreeMap;

use sprat_store::{AuditCounts, NewAudit, Store};
use sprat_task::release::Origin;
use sprat_task::{
    Answer, Binding, Certificate, Confidence, Guarantee, Release, ReleaseId, Risk, Slice, Source, Status,
    Task, read_task,
};

use super::watching::Watching;

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    task: Task,
    id: ReleaseId,
    watching: Watching,
    requests: u32,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
        let text = "kind = \"classify\"\nlabels = [\"refund\", \"delivery\"]\nlarge = \"large\"";
        let task = read_task("tickets", &Source::new("t.toml", text), |_| Err(String::new())).unwrap();
        let id = ReleaseId { task: "tickets".into(), version: 1 };
        store.registry().add(&release(&id)).unwrap();
        let watching = Watching::open(&store, folder.path(), &task, &id, 0).unwrap();
        Self { _folder: folder, store, task, id, watching, requests: 0 }
    }

    /// One small answer that the large model is held against.
    fn audit(&mut self, label: &str, held: Option<&str>, differs: bool) {
        self.requests += 1;
        let audit = NewAudit {
            release: self.id.clone(),
            request: format!("r-{}", self.requests).into(),
            held: held.map(|label| Slice::Label(label.into())),
            small: Answer::label(label),
            groups: BTreeMap::new(),
            confidence: Confidence::new(0.97),
            propensity: 0.1,
            time_unix_ms: 0,
        };
        let large = Answer::label(if differs { "something else" } else { label });
        self.store.audits().compare(&audit, &large).unwrap();
    }

    fn look(&mut self) {
        self.watching.look(&self.store, &self.task, 1_000).unwrap();
    }

    /// Which parts are taken away, and the share of each that is answered small again.
    fn taken(&self) -> Vec<(Slice, f64)> {
        let steps = self.store.step_backs().of(&self.id).unwrap();
        let open = steps.into_iter().filter(|step| step.ended.is_none());
        open.map(|step| (step.taken.slice, step.way_back.share)).collect()
    }
}

fn release(id: &ReleaseId) -> Release {
    let certificate = Certificate {
        status: Status::Certified,
        risk: Risk::Selective,
        guarantee: Guarantee::Gold,
        records: false,
        quality: None,
        alpha: 0.05,
        delta: 0.05,
        look: 1,
        delta_spent: 0.03,
        n: 500,
        accepted: 400,
        bad: 8,
        bound: Some(0.04),
        selective_interval: None,
        more_labels: None,
        note: None,
        recall: Vec::new(),
        binding: Binding::default(),
    };
    Release {
        id: id.clone(),
        created_unix_ms: 0,
        rungs: Vec::new(),
        certificate,
        other_certificates: Vec::new(),
        origin: Origin::default(),
        evidence: serde_json::Value::Null,
    }
}

#[test]
fn a_part_that_goes_bad_is_taken_away_proves_itself_and_comes_back_in_stages() {
    let mut world = World::new();
    // The first audits are the baseline: 2% differ.
    for n in 0..200 {
        world.audit(if n % 2 == 0 { "refund" } else { "delivery" }, None, n % 50 == 0);
    }
    world.look();
    assert_eq!(world.taken(), []);
    for _ in 0..12 {
        world.audit("refund", None, true);
        world.audit("delivery", None, false);
    }
    world.look();
    assert_eq!(world.taken(), [(Slice::Label("refund".into()), 0.0)], "the other part stays");
    world.look();
    for _ in 0..300 {
        world.audit("refund", Some("refund"), false);
    }
    world.look();
    assert_eq!(world.taken(), [(Slice::Label("refund".into()), 0.1)]);
    for share in [0.5, 1.0] {
        world.look();
        (0..50).for_each(|_| world.audit("refund", Some("refund"), false));
        world.look();
        assert_eq!(world.taken(), [(Slice::Label("refund".into()), share)]);
    }
    world.look();
    (0..50).for_each(|_| world.audit("refund", None, false));
    world.look();
    assert_eq!(world.taken(), []);
    // Audits of what was answered are counted; comparisons of what was kept back are not.
    let counts = world.store.audits().counts(&world.id, 0).unwrap();
    assert_eq!((counts.drawn, counts.differing), (274, 16));
    assert_eq!(counts.missing, AuditCounts::default().missing);
}

#[test]
fn a_part_that_is_still_wrong_on_its_way_back_is_taken_away_again() {
    let mut world = World::new();
    (0..200).for_each(|_| world.audit("refund", None, false));
    (0..20).for_each(|_| world.audit("refund", None, true));
    world.look();
    world.look();
    (0..600).for_each(|_| world.audit("refund", Some("refund"), false));
    world.look();
    assert_eq!(world.taken(), [(Slice::Label("refund".into()), 0.1)]);
    world.look();
    (0..30).for_each(|_| world.audit("refund", None, true));
    world.look();
    assert_eq!(world.taken(), [(Slice::Label("refund".into()), 0.0)]);
}

#[test]
fn audits_that_get_no_label_are_told_of_once() {
    let mut world = World::new();
    let count = |world: &World| world.store.notices().latest(10).unwrap().len();
    for n in 0..10 {
        let audit = NewAudit {
            release: world.id.clone(),
            request: format!("m-{n}").into(),
            held: None,
            small: Answer::label("refund"),
            groups: BTreeMap::new(),
            confidence: Confidence::new(0.97),
            propensity: 0.1,
            time_unix_ms: 0,
        };
        let id = world.store.audits().draw(&audit).unwrap();
        world.store.audits().settle(id, Err("no answer before the deadline"), 0).unwrap();
        world.look();
        assert_eq!(count(&world), usize::from(n == 9), "{n}");
    }
    world.audit("refund", None, false);
    world.look();
    assert_eq!(count(&world), 1);
    let notice = &world.store.notices().latest(1).unwrap()[0].notice;
    assert_eq!(notice.kind, "missing-labels");
    assert!(notice.text.contains("10 of 10 audits"), "{}", notice.text);
}
