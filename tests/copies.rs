//! `copy`, `copy_bidirectional` and `send_file` on real sockets: every byte arrives once, each
//! direction ends by itself, errors name the side. Rows 22 to 25 and 56 of the pitfalls.

mod support;

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::io::{AsyncReadExt, BufWriter};
use support::tcp::narrow_pair;
use support::{GUARD, rounds, run_checked_on};
use wheelhouse::net::{
    CopyError, CopyOperation, RelaySide, StreamReader, TcpListener, TcpStream, copy,
    copy_bidirectional,
};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{EventLoop, JoinHandle, spawn};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_checked_on(EventLoop::builder(), async { timeout(GUARD, future).await.expect("it hangs") })
}

/// A client and a server with a relay between them.
async fn relayed() -> (TcpStream, TcpStream, JoinHandle<Relayed>) {
    let (client, inbound) = narrow_pair().await;
    let (outbound, server) = narrow_pair().await;
    let relay = spawn(async move {
        let result = copy_bidirectional(&inbound, &outbound).await;
        result.map_err(|error| (error.side, error.operation, error.error.kind()))
    });
    (client, server, relay)
}

/// All that comes until the end.
async fn all_of(stream: &TcpStream) -> Vec<u8> {
    StreamReader::new(stream).read_to_end(usize::MAX).await.unwrap()
}

type Relayed = Result<(u64, u64), (RelaySide, CopyOperation, ErrorKind)>;

fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn a_copy_through_narrow_sockets_is_the_same() {
    run(async {
        let (client, inbound) = narrow_pair().await;
        let (outbound, server) = narrow_pair().await;
        let sent = bytes(rounds(32 << 20, 1 << 16));
        let (expected, total) = (sent.clone(), sent.len() as u64);
        let sender = spawn(async move { client.write_all(&sent).await.unwrap() });
        let copier = spawn(async move { copy(&inbound, &outbound).await.unwrap() });
        let received = all_of(&server).await;
        assert!(received == expected);
        assert_eq!(copier.await.unwrap(), total);
        sender.await.unwrap();
    });
}

/// Row 24: a slow reader that talks meanwhile gets all of it, and then the end.
#[test]
fn each_direction_ends_by_itself() {
    run(async {
        let (client, server, relay) = relayed().await;
        let sent = bytes(8 << 20);
        let expected = sent.clone();
        let talker = spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            all_of(&client).await
        });
        let mut received = Vec::new();
        let mut buffer = vec![0; 100_000];
        let mut said = 0;
        loop {
            let n = server.read(&mut buffer).await.unwrap();
            received.extend_from_slice(&buffer[..n]);
            if n == 0 {
                break;
            }
            server.write_all(b"chat").await.unwrap();
            said += 4;
            if said % 400 == 0 {
                sleep(Duration::from_micros(100)).await;
            }
        }
        assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
        // Their direction has ended, ours has not.
        sleep(Duration::from_millis(2)).await;
        assert!(!relay.is_finished() && !talker.is_finished());
        server.write_all(b"bye").await.unwrap();
        drop(server);
        let answer = talker.await.unwrap();
        assert!(answer.len() == said + 3 && answer.ends_with(b"chatbye"));
        assert_eq!(relay.await.unwrap(), Ok((8 << 20, said as u64 + 3)));
    });
}

/// Row 25: a client that vanishes ends the relay, which then costs nothing.
#[test]
fn a_reset_ends_both_directions_and_names_the_side() {
    for (reset, expected) in [("client", RelaySide::First), ("server", RelaySide::Second)] {
        run(async {
            let (client, server, relay) = relayed().await;
            let (resetting, other) =
                if reset == "client" { (client, server) } else { (server, client) };
            other.write_all(b"to be relayed").await.unwrap();
            resetting.readable().await.unwrap();
            resetting.set_zero_linger().unwrap();
            drop(resetting);
            let (side, operation, kind) = relay.await.unwrap().unwrap_err();
            assert_eq!((side, kind), (expected, ErrorKind::ConnectionReset), "{operation}");
            assert_eq!(other.read(&mut [0; 9]).await.unwrap(), 0);
        });
    }
}

