//! Every way to be wrong with a key or a value, with the exact position.

use super::{check, router, server, top};

#[test]
fn top_admin_and_engine() {
    check(
        top,
        &[
            ("rooters: []", &["2:1: rooters: unknown key `rooters`"]),
            (
                "telemetry: []",
                &["2:1: telemetry: telemetry is not supported yet"],
            ),
            (
                "telemetry:",
                &["2:1: telemetry: telemetry is not supported yet"],
            ),
            (
                "tracers: []",
                &["2:1: tracers: tracers is a key of an older linkerd"],
            ),
            (
                "admin: 9990",
                &["2:8: admin: expected a map, found a single value"],
            ),
            (
                "admin: {port: 65536}",
                &["2:15: admin.port: 65536 is not within 0 to 65535"],
            ),
            (
                "admin: {port: -1}",
                &["2:15: admin.port: -1 is not within 0 to 65535"],
            ),
            (
                "admin: {ip: localhost}",
                &["2:13: admin.ip: `localhost` is not an IP address"],
            ),
            (
                "admin: {shutdownGraceMs: 3000000000}",
                &["2:26: admin.shutdownGraceMs: 3000000000 is not within 0 to 2147483647"],
            ),
            (
                "admin: {tls: {}}",
                &["2:9: admin.tls: admin.tls is not supported yet"],
            ),
            (
                "admin: {workerThreads: 2}",
                &["2:9: admin.workerThreads: admin.workerThreads is not supported yet"],
            ),
            (
                "usage: {enabled: yes}",
                &["2:18: usage.enabled: expected true or false, found `yes`"],
            ),
            (
                "engine: {driver: uring}",
                &["2:18: engine.driver: unknown driver `uring`"],
            ),
            (
                "engine: {cores: 0}",
                &["2:17: engine.cores: 0 is not within 1 to 1024"],
            ),
            (
                "engine: {cores: -1}",
                &["2:17: engine.cores: -1 is not within 1 to 1024"],
            ),
            (
                "engine: {cores: all}",
                &["2:17: engine.cores: `all` is not a core or range of cores"],
            ),
            (
                "engine: {cores: '4'}",
                &["2:17: engine.cores: `\"4\"` may mean a number of cores or one core"],
            ),
            (
                "engine: {cores: '0-3,2'}",
                &["2:17: engine.cores: core 2 is listed twice"],
            ),
            (
                "engine: {cores: 3-1}",
                &["2:17: engine.cores: the range `3-1` runs backwards"],
            ),
            (
                "engine: {cores: 0-9999}",
                &["2:17: engine.cores: `0-9999` is not a core or range of cores"],
            ),
            ("engine: {cores: []}", &["2:17: engine.cores: no cores"]),
            (
                "engine: {cores: [0, x, 1024]}",
                &["2:21: engine.cores[1]: `x` is not a whole number"],
            ),
            (
                "engine: {ring: {entries: 5000}}",
                &["2:26: engine.ring.entries: 5000 is not a power of two: 4096 or 8192"],
            ),
            (
                "engine: {ring: {entries: 4096, completionEntries: 8192}}",
                &[
                    "2:51: engine.ring.completionEntries: 8192 is less than 4 × `entries`: at least 16384",
                ],
            ),
            (
                "engine: {ring: {completionEntries: 20000}}",
                &[
                    "2:36: engine.ring.completionEntries: 20000 is not a power of two: 16384 or 32768",
                ],
            ),
            (
                "engine: {ring: {entries: 32768}}",
                &["2:26: engine.ring.entries: 32768 is not within 8 to 16384"],
            ),
            (
                "engine: {buffers: {count: 65536}}",
                &["2:27: engine.buffers.count: 65536 is not within 16 to 32768"],
            ),
            (
                "engine: {buffers: {count: 1000}}",
                &["2:27: engine.buffers.count: 1000 is not a power of two: 512 or 1024"],
            ),
            (
                "engine: {buffers: {sizeKB: 2}}",
                &["2:28: engine.buffers.sizeKB: 2 is not within 4 to 64"],
            ),
            (
                "engine: {buffers: {sizeKb: 16}}",
                &["2:20: engine.buffers.sizeKb: unknown key `sizeKb`"],
            ),
            (
                "engine: {maxConnections: 0}",
                &["2:26: engine.maxConnections: 0 is not within 1 to 10000000"],
            ),
            (
                "engine: {maxConnections: 010}",
                &["2:26: engine.maxConnections: `010` is not a whole number"],
            ),
            (
                "engine: {maxConnections: 1_000}",
                &["2:26: engine.maxConnections: `1_000` is not a whole number"],
            ),
            (
                "engine: {maxConnections: '10'}",
                &["2:26: engine.maxConnections: expected a whole number, found the text `10`"],
            ),
            (
                "engine: {maxConnections: 1e3}",
                &["2:26: engine.maxConnections: `1e3` is not a whole number"],
            ),
            (
                "engine: {maxConnections: [1]}",
                &["2:26: engine.maxConnections: expected a whole number, found a list"],
            ),
            (
                "engine: {maxConnections: 99999999999999999999999}",
                &[
                    "2:26: engine.maxConnections: 99999999999999999999999 is not within 1 to 10000000",
                ],
            ),
        ],
    );
}

