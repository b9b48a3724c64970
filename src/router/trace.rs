//! Which fields the context of a trace travels in.
//!
//! What a request brings is taken off it, whatever becomes of it: the span that a replica is told is
//! another one, and two contexts in one head would be read differently by two readers. Everything
//! goes out as lines of the head that is being written, since every attempt is a span of its own.

use crate::config::resolved::Propagator;
use crate::http::{Fields, Name, Names};
use crate::telemetry::trace::{Decision, Trace, put_hex};

/// linkerd's, and what goes with every form.
const LINKERD: Names = Names::of(&[Name::L5dCtxTrace, Name::L5dSample, Name::L5dReqid]);
const B3: Names = Names::of(&[
    Name::B3,
    Name::XB3TraceId,
    Name::XB3SpanId,
    Name::XB3ParentSpanId,
    Name::XB3Sampled,
    Name::XB3Flags,
]);

/// The fields that a propagator takes off requests.
fn taken(propagator: Propagator) -> Names {
    match propagator {
        Propagator::Linkerd => LINKERD,
        Propagator::Zipkin => LINKERD.and(B3),
    }
}

/// Takes the context off a request, which has these names; without one, a new tree begins. A client
/// that is not `believed` has none to give.
pub fn take(
    fields: &mut Fields,
    names: Names,
    propagator: Propagator,
    believed: bool,
    random: impl FnOnce() -> u64,
) -> Trace {
    if !names.meets(taken(propagator)) {
        return Trace::root(random());
    }
    let (mut trace, mut rate) = (None, None);
    let mut decision = Decision::Open;
    if believed {
        (trace, decision) = match propagator {
            Propagator::Linkerd => (
                fields.get(Name::L5dCtxTrace).and_then(Trace::decode),
                Decision::Open,
            ),
            Propagator::Zipkin => b3(fields),
        };
        rate = fields.get(Name::L5dSample).and_then(number);
    }
    fields.remove_all(taken(propagator));
    let trace = trace.unwrap_or_else(|| Trace::root(random()));
    let trace = trace.with(decision);
    rate.map_or(trace, |rate| trace.decided_by(rate))
}

