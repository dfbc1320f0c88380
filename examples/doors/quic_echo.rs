//! A QUIC echo server and its client by quinn, on one loop and one thread. How quinn stands on the
//! loop is in `quinn_runtime.rs`, to be copied.
//!
//! `cargo run -p wheelhouse-doors --bin quic_echo -- cert.pem key.pem`, where the certificate is for
//! `localhost`.

mod quinn_runtime;

use std::error::Error;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig};
use quinn_runtime::LoopRuntime;
use wheelhouse::{run, spawn};
use wheelhouse_tls::{certs_from_pem, client_config, key_from_pem, roots_from_pem, server_config};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [cert, key] = &args[..] else { Err("usage: quic_echo CERT KEY")? };
    let server =
        QuicServerConfig::try_from(server_config(certs_from_pem(cert)?, key_from_pem(key)?)?)?;
    let client = QuicClientConfig::try_from(client_config(roots_from_pem(cert)?))?;
    run(async {
        let server = endpoint(Some(ServerConfig::with_crypto(Arc::new(server))))?;
        let address = server.local_addr()?;
        spawn(async move {
            while let Some(incoming) = server.accept().await {
                let Ok(connection) = incoming.await else { continue };
                spawn(echo(connection));
            }
        });
        let mut client_end = endpoint(None)?;
        client_end.set_default_client_config(ClientConfig::new(Arc::new(client)));
        let connection = client_end.connect(address, "localhost")?.await?;
        let (mut writer, mut reader) = connection.open_bi().await?;
        writer.write_all(b"over QUIC").await?;
        writer.finish()?;
        println!("got {}", String::from_utf8(reader.read_to_end(1024).await?)?);
        connection.close(0u32.into(), b"done");
        client_end.wait_idle().await;
        Ok(())
    })
}

fn endpoint(server: Option<ServerConfig>) -> std::io::Result<Endpoint> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(LoopRuntime))
}

async fn echo(connection: Connection) -> Result<(), Box<dyn Error>> {
    loop {
        let (mut writer, mut reader) = connection.accept_bi().await?;
        while let Some(chunk) = reader.read_chunk(64 * 1024, true).await? {
            writer.write_chunk(chunk.bytes).await?;
        }
        writer.finish()?;
    }
}
