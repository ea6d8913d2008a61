//! Charts of a benchmark's figures: each measured thing with a bar for omnifs and one for each file system beside
//! it, and the command that does the same by hand.

use super::svg::Svg;
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A row of `bench.json`.
struct Row<'a> {
    name: &'a str,
    unit: &'a str,
    omnifs: f64,
    tmpfs: Option<f64>,
    nfs: Option<f64>,
}

pub struct Chart {
    pub file: String,
    pub title: String,
    pub svg: String,
}

/// A chart's rows: the name in the report, and a command that does it.
struct Plan {
    file: &'static str,
    title: &'static str,
    rows: &'static [(&'static str, &'static str)],
}

const PLANS: [Plan; 2] = [
    Plan {
        file: "cold.svg",
        title: "The first looks at a mount",
        rows: &[
            ("first grep -r of a mount, per file", "grep -r PATTERN ."),
            ("second grep -r, per file", "grep -r PATTERN ."),
            ("cold read (lookup, open, read), median", "cat FILE"),
        ],
    },
    Plan {
        file: "warm.svg",
        title: "What was read before",
        rows: &[
            ("warm stat", "stat FILE"),
            ("warm open, read, close", "cat FILE"),
            ("warm readdir, per entry", "ls -f DIRECTORY"),
            ("warm grep -r, per file", "grep -r PATTERN ."),
            ("warm grep -r beside 1,000 events/s, per file", "grep -r PATTERN ."),
            ("user: warm stat", "stat FILE"),
            ("user: warm open, read, close", "cat FILE"),
            ("user: warm grep -r, per file", "grep -r PATTERN ."),
        ],
    },
];

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 330.0;
const LONGEST: f64 = 330.0;
const BAR: f64 = 14.0;
const GAP: f64 = 18.0;

/// The charts that there are figures for.
pub fn draw(report: &str) -> Result<Vec<Chart>> {
    let report: Value = serde_json::from_str(report).context("is no report of the benchmark")?;
    let rows = report.as_array().context("is no report of the benchmark")?;
    let rows: Vec<Row<'_>> = rows.iter().filter_map(Row::of).collect();
    let charts: Vec<Chart> = PLANS.iter().filter_map(|plan| plan.draw(&rows)).collect();
    if charts.is_empty() {
        bail!("the report has no figure that a chart shows");
    }
    Ok(charts)
}

impl Row<'_> {
    fn of(row: &Value) -> Option<Row<'_>> {
        let number = |name: &str| row[name].as_f64();
        Some(Row {
            name: row["name"].as_str()?,
            unit: row["unit"].as_str()?,
            omnifs: number("omnifs")?,
            tmpfs: number("tmpfs"),
            nfs: number("nfs"),
        })
    }

    fn bars(&self) -> Vec<(&'static str, f64, &'static str)> {
        let beside = [("tmpfs", self.tmpfs, "#9aa5b1"), ("NFS", self.nfs, "#e0a458")];
        let beside =
            beside.into_iter().filter_map(|(name, value, fill)| Some((name, value?, fill)));
        [("omnifs", self.omnifs, "#3b7dd8")].into_iter().chain(beside).collect()
    }
}

impl Plan {
    fn draw(&self, all: &[Row<'_>]) -> Option<Chart> {
        let found = |(name, command): &(&'static str, &'static str)| {
            let row = all.iter().find(|row| row.name == *name)?;
            Some((row, *command))
        };
        let rows: Vec<_> = self.rows.iter().filter_map(found).collect();
        let most = rows.iter().flat_map(|(row, _)| row.bars()).map(|(_, value, _)| value);
        let most = most.filter(|value| value.is_finite()).fold(0.0, f64::max);
        if most <= 0.0 {
            return None;
        }
        let high = |row: &Row<'_>| row.bars().len() as f64 * BAR + GAP;
        let height = 50.0 + rows.iter().map(|(row, _)| high(row).max(2.0 * BAR + GAP)).sum::<f64>();
        let mut svg = Svg::new(WIDTH, height);
        svg.style("text{font:12px sans-serif;fill:#24292f}.c{font-family:monospace;fill:#57606a}");
        svg.rectangle((0.0, 0.0), (WIDTH, height), r##"fill="#ffffff""##);
        svg.text((10.0, 24.0), r#"style="font-size:15px;font-weight:bold""#, self.title);
        let mut y = 44.0;
        for (row, command) in rows {
            svg.text((10.0, y + 11.0), "", row.name);
            svg.text((10.0, y + 11.0 + BAR), r#"class="c""#, command);
            for (at, (name, value, fill)) in row.bars().into_iter().enumerate() {
                let top = y + at as f64 * BAR;
                let long = (value / most * LONGEST).clamp(1.0, LONGEST);
                svg.rectangle((LEFT, top), (long, BAR - 2.0), &format!("fill=\"{fill}\""));
                let told = format!("{name} {value:.2} {}", row.unit);
                svg.text((LEFT + long + 5.0, top + 10.0), "", &told);
            }
            y += high(row).max(2.0 * BAR + GAP);
        }
        let title = self.title.to_owned();
        Some(Chart { file: self.file.into(), svg: svg.finish(&title), title })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const REPORT: &str = r#"[
        {"name":"warm stat","unit":"us","omnifs":1.0,"tmpfs":2.0,"ratio":0.5,"aim":1.1,"met":true},
        {"name":"user: warm stat","unit":"us","omnifs":4.0,"tmpfs":2.0,"nfs":8.0,"ratio":2.0},
        {"name":"something else","unit":"B","omnifs":9000.0,"tmpfs":null}
    ]"#;

    /// The lengths of the bars, without the ground.
    fn bars(svg: &str) -> Vec<f64> {
        let bars = svg.split("<rect ").skip(2);
        let width = |bar: &str| bar.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
        bars.map(|bar| width(bar).unwrap()).collect()
    }

    #[test]
    fn bars_are_as_long_as_their_figures_and_stand_beside_the_command() {
        let charts = draw(REPORT).unwrap();
        let [warm] = &charts[..] else { panic!("{} charts", charts.len()) };
        assert_eq!(warm.file, "warm.svg");
        let bars = bars(&warm.svg);
        assert_eq!(bars.len(), 5, "{}", warm.svg);
        let parts = [1.0, 2.0, 4.0, 2.0, 8.0].map(|value| value / 8.0 * LONGEST);
        assert!(bars.iter().zip(parts).all(|(bar, part)| (bar - part).abs() < 0.1), "{bars:?}");
        for text in ["stat FILE", "omnifs 1.00 us", "tmpfs 2.00 us", "NFS 8.00 us"] {
            assert!(warm.svg.contains(text), "{text}: {}", warm.svg);
        }
        assert!(!warm.svg.contains("9000"), "what no chart is of");
    }

    #[test]
    fn each_row_of_a_chart_is_one_that_the_benchmark_reports() {
        let reports = include_str!("../../../benches/mount.rs");
        for (name, _) in PLANS.iter().flat_map(|plan| plan.rows) {
            let of_all = name.strip_prefix("user: ").unwrap_or(name);
            assert!(reports.contains(&format!("\"{of_all}\"")), "{name}");
        }
    }

    #[test]
    fn without_figures_there_is_no_chart() {
        for report in ["", "{}", "[]", r#"[{"name":"warm stat","unit":"us","omnifs":0.0}]"#] {
            assert!(draw(report).is_err(), "{report}");
        }
    }
}
