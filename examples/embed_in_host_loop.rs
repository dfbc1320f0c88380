//! A host with a loop of its own, a plain `poll(2)`, serves ours beside its descriptors: sockets,
//! timers and what other threads send all come through the one descriptor of the event loop.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::time::{Duration, sleep};
use wheelhouse::{EventLoop, Handle, spawn};

fn main() -> io::Result<()> {
    let event_loop = EventLoop::new()?;
    // What belongs to the host: a descriptor of which our loop knows nothing.
    let (mut mine, theirs) = UnixStream::pair()?;
    {
        let _here = event_loop.enter();
        spawn(async { work(theirs).await.unwrap() });
    }
    loop {
        let mut watched =
            [PollFd::new(&event_loop, PollFlags::IN), PollFd::new(&mine, PollFlags::IN)];
        poll(&mut watched, None)?;
        let [ours_is_due, mine_is_due] = watched.map(|fd| !fd.revents().is_empty());
        if ours_is_due {
            // Without waiting: it is the host that waits.
            event_loop.turn(Some(Duration::ZERO))?;
        }
        if mine_is_due {
            let mut word = String::new();
            mine.read_to_string(&mut word)?;
            println!("host: my own descriptor says {word}");
            return Ok(());
        }
    }
}

async fn work(mut host: UnixStream) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    client.write_all(b"hello").await?;
    let mut buffer = [0; 16];
    let n = server.read(&mut buffer).await?;
    println!("socket: {}", String::from_utf8_lossy(&buffer[..n]));

    sleep(Duration::from_millis(10)).await;
    println!("timer: 10 ms later");

    let handle = Handle::current();
    let goodbye = move || {
        println!("thread: called on the loop");
        host.write_all(b"goodbye").unwrap();
    };
    thread::spawn(move || handle.call_soon(goodbye));
    Ok(())
}
