//! The servers: one for TCP and TLS, one for Unix sockets, and the sockets for datagrams, on all
//! loops. They share one limit of connections, and end together.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wheelhouse::net::{self, ConnectionLimit, Counts, Server, ServerBuilder, UdpSocket};
use wheelhouse::{LoopGroup, RemoteHandle};

use crate::args::Place;
use crate::connection::Connection;
use crate::datagram;
use crate::listen::{self, BACKLOG, Listening};
use crate::tls::{self, Acceptor};
use crate::worker::{Member, Site, Worker};

/// What serves.
pub(crate) struct Servers {
    tcp: Option<Server<TcpListener>>,
    unix: Option<Server<UnixListener>>,
}

/// A task for each loop that answers datagrams.
pub(crate) type Datagrams = Vec<RemoteHandle<io::Result<()>>>;

impl Servers {
    /// Serves on all loops when it is ready: what serves, and what it is and where, in the order of
    /// the command line. The error is for the user's eyes.
    pub(crate) async fn start(
        site: &Arc<Site>,
        group: &LoopGroup,
        listening: Listening,
        acceptor: Option<Acceptor>,
    ) -> Result<(Servers, Datagrams, Vec<(&'static str, String)>), String> {
        let limit = site.settings.max_connections.map(ConnectionLimit::new);
        let places = &site.settings.places;
        let tcp = start_tcp(site, group, places, limit.as_ref(), acceptor).await?;
        let unix = start_unix(site, group, listening.unix, limit.as_ref()).await?;
        let mut tcp_addresses =
            tcp.as_ref().map(Server::local_addrs).unwrap_or_default().into_iter();
        let mut udp_addresses = listening.udp_addresses.into_iter();
        let announced = places.iter().filter_map(|place| {
            Some(match place {
                Place::Tcp(_) => ("tcp", tcp_addresses.next()?.to_string()),
                Place::Tls(_) => ("tls", tcp_addresses.next()?.to_string()),
                Place::Udp(_) => ("udp", udp_addresses.next()?.to_string()),
                Place::Unix(path) => ("unix", listen::display(path)),
            })
        });
        let announced = announced.collect();
        let mut datagrams = Datagrams::new();
        for (index, sockets) in listening.udp.into_iter().enumerate() {
            for socket in sockets {
                let site = site.clone();
                datagrams.push(group.handle(index).spawn(move || async move {
                    let socket = UdpSocket::from_std(OwnedFd::from(socket).into())?;
                    datagram::serve_until_the_stop(&socket, &Worker::here(&site)).await;
                    Ok(())
                }));
            }
        }
        Ok((Servers { tcp, unix }, datagrams, announced))
    }

    /// Accepts no more; who waits in the system's queue is still served.
    pub(crate) fn close(&self) {
        self.tcp.iter().for_each(Server::close);
        self.unix.iter().for_each(Server::close);
    }

    /// Asks the connections to end, and cuts off those that are left after the grace.
    pub(crate) async fn drain(&self, grace: Duration) {
        let tcp = async {
            if let Some(server) = &self.tcp {
                server.close_clients(grace).await;
            }
        };
        let unix = async {
            if let Some(server) = &self.unix {
                server.close_clients(grace).await;
            }
        };
        wheelhouse::join!(tcp, unix);
    }

    /// Cuts off whoever is left now.
    pub(crate) fn abort(&self) {
        let _tcp = self.tcp.as_ref().map(Server::abort_clients);
        let _unix = self.unix.as_ref().map(Server::abort_clients);
    }

    /// Waits until nobody accepts and nobody is connected.
    pub(crate) async fn wait_closed(&self) {
        if let Some(server) = &self.tcp {
            server.wait_closed().await;
        }
        if let Some(server) = &self.unix {
            server.wait_closed().await;
        }
    }

    /// What the servers count.
    pub(crate) fn counts(&self) -> [Counts; 2] {
        let tcp = self.tcp.as_ref().map(|server| server.stats().total());
        let unix = self.unix.as_ref().map(|server| server.stats().total());
        [tcp.unwrap_or_default(), unix.unwrap_or_default()]
    }
}

async fn start_tcp(
    site: &Arc<Site>,
    group: &LoopGroup,
    places: &[Place],
    limit: Option<&ConnectionLimit>,
    acceptor: Option<Acceptor>,
) -> Result<Option<Server<TcpListener>>, String> {
    let mut builder = Server::builder().backlog(BACKLOG);
    // Which of the listeners speak TLS.
    let mut acceptors = Vec::new();
    for place in places {
        let (Place::Tcp(address) | Place::Tls(address)) = place else { continue };
        builder = builder.bind(*address);
        acceptors.push(acceptor.clone().filter(|_| matches!(place, Place::Tls(_))));
    }
    if acceptors.is_empty() {
        return Ok(None);
    }
    if let Some(limit) = limit {
        builder = builder.connection_limit(limit);
    }
    if let Some(most) = site.settings.max_per_peer {
        builder = builder.max_connections_per_peer(most);
    }
    let site = site.clone();
    let handler = move |connection: net::Connection<std::net::TcpStream>, _| {
        // An answer waits for nothing. It can only fail on a connection that is gone, which the
        // receive will say.
        let _ = connection.set_nodelay(true);
        let worker = Worker::here(&site);
        match acceptors[connection.listener_index()].clone() {
            None => {
                let closing = connection.closing().clone();
                let member = Member::new(worker);
                Client::Plain(Connection::new(connection.into_inner(), closing, member))
            }
            Some(acceptor) => Client::Tls(Box::pin(tls::serve(connection, acceptor, worker))),
        }
    };
    let started = builder.serve_on(group, handler).await;
    started.map(Some).map_err(|error| listen::explain(&error))
}

async fn start_unix(
    site: &Arc<Site>,
    group: &LoopGroup,
    listeners: Vec<UnixListener>,
    limit: Option<&ConnectionLimit>,
) -> Result<Option<Server<UnixListener>>, String> {
    if listeners.is_empty() {
        return Ok(None);
    }
    let builder = Server::unix_builder();
    let mut builder = listeners.into_iter().fold(builder, ServerBuilder::listener);
    if let Some(limit) = limit {
        builder = builder.connection_limit(limit);
    }
    let site = site.clone();
    let handler = move |connection: net::Connection<std::os::unix::net::UnixStream>, _| {
        let closing = connection.closing().clone();
        let member = Member::new(Worker::here(&site));
        Connection::new(connection.into_inner(), closing, member)
    };
    let started = builder.serve_on(group, handler).await;
    started.map(Some).map_err(|error| listen::explain(&error))
}

/// A client over TCP: what its handler does.
#[allow(clippy::large_enum_variant, reason = "nearly all are plain")]
enum Client {
    Plain(Connection<net::TcpStream>),
    Tls(Pin<Box<dyn Future<Output = ()>>>),
}

impl Future for Client {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Client::Plain(connection) => Pin::new(connection).poll(cx),
            Client::Tls(client) => client.as_mut().poll(cx),
        }
    }
}
