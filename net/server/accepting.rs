//! The accept loop of one listener on one loop: makes a task of each connection, until the server
//! closes.
//!
//! At the close the queue is emptied once: who has connected before is served, and not reset by the
//! end of the listener. That takes no waiting, and at most as many as a queue is long.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use wheelhouse_runtime::{spawn, task};

use crate::accept::is_of_one_connection;
use crate::listener::{Accepted, ListenerSocket};
use crate::server::connection::Connection;
use crate::server::control::{Control, End, Overload, Refusal};
use crate::server::reserve::{Relief, Reserve};
use crate::server::seat::{Handled, ListenerSeat, Seat};
use crate::transport::{Accepting, Transport};

/// The most that are taken out of the queue at the close.
const SWEEP_MAX: usize = 4096;

/// The type of addresses that a listener has.
pub(crate) type AddressOf<L> = <<L as Accepting>::Stream as Transport>::Address;

struct AcceptLoop<L: Accepting, F> {
    listener: ListenerSocket<L>,
    seat: ListenerSeat<AddressOf<L>>,
    /// Which one of the server's it is.
    index: usize,
    handler: Rc<F>,
}

/// Starts to accept on the loop of this thread; `at` is which loop that is, and which listener on it.
pub(crate) fn start<L, F, H>(
    control: &Arc<Control<AddressOf<L>>>,
    listener: ListenerSocket<L>,
    at: (usize, usize),
    handler: Rc<F>,
) -> io::Result<()>
where
    L: Accepting,
    F: Fn(Connection<L::Stream>, AddressOf<L>) -> H + 'static,
    H: Future<Output: Handled> + 'static,
{
    let (loop_index, index) = at;
    let address = listener.local_addr()?;
    let name = format!("accept on {address:?}");
    let number = control.add_listener(address, loop_index);
    let seat = ListenerSeat { control: control.clone(), number };
    let accepting = AcceptLoop { listener, seat, index, handler };
    // It ends by itself; a panic in it would be a bug of ours, and is reported.
    drop(task::Builder::new().name(name).spawn(accepting.run()));
    Ok(())
}

impl<L, F, H> AcceptLoop<L, F>
where
    L: Accepting,
    F: Fn(Connection<L::Stream>, AddressOf<L>) -> H + 'static,
    H: Future<Output: Handled> + 'static,
{
    async fn run(self) {
        let control = &self.seat.control;
        let sheds = control.limits.overload == Overload::Shed;
        let mut reserve = sheds.then(Reserve::new);
        while let Some(accepted) =
            control.closing.run_until_cancelled(self.next(&mut reserve)).await
        {
            match accepted {
                Ok(accepted) => self.admit(accepted).await,
                Err(error) => {
                    control.count(self.seat.number, |counts| counts.errors += 1);
                    tracing::error!(%error, listener = ?self.listener, "a listener is broken");
                    return;
                }
            }
        }
        // Dropped first, its descriptor serves one more.
        drop(reserve);
        self.sweep();
    }

    async fn next(&self, reserve: &mut Option<Reserve>) -> io::Result<Accepted<L>> {
        let control = &self.seat.control;
        if control.limits.overload == Overload::Wait {
            control.room().await;
        }
        let relieve = || {
            let shed = |reserve: &mut Reserve| reserve.shed(&self.listener);
            let relief = reserve.as_mut().map_or(Relief::None, shed);
            control.count(self.seat.number, |counts| {
                counts.errors += u64::from(relief == Relief::None);
                counts.shed += u64::from(relief == Relief::Shed);
            });
            relief != Relief::None
        };
        // A connection of ours that ends gives a descriptor back: no need to wait longer then.
        let mut departed = control.departed();
        let freed = async || {
            departed = control.departure(departed).await;
        };
        self.listener.accept_relieved(relieve, freed).await
    }

    async fn admit(&self, accepted: Accepted<L>) {
        let control = &self.seat.control;
        let mut accepted = Some(accepted);
        loop {
            match self.try_admit(&mut accepted) {
                Some(Refusal::Full) if control.limits.overload == Overload::Wait => {
                    // Another loop was faster.
                    if control.closing.run_until_cancelled(control.room()).await.is_none() {
                        return self.refuse();
                    }
                }
                Some(_) => return self.refuse(),
                None => return,
            }
        }
    }

    /// Makes a task of the connection if there is room for it.
    fn try_admit(&self, accepted: &mut Option<Accepted<L>>) -> Option<Refusal> {
        let (_, peer) = accepted.as_ref()?;
        let control = &self.seat.control;
        let (number, closing) = match control.let_in(self.seat.number, peer) {
            Ok(let_in) => let_in,
            Err(refusal) => return Some(refusal),
        };
        let seat = Seat { control: control.clone(), number, end: None };
        let (stream, peer) = accepted.take()?;
        let connection = Connection::new(stream, closing, self.index);
        let task = spawn(handle(self.handler.clone(), connection, peer, seat));
        control.is_task(number, task.abort_handle());
        None
    }

    fn refuse(&self) {
        self.seat.control.count(self.seat.number, |counts| counts.refused += 1);
    }

    fn sweep(&self) {
        for _ in 0..SWEEP_MAX {
            match self.listener.try_accept() {
                Ok(accepted) => {
                    if self.try_admit(&mut Some(accepted)).is_some() {
                        self.refuse();
                    }
                }
                // Who went away while waiting does not stand before those behind.
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => return,
            }
        }
    }
}

/// The task of a connection.
async fn handle<S, A, F, H>(handler: Rc<F>, connection: Connection<S>, peer: A, mut seat: Seat<A>)
where
    S: Transport,
    A: Clone + std::fmt::Debug + 'static,
    F: Fn(Connection<S>, A) -> H,
    H: Future<Output: Handled>,
{
    let told = peer.clone();
    let handled = handler(connection, peer).await;
    seat.end = Some(match handled.failure() {
        None => End::Done,
        Some(error) => {
            tracing::debug!(error, peer = ?told, "a connection has ended in an error");
            End::Failed
        }
    });
}
