//! Who comes from outside into a mount that lets others in.

use crate::fixture::{
    Fixture, Killed, NOBODY, child_of, fuse_works, in_namespace, is_root, open_device_to_all,
    possible, public_program, role, runtime,
};
use omnifs_platform::fuse::{MountOptions, helper, mount};
use omnifs_platform::memory::{Memory, New, ROOT};
use rustix::mount::mount_bind;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Neither root nor whoever mounts, nor the owner of what is shown.
const OTHER: u32 = 12_345;

fn one_file() -> Arc<Memory> {
    let memory = Memory::new();
    memory.add(ROOT, "f", New::file("content\n")).unwrap();
    memory
}

/// The other user reads the file, and each way of writing ends as on a read-only file system.
#[track_caller]
fn other_may_only_read(at: &Path) {
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(at).env("LC_ALL", "C");
        command.uid(OTHER).gid(OTHER).output().unwrap()
    };
    let ways = [
        "echo x > f",
        "echo x >> f",
        "echo x > new",
        "echo x 1<> f",
        "mkdir d",
        "rm -f f",
        "mv f g",
        "ln -s f l",
        "chmod 777 f",
        "touch f",
        "truncate -s 1 f",
    ];
    for way in ways {
        let output = shell(way);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{way}");
        assert!(said.contains("Read-only file system"), "{way}: {said}");
        assert_eq!(shell("cat f").stdout, b"content\n", "{way}");
    }
}

#[test]
fn another_user_finds_a_read_only_file_system_in_a_mount_of_roots() {
    if !possible(is_root(), "needs root, to let others in and to become one") {
        return;
    }
    for watch_events in [false, true] {
        let options = MountOptions { allow_other: true, watch_events, ..MountOptions::default() };
        let Some(fixture) = Fixture::with(one_file(), &options) else { return };
        other_may_only_read(&fixture.path(""));
    }
}

/// In a child process, which is an ordinary user's: mounts, says so, and serves until its standard input ends.
fn serve(place: &Path) {
    let runtime = runtime();
    let options = MountOptions { allow_other: true, watch_events: true, ..MountOptions::default() };
    let _mounted = mount(one_file(), place, &options, runtime.handle()).unwrap();
    println!("\nmounted");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn another_user_finds_a_read_only_file_system_in_a_mount_of_an_ordinary_users() {
    if let Some(place) = role("let others in") {
        return serve(&place);
    }
    let name = "others::another_user_finds_a_read_only_file_system_in_a_mount_of_an_ordinary_users";
    let Some(home) = role("namespace") else {
        let conf = Path::new("/etc/fuse.conf").exists();
        let needed = is_root() && helper().is_some() && conf;
        if possible(needed, "needs root, fusermount3 and /etc/fuse.conf") && fuse_works() {
            let home = tempfile::tempdir_in("/tmp").unwrap();
            in_namespace(name, "namespace", home.path());
        }
        return;
    };
    open_device_to_all(&home);
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = home.join("fuse.conf");
    fs::write(&conf, "user_allow_other\n").unwrap();
    mount_bind(&conf, "/etc/fuse.conf").unwrap();
    let place = home.join("mount");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    let program = public_program(&home);
    let mut command = child_of(&program, name, "let others in", &place);
    let mut server = Killed(command.uid(NOBODY).gid(NOBODY).spawn().unwrap());
    // Held until the end: what it says of itself needs somebody who takes it.
    let mut said = BufReader::new(server.0.stdout.take().unwrap()).lines();
    assert!(said.by_ref().map_while(Result::ok).any(|line| line == "mounted"));
    other_may_only_read(&place);
    drop(server.0.stdin.take());
    assert!(server.0.wait().unwrap().success());
}
