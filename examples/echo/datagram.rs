//! Datagrams: each is answered by itself, to whom it came from.
//!
//! Two such services, or one with itself, could answer each other for ever, and a sender can claim
//! to be anybody. So datagrams from ports below 1024, where services are, get no answer, and no
//! answer is longer than the question.

use std::io;
use std::net::SocketAddr;

use wheelhouse::net::UdpSocket;

use crate::service::Service;
use crate::worker::Worker;

/// The largest a datagram can be.
const LARGEST: usize = 64 * 1024;

/// What a generated answer has at most (RFC 864).
const LONGEST_TEXT: usize = 512;

const LAST_PORT_OF_SERVICES: u16 = 1023;

/// Answers until it is cancelled. Errors of a single datagram are not the socket's: a client that
/// has gone, no memory for one answer.
pub(crate) async fn serve(socket: &UdpSocket, worker: &Worker) {
    let mut buffer = vec![0; LARGEST];
    loop {
        if let Ok((received, sender)) = socket.recv_from(&mut buffer).await {
            worker.tally.message(received);
            // Who is slow to take answers loses some, as is the way of datagrams.
            let _ = answer(socket, worker, &buffer[..received], sender).await;
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
    match worker.settings.service {
        Service::Echo => socket.send_to(question, sender).await,
        Service::Discard => Ok(0),
        Service::Chargen => {
            let length = question.len().min(LONGEST_TEXT);
            socket.send_to(&worker.characters.after(0)[..length], sender).await
        }
    }
}
