//! What the machine must have, as one table, and how a bare Debian gets it.

use crate::step::{self, loud, minutes, say};
use anyhow::{Result, bail};
use omnifs_support::program;
use std::path::Path;
use std::process::Command;

/// What somebody is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Build,
    /// The demonstration without Docker.
    Mount,
    /// The demonstration beside an engine that is there.
    Beside,
    /// The demonstration with a private engine.
    Demo,
    Test,
    /// Building components without rustup's wasm target.
    Fallback,
    /// Checking for Windows without one.
    Windows,
    /// Running on Windows's interfaces without one.
    Wine,
    /// Making packages.
    Dist,
}

#[derive(Clone, Copy)]
enum Need {
    /// The goal cannot be reached without it.
    Required,
    /// Something is left out without it, loudly.
    Optional,
}

/// How to find out whether it is there.
#[derive(Clone, Copy)]
enum Probe {
    /// A program on the path, from whatever package.
    Program(&'static str),
    /// An existing file.
    File(&'static str),
    /// A compiler of the system that is new enough for the providers.
    SystemRustc,
    /// A busybox without shared libraries.
    StaticBusybox,
    /// A linker for wasm, of rustup or of the system.
    WasmLinker,
    /// The library of a C compiler, with the compiler's own headers.
    Libclang,
}

struct Row {
    probe: Probe,
    packages: &'static [&'static str],
    purpose: &'static str,
    goals: &'static [(Goal, Need)],
}

use Goal::{Beside, Build, Demo, Dist, Fallback, Mount, Test, Windows, Wine};
use Need::{Optional, Required};
use Probe::{File, Libclang, Program, StaticBusybox, SystemRustc, WasmLinker};

const fn row(
    probe: Probe,
    packages: &'static [&'static str],
    purpose: &'static str,
    goals: &'static [(Goal, Need)],
) -> Row {
    Row { probe, packages, purpose, goals }
}

