//! The yardstick: for each scenario, the epoll loop that somebody would write by hand for just that. No tasks, no
//! futures; level-triggered readiness, so a message costs one `read`, one `write` and a share of an `epoll_wait`.

use crate::child::{self, Gate, SLEEPS};
use crate::job::{Answer, Job};
use crate::measure::own_cpu_ns;
use crate::place::{Place, Transport};
use crate::runtime::Bound;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub fn run(job: &Job) -> Result<Answer, String> {
    let answer = Answer::new("epoll, level-triggered");
    let done = match job.part.as_str() {
        "server" if job.transport == Transport::Udp => serve_udp(job),
        "server" => serve(job, answer),
        "wake" => wake(job, answer),
        "sleep" => sleeps(job, answer),
        "sleep-count" => sleep_count(job, answer),
        "timer-storm" => timer_storm(job, answer),
        other => return Err(format!("nothing to write by hand for {other}")),
    };
    done.map_err(|e| e.to_string())
}

// ------------------------------------------------------------------------------------------- the system calls

struct Epoll {
    fd: RawFd,
    events: Vec<libc::epoll_event>,
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: a plain call.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] })
    }
    fn control(&self, operation: i32, fd: RawFd, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
        // SAFETY: `event` is valid for the call.
        check(unsafe { libc::epoll_ctl(self.fd, operation, fd, &mut event) }).map(drop)
    }
    fn add(&self, fd: RawFd, events: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events)
    }
    /// Waits without end; returns how many of `events` are filled.
    fn wait(&mut self) -> io::Result<usize> {
        loop {
            // SAFETY: `events` has room for as many as are asked for.
            let n = unsafe { libc::epoll_wait(self.fd, self.events.as_mut_ptr(), self.events.len() as i32, -1) };
            match check(n) {
                Ok(n) => return Ok(n as usize),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// An absolute timerfd, registered edge-triggered and never read: two system calls a sleep, arm and wait.
struct Alarm(RawFd);

impl Alarm {
    fn new(epoll: &Epoll) -> io::Result<Alarm> {
        // SAFETY: a plain call.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })?;
        epoll.add(fd, libc::EPOLLIN | libc::EPOLLET)?;
        Ok(Alarm(fd))
    }
    fn arm(&self, deadline_ns: u64) -> io::Result<()> {
        // SAFETY: all-zero is a valid itimerspec; the kernel reads it.
        unsafe {
            let mut spec: libc::itimerspec = std::mem::zeroed();
            spec.it_value.tv_sec = (deadline_ns / 1_000_000_000) as i64;
            spec.it_value.tv_nsec = (deadline_ns % 1_000_000_000) as i64;
            check(libc::timerfd_settime(self.0, libc::TFD_TIMER_ABSTIME, &spec, std::ptr::null_mut())).map(drop)
        }
    }
}

/// CLOCK_MONOTONIC, which `Instant` does not show.
fn now_ns() -> u64 {
    // SAFETY: `ts` is written by the kernel.
    unsafe {
        let mut ts: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts);
        ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
    }
}

fn late_us(deadline_ns: u64) -> f64 {
    (now_ns() as f64 - deadline_ns as f64) / 1e3
}

// ------------------------------------------------------------------------------------------------- echo server

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(job: &Job, bound: &Bound) -> io::Result<Listener> {
        if job.transport == Transport::Unix {
            let path = bound.path();
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            bound.announce_at(Place::Unix(path));
            return Ok(Listener::Unix(listener));
        }
        let listener = TcpListener::bind(bound.address())?;
        listener.set_nonblocking(true)?;
        bound.announce(listener.local_addr()?);
        Ok(Listener::Tcp(listener))
    }

    fn fd(&self) -> RawFd {
        match self {
            Listener::Tcp(listener) => listener.as_raw_fd(),
            Listener::Unix(listener) => listener.as_raw_fd(),
        }
    }

    /// A connection that does not block.
    fn accept(&self) -> io::Result<RawFd> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(stream.into_raw_fd())
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(stream.into_raw_fd())
            }
        }
    }
}

struct Server {
    epoll: Epoll,
    listener: Listener,
    bound: Bound,
    buffer: Vec<u8>,
    /// By descriptor: what a socket did not take, sent when it is writable. Almost always empty.
    unsent: Vec<Vec<u8>>,
}

