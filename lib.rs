//! placeholder, replaced below
pub use wheelhouse_net as net;
pub use wheelhouse_runtime::*;
