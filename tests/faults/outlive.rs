//! A mount that outlives the process which serves it: what stands in it goes on when that is killed.

use crate::readers::Readers;
use crate::{
    API, BOUND, Background, SOON, available, files, home_of, read, records, setup, title,
    title_path,
};
use omnifs_support::mount::can_outlive;
use omnifs_support::{Omnifs, tied, wait_until};
use omnifs_twins::GithubTwin;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ESTALE: i32 = 116;
const ISSUES: u64 = 400;
const READERS: usize = 11;
/// Longer than what is read ahead.
const BODY: usize = 3 << 20;

/// `OMNIFS_FAULT_KILLS`: how often a daemon is killed.
fn kills() -> u64 {
    std::env::var("OMNIFS_FAULT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

fn kill(mounted: &Background<'_>) -> u32 {
    let pid = mounted.pid();
    let number = Pid::from_raw(pid.cast_signed()).expect("a pid");
    kill_process(number, Signal::KILL).expect("kill");
    pid
}

/// Waits until another process serves the mount than the one that was killed.
fn await_next(mounted: &Background<'_>, killed: u32) {
    let next = || {
        let status = mounted.status().ok()?;
        (status["mount"]["pid"].as_u64()? != u64::from(killed)).then_some(())
    };
    assert!(wait_until(SOON, next).is_some(), "nobody goes on with the mount: {}", log(mounted));
}

fn log(mounted: &Background<'_>) -> String {
    let logs = files(&mounted.omnifs.path("state/omnifs/logs"));
    logs.iter().map(|log| read(log)).collect()
}

/// A shell whose working directory is in the mount, asked now and then.
struct Shell(Child);

impl Shell {
    fn start(directory: &Path) -> Shell {
        let script = "while read line; do pwd -P; cat title; ls | wc -l; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Shell(tied::spawn(command).expect("a shell"))
    }

    fn ask(&mut self) -> Vec<String> {
        writeln!(self.0.stdin.as_mut().expect("piped"), "?").expect("it lives");
        let answers = BufReader::new(self.0.stdout.as_mut().expect("piped")).lines().take(3);
        answers.map(|line| line.expect("a line")).collect()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        tied::stop(&mut self.0, Duration::from_secs(1));
    }
}

/// A file that is mapped.
struct Mapped(*const u8, usize);

impl Mapped {
    fn of(path: &Path) -> Mapped {
        let file = File::open(path).expect("open");
        let length = file.metadata().expect("stat").len() as usize;
        // SAFETY: a mapping of its own, of a file that is as long.
        let at = unsafe {
            let (read, private) = (libc::PROT_READ, libc::MAP_PRIVATE);
            libc::mmap(std::ptr::null_mut(), length, read, private, file.as_raw_fd(), 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
        Mapped(at.cast(), length)
    }

    fn text(&self) -> Vec<u8> {
        // SAFETY: mapped, this long, until the drop.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }.to_vec()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped once, and not looked at any more.
        unsafe { libc::munmap(self.0.cast_mut().cast(), self.1) };
    }
}

fn body_path(point: &Path, number: u64) -> PathBuf {
    point.join(API).join(format!("_issues/_all/{number}/body"))
}

fn names(directory: &File) -> Vec<String> {
    let own = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let entries = fs::read_dir(own).expect("it lists");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn world(twin: &GithubTwin) -> Omnifs {
    home_of(twin, BOUND)
}

#[test]
fn readers_do_not_notice_that_the_daemon_is_killed() {
    if !available("killed_and_kept") || !can_outlive("killed_and_kept") {
        return;
    }
    let twin = GithubTwin::start(setup(1, ISSUES as usize)).expect("a twin");
    let body: String = (0..BODY / 16).map(|line| format!("line {line:>9}\n")).collect();
    twin.edit_body("acme/api", 7, Some(&body)).expect("a long one");
    let omnifs = world(&twin);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let point = mounted.path();
    let readers = Readers::start(&twin, point, ISSUES, READERS);
    readers.await_right(SOON, 100);

    let issue = point.join(API).join("_issues/_all/3");
    let inodes = || {
        let of = |path: &Path| fs::metadata(path).expect("stat").ino();
        [of(point), of(&issue), of(&issue.join("title")), of(&body_path(point, 7))]
    };
    let before = inodes();
    let file = File::open(issue.join("title")).expect("open");
    let directory = File::open(&issue).expect("open");
    let listed = names(&directory);
    let mapped = Mapped::of(&issue.join("title"));
    let mut shell = Shell::start(&issue);
    let answer = shell.ask();
    assert_eq!(answer[1], title(&twin, 3).trim_end());
    let mut tail = Command::new("tail");
    tail.args(["-n", "+1", "-f"]).arg(issue.join("title")).stdout(Stdio::piped());
    let mut tail = tied::spawn(tail).expect("tail");
    // Somebody who reads a long file, a part of it in each life.
    let mut long = File::open(body_path(point, 7)).expect("open");
    let part = body.len().div_ceil(kills() as usize);
    let mut got = Vec::new();

    for round in 0..kills() {
        let from = got.len();
        got.resize((from + part).min(body.len()), 0);
        long.read_exact(&mut got[from..]).unwrap_or_else(|error| panic!("round {round}: {error}"));
        // In the middle of what the readers do, and of what the one before has begun.
        let killed = kill(&mounted);
        let mut text = vec![0; 200];
        let length = file.read_at(&mut text, 0).expect("an open file");
        assert_eq!(text[..length], *title(&twin, 3).as_bytes(), "round {round}");
        assert_eq!(names(&directory), listed, "round {round}");
        assert_eq!(shell.ask(), answer, "round {round}");
        assert_eq!(mapped.text(), title(&twin, 3).as_bytes(), "round {round}");
        assert_eq!(inodes(), before, "round {round}");
        await_next(&mounted, killed);
        readers.await_right(SOON, 20 + round * 37 % 50);
    }
    long.read_to_end(&mut got).expect("the rest");
    assert!(got == body.as_bytes(), "the long file is not what it was");
    let seen = readers.stop(SOON);
    assert!(seen.errors.is_empty(), "{:?}\n{}", seen.errors, log(&mounted));
    assert!(seen.longest < SOON, "{:?}", seen.longest);
    assert_eq!(tail.try_wait().expect("tail"), None, "it goes on");
    tied::stop(&mut tail, Duration::from_secs(1));
    let mut printed = String::new();
    tail.stdout.take().expect("piped").read_to_string(&mut printed).expect("text");
    assert_eq!(printed, title(&twin, 3));
    drop((shell, file, directory, mapped, long));
    mounted.unmount();
    assert_eq!(records(&omnifs), Vec::<PathBuf>::new());
}

#[test]
fn what_has_changed_meanwhile_is_stale_to_who_was_reading_it_and_new_by_its_name() {
    if !available("killed_and_changed") || !can_outlive("killed_and_changed") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 20)).expect("a twin");
    let body = "x".repeat(BODY);
    twin.edit_body("acme/api", 5, Some(&body)).expect("a long one");
    // No feed says that anything has changed.
    let omnifs = world(&twin);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let point = mounted.path();
    let mut half = File::open(body_path(point, 5)).expect("open");
    let mut begun = vec![0; 100];
    half.read_exact(&mut begun).expect("its beginning");
    let absent = title_path(point, 21);
    assert!(!absent.exists());
    let same = File::open(title_path(point, 2)).expect("open");
    let mut two = String::new();
    (&same).read_to_string(&mut two).expect("read");
    assert_eq!(fs::read_to_string(title_path(point, 3)).expect("read"), title(&twin, 3));

    let killed = kill(&mounted);
    twin.edit_body("acme/api", 5, Some(&"y".repeat(BODY))).expect("changed");
    twin.retitle("acme/api", 3, "another title").expect("changed");
    await_next(&mounted, killed);
    // By a name nothing of the time before is shown, with no event and no poll.
    assert_eq!(fs::read_to_string(title_path(point, 3)).expect("read"), "another title\n");
    let now = fs::read_to_string(body_path(point, 5)).expect("read");
    assert!(now.bytes().all(|byte| byte == b'y' || byte == b'\n'), "{}", &now[..100]);
    // Who is in the middle of what is no more gets nothing of what is there now.
    let mut rest = Vec::new();
    match half.read_to_end(&mut rest) {
        Err(error) => assert_eq!(error.raw_os_error(), Some(ESTALE), "{error}"),
        Ok(_) => {
            assert!(rest.iter().all(|byte| *byte == b'x' || *byte == b'\n'), "two bodies in one")
        }
    }
    // And who has what is still the same goes on.
    let mut again = vec![0; two.len()];
    same.read_exact_at(&mut again, 0).expect("it is what it was");
    assert_eq!(again, two.as_bytes());
    drop((half, same));
    mounted.unmount();
}

/// The process that holds the mount of this home.
fn keeper(omnifs: &Omnifs) -> Option<Pid> {
    let point = omnifs.mount_point();
    let is_keeper = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.nth(1) == Some(b"--keep")
            && words.any(|word| word == point.as_os_str().as_encoded_bytes())
    };
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Pid::from_raw(pids.into_iter().find(is_keeper)?)
}

#[test]
fn without_its_keeper_a_mount_ends_with_its_process_and_the_next_mount_repairs_it() {
    if !available("no_keeper") || !can_outlive("no_keeper") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 5)).expect("a twin");
    let omnifs = world(&twin);
    for args in [&["--keeper=false"][..], &[]] {
        let (mounted, ran) = Background::mount(&omnifs, "true", args);
        assert!(ran.status.success(), "{}", ran.stderr);
        assert_eq!(keeper(&omnifs).is_some(), args.is_empty());
        if let Some(keeper) = keeper(&omnifs) {
            kill_process(keeper, Signal::KILL).expect("kill");
            let gone = || crate::outlive::keeper(&omnifs).is_none().then_some(());
            assert!(wait_until(SOON, gone).is_some());
        }
        // The mount itself goes on, and says what it is.
        let status = mounted.status().expect("status");
        assert_eq!(status["mount"]["kept"], false, "{status}");
        let ran = mounted.run(&["upgrade"], &[]).expect("upgrade");
        assert!(ran.stderr.contains("ends with its process"), "{}", ran.stderr);
        assert_eq!(read(&title_path(mounted.path(), 1)), title(&twin, 1));
        kill(&mounted);
        // Nobody has looked at this one.
        let dead = || fs::read(title_path(mounted.path(), 2)).is_err().then_some(());
        assert!(wait_until(SOON, dead).is_some(), "somebody serves it still");
        std::mem::forget(mounted);
    }
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    assert_eq!(read(&title_path(mounted.path(), 1)), title(&twin, 1));
    let kept = keeper(&omnifs).expect("it has one");
    mounted.unmount();
    let ended = || keeper(&omnifs).is_none_or(|now| now != kept).then_some(());
    assert!(wait_until(SOON, ended).is_some(), "a keeper of nothing");
}

