//! What the page "Coming from tokio" says is here, for the compiler to check: it does not compile
//! when one of them is missing. The test reads the names from here, and compares them with the page.
//!
//! What takes only named type parameters is mentioned; what takes a closure has to be called.

#![allow(unused_imports, clippy::no_effect_underscore_binding)]

use std::future::{Ready, ready};
use std::os::fd::OwnedFd;

use wheelhouse::io::Interest;
use wheelhouse::*;

macro_rules! items {
    ($($first:ident $(:: $next:ident)*),* $(,)?) => {
        $(const _: () = {
            use wheelhouse::$first $(:: $next)* as _;
        };)*
    };
}

macro_rules! methods {
    ($($type:ty { $($method:ident $(::<$($generic:ty),+>)?),* $(,)? })*) => {
        #[test]
        fn the_methods_exist() {
            $($(let _ = <$type>::$method $(::<$($generic),+>)?;)*)*
        }
    };
}

macro_rules! called {
    ($($first:ident $(:: $next:ident)* => $call:expr;)*) => {
        #[test]
        fn the_methods_that_take_closures_exist() {
            $(let _ = $call;)*
        }
    };
}

struct Watch;

impl Observer for Watch {}

items! {
    EnterGuard,
    LoopGroup,
    Metrics,
    RemoteHandle,
    TaskTree,
    WaitFor,
    as_completed,
    call_at,
    call_later,
    call_soon,
    completion,
    gather,
    gather_settled,
    io::TryIoError,
    join,
    metrics,
    net::IncompleteRead,
    net::LimitOverrun,
    net::ToSocketAddrs,
    net::copy,
    net::copy_bidirectional,
    net::send_file,
    net::lookup_host,
    net::tcp::ReuniteError,
    net::unix::ReuniteError,
    net::unix::pipe::pipe,
    race,
    run,
    scope,
    select,
    shield,
    signal::ctrl_c,
    signal::signal,
    spawn,
    spawn_blocking,
    structure::Completion,
    structure::GroupError,
    structure::ScopedJoinHandle,
    structure::TaskLocalFuture,
    structure::wait_until,
    task::Id,
    task::JoinHandle,
    task::consume_budget,
    task::current,
    task::yield_now,
    task_local,
    testing::Test,
    testing::run,
    time::Duration,
    time::Elapsed,
    time::MissedTickBehavior,
    time::advance,
    time::interval,
    time::interval_at,
    time::pause,
    time::resume,
    time::sleep,
    time::sleep_until,
    time::timeout,
    time::timeout_at,
    try_gather,
    try_join,
    wait,
    yield_now,
}

