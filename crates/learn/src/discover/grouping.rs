//! Which calls belong together?
//!
//! Calls are one sort of work when they share the form of the answer (schema and tools offered), the masked system
//! prompt and the masked opening of the user message. Rare openings are no templates: they join the rest of their
//! prompt. Rare prompts that are nearly alike are one prompt with something filled in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::group::Group;
use super::hash::hash;
use super::mask::mask;
use super::shape::Shape;
use crate::import::Call;

/// Fewer calls than this are no sort of work: nothing could be learned or measured on them.
pub(super) const FEWEST_CALLS: u64 = 20;
/// An opening of the user message that fewer than this share of a prompt's calls have is no template.
const FEWEST_OF_A_PROMPT: f64 = 0.02;
/// Groups held at a time; when there are more, the rarest are given up.
const MOST_GROUPS: usize = 8_192;
/// Groups with at most so many calls are given up first.
const RARE: u64 = 4;
/// Rare prompts that share at least this share of their distinct words are one prompt: up to half may be filled in.
const SIMILAR: f64 = 0.5;
/// Rare prompts compared with each other; there are seldom more than a few dozen.
const MOST_COMPARED: usize = 2_000;
/// A template announces its input within so many characters, with a colon.
const OPENING: usize = 240;

/// What tells sorts of work apart; each part is a hash, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    form: u64,
    prompt: u64,
    opening: u64,
}

/// A log's calls, put together while it goes by.
#[derive(Default)]
pub(super) struct Grouping {
    groups: BTreeMap<Key, Group>,
    /// Masked system prompts are hashed once, not once a call.
    prompts: HashMap<String, u64>,
    /// Calls of prompts that were given up.
    pub(super) leftover: Group,
    number: u64,
}

/// The groups that were found, and the way from a call to its group.
#[derive(Debug)]
pub(super) struct Grouped {
    /// In an order that follows from the log alone.
    pub(super) groups: Vec<Group>,
    /// Calls of no group.
    pub(super) leftover: Group,
    routes: BTreeMap<Key, usize>,
}

impl Grouping {
    pub(super) fn add(&mut self, call: &Call) {
        self.number += 1;
        let system = call.system_prompt();
        let key = key(call, system.as_deref(), &mut self.prompts);
        self.groups.entry(key).or_default().add(self.number, call, system.as_deref());
        if self.groups.len() > MOST_GROUPS {
            self.give_up_rare();
        }
    }

