#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

#[doc(inline)]
pub use wheelhouse_net as net;
#[doc(inline)]
pub use wheelhouse_runtime::*;

/// Pages to read, beside what stands at each item.
pub mod docs {
    #[doc = include_str!("docs/tour.md")]
    pub mod tour {}
}
