//! The load generator: one thread, level-triggered epoll, no allocation while it runs. It is the same for every
//! contender, and about as cheap as the raw server, so that the server is what is measured.

use crate::place::Place;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The shape of the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub connections: usize,
    /// Bytes a message.
    pub message: usize,
    /// Messages sent together; the next batch goes out when all of them are back.
    pub depth: usize,
}

impl Shape {
    fn batch(self) -> usize {
        self.message * self.depth
    }
}

struct Connection {
    /// A connected socket of any kind: `File` reads and writes them all, a datagram at a time where there are any.
    stream: File,
    to_send: usize,
    to_receive: usize,
    wants_out: bool,
}

pub struct Load {
    shape: Shape,
    epoll: i32,
    connections: Vec<Connection>,
    payload: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<libc::epoll_event>,
}

/// No event for this long means that the server lost something.
const STALL: Duration = Duration::from_secs(10);

impl Load {
    /// Connects, and sends one batch of different bytes over every connection: what comes back must be the same.
    pub fn connect(server: &Place, shape: Shape) -> Result<Load, String> {
        let failed = |what: &str, error: io::Error| format!("load generator: {what}: {error}");
        let mut connections = Vec::with_capacity(shape.connections);
        for _ in 0..shape.connections {
            let stream = connect_one(server).map_err(|e| failed("connect", e))?;
            connections.push(Connection { stream, to_send: 0, to_receive: 0, wants_out: false });
        }
        let size = shape.batch();
        let sample = |index: usize| -> Vec<u8> {
            let mut state = index as u32 ^ 0x9e37_79b9;
            (0..size)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect()
        };
        for (index, connection) in connections.iter_mut().enumerate() {
            connection.stream.write_all(&sample(index)).map_err(|e| failed("first write", e))?;
        }
        let mut echo = vec![0; size];
        for (index, connection) in connections.iter_mut().enumerate() {
            connection.stream.read_exact(&mut echo).map_err(|e| failed("first read", e))?;
            if echo != sample(index) {
                return Err(format!("the server sent other bytes back on connection {index}"));
            }
            set_nonblocking(&connection.stream).map_err(|e| failed("nonblocking", e))?;
        }
        // SAFETY: a plain call.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(failed("epoll_create1", io::Error::last_os_error()));
        }
        let load = Load {
            shape,
            epoll,
            connections,
            payload: vec![b'x'; size],
            buffer: vec![0; 64 * 1024],
            events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024],
        };
        for index in 0..load.connections.len() {
            load.control(libc::EPOLL_CTL_ADD, index, libc::EPOLLIN as u32).map_err(|e| failed("epoll_ctl", e))?;
        }
        Ok(load)
    }

    fn control(&self, operation: i32, index: usize, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: index as u64 };
        let fd = self.connections[index].stream.as_raw_fd();
        // SAFETY: both descriptors are open and `event` is valid.
        match unsafe { libc::epoll_ctl(self.epoll, operation, fd, &mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends the first batch on every connection.
    pub fn start(&mut self) -> Result<(), String> {
        for index in 0..self.connections.len() {
            self.begin_batch(index)?;
        }
        Ok(())
    }

    /// Keeps the traffic going until `done(messages)` says so (asked after every wait) and returns the messages
    /// that came back. What is in flight then stays in flight.
    pub fn run_until(&mut self, mut done: impl FnMut(u64) -> bool) -> Result<u64, String> {
        let mut messages = 0;
        while !done(messages) {
            messages += self.turn(true)?;
        }
        Ok(messages)
    }

    pub fn run_for(&mut self, time: Duration) -> Result<u64, String> {
        let end = Instant::now() + time;
        self.run_until(|_| Instant::now() >= end)
    }

    /// Sends nothing new and waits until every batch in flight is back.
    pub fn drain(&mut self) -> Result<u64, String> {
        let mut messages = 0;
        while self.connections.iter().any(|c| c.to_receive > 0) {
            messages += self.turn(false)?;
        }
        Ok(messages)
    }

    /// Exactly `batches` batches on each connection, from a drained state to a drained state.
    pub fn run_batches(&mut self, batches: usize) -> Result<u64, String> {
        let mut messages = 0;
        for _ in 0..batches {
            self.start()?;
            messages += self.drain()?;
        }
        Ok(messages)
    }

    fn turn(&mut self, keep_going: bool) -> Result<u64, String> {
        // SAFETY: `events` has room for as many as are asked for.
        let ready = unsafe {
            libc::epoll_wait(self.epoll, self.events.as_mut_ptr(), self.events.len() as i32, STALL.as_millis() as i32)
        };
        match ready {
            0 => return Err("the server stalled: no reply for 10 s".into()),
            n if n < 0 => {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error.to_string()) };
            }
            _ => {}
        }
        let mut messages = 0;
        for at in 0..ready as usize {
            let event = self.events[at];
            let index = event.u64 as usize;
            if event.events & libc::EPOLLOUT as u32 != 0 {
                self.send(index)?;
            }
            if event.events & !(libc::EPOLLOUT as u32) != 0 && self.receive(index)? {
                messages += self.shape.depth as u64;
                if keep_going {
                    self.begin_batch(index)?;
                }
            }
        }
        Ok(messages)
    }

    fn begin_batch(&mut self, index: usize) -> Result<(), String> {
        let size = self.shape.batch();
        let connection = &mut self.connections[index];
        connection.to_send = size;
        connection.to_receive = size;
        self.send(index)
    }

    fn send(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        while connection.to_send > 0 {
            match connection.stream.write(&self.payload[..connection.to_send]) {
                Ok(sent) => connection.to_send -= sent,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(format!("load generator: write: {e}")),
            }
        }
        let wants_out = connection.to_send > 0;
        if wants_out != connection.wants_out {
            connection.wants_out = wants_out;
            let events = libc::EPOLLIN | if wants_out { libc::EPOLLOUT } else { 0 };
            self.control(libc::EPOLL_CTL_MOD, index, events as u32).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// One read; true when the batch is complete.
    fn receive(&mut self, index: usize) -> Result<bool, String> {
        let connection = &mut self.connections[index];
        match connection.stream.read(&mut self.buffer) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(n) if n > connection.to_receive => Err("the server sent more than it received".into()),
            Ok(n) => {
                connection.to_receive -= n;
                Ok(connection.to_receive == 0)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(format!("load generator: read: {e}")),
        }
    }
}

/// A connected, blocking socket that gives up reading after a while.
fn connect_one(server: &Place) -> io::Result<File> {
    let socket: OwnedFd = match server {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(STALL))?;
            stream.into()
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(STALL))?;
            stream.into()
        }
        Place::Udp(address) => {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(STALL))?;
            socket.into()
        }
    };
    Ok(File::from(socket))
}

fn set_nonblocking(socket: &File) -> io::Result<()> {
    // SAFETY: plain calls on an open descriptor.
    unsafe {
        let flags = libc::fcntl(socket.as_raw_fd(), libc::F_GETFL);
        if flags < 0 || libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Connects, has one byte echoed, and closes, one connection after another; how many there were.
pub fn connect_and_close(server: SocketAddr, time: Duration) -> Result<u64, String> {
    let failed = |error: io::Error| format!("load generator: {error}");
    let end = Instant::now() + time;
    let mut connections = 0;
    while Instant::now() < end {
        let mut stream = TcpStream::connect(server).map_err(failed)?;
        stream.set_read_timeout(Some(STALL)).map_err(failed)?;
        stream.write_all(b"x").map_err(failed)?;
        stream.read_exact(&mut [0]).map_err(failed)?;
        connections += 1;
    }
    Ok(connections)
}

impl Drop for Load {
    fn drop(&mut self) {
        // SAFETY: `epoll` is ours and closed once.
        unsafe {
            libc::close(self.epoll);
        }
    }
}
