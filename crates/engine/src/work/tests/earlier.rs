//! Is what an earlier text began with gone on from, and is everything written as if it were not?

use super::*;

const INSTRUCTIONS: &str = "You are kind, you are brief, and you never make anything up. ";

fn ask(scheduler: &mut Scheduler<Reckoning>, id: u64, text: &str) -> (String, usize) {
    let before: usize = scheduler.network().batches.iter().sum();
    let reports = run(scheduler, vec![Order::Generate(generate(id, text, 6))]);
    let computed = scheduler.network().batches.iter().sum::<usize>() - before;
    (written(&reports, id).0, computed)
}

fn alone(id: u64, text: &str) -> String {
    ask(&mut Scheduler::new(Reckoning::new(900, 64), 10), id, text).0
}

#[test]
fn the_next_turn_of_a_conversation_computes_what_is_new_and_says_the_same() {
    for slides in [false, true] {
        let mut network = Reckoning::new(900, 64);
        network.slides = slides;
        let mut scheduler = Scheduler::new(network, 10);
        let first = format!("{INSTRUCTIONS}Where is my card?");
        let (answer, computed) = ask(&mut scheduler, 1, &first);
        assert!(computed > first.len(), "all of it: {computed}");
        // Only what could be read again as it was written: the answer's own bytes may be no text.
        let next = if answer.is_ascii() {
            format!("{first}{answer} And mine?")
        } else {
            format!("{first} And mine?")
        };
        let (said, computed) = ask(&mut scheduler, 2, &next);
        assert_eq!(said, alone(2, &next));
        assert!(slides || computed < 30, "{computed} of {}", next.len());
    }
}

#[test]
fn conversations_with_the_same_instructions_compute_them_once() {
    let mut scheduler = Scheduler::new(Reckoning::new(900, 64), 10);
    for id in 0..20 {
        let text = format!("{INSTRUCTIONS}Question number {id}?");
        let (said, computed) = ask(&mut scheduler, id, &text);
        assert_eq!(said, alone(id, &text));
        assert!(id == 0 || computed < 12, "{id}: {computed} of {}", text.len());
    }
}

#[test]
fn a_window_that_slides_lets_only_the_whole_of_an_earlier_text_be_gone_on_from() {
    let mut network = Reckoning::new(900, 64);
    network.slides = true;
    let mut scheduler = Scheduler::new(network, 10);
    ask(&mut scheduler, 1, &format!("{INSTRUCTIONS}One question?"));
    let text = format!("{INSTRUCTIONS}Another?");
    let (said, computed) = ask(&mut scheduler, 2, &text);
    assert_eq!(said, alone(2, &text));
    assert!(computed > text.len(), "{computed}");
}

#[test]
fn the_same_text_again_computes_its_last_token_only() {
    let mut scheduler = Scheduler::new(Reckoning::new(900, 64), 10);
    let first = ask(&mut scheduler, 1, INSTRUCTIONS).0;
    let (said, computed) = ask(&mut scheduler, 1, INSTRUCTIONS);
    assert_eq!(said, first);
    assert!(computed <= 6, "{computed}");
}

#[test]
fn nothing_is_shared_between_adapters_and_nothing_short() {
    let mut scheduler = Scheduler::new(Reckoning::new(900, 64), 10);
    ask(&mut scheduler, 1, INSTRUCTIONS);
    let order = Generate { adapter: Some(1), ..generate(2, INSTRUCTIONS, 6) };
    let reports = run(&mut scheduler, vec![Order::Generate(order.clone())]);
    let alone = run(&mut Scheduler::new(Reckoning::new(900, 64), 10), vec![Order::Generate(order)]);
    assert_eq!(written(&reports, 2), written(&alone, 2));
    ask(&mut scheduler, 3, "Hi!");
    let (_, computed) = ask(&mut scheduler, 4, "Hi! You");
    assert!(computed >= "Hi! You".len(), "{computed}");
}

#[test]
fn whatever_is_asked_in_whatever_order_is_answered_as_if_alone() {
    // The network breaks off where more is remembered than there is room for.
    for (seed, room) in [(1, 130), (2, 200), (3, 400), (4, 260)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut network = Reckoning::new(room, 16);
        network.slides = seed == 4;
        let mut scheduler = Scheduler::new(network, 100);
        let mut orders = vec![Order::Prompt(prompt(1, &[" a", " bc"]))];
        let beginnings = [INSTRUCTIONS, "Another beginning, of about forty letters. "];
        let mut texts = Vec::new();
        for id in 0..40_u64 {
            let text = format!("{}{}", beginnings[random.usize(..2)], "x".repeat(random.usize(..12)));
            let adapter = random.bool().then_some(0);
            let order = Generate { adapter, ..generate(id, &text, random.u32(1..9)) };
            texts.push(order.clone());
            orders.push(Order::Generate(order));
            if random.bool() {
                orders.push(score(100 + id, 1, &text[..20]));
            }
        }
        // Half of them one after the other, half all at once.
        let at_once = orders.split_off(orders.len() / 2);
        let mut reports: Vec<Report> =
            orders.into_iter().flat_map(|order| run(&mut scheduler, vec![order])).collect();
        reports.extend(run(&mut scheduler, at_once));
        for order in texts {
            let id = order.id;
            let alone = run(&mut Scheduler::new(Reckoning::new(room, 16), 1), vec![Order::Generate(order)]);
            assert_eq!(written(&reports, id), written(&alone, id), "{seed}: {id}");
        }
        let scored = reports.iter().filter_map(|report| match report {
            Report::Scored(scored) => Some(scored),
            _ => None,
        });
        for scored in scored {
            let found =
                reports.iter().filter(|report| matches!(report, Report::Scored(own) if own.id == scored.id));
            assert_eq!(found.count(), 1);
        }
    }
}
