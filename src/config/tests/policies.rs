//! Wrong identifiers, clients, services and names, with the exact position.

use super::{check, router};

#[test]
fn identifiers() {
    check(
        router,
        &[
            (
                "identifier: header.token",
                &["4:15: routers[0].identifier: expected a map, found a single value"],
            ),
            (
                "identifier: []",
                &["4:15: routers[0].identifier: no identifiers"],
            ),
            (
                "identifier: {}",
                &["4:15: routers[0].identifier: `kind` is missing"],
            ),
            (
                "identifier: {kind: io.l5d.ingress}",
                &[
                    "4:22: routers[0].identifier.kind: identifier `io.l5d.ingress` is not supported yet",
                ],
            ),
            (
                "identifier: {kind: ingress}",
                &["4:22: routers[0].identifier.kind: identifier `ingress` is not supported yet"],
            ),
            (
                "identifier: {kind: io.l5d.headerToken}",
                &[
                    "4:22: routers[0].identifier.kind: identifier `io.l5d.headerToken` is of an older linkerd",
                ],
            ),
            (
                "identifier: {kind: io.l5d.methodHost}",
                &["4:22: routers[0].identifier.kind: unknown identifier `io.l5d.methodHost`"],
            ),
            (
                "identifier:\n- {kind: path, segments: 0}\n- {kind: path, header: Host}",
                &[
                    "5:28: routers[0].identifier[0].segments: 0 is not within 1 to 256",
                    "6:18: routers[0].identifier[1].header: unknown key `header`",
                ],
            ),
            (
                "identifier: {kind: header.token, header: 'a b'}",
                &["4:44: routers[0].identifier.header: `a b` is not the name of a header"],
            ),
            (
                "identifier: {kind: static}",
                &["4:16: routers[0].identifier: `path` is missing"],
            ),
            (
                "identifier: {kind: static, path: foo}",
                &["4:36: routers[0].identifier.path: …"],
            ),
            (
                "identifier: [{kind: [static]}]",
                &[
                    "4:23: routers[0].identifier[0].kind: expected the kind of the identifier, found a list",
                ],
            ),
        ],
    );
}

#[test]
fn clients_and_services() {
    check(
        router,
        &[
            (
                "client: {hostConnectionPool: {maxIdle: 70000}}",
                &[
                    "4:42: routers[0].client.hostConnectionPool.maxIdle: 70000 is not within 0 to 65536",
                ],
            ),
            (
                "client: {socketOptions: {backlog: 1}}",
                &[
                    "4:28: routers[0].client.socketOptions.backlog: client.socketOptions.backlog is not supported yet",
                ],
            ),
            (
                "client: {connectTimeoutMs: 0, bodyTimeoutMs: x}",
                &[
                    "4:30: routers[0].client.connectTimeoutMs: 0 is not within 1 to 2147483647",
                    "4:48: routers[0].client.bodyTimeoutMs: `x` is not a whole number",
                ],
            ),
            (
                "client: {requestAttemptTimeoutMs: 60001}",
                &[
                    "4:37: routers[0].client.requestAttemptTimeoutMs: 60001 is more than the whole request has: 60000",
                ],
            ),
            (
                "client: {engine: netty4}",
                &["4:12: routers[0].client.engine: client.engine is a key of an older linkerd"],
            ),
            (
                "service: {totalTimeoutMS: 5}",
                &["4:13: routers[0].service.totalTimeoutMS: unknown key `totalTimeoutMS`"],
            ),
            (
                "service: {kind: global, totalTimeoutMs: -1}",
                &["4:43: routers[0].service.totalTimeoutMs: -1 is not within 0 to 2147483647"],
            ),
        ],
    );
}

#[test]
fn a_name_is_pointed_at_inside_its_scalar() {
    let dtab = "routers[0].dtab";
    check(
        router,
        &[
            (
                "dtab: |\n  /a => /b;\n  # why\n\n  /c -> /d",
                &[&format!("8:8: {dtab}: …")],
            ),
            (
                "dtab: |2-\n    /a => /b;\n    /c /d",
                &[&format!("6:10: {dtab}: …")],
            ),
            (
                "dtab: >\n  /a => /b;\n\n  /c /d",
                &[&format!("7:8: {dtab}: …")],
            ),
            ("dtab: /a => /b ; /c /d", &[&format!("4:23: {dtab}: …")]),
            ("dtab: /a => /b ;\n  /c /d", &[&format!("5:8: {dtab}: …")]),
            ("dtab: '/a => /b ; /c /d'", &[&format!("4:24: {dtab}: …")]),
            (
                "dtab: \"/a => /b ;\n  /c /d\"",
                &[&format!("5:8: {dtab}: …")],
            ),
            // With an escape before it, the scalar as a whole.
            (
                "dtab: \"/a => /b ;\\n/c /d\"",
                &[&format!("4:9: {dtab}: …")],
            ),
            (
                "dtab: [/a]",
                &[&format!("4:9: {dtab}: expected a dtab, found a list")],
            ),
            ("dstPrefix: svc", &["4:14: routers[0].dstPrefix: …"]),
        ],
    );
}
