use super::*;
use crate::http::{BodyLength, Name};

/// Everything that comes of a body: its data, its trailers, how much was left over.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Outcome {
    pub data: Vec<u8>,
    pub trailers: String,
    /// Bytes after the body's end; `None` if the body goes on.
    pub rest: Option<usize>,
}

/// Reads a body that comes in these parts.
pub(super) fn body<'a>(
    length: BodyLength,
    limits: &Limits,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Outcome, BodyError> {
    let mut decoder = BodyDecoder::new(length, limits);
    let (mut data, mut rest) = (Vec::new(), 0);
    for part in parts {
        let mut at = 0;
        loop {
            match decoder.decode(&part[at..])? {
                Step::Data { start, end } => {
                    assert!(start < end, "empty data");
                    data.extend_from_slice(&part[at + start..at + end]);
                    at += end;
                }
                Step::More { used } => {
                    assert_eq!(at + used, part.len(), "More leaves input");
                    break;
                }
                Step::Done { used } => {
                    assert!(decoder.is_done());
                    rest += part.len() - at - used;
                    break;
                }
            }
        }
    }
    let rest = decoder.is_done().then_some(rest);
    let trailers = decoder
        .trailers()
        .map(|fields| lines(fields))
        .unwrap_or_default();
    Ok(Outcome {
        data,
        trailers,
        rest,
    })
}

fn chunked(bytes: &[u8]) -> Result<Outcome, BodyError> {
    body(BodyLength::Streamed, &SMALL, [bytes])
}

#[test]
fn broken_chunks_are_refused_with_their_word() {
    let long = format!("1;{}\r\n", "e".repeat(257));
    let debt = format!("1;{}\r\na\r\n", "e".repeat(255)).repeat(66);
    let trailers = |text: &str| format!("0\r\n{text}\r\n\r\n");
    let (many, large) = (
        trailers(&"A:b\r\n".repeat(6)),
        trailers(&format!("A: {}", "b".repeat(60))),
    );
    let cases: &[(&str, &str)] = &[
        ("\r\n", "bad-chunk-size"),
        ("\n", "bad-chunk-size"),
        (" 1\r\n", "bad-chunk-size"),
        ("1 \r\n", "bad-chunk-size"),
        ("1\t\r\n", "bad-chunk-size"),
        ("1 ;a\r\n", "bad-chunk-size"),
        ("+1\r\n", "bad-chunk-size"),
        ("-1\r\n", "bad-chunk-size"),
        ("0x1\r\n", "bad-chunk-size"),
        ("1_0\r\n", "bad-chunk-size"),
        ("g\r\n", "bad-chunk-size"),
        (";a\r\n", "bad-chunk-size"),
        ("1\0\r\n", "bad-chunk-size"),
        ("8000000000000000\r\n", "chunk-too-large"),
        ("ffffffffffffffff\r\n", "chunk-too-large"),
        ("10000000000000000\r\n", "chunk-too-large"),
        ("00000000000000001\r\n", "chunk-too-large"),
        ("1\n", "chunk-bare-lf"),
        ("1;a\n", "chunk-bare-lf"),
        ("1\r\na\n", "chunk-bare-lf"),
        ("0\r\n\n", "chunk-bare-lf"),
        ("0\r\nA: b\n\r\n", "chunk-bare-lf"),
        ("1\ra", "chunk-bare-cr"),
        ("1;a\rb", "chunk-bare-cr"),
        ("1\r\r\n", "chunk-bare-cr"),
        ("1\r\na\rb", "chunk-bare-cr"),
        ("0\r\n\ra", "chunk-bare-cr"),
        ("0\r\nA: b\rc\r\n\r\n", "chunk-bare-cr"),
        ("1\r\nab", "junk-after-chunk"),
        ("1\r\na1\r\n", "junk-after-chunk"),
        ("1;a\0\r\n", "bad-chunk-extension"),
        ("1;a\x1b\r\n", "bad-chunk-extension"),
        ("1;a\x7f\r\n", "bad-chunk-extension"),
        (&long, "chunk-extension-too-long"),
        (&debt, "chunk-extension-too-long"),
        ("0\r\nA\r\n", "bad-trailer"),
        ("0\r\nA : b\r\n", "bad-trailer"),
        ("0\r\n A: b\r\n", "bad-trailer"),
        ("0\r\nA: b\r\n c\r\n", "bad-trailer"),
        ("0\r\n: b\r\n", "bad-trailer"),
        ("0\r\nA: \0\r\n", "bad-trailer"),
        (&many, "trailers-too-large"),
        (&large, "trailers-too-large"),
    ];
    for (bytes, reason) in cases {
        let error = chunked(bytes.as_bytes()).expect_err(bytes);
        assert_eq!(
            (error.status(), error.reason()),
            (400, *reason),
            "{bytes:?}"
        );
    }
}