const TESTED: &[(Goal, Need)] = &[(Test, Optional)];
const PACKED: &[(Goal, Need)] = &[(Dist, Optional), (Test, Optional)];
const FALLBACK: &[(Goal, Need)] = &[(Fallback, Required), (Test, Optional)];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(Program("cc"), &["gcc", "libc6-dev"], "links the binary",
        &[(Build, Required), (Mount, Required), (Beside, Required), (Demo, Required),
            (Test, Required), (Fallback, Required), (Dist, Required)]),
    row(Program("strip"), &["binutils"], "strips the binary that is packed", PACKED),
    row(Program("rpmbuild"), &["rpm"], "packs the rpm", PACKED),
    row(Program("debootstrap"), &["debootstrap"], "makes the bare system that the packages are tried on", PACKED),
    row(Program("rpmlint"), &["rpmlint"], "reads the rpm", PACKED),
    row(Program("systemd-analyze"), &["systemd"], "reads the units", PACKED),
    row(Program("wixl"), &["wixl"], "packs the msi", PACKED),
    row(Program("msiinfo"), &["msitools"], "reads the msi in tests", TESTED),
    row(Program("minisign"), &["minisign"], "signs the sums", PACKED),
    row(Program("zip"), &["zip"], "packs for Windows", &[(Dist, Optional)]),
    row(Program("fusermount3"), &["fuse3"], "mounts and unmounts for ordinary users",
        &[(Mount, Optional), (Beside, Optional), (Demo, Optional), (Test, Optional)]),
    row(Program("dockerd"), &["docker.io"], "the private Docker engine of tests and demo",
        &[(Demo, Optional), (Test, Optional)]),
    row(Program("podman"), &["podman", "runc"], "a second engine in tests", TESTED),
    row(StaticBusybox, &["busybox-static"], "the image of the containers of tests and demo",
        &[(Beside, Optional), (Demo, Optional), (Test, Optional)]),
    row(Program("named"), &["bind9"], "the name server of tests", TESTED),
    row(Program("dig"), &["bind9-dnsutils"], "asks it what is right", TESTED),
    row(Program("prometheus"), &["prometheus"], "what its provider is tested with", TESTED),
    row(Program("prometheus-node-exporter"), &["prometheus-node-exporter"], "what that one scrapes", TESTED),
    row(Program("prometheus-alertmanager"), &["prometheus-alertmanager"], "what that one tells of alerts", TESTED),
    row(Program("docker-registry"), &["docker-registry"], "the registry of images of tests", TESTED),
    row(Program("nats-server"), &["nats-server"], "a declared service, and the bus of a fleet, in tests", TESTED),
    row(Program("pdns_server"), &["pdns-server", "pdns-backend-sqlite3"], "a declared service in tests", TESTED),
    row(Program("sqlite3"), &["sqlite3"], "makes its database, and is what its own provider is tested with", TESTED),
    row(File("/usr/lib/postgresql/15/bin/initdb"), &["postgresql-15"], "what its provider is tested with", TESTED),
    row(Program("prometheus-pushgateway"), &["prometheus-pushgateway"], "a declared service in tests", TESTED),
    row(Program("syncthing"), &["syncthing"], "a declared service in tests", TESTED),
    row(Program("curl"), &["curl"], "asks these servers what the mount has to show", TESTED),
    row(Program("tar"), &["tar"], "reads the mount in tests", TESTED),
    row(Program("rg"), &["ripgrep"], "reads the mount in tests", TESTED),
    row(Program("rsync"), &["rsync"], "reads the mount in tests", TESTED),
    row(Program("jq"), &["jq"], "reads the mount in tests", TESTED),
    row(Program("vim"), &["vim"], "reads the mount in tests", TESTED),
    row(Program("git"), &["git"], "is led into a hostile directory of a mount in tests", TESTED),
    row(Program("hg"), &["mercurial"], "is led into one in tests", TESTED),
    row(Program("direnv"), &["direnv"], "is led into one in tests", TESTED),
    row(Program("gdb"), &["gdb"], "is led into one in tests", TESTED),
    row(Program("tmux"), &["tmux"], "is led into one in tests", TESTED),
    row(Program("make"), &["make"], "is led into one in tests", TESTED),
    row(Program("python3"), &["python3", "python3-venv"], "maps files of the mount, and runs an index of packages, in tests", TESTED),
    row(Program("inotifywait"), &["inotify-tools"], "watches the mount in tests", TESTED),
    row(Program("nfs-ls"), &["libnfs-utils"], "a client of the NFS back end in tests",
        &[(Test, Optional), (Wine, Optional)]),
    row(Program("cpio"), &["cpio"], "packs that machine's first file system", TESTED),
    row(Program("dumpcap"), &["wireshark-common"], "captures what the NFS tests send", TESTED),
    row(Program("tshark"), &["tshark"], "checks the frames that the NFS back end sends", TESTED),
    row(Program("entr"), &["entr"], "watches the mount in tests", TESTED),
    row(File("/usr/lib/python3/dist-packages/watchdog/__init__.py"), &["python3-watchdog"],
        "watches the mount in tests", TESTED),
    row(Program("tail"), &["coreutils"], "follows files of the mount in tests", TESTED),
    row(Program("find"), &["findutils"], "walks the mount in tests", TESTED),
    row(Program("npm"), &["npm"], "fetches the services' descriptions and examples, two servers for agents and a registry for tests", TESTED),
    row(Program("node"), &["nodejs"], "runs those servers in tests", TESTED),
    row(SystemRustc, &["rustc-web"], "compiles components by the fallback", FALLBACK),
    row(File("/usr/bin/cargo"), &["cargo-web"], "builds components by the fallback", FALLBACK),
    row(File("/usr/lib/rustlib/src/rust/library/std/Cargo.toml"), &["rust-web-src"],
        "the standard library's source for the fallback", FALLBACK),
    // The linker must read what rustc-web's LLVM writes; Debian's plain `lld` is years older.
    row(WasmLinker, &["lld-22"], "links components by the fallback", FALLBACK),
    row(Program("x86_64-w64-mingw32-gcc"), &["gcc-mingw-w64-x86-64-posix"],
        "compiles C for Windows", &[(Windows, Optional), (Wine, Optional)]),
    row(File("/usr/x86_64-w64-mingw32/include/windows.h"), &["mingw-w64-x86-64-dev"],
        "Windows's headers", &[(Windows, Optional), (Wine, Optional)]),
    row(Libclang, &["libclang-dev"], "reads WinFsp's headers", &[(Windows, Optional)]),
    row(File("/usr/lib/wine/wine64"), &["wine64"], "runs programs for Windows", &[(Wine, Optional)]),
];

/// Rust 1.x that the providers need, as their Cargo.toml says.
const RUSTC: u32 = 95;

/// `95` of `rustc 1.95.0 (hash date)`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

impl Row {
    fn present(&self) -> bool {
        match self.probe {
            Program(name) => program(name).is_some(),
            File(path) => Path::new(path).exists(),
            SystemRustc => {
                let version = step::ask(Command::new("/usr/bin/rustc").arg("--version"));
                version.and_then(|text| minor(&text)).is_some_and(|minor| minor >= RUSTC)
            }
            #[cfg(target_os = "linux")]
            StaticBusybox => omnifs_support::engine::static_busybox().is_some(),
            #[cfg(not(target_os = "linux"))]
            StaticBusybox => false,
            WasmLinker => crate::components::wasm_linker().is_some(),
            Libclang => crate::check::libclang().is_some(),
        }
    }

    fn need(&self, goal: Goal) -> Option<Need> {
        self.goals.iter().find(|(g, _)| *g == goal).map(|(_, need)| *need)
    }
}

