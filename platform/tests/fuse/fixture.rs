//! A [`Memory`] mounted in a temporary directory, and the child processes of the tests.

use omnifs_platform::fuse::{MountOptions, Mounted, check, mount};
use omnifs_platform::memory::Memory;
use omnifs_support::skip;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A user that owns nothing.
pub const NOBODY: u32 = 65_534;
/// Set for child processes: what to do, and where.
const ROLE: &str = "OMNIFS_TEST_ROLE";
const PLACE: &str = "OMNIFS_TEST_PLACE";

pub struct Fixture {
    pub memory: Arc<Memory>,
    pub mounted: Mounted,
    pub runtime: Runtime,
    pub directory: TempDir,
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Whether a test that needs `needs` can run; says it loudly if not.
pub fn possible(needs: bool, what: &str) -> bool {
    if !needs {
        let thread = std::thread::current();
        skip(thread.name().unwrap_or("a FUSE test"), what);
    }
    needs
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn fuse_works() -> bool {
    match check(false) {
        Ok(()) => true,
        Err(error) => possible(false, &error.to_string()),
    }
}

impl Fixture {
    /// `None` where FUSE does not work here.
    pub fn new() -> Option<Fixture> {
        Fixture::with(Memory::new(), &MountOptions::default())
    }

    pub fn with(memory: Arc<Memory>, options: &MountOptions) -> Option<Fixture> {
        if !fuse_works() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = runtime();
        let mounted = mount(memory.clone(), directory.path(), options, runtime.handle()).unwrap();
        Some(Fixture { memory, mounted, runtime, directory })
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
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

/// This test program again, to play a role: its test `name` is run, and finds [`role`].
pub fn child(name: &str, role: &str, place: &Path) -> Command {
    child_of(&std::env::current_exe().unwrap(), name, role, place)
}

pub fn child_of(program: &Path, name: &str, role: &str, place: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(PLACE, place);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The place, in a child process with this role.
pub fn role(role: &str) -> Option<PathBuf> {
    let wanted = std::env::var(ROLE).is_ok_and(|given| given == role);
    if wanted { std::env::var_os(PLACE).map(PathBuf::from) } else { None }
}

/// A copy of this program that any user may run.
pub fn public_program(directory: &Path) -> PathBuf {
    let copy = directory.join("program");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// In a mount namespace of its own, makes the FUSE device one that any user may open, as it is on
/// most machines. Needs root.
pub fn open_device_to_all(directory: &Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    use rustix::mount::{MountFlags, mount, mount_bind};
    let device = directory.join("dev");
    fs::create_dir(&device).unwrap();
    mount("none", &device, "tmpfs", MountFlags::NOSUID, None).unwrap();
    let node = device.join("fuse");
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, &node, FileType::CharacterDevice, mode, makedev(10, 229)).unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o666)).unwrap();
    mount_bind(&node, "/dev/fuse").unwrap();
}

/// Runs the test `name` again as `role` in a new mount namespace, and asserts that it passes.
pub fn in_namespace(name: &str, role: &str, place: &Path) {
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let output = command.env(ROLE, role).env(PLACE, place).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Kills the child when dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
