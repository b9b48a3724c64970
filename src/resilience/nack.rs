//! Nacks: a peer says that it is too busy and has not looked at the request.
//!
//! A nack is worth more than a 503: the request can be sent elsewhere whatever it does. In HTTP/1
//! Finagle says it in fields of a 503 (in HTTP/2 it is `REFUSED_STREAM`, and needs nothing from
//! here). What a proxy reads it must also write: the same rules turned round make the answer to a
//! request beyond `maxConcurrentRequests`.

/// Marks a nack of a request that may be sent again.
pub const NACK: &str = "finagle-http-nack";
/// Marks a nack of one that may not.
pub const NON_RETRYABLE_NACK: &str = "finagle-http-nonretryable-nack";
/// On a request: its body was kept, so it may be nacked although it has one.
pub const RETRYABLE_REQUEST: &str = "finagle-http-retryable-request";

/// A refusal by a peer that did not look at the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nack {
    /// May be sent again at once, elsewhere.
    Retryable,
    /// May not be sent again.
    NonRetryable,
}

/// What of a response says whether it is a nack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs<'a> {
    pub status: u16,
    /// It has a field [`NACK`].
    pub nack: bool,
    /// It has a field [`NON_RETRYABLE_NACK`].
    pub non_retryable_nack: bool,
    /// The value of `retry-after`.
    pub retry_after: Option<&'a [u8]>,
}

impl Nack {
    /// The nack that a response is, if it is one. A request that was streamed cannot be sent again.
    #[must_use]
    pub fn of_response(signs: Signs<'_>, was_streamed: bool) -> Option<Nack> {
        if signs.status != 503 {
            return None;
        }
        let is_retryable = signs.nack || signs.retry_after == Some(b"0");
        if signs.non_retryable_nack || (is_retryable && was_streamed) {
            Some(Nack::NonRetryable)
        } else {
            is_retryable.then_some(Nack::Retryable)
        }
    }

    /// How to nack a request: by whether it has a body, and whether it has a field
    /// [`RETRYABLE_REQUEST`]. The retryable form has [`NACK`] and `retry-after: 0`, the other one
    /// [`NON_RETRYABLE_NACK`].
    #[must_use]
    pub fn of_request(has_body: bool, is_marked_retryable: bool) -> Nack {
        if has_body && !is_marked_retryable {
            Nack::NonRetryable
        } else {
            Nack::Retryable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(text: &str) -> Signs<'_> {
        let mut signs = Signs {
            status: 503,
            ..Signs::default()
        };
        for word in text.split_whitespace() {
            match word {
                "nack" => signs.nack = true,
                "non" => signs.non_retryable_nack = true,
                after => signs.retry_after = Some(after.as_bytes()),
            }
        }
        signs
    }

    #[test]
    fn what_a_nack_is() {
        use Nack::{NonRetryable, Retryable};
        // Signs on a 503; read for a request that was kept, and for one that was streamed.
        let table = [
            ("", None, None),
            ("nack", Some(Retryable), Some(NonRetryable)),
            ("0", Some(Retryable), Some(NonRetryable)),
            ("nack 0", Some(Retryable), Some(NonRetryable)),
            ("nack 5", Some(Retryable), Some(NonRetryable)),
            ("5", None, None),
            ("00", None, None),
            ("Sun,", None, None),
            ("non", Some(NonRetryable), Some(NonRetryable)),
            ("non nack 0", Some(NonRetryable), Some(NonRetryable)),
        ];
        for (text, kept, streamed) in table {
            assert_eq!(Nack::of_response(signs(text), false), kept, "{text}");
            assert_eq!(Nack::of_response(signs(text), true), streamed, "{text}");
            for status in [200, 429, 500, 502, 504] {
                let other = Signs {
                    status,
                    ..signs(text)
                };
                assert_eq!(Nack::of_response(other, false), None, "{status} {text}");
            }
        }
    }

    #[test]
    fn how_to_nack() {
        assert_eq!(Nack::of_request(false, false), Nack::Retryable);
        assert_eq!(Nack::of_request(false, true), Nack::Retryable);
        assert_eq!(Nack::of_request(true, true), Nack::Retryable);
        assert_eq!(Nack::of_request(true, false), Nack::NonRetryable);
    }
}
