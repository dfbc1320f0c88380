//! `StreamReader` and `StreamWriter`: nothing is lost, doubled or reordered, however reads and
//! drains are cut off, data is cut up, and limits fall. Row 55 of the pitfalls.

mod support;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::StreamExt;
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use support::{panic_of, rounds, run_checked, run_virtual};
use wheelhouse::net::{
    IncompleteRead, LimitOverrun, NotUtf8, ReadError, StreamReader, StreamWriter, TcpListener,
    TcpSocket, TcpStream,
};
use wheelhouse::spawn;
use wheelhouse::time::{Instant, Sleep, sleep_until, timeout};

/// Numbers from a seed: the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// A stream that gives `data` in pieces of any size, after pauses, and takes what is written in
/// the same way.
struct Trickle {
    data: Vec<u8>,
    at: usize,
    piece: usize,
    written: Vec<u8>,
    is_closed: bool,
    flushes: usize,
    pause: Option<Pin<Box<Sleep>>>,
    dice: Dice,
}

impl Trickle {
    fn new(data: impl Into<Vec<u8>>, piece: usize) -> Trickle {
        let dice = Dice(0x9E37_79B9_7F4A_7C15);
        let (data, written) = (data.into(), Vec::new());
        Trickle { data, at: 0, piece, written, is_closed: false, flushes: 0, pause: None, dice }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        } else if self.dice.roll(3) > 0 {
            let until = Instant::now() + Duration::from_micros(self.dice.roll(200) as u64);
            self.pause = Some(Box::pin(sleep_until(until)));
            return self.poll_pause(cx);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pause(cx));
        let left = self.data.len() - self.at;
        let piece = self.piece;
        let n = (1 + self.dice.roll(piece)).min(left).min(buffer.len());
        buffer[..n].copy_from_slice(&self.data[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pause(cx));
        let piece = self.piece;
        let n = (1 + self.dice.roll(piece)).min(data.len());
        self.written.extend_from_slice(&data[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_closed = true;
        Poll::Ready(Ok(()))
    }
}

/// Lines of all lengths, with line ends that fall anywhere.
fn text(bytes: usize) -> Vec<u8> {
    let mut dice = Dice(7);
    let mut text = Vec::new();
    while text.len() < bytes {
        let length = dice.roll(120);
        text.extend((0..length).map(|n| b'a' + (n % 26) as u8));
        text.extend_from_slice(if dice.roll(2) == 0 { b"\n" } else { b"\r\n" });
    }
    text
}

/// Tries again, each time for a moment longer than nothing, until it is ready; counts the tries.
async fn raced<T>(dice: &mut Dice, tries: &mut usize, mut make: impl AsyncFnMut() -> T) -> T {
    loop {
        *tries += 1;
        let moment = Duration::from_micros(dice.roll(100) as u64);
        if let Ok(output) = timeout(moment, make()).await {
            return output;
        }
    }
}

const TRIES: usize = rounds(100_000, 300);

#[test]
fn every_read_cut_off_by_a_timer_loses_nothing() {
    run_virtual(async {
        let sent = text(rounds(1_600_000, 4_000));
        let mut reader = StreamReader::new(Trickle::new(sent.clone(), 40));
        let (mut received, mut tries, mut dice) = (Vec::new(), 0, Dice(3));
        let mut buffer = [0; 32];
        loop {
            match dice.roll(5) {
                0 => {
                    let read = async || reader.read(&mut buffer).await.unwrap();
                    let n = raced(&mut dice, &mut tries, read).await;
                    received.extend_from_slice(&buffer[..n]);
                }
                1 => {
                    let read = async || reader.read_exact(&mut buffer).await;
                    match raced(&mut dice, &mut tries, read).await {
                        Ok(()) => received.extend_from_slice(&buffer),
                        Err(ReadError::Incomplete(end)) => received.extend(end.partial),
                        Err(error) => panic!("{error}"),
                    }
                }
                2 => {
                    let read = async || reader.read_until(b"\r\n", 9999).await.map(<[u8]>::to_vec);
                    match raced(&mut dice, &mut tries, read).await {
                        Ok(line) => received.extend(line),
                        Err(ReadError::Incomplete(end)) => received.extend(end.partial),
                        Err(error) => panic!("{error}"),
                    }
                }
                3 => {
                    let read = async || reader.at_eof().await.unwrap();
                    if raced(&mut dice, &mut tries, read).await {
                        break;
                    }
                }
                _ => {
                    let read = async || reader.fill_buf().await.unwrap().len();
                    let n = raced(&mut dice, &mut tries, read).await.min(10);
                    received.extend_from_slice(&reader.buffer()[..n]);
                    reader.consume(n);
                }
            }
        }
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
        assert!(tries >= TRIES, "{tries} tries");
    });
}

#[test]
fn every_line_cut_off_by_a_timer_arrives_once() {
    run_virtual(async {
        let sent = text(rounds(1_600_000, 4_000));
        let mut expected: Vec<&str> = std::str::from_utf8(&sent).unwrap().lines().collect();
        expected.reverse();
        let mut reader = StreamReader::new(Trickle::new(sent.clone(), 20));
        let (mut tries, mut dice) = (0, Dice(5));
        let skips = async |reader: &mut StreamReader<Trickle>, tries: &mut usize| {
            let skip = async || reader.skip_until(b"\r\n").await.unwrap();
            raced(&mut Dice(11), tries, skip).await
        };
        loop {
            let read = async || reader.read_line(200).await.unwrap().map(str::to_owned);
            let line = raced(&mut dice, &mut tries, read).await;
            assert_eq!(line.as_deref(), expected.pop());
            if line.is_none() {
                break;
            }
            if dice.roll(500) == 0 && skips(&mut reader, &mut tries).await {
                let at = sent.len() - reader.get_ref().data.len() + reader.get_ref().at;
                let passed = &sent[..at - reader.buffer().len()];
                assert!(passed.ends_with(b"\r\n"));
                let is_passed = |line: &&str| passed.as_ptr_range().contains(&line.as_ptr());
                while expected.last().is_some_and(is_passed) {
                    expected.pop();
                }
            }
        }
        assert!(tries >= TRIES, "{tries} tries");
    });
}

#[test]
fn every_drain_cut_off_by_a_timer_sends_all_once() {
    run_virtual(async {
        let text = text(rounds(1_600_000, 4_000));
        let mut writer = StreamWriter::new(Trickle::new([], 40));
        writer.set_limits(256, 64);
        let (mut tries, mut dice) = (0, Dice(9));
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            writer.write(line);
            raced(&mut dice, &mut tries, async || writer.drain().await.unwrap()).await;
            assert!(writer.unsent() <= 256, "{} unsent", writer.unsent());
        }
        raced(&mut dice, &mut tries, async || writer.shutdown().await.unwrap()).await;
        let (stream, unsent) = writer.into_inner();
        assert!(unsent.is_empty() && stream.is_closed);
        assert!(stream.written == text, "{} of {} bytes", stream.written.len(), text.len());
        assert!(tries >= TRIES, "{tries} tries");
    });
}

#[test]
fn sockets_lose_nothing_either() {
    run_checked(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let sent = text(rounds(2_000_000, 4_000));
        let expected = sent.clone();
        let sender = spawn(async move {
            let mut writer = StreamWriter::new(client);
            for piece in sent.chunks(777) {
                writer.write(piece);
                while timeout(Duration::ZERO, writer.drain()).await.is_err() {}
            }
            writer.shutdown().await.unwrap();
        });
        let mut reader = StreamReader::new(server);
        let mut received = Vec::new();
        loop {
            let Ok(line) = timeout(Duration::ZERO, reader.read_until(b"\n", 999)).await else {
                continue;
            };
            match line {
                Ok(line) => received.extend_from_slice(line),
                Err(ReadError::Incomplete(end)) if end.partial.is_empty() => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(received == expected);
        sender.await.unwrap();
    });
}

#[test]
fn separators_are_found_wherever_they_are_cut() {
    run_virtual(async {
        let separator = b"aab";
        // The beginnings of separators, repeated, overlapping, at every border.
        let pieces: [&[u8]; 6] = [b"aaaab", b"aab", b"xaab", b"aaxaaab", b"aabaab", b"aa"];
        let all = pieces.concat();
        for piece in 1..12 {
            let mut reader = StreamReader::new(Trickle::new(all.clone(), piece));
            let mut found = Vec::new();
            let end = loop {
                match reader.read_until(separator, 100).await {
                    Ok(piece) => found.push(piece.to_vec()),
                    Err(error) => break error,
                }
            };
            let expected: [&[u8]; 6] = [b"aaaab", b"aab", b"xaab", b"aaxaaab", b"aab", b"aab"];
            assert_eq!(found, expected, "in pieces of {piece}");
            let partial = b"aa".to_vec();
            let ended = IncompleteRead { partial, expected: None };
            assert!(matches!(end, ReadError::Incomplete(error) if error == ended));
            assert!(reader.at_eof().await.unwrap());
        }
    });
}

#[test]
fn limits_are_exact() {
    run_virtual(async {
        for piece in [1, 2, 3, 100] {
            for (limit, is_enough) in [(5, false), (6, false), (7, true), (8, true)] {
                let mut reader = StreamReader::new(Trickle::new("12345\r\nrest", piece));
                match reader.read_until(b"\r\n", limit).await {
                    Ok(line) => assert!(is_enough && line == b"12345\r\n", "limit {limit}"),
                    Err(ReadError::Limit(error)) => {
                        assert!(!is_enough && error == LimitOverrun { limit });
                        // All of it is there still.
                        assert_eq!(reader.read_line(7).await.unwrap(), Some("12345"));
                    }
                    Err(error) => panic!("{error}"),
                }
                assert_eq!(reader.read_to_end(4).await.unwrap(), b"rest");

                let mut reader = StreamReader::new(Trickle::new("1234567", piece));
                match reader.read_to_end(limit).await {
                    Ok(all) => assert!(is_enough && all == b"1234567"),
                    Err(ReadError::Limit(_)) => {
                        assert!(!is_enough);
                        assert_eq!(reader.read_to_end(7).await.unwrap(), b"1234567");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
}

/// The last line needs no end, so that what fills the limit may be all there is.
#[test]
fn a_last_line_may_fill_its_limit() {
    run_virtual(async {
        for piece in [1, 5, 100] {
            let of = |text| StreamReader::new(Trickle::new(text, piece));
            assert_eq!(of("12345").read_line(5).await.unwrap(), Some("12345"));
            assert!(matches!(of("123456").read_line(5).await, Err(ReadError::Limit(_))));
            assert_eq!(of("").read_line(0).await.unwrap(), None);
            let mut reader = of("12345\n12345");
            let mut lines = reader.lines_within(6);
            for _ in 0..2 {
                assert_eq!(lines.next().await.unwrap().unwrap(), "12345");
            }
            assert!(lines.next().await.is_none());
            assert_eq!(of("1234").pieces_within(b"--", 4).next().await.unwrap().unwrap(), b"1234");
            assert!(of("12345").pieces_within(b"--", 4).next().await.unwrap().is_err());
            // With a separator that must come, it is known at once that it cannot.
            let mut reader = of("12345");
            let early = reader.read_until(b"\n", 5).await;
            assert!(matches!(early, Err(ReadError::Limit(_))));
        }
    });
}

#[test]
fn a_line_that_is_too_long_can_be_skipped() {
    run_virtual(async {
        let mut reader = StreamReader::new(Trickle::new("short\nmuch too long\nshort\n", 4));
        assert_eq!(reader.read_line(6).await.unwrap(), Some("short"));
        assert!(matches!(reader.read_line(6).await, Err(ReadError::Limit(_))));
        assert!(reader.skip_until(b"\n").await.unwrap());
        assert_eq!(reader.read_line(6).await.unwrap(), Some("short"));
        assert_eq!(reader.read_line(6).await.unwrap(), None);
        assert!(!reader.skip_until(b"\n").await.unwrap());
    });
}

#[test]
fn an_end_in_the_middle_gives_what_there_was() {
    run_virtual(async {
        for piece in [1, 3, 100] {
            let reader = || StreamReader::new(Trickle::new("12345", piece));
            let partial = b"12345".to_vec();

            let mut early = reader();
            let error = early.read_exact(&mut [0; 6]).await.unwrap_err();
            let ended = IncompleteRead { partial: partial.clone(), expected: Some(6) };
            assert_eq!(error.to_string(), "the stream ended after 5 of 6 bytes");
            assert!(matches!(error, ReadError::Incomplete(error) if error == ended));
            assert_eq!(early.read(&mut [0; 6]).await.unwrap(), 0, "it is the error's now");

            let error = io::Error::from(reader().read_until(b"\n", 100).await.unwrap_err());
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            let inside = error.get_ref().unwrap().downcast_ref::<IncompleteRead>();
            assert_eq!(inside.unwrap().partial, partial);

            let mut last = reader();
            assert_eq!(last.read_line(100).await.unwrap(), Some("12345"));
            assert_eq!(last.read_line(100).await.unwrap(), None);
            assert!(last.at_eof().await.unwrap());
            last.read_exact(&mut []).await.unwrap();
        }
    });
}

#[test]
fn a_line_that_is_not_utf8_comes_out_in_the_error() {
    run_virtual(async {
        let mut reader = StreamReader::new(&b"\xff\xfe\r\nnext\n"[..]);
        let bad = NotUtf8 { line: b"\xff\xfe".to_vec() };
        assert!(
            matches!(reader.read_line(9).await, Err(ReadError::NotUtf8(error)) if error == bad)
        );
        assert_eq!(reader.read_line(9).await.unwrap(), Some("next"));
    });
}

#[test]
fn a_failure_leaves_what_came_before_in_the_reader() {
    struct Fails(&'static [u8]);
    impl AsyncRead for Fails {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let there = std::mem::take(&mut self.0);
            if there.is_empty() {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            buffer[..there.len()].copy_from_slice(there);
            Poll::Ready(Ok(there.len()))
        }
    }
    run_virtual(async {
        let mut reader = StreamReader::new(Fails(b"partial"));
        let error = reader.read_until(b"\n", 100).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(reader.buffer(), b"partial");
        assert_eq!(reader.into_inner().1, b"partial");
    });
}

#[test]
fn lines_and_pieces_come_as_streams() {
    run_virtual(async {
        let mut reader = StreamReader::new(Trickle::new("a\r\nb\n\nlast", 2));
        let lines: Vec<_> = reader.lines_within(9).map(Result::unwrap).collect().await;
        assert_eq!(lines, ["a", "b", "", "last"]);

        let mut reader = StreamReader::new(Trickle::new("a, b, , last, ", 2));
        let pieces: Vec<_> = reader.pieces_within(b", ", 9).map(Result::unwrap).collect().await;
        assert_eq!(pieces, [&b"a"[..], b"b", b"", b"last"]);

        let mut reader = StreamReader::new(Trickle::new("ok\nthis is too long\n", 2));
        let mut lines = reader.lines_within(9);
        assert_eq!(lines.next().await.unwrap().unwrap(), "ok");
        assert!(matches!(lines.next().await, Some(Err(ReadError::Limit(_)))));
        assert!(lines.next().await.is_none(), "an error ends them");
        assert_eq!(reader.read_line(99).await.unwrap(), Some("this is too long"));
    });
}

#[test]
fn a_reader_is_a_stream_too_and_gives_back_what_it_read_ahead() {
    run_virtual(async {
        let mut reader = StreamReader::new(Trickle::new("line\nmore and more", 100));
        assert_eq!(reader.read_line(9).await.unwrap(), Some("line"));
        let mut word = [0; 4];
        AsyncReadExt::read_exact(&mut reader, &mut word).await.unwrap();
        assert_eq!(&word, b"more");
        let mut until = Vec::new();
        AsyncBufReadExt::read_until(&mut reader, b'd', &mut until).await.unwrap();
        assert_eq!(until, b" and");
        let unread = reader.buffer().to_vec();
        let (stream, ahead) = reader.into_inner();
        assert_eq!(ahead, unread);
        assert_eq!([&ahead, &stream.data[stream.at..]].concat(), b" more");
    });
}

#[test]
fn small_writes_go_out_as_one_and_marks_hold_back() {
    run_checked(async {
        let mut writer = StreamWriter::new(Vec::new());
        writer.write(b"one ");
        write!(writer, "{} ", 1 + 1);
        writeln!(writer, "three");
        assert_eq!((writer.unsent(), writer.get_ref().len()), (12, 0));
        writer.drain().await.unwrap();
        assert_eq!(writer.get_ref(), b"one 2 three\n");

        // A peer that does not read: the writer may go on up to the high mark.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut writer = StreamWriter::new(client);
        writer.set_limits(100_000, 20_000);
        let mut total = 0;
        while writer.unsent() <= 100_000 - 5000 {
            writer.write(&[7; 5000]);
            total += 5000;
            let drained = timeout(Duration::ZERO, writer.drain()).await;
            drained.expect("at most the high mark is unsent").unwrap();
        }
        writer.write(&[7; 10_000]);
        total += 10_000;
        timeout(Duration::from_millis(5), writer.drain()).await.expect_err("more than that is not");
        let reader = spawn(async move {
            let mut reader = StreamReader::new(server);
            reader.read_to_end(usize::MAX).await.unwrap().len()
        });
        writer.drain().await.unwrap();
        assert!(writer.unsent() <= 20_000, "{} unsent", writer.unsent());
        writer.shutdown().await.unwrap();
        assert_eq!(reader.await.unwrap(), total);
    });
}

#[test]
fn a_writer_is_a_stream_that_holds_back() {
    run_virtual(async {
        let mut writer = StreamWriter::new(Trickle::new([], 100));
        writer.set_limits(1000, 10);
        let sent = text(20_000);
        for piece in sent.chunks(333) {
            writer.write_all(piece).await.unwrap();
            assert!(writer.unsent() <= 1333, "{} unsent", writer.unsent());
        }
        AsyncWriteExt::flush(&mut writer).await.unwrap();
        assert!(writer.unsent() == 0 && writer.get_ref().flushes > 0);
        assert_eq!(writer.get_ref().written, sent);
        writer.close().await.unwrap();
        assert!(writer.get_ref().is_closed);
    });
}

#[test]
fn misuse_is_told() {
    let mut reader = StreamReader::new(&b"abc"[..]);
    assert_eq!(
        panic_of(|| reader.consume(1)),
        "`StreamReader::consume` was called with 1 bytes, but 0 are unread: it expects at most as \
         many as `buffer` or `fill_buf` gave"
    );
    assert_eq!(
        panic_of(|| futures_lite::future::block_on(reader.read_until(b"", 9)).map(drop)),
        "a `StreamReader` was asked to read up to an empty separator: it expects at least a byte. \
         To read whatever comes, use `read`."
    );
    assert_eq!(
        panic_of(|| StreamWriter::new(Vec::<u8>::new()).set_limits(1, 2)),
        "`StreamWriter::set_limits` was called with high 1 and low 2: it expects low to be at most \
         high. The first argument is the high mark."
    );
}
