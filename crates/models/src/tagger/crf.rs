//! A linear-chain conditional random field over the words of a text (Lafferty, McCallum and Pereira 2001).
//!
//! A word is outside (`O`), begins a value of field `f` (`B-f`) or goes on with one (`I-f`): `2F + 1` tags, in this order.
//! `I-f` follows `B-f` and `I-f` alone, by construction: no weight can make it follow anything else. How two spans follow
//! each other depends on their fields and not on their lengths, so that a step costs `(F + 1)²` and not `(2F + 1)²`.

use std::ops::Range;

use sprat_task::extract::Span;

/// Scores of what follows what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transitions {
    pub(super) fields: usize,
    /// From field `g` (0: outside) ended to `f` begun, at `g * (fields + 1) + f`.
    pub(super) next: Vec<f32>,
    /// `B-f` to `I-f`, then `I-f` to `I-f`.
    pub(super) go_on: Vec<f32>,
}

impl Transitions {
    pub(super) fn new(fields: usize) -> Self {
        Self { fields, next: vec![0.0; (fields + 1) * (fields + 1)], go_on: vec![0.0; 2 * fields] }
    }

    /// Tags of a word.
    pub(super) fn tags(&self) -> usize {
        2 * self.fields + 1
    }

    fn exponentials(&self) -> Self {
        let exponentials = |scores: &[f32]| scores.iter().map(|score| score.exp()).collect();
        Self { fields: self.fields, next: exponentials(&self.next), go_on: exponentials(&self.go_on) }
    }
}

/// The tag of each word under these spans, which don't overlap.
pub(super) fn tags(spans: &[Span], words: usize, fields: usize) -> Vec<usize> {
    let mut tags = vec![0; words];
    for span in spans {
        for at in span.words.clone() {
            tags[at] = 1 + span.field + if at == span.words.start { 0 } else { fields };
        }
    }
    tags
}

/// Probabilities of everything a text may mean, by the forward-backward algorithm; scaled word by word (Rabiner 1989).
#[derive(Debug, Default)]
pub(super) struct Beliefs {
    words: usize,
    fields: usize,
    /// exp of a word's scores, the largest being 1.
    potentials: Vec<f32>,
    forward: Vec<f32>,
    backward: Vec<f32>,
    /// Of each word: the sum that its forward column was divided by.
    scales: Vec<f32>,
    /// Of each word: what comes after it, if a span of field `g` (0: outside) ends there.
    after: Vec<f32>,
    /// The logarithm of the sum over everything.
    pub(super) log_sum: f64,
    exponentials: Option<Transitions>,
}

impl Beliefs {
    /// Computes them for words with these scores, a row of `2F + 1` each.
    pub(super) fn of(&mut self, scores: &[f32], transitions: &Transitions) {
        let tags = transitions.tags();
        (self.words, self.fields) = (scores.len() / tags, transitions.fields);
        let exponentials = transitions.exponentials();
        self.potentials.clear();
        self.log_sum = 0.0;
        for row in scores.chunks_exact(tags) {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            self.log_sum += f64::from(most);
            self.potentials.extend(row.iter().map(|score| (score - most).exp()));
        }
        self.go_forward(&exponentials);
        self.go_backward(&exponentials);
        self.log_sum += self.scales.iter().map(|scale| f64::from(*scale).ln()).sum::<f64>();
        self.exponentials = Some(exponentials);
    }

    fn go_forward(&mut self, exponentials: &Transitions) {
        let (fields, tags) = (self.fields, exponentials.tags());
        self.forward.clear();
        self.forward.resize(self.words * tags, 0.0);
        self.scales.clear();
        let mut begun = vec![1.0_f32; fields + 1];
        for at in 0..self.words {
            let (earlier, column) = self.forward.split_at_mut(at * tags);
            let (column, potentials) = (&mut column[..tags], &self.potentials[at * tags..(at + 1) * tags]);
            if at > 0 {
                let last = &earlier[(at - 1) * tags..];
                into_next(last, exponentials, &mut begun);
                for f in 0..fields {
                    let go_on = last[1 + f] * exponentials.go_on[f]
                        + last[1 + fields + f] * exponentials.go_on[fields + f];
                    column[1 + fields + f] = go_on * potentials[1 + fields + f];
                }
            }
            for f in 0..=fields {
                column[f] = begun[f] * potentials[f];
            }
            let sum = column.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            column.iter_mut().for_each(|value| *value /= sum);
            self.scales.push(sum);
        }
    }

