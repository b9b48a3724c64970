//! Patterns over paths (linkerd's `PathMatcher`): a prefix in which segments may be wild, and parts
//! of them captured.
//!
//! `*` is any one segment, `{name}` any one that is captured, and captures may stand within a
//! segment (`a-{x}.b`), where each takes as much as it can. Whatever follows the prefix is the rest.

use regex::bytes::Regex;

use super::path::Path;

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
enum Segment {
    Is(Vec<u8>),
    Any,
    /// The variables, in the order of the expression's groups.
    Like(Vec<String>, Box<Regex>),
}

/// What a path's captured parts are.
pub type Captures<'p> = Vec<(&'p str, Vec<u8>)>;

impl Pattern {
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let segments = split(text)?.into_iter().map(|segment| {
            let parts = parts(segment)?;
            Ok(match &parts[..] {
                [Part::Text("*")] => Segment::Any,
                [Part::Text(text)] => Segment::Is(text.as_bytes().to_vec()),
                parts => like(parts)?,
            })
        });
        let segments = segments.collect::<Result<Vec<_>, String>>()?;
        let text = text.to_owned();
        let pattern = Pattern { text, segments };
        let mut names: Vec<&str> = pattern.variables().collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("`{{{}}}` stands there twice", pair[0])),
            None => Ok(pattern),
        }
    }

    /// The names of its captures.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(|segment| match segment {
            Segment::Like(names, _) => names.iter().map(String::as_str),
            Segment::Is(_) | Segment::Any => [].iter().map(String::as_str),
        })
    }

    /// What is captured of a path that has the pattern's form, and what follows it.
    #[must_use]
    pub fn matches(&self, path: &Path) -> Option<(Captures<'_>, Path)> {
        let mut captured = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let given = path.get(index)?;
            match segment {
                Segment::Is(text) if text == given => {}
                Segment::Is(_) => return None,
                Segment::Any => {}
                Segment::Like(names, form) => {
                    let groups = form.captures(given)?;
                    for (name, group) in names.iter().zip(groups.iter().skip(1)) {
                        let bytes = group.map_or(&[][..], |group| group.as_bytes());
                        captured.push((name.as_str(), bytes.to_vec()));
                    }
                }
            }
        }
        Some((captured, path.skip(self.segments.len())))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

/// A path with gaps for captures (`/srv/{service}`).
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    segments: Vec<Vec<Gap>>,
}

#[derive(Debug, Clone)]
enum Gap {
    Text(String),
    Variable(String),
}

impl Template {
    /// # Errors
    /// What is wrong with the text, or which of its variables the pattern does not capture.
    pub fn parse(text: &str, pattern: &Pattern) -> Result<Template, String> {
        let gap = |part: Part<'_>| match part {
            Part::Text(text) => Ok(Gap::Text(text.to_owned())),
            Part::Variable(name) if pattern.variables().any(|known| known == name) => {
                Ok(Gap::Variable(name.to_owned()))
            }
            Part::Variable(name) => Err(format!("`{{{name}}}` is not captured by `{pattern}`")),
        };
        let segment = |segment: &str| parts(segment)?.into_iter().map(gap).collect();
        let segments = split(text)?.into_iter().map(segment);
        Ok(Template {
            segments: segments.collect::<Result<_, String>>()?,
            text: text.to_owned(),
        })
    }

    /// The path with its gaps filled.
    #[must_use]
    pub fn fill(&self, captures: &Captures<'_>) -> Path {
        let bytes = |gap: &Gap| match gap {
            Gap::Text(text) => text.as_bytes().to_vec(),
            Gap::Variable(name) => {
                let found = captures.iter().find(|(known, _)| known == name);
                found.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
            }
        };
        let segments = self.segments.iter();
        Path::from_segments(segments.map(|gaps| gaps.iter().flat_map(bytes).collect::<Vec<u8>>()))
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// The segments of a text; those of `/` are none.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("`{text}` does not begin with a /"));
    };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let segments: Vec<&str> = rest.split('/').collect();
    match segments.contains(&"") {
        true => Err(format!("`{text}` has an empty segment")),
        false => Ok(segments),
    }
}

