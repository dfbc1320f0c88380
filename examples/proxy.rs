//! A proxy: what comes to one address goes to another, each direction until it ends by itself.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream as Tcp};

use wheelhouse::net::{Connection, Server, StreamReader, TcpStream, copy_bidirectional};
use wheelhouse::run;

fn main() -> io::Result<()> {
    run(async {
        // Where it goes: a server that answers when the question is over.
        let behind =
            Server::builder().bind("127.0.0.1:0").serve(|connection, _| answer(connection));
        let behind = behind.await?;
        let to = behind.local_addrs()[0];

        let proxy = Server::builder()
            .bind("127.0.0.1:0")
            .serve(move |connection, _peer| forward(connection, to))
            .await?;

        let client = TcpStream::connect(proxy.local_addrs()[0]).await?;
        client.write_all(b"is anybody there?").await?;
        client.shutdown(Shutdown::Write)?;
        let answer = StreamReader::new(&client).read_to_end(1024).await?;
        println!("{}", String::from_utf8_lossy(&answer));

        for server in [proxy, behind] {
            server.close();
            server.wait_closed().await;
        }
        Ok(())
    })
}

async fn forward(inbound: Connection<Tcp>, to: SocketAddr) -> io::Result<()> {
    let outbound = TcpStream::connect(to).await?;
    let (there, back) = copy_bidirectional(&inbound, &outbound).await?;
    println!("{there} bytes there, {back} bytes back");
    Ok(())
}

async fn answer(connection: Connection<Tcp>) -> io::Result<()> {
    let question = StreamReader::new(&connection).read_to_end(1024).await?;
    let answer = format!("you asked: {}", String::from_utf8_lossy(&question));
    connection.write_all(answer.as_bytes()).await
}
