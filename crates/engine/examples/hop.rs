//! How long is the way to an engine's process and back? One text is scored after another, by a network that reckons nothing, in
//! a process of its own at the other end of a pair of sockets: what is left are the messages, the threads and the schedule.
//!
//! `cargo run --release -p sprat-engine --features work --example hop`

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use sprat_engine::protocol::{self, HELLO, Load, Loaded, Order, Prompt, Report, Score};
use sprat_engine::work::{Network, Piece, Sequence, Token, serve};

const LABELS: [&str; 3] = [" a", " b", " c"];
const WARMING: u64 = 1_000;
const MEASURED: u64 = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("engine") => Ok(engine()?),
        _ => ask(),
    }
}

/// The engine's process: what it reads from and writes to came as its input.
fn engine() -> Result<(), String> {
    let socket =
        || std::io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(|error| error.to_string());
    serve(socket()?, socket()?, |load| {
        let loaded = Loaded {
            hello: HELLO.to_owned(),
            context: load.context,
            threads: 1,
            kernels: String::new(),
            took_ms: 0,
        };
        Ok((Nothing { logits: vec![0.0; 256] }, loaded))
    })
}

fn ask() -> Result<(), Box<dyn std::error::Error>> {
    let (mut engine, theirs) = UnixStream::pair()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("engine")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let load = Load {
        hello: HELLO.to_owned(),
        file: "nothing".into(),
        context: 1_024,
        threads: 1,
        waiting: 16,
        adapters: vec![],
    };
    protocol::write(&mut engine, &Order::Load(load))?;
    protocol::read::<Report>(&mut engine)?;
    let (before, after) = ("Text: ".to_owned(), "\nLabel:".to_owned());
    let labels = LABELS.map(str::to_owned).to_vec();
    protocol::write(&mut engine, &Order::Prompt(Prompt { prompt: 1, before, after, labels, adapter: None }))?;
    let mut took_us = Vec::new();
    for id in 0..WARMING + MEASURED {
        let start = Instant::now();
        let text = "where is my card?".to_owned();
        protocol::write(&mut engine, &Order::Score(Score { id, prompt: 1, text, within_ms: 60_000 }))?;
        match protocol::read(&mut engine)? {
            Report::Scored(scored) if scored.id == id => took_us.push(start.elapsed().as_secs_f64() * 1e6),
            other => return Err(format!("the engine answered something else: {other:?}").into()),
        }
    }
    drop(engine);
    child.wait()?;
    let mut measured = took_us.split_off(WARMING as usize);
    measured.sort_by(f64::total_cmp);
    let at = |share: f64| measured[((measured.len() - 1) as f64 * share) as usize];
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(at);
    println!("{{\"round_trips\": {MEASURED}, \"p50_us\": {p50}, \"p90_us\": {p90}, \"p99_us\": {p99}}}");
    Ok(())
}

/// Every token is as likely as every other, whatever stands before it; each byte is one.
struct Nothing {
    logits: Vec<f32>,
}

impl Network for Nothing {
    fn room(&self) -> usize {
        1_024
    }

    fn reach(&self) -> usize {
        1_024
    }

    fn batch(&self) -> usize {
        512
    }

    fn sequences(&self) -> Sequence {
        64
    }

    fn adapters(&self) -> u32 {
        0
    }

    fn vocabulary(&self) -> usize {
        self.logits.len()
    }

    fn tokens(&self, text: &str, _: bool, _: bool) -> Vec<Token> {
        text.bytes().map(Token::from).collect()
    }

    fn bytes(&self, token: Token) -> Vec<u8> {
        u8::try_from(token).into_iter().collect()
    }

    fn is_end(&self, token: Token) -> bool {
        token == 0
    }

    fn slides(&self) -> bool {
        false
    }

    fn fork(&mut self, _: Sequence, _: Sequence, _: u32) -> Result<(), String> {
        Ok(())
    }

    fn put_away(&mut self, _: Sequence) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn put_back(&mut self, _: &[u8], _: Sequence, _: u32) -> Result<bool, String> {
        Ok(false)
    }

    fn forget(&mut self, _: Sequence) -> Result<(), String> {
        Ok(())
    }

    fn compute(
        &mut self,
        batch: &[Piece],
        _: Option<u32>,
        row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), String> {
        let wanted = batch.iter().enumerate().filter(|(_, piece)| piece.wanted);
        wanted.for_each(|(place, _)| row(place, &self.logits));
        Ok(())
    }
}