    fn go_backward(&mut self, exponentials: &Transitions) {
        let (fields, tags) = (self.fields, exponentials.tags());
        self.backward.clear();
        self.backward.resize(self.words * tags, 1.0);
        self.after.clear();
        self.after.resize(self.words * (fields + 1), 1.0);
        let mut begins = vec![0.0_f32; fields + 1];
        for at in (0..self.words.saturating_sub(1)).rev() {
            let (column, later) = self.backward.split_at_mut((at + 1) * tags);
            let (column, next) = (&mut column[at * tags..], &later[..tags]);
            let potentials = &self.potentials[(at + 1) * tags..(at + 2) * tags];
            let scale = self.scales[at + 1];
            for f in 0..=fields {
                begins[f] = next[f] * potentials[f] / scale;
            }
            let after = &mut self.after[at * (fields + 1)..(at + 1) * (fields + 1)];
            for (g, after) in after.iter_mut().enumerate() {
                let row = &exponentials.next[g * (fields + 1)..(g + 1) * (fields + 1)];
                *after = row.iter().zip(&begins).map(|(next, begins)| next * begins).sum();
            }
            column[0] = after[0];
            for f in 0..fields {
                let go_on = next[1 + fields + f] * potentials[1 + fields + f] / scale;
                column[1 + f] = after[1 + f] + exponentials.go_on[f] * go_on;
                column[1 + fields + f] = after[1 + f] + exponentials.go_on[fields + f] * go_on;
            }
        }
    }

    /// The probability of each tag of a word.
    pub(super) fn of_word(&self, at: usize, into: &mut Vec<f32>) {
        let tags = 2 * self.fields + 1;
        let columns = at * tags..(at + 1) * tags;
        into.clear();
        into.extend(self.forward[columns.clone()].iter().zip(&self.backward[columns]).map(|(a, b)| a * b));
    }

    /// The probability that these very words, no more and no fewer, are a value of a field.
    pub(super) fn of_span(&self, field: usize, words: &Range<usize>) -> f64 {
        let (fields, tags) = (self.fields, 2 * self.fields + 1);
        let Some(exponentials) = self.exponentials.as_ref().filter(|_| words.end <= self.words) else {
            return 0.0;
        };
        let (begin, go_on) = (1 + field, 1 + fields + field);
        let mut share = f64::from(self.forward[words.start * tags + begin]);
        for at in words.start + 1..words.end {
            let step = exponentials.go_on[if at == words.start + 1 { field } else { fields + field }];
            share *= f64::from(step * self.potentials[at * tags + go_on] / self.scales[at]);
        }
        (share * f64::from(self.after[(words.end - 1) * (fields + 1) + 1 + field])).clamp(0.0, 1.0)
    }

    /// The probability that a field has no value in the text, its words taken as independent of each other.
    pub(super) fn of_nothing(&self, field: usize) -> f64 {
        let tags = 2 * self.fields + 1;
        let begins = (0..self.words).map(|at| {
            let tag = at * tags + 1 + field;
            f64::from(self.forward[tag] * self.backward[tag]).clamp(0.0, 1.0)
        });
        begins.map(|begins| 1.0 - begins).product()
    }

