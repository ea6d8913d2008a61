//! The mount under a supervisor: what systemd is told, and what `omnifs service` leaves on a machine.

#![cfg(target_os = "linux")]

mod cli;

use cli::Home;
use omnifs_support::mount::{can_outlive, is_mounted};
use omnifs_support::{Omnifs, provider, skip, tied, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let read = socket.recv(&mut bytes).expect("the supervisor is told within a minute");
    String::from_utf8(bytes[..read].to_vec()).expect("text")
}

#[test]
fn systemd_is_told_of_the_start_of_the_end_and_that_the_mount_answers_meanwhile() {
    if let Some(reason) = Omnifs::unavailable().or_else(no_components) {
        return skip("service_notify", &reason);
    }
    let omnifs = Omnifs::new().expect("a home");
    omnifs.config(NOTHING).expect("a configuration");
    let socket = UnixDatagram::bind(omnifs.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a bound");
    let point = omnifs.path("mnt");
    let mut command = omnifs.command();
    command.args(["mount", "--foreground"]).args(provider("hello")).arg(&point);
    command.env("NOTIFY_SOCKET", omnifs.path("notify")).env("WATCHDOG_USEC", "300000");
    let mut mount = tied::spawn(command).expect("omnifs mount");
    let ready = heard(&socket);
    assert!(ready.starts_with("READY=1\nSTATUS=mounted at /"), "{ready}");
    let read = fs::read_to_string(point.join("hello/hello.txt"));
    assert_eq!(read.expect("it is mounted once it says so"), "Hello, world!\n");
    assert_eq!(heard(&socket), "WATCHDOG=1");
    assert_eq!(heard(&socket), "WATCHDOG=1");
    tied::signal(&mount, Signal::TERM);
    while heard(&socket) != "STOPPING=1" {}
    assert!(tied::wait(&mut mount, SOON).is_some_and(|status| status.success()));
    assert!(!is_mounted(&point));
}

/// As the units start it. systemd knows the process that keeps the mount, and hears of the one that serves it.
#[test]
fn a_mount_in_front_goes_on_when_its_process_is_killed_and_ends_when_it_is_told_to() {
    if let Some(reason) = Omnifs::unavailable().or_else(no_components) {
        return skip("service_kept", &reason);
    }
    if !can_outlive("service_kept") {
        return;
    }
    let omnifs = Omnifs::new().expect("a home");
    omnifs.config(NOTHING).expect("a configuration");
    let socket = UnixDatagram::bind(omnifs.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a bound");
    let point = omnifs.path("mnt");
    let program = omnifs.command();
    let mut command = Command::new("sh");
    command.arg("-c").arg("export WATCHDOG_PID=$$; exec \"$@\"").arg("sh");
    command.arg(program.get_program()).args(["mount", "--foreground", "--keeper"]);
    command.args(provider("hello")).arg(&point).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("NOTIFY_SOCKET", omnifs.path("notify")).env("WATCHDOG_USEC", "300000");
    let mut keeper = tied::spawn(command).expect("omnifs mount");
    let file = point.join("hello/hello.txt");
    let serving = || {
        let ran = omnifs.run(&["status", "--json", point.to_str()?]).ok()?;
        let status: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
        assert_eq!(status["mount"]["kept"], true, "{status}");
        i32::try_from(status["mount"]["pid"].as_i64()?).ok()
    };
    let mut before = i32::try_from(keeper.id()).expect("a pid");
    for round in 0..3 {
        while !heard(&socket).starts_with("READY=1\nSTATUS=mounted at /") {}
        let other = || serving().filter(|pid| *pid != before);
        let pid = wait_until(SOON, other).expect("another process serves it");
        let read = fs::read_to_string(&file);
        assert_eq!(read.expect("it goes on"), "Hello, world!\n", "round {round}");
        while heard(&socket) != "WATCHDOG=1" {}
        if round < 2 {
            kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("kill");
        }
        before = pid;
    }
    // In the moment in which nobody serves it too.
    kill_process(Pid::from_raw(before).expect("a pid"), Signal::KILL).expect("kill");
    tied::signal(&keeper, Signal::TERM);
    while heard(&socket) != "STOPPING=1" {}
    assert!(tied::wait(&mut keeper, SOON).is_some_and(|status| status.success()));
    assert!(!is_mounted(&point));
}

#[test]
fn mount_omnifs_mounts_once_and_says_in_one_line_what_is_wrong() {
    if let Some(reason) = Omnifs::unavailable().or_else(no_components) {
        return skip("mount_helper", &reason);
    }
    let omnifs = Omnifs::new().expect("a home");
    omnifs.config(NOTHING).expect("a configuration");
    let (helper, point) = (omnifs.path("mount.omnifs"), omnifs.path("mnt"));
    symlink(env!("CARGO_BIN_EXE_omnifs"), &helper).expect("a link");
    let [_, hello] = provider("hello");
    let run = |options: &str| {
        let mut command = Command::new(&helper);
        let whole = omnifs.command();
        command.envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output =
            command.arg("omnifs").arg(&point).args(["-o", options]).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.stdout, b"", "it prints nothing at boot");
        (output.status.code(), said)
    };
    let (code, said) = run("rw,alow_other");
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("did you mean 'allow_other'?"), "{said}");
    let (code, said) = run("config=/no/such/file");
    assert_eq!(code, Some(32), "{said}");
    let options = format!("rw,_netdev,allow_other,provider={hello}");
    assert_eq!(run(&options), (Some(0), String::new()));
    let read = fs::read_to_string(point.join("hello/hello.txt"));
    assert_eq!(run(&options).0, Some(0), "again");
    assert_eq!(read.expect("it is mounted"), "Hello, world!\n");
    assert!(omnifs.command().arg("unmount").arg(&point).status().expect("it runs").success());
    assert!(!is_mounted(&point));
}