/// A home whose program can be put in the place of another.
fn installed(omnifs: &Omnifs) -> PathBuf {
    let installed = omnifs.path("omnifs");
    fs::copy(omnifs.command().get_program(), &installed).expect("a copy");
    installed
}

/// Puts a file in the place of another at once, as a package does.
fn install(installed: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let fresh = installed.with_extension("new");
    fs::write(&fresh, bytes).expect("written");
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).expect("a program");
    fs::rename(&fresh, installed).expect("in its place");
}

#[test]
fn an_upgrade_puts_another_program_under_the_mount_and_takes_back_one_that_does_not_come_up() {
    if !available("upgraded") || !can_outlive("upgraded") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 40)).expect("a twin");
    let omnifs = world(&twin);
    let program = installed(&omnifs);
    let whole = fs::read(&program).expect("a program");
    let omnifs = omnifs.with_binary(&program);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let readers = Readers::start(&twin, mounted.path(), 40, 4);
    readers.await_right(SOON, 20);
    let running = || fs::read_link(format!("/proc/{}/exe", mounted.pid())).expect("a program");
    let upgraded = || {
        // One that goes on answers readers before it answers commands.
        let answers = || mounted.status().is_ok().then_some(());
        assert!(wait_until(SOON, answers).is_some(), "{}", log(&mounted));
        let before = mounted.pid();
        let ran = mounted.run(&["upgrade"], &[]).expect("upgrade");
        assert!(ran.status.success(), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("before that"), "{}", ran.stdout);
        assert_ne!(mounted.pid(), before);
        readers.await_right(SOON, 20);
    };
    // The same bytes in another file: what was begun under the old one is gone on with under the new one.
    install(&program, &whole);
    upgraded();
    assert_eq!(running(), program, "the file that is there now");
    // One that ends at once, one that cannot be run, and one that does nothing.
    for broken in ["#!/bin/sh\nexit 3\n", "no program", "#!/bin/sh\nexec sleep 60\n"] {
        let keeper = keeper(&omnifs).expect("a keeper");
        let own = fs::read_link(format!("/proc/{keeper}/exe")).expect("its own");
        // Commands are this program too, so that none works from here on.
        let pid = Pid::from_raw(mounted.pid().cast_signed()).expect("a pid");
        install(&program, broken.as_bytes());
        kill_process(pid, Signal::KILL).expect("kill");
        let old = || {
            let pids = children(keeper);
            let exe = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
            // That of the one which was killed has been replaced too.
            let next = |of: &&i32| **of != pid.as_raw_nonzero().get();
            pids.iter().filter(next).any(|pid| exe(pid).as_ref() == Some(&own)).then_some(())
        };
        assert!(wait_until(SOON, old).is_some(), "{broken}: the one from before does not go on");
        readers.await_right(SOON, 20);
        install(&program, &whole);
        let said = || {
            let status = mounted.status().ok()?;
            status["mount"]["taken_back"].as_bool().filter(|taken_back| *taken_back)
        };
        assert!(wait_until(SOON, said).is_some(), "{broken}: {}", log(&mounted));
        upgraded();
        assert_eq!(mounted.status().expect("status")["mount"]["taken_back"], false);
    }
    let seen = readers.stop(SOON);
    assert!(seen.errors.is_empty(), "{:?}\n{}", seen.errors, log(&mounted));
    mounted.unmount();
}

