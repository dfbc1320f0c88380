//! A datagram echo server and its client, both on one loop. Who loses datagrams has to ask again.

use std::io;

use wheelhouse::net::UdpSocket;
use wheelhouse::time::{Duration, timeout};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    run(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let server = spawn(serve(socket));

        let client = UdpSocket::bind("127.0.0.1:0").await?;
        client.connect(address).await?;
        for text in ["one", "two", "three"] {
            println!("sent {text}, got {}", ask(&client, text).await?);
        }
        server.cancel();
        Ok(())
    })
}

/// One task serves all clients: a datagram comes whole, with its sender.
async fn serve(socket: UdpSocket) -> io::Result<()> {
    // The first two datagrams are lost, as the network loses some.
    let mut to_lose = 2;
    let mut buffer = [0; 1500];
    loop {
        let (length, sender) = socket.recv_from(&mut buffer).await?;
        if to_lose > 0 {
            println!("(lost)");
            to_lose -= 1;
            continue;
        }
        socket.send_to(&buffer[..length], sender).await?;
    }
}

/// Asks until there is an answer. `recv` is cancel safe: a late answer is not lost.
async fn ask(socket: &UdpSocket, text: &str) -> io::Result<String> {
    let mut buffer = [0; 1500];
    for wait in [10, 20, 40, 5000] {
        socket.send(text.as_bytes()).await?;
        let answer = socket.recv(&mut buffer);
        if let Ok(length) = timeout(Duration::from_millis(wait), answer).await {
            return Ok(String::from_utf8_lossy(&buffer[..length?]).into_owned());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
