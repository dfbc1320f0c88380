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

/// Rows about one of tokio's types: its name, ours, and line by line `same`, `better` or `left`,
/// the method, the use to be made of it if its path alone does not do, and what is to be said.
macro_rules! rows {
    ($rows:ident, $of:literal, $ours:ty:
        $($verdict:ident $name:ident $(= $used:expr)? $(, $note:literal)?;)*) => {
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
        better lookup_host = lookup_host::<&str>, "One look-up at a time for a name, its answer kept for a minute; a literal needs no \
         thread; the end of a loop does not wait for it.";
        same ToSocketAddrs = |address: &str| { fn check<A: ToSocketAddrs>(_: A) {} check(address) };
    }
}

fn of_tcplistener(rows: &mut Vec<Row>) {
    rows! { rows, "net::TcpListener", TcpListener:
        better accept, "Goes on when descriptors or memory run out (pauses, 5 ms to 1 s) and when one \
         connection is broken; only the listener's own errors come out. Several tasks get \
         their turns.";
        same bind = TcpListener::bind::<SocketAddr>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same into_std;
        same local_addr;
        better poll_accept, "As `accept`.";
        same set_ttl;
        same ttl;
    }
}

fn of_tcpsocket(rows: &mut Vec<Row>) {
    rows! { rows, "net::TcpSocket", TcpSocket:
        same bind;
        same bind_device;
        same connect;
        same device;
        same from_std_stream;
        same keepalive;
        same linger;
        same listen;
        same local_addr;
        same new_v4;
        same new_v6;
        same nodelay;
        same recv_buffer_size;
        same reuseaddr;
        same reuseport;
        same send_buffer_size;
        same set_keepalive;
        same set_linger;
        same set_nodelay;
        same set_recv_buffer_size;
        same set_reuseaddr;
        same set_reuseport;
        same set_send_buffer_size;
        same set_tclass_v6;
        same set_tos_v4;
        same set_zero_linger;
        same take_error;
        same tclass_v6;
        same tos_v4;
    }
}

fn of_tcpstream(rows: &mut Vec<Row>) {
    rows! { rows, "net::TcpStream", TcpStream:
        same async_io = |socket: &TcpStream| drop(socket.async_io(Interest::READABLE, || Ok(())));
        better connect = TcpStream::connect::<SocketAddr>, "Races the addresses of a host (RFC 8305); a connection to itself is refused; \
         `connect_with` takes settings.";
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same into_split;
        same into_std;
        same linger;
        same local_addr;
        same nodelay;
        same peek;
        same peer_addr;
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_read_ready;
        same poll_write_ready;
        same quickack;
        same readable;
        same ready;
        same set_linger;
        same set_nodelay;
        same set_quickack;
        same set_ttl;
        same set_zero_linger;
        same split;
        same take_error;
        same try_io = |socket: &TcpStream| socket.try_io(Interest::READABLE, || Ok(()));
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
        same try_write;
        same try_write_vectored;
        same ttl;
        same writable;
    }
}

fn of_udpsocket(rows: &mut Vec<Row>) {
    rows! { rows, "net::UdpSocket", UdpSocket:
        same async_io = |socket: &UdpSocket| drop(socket.async_io(Interest::READABLE, || Ok(())));
        same bind = UdpSocket::bind::<SocketAddr>;
        same bind_device;
        same broadcast;
        same connect = UdpSocket::connect::<SocketAddr>;
        same device;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same into_std;
        same join_multicast_v4;
        same join_multicast_v6;
        same leave_multicast_v4;
        same leave_multicast_v6;
        same local_addr;
        same multicast_loop_v4;
        same multicast_loop_v6;
        same multicast_ttl_v4;
        same peek;
        same peek_from;
        same peek_sender;
        same peer_addr;
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_peek_from, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_peek_sender;
        same poll_recv, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv_from, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv_ready;
        same poll_send;
        same poll_send_ready;
        same poll_send_to;
        same readable;
        same ready;
        same recv;
        same recv_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same recv_buf_from, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same recv_from;
        same send;
        better send_to = UdpSocket::send_to::<SocketAddr>, "A name with several addresses is sent to at one of the socket's own family; tokio \
         takes the first, whatever it is.";
        same set_broadcast;
        same set_multicast_loop_v4;
        same set_multicast_loop_v6;
        same set_multicast_ttl_v4;
        same set_tclass_v6;
        same set_tos_v4;
        same set_ttl;
        same take_error;
        same tclass_v6;
        same tos_v4;
        same try_io = |socket: &UdpSocket| socket.try_io(Interest::READABLE, || Ok(()));
        same try_peek;
        same try_peek_from;
        same try_peek_sender;
        same try_recv;
        same try_recv_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_recv_buf_from, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_recv_from;
        same try_send;
        same try_send_to;
        same ttl;
        same writable;
    }
}