/// The single field goes before the others.
fn b3(fields: &Fields) -> (Option<Trace>, Decision) {
    if let Some(single) = fields.get(Name::B3) {
        return Trace::of_b3_single(single);
    }
    let debug = fields.get(Name::XB3Flags) == Some(b"1");
    let decision = match fields.get(Name::XB3Sampled) {
        _ if debug => Decision::Debug,
        Some(sampled) => Decision::of(sampled),
        None => Decision::Open,
    };
    let ids = fields
        .get(Name::XB3TraceId)
        .zip(fields.get(Name::XB3SpanId));
    let parent = fields.get(Name::XB3ParentSpanId);
    let trace = ids.and_then(|(id, span)| Trace::of_b3(id, span, parent));
    (trace, decision)
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// Writes the lines of a head that tell a replica of its call.
pub fn put_lines(trace: Trace, propagator: Propagator, out: &mut Vec<u8>) {
    match propagator {
        Propagator::Linkerd => {
            out.extend_from_slice(b"l5d-ctx-trace: ");
            trace.encode(out);
        }
        Propagator::Zipkin => put_b3(trace, out),
    }
    out.extend_from_slice(b"\r\nl5d-reqid: ");
    put_hex(trace.id, out);
    out.extend_from_slice(b"\r\n");
}

fn put_b3(trace: Trace, out: &mut Vec<u8>) {
    out.extend_from_slice(b"x-b3-traceid: ");
    if let Some(high) = trace.id_high {
        put_hex(high, out);
    }
    put_hex(trace.id, out);
    out.extend_from_slice(b"\r\nx-b3-spanid: ");
    put_hex(trace.span, out);
    out.extend_from_slice(b"\r\nx-b3-parentspanid: ");
    put_hex(trace.parent, out);
    out.extend_from_slice(match trace.decision() {
        Decision::Open => b"",
        Decision::Debug => b"\r\nx-b3-flags: 1",
        Decision::Sampled(true) => b"\r\nx-b3-sampled: 1",
        Decision::Sampled(false) => b"\r\nx-b3-sampled: 0",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: u64 = 0xAB;

    fn taken_from(lines: &[(&str, &str)], propagator: Propagator) -> (Trace, usize) {
        let mut fields = Fields::new();
        for (name, value) in lines {
            assert!(fields.push(name.as_bytes(), value.as_bytes()));
        }
        let names = fields.names();
        let trace = take(&mut fields, names, propagator, true, || ROOT);
        (trace, fields.len())
    }

    fn lines(trace: Trace, propagator: Propagator) -> String {
        let mut out = Vec::new();
        put_lines(trace, propagator, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn linkerds_context_goes_on() {
        let id = Trace {
            id: 9,
            ..Trace::root(1).child(2).decided(true)
        };
        let written = lines(id, Propagator::Linkerd);
        let (context, rest) = written.split_once("\r\n").unwrap();
        let context = context.strip_prefix("l5d-ctx-trace: ").unwrap();
        assert_eq!(rest, "l5d-reqid: 0000000000000009\r\n");
        let given = [("L5d-Ctx-Trace", context), ("l5d-sample", "0"), ("x", "y")];
        assert_eq!(taken_from(&given, Propagator::Linkerd), (id, 1));
        // Zipkin does not read it, and leaves nothing of it.
        let (trace, left) = taken_from(&given[..2], Propagator::Zipkin);
        assert_eq!((trace, left), (Trace::root(ROOT).decided(false), 0));
    }

    #[test]
    fn without_one_a_tree_begins() {
        let root = Trace::root(ROOT);
        for (given, trace, left) in [
            (&[("x-b3-traceid", "1")][..], root, 1),
            (&[("l5d-ctx-trace", "x"), ("l5d-reqid", "1")], root, 0),
            (&[("l5d-sample", "1.0")], root.decided(true), 0),
            (&[("l5d-sample", " -1")], root.decided(false), 0),
            (&[("l5d-sample", "much")], root, 0),
            (&[("l5d-sample", "NaN")], root, 0),
            (&[], root, 0),
        ] {
            assert_eq!(taken_from(given, Propagator::Linkerd), (trace, left));
        }
    }

    #[test]
    fn who_is_not_believed_has_no_context() {
        for (name, value) in [("b3", "1-2-1"), ("l5d-sample", "1"), ("x-b3-sampled", "1")] {
            let mut fields = Fields::new();
            assert!(fields.push(name.as_bytes(), value.as_bytes()));
            let names = fields.names();
            let trace = take(&mut fields, names, Propagator::Zipkin, false, || ROOT);
            assert_eq!((trace, fields.len()), (Trace::root(ROOT), 0), "{name}");
        }
    }

    #[test]
    fn zipkins_context_goes_on() {
        let given = [
            ("X-B3-TraceId", "463ac35c9f6413ad48485a3953bb6124"),
            ("X-B3-SpanId", "a2fb4a1d1a96d312"),
            ("X-B3-ParentSpanId", "0020000000000001"),
            ("X-B3-Sampled", "1"),
        ];
        let (trace, left) = taken_from(&given, Propagator::Zipkin);
        assert_eq!(left, 0);
        assert_eq!(
            lines(trace.child(5), Propagator::Zipkin),
            "x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124\r\n\
             x-b3-spanid: 0000000000000005\r\n\
             x-b3-parentspanid: a2fb4a1d1a96d312\r\n\
             x-b3-sampled: 1\r\n\
             l5d-reqid: 48485a3953bb6124\r\n"
        );
        let single = "48485a3953bb6124-a2fb4a1d1a96d312-d-0020000000000001";
        let (trace, _) = taken_from(&[("b3", single), given[0]], Propagator::Zipkin);
        let lines = lines(trace.child(5), Propagator::Zipkin);
        assert!(lines.starts_with("x-b3-traceid: 48485a3953bb6124\r\n"));
        assert!(lines.contains("\r\nx-b3-flags: 1\r\n") && !lines.contains("sampled"));
    }

    #[test]
    fn a_decision_without_ids_is_one() {
        let root = Trace::root(ROOT);
        for (given, decided) in [
            (&[("x-b3-sampled", "0")][..], root.decided(false)),
            (
                &[("x-b3-sampled", "0"), ("x-b3-flags", "1")],
                root.with(Decision::Debug),
            ),
            (&[("b3", "1"), ("l5d-sample", "0")], root.decided(true)),
            (&[("x-b3-traceid", "1"), ("x-b3-spanid", "no")], root),
        ] {
            assert_eq!(taken_from(given, Propagator::Zipkin), (decided, 0));
        }
    }
}
