//! Ordinary tools agree with the engine and with each other about every file.

use crate::{World, read, shell, stdout};
use omnifs_support::{Container, program, skip};
use serde_json::Value;
use std::fs;
use std::path::Path;

const TOOLS: [&str; 14] = [
    "ls",
    "cat",
    "grep",
    "find",
    "rg",
    "tar",
    "rsync",
    "wc",
    "tail",
    "jq",
    "sha256sum",
    "stat",
    "du",
    "python3",
];

/// A container of each state, with labels, ports, a mount and logs on both streams.
fn populate(world: &World) {
    let api = world.api();
    let labels = [("team", "infra"), ("app.kubernetes.io/name", "api")];
    api.create_volume("tooldata").expect("volume");
    let talk = ["sh", "-c", "echo out; echo err >&2; sleep 3600"];
    api.run(&Container {
        name: "tool-running",
        command: &talk,
        labels: &labels,
        exposed_ports: &["80/tcp"],
        binds: &["tooldata:/data"],
        ..Container::default()
    })
    .expect("run");
    let fail = ["sh", "-c", "echo bye; exit 3"];
    api.run(&Container { name: "tool-exited", command: &fail, ..Container::default() })
        .expect("run");
    api.wait("tool-exited").expect("wait");
    api.create(&Container { name: "tool-created", ..Container::default() }).expect("create");
}

fn clear(world: &World) {
    for name in ["tool-running", "tool-exited", "tool-created"] {
        world.api().remove(name).expect("remove");
    }
}

#[test]
fn every_tool_agrees_with_docker_inspect_and_with_the_others() {
    let Some(world) = World::new("tools") else { return };
    let missing: Vec<_> = TOOLS.iter().filter(|tool| program(tool).is_none()).collect();
    if !missing.is_empty() {
        return skip("tools", &format!("not installed: {missing:?}; run cargo xtask test as root"));
    }
    populate(&world);
    let mounted = world.mount();
    let by_name = mounted.join("docker/containers/by-name");
    for name in ["tool-running", "tool-exited", "tool-created"] {
        agrees_with_inspect(&world, &by_name.join(name), name);
    }
    // A running container's log may grow between two tools; this one has said all it will say.
    let tree = mounted.join("docker");
    sizes_are_exact(&tree);
    sums_agree(&tree);
    copies_agree(&tree);
    searches_agree(&tree);
    clear(&world);
}

fn agrees_with_inspect(world: &World, container: &Path, name: &str) {
    let inspect = world.api().inspect(name).expect("inspect");
    let leaf = |leaf: &str| {
        let text = read(&container.join(leaf));
        if !text.is_empty() {
            assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{leaf}: {text:?}");
        }
        text.trim_end().to_owned()
    };
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    assert_eq!(leaf("id"), word(&inspect["Id"]));
    assert_eq!(leaf("name"), name);
    assert_eq!(leaf("state"), word(&inspect["State"]["Status"]));
    assert_eq!(leaf("exit-code"), word(&inspect["State"]["ExitCode"]));
    assert_eq!(leaf("started"), word(&inspect["State"]["StartedAt"]));
    assert_eq!(leaf("finished"), word(&inspect["State"]["FinishedAt"]));
    assert_eq!(leaf("restart-count"), word(&inspect["RestartCount"]));
    assert_eq!(leaf("image"), word(&inspect["Config"]["Image"]));
    let shown: Value = serde_json::from_str(&read(&container.join("inspect.json"))).expect("json");
    for field in ["Id", "Created", "Path", "Args", "Config", "HostConfig"] {
        assert_eq!(shown[field], inspect[field], "{field} of {name}");
    }
    let labels = inspect["Config"]["Labels"].as_object().cloned().unwrap_or_default();
    assert_eq!(fs::read_dir(container.join("labels")).expect("labels").count(), labels.len());
    let picked = stdout(&shell(container, "jq -r .State.Status inspect.json"));
    assert_eq!(picked, word(&inspect["State"]["Status"]));
    if name == "tool-exited" {
        assert!(read(&container.join("logs")).ends_with(" bye\n"));
    }
    if name == "tool-running" {
        assert!(read(&container.join("stdout.log")).ends_with(" out\n"));
        assert!(read(&container.join("stderr.log")).ends_with(" err\n"));
        let both = read(&container.join("logs"));
        assert!(both.contains(" out\n") && both.contains(" err\n"), "{both:?}");
        assert_eq!(read(&container.join("labels/team")), "infra\n");
    }
}

