//! The context of a trace: which call of which tree of calls a request is.
//!
//! Ringlink exports nothing yet; it passes contexts on, so that the traces of the services around it
//! hold together. There are two forms of one thing: linkerd's, which is finagle's 32 or 40 bytes in
//! base64, and Zipkin's B3 in hexadecimal. Both are read and written here without allocation, since
//! every request has one: where none came in, a tree begins. What cannot be read counts as none.

/// One call in a tree of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// This call.
    pub span: u64,
    /// The call that made it; itself, if it is the root.
    pub parent: u64,
    /// The tree: its low 64 bits, by which linkerd knows a request.
    pub id: u64,
    /// The high 64 bits of a tree's id that has 128.
    pub id_high: Option<u64>,
    /// Finagle's: [`DEBUG`](Trace::DEBUG) and whether it is sampled; others are passed on.
    pub flags: u64,
}

/// The longest base64 of a context.
const LONGEST: usize = 40_usize.div_ceil(3) * 4;

impl Trace {
    pub const DEBUG: u64 = 1;
    /// Whether it is sampled was decided.
    const KNOWN: u64 = 1 << 1;
    const SAMPLED: u64 = 1 << 2;

    /// The root of a new tree, of which nobody has decided whether it is sampled.
    #[must_use]
    pub fn root(id: u64) -> Trace {
        Trace {
            span: id,
            parent: id,
            id,
            id_high: None,
            flags: 0,
        }
    }

    /// A call that this one makes.
    #[must_use]
    pub fn child(self, span: u64) -> Trace {
        Trace {
            span,
            parent: self.span,
            ..self
        }
    }

    /// Whether it is sampled; `None` if that is still to be decided.
    #[must_use]
    pub fn sampled(self) -> Option<bool> {
        (self.flags & Trace::KNOWN != 0).then_some(self.flags & Trace::SAMPLED != 0)
    }

    /// Decides whether it is sampled.
    #[must_use]
    pub fn decided(mut self, sampled: bool) -> Trace {
        self.flags &= !Trace::SAMPLED;
        self.flags |= Trace::KNOWN | if sampled { Trace::SAMPLED } else { 0 };
        self
    }

    /// Decides by a rate from 0 to 1, unless that was done: the trees with an id in the first of
    /// 10000 classes, as linkerd does. It draws a number per process into that; here all proxies
    /// agree.
    #[must_use]
    pub fn decided_by(self, rate: f64) -> Trace {
        if self.sampled().is_some() || rate.is_nan() {
            return self;
        }
        // Within 0 to 10000, so nothing is lost.
        let classes = (rate.clamp(0.0, 1.0) * 10_000.0).ceil() as u64;
        self.decided(self.id.cast_signed().unsigned_abs() % 10_000 < classes)
    }

