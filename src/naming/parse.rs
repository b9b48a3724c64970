//! The parser of the naming language: recursive descent over bytes, one function per production.
//!
//! ```text
//! dtab     := (dentry (';' dentry)* ';'?)?
//! dentry   := prefix '=>' tree
//! prefix   := '/' | ('/' elem)+            elem := label | '*'
//! tree     := union ('|' union)*
//! union    := weighted ('&' weighted)*
//! weighted := [number '*'] simple
//! simple   := path | '!' | '~' | '$' | '(' tree ')'
//! path     := '/' | ('/' label)+
//! ```
//!
//! White space, and comments from `#` to the end of the line, may stand between any two tokens; a
//! path is one token, and in it `#` is a letter like others. A parser generator was rejected: the
//! grammar has eight rules, and the messages are what its users see of it.
//!
//! Nesting is limited because texts arrive in request headers and the parser is recursive.

use super::dtab::{Dentry, Dtab, Elem, Prefix};
use super::error::ParseError;
use super::path::{Path, is_plain};
use super::tree::{NameTree, Weight, Weighted};

/// Parentheses within parentheses, at most.
const MAX_NESTING: usize = 64;

pub(super) fn path(text: &str) -> Result<Path, ParseError> {
    Cursor::all(text, Cursor::path)
}

pub(super) fn tree(text: &str) -> Result<NameTree<Path>, ParseError> {
    Cursor::all(text, Cursor::tree)
}

pub(super) fn prefix(text: &str) -> Result<Prefix, ParseError> {
    Cursor::all(text, Cursor::prefix)
}

pub(super) fn dentry(text: &str) -> Result<Dentry, ParseError> {
    Cursor::all(text, Cursor::dentry)
}

pub(super) fn dtab(text: &str) -> Result<Dtab, ParseError> {
    Cursor::all(text, Cursor::dtab)
}

struct Cursor<'a> {
    text: &'a str,
    /// Bytes read. Only ASCII and whole white-space characters are ever read, so that this lies on
    /// a character's boundary wherever an error can be.
    at: usize,
    nesting: usize,
    /// What could have gone on instead of what the last production ended with.
    wanted: &'static str,
}

