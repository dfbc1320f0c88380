//! A server that talks in lines: limits, idle clients, and an end that asks first.

use std::io;
use std::net::TcpStream as Tcp;
use std::time::Duration;

use wheelhouse::net::{Connection, Server, StreamReader, StreamWriter, TcpStream};
use wheelhouse::run;
use wheelhouse::time::timeout;

const LONGEST_LINE: usize = 1024;
const IDLE: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    run(async {
        let server = Server::builder()
            .bind("127.0.0.1:0")
            .max_connections(1000)
            .serve(|connection, _peer| handle(connection))
            .await?;

        let client = TcpStream::connect(server.local_addrs()[0]).await?;
        let (mut reader, mut writer) = (StreamReader::new(&client), StreamWriter::new(&client));
        for word in ["one", "two"] {
            writeln!(writer, "{word}");
            writer.drain().await?;
            println!("{}", reader.read_line(LONGEST_LINE).await?.unwrap_or("the end"));
        }

        server.close();
        let report = server.close_clients(Duration::from_secs(5)).await;
        println!("{}", reader.read_line(LONGEST_LINE).await?.unwrap_or("the end"));
        println!("{report}");
        server.wait_closed().await;
        Ok(())
    })
}

/// Turns lines round. A read that a timeout or the server's end cuts off has lost nothing.
async fn handle(connection: Connection<Tcp>) -> io::Result<()> {
    let closing = connection.closing();
    let (mut reader, mut writer) = (StreamReader::new(&connection), StreamWriter::new(&connection));
    let goodbye = loop {
        let line = timeout(IDLE, reader.read_line(LONGEST_LINE));
        match closing.run_until_cancelled(line).await {
            None => break "the server ends",
            Some(Err(_)) => break "you were idle",
            Some(Ok(line)) => match line? {
                Some(line) => writeln!(writer, "{}", line.chars().rev().collect::<String>()),
                None => return Ok(()),
            },
        }
        writer.drain().await?;
    };
    writeln!(writer, "bye: {goodbye}");
    writer.shutdown().await
}
