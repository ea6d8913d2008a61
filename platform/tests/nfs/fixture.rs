//! A [`Memory`] served over NFS.

use crate::client::Client;
use omnifs_platform::memory::Memory;
use omnifs_platform::nfs::{Options, Server, serve};
#[cfg(target_os = "linux")]
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Whom the fixture's files belong to, whoever runs the test.
pub const OWNER: u32 = 1234;

pub struct Fixture {
    pub memory: Arc<Memory>,
    pub server: Option<Server>,
    pub options: Options,
    _state: TempDir,
    pub runtime: Runtime,
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::with(Memory::new(), OWNER)
    }

    pub fn with(memory: Arc<Memory>, uid: u32) -> Fixture {
        let state = tempfile::tempdir().unwrap();
        let options = Options { uid, ..Options::new(state.path().join("nfs")) };
        let mut fixture =
            Fixture { memory, server: None, options, _state: state, runtime: runtime() };
        fixture.start();
        fixture
    }

    pub fn start(&mut self) {
        let served = serve(self.memory.clone(), &self.options, self.runtime.handle());
        self.server = Some(served.unwrap());
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Ends the server and starts it on the same state.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Returns once everything is given back.
    pub fn stop(&mut self) {
        self.server = None;
        let held = || self.memory.references() + self.memory.open_count() as u64;
        eventually("everything is given back", || held() == 0);
    }

    pub fn client(&self) -> Client {
        Client::new(self.server().port(), OWNER)
    }

    /// A client with the root's handle.
    pub fn mounted(&self) -> (Client, Vec<u8>) {
        let mut client = self.client();
        let root = client.mount(&self.server().export()).unwrap();
        (client, root)
    }
}

/// Waits until `holds`, for at most a minute.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a test that needs `needs` can run; says it loudly if not, also in the summary of
/// `cargo xtask test`.
#[cfg(target_os = "linux")]
pub fn possible(needs: bool, what: &str) -> bool {
    if !needs {
        let test = std::thread::current().name().unwrap_or("a test of NFS").to_owned();
        let line = format!("DID NOT RUN: {test}: {what}\n");
        eprint!("\n*** {line}\n");
        if let Some(file) = std::env::var_os("OMNIFS_SKIPPED") {
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
            opened.and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
        }
    }
    needs
}
