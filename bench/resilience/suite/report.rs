//! What a scenario reports: tables, charts and claims, each claim with the number that decides it.

use std::fmt::Write;

use super::chart::Chart;

/// How long runs are. The claims are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Full,
    Quick,
}

impl Scale {
    /// One of two values.
    pub fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Quick => quick,
        }
    }
}

/// A table; the first cells name the rows.
pub struct Table {
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

/// Something said of ringlink, and whether it is so.
pub struct Claim {
    pub says: String,
    pub found: f64,
    pub bound: f64,
    pub holds: bool,
}

/// See the module's head.
pub struct Report {
    /// A word, which names the chart's file, too.
    pub name: &'static str,
    pub title: &'static str,
    /// What was run.
    pub setting: String,
    pub tables: Vec<Table>,
    pub charts: Vec<(String, Chart)>,
    pub claims: Vec<Claim>,
}

impl Claim {
    pub fn at_most(says: impl Into<String>, found: f64, bound: f64) -> Claim {
        let holds = found <= bound;
        Claim {
            says: says.into(),
            found,
            bound,
            holds,
        }
    }

    pub fn at_least(says: impl Into<String>, found: f64, bound: f64) -> Claim {
        let holds = found >= bound;
        Claim {
            says: says.into(),
            found,
            bound,
            holds,
        }
    }
}

impl Table {
    pub fn new(head: &[&'static str]) -> Table {
        Table {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn write(&self, text: &mut String) {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<&str> = cells.collect();
            format!("| {} |\n", cells.join(" | "))
        };
        text.push_str(&line(&mut self.head.iter().copied()));
        let rules = (0..self.head.len()).map(|n| if n == 0 { "---" } else { "--:" });
        text.push_str(&line(&mut { rules }));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text.push('\n');
    }
}

impl Report {
    /// As Markdown, with charts that lie in this folder.
    pub fn markdown(&self, charts: &str) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.setting);
        for table in &self.tables {
            table.write(&mut text);
        }
        for (name, chart) in &self.charts {
            let title = chart.title;
            let _ = writeln!(text, "![{title}]({charts}/resilience-{name}.svg)\n");
        }
        for claim in &self.claims {
            let verdict = if claim.holds { "holds" } else { "**broken**" };
            let (says, found, bound) = (&claim.says, claim.found, claim.bound);
            let _ = writeln!(text, "- {verdict}: {says}: {found:.3} (bound {bound:.3})");
        }
        text.push('\n');
        text
    }
}

/// A number with so many digits after the point, and thousands apart.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut apart = String::new();
    for (at, digit) in text.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) && digit.is_ascii_digit() {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart.replace("-,", "-")
}

pub fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}
