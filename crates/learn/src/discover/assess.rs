//! A group as a candidate: what was counted, what was tried, and what to do about it.

use sprat_task::task::InputRule;
use sprat_task::{Kind, Money, Target};

use super::candidate::{Advice, Candidate, Diversity, Learnable, Saving, Spend, Verdict, Volume};
use super::draft::instructions;
use super::group::Group;
use super::learnable::{Labelled, learnable};
use super::matching::matching;
use super::name::plain_name;
use super::shape::Shape;
use super::verdict::verdict;

const DAYS_PER_MONTH: f64 = 30.0;

/// What is known of a group whose answers have this form, in a log of so many days. `prompts` has one system prompt of
/// every group.
pub(super) fn candidate(group: &Group, shape: &Shape, days: Option<f64>, prompts: &[&str]) -> Candidate {
    let prompt = group.system.example().filter(|prompt| !prompt.is_empty());
    let input = group.user.input_rule();
    let mut models: Vec<(String, u64)> =
        group.models.iter().map(|(name, calls)| (name.clone(), *calls)).collect();
    models.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    let mut candidate = Candidate {
        name: plain_name(group.schema_name.as_deref(), &instructions(prompt, &input), shape.kind),
        kind: shape.kind,
        system_prompt: prompt.map(str::to_owned),
        matches: matching(&group.system, prompts),
        volume: volume(group, days),
        models,
        spend: spend(group, days),
        output: Diversity::of(&group.answer_counts(), group.answer_characters),
        label_place: shape.place.clone(),
        labels: shape.labels.clone(),
        left_out: shape.left_out.clone(),
        multi: shape.multi,
        out_of_scope: shape.out_of_scope().map(str::to_owned),
        fields: shape.fields.clone(),
        learnable: probe(group, shape, &input),
        input,
        saving: None,
        verdict: Verdict { advice: Advice::KeepLarge, reason: String::new() },
        notices: Vec::new(),
    };
    let answerable = candidate.learnable.as_ref().map(|learnable| &learnable.answerable);
    // What can't be learned from (failed, several turns, tools) can't be answered small either.
    let share = candidate.volume.usable as f64 / candidate.volume.calls.max(1) as f64;
    candidate.saving = answerable.and_then(|part| Saving::of(&candidate.spend.part(share), part));
    candidate.verdict = verdict(&candidate);
    candidate.notices = notices(group, &candidate);
    candidate
}

fn volume(group: &Group, days: Option<f64>) -> Volume {
    Volume {
        calls: group.calls,
        calls_per_day: days.map(|days| group.calls as f64 / days),
        failed: group.failed,
        unanswered: group.unanswered,
        several_turns: group.several_turns,
        tools: group.tools,
        not_text: group.not_text,
        usable: group.usable,
        distinct_inputs: group.distinct_inputs(),
    }
}

/// Tokens and money of a group, over a log of so many days.
pub(super) fn spend(group: &Group, days: Option<f64>) -> Spend {
    let month = |days: f64| Money::from_units(group.cost.units() * DAYS_PER_MONTH / days);
    Spend {
        in_log: group.cost,
        per_month: days.and_then(month).filter(|_| group.with_cost > 0),
        calls_without_cost: group.without_cost(),
        input_tokens: group.input_tokens,
        output_tokens: group.output_tokens,
        calls_with_tokens: group.with_tokens,
    }
}

fn probe(group: &Group, shape: &Shape, input: &InputRule) -> Option<Learnable> {
    if shape.kind != Kind::Classify {
        return None;
    }
    let labels: Vec<String> = shape.labels.iter().map(|label| label.label.clone()).collect();
    let rows = group.sample.rows().filter_map(|row| {
        // A text that was cut short has lost the end of its template.
        let text = input.extract(&row.text).unwrap_or(&row.text);
        Some(Labelled { text, labels: shape.labels_of(&row.answer)? })
    });
    learnable(&rows.collect::<Vec<_>>(), &labels, shape.multi, Target::default().max_error)
}

fn notices(group: &Group, candidate: &Candidate) -> Vec<String> {
    let mut notices = Vec::new();
    let left_out: u64 = candidate.left_out.iter().map(|label| label.calls).sum();
    if left_out > 0 {
        let share = 100.0 * left_out as f64 / candidate.volume.usable.max(1) as f64;
        notices.push(format!(
            "{left_out} answers ({share:.1}%) are no label (given once, or a refusal); their rows are left out, and no \
             certificate will speak for such calls"
        ));
    }
    if candidate.models.len() > 1 {
        notices.push(format!(
            "{} models answered; what is learned is a mixture of them",
            candidate.models.len()
        ));
    }
    if group.in_last_message * 2 > group.usable {
        notices.push(
            "the answers stand in the last message, as in fine-tuning files: if people wrote them, rename `large` to \
             `label` in the rows"
                .to_owned(),
        );
    }
    if group.without_cost() > 0 {
        notices.push(format!("the cost of {} calls is unknown and in no sum", group.without_cost()));
    }
    if candidate.system_prompt.is_some() && !group.system.is_constant() {
        notices.push("the system prompt varies from call to call".to_owned());
    }
    notices
}
