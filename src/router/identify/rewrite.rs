//! Rewriting the path of a request.

use crate::http::RequestHead;

/// Replaces the first `length` bytes of the path by `by`, and keeps the rest and the query. A path
/// of which nothing is left becomes `/`. The new target is made at the end of `scratch`, which has
/// its old length afterwards: vectors of requests have room, so nothing is allocated.
pub fn replace_start(head: &mut RequestHead, length: usize, by: &[u8], scratch: &mut Vec<u8>) {
    let start = scratch.len();
    let (path, target) = (head.path(), head.target());
    scratch.extend_from_slice(by);
    scratch.extend_from_slice(path.get(length..).unwrap_or_default());
    if scratch.len() == start {
        scratch.push(b'/');
    }
    scratch.extend_from_slice(&target[path.len()..]);
    let fits = head.set_target(&scratch[start..]);
    debug_assert!(fits, "parts of checked targets are a target");
    scratch.truncate(start);
}
