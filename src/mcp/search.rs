//! Where a text stands in the files below a directory: bounded in files, bytes, matches and time.

use super::confined::{Confined, Error};
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::{Duration, Instant};

/// Files that are read, and entries that a walk looks at.
const FILES: usize = 4_000;
const ENTRIES: usize = 50_000;

/// Bytes that are read of one file, and of all.
const FILE: u64 = 1 << 20;
const BYTES: u64 = 64 << 20;

/// Lines that are given, and characters of each.
const MATCHES: usize = 100;
const LINE: usize = 240;

const MORE_MATCHES: &str = "there may be more matches";

const TIME: Duration = Duration::from_secs(30);

/// Names below a directory.
const DEPTH: usize = 32;

/// What a search came to.
#[derive(Debug, Default)]
pub struct Found {
    /// `PATH:LINE: TEXT`, as it stands in the files.
    pub lines: String,
    pub matches: usize,
    pub files: usize,
    /// Files and directories that could not be read.
    pub failed: usize,
    /// Files longer than what is read of one, and directories too deep.
    pub cut: usize,
    /// Why it stopped short.
    pub stopped: Option<&'static str>,
}

/// Looks for `text` below `path`, whatever the case of its letters.
///
/// # Errors
/// Where `path` cannot be opened.
pub fn search(confined: &Confined, path: &str, text: &str) -> Result<Found, Error> {
    let mut search = Search {
        confined,
        wanted: text.to_lowercase(),
        ignored: Vec::new(),
        found: Found::default(),
        entries: 0,
        bytes: 0,
        until: Instant::now() + TIME,
    };
    let path =
        path.split('/').filter(|name| !matches!(*name, "" | ".")).collect::<Vec<_>>().join("/");
    if let Some(instance) = path.split('/').next().filter(|name| !name.is_empty()) {
        search.ignored = ignored(confined, instance);
    }
    if confined.open(&path)?.file.is_some() {
        search.file(&path);
    } else {
        confined.list(&path, 1)?;
        search.directory(&path, 0);
    }
    Ok(search.found)
}

/// The patterns of an instance's `.ignore`: the ends of paths, segments that may be `*`.
fn ignored(confined: &Confined, instance: &str) -> Vec<Vec<String>> {
    let mut text = String::new();
    let opened = confined.open(&format!("{instance}/.ignore")).ok().and_then(|opened| opened.file);
    if opened.is_none_or(|file| file.take(FILE).read_to_string(&mut text).is_err()) {
        return Vec::new();
    }
    let pattern = |line: &str| {
        let path = line.strip_prefix("**/")?.trim_end_matches('/');
        Some(path.split('/').map(str::to_owned).collect())
    };
    text.lines().filter_map(pattern).collect()
}

struct Search<'a> {
    confined: &'a Confined,
    wanted: String,
    ignored: Vec<Vec<String>>,
    found: Found,
    entries: usize,
    bytes: u64,
    until: Instant,
}

impl Search<'_> {
    fn directory(&mut self, path: &str, depth: usize) {
        let Ok((entries, more)) = self.confined.list(path, ENTRIES) else {
            self.found.failed += 1;
            return;
        };
        for entry in entries {
            self.entries += 1;
            if self.is_over() {
                return;
            }
            let below = match path {
                "" => entry.name.clone(),
                _ => format!("{path}/{}", entry.name),
            };
            // What begins with a dot is not the service's, and what a link leads to shows elsewhere.
            if entry.name.starts_with('.') || entry.link || self.is_ignored(&below) {
                continue;
            }
            match entry.directory {
                true if depth < DEPTH => self.directory(&below, depth + 1),
                true => self.found.cut += 1,
                false => self.file(&below),
            }
        }
        if more && self.found.stopped.is_none() {
            self.found.stopped = Some("a directory has too many entries");
        }
    }

    fn is_over(&mut self) -> bool {
        if self.found.stopped.is_none() {
            self.found.stopped = [
                (self.found.matches >= MATCHES, MORE_MATCHES),
                (self.found.files >= FILES, "there are more files"),
                (self.entries >= ENTRIES, "there are more entries"),
                (self.bytes >= BYTES, "there is more to read"),
                (Instant::now() > self.until, "it took too long"),
            ]
            .into_iter()
            .find_map(|(over, why)| over.then_some(why));
        }
        self.found.stopped.is_some()
    }

    fn is_ignored(&self, path: &str) -> bool {
        self.ignored.iter().any(|pattern| {
            let names: Vec<&str> = path.split('/').skip(1).collect();
            let end = names.len().checked_sub(pattern.len()).map(|from| &names[from..]);
            let fits = |(name, segment): (&&str, &String)| segment == "*" || segment == name;
            end.is_some_and(|end| end.iter().zip(pattern).all(fits))
        })
    }

    fn file(&mut self, path: &str) {
        self.found.files += 1;
        let mut bytes = Vec::new();
        let read = self.confined.open(path).and_then(|opened| {
            let file = opened.file.ok_or(Error::Refused("this is a directory"))?;
            Ok(file.take(FILE + 1).read_to_end(&mut bytes)?)
        });
        if read.is_err() {
            self.found.failed += 1;
            return;
        }
        if bytes.len() as u64 > FILE {
            bytes.truncate(FILE as usize);
            self.found.cut += 1;
        }
        self.bytes += bytes.len() as u64;
        if bytes.contains(&0) {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        for (at, line) in text.lines().enumerate() {
            if self.found.matches >= MATCHES {
                self.found.stopped = Some(MORE_MATCHES);
                return;
            }
            if line.to_lowercase().contains(&self.wanted) {
                self.found.matches += 1;
                let shown: String = line.chars().take(LINE).collect();
                let cut = if shown.len() < line.len() { "..." } else { "" };
                let _ = writeln!(self.found.lines, "{path}:{}: {shown}{cut}", at + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_search_passes_over_what_is_listed_and_says_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("x/.ignore", "# a comment\n**/_all/\n**/log\n"),
            ("x/one/_all/7/title", "a Needle\n"),
            ("x/one/_open/7/title", "first\na Needle here\n"),
            ("x/one/_open/7/binary", "needle\0"),
            ("x/one/log", "needle\n"),
            ("x/.omnifs/status", "needle\n"),
            ("y/many", &"needle\n".repeat(150)),
        ] {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let confined = Confined::new(dir.path()).unwrap();
        let found = search(&confined, "x", "neeDLE").unwrap();
        assert_eq!(found.lines, "x/one/_open/7/title:2: a Needle here\n");
        assert_eq!((found.files, found.stopped), (2, None));
        let found = search(&confined, "x/one/_all/", "needle").unwrap();
        assert_eq!(found.lines, "x/one/_all/7/title:1: a Needle\n");
        assert_eq!(search(&confined, "x/one/log", "needle").unwrap().matches, 1);
        assert_eq!(search(&confined, "y", "needle").unwrap().matches, MATCHES);
        assert!(search(&confined, "../", "needle").is_err());
        assert!(search(&confined, "nowhere", "needle").is_err());
    }
}
