//! Ordinary tools agree with the engine and with each other about every file.

use crate::{SOON, World, read, shell, stdout};
use omnifs_support::{Container, program, skip, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
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

const NAMES: [&str; 4] = ["tool-running", "tool-exited", "tool-created", "tool-composed"];

/// A container of each state, with labels, ports, a mount, a health and logs on both streams.
fn populate(world: &World) {
    let api = world.api();
    let labels = [("team", "infra"), ("app.kubernetes.io/name", "api"), ("empty", "")];
    api.create_volume("tooldata").expect("volume");
    let talk = ["sh", "-c", "echo out; echo err >&2; sleep 3600"];
    api.run(&Container {
        name: "tool-running",
        command: &talk,
        labels: &labels,
        exposed_ports: &["80/tcp"],
        binds: &["tooldata:/data", "/tmp:/host:ro"],
        ..Container::default()
    })
    .expect("run");
    let fail = ["sh", "-c", "echo bye; exit 3"];
    api.run(&Container { name: "tool-exited", command: &fail, ..Container::default() })
        .expect("run");
    api.wait("tool-exited").expect("wait");
    api.create(&Container { name: "tool-created", ..Container::default() }).expect("create");
    api.run(&Container {
        name: "tool-composed",
        labels: &[
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", "web"),
            ("com.docker.compose.container-number", "2"),
        ],
        health: Some("true"),
        ..Container::default()
    })
    .expect("run");
    let healthy = || {
        let inspect = api.inspect("tool-composed").ok()?;
        (inspect["State"]["Health"]["Status"] == "healthy").then_some(())
    };
    assert!(wait_until(SOON, healthy).is_some(), "the health check never succeeded");
}

fn clear(world: &World) {
    for name in NAMES {
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
    for name in NAMES {
        agrees_with_inspect(&world, &by_name.join(name), name);
    }
    images_agree(&world, &mounted.join("docker/images"));
    volumes_agree(&world, &mounted.join("docker/volumes"));
    networks_agree(&world, &mounted.join("docker/networks"));
    compose_agrees(&mounted.join("docker"));
    // A running container's log may grow between two tools; this one has said all it will say.
    let tree = mounted.join("docker");
    sizes_are_exact(&tree);
    sums_agree(&tree);
    copies_agree(&tree);
    searches_agree(&tree);
    clear(&world);
}

/// A scalar's one line.
fn line(file: &Path) -> String {
    let text = read(file);
    if !text.is_empty() {
        let whole = text.ends_with('\n') && text.matches('\n').count() == 1;
        assert!(whole, "{}: {text:?}", file.display());
    }
    text.trim_end_matches('\n').to_owned()
}

/// The lines of a list, sorted.
fn list(file: &Path) -> Vec<String> {
    let text = read(file);
    assert!(text.is_empty() || text.ends_with('\n'), "{}: {text:?}", file.display());
    sorted(text.lines().map(str::to_owned))
}

fn sorted(items: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    items
}

/// What a value is as a scalar.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn document(file: &Path) -> Value {
    serde_json::from_str(&read(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    sorted(entries.map(|entry| entry.file_name().into_string().expect("UTF-8")))
}

/// A directory shows the members of `map`: a file for each, `/` in a key written `%2F`.
fn map_agrees(directory: &Path, map: &Value) {
    let map = map.as_object().cloned().unwrap_or_default();
    let shown = |key: &String| key.replace('/', "%2F");
    assert_eq!(names(directory), sorted(map.keys().map(shown)), "{}", directory.display());
    for (key, value) in &map {
        let text = read(&directory.join(shown(key)));
        assert_eq!(text, format!("{}\n", word(value)), "{}/{key}", directory.display());
    }
}

/// `Up 3 minutes (healthy)` without its age.
fn ageless(status: &str) -> String {
    if let Some(up) = status.strip_prefix("Up ") {
        return match up.find(" (") {
            Some(note) => format!("Up{}", &up[note..]),
            None => "Up".to_owned(),
        };
    }
    status.split_inclusive(')').next().unwrap_or_default().to_owned()
}

fn agrees_with_inspect(world: &World, container: &Path, name: &str) {
    let inspect = world.api().inspect(name).expect("inspect");
    let all = world.api().list().expect("list");
    let listed = all.iter().find(|c| c["Id"] == inspect["Id"]).expect("it is listed");
    let leaf = |leaf: &str| line(&container.join(leaf));
    let lines = |leaf: &str| list(&container.join(leaf));
    let state = &inspect["State"];
    assert_eq!(leaf("id"), word(&inspect["Id"]));
    assert_eq!(leaf("name"), name);
    assert_eq!(leaf("image"), word(&inspect["Config"]["Image"]));
    assert_eq!(leaf("state"), word(&state["Status"]));
    let status = match name {
        "tool-running" => "Up",
        "tool-composed" => "Up (healthy)",
        "tool-exited" => "Exited (3)",
        _ => "Created",
    };
    assert_eq!(leaf("status"), status);
    assert_eq!(leaf("status"), ageless(&word(&listed["Status"])));
    assert_eq!(leaf("exit-code"), word(&state["ExitCode"]));
    assert_eq!(leaf("created"), word(&inspect["Created"]));
    assert_eq!(leaf("started"), word(&state["StartedAt"]));
    assert_eq!(leaf("finished"), word(&state["FinishedAt"]));
    assert_eq!(leaf("command"), word(&listed["Command"]));
    assert_eq!(leaf("restart-count"), word(&inspect["RestartCount"]));
    let health = state["Health"]["Status"].as_str().unwrap_or("none");
    assert_eq!(leaf("health"), health);
    assert_eq!(health == "healthy", name == "tool-composed");

    let ports = inspect["NetworkSettings"]["Ports"].as_object().cloned().unwrap_or_default();
    let bound = |(port, bindings): (&String, &Value)| -> Vec<String> {
        let bindings = bindings.as_array().cloned().unwrap_or_default();
        let to = |b: &Value| format!("{port} -> {}:{}", word(&b["HostIp"]), word(&b["HostPort"]));
        if bindings.is_empty() { vec![port.clone()] } else { bindings.iter().map(to).collect() }
    };
    assert_eq!(lines("ports"), sorted(ports.iter().flat_map(bound)));
    let mounts = inspect["Mounts"].as_array().cloned().unwrap_or_default();
    let mount = |mount: &Value| {
        let source = mount.get("Name").unwrap_or(&mount["Source"]);
        let mode = if mount["RW"] == true { "rw" } else { "ro" };
        format!("{}:{}:{mode}", word(source), word(&mount["Destination"]))
    };
    assert_eq!(lines("mounts"), sorted(mounts.iter().map(mount)));
    if name == "tool-running" {
        assert_eq!(lines("mounts"), ["/tmp:/host:ro", "tooldata:/data:rw"]);
    }
    let networks = inspect["NetworkSettings"]["Networks"].as_object().expect("networks");
    assert_eq!(lines("networks"), sorted(networks.keys().cloned()));
    assert_eq!(lines("networks"), ["none"]);
    map_agrees(&container.join("labels"), &inspect["Config"]["Labels"]);

    let shown = document(&container.join("inspect.json"));
    let mut inspect = inspect.clone();
    if inspect["State"]["Running"] != true {
        // No event tells of those of a container that does not run.
        inspect["NetworkSettings"].as_object_mut().expect("an object").remove("Networks");
    }
    for field in ["Id", "Created", "Path", "Args", "Config", "HostConfig", "NetworkSettings"] {
        assert_eq!(shown[field], inspect[field], "{field} of {name}");
    }
    let picked = stdout(&shell(container, "jq -r .State.Status inspect.json"));
    assert_eq!(picked, word(&state["Status"]));
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

fn get(world: &World, path: &str) -> Value {
    world.api().get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts of an array.
fn texts(array: &Value) -> Vec<String> {
    sorted(array.as_array().into_iter().flatten().map(word))
}

fn images_agree(world: &World, images: &Path) {
    let all = get(world, "/images/json");
    let all = all.as_array().expect("images");
    assert!(!all.is_empty(), "the containers have an image");
    assert_eq!(names(&images.join("by-id")), sorted(all.iter().map(|image| word(&image["Id"]))));
    let tags = sorted(all.iter().flat_map(|image| texts(&image["RepoTags"])));
    assert_eq!(names(&images.join("by-name")), tags);
    for tag in &tags {
        let inspect = get(world, &format!("/images/{tag}/json"));
        for image in
            [images.join("by-name").join(tag), images.join("by-id").join(word(&inspect["Id"]))]
        {
            assert_eq!(line(&image.join("id")), word(&inspect["Id"]));
            assert_eq!(list(&image.join("tags")), texts(&inspect["RepoTags"]));
            assert_eq!(list(&image.join("digests")), texts(&inspect["RepoDigests"]));
            assert_eq!(line(&image.join("created")), word(&inspect["Created"]));
            assert_eq!(line(&image.join("size")), word(&inspect["Size"]));
            assert_eq!(line(&image.join("architecture")), word(&inspect["Architecture"]));
            assert_eq!(line(&image.join("os")), word(&inspect["Os"]));
            map_agrees(&image.join("labels"), &inspect["Config"]["Labels"]);
            assert_eq!(document(&image.join("inspect.json")), inspect);
            let history = get(world, &format!("/images/{tag}/history"));
            let shown = document(&image.join("history.json"));
            let shown = shown.as_array().expect("layers");
            assert_eq!(shown.len(), history.as_array().expect("layers").len());
            assert_eq!(shown[0]["Id"], history[0]["Id"]);
        }
    }
}

fn volumes_agree(world: &World, volumes: &Path) {
    let all = get(world, "/volumes");
    let all = all["Volumes"].as_array().expect("volumes");
    assert_eq!(names(volumes), sorted(all.iter().map(|volume| word(&volume["Name"]))));
    assert!(names(volumes).contains(&"tooldata".to_owned()));
    for name in names(volumes) {
        let inspect = get(world, &format!("/volumes/{name}"));
        let volume = volumes.join(&name);
        let leaves = [
            ("name", "Name"),
            ("driver", "Driver"),
            ("mountpoint", "Mountpoint"),
            ("created", "CreatedAt"),
            ("scope", "Scope"),
        ];
        for (leaf, field) in leaves {
            assert_eq!(line(&volume.join(leaf)), word(&inspect[field]), "{leaf} of {name}");
        }
        map_agrees(&volume.join("labels"), &inspect["Labels"]);
        map_agrees(&volume.join("options"), &inspect["Options"]);
        assert_eq!(document(&volume.join("inspect.json"))["Mountpoint"], inspect["Mountpoint"]);
    }
}

fn networks_agree(world: &World, networks: &Path) {
    let all = get(world, "/networks");
    let all = all.as_array().expect("networks");
    assert_eq!(names(networks), sorted(all.iter().map(|network| word(&network["Name"]))));
    for network in all {
        let inspect = get(world, &format!("/networks/{}", word(&network["Id"])));
        let shown = networks.join(word(&network["Name"]));
        let leaves = [
            ("id", "Id"),
            ("name", "Name"),
            ("driver", "Driver"),
            ("scope", "Scope"),
            ("created", "Created"),
            ("internal", "Internal"),
            ("attachable", "Attachable"),
            ("ipv6", "EnableIPv6"),
        ];
        for (leaf, field) in leaves {
            assert_eq!(line(&shown.join(leaf)), word(&inspect[field]), "{leaf} of {network}");
        }
        let pools = inspect["IPAM"]["Config"].as_array().cloned().unwrap_or_default();
        let subnets = sorted(pools.iter().map(|pool| word(&pool["Subnet"])));
        assert_eq!(list(&shown.join("subnets")), subnets);
        let members = inspect["Containers"].as_object().cloned().unwrap_or_default();
        let members = sorted(members.values().map(|member| word(&member["Name"])));
        assert_eq!(list(&shown.join("containers")), members);
        map_agrees(&shown.join("labels"), &inspect["Labels"]);
        map_agrees(&shown.join("options"), &inspect["Options"]);
        assert_eq!(document(&shown.join("inspect.json"))["IPAM"], inspect["IPAM"]);
    }
    let without = list(&networks.join("none/containers"));
    assert!(without.contains(&"tool-running".to_owned()), "{without:?}");
}

/// A container that compose made shows as the second of its service, and is the same object there.
fn compose_agrees(docker: &Path) {
    assert_eq!(names(&docker.join("compose")), ["shop"]);
    assert_eq!(names(&docker.join("compose/shop")), ["web"]);
    assert_eq!(names(&docker.join("compose/shop/web")), ["2"]);
    let composed = docker.join("compose/shop/web/2");
    let named = docker.join("containers/by-name/tool-composed");
    assert_eq!(line(&composed.join("name")), "tool-composed");
    assert_eq!(read(&composed.join("inspect.json")), read(&named.join("inspect.json")));
    let inode = |path: &Path| fs::metadata(path).expect("stat").ino();
    assert_eq!(inode(&composed), inode(&named));
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