fn parts(mut segment: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let named = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
    while !segment.is_empty() {
        let Some((text, rest)) = segment.split_once('{') else {
            parts.push(plain(segment)?);
            break;
        };
        if !text.is_empty() {
            parts.push(plain(text)?);
        }
        let Some((name, rest)) = rest.split_once('}') else {
            return Err(format!("`{segment}` has a {{ without its }}"));
        };
        if name.is_empty() || !name.chars().all(named) {
            let allowed = "letters, digits, `.`, `:`, `-` and `_`";
            return Err(format!("`{{{name}}}` is not a variable: {allowed}"));
        }
        parts.push(Part::Variable(name));
        segment = rest;
    }
    Ok(parts)
}

fn plain(text: &str) -> Result<Part<'_>, String> {
    match text.contains('}') {
        true => Err(format!("`{text}` has a }} without its {{")),
        false => Ok(Part::Text(text)),
    }
}

fn like(parts: &[Part<'_>]) -> Result<Segment, String> {
    let mut names = Vec::new();
    let mut form = "(?s-u)^".to_owned();
    for part in parts {
        match part {
            Part::Text(text) => form.push_str(&regex::escape(text)),
            Part::Variable(name) => {
                names.push((*name).to_owned());
                form.push_str("(.*)");
            }
        }
    }
    form.push('$');
    let form = Regex::new(&form).map_err(|error| error.to_string())?;
    Ok(Segment::Like(names, Box::new(form)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    fn applied(pattern: &str, template: &str, given: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let template = Template::parse(template, &pattern).unwrap();
        let (captures, rest) = pattern.matches(&path(given))?;
        Some(template.fill(&captures).join(&rest).to_string())
    }

    #[test]
    fn prefixes_with_captures() {
        for (pattern, template, given, expected) in [
            (
                "/{service}/api",
                "/srv/{service}",
                "/foo/api",
                Some("/srv/foo"),
            ),
            (
                "/{service}/api",
                "/srv/{service}",
                "/foo/api/x/y",
                Some("/srv/foo/x/y"),
            ),
            ("/{service}/api", "/srv/{service}", "/foo/web", None),
            ("/{service}/api", "/srv/{service}", "/foo", None),
            ("/", "/x", "/a/b", Some("/x/a/b")),
            ("/*/{b}", "/{b}", "/1/2/3", Some("/2/3")),
            ("/a.b", "/x", "/a.b", Some("/x")),
            ("/a.b", "/x", "/aXb", None),
            ("/a-{x}.b", "/{x}", "/a-1.b", Some("/1")),
            ("/a-{x}.b", "/{x}", "/a-1.b.b", Some("/1.b")),
            ("/{x}-{y}", "/{y}/{x}", "/a-b-c", Some("/c/a-b")),
            ("/{x}-{y}", "/{y}", "/ab", None),
            ("/{x}s", "/{x}/{x}-1", "/cats", Some("/cat/cat-1")),
            // What is empty is no segment.
            ("/{x}s", "/a/{x}", "/s", Some("/a")),
        ] {
            let found = applied(pattern, template, given);
            assert_eq!(found.as_deref(), expected, "{pattern} {template} {given}");
        }
    }

    #[test]
    fn captures_are_bytes() {
        let pattern = Pattern::parse("/{x}").unwrap();
        let given = Path::of_segment(b"a\xff/\n");
        let template = Template::parse("/{x}!", &pattern).unwrap();
        let (captures, _) = pattern.matches(&given).unwrap();
        assert_eq!(template.fill(&captures), Path::of_segment(b"a\xff/\n!"));
    }

    #[test]
    fn errors() {
        for (text, expected) in [
            ("a", "`a` does not begin with a /"),
            ("", "`` does not begin with a /"),
            ("/a//b", "`/a//b` has an empty segment"),
            ("/{a", "`{a` has a { without its }"),
            ("/a}", "`a}` has a } without its {"),
            (
                "/{}",
                "`{}` is not a variable: letters, digits, `.`, `:`, `-` and `_`",
            ),
            (
                "/{a b}",
                "`{a b}` is not a variable: letters, digits, `.`, `:`, `-` and `_`",
            ),
            ("/{a}/{a}", "`{a}` stands there twice"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), expected);
        }
        let pattern = Pattern::parse("/{a}").unwrap();
        let error = Template::parse("/{b}", &pattern).unwrap_err();
        assert_eq!(error, "`{b}` is not captured by `/{a}`");
    }
}