    /// Adds to `into` how often each transition is expected, times `factor`.
    pub(super) fn add_expected(&self, into: &mut Transitions, factor: f32) {
        let (fields, tags) = (self.fields, 2 * self.fields + 1);
        let Some(exponentials) = &self.exponentials else { return };
        for at in 1..self.words {
            let last = &self.forward[(at - 1) * tags..at * tags];
            let (potentials, next) = (&self.potentials[at * tags..], &self.backward[at * tags..]);
            let factor = factor / self.scales[at];
            for g in 0..=fields {
                let ended = factor * if g == 0 { last[0] } else { last[g] + last[fields + g] };
                if ended.abs() < 1e-7 {
                    continue;
                }
                let row = g * (fields + 1)..(g + 1) * (fields + 1);
                let expected = into.next[row.clone()].iter_mut().zip(&exponentials.next[row]);
                for (f, (into, weight)) in expected.enumerate() {
                    *into += ended * weight * potentials[f] * next[f];
                }
            }
            for f in 0..fields {
                let go_on = factor * potentials[1 + fields + f] * next[1 + fields + f];
                into.go_on[f] += last[1 + f] * exponentials.go_on[f] * go_on;
                into.go_on[fields + f] += last[1 + fields + f] * exponentials.go_on[fields + f] * go_on;
            }
        }
    }
}

/// What flows into the beginning of each field (0: outside) from the word before.
fn into_next(last: &[f32], exponentials: &Transitions, begun: &mut [f32]) {
    let fields = exponentials.fields;
    begun.fill(0.0);
    for g in 0..=fields {
        let ended = if g == 0 { last[0] } else { last[g] + last[fields + g] };
        let row = &exponentials.next[g * (fields + 1)..(g + 1) * (fields + 1)];
        begun.iter_mut().zip(row).for_each(|(begun, next)| *begun += ended * next);
    }
}

/// Adds `factor` for each transition that these tags make.
pub(super) fn add_observed(tags: &[usize], into: &mut Transitions, factor: f32) {
    let fields = into.fields;
    for pair in tags.windows(2) {
        let ended = if pair[0] > fields { pair[0] - fields } else { pair[0] };
        match pair[1] {
            begun if begun <= fields => into.next[ended * (fields + 1) + begun] += factor,
            _ if pair[0] > fields => into.go_on[fields + ended - 1] += factor,
            _ => into.go_on[ended - 1] += factor,
        }
    }
}

/// The score of one reading of a text.
pub(super) fn score(spans: &[Span], scores: &[f32], transitions: &Transitions) -> f64 {
    let count = transitions.tags();
    let tags = tags(spans, scores.len() / count, transitions.fields);
    let mut made = Transitions::new(transitions.fields);
    add_observed(&tags, &mut made, 1.0);
    let sum = |made: &[f32], weights: &[f32]| -> f64 {
        made.iter().zip(weights).map(|(made, weight)| f64::from(made * weight)).sum()
    };
    let words: f64 = tags.iter().zip(scores.chunks_exact(count)).map(|(tag, row)| f64::from(row[*tag])).sum();
    words + sum(&made.next, &transitions.next) + sum(&made.go_on, &transitions.go_on)
}

/// Words of the longest span that is looked for when spans are checked one by one.
const LONGEST_CHECKED: usize = 40;

/// The best reading of a text whose every span is `allowed` (Viterbi over words; where that finds a span that isn't
/// allowed, Viterbi over whole spans, as a semi-Markov model does it). Spans in the order of the text.
pub(super) fn best_spans(
    scores: &[f32],
    transitions: &Transitions,
    mut allowed: impl FnMut(usize, Range<usize>) -> bool,
) -> (Vec<Span>, bool) {
    let spans = best_by_word(scores, transitions);
    if spans.iter().all(|span| allowed(span.field, span.words.clone())) {
        return (spans, false);
    }
    (best_by_span(scores, transitions, &mut allowed), true)
}

