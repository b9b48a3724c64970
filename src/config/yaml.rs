//! From text to a tree of nodes that know where they stood: the configuration as typed.
//!
//! Built from parser events and not from a ready-made document type, because every value's
//! position is needed later, because a map must keep its duplicate keys until somebody can name
//! the place of the second one, and because a tree from a stranger's file needs limits: nesting is
//! bounded (nothing here or above recurses deeper than [`MAX_DEPTH`]) and so is the number of nodes
//! *after* aliases are followed (a "billion laughs" file is small before and huge afterwards).
//! Aliases share their node; nothing is copied.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::problem::Problem;

/// Bytes of a whole file.
pub const MAX_BYTES: usize = 4 << 20;
/// Levels of nesting, aliases followed.
pub const MAX_DEPTH: usize = 64;
/// Nodes of a whole file, aliases followed.
pub const MAX_NODES: usize = 200_000;

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In characters of the whole text, from 0.
    pub index: usize,
}

impl Mark {
    pub const START: Mark = Mark {
        line: 1,
        column: 1,
        index: 0,
    };

    pub fn problem(self, message: impl Into<String>) -> Problem {
        Problem {
            line: self.line,
            column: self.column,
            place: String::new(),
            message: message.into(),
            help: None,
        }
    }
}

impl From<&Marker> for Mark {
    fn from(marker: &Marker) -> Self {
        Mark {
            line: marker.line().max(1),
            column: marker.col() + 1,
            index: marker.index(),
        }
    }
}

/// How a scalar was written: decides whether `4140` is a number or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
    /// `|` or `>`.
    Block,
}

#[derive(Debug)]
pub enum Kind {
    Scalar(String, Style),
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

#[derive(Debug)]
pub struct Node {
    pub at: Mark,
    pub kind: Kind,
    size: usize,
    height: usize,
}

impl Node {
    fn scalar(at: Mark, text: String, style: Style) -> Self {
        Node {
            at,
            kind: Kind::Scalar(text, style),
            size: 1,
            height: 1,
        }
    }

    /// `null`, `~` or nothing at all: the same as leaving the key out.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(text, Style::Plain)
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for "expected X, found Y".
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(..) if self.is_null() => "nothing",
            Kind::Scalar(..) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// Reads one document. `Ok(None)` is a file without content.
pub fn parse(text: &str) -> Result<Option<Rc<Node>>, Problem> {
    if text.len() > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        return Err(Mark::START.problem(format!("the file is larger than {limit} MiB")));
    }
    let mut builder = Builder::default();
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event
            .map_err(|e| Mark::from(e.marker()).problem(format!("not valid YAML: {}", e.info())))?;
        let at = Mark::from(&span.start);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(at.problem("a second YAML document; a configuration is one"));
                }
            }
            event => builder.event(event, at)?,
        }
    }
    Ok(builder.root)
}

/// A list or map whose end has not come yet; a map's keys and values alternate.
struct Open {
    at: Mark,
    anchor: usize,
    is_map: bool,
    items: Vec<Rc<Node>>,
}

#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, at: Mark) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(tag.as_deref(), at)?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let node = Rc::new(Node::scalar(at, text.into_owned(), style));
                self.add(node, anchor, at)
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), false, at),
            Event::MappingStart(anchor, tag) => self.open(anchor, tag.as_deref(), true, at),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.add(Rc::clone(node), 0, at),
                None => Err(at.problem("an alias inside the node it stands for")),
            },
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        is_map: bool,
        at: Mark,
    ) -> Result<(), Problem> {
        no_tag(tag, at)?;
        self.stack.push(Open {
            at,
            anchor,
            is_map,
            items: Vec::new(),
        });
        self.check_depth(0, at)
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let size = 1 + open.items.iter().map(|n| n.size).sum::<usize>();
        let height = 1 + open.items.iter().map(|n| n.height).max().unwrap_or(0);
        // A block map is marked at its first key: some parser versions mark it a little before.
        let at = match open.items.first() {
            Some(first) if open.is_map && first.at.line >= open.at.line => first.at,
            _ => open.at,
        };
        let kind = if open.is_map {
            let mut pairs = Vec::with_capacity(open.items.len() / 2);
            let mut items = open.items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Kind::Map(pairs)
        } else {
            Kind::List(open.items)
        };
        // Its parts were counted when they were added: only the node itself is new.
        self.nodes -= size - 1;
        let node = Rc::new(Node {
            at,
            kind,
            size,
            height,
        });
        self.add(node, open.anchor, at)
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize, at: Mark) -> Result<(), Problem> {
        self.nodes += node.size;
        if self.nodes > MAX_NODES {
            return Err(at.problem(format!("more than {MAX_NODES} values, aliases followed")));
        }
        self.check_depth(node.height, at)?;
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.stack.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn check_depth(&self, height: usize, at: Mark) -> Result<(), Problem> {
        if self.stack.len() + height > MAX_DEPTH {
            return Err(at.problem(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }
}

fn no_tag(tag: Option<&Tag>, at: Mark) -> Result<(), Problem> {
    match tag {
        Some(tag) => Err(at.problem(format!("YAML tags are not understood here: `{tag}`"))),
        None => Ok(()),
    }
}
