#![doc = concat!("[The tour]: docs::tour\n[Pages]: docs\n\n", include_str!("README.md"))]
#![forbid(unsafe_code)]

#[doc(inline)]
pub use wheelhouse_net as net;
#[doc(inline)]
pub use wheelhouse_runtime::*;

/// Pages to read, beside what stands at each item. They are files in `docs/` of the repository; the
/// links between them lead to files there, and to each other here.
pub mod docs {
    #[doc = "[Coming from asyncio]: coming_from_asyncio\n"]
    #[doc = "[How a turn works]: how_a_turn_works\n"]
    #[doc = include_str!("docs/tour.md")]
    pub mod tour {}

    #[doc = "[Embedding in a host loop]: embedding\n"]
    // The picture goes in as it is, so that it follows the theme of these pages; the file's own
    // reference to it is for those who read the file.
    #[doc = "The eight stages of a turn, and what can be relied upon.\n"]
    #[doc = "<style>img[src='turn.svg'] { display: none }</style>\n"]
    #[doc = include_str!("docs/turn.svg")]
    #[doc = "\n"]
    #[doc = include_str!("docs/turn.md")]
    pub mod how_a_turn_works {}

    #[doc = "[Cancel safety]: cancel_safety\n"]
    #[doc = "[Embedding in a host loop]: embedding\n"]
    #[doc = "[The tour]: tour\n"]
    #[doc = include_str!("docs/coming-from-asyncio.md")]
    pub mod coming_from_asyncio {}

    #[doc = include_str!("docs/coming-from-tokio.md")]
    pub mod coming_from_tokio {}

    #[doc = include_str!("docs/cancel-safety.md")]
    pub mod cancel_safety {}

    #[doc = include_str!("docs/embedding.md")]
    pub mod embedding {}
}
