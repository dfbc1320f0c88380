//! A WebSocket echo server by async-tungstenite, which takes our streams as they are.
//!
//! `cargo run -p wheelhouse-doors --bin websocket_echo -- 127.0.0.1:8080`, then
//! `python3 -m websockets ws://127.0.0.1:8080/` (Debian's python3-websockets).

use std::io;

use async_tungstenite::accept_async;
use async_tungstenite::tungstenite::{Error, Result};
use futures_lite::StreamExt;
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    run(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, peer) = listener.accept().await?;
            spawn(async move {
                match echo(stream).await {
                    Ok(()) | Err(Error::ConnectionClosed) => {}
                    Err(error) => eprintln!("{peer}: {error}"),
                }
            });
        }
    })
}

async fn echo(stream: TcpStream) -> Result<()> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        // Pings and closes are answered by the library.
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
