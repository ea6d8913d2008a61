//! Draws the watch. Whatever a service may have named is made printable here.

use super::plain::time;
use super::sample::{MountSample, Sample};
use super::table::{Table, budget, summary};
use super::watch::{Chosen, Mode, Watch, place};
use omnifs::logs::printable;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};
use std::time::Duration;

const KEYS: &str = "q quit  Space pause  / filter  j k choose  Enter story";

/// What does not change from look to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub interval: Duration,
    pub color: bool,
}

impl Look {
    /// A colour, where there are to be any.
    fn color(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }
}

pub fn draw(frame: &mut Frame<'_>, watch: &Watch, look: Look) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    let pause = if watch.paused { "  PAUSED" } else { "" };
    let title = format!("omnifs top  {}  every {:?}{pause}", time(watch.sample.at), look.interval);
    frame.render_widget(Paragraph::new(title).style(Modifier::BOLD), head);
    match (watch.mode, &watch.chosen) {
        (Mode::Story, Some(chosen)) => {
            let lines = story(&watch.sample, chosen);
            let text: Vec<_> = lines.into_iter().map(Line::from).collect();
            frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), body);
        }
        _ => tables(frame, body, watch, look),
    }
    let filter = || printable(&watch.filter).into_owned();
    let text = match watch.mode {
        Mode::Filter => format!("filter: {}_  (Enter keeps it, Esc gives it up)", filter()),
        Mode::Story => "Enter, Esc or q: back".to_owned(),
        Mode::Table if !watch.filter.is_empty() => format!("filter: {}  {KEYS}", filter()),
        Mode::Table => KEYS.to_owned(),
    };
    frame.render_widget(Paragraph::new(text).style(Modifier::DIM), foot);
}