/// Row 22: the peer has ended its side and does not read: the relay sleeps until it does.
#[test]
fn a_half_closed_peer_that_does_not_read_costs_nothing() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let (client, server, relay) = relayed().await;
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
        let sender = spawn(async move { server.write_all(&bytes(1 << 20)).await.unwrap() });
        sleep(Duration::from_millis(20)).await;
        let before = event_loop.metrics().polls;
        sleep(Duration::from_millis(50)).await;
        let polls = event_loop.metrics().polls - before;
        assert!(polls < 5, "{polls} polls in which nothing could be done");
        let received = all_of(&client).await;
        assert!(received == bytes(1 << 20));
        sender.await.unwrap();
        assert_eq!(relay.await.unwrap(), Ok((0, 1 << 20)));
    });
    support::assert_nothing_left(&event_loop);
}

/// What never has to wait would never let anybody else run.
#[test]
fn a_copy_in_memory_lets_others_run() {
    run(async {
        let endless = futures_lite::io::repeat(7);
        let endless = copy(endless, futures_lite::io::sink());
        timeout(Duration::from_millis(20), endless).await.unwrap_err();
    });
}

/// A writer that keeps data is flushed before the copy waits: who is at its other end may be who
/// is waited for.
#[test]
fn a_copy_flushes_before_it_waits() {
    run(async {
        let (client, inbound) = narrow_pair().await;
        let (outbound, server) = narrow_pair().await;
        let copier = spawn(async move { copy(&inbound, BufWriter::new(&outbound)).await.unwrap() });
        client.write_all(b"question").await.unwrap();
        let mut question = [0; 8];
        (&server).read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question");
        drop(client);
        assert_eq!(copier.await.unwrap(), 8);
    });
}

/// Gives `left` bytes, then fails, or ends where it cannot.
struct Breaks {
    left: usize,
    why: Option<ErrorKind>,
}

impl Breaks {
    fn go_on(&mut self, wanted: usize) -> Poll<io::Result<usize>> {
        let n = wanted.min(self.left);
        self.left -= n;
        match (n, self.why) {
            (0, Some(why)) => Poll::Ready(Err(why.into())),
            (n, _) => Poll::Ready(Ok(n)),
        }
    }
}

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.go_on(buffer.len())
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.go_on(data.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(ErrorKind::NotConnected.into()))
    }
}

#[test]
fn an_error_says_which_side_and_after_how_much() {
    let breaks = |left, why| Breaks { left, why };
    run(async {
        let reset = Some(ErrorKind::ConnectionReset);
        let error = copy(breaks(100_000, reset), futures_lite::io::sink()).await.unwrap_err();
        let CopyError { operation, copied, .. } = &error;
        assert_eq!((*operation, *copied), (CopyOperation::Read, 100_000));
        assert_eq!(
            error.to_string(),
            "reading failed after 100000 bytes were copied: connection reset"
        );
        assert_eq!(io::Error::from(error).kind(), ErrorKind::ConnectionReset);

        let broken = Some(ErrorKind::BrokenPipe);
        let error = copy(breaks(100_000, None), breaks(10, broken)).await.unwrap_err();
        assert_eq!((error.operation, error.copied), (CopyOperation::Write, 10));
        let error = copy(breaks(100_000, None), breaks(10, None)).await.unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::WriteZero);

        let error = copy_bidirectional(breaks(0, None), breaks(7, broken)).await.unwrap_err();
        assert_eq!((error.side, error.operation), (RelaySide::Second, CopyOperation::Shutdown));
        assert_eq!(
            error.to_string(),
            "ending the second stream failed after 0 bytes there and 0 back: not connected"
        );
        assert_eq!(io::Error::from(error).kind(), ErrorKind::NotConnected);
    });
}

/// A proxy gives the answer on although the question is not over.
#[test]
fn an_early_answer_passes() {
    run(async {
        let (client, server, relay) = relayed().await;
        server.write_all(b"go away\n").await.unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let mut reader = StreamReader::new(&client);
        assert_eq!(reader.read_line(99).await.unwrap(), Some("go away"));
        assert!(reader.at_eof().await.unwrap());
        client.write_all(b"why?").await.unwrap();
        drop(client);
        assert_eq!(StreamReader::new(&server).read_to_end(99).await.unwrap(), b"why?");
        assert_eq!(relay.await.unwrap(), Ok((4, 8)));
    });
}

/// Listening sockets would hide that a relay keeps both streams alive.
#[test]
fn a_relay_that_is_dropped_closes_what_it_owns() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (inbound, _) = listener.accept().await.unwrap();
        let (outbound, server) = narrow_pair().await;
        let relay = spawn(async move { copy_bidirectional(inbound, outbound).await.map(drop) });
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 1);
        relay.cancel();
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
    });
}