#[test]
fn chunks() {
    let outcome = |data: &str, trailers: &str, rest| Outcome {
        data: data.into(),
        trailers: trailers.into(),
        rest,
    };
    for (bytes, expected) in [
        ("0\r\n\r\n", outcome("", "", Some(0))),
        ("0000000000000000\r\n\r\nGET", outcome("", "", Some(3))),
        (
            "4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n",
            outcome("Wikipedia", "", Some(0)),
        ),
        (
            "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            outcome("01234567890123456789", "", Some(0)),
        ),
        (
            "1;a=b;c=\"d\";\u{e9}\r\nx\r\n0;z\r\n\r\n",
            outcome("x", "", Some(0)),
        ),
        ("2\r\n\r\n\r\n0\r\n\r\n", outcome("\r\n", "", Some(0))),
        ("5\r\nabc", outcome("abc", "", None)),
        ("1\r\na\r\n0\r\n", outcome("a", "", None)),
        (
            "0\r\ngrpc-status: 0\r\nX: y \r\nHost: b\r\nContent-Length: 1\r\n\r\n!",
            outcome("", "grpc-status: 0\nX: y\n", Some(1)),
        ),
        (
            "0\r\nAuthorization: b\r\nl5d-dtab: x\r\n\r\n",
            outcome("", "", Some(0)),
        ),
    ] {
        assert_eq!(chunked(bytes.as_bytes()), Ok(expected), "{bytes:?}");
    }
}

#[test]
fn data_pays_for_extensions() {
    let mut bytes = format!("400;{}\r\n{}\r\n", "e".repeat(255), "a".repeat(1024)).repeat(500);
    bytes.push_str("0\r\n\r\n");
    assert_eq!(chunked(bytes.as_bytes()).unwrap().data.len(), 512_000);
}

#[test]
fn the_largest_chunk_is_waited_for() {
    let mut decoder = BodyDecoder::new(BodyLength::Streamed, &SMALL);
    let step = decoder.decode(b"7fffffffffffffff\r\nabc").unwrap();
    assert_eq!(step, Step::Data { start: 18, end: 21 });
    assert!(!decoder.is_done() && decoder.trailers().is_none());
}

#[test]
fn exact_bodies_are_done_with_their_last_byte() {
    let mut decoder = BodyDecoder::new(BodyLength::Exact(5), &SMALL);
    assert_eq!(decoder.decode(b""), Ok(Step::More { used: 0 }));
    assert_eq!(decoder.decode(b"abc"), Ok(Step::Data { start: 0, end: 3 }));
    assert_eq!(
        (decoder.is_done(), decoder.at_eof()),
        (false, Err(BodyError::Truncated))
    );
    assert_eq!(
        decoder.decode(b"deGET"),
        Ok(Step::Data { start: 0, end: 2 })
    );
    assert_eq!((decoder.is_done(), decoder.at_eof()), (true, Ok(())));
    assert_eq!(decoder.decode(b"GET"), Ok(Step::Done { used: 0 }));
    for length in [BodyLength::Empty, BodyLength::Exact(0)] {
        let mut decoder = BodyDecoder::new(length, &SMALL);
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(b"GET"), Ok(Step::Done { used: 0 }));
    }
}

#[test]
fn closing_ends_only_bodies_that_last_until_then() {
    let mut decoder = BodyDecoder::new(BodyLength::UntilClose, &SMALL);
    assert_eq!(decoder.decode(b"abc"), Ok(Step::Data { start: 0, end: 3 }));
    assert_eq!(decoder.decode(b""), Ok(Step::More { used: 0 }));
    assert!(!decoder.is_done());
    assert_eq!((decoder.at_eof(), decoder.is_done()), (Ok(()), true));

    for cut in 0.."1\r\na\r\n0\r\nA: b\r\n\r\n".len() {
        let mut decoder = BodyDecoder::new(BodyLength::Streamed, &SMALL);
        let mut at = 0;
        while let Step::Data { end, .. } = decoder
            .decode(&b"1\r\na\r\n0\r\nA: b\r\n\r\n"[at..cut])
            .unwrap()
        {
            at += end;
        }
        assert_eq!(decoder.at_eof(), Err(BodyError::Truncated), "{cut}");
    }
}

#[test]
fn trailers_can_be_taken_and_changed() {
    let mut decoder = BodyDecoder::new(BodyLength::Streamed, &SMALL);
    assert_eq!(
        decoder.decode(b"0\r\nGrpc-Status: 0\r\n\r\n"),
        Ok(Step::Done { used: 21 })
    );
    let trailers = decoder.trailers().unwrap();
    assert_eq!(trailers.get(Name::GrpcStatus), Some(&b"0"[..]));
    assert!(trailers.set(b"grpc-status", b"14"));
}