#[test]
fn routers() {
    check(
        str::to_owned,
        &[
            ("admin: {}", &["1:1: `routers` is missing"]),
            ("routers: []", &["1:10: routers: no routers"]),
            ("routers:\n", &["1:1: `routers` is missing"]),
            (
                "routers: {}",
                &["1:10: routers: expected a list, found a map"],
            ),
            (
                "routers: [http]",
                &["1:11: routers[0]: expected a map, found a single value"],
            ),
            (
                "routers: [{protocol: http}]",
                &["1:12: routers[0]: `servers` is missing"],
            ),
            (
                "routers: [{servers: []}]",
                &["1:12: routers[0]: `protocol` is missing"],
            ),
            (
                "routers: [{protocol: http, servers: []}]",
                &["1:37: routers[0].servers: no servers"],
            ),
            (
                "routers: [{protocol: h2, servers: [{port: 1, tsl: 1}]}]",
                &["1:22: routers[0].protocol: protocol `h2` is not supported yet"],
            ),
            (
                "routers: [{protocol: htpt}]",
                &["1:22: routers[0].protocol: unknown protocol `htpt`"],
            ),
            ("- a\n- b", &["1:1: expected a map, found a list"]),
        ],
    );
    check(
        router,
        &[
            (
                "label: ''",
                &["4:10: routers[0].label: expected a label, found empty text"],
            ),
            (
                "originator: true",
                &["4:3: routers[0].originator: routers[].originator is not supported yet"],
            ),
            (
                "httpAccessLog: x",
                &["4:3: routers[0].httpAccessLog: routers[].httpAccessLog is not supported yet"],
            ),
            (
                "baseDtab: /a => /b",
                &["4:3: routers[0].baseDtab: routers[].baseDtab is a key of an older linkerd"],
            ),
            (
                "timeoutMs: 1",
                &["4:3: routers[0].timeoutMs: routers[].timeoutMs is a key of an older linkerd"],
            ),
            (
                "failureAccrual: {}",
                &["4:3: routers[0].failureAccrual: unknown key `failureAccrual`"],
            ),
            (
                "bindingTimeoutMs: 0",
                &["4:21: routers[0].bindingTimeoutMs: 0 is not within 1 to 2147483647"],
            ),
            (
                "bindingCache: {paths: 0, trees: 5}",
                &[
                    "4:25: routers[0].bindingCache.paths: 0 is not within 1 to 1000000",
                    "4:28: routers[0].bindingCache.trees: bindingCache.trees is not supported yet",
                ],
            ),
            (
                "interpreter: {kind: io.l5d.namerd}",
                &[
                    "4:23: routers[0].interpreter.kind: interpreter `io.l5d.namerd` is not supported yet",
                ],
            ),
            (
                "interpreter: {}",
                &["4:16: routers[0].interpreter: `kind` is missing"],
            ),
            (
                "maxHeadersKB: 4\nmaxInitialLineKB: 8",
                &[
                    "5:21: routers[0].maxInitialLineKB: 8 is more than the whole head may have: `maxHeadersKB` is 4",
                ],
            ),
            (
                "maxHeaderFields: 0",
                &["4:20: routers[0].maxHeaderFields: 0 is not within 1 to 10000"],
            ),
            (
                "? [a]\n: b",
                &["4:5: routers[0]: a key must be text, found a list"],
            ),
            (
                "<<: {a: b}",
                &["4:3: routers[0].<<: merge keys are not part of YAML 1.2"],
            ),
            (
                "label: a\nlabel: b",
                &["5:3: routers[0].label: duplicate key `label`"],
            ),
        ],
    );
}

