//! `yield_now`: lets everything else that is runnable go first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits one batch: the task goes behind all that is runnable now, and the loop may look at its
/// descriptors and timers in between. `sleep(Duration::ZERO)` does the same.
///
/// It works under any executor: it wakes its waker at once and is ready when polled again. Cancel
/// safe.
///
/// # Examples
///
/// ```
/// # wheelhouse_runtime::run(async {
/// let other = wheelhouse_runtime::spawn(async { println!("second") });
/// println!("first");
/// wheelhouse_runtime::yield_now().await;
/// println!("third");
/// # other.await.unwrap();
/// # });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
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
