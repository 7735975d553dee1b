mod bad;
mod constrained;
mod earlier;
mod fill;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::prompt::Prepared;
use super::sample::{Outlook, draw, log_sum};
use super::speech::Speech;
use super::*;
use crate::gguf::HoleTokens;
use crate::protocol::{End, Generate, Order, Prompt, Refusal, Report, Sampling, Score, Written};

/// What the reckoning network ends with.
const END: Token = 2;
/// Tokens it knows: end and the like, then bytes.
const VOCABULARY: usize = 3 + 256;

/// A network that can be reckoned by hand: what may follow depends on every token before, and on nothing else. It breaks
/// off where the scheduler asks for what llama.cpp would abort at.
struct Reckoning {
    room: usize,
    batch: usize,
    memory: HashMap<Sequence, Vec<Token>>,
    batches: Vec<usize>,
    /// What each sequence was computed with so far, and each batch.
    adapters: HashMap<Sequence, Option<u32>>,
    adapted: Vec<Option<u32>>,
    slides: bool,
    hole: Option<HoleTokens>,
}

impl Reckoning {
    fn new(room: usize, batch: usize) -> Self {
        let (memory, batches) = (HashMap::new(), Vec::new());
        let (adapters, adapted) = (HashMap::new(), Vec::new());
        Self { room, batch, memory, batches, adapters, adapted, slides: false, hole: None }
    }

    fn logits(before: &[Token]) -> Vec<f32> {
        Self::adapted_logits(before, None)
    }

    fn adapted_logits(before: &[Token], adapter: Option<u32>) -> Vec<f32> {
        let own = adapter.map_or(7, |adapter| 100 + u64::from(adapter));
        let seed = before.iter().fold(own, |seed, token| {
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(*token as u64 + 1)
        });
        let mut draw = fastrand::Rng::with_seed(seed);
        (0..VOCABULARY).map(|_| draw.f32() * 8.0).collect()
    }

    /// Tokens that are remembered. What several sequences share counts once: as many different beginnings as there are.
    fn remembered(&self) -> usize {
        let beginnings =
            self.memory.values().flat_map(|tokens| (1..=tokens.len()).map(|length| &tokens[..length]));
        beginnings.collect::<BTreeSet<&[Token]>>().len()
    }
}

impl Network for Reckoning {
    fn room(&self) -> usize {
        self.room
    }

