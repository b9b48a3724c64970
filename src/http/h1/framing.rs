//! The fields that frame a message and describe its connection, judged together (RFC 9112 §6, §9;
//! RFC 9110 §7.6.1, §8.6).
//!
//! Request smuggling lives here: two parsers that disagree about which of these fields counts. So
//! each may come once and in one form only, and what two of them leave open is refused.
//!
//! `Connection` names fields that are not to be passed on. Taken at its word, it is a way to strip
//! from a request what an earlier proxy added: `X-Forwarded-For`, a dtab, a credential. Therefore it
//! can strip only names that this proxy does not know. A known name is either about the connection
//! and always dropped, or meant for the end and always kept, whatever `Connection` says.

use super::error::HeadError;
use crate::http::fields::{Fields, Span};
use crate::http::name::{is_token, leading_token};
use crate::http::{Name, Version};

/// Unknown names that one message may have stripped: each is compared with every field.
const NOMINATED_MAX: usize = 16;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Framing {
    pub host: Option<Span>,
    pub hosts: usize,
    pub length: Option<u64>,
    pub chunked: bool,
    pub expect: Option<Span>,
    pub expects: usize,
    pub te_trailers: bool,
    /// Asked for with `connection: upgrade`, on HTTP/1.1.
    pub upgrade: Option<Span>,
    pub idle_seconds: Option<u32>,
    close: bool,
    persist: bool,
    upgrade_nominated: bool,
    nominated: [Span; NOMINATED_MAX],
    nominations: usize,
}

impl Framing {
    /// Takes in what the fields say together. (Into its place: it is too large to be handed about.)
    pub fn read(&mut self, fields: &Fields, version: Version) -> Result<(), HeadError> {
        let (mut length, mut coding) = (None, None);
        let (mut lengths, mut codings) = (0, 0);
        for entry in fields.entries() {
            match entry.id {
                Name::Other => {}
                Name::Host => {
                    self.host = Some(entry.value);
                    self.hosts += 1;
                }
                Name::ContentLength => {
                    length = Some(entry.value);
                    lengths += 1;
                }
                Name::TransferEncoding => {
                    coding = Some(entry.value);
                    codings += 1;
                }
                Name::Connection => self.connection(fields, entry.value)?,
                Name::Expect => {
                    self.expect = Some(entry.value);
                    self.expects += 1;
                }
                Name::Te => self.te_trailers |= has_trailers(fields.text(entry.value)),
                Name::Upgrade => self.upgrade = self.upgrade.or(Some(entry.value)),
                Name::KeepAlive => self.idle_seconds = idle_seconds(fields.text(entry.value)),
                _ => {}
            }
        }
        if length.is_some() && coding.is_some() {
            return Err(HeadError::TeAndCl);
        }
        self.chunked = match coding {
            Some(_) if version == Version::Http10 => return Err(HeadError::TeOnHttp10),
            Some(coding) => is_chunked(fields.text(coding), codings)?,
            None => false,
        };
        self.length = match length {
            Some(_) if lengths > 1 => return Err(HeadError::RepeatedContentLength),
            Some(length) => Some(number(fields.text(length)).ok_or(HeadError::BadContentLength)?),
            None => None,
        };
        let may_upgrade = self.upgrade_nominated && version == Version::Http11;
        self.upgrade = self
            .upgrade
            .filter(|u| may_upgrade && is_upgrade(fields.text(*u)));
        Ok(())
    }

    /// RFC 9112 §9.3.
    pub fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.persist && !self.close,
            _ => !self.close,
        }
    }

    /// Leaves only what goes on to the next hop.
    pub fn strip(&self, fields: &mut Fields) {
        let nominated = self.nominated.get(..self.nominations).unwrap_or_default();
        fields.retain(|entry, bytes| match entry.id {
            Name::Other => {
                let name = entry.name.of(bytes);
                !nominated
                    .iter()
                    .any(|n| n.of(bytes).eq_ignore_ascii_case(name))
            }
            known => !known.is_hop_by_hop() && !known.is_carried_apart(),
        });
    }

    fn connection(&mut self, fields: &Fields, value: Span) -> Result<(), HeadError> {
        let text = fields.text(value);
        let mut at = value.start as usize;
        for element in text.split(|b| *b == b',') {
            let start = at + element.len() - element.trim_ascii_start().len();
            at += element.len() + 1;
            let option = element.trim_ascii();
            if option.is_empty() {
                continue;
            }
            self.option(option, Span::between(start, start + option.len()))?;
        }
        Ok(())
    }

    fn option(&mut self, option: &[u8], span: Span) -> Result<(), HeadError> {
        // By far the most frequent ones first, by their whole text.
        if option.eq_ignore_ascii_case(b"keep-alive") {
            self.persist = true;
            return Ok(());
        }
        if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
            return Ok(());
        }
        match leading_token(option) {
            (len, _) if len != option.len() => return Err(HeadError::BadConnection),
            (_, Name::Upgrade) => self.upgrade_nominated = true,
            (_, Name::Other) => {
                let slot = self.nominated.get_mut(self.nominations);
                *slot.ok_or(HeadError::BadConnection)? = span;
                self.nominations += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Exactly one `chunked`, and no other coding (RFC 9112 §6.1, §7).
fn is_chunked(coding: &[u8], codings: usize) -> Result<bool, HeadError> {
    match codings == 1 && coding.eq_ignore_ascii_case(b"chunked") {
        true => Ok(true),
        false => Err(HeadError::BadTransferEncoding),
    }
}

/// `1*DIGIT` that fits (RFC 9110 §8.6): no sign, no space, no list.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// `te: trailers`, alone or among codings (RFC 9110 §10.1.4).
fn has_trailers(te: &[u8]) -> bool {
    te.split(|b| *b == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// A list of `name[/version]` (RFC 9110 §7.8) in which HTTP itself is not. Passing on an upgrade to
/// h2c would open a channel to the backend that the proxy does not read.
fn is_upgrade(protocols: &[u8]) -> bool {
    let is_protocol = |protocol: &[u8]| {
        let mut parts = protocol.trim_ascii().splitn(2, |b| *b == b'/');
        let name = parts.next().unwrap_or_default();
        let is_http = name
            .get(..2)
            .is_some_and(|h2| h2.eq_ignore_ascii_case(b"h2"))
            || name.eq_ignore_ascii_case(b"http");
        is_token(name) && !is_http && parts.next().is_none_or(is_token)
    };
    protocols.split(|b| *b == b',').all(is_protocol)
}

/// The `timeout` of a Keep-Alive field (RFC 2068 §19.7.1.1), as servers still send it.
fn idle_seconds(value: &[u8]) -> Option<u32> {
    value.split(|b| *b == b',').find_map(|parameter| {
        let parameter = parameter.trim_ascii();
        let (name, seconds) = parameter.split_at_checked(8)?;
        let seconds = name
            .eq_ignore_ascii_case(b"timeout=")
            .then(|| number(seconds))??;
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    })
}
