//! A running container's log is one stream for everybody who looks, whatever happens to it.

use crate::{SOON, World, read, shell, stdout};
use omnifs_support::{Container, Mounted, program, skip, tied, wait_until};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// `tail -f` from the first line on, and the lines it has shown.
struct Tail {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tail {
    fn of(log: &Path) -> Tail {
        let mut tail = Command::new("tail");
        tail.args(["-n", "+1", "-f"]).arg(log);
        tail.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tied::spawn(tail).expect("tail");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let shown = lines.clone();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                shown.lock().expect("lines").push(line);
            }
        });
        Tail { child, lines }
    }

    /// The numbers that the lines end in, without the time.
    fn numbers(&self) -> Vec<u64> {
        let lines = self.lines.lock().expect("lines");
        lines.iter().map(|line| number(line)).collect()
    }

    /// Waits for the line that ends in this number.
    fn await_number(&self, last: u64, limit: Duration) {
        let seen = wait_until(limit, || (self.numbers().last() >= Some(&last)).then_some(()));
        assert!(seen.is_some(), "only {:?} of {last}", self.numbers().last());
    }

    /// What it said beside the lines: `tail: file truncated` is no way to follow a log.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let mut errors = String::new();
        let mut pipe = self.child.stderr.take().expect("piped");
        let _ = pipe.read_to_string(&mut errors);
        errors
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(line: &str) -> u64 {
    let (time, text) = line.split_once(' ').unwrap_or_default();
    assert!(time.len() == 30 && time.ends_with('Z'), "{line:?} begins with no time");
    let last = text.rsplit(' ').next().and_then(|number| number.parse().ok());
    last.unwrap_or_else(|| panic!("{line:?} is no whole line"))
}

/// Prints `line 1` to `line LAST`, `burst` of them every twentieth of a second, then sleeps.
fn counts(last: u64, burst: u64) -> String {
    format!(
        "n=0; while [ $n -lt {last} ]; do n=$((n+1)); echo a line of some length, number $n; \
         [ $((n % {burst})) = 0 ] && sleep 0.05; done; sleep 3600"
    )
}

fn log(mounted: &Mounted<'_>, name: &str) -> PathBuf {
    mounted.join("docker/containers/by-name").join(name).join("logs")
}

/// Of a container that was started under the mount.
fn shown_log(mounted: &Mounted<'_>, name: &str) -> PathBuf {
    let log = log(mounted, name);
    assert!(wait_until(SOON, || log.is_file().then_some(())).is_some(), "{name}");
    log
}

/// For what a busy machine needs to write a log.
const LONG: Duration = Duration::from_secs(90);