    fn reach(&self) -> usize {
        self.room
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn sequences(&self) -> Sequence {
        80
    }

    fn adapters(&self) -> u32 {
        2
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn tokens(&self, text: &str, begins: bool, _: bool) -> Vec<Token> {
        begins.then_some(1).into_iter().chain(text.bytes().map(|byte| Token::from(byte) + 3)).collect()
    }

    fn bytes(&self, token: Token) -> Vec<u8> {
        u8::try_from(token - 3).into_iter().collect()
    }

    fn is_end(&self, token: Token) -> bool {
        token == END
    }

    fn hole(&self) -> Option<HoleTokens> {
        self.hole
    }

    fn slides(&self) -> bool {
        self.slides
    }

    fn fork(&mut self, from: Sequence, to: Sequence, tokens: u32) -> Result<(), String> {
        assert!(self.memory.get(&to).is_none_or(Vec::is_empty), "{to} remembers something");
        let mut remembered = self.memory.get(&from).cloned().unwrap_or_default();
        assert!(remembered.len() >= tokens as usize, "{from} remembers {}, not {tokens}", remembered.len());
        assert!(!self.slides || remembered.len() == tokens as usize, "what the window has passed is gone");
        remembered.truncate(tokens as usize);
        self.memory.insert(to, remembered);
        self.adapters.extend(self.adapters.get(&from).copied().map(|adapter| (to, adapter)));
        Ok(())
    }

    fn put_away(&mut self, sequence: Sequence) -> Result<Vec<u8>, String> {
        Ok(self.memory[&sequence].iter().flat_map(|token| token.to_le_bytes()).collect())
    }

    fn put_back(&mut self, memory: &[u8], to: Sequence, tokens: u32) -> Result<bool, String> {
        assert!(self.memory.get(&to).is_none_or(Vec::is_empty), "{to} remembers something");
        let token = |bytes: &[u8]| Token::from_le_bytes(bytes.try_into().expect("four bytes"));
        let mut remembered: Vec<Token> = memory.chunks(4).map(token).collect();
        assert!(remembered.len() >= tokens as usize, "{} were put away, not {tokens}", remembered.len());
        assert!(!self.slides || remembered.len() == tokens as usize, "what the window has passed is gone");
        assert!(self.remembered() + remembered.len() <= self.room, "no room for all that was put away");
        remembered.truncate(tokens as usize);
        self.memory.insert(to, remembered);
        Ok(true)
    }

    fn forget(&mut self, sequence: Sequence) -> Result<(), String> {
        self.memory.remove(&sequence);
        self.adapters.remove(&sequence);
        Ok(())
    }

    fn compute(
        &mut self,
        batch: &[Piece],
        adapter: Option<u32>,
        row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), String> {
        assert!(
            !batch.is_empty() && batch.len() <= self.batch,
            "{} in a batch of {}",
            batch.len(),
            self.batch
        );
        self.batches.push(batch.len());
        self.adapted.push(adapter);
        for (place, piece) in batch.iter().enumerate() {
            for sequence in &piece.sequences {
                let remembered = self.memory.entry(*sequence).or_default();
                assert_eq!(remembered.len(), piece.position as usize, "a gap in sequence {sequence}");
                remembered.push(piece.token);
                let so_far = *self.adapters.entry(*sequence).or_insert(adapter);
                assert_eq!(so_far, adapter, "sequence {sequence} is computed with two adapters");
            }
            if piece.wanted {
                row(place, &Self::adapted_logits(&self.memory[&piece.sequences[0]], adapter));
            }
        }
        let remembered = self.remembered();
        assert!(remembered <= self.room, "{remembered} remembered, and there is room for {}", self.room);
        Ok(())
    }
}

/// What a label's log-likelihood is, reckoned token by token from the very beginning.
fn by_hand(before: &str, text: &str, after: &str, label: &str) -> f32 {
    by_hand_with(None, before, text, after, label)
}

/// The same with an adapter.
fn by_hand_with(adapter: Option<u32>, before: &str, text: &str, after: &str, label: &str) -> f32 {
    let network = Reckoning::new(0, 0);
    let mut tokens = network.tokens(&format!("{before}{text}{after}"), true, false);
    let mut sum = 0.0;
    for token in network.tokens(label, false, false) {
        let logits = Reckoning::adapted_logits(&tokens, adapter);
        sum += logits[token as usize] - log_sum(&logits).unwrap();
        tokens.push(token);
    }
    sum
}

fn prompt(number: u64, labels: &[&str]) -> Prompt {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let (before, after) = (format!("prompt {number}: "), "\nLabel:".to_owned());
    Prompt { prompt: number, before, after, labels, adapter: None }
}

fn score(id: u64, number: u64, text: &str) -> Order {
    Order::Score(Score { id, prompt: number, text: text.to_owned(), within_ms: 60_000 })
}

fn generate(id: u64, text: &str, most_tokens: u32) -> Generate {
    Generate {
        id,
        prompt: None,
        text: text.to_owned(),
        behind: None,
        most_tokens,
        stop: vec![],
        sampling: Sampling { temperature: 1.0, top_p: 1.0, seed: id },
        constraint: None,
        likeliest: 0,
        adapter: None,
        within_ms: 60_000,
    }
}

/// Takes all orders at once, and works until nothing is left.
fn run(scheduler: &mut Scheduler<Reckoning>, orders: Vec<Order>) -> Vec<Report> {
    let (mut reports, now) = (Vec::new(), Instant::now());
    orders.into_iter().for_each(|order| scheduler.take(order, now, &mut |report| reports.push(report)));
    for _ in 0..10_000 {
        if scheduler.is_idle() {
            return reports;
        }
        scheduler.step(|| now, &mut |report| reports.push(report)).unwrap();
    }
    panic!("never done: {reports:?}")
}

fn written(reports: &[Report], wanted: u64) -> (String, Option<(End, usize)>) {
    let mut text = String::new();
    let mut ended = None;
    for report in reports {
        match report {
            Report::Text { id, text: piece } if *id == wanted => text += piece,
            Report::Ended { id, end, written, .. } if *id == wanted => ended = Some((*end, written.len())),
            _ => {}
        }
    }
    (text, ended)
}

const LABELS: [&str; 6] = [" card lost", " card stolen", " c", " refund", " x", " card"];

#[test]
fn labels_scored_together_score_as_each_would_by_itself() {
    let texts = ["where is it", "", "my card is gone, please help", "a"];
    for batch in [1, 3, 16, 512] {
        let mut scheduler = Scheduler::new(Reckoning::new(600, batch), 10);
        let mut orders = vec![Order::Prompt(prompt(5, &LABELS))];
        orders.extend(texts.iter().enumerate().map(|(id, text)| score(id as u64, 5, text)));
        let reports = run(&mut scheduler, orders);
        assert_eq!(reports.len(), texts.len());
        for report in reports {
            let Report::Scored(scored) = report else { panic!("{report:?}") };
            for (label, found) in LABELS.iter().zip(&scored.log_likelihoods) {
                let expected = by_hand("prompt 5: ", texts[scored.id as usize], "\nLabel:", label);
                assert!(
                    (found - expected).abs() < 1e-3,
                    "batches of {batch}: {label}: {found} for {expected}"
                );
            }
            assert_eq!(scored.tokens, LABELS.map(|label| label.len() as u32));
        }
    }
}

#[test]
fn more_labels_than_are_computed_together_score_the_same() {
    let labels: Vec<String> = (0..90).map(|number| format!(" label {number}")).collect();
    let names: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut scheduler = Scheduler::new(Reckoning::new(900, 64), 10);
    let reports = run(&mut scheduler, vec![Order::Prompt(prompt(1, &names)), score(0, 1, "text")]);
    let [Report::Scored(scored)] = reports.as_slice() else { panic!("{reports:?}") };
    for (label, found) in labels.iter().zip(&scored.log_likelihoods) {
        let expected = by_hand("prompt 1: ", "text", "\nLabel:", label);
        assert!((found - expected).abs() < 1e-3, "{label}: {found} for {expected}");
    }
}

#[test]
fn a_prompt_is_computed_once_and_what_labels_share_too() {
    let mut scheduler = Scheduler::new(Reckoning::new(600, 512), 10);
    run(&mut scheduler, vec![Order::Prompt(prompt(1, &[" ab", " ac"])), score(0, 1, "text")]);
    let network = &scheduler.network().batches;
    // The prompt with its beginning; the text and what follows it; then " " and " a", which both labels go on from.
    assert_eq!(network, &["prompt 1: ".len() + 1, "text\nLabel:".len(), 2]);
    run(&mut scheduler, vec![score(1, 1, "more")]);
    assert_eq!(scheduler.network().batches[3..], ["more\nLabel:".len(), 2]);
}

#[test]
fn what_is_written_beside_others_is_what_would_be_written_alone() {
    let ask = |id: u64| Order::Generate(generate(id, &format!("question {id}"), 12));
    let alone = |id| {
        let reports = run(&mut Scheduler::new(Reckoning::new(400, 32), 10), vec![ask(id)]);
        written(&reports, id)
    };
    let mut scheduler = Scheduler::new(Reckoning::new(400, 32), 10);
    let mut orders = vec![Order::Prompt(prompt(1, &LABELS))];
    orders.extend((0..6).map(ask));
    orders.push(score(100, 1, "beside"));
    let reports = run(&mut scheduler, orders);
    for id in 0..6 {
        assert_eq!(written(&reports, id), alone(id), "{id}");
    }
    assert!(reports.iter().any(|report| matches!(report, Report::Scored(scored) if scored.id == 100)));
}

#[test]
fn an_answer_goes_on_from_a_kept_prompt_as_from_the_whole_text() {
    for labels in [&[][..], &LABELS] {
        let mut scheduler = Scheduler::new(Reckoning::new(400, 32), 10);
        let behind = |id| Order::Generate(Generate { prompt: Some(1), ..generate(id, "question", 12) });
        let order = Generate { id: 1, ..generate(7, "prompt 1: question\nLabel:", 12) };
        let alone = run(&mut scheduler, vec![Order::Generate(order)]);
        let again = Generate { id: 2, prompt: Some(1), ..generate(7, "question", 12) };
        let reports = run(&mut scheduler, vec![Order::Prompt(prompt(1, labels)), Order::Generate(again)]);
        assert_eq!(written(&reports, 2), written(&alone, 1));
        let computed = scheduler.network().batches.iter().sum::<usize>();
        run(&mut scheduler, vec![behind(3)]);
        let (own, most) = ("question\nLabel:".len(), 12);
        assert!(
            scheduler.network().batches.iter().sum::<usize>() <= computed + own + most,
            "the prompt was read once"
        );
    }
}

#[test]
fn each_token_of_an_answer_is_told_with_its_bytes_and_what_the_model_thought_of_it() {
    let order = Generate { likeliest: 3, ..generate(1, "tell me", 12) };
    let reports = run(&mut Scheduler::new(Reckoning::new(400, 32), 10), vec![Order::Generate(order)]);
    let text: String = reports
        .iter()
        .filter_map(|report| match report {
            Report::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let Some(Report::Ended { written, end, .. }) = reports.last() else { panic!("{reports:?}") };
    let bytes: Vec<u8> = written.iter().flat_map(|token| token.text.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
    let network = Reckoning::new(0, 0);
    let mut tokens = network.tokens("tell me", true, false);
    for (place, token) in written.iter().enumerate() {
        let Written { bytes, log_probability, margin, text, likeliest } = token;
        assert_eq!(*bytes as usize, text.len());
        let mut logits = Reckoning::logits(&tokens);
        let log_sum = log_sum(&logits).unwrap();
        let is_end = *end == End::Model && place + 1 == written.len();
        let own = if is_end { END } else { text.first().map_or(0, |byte| Token::from(*byte) + 3) };
        assert!(is_end || !text.is_empty(), "a token without a text, at {place}: draw by another seed");
        assert!((log_probability - (logits[own as usize] - log_sum)).abs() < 1e-4);
        logits.sort_by(|a, b| b.total_cmp(a));
        assert!((margin - (logits[0] - logits[1])).abs() < 1e-4);
        let told: Vec<f32> = likeliest.iter().map(|(_, number)| *number).collect();
        let expected: Vec<f32> = logits[..3].iter().map(|logit| logit - log_sum).collect();
        assert!(told.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{told:?} for {expected:?}");
        tokens.push(own);
    }
}

#[test]
fn each_request_is_answered_with_its_adapter_and_they_take_turns() {
    let mut scheduler = Scheduler::new(Reckoning::new(900, 32), 40);
    let mut orders = Vec::new();
    for (number, adapter) in [(0, None), (1, Some(0)), (2, Some(1))] {
        // The same prompt is another's with another adapter.
        orders.push(Order::Prompt(Prompt {
            adapter,
            before: "a prompt: ".to_owned(),
            ..prompt(number, &LABELS)
        }));
        orders.extend((0..3).map(|id| score(10 * number + id, number, "text")));
        let written = Generate { adapter, ..generate(100 + number, "question", 40) };
        orders.push(Order::Generate(written));
        let behind = Generate { prompt: Some(number), ..generate(200 + number, "text", 5) };
        orders.push(Order::Generate(behind));
    }
    let reports = run(&mut scheduler, orders.clone());
    let mut scored = 0;
    for report in &reports {
        let Report::Scored(told) = report else { continue };
        let adapter = [None, Some(0), Some(1)][told.id as usize / 10];
        for (label, found) in LABELS.iter().zip(&told.log_likelihoods) {
            let expected = by_hand_with(adapter, "a prompt: ", "text", "\nLabel:", label);
            assert!((found - expected).abs() < 1e-3, "{adapter:?} {label}: {found} for {expected}");
        }
        scored += 1;
    }
    assert_eq!(scored, 9);
    for number in 0..3 {
        let own = |order: &Order| match order {
            Order::Generate(generate) => [100 + number, 200 + number].contains(&generate.id),
            Order::Prompt(prompt) => prompt.prompt == number,
            _ => false,
        };
        let own: Vec<Order> = orders.iter().filter(|order| own(order)).cloned().collect();
        let alone = run(&mut Scheduler::new(Reckoning::new(900, 32), 40), own);
        for id in [100 + number, 200 + number] {
            assert_eq!(written(&reports, id), written(&alone, id), "{id}");
        }
    }
    // While all three have something to do, none has more than its batches in a row.
    let adapted = &scheduler.network().adapted;
    let first_end =
        [None, Some(0), Some(1)].map(|adapter| adapted.iter().rposition(|own| *own == adapter).unwrap());
    let shared = &adapted[..*first_end.iter().min().unwrap()];
    let longest = shared.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap();
    assert!(shared.len() > 20 && longest <= 5, "{longest} in a row: {shared:?}");
}

#[test]
fn an_adapter_that_isnt_there_is_refused_and_so_is_another_than_the_prompts() {
    let mut scheduler = Scheduler::new(Reckoning::new(200, 32), 40);
    let reports = run(
        &mut scheduler,
        vec![
            Order::Prompt(Prompt { adapter: Some(2), ..prompt(1, &[" a"]) }),
            Order::Generate(Generate { adapter: Some(7), ..generate(2, "text", 3) }),
            Order::Prompt(Prompt { adapter: Some(1), ..prompt(3, &[]) }),
            Order::Generate(Generate { prompt: Some(3), adapter: Some(0), ..generate(4, "text", 3) }),
            Order::Generate(Generate { prompt: Some(3), adapter: Some(1), ..generate(5, "text", 3) }),
        ],
    );
    let none = |number: u32| format!("there is no adapter {number}: 2 were loaded, named from 0");
    assert_eq!(reports[0], Report::NoPrompt { prompt: 1, why: Refusal::Bad(none(2)) });
    assert_eq!(reports[1], Report::Refused { id: 2, why: Refusal::Bad(none(7)) });
    let other = "its prompt is read with adapter 1, and it asks for another".to_owned();
    assert_eq!(reports[2], Report::Refused { id: 4, why: Refusal::Bad(other) });
    assert!(written(&reports, 5).1.is_some());
}

#[test]
fn a_short_request_is_not_held_up_by_a_long_one() {
    let mut scheduler = Scheduler::new(Reckoning::new(2_000, 64), 10);
    let long = Order::Generate(generate(1, &"long ".repeat(200), 500));
    let reports =
        run(&mut scheduler, vec![Order::Prompt(prompt(1, &[" a", " b"])), long, score(2, 1, "short")]);
    assert!(matches!(&reports[0], Report::Scored(scored) if scored.id == 2), "{:?}", reports.first());
}

#[test]
fn one_that_is_longer_than_there_is_room_for_is_refused_at_once() {
    let mut scheduler = Scheduler::new(Reckoning::new(64, 16), 10);
    let long = "x".repeat(64);
    let reports = run(
        &mut scheduler,
        vec![
            Order::Prompt(prompt(1, &[" a", " b"])),
            score(1, 1, &long),
            Order::Generate(generate(2, &long, 1)),
            Order::Prompt(Prompt { before: long.clone(), ..prompt(3, &[" a"]) }),
            Order::Prompt(prompt(4, &[])),
            score(4, 4, "nothing to score by"),
            score(5, 9, "no such prompt"),
            score(6, 1, "still answered"),
        ],
    );
    let why = |wanted: u64| {
        reports.iter().find_map(|report| match report {
            Report::Refused { id, why } if *id == wanted => Some(why.clone()),
            Report::NoPrompt { prompt, why } if *prompt == wanted => Some(why.clone()),
            _ => None,
        })
    };
    assert!(matches!(why(1), Some(Refusal::TooLong { .. })), "{reports:?}");
    assert!(matches!(why(2), Some(Refusal::TooLong { tokens: 65, room: 63 })), "{reports:?}");
    assert!(matches!(why(3), Some(Refusal::TooLong { .. })), "{reports:?}");
    assert_eq!(
        why(4),
        Some(Refusal::Bad("prompt 4 has no labels that a text could be scored by".to_owned()))
    );
    assert_eq!(why(5), Some(Refusal::Bad("there is no prompt 9".to_owned())));
    assert!(matches!(reports.last(), Some(Report::Scored(scored)) if scored.id == 6), "{reports:?}");
}

#[test]
fn prompts_that_nobody_uses_make_way_and_come_back() {
    let mut scheduler = Scheduler::new(Reckoning::new(70, 16), 10);
    for round in 0..3 {
        for number in 0..4 {
            let reports = run(
                &mut scheduler,
                vec![Order::Prompt(prompt(number, &[" a", " bc"])), score(round, number, "some text")],
            );
            let [Report::Scored(scored)] = reports.as_slice() else { panic!("{reports:?}") };
            let expected = by_hand(&format!("prompt {number}: "), "some text", "\nLabel:", " bc");
            assert!((scored.log_likelihoods[1] - expected).abs() < 1e-3);
        }
    }
}

#[test]
fn more_than_may_wait_are_refused_and_the_others_answered() {
    let mut scheduler = Scheduler::new(Reckoning::new(200, 16), 3);
    let orders = (0..5).map(|id| Order::Generate(generate(id, "text", 2))).collect();
    let reports = run(&mut scheduler, orders);
    let full =
        reports.iter().filter(|report| matches!(report, Report::Refused { why: Refusal::Full, .. })).count();
    let ended = reports.iter().filter(|report| matches!(report, Report::Ended { .. })).count();
    assert_eq!((full, ended), (2, 3));
}

#[test]
fn what_is_late_or_cancelled_is_dropped_in_line_and_at_work() {
    let mut scheduler = Scheduler::new(Reckoning::new(100, 4), 10);
    let start = Instant::now();
    let mut reports = Vec::new();
    let long = |id, within_ms| Order::Generate(Generate { within_ms, ..generate(id, "text", 90) });
    for order in [long(1, 1_000), long(2, 2_000), long(3, 9_000), long(4, 9_000)] {
        scheduler.take(order, start, &mut |report| reports.push(report));
    }
    // There is room for one at a time.
    scheduler.step(|| start, &mut |report| reports.push(report)).unwrap();
    scheduler.take(Order::Cancel(3), start, &mut |report| reports.push(report));
    let later = start + Duration::from_millis(2_000);
    scheduler.step(|| later, &mut |report| reports.push(report)).unwrap();
    let refused: Vec<(u64, &Refusal)> = reports
        .iter()
        .filter_map(|report| match report {
            Report::Refused { id, why } => Some((*id, why)),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [(3, &Refusal::Cancelled), (2, &Refusal::Late), (1, &Refusal::Late)]);
    scheduler.take(Order::Cancel(4), later, &mut |report| reports.push(report));
    scheduler.step(|| later, &mut |report| reports.push(report)).unwrap();
    assert!(scheduler.is_idle());
}

#[test]
fn an_answer_that_runs_out_of_room_says_so() {
    let mut scheduler = Scheduler::new(Reckoning::new(20, 16), 10);
    let reports = run(&mut scheduler, vec![Order::Generate(generate(1, "0123456789", 500))]);
    let (_, ended) = written(&reports, 1);
    // The beginning, ten tokens read, and room for nine more.
    assert!(matches!(ended, Some((End::Context, 9)) | Some((End::Model, _))), "{ended:?}");
}

#[test]
fn labels_that_run_into_what_stands_before_them_keep_their_own_tokens() {
    let network = Reckoning::new(100, 10);
    let prepared = Prepared::of(&prompt(1, &[" ab", " ac", " b"]), &network).unwrap();
    assert_eq!(prepared.before_labels, network.tokens("\nLabel:", false, false));
    assert_eq!(prepared.labels[0], network.tokens(" ab", false, false));
    assert_eq!(prepared.groups[0].beginnings.len(), 2, "` ` and ` a`");
}

#[test]
fn the_likeliest_token_is_taken_without_temperature_and_the_first_of_equals() {
    let draw = |logits: &[f32]| draw(logits, &Sampling::GREEDY, &mut fastrand::Rng::with_seed(1));
    assert_eq!(draw(&[0.0, 2.0, 1.0, 2.0]), Some(1));
    assert_eq!(draw(&[f32::NAN, f32::NAN]), None);
    assert_eq!(draw(&[f32::NEG_INFINITY]), None);
    assert_eq!(draw(&[]), None);
}

#[test]
fn a_token_that_is_ruled_out_is_never_drawn() {
    let logits = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    let mut random = fastrand::Rng::with_seed(2);
    for (temperature, top_p) in [(0.0, 1.0), (1.0, 1.0), (1.0, 0.3), (0.01, 0.0), (50.0, 1.0)] {
        let sampling = Sampling { temperature, top_p, seed: 0 };
        assert!((0..100).all(|_| draw(&logits, &sampling, &mut random) == Some(1)), "{sampling:?}");
    }
}

#[test]
fn what_may_come_is_told_in_nats_the_likeliest_first() {
    let logits = [0.1_f32, 0.6, 0.0, 0.3].map(f32::ln);
    let outlook = Outlook::of(&logits).unwrap();
    assert!((outlook.log_probability(3) - 0.3_f32.ln()).abs() < 1e-6);
    assert!((outlook.margin() - 2.0_f32.ln()).abs() < 1e-6);
    let tokens = |count| outlook.likeliest(count).iter().map(|(token, _)| *token).collect::<Vec<Token>>();
    assert_eq!((tokens(0), tokens(2), tokens(9)), (vec![], vec![1, 3], vec![1, 3, 0, 2]));
    // What can't come, or is no token, has a number that a message can hold.
    assert_eq!((outlook.log_probability(2), outlook.log_probability(-1)), (f32::MIN, f32::MIN));
    assert_eq!(Outlook::of(&[0.0]).unwrap().margin(), f32::MAX);
    assert!(Outlook::of(&[f32::NAN, 0.0]).is_none() && Outlook::of(&[]).is_none());
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    let logits = [0.1_f32, 0.6, 0.3].map(f32::ln);
    let shares = |sampling: Sampling| {
        let mut random = fastrand::Rng::with_seed(3);
        let mut counts = [0.0; 3];
        (0..20_000)
            .for_each(|_| counts[draw(&logits, &sampling, &mut random).unwrap() as usize] += 1.0 / 20_000.0);
        counts
    };
    let check = |temperature, top_p, expected: [f64; 3]| {
        let found = shares(Sampling { temperature, top_p, seed: 0 });
        for (found, expected) in found.iter().zip(expected) {
            // Four standard errors of 20,000 draws at most.
            assert!((found - expected).abs() < 0.0142, "{temperature} {top_p}: {found} for {expected}");
        }
    };
    check(1.0, 1.0, [0.1, 0.6, 0.3]);
    check(0.5, 1.0, [0.01 / 0.46, 0.36 / 0.46, 0.09 / 0.46]);
    check(1.0, 0.8, [0.0, 0.6 / 0.9, 0.3 / 0.9]);
    check(1.0, 0.5, [0.0, 1.0, 0.0]);
    check(1.0, 0.0, [0.0, 1.0, 0.0]);
}

#[test]
fn an_answer_ends_before_its_stop_string_and_shows_nothing_of_it() {
    let check = |stops: &[&str], pieces: &[&str], expected: (&str, bool)| {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut speech = Speech::new(&stops);
        let (mut shown, mut stopped) = (String::new(), false);
        for piece in pieces {
            let (text, stops) = speech.hear(piece.as_bytes());
            shown += &text;
            stopped |= stops;
        }
        assert_eq!((shown.as_str(), stopped), expected, "{stops:?} {pieces:?}");
    };
    check(&["\n\n"], &["one\n", "\ntwo"], ("one", true));
    check(&["\n\n"], &["one\n", "two"], ("one\ntwo", false));
    check(&["END", "E"], &["the ", "END"], ("the ", true));
    check(&["aab"], &["aa", "ab"], ("a", true));
    check(&["END"], &["the EN"], ("the ", false));
    check(&[""], &["text"], ("text", false));
}

#[test]
fn halves_of_characters_wait_for_the_other_half() {
    let mut speech = Speech::new(&[]);
    let euro = "€".as_bytes();
    assert_eq!(speech.hear(&euro[..1]).0, "");
    assert_eq!(speech.hear(&euro[1..2]).0, "");
    assert_eq!(speech.hear(&euro[2..]).0, "€");
    assert_eq!(speech.hear(b"a\xffb").0, "a\u{fffd}b");
    assert_eq!(speech.hear(b"\xff\xe2\x82").0, "\u{fffd}");
    assert_eq!(speech.finish(), "\u{fffd}");
}

#[cfg(unix)]
mod over_a_socket {
    use std::os::unix::net::UnixStream;
    use std::thread::{JoinHandle, spawn};

    use super::*;
    use crate::protocol::{self, FrameError, HELLO, Load, Loaded};

    /// An engine over the reckoning network; who asks it, and what became of it.
    fn engine() -> (UnixStream, JoinHandle<Result<(), String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let served = spawn(move || {
            let output = theirs.try_clone().unwrap();
            serve(theirs, output, |load| match load.file.ends_with("none.gguf") {
                true => Err("none.gguf can't be read".to_owned()),
                false => {
                    let (hello, context) = (HELLO.to_owned(), load.context);
                    let loaded =
                        Loaded { hello, context, threads: load.threads, kernels: String::new(), took_ms: 0 };
                    Ok((Reckoning::new(context as usize, 32), loaded))
                }
            })
        });
        (ours, served)
    }

    fn load(file: &str) -> Order {
        let (hello, file, adapters) = (HELLO.to_owned(), file.into(), vec![]);
        Order::Load(Load { hello, file, context: 400, threads: 1, waiting: 8, adapters })
    }

    fn say(engine: &mut UnixStream, order: &Order) {
        protocol::write(engine, order).unwrap();
    }

    fn hear(engine: &mut UnixStream) -> Result<Report, FrameError> {
        protocol::read(engine)
    }

    #[test]
    fn orders_are_answered_until_the_other_side_leaves() {
        let (mut engine, served) = engine();
        say(&mut engine, &load("model.gguf"));
        assert!(matches!(hear(&mut engine).unwrap(), Report::Loaded(loaded) if loaded.context == 400));
        say(&mut engine, &Order::Prompt(prompt(1, &LABELS)));
        for id in 0..20 {
            say(&mut engine, &score(id, 1, "a text"));
            let Report::Scored(scored) = hear(&mut engine).unwrap() else { panic!("no score") };
            assert_eq!((scored.id, scored.log_likelihoods.len()), (id, LABELS.len()));
        }
        // A refused prompt is told at once, also where nothing else is to be done.
        say(&mut engine, &Order::Prompt(Prompt { before: "long ".repeat(100), ..prompt(2, &[]) }));
        assert!(matches!(hear(&mut engine).unwrap(), Report::NoPrompt { prompt: 2, .. }));
        drop(engine);
        assert_eq!(served.join().unwrap(), Ok(()));
    }

    #[test]
    fn an_asker_who_leaves_in_the_middle_of_an_answer_ends_the_engine_and_nothing_else() {
        let (mut engine, served) = engine();
        say(&mut engine, &load("model.gguf"));
        hear(&mut engine).unwrap();
        let endless = Generate { constraint: None, ..generate(1, "tell me", 390) };
        say(&mut engine, &Order::Generate(endless));
        assert!(matches!(hear(&mut engine).unwrap(), Report::Text { id: 1, .. }));
        drop(engine);
        // It notices when it reads, or when it writes; something may not have been read by then.
        let noticed = ["Broken pipe", "Connection reset", "left"];
        match served.join().unwrap() {
            Ok(()) => {}
            Err(why) => assert!(noticed.iter().any(|how| why.contains(how)), "{why}"),
        }
    }

    #[test]
    fn a_model_that_cant_be_loaded_is_told_and_the_engine_leaves() {
        let (mut engine, served) = engine();
        say(&mut engine, &load("none.gguf"));
        assert_eq!(hear(&mut engine).unwrap(), Report::NotLoaded("none.gguf can't be read".to_owned()));
        assert!(matches!(hear(&mut engine), Err(FrameError::Closed)));
        assert_eq!(served.join().unwrap(), Ok(()));
    }

    #[test]
    fn another_version_is_sent_away_and_so_is_whoever_talks_nonsense() {
        let (mut engine, served) = self::engine();
        let Order::Load(other) = load("model.gguf") else { unreachable!() };
        say(&mut engine, &Order::Load(Load { hello: "sprat engine 0".to_owned(), ..other }));
        let expected =
            "who asks says `sprat engine 0`, and the engine `sprat engine 4`: two versions of Sprat";
        assert_eq!(hear(&mut engine).unwrap(), Report::NotLoaded(expected.to_owned()));
        assert_eq!(served.join().unwrap(), Ok(()));

        let (mut engine, served) = self::engine();
        say(&mut engine, &load("model.gguf"));
        hear(&mut engine).unwrap();
        std::io::Write::write_all(&mut engine, b"\x04\0\0\0oops").unwrap();
        assert!(served.join().unwrap().unwrap_err().contains("a message that can't be understood"));
    }
}
