//! Other users of the same machine.

use crate::{STRANGER, as_a_stranger, is_root, open_to_all};
use omnifs_support::{Omnifs, home, provider, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The control channel's socket of the only mount.
fn socket(omnifs: &Omnifs) -> PathBuf {
    let mounts = fs::read_dir(omnifs.path("state/omnifs/mounts")).expect("records");
    let mut paths = mounts.map(|entry| entry.expect("an entry").path());
    paths.find(|path| path.extension() == Some("sock".as_ref())).expect("a socket")
}

#[test]
fn ten_thousand_connections_of_another_user_do_not_keep_the_owner_waiting() {
    let test = "ten_thousand_connections_of_another_user_do_not_keep_the_owner_waiting";
    let (true, Some(omnifs)) = (is_root(test), home(test)) else { return };
    let mounted = omnifs.mount(&provider("hello")).expect("mount");
    let socket = socket(&omnifs);
    let refused = |expected: &str| {
        let socket = socket.clone();
        let mut held = as_a_stranger(move || {
            let mut held = Vec::new();
            for _ in 0..10_000 {
                if let Ok(stream) = UnixStream::connect(&socket) {
                    held.push(stream);
                }
                // What was closed at once needs no descriptor of this process.
                if held.len() > 200 {
                    held.remove(0);
                }
            }
            held
        });
        let begun = Instant::now();
        let status = mounted.status().expect("status");
        let took = begun.elapsed();
        println!("status with strangers' connections ({expected}): {took:?}");
        assert!(status["mountpoint"].is_string() || status["mount"].is_object(), "{status}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        if let Some(stream) = held.last_mut() {
            // Closed without a word.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: omnifs\r\n\r\n");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        }
        held.len()
    };
    // As it is: nobody gets as far as the socket.
    assert_eq!(refused("private"), 0);
    // Where the user has opened all of it, each connection is closed.
    open_to_all(socket.clone());
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("chmod");
    assert!(refused("opened to all") > 0);
}

/// A home directory that belongs to somebody else, as `sudo -E` leaves it, with what he has planted.
struct Planted {
    home: tempfile::TempDir,
    victim: std::process::Child,
    outside: tempfile::TempDir,
}

impl Planted {
    fn new() -> Planted {
        let home = tempfile::tempdir_in("/tmp").expect("a home");
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("secret"), "the shadow of root\n").expect("a secret");
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let state = home.path().join(".local/state/omnifs");
        fs::create_dir_all(state.join("mounts")).expect("directories");
        fs::create_dir(home.path().join("mnt")).expect("a mountpoint");
        symlink(outside.path(), state.join("logs")).expect("a link");
        let victim = Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().expect("sleep");
        let at = home.path().join("mnt");
        let key = omnifs::control::key(&at);
        let record = omnifs::control::Record {
            pid: victim.id(),
            mountpoint: at.display().to_string(),
            channel: state.join("mounts").join(format!("{key}.sock")),
            log: outside.path().join("secret"),
        };
        let record = serde_json::to_vec(&record).expect("JSON");
        fs::write(state.join("mounts").join(format!("{key}.json")), record).expect("a record");
        fs::write(state.join("mounts").join(format!("{key}.lock")), "").expect("a lock");
        let planted = Planted { home, victim, outside };
        for path in planted.all() {
            lchown(path, Some(STRANGER), Some(STRANGER)).expect("chown");
        }
        planted
    }

    fn all(&self) -> Vec<PathBuf> {
        fn walk(path: &Path, all: &mut Vec<PathBuf>) {
            all.push(path.to_owned());
            if path.is_dir() && !path.is_symlink() {
                for entry in fs::read_dir(path).expect("a directory") {
                    walk(&entry.expect("an entry").path(), all);
                }
            }
        }
        let mut all = Vec::new();
        walk(self.home.path(), &mut all);
        all
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omnifs"));
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.current_dir(self.home.path()).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("omnifs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout) + &text(output.stderr))
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

#[test]
fn root_in_another_users_home_believes_changes_and_ends_nothing() {
    if !is_root("root_in_another_users_home_believes_changes_and_ends_nothing") {
        return;
    }
    let mut planted = Planted::new();
    // The planted record counts as a live one: its lock is held.
    let key = omnifs::control::key(&planted.home.path().join("mnt"));
    let lock = planted.home.path().join(format!(".local/state/omnifs/mounts/{key}.lock"));
    let lock = fs::File::open(lock).expect("the lock");
    lock.lock().expect("flock");
    let before = planted.all();
    let modes = |planted: &Planted| {
        let all = planted.all();
        let found = all.iter().map(|path| fs::symlink_metadata(path).expect("stat"));
        found.map(|found| (found.mode(), found.uid())).collect::<Vec<_>>()
    };
    let modes_before = modes(&planted);
    let outside = |planted: &Planted| {
        let mode = fs::metadata(planted.outside.path()).expect("stat").mode() & 0o7777;
        (mode, fs::read_dir(planted.outside.path()).expect("a directory").count())
    };
    assert_eq!(outside(&planted), (0o755, 1));
    for arguments in [
        &["status"][..],
        &["logs"],
        &["logs", "mnt"],
        &["unmount", "--force", "mnt"],
        &["mount", "mnt"],
        &["mount", "mnt", "--foreground"],
        &["refresh", "mnt"],
        &["doctor"],
        &["providers", "remove", "docker"],
        &["config", "show"],
        &["serve", "nfs"],
    ] {
        let (code, said) = planted.run(arguments);
        assert_ne!(code, 0, "{arguments:?}: {said}");
        assert!(said.contains("belongs to user 54321"), "{arguments:?}: {said}");
        assert!(said.contains("sudo -H"), "{arguments:?}: {said}");
        assert!(!said.contains("the shadow of root"), "{arguments:?}: {said}");
        assert!(planted.victim.try_wait().expect("wait").is_none(), "{arguments:?} ended it");
    }
    assert_eq!((planted.all(), modes(&planted)), (before, modes_before));
    assert_eq!(outside(&planted), (0o755, 1));
}

#[test]
fn a_link_below_an_own_home_that_another_user_made_is_not_followed() {
    let test = "a_link_below_an_own_home_that_another_user_made_is_not_followed";
    let (true, Some(omnifs)) = (is_root(test), home(test)) else { return };
    let elsewhere = tempfile::tempdir().expect("a directory");
    // As a first run under another identity, or a sticky directory, leaves room for.
    fs::remove_dir_all(omnifs.path("state")).expect("rm");
    symlink(elsewhere.path(), omnifs.path("state")).expect("a link");
    lchown(omnifs.path("state"), Some(STRANGER), Some(STRANGER)).expect("chown");
    let ran = omnifs.run(&["status"]).expect("status");
    assert!(!ran.status.success() && ran.stderr.contains("belongs to user 54321"), "{ran:?}");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("a directory").count(), 0);
}

#[test]
fn a_configuration_of_another_user_is_refused_wherever_it_lies() {
    let test = "a_configuration_of_another_user_is_refused_wherever_it_lies";
    let (true, Some(omnifs)) = (is_root(test), home(test)) else { return };
    let file = omnifs.path("other.toml");
    fs::write(&file, "[cache]\nnodes = 1000\n").expect("write");
    let show = || {
        let name = file.display().to_string();
        let ran = omnifs.run(&["--config", &name, "config", "show"]).expect("config show");
        (ran.status.code(), ran.stdout + &ran.stderr)
    };
    assert_eq!(show().0, Some(0));
    lchown(&file, Some(STRANGER), None).expect("chown");
    let (code, said) = show();
    assert!(code == Some(2) && said.contains("belongs to user 54321"), "{said}");
    lchown(&file, Some(0), None).expect("chown");
    // One whose directory anybody may write can be swapped at any time.
    let shared = omnifs.path("shared");
    fs::create_dir(&shared).expect("mkdir");
    fs::rename(&file, shared.join("other.toml")).expect("mv");
    symlink(shared.join("other.toml"), &file).expect("a link");
    assert_eq!(show().0, Some(0));
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("chmod");
    let (code, said) = show();
    assert!(code == Some(2) && said.contains("can be written by other users"), "{said}");
}

#[test]
fn a_record_with_the_number_of_another_process_does_not_have_it_ended() {
    let test = "a_record_with_the_number_of_another_process_does_not_have_it_ended";
    let Some(omnifs) = home(test) else { return };
    let registry = omnifs::control::Registry::new(omnifs.path("state/omnifs/mounts"));
    let at = omnifs.mount_point();
    let claim = registry.claim(&at).expect("the claim");
    let mut victim = Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().expect("sleep");
    let record = omnifs::control::Record {
        pid: victim.id(),
        mountpoint: at.display().to_string(),
        channel: omnifs.path("none.sock"),
        log: omnifs.path("log"),
    };
    claim.publish(&record).expect("a record");
    let point = at.display().to_string();
    let ran = omnifs.run(&["unmount", "--force", &point]).expect("unmount");
    assert!(ran.stderr.contains("does not hold the mount's lock"), "{ran:?}");
    let ended = wait_until(Duration::from_millis(200), || victim.try_wait().expect("wait"));
    victim.kill().expect("kill");
    victim.wait().expect("wait");
    assert!(ended.is_none(), "it was ended");
}

#[test]
fn whoever_holds_the_lock_of_a_configuration_is_not_waited_for_for_ever() {
    let test = "whoever_holds_the_lock_of_a_configuration_is_not_waited_for_for_ever";
    let Some(omnifs) = home(test) else { return };
    omnifs.config("").expect("a configuration");
    let directory = fs::File::open(omnifs.path("config/omnifs")).expect("the directory");
    directory.lock().expect("flock");
    let ran = omnifs.run(&["providers", "remove", "docker"]).expect("within a minute");
    assert!(!ran.status.success() && ran.stderr.contains("try again"), "{ran:?}");
}

/// As a Kubernetes `emptyDir` is.
#[test]
fn what_others_may_write_is_believed_only_where_the_command_line_says_so() {
    let test = "what_others_may_write_is_believed_only_where_the_command_line_says_so";
    let Some(omnifs) = home(test) else { return };
    let shared = omnifs.path("state");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("chmod");
    let directory = shared.display().to_string();
    let omnifs = omnifs.env("OMNIFS_TRUST_PATH", &directory);
    let point = omnifs.mount_point().display().to_string();
    let hint = format!("--trust-path {directory}");
    for arguments in [&["status"][..], &["mount", &point], &["config", "show"]] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert!(!ran.status.success() && ran.stderr.contains(&hint), "{arguments:?}: {ran:?}");
    }
    let [flag, hello] = provider("hello");
    for arguments in [
        &["mount", &point, &flag, &hello, "--trust-path", &directory][..],
        &["--trust-path", &directory, "status", &point],
        &["unmount", &point, "--trust-path", &directory],
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.matches("warning: --trust-path").count(), 1, "{ran:?}");
    }
    let ran = omnifs.run(&["--trust-path", "/none", "status"]).expect("status");
    assert!(ran.status.code() == Some(2) && ran.stderr.contains("/none"), "{ran:?}");
    omnifs.config("trust-path = \"/\"\n").expect("a configuration");
    let ran = omnifs.run(&["--trust-path", &directory, "config", "check"]).expect("check");
    assert!(ran.stderr.contains("unknown key 'trust-path'"), "{ran:?}");
}

#[test]
fn a_cache_that_others_may_write_costs_a_warning_and_the_cache() {
    let test = "a_cache_that_others_may_write_costs_a_warning_and_the_cache";
    let Some(omnifs) = home(test) else { return };
    let cache = omnifs.path("cache");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("chmod");
    let warning = "warning: compiled components are not kept: ";
    let point = omnifs.mount_point().display().to_string();
    let [flag, hello] = provider("hello");
    for (arguments, warnings) in [
        (&["providers", "list"][..], 1),
        (&["mount", &point, &flag, &hello], 1),
        (&["status", &point], 0),
        (&["unmount", &point], 0),
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.matches(warning).count(), warnings, "{arguments:?}: {ran:?}");
    }
    assert_eq!(fs::read_dir(&cache).expect("the cache").count(), 0, "nothing is kept there");
}