fn children(of: Pid) -> Vec<i32> {
    let of = of.as_raw_nonzero();
    let tasks = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    tasks.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn a_walk_in_the_next_process_costs_what_it_has_cost_in_the_first() {
    if !available("walked_again") || !can_outlive("walked_again") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 250)).expect("a twin");
    let omnifs = world(&twin);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let all = mounted.path().join(API).join("_issues/_all");
    let walk = || {
        let before = twin.requests().len();
        let found = Command::new("grep").args(["-rc", "^"]).arg(&all).output().expect("grep");
        assert!(found.status.success(), "{found:?}");
        (twin.requests().len() - before, found.stdout.len())
    };
    let (requests, found) = walk();
    let killed = kill(&mounted);
    await_next(&mounted, killed);
    let (again, found_again) = walk();
    assert_eq!(found_again, found);
    // What the kernel has from before is neither believed nor asked for name by name, of which there are 250. The way
    // there, and polls, come beside it.
    assert!(again < requests + 50, "{again} requests, where the first walk took {requests}");
    mounted.unmount();
}

#[test]
fn a_process_that_dies_of_what_it_is_asked_is_not_started_for_ever() {
    if !available("crashes") || !can_outlive("crashes") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 5)).expect("a twin");
    let omnifs = world(&twin);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let kept = keeper(&omnifs).expect("a keeper");
    let ended = || {
        // Each one that has answered dies of itself.
        if let Ok(status) = mounted.status()
            && let Some(pid) = status["mount"]["pid"].as_i64()
        {
            let _ = kill_process(Pid::from_raw(pid as i32).expect("a pid"), Signal::ABORT);
        }
        (keeper(&omnifs) != Some(kept)).then_some(())
    };
    assert!(wait_until(SOON, ended).is_some(), "{}", log(&mounted));
    // As where there is none: repaired by the next mount.
    let dead = || fs::read(title_path(mounted.path(), 2)).is_err().then_some(());
    assert!(wait_until(SOON, dead).is_some(), "somebody serves it still");
    std::mem::forget(mounted);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    assert_eq!(read(&title_path(mounted.path(), 1)), title(&twin, 1));
    mounted.unmount();
}
