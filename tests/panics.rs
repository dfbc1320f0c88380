//! Row 44 of the pitfalls: a panic while a future or an output is dropped must not leak out of the
//! handle.
//!
//! One subject goes through the whole product: where it panics, what becomes of its handle, when it
//! is cancelled and by whom. Whatever the combination, the outcome is the one stated in
//! [`expected`], the future and the output are dropped exactly once, the other tasks live on, and
//! nothing is left.

mod support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use support::{Gate, panic_of, run_checked, run_with_panics, text_of};
use wheelhouse::task::{AbortHandle, JoinError, JoinHandle};
use wheelhouse::{spawn, yield_now};

/// Runs what leaves panics unread.
fn run_unread<F: Future>(future: F) -> F::Output {
    run_with_panics(wheelhouse::EventLoop::builder(), future)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PanicsIn {
    Nothing,
    FirstPoll,
    SecondPoll,
    /// The poll, and then the drop of what it left.
    FirstPollAndDrop,
    FutureDrop,
    OutputDrop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handle {
    AwaitedAtOnce,
    AwaitedWhenAllIsOver,
    DroppedAtOnce,
    DroppedWhileWaiting,
    DroppedWhenAllIsOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelled {
    Never,
    BeforeFirstPoll,
    ByItself,
    WhileWaiting,
    AfterTheEnd,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    panics: PanicsIn,
    handle: Handle,
    cancelled: Cancelled,
    by_abort_handle: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Output,
    Cancelled,
    Panic(&'static str),
}

fn expected(case: Case) -> Outcome {
    let is_polled = case.cancelled != Cancelled::BeforeFirstPoll;
    let ends_by_itself = matches!(case.cancelled, Cancelled::Never | Cancelled::AfterTheEnd);
    match case.panics {
        PanicsIn::FirstPoll | PanicsIn::FirstPollAndDrop if is_polled => {
            Outcome::Panic("first poll")
        }
        PanicsIn::SecondPoll if ends_by_itself => Outcome::Panic("second poll"),
        PanicsIn::FutureDrop | PanicsIn::FirstPollAndDrop => Outcome::Panic("future drop"),
        _ if ends_by_itself => Outcome::Output,
        _ => Outcome::Cancelled,
    }
}

#[derive(Default)]
struct Counts {
    future_drops: Cell<u32>,
    outputs: Cell<u32>,
    output_drops: Cell<u32>,
}

fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

struct Subject {
    case: Case,
    counts: Rc<Counts>,
    own: Rc<RefCell<Option<AbortHandle>>>,
    wait: Pin<Box<dyn Future<Output = ()>>>,
    polls: u32,
}

impl Future for Subject {
    type Output = Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        self.polls += 1;
        let panics = self.case.panics;
        if self.polls == 1 {
            if matches!(panics, PanicsIn::FirstPoll | PanicsIn::FirstPollAndDrop) {
                panic!("first poll");
            }
            if self.case.cancelled == Cancelled::ByItself {
                self.own.borrow().as_ref().unwrap().cancel();
            }
        }
        if self.wait.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        assert_ne!(panics, PanicsIn::SecondPoll, "second poll");
        count(&self.counts.outputs);
        Poll::Ready(Output { panics: panics == PanicsIn::OutputDrop, counts: self.counts.clone() })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        count(&self.counts.future_drops);
        if matches!(self.case.panics, PanicsIn::FutureDrop | PanicsIn::FirstPollAndDrop) {
            panic!("future drop");
        }
    }
}

struct Output {
    panics: bool,
    counts: Rc<Counts>,
}

impl Drop for Output {
    fn drop(&mut self) {
        count(&self.counts.output_drops);
        if self.panics {
            panic!("output drop");
        }
    }
}

fn outcome_of(case: Case, result: Result<Output, JoinError>) -> Outcome {
    match result {
        Ok(output) if case.panics == PanicsIn::OutputDrop => {
            assert_eq!(panic_of(|| drop(output)), "output drop", "the output is the awaiter's");
            Outcome::Output
        }
        Ok(_) => Outcome::Output,
        Err(error) if error.is_cancelled() => Outcome::Cancelled,
        Err(error) => match text_of(&*error.into_panic()) {
            text if text.contains("first poll") => Outcome::Panic("first poll"),
            text if text.contains("second poll") => Outcome::Panic("second poll"),
            text => {
                assert_eq!(text, "future drop");
                Outcome::Panic("future drop")
            }
        },
    }
}

fn cancel(case: Case, handle: Option<&JoinHandle<Output>>, abort: &AbortHandle) {
    match handle {
        Some(handle) if !case.by_abort_handle => handle.cancel(),
        _ => abort.cancel(),
    }
}

async fn some_batches() {
    for _ in 0..4 {
        yield_now().await;
    }
}

async fn go_through(case: Case) {
    let counts = Rc::new(Counts::default());
    let own = Rc::new(RefCell::new(None));
    let gate = Gate::default();
    let wait = gate.clone();
    let wait = Box::pin(async move { wait.wait().await });
    let subject = Subject { case, counts: counts.clone(), own: own.clone(), wait, polls: 0 };
    let bystander = spawn(async {
        some_batches().await;
        1
    });
    let task = spawn(subject);
    let abort = task.abort_handle();
    own.replace(Some(abort.clone()));

    let mut task = Some(task);
    if case.cancelled == Cancelled::BeforeFirstPoll {
        cancel(case, task.as_ref(), &abort);
    }
    let awaiter = match case.handle {
        Handle::AwaitedAtOnce => {
            task.take().map(|task| spawn(async move { outcome_of(case, task.await) }))
        }
        _ => None,
    };
    if case.handle == Handle::DroppedAtOnce {
        drop(task.take());
    }
    some_batches().await;
    if case.cancelled == Cancelled::WhileWaiting {
        cancel(case, task.as_ref(), &abort);
    }
    if case.handle == Handle::DroppedWhileWaiting {
        drop(task.take());
    }
    some_batches().await;
    gate.open();
    some_batches().await;
    assert!(abort.is_finished(), "{case:?}");
    if case.cancelled == Cancelled::AfterTheEnd {
        cancel(case, task.as_ref(), &abort);
    }
    some_batches().await;

    if let Some(awaiter) = awaiter {
        assert_eq!(awaiter.await.unwrap(), expected(case), "{case:?}");
    }
    if let (Handle::AwaitedWhenAllIsOver, Some(task)) = (case.handle, task.take()) {
        assert_eq!(outcome_of(case, task.await), expected(case), "{case:?}");
    }
    assert_eq!(bystander.await.unwrap(), 1, "{case:?}");
    assert_eq!(counts.future_drops.get(), 1, "{case:?}");
    assert_eq!(counts.outputs.get(), counts.output_drops.get(), "{case:?}");
}

fn for_every_case(check: impl Fn(Case)) {
    use {Cancelled as C, Handle as H, PanicsIn as P};
    let places = [
        P::Nothing,
        P::FirstPoll,
        P::SecondPoll,
        P::FirstPollAndDrop,
        P::FutureDrop,
        P::OutputDrop,
    ];
    let handles = [
        H::AwaitedAtOnce,
        H::AwaitedWhenAllIsOver,
        H::DroppedAtOnce,
        H::DroppedWhileWaiting,
        H::DroppedWhenAllIsOver,
    ];
    let moments = [C::Never, C::BeforeFirstPoll, C::ByItself, C::WhileWaiting, C::AfterTheEnd];
    for panics in places {
        for handle in handles {
            for cancelled in moments {
                for by_abort_handle in [false, true] {
                    check(Case { panics, handle, cancelled, by_abort_handle });
                }
            }
        }
    }
}

#[test]
fn whatever_panics_whenever_it_comes_out_of_the_handle_and_nowhere_else() {
    for_every_case(|case| run_unread(go_through(case)));
}

#[test]
fn one_loop_survives_all_of_it() {
    run_unread(async {
        let cases = RefCell::new(Vec::new());
        for_every_case(|case| cases.borrow_mut().push(case));
        for case in cases.take() {
            go_through(case).await;
        }
    });
}

#[test]
fn a_handle_dropped_while_its_thread_unwinds_swallows_the_panic_of_the_output() {
    run_unread(async {
        let counts = Rc::new(Counts::default());
        let output = Output { panics: true, counts: counts.clone() };
        let inner = spawn(async move { output });
        yield_now().await;
        let outer = spawn(async move {
            let _dropped_in_the_unwinding = inner;
            panic!("outer");
        });
        let error: JoinError = outer.await.unwrap_err();
        assert_eq!(text_of(&*error.into_panic()), "outer");
        assert_eq!(counts.output_drops.get(), 1);
    });
}

#[test]
fn panics_with_values_that_are_no_text_pass_through() {
    run_checked(async {
        let task = spawn(async { std::panic::panic_any(17_u8) });
        let error = task.await.unwrap_err();
        assert!(error.to_string().ends_with("panicked: a value that is no text"));
        assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 17);
    });
}

#[test]
fn a_payload_whose_drop_panics_does_no_harm() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload itself");
        }
    }
    run_unread(async {
        drop(spawn(async { std::panic::panic_any(Bomb) }));
        wheelhouse::call_soon(|| std::panic::panic_any(Bomb));
        some_batches().await;
        let kept = spawn(async { std::panic::panic_any(Bomb) });
        some_batches().await;
        drop(kept);
        some_batches().await;
    });
}