methods! {
    Builder {
        blocking_keep_alive, build, clock, debug, events_per_turn, max_blocking_threads,
        operations_per_poll, polls_per_turn, run::<Ready<()>>, slow_task_threshold, spin,
    }
    CallHandle {
        cancel, is_cancelled, reschedule, when,
    }
    CancelToken {
        cancelled, run_until_cancelled::<Ready<()>>,
    }
    EventLoop {
        block_on::<Ready<()>>, builder, dump, enter, handle, metrics, new, next_deadline,
        run_forever, shutdown, time, turn,
    }
    Handle {
        current, is_closed, name, spawn::<fn() -> Ready<()>, Ready<()>>, stop, try_current,
    }
    JoinHandle<()> {
        cancel, is_finished, name,
    }
    JoinSet<()> {
        join_all, join_next, join_next_with_id, shutdown,
    }
    LoopGroup {
        builder,
    }
    RemoteHandle<()> {
        wait,
    }
    TaskGroup {
        cancel, cancel_with, cancelled, run::<(), fn(TaskGroup) -> Ready<()>>,
    }
    io::AsyncFd<OwnedFd> {
        get_mut, get_ref, into_inner, new, poll_read_ready, poll_read_ready_mut, poll_write_ready,
        poll_write_ready_mut, readable, readable_mut, ready, ready_mut, try_new,
        try_with_interest, with_interest, writable, writable_mut,
    }
    io::AsyncFdReadyGuard<'static, OwnedFd> {
        clear_ready, clear_ready_matching, get_inner, get_ref, ready, retain_ready,
    }
    io::AsyncFdReadyMutGuard<'static, OwnedFd> {
        clear_ready, clear_ready_matching, get_inner, get_inner_mut, get_mut, get_ref, ready,
        retain_ready,
    }
    io::AsyncFdRegisterError<OwnedFd> {
        into_parts,
    }
    io::Source<OwnedFd> {
        accept::<std::net::SocketAddr>, connect, peek, peek_from::<std::net::SocketAddr>, ready,
        recv, recv_from::<std::net::SocketAddr>, send, send_all, send_file,
        send_to::<std::net::SocketAddr>,
    }
    net::Lines<'static, net::TcpStream> {
        next,
    }
    net::Pieces<'static, net::TcpStream> {
        next,
    }
    net::Server {
        abort_clients, builder, close, close_clients, is_closed, local_addrs, wait_closed,
    }
    net::StreamReader<net::TcpStream> {
        at_eof, fill_buf, read, read_exact, read_line, read_to_end, read_until, skip_until,
    }
    net::StreamWriter<net::TcpStream> {
        drain, flush, set_limits, shutdown, write,
    }
    net::TcpListener {
        accept, bind::<&str>, from_std, into_std, local_addr, poll_accept, set_ttl, ttl,
    }
    net::TcpSocket {
        bind, bind_device, connect, device, from_std_stream, keepalive, linger, listen,
        local_addr, new_v4, new_v6, nodelay, recv_buffer_size, reuseaddr, reuseport,
        send_buffer_size, set_keepalive, set_linger, set_nodelay, set_recv_buffer_size,
        set_reuseaddr, set_reuseport, set_send_buffer_size, set_tclass_v6, set_tos_v4,
        set_zero_linger, take_error, tclass_v6, tos_v4,
    }
    net::TcpStream {
        connect::<&str>, connect_with::<&str>, from_std, into_split, into_std, linger, local_addr,
        nodelay, peek, peer_addr, poll_peek, poll_read_ready, poll_write_ready, quickack, read,
        read_to_end, readable, ready, set_linger, set_nodelay, set_quickack, set_ttl,
        set_zero_linger, split, take_error, try_read, try_read_buf, try_read_vectored, try_write,
        try_write_vectored, ttl, writable, write, write_all,
    }
    net::UdpSocket {
        bind::<&str>, bind_device, broadcast, connect::<&str>, device, from_std, into_std,
        join_multicast_v4, join_multicast_v6, leave_multicast_v4, leave_multicast_v6, local_addr,
        multicast_loop_v4, multicast_loop_v6, multicast_ttl_v4, peek, peek_from, peek_sender,
        peer_addr, poll_peek, poll_peek_from, poll_peek_sender, poll_recv, poll_recv_from,
        poll_recv_ready, poll_send, poll_send_ready, poll_send_to, readable, ready, recv,
        recv_buf, recv_buf_from, recv_from, send, send_to::<&str>, set_broadcast,
        set_multicast_loop_v4, set_multicast_loop_v6, set_multicast_ttl_v4, set_tclass_v6,
        set_tos_v4, set_ttl, take_error, tclass_v6, tos_v4, try_peek, try_peek_from,
        try_peek_sender, try_recv, try_recv_buf, try_recv_buf_from, try_recv_from, try_send,
        try_send_to, ttl, writable,
    }
    net::UnixDatagram {
        bind::<&str>, connect::<&str>, from_std, into_std, local_addr, pair, peek, peek_from,
        peek_sender, peer_addr, poll_recv, poll_recv_from, poll_recv_ready, poll_send,
        poll_send_ready, poll_send_to::<&str>, readable, ready, recv, recv_buf, recv_buf_from,
        recv_from, send, send_to::<&str>, send_to_addr, shutdown, take_error, try_recv,
        try_recv_buf, try_recv_buf_from, try_recv_from, try_send, try_send_to::<&str>, unbound,
        writable,
    }
    net::UnixListener {
        accept, bind::<&str>, bind_addr, from_std, into_std, local_addr, poll_accept, take_error,
    }
    net::UnixSocket {
        bind::<&str>, connect::<&str>, datagram, listen, new_datagram, new_stream,
    }
    net::UnixStream {
        connect::<&str>, connect_addr, from_std, into_split, into_std, local_addr, pair, peer_addr,
        peer_cred, poll_read_ready, poll_write_ready, read, read_to_end, readable, ready, split,
        take_error, try_read, try_read_buf, try_read_vectored, try_write, try_write_vectored,
        writable, write, write_all,
    }
    net::tcp::OwnedReadHalf {
        local_addr, peek, peer_addr, poll_peek, readable, ready, reunite, try_read, try_read_buf,
        try_read_vectored,
    }
    net::tcp::OwnedWriteHalf {
        forget, local_addr, peer_addr, ready, reunite, try_write, try_write_vectored, writable,
    }
    net::tcp::ReadHalf {
        local_addr, peek, peer_addr, poll_peek, readable, ready, try_read, try_read_buf,
        try_read_vectored,
    }
    net::tcp::WriteHalf {
        local_addr, peer_addr, ready, try_write, try_write_vectored, writable,
    }
    net::unix::OwnedReadHalf {
        local_addr, peer_addr, readable, ready, reunite, try_read, try_read_buf,
        try_read_vectored,
    }
    net::unix::OwnedWriteHalf {
        forget, local_addr, peer_addr, ready, reunite, try_write, try_write_vectored, writable,
    }
    net::unix::ReadHalf {
        local_addr, peer_addr, readable, ready, try_read, try_read_buf, try_read_vectored,
    }
    net::unix::SocketAddr {
        as_pathname, is_unnamed,
    }
    net::unix::UCred {
        gid, pid, uid,
    }
    net::unix::WriteHalf {
        local_addr, peer_addr, ready, try_write, try_write_vectored, writable,
    }
    net::unix::pipe::OpenOptions {
        new, open_receiver::<&str>, open_sender::<&str>, read_write, unchecked,
    }
    net::unix::pipe::Receiver {
        from_file, from_file_unchecked, from_owned_fd, from_owned_fd_unchecked, into_blocking_fd,
        into_nonblocking_fd, poll_read_ready, read, read_to_end, readable, ready, try_read,
        try_read_buf, try_read_vectored,
    }
    net::unix::pipe::Sender {
        from_file, from_file_unchecked, from_owned_fd, from_owned_fd_unchecked, into_blocking_fd,
        into_nonblocking_fd, poll_write_ready, ready, try_write, try_write_vectored, writable,
        write, write_all,
    }
    signal::Signal {
        poll_recv, recv,
    }
    signal::SignalKind {
        alarm, as_raw_value, child, from_raw, hangup, interrupt, io, pipe, quit, terminate,
        user_defined1, user_defined2, window_change,
    }
    structure::AsCompleted<()> {
        next,
    }
    structure::Completer<()> {
        complete, is_unwanted, remote,
    }
    structure::Completion<()> {
        is_complete,
    }
    task::AbortHandle {
        abort, id, is_finished,
    }
    task::Builder {
        spawn::<Ready<()>>,
    }
    task::JoinError {
        id, into_panic, is_cancelled, is_closed, is_panic, try_into_panic,
    }
    task::JoinHandle<()> {
        abort, abort_handle, id, is_finished,
    }
    task::JoinSet<()> {
        abort_all, detach_all, is_empty, join_all, join_next, join_next_with_id, len, new,
        poll_join_next, poll_join_next_with_id, shutdown, spawn::<Ready<()>>,
        spawn_blocking::<fn()>, try_join_next, try_join_next_with_id,
    }
    task::LocalKey<u8> {
        get, try_get,
    }
    time::Instant {
        checked_add, checked_duration_since, checked_sub, duration_since, elapsed, from_std,
        into_std, now, saturating_duration_since,
    }
    time::Interval {
        missed_tick_behavior, period, poll_tick, reset, reset_after, reset_at, reset_immediately,
        set_missed_tick_behavior, tick,
    }
    time::Sleep {
        deadline, is_elapsed, reset,
    }
    time::Timeout<Ready<()>> {
        deadline, get_mut, get_ref, into_inner, reset,
    }
}

