//! Response classifiers: whether an exchange succeeded, and if not, whether the service allows it to
//! be tried again.
//!
//! The verdict feeds three readers that must agree: the retry loop, failure accrual, and the
//! success rate that people look at. A classifier knows what repeating means to the *service*
//! (reads, everything that is idempotent, everything); what is safe on the *wire* is decided before:
//! a request that never left, or that the peer says it never looked at, may be repeated under every
//! classifier, and one whose body is gone under none.
//!
//! The kinds and their names are linkerd's: `io.l5d.http.*`, `io.l5d.h2.*` and `io.l5d.h2.grpc.*`.
//! Of `io.l5d.h2.grpc.compliant` this is what was meant: linkerd registers the class of `default`
//! under that name.

/// What a request's method says of repeating it (RFC 9110 §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodClass {
    /// GET, HEAD, OPTIONS, TRACE.
    Read,
    /// PUT, DELETE.
    Idempotent,
    /// POST, PATCH.
    Write,
    /// Any other: repeated by no kind.
    Other,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent: the peer cannot have seen it.
    NotSent,
    /// The peer says that it did not look at it (RFC 9113 §8.7 `REFUSED_STREAM`, and what a GOAWAY
    /// leaves out).
    Refused,
    /// No response in time.
    Timeout,
    /// The request could not be written to its end.
    Write,
    /// The connection ended, or the stream was reset.
    Closed,
    /// What came was no response.
    Framing,
    /// Anything else.
    Other,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A response. `grpc_status` is that of its head or its trailers, by [`grpc_status`].
    Response {
        status: u16,
        grpc_status: Option<u32>,
    },
    /// None.
    Failed(Failure),
}

/// An exchange, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub method: MethodClass,
    /// Whether the request can be sent once more as it was: it has no body, or its body was kept. A
    /// streamed request cannot.
    pub is_repeatable: bool,
    pub reply: Reply,
    /// The response had `l5d-retryable: true`: a proxy beyond says that it was never delivered.
    pub l5d_retryable: bool,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Success,
    RetryableFailure,
    NonRetryableFailure,
}

/// Which failures of gRPC calls are worth another try.
#[derive(Clone, Debug, PartialEq)]
pub enum GrpcRetries {
    /// `default`: status 14, UNAVAILABLE.
    Default,
    /// `compliant`: 14, `REFUSED_STREAM`, and what gRPC maps to 14: HTTP 429, 502, 503, 504.
    Compliant,
    /// `alwaysRetryable`.
    Always,
    /// `neverRetryable`.
    Never,
    /// `retryableStatusCodes`: these.
    Codes(Vec<u32>),
}

/// A rule for verdicts.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Classifier {
    /// No failure is retried.
    #[default]
    NonRetryable5xx,
    /// Reads are.
    RetryableRead5xx,
    /// Whatever is idempotent is.
    RetryableIdempotent5xx,
    /// Writes are too.
    RetryableAll5xx,
    /// Every response is a success, whatever its status.
    AllSuccessful,
    /// By `grpc-status`. A response without one is judged by its HTTP status: from 400 on a failure,
    /// otherwise one that ended too early.
    Grpc {
        retries: GrpcRetries,
        /// Status codes that are successes: 0, OK, by default.
        successes: Vec<u32>,
    },
}

const UNKNOWN: u32 = 2;
const UNAVAILABLE: u32 = 14;

impl Classifier {
    /// Judges an exchange.
    #[must_use]
    pub fn classify(&self, exchange: &Exchange) -> Class {
        let (succeeded, worth_it) = match self {
            Classifier::Grpc { retries, successes } => grpc(retries, successes, exchange.reply),
            _ => self.http(exchange),
        };
        if succeeded {
            return Class::Success;
        }
        let undelivered = exchange.l5d_retryable || exchange.reply.is_undelivered();
        if exchange.is_repeatable && (worth_it || undelivered) {
            Class::RetryableFailure
        } else {
            Class::NonRetryableFailure
        }
    }

    /// Whether it is a success, and if not, whether the service wants it tried again.
    fn http(&self, exchange: &Exchange) -> (bool, bool) {
        let succeeded = match exchange.reply {
            Reply::Response { status, .. } => status < 500 || *self == Classifier::AllSuccessful,
            Reply::Failed(_) => false,
        };
        let is_known = exchange.reply != Reply::Failed(Failure::Other);
        (succeeded, is_known && self.repeats(exchange.method))
    }

    fn repeats(&self, method: MethodClass) -> bool {
        use MethodClass::{Idempotent, Read, Write};
        match self {
            Classifier::RetryableRead5xx => method == Read,
            Classifier::RetryableIdempotent5xx => matches!(method, Read | Idempotent),
            Classifier::RetryableAll5xx => matches!(method, Read | Idempotent | Write),
            Classifier::NonRetryable5xx | Classifier::AllSuccessful | Classifier::Grpc { .. } => {
                false
            }
        }
    }
}

impl Reply {
    fn is_undelivered(self) -> bool {
        matches!(self, Reply::Failed(Failure::NotSent | Failure::Refused))
    }
}

fn grpc(retries: &GrpcRetries, successes: &[u32], reply: Reply) -> (bool, bool) {
    let (code, http) = match reply {
        Reply::Response {
            status,
            grpc_status,
        } => (grpc_status, Some(status)),
        Reply::Failed(_) => (None, None),
    };
    if let Some(code) = code {
        let worth_it = match retries {
            GrpcRetries::Default | GrpcRetries::Compliant => code == UNAVAILABLE,
            GrpcRetries::Always => true,
            GrpcRetries::Never => false,
            GrpcRetries::Codes(codes) => codes.contains(&code),
        };
        return (successes.contains(&code), worth_it);
    }
    let ended_early = http.is_some_and(|status| status < 400);
    let worth_it = match retries {
        GrpcRetries::Always => !ended_early,
        GrpcRetries::Compliant => matches!(http, Some(429 | 502 | 503 | 504)),
        GrpcRetries::Default | GrpcRetries::Never | GrpcRetries::Codes(_) => false,
    };
    (false, worth_it)
}

/// The code that the value of a `grpc-status` field tells; UNKNOWN (2) if it is no number of at most
/// nine digits, as gRPC's clients read it.
#[must_use]
pub fn grpc_status(value: &[u8]) -> u32 {
    let is_number = (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    if !is_number {
        return UNKNOWN;
    }
    value
        .iter()
        .fold(0, |code, digit| code * 10 + u32::from(digit - b'0'))
}

/// What the value of an `l5d-success-class` field tells: a fraction, a success if it is more than 0,
/// a failure if it is no fraction.
#[must_use]
pub fn is_success_class(value: &[u8]) -> bool {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.trim().parse::<f64>().ok())
        .is_some_and(|fraction| fraction > 0.0)
}

#[cfg(test)]
mod tests;
