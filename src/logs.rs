//! The log of a mount: one file for each mountpoint, bounded, for the user alone.
//!
//! Invariants: a log holds no control character but its line ends, also not as an escape of JSON, so that no
//! service can write to a reader's terminal through it; and of other crates only warnings are kept, because their
//! debug lines may show request headers.

mod json;

use crate::paths;
use json::Json;
pub use omnifs_text::printable;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// A log is moved to `NAME.log.1` when it would pass this, so two of these is what a mount can fill.
pub const MOST_BYTES: u64 = 4 << 20;

/// The longest line that is kept.
const MOST_LINE: usize = 16 << 10;

/// The log of the mountpoint whose key (see [`crate::control::key`]) is given.
pub fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}.log"))
}

/// Where a full log is moved.
pub fn rotated(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// A file that is moved aside when it is full.
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    /// A full disk may have taken a part of the last line.
    torn: bool,
}

impl Rotating {
    fn open(path: PathBuf) -> io::Result<Rotating> {
        let file = paths::private_file().append(true).create(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Rotating { path, file, size, torn: false })
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64 + 1;
        if self.size + length > MOST_BYTES && self.size > 0 {
            match std::fs::rename(&self.path, rotated(&self.path)) {
                // Moved before, when no new one could be opened: for want of descriptors, or of room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved?,
            }
            *self = Rotating::open(self.path.clone())?;
        }
        let start = if self.torn { "\n" } else { "" };
        self.torn = true;
        self.file.write_all(format!("{start}{line}\n").as_bytes())?;
        self.torn = false;
        self.size += length;
        Ok(())
    }
}

/// Writes whole events, made safe, to the file and where wanted to the terminal.
#[derive(Clone, Debug)]
struct Sink {
    file: Arc<Mutex<Rotating>>,
    terminal: bool,
}

/// One event being written; it is passed on when it is dropped.
struct Event<'a> {
    sink: &'a Sink,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event { sink: self, text: Vec::with_capacity(256) }
    }
}

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MOST_LINE.saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let line = printable(text.trim_end());
        // A full disk must not stop the mount.
        let mut file = self.sink.file.lock();
        let _ = file.write_line(&line);
        if self.sink.terminal {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One object a line: `timestamp`, `level`, `message`, and `fields` where there are others.
    Json,
}

/// Sends this process's tracing events to the log at `path`, and to stderr where `terminal`.
///
/// # Errors
/// The file cannot be opened, or the process already has a log.
pub fn start(path: &Path, level: LevelFilter, format: Format, terminal: bool) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        paths::private_dir(directory)?;
    }
    let file = Arc::new(Mutex::new(Rotating::open(path.to_owned())?));
    let layer = layer(Sink { file, terminal }, format);
    let own =
        Targets::new().with_target("omnifs", level).with_default(level.min(LevelFilter::WARN));
    tracing_subscriber::registry().with(own).with(layer).try_init().map_err(io::Error::other)
}

fn layer<S>(sink: Sink, format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(sink);
    match format {
        Format::Text => layer.boxed(),
        Format::Json => layer.event_format(Json).boxed(),
    }
}

/// Reads a log from its oldest line to its end, and on from there when it grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
}

impl Tail {
    pub fn new(path: PathBuf) -> Tail {
        Tail { path, file: None }
    }

    /// Copies what is new since the last call, line ends and printable characters only. At the
    /// first call that is the whole log, with the part that was moved aside.
    pub fn copy(&mut self, to: &mut dyn Write) -> io::Result<()> {
        if self.file.is_none() {
            for path in [rotated(&self.path), self.path.clone()] {
                match paths::open_regular(&path) {
                    Ok(file) => copy_printable(self.file.insert(file), to)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        if let Some(file) = &mut self.file {
            copy_printable(file, to)?;
        }
        if self.moved() {
            self.file = paths::open_regular(&self.path).ok();
            if let Some(file) = &mut self.file {
                copy_printable(file, to)?;
            }
        }
        Ok(())
    }

    /// The path now names another file than the one that is open.
    fn moved(&self) -> bool {
        let Some(Ok(open)) = self.file.as_ref().map(File::metadata) else { return true };
        let Ok(named) = std::fs::metadata(&self.path) else { return false };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            (open.dev(), open.ino()) != (named.dev(), named.ino())
        }
        #[cfg(not(unix))]
        {
            named.len() < open.len()
        }
    }
}

fn copy_printable(file: &mut File, to: &mut dyn Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    // Bounded by the log's own bound; standard error may have added to it.
    file.take(4 * MOST_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => writeln!(to, "{}", printable(line))?,
            None => write!(to, "{}", printable(line))?,
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let file = Arc::new(Mutex::new(Rotating::open(path.clone()).unwrap()));
        let sink = Sink { file, terminal: false };
        sink.make_writer().write_all(b"one\ntwo \x1b[2J\n").unwrap();
        sink.make_writer().write_all(&vec![b'x'; 2 * MOST_LINE]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("one\u{fffd}two \u{fffd}[2J\nxxx"), "{text}");
        assert_eq!(text.lines().nth(1).unwrap().len(), MOST_LINE);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_log_that_could_not_be_written_goes_on_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = Rotating::open(path.clone()).unwrap();
        log.write_line("first").unwrap();
        // The disk is full in the middle of a line.
        log.file.write_all(b"sec").unwrap();
        let file = std::mem::replace(
            &mut log.file,
            File::options().write(true).open("/dev/full").unwrap(),
        );
        assert_eq!(log.write_line("second").unwrap_err().kind(), io::ErrorKind::StorageFull);
        log.file = file;
        log.write_line("third").unwrap();
        log.write_line("fourth").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "first\nsec\nthird\nfourth\n");
    }

    #[test]
    fn a_log_that_was_moved_and_not_opened_anew_is_opened_with_the_next_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = Rotating::open(path.clone()).unwrap();
        log.write_line("first").unwrap();
        log.size = MOST_BYTES;
        // There was no descriptor for a new one.
        std::fs::rename(&path, rotated(&path)).unwrap();
        log.write_line("second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(std::fs::read_to_string(rotated(&path)).unwrap(), "first\n");
    }

    #[test]
    fn a_log_stays_within_its_bound_and_a_reader_follows_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = Rotating::open(path.clone()).unwrap();
        let mut tail = Tail::new(path.clone());
        let mut seen = Vec::new();
        let line = "x".repeat(1023);
        for n in 0..2 * MOST_BYTES / 1024 + 10 {
            log.write_line(&line).unwrap();
            if n % 500 == 0 {
                tail.copy(&mut seen).unwrap();
            }
        }
        tail.copy(&mut seen).unwrap();
        assert_eq!(seen.len() as u64, (2 * MOST_BYTES / 1024 + 10) * 1024);
        assert!(std::fs::metadata(&path).unwrap().len() <= MOST_BYTES);
        assert_eq!(std::fs::metadata(rotated(&path)).unwrap().len(), MOST_BYTES);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
