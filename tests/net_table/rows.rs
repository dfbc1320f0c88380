//! The rows of the table.

use std::fs::File;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;

use wheelhouse::io::{
    AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, Interest, TryIoError,
};
use wheelhouse::net::unix::pipe;
use wheelhouse::net::{
    TcpListener, TcpSocket, TcpStream, ToSocketAddrs, UdpSocket, UnixDatagram, UnixListener,
    UnixSocket, UnixStream, lookup_host, tcp, unix,
};

use crate::{Row, Verdict};

/// Rows about one of tokio's types: its name and ours, the methods that are simply the same, then
/// line by line `same`, `better` or `left`, the method, the use to be made of it if its path alone
/// does not do, and what is to be said.
macro_rules! rows {
    ($rows:ident, $of:literal, $ours:ty: { $($plain:ident)* }
        $($verdict:ident $name:ident $(= $used:expr)? $(, $note:literal)?;)*) => {
        $($rows.push(row!($of, $ours, same $plain [] []));)*
        $($rows.push(row!($of, $ours, $verdict $name [$($used)?] [$($note)?]));)*
    };
}

macro_rules! row {
    ($of:literal, $ours:ty, same $name:ident [] [$($note:literal)?]) => {{
        let _ = <$ours>::$name;
        new($of, stringify!($name), Verdict::Same, concat!($($note)?), "")
    }};
    ($of:literal, $ours:ty, same $name:ident [$used:expr] [$($note:literal)?]) => {{
        let _ = $used;
        new($of, stringify!($name), Verdict::Same, concat!($($note)?), stringify!($used))
    }};
    ($of:literal, $ours:ty, better $name:ident [] [$note:literal]) => {{
        let _ = <$ours>::$name;
        new($of, stringify!($name), Verdict::Better, $note, "")
    }};
    ($of:literal, $ours:ty, better $name:ident [$used:expr] [$note:literal]) => {{
        let _ = $used;
        new($of, stringify!($name), Verdict::Better, $note, stringify!($used))
    }};
    ($of:literal, $ours:ty, left $name:ident [] [$note:literal]) => {
        new($of, stringify!($name), Verdict::LeftOut, $note, "")
    };
}

fn new(
    of: &'static str,
    name: &'static str,
    verdict: Verdict,
    note: &'static str,
    used: &'static str,
) -> Row {
    Row { of, name, verdict, note, used }
}

/// All rows, in the order of the page.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    of_net(&mut rows);
    of_tcplistener(&mut rows);
    of_tcpsocket(&mut rows);
    of_tcpstream(&mut rows);
    of_udpsocket(&mut rows);
    of_unixlistener(&mut rows);
    of_unixsocket(&mut rows);
    of_unixstream(&mut rows);
    of_unixdatagram(&mut rows);
    of_tcp_ownedreadhalf(&mut rows);
    of_tcp_ownedwritehalf(&mut rows);
    of_tcp_readhalf(&mut rows);
    of_tcp_writehalf(&mut rows);
    of_tcp(&mut rows);
    of_unix_ownedreadhalf(&mut rows);
    of_unix_ownedwritehalf(&mut rows);
    of_unix_readhalf(&mut rows);
    of_unix_writehalf(&mut rows);
    of_unix_socketaddr(&mut rows);
    of_unix_ucred(&mut rows);
    of_unix(&mut rows);
    of_unix_pipe(&mut rows);
    of_pipe_openoptions(&mut rows);
    of_pipe_receiver(&mut rows);
    of_pipe_sender(&mut rows);
    of_asyncfd(&mut rows);
    of_asyncfdreadyguard(&mut rows);
    of_asyncfdreadymutguard(&mut rows);
    of_asyncfdregistererror(&mut rows);
    of_io_unix(&mut rows);
    rows
}

fn of_net(rows: &mut Vec<Row>) {
    rows! { rows, "net", ():
        {}
        better lookup_host = lookup_host::<&str>,
            "One look-up at a time for a name, its answer kept for a minute; a literal needs \
             no thread; the end of a loop does not wait for it.";
        same ToSocketAddrs =
            |address: &str| { fn check<A: ToSocketAddrs>(_: A) {} check(address) };
    }
}

fn of_tcplistener(rows: &mut Vec<Row>) {
    rows! { rows, "net::TcpListener", TcpListener:
        { into_std local_addr set_ttl ttl }
        better accept,
            "Goes on when descriptors or memory run out (pauses, 5 ms to 1 s) and when one \
             connection is broken; only the listener's own errors come out. Several tasks get \
             their turns.";
        same bind = TcpListener::bind::<SocketAddr>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        better poll_accept, "As `accept`.";
    }
}

fn of_tcpsocket(rows: &mut Vec<Row>) {
    rows! { rows, "net::TcpSocket", TcpSocket:
        {
            bind bind_device connect device from_std_stream keepalive linger listen local_addr
            new_v4 new_v6 nodelay recv_buffer_size reuseaddr reuseport send_buffer_size
            set_keepalive set_linger set_nodelay set_recv_buffer_size set_reuseaddr
            set_reuseport set_send_buffer_size set_tclass_v6 set_tos_v4 set_zero_linger
            take_error tclass_v6 tos_v4
        }
    }
}

