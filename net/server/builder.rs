//! [`ServerBuilder`]: what a server is to listen on and how much it takes; it binds, and starts the
//! accept loops.
//!
//! All sockets listen before the first loop accepts, so that a server is there as a whole or not at
//! all. With several loops each has its own socket for a TCP address (`SO_REUSEPORT`): the system
//! deals out the connections by a hash of their addresses. Of other listeners each loop has a copy:
//! whoever is awake first accepts.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use socket2::{Domain, Socket};
use wheelhouse_runtime::LoopGroup;

use crate::addr::{Question, ToSocketAddrs, first_that_works};
use crate::connect::new_socket;
use crate::listener::ListenerSocket;
use crate::platform;
use crate::server::accepting::{self, AddressOf};
use crate::server::connection::Connection;
use crate::server::control::{Control, Limits, Overload};
use crate::server::room::ConnectionLimit;
use crate::server::seat::Handled;
use crate::server::serving::Server;
use crate::transport::Accepting;
use crate::unix::bind_socket;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Makes a [`Server`]: from [`Server::builder`], or [`Server::unix_builder`] for Unix sockets.
///
/// # Examples
///
/// On all loops of a group; the handlers need not be `Send`.
///
/// ```
/// use wheelhouse::net::Server;
/// use wheelhouse::LoopGroup;
/// # use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// let group = LoopGroup::new(2)?;
/// wheelhouse::run(async {
///     let server = Server::builder()
///         .bind("127.0.0.1:0")
///         .serve_on(&group, |connection, _peer| async move {
///             connection.write_all(b"hello").await
///         })
///         .await?;
///     server.close();
///     server.wait_closed().await;
/// #   assert_eq!(server.stats().listeners.len(), 2);
///     Ok(())
/// })
/// # }
/// ```
#[must_use = "a server does nothing until it serves"]
pub struct ServerBuilder<L: Accepting = TcpListener> {
    wanted: Vec<Wanted<L>>,
    backlog: u32,
    limits: Limits,
}

/// Something to listen on.
enum Wanted<L> {
    Address(Question),
    Path(PathBuf),
    Listener(L),
}

impl Server<TcpListener> {
    /// A server for TCP.
    pub fn builder() -> ServerBuilder<TcpListener> {
        ServerBuilder::new()
    }
}

impl Server<UnixListener> {
    /// A server for Unix sockets.
    pub fn unix_builder() -> ServerBuilder<UnixListener> {
        ServerBuilder::new()
    }
}

impl ServerBuilder<TcpListener> {
    /// Listens on an address too: the first that can be bound, if a name has several. Port 0 lets
    /// the system choose; see [`Server::local_addrs`].
    ///
    /// `[::]` serves IPv4 clients as well where the system does so (Linux: by default), unless an
    /// IPv4 address with the same port is bound too: `0.0.0.0:80` and `[::]:80` get along.
    pub fn bind<A: ToSocketAddrs>(mut self, address: A) -> ServerBuilder<TcpListener> {
        self.wanted.push(Wanted::Address(address.ask()));
        self
    }
}

impl ServerBuilder<UnixListener> {
    /// Listens on a path too. It must not be there yet, and stays there: remove it before and
    /// after. One that begins with a zero byte is an abstract name, on Linux.
    pub fn bind(mut self, path: impl AsRef<Path>) -> ServerBuilder<UnixListener> {
        self.wanted.push(Wanted::Path(path.as_ref().to_owned()));
        self
    }
}

impl<L: Accepting + From<OwnedFd>> ServerBuilder<L> {
    fn new() -> ServerBuilder<L> {
        ServerBuilder { wanted: Vec::new(), backlog: BACKLOG, limits: Limits::default() }
    }

    /// Accepts on a listener of std too: one with settings of its own, or one that the process was
    /// given by its parent. It is made non-blocking; [`backlog`](Self::backlog) does not touch it.
    pub fn listener(mut self, listener: L) -> ServerBuilder<L> {
        self.wanted.push(Wanted::Listener(listener));
        self
    }

    /// How many connections may wait in the system's queue of a listener. Default: 1,024; the system
    /// has a limit of its own (`net.core.somaxconn`).
    pub fn backlog(mut self, connections: u32) -> ServerBuilder<L> {
        self.backlog = connections;
        self
    }

