//! HTTP/1.1 as a load tester needs it: requests as bytes made once, answers read in place.

pub(crate) mod chunked;
pub(crate) mod request;
pub(crate) mod response;