    /// Reads linkerd's form: big-endian span, parent, tree and flags, and perhaps the high half of
    /// the tree's id.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Trace> {
        let mut bytes = [0; LONGEST / 4 * 3];
        let len = decode_base64(text, &mut bytes)?;
        let word = |at: usize| {
            let word = bytes[..len].get(at * 8..at * 8 + 8)?;
            Some(u64::from_be_bytes(word.try_into().ok()?))
        };
        matches!(len, 32 | 40).then_some(())?;
        Some(Trace {
            span: word(0)?,
            parent: word(1)?,
            id: word(2)?,
            flags: word(3)?,
            id_high: word(4),
        })
    }

    /// Writes linkerd's form.
    pub fn encode(self, out: &mut Vec<u8>) {
        let words = [self.span, self.parent, self.id, self.flags];
        let words = words.map(u64::to_be_bytes);
        // Padded with zeroes to a multiple of six.
        let mut bytes = [0; LONGEST / 4 * 3];
        bytes[..32].copy_from_slice(words.as_flattened());
        bytes[32..40].copy_from_slice(&self.id_high.unwrap_or_default().to_be_bytes());
        let (digits, len) = match self.id_high {
            None => (43, 44),
            Some(_) => (54, LONGEST),
        };
        let mut text = [0; LONGEST];
        for (six, eight) in bytes.chunks_exact(6).zip(text.chunks_exact_mut(8)) {
            let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|at| six[at]);
            let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
            eight.copy_from_slice(&base64_digits(bits));
        }
        text[digits..].fill(b'=');
        out.extend_from_slice(&text[..len]);
    }

    /// Reads a tree's id and a span as B3 writes them: 16 or 32, and 16 hexadecimal digits. Without
    /// a parent the call is its tree's root.
    #[must_use]
    pub fn of_b3(id: &[u8], span: &[u8], parent: Option<&[u8]>) -> Option<Trace> {
        let (high, low) = match id.len() {
            32 => (Some(hex(&id[..16])?), &id[16..]),
            _ => (None, id),
        };
        let (id, span) = (hex(low)?, hex(span)?);
        Some(Trace {
            span,
            parent: parent.and_then(hex).unwrap_or(span),
            id,
            // Zero stands for "64 bits" where somebody writes 128 always.
            id_high: high.filter(|high| *high != 0),
            flags: 0,
        })
    }

    /// Reads B3's single field: `id-span[-decision[-parent]]`, or the decision alone. The context
    /// and the decision.
    #[must_use]
    pub fn of_b3_single(text: &[u8]) -> (Option<Trace>, Decision) {
        let mut parts = text.split(|b| *b == b'-');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let Some(span) = second else {
            return (None, Decision::of(first));
        };
        let decision = parts.next().map_or(Decision::Open, Decision::of);
        (Trace::of_b3(first, span, parts.next()), decision)
    }

    /// What B3 says of sampling.
    #[must_use]
    pub fn with(self, decision: Decision) -> Trace {
        match decision {
            Decision::Open => self,
            Decision::Debug => {
                let trace = self.decided(true);
                Trace {
                    flags: trace.flags | Trace::DEBUG,
                    ..trace
                }
            }
            Decision::Sampled(sampled) => self.decided(sampled),
        }
    }

    /// What there is to say to B3 of sampling.
    #[must_use]
    pub fn decision(self) -> Decision {
        match self.sampled() {
            _ if self.flags & Trace::DEBUG != 0 => Decision::Debug,
            Some(sampled) => Decision::Sampled(sampled),
            None => Decision::Open,
        }
    }
}

/// Whether a trace is sampled, as B3 puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Somebody else decides.
    Open,
    /// It is, whatever anybody says.
    Debug,
    Sampled(bool),
}

impl Decision {
    /// `1`, `0` or `d`, or words of older tracers.
    #[must_use]
    pub fn of(text: &[u8]) -> Decision {
        match text {
            b"1" => Decision::Sampled(true),
            b"0" => Decision::Sampled(false),
            b"d" => Decision::Debug,
            text if text.eq_ignore_ascii_case(b"true") => Decision::Sampled(true),
            text if text.eq_ignore_ascii_case(b"false") => Decision::Sampled(false),
            _ => Decision::Open,
        }
    }
}

/// Writes a number as 16 hexadecimal digits.
pub fn put_hex(number: u64, out: &mut Vec<u8>) {
    let halves = [(number >> 32) as u32, number as u32].map(hex_digits);
    out.extend_from_slice(halves.as_flattened());
}

/// The base64 digits (RFC 4648 §4) of 48 bits, all at once: six bits a byte, then each to its letter.
fn base64_digits(bits: u64) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut sixes = (bits & 0xFFFF_FF00_0000) << 8 | bits & 0x00FF_FFFF;
    sixes = (sixes & 0x00FF_F000_00FF_F000) << 4 | sixes & 0x0000_0FFF_0000_0FFF;
    sixes = (sixes & 0x0FC0_0FC0_0FC0_0FC0) << 2 | sixes & 0x003F_003F_003F_003F;
    // One in each byte that is at least so much.
    let least = |n: u64| (sixes + EACH * (128 - n)) >> 7 & EACH;
    let up = EACH * u64::from(b'A') + least(26) * 6 + least(63) * 3;
    let down = least(52) * 75 + least(62) * 15;
    (sixes + up - down).to_be_bytes()
}

