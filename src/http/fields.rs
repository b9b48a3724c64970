//! The fields of one message: an arena of bytes and a list of spans into it.
//!
//! A map of owned strings costs two allocations a field and a hash a look-up. Heads have a dozen
//! fields, live for one message, and are mostly passed on unread; so their bytes lie in one vector,
//! in the order they came, and a field is two spans and the one-byte [`Name`] found while reading.
//! Looking one up is a scan over 20-byte entries. Removing a field forgets its entry and leaves its
//! bytes; [`Fields::clear`] keeps both vectors for the next message.
//!
//! The arena also holds the head's other texts (method, target, reason…), so that a whole head is
//! copied out of the receive buffer in one go.
//!
//! Nothing that could end a line ever becomes a field: [`Fields::push`] refuses it, whoever asks, so
//! that a head cannot be written in a way that splits a message.

use super::name::{Name, Names, is_token};

/// A range of an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// The span from `start` up to `end`; heads are limited to far less than 4 GiB.
    pub(crate) fn between(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            len: end.saturating_sub(start) as u32,
        }
    }

    /// The bytes meant; none if the arena does not have them.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes
            .get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub name: Span,
    pub value: Span,
    pub id: Name,
}

/// Field lines in the order received (RFC 9110 §5), without those that frame the message.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Whether `value` can stand in a field line: no control but HTAB (RFC 9110 §5.5). Branch-free per
/// byte, so that it becomes vector compares.
pub(crate) fn is_value(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, &b| {
        bad | ((b < 0x20) & (b != b'\t')) | (b == 0x7f)
    })
}

/// An element of a list field that is known while compiling, and checked then.
#[derive(Debug, Clone, Copy)]
pub struct Element(&'static [u8]);

impl Element {
    /// # Panics
    /// Unless it is made of visible ASCII and spaces; in a constant, that is a compile error.
    #[must_use]
    pub const fn new(text: &'static str) -> Element {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at].is_ascii_graphic() || bytes[at] == b' ');
            at += 1;
        }
        Element(bytes)
    }
}

impl Fields {
    pub const fn new() -> Fields {
        Fields {
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Forgets every field and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held, used or not.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Gives back the memory that the current content does not need: for after a rare large head.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// The value of the first field with this name; `None` for [`Name::Other`], which names none.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        let named = |entry: &&Entry| entry.id == name && name != Name::Other;
        self.entries
            .iter()
            .find(named)
            .map(|entry| entry.value.of(&self.bytes))
    }

    /// The value of the first field with this name, in any case.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        let named = |(_, text, _): &(Name, &[u8], &[u8])| text.eq_ignore_ascii_case(name);
        self.iter().find(named).map(|(_, _, value)| value)
    }

    /// How many field lines have this name; 0 for [`Name::Other`].
    pub fn count(&self, name: Name) -> usize {
        if name == Name::Other {
            return 0;
        }
        self.entries.iter().filter(|entry| entry.id == name).count()
    }

    /// Which names there are.
    #[must_use]
    pub fn names(&self) -> Names {
        self.entries.iter().map(|entry| entry.id).collect()
    }

