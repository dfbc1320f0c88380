#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

#[doc(inline)]
pub use wheelhouse_net as net;
#[doc(inline)]
pub use wheelhouse_runtime::*;
