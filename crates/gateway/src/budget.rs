//! May it spend that? The most a call may cost is reserved before it, and settled to what it did cost after it.
//!
//! Nothing is overspent: what is spent, what is reserved and what is asked for never exceed the budget together.
//! Nobody is refused for what others have only reserved: whoever would fit once they have settled waits for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sprat_task::{Budget, Money};
use tokio::sync::Notify;

/// How many periods are kept in mind: the present one, and the one before for whoever came just before its end.
const PERIODS: usize = 2;

/// What a key has spent of its budget.
pub struct Purse {
    budget: Budget,
    /// By the first millisecond of the period.
    tallies: Mutex<BTreeMap<i64, Tally>>,
    /// Told whenever a reservation ends.
    settled: Notify,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    spent: Money,
    reserved: Money,
}

impl Tally {
    /// Reserves an amount of a budget. What costs nothing is allowed also to whoever has spent too much.
    fn take(&mut self, budget: Money, amount: Money) -> Result<(), NotNow> {
        if amount > Money::ZERO {
            let left = budget - self.spent;
            if amount > left {
                return Err(NotNow::Never(TooMuch { left: left.max(Money::ZERO) }));
            }
            if amount > left - self.reserved {
                return Err(NotNow::Wait);
            }
        }
        self.reserved += amount;
        Ok(())
    }
}

/// Too much was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// What is left, nothing reserved by others counted.
    pub left: Money,
}

/// Why nothing is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotNow {
    /// It would fit if calls under way cost little enough.
    Wait,
    /// It doesn't fit.
    Never(TooMuch),
}

impl Purse {
    /// A budget of which so much has been spent in the period that `unix_ms` lies in.
    pub fn new(budget: Budget, spent: Money, unix_ms: i64) -> Self {
        let tally = Tally { spent, reserved: Money::ZERO };
        let tallies = BTreeMap::from([(budget.per.start(unix_ms), tally)]);
        Self { budget, tallies: Mutex::new(tallies), settled: Notify::new() }
    }

