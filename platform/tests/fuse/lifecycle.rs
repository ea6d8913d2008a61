//! Mounting, unmounting, and what a killed process leaves.

use crate::fixture::{
    Fixture, Killed, NOBODY, child, child_of, eventually, fuse_works, in_namespace, is_root,
    open_device_to_all, possible, public_program, role, runtime,
};
use omnifs_platform::fuse::{MountError, MountOptions, helper, mount};
use omnifs_platform::memory::{Memory, New, ROOT};
use omnifs_platform::mounting::{self, UnmountMode, mounted_at, prepare};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn one_file() -> std::sync::Arc<Memory> {
    let memory = Memory::new();
    memory.add(ROOT, "f", New::file("content\n")).unwrap();
    memory
}

/// In a child process: mounts, says so, and serves until its standard input ends.
fn serve(place: &Path) {
    let runtime = runtime();
    let options = MountOptions::default();
    let _mounted = mount(one_file(), place, &options, runtime.handle()).unwrap();
    println!("\nmounted");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// What it says afterwards is to be kept open, or it dies of saying it.
fn wait_until_mounted(child: &mut Killed) -> impl Sized + use<> {
    let mut said = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mounted = said.by_ref().map_while(Result::ok).any(|line| line == "mounted");
    assert!(mounted, "the child did not mount");
    said
}

#[test]
fn everything_is_given_back_when_it_is_forgotten_and_at_the_unmount() {
    let Some(mut fixture) = Fixture::new() else { return };
    let memory = fixture.memory.clone();
    for index in 0..2000 {
        memory.add(ROOT, &format!("{index}"), New::file("x")).unwrap();
    }
    // The kernel may forget what is closed at any time, so some are held open.
    let walk = |fixture: &Fixture| {
        let mut held = Vec::new();
        for entry in fs::read_dir(fixture.path("")).unwrap() {
            let mut file = File::open(entry.unwrap().path()).unwrap();
            assert_eq!(file.read_to_end(&mut Vec::new()).unwrap(), 1);
            if held.len() < 100 {
                held.push(file);
            }
        }
        assert!(memory.references() >= 100);
    };
    walk(&fixture);
    if possible(is_root(), "dropping the kernel's caches needs root") {
        eventually("the kernel forgets", || {
            fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
            memory.references() == 0
        });
    }
    eventually("what was read is closed", || memory.open_count() == 0);
    walk(&fixture);
    fixture.mounted.unmount(UnmountMode::Clean).unwrap();
    eventually("all references are back", || memory.references() == 0);
    assert_eq!(memory.open_count(), 0);
    fixture.runtime.block_on(fixture.mounted.ended());
}

#[test]
fn a_busy_mount_is_unmounted_lazily_or_by_force_only() {
    for how in [UnmountMode::Lazy, UnmountMode::Force] {
        let Some(mut fixture) = Fixture::with(one_file(), &MountOptions::default()) else { return };
        let mut held = File::open(fixture.path("f")).unwrap();
        let busy = fixture.mounted.unmount(UnmountMode::Clean).unwrap_err();
        assert!(matches!(busy, mounting::Error::Busy(_)), "{busy}");
        assert!(busy.hint().unwrap().contains("close what uses it"));
        fixture.mounted.unmount(how).unwrap();
        assert!(!prepare(fixture.directory.path()).unwrap());
        let mut content = String::new();
        let read = held.read_to_string(&mut content);
        match how {
            UnmountMode::Lazy => assert_eq!((read.unwrap(), &content[..]), (8, "content\n")),
            _ => assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::ENOTCONN)),
        }
        drop(held);
        fixture.runtime.block_on(fixture.mounted.ended());
        eventually("all references are back", || fixture.memory.references() == 0);
        assert_eq!(fixture.memory.open_count(), 0);
    }
}

#[test]
fn an_unmount_from_outside_ends_the_session_and_spares_the_next_mount() {
    let Some(fixture) = Fixture::with(one_file(), &MountOptions::default()) else { return };
    let path = fixture.path("");
    let status = Command::new("umount").arg(&path).status().unwrap();
    if !possible(status.success(), "umount needs root") {
        return;
    }
    fixture.runtime.block_on(fixture.mounted.ended());
    let options = MountOptions::default();
    let next = mount(one_file(), &path, &options, fixture.runtime.handle()).unwrap();
    drop(fixture.mounted);
    assert_eq!(fs::read(path.join("f")).unwrap(), b"content\n");
    drop(next);
}

