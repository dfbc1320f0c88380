//! `yield_now`: lets everything else that is runnable go first; and `consume_budget`, which does so
//! now and then.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::current;

/// Waits one batch: the task goes behind all that is runnable now, and the loop may look at its
/// descriptors and timers in between. `sleep(Duration::ZERO)` does the same.
///
/// It works under any executor: it wakes its waker at once and is ready when polled again. Cancel
/// safe.
///
/// # Examples
///
/// ```
/// # wheelhouse::run(async {
/// let other = wheelhouse::spawn(async { println!("second") });
/// println!("first");
/// wheelhouse::yield_now().await;
/// println!("third");
/// # other.await.unwrap();
/// # });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// Spends one operation of what a poll may do, and waits a batch when that is gone
/// ([`Builder::operations_per_poll`](crate::Builder::operations_per_poll)): for loops that never
/// wait for anything of ours, such as one over a channel that is always full.
///
/// Where no loop is running it does nothing. Cancel safe.
///
/// # Examples
///
/// ```
/// # wheelhouse::run(async {
/// let mut sum = 0;
/// for n in 0..10_000_u64 {
///     sum += n;
///     wheelhouse::task::consume_budget().await;
/// }
/// # assert_eq!(sum, 49_995_000);
/// # });
/// ```
pub async fn consume_budget() {
    poll_fn(|cx| match current::get() {
        Some(state) if !state.polled.spend(cx) => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
