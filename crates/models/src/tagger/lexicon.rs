//! Which runs of words are values that a field has had before?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::ops::Range;

use sprat_task::extract::spans::Place;
use sprat_task::{Field, FieldType};

use super::features::{PHRASE, phrase, phrase_with};
use crate::linear::corpus::Hashed;
use crate::linear::features::finish;

/// Values seen in the rows, and those that the task declares, each with the fields that have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lexicon {
    /// By phrase: field, and in how many rows it was seen.
    phrases: HashMap<u64, Vec<(u16, u32)>, BuildHasherDefault<Hashed>>,
    longest: usize,
}

/// A declared value is known whatever the rows say.
const DECLARED: u32 = 2;
/// Words of the longest value that is looked up.
const LONGEST: usize = 8;

impl Lexicon {
    /// What these rows and fields teach: each row as its words in lower case and its values.
    pub(super) fn build<'a>(
        fields: &[Field],
        rows: impl Iterator<Item = (&'a Place<'a>, &'a [(usize, Range<usize>)])>,
    ) -> Self {
        let mut counts: BTreeMap<(u64, u16), u32> = BTreeMap::new();
        let mut longest = 0;
        for (number, field) in (0_u16..).zip(fields) {
            for value in declared(field) {
                let place = Place::new(value);
                let words = lower(&place, 0..place.words().len());
                longest = longest.max(words.len());
                *counts.entry((phrase(words.iter().map(String::as_str)), number)).or_default() += DECLARED;
            }
        }
        for (place, values) in rows {
            let mut of_row = BTreeSet::new();
            for (field, range) in values.iter().filter(|(_, range)| range.len() <= LONGEST) {
                let words = lower(place, range.clone());
                longest = longest.max(words.len());
                of_row.insert((phrase(words.iter().map(String::as_str)), *field as u16));
            }
            of_row.into_iter().for_each(|seen| *counts.entry(seen).or_default() += 1);
        }
        Self::from_counts(counts, longest.min(LONGEST))
    }

    /// From what [`entries`](Self::entries) gave.
    pub(super) fn from_entries(entries: impl Iterator<Item = (u64, u16)>, longest: usize) -> Self {
        Self::from_counts(entries.map(|entry| (entry, 1)), longest)
    }

    fn from_counts(counts: impl IntoIterator<Item = ((u64, u16), u32)>, longest: usize) -> Self {
        let mut lexicon = Self { longest, ..Self::default() };
        for ((phrase, field), count) in counts {
            lexicon.phrases.entry(phrase).or_default().push((field, count));
        }
        lexicon
    }

    /// Every phrase with each of its fields, sorted.
    pub(super) fn entries(&self) -> Vec<(u64, u16)> {
        let fields = |(phrase, fields): (&u64, &Vec<(u16, u32)>)| {
            fields.iter().map(|(field, _)| (*phrase, *field)).collect::<Vec<_>>()
        };
        let mut entries: Vec<(u64, u16)> = self.phrases.iter().flat_map(fields).collect();
        entries.sort_unstable();
        entries
    }

    /// Words of the longest phrase.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Tells of the longest known phrase that begins at each word, once for each of its fields. What only `own`, the
    /// values of the row that is being read, has taught is not known: a model must learn what a value it hasn't seen
    /// looks like.
    pub(super) fn find(
        &self,
        lower: &[&str],
        own: &[(usize, Range<usize>)],
        mut tell: impl FnMut(usize, Range<usize>),
    ) {
        let own: BTreeSet<(u64, u16)> = own
            .iter()
            .map(|(field, range)| (phrase(lower[range.clone()].iter().copied()), *field as u16))
            .collect();
        for start in 0..lower.len() {
            let mut found: Option<(Range<usize>, u64)> = None;
            let mut hash = PHRASE;
            for (end, word) in (start + 1..).zip(lower[start..].iter().take(self.longest)) {
                hash = phrase_with(hash, word);
                let phrase = finish(hash);
                if self.known(phrase, &own).next().is_some() {
                    found = Some((start..end, phrase));
                }
            }
            let Some((range, phrase)) = found else { continue };
            self.known(phrase, &own).for_each(|field| tell(field, range.clone()));
        }
    }

    fn known(&self, phrase: u64, own: &BTreeSet<(u64, u16)>) -> impl Iterator<Item = usize> {
        let fields = self.phrases.get(&phrase).map_or(&[][..], Vec::as_slice);
        fields
            .iter()
            .filter(move |(field, count)| *count > u32::from(own.contains(&(phrase, *field))))
            .map(|(field, _)| usize::from(*field))
    }
}

fn declared(field: &Field) -> impl Iterator<Item = &str> {
    let texts = matches!(field.kind, FieldType::Text | FieldType::List | FieldType::Enum);
    let values = field.values.iter().chain(&field.examples).chain(field.synonyms.keys());
    values.filter(move |_| texts).map(String::as_str)
}

fn lower(place: &Place<'_>, words: Range<usize>) -> Vec<String> {
    words.map(|at| place.word(at).to_lowercase()).collect()
}
