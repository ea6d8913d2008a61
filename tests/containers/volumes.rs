//! Volumes of the plugin, and what containers see in them.

use crate::world::{Background, Plugin, REPOSITORY, SOON, TITLE, World, await_inside, inside};
use omnifs_support::{Container, Engine, skip, wait_until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// What an engine says of a failure, in one piece.
fn refused<T: std::fmt::Debug>(result: std::io::Result<T>) -> String {
    result.expect_err("it is refused").to_string()
}

#[test]
fn two_containers_of_one_daemon_show_what_an_event_has_changed() {
    let Some(world) = World::new("containers_event") else { return };
    let Some(engine) = Engine::shared("containers_event") else { return };
    let api = engine.api();
    let _mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let plugin = Plugin::start(&world.omnifs);
    api.create_volume_of(&plugin.driver, "event-acme", json!({ "path": REPOSITORY })).unwrap();
    let names = ["event-one", "event-two"];
    for name in names {
        let binds = &["event-acme:/omnifs:ro"];
        api.run(&Container { name, binds, ..Container::default() }).unwrap();
    }
    world.twin.clock().advance(Duration::from_secs(5));
    let before = inside(api, names[0], &format!("cat {TITLE}"));
    assert_eq!(inside(api, names[1], &format!("cat {TITLE}")), before);
    for title in ["Changed once", "Changed twice"] {
        world.retitle(title);
        for name in names {
            await_inside(api, name, TITLE, &format!("{title}\n"));
        }
    }
    for name in names {
        api.remove(name).unwrap();
    }
    api.remove_volume("event-acme").unwrap();
}

#[test]
fn an_engine_and_a_plugin_that_start_again_know_their_volumes_and_who_uses_them() {
    let Some(world) = World::new("containers_restart") else { return };
    // One that is stopped.
    let Some(engine) = Engine::start("containers_restart") else { return };
    let api = engine.api();
    let _mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let mut plugin = Plugin::start(&world.omnifs);
    let made = json!({ "path": REPOSITORY });
    api.create_volume_of(&plugin.driver, "acme", made.clone()).unwrap();
    for name in ["one", "two"] {
        api.run(&Container { name, binds: &["acme:/omnifs:ro"], ..Container::default() }).unwrap();
    }
    let title = inside(api, "one", &format!("cat {TITLE}"));
    plugin.crash();
    for name in ["one", "two"] {
        assert_eq!(inside(api, name, &format!("cat {TITLE}")), title);
    }
    // The plugin itself knows that it is in use, whatever the engine thinks.
    let said = plugin.ask("VolumeDriver.Remove", json!({ "Name": "acme" }));
    assert!(said["Err"].as_str().unwrap().contains("in use"), "{said}");
    api.run(&Container { name: "three", binds: &["acme:/omnifs"], ..Container::default() })
        .unwrap();
    assert_eq!(inside(api, "three", &format!("cat {TITLE}")), title);
    engine.restart().unwrap();
    api.begin("one").unwrap();
    assert_eq!(inside(api, "one", &format!("cat {TITLE}")), title);
    // One that crashes has given nothing back.
    engine.kill();
    plugin.crash();
    engine.start_again().unwrap();
    let listed = plugin.ask("VolumeDriver.List", json!({}));
    assert_eq!(listed["Volumes"].as_array().unwrap().len(), 1, "{listed}");
    api.begin("two").unwrap();
    assert_eq!(inside(api, "two", &format!("cat {TITLE}")), title);
    assert!(refused(api.remove_volume("acme")).contains("in use"));
    for name in ["one", "two", "three"] {
        api.remove(name).unwrap();
    }
    // The one that was killed has not said that its containers are gone; they are looked for.
    api.remove_volume("acme").unwrap();
    let listed = plugin.ask("VolumeDriver.List", json!({}));
    assert_eq!(listed["Volumes"], json!([]));
}

/// Whether a mount can outlive its process here.
fn can_outlive(test: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 9) {
        skip(test, "a mount outlives its process from Linux 6.9 on");
    }
    version >= (6, 9)
}

#[test]
fn containers_go_on_reading_where_the_daemon_of_their_mount_is_killed() {
    let Some(world) = World::new("containers_killed") else { return };
    let Some(engine) = Engine::shared("containers_killed") else { return };
    if !can_outlive("containers_killed") {
        return;
    }
    let api = engine.api();
    let mounted = Background::mount(&world.omnifs, &[]);
    let plugin = Plugin::start(&world.omnifs);
    api.create_volume_of(&plugin.driver, "killed-acme", json!({ "path": REPOSITORY })).unwrap();
    let names = ["killed-one", "killed-two"];
    for name in names {
        let binds = &["killed-acme:/omnifs:ro"];
        api.run(&Container { name, binds, ..Container::default() }).unwrap();
    }
    let title = inside(api, names[0], &format!("cat {TITLE}"));
    // Somebody who reads on and on, and says each time that it failed.
    let script = format!("while :; do cat {TITLE} >/dev/null || echo failed; sleep 0.05; done");
    let command = &["sh", "-c", script.as_str()];
    let binds = &["killed-acme:/omnifs:ro"];
    api.run(&Container { name: "killed-reader", command, binds, ..Container::default() }).unwrap();
    for _ in 0..2 {
        mounted.kill();
        for name in names {
            assert_eq!(inside(api, name, &format!("cat {TITLE}")), title);
        }
    }
    world.retitle("After the kill");
    for name in names {
        await_inside(api, name, TITLE, "After the kill\n");
    }
    let said = String::from_utf8(api.logs("killed-reader").unwrap()).unwrap();
    assert_eq!(said, "");
    for name in names.into_iter().chain(["killed-reader"]) {
        api.remove(name).unwrap();
    }
}

