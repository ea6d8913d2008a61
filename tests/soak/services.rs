//! The services behind the mount, and what of them is shown where.

use crate::plan::{Dice, Service, Step, Trouble};
use omnifs_support::proxy::Fault as SocketFault;
use omnifs_support::{Container, Engine, Omnifs, Proxy, skip, wait_until};
use omnifs_twins::github::RepoShape;
use omnifs_twins::linear::TeamShape;
use omnifs_twins::{Fault, GithubSetup, GithubTwin, LinearSetup, LinearTwin, Times, Version};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ISSUES: usize = 150;
const CONTAINER: &str = "soak";

/// A file with a title, and the object that it shows.
#[derive(Clone, Debug)]
pub struct Titled {
    pub service: Service,
    pub path: PathBuf,
    object: String,
    /// As the twin's own functions take it.
    name: String,
}

pub struct Services {
    github: GithubTwin,
    linear: LinearTwin,
    docker: Option<(Arc<Engine>, Proxy)>,
    pub titled: Vec<Titled>,
    dice: Mutex<Dice>,
}

impl Services {
    pub fn start() -> Services {
        let repos = vec![RepoShape::issues("acme", "api", ISSUES, 0)];
        let setup =
            GithubSetup { demo: false, repos, rate_limit: 10_000_000, ..GithubSetup::default() };
        let github = GithubTwin::start(setup).expect("a twin");
        let (key, name) = ("ENG".to_owned(), "Engineering".to_owned());
        let teams = vec![TeamShape { key, name, issues: ISSUES, comments: 0, awkward: false }];
        let setup = LinearSetup {
            demo: false,
            teams,
            request_limit: 10_000_000,
            complexity_limit: 1_000_000_000,
            ..LinearSetup::default()
        };
        let linear = LinearTwin::start(setup).expect("a twin");
        let repo = github.repo_id("acme/api").expect("it is there");
        let issues = github.numbers("acme/api").into_iter().map(|number| Titled {
            service: Service::Github,
            path: format!("github/acme/api/_issues/_all/{number}/title").into(),
            object: format!("issue:{repo}/{number}"),
            name: number.to_string(),
        });
        let others = linear.identifiers("ENG").into_iter().map(|name| {
            let id = linear.issue_id(&name).expect("it is there");
            Titled {
                service: Service::Linear,
                path: format!("linear/teams/ENG/issues/_all/{name}/title").into(),
                object: format!("issue:{id}"),
                name: id,
            }
        });
        let titled = issues.chain(others).collect();
        let docker = container();
        Services { github, linear, docker, titled, dice: Mutex::new(Dice(7)) }
    }

