//! HTTP/1.1 on both sides of the proxy: the codec of [`crate::http::h1`] over engine sockets.

pub mod inbound;
mod kept;
pub mod outbound;
pub mod wire;
