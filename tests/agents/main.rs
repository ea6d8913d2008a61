//! Twelve questions of an agent, each answered through a real mount by a line or two of shell, and by the calls
//! of a server of the Model Context Protocol that others wrote, or of the service's API. `cargo xtask bench agents`
//! runs this and shows the table.

#![cfg(target_os = "linux")]

mod calls;
#[path = "../github/polls.rs"]
mod github_polls;
#[path = "../linear/polls.rs"]
mod linear_polls;
mod server;

use calls::{Asking, WAYS, Way};
use omnifs_support::tasks::{self, Task, task};
use omnifs_support::tools::{read, shell};
use omnifs_support::{Engine, Mounted, Omnifs, Proxy, proxy, skip, wait_until};
use omnifs_twins::{GithubTwin, LinearTwin, Request};
use server::Server;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// What a mount's way may be at most: commands, and one part in so many of the bytes of the other.
const COMMANDS: usize = 2;
const PART: usize = 4;

const SOON: Duration = Duration::from_secs(60);

/// The twins and, where one can run, an engine; and a home whose mounts reach all of them.
struct World {
    github: GithubTwin,
    linear: LinearTwin,
    proxy: Option<Proxy>,
    omnifs: Omnifs,
}

impl World {
    fn new(engine: Option<&Engine>) -> World {
        let github = GithubTwin::demo().expect("a twin");
        let linear = LinearTwin::demo().expect("a twin");
        let proxy = engine.map(|engine| Proxy::start(engine.api().socket()).expect("a proxy"));
        // Polls do not come twice within a test.
        let mut omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "3600000");
        if let Some(proxy) = &proxy {
            omnifs = omnifs.env("DOCKER_HOST", &proxy.host());
        }
        let config = format!(
            "[instances.docker]\nenabled = {}\n\
             [instances.linear.endpoints]\napi = '{}'\n\
             [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
            proxy.is_some(),
            linear.url(),
            github.url(),
            github.storage_url()
        );
        omnifs.config(&config).expect("a configuration");
        World { github, linear, proxy, omnifs }
    }

    /// Mounts with nothing in memory, and waits until the engine's events come.
    fn mount(&self) -> Mounted<'_> {
        let mounted = self.omnifs.mount::<&str>(&[]).expect("mount");
        let live = || {
            let status = mounted.status().ok()?;
            let scopes = status["scopes"].as_array()?.clone();
            let engine = scopes.iter().find(|scope| scope["scope"] == "engine");
            (self.proxy.is_none() || engine?["state"] == "live").then_some(())
        };
        assert!(wait_until(SOON, live).is_some(), "{:?}", mounted.status());
        self.take();
        mounted
    }

    /// How many requests the services were asked since the last call, those aside that a mount makes by
    /// itself: polls, and the stream of events.
    fn take(&self) -> usize {
        let (github, linear, engine) = self.asked();
        let own = ["/events", "/_ping", "/version"];
        let engine = engine.iter().filter(|r| !own.iter().any(|own| r.path.starts_with(own)));
        github.iter().filter(|request| !github_polls::is_poll(request)).count()
            + linear.iter().filter(|r| !linear_polls::is_poll(&linear_polls::query(r))).count()
            + engine.count()
    }

    /// As [`World::take`], all of them: for when nothing is mounted.
    fn take_all(&self) -> usize {
        let (github, linear, engine) = self.asked();
        github.len() + linear.len() + engine.len()
    }

    fn asked(&self) -> (Vec<Request>, Vec<Request>, Vec<proxy::Request>) {
        let asked = (self.github.requests(), self.linear.requests());
        self.github.reset_counts();
        self.linear.reset_counts();
        (asked.0, asked.1, self.proxy.as_ref().map(Proxy::take).unwrap_or_default())
    }
}

/// What one way took.
struct Taken {
    steps: usize,
    bytes: usize,
    requests: usize,
}

/// By a mount that has nothing in memory.
fn mounted_way(world: &World, task: &Task) -> Taken {
    let mounted = world.mount();
    let place = mounted.join(task.place);
    let shown: Vec<String> = task.lines.iter().map(|line| shell(&place, line) + "\n").collect();
    let shown = shown.concat();
    for part in task.answer {
        assert!(shown.contains(part), "{}: {part} is not in {shown}", task.question);
    }
    Taken { steps: task.lines.len(), bytes: shown.len(), requests: world.take() }
}

fn other_way(world: &World, server: &mut Server, way: &Way) -> Taken {
    world.take();
    let mut asking = Asking { world, server, calls: Vec::new(), read: String::new() };
    (way.ask)(&mut asking);
    let (calls, read) = (asking.calls, asking.read);
    for part in way.holds {
        assert!(read.contains(part), "{}, {calls:?}: {part} is not in {read}", way.question);
    }
    Taken { steps: calls.len(), bytes: read.len(), requests: world.take_all() }
}

fn row(question: &str, mount: &Taken, other: &Taken) -> String {
    format!(
        "| {question} | {} | {} | {} | {} | {} | {} | {:.1} % |",
        mount.steps,
        mount.bytes,
        mount.requests,
        other.steps,
        other.bytes,
        other.requests,
        100.0 * mount.bytes as f64 / other.bytes as f64
    )
}

#[test]
fn each_of_twelve_tasks_takes_two_commands_and_a_quarter_of_the_bytes_of_calls() {
    const NAME: &str = "twelve tasks of an agent";
    if let Some(reason) = Omnifs::unavailable() {
        return skip(NAME, &reason);
    }
    let engine = Engine::start("the tasks of an agent that ask an engine");
    let world = World::new(engine.as_ref());
    let mut server = match Server::start(world.github.url()) {
        Ok(server) => server,
        Err(reason) => return skip(NAME, &reason),
    };
    let containers = engine.as_ref().map(|engine| tasks::containers(engine.api()));
    let containers = containers.transpose().expect("containers");
    let mut table = "| task | commands | bytes | requests | calls | bytes | requests | share |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut missed = Vec::new();
    for way in &WAYS {
        let task = task(way.question);
        if task.place == "docker" && world.proxy.is_none() {
            continue;
        }
        let (mount, other) = (mounted_way(&world, task), other_way(&world, &mut server, way));
        writeln!(table, "{}", row(task.question, &mount, &other)).expect("a string");
        if mount.steps > COMMANDS || mount.bytes * PART > other.bytes {
            missed.push(task.question);
        }
    }
    drop(containers);
    let mounted = world.mount();
    let texts = ["README.md", "github/README.md", "github/AGENTS.md"];
    let texts: usize = texts.iter().map(|text| read(&mounted.join(text)).len()).sum();
    println!("{table}");
    println!(
        "Read once: {texts} bytes of README.md and AGENTS.md in the mount, {} bytes of tools of {}@{}.",
        server.tools().len(),
        server::PACKAGE,
        server::VERSION
    );
    assert!(
        missed.is_empty(),
        "more than {COMMANDS} commands or 1/{PART} of the bytes: {missed:?}"
    );
}

#[test]
fn the_page_has_each_task_with_its_commands() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md"));
    for way in &WAYS {
        let task = task(way.question);
        assert!(
            page.contains(&format!("| {} | {} |", task.question, task.lines.len())),
            "{task:?}"
        );
        for line in task.lines {
            assert!(page.lines().any(|shown| shown == *line), "the page lacks {line}");
        }
    }
}
