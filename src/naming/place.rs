//! Where one replica is, as lists of replicas say it: `host port`, and a weight if it has one.

use super::inet::{Inet, decimal};
use super::tree::Weight;

/// One replica's address and its share of the traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub inet: Inet,
    /// Relative to the others'.
    pub weight: Weight,
}

impl Place {
    /// A place of weight 1.
    #[must_use]
    pub fn new(inet: Inet) -> Place {
        Place {
            inet,
            weight: Weight::ONE,
        }
    }

    /// Reads one line, `host port` or `host port * weight`; what follows a `#` is a comment.
    /// `None` if there is nothing but a comment.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn parse(line: &str) -> Result<Option<Place>, String> {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (host, port, weight) = match words[..] {
            [] => return Ok(None),
            [host, port] => (host, port, "1"),
            [host, port, "*", weight] => (host, port, weight),
            _ => {
                let line = line.trim();
                return Err(format!(
                    "`{line}` is not `host port` or `host port * weight`"
                ));
            }
        };
        let number = decimal(port).and_then(|port| u16::try_from(port).ok());
        let port = number
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("the port `{port}` is not a number from 1 to 65535"))?;
        let number = weight.parse().ok().and_then(Weight::new);
        let weight = number.ok_or_else(|| format!("`{weight}` is not a weight"))?;
        let host = host.to_owned();
        let inet = Inet { host, port };
        Ok(Some(Place { inet, weight }))
    }
}

/// As [`Place::parse`] reads it.
impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.inet.host, self.inet.port)?;
        if self.weight != Weight::ONE {
            write!(out, " * {}", self.weight.get())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let read = |line: &str| match Place::parse(line) {
            Ok(place) => place.map_or_else(String::new, |place| place.to_string()),
            Err(why) => why,
        };
        for (line, expected) in [
            ("", ""),
            ("  # nothing", ""),
            ("127.0.0.1 8080", "127.0.0.1 8080"),
            ("\t127.0.0.1\t8080 # the first\r", "127.0.0.1 8080"),
            ("host.example 80 * 0.5", "host.example 80 * 0.5"),
            ("::1 80 * 1.0", "::1 80"),
            (
                "h 80 0.5",
                "`h 80 0.5` is not `host port` or `host port * weight`",
            ),
            ("h", "`h` is not `host port` or `host port * weight`"),
            ("h 0", "the port `0` is not a number from 1 to 65535"),
            (
                "h 65536",
                "the port `65536` is not a number from 1 to 65535",
            ),
            ("h +1", "the port `+1` is not a number from 1 to 65535"),
            ("h 1 * -1", "`-1` is not a weight"),
            ("h 1 * x", "`x` is not a weight"),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
