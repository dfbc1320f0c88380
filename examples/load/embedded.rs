//! The echo server inside: a loop on a thread of its own, on a free loopback port.

use std::net::SocketAddr;
use std::time::Duration;

use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::time::sleep;
use wheelhouse::{LoopGroup, spawn};

use crate::target::Target;

const BUFFER: usize = 16 * 1024;

/// Runs until it is dropped.
pub(crate) struct Embedded {
    _group: LoopGroup,
    pub(crate) target: Target,
}

impl Embedded {
    /// The error is for the user's eyes.
    pub(crate) fn start() -> Result<Embedded, String> {
        let problem =
            |error: &dyn std::fmt::Display| format!("cannot start the embedded server: {error}");
        let group = LoopGroup::new(1).map_err(|error| problem(&error))?;
        let listening = group.handle(0).spawn(|| async {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
            let address = listener.local_addr()?;
            drop(spawn(accept(listener)));
            Ok::<_, std::io::Error>(address)
        });
        let address =
            listening.wait().map_err(|error| problem(&error))?.map_err(|error| problem(&error))?;
        Ok(Embedded { _group: group, target: Target::parse(&format!("tcp://{address}"))? })
    }
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(spawn(echo(stream))),
            // No descriptors left: the load that takes them will end.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn echo(stream: TcpStream) {
    // If the connection is gone already, the read will say so.
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
