//! The route table: what finding a route costs, by the length of the table.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringlink::config::{self, resolved::Identifier};
use ringlink::http::RequestHead;
use ringlink::http::h1::{HeadReader, Limits};
use ringlink::router::identify::routes::Table;

fn table(routes: impl Iterator<Item = String>) -> Table {
    let routes: Vec<_> = routes.collect();
    let text = format!(
        "routers: [{{protocol: http, servers: [{{port: 0}}],\n  identifier: {{kind: routes, routes: [\n{}]}}}}]",
        routes.join(",\n")
    );
    let config = config::load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    match &config.routers[0].identifiers[..] {
        [Identifier::Routes { routes }] => Table::new(routes),
        other => panic!("{other:?}"),
    }
}

fn head(host: &str, path: &str) -> RequestHead {
    let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
    let mut head = RequestHead::new();
    let read = HeadReader::new().request(text.as_bytes(), &Limits::default(), &mut head);
    assert!(read.is_ok());
    head
}

fn routes(c: &mut Criterion) {
    for count in [10, 1000, 10_000] {
        let last = count - 1;
        let hosts = table((0..count).map(|n| format!("{{host: h{n}.example.com, name: /n{n}}}")));
        let request = head(&format!("h{last}.example.com"), "/users/7");
        c.bench_function(&format!("find the last of {count} hosts"), |b| {
            b.iter(|| hosts.find(black_box(&request)).is_some());
        });
        let paths = table((0..count).map(|n| format!("{{path: /api/p{n}, name: /n{n}}}")));
        let request = head("www.example.com", &format!("/api/p{last}/users/7"));
        c.bench_function(&format!("find the last of {count} prefixes"), |b| {
            b.iter(|| paths.find(black_box(&request)).is_some());
        });
    }
}

criterion_group!(benches, routes);
criterion_main!(benches);
