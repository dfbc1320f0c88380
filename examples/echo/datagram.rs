//! Datagrams: each is answered by itself, to whom it came from.
//!
//! Two such services, or one with itself, could answer each other for ever, and a sender can claim
//! to be anybody. So datagrams from ports below 1024, where services are, get no answer, and no
//! answer is longer than the question.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use wheelhouse::net::UdpSocket;
use wheelhouse::time::{sleep, timeout};

use crate::service::Service;
use crate::worker::Worker;

/// The largest a datagram can be.
const LARGEST: usize = 64 * 1024;

/// What a generated answer has at most (RFC 864).
const LONGEST_TEXT: usize = 512;

const LAST_PORT_OF_SERVICES: u16 = 1023;

/// After an error that may come again at once. What waits is not lost.
const PAUSE: Duration = Duration::from_millis(5);

/// At the stop nobody is left in the kernel's queue when none came for so long.
const LAST_WORDS: Duration = Duration::from_millis(2);

/// Answers until the stop, and then whoever has asked before.
pub(crate) async fn serve_until_the_stop(socket: &UdpSocket, worker: &Worker) {
    worker.site.stop.run_until_cancelled(serve(socket, worker)).await;
    let _ = timeout(LAST_WORDS, serve(socket, worker)).await;
}

/// Errors of a single datagram are not the socket's: a client that has gone, no memory for one
/// answer.
async fn serve(socket: &UdpSocket, worker: &Worker) {
    let mut buffer = vec![0; LARGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((received, sender)) => {
                worker.tally.message(received);
                // Who is slow to take answers loses some, as is the way of datagrams.
                let _ = answer(socket, worker, &buffer[..received], sender).await;
            }
            // A client that answers from nowhere: the error is taken with it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(
    socket: &UdpSocket,
    worker: &Worker,
    question: &[u8],
    sender: SocketAddr,
) -> io::Result<usize> {
    if sender.port() <= LAST_PORT_OF_SERVICES {
        return Ok(0);
    }
    match worker.settings().service {
        Service::Echo => socket.send_to(question, sender).await,
        Service::Discard => Ok(0),
        Service::Chargen => {
            let length = question.len().min(LONGEST_TEXT);
            socket.send_to(&worker.characters.after(0)[..length], sender).await
        }
    }
}
