//! What must hold for any bytes: the cuts of the network change nothing, what is written reads back
//! as what was meant, and nothing panics.

use super::bodies::body;
use super::*;
use crate::http::BodyLength;
use proptest::prelude::*;
use proptest::sample::Index;

/// What comes of a stream of requests without bodies: each head written out, then how it ended.
fn requests<'a>(parts: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Vec<String> {
    let (mut reader, mut head) = (HeadReader::new(), RequestHead::new());
    let mut events = Vec::new();
    for part in parts {
        let mut at = 0;
        while at < part.len() {
            match reader.request(&part[at..], limits, &mut head) {
                Ok(Progress::Partial) => break,
                Ok(Progress::Complete { used, connection }) => {
                    assert!(used > 0 && reader.is_idle());
                    at += used;
                    events.push(format!("{} {connection:?}", describe(&head)));
                }
                Err(error) => {
                    events.push(format!("{error:?}"));
                    return events;
                }
            }
        }
    }
    events
}

fn responses<'a>(parts: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Vec<String> {
    let (mut reader, mut head) = (HeadReader::new(), ResponseHead::new());
    let mut events = Vec::new();
    for part in parts {
        let mut at = 0;
        while at < part.len() {
            match reader.response(&part[at..], limits, Method::Get, &mut head) {
                Ok(Progress::Partial) => break,
                Ok(Progress::Complete { used, connection }) => {
                    at += used;
                    let mut out = Vec::new();
                    let keep_alive = connection.keep_alive;
                    let framing = ResponseFraming {
                        version: head.version,
                        body: head.body,
                        keep_alive,
                    };
                    write_response(&mut out, &head, &framing);
                    events.push(format!("{} {connection:?}", text(&out)));
                }
                Err(error) => {
                    events.push(format!("{error:?}"));
                    return events;
                }
            }
        }
    }
    events
}

fn describe(head: &RequestHead) -> String {
    let mut out = Vec::new();
    let options = RequestOptions {
        expect_continue: head.expect_continue,
        te_trailers: head.te_trailers,
        lines: &[],
    };
    write_request_with(&mut out, head, head.body, options);
    text(&out)
}

fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[(Index, u8, u8)]) {
    for (place, kind, byte) in mutations
        .iter()
        .filter(|_| !bytes.is_empty())
        .copied()
        .collect::<Vec<_>>()
    {
        if bytes.is_empty() {
            return;
        }
        let at = place.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(
                at,
                *b"\r\n \t:,;\0#\x7f\xff0"
                    .get(usize::from(byte) % 12)
                    .unwrap_or(&0),
            ),
        }
    }
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z][a-zA-Z0-9-]{0,12}:[ \t]?[ -~]{0,20}",
        Just("Connection: close".to_owned()),
        Just("Connection: upgrade, x-a, te".to_owned()),
        Just("Upgrade: websocket".to_owned()),
        Just("X-A: 1".to_owned()),
        Just("TE: trailers".to_owned()),
        Just("Content-Length: 3".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Expect: 100-continue".to_owned()),
        Just("l5d-dtab: /svc => /a".to_owned()),
        Just("Keep-Alive: timeout=4".to_owned()),
    ]
}

fn fields() -> impl Strategy<Value = String> {
    prop::collection::vec(field(), 0..5)
        .prop_map(|lines| lines.into_iter().map(|line| line + "\r\n").collect())
}

prop_compose! {
    fn request_bytes()(
        line in prop_oneof![
            Just("GET / HTTP/1.1"), Just("POST /a/b?c HTTP/1.1"), Just("OPTIONS * HTTP/1.1"),
            Just("CONNECT a:1 HTTP/1.1"), Just("GET http://x.y?z HTTP/1.1"), Just("FOO /a HTTP/1.0"),
        ],
        blank in "(\r\n){0,3}",
        fields in fields(),
    ) -> Vec<u8> {
        format!("{blank}{line}\r\nHost: a.b:80\r\n{fields}\r\n").into_bytes()
    }
}

prop_compose! {
    fn response_bytes()(status in 90u16..600, reason in "( [ -~]{0,9})?", fields in fields())
        -> Vec<u8>
    {
        format!("HTTP/1.1 {status:03}{reason}\r\n{fields}\r\n").into_bytes()
    }
}