fn tables(frame: &mut Frame<'_>, area: Rect, watch: &Watch, look: Look) {
    let table = Table::of(&watch.sample, |instance| watch.shows(instance)).lines();
    let mounts: Vec<_> = watch.sample.mounts.iter().map(summary).collect();
    let height = |lines: &[String]| u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [instances, summaries, slowest, errors] = Layout::vertical([
        Constraint::Length(height(&table)),
        Constraint::Length(height(&mounts)),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    let rows = table.into_iter().enumerate().map(|(number, line)| match number {
        0 => Line::styled(line, look.color(Color::Cyan).add_modifier(Modifier::BOLD)),
        _ => Line::raw(line),
    });
    frame.render_widget(Paragraph::new(rows.collect::<Vec<_>>()), instances);
    let problem = |mount: &MountSample| mount.problem.is_some();
    let lines = mounts.into_iter().zip(&watch.sample.mounts).map(|(line, mount)| {
        Line::styled(line, if problem(mount) { look.color(Color::Red) } else { Style::new() })
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), summaries);

    let calls: Vec<_> = watch
        .slowest()
        .map(|(mount, call)| {
            let text = format!(
                "{:>7} ms  {:6} {}  ({} times)",
                call.took, call.operation, call.path, call.count
            );
            (text, watch.is_chosen(mount, &call.path), Style::new())
        })
        .collect();
    list(frame, slowest, "SLOWEST PATHS", &calls, look);
    let failures: Vec<_> = watch
        .errors()
        .map(|(mount, error)| {
            let (at, path) = (time(error.at), place(error));
            let text = format!("{at}  {path}  {}: {}", error.cause, error.detail);
            (text, watch.is_chosen(mount, &path), look.color(Color::Red))
        })
        .collect();
    list(frame, errors, "LAST ERRORS", &failures, look);
}

/// A list with a heading. Rows move up where the chosen one would be out of sight.
fn list(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    rows: &[(String, bool, Style)],
    look: Look,
) {
    let room = usize::from(area.height.saturating_sub(1));
    let chosen = rows.iter().position(|(_, chosen, _)| *chosen).unwrap_or(0);
    let first = (chosen + 1).saturating_sub(room);
    let heading = Line::styled(title, look.color(Color::Cyan).add_modifier(Modifier::BOLD));
    let shown = rows.iter().skip(first).take(room).map(|(text, chosen, style)| {
        let style = if *chosen { style.add_modifier(Modifier::REVERSED) } else { *style };
        Line::styled(printable(text).into_owned(), style)
    });
    let lines: Vec<_> = std::iter::once(heading).chain(shown).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// All that is known of a path, a fact a line.
fn story(sample: &Sample, chosen: &Chosen) -> Vec<String> {
    let path = &chosen.path;
    let mut lines = vec![format!("{}/{path}", chosen.mountpoint.trim_end_matches('/'))];
    let Some(mount) = sample.mounts.iter().find(|m| m.mountpoint == chosen.mountpoint) else {
        lines.push("its mount has ended".to_owned());
        return printed(lines);
    };
    let name = path.split(['/', ' ']).next().unwrap_or_default();
    for call in mount.slowest.iter().filter(|call| call.path == *path) {
        lines.push(format!(
            "{}: {} ms at the longest, {} times among the slowest, last at {}",
            call.operation,
            call.took,
            call.count,
            time(call.at)
        ));
    }
    for error in mount.errors.iter().filter(|error| place(error) == *path) {
        let times = if error.count == 1 { "once".into() } else { format!("{} times", error.count) };
        lines.push(format!("failed {times}, last at {}: {}", time(error.at), error.cause));
        lines.push(format!("  {}", error.detail));
        if let Some(at) = error.retry_at {
            lines.push(format!("  the service answers again at {}", time(at)));
        }
    }
    let above = |listing: &str| *path == listing || path.starts_with(&format!("{listing}/"));
    for listing in mount.partial_listings.iter().filter(|listing| above(&listing.path)) {
        lines.push(format!("{} shows {}: {}", listing.path, listing.shown, listing.note));
    }
    if let Some(instance) = mount.instances.iter().find(|instance| instance.name == name) {
        let component = instance.component.as_deref().unwrap_or("no component");
        lines.push(format!("instance {name}: {component}"));
        lines.extend(instance.problem.iter().map(|problem| format!("  {problem}")));
        let feeds = &instance.feeds;
        lines.push(format!("  feeds: {}", feeds.word()));
        lines.extend(feeds.why.iter().map(|why| format!("    {why}")));
        lines.push(format!("  budget: {}", budget(&instance.budgets)));
        lines.push(format!(
            "  {} requests, {} of them failed, {} not modified",
            instance.requests.total, instance.failures.total, instance.not_modified.total
        ));
        lines.extend(instance.shared.map(|shared| format!("  {shared}")));
    }
    printed(lines)
}

fn printed(lines: Vec<String>) -> Vec<String> {
    lines.iter().map(|line| printable(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::InstanceSample;
    use super::*;
    use omnifs::control::{ErrorStatus, SlowStatus};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn watch() -> Watch {
        let slow = SlowStatus {
            provider: "hub".into(),
            path: "hub/a\u{1b}[2J".into(),
            operation: "read".into(),
            took: 412,
            count: 2,
            at: 0,
        };
        let error = ErrorStatus {
            at: 0,
            count: 3,
            provider: "hub".into(),
            path: Some("hub/b".into()),
            cause: "denied".into(),
            detail: "no\u{202e}pe".into(),
            retry_at: None,
        };
        let instance = InstanceSample { name: "hub".into(), ..InstanceSample::default() };
        let mount = MountSample {
            mountpoint: "/m".into(),
            instances: vec![instance],
            slowest: vec![slow],
            errors: vec![error],
            ..MountSample::default()
        };
        let mut watch = Watch::default();
        watch.put(Sample { at: 0, mounts: vec![mount] });
        watch
    }

    fn shown(watch: &Watch, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let look = Look { interval: Duration::from_secs(1), color: true };
        terminal.draw(|frame| draw(frame, watch, look)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_tables_show_instances_slow_paths_and_errors() {
        let text = shown(&watch(), 120, 20);
        for part in [
            "INSTANCE",
            "hub",
            "412 ms  read   hub/a\u{fffd}[2J",
            "hub/b  denied: no\u{fffd}pe",
            KEYS,
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_story_tells_what_is_known_of_the_chosen_path() {
        let mut watch = watch();
        watch.chosen = Some(Chosen { mountpoint: "/m".into(), path: "hub/b".into() });
        watch.mode = Mode::Story;
        let text = shown(&watch, 120, 20);
        for part in ["/m/hub/b", "failed 3 times", "denied", "instance hub"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("412 ms"), "{text}");
    }

    #[test]
    fn no_size_of_a_terminal_is_too_small_to_draw() {
        let mut watch = watch();
        watch.chosen = Some(Chosen { mountpoint: "/m".into(), path: "hub/b".into() });
        for mode in [Mode::Table, Mode::Filter, Mode::Story] {
            watch.mode = mode;
            for (width, height) in [(1, 1), (20, 5), (3, 2), (200, 1), (1, 60)] {
                shown(&watch, width, height);
            }
        }
        watch.mode = Mode::Table;
        assert!(shown(&watch, 20, 5).contains("omnifs top"));
    }
}
