//! What is read before a hole is filled? What stands before it and behind it, each behind a token of the model's own, as it was
//! taught. Both are a stranger's: whatever they say, they are read as plain text.

use super::network::{Network, Token};
use crate::protocol::Refusal;

/// The share of what there is room for that what stands behind a hole has, where both sides are long: what stands before it
/// says more of what comes next.
const BEHIND: usize = 4;

/// The tokens that an answer for a hole follows. Where they are too many, those farthest from the hole are left out: as many
/// as the answer may need, but half of `limit` at most, are kept free.
///
/// # Errors
/// The model was not taught to fill holes, or the text holds its own tokens.
pub fn around(
    before: &str,
    behind: &str,
    most_tokens: u32,
    limit: usize,
    network: &impl Network,
) -> Result<Vec<Token>, Refusal> {
    let own = network.hole().ok_or_else(|| {
        Refusal::Bad("the model's file names no tokens for what stands before and behind a hole".to_owned())
    })?;
    let (before, behind) = (network.tokens(before, false, false), network.tokens(behind, false, false));
    // Some vocabularies hold them as if they were words like others.
    if before.iter().chain(&behind).any(|token| own.contain(*token)) {
        return Err(Refusal::Bad(
            "the text holds a token that the model fills holes with, as a word like others".to_owned(),
        ));
    }
    let beginning = network.tokens("", true, false);
    let answer = (most_tokens as usize).clamp(1, (limit / 2).max(1));
    let room = limit.saturating_sub(answer + beginning.len() + 3);
    let kept_behind = behind.len().min((room / BEHIND).max(room.saturating_sub(before.len())));
    let kept_before = before.len().min(room - kept_behind);
    Ok([
        beginning.as_slice(),
        &[own.before],
        &before[before.len() - kept_before..],
        &[own.behind],
        &behind[..kept_behind],
        &[own.inside],
    ]
    .concat())
}

/// A prompt says what stands before a text, and before a hole stands a text of its own.
pub fn no_prompt_around_a_hole() -> Refusal {
    Refusal::Bad("a hole is filled behind what stands before it, and not behind a prompt".to_owned())
}