#[test]
fn what_a_volume_cannot_be_is_said_where_it_is_made() {
    let Some(world) = World::new("containers_refused") else { return };
    let Some(engine) = Engine::shared("containers_refused") else { return };
    let api = engine.api();
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let plugin = Plugin::start(&world.omnifs);
    let socket = plugin.socket().metadata().unwrap();
    assert_eq!((socket.permissions().mode() & 0o777, socket.uid()), (0o600, 0));
    let create = |name: &str, options| api.create_volume_of(&plugin.driver, name, options);
    for (options, said) in [
        (json!({ "path": "github/acme/none" }), "there is no 'github/acme/none' in the mount"),
        (json!({ "path": format!("{REPOSITORY}/_issues/_open/2853/title") }), "is not a directory"),
        (json!({ "path": "../etc" }), "no path below the mount"),
        (json!({ "path": "github/../../etc" }), "no path below the mount"),
        (json!({ "path": "/etc" }), "no path below the mount"),
        (json!({ "o": "path=github" }), "no option is called 'o'"),
    ] {
        let text = refused(create("refused-acme", options));
        assert!(text.contains(said), "{text}");
    }
    create("refused-acme", json!({ "path": REPOSITORY })).unwrap();
    let text = refused(plugin_says(&plugin, "refused-acme", json!({ "path": "github" })));
    assert!(text.contains("there is a volume 'refused-acme' already"), "{text}");
    let container =
        Container { name: "refused-one", binds: &["refused-acme:/omnifs"], ..Container::default() };
    api.run(&container).unwrap();
    let (code, written) = api.exec("refused-one", "echo x > /omnifs/x").unwrap();
    assert!(code != 0 && written.contains("Read-only file system"), "{code}: {written}");
    let (code, written) = api.exec("refused-one", &format!("echo x > {TITLE}")).unwrap();
    assert!(code != 0 && written.contains("Read-only file system"), "{code}: {written}");
    // Nothing of what is above it.
    assert!(!inside(api, "refused-one", "ls -a /omnifs/..").contains("github"));
    api.stop("refused-one").unwrap();
    assert!(mounted.unmount());
    let text = refused(api.begin("refused-one"));
    assert!(text.contains("nothing is mounted at") && text.contains("omnifs mount"), "{text}");
    let _mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    api.begin("refused-one").unwrap();
    inside(api, "refused-one", &format!("cat {TITLE}"));
    api.remove("refused-one").unwrap();
    api.remove_volume("refused-acme").unwrap();
}

/// What the plugin says to a volume that the engine would not ask it for.
fn plugin_says(plugin: &Plugin<'_>, name: &str, options: serde_json::Value) -> std::io::Result<()> {
    let said = plugin.ask("VolumeDriver.Create", json!({ "Name": name, "Opts": options }));
    match said["Err"].as_str().expect("an error or none") {
        "" => Ok(()),
        error => Err(std::io::Error::other(error.to_owned())),
    }
}

#[test]
fn a_container_of_another_user_reads_where_the_mount_is_for_all_and_nowhere_else() {
    let Some(world) = World::new("containers_user") else { return };
    let Some(engine) = Engine::shared("containers_user") else { return };
    let api = engine.api();
    let plugin = Plugin::start(&world.omnifs);
    // It may be made before there is a mount.
    api.create_volume_of(&plugin.driver, "user-acme", json!({ "path": REPOSITORY })).unwrap();
    let binds = &["user-acme:/omnifs:ro"];
    let container =
        Container { name: "user-one", user: "1234:1234", binds, ..Container::default() };
    for (arguments, reads) in [(&[][..], false), (&["--allow-other"][..], true)] {
        let mounted = world.omnifs.mount(arguments).expect("mount");
        api.run(&container).unwrap();
        let (code, written) = api.exec("user-one", &format!("cat {TITLE}")).unwrap();
        assert_eq!(code == 0, reads, "{arguments:?}: {written}");
        api.remove("user-one").unwrap();
        assert!(mounted.unmount());
    }
    api.remove_volume("user-acme").unwrap();
}

#[test]
fn one_plugin_serves_a_socket_and_nothing_but_a_socket_is_put_out_of_its_way() {
    let Some(world) = World::new("containers_socket") else { return };
    let plugin = Plugin::start(&world.omnifs);
    let point = world.omnifs.mount_point();
    let start = |socket: &Path| {
        let arguments = [
            "serve".as_ref(),
            "docker-volumes".as_ref(),
            point.as_os_str(),
            "--socket".as_ref(),
            socket.as_os_str(),
        ];
        world.omnifs.run(&arguments).expect("omnifs")
    };
    let ran = start(&plugin.socket());
    assert!(
        !ran.status.success() && ran.stderr.contains("another process serves"),
        "{}",
        ran.stderr
    );
    let file = world.omnifs.path("file");
    fs::write(&file, "kept").unwrap();
    let ran = start(&file);
    assert!(
        !ran.status.success() && ran.stderr.contains("something else than a socket"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    let socket = plugin.socket();
    drop(plugin);
    let gone = || (!socket.exists()).then_some(());
    assert!(wait_until(SOON, gone).is_some(), "the engine would wait for nobody");
}
