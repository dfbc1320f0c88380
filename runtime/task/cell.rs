//! The cell of a task: one box that holds the waker and the future, then the output.
//!
//! The loop sees it as a `dyn TaskCell` and polls it; the handle, which knows the type of the
//! output, takes it through `dyn Any`. So a spawn costs one allocation, without `unsafe`. What a
//! task panicked with is kept in a cell of its own.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::task::polled::Polled;
use crate::task::waker::OwnWaker;

pub(crate) type BoxedCell = Pin<Box<dyn TaskCell>>;

pub(crate) trait TaskCell {
    /// Polls the future, with its waker told to `polled`. On `Ready` it was dropped and its output
    /// is kept.
    fn poll(self: Pin<&mut Self>, polled: &Polled) -> Poll<()>;

    /// Moves the output into `place`, which is an `Option` of the output's type.
    fn take_output(self: Pin<&mut Self>, place: &mut dyn Any);

    /// Takes the waker of a task that is over.
    fn take_waker(self: Pin<&mut Self>) -> Option<OwnWaker>;
}

pin_project! {
    struct Cell<F: Future> {
        waker: Option<OwnWaker>,
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F: Future> {
        Running { #[pin] future: F },
        Finished { output: Option<F::Output> },
    }
}

pub(crate) fn boxed<F: Future + 'static>(future: F, waker: OwnWaker) -> BoxedCell {
    Box::pin(Cell { waker: Some(waker), stage: Stage::Running { future } })
}

impl<F: Future> TaskCell for Cell<F>
where
    F::Output: 'static,
{
    fn poll(self: Pin<&mut Self>, polled: &Polled) -> Poll<()> {
        let mut this = self.project();
        let (StageProjection::Running { future }, Some(waker)) =
            (this.stage.as_mut().project(), this.waker)
        else {
            return Poll::Ready(());
        };
        polled.lend(waker.as_waker());
        let output = ready!(future.poll(&mut Context::from_waker(waker.as_waker())));
        // Drops the future here, inside the catch around the poll.
        this.stage.set(Stage::Finished { output: Some(output) });
        Poll::Ready(())
    }

    fn take_output(self: Pin<&mut Self>, place: &mut dyn Any) {
        let StageProjection::Finished { output } = self.project().stage.project() else { return };
        if let Some(place) = place.downcast_mut::<Option<F::Output>>() {
            *place = output.take();
        }
    }

    fn take_waker(self: Pin<&mut Self>) -> Option<OwnWaker> {
        self.project().waker.take()
    }
}

/// What a task panicked with.
struct Panicked(Option<Payload>);

pub(crate) type Payload = Box<dyn Any + Send>;

pub(crate) fn panicked(payload: Payload) -> BoxedCell {
    Box::pin(Panicked(Some(payload)))
}

/// Takes out what [`panicked`] put in.
pub(crate) fn payload_of(mut cell: BoxedCell) -> Payload {
    let mut payload: Option<Payload> = None;
    cell.as_mut().take_output(&mut payload);
    payload.unwrap_or_else(|| Box::new("a panic whose payload is gone"))
}

impl TaskCell for Panicked {
    fn poll(self: Pin<&mut Self>, _polled: &Polled) -> Poll<()> {
        Poll::Ready(())
    }

    fn take_output(mut self: Pin<&mut Self>, place: &mut dyn Any) {
        if let Some(place) = place.downcast_mut::<Option<Payload>>() {
            *place = self.0.take();
        }
    }

    fn take_waker(self: Pin<&mut Self>) -> Option<OwnWaker> {
        None
    }
}
