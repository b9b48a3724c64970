//! An explanation as text for people, and as the JSON of linkerd's delegator.

use std::fmt;

use serde_json::{Value, json};

use super::super::delegate::{Bound, Outcome};
use super::super::inet::Addr;
use super::super::tree::NameTree;
use super::{Explanation, Node, What};

/// The steps, indented, and the result in the last line.
impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.tree)?;
        match &self.outcome {
            Outcome::Bound(tree) => {
                let word = match tree {
                    NameTree::Neg => " (does not exist)",
                    NameTree::Fail => " (fails)",
                    NameTree::Empty => " (has no replicas)",
                    _ => "",
                };
                let tree = tree.map_ref(&mut |bound| &bound.id);
                writeln!(out, "result: {tree}{word}")
            }
            Outcome::Pending => writeln!(out, "result: not known yet"),
            Outcome::Failed(error) => writeln!(out, "result: error: {error}"),
        }
    }
}

/// The steps, each on a line of its own: `->` leads on, `|` is one of the alternatives, `&` one of
/// the branches of a split.
impl fmt::Display for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(out, 0, "")
    }
}

impl Node {
    fn show(&self, out: &mut fmt::Formatter<'_>, indent: usize, mark: &str) -> fmt::Result {
        write!(out, "{:indent$}{mark}{}", "", self.path)?;
        match &self.dentry {
            Some(dentry) => writeln!(out, "   by {} => {}", dentry.prefix, dentry.dst)?,
            None => writeln!(out)?,
        }
        let indent = indent + 2;
        let mut end = |text: fmt::Arguments<'_>| writeln!(out, "{:indent$}{text}", "");
        match &self.what {
            What::Delegate(child) => child.show(out, indent, "-> "),
            What::Alt(children) => children
                .iter()
                .try_for_each(|child| child.show(out, indent, "| ")),
            What::Union(children) => children
                .iter()
                .try_for_each(|(weight, child)| child.show(out, indent, &format!("& {weight} * "))),
            What::Leaf(bound) if bound.residual.is_empty() => {
                end(format_args!("= bound: {}", bound.addr))
            }
            What::Leaf(bound) => end(format_args!(
                "= bound: {}, unused: {}",
                bound.addr, bound.residual
            )),
            What::Asks => {
                let namer = self.path.skip(1).take(1);
                end(format_args!("? asks namer {namer}"))
            }
            What::Neg => end(format_args!("~ does not exist")),
            What::Fail => end(format_args!("! fails")),
            What::Empty => end(format_args!("$ has no replicas")),
            What::Exception(error) => end(format_args!("error: {error}")),
        }
    }

    /// The tree as linkerd's `/delegator.json` writes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = match &self.what {
            What::Delegate(child) => json!({"type": "delegate", "delegate": child.to_json()}),
            What::Alt(children) => {
                json!({"type": "alt", "alt": children.iter().map(Node::to_json).collect::<Vec<_>>()})
            }
            What::Union(children) => {
                let branch = |(weight, child): &(super::Weight, Node)| json!({"weight": weight.get(), "tree": child.to_json()});
                json!({"type": "union", "union": children.iter().map(branch).collect::<Vec<_>>()})
            }
            What::Leaf(bound) => json!({"type": "leaf", "bound": bound_json(bound)}),
            // Known to exist, and to be answered by somebody else: linkerd has no word for it.
            What::Asks => json!({
                "type": "leaf",
                "bound": {"addr": {"type": "pending"}, "id": self.path.to_string(), "path": "/"},
            }),
            What::Neg => json!({"type": "neg"}),
            What::Fail => json!({"type": "fail"}),
            What::Empty => json!({"type": "empty"}),
            What::Exception(error) => json!({"type": "exception", "message": error.to_string()}),
        };
        json["path"] = json!(self.path.to_string());
        if let Some(dentry) = &self.dentry {
            let (prefix, dst) = (dentry.prefix.to_string(), dentry.dst.to_string());
            json["dentry"] = json!({"prefix": prefix, "dst": dst});
        }
        json
    }
}

/// A host that is a name is not resolved here, so its addresses are not known.
fn bound_json(bound: &Bound) -> Value {
    let literal = match &bound.addr {
        Addr::Inet(inet) => inet.ip().map(|ip| (ip, inet.port)),
        Addr::Namer(_) | Addr::Through(_) => None,
    };
    let addr = match literal {
        Some((ip, port)) => {
            let addr = json!({"ip": ip.to_string(), "port": port, "meta": {}});
            json!({"type": "bound", "addrs": [addr], "meta": {}})
        }
        None => json!({"type": "pending"}),
    };
    json!({"addr": addr, "id": bound.id.to_string(), "path": bound.residual.to_string()})
}
