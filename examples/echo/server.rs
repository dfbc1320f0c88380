//! The server as a whole: binds, starts the loops, waits for signals, reports.
//!
//! The main thread has a loop of its own for signals and statistics, so that a terminal that is
//! slow to take a line never holds up a connection.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use wheelhouse::net::{TcpListener, TcpSocket};
use wheelhouse::signal::{Signal, SignalKind, signal};
use wheelhouse::time::{Instant, sleep_until};
use wheelhouse::{EventLoop, LoopGroup, RemoteHandle};

use crate::args::Settings;
use crate::limits::{self, Places};
use crate::stats::{Tally, Totals};
use crate::stop::{Stage, Stop};
use crate::worker::Worker;

/// Connections that may wait in the kernel's queue for being accepted; the system cuts it to its
/// own limit.
const BACKLOG: u32 = 4096;

/// Serves until a signal. The error is for the user's eyes.
pub(crate) fn run(settings: &Settings) -> Result<(), String> {
    let open_files = limits::raise_open_files();
    let event_loop =
        EventLoop::new().map_err(|error| format!("cannot make an event loop: {error}"))?;
    event_loop.block_on(serve(settings, open_files))
}

async fn serve(settings: &Settings, open_files: Option<u64>) -> Result<(), String> {
    // Listened for before anyone is told that the server is there: who starts it may stop it at
    // once.
    let mut signals =
        Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let (sockets, addresses) = bind_all(settings)?;
    let group = LoopGroup::new(settings.loops)
        .map_err(|error| format!("cannot start {} loops: {error}", settings.loops))?;
    let tallies: Vec<_> = (0..settings.loops).map(|_| Arc::new(Tally::default())).collect();
    let stop = Arc::new(Stop::default());
    let mut workers = start(settings, &group, sockets, &tallies, &stop)?;

    announce(&addresses).map_err(|error| format!("cannot write to stdout: {error}"))?;
    if settings.stats {
        let limit = open_files.map_or("no limit of".into(), |limit| limit.to_string());
        eprintln!("{} loops, {limit} open files", settings.loops);
    }
    let started = Instant::now();
    let mut stats = settings.stats.then(|| Statistics::new(&tallies));
    let mut stage = Stage::Running;
    while !until_done_or_signal(&mut workers, &mut signals, &mut stats).await {
        stage = if stage == Stage::Running { Stage::Draining } else { Stage::Now };
        stop.set(stage);
    }
    drop(group);
    let totals = Totals::of(tallies.iter().map(|tally| &**tally));
    eprintln!("wheelhouse-echo: {}", totals.summary(started.elapsed()));
    match totals.cut {
        0 => Ok(()),
        cut if stage == Stage::Now => {
            Err(format!("{cut} connections were cut by the second signal"))
        }
        cut => Err(format!(
            "{cut} connections still had something to get after the grace of {:?} and were cut; \
             `--grace` gives more",
            settings.grace
        )),
    }
}

/// A socket for each address and loop, addresses outside.
fn bind_all(settings: &Settings) -> Result<(Vec<Vec<TcpSocket>>, Vec<SocketAddr>), String> {
    let mut by_loop: Vec<Vec<TcpSocket>> = (0..settings.loops).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    for &wanted in &settings.addresses {
        let mut address = wanted;
        if settings.loops > 1 && wanted.port() != 0 {
            // Sockets with SO_REUSEPORT would join those of a server that is there already, and
            // share its clients with it. One without says that the address is taken.
            bind(wanted, false).map_err(|error| explain(wanted, &error))?;
        }
        for sockets in &mut by_loop {
            let socket =
                bind(address, settings.loops > 1).map_err(|error| explain(wanted, &error))?;
            // The first one decides what port 0 is.
            address = socket.local_addr().map_err(|error| explain(wanted, &error))?;
            sockets.push(socket);
        }
        bound.push(address);
    }
    Ok((by_loop, bound))
}