fn of_unixlistener(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixListener", UnixListener:
        better accept, "As `TcpListener::accept`.";
        same bind = UnixListener::bind::<&str>;
        same bind_addr;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same into_std;
        same local_addr;
        better poll_accept, "As `TcpListener::accept`.";
        same take_error;
    }
}

fn of_unixsocket(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixSocket", UnixSocket:
        same bind = UnixSocket::bind::<&str>;
        same connect = UnixSocket::connect::<&str>;
        same datagram;
        same listen;
        same new_datagram;
        same new_stream;
    }
}

fn of_unixstream(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixStream", UnixStream:
        same async_io = |socket: &UnixStream| drop(socket.async_io(Interest::READABLE, || Ok(())));
        same connect = UnixStream::connect::<&str>;
        same connect_addr;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same into_split;
        same into_std;
        same local_addr;
        same pair;
        same peer_addr;
        same peer_cred;
        same poll_read_ready;
        same poll_write_ready;
        same readable;
        same ready;
        same split;
        same take_error;
        same try_io = |socket: &UnixStream| socket.try_io(Interest::READABLE, || Ok(()));
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
        same try_write;
        same try_write_vectored;
        same writable;
    }
}

fn of_unixdatagram(rows: &mut Vec<Row>) {
    rows! { rows, "net::UnixDatagram", UnixDatagram:
        same async_io = |socket: &UnixDatagram| drop(socket.async_io(Interest::READABLE, || Ok(())));
        same bind = UnixDatagram::bind::<&str>;
        same connect = UnixDatagram::connect::<&str>;
        better from_std, "Makes it non-blocking itself; tokio panics at a blocking one.";
        same into_std;
        same local_addr;
        same pair;
        same peer_addr;
        same poll_recv, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv_from, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same poll_recv_ready;
        same poll_send;
        same poll_send_ready;
        same poll_send_to = UnixDatagram::poll_send_to::<&str>;
        same readable;
        same ready;
        same recv;
        same recv_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same recv_buf_from, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same recv_from;
        same send;
        better send_to = UnixDatagram::send_to::<&str>, "Waits for a receiver whose queue is full without keeping a processor busy, and is \
         not stuck where others filled it; `send_to_addr` takes an address, such as a \
         sender's.";
        same shutdown;
        same take_error;
        same try_io = |socket: &UnixDatagram| socket.try_io(Interest::READABLE, || Ok(()));
        same try_recv;
        same try_recv_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_recv_buf_from, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_recv_from;
        same try_send;
        same try_send_to = UnixDatagram::try_send_to::<&str>;
        same unbound;
        same writable;
    }
}

fn of_tcp_ownedreadhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::OwnedReadHalf", tcp::OwnedReadHalf:
        same local_addr;
        same peek;
        same peer_addr;
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same readable;
        same ready;
        same reunite;
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
    }
}

fn of_tcp_ownedwritehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::OwnedWriteHalf", tcp::OwnedWriteHalf:
        same forget;
        same local_addr;
        same peer_addr;
        same ready;
        same reunite;
        same try_write;
        same try_write_vectored;
        same writable;
    }
}

fn of_tcp_readhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::ReadHalf", tcp::ReadHalf<'static>:
        same local_addr;
        same peek;
        same peer_addr;
        same poll_peek, "Into `&mut [u8]`, and gives the length, where tokio takes a `ReadBuf`.";
        same readable;
        same ready;
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
    }
}

fn of_tcp_writehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp::WriteHalf", tcp::WriteHalf<'static>:
        same local_addr;
        same peer_addr;
        same ready;
        same try_write;
        same try_write_vectored;
        same writable;
    }
}

fn of_tcp(rows: &mut Vec<Row>) {
    rows! { rows, "net::tcp", ():
        same ReuniteError = |error: tcp::ReuniteError| (error.0, error.1);
    }
}

fn of_unix_ownedreadhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::OwnedReadHalf", unix::OwnedReadHalf:
        same local_addr;
        same peer_addr;
        same readable;
        same ready;
        same reunite;
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
    }
}

fn of_unix_ownedwritehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::OwnedWriteHalf", unix::OwnedWriteHalf:
        same forget;
        same local_addr;
        same peer_addr;
        same ready;
        same reunite;
        same try_write;
        same try_write_vectored;
        same writable;
    }
}

fn of_unix_readhalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::ReadHalf", unix::ReadHalf<'static>:
        same local_addr;
        same peer_addr;
        same readable;
        same ready;
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
    }
}

fn of_unix_writehalf(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::WriteHalf", unix::WriteHalf<'static>:
        same local_addr;
        same peer_addr;
        same ready;
        same try_write;
        same try_write_vectored;
        same writable;
    }
}

