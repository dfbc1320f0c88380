//! Streams have futures-io's traits, so what others wrote for those works: lines, buffers and
//! copying by `futures-lite`, here over both directions of a connection.

use std::io;

use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter, copy};
use futures_lite::stream::StreamExt;
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = spawn(async move { shout(listener.accept().await?.0).await });

        let stream = TcpStream::connect(address).await?;
        // The traits are there for `&TcpStream` too: one task reads and writes without a lock.
        let mut writer = BufWriter::new(&stream);
        for word in ["three", "short", "lines"] {
            writer.write_all(format!("{word}\n").as_bytes()).await?;
        }
        // Flushes, and ends the sending side.
        writer.close().await?;
        let mut answer = String::new();
        (&stream).read_to_string(&mut answer).await?;
        print!("{answer}");
        println!("the server read {} lines", server.await.unwrap()?);

        // Anything that reads can be copied to anything that writes.
        let mut sink = Vec::new();
        let copied = copy(&b"no socket at all"[..], &mut sink).await?;
        println!("copied {copied} bytes");
        Ok(())
    })
}

/// Sends every line back in capitals. Generic code takes a `TcpStream` as it is.
async fn shout<S>(stream: S) -> io::Result<usize>
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin,
{
    let (reader, mut writer) = futures_lite::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    let mut count = 0;
    while let Some(line) = lines.next().await {
        writer.write_all(format!("{}!\n", line?.to_uppercase()).as_bytes()).await?;
        count += 1;
    }
    writer.close().await?;
    Ok(count)
}