#[test]
fn servers() {
    check(
        server,
        &[
            (
                "prot: 1",
                &["5:5: routers[0].servers[0].prot: unknown key `prot`"],
            ),
            (
                "port: 1",
                &["5:5: routers[0].servers[0].port: duplicate key `port`"],
            ),
            (
                "ip: '*'",
                &["5:9: routers[0].servers[0].ip: `*` is not an IP address"],
            ),
            (
                "tls: {}",
                &["5:5: routers[0].servers[0].tls: servers[].tls is not supported yet"],
            ),
            (
                "maxConcurrentRequests: 0\nmaxPendingRequests: 2147483648",
                &[
                    "5:28: routers[0].servers[0].maxConcurrentRequests: 0 is not within 1 to 2147483647",
                    "6:25: routers[0].servers[0].maxPendingRequests: 2147483648 is not within 0 to 2147483647",
                ],
            ),
            (
                "maxPendingRequests: 5",
                &[
                    "5:25: routers[0].servers[0].maxPendingRequests: nobody waits without `maxConcurrentRequests` or `adaptiveLimit`",
                ],
            ),
            (
                "engine: netty",
                &[
                    "5:5: routers[0].servers[0].engine: servers[].engine is a key of an older linkerd",
                ],
            ),
            (
                "timeoutMs: 0",
                &["5:16: routers[0].servers[0].timeoutMs: 0 is not within 1 to 2147483647"],
            ),
            (
                "timeoutMs: 5s",
                &["5:16: routers[0].servers[0].timeoutMs: `5s` is not a whole number"],
            ),
            (
                "serverSession: {idleTimeMs: 0}",
                &[
                    "5:33: routers[0].servers[0].serverSession.idleTimeMs: 0 is not within 1 to 2147483647",
                ],
            ),
            (
                "serverSession: {lifeTimeMs: 1}",
                &[
                    "5:21: routers[0].servers[0].serverSession.lifeTimeMs: servers[].serverSession.lifeTimeMs is not supported yet",
                ],
            ),
            (
                "socketOptions: {noDelay: 1, reusePort: true}",
                &[
                    "5:30: routers[0].servers[0].socketOptions.noDelay: expected true or false, found `1`",
                    "5:33: routers[0].servers[0].socketOptions.reusePort: servers[].socketOptions.reusePort is not supported yet",
                ],
            ),
            (
                "socketOptions: {backlog: 0}",
                &["5:30: routers[0].servers[0].socketOptions.backlog: 0 is not within 1 to 65535"],
            ),
            (
                "allowConnect: 'true'",
                &["5:19: routers[0].servers[0].allowConnect: expected true or false, found `true`"],
            ),
            (
                "- port: 1",
                &["5:7: not valid YAML: while parsing a block mapping, did not find expected key"],
            ),
        ],
    );
}

#[test]
fn namers() {
    check(
        top,
        &[
            ("namers: {}", &["2:9: namers: expected a list, found a map"]),
            (
                "namers: [{kind: io.l5d.consul}]",
                &["2:17: namers[0].kind: namer `io.l5d.consul` is not supported yet"],
            ),
            (
                "namers: [{kind: fs}, {kind: fs, rootDir: /no/such/place}]",
                &[
                    "2:11: namers[0]: `rootDir` is missing",
                    "2:42: namers[1].rootDir: `/no/such/place` is not a directory",
                ],
            ),
            (
                "namers: [{kind: rewrite, prefix: /a, pattern: /, name: /b, transformers: []}]",
                &["2:60: namers[0].transformers: namers[].transformers is not supported yet"],
            ),
            (
                "namers: [{kind: fs, rootDir: /, prefix: fs}]",
                &["2:41: namers[0].prefix: …"],
            ),
            (
                "namers: [{kind: fs, rootDir: /, prefix: /}]",
                &["2:11: namers[0]: the prefix `/` leaves nothing to other namers"],
            ),
            (
                "namers: [{kind: static, names: {/a: [h 1, h], b: []}}]",
                &[
                    "2:43: namers[0].names./a[1]: `h` is not `host port` or `host port * weight`",
                    "2:47: namers[0].names: …",
                ],
            ),
            (
                "namers: [{kind: rewrite, name: /a}]",
                &[
                    "2:11: namers[0]: `prefix` is missing",
                    "2:11: namers[0]: `pattern` is missing",
                ],
            ),
            (
                "namers: [{kind: rewrite, prefix: /a, pattern: '/{a}', name: '/{b}'}]",
                &["2:61: namers[0].name: `{b}` is not captured by `/{a}`"],
            ),
        ],
    );
}

#[test]
fn transformers() {
    check(
        router,
        &[
            (
                "interpreter: {kind: default, transformers: [{kind: port}, {kind: port, port: 0}]}",
                &[
                    "4:48: routers[0].interpreter.transformers[0]: `port` is missing",
                    "4:80: routers[0].interpreter.transformers[1].port: 0 is not within 1 to 65535",
                ],
            ),
            (
                "interpreter: {kind: default, transformers: [{kind: io.l5d.k8s.localnode}]}",
                &[
                    "4:54: routers[0].interpreter.transformers[0].kind: transformer `io.l5d.k8s.localnode` is not supported yet",
                ],
            ),
            (
                "interpreter: {kind: default, transformers: [{kind: specificHost, host: web}]}",
                &["4:74: routers[0].interpreter.transformers[0].host: `web` is not an IP address"],
            ),
            (
                "interpreter: {kind: default, transformers: [{kind: const}]}",
                &["4:48: routers[0].interpreter.transformers[0]: `path` is missing"],
            ),
        ],
    );
}