    /// How many connections there may be at a time, over all listeners and loops; what happens with
    /// more is for [`overload`](Self::overload) to say. Default: no limit but that of descriptors.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn max_connections(self, connections: usize) -> ServerBuilder<L> {
        assert!(
            connections > 0,
            "`ServerBuilder::max_connections` was called with 0: a server that takes nobody serves \
             nobody. Without a limit, leave it out."
        );
        self.connection_limit(&ConnectionLimit::new(connections))
    }

    /// As [`max_connections`](Self::max_connections), with a limit that other servers share.
    pub fn connection_limit(mut self, limit: &ConnectionLimit) -> ServerBuilder<L> {
        self.limits.connections = Some(limit.clone());
        self
    }

    /// How many connections one peer may have at a time: an IPv4 address, or the 64-bit network of
    /// an IPv6 address. More are closed at once and counted as refused. Peers on Unix sockets are
    /// not told apart. Default: no limit.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn max_connections_per_peer(mut self, connections: usize) -> ServerBuilder<L> {
        assert!(
            connections > 0,
            "`ServerBuilder::max_connections_per_peer` was called with 0: a server that takes \
             nobody serves nobody. Without a limit, leave it out."
        );
        self.limits.per_peer = Some(connections);
        self
    }

    /// What to do with connections when there is no room for them, be it by
    /// [`max_connections`](Self::max_connections) or because descriptors have run out. Default:
    /// they wait. For a descriptor that is until one of this server's connections ends, or until it
    /// tries again, as [`accept`](crate::TcpListener::accept) does.
    pub fn overload(mut self, overload: Overload) -> ServerBuilder<L> {
        self.limits.overload = overload;
        self
    }

    /// Serves on the loop of this thread: `handler` is called for each connection with it and the
    /// address of its peer, and what it gives becomes a task. When this is ready, the server
    /// listens.
    ///
    /// Cancel safe: dropped before it is ready, nothing listens any more.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, with the address; when a name cannot be looked up.
    ///
    /// # Panics
    ///
    /// If there is nothing to listen on; when awaited, if no loop is running on this thread.
    #[track_caller]
    pub fn serve<F, H>(self, handler: F) -> impl Future<Output = io::Result<Server<L>>>
    where
        F: Fn(Connection<L::Stream>, AddressOf<L>) -> H + 'static,
        H: Future<Output: Handled> + 'static,
    {
        self.expect_listeners("serve");
        async move {
            let limits = self.limits.clone();
            let listeners = self.listen(1).await?;
            let control = Arc::new(Control::new(limits));
            let server = Server::new(control.clone());
            let listeners = listeners.into_iter().flatten();
            accept_on(&control, listeners.collect(), 0, &Rc::new(handler))?;
            Ok(server)
        }
    }

    /// Serves on every loop of a group, with a clone of `handler` on each. A connection stays on the
    /// loop that has accepted it. The server may outlive the future's loop, and ends with the
    /// group.
    ///
    /// On TCP the system deals out the connections, evenly where there are many. Apple's systems
    /// do not: there the last loop gets most.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve); when a loop of the group is gone. Nothing is left listening then.
    ///
    /// # Panics
    ///
    /// If there is nothing to listen on; for a name, when awaited, if no loop is running on this
    /// thread.
    #[track_caller]
    pub fn serve_on<F, H>(
        self,
        group: &LoopGroup,
        handler: F,
    ) -> impl Future<Output = io::Result<Server<L>>> + use<L, F, H>
    where
        F: Fn(Connection<L::Stream>, AddressOf<L>) -> H + Clone + Send + 'static,
        H: Future<Output: Handled> + 'static,
    {
        self.expect_listeners("serve_on");
        let handles: Vec<_> = group.handles().collect();
        async move {
            let limits = self.limits.clone();
            let listeners = self.listen(handles.len()).await?;
            let control = Arc::new(Control::new(limits));
            // Dropped on an error, it closes what was begun.
            let server = Server::new(control.clone());
            for (loop_index, (handle, listeners)) in handles.iter().zip(listeners).enumerate() {
                let (control, handler) = (control.clone(), handler.clone());
                let started = handle.spawn(move || async move {
                    accept_on(&control, listeners, loop_index, &Rc::new(handler))
                });
                started.await.map_err(io::Error::other)??;
            }
            Ok(server)
        }
    }

    #[track_caller]
    fn expect_listeners(&self, called: &str) {
        assert!(
            !self.wanted.is_empty(),
            "`ServerBuilder::{called}` was called with nothing to listen on: it expects `bind` or \
             `listener` before."
        );
    }

    /// Listeners for each of so many loops.
    async fn listen(self, loops: usize) -> io::Result<Vec<Vec<L>>> {
        let mut by_loop: Vec<Vec<L>> = (0..loops).map(|_| Vec::new()).collect();
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        let mut answers = Vec::with_capacity(self.wanted.len());
        for wanted in &self.wanted {
            if let Wanted::Address(question) = wanted {
                answers.push(question.answer().await?);
            }
        }
        let of_ipv4 = answers.iter().flatten().filter(|address| address.is_ipv4());
        let ports_of_ipv4: Vec<_> = of_ipv4.map(SocketAddr::port).collect();
        let mut answers = answers.into_iter();
        for wanted in self.wanted {
            let listeners = match wanted {
                Wanted::Address(_) => {
                    let bind_one = |address: SocketAddr| {
                        let leaves_ipv4 = ports_of_ipv4.contains(&address.port());
                        bind_each(address, loops, backlog, leaves_ipv4)
                    };
                    first_that_works(answers.next().unwrap_or_default(), bind_one)?
                }
                Wanted::Path(path) => copies(bind_path(&path, backlog)?, loops)?,
                Wanted::Listener(listener) => copies(listener, loops)?,
            };
            by_loop.iter_mut().zip(listeners).for_each(|(of_loop, one)| of_loop.push(one));
        }
        Ok(by_loop)
    }
}

