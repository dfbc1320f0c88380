//! Opening TCP connections: what is refused, what only looks like a connection, and what is left of
//! attempts that were given up.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::task::Poll;

use support::in_child;
use support::tcp::{listener, pair, refusing, run, run_scripted, silent};
use wheelhouse::net::{TcpSocket, TcpStream};
use wheelhouse::{Script, Step, yield_now};

#[test]
fn a_refused_connect_is_an_error() {
    run(async {
        let (_socket, address) = refusing();
        for _ in 0..100 {
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        let socket = TcpSocket::new_v4().unwrap();
        let error = socket.connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// Row 20, with a selector that reports everything as ready all the time.
#[test]
fn a_spurious_event_does_not_make_a_connection() {
    run_scripted(Script::repeating([Step::Spurious]), async {
        let (_socket, address) = refusing();
        for _ in 0..20 {
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        let (_sockets, address) = silent();
        let mut connect = pin!(TcpStream::connect(address));
        for _ in 0..50 {
            assert!(poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await.is_pending());
            yield_now().await;
        }
    });
}

/// Row 21.
#[test]
fn connecting_to_oneself_is_refused() {
    run(async {
        for _ in 0..10 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
            let itself = socket.local_addr().unwrap();
            let error = socket.connect(itself).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Rows 27 and 28.
#[cfg(target_os = "linux")]
#[test]
fn cancelled_waits_leave_no_descriptor_and_disturb_nobody() {
    in_child("cancelled_waits_leave_no_descriptor_and_disturb_nobody", || {
        run(async {
            let (_sockets, address) = silent();
            let listener = listener().await;
            let (client, server) = pair().await;
            let before = open_descriptors();
            let mut fds = BTreeMap::new();
            for _ in 0..500 {
                let mut connect = Box::pin(TcpStream::connect(address));
                assert!(poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await.is_pending());
                drop(connect);
                let mut accept = Box::pin(listener.accept());
                assert!(poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await.is_pending());
                // The descriptor that the connect had is used again at once.
                let (ours, mut theirs) = {
                    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap());
                    (accept.await.unwrap().0, theirs.unwrap())
                };
                *fds.entry(ours.as_raw_fd()).or_insert(0) += 1;
                let mut buffer = [0; 4];
                let mut read = Box::pin(ours.read(&mut buffer));
                assert!(poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await.is_pending());
                drop(read);
                theirs.write_all(b"new").unwrap();
                assert_eq!(ours.read(&mut buffer).await.unwrap(), 3);
            }
            assert_eq!(open_descriptors(), before);
            assert!(fds.len() < 4, "{fds:?}: no number was used again");
            client.write_all(b"still there").await.unwrap();
            assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 11);
        });
    });
}