#[test]
fn a_certificate_authority_of_another_user_is_not_believed() {
    let test = "a_certificate_authority_of_another_user_is_not_believed";
    let (true, Some(omnifs)) = (is_root(test), home(test)) else { return };
    let omnifs = omnifs.env("GITHUB_TOKEN", "no-token-of-anybody");
    let (config, ca) = (omnifs.path("c.toml"), omnifs.path("ca.pem"));
    fs::write(&ca, "no certificate\n").expect("ca.pem");
    let text = "[instances.github.endpoints.api]\nca-file = \"ca.pem\"\n";
    fs::write(&config, text).expect("c.toml");
    let (config, ca) = (config.display().to_string(), ca.display().to_string());
    let status = |more: &[&str]| {
        let arguments = [&["--config", &config, "auth", "status", "github"], more].concat();
        let ran = omnifs.run(&arguments).expect("within a minute");
        ran.stdout + &ran.stderr
    };
    assert!(!status(&[]).contains("ca-file"), "{}", status(&[]));
    lchown(&ca, Some(STRANGER), None).expect("chown");
    let said = status(&[]);
    assert!(said.contains("belongs to user 54321") && said.contains("ca.pem"), "{said}");
    let said = status(&["--trust-path", &ca]);
    assert!(said.contains("github") && !said.contains("ca-file"), "{said}");
}

