//! `cargo xtask picture`: what a terminal shows of the demonstration, as a picture that types itself. Each line
//! comes from a run.

use super::svg::Svg;
use crate::step::{self, minutes, say};
use crate::{cargo, components, setup};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Draws a terminal with the demonstration, for README.md
#[derive(clap::Args)]
pub struct Picture {
    /// Where to [default: docs/demo.svg]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Characters of a line, and lines of output that are shown of a command.
const COLUMNS: usize = 92;
const MOST: usize = 10;

/// Pixels.
const WIDTH: f64 = 780.0;
const LINE: f64 = 19.0;
const TOP: f64 = 52.0;

/// Seconds from one line of output to the next, and before a command.
const PACE: f64 = 0.12;
const PAUSE: f64 = 1.3;

/// A command, and what it printed.
struct Shown {
    command: String,
    output: Vec<String>,
}

impl Picture {
    pub fn run(self) -> Result<()> {
        setup::need(setup::Goal::Mount)?;
        components::build_all(components::Which::Shipped)?;
        let binary = cargo::build_binary(false)?;
        let shown = record(&binary)?;
        let out = self.out.unwrap_or_else(|| cargo::root().join("docs/demo.svg"));
        fs::write(&out, draw(&shown)).with_context(|| out.display().to_string())?;
        say(&format!("drawn: {}", out.display()));
        Ok(())
    }
}

/// Runs the demonstration in a home of its own, and each of its commands in it.
fn record(binary: &Path) -> Result<Vec<Shown>> {
    let home = cargo::target()?.join("picture");
    let _ = fs::remove_dir_all(&home);
    let point = home.join("omnifs-demo");
    let mut command = Command::new(binary);
    for name in ["CONFIG", "CACHE", "DATA", "STATE", "RUNTIME"] {
        let place = home.join(name.to_lowercase());
        fs::create_dir_all(&place)?;
        let variable =
            if name == "RUNTIME" { "XDG_RUNTIME_DIR".into() } else { format!("XDG_{name}_HOME") };
        command.env(variable, place);
    }
    // No engine of this machine is in the picture.
    command.env("HOME", &home).env("DOCKER_HOST", format!("unix://{}/none", home.display()));
    command.args(["demo", "--json"]).arg(&point).stdout(Stdio::piped());
    let mut demo = Ended(omnifs_support::tied::spawn(command)?);
    let mut said = String::new();
    let stdout = demo.0.stdout.take().context("its output is piped")?;
    BufReader::new(stdout).read_line(&mut said)?;
    let document: Value = serde_json::from_str(&said).context("omnifs demo did not begin")?;
    let commands = document["result"]["commands"].as_array().context("it names no commands")?;
    let lines = commands.iter().filter_map(Value::as_str).filter(|line| !line.contains("docker/"));
    let shown: Result<Vec<_>> = lines.map(|line| Shown::of(line, &point)).collect();
    let shown = shown?;
    if shown.is_empty() {
        bail!("the demonstration has no command to show");
    }
    Ok(shown)
}

/// Interrupts the demonstration, so that it unmounts.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        omnifs_support::tied::signal(&self.0, rustix::process::Signal::INT);
        if omnifs_support::tied::wait(&mut self.0, minutes(1)).is_none() {
            let _ = self.0.kill();
        }
    }
}

impl Shown {
    fn of(line: &str, point: &Path) -> Result<Shown> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(point);
        let printed = step::output(&mut command, line, minutes(1))?;
        let mut output: Vec<_> = printed.lines().map(|line| cut(line, COLUMNS)).collect();
        if output.len() > MOST {
            output.truncate(MOST - 1);
            output.push("...".to_owned());
        }
        Ok(Shown { command: cut(line, COLUMNS - 2), output })
    }
}

/// The line as far as the terminal is wide.
fn cut(line: &str, columns: usize) -> String {
    let line = line.replace('\t', "    ");
    match line.chars().count() > columns {
        true => line.chars().take(columns - 3).chain("...".chars()).collect(),
        false => line,
    }
}

fn draw(shown: &[Shown]) -> String {
    let count: usize = shown.iter().map(|shown| shown.output.len() + 2).sum();
    let height = TOP + count as f64 * LINE;
    let mut svg = Svg::new(WIDTH, height);
    // All of it is seen at once by who wants no motion, and in a viewer that knows no animation.
    svg.style(
        "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d6deeb;white-space:pre}\
         .c{fill:#7fdbca}.l{animation:l 1ms backwards}@keyframes l{from{opacity:0}}\
         @media (prefers-reduced-motion:reduce){.l{animation:none}}",
    );
    svg.rectangle((0.0, 0.0), (WIDTH, height), r##"rx="8" fill="#011627""##);
    for (at, fill) in ["#ef5350", "#ffca28", "#66bb6a"].into_iter().enumerate() {
        let x = 16.0 + at as f64 * 18.0;
        svg.rectangle((x, 14.0), (11.0, 11.0), &format!("rx=\"5.5\" fill=\"{fill}\""));
    }
    let (mut y, mut time) = (TOP, 0.4);
    let mut line = |y: f64, time: f64, class: &str, text: &str| {
        // Spaces at the front of a line are kept by viewers that do not know the style, too.
        let more = format!(
            "xml:space=\"preserve\" class=\"l {class}\" style=\"animation-delay:{time:.2}s\""
        );
        svg.text((16.0, y), &more, text);
    };
    for Shown { command, output } in shown {
        line(y, time, "c", &format!("$ {command}"));
        time += PAUSE / 2.0;
        for text in output {
            y += LINE;
            line(y, time, "", text);
            time += PACE;
        }
        y += 2.0 * LINE;
        time += PAUSE;
    }
    svg.finish("omnifs demo in a terminal: commands that read issues as files, and what they print")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_drawn_below_the_one_before_and_later() {
        let shown = |command: &str, output: &[&str]| Shown {
            command: command.into(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        let picture = draw(&[shown("cat a", &["<b>", "two"]), shown("cat c", &["three"])]);
        let number = |line: &str, before: &str| {
            let rest = line.split(before).nth(1)?;
            rest.split(['"', 's']).next()?.parse::<f64>().ok()
        };
        let lines: Vec<_> = picture.lines().filter(|line| line.starts_with("<text")).collect();
        assert_eq!(lines.len(), 5, "{picture}");
        for pair in lines.windows(2) {
            for before in [" y=\"", "animation-delay:"] {
                assert!(number(pair[0], before) < number(pair[1], before), "{pair:?}");
            }
        }
        assert!(lines[1].contains("&lt;b&gt;"), "{picture}");
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal() {
        assert_eq!(cut("a\tb", 9), "a    b");
        assert_eq!(cut(&"x".repeat(100), 10), "xxxxxxx...");
    }
}
