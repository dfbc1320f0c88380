//! The names of Unix sockets: paths and abstract names, and what is neither.

mod support;

use std::future::Future;
use std::io::ErrorKind;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;

use support::{GUARD, TempPath, kind_of, run_checked};
use wheelhouse::net::{UnixDatagram, UnixListener, UnixStream};
use wheelhouse::time::timeout;

#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_checked(async { timeout(GUARD, future).await.expect("it hangs") })
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_are_in_no_file_system_and_end_with_their_socket() {
    run(async {
        let name = format!("wheelhouse test {}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        // By address, and as a path with a zero byte before it.
        let path = format!("\0{name}");
        for by_address in [true, false] {
            let listener = match by_address {
                true => UnixListener::bind_addr(&address).unwrap(),
                false => UnixListener::bind(&path).unwrap(),
            };
            let bound = listener.local_addr().unwrap();
            assert_eq!(bound.as_abstract_name(), Some(name.as_bytes()));
            assert_eq!(kind_of(UnixListener::bind(&path)), ErrorKind::AddrInUse);
            let client = UnixStream::connect_addr(&bound).await.unwrap();
            let again = UnixStream::connect(&path).await.unwrap();
            for _ in 0..2 {
                listener.accept().await.unwrap();
            }
            assert_eq!(client.peer_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
            drop((listener, again));
            let refused = UnixStream::connect_addr(&address).await;
            assert_eq!(kind_of(refused), ErrorKind::ConnectionRefused);
        }
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.send_to(b"by path", &path).await.unwrap();
        client.send_to_addr(b"by address", &address).await.unwrap();
        client.connect_addr(&address).unwrap();
        client.send(b"as peer").await.unwrap();
        let mut buffer = [0; 16];
        for length in [7, 10, 7] {
            let (n, sender) = socket.recv_from(&mut buffer).await.unwrap();
            assert!(n == length && sender.is_unnamed());
        }
    });
}

/// An abstract name is bytes, zeros among them, and fills the address to the last.
#[cfg(target_os = "linux")]
#[test]
fn abstract_names_hold_any_bytes_and_fill_the_address() {
    run(async {
        let id = std::process::id();
        let longest = format!("\0{id:0>107}");
        for name in [format!("\0{id}\0inner\0"), longest.clone()] {
            let listener = UnixListener::bind(&name).unwrap();
            let client = UnixStream::connect(&name).await.unwrap();
            let peer = client.peer_addr().unwrap();
            assert_eq!(peer.as_abstract_name(), Some(&name.as_bytes()[1..]));
            listener.accept().await.unwrap();
            let shorter = UnixStream::connect(&name[..name.len() - 1]).await;
            assert_eq!(kind_of(shorter), ErrorKind::ConnectionRefused);
        }
        let socket = UnixDatagram::bind(&longest).unwrap();
        socket.send_to(b"to oneself", &longest).await.unwrap();
        let (_, sender) = socket.recv_from(&mut [0; 10]).await.unwrap();
        assert_eq!(sender.as_abstract_name(), Some(&longest.as_bytes()[1..]));
        let longer = longest.clone() + "0";
        assert_eq!(kind_of(UnixListener::bind(&longer)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(socket.send_to(b"x", &longer).await), ErrorKind::InvalidInput);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_listens_on_an_abstract_name() {
    run(async {
        let name = format!("\0wheelhouse server {}", std::process::id());
        let builder = wheelhouse::net::Server::unix_builder().bind(&name);
        let server = builder.serve(|conn, _| async move { conn.write_all(b"x").await }).await;
        let server = server.unwrap();
        assert_eq!(server.local_addrs()[0].as_abstract_name(), Some(&name.as_bytes()[1..]));
        let client = UnixStream::connect(&name).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 1);
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn paths_that_are_none_are_errors() {
    run(async {
        let path = TempPath::new("none");
        assert_eq!(kind_of(UnixStream::connect(&path).await), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(kind_of(UnixListener::bind(&path)), ErrorKind::AddrInUse);
        drop(listener);
        // The path stays, and nobody listens there.
        assert_eq!(kind_of(UnixStream::connect(&path).await), ErrorKind::ConnectionRefused);
        assert_eq!(kind_of(UnixListener::bind(&path)), ErrorKind::AddrInUse);
        let long = "x".repeat(200);
        assert_eq!(kind_of(UnixListener::bind(&long)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(UnixStream::connect(&long).await), ErrorKind::InvalidInput);
        assert_eq!(kind_of(UnixListener::bind("")), ErrorKind::InvalidInput);
        // The system would take what is before the zero byte for the path.
        let cut = format!("{}\0cut", path.as_ref().display());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(kind_of(UnixListener::bind(&cut)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(UnixDatagram::bind(&cut)), ErrorKind::InvalidInput);
        assert!(!path.as_ref().exists());
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(kind_of(UnixStream::connect(&cut).await), ErrorKind::InvalidInput);
        drop(listener);
        let (one, _other) = UnixStream::pair().unwrap();
        let unnamed = one.local_addr().unwrap();
        assert_eq!(kind_of(UnixStream::connect_addr(&unnamed).await), ErrorKind::InvalidInput);
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(kind_of(socket.send_to_addr(b"x", &unnamed).await), ErrorKind::InvalidInput);
        assert_eq!(kind_of(socket.try_send_to(b"x", &path)), ErrorKind::ConnectionRefused);
    });
}
