//! Directories that cannot be written: full, read-only, missing, or shared by two mounts. Each is one line that
//! says what to do next, and nothing stays mounted or half written.
#![cfg(target_os = "linux")]

mod cli;

use cli::{Home, Ran, until};
use omnifs_platform::mounting;
use omnifs_support::{Omnifs, skip, wait_until};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const XDG: [&str; 4] = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"];
const NOTHING: &str = "[instances.docker]\nenabled = false\n[instances.github]\nenabled = false\n\
                       [instances.linear]\nenabled = false\n";

/// A home whose mounts hold nothing, and load no component.
fn home() -> Home {
    let home = Home::new();
    home.config(NOTHING);
    home
}

/// Small disks need root, and mounts what they need.
fn available(test: &str, mounts: bool) -> bool {
    let reason = match rustix::process::geteuid().is_root() {
        false => Some("a disk of its own needs root".to_owned()),
        true if mounts => Omnifs::unavailable(),
        true => None,
    };
    reason.inspect(|reason| skip(test, reason)).is_none()
}

/// A tmpfs over a directory of the home.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf, options: &str) -> Disk {
        let options = CString::new(format!("mode=0700,{options}")).unwrap();
        mount("none", &at, "tmpfs", MountFlags::NOSUID, &*options).unwrap();
        Disk(at)
    }

    fn read_only(&self) {
        mount_remount(&self.0, MountFlags::RDONLY, c"").unwrap();
    }

    /// Leaves room for no byte, though for names.
    fn fill(&self) {
        let zero = fs::File::open("/dev/zero").unwrap();
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        let error = std::io::copy(&mut &zero, &mut file).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// One line of an error and one that says what to do, and nothing is mounted.
#[track_caller]
fn fails(home: &Home, ran: &Ran, code: i32, error: &str, hint: &str) {
    ran.fails(code, error, hint);
    let said = ran.stderr.lines().filter(|line| !line.contains(" ERROR "));
    assert_eq!(said.count(), 2, "{ran:?}");
    assert!(mounting::mounted_at(&home.path("mnt")).is_none(), "{ran:?}");
}

#[test]
fn a_full_disk_leaves_the_configuration_as_it_was() {
    if !available("full_configuration", false) {
        return;
    }
    let home = home();
    let disk = Disk::new(home.path("config"), "size=64k");
    fs::create_dir(home.path("config/omnifs")).unwrap();
    home.config(NOTHING);
    disk.fill();
    let ran = home.run(["providers", "remove", "github"]);
    fails(&home, &ran, 2, "No space left", "make room on the disk that holds");
    assert_eq!(cli::text(&home.config_file()), NOTHING);
    assert_eq!(files(&home.path("config/omnifs")), ["config.toml"]);
}

#[test]
fn a_disk_without_room_for_a_log_is_said_with_what_to_do() {
    if !available("full_state", false) {
        return;
    }
    let home = home();
    // One inode: the root.
    let _disk = Disk::new(home.path("state"), "nr_inodes=1");
    for arguments in [&["mount", "mnt"][..], &["mount", "--foreground", "mnt"], &["serve", "nfs"]] {
        let ran = home.run(arguments);
        fails(&home, &ran, 1, "No space left", "make room on the disk that holds");
    }
    assert_eq!(files(&home.path("state")), [""; 0]);
}

#[test]
fn a_mount_without_room_for_its_record_serves_is_ended_and_the_doctor_says_why() {
    if !available("full_record", true) {
        return;
    }
    let home = home();
    home.run(["doctor"]);
    let disk = Disk::new(home.path("state"), "size=64k");
    disk.fill();
    let ran = home.run(["mount", "mnt"]);
    assert!(ran.code == 0 && ran.stderr.contains("until there is room"), "{ran:?}");
    let doctor = home.run(["doctor"]);
    let row = doctor.stdout.lines().find(|line| line.contains("the state directory")).unwrap();
    assert!(row.starts_with("BAD") && row.contains("No space left"), "{row}");
    assert!(doctor.stdout.contains("make room on the disk"), "{doctor:?}");
    // Without a record the mount is found by its mountpoint.
    home.run(["unmount", "mnt"]).works();
    assert!(mounting::mounted_at(&home.path("mnt")).is_none());
}

#[test]
fn a_read_only_state_directory_is_said_with_what_to_do_and_what_only_reads_works() {
    if !available("read_only_state", false) {
        return;
    }
    let home = home();
    let disk = Disk::new(home.path("state"), "size=64k");
    fs::create_dir(home.path("state/omnifs")).unwrap();
    disk.read_only();
    for arguments in [
        &["mount", "mnt"][..],
        &["mount", "--foreground", "mnt"],
        &["serve", "nfs"],
        &["demo", "mnt"],
    ] {
        let ran = home.run(arguments);
        fails(&home, &ran, 1, "Read-only", "set XDG_STATE_HOME to a directory");
    }
    let doctor = home.run(["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("mounted read-only"), "{doctor:?}");
    assert_eq!(home.run(["status"]).code, 3);
    home.run(["config", "check"]).works();
    home.run(["providers", "list"]).works();
}

#[test]
fn a_home_that_does_not_exist_is_not_made_and_is_named() {
    let home = home();
    let absent = home.path("absent");
    let run = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        for name in XDG {
            command.env_remove(name);
        }
        cli::ran(command.env("HOME", &absent).output().unwrap())
    };
    let mount = home.path("mnt");
    let mount = mount.to_str().unwrap();
    for arguments in [&["mount", mount][..], &["mount", "--foreground", mount], &["serve", "nfs"]] {
        let ran = run(arguments);
        let named = format!("HOME is {}, which does not exist", absent.display());
        fails(&home, &ran, 1, "does not exist", &named);
    }
    let ran = run(&["providers", "remove", "docker"]);
    fails(&home, &ran, 2, "cannot write the configuration", "set HOME to a directory of your own");
    assert_eq!(run(&["status"]).code, 3);
    assert!(!absent.exists(), "a mistake in HOME makes no directory");
}

#[test]
fn without_home_the_users_own_is_taken_or_named_as_missing() {
    if !available("no_home", false) {
        return;
    }
    /// Of Debian's user `nobody`, and of nobody at all.
    const NOBODY: (u32, &str) = (65_534, "/nonexistent, which does not exist: set HOME");
    const NAMELESS: (u32, &str) = (54_321, "set HOME to a directory");
    for (user, hint) in [NOBODY, NAMELESS] {
        let home = home();
        let mount = home.path("mnt");
        let mut command = home.command_as(user, &["mnt"], ["mount", mount.to_str().unwrap()]);
        for name in XDG {
            command.env_remove(name);
        }
        let ran = cli::ran(command.env_remove("HOME").output().unwrap());
        fails(&home, &ran, 1, "home directory", hint);
    }
}

#[test]
fn of_two_mounts_that_start_at_once_at_one_mountpoint_one_wins_and_the_other_says_so() {
    if !available("two_at_once", true) {
        return;
    }
    let home = home();
    let start = || {
        let mut command = home.command(["mount", "mnt"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()].map(|child| cli::ran(child.wait_with_output().unwrap()));
    let (won, lost): (Vec<&Ran>, Vec<&Ran>) = both.iter().partition(|ran| ran.code == 0);
    assert_eq!((won.len(), lost.len()), (1, 1), "{both:?}");
    lost[0].fails(4, "already mounted at", "unmount it first: omnifs unmount");
    assert!(home.run(["status"]).works().contains("mnt  (omnifs"));
    home.run(["unmount", "mnt"]).works();
    assert!(mounting::mounted_at(&home.path("mnt")).is_none());
    // The daemon ends a moment after its mount.
    let left = || files(&home.path("state/omnifs/mounts"));
    let gone = || left().iter().all(|name| name.ends_with(".lock")).then_some(());
    assert!(wait_until(Duration::from_secs(60), gone).is_some(), "{:?}", left());
}

#[test]
fn two_mounts_share_a_state_and_two_states_no_mountpoint() {
    if !available("two_mounts", true) {
        return;
    }
    let (home, other) = (home(), Home::new());
    other.config(NOTHING);
    fs::create_dir(home.path("second")).unwrap();
    for name in ["mnt", "second"] {
        home.run(["mount", name]).works();
    }
    let text = home.run(["status"]).works().to_owned();
    assert_eq!(text.lines().filter(|line| line.contains("(omnifs")).count(), 2, "{text}");
    for foreground in [&[][..], &["--foreground"]] {
        let at = home.path("mnt");
        let arguments = [&["mount", at.to_str().unwrap()][..], foreground].concat();
        other.run(arguments).fails(4, "omnifs is already mounted at", "omnifs unmount /");
    }
    home.run(["unmount", "--all"]).works();
    until("the end of both", || home.run(["status"]).code == 3);
    for name in ["mnt", "second"] {
        assert!(mounting::mounted_at(&home.path(name)).is_none());
    }
}

/// What mount(8) finds in fstab, through the program that it calls.
#[test]
fn an_unknown_option_of_fstab_is_one_line_with_what_to_write() {
    let home = home();
    let helper = home.path("mount.omnifs");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_omnifs"), &helper).unwrap();
    for (options, says) in [
        ("rw,nofail,watch_event=no", "unknown option 'watch_event': did you mean 'watch_events'?"),
        ("defaults,colour=red", "unknown option 'colour': remove it, or write one of"),
        ("config", "write a value: config=..."),
    ] {
        let mut command = Command::new(&helper);
        home.environment(&mut command).arg("omnifs").arg(home.path("mnt")).args(["-o", options]);
        let ran = cli::ran(command.output().unwrap());
        assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
        assert!(mounting::mounted_at(&home.path("mnt")).is_none());
    }
}