/// Starts the accept loops of this thread's loop.
fn accept_on<L, F, H>(
    control: &Arc<Control<AddressOf<L>>>,
    listeners: Vec<L>,
    loop_index: usize,
    handler: &Rc<F>,
) -> io::Result<()>
where
    L: Accepting,
    F: Fn(Connection<L::Stream>, AddressOf<L>) -> H + 'static,
    H: Future<Output: Handled> + 'static,
{
    listeners.into_iter().enumerate().try_for_each(|(index, listener)| {
        let listener = ListenerSocket::from_std(listener)?;
        accepting::start(control, listener, (loop_index, index), handler.clone())
    })
}

/// A socket for each loop. The first decides what port 0 is.
fn bind_each<L: From<OwnedFd>>(
    wanted: SocketAddr,
    loops: usize,
    backlog: i32,
    leaves_ipv4: bool,
) -> io::Result<Vec<L>> {
    // Port 0 is another one for each.
    let leaves_ipv4 = leaves_ipv4 && wanted.port() != 0;
    let explain = |error| explain(wanted, error);
    let mut address = wanted;
    if loops > 1 && address.port() != 0 {
        // Sockets with SO_REUSEPORT would join those of a server that is there already, and share
        // its clients with it. One without says that the address is taken.
        bind(address, false, leaves_ipv4).map_err(explain)?;
    }
    let mut listeners = Vec::with_capacity(loops);
    for _ in 0..loops {
        let socket = bind(address, loops > 1, leaves_ipv4).map_err(explain)?;
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        socket.listen(backlog).map_err(explain)?;
        listeners.push(L::from(OwnedFd::from(socket)));
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, is_one_of_several: bool, leaves_ipv4: bool) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(address))?;
    if leaves_ipv4 && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a server that ended a minute ago may linger; they do not keep the address.
    socket.set_reuse_address(true)?;
    if is_one_of_several {
        platform::share_port(&socket)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_path<L: From<OwnedFd>>(path: &Path, backlog: i32) -> io::Result<L> {
    let explain = |error| explain(path.display(), error);
    let socket = bind_socket(path).map_err(explain)?;
    socket.listen(backlog).map_err(explain)?;
    Ok(L::from(OwnedFd::from(socket)))
}

/// The listener and copies of it, for each loop one.
fn copies<L: Accepting + From<OwnedFd>>(listener: L, loops: usize) -> io::Result<Vec<L>> {
    let copy = |_| listener.as_fd().try_clone_to_owned().map(L::from);
    let mut listeners = (1..loops).map(copy).collect::<io::Result<Vec<L>>>()?;
    listeners.push(listener);
    Ok(listeners)
}

/// Several addresses may have been given: says which one it is.
fn explain(address: impl fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

impl<L: Accepting> fmt::Debug for ServerBuilder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ServerBuilder");
        out.field("listeners", &self.wanted.len());
        out.field("backlog", &self.backlog).field("limits", &self.limits).finish()
    }
}
