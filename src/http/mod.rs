//! HTTP without I/O: bytes in, events out; commands in, bytes out.
//!
//! A proxy is attacked at the place where two parsers read one message differently. So this room has
//! one strict reader per protocol, and nothing of what it read is ever forwarded as it came: a head
//! is read into [`RequestHead`] or [`ResponseHead`], which hold only its meaning (method, target,
//! authority, body length, end-to-end fields), and is written anew from that. What frames or routes
//! a message (Host, Content-Length, Transfer-Encoding, Connection…) never stays among the fields,
//! where it could disagree with the meaning; what is ambiguous is refused, never guessed.
//!
//! The types here are those that both protocols share. [`h1`] reads and writes HTTP/1.
//!
//! Costs are part of the design: a head is copied once out of the receive buffer, into an arena that
//! is reused from message to message, so that the buffer can go at once and the steady state
//! allocates nothing; body bytes are only ever pointed at.
//!
//! Nothing here reads a clock, rolls dice or knows a descriptor, and no byte from a peer can panic.
#![forbid(unsafe_code)]

pub mod fields;
pub mod h1;
pub mod message;
pub mod method;
pub mod name;

pub use fields::{Element, Fields, Span};
pub use message::{BodyLength, RequestHead, ResponseHead};
pub use method::{Method, Version};
pub use name::{Name, Names};
