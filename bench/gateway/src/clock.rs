//! Waking to the microsecond. The runtime's own timer counts in milliseconds, which is longer than what is measured
//! here, so one task never sleeps and wakes the others when their time has come: the generator's core is always busy.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

thread_local! {
    static WAITING: RefCell<BinaryHeap<Reverse<Alarm>>> = const { RefCell::new(BinaryHeap::new()) };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

struct Alarm {
    at: Instant,
    number: u64,
    waker: Waker,
}

/// Ready at a moment.
pub struct Until {
    at: Instant,
    waits: bool,
}

/// Waits for a moment.
pub fn until(at: Instant) -> Until {
    Until { at, waits: false }
}

/// Wakes whoever waits, for ever.
pub async fn run() {
    loop {
        let now = Instant::now();
        while let Some(alarm) = due(now) {
            alarm.waker.wake();
        }
        tokio::task::yield_now().await;
    }
}

fn due(now: Instant) -> Option<Alarm> {
    WAITING.with_borrow_mut(|waiting| match waiting.peek() {
        Some(Reverse(first)) if first.at <= now => waiting.pop().map(|Reverse(alarm)| alarm),
        _ => None,
    })
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        if !self.waits {
            self.waits = true;
            let number = NUMBER.replace(NUMBER.get() + 1);
            let alarm = Alarm { at: self.at, number, waker: cx.waker().clone() };
            WAITING.with_borrow_mut(|waiting| waiting.push(Reverse(alarm)));
        }
        Poll::Pending
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Alarm {}