    /// Openings of one prompt first, then prompts themselves.
    fn give_up_rare(&mut self) {
        self.prompts.clear();
        let is_rare = |group: &Group| group.calls <= RARE;
        let rare: Vec<Key> = self
            .groups
            .iter()
            .filter(|(key, group)| key.opening != 0 && is_rare(group))
            .map(|(key, _)| *key)
            .collect();
        for key in rare {
            if let Some(group) = self.groups.remove(&key) {
                self.groups.entry(Key { opening: 0, ..key }).or_default().merge(group);
            }
        }
        if self.groups.len() > MOST_GROUPS / 2 {
            let mut by_calls: Vec<(u64, Key)> =
                self.groups.iter().map(|(key, group)| (group.calls, *key)).collect();
            by_calls.sort_unstable();
            for (_, key) in by_calls.into_iter().take(self.groups.len() - MOST_GROUPS / 2) {
                if let Some(group) = self.groups.remove(&key) {
                    self.leftover.merge(group);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Grouped {
        let mut merged: Vec<(Vec<Key>, Group)> = Vec::new();
        let mut rare: Vec<(Key, Group)> = Vec::new();
        for (_, family) in families(self.groups) {
            let calls: u64 = family.iter().map(|(_, group)| group.calls).sum();
            let family = join_rare_openings(family, calls);
            if calls >= FEWEST_CALLS {
                merged.extend(join_by_labels(family));
            } else {
                rare.extend(family);
            }
        }
        merged.extend(join_similar_prompts(rare));
        let mut grouped = Grouped { groups: Vec::new(), leftover: self.leftover, routes: BTreeMap::new() };
        for (keys, group) in merged {
            if group.calls < FEWEST_CALLS {
                grouped.leftover.merge(group);
                continue;
            }
            keys.into_iter().for_each(|key| {
                grouped.routes.insert(key, grouped.groups.len());
            });
            grouped.groups.push(group);
        }
        grouped
    }
}

impl Grouped {
    /// The place of a call's group; `None` where it belongs to none.
    pub(super) fn group_of(&self, call: &Call) -> Option<usize> {
        let system = call.system_prompt();
        let key = key(call, system.as_deref(), &mut HashMap::new());
        let rest = Key { opening: 0, ..key };
        self.routes.get(&key).or_else(|| self.routes.get(&rest)).copied()
    }
}

fn key(call: &Call, system: Option<&str>, prompts: &mut HashMap<String, u64>) -> Key {
    let prompt = system.map_or(0, |system| match prompts.get(system) {
        Some(known) => *known,
        None => {
            let found = hash(&mask(system));
            prompts.insert(system.to_owned(), found);
            found
        }
    });
    Key { form: form(call), prompt, opening: call.last_user_text().map_or(0, |text| opening(&text)) }
}

fn form(call: &Call) -> u64 {
    let mut tools = call.tool_names.clone();
    tools.sort_unstable();
    match (&call.response_format, &tools[..]) {
        (None, []) => 0,
        (format, _) => {
            let schema = call.schema().map(serde_json::Value::to_string).unwrap_or_default();
            let kind = format.as_ref().map(|format| format!("{:?}", format.kind)).unwrap_or_default();
            hash(&format!("{kind}\n{schema}\n{}", tools.join("\n")))
        }
    }
}

/// What a template says before its input: up to the first colon that something follows, or, where a message has
/// none, its last line.
fn opening(text: &str) -> u64 {
    let end = text.char_indices().nth(OPENING).map_or(text.len(), |(at, _)| at);
    let head = &text[..end];
    let colon = head.match_indices(':').map(|(at, _)| at).find(|at| {
        let next = head[at + 1..].chars().next();
        next.is_none_or(|next| next.is_whitespace() || "\"“«`<".contains(next))
    });
    match colon {
        Some(at) => hash(&mask(&head[..=at])),
        None => {
            let last_line = text.trim_end().rsplit_once('\n').map_or("", |(_, line)| line);
            let is_phrase = last_line.split_whitespace().count() >= 3 && last_line.chars().count() <= OPENING;
            if is_phrase { hash(&format!("…{}", mask(last_line))) } else { 0 }
        }
    }
}

/// Groups of one form and prompt.
type Family = Vec<(Key, Group)>;

fn families(groups: BTreeMap<Key, Group>) -> BTreeMap<(u64, u64), Family> {
    let mut families: BTreeMap<(u64, u64), Family> = BTreeMap::new();
    for (key, group) in groups {
        families.entry((key.form, key.prompt)).or_default().push((key, group));
    }
    families
}

fn join_rare_openings(family: Family, calls: u64) -> Family {
    let fewest = FEWEST_CALLS.max((FEWEST_OF_A_PROMPT * calls as f64).ceil() as u64);
    let mut rest: Option<(Key, Group)> = None;
    let mut kept = Family::new();
    for (key, group) in family {
        if key.opening != 0 && group.calls >= fewest {
            kept.push((key, group));
            continue;
        }
        rest.get_or_insert_with(|| (Key { opening: 0, ..key }, Group::default())).1.merge(group);
    }
    kept.extend(rest);
    kept
}

/// "Subject: …" is how some people write to a ticket desk, not another task: an opening whose labels are those of the
/// rest joins the rest, where the rest is the larger part.
fn join_by_labels(mut family: Family) -> Vec<(Vec<Key>, Group)> {
    let calls: u64 = family.iter().map(|(_, group)| group.calls).sum();
    let rest = family.iter().position(|(key, group)| key.opening == 0 && group.calls * 2 >= calls);
    let Some((rest_key, mut rest)) = rest.map(|at| family.swap_remove(at)) else {
        return family.into_iter().map(|(key, group)| (vec![key], group)).collect();
    };
    let shape = Shape::of(&rest.answers, rest.schema.as_ref());
    family.sort_unstable_by_key(|(key, _)| *key);
    let (mut keys, mut others) = (vec![rest_key], Vec::new());
    for (key, group) in family {
        let (rows, known) = group.sample.rows().fold((0_u64, 0_u64), |(rows, known), row| {
            (rows + 1, known + u64::from(shape.labels_of(&row.answer).is_some()))
        });
        if rows > 0 && known * 10 >= rows * 9 {
            keys.push(key);
            rest.merge(group);
        } else {
            others.push((vec![key], group));
        }
    }
    others.push((keys, rest));
    others
}

/// Prompts of one form that are nearly alike, put together by single linkage.
fn join_similar_prompts(rare: Vec<(Key, Group)>) -> Vec<(Vec<Key>, Group)> {
    let words: Vec<BTreeSet<u64>> = rare
        .iter()
        .map(|(_, group)| mask(group.system.example().unwrap_or_default()).split(' ').map(hash).collect())
        .collect();
    let mut leader: Vec<usize> = (0..rare.len()).collect();
    for row in 0..rare.len().min(MOST_COMPARED) {
        for other in 0..row {
            if rare[row].0.form == rare[other].0.form && likeness(&words[row], &words[other]) >= SIMILAR {
                let (a, b) = (find(&mut leader, row), find(&mut leader, other));
                leader[a.max(b)] = a.min(b);
            }
        }
    }
    let mut joined: BTreeMap<usize, (Vec<Key>, Group)> = BTreeMap::new();
    for (row, (key, group)) in rare.into_iter().enumerate() {
        let (keys, all) = joined.entry(find(&mut leader, row)).or_default();
        keys.push(key);
        all.merge(group);
    }
    joined.into_values().collect()
}

/// Jaccard's: words in common over words in all. No words are like nothing.
fn likeness(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

fn find(leader: &mut [usize], mut row: usize) -> usize {
    while leader[row] != row {
        leader[row] = leader[leader[row]];
        row = leader[row];
    }
    row
}