fn serve(job: &Job, mut answer: Answer) -> io::Result<Answer> {
    let bound = job.bound();
    let listener = Listener::bind(job, &bound)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.fd(), libc::EPOLLIN)?;
    let alarm = Alarm::new(&epoll)?;
    let mut server = Server { epoll, listener, bound, buffer: vec![0; job.buffer], unsent: Vec::new() };
    if !job.sleeper {
        loop {
            server.turn(None)?;
        }
    }
    let go = child::go_flag();
    while !go.load(Ordering::Acquire) {
        server.turn(None)?;
    }
    for (name, duration) in SLEEPS {
        let end = Instant::now() + child::busy_time(job.quick);
        let mut late = Vec::new();
        while Instant::now() < end {
            let deadline = now_ns() + duration.as_nanos() as u64;
            alarm.arm(deadline)?;
            while !server.turn(Some(&alarm))? {}
            late.push(late_us(deadline));
        }
        answer.put_percentiles(name, &mut late);
    }
    answer.print();
    loop {
        server.turn(None)?;
    }
}

impl Server {
    /// One wait and all that it brought; true if the alarm went off.
    fn turn(&mut self, alarm: Option<&Alarm>) -> io::Result<bool> {
        let mut rang = false;
        for at in 0..self.epoll.wait()? {
            let event = self.epoll.events[at];
            let fd = event.u64 as RawFd;
            if fd == self.listener.fd() {
                self.accept()?;
            } else if alarm.is_some_and(|alarm| alarm.0 == fd) {
                rang = true;
            } else if event.events & libc::EPOLLOUT as u32 != 0 {
                self.send_rest(fd)?;
            } else {
                self.echo(fd)?;
            }
        }
        Ok(rang)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok(fd) => {
                    self.bound.count_accepted();
                    if self.unsent.len() <= fd as usize {
                        self.unsent.resize_with(fd as usize + 1, Vec::new);
                    }
                    self.epoll.add(fd, libc::EPOLLIN)?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn echo(&mut self, fd: RawFd) -> io::Result<()> {
        // SAFETY: `buffer` is as long as said; `fd` is open until we close it here.
        let read = unsafe { libc::recv(fd, self.buffer.as_mut_ptr().cast(), self.buffer.len(), 0) };
        match check(read as i32) {
            Ok(0) => self.close(fd),
            Ok(n) => {
                let sent = self.send(fd, 0, n as usize)?;
                if sent < n as usize {
                    self.unsent[fd as usize] = self.buffer[sent..n as usize].to_vec();
                    self.epoll.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLOUT)?;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.close(fd),
        }
        Ok(())
    }

    /// Sends `buffer[from..to]`; what was taken. An error is left for the next read to find.
    fn send(&self, fd: RawFd, from: usize, to: usize) -> io::Result<usize> {
        // SAFETY: the range lies inside `buffer`.
        let sent = unsafe { libc::send(fd, self.buffer[from..to].as_ptr().cast(), to - from, libc::MSG_NOSIGNAL) };
        Ok(sent.max(0) as usize)
    }

    fn send_rest(&mut self, fd: RawFd) -> io::Result<()> {
        let rest = &mut self.unsent[fd as usize];
        // SAFETY: as above, from `rest`.
        let sent = unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) };
        match check(sent as i32) {
            Ok(n) => drop(rest.drain(..n as usize)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                self.close(fd);
                return Ok(());
            }
        }
        if rest.is_empty() {
            self.unsent[fd as usize] = Vec::new();
            self.epoll.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN)?;
        }
        Ok(())
    }

    fn close(&mut self, fd: RawFd) {
        self.unsent[fd as usize] = Vec::new();
        // SAFETY: `fd` came from `into_raw_fd` and is closed once; epoll forgets it with that.
        unsafe {
            libc::close(fd);
        }
    }
}