    /// Every field line in order: what it is, its name as written, its value.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Name, &[u8], &[u8])> {
        let bytes = &self.bytes;
        self.entries
            .iter()
            .map(move |e| (e.id, e.name.of(bytes), e.value.of(bytes)))
    }

    /// Adds a field line at the end. False, and nothing added, if `name` is no token or `value` has
    /// a control character: such a line could end early and smuggle another (RFC 9110 §5.5).
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_token(name) || !is_value(value) {
            return false;
        }
        let entry = Entry {
            name: self.store(name),
            value: self.store(value),
            id: Name::of(name),
        };
        self.entries.push(entry);
        true
    }

    /// Removes every field line with this name.
    pub fn remove(&mut self, name: Name) {
        self.entries
            .retain(|entry| entry.id != name || name == Name::Other);
    }

    /// Removes every field line with this name, in any case.
    pub fn remove_named(&mut self, name: &[u8]) {
        let bytes = &self.bytes;
        self.entries
            .retain(|entry| !entry.name.of(bytes).eq_ignore_ascii_case(name));
    }

    /// Removes every field line with one of these names; never one that is [`Name::Other`].
    pub fn remove_all(&mut self, names: Names) {
        self.entries
            .retain(|entry| !names.has(entry.id) || entry.id == Name::Other);
    }

    /// Puts an element at the end of a field that is a list (RFC 9110 §5.6.1). All its lines become
    /// one, since not everyone reads more than one. False, and nothing changed, if `name` is
    /// [`Name::Other`] or `element` cannot stand in a field.
    pub fn append(&mut self, name: Name, element: &[u8]) -> bool {
        let fits = name != Name::Other && is_value(element);
        if fits {
            self.append_checked(name, element);
        }
        fits
    }

    /// [`Fields::append`] for an element that was checked while compiling.
    pub fn append_element(&mut self, name: Name, element: Element) {
        if self.entries.iter().any(|entry| entry.id == name) {
            self.append_checked(name, element.0);
        } else if name != Name::Other {
            let value = self.store(element.0);
            self.push_known(name, value);
        }
    }

    fn push_known(&mut self, name: Name, value: Span) {
        let text = self.store(name.as_str().as_bytes());
        self.entries.push(Entry {
            name: text,
            value,
            id: name,
        });
    }

    fn append_checked(&mut self, name: Name, element: &[u8]) {
        let start = self.bytes.len();
        let mut first = None;
        for at in 0..self.entries.len() {
            let Entry { value, id, .. } = self.entries[at];
            if id != name {
                continue;
            }
            first = first.or(Some(at));
            if value.len > 0 {
                let from = value.start as usize;
                self.bytes
                    .extend_from_within(from..from + value.len as usize);
                self.bytes.extend_from_slice(b", ");
            }
        }
        self.bytes.extend_from_slice(element);
        let value = Span::between(start, self.bytes.len());
        let Some(first) = first else {
            return self.push_known(name, value);
        };
        self.entries[first].value = value;
        let mut at = 0;
        self.entries.retain(|entry| {
            at += 1;
            entry.id != name || at == first + 1
        });
    }

    /// Puts other values into the lines with a known name: `edit` appends the new value to what it
    /// is given, or leaves the line alone and says false. What cannot stand in a field changes
    /// nothing. `scratch` has its old content afterwards.
    pub fn edit(
        &mut self,
        name: Name,
        scratch: &mut Vec<u8>,
        mut edit: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) {
        let start = scratch.len();
        for at in 0..self.entries.len() {
            let entry = self.entries[at];
            if entry.id == name && edit(entry.value.of(&self.bytes), scratch) {
                let value = &scratch[start..];
                if is_value(value) {
                    self.entries[at].value = self.store(value);
                }
            }
            scratch.truncate(start);
        }
    }

    /// Makes this the only field line with this name. False, and nothing changed, if
    /// [`Fields::push`] would refuse it.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_token(name) || !is_value(value) {
            return false;
        }
        match Name::of(name) {
            Name::Other => self.remove_named(name),
            known => self.remove(known),
        }
        self.push(name, value)
    }

    /// Copies `text` into the arena without making it a field.
    pub(crate) fn store(&mut self, text: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        Span::between(start, self.bytes.len())
    }

    /// The bytes of a span of this arena.
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// A field's whole line with its end, if it lies in the arena as it is to be written: as nearly
    /// all do that were received.
    pub(crate) fn line(&self, entry: &Entry) -> Option<&[u8]> {
        let Entry { name, value, .. } = entry;
        let colon = (name.start + name.len) as usize;
        if value.start as usize != colon + 2 {
            return None;
        }
        let (start, end) = (name.start as usize, (value.start + value.len) as usize);
        let line = self.bytes.get(start..end + 2)?;
        let whole = self.bytes[colon..colon + 2] == *b": " && line.ends_with(b"\r\n");
        whole.then_some(line)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a field whose bytes are stored, or are about to be.
    pub(crate) fn push_entry(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Keeps the fields of which `keep` says so; it also gets the arena.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Entry, &[u8]) -> bool) {
        let bytes = &self.bytes;
        self.entries.retain(|entry| keep(entry, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fields {
        let mut fields = Fields::new();
        assert!(fields.push(b"Via", b"1.1 a"));
        assert!(fields.push(b"X-Thing", b"one"));
        assert!(fields.push(b"via", b"1.1 b"));
        fields
    }

    #[test]
    fn look_ups_ignore_case_and_find_the_first() {
        let fields = sample();
        assert_eq!(fields.get(Name::Via), Some(&b"1.1 a"[..]));
        assert_eq!(fields.count(Name::Via), 2);
        assert_eq!(fields.get_named(b"x-THING"), Some(&b"one"[..]));
        assert_eq!(fields.get(Name::Other), None);
        assert_eq!(fields.count(Name::Other), 0);
        let names: Vec<_> = fields.iter().map(|(_, name, _)| name).collect();
        assert_eq!(names, [&b"Via"[..], b"X-Thing", b"via"]);
    }

    #[test]
    fn set_and_remove() {
        let mut fields = sample();
        assert!(fields.set(b"VIA", b"mine"));
        assert_eq!(
            (fields.len(), fields.get(Name::Via)),
            (2, Some(&b"mine"[..]))
        );
        assert!(fields.set(b"x-thing", b""));
        assert_eq!(
            (fields.len(), fields.get_named(b"X-Thing")),
            (2, Some(&b""[..]))
        );
        fields.remove(Name::Via);
        fields.remove(Name::Other);
        assert_eq!(fields.len(), 1);
        fields.remove_named(b"X-THING");
        assert!(fields.is_empty());
    }

    #[test]
    fn sets_of_names_are_found_and_removed() {
        let mut fields = sample();
        assert_eq!(fields.names(), Names::of(&[Name::Via, Name::Other]));
        fields.remove_all(Names::of(&[Name::Via, Name::Other, Name::Host]));
        assert_eq!(fields.len(), 1);
        assert_eq!(fields.get_named(b"x-thing"), Some(&b"one"[..]));
    }

    #[test]
    fn elements_join_a_list() {
        let mut fields = sample();
        assert!(fields.append(Name::Via, b"1.1 c"));
        let lines: Vec<_> = fields.iter().map(|(_, n, v)| (n, v)).collect();
        assert_eq!(
            lines,
            [
                (&b"Via"[..], &b"1.1 a, 1.1 b, 1.1 c"[..]),
                (b"X-Thing", b"one")
            ]
        );
        assert!(fields.append(Name::Forwarded, b"for=x"));
        assert_eq!(fields.get_named(b"forwarded"), Some(&b"for=x"[..]));
        assert!(fields.set(b"forwarded", b"") && fields.append(Name::Forwarded, b"for=y"));
        assert_eq!(fields.get(Name::Forwarded), Some(&b"for=y"[..]));
        assert!(!fields.append(Name::Via, b"a\r\nb: c") && !fields.append(Name::Other, b"a"));
        assert_eq!((fields.len(), fields.count(Name::Via)), (3, 1));
    }

    #[test]
    fn values_are_edited_in_place() {
        let mut fields = sample();
        let mut scratch = b"kept".to_vec();
        fields.edit(Name::Via, &mut scratch, |value, new| {
            new.extend_from_slice(if value.ends_with(b"a") { b"A" } else { b"\n" });
            !value.ends_with(b"x")
        });
        let values: Vec<_> = fields.iter().map(|(_, _, value)| value).collect();
        assert_eq!(values, [&b"A"[..], b"one", b"1.1 b"]);
        assert_eq!(scratch, b"kept");
    }

    #[test]
    fn nothing_that_splits_a_message_becomes_a_field() {
        let mut fields = Fields::new();
        for (name, value) in [
            (&b"a b"[..], &b"x"[..]),
            (b"", b"x"),
            (b"a:", b"x"),
            (b"a\r\nb", b"x"),
            (b"a", b"x\r\nb: c"),
            (b"a", b"x\nb"),
            (b"a", b"x\0"),
            (b"a", b"\x7f"),
        ] {
            assert!(
                !fields.push(name, value) && !fields.set(name, value),
                "{name:?} {value:?}"
            );
        }
        assert!(fields.push(b"a", b"tab\tand \xff obs-text"));
        assert_eq!(fields.len(), 1);
    }

    #[test]
    fn every_byte_is_judged_alike_wherever_it_stands() {
        for byte in 0..=255u8 {
            let good = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            for at in 0..19 {
                for other in [b'a', b'\t', b' ', 0xff] {
                    let mut value = [other; 19];
                    value[at] = byte;
                    assert_eq!(is_value(&value), good, "{byte} at {at} among {other}");
                }
            }
        }
    }

    #[test]
    fn clear_keeps_capacity_and_shrink_gives_it_back() {
        let mut fields = sample();
        let held = fields.capacity_bytes();
        fields.clear();
        assert_eq!((fields.len(), fields.capacity_bytes()), (0, held));
        fields.shrink();
        assert_eq!(fields.capacity_bytes(), 0);
    }
}