called! {
    Builder::name => |builder: Builder| builder.name("name");
    Builder::observer => |builder: Builder, observer: Watch| builder.observer(observer);
    Handle::call_soon => |handle: Handle| handle.call_soon(|| ()).is_ok();
    io::AsyncFd::async_io =>
        |fd: &io::AsyncFd<OwnedFd>| drop(fd.async_io(Interest::READABLE, |_| Ok(())));
    io::AsyncFd::async_io_mut =>
        |fd: &mut io::AsyncFd<OwnedFd>| drop(fd.async_io_mut(Interest::READABLE, |_| Ok(())));
    io::AsyncFd::try_io =>
        |fd: &io::AsyncFd<OwnedFd>| fd.try_io(Interest::READABLE, |_| Ok(())).ok();
    io::AsyncFd::try_io_mut =>
        |fd: &mut io::AsyncFd<OwnedFd>| fd.try_io_mut(Interest::READABLE, |_| Ok(())).ok();
    io::AsyncFdReadyGuard::try_io =>
        |guard: &mut io::AsyncFdReadyGuard<'_, OwnedFd>| guard.try_io(|_| Ok(())).is_ok();
    io::AsyncFdReadyMutGuard::try_io =>
        |guard: &mut io::AsyncFdReadyMutGuard<'_, OwnedFd>| guard.try_io(|_| Ok(())).is_ok();
    io::Source::io =>
        |source: &io::Source<OwnedFd>| drop(source.io(io::Direction::Read, |_| Ok(())));
    net::ServerBuilder::serve => |server: net::ServerBuilder| drop(server.serve(|_, _| async {}));
    net::ServerBuilder::serve_on =>
        |server: net::ServerBuilder, all: &LoopGroup| drop(server.serve_on(all, |_, _| async {}));
    net::TcpStream::async_io =>
        |socket: &net::TcpStream| drop(socket.async_io(Interest::READABLE, || Ok(())));
    net::TcpStream::send_file =>
        |socket: &net::TcpStream, file: &std::fs::File| drop(socket.send_file(file, ..));
    net::TcpStream::try_io =>
        |socket: &net::TcpStream| socket.try_io(Interest::READABLE, || Ok(())).ok();
    net::UdpSocket::async_io =>
        |socket: &net::UdpSocket| drop(socket.async_io(Interest::READABLE, || Ok(())));
    net::UdpSocket::try_io =>
        |socket: &net::UdpSocket| socket.try_io(Interest::READABLE, || Ok(())).ok();
    net::UnixDatagram::async_io =>
        |socket: &net::UnixDatagram| drop(socket.async_io(Interest::READABLE, || Ok(())));
    net::UnixDatagram::try_io =>
        |socket: &net::UnixDatagram| socket.try_io(Interest::READABLE, || Ok(())).ok();
    net::UnixStream::async_io =>
        |socket: &net::UnixStream| drop(socket.async_io(Interest::READABLE, || Ok(())));
    net::UnixStream::try_io =>
        |socket: &net::UnixStream| socket.try_io(Interest::READABLE, || Ok(())).ok();
    net::unix::pipe::Receiver::try_io =>
        |pipe: &net::unix::pipe::Receiver| pipe.try_io(|| Ok(())).ok();
    net::unix::pipe::Sender::try_io => |pipe: &net::unix::pipe::Sender| pipe.try_io(|| Ok(())).ok();
    task::LocalKey::scope => |key: &'static task::LocalKey<u8>| drop(key.scope(1, ready(())));
    task::LocalKey::sync_scope => |key: &'static task::LocalKey<u8>| key.sync_scope(1, || ());
    task::LocalKey::try_with =>
        |key: &'static task::LocalKey<u8>| key.try_with(|value| *value).ok();
    task::LocalKey::with => |key: &'static task::LocalKey<u8>| key.with(|value| *value);
}