fn bind(address: SocketAddr, is_shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a server that ended a minute ago may linger; they do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(is_shared)?;
    socket.bind(address)?;
    Ok(socket)
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; `--tcp` takes another address, port 0 a free port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privileges; `--tcp` takes another address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address; 0.0.0.0 is all of them"
        }
        _ => "`--tcp` takes another address",
    };
    format!("cannot listen on {address}: {error}; {advice}")
}

/// Starts a worker on each loop; they accept when this returns.
fn start(
    settings: &Settings,
    group: &LoopGroup,
    sockets: Vec<Vec<TcpSocket>>,
    tallies: &[Arc<Tally>],
    stop: &Arc<Stop>,
) -> Result<Vec<RemoteHandle<()>>, String> {
    let places = Places::new(settings.max_connections);
    let mut workers = Vec::new();
    for (index, sockets) in sockets.into_iter().enumerate() {
        let (listening, wait) = mpsc::channel();
        let (tally, places, stop) = (tallies[index].clone(), places.clone(), stop.clone());
        let (idle_timeout, grace) = (settings.idle_timeout, settings.grace);
        workers.push(group.handle(index).spawn(move || async move {
            match listen(sockets) {
                Ok(listeners) => {
                    let _ = listening.send(Ok(()));
                    Worker::new(tally, places, idle_timeout).serve(listeners, stop, grace).await;
                }
                Err(problem) => {
                    let _ = listening.send(Err(problem));
                }
            }
        }));
        wait.recv().map_err(|_| format!("loop {index} ended before it listened"))??;
    }
    Ok(workers)
}

fn listen(sockets: Vec<TcpSocket>) -> Result<Vec<TcpListener>, String> {
    let listen = |socket: TcpSocket| {
        let address = socket.local_addr().map_err(|error| format!("cannot listen: {error}"))?;
        socket.listen(BACKLOG).map_err(|error| explain(address, &error))
    };
    sockets.into_iter().map(listen).collect()
}

/// Programs that start this one wait for these lines, so they are flushed.
fn announce(addresses: &[SocketAddr]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for address in addresses {
        writeln!(stdout, "listening tcp {address}")?;
    }
    stdout.flush()
}

/// Waits until all workers are done (`true`) or a signal comes (`false`), and prints statistics
/// meanwhile.
async fn until_done_or_signal(
    workers: &mut Vec<RemoteHandle<()>>,
    signals: &mut Signals,
    stats: &mut Option<Statistics<'_>>,
) -> bool {
    poll_fn(|cx| {
        workers.retain_mut(|worker| std::pin::Pin::new(worker).poll(cx).is_pending());
        if workers.is_empty() {
            return Poll::Ready(true);
        }
        if let Some(stats) = stats {
            stats.poll(cx);
        }
        signals.poll(cx).map(|()| false)
    })
    .await
}

/// Either of the signals that ask for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let came =
            self.interrupt.poll_recv(cx).is_ready() | self.terminate.poll_recv(cx).is_ready();
        if came { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Prints a line a second.
struct Statistics<'a> {
    tallies: &'a [Arc<Tally>],
    before: Totals,
    printed: Instant,
    next: wheelhouse::time::Sleep,
}

impl<'a> Statistics<'a> {
    fn new(tallies: &'a [Arc<Tally>]) -> Statistics<'a> {
        let printed = Instant::now();
        let next = sleep_until(printed + SECOND);
        Statistics { tallies, before: Totals::default(), printed, next }
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) {
        while std::pin::Pin::new(&mut self.next).poll(cx).is_ready() {
            let now = Instant::now();
            let totals = Totals::of(self.tallies.iter().map(|tally| &**tally));
            // Stderr may be closed; the server goes on.
            let _ = writeln!(
                io::stderr(),
                "{}",
                totals.line(&self.before, now.duration_since(self.printed))
            );
            (self.before, self.printed) = (totals, now);
            std::pin::Pin::new(&mut self.next).reset(now + SECOND);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
