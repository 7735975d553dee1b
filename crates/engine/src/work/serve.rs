//! How do orders come in, and reports go out? One thread reads orders as they come; the one that was called works.

use std::io::{BufReader, Read, Write};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::network::Network;
use super::schedule::Scheduler;
use crate::protocol::{self, FrameError, HELLO, LONGEST, Load, Loaded, Order, Refusal, Report};

/// Orders that are read ahead of the work; then the other side has to wait.
const READ_AHEAD: usize = 1_024;
/// How often the engine says that it is not stuck.
const ALIVE_EACH: Duration = Duration::from_millis(500);

/// Serves one network until the other side leaves: reads which model to load, loads it by `load`, and works.
///
/// # Errors
/// Why it ended before: what came can't be understood, or the network failed. The other side sees that it has left.
pub fn serve<N: Network>(
    input: impl Read + Send + 'static,
    mut output: impl Write,
    load: impl FnOnce(&Load) -> Result<(N, Loaded), String>,
) -> Result<(), String> {
    let mut input = BufReader::new(input);
    let wanted = match protocol::read(&mut input) {
        Ok(Order::Load(wanted)) => wanted,
        Ok(_) => return Err("the first order was not what to load".to_owned()),
        Err(FrameError::Closed) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let loaded = match wanted.hello == HELLO {
        true => load(&wanted),
        false => {
            Err(format!("who asks says `{}`, and the engine `{HELLO}`: two versions of Sprat", wanted.hello))
        }
    };
    let (network, loaded) = match loaded {
        Ok(loaded) => loaded,
        Err(why) => return say(&mut output, &Report::NotLoaded(why)),
    };
    say(&mut output, &Report::Loaded(loaded))?;
    let (send, orders) = sync_channel(READ_AHEAD);
    std::thread::Builder::new()
        .name("orders".to_owned())
        .spawn(move || {
            loop {
                let order: Result<Order, FrameError> = protocol::read(&mut input);
                let is_last = order.is_err();
                if send.send((order, Instant::now())).is_err() || is_last {
                    return;
                }
            }
        })
        .map_err(|error| error.to_string())?;
    work(Scheduler::new(network, wanted.waiting as usize), &orders, &mut output)
}

type Came = (Result<Order, FrameError>, Instant);

fn work<N: Network>(
    mut scheduler: Scheduler<N>,
    orders: &Receiver<Came>,
    output: &mut impl Write,
) -> Result<(), String> {
    let mut said = Instant::now();
    loop {
        let mut reports = Vec::new();
        loop {
            // Nothing to do and nothing to say: the next order is waited for.
            let came = match scheduler.is_idle() && reports.is_empty() {
                true => orders.recv().map_err(|_| TryRecvError::Disconnected),
                false => orders.try_recv(),
            };
            match came {
                Ok((Ok(order), at)) => scheduler.take(order, at, &mut |report| reports.push(report)),
                Ok((Err(FrameError::Closed), _)) | Err(TryRecvError::Disconnected) => return Ok(()),
                Ok((Err(error), _)) => return Err(error.to_string()),
                Err(TryRecvError::Empty) => break,
            }
        }
        scheduler.step(Instant::now, &mut |report| reports.push(report))?;
        if said.elapsed() >= ALIVE_EACH && reports.is_empty() {
            reports.push(Report::Alive);
        }
        if !reports.is_empty() {
            said = Instant::now();
        }
        reports.iter().try_for_each(|report| say(output, report))?;
    }
}

/// One that is too long to be sent is refused: the next one can be.
fn say(output: &mut impl Write, report: &Report) -> Result<(), String> {
    let told = match protocol::write(output, report) {
        Err(FrameError::TooLong(bytes)) => {
            let why = Refusal::Failed(format!("an answer of {bytes} bytes, and {LONGEST} is the most"));
            protocol::write(output, &Report::Refused { id: report.id().unwrap_or_default(), why })
        }
        told => told,
    };
    told.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_too_long_to_be_sent_is_refused_by_its_own_name() {
        let mut sent = Vec::new();
        let text = "x".repeat(LONGEST as usize);
        say(&mut sent, &Report::Text { id: 7, text }).unwrap();
        let why = Refusal::Failed("an answer of 33554459 bytes, and 33554432 is the most".to_owned());
        assert_eq!(protocol::read::<Report>(&mut sent.as_slice()).unwrap(), Report::Refused { id: 7, why });
    }
}
