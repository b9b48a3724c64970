//! Transformers: what becomes of bound names before replicas are picked from them.

use super::cursor::open_kind;
use super::keys;
use super::resolved::{Transformer, TransformerKind};
use super::value::Value;
use crate::naming::{Path, Transform};

/// The transformers of an interpreter, in the order in which they apply.
pub fn transformers(given: Option<Value<'_>>) -> Vec<Transformer> {
    let items = given.and_then(|value| value.list()).unwrap_or_default();
    items.into_iter().filter_map(transformer).collect()
}

/// The transformers of a namer: those that work on its own replicas.
pub fn filters(given: Option<Value<'_>>) -> Vec<(Path, Transform)> {
    let items = given.and_then(|value| value.list()).unwrap_or_default();
    let filter = |value: Value<'_>| match transformer(value.clone())? {
        Transformer {
            prefix,
            kind: TransformerKind::Filter(by),
        } => Some((prefix, by)),
        _ => {
            let help = "it works on an interpreter only";
            value.wrong_help("this transformer binds a name of its own", help);
            None
        }
    };
    items.into_iter().filter_map(filter).collect()
}

fn transformer(value: Value<'_>) -> Option<Transformer> {
    let (name, mut block) = open_kind(value, &keys::TRANSFORMERS, None)?;
    let given = block.get("prefix");
    let prefix_given = given.is_some();
    let prefix = given.and_then(|prefix| prefix.path());
    let mut default = Path::of_segment(name.as_bytes());
    let kind = match name {
        "io.l5d.port" => {
            let port = block.required("port", "the port of every replica");
            let port = port.and_then(|value| value.int(1..=65535));
            let port = port.and_then(|port| u16::try_from(port).ok());
            default = default.push(port.unwrap_or_default().to_string().as_bytes());
            port.map(|port| TransformerKind::Filter(Transform::Port(port)))
        }
        "io.l5d.specificHost" => {
            let host = block.required("host", "the address of the replicas that stay");
            let host = host.and_then(|value| value.ip());
            host.map(|host| TransformerKind::Filter(Transform::Host(host)))
        }
        "io.l5d.const" | "io.l5d.replace" => {
            let path = block.required("path", "the name that is bound instead");
            let path = path.and_then(|value| value.path());
            path.map(|path| match name {
                "io.l5d.const" => TransformerKind::Const(path),
                _ => TransformerKind::Replace(path),
            })
        }
        _ => Some(TransformerKind::Filter(Transform::Localhost)),
    };
    block.finish();
    let prefix = if prefix_given { prefix? } else { default };
    let kind = kind?;
    Some(Transformer { prefix, kind })
}
