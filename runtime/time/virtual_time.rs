//! Moving a virtual clock by hand.

use std::rc::Rc;
use std::time::Duration;

use crate::current;
use crate::event_loop::LoopState;
use crate::task::yield_now;

/// Stops the jumps of a virtual clock: from here on it moves by [`advance`] only.
///
/// # Panics
///
/// On a loop with the real clock, and where no loop is running.
#[track_caller]
pub fn pause() {
    virtual_loop("time::pause").clock.set_paused(true);
}

/// Lets a virtual clock jump again.
///
/// # Panics
///
/// On a loop with the real clock, and where no loop is running.
#[track_caller]
pub fn resume() {
    let state = virtual_loop("time::resume");
    state.clock.set_paused(false);
    state.timer_was_set();
}

/// Moves a virtual clock forward at once, and lets what is due then run when it is awaited.
///
/// The clock shows whole ticks of 1.024 us, so it may show up to a tick more than the sum of its
/// moves. It goes 584 years far and stops there: what would be due later never is.
///
/// The clock moves with this call, awaited or not.
///
/// # Panics
///
/// On a loop with the real clock, and where no loop is running.
///
/// # Examples
///
/// ```
/// use wheelhouse::{Clock, EventLoop, time};
/// use time::{Duration, Instant};
/// let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build()?;
/// event_loop.block_on(async {
///     let start = Instant::now();
///     time::advance(Duration::from_secs(3600)).await;
///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn advance(duration: Duration) -> impl Future<Output = ()> {
    let state = virtual_loop("time::advance");
    state.clock.advance(duration);
    state.pace.note_time_passed();
    // Between two turns the host is to see what is due.
    state.timer_was_set();
    async {
        // Once for the timers to fire, once for what they woke to run.
        yield_now().await;
        yield_now().await;
    }
}

#[track_caller]
fn virtual_loop(what: &str) -> Rc<LoopState> {
    let state = current::expect(what);
    assert!(
        state.clock.is_virtual(),
        "`{what}` was called on a loop with the real clock, which cannot be moved. Make the loop \
         with `EventLoop::builder().clock(Clock::Virtual {{ settle: None }})`."
    );
    state
}