fn best_by_word(scores: &[f32], transitions: &Transitions) -> Vec<Span> {
    let (fields, tags) = (transitions.fields, transitions.tags());
    let words = scores.len() / tags;
    if words == 0 {
        return Vec::new();
    }
    // For each word and tag, the tag before it.
    let mut before = vec![0_u32; words * tags];
    let mut best = vec![f32::NEG_INFINITY; tags];
    best[..=fields].copy_from_slice(&scores[..=fields]);
    let mut next = vec![f32::NEG_INFINITY; tags];
    for at in 1..words {
        let ended: Vec<(f32, u32)> = (0..=fields)
            .map(|g| match g {
                0 => (best[0], 0),
                g if best[fields + g] > best[g] => (best[fields + g], (fields + g) as u32),
                g => (best[g], g as u32),
            })
            .collect();
        let (row, from) = (&scores[at * tags..(at + 1) * tags], &mut before[at * tags..(at + 1) * tags]);
        for f in 0..=fields {
            let (mut most, mut tag) = (f32::NEG_INFINITY, 0);
            for (g, (ended, of)) in ended.iter().enumerate() {
                let score = ended + transitions.next[g * (fields + 1) + f];
                if score > most {
                    (most, tag) = (score, *of);
                }
            }
            next[f] = most + row[f];
            from[f] = tag;
        }
        for f in 0..fields {
            let begun = best[1 + f] + transitions.go_on[f];
            let gone_on = best[1 + fields + f] + transitions.go_on[fields + f];
            let tag = if gone_on > begun { 1 + fields + f } else { 1 + f };
            next[1 + fields + f] = begun.max(gone_on) + row[1 + fields + f];
            from[1 + fields + f] = tag as u32;
        }
        std::mem::swap(&mut best, &mut next);
    }
    let mut tag = (0..tags).max_by(|a, b| best[*a].total_cmp(&best[*b]).then(b.cmp(a))).unwrap_or(0);
    let mut spans: Vec<Span> = Vec::new();
    let mut end = words;
    for at in (0..words).rev() {
        if tag <= fields {
            if tag > 0 {
                spans.push(Span { field: tag - 1, words: at..end });
            }
            end = at;
        }
        tag = before[at * tags + tag] as usize;
    }
    spans.reverse();
    spans
}

