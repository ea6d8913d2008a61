mod plain;
mod sample;
mod screen;
mod table;
mod view;
mod watch;

use super::failure::{Exit, Failure};
use super::locate::mount_of;
use super::{Context, output, terminal, wait};
use clap::Args;
use omnifs::control::{Record, Registry};
use sample::{Sample, Sampler};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Watch what the mounts are doing
///
/// Shows for each instance how often memory answers, calls of its provider, requests to the service,
/// events, its feeds with their lag, and its budgets; below them the slowest paths of the last ten
/// minutes and the last errors. Rates are those of the last interval.
///
/// Keys: arrows or j and k choose a path, Enter tells all that is known of it, / filters by instance or
/// path, Space pauses, q quits. Where standard output is no terminal, it is --plain. With --json each
/// interval is an object on a line of its own.
#[derive(Debug, Args)]
pub struct Top {
    /// A mountpoint or a path below one [default: every mount]
    path: Option<PathBuf>,
    /// Print a table for each interval
    #[arg(long)]
    plain: bool,
    /// The time between two looks: seconds, or a duration such as 500ms
    #[arg(long, short, value_name = "TIME", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// End after so many intervals
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn interval(text: &str) -> Result<Duration, String> {
    /// A look asks each mount for all that it knows.
    const LEAST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(24 * 3600);
    let seconds = text.parse().ok().and_then(|n| Duration::try_from_secs_f64(n).ok());
    let given = seconds.map_or_else(|| omnifs::config::units::duration(text), Ok)?;
    match (LEAST..=MOST).contains(&given) {
        true => Ok(given),
        false => Err("give 0.1 seconds to a day".to_owned()),
    }
}

/// Which mounts are watched.
#[derive(Clone, Debug)]
struct Watched {
    registry: Registry,
    /// One of them.
    only: Option<PathBuf>,
}

impl Watched {
    fn records(&self) -> Vec<Record> {
        match &self.only {
            Some(mountpoint) => self.registry.get(mountpoint).into_iter().collect(),
            None => self.registry.list(),
        }
    }

    /// There is none any more.
    fn ended(&self) -> Failure {
        let text = match &self.only {
            Some(mountpoint) => format!("the mount at {} has ended", super::shown(mountpoint)),
            None => "nothing is mounted any more".to_owned(),
        };
        Failure::new(text).hint("`omnifs mount PATH` mounts").exit(Exit::NotMounted)
    }
}

pub fn run(context: &Context, args: &Top) -> Result<ExitCode, Failure> {
    let only = match &args.path {
        Some(path) => Some(PathBuf::from(mount_of(context, path)?.0.mountpoint)),
        None => None,
    };
    let watched = Watched { registry: context.registry(), only };
    if watched.records().is_empty() {
        return Err(Failure::new("nothing is mounted")
            .hint("`omnifs mount PATH` mounts")
            .exit(Exit::NotMounted));
    }
    let json = output::chosen().json;
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if json {
        output::each_line();
    }
    if args.plain || json || !terminal {
        wait(lines(&watched, args, json))??;
    } else {
        screen::run(watched, args.interval, args.count)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A table or a line of JSON for each interval.
async fn lines(watched: &Watched, args: &Top, json: bool) -> Result<(), Failure> {
    let mut sampler = Sampler::default();
    // The first look is what the first interval is compared with.
    sampler.look(&watched.records()).await;
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut shown = 0;
    while args.count.is_none_or(|count| shown < count) {
        ticks.tick().await;
        let records = watched.records();
        if records.is_empty() {
            return Err(watched.ended());
        }
        let sample = sampler.look(&records).await;
        let text = if json { line(&sample)? } else { plain::text(&sample) };
        if !terminal::write(&text)? {
            return Ok(());
        }
        shown += 1;
    }
    Ok(())
}

fn line(sample: &Sample) -> Result<String, Failure> {
    let text = serde_json::to_string(sample);
    text.map(|text| text + "\n").map_err(|e| Failure::new(format!("cannot write JSON: {e}")))
}

/// The last name of a mountpoint, for a column.
fn short(mountpoint: &str) -> &str {
    Path::new(mountpoint).file_name().and_then(|name| name.to_str()).unwrap_or(mountpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_of_seconds_or_a_duration() {
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "NaN", "1e300", "x", "", "0.01"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