/// It is not entered either: nobody serves this one, so that whoever asks it for a name waits for ever.
#[test]
fn a_path_in_a_mount_of_another_user_is_said_to_be_his() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    use std::os::fd::AsRawFd;
    let test = "a_path_in_a_mount_of_another_user_is_said_to_be_his";
    let (true, Some(omnifs)) = (is_root(test), home(test)) else { return };
    let device = fs::File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
    let options = format!(
        "fd={},rootmode=40000,user_id={STRANGER},group_id={STRANGER},allow_other",
        device.as_raw_fd()
    );
    let options = std::ffi::CString::new(options).expect("no zero");
    let at = omnifs.mount_point();
    mount("omnifs", &at, "fuse.omnifs", MountFlags::empty(), options.as_c_str()).expect("mount");
    let below = at.join("hub/x").display().to_string();
    let ran = [&["status", &below][..], &["refresh", &below], &["metrics", &below]]
        .map(|arguments| omnifs.run(arguments));
    drop(device);
    unmount(&at, UnmountFlags::DETACH).expect("unmount");
    for ran in ran {
        let ran = ran.expect("within a minute");
        assert_eq!(ran.status.code(), Some(3), "{ran:?}");
        assert!(ran.stderr.contains("is in a mount of user 54321"), "{ran:?}");
    }
}
