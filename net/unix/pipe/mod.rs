//! Pipes: bytes in one direction, anonymous ([`pipe`]) or with a name in the file system
//! ([`OpenOptions`]). A pipe between this process and another may be a descriptor that one gave the
//! other, such as standard input ([`Receiver::from_file`]).
//!
//! A write to a pipe that nobody reads is `BrokenPipe`. There is no flag with which a pipe spares
//! its process the signal `SIGPIPE`: Rust programs ignore it from the start, and a host program in
//! another language has to.

mod both;
mod end;
mod open;
mod pair;
mod receiver;
mod sender;

pub use self::open::OpenOptions;
pub use self::pair::pipe;
pub use self::receiver::Receiver;
pub use self::sender::Sender;