fn of_tcpstream(rows: &mut Vec<Row>) {
    rows! { rows, "net::TcpStream", TcpStream:
        {
            into_split into_std linger local_addr nodelay peek peer_addr poll_read_ready
            poll_write_ready quickack readable ready set_linger set_nodelay set_quickack set_ttl
            set_zero_linger split take_error try_read try_read_vectored try_write
            try_write_vectored ttl writable
        }
        same async_io = |socket: &TcpStream| drop(socket.async_io(Interest::READABLE, || Ok(())));
        better connect = TcpStream::connect::<SocketAddr>,
            "Races the addresses of a host (RFC 8305); a connection to itself is refused; \
             `connect_with` takes settings.";
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same try_io = |socket: &TcpStream| socket.try_io(Interest::READABLE, || Ok(()));
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_udpsocket(rows: &mut Vec<Row>) {
    rows! { rows, "net::UdpSocket", UdpSocket:
        {
            bind_device broadcast device into_std join_multicast_v4 join_multicast_v6
            leave_multicast_v4 leave_multicast_v6 local_addr multicast_loop_v4 multicast_loop_v6
            multicast_ttl_v4 peek peek_from peek_sender peer_addr poll_peek_sender
            poll_recv_ready poll_send poll_send_ready poll_send_to readable ready recv recv_from
            send set_broadcast set_multicast_loop_v4 set_multicast_loop_v6 set_multicast_ttl_v4
            set_tclass_v6 set_tos_v4 set_ttl take_error tclass_v6 tos_v4 try_peek try_peek_from
            try_peek_sender try_recv try_recv_from try_send try_send_to ttl writable
        }
        same async_io = |socket: &UdpSocket| drop(socket.async_io(Interest::READABLE, || Ok(())));
        same bind = UdpSocket::bind::<SocketAddr>;
        same connect = UdpSocket::connect::<SocketAddr>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_peek_from,
            "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv_from,
            "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same recv_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same recv_buf_from,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        better send_to = UdpSocket::send_to::<SocketAddr>,
            "A name with several addresses is sent to at one of the socket's own family; \
             tokio takes the first, whatever it is.";
        same try_io = |socket: &UdpSocket| socket.try_io(Interest::READABLE, || Ok(()));
        same try_recv_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_recv_buf_from,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_unixlistener(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixListener", UnixListener:
        { bind_addr into_std local_addr take_error }
        better accept, "As `TcpListener::accept`.";
        same bind = UnixListener::bind::<&str>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        better poll_accept, "As `TcpListener::accept`.";
    }
}

fn of_unixsocket(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixSocket", UnixSocket:
        { datagram listen new_datagram new_stream }
        same bind = UnixSocket::bind::<&str>;
        same connect = UnixSocket::connect::<&str>;
    }
}

fn of_unixstream(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixStream", UnixStream:
        {
            connect_addr into_split into_std local_addr pair peer_addr peer_cred poll_read_ready
            poll_write_ready readable ready split take_error try_read try_read_vectored
            try_write try_write_vectored writable
        }
        same async_io =
            |socket: &UnixStream| drop(socket.async_io(Interest::READABLE, || Ok(())));
        same connect = UnixStream::connect::<&str>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same try_io = |socket: &UnixStream| socket.try_io(Interest::READABLE, || Ok(()));
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_unixdatagram(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixDatagram", UnixDatagram:
        {
            into_std local_addr pair peer_addr poll_recv_ready poll_send poll_send_ready
            readable ready recv recv_from send shutdown take_error try_recv try_recv_from
            try_send unbound writable
        }
        same async_io =
            |socket: &UnixDatagram| drop(socket.async_io(Interest::READABLE, || Ok(())));
        same bind = UnixDatagram::bind::<&str>;
        same connect = UnixDatagram::connect::<&str>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same poll_recv, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv_from,
            "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_send_to = UnixDatagram::poll_send_to::<&str>;
        same recv_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same recv_buf_from,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        better send_to = UnixDatagram::send_to::<&str>,
            "Waits for a receiver whose queue is full without keeping a processor busy, and \
             is not stuck where others filled it; `send_to_addr` takes an address, such as a \
             sender's.";
        same try_io = |socket: &UnixDatagram| socket.try_io(Interest::READABLE, || Ok(()));
        same try_recv_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_recv_buf_from,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_send_to = UnixDatagram::try_send_to::<&str>;
    }
}

fn of_tcp_ownedreadhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::OwnedReadHalf", tcp::OwnedReadHalf:
        { local_addr peek peer_addr readable ready reunite try_read try_read_vectored }
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_tcp_ownedwritehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::OwnedWriteHalf", tcp::OwnedWriteHalf:
        { forget local_addr peer_addr ready reunite try_write try_write_vectored writable }
    }
}

fn of_tcp_readhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::ReadHalf", tcp::ReadHalf<'static>:
        { local_addr peek peer_addr readable ready try_read try_read_vectored }
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_tcp_writehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::WriteHalf", tcp::WriteHalf<'static>:
        { local_addr peer_addr ready try_write try_write_vectored writable }
    }
}