    /// The budget.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Reserves an amount for a request that came at `unix_ms`; waits where only calls under way are in the way.
    pub async fn reserve(self: &Arc<Self>, amount: Money, unix_ms: i64) -> Result<Reservation, TooMuch> {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            // From here on no settlement is missed, also not one between looking and waiting.
            settled.as_mut().enable();
            match self.try_reserve(amount, unix_ms) {
                Ok(reservation) => return Ok(reservation),
                Err(NotNow::Never(too_much)) => return Err(too_much),
                Err(NotNow::Wait) => settled.await,
            }
        }
    }

    /// Charges what nothing was reserved for.
    pub fn charge(&self, cost: Money, unix_ms: i64) {
        let mut tallies = self.tallies();
        let period = period_of(&mut tallies, self.budget.per.start(unix_ms));
        tallies.entry(period).or_default().spent += cost;
    }

    fn try_reserve(self: &Arc<Self>, amount: Money, unix_ms: i64) -> Result<Reservation, NotNow> {
        let mut tallies = self.tallies();
        let period = period_of(&mut tallies, self.budget.per.start(unix_ms));
        tallies.entry(period).or_default().take(self.budget.amount, amount)?;
        Ok(Reservation { purse: Arc::clone(self), period, amount })
    }

    fn end(&self, period: i64, reserved: Money, cost: Money) {
        // A period that is no longer in mind has no tally: nobody asks for it any more.
        if let Some(tally) = self.tallies().get_mut(&period) {
            tally.reserved = tally.reserved - reserved;
            tally.spent += cost;
        }
        self.settled.notify_waiters();
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<i64, Tally>> {
        // Each change is two sums; a panic elsewhere has broken neither.
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The period that a request counts for. Time goes on: a clock that is set back further than a period brings no old
/// budget back.
fn period_of(tallies: &mut BTreeMap<i64, Tally>, start: i64) -> i64 {
    let oldest = tallies.first_key_value().map_or(start, |(oldest, _)| *oldest);
    let period = start.max(oldest);
    tallies.entry(period).or_default();
    while tallies.len() > PERIODS {
        tallies.pop_first();
    }
    period
}

/// An amount that nobody else can spend. Given back when dropped.
pub struct Reservation {
    purse: Arc<Purse>,
    period: i64,
    amount: Money,
}

impl Reservation {
    /// How much.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// Of which budget.
    pub fn budget(&self) -> Budget {
        self.purse.budget
    }

    /// Reserves so much more, now or not at all: whoever holds something and waits for more may wait for one who waits
    /// for them.
    pub fn grow(&mut self, by: Money) -> Result<(), TooMuch> {
        let mut tallies = self.purse.tallies();
        // A period that is no longer in mind has no tally: nobody asks for it any more.
        let Some(tally) = tallies.get_mut(&self.period) else { return Ok(()) };
        tally.take(self.purse.budget.amount, by).map_err(|not_now| match not_now {
            NotNow::Wait => TooMuch { left: Money::ZERO },
            NotNow::Never(too_much) => too_much,
        })?;
        self.amount += by;
        Ok(())
    }

    /// It cost this; the rest is free again. More than was reserved is charged all the same.
    pub fn settle(mut self, cost: Money) {
        let reserved = std::mem::take(&mut self.amount);
        self.purse.end(self.period, reserved, cost);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.amount > Money::ZERO {
            self.purse.end(self.period, self.amount, Money::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use proptest::prelude::*;
    use sprat_task::Period;

    const DAY: i64 = 86_400_000;

    fn purse(amount: i64, per: Period) -> Arc<Purse> {
        Arc::new(Purse::new(Budget { amount: Money::from_micro(amount), per }, Money::ZERO, 0))
    }

    fn micro(amount: i64) -> Money {
        Money::from_micro(amount)
    }

    /// Reserves at once, or not at all: `None` where it would wait.
    fn reserve(purse: &Arc<Purse>, amount: i64, at: i64) -> Option<Result<Reservation, TooMuch>> {
        purse.reserve(micro(amount), at).now_or_never()
    }

    #[test]
    fn what_others_only_reserved_is_waited_for_and_what_is_spent_is_not() {
        let purse = purse(100, Period::Total);
        let first = reserve(&purse, 80, 0).unwrap().unwrap();
        let mut second = Box::pin(purse.reserve(micro(40), 0));
        assert!(second.as_mut().now_or_never().is_none(), "the first may cost less than it reserved");
        first.settle(micro(50));
        let second = second.now_or_never().unwrap().unwrap();
        second.settle(micro(40));
        assert_eq!(reserve(&purse, 11, 0).unwrap().err(), Some(TooMuch { left: micro(10) }));
        assert!(reserve(&purse, 10, 0).unwrap().is_ok());
    }

    #[test]
    fn a_reservation_that_is_dropped_costs_nothing() {
        let purse = purse(100, Period::Total);
        drop(reserve(&purse, 100, 0).unwrap().unwrap());
        assert!(reserve(&purse, 100, 0).unwrap().is_ok());
    }

    #[test]
    fn whoever_holds_something_gets_more_at_once_or_not_at_all() {
        let purse = purse(100, Period::Total);
        let (mut one, mut other) =
            (reserve(&purse, 40, 0).unwrap().unwrap(), reserve(&purse, 40, 0).unwrap().unwrap());
        one.grow(micro(20)).unwrap();
        assert_eq!(other.grow(micro(20)), Err(TooMuch { left: Money::ZERO }));
        one.settle(micro(10));
        other.grow(micro(20)).unwrap();
        assert_eq!(other.amount(), micro(60));
        drop(other);
        assert!(reserve(&purse, 90, 0).unwrap().is_ok());
    }

    #[test]
    fn what_is_free_is_allowed_to_whoever_has_nothing_left() {
        let purse = purse(100, Period::Total);
        purse.charge(micro(150), 0);
        assert!(reserve(&purse, 0, 0).unwrap().is_ok());
        assert_eq!(reserve(&purse, 1, 0).unwrap().err(), Some(TooMuch { left: Money::ZERO }));
    }

    #[test]
    fn a_new_day_has_the_whole_budget_and_what_came_before_midnight_counts_for_its_own_day() {
        let purse = purse(100, Period::Day);
        let late = reserve(&purse, 60, DAY - 1).unwrap().unwrap();
        let today = reserve(&purse, 100, DAY).unwrap().unwrap();
        assert!(reserve(&purse, 60, DAY - 1).is_none(), "yesterday's waits for yesterday's");
        late.settle(micro(60));
        assert!(reserve(&purse, 60, DAY - 1).unwrap().is_err());
        today.settle(micro(1));
        assert!(reserve(&purse, 99, DAY).unwrap().is_ok());
    }

    #[test]
    fn a_clock_that_jumps_back_brings_no_budget_back() {
        let purse = purse(100, Period::Day);
        for at in [0, DAY, 2 * DAY] {
            purse.charge(micro(100), at);
        }
        for at in [0, DAY, 2 * DAY, -9 * DAY] {
            assert!(reserve(&purse, 1, at).unwrap().is_err(), "{at}");
        }
        assert!(purse.tallies().len() <= PERIODS);
    }

    proptest! {
        /// Each number is a request: what it reserves, and what it costs of that in per cent; or one under way settles.
        #[test]
        fn nothing_is_overspent_and_nobody_is_refused_who_had_room(
            budget in 1_i64..2_000,
            moves in proptest::collection::vec((1_i64..400, 0_i64..=100, any::<bool>(), any::<prop::sample::Index>()), 1..120),
        ) {
            let purse = purse(budget, Period::Total);
            let (mut spent, mut running) = (0, Vec::new());
            for (amount, percent, settles, which) in moves {
                if settles && !running.is_empty() {
                    let (reservation, cost): (Reservation, i64) = running.swap_remove(which.index(running.len()));
                    reservation.settle(micro(cost));
                    spent += cost;
                }
                let reserved: i64 = running.iter().map(|(reservation, _)| reservation.amount().micro()).sum();
                match reserve(&purse, amount, 0) {
                    Some(Ok(reservation)) => {
                        prop_assert!(spent + reserved + amount <= budget, "overspent");
                        running.push((reservation, amount * percent / 100));
                    }
                    Some(Err(too_much)) => {
                        prop_assert!(spent + amount > budget, "refused with room");
                        prop_assert_eq!(too_much.left.micro(), budget - spent);
                    }
                    None => prop_assert!(spent + reserved + amount > budget && spent + amount <= budget),
                }
            }
            for (reservation, cost) in running {
                reservation.settle(micro(cost));
                spent += cost;
            }
            prop_assert!(spent <= budget);
        }
    }
}
