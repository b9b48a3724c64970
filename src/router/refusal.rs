//! What the proxy itself says to a client when no backend's answer can be had.
//!
//! Every such response carries one machine-readable word, its reason: the same word stands in the
//! `l5d-err` header, in the metrics and in the log. An error on the way tells three things: what
//! happened, whose fault it is, and whether asking again is safe.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

/// Whose fault an error is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Client,
    Backend,
    Proxy,
}

/// Whether a request that failed may be sent once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// It never left, so it is safe whatever it does.
    Always,
    /// It may have arrived: safe on a fresh connection if the pooled one was broken before any
    /// byte came back and the request may be repeated.
    IfReused,
    Never,
}

/// Says to a proxy before this one that it may send the request again.
const NEVER_DELIVERED: &str = "l5d-retryable: true\r\n";

/// A response made by the proxy. It is small to hand about: a request that is answered hands on, at
/// each of its steps, the place where a refusal might have been.
#[derive(Clone, Debug)]
pub struct Refusal(Box<Answer>);

/// What a [`Refusal`] says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// One short word, such as `connect-timeout`.
    pub reason: &'static str,
    /// One sentence for people.
    pub text: Cow<'static, str>,
    pub fault: Fault,
    pub retry: Retry,
    pub lines: Lines,
}

/// Lines of the head beside the usual ones, each with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lines {
    None,
    /// For proxies: strangers do not see them.
    Proxies(&'static str),
    /// For whoever asks.
    Everybody(String),
}

impl Lines {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Lines::None => "",
            Lines::Proxies(lines) => lines,
            Lines::Everybody(lines) => lines,
        }
    }
}

impl Deref for Refusal {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.0
    }
}

impl DerefMut for Refusal {
    fn deref_mut(&mut self) -> &mut Answer {
        &mut self.0
    }
}

impl Refusal {
    #[cold]
    pub fn client(status: u16, reason: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(status, reason, text, Fault::Client)
    }

    #[cold]
    pub fn backend(status: u16, reason: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(status, reason, text, Fault::Backend)
    }

    #[cold]
    pub fn proxy(status: u16, reason: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(status, reason, text, Fault::Proxy)
    }

    fn new(
        status: u16,
        reason: &'static str,
        text: impl Into<Cow<'static, str>>,
        fault: Fault,
    ) -> Self {
        Refusal(Box::new(Answer {
            status,
            reason,
            text: text.into(),
            fault,
            retry: Retry::Never,
            lines: Lines::None,
        }))
    }

    /// Without the reason and the text, and without what only proxies are to know.
    #[must_use]
    pub fn veiled(mut self) -> Self {
        self.reason = "";
        self.text = "".into();
        if matches!(self.lines, Lines::Proxies(_)) {
            self.lines = Lines::None;
        }
        self
    }

    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        if retry == Retry::Always && self.lines == Lines::None {
            self.lines = Lines::Proxies(NEVER_DELIVERED);
        }
        self
    }
}