#[test]
fn a_mount_point_that_does_not_serve_is_refused_with_what_to_do() {
    let Some(fixture) = Fixture::with(one_file(), &MountOptions::default()) else { return };
    let runtime = fixture.runtime.handle();
    let refuse = |path: &Path| {
        let error = mount(Memory::new(), path, &MountOptions::default(), runtime).unwrap_err();
        assert!(!error.to_string().contains('\n') && error.hint().is_some(), "{error}");
        let MountError::Mountpoint(error) = error else { panic!("{error}") };
        error
    };
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("file"), "").unwrap();
    assert!(matches!(refuse(&fixture.path("")), mounting::Error::Mounted(_)));
    assert!(matches!(refuse(&other.path().join("none")), mounting::Error::Missing(_)));
    assert!(matches!(refuse(&other.path().join("file")), mounting::Error::NotDirectory(_)));
    assert!(matches!(refuse(other.path()), mounting::Error::NotEmpty(_)));
    let link = other.path().join("link");
    std::os::unix::fs::symlink(fixture.directory.path(), &link).unwrap();
    assert!(matches!(refuse(&link), mounting::Error::Mounted(_)));
}

#[test]
fn what_a_killed_process_left_is_found_and_repaired() {
    if let Some(place) = role("serve") {
        return serve(&place);
    }
    if !fuse_works() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let kill_one = || {
        let name = "lifecycle::what_a_killed_process_left_is_found_and_repaired";
        let mut server = Killed(child(name, "serve", place).spawn().unwrap());
        let _said = wait_until_mounted(&mut server);
        assert_eq!(fs::read(place.join("f")).unwrap(), b"content\n");
        drop(server);
        eventually("the mount is dead", || fs::metadata(place).is_err());
        assert!(mounted_at(place).unwrap().dead());
    };
    kill_one();
    assert!(prepare(place).unwrap());
    assert!(!prepare(place).unwrap());
    // The next mount repairs by itself.
    kill_one();
    let runtime = runtime();
    let mounted = mount(one_file(), place, &MountOptions::default(), runtime.handle()).unwrap();
    assert_eq!(fs::read(place.join("f")).unwrap(), b"content\n");
    drop(mounted);
    assert!(!prepare(place).unwrap());
}

/// The helper mounts for the user; nobody else gets in, root included.
#[test]
fn an_ordinary_user_mounts_through_fusermount3_and_others_stay_out() {
    if let Some(place) = role("serve as a user") {
        return serve(&place);
    }
    let name = "lifecycle::an_ordinary_user_mounts_through_fusermount3_and_others_stay_out";
    let Some(home) = role("namespace") else {
        let needed = is_root() && helper().is_some();
        if possible(needed, "needs root, to become another user, and fusermount3") && fuse_works() {
            let home = tempfile::tempdir_in("/tmp").unwrap();
            in_namespace(name, "namespace", home.path());
        }
        return;
    };
    open_device_to_all(&home);
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let place = home.join("mount");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    let program = public_program(&home);
    let mut command = child_of(&program, name, "serve as a user", &place);
    let mut server = Killed(command.uid(NOBODY).gid(NOBODY).spawn().unwrap());
    let _said = wait_until_mounted(&mut server);
    let cat = |user| Command::new("cat").arg(place.join("f")).uid(user).gid(user).output().unwrap();
    let own = cat(NOBODY);
    assert_eq!(own.stdout, b"content\n", "{own:?}");
    for other in [0, 12_345] {
        let refused = cat(other);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("Permission denied"), "uid {other}: {refused:?}");
    }
    let table = fs::read_to_string("/proc/mounts").unwrap();
    let point = format!(" {} ", place.display());
    let line = table.lines().find(|line| line.contains(&point)).unwrap();
    assert!(line.starts_with("omnifs ") && line.contains(" fuse.omnifs "), "{line}");
    let options = ["nosuid", "nodev", "noexec", "noatime"];
    assert!(options.iter().all(|option| line.contains(option)), "{line}");
    // Its end is clean: it unmounts through the helper too.
    drop(server.0.stdin.take());
    assert!(server.0.wait().unwrap().success());
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}

