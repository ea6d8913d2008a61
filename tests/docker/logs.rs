//! Logs that the engine cannot read, and lines that it cuts.

use crate::{World, read, shell, stdout};
use omnifs_support::Container;

#[test]
fn a_log_that_cannot_be_read_is_empty_and_grep_asks_for_it_once() {
    let Some(world) = World::new("no_log") else { return };
    let api = world.api();
    let talk = ["sh", "-c", "echo needle; echo needle >&2; sleep 3600"];
    let (running, ended) = (["silent-1", "silent-2"], "silent-ended");
    for name in running {
        let silent = Container { name, command: &talk, log_driver: "none", ..Container::default() };
        api.run(&silent).expect("run");
    }
    let brief = ["echo", "needle"];
    let silent =
        Container { name: ended, command: &brief, log_driver: "none", ..Container::default() };
    api.run(&silent).expect("run");
    api.wait(ended).expect("wait");
    let mounted = world.mount();
    let base = mounted.join("docker/containers/by-name");
    // Fails where anything cannot be read.
    let walk = || stdout(&shell(&base, "grep -rc needle silent-*/*log* | sort"));
    let logs =
        |requests: Vec<String>| requests.iter().filter(|path| path.contains("/logs")).count();
    let first = walk();
    assert!(
        first.lines().count() == 9 && first.lines().all(|line| line.ends_with(":0")),
        "{first}"
    );
    let asked = world.requests();
    assert!(logs(asked.clone()) <= 3 * 3, "{asked:#?}");
    assert_eq!(walk(), first);
    assert_eq!(logs(world.requests()), 0, "kept while nothing happens to the container");
    shell(&base, "tar cf /dev/null silent-*; ls -lR silent-* > /dev/null");
    assert_eq!(logs(world.requests()), 0);
    let driver = stdout(&shell(&base, "jq -r .HostConfig.LogConfig.Type silent-1/inspect.json"));
    assert_eq!(driver, "none", "and the container says why");
    for name in running.into_iter().chain([ended]) {
        api.remove(name).expect("remove");
    }
}

#[test]
fn a_line_of_forty_thousand_bytes_has_one_time_stamp() {
    let Some(world) = World::new("long_line") else { return };
    let api = world.api();
    let pad = "head -c 40000 /dev/zero | tr '\\0' y; echo";
    let script = format!("({pad}) & ({pad}) >&2 & wait; echo next");
    let command = ["/bin/busybox", "sh", "-c", &script];
    for (name, terminal) in [("long-frames", false), ("long-terminal", true)] {
        api.run(&Container { name, command: &command, terminal, ..Container::default() })
            .expect("run");
        api.wait(name).expect("wait");
    }
    let mounted = world.mount();
    let base = mounted.join("docker/containers/by-name");
    let lines = |path: &str| -> Vec<(usize, usize)> {
        let log = read(&base.join(path));
        log.lines().map(|line| (line.len(), line.matches('T').count())).collect()
    };
    const STAMP: usize = "2026-01-02T03:04:05.678901234Z ".len();
    let (long, next) = ((STAMP + 40_000, 1), (STAMP + "next".len(), 1));
    let mut both = lines("long-frames/logs");
    both.sort_unstable();
    assert_eq!(both, [next, long, long], "in the order in which the engine read them");
    assert_eq!(lines("long-frames/stdout.log"), [long, next]);
    assert_eq!(lines("long-frames/stderr.log"), [long]);
    // On a terminal both write the same stream, in whatever order.
    let shown = read(&base.join("long-terminal/logs"));
    assert_eq!(shown.matches('y').count(), 80_000);
    assert_eq!(shown.matches('T').count(), shown.lines().count(), "one stamp a line");
    for name in ["long-frames", "long-terminal"] {
        api.remove(name).expect("remove");
    }
}
