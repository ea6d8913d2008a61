//! What the end-to-end tests stand on: a private Docker [`Engine`] and any other private [`Server`], the
//! built binary mounted on a private home ([`Omnifs`], [`Mounted`]), ordinary [`tools`] that read it, and a
//! [`Proxy`] that counts and disturbs the requests to a unix socket.
//!
//! Invariant: whatever a test starts here ends with the test process. A value's `Drop` stops it, also
//! when the test panics; a process that outlives a killed test gets a signal from the kernel
//! ([`tied`]); and what even that leaves behind is removed by the next run.

#[cfg(target_os = "linux")]
pub mod engine;
#[cfg(unix)]
pub mod http;
#[cfg(target_os = "linux")]
pub mod mount;
#[cfg(target_os = "linux")]
pub mod npm;
#[cfg(target_os = "linux")]
pub mod postgres;
#[cfg(unix)]
pub mod proxy;
#[cfg(target_os = "linux")]
pub mod pty;
#[cfg(target_os = "linux")]
pub mod python;
#[cfg(target_os = "linux")]
pub mod server;
pub mod skip;
#[cfg(target_os = "linux")]
mod sweep;
pub mod tasks;
#[cfg(target_os = "linux")]
pub mod tied;
#[cfg(unix)]
pub mod tools;
#[cfg(target_os = "linux")]
pub mod user;
pub mod wait;

#[cfg(target_os = "linux")]
pub use engine::{Container, Engine};
#[cfg(target_os = "linux")]
pub use mount::{Mounted, Omnifs, Ran, home};
#[cfg(unix)]
pub use proxy::{Fault, Proxy, Request};
#[cfg(target_os = "linux")]
pub use server::Server;
pub use skip::skip;
pub use wait::wait_until;

use std::path::{Path, PathBuf};

/// The first executable file called `program` on `PATH` or in the system directories that an
/// ordinary user's `PATH` leaves out.
pub fn program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file() || file.with_extension("exe").is_file()
}

/// Where the components built for tests are: `OMNIFS_COMPONENTS`, else the `components` folder of
/// the target directory that holds the running test. `None` when nothing was built there: the test
/// says so with [`skip`].
pub fn components() -> Option<PathBuf> {
    let given = std::env::var_os("OMNIFS_COMPONENTS").map(PathBuf::from);
    let directory = given.or_else(|| Some(target_directory()?.join("components")))?;
    let mut entries = std::fs::read_dir(&directory).ok()?;
    entries
        .any(|entry| entry.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "wasm")))
        .then_some(directory)
}

/// A component that `cargo xtask test` has built.
pub fn component(name: &str) -> PathBuf {
    let directory = components().expect("components are built: cargo xtask test");
    directory.join(format!("{name}.wasm"))
}

/// The arguments that mount [`component`] under its own name.
pub fn provider(name: &str) -> [String; 2] {
    ["--provider".into(), format!("{name}={}", component(name).display())]
}

/// The target directory above the running test (`TARGET/debug/deps/name-hash`).
pub fn target_directory() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    Some(test.ancestors().nth(3)?.to_owned())
}
