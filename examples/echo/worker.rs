//! What runs on each loop: accepting on its listeners, the connections it has, and their end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wheelhouse::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use wheelhouse::spawn;
use wheelhouse::time::{Instant, timeout};

use crate::args::Settings;
use crate::connection::{Connection, Wire};
use crate::datagram;
use crate::limits::{Peers, Place, Places};
use crate::service::Characters;
use crate::stats::{End, Tally};
use crate::stop::{Stage, Stop};
use crate::tls::{self, Acceptor};

/// Large enough for a batch of messages a receive; one a loop, not one a connection.
const BUFFER: usize = 64 * 1024;

/// At the stop nobody is left in the kernel's queue when none came for the pause.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_SWEEP: Duration = Duration::from_millis(100);

/// What one loop listens on.
pub(crate) enum Door {
    Tcp(TcpListener),
    Tls(TcpListener, Acceptor),
    Unix(UnixListener),
    Udp(UdpSocket),
}

/// A client that has come in.
enum Client {
    Tcp(TcpStream),
    Tls(TcpStream, Acceptor),
    Unix(UnixStream),
}

impl Door {
    /// A client, and where it is from if that is an address of the internet. A door for datagrams
    /// has none. Errors are the listener's own: shortages and broken clients are seen to below.
    async fn accept(&self) -> io::Result<(Option<IpAddr>, Client)> {
        match self {
            Door::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Some(peer.ip()), Client::Tcp(stream)))
            }
            Door::Tls(listener, acceptor) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Some(peer.ip()), Client::Tls(stream, acceptor.clone())))
            }
            Door::Unix(listener) => Ok((None, Client::Unix(listener.accept().await?.0))),
            Door::Udp(_) => std::future::pending().await,
        }
    }
}

/// What the connections of one loop share.
pub(crate) struct Worker {
    pub(crate) buffer: RefCell<Vec<u8>>,
    pub(crate) characters: Characters,
    pub(crate) tally: Arc<Tally>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stage: Cell<Stage>,
    places: Arc<Places>,
    peers: Option<Arc<Peers>>,
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
        peers: Option<Arc<Peers>>,
        settings: Arc<Settings>,
    ) -> Rc<Worker> {
        Rc::new(Worker {
            buffer: RefCell::new(vec![0; BUFFER]),
            characters: Characters::new(),
            tally,
            settings,
            stage: Cell::new(Stage::Running),
            places,
            peers,
            members: RefCell::default(),
        })
    }

    /// Serves until the stop, then drains for the grace at most. Whether nothing was cut is in the
    /// tally.
    pub(crate) async fn serve(self: Rc<Self>, doors: Vec<Door>, stop: Arc<Stop>) {
        let doors: Vec<_> = doors.into_iter().map(Rc::new).collect();
        let open: Vec<_> =
            doors.iter().map(|door| spawn(self.clone().open(door.clone()))).collect();
        stop.reached(Stage::Draining).await;
        for task in open {
            task.cancel();
            let _ = task.await;
        }
        self.advance(Stage::Draining);
        let orderly = async {
            for door in doors {
                self.sweep(&door).await;
            }
            self.all_gone().await;
        };
        let gone = either(orderly, stop.reached(Stage::Now));
        // Over by itself, by a second signal or by the end of the grace: what is left is cut.
        let _ = timeout(self.settings.grace, gone).await;
        self.advance(Stage::Now);
        self.all_gone().await;
    }

    async fn open(self: Rc<Self>, door: Rc<Door>) {
        if let Door::Udp(socket) = &*door {
            return datagram::serve(socket, &self).await;
        }
        loop {
            self.places.vacancy().await;
            match door.accept().await {
                Ok((peer, client)) => self.admit(client, peer).await,
                Err(error) => {
                    eprintln!("wheelhouse-echo: a listener is broken and accepts no more: {error}");
                    return;
                }
            }
        }
    }

    async fn admit(self: &Rc<Self>, client: Client, peer: Option<IpAddr>) {
        let peer = match (&self.peers, peer) {
            (Some(peers), Some(peer)) => match peers.take(peer) {
                Some(place) => Some(place),
                None => return self.tally.turned_away(),
            },
            _ => None,
        };
        let place = self.places.take(peer).await;
        match client {
            Client::Unix(stream) => self.start(stream, place),
            Client::Tcp(stream) => {
                // An answer waits for nothing. It can only fail on a connection that is gone, which
                // the receive will say.
                let _ = stream.set_nodelay(true);
                self.start(stream, place);
            }
            Client::Tls(stream, acceptor) => {
                let _ = stream.set_nodelay(true);
                drop(spawn(tls::serve(stream, acceptor, self.clone(), place)));
            }
        }
    }

    fn start<S: Wire + 'static>(self: &Rc<Self>, stream: S, place: Place) {
        let member = Member::new(self);
        drop(spawn(Connection::new(stream, self.clone(), member, place)));
    }

    /// Takes in who had connected before the stop and waits in the kernel's queue, if there are
    /// places: they may have sent something, and closing the listener would reset them. The pause
    /// lets the loop hear of them; who connects only now is served too, but not for ever. Datagrams
    /// that wait are answered.
    async fn sweep(self: &Rc<Self>, door: &Door) {
        if let Door::Udp(socket) = door {
            let _ = timeout(SWEEP_PAUSE, datagram::serve(socket, self)).await;
            return;
        }
        let end = Instant::now() + LONGEST_SWEEP;
        while Instant::now() < end {
            let next = async {
                self.places.vacancy().await;
                door.accept().await
            };
            match timeout(SWEEP_PAUSE, next).await {
                Ok(Ok((peer, client))) => self.admit(client, peer).await,
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
