//! One job, from its order to its end: the process is there for nothing else.

use std::io::{Read, Write};

use super::importance::weigh;
use super::quantize::quantize;
use crate::protocol::{self, FrameError, HELLO};
use crate::quantize::{Job, Quantize, Told, Weigh};

/// Reads a job, does it, and says how it went.
///
/// # Errors
/// Nobody could be told.
pub fn work(mut input: impl Read, mut output: impl Write) -> Result<(), String> {
    let job = match protocol::read(&mut input) {
        Ok(job) => job,
        Err(FrameError::Closed) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let mut say = |told: &Told| protocol::write(&mut output, told).map_err(|error| error.to_string());
    let done = match &job {
        Job::Weigh(Weigh { hello, .. }) | Job::Quantize(Quantize { hello, .. }) if hello != HELLO => {
            Err(format!("who asks says `{hello}`, and this program `{HELLO}`: two versions of Sprat"))
        }
        Job::Weigh(wanted) => weigh(wanted, &mut |texts, too_long| say(&Told::Read { texts, too_long })),
        Job::Quantize(wanted) => quantize(wanted),
    };
    match done {
        Ok(()) => say(&Told::Done),
        Err(why) => say(&Told::Failed(why)),
    }
}