prop_compose! {
    fn chunked_bytes()(
        chunks in prop::collection::vec(("[a-z\r\n]{1,40}", "(;[a-z=]{0,9})?"), 0..5),
        trailers in fields(),
    ) -> Vec<u8> {
        let mut out = String::new();
        for (data, extension) in chunks {
            out += &format!("{:x}{extension}\r\n{data}\r\n", data.len());
        }
        (out + "0\r\n" + &trailers + "\r\nrest").into_bytes()
    }
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..6)
}

fn mutations() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    prop::collection::vec(any::<(Index, u8, u8)>(), 0..3)
}

fn any_limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just(Limits::default()),
        Just(SMALL),
        (0usize..120, 0usize..60, 0usize..4, 0usize..30).prop_map(
            |(head_bytes, line_bytes, fields, trailer_bytes)| Limits {
                head_bytes,
                line_bytes,
                fields,
                trailer_bytes
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn requests_do_not_depend_on_the_cuts(
        heads in prop::collection::vec(request_bytes(), 1..3),
        mutations in mutations(), cuts in cuts(), limits in any_limits(),
    ) {
        let mut bytes = heads.concat();
        mutate(&mut bytes, &mutations);
        let expected = requests([&bytes[..]], &limits);
        prop_assert_eq!(requests(cut(&bytes, &cuts), &limits), expected.clone());
        prop_assert_eq!(requests(bytes.chunks(1), &limits), expected);
    }

    #[test]
    fn responses_do_not_depend_on_the_cuts(
        heads in prop::collection::vec(response_bytes(), 1..3),
        mutations in mutations(), cuts in cuts(), limits in any_limits(),
    ) {
        let mut bytes = heads.concat();
        mutate(&mut bytes, &mutations);
        let expected = responses([&bytes[..]], &limits);
        prop_assert_eq!(responses(cut(&bytes, &cuts), &limits), expected.clone());
        prop_assert_eq!(responses(bytes.chunks(1), &limits), expected);
    }

    #[test]
    fn bodies_do_not_depend_on_the_cuts(
        mut bytes in chunked_bytes(), mutations in mutations(), cuts in cuts(),
        limits in any_limits(),
    ) {
        mutate(&mut bytes, &mutations);
        let expected = body(BodyLength::Streamed, &limits, [&bytes[..]]);
        prop_assert_eq!(body(BodyLength::Streamed, &limits, cut(&bytes, &cuts)), expected.clone());
        prop_assert_eq!(body(BodyLength::Streamed, &limits, bytes.chunks(1)), expected);
    }

    #[test]
    fn what_is_written_reads_back_the_same(
        mut bytes in request_bytes(), mutations in mutations(),
    ) {
        mutate(&mut bytes, &mutations);
        if let Ok(Progress::Complete { .. }) =
            HeadReader::new().request(&bytes, &Limits::default(), &mut RequestHead::new())
        {
            let (head, ..) = request(&bytes, &Limits::default()).unwrap();
            let once = describe(&head);
            let (again, used, _) = request(once.as_bytes(), &Limits::default())
                .map_err(|error| TestCaseError::fail(format!("{error}: {once:?}")))?;
            prop_assert_eq!(used, once.len());
            prop_assert_eq!(describe(&again), once);
        }
    }

    #[test]
    fn chunks_read_back_the_same(pieces in prop::collection::vec("[ -~]{1,300}", 0..5)) {
        let mut wire = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            wire.extend_from_slice(chunk_head(i == 0, piece.len(), &mut [0; 24]));
            wire.extend_from_slice(piece.as_bytes());
        }
        wire.extend_from_slice(if pieces.is_empty() { LAST_CHUNK } else { LAST_CHUNK_AFTER_DATA });
        let outcome = body(BodyLength::Streamed, &SMALL, [&wire[..]]).unwrap();
        prop_assert_eq!((text(&outcome.data), outcome.rest), (pieces.concat(), Some(0)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), limits in any_limits()) {
        requests([&bytes[..]], &limits);
        responses([&bytes[..]], &limits);
        for length in [BodyLength::Streamed, BodyLength::Exact(9), BodyLength::UntilClose] {
            let _ = body(length, &limits, [&bytes[..]]);
        }
        let line = [b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[..], b"\r\n\r\n"].concat();
        requests([&line[..]], &limits);
        let line = [b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat();
        responses([&line[..]], &limits);
    }
}
