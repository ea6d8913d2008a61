//! What the screen shows: the look, the filter, the chosen path. Keys change it; drawing does not.

use super::sample::{InstanceSample, MountSample, Sample};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use omnifs::control::{ErrorStatus, SlowStatus};

/// The longest filter.
const MOST_FILTER: usize = 64;

/// A path of a mount that something is known of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub mountpoint: String,
    pub path: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Table,
    /// Letters go to the filter.
    Filter,
    /// All that is known of the chosen path.
    Story,
}

/// What a key asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    On,
    Quit,
}

#[derive(Debug, Default)]
pub struct Watch {
    /// What is shown.
    pub sample: Sample,
    /// The newest look while another one is shown.
    waiting: Option<Sample>,
    pub paused: bool,
    pub filter: String,
    pub mode: Mode,
    pub chosen: Option<Chosen>,
}

impl Watch {
    /// A new look, which a pause keeps from being shown.
    pub fn put(&mut self, sample: Sample) {
        if self.paused {
            self.waiting = Some(sample);
        } else {
            self.sample = sample;
        }
    }

    pub fn key(&mut self, key: KeyEvent) -> Flow {
        // Windows tells of keys that are let go, too.
        if key.kind == KeyEventKind::Release {
            return Flow::On;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Flow::Quit } else { Flow::On };
        }
        match self.mode {
            Mode::Filter => self.edit(key.code),
            Mode::Story => match key.code {
                KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter => self.mode = Mode::Table,
                _ => return self.table(key.code),
            },
            Mode::Table => return self.table(key.code),
        }
        Flow::On
    }

    fn table(&mut self, key: KeyCode) -> Flow {
        match key {
            KeyCode::Char('q') => return Flow::Quit,
            // First what is in force is given up.
            KeyCode::Esc if self.filter.is_empty() && !self.paused => return Flow::Quit,
            KeyCode::Esc => {
                self.filter.clear();
                self.pause(false);
            }
            KeyCode::Char(' ' | 'p') => self.pause(!self.paused),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Down | KeyCode::Char('j') => self.choose(1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1),
            KeyCode::Enter => {
                if self.chosen.is_none() {
                    self.choose(1);
                }
                if self.chosen.is_some() {
                    self.mode = Mode::Story;
                }
            }
            _ => {}
        }
        Flow::On
    }

    fn edit(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Table;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < MOST_FILTER && !c.is_control() => {
                self.filter.push(c);
            }
            _ => {}
        }
    }

    fn pause(&mut self, on: bool) {
        self.paused = on;
        if let Some(newest) = self.waiting.take().filter(|_| !on) {
            self.sample = newest;
        }
    }

    fn choose(&mut self, step: isize) {
        let paths = self.paths();
        let last = paths.len().saturating_sub(1);
        let at = paths.iter().position(|path| Some(path) == self.chosen.as_ref());
        let next = at.map_or(0, |at| at.saturating_add_signed(step).min(last));
        self.chosen = paths.into_iter().nth(next);
    }

    /// Whether the filter lets an instance or a path through.
    fn lets(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    pub fn shows(&self, instance: &InstanceSample) -> bool {
        self.lets(&instance.name)
            || self.slowest().any(|(_, call)| call.provider == instance.name)
            || self.errors().any(|(_, error)| error.provider == instance.name)
    }

    pub fn slowest(&self) -> impl Iterator<Item = (&MountSample, &SlowStatus)> {
        let all = self
            .sample
            .mounts
            .iter()
            .flat_map(|mount| mount.slowest.iter().map(move |s| (mount, s)));
        let mut all: Vec<_> = all.filter(|(_, s)| self.lets(&s.path)).collect();
        all.sort_by_key(|(_, call)| std::cmp::Reverse(call.took));
        all.into_iter()
    }

    pub fn errors(&self) -> impl Iterator<Item = (&MountSample, &ErrorStatus)> {
        let all = self
            .sample
            .mounts
            .iter()
            .flat_map(|mount| mount.errors.iter().map(move |e| (mount, e)));
        let mut all: Vec<_> = all.filter(|(_, error)| self.lets(&place(error))).collect();
        all.sort_by_key(|(_, error)| std::cmp::Reverse(error.at));
        all.into_iter()
    }

    /// Each path that is shown, in the order of the screen.
    fn paths(&self) -> Vec<Chosen> {
        let slowest = self.slowest().map(|(mount, call)| (mount, call.path.clone()));
        let errors = self.errors().map(|(mount, error)| (mount, place(error)));
        let mut paths: Vec<Chosen> = Vec::new();
        for (mount, path) in slowest.chain(errors) {
            let chosen = Chosen { mountpoint: mount.mountpoint.clone(), path };
            if !paths.contains(&chosen) {
                paths.push(chosen);
            }
        }
        paths
    }

    pub fn is_chosen(&self, mount: &MountSample, path: &str) -> bool {
        self.chosen.as_ref().is_some_and(|c| c.mountpoint == mount.mountpoint && c.path == path)
    }
}

