//! An engine that is absent, refuses, dies or stops half way: an error with a name, in time, never
//! "no such file", and recovery without a remount.

use crate::{SOON, World, await_live, engine};
use omnifs_support::{Container, Engine, Fault, Omnifs, Proxy, skip, wait_until};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Linux errno.
const EIO: i32 = 5;
const ETIMEDOUT: i32 = 110;

/// For a call that cannot succeed to fail: the host's own deadline and a margin.
const DEADLINE: Duration = Duration::from_secs(120);

fn fails(path: &Path) -> i32 {
    let start = Instant::now();
    let error = std::fs::read(path).expect_err("the engine does not answer");
    assert!(start.elapsed() < DEADLINE, "failed only after {:?}", start.elapsed());
    assert_ne!(error.kind(), io::ErrorKind::NotFound, "{}", path.display());
    error.raw_os_error().expect("an errno")
}

fn recovers(path: &Path, expected: &str) {
    let read = || (std::fs::read_to_string(path).ok()? == expected).then_some(());
    assert!(wait_until(SOON, read).is_some(), "{:?}", std::fs::read_to_string(path));
}

#[test]
fn an_absent_engine_is_an_error_with_a_hint_and_not_a_missing_file() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("absent_engine", &reason);
    }
    let omnifs = Omnifs::new().expect("a home");
    let mounted = omnifs.mount::<&str>(&[]).expect("mounts all the same");
    assert_eq!(fails(&mounted.join("docker/containers/by-name/x/state")), EIO);
    let status = mounted.status().expect("status");
    let detail = status["errors"][0]["detail"].as_str().expect("an error is kept").to_owned();
    assert!(detail.contains("no-engine.sock"), "{detail}");
    assert_eq!(status["errors"][0]["provider"], "docker");
    assert_eq!(status["errors"][0]["path"], "docker/containers/by-name/x");
}

#[test]
fn a_refused_socket_a_dropped_and_a_half_answer_are_eio_and_recover_by_themselves() {
    let Some(world) = World::new("refused") else { return };
    let api = world.api();
    api.run(&Container { name: "faulty", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let base = mounted.join("docker/containers/by-name/faulty");
    for fault in [Fault::Drop, Fault::Half, Fault::Status(500)] {
        world.proxy.fault("/json", fault);
        assert_eq!(fails(&base.join("state")), EIO, "{fault:?}");
        world.proxy.mend();
        recovers(&base.join("state"), "running\n");
        // Forget what was read, so that the next fault is met.
        world.proxy.cut("/events");
        await_live(&mounted);
    }
    world.proxy.refuse();
    assert_eq!(fails(&base.join("state")), EIO);
    world.proxy.listen().expect("listen");
    recovers(&base.join("state"), "running\n");
    api.remove("faulty").expect("remove");
}

#[test]
fn a_stalled_engine_is_etimedout_within_the_deadline() {
    let Some(world) = World::new("stalled") else { return };
    let api = world.api();
    api.create(&Container { name: "stalled", ..Container::default() }).expect("create");
    let mounted = world.mount();
    world.proxy.fault("/json", Fault::Stall);
    let path = mounted.join("docker/containers/by-name/stalled/state");
    assert_eq!(fails(&path), ETIMEDOUT);
    world.proxy.mend();
    recovers(&path, "created\n");
    api.remove("stalled").expect("remove");
}

#[test]
fn an_engine_killed_while_it_is_being_read_is_eio_to_the_reader_and_recovers() {
    if engine("killed_mid_read").is_none() {
        return;
    }
    let Some(engine) = Engine::start("killed_mid_read") else { return };
    let api = engine.api();
    let proxy = Proxy::start(api.socket()).expect("a proxy");
    for name in ["held", "unread"] {
        api.create(&Container { name, ..Container::default() }).expect("create");
    }
    let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &proxy.host());
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    await_live(&mounted);
    let by_name = mounted.join("docker/containers/by-name");
    let mut held = File::open(by_name.join("held/name")).expect("open");
    // The engine takes the request, and will never answer it.
    engine.pause();
    proxy.take();
    let path = by_name.join("unread/state");
    let reader = thread::spawn({
        let path = path.clone();
        move || fails(&path)
    });
    let arrived = proxy.wait_for("/containers/unread/json", SOON);
    assert!(arrived.is_some(), "{:?}", proxy.requests());
    assert!(!reader.is_finished(), "the engine has not answered");
    engine.kill();
    assert_eq!(reader.join().expect("join"), EIO);
    assert_eq!(fails(&path), EIO, "and it stays so while there is no engine");
    assert_eq!(fails(&by_name.join("stranger/state")), EIO);
    let mut text = String::new();
    held.read_to_string(&mut text).expect("what was opened before still reads");
    assert_eq!(text, "held\n");
    engine.start_again().expect("start again");
    await_live(&mounted);
    recovers(&path, "created\n");
    let listed = fs::read_dir(&by_name).expect("list").count();
    assert_eq!(listed, 2);
}

#[test]
fn an_engine_killed_and_started_again_is_read_without_a_remount() {
    if engine("killed").is_none() {
        return;
    }
    // Its own engine: killing the shared one would fail the other tests.
    let Some(engine) = Engine::start("killed") else { return };
    let api = engine.api();
    api.create(&Container { name: "survivor", ..Container::default() }).expect("create");
    let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &engine.host());
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    await_live(&mounted);
    let path = mounted.join("docker/containers/by-name/survivor/state");
    recovers(&path, "created\n");
    engine.kill();
    let failed = wait_until(SOON, || std::fs::read(&path).err());
    let error = failed.expect("what was cached is not served once the engine is gone");
    assert_eq!(error.raw_os_error(), Some(EIO), "{error}");
    engine.start_again().expect("start again");
    await_live(&mounted);
    recovers(&path, "created\n");
}