/// `stat`, `wc -c`, `cat`, `du`, a memory map and the bytes read agree for each file.
fn sizes_are_exact(tree: &Path) {
    let script = r#"
import mmap, os, sys
wrong = []
for base, _, names in os.walk("."):
    for name in names:
        path = os.path.join(base, name)
        if os.path.islink(path):
            continue
        size = os.stat(path).st_size
        with open(path, "rb") as f:
            data = f.read()
            held = os.fstat(f.fileno()).st_size
            mapped = bytes(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)) if data else b""
        if not (size == held == len(data) and mapped == data):
            wrong.append((path, size, held, len(data), len(mapped)))
print(len(wrong), wrong[:5])
"#;
    let output = stdout(&shell(tree, &format!("python3 -c '{script}'")));
    assert_eq!(output, "0 []");
    let counted =
        "find . -type f -print0 | sort -z | xargs -0 wc -c | grep -v ' total$' | awk '{print $1}'";
    let statted = "find . -type f -print0 | sort -z | xargs -0 stat -c %s";
    let apparent = "find . -type f -print0 | sort -z | xargs -0 -n1 du -b | awk '{print $1}'";
    let sizes = stdout(&shell(tree, statted));
    assert!(sizes.lines().count() > 60, "{sizes}");
    assert_eq!(sizes, stdout(&shell(tree, counted)));
    assert_eq!(sizes, stdout(&shell(tree, apparent)));
}

/// Checksums of the files, of a tar stream of them, and of `tail -c` and `cat` are the same.
fn sums_agree(tree: &Path) {
    let direct = stdout(&shell(tree, "find . -type f -print0 | sort -z | xargs -0 sha256sum"));
    // Two processes a file: on one of the places that show the containers.
    let by_name = tree.join("containers/by-name");
    let tail = "find . -type f -print0 | sort -z | while IFS= read -r -d '' f; do
        tail -c +1 \"$f\"; cat \"$f\"; done | sha256sum";
    let joined = "find . -type f -print0 | sort -z | while IFS= read -r -d '' f; do
        dd if=\"$f\" status=none; dd if=\"$f\" status=none bs=1M; done | sha256sum";
    assert_eq!(stdout(&shell(&by_name, tail)), stdout(&shell(&by_name, joined)));
    let tarred = "rm -rf \"$T\"; mkdir \"$T\" && tar cf - . | tar xf - -C \"$T\" && cd \"$T\" &&
        find . -type f -print0 | sort -z | xargs -0 sha256sum";
    assert_eq!(direct, in_scratch(tree, tarred));
}

/// `rsync -a` and `cp -r` copy the tree whole, and a second `rsync -a` has nothing to do.
fn copies_agree(tree: &Path) {
    let direct = stdout(&shell(tree, "find . -type f -print0 | sort -z | xargs -0 sha256sum"));
    let sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum";
    assert_eq!(direct, in_scratch(tree, &format!("cp -r . \"$T\" && cd \"$T\" && {sums}")));
    let synced = format!(
        "rsync -a . \"$T\"/ && again=$(rsync -ai . \"$T\"/) && [ -z \"$again\" ] || {{ echo \"$again\"; exit 1; }}
        cd \"$T\" && {sums}"
    );
    assert_eq!(direct, in_scratch(tree, &synced));
}

/// `grep -r`, `rg`, `find` and `ls` find the same.
fn searches_agree(tree: &Path) {
    let grep = stdout(&shell(tree, "grep -rl running . | sort"));
    let rg = stdout(&shell(tree, "rg -uuu -l --no-messages running . | sort"));
    assert_eq!(grep, rg);
    assert!(grep.contains("by-name/tool-running/state"), "{grep}");
    let find = stdout(&shell(tree, "find . -mindepth 1 | sort"));
    let ls = stdout(&shell(
        tree,
        "ls -R1A . | awk '/:$/{d=substr($0,1,length($0)-1);next} NF{print d\"/\"$0}' | sort",
    ));
    assert_eq!(find, ls);
    // An editor shows the file.
    if program("vim").is_some() {
        let edited = "vim -es -u NONE -c '%print' -c 'qa!' containers/by-name/tool-running/state";
        assert_eq!(stdout(&shell(tree, edited)), "running");
    } else {
        skip("tools: vim", "vim is not installed");
    }
}

fn in_scratch(tree: &Path, line: &str) -> String {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let target = scratch.path().join("t");
    stdout(&shell(tree, &format!("T='{}'; {line}", target.display())))
}
