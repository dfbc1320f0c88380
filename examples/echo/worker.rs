//! What runs on each loop: accepting on its listeners, the connections it has, and their end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::spawn;
use wheelhouse::time::{Instant, sleep, timeout};

use crate::connection::Connection;
use crate::limits::Places;
use crate::stats::{End, Tally};
use crate::stop::{Stage, Stop};

/// Large enough for a batch of messages a receive; one a loop, not one a connection.
const BUFFER: usize = 64 * 1024;

/// Pauses after a failed accept, doubling: the first is too short to be noticed, the last costs
/// nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// At the stop nobody is left in the kernel's queue when none came for the pause.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_SWEEP: Duration = Duration::from_millis(100);

/// What the connections of one loop share.
pub(crate) struct Worker {
    pub(crate) buffer: RefCell<Vec<u8>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) stage: Cell<Stage>,
    places: Arc<Places>,
    members: RefCell<Members>,
}

/// The connections there are, so that the stop can wake them and know when they are gone.
#[derive(Default)]
struct Members {
    wakers: HashMap<u64, Waker>,
    next: u64,
    open: usize,
    /// Waits for the last one to go.
    undertaker: Option<Waker>,
}

impl Worker {
    pub(crate) fn new(
        tally: Arc<Tally>,
        places: Arc<Places>,
        idle_timeout: Option<Duration>,
    ) -> Rc<Worker> {
        Rc::new(Worker {
            buffer: RefCell::new(vec![0; BUFFER]),
            tally,
            idle_timeout,
            stage: Cell::new(Stage::Running),
            places,
            members: RefCell::default(),
        })
    }

    /// Serves until the stop, then drains for `grace` at most. Whether nothing was cut is in the
    /// tally.
    pub(crate) async fn serve(
        self: Rc<Self>,
        listeners: Vec<TcpListener>,
        stop: Arc<Stop>,
        grace: Duration,
    ) {
        let listeners: Vec<_> = listeners.into_iter().map(Rc::new).collect();
        let accepting: Vec<_> =
            listeners.iter().map(|listener| spawn(self.clone().accept(listener.clone()))).collect();
        stop.reached(Stage::Draining).await;
        for task in accepting {
            task.cancel();
            let _ = task.await;
        }
        self.advance(Stage::Draining);
        let orderly = async {
            for listener in listeners {
                self.sweep(&listener).await;
            }
            self.all_gone().await;
        };
        let gone = either(orderly, stop.reached(Stage::Now));
        // Over by itself, by a second signal or by the end of the grace: what is left is cut.
        let _ = timeout(grace, gone).await;
        self.advance(Stage::Now);
        self.all_gone().await;
    }

    async fn accept(self: Rc<Self>, listener: Rc<TcpListener>) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.places.vacancy().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    pause = FIRST_PAUSE;
                    self.admit(stream).await;
                }
                // Given up by the client while it was in the queue.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    // No descriptors or no memory: they come back when connections end.
                    self.tally.refused();
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    async fn admit(self: &Rc<Self>, stream: TcpStream) {
        let place = self.places.take().await;
        // An answer waits for nothing. It can only fail on a connection that is gone, which the
        // receive will say.
        let _ = stream.set_nodelay(true);
        drop(spawn(Connection::new(stream, self.clone(), place)));
    }

    /// Takes in who had connected before the stop and waits in the kernel's queue, if there are
    /// places: they may have sent something, and closing the listener would reset them. The pause
    /// lets the loop hear of them; who connects only now is served too, but not for ever.
    async fn sweep(self: &Rc<Self>, listener: &TcpListener) {
        let end = Instant::now() + LONGEST_SWEEP;
        while Instant::now() < end {
            let next = async {
                self.places.vacancy().await;
                listener.accept().await
            };
            match timeout(SWEEP_PAUSE, next).await {
                Ok(Ok((stream, _))) => self.admit(stream).await,
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }

    /// Tells the connections how far the stop has come.
    fn advance(&self, stage: Stage) {
        self.stage.set(stage);
        let members = self.members.borrow();
        members.wakers.values().for_each(Waker::wake_by_ref);
    }

    async fn all_gone(&self) {
        poll_fn(|cx| {
            let mut members = self.members.borrow_mut();
            if members.open == 0 {
                return Poll::Ready(());
            }
            members.undertaker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A connection's entry with its worker; taken back when dropped.
pub(crate) struct Member {
    worker: Rc<Worker>,
    number: u64,
    is_registered: bool,
    end: End,
}

impl Member {
    pub(crate) fn new(worker: &Rc<Worker>) -> Member {
        worker.tally.opened();
        let mut members = worker.members.borrow_mut();
        members.open += 1;
        members.next += 1;
        // Dropped without a word (a panic, the loop's end), it was cut.
        Member { worker: worker.clone(), number: members.next, is_registered: false, end: End::Cut }
    }

    /// Leaves the task's waker, once: a task has the same one all its life.
    #[inline]
    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        if !self.is_registered {
            self.is_registered = true;
            self.worker.members.borrow_mut().wakers.insert(self.number, cx.waker().clone());
        }
    }

    pub(crate) fn ended(&mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.worker.tally.closed(self.end);
        let mut members = self.worker.members.borrow_mut();
        members.open -= 1;
        let own = members.wakers.remove(&self.number);
        let undertaker = if members.open == 0 { members.undertaker.take() } else { None };
        drop(members);
        drop(own);
        undertaker.into_iter().for_each(Waker::wake);
    }
}

/// Waits for either.
async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| {
        let is_over = one.as_mut().poll(cx).is_ready() || other.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
