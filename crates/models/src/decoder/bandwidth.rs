//! How quickly does this machine read its memory? Writing a token means reading the whole model once, so this is what limits
//! it.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Far more than any cache holds.
const BUFFER: usize = 512 << 20;
/// What is read at a time, into a place that stays in the nearest cache.
const PIECE: usize = 16 << 10;
/// How long is read.
const AT_MOST: Duration = Duration::from_millis(600);
/// Passes, where there is time: the quickest counts, because others' work only makes it slower.
const PASSES: usize = 12;

/// Bytes a second that `threads` threads read together, measured for about half a second over half a gibibyte.
pub fn bandwidth(threads: usize) -> f64 {
    let threads = threads.clamp(1, 256);
    // Written once: memory that was never written to is not there.
    let buffer: Vec<u8> = (0..BUFFER).map(|place| place as u8).collect();
    let start = Instant::now();
    let mut best = 0.0_f64;
    for _ in 0..PASSES {
        best = best.max(BUFFER as f64 / pass(&buffer, threads).as_secs_f64().max(1e-9));
        if start.elapsed() > AT_MOST {
            break;
        }
    }
    best
}

/// Reads all of it once.
fn pass(buffer: &[u8], threads: usize) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for share in buffer.chunks(buffer.len().div_ceil(threads)) {
            scope.spawn(move || {
                let mut near = vec![0_u8; PIECE];
                for piece in share.chunks(PIECE) {
                    near[..piece.len()].copy_from_slice(piece);
                    black_box(&mut near);
                }
            });
        }
    });
    start.elapsed()
}