/// Makes sure that `goal` can be reached: as root it installs what is missing, and only that; an
/// ordinary user is told in one line. Fails where something required is still missing; gives a
/// line for each optional thing that is.
pub fn need(goal: Goal) -> Result<Vec<String>> {
    let wanted = |row: &&Row| row.need(goal).is_some() && !row.present();
    let missing: Vec<&Row> = TABLE.iter().filter(wanted).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|row| row.packages).copied().collect();
    let by_hand = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    let apt = program("apt-get").is_some();
    if apt && is_root() {
        install(&packages);
    } else if apt {
        loud(&format!("this needs root, please run: sudo {by_hand}"));
    } else {
        loud(&format!("not a Debian or Ubuntu: install what they call {}", packages.join(" ")));
    }
    let mut left_out = Vec::new();
    for row in TABLE.iter().filter(wanted) {
        let line = format!("{} is missing ({})", row.packages.join(" "), row.purpose);
        match row.need(goal) {
            Some(Required) => bail!("{line}: run `sudo {by_hand}` and try again"),
            _ => left_out.push(line),
        }
    }
    Ok(left_out)
}

pub fn refresh_lists() {
    let update =
        step::run(apt().args(["update", "-q"]), "refreshing the package lists", minutes(5));
    if let Err(error) = update {
        say(&format!("{error:#}; going on with the lists as they are"));
    }
}

/// Installs packages without asking and without removing others. Failures show in what is still
/// missing afterwards.
fn install(packages: &[&str]) {
    let _guard = NoService::begin(packages);
    refresh_lists();
    let what = format!("installing {}", packages.join(" "));
    let all = step::run(apt().args(INSTALL).args(packages), &what, minutes(15));
    if all.is_ok() || packages.len() == 1 {
        return;
    }
    // One package that this release does not have must not keep the others away.
    for package in packages {
        let what = format!("installing {package}");
        if let Err(error) = step::run(apt().args(INSTALL).arg(package), &what, minutes(10)) {
            loud(&format!("{error:#}"));
        }
    }
}

const INSTALL: &[&str] = &[
    "install",
    "-y",
    "-q",
    "--no-install-recommends",
    "--no-remove",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "Dpkg::Use-Pty=0",
];

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    // The answers go where the rest of the progress goes.
    command.stdout(std::io::stderr());
    command
}

/// Debian starts a service when its package is installed. The tests want a program and not a service of
/// the whole system, such as an engine that rewrites the machine's packet filter. So on a machine with
/// systemd the units are masked while their packages are installed. The mask lives in /run.
struct NoService(Vec<&'static str>);

/// Packages, and the units that each starts.
const SERVICES: [(&str, &[&str]); 11] = [
    ("docker.io", &["docker.service", "docker.socket", "containerd.service"]),
    ("podman", &["podman.service", "podman.socket", "podman-restart.service"]),
    ("bind9", &["named.service"]),
    ("docker-registry", &["docker-registry.service"]),
    ("nats-server", &["nats-server.service"]),
    ("pdns-server", &["pdns.service"]),
    ("postgresql-15", &["postgresql.service"]),
    ("prometheus", &["prometheus.service"]),
    ("prometheus-alertmanager", &["prometheus-alertmanager.service"]),
    ("prometheus-pushgateway", &["prometheus-pushgateway.service"]),
    ("prometheus-node-exporter", &["prometheus-node-exporter.service"]),
];

impl NoService {
    fn begin(packages: &[&str]) -> NoService {
        let wanted = SERVICES.iter().filter(|(package, _)| packages.contains(package));
        let units: Vec<&str> = wanted.flat_map(|(_, units)| *units).copied().collect();
        let masked = !units.is_empty()
            && Path::new("/run/systemd/system").exists()
            && systemctl("mask", &units);
        NoService(if masked { units } else { Vec::new() })
    }
}

impl Drop for NoService {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            systemctl("unmask", &self.0);
            say(&format!(
                "installed and not started (systemctl start does that): {}",
                self.0.join(" ")
            ));
        }
    }
}

fn systemctl(verb: &str, units: &[&str]) -> bool {
    step::ask(Command::new("systemctl").args([verb, "--runtime"]).args(units)).is_some()
}

#[cfg(unix)]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_packages_a_purpose_and_a_goal() {
        for row in TABLE {
            assert!(!row.packages.is_empty() && !row.purpose.is_empty() && !row.goals.is_empty());
        }
    }

    #[test]
    fn a_package_whose_service_is_not_to_start_is_one_that_is_installed() {
        for (package, units) in SERVICES {
            assert!(TABLE.iter().any(|row| row.packages.contains(&package)), "{package}");
            assert!(!units.is_empty());
        }
    }

    #[test]
    fn the_minor_version_of_a_compiler_is_read_from_what_it_says() {
        assert_eq!(
            minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            Some(96)
        );
        assert_eq!(minor("rustc 1.63.0"), Some(63));
        assert_eq!(minor("something else"), None);
    }

    #[test]
    fn nothing_but_the_linker_is_required_to_run_the_tests() {
        let required: Vec<&str> = TABLE
            .iter()
            .filter(|row| matches!(row.need(Test), Some(Required)))
            .flat_map(|row| row.packages)
            .copied()
            .collect();
        assert_eq!(required, ["gcc", "libc6-dev"]);
    }
}