fn of_tcp(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp", ():
        {}
        same ReuniteError = |error: tcp::ReuniteError| (error.0, error.1);
    }
}

fn of_unix_ownedreadhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::OwnedReadHalf", unix::OwnedReadHalf:
        { local_addr peer_addr readable ready reunite try_read try_read_vectored }
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_unix_ownedwritehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::OwnedWriteHalf", unix::OwnedWriteHalf:
        { forget local_addr peer_addr ready reunite try_write try_write_vectored writable }
    }
}

fn of_unix_readhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::ReadHalf", unix::ReadHalf<'static>:
        { local_addr peer_addr readable ready try_read try_read_vectored }
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_unix_writehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::WriteHalf", unix::WriteHalf<'static>:
        { local_addr peer_addr ready try_write try_write_vectored writable }
    }
}

fn of_unix_socketaddr(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::SocketAddr", unix::SocketAddr:
        { as_pathname is_unnamed }
        same as_abstract_name = <unix::SocketAddr as SocketAddrExt>::as_abstract_name,
            "It is std's `SocketAddr`, and this is of std's trait `SocketAddrExt`.";
    }
}

fn of_unix_ucred(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::UCred", unix::UCred:
        { gid pid uid }
    }
}

fn of_unix(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix", ():
        {}
        same ReuniteError = |error: unix::ReuniteError| (error.0, error.1);
        left gid_t, "A `u32`.";
        left pid_t, "An `i32`.";
        left uid_t, "A `u32`.";
    }
}

fn of_unix_pipe(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe", ():
        {}
        same pipe = pipe::pipe;
    }
}

fn of_pipe_openoptions(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe::OpenOptions", pipe::OpenOptions:
        { new read_write unchecked }
        same open_receiver = pipe::OpenOptions::open_receiver::<&str>;
        same open_sender = pipe::OpenOptions::open_sender::<&str>;
    }
}

fn of_pipe_receiver(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe::Receiver", pipe::Receiver:
        {
            from_file from_file_unchecked from_owned_fd from_owned_fd_unchecked into_blocking_fd
            into_nonblocking_fd poll_read_ready readable ready try_read try_read_vectored
        }
        same try_io = |end: &pipe::Receiver| end.try_io(|| Ok(()));
        same try_read_buf,
            "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
    }
}

fn of_pipe_sender(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe::Sender", pipe::Sender:
        {
            from_file from_file_unchecked from_owned_fd from_owned_fd_unchecked into_blocking_fd
            into_nonblocking_fd poll_write_ready ready try_write try_write_vectored writable
        }
        same try_io = |end: &pipe::Sender| end.try_io(|| Ok(()));
    }
}

fn of_asyncfd(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFd", AsyncFd<File>:
        {
            get_mut get_ref into_inner poll_read_ready poll_read_ready_mut poll_write_ready
            poll_write_ready_mut readable readable_mut ready ready_mut try_new try_with_interest
            with_interest writable writable_mut
        }
        same async_io = |fd: &AsyncFd<File>| drop(fd.async_io(Interest::READABLE, |_| Ok(())));
        same async_io_mut =
            |fd: &mut AsyncFd<File>| drop(fd.async_io_mut(Interest::READABLE, |_| Ok(())));
        better new,
            "The descriptor is an `AsFd`, not a number: it cannot be closed behind the loop's \
             back without a lie. It goes to any thread.";
        left register,
            "It is `unsafe` and takes any number for a descriptor. `try_new` gives the \
             descriptor back too, and is safe.";
        left register_with_interest, "As `register`: use `try_with_interest`.";
        same try_io = |fd: &AsyncFd<File>| fd.try_io(Interest::READABLE, |_| Ok(()));
        same try_io_mut = |fd: &mut AsyncFd<File>| fd.try_io_mut(Interest::READABLE, |_| Ok(()));
    }
}

fn of_asyncfdreadyguard(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFdReadyGuard", AsyncFdReadyGuard<'static, File>:
        { clear_ready_matching get_inner get_ref ready retain_ready }
        better clear_ready,
            "However many events have come since, it clears nothing newer: the stamp has 64 \
             bits.";
        same try_io =
            |guard: &mut AsyncFdReadyGuard<'static, File>| drop(guard.try_io(|_| Ok(())));
    }
}

fn of_asyncfdreadymutguard(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFdReadyMutGuard", AsyncFdReadyMutGuard<'static, File>:
        {
            clear_ready clear_ready_matching get_inner get_inner_mut get_mut get_ref ready
            retain_ready
        }
        same try_io =
            |guard: &mut AsyncFdReadyMutGuard<'static, File>| drop(guard.try_io(|_| Ok(())));
    }
}

fn of_asyncfdregistererror(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFdRegisterError", AsyncFdRegisterError<File>:
        { into_parts }
    }
}

fn of_io_unix(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix", ():
        {}
        same TryIoError = |error: TryIoError| error.to_string();
    }
}
