//! Servers that behave as badly as servers do, of HTTP/1.1 and of echoes: each connection draws what
//! becomes of it.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use wheelhouse::net::{Connection, Transport};
use wheelhouse::time::sleep;

/// How often the server did what.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: Cell<u64>,
    closed: Cell<u64>,
    aborted: Cell<u64>,
    half_closed: Cell<u64>,
    slow: Cell<u64>,
    stalled: Cell<u64>,
    garbled: Cell<u64>,
    turned_away: Cell<u64>,
}

impl Counts {
    /// What it was to do and never did.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let all = [
            (&self.answered, "answered"),
            (&self.closed, "closed"),
            (&self.aborted, "aborted"),
            (&self.half_closed, "half-closed"),
            (&self.slow, "slow"),
            (&self.stalled, "stalled"),
            (&self.garbled, "garbled"),
            (&self.turned_away, "turned away"),
        ];
        all.into_iter().filter(|(counter, _)| counter.get() == 0).map(|(_, what)| what).collect()
    }
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// Small numbers that differ: what comes next, and after how much.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % sides
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Answers so many requests.
async fn answer<S: Transport>(
    connection: &Connection<S>,
    requests: u64,
    pause: Duration,
) -> io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), vec![0; 4096]);
    let end_of = |received: &[u8]| received.windows(4).position(|four| four == b"\r\n\r\n");
    for _ in 0..requests {
        let end = loop {
            if let Some(end) = end_of(&received) {
                break end;
            }
            match connection.read(&mut buffer).await? {
                0 => return Ok(()),
                n => received.extend_from_slice(&buffer[..n]),
            }
        };
        received.drain(..end + 4);
        let (head, rest) = ANSWER.split_at(if pause.is_zero() { ANSWER.len() } else { 25 });
        connection.write_all(head).await?;
        if !pause.is_zero() {
            sleep(pause).await;
            connection.write_all(rest).await?;
        }
    }
    Ok(())
}

/// Takes what comes, to the end of it.
async fn listen_only<S: Transport>(connection: &Connection<S>) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    while connection.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Makes the end of the connection a reset: by what is left unread.
async fn abort<S: Transport>(connection: &Connection<S>) -> io::Result<()> {
    connection.read(&mut [0]).await.map(drop)
}

/// An HTTP server's handler.
pub(crate) async fn http<S: Transport>(
    connection: Connection<S>,
    number: u64,
    counts: Rc<Counts>,
) -> io::Result<()> {
    let mut dice = dice(number + 1);
    let kind = dice(12);
    let requests = dice(if kind < 5 { 1000 } else { 60 });
    let pause = if kind == 8 { Duration::from_millis(20) } else { Duration::ZERO };
    if kind < 11 {
        answer(&connection, requests, pause).await?;
    }
    let counter = match kind {
        0..4 => &counts.answered,
        4 => {
            connection.write_all(LAST_ANSWER).await?;
            &counts.closed
        }
        5..7 => {
            connection.write_all(&ANSWER[..30]).await?;
            abort(&connection).await?;
            &counts.aborted
        }
        7 => {
            connection.shutdown(Shutdown::Write)?;
            listen_only(&connection).await?;
            &counts.half_closed
        }
        8 => &counts.slow,
        9 => {
            listen_only(&connection).await?;
            &counts.stalled
        }
        10 => {
            connection.write_all(b"HTTP/9 garbage\r\n\r\n").await?;
            &counts.garbled
        }
        _ => &counts.turned_away,
    };
    count(counter);
    Ok(())
}

/// Sends so many pieces back as they come; gives whether the peer is still there.
async fn echo_pieces<S: Transport>(
    connection: &Connection<S>,
    pieces: u64,
    pause: Duration,
) -> io::Result<bool> {
    let mut buffer = vec![0; 4096];
    for _ in 0..pieces {
        let count = connection.read(&mut buffer).await?;
        if count == 0 {
            return Ok(false);
        }
        // The first half alone, for a while: answers are cut at any byte.
        let (first, rest) =
            buffer[..count].split_at(if pause.is_zero() { count } else { count / 2 });
        connection.write_all(first).await?;
        if !pause.is_zero() {
            sleep(pause).await;
            connection.write_all(rest).await?;
        }
    }
    Ok(true)
}

/// An echo server's handler.
pub(crate) async fn echo<S: Transport>(
    connection: Connection<S>,
    number: u64,
    counts: Rc<Counts>,
) -> io::Result<()> {
    let mut dice = dice(number + 1);
    let kind = dice(12);
    let pieces = dice(if kind < 4 { 1000 } else { 60 });
    let pause = if kind == 8 { Duration::from_millis(20) } else { Duration::ZERO };
    if kind < 11 && !echo_pieces(&connection, pieces, pause).await? {
        return Ok(());
    }
    let counter = match kind {
        0..4 => &counts.answered,
        4 => &counts.closed,
        5..7 => {
            abort(&connection).await?;
            &counts.aborted
        }
        7 => {
            connection.shutdown(Shutdown::Write)?;
            listen_only(&connection).await?;
            &counts.half_closed
        }
        8 => &counts.slow,
        9 => {
            listen_only(&connection).await?;
            &counts.stalled
        }
        10 => {
            // Bytes that nobody sent.
            connection.write_all(&[0; 4096]).await?;
            &counts.garbled
        }
        _ => &counts.turned_away,
    };
    count(counter);
    Ok(())
}