/// The eight digits of a number, all at once: a nibble a byte, then each to its letter.
fn hex_digits(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut nibbles = u64::from(number);
    nibbles = (nibbles | nibbles << 16) & 0x0000_FFFF_0000_FFFF;
    nibbles = (nibbles | nibbles << 8) & 0x00FF_00FF_00FF_00FF;
    nibbles = (nibbles | nibbles << 4) & (EACH * 0x0F);
    let letters = (nibbles + EACH * 6) >> 4 & EACH;
    let digits = nibbles + EACH * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10);
    digits.to_be_bytes()
}

/// A number of 1 to 16 hexadecimal digits.
fn hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u64::from(digit))
    })
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each digit of base64; 0xFF for every other byte.
static DIGITS: [u8; 256] = {
    let mut digits = [0xFF; 256];
    let mut value = 0;
    while value < 64 {
        digits[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// RFC 4648 §4, with or without padding: how many bytes there were. `None` if it is not base64, or
/// more than fits.
fn decode_base64(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let len = text.len() / 4 * 3 + (text.len() % 4).saturating_sub(1);
    if text.len() % 4 == 1 || text.len() > out.len() / 3 * 4 {
        return None;
    }
    for (digits, bytes) in text.chunks(4).zip(out.chunks_mut(3)) {
        let mut bits = 0u32;
        for at in 0..4 {
            let value = digits.get(at).map_or(0, |b| DIGITS[usize::from(*b)]);
            if value == 0xFF {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(trace: Trace) -> String {
        let mut out = Vec::new();
        trace.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    const TRACE: Trace = Trace {
        span: 0x0102_0304_0506_0708,
        parent: 0x1112_1314_1516_1718,
        id: 0x2122_2324_2526_2728,
        id_high: None,
        flags: 6,
    };

    #[test]
    fn linkerds_form() {
        // Made by `base64` of the bytes.
        let text = "AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAY=";
        assert_eq!(encoded(TRACE), text);
        assert_eq!(Trace::decode(text.as_bytes()), Some(TRACE));
        assert_eq!(
            Trace::decode(text.trim_end_matches('=').as_bytes()),
            Some(TRACE)
        );
        let wide = Trace {
            id_high: Some(0xF1F2_F3F4_F5F6_F7F8),
            ..TRACE
        };
        let text = "AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAbx8vP09fb3+A==";
        assert_eq!(encoded(wide), text);
        assert_eq!(Trace::decode(text.as_bytes()), Some(wide));
    }

    #[test]
    fn what_is_no_context_is_none() {
        let good = encoded(TRACE);
        for len in 0..good.len() - 1 {
            assert_eq!(Trace::decode(&good.as_bytes()[..len]), None, "{len}");
        }
        for bad in [
            &b"!QIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAY="[..],
            b"AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAA\xffY=",
            b"AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAYA",
            b"AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAYAAAAAAAA=",
            &[b'A'; 60],
            &[b'A'; 4000],
            b"====",
            b"=",
        ] {
            assert_eq!(Trace::decode(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn every_context_survives() {
        let mut rng = crate::balance::rng::Rng::new(1);
        for _ in 0..1000 {
            let mut next = || rng.next_u64();
            let trace = Trace {
                span: next(),
                parent: next(),
                id: next(),
                id_high: (next() % 2 == 0).then(&mut next),
                flags: next(),
            };
            assert_eq!(Trace::decode(encoded(trace).as_bytes()), Some(trace));
        }
    }

    #[test]
    fn children_belong_to_their_tree() {
        let root = Trace::root(7);
        assert_eq!((root.span, root.parent, root.id), (7, 7, 7));
        let child = root.child(8).child(9);
        assert_eq!((child.span, child.parent, child.id), (9, 8, 7));
        assert_eq!(child.sampled(), None);
    }

    #[test]
    fn sampling_is_decided_once() {
        for (id, rate, sampled) in [
            (0, 0.0, false),
            (0, 0.0001, true),
            (4_999, 0.5, true),
            (5_000, 0.5, false),
            (25_000, 0.5, false),
            (u64::MAX, 0.0002, true),
            (1 << 63, 1.0, true),
            (9_999, 7.5, true),
            (1, -3.0, false),
            (1, f64::INFINITY, true),
        ] {
            let trace = Trace::root(id).decided_by(rate);
            assert_eq!(trace.sampled(), Some(sampled), "{id} at {rate}");
            assert_eq!(trace.decided_by(1.0 - rate), trace);
        }
        let open = Trace::root(3);
        assert_eq!(open.decided_by(f64::NAN), open);
        assert_eq!(open.decided(true).decided(false).sampled(), Some(false));
        assert_eq!(open.decided(true).flags, 6);
    }

    #[test]
    fn zipkins_form() {
        let trace = Trace::of_b3(b"80f198ee56343ba8", b"05E3AC9A4f6e3b90", None).unwrap();
        assert_eq!((trace.id, trace.id_high), (0x80f1_98ee_5634_3ba8, None));
        assert_eq!(
            (trace.span, trace.parent),
            (0x05e3_ac9a_4f6e_3b90, trace.span)
        );
        let id = b"80f198ee56343ba864fe8b2a57d3eff7";
        let trace = Trace::of_b3(id, b"1", Some(b"2")).unwrap();
        assert_eq!(trace.id_high, Some(0x80f1_98ee_5634_3ba8));
        assert_eq!(
            (trace.span, trace.parent, trace.id),
            (1, 2, 0x64fe_8b2a_57d3_eff7)
        );
        assert_eq!(
            Trace::of_b3(b"00000000000000000000000000000007", b"1", Some(b"?")),
            Some(Trace::root(1).child(1)).map(|trace| Trace { id: 7, ..trace })
        );
        for (id, span) in [
            (&b""[..], &b"1"[..]),
            (b"1", b""),
            (b"g", b"1"),
            (b"1", b"+1"),
            (b"1", b"00000000000000001"),
            (b"0000000000000000g000000000000001", b"1"),
        ] {
            assert_eq!(Trace::of_b3(id, span, None), None);
        }
    }

    #[test]
    fn zipkins_single_form() {
        let read = |text: &str| Trace::of_b3_single(text.as_bytes());
        let root = Trace {
            id: 10,
            ..Trace::root(11)
        };
        assert_eq!(read("a-b"), (Some(root), Decision::Open));
        assert_eq!(read("a-b-1"), (Some(root), Decision::Sampled(true)));
        let child = Trace { parent: 12, ..root };
        assert_eq!(read("a-b-d-c"), (Some(child), Decision::Debug));
        assert_eq!(read("0"), (None, Decision::Sampled(false)));
        assert_eq!(read("x-b-1"), (None, Decision::Sampled(true)));
        assert_eq!(read(""), (None, Decision::Open));
    }

    #[test]
    fn decisions_come_and_go() {
        let root = Trace::root(1);
        for (text, decision) in [
            ("1", Decision::Sampled(true)),
            ("True", Decision::Sampled(true)),
            ("false", Decision::Sampled(false)),
            ("d", Decision::Debug),
            ("2", Decision::Open),
        ] {
            assert_eq!(Decision::of(text.as_bytes()), decision);
            assert_eq!(root.with(decision).decision(), decision);
        }
        assert_eq!(root.with(Decision::Debug).sampled(), Some(true));
        let mut digits = Vec::new();
        put_hex(0x01ab, &mut digits);
        assert_eq!(digits, b"00000000000001ab");
        for number in (0..64).map(|at| 0x0123_4567_89ab_cdef_u64.rotate_left(at)) {
            digits.clear();
            put_hex(number, &mut digits);
            assert_eq!(digits, format!("{number:016x}").into_bytes());
        }
    }
}
