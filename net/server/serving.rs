//! [`Server`]: what one holds of a server that runs. It looks at the state (`control.rs`) and changes
//! it; the work is done by the accept loops and the handlers' tasks.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use wheelhouse_runtime::time::{Duration, Instant, timeout, timeout_at};

use crate::server::accepting::AddressOf;
use crate::server::control::Control;
use crate::server::reports::{CloseReport, ServerStats};
use crate::transport::Accepting;

/// After the grace: what dropping the handlers' futures may take.
const ABORT_TIME: Duration = Duration::from_secs(1);

/// A server that runs: accept loops on one loop or several, and a task for each connection. From
/// [`Server::builder`]; asyncio's `Server`, and its names.
///
/// # The end
///
/// [`close`](Self::close) stops accepting; connections go on.
/// [`close_clients`](Self::close_clients) asks the handlers to end
/// ([`Connection::closing`](crate::Connection::closing)) and cuts off those that have not when the
/// grace is over. [`abort_clients`](Self::abort_clients) cuts them off at once.
/// [`wait_closed`](Self::wait_closed) waits until nobody accepts and every handler has ended.
///
/// Dropping the server is `close`: nobody is cut off. All of it works on any thread.
///
/// # Handlers
///
/// A handler is a task on the loop that accepted its connection, and need not be `Send`. A panic in
/// it ends this connection and no other; it is counted and reported as an unread panic of a task.
/// Cutting off a handler drops its future; what it has spawned goes on, unless it is in a
/// `TaskGroup` of the handler's.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{Server, TcpStream};
/// # use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let server = Server::builder()
///     .bind("127.0.0.1:0")
///     .max_connections(1000)
///     .serve(|connection, peer| async move {
///         connection.write_all(format!("hello, {peer}").as_bytes()).await
///     })
///     .await?;
///
/// let client = TcpStream::connect(server.local_addrs()[0]).await?;
/// let mut greeting = [0; 99];
/// assert!(client.read(&mut greeting).await? > 0);
///
/// server.close();
/// let report = server.close_clients(Duration::from_secs(5)).await;
/// assert!(report.is_clean(), "{report}");
/// server.wait_closed().await;
/// assert_eq!(server.stats().total().accepted, 1);
/// # Ok(())
/// # })
/// # }
/// ```
#[must_use = "the server stops accepting when this is dropped"]
pub struct Server<L: Accepting = std::net::TcpListener> {
    control: Arc<Control<AddressOf<L>>>,
}

impl<L: Accepting> Server<L> {
    pub(crate) fn new(control: Arc<Control<AddressOf<L>>>) -> Server<L> {
        Server { control }
    }

    /// Stops accepting: the listeners are closed in the next turn of their loops. Who has connected
    /// already and waits in the system's queue is still served, if there is room; else it is
    /// refused. Connections go on.
    pub fn close(&self) {
        self.control.closing.cancel();
    }

    /// Whether [`close`](Self::close) was called, or all listeners have ended.
    pub fn is_closed(&self) -> bool {
        self.control.closing.is_cancelled()
    }

    /// Asks the handlers of all connections that are there to end, waits until they have, for
    /// `grace` at most, then cuts off the others, and says who they were. It does not stop
    /// accepting: [`close`](Self::close) before.
    ///
    /// Should a loop be stuck, so that a handler cannot be dropped, it gives up after another
    /// second.
    ///
    /// Cancel safe: those who were asked stay asked, and nobody is cut off.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn close_clients(&self, grace: Duration) -> CloseReport<AddressOf<L>> {
        let control = &self.control;
        let end = Instant::now() + grace;
        if self.is_closed() {
            // Whom the accept loops are still to take out of the queue is asked too.
            let _ = timeout_at(end, control.no_acceptors()).await;
        }
        let (asked, last) = control.ask();
        let in_time = timeout_at(end, control.gone(last)).await;
        if in_time.is_ok() {
            return CloseReport { asked, aborted: Vec::new() };
        }
        let stragglers = control.abort(Some(last));
        let _ = timeout(ABORT_TIME, control.gone(last)).await;
        let aborted = stragglers.into_iter().map(|(number, mut straggler)| {
            straggler.is_stuck = control.is_there(number);
            straggler
        });
        CloseReport { asked, aborted: aborted.collect() }
    }

    /// Cuts off all connections at once, and says how many: their handlers' futures are dropped in
    /// the next turn of their loops. It does not stop accepting: [`close`](Self::close) before.
    pub fn abort_clients(&self) -> usize {
        self.control.abort(None).len()
    }

    /// Waits until the server is closed and every handler has ended, whether by itself or because
    /// it was cut off. It may be awaited on any loop, and before `close`.
    ///
    /// Cancel safe.
    pub async fn wait_closed(&self) {
        self.control.closed.cancelled().await;
    }

    /// Counters, for each listener.
    pub fn stats(&self) -> ServerStats<AddressOf<L>> {
        ServerStats { listeners: self.control.lock().listeners.clone() }
    }

    /// The addresses that it listens on, or did, in the order in which they were bound.
    pub fn local_addrs(&self) -> Vec<AddressOf<L>> {
        let state = self.control.lock();
        let first_loop = state.listeners.iter().filter(|listener| listener.loop_index == 0);
        first_loop.map(|listener| listener.address.clone()).collect()
    }
}

impl<L: Accepting> Drop for Server<L> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<L: Accepting> fmt::Debug for Server<L>
where
    AddressOf<L>: Any,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.stats().total().active;
        let mut out = f.debug_struct("Server");
        out.field("local_addrs", &self.local_addrs());
        out.field("is_closed", &self.is_closed()).field("active", &active).finish()
    }
}
