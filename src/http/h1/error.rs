//! Every way in which a peer's bytes can be wrong: one variant, one word, one status.
//!
//! The word is what the proxy says in `l5d-err`, in the access log and in a metric's label, so it is
//! short, stable, and never made of the peer's bytes. All of these are the peer's fault, and end its
//! connection, since where the next message would start is no longer known.

use std::fmt;

macro_rules! refusals {
    (
        $(#[$doc:meta])* $name:ident
        { $($variant:ident => $status:literal, $reason:literal, $text:literal;)+ }
        $(wraps $inner:ident as $wrap:ident $(with status $fixed:literal)?)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!($text, " (", $status, ").")] $variant,)+
            $(/// Wrong in a way that requests and responses share.
            $wrap($inner),)?
        }

        impl $name {
            /// The status of the answer, if the peer is a client.
            pub const fn status(self) -> u16 {
                match self {
                    $($name::$variant => $status,)+
                    $($name::$wrap(inner) => {
                        let _: $inner = inner;
                        $(if true { return $fixed; })?
                        inner.status()
                    })?
                }
            }

            /// One word for header, log and metric.
            pub const fn reason(self) -> &'static str {
                match self {
                    $($name::$variant => $reason,)+
                    $($name::$wrap(inner) => { let _: $inner = inner; inner.reason() })?
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                    $($name::$wrap(inner) => { let _: $inner = inner; inner.text() })?
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }

        impl std::error::Error for $name {}

        $(impl From<$inner> for $name {
            fn from(inner: $inner) -> $name {
                $name::$wrap(inner)
            }
        })?
    };
}

refusals! {
    /// What is wrong in the head of a request or of a response alike (RFC 9112 §2 to §7).
    HeadError {
        BareLf => 400, "bare-lf", "a line ends in LF without CR";
        BareCr => 400, "bare-cr", "a CR stands without LF";
        Nul => 400, "nul", "a NUL byte in the head";
        ObsFold => 400, "obs-fold", "a field line starts with white space";
        SpaceBeforeColon => 400, "space-before-colon", "white space between a field name and its colon";
        EmptyName => 400, "empty-field-name", "a field line without a name";
        MissingColon => 400, "missing-colon", "a field line without a colon";
        BadName => 400, "bad-field-name", "a field name has a byte that is not allowed";
        BadValue => 400, "bad-field-value", "a field value has a control character";
        HeadTooLarge => 431, "head-too-large", "the head is larger than the limit";
        TooManyFields => 431, "too-many-fields", "the head has more fields than the limit";
        TeAndCl => 400, "te-and-cl", "both Transfer-Encoding and Content-Length";
        BadTransferEncoding => 400, "bad-transfer-encoding", "Transfer-Encoding is not exactly one chunked";
        TeOnHttp10 => 400, "te-on-http10", "Transfer-Encoding in an HTTP/1.0 message";
        BadContentLength => 400, "bad-content-length", "Content-Length is not one number of bytes";
        RepeatedContentLength => 400, "repeated-content-length", "more than one Content-Length";
        BadConnection => 400, "bad-connection", "Connection is not a short list of tokens";
    }
}

refusals! {
    /// Why a request's head is refused.
    RequestError {
        TlsRecord => 400, "tls-on-plain-port", "a TLS record where a request was expected";
        BadMethod => 400, "bad-method", "the method is not a token";
        BadRequestLine => 400, "bad-request-line", "the request line is not method, target and version";
        ExtraSpace => 400, "extra-space", "more than one space between the parts of the request line";
        ControlInLine => 400, "control-in-request-line", "a control character in the request line";
        BadTarget => 400, "bad-target", "the request target has no form that fits the method";
        UnsupportedVersion => 505, "http-version", "an HTTP version other than 1.0 and 1.1";
        LineTooLong => 414, "request-line-too-long", "the request line is longer than the limit";
        TooManyBlankLines => 400, "blank-lines", "too many empty lines before the request";
        MissingHost => 400, "missing-host", "an HTTP/1.1 request without Host";
        RepeatedHost => 400, "repeated-host", "more than one Host";
        BadHost => 400, "bad-host", "Host is not a host with an optional port";
        UnknownExpectation => 417, "unknown-expectation", "Expect asks for something other than 100-continue";
        ConnectBody => 400, "connect-with-body", "a CONNECT request with a body";
    }
    wraps HeadError as Head
}

refusals! {
    /// Why a response's head is refused. The status is the one for the waiting client: 502.
    ResponseError {
        BadStatusLine => 502, "bad-status-line", "the status line is not version, status and reason";
        BadStatus => 502, "bad-status", "the status is not in 100..=999";
        UnsupportedVersion => 502, "http-version", "an HTTP version other than 1.0 and 1.1";
        LineTooLong => 502, "status-line-too-long", "the status line is longer than the limit";
        InterimWithBody => 502, "interim-with-body", "a 1xx response that declares a body";
    }
    wraps HeadError as Head with status 502
}

refusals! {
    /// Why a body is refused or incomplete (RFC 9112 §7.1, §8). The status is for a client's body; a
    /// backend's fault makes it 502.
    BodyError {
        BadChunkSize => 400, "bad-chunk-size", "a chunk does not start with its size in hexadecimal";
        ChunkTooLarge => 400, "chunk-too-large", "a chunk size that does not fit";
        BadChunkExtension => 400, "bad-chunk-extension", "a chunk extension has a control character";
        ChunkExtensionTooLong => 400, "chunk-extension-too-long", "more chunk extensions than the limit";
        BareLf => 400, "chunk-bare-lf", "a line of the chunked coding ends in LF without CR";
        BareCr => 400, "chunk-bare-cr", "a CR without LF in the chunked coding";
        JunkAfterChunk => 400, "junk-after-chunk", "a chunk is longer than its size";
        BadTrailer => 400, "bad-trailer", "a trailer is not a field line";
        TrailersTooLarge => 400, "trailers-too-large", "more trailers than the limit";
        Truncated => 400, "body-truncated", "the peer closed before the end of the body";
    }
}
