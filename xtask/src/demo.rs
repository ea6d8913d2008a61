//! `cargo xtask demo`: builds, finds or starts a Docker engine, and runs `omnifs demo`.

use crate::step::say;
use crate::{cargo, components, setup, step};
use anyhow::{Result, bail};
use std::process::Command;

/// Mounts a demonstration on ./omnifs-demo and says what to try; Ctrl-C ends it
#[derive(clap::Args)]
pub struct Demo {
    /// Leaves Docker alone: no engine is started, no container is made
    #[arg(long)]
    no_docker: bool,
    /// Passed on to `omnifs demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Demo {
    pub fn run(self) -> Result<()> {
        let goal = if self.no_docker {
            setup::Goal::Mount
        } else if engine_answers() {
            setup::Goal::Beside
        } else {
            setup::Goal::Demo
        };
        for line in setup::need(goal)? {
            step::loud(&line);
        }
        components::build_all(components::Which::Shipped)?;
        let binary = cargo::build_binary(false)?;
        let mut command = Command::new(binary);
        command.arg("demo").args(&self.arguments).current_dir(cargo::root());
        #[cfg(target_os = "linux")]
        let containers = match self.no_docker {
            true => None,
            false => docker::prepare(&mut command),
        };
        let status = step::foreground(&mut command)?;
        #[cfg(target_os = "linux")]
        drop(containers);
        say("the demonstration has ended");
        match status.success() {
            true => Ok(()),
            false => bail!("omnifs demo ended with {status}"),
        }
    }
}

#[cfg(target_os = "linux")]
fn engine_answers() -> bool {
    docker::socket().is_some_and(|socket| omnifs_support::engine::ping(&socket))
}

#[cfg(not(target_os = "linux"))]
fn engine_answers() -> bool {
    true
}

#[cfg(target_os = "linux")]
mod docker {
    use super::{Command, say};
    use crate::step::loud;
    use omnifs_support::engine::{self, Api};
    use omnifs_support::{Container, Engine};
    use std::io;
    use std::path::PathBuf;

    /// Marks the containers that the demonstration made, so that it removes no other.
    const LABEL: (&str, &str) = ("omnifs.demo", "1");

    /// The engine's socket as `DOCKER_HOST` or the engine's own default has it; `None` for an
    /// engine that is reached otherwise.
    pub fn socket() -> Option<PathBuf> {
        match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => host.strip_prefix("unix://").map(PathBuf::from),
            _ => Some(PathBuf::from("/var/run/docker.sock")),
        }
    }

    /// What the demonstration made; dropped, it is gone.
    pub enum Made {
        /// A private engine.
        Engine(#[allow(dead_code)] Engine),
        /// Containers in the engine that was there, and whether their image is new there.
        Containers { api: Api, names: Vec<String>, image: bool },
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let Made::Containers { api, names, image } = self else { return };
            for name in names.drain(..) {
                if let Err(error) = api.remove(&name) {
                    loud(&format!("container {name} stays: {error}"));
                }
            }
            if *image
                && api.has_image()
                && let Err(error) = api.remove_image()
            {
                loud(&format!("the image of the demonstration stays: {error}"));
            }
        }
    }

    /// Sees to it that there is an engine with something in it to look at.
    pub fn prepare(demo: &mut Command) -> Option<Made> {
        let socket = socket()?;
        if engine::ping(&socket) {
            let api = Api::new(socket.clone());
            // Dropped on any way out of here, so that nothing stays in somebody's engine.
            let image = !api.has_image();
            let mut made = Made::Containers { api: api.clone(), names: Vec::new(), image };
            match populate(&api) {
                Ok(new) => {
                    let list = new.join(" ");
                    if !new.is_empty() {
                        say(&format!("made {list} in the engine at {}", socket.display()));
                    }
                    if let Made::Containers { names, .. } = &mut made {
                        *names = new;
                    }
                }
                Err(error) => loud(&format!("no container was made in the engine: {error}")),
            }
            return Some(made);
        }
        say("no Docker engine answers: starting a private one");
        let engine = match Engine::try_start() {
            Ok(engine) => engine,
            Err(reason) => {
                loud(&format!("the demonstration shows no containers: {reason}"));
                return None;
            }
        };
        if let Err(error) = populate(engine.api()) {
            loud(&format!("making containers: {error}"));
        }
        demo.env("DOCKER_HOST", engine.host());
        Some(Made::Engine(engine))
    }

    /// A few containers, unless one called api-server is there already. Their names.
    fn populate(api: &Api) -> io::Result<Vec<String>> {
        if api.inspect("api-server").is_ok() {
            return Ok(Vec::new());
        }
        api.import_image()?;
        let serve =
            "n=0; while :; do n=$((n+1)); echo \"GET /health 200 request=$n\"; sleep 5; done";
        let work = "echo 'queue: 128 jobs'; echo 'job 17: cannot connect to db' >&2; exit 3";
        let mut names = Vec::new();
        for (name, service, script) in
            [("api-server", "api", serve), ("worker", "worker", work), ("db", "db", "sleep 86400")]
        {
            let labels = [
                LABEL,
                ("com.docker.compose.project", "shop"),
                ("com.docker.compose.service", service),
                ("com.docker.compose.container-number", "1"),
            ];
            let made = api.run(&Container {
                name,
                command: &["sh", "-c", script],
                labels: &labels,
                ..Container::default()
            });
            match made {
                Ok(_) => names.push(name.to_owned()),
                // A container of this name may be there; it is somebody's.
                Err(error) => say(&format!("container {name} was not made: {error}")),
            }
        }
        Ok(names)
    }
}
