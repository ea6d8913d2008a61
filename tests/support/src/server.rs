//! A server of a system package for one test: on a free port of loopback, with its files in a directory of
//! the test's own.

use crate::{program, tied, wait_until};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// From the start of the process until it says that it listens.
const START: Duration = Duration::from_secs(180);
/// From SIGTERM to SIGKILL.
const STOP: Duration = Duration::from_secs(20);
/// Another process may take a port between the moment it is found free and the server's start.
const ATTEMPTS: usize = 8;

/// A running server; dropped, it is stopped.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// `127.0.0.1:PORT`.
    address: String,
    log: PathBuf,
    process: Mutex<Option<Child>>,
}

impl Server {
    /// Runs `name` with the arguments that are made for an address, and waits until its log (standard
    /// output and error, in `directory`) says that it listens there. The port's owner says so itself, so
    /// that nobody else's server is taken for it.
    pub fn start<S: Into<OsString>>(
        name: &str,
        directory: &Path,
        arguments: impl Fn(&str) -> Vec<S>,
    ) -> io::Result<Server> {
        fs::create_dir_all(directory)?;
        let absent = || io::Error::new(io::ErrorKind::NotFound, format!("{name} is not installed"));
        let program = program(name).ok_or_else(absent)?;
        // A name may be a path.
        let own = program.file_name().unwrap_or_default().to_string_lossy();
        let log = directory.join(format!("{own}.log"));
        let mut failed = String::new();
        for _ in 0..ATTEMPTS {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            let arguments = arguments(&address).into_iter().map(Into::into).collect();
            let (program, log) = (program.clone(), log.clone());
            let process = Mutex::default();
            let server = Server { program, arguments, address, log, process };
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(error) => failed = error.to_string(),
            }
        }
        Err(io::Error::other(failed))
    }

    /// Starts a stopped server at the same address on the same files.
    pub fn start_again(&self) -> io::Result<()> {
        let log = File::create(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let mut process = tied::spawn(command)?;
        let said = || fs::read_to_string(&self.log).unwrap_or_default();
        // BIND writes a port after a `#`.
        let hashed = self.address.replace(':', "#");
        // PostgreSQL writes it as a word.
        let apart = self.address.replace(':', "\", port ");
        let words = [
            "listening on",
            "listening for http requests on",
            "starting http monitor on",
            "http address -",
            "serving on http",
            "serving http on",
            "listening for client connections on",
        ];
        let listens = |line: &str| {
            let at = [&self.address, &hashed, &apart].iter().any(|at| line.contains(*at));
            at && words.iter().any(|words| line.to_lowercase().contains(words))
        };
        let ready = wait_until(START, || match process.try_wait() {
            Ok(None) => said().lines().any(listens).then_some(true),
            _ => Some(false),
        });
        if ready == Some(true) {
            *self.process() = Some(process);
            return Ok(());
        }
        tied::stop(&mut process, STOP);
        Err(io::Error::other(format!("{} does not run: {}", self.program.display(), said())))
    }

    /// Ends it: its address then refuses.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            tied::stop(&mut process, STOP);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Some(process) = &*self.process() {
            tied::signal(process, signal);
        }
    }

    /// Kills it, as a crash would.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Child::id)
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
