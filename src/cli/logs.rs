use super::failure::{Exit, Failure};
use super::locate::{self, Located};
use super::{Context, output, shown, terminal};
use clap::Args;
use omnifs::control::{Record, key};
use omnifs::logs::{self, Tail};
use omnifs::paths::quoted_text;
use omnifs_platform::mounting;
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Show the log of a mount
///
/// The log stays after the mount has ended. OMNIFS_LOG (error, warn, info, debug, trace) says at
/// the start of a mount how much it logs, and OMNIFS_LOG_FORMAT=json that it logs objects of JSON.
#[derive(Debug, Args)]
pub struct Logs {
    /// The mountpoint [default: the only running mount, else the last log]
    path: Option<PathBuf>,
    /// Go on as the log grows
    #[arg(long, short)]
    follow: bool,
}

/// How soon a followed log shows a new line.
const PACE: Duration = Duration::from_millis(100);

pub fn run(context: &Context, args: &Logs) -> Result<ExitCode, Failure> {
    let log = find(context, args.path.as_ref())?;
    let mut tail = Tail::new(log.clone());
    if output::chosen().json {
        return as_json(&log, &mut tail, args.follow);
    }
    let mut out = io::stdout().lock();
    loop {
        match tail.copy(&mut out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => return Err(Failure::new(format!("{}: {error}", shown(&log)))),
            Ok(()) => {}
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        let _ = out.flush();
        std::thread::sleep(PACE);
    }
}

/// The lines of the log; of one that is followed each as a string, on a line of its own.
fn as_json(log: &Path, tail: &mut Tail, follow: bool) -> Result<ExitCode, Failure> {
    let (mut bytes, mut rest) = (Vec::new(), String::new());
    let mut more = || {
        bytes.clear();
        tail.copy(&mut bytes).map_err(|e| Failure::new(format!("{}: {e}", shown(log))))?;
        rest.push_str(&String::from_utf8_lossy(&bytes));
        // A line that is being written is left for the next look.
        let whole = rest.rfind('\n').map_or(0, |end| end + 1);
        let lines: Vec<_> =
            rest.drain(..whole).collect::<String>().lines().map(str::to_owned).collect();
        Ok::<_, Failure>(lines)
    };
    if !follow {
        terminal::show("", json!({ "log": log, "lines": more()? }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::each_line();
    loop {
        for line in more()? {
            if !terminal::write(&format!("{}\n", json!({ "line": line })))? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        std::thread::sleep(PACE);
    }
}

fn find(context: &Context, path: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let directory = context.paths.logs();
    if let Some(path) = path {
        let log = match locate::find(context, path) {
            Ok(Located::Here(record, _)) => record.log,
            _ => logs::path(&directory, &key(&mounting::resolve(path)?)),
        };
        return if log.exists() { Ok(log) } else { Err(none(&format!("for {}", shown(path)))) };
    }
    match &context.registry().list()[..] {
        [] => newest(&directory).ok_or_else(|| none("yet")),
        [record] => Ok(record.log.clone()),
        records => Err(several(records, "logs")),
    }
}

/// It has to be said which one of these a command is for.
pub fn several(records: &[Record], command: &str) -> Failure {
    let failure = Failure::new("several mounts are running").exit(Exit::Usage);
    let hint = |record: &Record| format!("omnifs {command} {}", quoted_text(&record.mountpoint));
    records.iter().map(hint).fold(failure, Failure::hint)
}

fn none(what: &str) -> Failure {
    Failure::new(format!("there is no log {what}"))
        .hint("a log begins with `omnifs mount`")
        .exit(Exit::NotMounted)
}

fn newest(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let logs = entries.filter(|e| e.path().extension().is_some_and(|x| x == "log"));
    let dated = logs.filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())));
    dated.max_by_key(|(time, _): &(SystemTime, _)| *time).map(|(_, path)| path)
}