/// A stand-in for systemctl that notes how it is called, and fails for one verb.
fn systemctl(home: &Home, fails: &str) -> std::path::PathBuf {
    let folder = home.path("bin");
    fs::create_dir_all(&folder).expect("a folder");
    let text = format!(
        "#!/bin/sh\necho \"$*\" >>'{}'\ncase \"$*\" in *{fails}*) echo no bus >&2; exit 1;; esac\n",
        home.path("calls").display()
    );
    let file = folder.join("systemctl");
    fs::write(&file, text).expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
    folder
}

#[test]
fn a_service_is_written_and_started_and_its_removal_leaves_nothing() {
    let home = Home::new();
    let unit = home.path("config/systemd/user/omnifs.service");
    let path = systemctl(&home, "nothing-fails");
    let run = |arguments: &[&str]| {
        let mut command = home.command(["service"]);
        cli::ran(command.args(arguments).env("PATH", &path).output().expect("it runs"))
    };
    let planned = run(&["install", "--user", "--dry-run", "mnt"]);
    assert!(
        planned.works().contains("run: systemctl --user restart omnifs.service"),
        "{planned:?}"
    );
    assert!(!unit.exists() && !home.path("calls").exists(), "a dry run does nothing");
    run(&["status", "--user"]).fails(3, "there is no service", "omnifs service install");
    let ran = run(&["install", "--user", "mnt"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = cli::text(&unit);
    let start = format!("ExecStart={} mount --foreground --keeper", env!("CARGO_BIN_EXE_omnifs"));
    assert!(text.contains(&format!("{start} {}\n", home.path("mnt").display())), "{text}");
    assert!(run(&["status", "--user"]).works().contains("it runs"));
    assert_eq!(run(&["remove", "--user"]).code, 0);
    assert!(!home.path("config/systemd").exists());
    let calls = cli::text(&home.path("calls"));
    let expected = [
        "daemon-reload",
        "enable omnifs.service",
        "restart omnifs.service",
        "is-active omnifs.service",
        "disable --now omnifs.service",
        "daemon-reload",
    ];
    let expected: String = expected.iter().map(|call| format!("--user {call}\n")).collect();
    assert_eq!(calls, expected);
}

#[test]
fn a_service_that_does_not_start_is_not_left_behind() {
    let home = Home::new();
    let path = systemctl(&home, "restart");
    let mut command = home.command(["service", "install", "--user", "mnt"]);
    let ran = cli::ran(command.env("PATH", &path).output().expect("it runs"));
    ran.fails(1, "no bus", "/etc/fstab");
    assert!(!home.path("config/systemd").exists());
}

/// What ships is switched off.
const NOTHING: &str = "[instances.docker]\nenabled = false\n[instances.github]\nenabled = false\n\
                       [instances.linear]\nenabled = false\n";

fn no_components() -> Option<String> {
    let none =
        omnifs_support::components().is_none_or(|folder| !folder.join("hello.wasm").exists());
    none.then(|| "no components are built: cargo xtask test".to_owned())
}
