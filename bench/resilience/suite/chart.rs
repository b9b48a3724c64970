//! Line charts as SVG, written by hand, on white.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 400.0;
/// Left, top, right and bottom of the plot.
const PLOT: (f64, f64, f64, f64) = (78.0, 100.0, 836.0, 340.0);
const INK: &str = "#1f2933";
const FAINT: &str = "#64707d";
const RULE: &str = "#e3e7ec";
/// ringlink first, as in the other charts.
const COLOURS: [&str; 6] = [
    "#0b7a75", "#b3261e", "#3f7d20", "#2f5fa8", "#a4367f", "#d9731a",
];

/// See the module's head.
pub struct Chart {
    pub title: &'static str,
    pub below: String,
    pub x: &'static str,
    pub y: &'static str,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Chart {
    pub fn svg(&self) -> String {
        let (left, top, right, bottom) = PLOT;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
             <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n",
            self.title
        );
        text(&mut svg, (24.0, 34.0), 18.0, INK, "start", self.title);
        text(&mut svg, (24.0, 54.0), 12.5, FAINT, "start", &self.below);
        self.legend(&mut svg);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let least_x = points().map(|p| p.0).fold(f64::INFINITY, f64::min);
        let most_x = points().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        let step = round(points().map(|p| p.1).fold(0.0, f64::max) / 5.0);
        let most_y = 5.0 * step;
        let across = |x: f64| left + (right - left) * (x - least_x) / (most_x - least_x).max(1e-9);
        let up = |y: f64| bottom - (bottom - top) * y / most_y;
        for n in 0..=5 {
            let (at, y) = (f64::from(n) * step, up(f64::from(n) * step));
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"{RULE}\"/>"
            );
            text(
                &mut svg,
                (left - 8.0, y + 4.0),
                11.0,
                FAINT,
                "end",
                &short(at),
            );
        }
        let step_x = round((most_x - least_x) / 8.0);
        let mut x = (least_x / step_x).ceil() * step_x;
        while x <= most_x + 1e-9 {
            text(
                &mut svg,
                (across(x), bottom + 18.0),
                11.0,
                FAINT,
                "middle",
                &short(x),
            );
            x += step_x;
        }
        let middle = (left + right) / 2.0;
        text(
            &mut svg,
            (middle, bottom + 40.0),
            12.0,
            INK,
            "middle",
            self.x,
        );
        text(&mut svg, (24.0, top - 10.0), 12.0, INK, "start", self.y);
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let path: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" points=\"{}\">\
                 <title>{}</title></polyline>",
                path.join(" "),
                line.name
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = 24.0;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"62\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
            );
            text(svg, (x + 17.0, 72.0), 12.0, INK, "start", &line.name);
            x += 41.0 + 7.0 * line.name.chars().count() as f64;
        }
    }
}

fn text(svg: &mut String, at: (f64, f64), size: f64, fill: &str, anchor: &str, words: &str) {
    let (x, y) = at;
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{fill}\" \
         text-anchor=\"{anchor}\">{words}</text>"
    );
}

/// The next of 1, 2, 2.5, 5 and 10 times a power of ten.
fn round(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|n| n * power);
    let fits = steps.into_iter().find(|n| *n >= step * 0.999_999);
    fits.unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