/// Seconds of the tests that can be made longer: `OMNIFS_LOG_SECONDS=60`.
fn seconds(short: u64) -> u64 {
    std::env::var("OMNIFS_LOG_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

fn streams(world: &World) -> Vec<String> {
    world.requests().into_iter().filter(|path| path.contains("/logs?")).collect()
}

#[test]
fn ten_followers_of_a_busy_log_cost_one_request_and_see_each_line_once() {
    let Some(world) = World::new("ten_followers") else { return };
    let api = world.api();
    // Some 50 lines a second.
    let last = seconds(8) * 40;
    let script = counts(last, 3);
    let command = ["sh", "-c", &script];
    api.run(&Container { name: "busy", command: &command, ..Container::default() }).expect("run");
    let mounted = world.mount();
    let log = log(&mounted, "busy");
    let tails: Vec<Tail> = (0..10).map(|_| Tail::of(&log)).collect();
    let limit = Duration::from_secs(seconds(8) * 4) + LONG;
    for tail in &tails {
        tail.await_number(last, limit);
        assert_eq!(tail.numbers(), (1..=last).collect::<Vec<_>>());
    }
    let asked = streams(&world);
    assert_eq!(asked.len(), 1, "{asked:?}");
    // One more, now that nothing is written: it has all of it, and costs nothing.
    let idle = Tail::of(&log);
    idle.await_number(last, LONG);
    let asked = wait_until(Duration::from_secs(3), || {
        Some(streams(&world)).filter(|asked| !asked.is_empty())
    });
    assert_eq!(asked, None, "an idle log is not asked for");
    for mut tail in tails.into_iter().chain([idle]) {
        assert_eq!(tail.end(), "");
    }
    let whole = stdout(&shell(log.parent().expect("a directory"), "cat logs | wc -l"));
    assert_eq!(whole, last.to_string(), "and cat shows all of it, and ends");
    api.remove("busy").expect("remove");
}

#[test]
fn a_log_that_rotates_shows_each_line_once() {
    let Some(world) = World::new("rotating") else { return };
    let (api, mounted) = (world.api(), world.mount());
    let last = seconds(6) * 300;
    // 15 lines at a time: the engine itself loses lines of greater bursts.
    // Somebody follows it before half of it is written.
    let script = format!("sleep 5; {}", counts(last, 15));
    let command = ["sh", "-c", &script];
    api.run(&Container {
        name: "rotates",
        command: &command,
        log_driver: "json-file",
        log_options: &[("max-size", "20k"), ("max-file", "2")],
        ..Container::default()
    })
    .expect("run");
    let mut tail = Tail::of(&shown_log(&mounted, "rotates"));
    tail.await_number(last, Duration::from_secs(seconds(6) * 4) + LONG);
    let numbers = tail.numbers();
    // The engine had thrown away what came before.
    let first = numbers[0];
    assert!(first < last / 2, "{first} of {last}");
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
    assert_eq!(tail.end(), "");
    api.remove("rotates").expect("remove");
}

#[test]
fn a_connection_that_breaks_loses_and_repeats_nothing() {
    let Some(world) = World::new("broken_log") else { return };
    let (api, mounted) = (world.api(), world.mount());
    let script = counts(800, 4);
    let command = ["sh", "-c", &script];
    api.run(&Container { name: "broken", command: &command, ..Container::default() }).expect("run");
    let mut tail = Tail::of(&shown_log(&mounted, "broken"));
    for at in [40, 200, 360, 520] {
        tail.await_number(at, LONG);
        assert!(world.proxy.cut("/logs?") > 0, "there was a stream");
    }
    tail.await_number(800, LONG);
    assert_eq!(tail.numbers(), (1..=800).collect::<Vec<_>>());
    let asked = streams(&world);
    assert!(asked.len() == 5 && asked[1..].iter().all(|path| path.contains("since=")), "{asked:?}");
    assert_eq!(tail.end(), "");
    api.remove("broken").expect("remove");
}

#[test]
fn the_end_of_a_container_is_the_end_of_its_log_and_a_restart_goes_on() {
    let Some(world) = World::new("log_end") else { return };
    let api = world.api();
    // Each run counts on where the last one ended.
    let script = "n=$(cat /tmp/n 2>/dev/null || echo 0); last=$((n+20)); \
        while [ $n -lt $last ]; do n=$((n+1)); echo number $n; echo $n > /tmp/n; done; sleep 3600";
    let command = ["sh", "-c", script];
    api.run(&Container { name: "again", command: &command, ..Container::default() }).expect("run");
    let mounted = world.mount();
    let log = log(&mounted, "again");
    let count = |expected: u64| {
        let shown = || {
            let text = std::fs::read_to_string(&log).ok()?;
            let numbers: Vec<u64> = text.lines().map(number).collect();
            (numbers == (1..=expected).collect::<Vec<_>>()).then_some(())
        };
        assert!(wait_until(SOON, shown).is_some(), "{:?}", std::fs::read_to_string(&log));
    };
    count(20);
    let tail = Tail::of(&log);
    tail.await_number(20, LONG);
    api.stop("again").expect("stop");
    count(20);
    api.begin("again").expect("start");
    count(40);
    api.call("POST", "/containers/again/restart?t=0", None).expect("restart");
    count(60);
    assert_eq!(tail.numbers()[..20], (1..=20).collect::<Vec<_>>());
    drop(tail);
    let held = Tail::of(&log);
    held.await_number(60, LONG);
    api.remove("again").expect("remove");
    assert!(wait_until(SOON, || (!log.exists()).then_some(())).is_some());
    assert_eq!(held.numbers(), (1..=60).collect::<Vec<_>>(), "what it had stays");
}

#[test]
fn growth_wakes_those_who_watch_the_file() {
    let Some(world) = World::new("log_watch") else { return };
    if program("inotifywait").is_none() {
        return skip("log_watch", "inotifywait is not installed");
    }
    let api = world.api();
    let script = counts(1000, 1);
    let command = ["sh", "-c", &script];
    api.run(&Container { name: "seen", command: &command, ..Container::default() }).expect("run");
    let mounted = world.mount();
    let log = log(&mounted, "seen");
    let tail = Tail::of(&log);
    tail.await_number(1, LONG);
    let line = "timeout 120 inotifywait -q -e modify logs";
    let told = stdout(&shell(log.parent().expect("a directory"), line));
    assert!(told.contains("MODIFY"), "{told}");
    drop(tail);
    api.remove("seen").expect("remove");
}

#[test]
fn grep_over_the_logs_of_twenty_running_containers_asks_once_for_each_file() {
    let Some(world) = World::new("log_grep") else { return };
    let api = world.api();
    let names: Vec<_> = (0..20).map(|n| format!("many-{n:02}")).collect();
    let command = ["sh", "-c", "echo needle; echo needle >&2; sleep 3600"];
    for name in &names {
        api.run(&Container { name, command: &command, ..Container::default() }).expect("run");
    }
    let mounted = world.mount();
    let by_name = mounted.join("docker/containers/by-name");
    let found = || stdout(&shell(&by_name, "cat many-*/logs | grep -c needle"));
    assert_eq!(found(), "40");
    let asked = streams(&world);
    assert_eq!(asked.len(), 20, "{asked:?}");
    assert_eq!(stdout(&shell(&by_name, "grep -r needle many-*/*log* | wc -l")), "80");
    for name in &names {
        api.remove(name).expect("remove");
    }
}

/// Resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    let status = read(Path::new(&format!("/proc/{pid}/status")));
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// `OMNIFS_LOG_MIB=2048` for a log of 2 GiB.
#[test]
fn a_log_far_larger_than_memory_is_followed_in_little_of_it() {
    let Some(world) = World::new("large_log") else { return };
    let api = world.api();
    let mib: u64 =
        std::env::var("OMNIFS_LOG_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(192);
    // Lines of 16,000 bytes.
    let lines = mib * 1024 * 1024 / 16_000;
    let script = format!(
        "text=$(head -c 15900 /dev/zero | tr '\\0' y); n=0; while [ $n -lt {lines} ]; do \
         n=$((n+1)); echo $text number $n; done; sleep 3600"
    );
    let command = ["sh", "-c", &script];
    api.run(&Container { name: "large", command: &command, ..Container::default() }).expect("run");
    let mounted = world.mount();
    let log = log(&mounted, "large");
    let before = resident(mounted.pid());
    // Followed from its end, while it is written and after.
    let directory = log.parent().expect("a directory");
    let limit = Duration::from_secs(60 + mib / 2);
    let written = || {
        let last = shell(directory, "tail -n 1 logs | cut -c 1-20,15900-");
        (stdout(&last).ends_with(&format!("number {lines}"))).then_some(())
    };
    assert!(wait_until(limit, written).is_some(), "the end of the log does not show");
    // Of what is larger than the bound the beginning is gone.
    if mib < 1024 {
        let counted = stdout(&shell(directory, "wc -lc < logs"));
        let counted: Vec<u64> =
            counted.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        assert_eq!(counted[0], lines);
        assert!(counted[1] > (mib - 1) * 1024 * 1024, "{counted:?}");
    }
    let more = resident(mounted.pid()).saturating_sub(before) / 1024;
    assert!(more < 64, "{more} MiB more for a log of {mib} MiB");
    api.remove("large").expect("remove");
}
