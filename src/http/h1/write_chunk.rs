//! Frames of the chunked coding, written around data that stays where it is (RFC 9112 §7.1).
//!
//! A chunk is `size CRLF data CRLF`. Sent as a vector of buffers that is three for every piece of
//! data; so the CRLF that ends a chunk is put in front of what follows it, the next chunk's size or
//! the end, and each piece of data has exactly one small buffer before it.

use super::write::put_fields;
use crate::http::{Fields, Name};

/// The end of a body whose last chunk has not got its CRLF yet.
pub const LAST_CHUNK_AFTER_DATA: &[u8] = b"\r\n0\r\n\r\n";

/// The end of a body in which there was no chunk.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What stands before `len` bytes of data (at least 1: a chunk of none would end the body): the CRLF
/// of the chunk before, unless this is the `first`, then the size and CRLF.
pub fn chunk_head(first: bool, len: usize, buf: &mut [u8; 24]) -> &[u8] {
    debug_assert!(len > 0, "an empty chunk ends the body");
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut at = buf.len() - 2;
    buf[at..].copy_from_slice(b"\r\n");
    let mut left = len;
    loop {
        at -= 1;
        buf[at] = HEX[left & 15];
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    if !first {
        at -= 2;
        buf[at..at + 2].copy_from_slice(b"\r\n");
    }
    &buf[at..]
}

/// The end of a body with trailers (RFC 9112 §7.1.2); those that may not come after a body are left
/// out. `after_data`: whether there was a chunk, which still needs its CRLF.
pub fn write_trailers_end(out: &mut Vec<u8>, after_data: bool, trailers: &Fields) {
    out.extend_from_slice(if after_data { b"\r\n0\r\n" } else { b"0\r\n" });
    put_fields(out, trailers, Name::is_allowed_in_trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let mut buf = [0; 24];
        for (first, len, text) in [
            (true, 1, "1\r\n"),
            (true, 16, "10\r\n"),
            (false, 0xabc, "\r\nabc\r\n"),
            (false, usize::MAX, "\r\nffffffffffffffff\r\n"),
        ] {
            assert_eq!(chunk_head(first, len, &mut buf), text.as_bytes());
        }
    }

    #[test]
    fn trailers_that_frame_or_route_are_left_out() {
        let mut trailers = Fields::new();
        for name in [
            "grpc-status",
            "Content-Length",
            "Host",
            "l5d-dtab",
            "x-checksum",
            "Trailer",
        ] {
            trailers.push(name.as_bytes(), b"0");
        }
        let mut out = Vec::new();
        write_trailers_end(&mut out, true, &trailers);
        assert_eq!(out, b"\r\n0\r\ngrpc-status: 0\r\nx-checksum: 0\r\n\r\n");
    }
}
