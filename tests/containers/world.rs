//! A twin, a mount of it, an engine, and the plugin between them.

use omnifs_support::engine::Api;
use omnifs_support::mount::{detach, is_mounted};
use omnifs_support::{Omnifs, skip, tied, wait_until};
use omnifs_twins::{GithubSetup, GithubTwin};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
pub const SOON: Duration = Duration::from_secs(120);
/// Where engines look for plugins, whichever engine it is.
const PLUGINS: &str = "/run/docker/plugins";
/// The volume of most tests, and a file in it.
pub const REPOSITORY: &str = "github/acme/api";
pub const TITLE: &str = "/omnifs/_issues/_open/2853/title";

/// A twin, and a home whose mounts show it.
pub struct World {
    pub twin: GithubTwin,
    pub omnifs: Omnifs,
}

impl World {
    pub fn new(test: &str) -> Option<World> {
        if let Some(reason) = Omnifs::unavailable() {
            skip(test, &reason);
            return None;
        }
        let twin = GithubTwin::start(GithubSetup::default()).expect("a twin");
        let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "200");
        let world = World { twin, omnifs };
        world.omnifs.config(&world.config()).expect("a configuration");
        Some(world)
    }

    /// What a configuration says of the twin, and of nothing else.
    pub fn config(&self) -> String {
        format!(
            "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
             [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
            self.twin.url(),
            self.twin.storage_url()
        )
    }

    /// Changes the title of the issue that the tests read.
    pub fn retitle(&self, title: &str) {
        // A change within the second of a read looks like what was read.
        self.twin.clock().advance(Duration::from_secs(5));
        self.twin.retitle("acme/api", 2853, title).expect("an issue");
    }
}

/// A mount in the background, which its keeper holds.
pub struct Background<'a>(&'a Omnifs);

impl<'a> Background<'a> {
    pub fn mount(omnifs: &'a Omnifs, arguments: &[&str]) -> Background<'a> {
        let point = omnifs.mount_point();
        let point = point.to_str().expect("Unicode");
        let ran = omnifs.run(&[&["mount", point], arguments].concat()).expect("omnifs mount");
        assert!(ran.status.success(), "{}", ran.stderr);
        Background(omnifs)
    }

    pub fn pid(&self) -> Option<u32> {
        let ran = self.0.run(&["status", "--json"]).ok()?;
        let status: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
        status[0]["mount"]["pid"].as_u64()?.try_into().ok()
    }

    /// Kills the process that serves it, and waits for the next one.
    pub fn kill(&self) {
        let killed = self.pid().expect("it runs");
        let number = Pid::from_raw(killed.cast_signed()).expect("a pid");
        kill_process(number, Signal::KILL).expect("kill");
        let next = || (self.pid()? != killed).then_some(());
        assert!(wait_until(SOON, next).is_some(), "nobody goes on with the mount");
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        let point = self.0.mount_point();
        if is_mounted(&point) {
            let _ = self.0.run(&["unmount".as_ref(), "--force".as_ref(), point.as_os_str()]);
            detach(&point);
        }
    }
}

/// `omnifs serve docker-volumes`, under a driver's name of its own.
pub struct Plugin<'a> {
    omnifs: &'a Omnifs,
    pub driver: String,
    process: Child,
}

impl<'a> Plugin<'a> {
    pub fn start(omnifs: &'a Omnifs) -> Plugin<'a> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let driver = format!("omnifs-test-{}-{number}", std::process::id());
        let process = run(omnifs, &driver);
        Plugin { omnifs, driver, process }
    }

    /// As a crash would end it, and starts it again.
    pub fn crash(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = run(self.omnifs, &self.driver);
    }

    pub fn socket(&self) -> PathBuf {
        socket(&self.driver)
    }

    /// Asks it what an engine asks.
    pub fn ask(&self, question: &str, body: serde_json::Value) -> serde_json::Value {
        let path = format!("/{question}");
        let content = body.to_string();
        let content = Some(("application/json", content.as_bytes()));
        let answer = omnifs_support::http::request(&self.socket(), "POST", &path, content, SOON)
            .expect("an answer");
        assert_eq!(answer.status, 200, "{question}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }
}

impl Drop for Plugin<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(log(self.omnifs)).unwrap_or_default();
            eprintln!("--- output of the plugin ---\n{log}---");
        }
        assert!(tied::stop(&mut self.process, SOON) || std::thread::panicking(), "it was killed");
        let _ = fs::remove_file(socket(&self.driver));
    }
}

fn socket(driver: &str) -> PathBuf {
    Path::new(PLUGINS).join(format!("{driver}.sock"))
}

fn log(omnifs: &Omnifs) -> PathBuf {
    omnifs.path("plugin.log")
}

fn run(omnifs: &Omnifs, driver: &str) -> Child {
    let log = log(omnifs);
    let output = File::create(&log).expect("a file");
    let mut command = omnifs.command();
    command.args(["serve", "docker-volumes"]).arg(omnifs.mount_point());
    command.arg("--socket").arg(socket(driver));
    command.stdout(output.try_clone().expect("a file")).stderr(output);
    let mut process = tied::spawn(command).expect("omnifs");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let ready = wait_until(SOON, || match process.try_wait() {
        Ok(None) => said().contains("Ctrl-C ends it").then_some(true),
        _ => Some(false),
    });
    assert_eq!(ready, Some(true), "{}", said());
    process
}

/// What a shell line in a container writes. It must succeed.
pub fn inside(api: &Api, container: &str, line: &str) -> String {
    let (code, written) = api.exec(container, line).expect("exec");
    assert_eq!(code, 0, "{line}: {written}");
    written
}

/// Waits until a file reads so in a container.
pub fn await_inside(api: &Api, container: &str, path: &str, expected: &str) {
    let line = format!("cat {path}");
    let reads = || (api.exec(container, &line).ok()?.1 == expected).then_some(());
    let seen = wait_until(SOON, reads);
    assert!(seen.is_some(), "{container}: {path} is {:?}", api.exec(container, &line));
}
