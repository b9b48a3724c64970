//! One value of the file, at its place: the readers that turn it into numbers, text and names.
//!
//! A reader never fails the load by itself: it tells its problem to the [`Context`] and returns
//! `None`, and its caller goes on with a default, so that one pass finds every problem. Numbers
//! are taken literally: `010`, `0x10`, `1_000` and quoted numbers mean different things to
//! different YAML readers and are refused rather than guessed.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;

use super::problem::{Problem, Problems};
use super::yaml::{Kind, Mark, Node, Style};
use crate::naming::{Dtab, Path};

/// What one load shares: the text, and the problems found so far.
pub struct Context<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Context<'a> {
    pub fn new(text: &'a str) -> Self {
        Context {
            text,
            problems: RefCell::default(),
        }
    }

    pub fn tell(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub fn finish<T>(self, value: T) -> Result<T, Problems> {
        match self.problems.into_inner() {
            none if none.is_empty() => Ok(value),
            some => Err(Problems::new(some)),
        }
    }
}

/// Where to point when something is wrong with what was read there.
#[derive(Debug, Clone)]
pub struct Spot {
    pub at: Mark,
    pub place: String,
}

impl Spot {
    pub fn problem(&self, message: impl Into<String>, help: Option<String>) -> Problem {
        Problem {
            line: self.at.line,
            column: self.at.column,
            place: self.place.clone(),
            message: message.into(),
            help,
        }
    }
}

#[derive(Clone)]
pub struct Value<'a> {
    pub context: &'a Context<'a>,
    pub node: &'a Node,
    pub place: String,
}

impl<'a> Value<'a> {
    pub fn spot(&self) -> Spot {
        Spot {
            at: self.node.at,
            place: self.place.clone(),
        }
    }

    pub fn wrong(&self, message: impl Into<String>) {
        self.context.tell(self.spot().problem(message, None));
    }

    pub fn wrong_help(&self, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.spot().problem(message, Some(help.into()));
        self.context.tell(problem);
    }

    fn expected(&self, what: &str) {
        self.wrong(format!("expected {what}, found {}", self.node.describe()));
    }

    fn scalar(&self, what: &str) -> Option<(&'a str, Style)> {
        match &self.node.kind {
            Kind::Scalar(text, style) if !self.node.is_null() => Some((text, *style)),
            _ => {
                self.expected(what);
                None
            }
        }
    }

