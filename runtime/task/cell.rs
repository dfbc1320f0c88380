//! The cell of a task: one box that holds the future, then its output.
//!
//! The loop sees it as a `dyn TaskCell` and polls it; the handle, which knows the type of the output,
//! takes it through `dyn Any`. So a spawn costs one allocation, without `unsafe`.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

pub(crate) type BoxedCell = Pin<Box<dyn TaskCell>>;

pub(crate) trait TaskCell {
    /// Polls the future. On `Ready` it was dropped and its output is kept.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Moves the output into `place`, which is an `Option` of the output's type.
    fn take_output(self: Pin<&mut Self>, place: &mut dyn Any);
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F: Future> {
        Running { #[pin] future: F },
        Finished { output: Option<F::Output> },
    }
}

pub(crate) fn boxed<F: Future + 'static>(future: F) -> BoxedCell {
    Box::pin(Stage::Running { future })
}

impl<F: Future> TaskCell for Stage<F>
where
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let StageProjection::Running { future } = self.as_mut().project() {
            let output = ready!(future.poll(cx));
            // Drops the future here, inside the catch around the poll.
            self.set(Stage::Finished { output: Some(output) });
        }
        Poll::Ready(())
    }

    fn take_output(self: Pin<&mut Self>, place: &mut dyn Any) {
        let StageProjection::Finished { output } = self.project() else { return };
        if let Some(place) = place.downcast_mut::<Option<F::Output>>() {
            *place = output.take();
        }
    }
}