/// Where an error is shown: what happens in a feed has no path.
pub fn place(error: &ErrorStatus) -> String {
    error.path.clone().unwrap_or_else(|| format!("{} (feed)", error.provider))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(paths: &[(&str, u64)]) -> MountSample {
        let slow = |(path, took): &(&str, u64)| SlowStatus {
            provider: path.split('/').next().unwrap_or_default().into(),
            path: (*path).into(),
            operation: "read".into(),
            took: *took,
            count: 1,
            at: 0,
        };
        let instance =
            |name: &str| InstanceSample { name: name.into(), ..InstanceSample::default() };
        MountSample {
            mountpoint: "/m".into(),
            slowest: paths.iter().map(slow).collect(),
            instances: vec![instance("hub"), instance("lab")],
            ..MountSample::default()
        }
    }

    fn watch() -> Watch {
        let mut watch = Watch::default();
        watch.put(Sample {
            at: 1,
            mounts: vec![mount(&[("hub/a", 9), ("lab/b", 7), ("hub/c", 5)])],
        });
        watch
    }

    fn press(watch: &mut Watch, keys: &str) -> Flow {
        let mut flow = Flow::On;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                key => KeyCode::Char(key),
            };
            flow = watch.key(KeyEvent::from(code));
        }
        flow
    }

    #[test]
    fn a_filter_is_typed_kept_and_given_up() {
        let mut watch = watch();
        press(&mut watch, "/q LAB");
        assert_eq!((watch.filter.as_str(), watch.mode), ("q LAB", Mode::Filter));
        watch.filter = "LAB".into();
        press(&mut watch, "\n");
        let paths: Vec<_> = watch.slowest().map(|(_, call)| call.path.as_str()).collect();
        assert_eq!(paths, ["lab/b"]);
        let shown = |name: &str, watch: &Watch| {
            let instances = &watch.sample.mounts[0].instances;
            watch.shows(instances.iter().find(|instance| instance.name == name).unwrap())
        };
        assert!(shown("lab", &watch) && !shown("hub", &watch));
        assert_eq!(press(&mut watch, "\u{1b}"), Flow::On, "first the filter is given up");
        assert_eq!(watch.slowest().count(), 3);
        assert_eq!(press(&mut watch, "\u{1b}"), Flow::Quit);
    }

    #[test]
    fn a_pause_keeps_the_look_and_its_end_shows_the_newest() {
        let mut watch = watch();
        press(&mut watch, " ");
        for at in [2, 3] {
            watch.put(Sample { at, mounts: Vec::new() });
        }
        assert_eq!(watch.sample.at, 1);
        press(&mut watch, " ");
        assert_eq!(watch.sample.at, 3);
    }

    #[test]
    fn a_path_is_chosen_by_its_name_and_stays_chosen_when_others_come() {
        let mut watch = watch();
        press(&mut watch, "jj");
        assert_eq!(watch.chosen.as_ref().unwrap().path, "lab/b");
        watch.put(Sample { at: 2, mounts: vec![mount(&[("hub/x", 99), ("lab/b", 7)])] });
        assert!(watch.is_chosen(&watch.sample.mounts[0], "lab/b"));
        press(&mut watch, "jjjj");
        assert_eq!(watch.chosen.as_ref().unwrap().path, "lab/b", "it is the last");
        press(&mut watch, "kkkk\n");
        assert_eq!(
            (watch.chosen.as_ref().unwrap().path.as_str(), watch.mode),
            ("hub/x", Mode::Story)
        );
        assert_eq!(press(&mut watch, "q"), Flow::On, "the story is left");
        assert_eq!(press(&mut watch, "q"), Flow::Quit);
    }

    #[test]
    fn without_a_path_there_is_no_story() {
        let mut watch = Watch::default();
        press(&mut watch, "jk\n");
        assert_eq!((watch.mode, watch.chosen), (Mode::Table, None));
    }
}