/// One socket: receives until there is nothing, sending each datagram back, then waits.
fn serve_udp(job: &Job) -> io::Result<Answer> {
    let bound = job.bound();
    let socket = UdpSocket::bind(bound.address())?;
    socket.set_nonblocking(true)?;
    let mut epoll = Epoll::new()?;
    epoll.add(socket.as_raw_fd(), libc::EPOLLIN)?;
    bound.announce_at(Place::Udp(socket.local_addr()?));
    let mut buffer = vec![0; job.buffer];
    loop {
        epoll.wait()?;
        loop {
            let (n, peer): (usize, SocketAddr) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            };
            // A full buffer drops it, as UDP may.
            let _ = socket.send_to(&buffer[..n], peer);
        }
    }
}

// ---------------------------------------------------------------------------------------------------- waking

fn wake(job: &Job, mut answer: Answer) -> io::Result<Answer> {
    let mut epoll = Epoll::new()?;
    // SAFETY: a plain call.
    let event_fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    epoll.add(event_fd, libc::EPOLLIN | libc::EPOLLET)?;
    let (gate, zero, rounds) = (Arc::new(Gate::default()), Instant::now(), child::wake_rounds(job.quick));
    let thread = std::thread::spawn({
        let (gate, cpu) = (gate.clone(), job.other_cpu);
        move || {
            child::waking_thread(&gate, zero, rounds, cpu, || {
                // SAFETY: eight bytes of a local value.
                unsafe {
                    libc::write(event_fd, (&raw const ONE).cast(), 8);
                }
            })
        }
    });
    let mut latencies = Vec::new();
    for round in 1..=rounds {
        while !gate.called(round) {
            epoll.wait()?;
        }
        latencies.push(gate.resume(zero, round));
    }
    answer.put_percentiles("latency", &mut latencies);
    let mut calls = thread.join().expect("waking thread");
    answer.put("call_p50", crate::measure::percentile(&mut calls, 0.5));
    Ok(answer)
}

static ONE: u64 = 1;

// -------------------------------------------------------------------------------------------------- sleeping

fn sleeps(job: &Job, mut answer: Answer) -> io::Result<Answer> {
    let mut epoll = Epoll::new()?;
    let alarm = Alarm::new(&epoll)?;
    for (name, duration) in SLEEPS {
        let mut late = Vec::new();
        for _ in 0..child::sleep_count_for(duration, job.quick) {
            late.push(sleep(&mut epoll, &alarm, duration)?);
        }
        child::note_early(&mut answer, &late);
        answer.put_percentiles(name, &mut late);
    }
    Ok(answer)
}

fn sleep(epoll: &mut Epoll, alarm: &Alarm, duration: Duration) -> io::Result<f64> {
    let deadline = now_ns() + duration.as_nanos() as u64;
    alarm.arm(deadline)?;
    epoll.wait()?;
    Ok(late_us(deadline))
}

fn sleep_count(job: &Job, answer: Answer) -> io::Result<Answer> {
    let mut epoll = Epoll::new()?;
    let alarm = Alarm::new(&epoll)?;
    for _ in 0..job.count {
        sleep(&mut epoll, &alarm, Duration::from_millis(1))?;
    }
    Ok(answer)
}

/// A binary heap over one timerfd.
fn timer_storm(job: &Job, mut answer: Answer) -> io::Result<Answer> {
    let mut epoll = Epoll::new()?;
    let alarm = Alarm::new(&epoll)?;
    let offsets = child::storm_offsets(job.quick);
    let count = offsets.len();
    let mut late = Vec::with_capacity(count);
    let first = now_ns() + 1_000_000_000;
    let cpu_before = own_cpu_ns();
    let mut heap = BinaryHeap::new();
    for offset in offsets {
        heap.push(Reverse(first + offset.as_nanos() as u64));
    }
    let cpu_armed = own_cpu_ns();
    while let Some(&Reverse(next)) = heap.peek() {
        let now = now_ns();
        if next > now {
            alarm.arm(next)?;
            epoll.wait()?;
            continue;
        }
        heap.pop();
        late.push(late_us(next));
    }
    let cpu_after = own_cpu_ns();
    answer.put("total_ns", (cpu_after - cpu_before) as f64 / count as f64);
    answer.put("fire_ns", (cpu_after - cpu_armed) as f64 / count as f64);
    child::note_early(&mut answer, &late);
    answer.put_percentiles("late", &mut late);
    Ok(answer)
}
