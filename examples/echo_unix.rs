//! An echo server on a Unix socket, and its client. Both know who the other is: the kernel says so.

use std::io;
use std::net::Shutdown;

use wheelhouse::net::{StreamReader, UnixListener, UnixStream};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("echo-{}.sock", std::process::id()));
    let outcome = run(async {
        let listener = UnixListener::bind(&path)?;
        let server = spawn(async move { echo(listener.accept().await?.0).await });

        let stream = UnixStream::connect(&path).await?;
        let peer = stream.peer_cred()?;
        println!("the server is this process: {}", peer.pid() == Some(own_id()));
        let mut reader = StreamReader::new(&stream);
        for line in ["one", "two", "three"] {
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            let answer = reader.read_line(80).await?;
            println!("sent {line}, got {}", answer.unwrap_or("nothing"));
        }
        stream.shutdown(Shutdown::Write)?;
        println!("the server echoed {} bytes", server.await.unwrap()?);

        // Two ends without a path, as a pipe that goes both ways.
        let (one, other) = UnixStream::pair()?;
        one.write_all(b"through the pair").await?;
        let mut buffer = [0; 80];
        let length = other.read(&mut buffer).await?;
        println!("{}", String::from_utf8_lossy(&buffer[..length]));
        Ok(())
    });
    // The path stays behind when the socket is closed.
    let _ = std::fs::remove_file(&path);
    outcome
}

/// Sends back what comes, until the peer ends its side.
async fn echo(stream: UnixStream) -> io::Result<usize> {
    let (mut buffer, mut total) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(total),
            length => {
                stream.write_all(&buffer[..length]).await?;
                total += length;
            }
        }
    }
}

fn own_id() -> i32 {
    std::process::id().try_into().unwrap()
}
