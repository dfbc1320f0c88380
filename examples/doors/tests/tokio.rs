//! tokio's traits on our streams, halves and wrapped streams, with tokio's own code on top.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter,
    ReadBuf,
};
use wheelhouse::net::compat::tokio::TokioIo;
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::spawn;
use wheelhouse::testing::Test;

#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    Test::new().real_time().run(future)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// Through `copy`, owned halves and buffers: what goes in comes back.
#[test]
fn a_megabyte_comes_back_through_tokios_copy() {
    run(async {
        let (near, far) = tcp_pair().await;
        let echoing = spawn(async move {
            let (mut reader, mut writer) = far.into_split();
            let copied = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            AsyncWriteExt::shutdown(&mut writer).await.unwrap();
            copied
        });
        let data = pattern(1 << 20);
        let (mut reader, writer) = near.into_split();
        let sent = data.clone();
        let writing = spawn(async move {
            let mut writer = BufWriter::new(writer);
            AsyncWriteExt::write_all(&mut writer, &sent).await.unwrap();
            AsyncWriteExt::shutdown(&mut writer).await.unwrap();
        });
        let mut received = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut received).await.unwrap();
        assert!(received == data, "{} bytes", received.len());
        writing.await.unwrap();
        assert_eq!(echoing.await.unwrap(), data.len() as u64);
    });
}

/// A buffer that is initialised only in part is filled from where it was filled, and no further.
#[test]
fn reads_append_to_what_the_buffer_holds() {
    run(async {
        let (near, far) = tcp_pair().await;
        near.write_all(b"abcdefgh").await.unwrap();
        let mut far = &far;
        // 3 bytes of 8 are filled, the rest has never been written.
        let mut room = [std::mem::MaybeUninit::uninit(); 8];
        let mut buffer = ReadBuf::uninit(&mut room);
        buffer.put_slice(b"123");
        read(&mut far, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"123abcde");
        read(&mut far, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"123abcde", "no room: nothing is read");
        // All of it initialised: read in place.
        let mut room = [0; 8];
        let mut buffer = ReadBuf::new(&mut room);
        buffer.put_slice(b"12");
        read(&mut far, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"12fgh");
        near.shutdown(std::net::Shutdown::Write).unwrap();
        read(&mut far, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"12fgh", "the end");
    });
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer)).await
}

#[test]
fn several_buffers_go_out_in_one_call() {
    run(async {
        let (mut near, far) = tcp_pair().await;
        assert!(near.is_write_vectored());
        let parts = [&b"one "[..], b"two ", b"three"].map(io::IoSlice::new);
        assert_eq!(AsyncWriteExt::write_vectored(&mut near, &parts).await.unwrap(), 13);
        let mut buffer = [0; 32];
        assert_eq!(far.read(&mut buffer).await.unwrap(), 13);
        assert_eq!(&buffer[..13], b"one two three");
    });
}

#[test]
fn shutting_down_ends_writing_only() {
    run(async {
        let (mut near, far) = tcp_pair().await;
        AsyncWriteExt::shutdown(&mut near).await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        far.write_all(b"still there").await.unwrap();
        drop(far);
        let mut text = String::new();
        AsyncReadExt::read_to_string(&mut near, &mut text).await.unwrap();
        assert_eq!(text, "still there");
    });
}

#[test]
fn borrowed_halves_have_the_traits() {
    run(async {
        let (mut near, mut far) = tcp_pair().await;
        let (_, mut writer) = near.split();
        AsyncWriteExt::write_all(&mut writer, b"a line\nand another\n").await.unwrap();
        let (reader, _) = far.split();
        let mut lines = BufReader::new(reader).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("a line"));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("and another"));
    });
}

/// A stream of futures-io that notes what is asked of it.
#[derive(Default)]
struct Noting(Vec<&'static str>);

impl futures_lite::AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.push("read");
        buffer[..2].copy_from_slice(b"ok");
        Poll::Ready(Ok(2))
    }
}

impl futures_lite::AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.push("write");
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.push("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.push("close");
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_wrapped_stream_is_asked_as_futures_io_would() {
    run(async {
        let mut stream = TokioIo::new(Noting::default());
        let mut buffer = [0; 4];
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 2);
        assert_eq!(&buffer[..2], b"ok");
        stream.write_all(b"data").await.unwrap();
        stream.flush().await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!stream.is_write_vectored());
        assert_eq!(stream.get_mut().0, ["read", "write", "flush", "close"]);
        assert_eq!(stream.get_ref().0.len(), 4);
        assert_eq!(stream.into_inner().0.len(), 4);
    });
}
