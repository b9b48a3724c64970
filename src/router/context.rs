//! Context: what travels with a request from proxy to proxy, in headers that begin with `l5d-`.
//!
//! A request may bring a dtab of its own, for this proxy and all after it: `l5d-dtab` (or
//! `dtab-local`, its older name), as somebody wrote it, and `l5d-ctx-dtab`, as the proxy before
//! passed it on. All are taken off the request; joined, the context's first, they override the
//! router's table and go on as `l5d-ctx-dtab`. So `l5d-dtab: /svc/b => /svc/b2` puts one service of a
//! whole call tree in another's place.
//!
//! The replica is told by which names it was reached (`l5d-dst-service`, `-client`, `-residual`);
//! those are the business of two neighbours, so whatever came in under these names goes.
//!
//! A server that faces strangers believes none of it and tells none of it: [`clear`].

use crate::http::{Fields, Name, Names};
use crate::naming::{Bound, Path};

const PREFIX: &[u8] = b"l5d-";
/// Dtabs, the later the more telling.
const DTABS: [Name; 3] = [Name::L5dCtxDtab, Name::DtabLocal, Name::L5dDtab];
/// Not passed on as they came.
const TAKEN: Names = Names::of(&[
    Name::L5dDstService,
    Name::L5dDstClient,
    Name::L5dDstResidual,
])
.and(Names::of(&DTABS));

/// Takes off a request, which has these names, what is not to be passed on, and writes its dtab into
/// `dtab`, which stays empty for a request without one.
pub fn take(fields: &mut Fields, names: Names, dtab: &mut Vec<u8>) {
    if !names.meets(TAKEN) {
        return;
    }
    for wanted in DTABS.into_iter().filter(|name| names.has(*name)) {
        for (_, _, value) in fields.iter().filter(|(id, ..)| *id == wanted) {
            let value = value.trim_ascii();
            let value = value.strip_suffix(b";").unwrap_or(value).trim_ascii();
            if !dtab.is_empty() && !value.is_empty() {
                dtab.extend_from_slice(b" ; ");
            }
            dtab.extend_from_slice(value);
        }
    }
    fields.remove_all(TAKEN);
}

/// Passes a request's dtab on.
pub fn pass_on(fields: &mut Fields, dtab: &[u8]) {
    if !dtab.is_empty() {
        fields.push(Name::L5dCtxDtab.as_str().as_bytes(), dtab);
    }
}

/// Removes all context, of a request or a response.
pub fn clear(fields: &mut Fields) {
    let is_context = |id: Name, name: &[u8]| {
        let start = name.get(..PREFIX.len());
        let prefixed = start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        prefixed || id == Name::DtabLocal
    };
    if fields.iter().any(|(id, name, _)| is_context(id, name)) {
        fields.retain(|entry, bytes| !is_context(entry.id, entry.name.of(bytes)));
    }
}

/// The lines of a head that tell a replica by which names it was reached. Paths show themselves
/// escaped, so nothing in them ends a line.
#[must_use]
pub fn destination(service: &Path, bound: &Bound) -> Box<[u8]> {
    let (client, residual) = (&bound.id, &bound.residual);
    let mut lines = format!("l5d-dst-service: {service}\r\nl5d-dst-client: {client}\r\n");
    if !residual.is_empty() {
        lines.push_str(&format!("l5d-dst-residual: {residual}\r\n"));
    }
    lines.into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::{Addr, Inet};

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            assert!(fields.push(name.as_bytes(), value.as_bytes()));
        }
        fields
    }

    fn shown(fields: &Fields) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = |(_, name, value): (_, &[u8], &[u8])| format!("{}: {}", text(name), text(value));
        fields.iter().map(line).collect()
    }

    #[test]
    fn dtabs_are_joined_and_taken() {
        for (lines, dtab, left) in [
            (&[("accept", "l5d-dtab")][..], "", &["accept: l5d-dtab"][..]),
            (&[("l5d-dtab", "/a=>/b;"), ("x", "y")], "/a=>/b", &["x: y"]),
            (
                &[
                    ("L5D-Dtab", "/a=>/b"),
                    ("l5d-CTX-dtab", "/c=>/d ; "),
                    ("Dtab-Local", "/e=>/f"),
                ],
                "/c=>/d ; /e=>/f ; /a=>/b",
                &[],
            ),
            (
                &[
                    ("l5d-dtab", "/a=>/b"),
                    ("l5d-dtab", ""),
                    ("l5d-dtab", " /c=>/d"),
                ],
                "/a=>/b ; /c=>/d",
                &[],
            ),
            (
                &[
                    ("l5d-dst-client", "/x"),
                    ("l5d-dst-else", "y"),
                    ("l5d-sample", "1"),
                ],
                "",
                &["l5d-dst-else: y", "l5d-sample: 1"],
            ),
        ] {
            let (mut fields, mut found) = (fields(lines), Vec::new());
            let names = fields.names();
            take(&mut fields, names, &mut found);
            assert_eq!(String::from_utf8_lossy(&found), dtab, "{lines:?}");
            assert_eq!(shown(&fields), left, "{lines:?}");
        }
    }

    #[test]
    fn clearing_leaves_nothing_of_it() {
        let mut fields = fields(&[
            ("L5D-x", "1"),
            ("l5d", "2"),
            ("l5d-", "3"),
            ("x-l5d-", "4"),
            ("Dtab-Local", "5"),
        ]);
        clear(&mut fields);
        assert_eq!(shown(&fields), ["l5d: 2", "x-l5d-: 4"]);
    }

    #[test]
    fn no_name_ends_a_line() {
        let bound = Bound {
            id: Path::from_segments(["$", "inet", "h", "80"]),
            addr: Addr::Inet(Inet {
                host: "h".to_owned(),
                port: 80,
            }),
            residual: Path::of_segment(b"a\r\nb: c\x7f\xff"),
        };
        let lines = destination(&Path::of_segment(b"x\ny"), &bound);
        let lines = std::str::from_utf8(&lines).unwrap();
        assert_eq!(lines.lines().count(), 3, "{lines:?}");
        assert!(
            lines
                .bytes()
                .all(|b| b.is_ascii_graphic() || b" \r\n".contains(&b))
        );
        assert!(
            lines.contains("\r\nl5d-dst-client: /$/inet/h/80\r\n"),
            "{lines:?}"
        );
    }
}