impl<'a> Cursor<'a> {
    /// Runs a production that must take the whole text.
    fn all<T>(
        text: &'a str,
        production: impl FnOnce(&mut Cursor<'a>) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let mut cursor = Cursor {
            text,
            at: 0,
            nesting: 0,
            wanted: "",
        };
        let result = production(&mut cursor)?;
        cursor.space();
        if cursor.at < text.len() {
            return Err(cursor.expected(&format!("{}the end", cursor.wanted)));
        }
        Ok(result)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn take_while(&mut self, test: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&test) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Skips white space and comments.
    fn space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let word = rest.trim_start();
            self.at += rest.len() - word.len();
            if !word.starts_with('#') {
                return;
            }
            self.at += word.find('\n').unwrap_or(word.len());
        }
    }

    fn error(&self, message: String) -> ParseError {
        ParseError::at(self.text, self.at, message)
    }

    fn expected(&self, what: &str) -> ParseError {
        self.error(match self.text[self.at..].chars().next() {
            Some(found) => format!("expected {what}, found {found:?}"),
            None => format!("expected {what}, found the end of the text"),
        })
    }

    fn dtab(&mut self) -> Result<Dtab, ParseError> {
        let mut entries = Vec::new();
        loop {
            self.space();
            if self.peek().is_none() {
                break;
            }
            entries.push(self.dentry()?);
            self.space();
            if !self.eat(b';') {
                self.wanted = "';', '|', '&' or ";
                break;
            }
            self.wanted = "";
        }
        Ok(entries.into_iter().collect())
    }

    fn dentry(&mut self) -> Result<Dentry, ParseError> {
        let prefix = self.prefix()?;
        self.space();
        if !self.text[self.at..].starts_with("=>") {
            return Err(self.expected("'=>' after the prefix"));
        }
        self.at += 2;
        let dst = self.tree()?;
        Ok(Dentry { prefix, dst })
    }

    fn prefix(&mut self) -> Result<Prefix, ParseError> {
        self.slash("a prefix, which starts with '/'")?;
        let mut elems = Vec::new();
        if self.starts_label() || self.peek() == Some(b'*') {
            loop {
                elems.push(if self.eat(b'*') {
                    Elem::Any
                } else {
                    Elem::Label(self.label("a label or '*'")?.into())
                });
                if !self.eat(b'/') {
                    break;
                }
            }
        }
        Ok(Prefix::new(elems))
    }

    fn path(&mut self) -> Result<Path, ParseError> {
        self.slash("a path, which starts with '/'")?;
        let mut segments = Vec::new();
        if self.starts_label() {
            loop {
                segments.push(self.label("a label")?);
                if !self.eat(b'/') {
                    break;
                }
            }
        }
        Ok(Path::from_segments(segments))
    }

    fn slash(&mut self, what: &str) -> Result<(), ParseError> {
        self.space();
        if !self.eat(b'/') {
            return Err(self.expected(what));
        }
        if self.peek() == Some(b'/') {
            return Err(self.error("empty label: '/' after '/'".to_owned()));
        }
        Ok(())
    }

    fn starts_label(&self) -> bool {
        self.peek()
            .is_some_and(|byte| is_plain(byte) || byte == b'\\')
    }

    fn label(&mut self, what: &str) -> Result<Vec<u8>, ParseError> {
        if self.peek() == Some(b'/') {
            return Err(self.error("empty label: '/' after '/'".to_owned()));
        }
        if !self.starts_label() {
            return Err(self.expected(&format!("{what} after '/'")));
        }
        let mut label = Vec::new();
        loop {
            label.extend_from_slice(self.take_while(is_plain).as_bytes());
            if !self.eat(b'\\') {
                return Ok(label);
            }
            if !self.eat(b'x') {
                return Err(self.expected("'x' and two hexadecimal digits after '\\'"));
            }
            label.push(self.hex_digit()? << 4 | self.hex_digit()?);
        }
    }

    fn hex_digit(&mut self) -> Result<u8, ParseError> {
        let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
        let Some(digit) = digit.and_then(|digit| u8::try_from(digit).ok()) else {
            return Err(self.expected("a hexadecimal digit"));
        };
        self.at += 1;
        Ok(digit)
    }

    fn tree(&mut self) -> Result<NameTree<Path>, ParseError> {
        let first = self.union()?;
        let mut trees = vec![first];
        while self.eat(b'|') {
            trees.push(self.union()?);
        }
        self.wanted = "'|', '&' or ";
        match <[_; 1]>::try_from(trees) {
            Ok([only]) => Ok(only),
            Err(trees) => Ok(NameTree::Alt(trees)),
        }
    }

    fn union(&mut self) -> Result<NameTree<Path>, ParseError> {
        let mut branches = Vec::new();
        loop {
            branches.push(self.weighted()?);
            self.space();
            if !self.eat(b'&') {
                break;
            }
        }
        match <[_; 1]>::try_from(branches) {
            Ok([only]) => Ok(only.tree),
            Err(branches) => Ok(NameTree::Union(branches)),
        }
    }

    fn weighted(&mut self) -> Result<Weighted<Path>, ParseError> {
        self.space();
        let weight = match self.peek() {
            Some(b'0'..=b'9' | b'.') => self.weight()?,
            _ => Weight::ONE,
        };
        let tree = self.simple()?;
        Ok(Weighted { weight, tree })
    }

    /// A number and its `*`. `5.` is accepted besides `.5`, as linkerd does.
    fn weight(&mut self) -> Result<Weight, ParseError> {
        let start = self.at;
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        let dot = self.eat(b'.');
        let fraction = self.take_while(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() {
            return Err(self.expected("a digit in the weight"));
        }
        debug_assert!(dot || fraction.is_empty());
        let number = self.text[start..self.at].parse().ok().and_then(Weight::new);
        let Some(weight) = number else {
            let message = "a weight too large to be a number".to_owned();
            return Err(ParseError::at(self.text, start, message));
        };
        self.space();
        if !self.eat(b'*') {
            return Err(self.expected("'*' after the weight"));
        }
        Ok(weight)
    }

    fn simple(&mut self) -> Result<NameTree<Path>, ParseError> {
        self.space();
        let tree = match self.peek() {
            Some(b'/') => return self.path().map(NameTree::Leaf),
            Some(b'(') => return self.parenthesised(),
            Some(b'!') => NameTree::Fail,
            Some(b'~') => NameTree::Neg,
            Some(b'$') => NameTree::Empty,
            _ => return Err(self.expected("a path, '!', '~', '$' or '('")),
        };
        self.at += 1;
        Ok(tree)
    }

    fn parenthesised(&mut self) -> Result<NameTree<Path>, ParseError> {
        if self.nesting == MAX_NESTING {
            return Err(self.error(format!("more than {MAX_NESTING} parentheses deep")));
        }
        self.at += 1;
        self.nesting += 1;
        let tree = self.tree()?;
        self.nesting -= 1;
        if !self.eat(b')') {
            return Err(self.expected("'|', '&' or ')'"));
        }
        Ok(tree)
    }
}