fn of_unix_socketaddr(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::SocketAddr", unix::SocketAddr:
        same as_abstract_name = <unix::SocketAddr as SocketAddrExt>::as_abstract_name, "It is std's `SocketAddr`, and this is of std's trait `SocketAddrExt`.";
        same as_pathname;
        same is_unnamed;
    }
}

fn of_unix_ucred(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::UCred", unix::UCred:
        same gid;
        same pid;
        same uid;
    }
}

fn of_unix(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix", ():
        same ReuniteError = |error: unix::ReuniteError| (error.0, error.1);
        left gid_t, "A `u32`.";
        left pid_t, "An `i32`.";
        left uid_t, "A `u32`.";
    }
}

fn of_unix_pipe(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe", ():
        same pipe = pipe::pipe;
    }
}

fn of_pipe_openoptions(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe::OpenOptions", pipe::OpenOptions:
        same new;
        same open_receiver = pipe::OpenOptions::open_receiver::<&str>;
        same open_sender = pipe::OpenOptions::open_sender::<&str>;
        same read_write;
        same unchecked;
    }
}

fn of_pipe_receiver(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe::Receiver", pipe::Receiver:
        same from_file;
        same from_file_unchecked;
        same from_owned_fd;
        same from_owned_fd_unchecked;
        same into_blocking_fd;
        same into_nonblocking_fd;
        same poll_read_ready;
        same readable;
        same ready;
        same try_io = |end: &pipe::Receiver| end.try_io(|| Ok(()));
        same try_read;
        same try_read_buf, "Into a `Vec<u8>` where tokio takes any `BufMut`: no `unsafe` is needed.";
        same try_read_vectored;
    }
}

fn of_pipe_sender(rows: &mut Vec<Row>) {
    rows! { rows, "net::unix::pipe::Sender", pipe::Sender:
        same from_file;
        same from_file_unchecked;
        same from_owned_fd;
        same from_owned_fd_unchecked;
        same into_blocking_fd;
        same into_nonblocking_fd;
        same poll_write_ready;
        same ready;
        same try_io = |end: &pipe::Sender| end.try_io(|| Ok(()));
        same try_write;
        same try_write_vectored;
        same writable;
    }
}

fn of_asyncfd(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFd", AsyncFd<File>:
        same async_io = |fd: &AsyncFd<File>| drop(fd.async_io(Interest::READABLE, |_| Ok(())));
        same async_io_mut = |fd: &mut AsyncFd<File>| drop(fd.async_io_mut(Interest::READABLE, |_| Ok(())));
        same get_mut;
        same get_ref;
        same into_inner;
        better new, "The descriptor is an `AsFd`, not a number: it cannot be closed behind the loop's \
         back without a lie. It goes to any thread.";
        same poll_read_ready;
        same poll_read_ready_mut;
        same poll_write_ready;
        same poll_write_ready_mut;
        same readable;
        same readable_mut;
        same ready;
        same ready_mut;
        left register, "It is `unsafe` and takes any number for a descriptor. `try_new` gives the descriptor \
         back too, and is safe.";
        left register_with_interest, "As `register`: use `try_with_interest`.";
        same try_io = |fd: &AsyncFd<File>| fd.try_io(Interest::READABLE, |_| Ok(()));
        same try_io_mut = |fd: &mut AsyncFd<File>| fd.try_io_mut(Interest::READABLE, |_| Ok(()));
        same try_new;
        same try_with_interest;
        same with_interest;
        same writable;
        same writable_mut;
    }
}

fn of_asyncfdreadyguard(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFdReadyGuard", AsyncFdReadyGuard<'static, File>:
        better clear_ready, "However many events have come since, it clears nothing newer: the stamp has 64 bits.";
        same clear_ready_matching;
        same get_inner;
        same get_ref;
        same ready;
        same retain_ready;
        same try_io = |guard: &mut AsyncFdReadyGuard<'static, File>| drop(guard.try_io(|_| Ok(())));
    }
}

fn of_asyncfdreadymutguard(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFdReadyMutGuard", AsyncFdReadyMutGuard<'static, File>:
        same clear_ready;
        same clear_ready_matching;
        same get_inner;
        same get_inner_mut;
        same get_mut;
        same get_ref;
        same ready;
        same retain_ready;
        same try_io = |guard: &mut AsyncFdReadyMutGuard<'static, File>| drop(guard.try_io(|_| Ok(())));
    }
}

fn of_asyncfdregistererror(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix::AsyncFdRegisterError", AsyncFdRegisterError<File>:
        same into_parts;
    }
}

fn of_io_unix(rows: &mut Vec<Row>) {
    rows! { rows, "io::unix", ():
        same TryIoError = |error: TryIoError| error.to_string();
    }
}
