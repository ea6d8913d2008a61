//! A second engine that speaks the same API: Podman. docs/podman.md says what differs.

use crate::{SOON, TURN, World, await_content, read, shell, stdout};
use omnifs_support::{Container, Engine, Omnifs, Proxy, skip, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, PoisonError};

fn podman(test: &str) -> Option<World> {
    if let Some(reason) = Omnifs::unavailable() {
        skip(test, &reason);
        return None;
    }
    let engine = Arc::new(Engine::podman(test)?);
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let proxy = Proxy::start(engine.api().socket()).expect("a proxy");
    let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &proxy.host());
    Some(World { proxy, omnifs, engine, _turn: turn })
}

#[test]
fn on_podman_containers_come_go_and_are_renamed_by_event() {
    let Some(world) = podman("podman: containers") else { return };
    let api = world.api();
    let id = api.create(&Container { name: "before", ..Container::default() }).expect("create");
    let mounted = world.mount();
    let base = mounted.join("docker/containers");
    assert_eq!(read(&base.join("by-name/before/state")), "created\n");
    assert_eq!(read(&base.join("by-name/before/logs")), "");
    let inode = fs::metadata(base.join("by-name/before")).expect("stat").ino();
    api.rename("before", "after").expect("rename");
    await_content(&base.join("by-name/after/name"), "after\n");
    assert_eq!(fs::metadata(base.join("by-name/after")).expect("stat").ino(), inode);
    let gone = |name: &str| (!base.join("by-name").join(name).exists()).then_some(());
    assert!(wait_until(SOON, || gone("before")).is_some());
    assert_eq!(read(&base.join("by-id").join(&id).join("name")), "after\n");
    let inspect: Value =
        serde_json::from_str(&read(&base.join("by-name/after/inspect.json"))).expect("JSON");
    assert_eq!(inspect["Id"], id);
    world.requests();
    for _ in 0..50 {
        read(&base.join("by-name/after/inspect.json"));
    }
    assert_eq!(world.requests(), [""; 0], "nothing is asked while nothing happens");
    api.remove("after").expect("remove");
    assert!(wait_until(SOON, || gone("after")).is_some());
}

#[test]
fn on_podman_a_container_runs_logs_and_ends() {
    let Some(world) = podman("podman: running") else { return };
    let api = world.api();
    let talk = ["sh", "-c", "echo out; echo err >&2; sleep 3600"];
    let container = Container { name: "talks", command: &talk, ..Container::default() };
    api.create(&container).expect("create");
    if let Err(error) = api.begin("talks") {
        return skip("podman: running", &format!("Podman runs no container here: {error}"));
    }
    let mounted = world.mount();
    let base = mounted.join("docker/containers");
    assert_eq!(read(&base.join("_running/talks/state")), "running\n");
    let said = || {
        let log = read(&base.join("by-name/talks/logs"));
        let text = |line: &str| line.split_once(' ').map(|(_, text)| text.to_owned());
        let mut texts: Vec<_> = log.lines().filter_map(text).collect();
        texts.sort();
        (texts == ["err", "out"]).then_some(())
    };
    assert!(wait_until(SOON, said).is_some(), "{}", read(&base.join("by-name/talks/logs")));
    assert!(read(&base.join("by-name/talks/stderr.log")).ends_with(" err\n"));
    for (action, state) in [("pause", "paused\n"), ("unpause", "running\n"), ("kill", "exited\n")] {
        api.call("POST", &format!("/containers/talks/{action}"), None).expect(action);
        await_content(&base.join("by-name/talks/state"), state);
    }
    let moved = || (base.join("_stopped/talks").exists()).then_some(());
    assert!(wait_until(SOON, moved).is_some());
    let silent =
        Container { name: "silent", command: &talk, log_driver: "none", ..Container::default() };
    api.run(&silent).expect("run");
    let shown = || base.join("_running/silent").exists().then_some(());
    assert!(wait_until(SOON, shown).is_some());
    assert_eq!(stdout(&shell(&base, "cat by-name/silent/*log*")), "");
    let id = read(&base.join("by-name/silent/id"));
    let logs = format!("/containers/{}/logs", id.trim());
    world.requests();
    assert_eq!(stdout(&shell(&base, "cat by-name/silent/*log*")), "");
    // The stream of the one that was killed may be looked after meanwhile.
    let again = world.requests();
    assert!(!again.iter().any(|path| path.contains(&logs)), "{again:?}");
}

#[test]
fn on_podman_volumes_images_and_networks_are_what_the_engine_has() {
    let Some(world) = podman("podman: others") else { return };
    let api = world.api();
    let mounted = world.mount();
    let docker = mounted.join("docker");
    shell(&docker, "ls -lR images volumes networks > /dev/null");
    let shows = |path: &str| docker.join(path).exists();
    let soon = |path: &str, there: bool| {
        let seen = wait_until(SOON, || (shows(path) == there).then_some(()));
        assert!(seen.is_some(), "{path}: {there}");
    };
    api.create_volume("v1").expect("volume");
    soon("volumes/v1", true);
    assert_eq!(read(&docker.join("volumes/v1/driver")), "local\n");
    api.call("DELETE", "/volumes/v1", None).expect("remove");
    soon("volumes/v1", false);

    // Podman tells of no network: each look asks.
    api.post("/networks/create", json!({ "Name": "n1" })).expect("network");
    assert!(shows("networks/n1"));
    assert!(stdout(&shell(&docker, "ls networks")).lines().any(|name| name == "n1"));
    api.call("DELETE", "/networks/n1", None).expect("remove");
    assert!(!shows("networks/n1"));
    assert!(!stdout(&shell(&docker, "ls networks")).lines().any(|name| name == "n1"));

    let named = docker.join("images/by-name");
    let tagged = |tag: &str| format!("docker.io%2Flibrary%2F{tag}");
    let image = tagged(omnifs_support::engine::IMAGE);
    let inode = fs::metadata(named.join(&image)).expect("the image").ino();
    let open = fs::File::open(named.join(&image).join("id")).expect("open");
    let path = format!("/images/{}/tag?repo=other&tag=1", omnifs_support::engine::IMAGE);
    api.call("POST", &path, None).expect("tag");
    soon(&format!("images/by-name/{}", tagged("other:1")), true);
    api.call("DELETE", "/images/other:1", None).expect("untag");
    soon(&format!("images/by-name/{}", tagged("other:1")), false);
    // Podman calls the image deleted, and it is there: it lost a tag.
    assert_eq!(fs::metadata(named.join(&image)).expect("still there").ino(), inode);
    assert!(open.metadata().is_ok(), "and not stale to who has it open");
    let ids = stdout(&shell(&docker, "ls images/by-id | wc -l"));
    let engine = api.get("/images/json").expect("images");
    assert_eq!(ids, engine.as_array().expect("a list").len().to_string());
}
