//! The traits of others, implemented for our types. Each is in a file of its own and changes
//! nothing elsewhere.

mod futures_io;