fn best_by_span(
    scores: &[f32],
    transitions: &Transitions,
    allowed: &mut impl FnMut(usize, Range<usize>) -> bool,
) -> Vec<Span> {
    let (fields, tags) = (transitions.fields, transitions.tags());
    let words = scores.len() / tags;
    // best[t * (F + 1) + g]: the best reading of the first t words that ends with field g (0: outside).
    let mut best = vec![f32::NEG_INFINITY; (words + 1) * (fields + 1)];
    let mut from = vec![(0_usize, 0_usize); (words + 1) * (fields + 1)];
    for start in 0..words {
        for f in 0..=fields {
            let (mut begun, mut before) = (f32::NEG_INFINITY, 0);
            for g in 0..=fields {
                let score = match start {
                    0 if g == 0 => 0.0,
                    0 => f32::NEG_INFINITY,
                    _ => best[start * (fields + 1) + g] + transitions.next[g * (fields + 1) + f],
                };
                if score > begun {
                    (begun, before) = (score, g);
                }
            }
            if begun == f32::NEG_INFINITY {
                continue;
            }
            let longest = if f == 0 { 1 } else { LONGEST_CHECKED };
            let mut score = begun;
            for end in start + 1..=(start + longest).min(words) {
                let row = &scores[(end - 1) * tags..end * tags];
                score += match end - start {
                    1 => row[f],
                    2 => row[fields + f] + transitions.go_on[f - 1],
                    _ => row[fields + f] + transitions.go_on[fields + f - 1],
                };
                let to = end * (fields + 1) + f;
                if score > best[to] && (f == 0 || allowed(f - 1, start..end)) {
                    (best[to], from[to]) = (score, (start, before));
                }
            }
        }
    }
    let last = words * (fields + 1);
    let mut field =
        (0..=fields).max_by(|a, b| best[last + a].total_cmp(&best[last + b]).then(b.cmp(a))).unwrap_or(0);
    let (mut end, mut spans) = (words, Vec::new());
    while end > 0 {
        let (start, before) = from[end * (fields + 1) + field];
        if field > 0 {
            spans.push(Span { field: field - 1, words: start..end });
        }
        (end, field) = (start, before);
    }
    spans.reverse();
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: usize = 2;
    const TAGS: usize = 5;

    /// Every reading of a text of so many words.
    fn readings(words: usize) -> Vec<Vec<Span>> {
        let mut all: Vec<(usize, Vec<Span>)> = vec![(0, Vec::new())];
        let mut whole = Vec::new();
        while let Some((at, spans)) = all.pop() {
            if at == words {
                whole.push(spans);
                continue;
            }
            all.push((at + 1, spans.clone()));
            for field in 0..FIELDS {
                for end in at + 1..=words {
                    let mut spans = spans.clone();
                    spans.push(Span { field, words: at..end });
                    all.push((end, spans));
                }
            }
        }
        whole
    }

    fn model() -> impl Strategy<Value = (Vec<f32>, Transitions)> {
        let weights = |count| prop::collection::vec(-3.0_f32..3.0, count);
        let scores = (1_usize..5).prop_flat_map(move |words| weights(words * TAGS));
        (scores, weights(9), weights(4))
            .prop_map(|(scores, next, go_on)| (scores, Transitions { fields: FIELDS, next, go_on }))
    }

    proptest! {
        #[test]
        fn beliefs_are_what_counting_every_reading_gives((scores, transitions) in model()) {
            let words = scores.len() / TAGS;
            let all = readings(words);
            let weights: Vec<f64> = all.iter().map(|spans| score(spans, &scores, &transitions).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let share = |test: &dyn Fn(&[Span]) -> bool| -> f64 {
                all.iter().zip(&weights).filter(|(spans, _)| test(spans)).map(|(_, weight)| weight).sum::<f64>() / sum
            };
            let mut beliefs = Beliefs::default();
            beliefs.of(&scores, &transitions);
            prop_assert!((beliefs.log_sum - sum.ln()).abs() < 1e-3);
            let mut of_word = Vec::new();
            for at in 0..words {
                beliefs.of_word(at, &mut of_word);
                for (tag, found) in of_word.iter().enumerate() {
                    let counted = share(&|spans| tags(spans, words, FIELDS)[at] == tag);
                    prop_assert!((f64::from(*found) - counted).abs() < 1e-3, "word {at} tag {tag}");
                }
            }
            for field in 0..FIELDS {
                for start in 0..words {
                    for end in start + 1..=words {
                        let span = Span { field, words: start..end };
                        let counted = share(&|spans| spans.contains(&span));
                        prop_assert!((beliefs.of_span(field, &span.words) - counted).abs() < 1e-3, "{span:?}");
                    }
                }
            }
            let mut expected = Transitions::new(FIELDS);
            beliefs.add_expected(&mut expected, 1.0);
            let mut counted = Transitions::new(FIELDS);
            for (spans, weight) in all.iter().zip(&weights) {
                add_observed(&tags(spans, words, FIELDS), &mut counted, (weight / sum) as f32);
            }
            let pairs = expected.next.iter().chain(&expected.go_on).zip(counted.next.iter().chain(&counted.go_on));
            for (found, counted) in pairs {
                prop_assert!((found - counted).abs() < 1e-3);
            }
        }

        #[test]
        fn the_best_reading_is_the_best_of_all_that_are_allowed((scores, transitions) in model(), forbidden in 0_usize..4) {
            let words = scores.len() / TAGS;
            // Spans of some lengths are no values of field 1.
            let is_allowed = |field: usize, words: Range<usize>| field == 0 || words.len() != forbidden;
            let (found, checked) = best_spans(&scores, &transitions, is_allowed);
            let best = readings(words)
                .into_iter()
                .filter(|spans| spans.iter().all(|span| is_allowed(span.field, span.words.clone())))
                .map(|spans| score(&spans, &scores, &transitions))
                .fold(f64::NEG_INFINITY, f64::max);
            prop_assert!((score(&found, &scores, &transitions) - best).abs() < 1e-3, "{found:?} {checked}");
            prop_assert!(found.iter().all(|span| is_allowed(span.field, span.words.clone())));
            let by_span = best_by_span(&scores, &transitions, &mut |_, _| true);
            let by_word = best_by_word(&scores, &transitions);
            let difference = score(&by_span, &scores, &transitions) - score(&by_word, &scores, &transitions);
            prop_assert!(difference.abs() < 1e-3, "two ways to one answer");
        }
    }
}
