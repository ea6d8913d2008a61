//! Which engine, and how it is started on a directory of its own.

use super::image;
use crate::{program, sweep, wait_until};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's `dockerd`.
    Docker,
    /// Debian's `podman system service`, which speaks the same API.
    Podman,
}

/// Podman asks for more open files than a container of this machine may be allowed.
const PODMAN: &str =
    "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";

impl Kind {
    pub fn program(self) -> &'static str {
        match self {
            Kind::Docker => "dockerd",
            Kind::Podman => "podman",
        }
    }

    /// Why it cannot run here, in one line that says what to do; `None` when it can.
    pub fn unavailable(self) -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("a private engine needs root: run it with sudo".into());
        }
        let needed = match self {
            Kind::Docker => [("dockerd", "docker.io")].as_slice(),
            Kind::Podman => &[("podman", "podman"), ("conmon", "conmon"), ("runc", "runc")],
        };
        for (name, package) in needed {
            if program(name).is_none() {
                return Some(format!("{name} is not installed: apt-get install {package}"));
            }
        }
        if image::static_busybox().is_none() {
            return Some("no static busybox is installed: apt-get install busybox-static".into());
        }
        None
    }

    /// The engine on `directory`, listening at `host`; what a killed one left in its way is gone.
    pub fn command(self, directory: &Path, host: &str) -> io::Result<Command> {
        let program = |name| program(name).ok_or(io::ErrorKind::NotFound);
        let mut command = Command::new(program(self.program())?);
        match self {
            Kind::Docker => {
                clear_pids(directory);
                command
                    .args(["--iptables=false", "--bridge=none", "--shutdown-timeout", "1"])
                    .args(["-H", host])
                    .arg("--data-root")
                    .arg(directory.join("data"))
                    .arg("--exec-root")
                    .arg(directory.join("exec"))
                    .arg("-p")
                    .arg(directory.join("pid"));
            }
            Kind::Podman => {
                let settings = directory.join("containers.conf");
                fs::write(&settings, PODMAN)?;
                // crun, its own choice, refuses machines that have both versions of cgroups.
                command
                    .env("CONTAINERS_CONF", settings)
                    .arg("--root")
                    .arg(directory.join("data"))
                    .arg("--runroot")
                    .arg(directory.join("exec"))
                    .arg("--tmpdir")
                    .arg(directory.join("tmp"))
                    .arg("--network-config-dir")
                    .arg(directory.join("networks"))
                    .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
                    .args(["--events-backend", "file", "--runtime"])
                    .arg(program("runc")?)
                    .args(["system", "service", "--time=0", host]);
            }
        }
        Ok(command)
    }
}

fn clear_pids(directory: &Path) {
    // Left by a killed engine; a new one refuses to start beside a live pid.
    let _ = fs::remove_file(directory.join("pid"));
    // Its containerd dies with it, and may stay a zombie where process 1 reaps nothing: dockerd
    // takes that for a running one and waits for it.
    let containerd = directory.join("exec/containerd/containerd.pid");
    wait_until(Duration::from_secs(5), || (!sweep::is_alive(&containerd)).then_some(()));
    let _ = fs::remove_file(containerd);
}
