//! An echo server and its client, both on one loop and one thread.

use std::io;
use std::net::{Shutdown, SocketAddr};

use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = spawn(serve(listener));
        for text in ["one", "two", "three"] {
            println!("sent {text}, got {}", ask(address, text).await?);
        }
        server.cancel();
        Ok(())
    })
}

/// Accepts for ever: a connection is a task of its own.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        spawn(echo(stream));
    }
}

/// Sends back what comes, until the peer ends its side.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

async fn ask(address: SocketAddr, text: &str) -> io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown(Shutdown::Write)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
}