#[test]
fn a_user_who_may_not_let_others_in_is_told_the_line_to_add() {
    if let Some(place) = role("allow others") {
        let options = MountOptions { allow_other: true, ..MountOptions::default() };
        let error = mount(one_file(), &place, &options, runtime().handle()).unwrap_err();
        assert!(matches!(error, MountError::AllowOther), "{error}");
        assert!(error.to_string().contains("user_allow_other"));
        return;
    }
    let needed = is_root() && helper().is_some() && !omnifs_platform::fuse::user_allow_other();
    if !possible(needed, "needs root, fusermount3, and no user_allow_other") || !fuse_works() {
        return;
    }
    let home = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = home.path().join("mount");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    let program = public_program(home.path());
    let name = "lifecycle::a_user_who_may_not_let_others_in_is_told_the_line_to_add";
    let output =
        child_of(&program, name, "allow others", &place).uid(NOBODY).gid(NOBODY).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The options of the mount on `point`, as the process sees it.
fn options_seen_by(process: u32, point: &Path) -> Option<String> {
    let table = fs::read_to_string(format!("/proc/{process}/mountinfo")).ok()?;
    let point = point.to_str()?;
    let mut rows = table.lines().map(|row| row.split(' ').collect::<Vec<_>>());
    rows.find(|row| row.get(4) == Some(&point)).map(|row| row[5].to_owned())
}

/// What a mount namespace is given of a new mount is what everybody sees: nobody may write to its pages.
#[test]
fn a_copy_of_the_mount_in_another_namespace_is_read_only_too() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount as attach, mount_change};
    let name = "lifecycle::a_copy_of_the_mount_in_another_namespace_is_read_only_too";
    let Some(home) = role("namespace") else {
        if fuse_works() && possible(is_root(), "mount namespaces need root") {
            let home = tempfile::tempdir().unwrap();
            in_namespace(name, "namespace", home.path());
        }
        return;
    };
    attach("none", &home, "tmpfs", MountFlags::NOSUID, None).unwrap();
    mount_change(&home, MountPropagationFlags::SHARED).unwrap();
    let mut other = Command::new("unshare");
    other.args(["--mount", "--propagation", "slave", "sleep", "60"]);
    let other = Killed(other.spawn().unwrap());
    let has_left = || {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
        let left = of(&other.0.id().to_string()).is_some_and(|other| Some(other) != of("self"));
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", other.0.id()));
        left && table.is_ok_and(|table| table.contains("master:"))
    };
    eventually("the other namespace", has_left);
    let point = home.join("mnt");
    fs::create_dir(&point).unwrap();
    let runtime = runtime();
    let options = MountOptions { allow_other: true, ..MountOptions::default() };
    let mounted = mount(one_file(), &point, &options, runtime.handle()).unwrap();
    let is_read_only = |process| {
        let seen = options_seen_by(process, &point);
        seen.is_some_and(|options| options.split(',').any(|option| option == "ro"))
    };
    assert!(is_read_only(std::process::id()));
    eventually("it is passed on", || options_seen_by(other.0.id(), &point).is_some());
    assert!(is_read_only(other.0.id()));
    drop(mounted);
}

/// What was written by whoever writes to the service is nobody's, and no program by itself.
#[test]
fn files_are_nobodys_and_no_program_runs_by_its_name_unless_asked() {
    use std::os::unix::fs::MetadataExt;
    let memory = Memory::new();
    memory.add(ROOT, "tool", New::Executable(b"#!/bin/sh\necho ran\n"[..].into())).unwrap();
    let run = |options: &MountOptions| {
        let fixture = Fixture::with(memory.clone(), options)?;
        let found = fs::metadata(fixture.path("tool")).unwrap();
        assert_ne!(found.uid(), rustix::process::geteuid().as_raw());
        assert_ne!(
            fs::metadata(fixture.path("")).unwrap().uid(),
            rustix::process::geteuid().as_raw()
        );
        Some(Command::new(fixture.path("tool")).output().map(|output| output.stdout))
    };
    let Some(refused) = run(&MountOptions::default()) else { return };
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
    let allowed = run(&MountOptions { exec: true, ..MountOptions::default() }).unwrap();
    assert_eq!(allowed.unwrap(), b"ran\n");
}

/// Root mounts where another user may write above. Whichever way the path leads at each moment, what was
/// found empty is what is mounted on, and the same mount is what is unmounted.
#[test]
fn a_mount_point_whose_parent_is_swapped_all_the_time_is_the_directory_that_was_judged() {
    if !possible(is_root(), "only root mounts past fusermount3") || !fuse_works() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let base = base.path().canonicalize().unwrap();
    fs::create_dir_all(base.join("own/m")).unwrap();
    fs::create_dir_all(base.join("other/m")).unwrap();
    fs::write(base.join("other/m/precious"), "").unwrap();
    // The same directory whatever it is called.
    let other = File::open(base.join("other")).unwrap();
    let held = format!("/proc/self/fd/{}", other.as_raw_fd());
    let stop = AtomicBool::new(false);
    let runtime = runtime();
    let mut mounted = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + Duration::from_secs(180);
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                let (own, other) = (base.join("own"), base.join("other"));
                renameat_with(CWD, own, CWD, other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let ours = || {
            let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let base = base.display().to_string();
            table.lines().filter(|line| line.contains(&base)).count()
        };
        let end = Instant::now() + Duration::from_secs(60);
        while mounted < 20 && Instant::now() < end {
            let options = MountOptions::default();
            if let Ok(mut served) =
                mount(one_file(), &base.join("own/m"), &options, runtime.handle())
            {
                mounted += 1;
                let precious = Path::new(&held).join("m/precious").exists();
                eventually("an unmount", || served.unmount(UnmountMode::Force).is_ok());
                assert!(precious, "what holds something was covered");
            }
            assert_eq!(ours(), 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(mounted > 0);
}
