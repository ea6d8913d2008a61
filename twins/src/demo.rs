//! What `omnifs demo` shows: the twins, and the engine of this machine where one answers.
//!
//! Invariant: what a command is said to cost is what it costs; a test runs them and counts.

use crate::{GithubTwin, LinearTwin, Request, TwinError};
use std::io;

/// The demo's services, running on loopback until this is dropped.
#[derive(Debug)]
pub struct Demo {
    github: GithubTwin,
    linear: LinearTwin,
    engine: bool,
}

/// A service of the demo that is not at its own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The instance that shows it.
    pub instance: &'static str,
    pub endpoint: &'static str,
    pub url: String,
    pub redirect_hosts: Vec<String>,
}

/// Something that has just happened at a service of the demo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// For people: a sentence.
    pub what: &'static str,
    /// A line for a shell that shows it.
    pub look: &'static str,
}

/// A command worth typing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// A line for a shell.
    pub line: &'static str,
    /// What it asks the twins for after the commands before it. Absent: it asks the Docker engine.
    pub requests: Option<u64>,
    /// What these requests are for.
    pub what_for: &'static str,
}

/// Things that happen before they come round again.
const STEPS: usize = 4;

const COMMANDS: [Command; 5] = [
    Command {
        line: "cat github/acme/api/_issues/_open/2853/title",
        requests: Some(2),
        what_for: "the owner with its repositories, the issue with all its fields",
    },
    Command {
        line: "grep -ril token github/acme/api/_issues/_open",
        requests: Some(2),
        what_for: "100 issues with every field, and 100 comments",
    },
    Command {
        line: "cat github/acme/api/_prs/_open/2860/diff",
        requests: Some(2),
        what_for: "the pull request, and its diff",
    },
    Command {
        line: "tail -n 2 github/acme/api/_actions/runs/9801/log",
        requests: Some(8),
        what_for: "the run, its jobs, and three logs, each redirected to where it is stored",
    },
    Command {
        line: "grep -r auth linear/teams/ENG/issues/_open",
        requests: Some(2),
        what_for: "the team, and 50 issues with every field and comment",
    },
];

const DOCKER: [Command; 1] = [Command {
    line: "ls -l docker/containers/by-name",
    requests: None,
    what_for: "one listing of the engine, for all containers",
}];

impl Command {
    /// `2 requests: the owner with its repositories, the issue with all its fields`
    pub fn cost(&self) -> String {
        match self.requests {
            Some(1) => format!("1 request: {}", self.what_for),
            Some(count) => format!("{count} requests: {}", self.what_for),
            None => self.what_for.to_owned(),
        }
    }
}

impl Demo {
    /// # Errors
    /// Where loopback ports cannot be had.
    pub fn start() -> io::Result<Demo> {
        Ok(Demo {
            github: GithubTwin::demo()?,
            linear: LinearTwin::demo()?,
            engine: engine_answers(),
        })
    }

    pub fn places(&self) -> Vec<Place> {
        let at = |instance, url: &str, redirect_hosts| Place {
            instance,
            endpoint: "api",
            url: url.to_owned(),
            redirect_hosts,
        };
        let storage = vec![self.github.storage_url().to_owned()];
        vec![at("github", self.github.url(), storage), at("linear", self.linear.url(), Vec::new())]
    }

    /// The instances that have nothing to show here.
    pub fn absent(&self) -> Vec<&'static str> {
        if self.engine { Vec::new() } else { vec!["docker"] }
    }

    /// In the order in which they are worth typing.
    pub fn commands(&self) -> Vec<Command> {
        let engine = self.engine.then_some(DOCKER);
        COMMANDS.into_iter().chain(engine.into_iter().flatten()).collect()
    }

    /// Has the next thing happen, of what comes round again and again: `turn` counts up from 0.
    ///
    /// # Errors
    /// Where the demo's own data is not what this expects.
    pub fn step(&self, turn: usize) -> Result<Happening, TwinError> {
        const REPO: &str = "acme/api";
        let (title, titled) = ("Login fails after token refresh", "Login fails after each refresh");
        let happening = |what, look| Happening { what, look };
        // After a whole round all is as it was but for the comments.
        let back = turn / STEPS % 2 == 1;
        let (github, linear) = (&self.github, &self.linear);
        match turn % STEPS {
            0 => {
                github.retitle(REPO, 2853, if back { title } else { titled })?;
                Ok(happening(
                    "issue 2853 of acme/api was retitled",
                    "cat github/acme/api/_issues/_open/2853/title",
                ))
            }
            1 => {
                github.add_comment(REPO, 2853, "mira", "Seen once more, on the second node.")?;
                Ok(happening(
                    "mira commented on it",
                    "ls github/acme/api/_issues/_open/2853/comments",
                ))
            }
            2 => {
                if back {
                    github.reopen(REPO, 2841)?
                } else {
                    github.close(REPO, 2841)?
                }
                Ok(happening(
                    if back { "issue 2841 was reopened" } else { "issue 2841 was closed" },
                    "ls github/acme/api/_issues/_open",
                ))
            }
            _ => {
                linear.set_state("ENG-204", if back { "In Progress" } else { "In Review" })?;
                Ok(happening(
                    "ENG-204 moved on in Linear",
                    "cat linear/teams/ENG/issues/_open/ENG-204/state",
                ))
            }
        }
    }

    /// Everything the twins were asked so far, polls among it.
    pub fn requests(&self) -> Vec<Request> {
        self.github.requests().into_iter().chain(self.linear.requests()).collect()
    }
}

/// Whether a Docker engine answers where the provider would look for it.
#[cfg(unix)]
fn engine_answers() -> bool {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// An engine that is there answers in a millisecond; the demo must not wait for one that hangs.
    const PATIENCE: Option<Duration> = Some(Duration::from_millis(500));
    let ping = || -> std::io::Result<bool> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let host = host.as_deref().unwrap_or("unix:///var/run/docker.sock");
        let Some(path) = host.strip_prefix("unix://") else { return Ok(false) };
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(PATIENCE)?;
        stream.set_write_timeout(PATIENCE)?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ping().unwrap_or(false)
}

/// Whether a Docker engine answers at the named pipe.
#[cfg(windows)]
fn engine_answers() -> bool {
    use std::io::{Read, Write};
    use std::sync::mpsc;
    use std::time::Duration;

    /// A pipe has no deadline of its own; the thread that waits for one that hangs stays behind.
    const PATIENCE: Duration = Duration::from_millis(500);
    let ping = || -> std::io::Result<bool> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let host = host.as_deref().unwrap_or("npipe:////./pipe/docker_engine");
        let Some(path) = host.strip_prefix("npipe:") else { return Ok(false) };
        let path = format!(r"\\{}", path.replace('/', "\\").trim_start_matches('\\'));
        let mut pipe = std::fs::File::options().read(true).write(true).open(path)?;
        pipe.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut status = [0; 12];
        pipe.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    let (sender, answer) = mpsc::channel();
    let asked = std::thread::Builder::new().name("ping".into()).spawn(move || sender.send(ping()));
    asked.is_ok() && matches!(answer.recv_timeout(PATIENCE), Ok(Ok(true)))
}
