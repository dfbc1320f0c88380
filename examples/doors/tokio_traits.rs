//! Code written against tokio's traits, here a line protocol by tokio's own `io-util`, on our
//! streams. Nothing of tokio's runtime is there: it is only the traits and what is built on them.
//!
//! `cargo run -p wheelhouse-doors --bin tokio_traits -- 127.0.0.1:8080`, then
//! `socat - TCP:127.0.0.1:8080`, and type.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, split};
use wheelhouse::net::TcpListener;
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    run(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, peer) = listener.accept().await?;
            spawn(async move {
                if let Err(error) = shout(stream).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    })
}

/// A library's function, which knows nothing of us.
async fn shout(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        writer.write_all(line.to_uppercase().as_bytes()).await?;
        writer.write_all(b"\n").await?;
    }
    writer.shutdown().await
}
