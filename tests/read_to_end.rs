//! Reading all that comes until the end, on every kind of stream: nothing is lost when it is dropped
//! halfway or ends in an error, and others may read beside it.

mod support;

use std::io;
use std::net::Shutdown;

use support::tcp::{pair, run};
use wheelhouse::net::UnixStream;
use wheelhouse::net::unix::pipe::pipe;
use wheelhouse::spawn;
use wheelhouse::time::{Duration, timeout};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

#[test]
fn megabytes_come_behind_what_the_buffer_holds() {
    run(async {
        let (near, far) = pair().await;
        let data = pattern(3_000_001);
        let expected = [&b"before "[..], &data].concat();
        let sending = spawn(async move { near.write_all(&data).await.map(|()| drop(near)) });
        let mut buffer = b"before ".to_vec();
        assert_eq!(far.read_to_end(&mut buffer).await.unwrap(), 3_000_001);
        assert!(buffer == expected);
        // The end stays the end.
        assert_eq!(far.read_to_end(&mut buffer).await.unwrap(), 0);
        sending.await.unwrap().unwrap();
    });
}

#[test]
fn dropped_halfway_it_has_lost_nothing() {
    run(async {
        let (near, far) = pair().await;
        let data = pattern(200_000);
        let expected = data.clone();
        let sending = spawn(async move {
            for piece in data.chunks(700) {
                near.write_all(piece).await.unwrap();
                wheelhouse::yield_now().await;
            }
        });
        let (mut buffer, mut given_up) = (Vec::new(), 0);
        while timeout(Duration::from_micros(50), far.read_to_end(&mut buffer)).await.is_err() {
            given_up += 1;
        }
        assert!(buffer == expected, "{} bytes, given up {given_up} times", buffer.len());
        sending.await.unwrap();
    });
}

#[test]
fn after_an_error_what_came_before_is_there() {
    run(async {
        let (near, far) = pair().await;
        let mut buffer = Vec::new();
        near.write_all(b"half a ").await.unwrap();
        let cutting = spawn(async move {
            near.set_zero_linger().unwrap();
            drop(near);
        });
        // It reads what there is, then waits, and is told.
        let error = far.read_to_end(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(buffer, b"half a ");
        cutting.await.unwrap();
    });
}

#[test]
fn halves_unix_sockets_and_pipes_have_it_too() {
    run(async {
        let mut buffer = Vec::new();
        let (near, far) = pair().await;
        let (reader, writer) = far.into_split();
        near.write_all(b"tcp ").await.unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read_to_end(&mut buffer).await.unwrap(), 4);
        drop(writer);

        let (near, mut far) = UnixStream::pair().unwrap();
        near.write_all(b"unix ").await.unwrap();
        drop(near);
        assert_eq!(far.split().0.read_to_end(&mut buffer).await.unwrap(), 5);

        let (sender, receiver) = pipe().unwrap();
        sender.write_all(b"pipe").await.unwrap();
        drop(sender);
        assert_eq!(receiver.read_to_end(&mut buffer).await.unwrap(), 4);
        assert_eq!(buffer, b"tcp unix pipe");
    });
}