    /// A home whose mounts show all of them.
    pub fn home(&self) -> Omnifs {
        let mut omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "500");
        if let Some((_, proxy)) = &self.docker {
            omnifs = omnifs.env("DOCKER_HOST", &proxy.host());
        }
        let config = format!(
            "[limits]\nrequest-time = '2s'\n[cache]\nnodes = 20000\nbytes = '16MiB'\n\
             [instances.docker]\nenabled = {}\n[instances.linear.endpoints]\napi = '{}'\n\
             [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
            self.docker.is_some(),
            self.linear.url(),
            self.github.url(),
            self.github.storage_url()
        );
        omnifs.config(&config).expect("a configuration");
        omnifs
    }

    pub fn await_shown(&self, point: &Path) {
        let limit = Duration::from_secs(60);
        for titled in &self.titled {
            let shown = || fs::read(point.join(&titled.path)).ok();
            assert!(wait_until(limit, shown).is_some(), "{}", titled.path.display());
        }
    }

    /// The growing log, where there is one.
    pub fn log(&self) -> Option<PathBuf> {
        self.docker.as_ref()?;
        Some(format!("docker/containers/by-name/{CONTAINER}/logs").into())
    }

    fn versions(&self, titled: &Titled) -> Vec<Version> {
        match titled.service {
            Service::Linear => self.linear.versions(&titled.object),
            _ => self.github.versions(&titled.object),
        }
    }

    /// Whether the file had this content at some moment within `window` before now.
    pub fn was(&self, titled: &Titled, text: &str, window: Duration) -> bool {
        let versions = self.versions(titled);
        versions.iter().enumerate().any(|(index, version)| {
            let over = versions.get(index + 1).and_then(|next| next.at);
            let recent = over.is_none_or(|at| at.elapsed() <= window);
            recent && title(version).is_some_and(|title| text.strip_suffix('\n') == Some(title))
        })
    }

    /// The files that can be read and do not show what is there now, or cannot.
    pub fn stale(&self, point: &Path) -> Vec<String> {
        let wrong = |titled: &&Titled| {
            let now =
                self.versions(titled).last().and_then(title).map(|title| format!("{title}\n"));
            fs::read_to_string(point.join(&titled.path)).ok() != now
        };
        self.titled.iter().filter(wrong).map(|t| t.path.display().to_string()).collect()
    }

    /// Gives one of them another title.
    pub fn change(&self, count: u64) {
        let mut dice = self.dice.lock().expect("no panic under it");
        let titled = &self.titled[dice.between(0, self.titled.len() as u64) as usize];
        let title = format!("Title number {count}, {}", "x".repeat(dice.between(0, 40) as usize));
        let changed = match titled.service {
            Service::Linear => self.linear.retitle(&titled.name, &title),
            _ => {
                let number = titled.name.parse().expect("a number");
                self.github.retitle("acme/api", number, &title)
            }
        };
        changed.expect("it is there");
    }

    pub fn take(&self, step: &Step) {
        let all = |twin: &dyn Fn(Fault)| match step.trouble {
            Some(Trouble::Throttled) => twin(Fault::TooMany { retry_after: 1 }),
            Some(Trouble::Broken) => twin(Fault::Status(500)),
            Some(Trouble::Slow) => twin(Fault::Slow(Duration::from_millis(2_500))),
            Some(Trouble::Down) | None => {}
        };
        match (step.service, step.trouble) {
            (Service::Github, Some(Trouble::Down)) => self.github.stop(),
            (Service::Linear, Some(Trouble::Down)) => self.linear.stop(),
            (Service::Github, Some(_)) => {
                all(&|fault| self.github.inject(fault, "*", Times::UntilCleared));
            }
            (Service::Linear, Some(_)) => {
                all(&|fault| self.linear.inject(fault, "*", Times::UntilCleared));
            }
            (Service::Github, None) => {
                self.github.clear_faults();
                self.github.restart().expect("the ports are ours");
            }
            (Service::Linear, None) => {
                self.linear.clear_faults();
                self.linear.restart().expect("the port is ours");
            }
            (Service::Docker, trouble) => {
                let Some((_, proxy)) = &self.docker else { return };
                match trouble {
                    Some(Trouble::Down) => proxy.refuse(),
                    Some(Trouble::Throttled) => proxy.fault("/", SocketFault::Status(429)),
                    Some(Trouble::Broken) => proxy.fault("/", SocketFault::Status(500)),
                    Some(Trouble::Slow) => proxy.fault("/", SocketFault::Stall),
                    None => {
                        proxy.mend();
                        proxy.refuse();
                        proxy.listen().expect("the socket is ours");
                    }
                }
                // What is open already ends as well.
                proxy.cut("/");
            }
        }
    }

    /// Everything is well.
    pub fn mend(&self) {
        for service in [Service::Github, Service::Linear, Service::Docker] {
            self.take(&Step { at: Duration::ZERO, service, trouble: None });
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Some((engine, _)) = &self.docker {
            let _ = engine.api().remove(CONTAINER);
        }
    }
}

fn title(version: &Version) -> Option<&str> {
    version.value.as_ref()?["title"].as_str()
}

/// A private engine with a container that prints a number ten times a second.
fn container() -> Option<(Arc<Engine>, Proxy)> {
    let engine = Engine::shared("soak: the growing log")?;
    let script = "n=0; while true; do n=$((n+1)); echo number $n; sleep 0.1; done";
    let command = ["sh", "-c", script];
    let container = Container { name: CONTAINER, command: &command, ..Container::default() };
    if let Err(error) = engine.api().run(&container) {
        skip("soak: the growing log", &error.to_string());
        return None;
    }
    let proxy = Proxy::start(engine.api().socket()).expect("a proxy");
    Some((engine, proxy))
}
