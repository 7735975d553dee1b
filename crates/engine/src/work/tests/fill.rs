//! Holes are filled behind what stands around them, in the model's own order.

use super::*;
use crate::work::fill::around;

/// Tokens that no text has.
const OWN: HoleTokens = HoleTokens { before: 300, behind: 301, inside: 302 };

fn network(room: usize, hole: Option<HoleTokens>) -> Reckoning {
    Reckoning { hole, ..Reckoning::new(room, 16) }
}

fn fill(id: u64, before: &str, behind: &str, most_tokens: u32) -> Generate {
    let sampling = Sampling::GREEDY;
    Generate { behind: Some(behind.to_owned()), sampling, ..generate(id, before, most_tokens) }
}

fn plain(text: &str) -> Vec<Token> {
    Reckoning::new(0, 0).tokens(text, false, false)
}

#[test]
fn an_answer_follows_both_sides_of_a_hole() {
    let mut tokens = [&[1, 300], plain("let x = ").as_slice(), &[301], &plain(";\n"), &[302]].concat();
    let read = tokens.len() as u32;
    let mut expected = Vec::new();
    for _ in 0..5 {
        let logits = Reckoning::logits(&tokens);
        let likeliest = draw(&logits, &Sampling::GREEDY, &mut fastrand::Rng::new()).unwrap();
        assert!(likeliest > END, "a token that is shown: begin with another text");
        expected.push(u8::try_from(likeliest - 3).unwrap());
        tokens.push(likeliest);
    }
    let mut scheduler = Scheduler::new(network(200, Some(OWN)), 10);
    let reports = run(&mut scheduler, vec![Order::Generate(fill(1, "let x = ", ";\n", 5))]);
    assert_eq!(written(&reports, 1).0, String::from_utf8_lossy(&expected));
    assert!(reports.iter().any(|report| matches!(report, Report::Ended { read: own, .. } if *own == read)));
}

#[test]
fn what_is_farthest_from_the_hole_is_left_out_where_both_sides_are_too_long() {
    let network = network(64, Some(OWN));
    let sides = |before: &str, behind: &str, most_tokens: u32| {
        let tokens = around(before, behind, most_tokens, 64, &network).unwrap();
        assert!(tokens.len() + (most_tokens as usize).min(32) <= 64, "the answer has its room");
        let (at, end) = (tokens.iter().position(|token| *token == 301).unwrap(), tokens.len() - 1);
        assert_eq!((&tokens[..2], tokens[end]), (&[1, 300][..], 302));
        let text =
            |tokens: &[Token]| tokens.iter().map(|token| (*token - 3) as u8 as char).collect::<String>();
        (text(&tokens[2..at]), text(&tokens[at + 1..end]))
    };
    let (long, most) = ("0123456789".repeat(10), 20);
    let owned = |before: &str, behind: &str| (before.to_owned(), behind.to_owned());
    assert_eq!(sides("before", "behind", most), owned("before", "behind"));
    // 40 tokens for both: 64 less the answer, the beginning, and three of the model's own.
    assert_eq!(sides(&long, "behind", most), owned(&long[100 - 34..], "behind"));
    assert_eq!(sides("before", &long, most), owned("before", &long[..34]));
    assert_eq!(sides(&long, &long, most), owned(&long[70..], &long[..10]));
    // An answer that may take everything leaves half of it.
    assert_eq!(sides(&long, "", 5_000), owned(&long[100 - 28..], ""));
    let reports = run(
        &mut Scheduler::new(super::fill::network(64, Some(OWN)), 10),
        vec![Order::Generate(fill(1, &long, &long, 5_000)), Order::Generate(fill(2, "", "", 3))],
    );
    assert!(written(&reports, 1).1.is_some() && written(&reports, 2).1.is_some(), "{reports:?}");
}

#[test]
fn what_cant_be_filled_is_refused_in_a_sentence() {
    let refused = |hole: Option<HoleTokens>, order: Generate| {
        let orders = vec![Order::Prompt(prompt(1, &[])), Order::Generate(order)];
        let reports = run(&mut Scheduler::new(network(200, hole), 10), orders);
        let [Report::Refused { id: 7, why: Refusal::Bad(why) }] = reports.as_slice() else {
            panic!("{reports:?}")
        };
        why.clone()
    };
    assert!(refused(None, fill(7, "a", "b", 3)).contains("names no tokens"));
    let behind_a_prompt = Generate { prompt: Some(1), ..fill(7, "a", "b", 3) };
    assert!(refused(Some(OWN), behind_a_prompt).contains("not behind a prompt"));
    // A vocabulary that reads one of them out of plain text.
    let loose = HoleTokens { inside: plain("#")[0], ..OWN };
    for (before, behind) in [("a#", "b"), ("a", "#b")] {
        assert!(refused(Some(loose), fill(7, before, behind, 3)).contains("as a word like others"));
    }
}

#[test]
fn what_stands_before_a_hole_is_not_computed_again_for_the_next_answer() {
    let mut scheduler = Scheduler::new(network(400, Some(OWN)), 10);
    let before = "fn main() { let numbers = vec![1, 2, 3]; ";
    run(&mut scheduler, vec![Order::Generate(fill(1, before, "}", 2))]);
    let computed = scheduler.network().batches.iter().sum::<usize>();
    run(&mut scheduler, vec![Order::Generate(fill(2, before, " }", 2))]);
    let more = scheduler.network().batches.iter().sum::<usize>() - computed;
    assert!(more < before.len(), "{more} tokens were computed");
}
