//! The traits of others, implemented for our types. Each is in a file of its own and changes
//! nothing elsewhere.
//!
//! futures-io's `AsyncRead` and `AsyncWrite` are always there, and most of what is written against
//! them runs as it is. The rest comes with a feature:
//!
//! * `tokio-io`: tokio's `AsyncRead` and `AsyncWrite`, in [`tokio`];
//! * `hyper`: what hyper asks of a runtime, in [`hyper`].

/// Calls a macro with every type of ours that reads, each with the kind of socket it is generic in.
/// The traits of all who ask for them are implemented for the same types: they are named here.
macro_rules! each_reader {
    ($implement:ident) => {
        $implement! {
            <S> $crate::stream::StreamSocket<S>;
            <S> &$crate::stream::StreamSocket<S>;
            <S> $crate::split::ReadHalf<'_, S>;
            <S> $crate::split::OwnedReadHalf<S>;
            <S> $crate::server::connection::Connection<S>;
            <S> &$crate::server::connection::Connection<S>;
            <> $crate::unix::pipe::Receiver;
            <> &$crate::unix::pipe::Receiver;
        }
    };
}

/// The same of those that write.
macro_rules! each_writer {
    ($implement:ident) => {
        $implement! {
            <S> $crate::stream::StreamSocket<S>;
            <S> &$crate::stream::StreamSocket<S>;
            <S> $crate::split::WriteHalf<'_, S>;
            <S> $crate::split::OwnedWriteHalf<S>;
            <S> $crate::server::connection::Connection<S>;
            <S> &$crate::server::connection::Connection<S>;
            <> $crate::unix::pipe::Sender;
            <> &$crate::unix::pipe::Sender;
        }
    };
}

mod futures_io;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "tokio-io")]
pub mod tokio;
