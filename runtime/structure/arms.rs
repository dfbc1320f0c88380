//! What `join!`, `try_join!` and `select!` expand to. Public for them alone: it may change at any
//! time.
//!
//! An arm is a future, pinned in the parent's frame, and then its output. It knows neither its
//! siblings nor the loop.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    #[project = ArmProjection]
    #[allow(missing_docs, missing_debug_implementations)]
    pub enum Arm<F: Future> {
        Waiting { #[pin] future: F },
        Ready { output: Option<F::Output> },
        // Switched off.
        Over,
    }
}

impl<F: Future> Arm<F> {
    /// An arm that waits.
    pub fn new<I: IntoFuture<IntoFuture = F>>(future: I) -> Arm<F> {
        Arm::Waiting { future: future.into_future() }
    }

    /// An arm that may be switched off.
    pub fn if_some<I: IntoFuture<IntoFuture = F>>(future: Option<I>) -> Arm<F> {
        future.map_or(Arm::Over, Arm::new)
    }

    /// Whether it is to be polled.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Arm::Waiting { .. })
    }

    /// Polls it if it waits, and keeps its output. Whether it is ready.
    pub fn poll_and_keep(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let ArmProjection::Waiting { future } = self.as_mut().project() else { return true };
        let Poll::Ready(output) = future.poll(cx) else { return false };
        // The future is dropped here, as soon as it is ready.
        self.set(Arm::Ready { output: Some(output) });
        true
    }

    /// Polls it if it waits, and gives its output. It is over then.
    pub fn poll_and_take(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<F::Output> {
        let ArmProjection::Waiting { future } = self.as_mut().project() else { return None };
        let Poll::Ready(output) = future.poll(cx) else { return None };
        self.set(Arm::Over);
        Some(output)
    }

    /// The output that was kept.
    pub fn output(self: Pin<&mut Self>) -> F::Output {
        let kept = match self.project() {
            ArmProjection::Ready { output } => output.take(),
            _ => None,
        };
        kept.unwrap_or_else(|| unreachable!("outputs are taken once, when all arms are ready"))
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Arm<F> {
    /// As [`poll_and_keep`](Self::poll_and_keep), but an error comes out at once.
    pub fn poll_and_try(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<bool, E> {
        if !self.as_mut().poll_and_keep(cx) {
            return Ok(false);
        }
        let ArmProjection::Ready { output } = self.project() else { return Ok(true) };
        match output.take() {
            Some(Err(error)) => Err(error),
            kept => {
                *output = kept;
                Ok(true)
            }
        }
    }

    /// The output that was kept, which is none of the errors.
    pub fn value(self: Pin<&mut Self>) -> T {
        match self.output() {
            Ok(value) => value,
            Err(_) => unreachable!("an error ends the join when it comes"),
        }
    }
}

thread_local! {
    /// State of the generator behind [`start`].
    static STARTS: Cell<u64> = const { Cell::new(0) };
}

/// Has the draws of this thread begin at `seed`: a test's, so that they differ from run to run and can
/// be repeated.
pub(crate) fn seed(seed: u64) {
    STARTS.set(seed);
}

/// Which of `count` arms a fair `select!` polls first.
///
/// Drawn from SplitMix64 (Steele, Lea, Flood 2014): a plain rotation could keep step with the loop
/// around the `select!`, and always favour the same arm. The numbers are the same in every run of a
/// thread, so tests can be repeated.
pub fn start(count: usize) -> usize {
    // While the thread's own variables are being destroyed, fairness is of no concern.
    let drawn = STARTS.try_with(|state| {
        state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = state.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    (drawn.unwrap_or(0) % count as u64) as usize
}

/// A `select!` without `else` has nothing left to wait for.
#[cold]
#[track_caller]
pub fn none_left() -> ! {
    panic!(
        "`select!` has no arm left to wait for: each is switched off by its condition, or was \
         ready with a value that its pattern does not fit. It expects one, or an `else => ..` arm \
         for this case; add that."
    )
}