    /// The scalar's text if it was written without quotes.
    pub fn plain(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Scalar(text, Style::Plain) => Some(text),
            _ => None,
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::List(_))
    }

    pub fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    pub fn text(&self, what: &str) -> Option<&'a str> {
        let (text, _) = self.scalar(what)?;
        if text.is_empty() {
            self.wrong(format!("expected {what}, found empty text"));
            return None;
        }
        Some(text)
    }

    /// Text that may be empty.
    pub fn any_text(&self, what: &str) -> Option<&'a str> {
        self.scalar(what).map(|(text, _)| text)
    }

    pub fn int(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let (text, style) = self.scalar("a whole number")?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let canonical = !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        if !canonical {
            let message = format!("`{}` is not a whole number", shown(text));
            if digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit()) {
                self.wrong_help(message, "write it without leading zeros");
            } else {
                self.wrong(message);
            }
            return None;
        }
        if style != Style::Plain {
            let message = format!("expected a whole number, found the text `{text}`");
            self.wrong_help(message, "remove the quotes");
            return None;
        }
        match text.parse::<u64>() {
            Ok(n) if range.contains(&n) => Some(n),
            _ => {
                let (low, high) = (range.start(), range.end());
                self.wrong(format!("{} is not within {low} to {high}", shown(text)));
                None
            }
        }
    }

    /// A number that may have a fraction of up to five digits: so many are written again as they
    /// were, without an exponent.
    pub fn decimal(&self, range: RangeInclusive<f64>) -> Option<f64> {
        const DIGITS: usize = 5;
        let (text, style) = self.scalar("a number")?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let whole = whole.strip_prefix('-').unwrap_or(whole);
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            let message = format!("`{}` is not a number", shown(text));
            self.wrong_help(message, "digits, and a point if it has a fraction: 0.25");
            return None;
        }
        if whole != "0" && whole.starts_with('0') {
            let message = format!("`{}` is not a number", shown(text));
            self.wrong_help(message, "write it without leading zeros");
            return None;
        }
        if style != Style::Plain {
            let message = format!("expected a number, found the text `{}`", shown(text));
            self.wrong_help(message, "remove the quotes");
            return None;
        }
        if fraction.len() > DIGITS {
            let message = format!("{} is more exact than it can be", shown(text));
            self.wrong_help(message, format!("at most {DIGITS} digits after the point"));
            return None;
        }
        match text.parse::<f64>() {
            Ok(n) if range.contains(&n) => Some(n.abs()),
            _ => {
                let (low, high) = (range.start(), range.end());
                self.wrong(format!("{} is not within {low} to {high}", shown(text)));
                None
            }
        }
    }

    pub fn flag(&self) -> Option<bool> {
        let (text, style) = self.scalar("true or false")?;
        match text {
            "true" | "True" | "TRUE" if style == Style::Plain => Some(true),
            "false" | "False" | "FALSE" if style == Style::Plain => Some(false),
            _ => {
                self.wrong(format!("expected true or false, found `{}`", shown(text)));
                None
            }
        }
    }

    pub fn ip(&self) -> Option<IpAddr> {
        let text = self.text("an IP address")?;
        match text.parse() {
            Ok(ip) => Some(ip),
            Err(_) => {
                let message = format!("`{}` is not an IP address", shown(text));
                self.wrong_help(message, "names are not resolved here");
                None
            }
        }
    }

    pub fn path(&self) -> Option<Path> {
        let text = self.text("a path")?;
        text.parse().map_or_else(
            |e: <Path as std::str::FromStr>::Err| self.unparsed(text, e.offset, &e.message),
            Some,
        )
    }

    pub fn dtab(&self) -> Option<Dtab> {
        let (text, _) = self.scalar("a dtab")?;
        text.parse().map_or_else(
            |e: <Dtab as std::str::FromStr>::Err| self.unparsed(text, e.offset, &e.message),
            Some,
        )
    }

    /// A language inside a scalar: points at the byte `offset` of its text, where that can be
    /// found in the file, and at the scalar otherwise.
    fn unparsed<T>(&self, text: &str, offset: usize, error: &dyn Display) -> Option<T> {
        let mut spot = self.spot();
        if let Kind::Scalar(_, style) = self.node.kind {
            let inside = locate(self.context.text, spot.at, text, style, offset);
            spot.at = inside.unwrap_or(spot.at);
        }
        self.context.tell(spot.problem(error.to_string(), None));
        None
    }

    /// The items of a list.
    pub fn list(&self) -> Option<Vec<Value<'a>>> {
        let Kind::List(items) = &self.node.kind else {
            self.expected("a list");
            return None;
        };
        let item = |(i, node): (usize, &'a Rc<Node>)| Value {
            context: self.context,
            node,
            place: format!("{}[{i}]", self.place),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The pairs of a map whose keys are the user's; none, and a problem, if it is no map.
    pub fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        let at = |node: &'a Node, place: String| Value {
            context: self.context,
            node,
            place,
        };
        let one = |(key, node): &'a (Rc<Node>, Rc<Node>)| {
            let key = at(key, self.place.clone());
            let place = match &key.node.kind {
                Kind::Scalar(text, _) => format!("{}.{}", self.place, shown(text)),
                _ => self.place.clone(),
            };
            (key, at(node, place))
        };
        self.map().unwrap_or_default().iter().map(one).collect()
    }

    pub fn map(&self) -> Option<&'a [(Rc<Node>, Rc<Node>)]> {
        match &self.node.kind {
            Kind::Map(pairs) => Some(pairs),
            _ => {
                self.expected("a map");
                None
            }
        }
    }
}

/// A text as a message shows it: one line, bounded.
pub fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let line: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    match text.chars().nth(MOST) {
        Some(_) => format!("{line}…"),
        None => line,
    }
}

/// Where in the file byte `offset` of a scalar's text stands, by walking both side by side: any
/// run of white space stands for any other (folding, indentation), everything else must be equal.
/// `None` where escapes make the two differ.
fn locate(file: &str, at: Mark, text: &str, style: Style, offset: usize) -> Option<Mark> {
    let mut source = Walk {
        rest: file.chars().skip(at.index).peekable(),
        mark: at,
    };
    match style {
        Style::Plain => {}
        Style::Quoted => drop(source.next()),
        // The parser marks a block by its first line, or by its header, which ends with its line.
        Style::Block => {
            if matches!(source.rest.peek(), Some('|' | '>')) {
                while source.next()? != '\n' {}
            }
        }
    }
    // "Unexpected end" belongs after the last word, not after the blank lines that follow it.
    let offset = offset.min(text.trim_end().len());
    let mut in_space = false;
    for (i, c) in text.char_indices() {
        let space = c.is_whitespace();
        if space && i >= offset {
            return Some(source.mark);
        }
        if !space || !in_space {
            source.skip_space(space || style == Style::Block || i == 0);
        }
        if i >= offset {
            return Some(source.mark);
        }
        if !space && source.next()? != c {
            return None;
        }
        in_space = space;
    }
    Some(source.mark)
}

struct Walk<I: Iterator<Item = char>> {
    rest: std::iter::Peekable<I>,
    mark: Mark,
}

impl<I: Iterator<Item = char>> Walk<I> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.mark.index += 1;
        if c == '\n' {
            self.mark.line += 1;
            self.mark.column = 1;
        } else {
            self.mark.column += 1;
        }
        Some(c)
    }

    fn skip_space(&mut self, may: bool) {
        while may && self.rest.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
    }
}
