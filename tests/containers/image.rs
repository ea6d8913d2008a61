//! The images of `installers/container`, built and run by a real engine.

use crate::kubernetes::one;
use crate::world::{REPOSITORY, SOON, World};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use omnifs_support::engine::Api;
use omnifs_support::mount::{detach, is_mounted};
use omnifs_support::{Container, Engine, Server, program, skip, wait_until};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// As whom the relay's image runs.
const RELAY: u32 = 65_532;
const NATS: &str = "nats-server";

/// A directory as a cluster makes one for a pod: open to all, and of the pod's group.
fn volume(path: &Path) {
    fs::create_dir(path).expect("a directory");
    chown(path, Some(0), Some(RELAY)).expect("owned");
    fs::set_permissions(path, fs::Permissions::from_mode(0o2777)).expect("a mode");
}

/// An engine that can build the images here.
fn engine(test: &str) -> Option<Arc<Engine>> {
    if !Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        skip(test, "there are no certificate authorities: apt-get install ca-certificates");
        return None;
    }
    Engine::shared(test)
}

/// Builds an image, with the build of the tests in the place of a release's: what differs is its size.
fn build(world: &World, api: &Api, target: &str) {
    let context = world.omnifs.path("context");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("installers/container/context.sh");
    let program = world.omnifs.command().get_program().to_owned();
    let made = Command::new("sh").arg(script).arg(program).arg(&context).output().expect("sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    api.build_in(&context, target, &format!("{target}:test")).expect("an image");
    fs::remove_dir_all(&context).expect("removed");
}

/// A directory that shares what is mounted in it with who gets it, as a cluster's node has its own.
struct Shared(PathBuf);

impl Shared {
    fn make(path: PathBuf) -> Shared {
        fs::create_dir(&path).expect("a directory");
        mount_bind(&path, &path).expect("a bind");
        let shared = Shared(path);
        mount_change(&shared.0, MountPropagationFlags::SHARED).expect("shared");
        shared
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        detach(&self.0.join("tree"));
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// The example's DaemonSet and its pod, by an engine in the place of a cluster.
#[test]
fn a_reader_sees_the_nodes_mount_come_again_without_a_restart_of_its_own() {
    let test = "containers_node";
    let Some(world) = World::new(test) else { return };
    let Some(engine) = engine(test) else { return };
    let api = engine.api();
    build(&world, api, "omnifs");
    let host = Shared::make(world.omnifs.path("host"));
    let config = world.omnifs.path("config-of-node");
    fs::create_dir(&config).expect("a directory");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o777)).expect("a mode");
    fs::write(config.join("config.toml"), world.config()).expect("written");
    let pod = one::<DaemonSet>("node.yaml").spec.template.spec.expect("a spec");
    let on_host = format!("{}:/host:rshared", host.0.display());
    let first = pod.init_containers.expect("one that makes the directory").remove(0).command;
    let first = first.expect("a command");
    let container = Container {
        name: "node-directory",
        command: &first.iter().map(String::as_str).collect::<Vec<_>>(),
        binds: &[&on_host],
        ..Container::default()
    };
    let id = api.run(&container).expect("it runs");
    assert_eq!(api.wait(&id).expect("it ends"), 0, "{:?}", api.logs(&id));
    let arguments = pod.containers[0].args.clone().expect("arguments");
    let configured = format!("{}:/etc/omnifs:ro", config.display());
    let container = Container {
        name: "node",
        image: "omnifs:test",
        command: &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        environment: &["OMNIFS_CONFIG=/etc/omnifs/config.toml"],
        binds: &[&on_host, &configured],
        network: "host",
        may_mount: true,
        ..Container::default()
    };
    api.run(&container).expect("it runs");
    let in_pod = format!("{}:/omnifs:ro,rslave", host.0.display());
    let reader = Container {
        name: "node-reader",
        binds: &[&in_pod],
        user: "1000:1000",
        confined: true,
        ..Container::default()
    };
    api.run(&reader).expect("it runs");
    let title = format!("cat /omnifs/tree/{REPOSITORY}/_issues/_open/2853/title");
    let await_title = || {
        let reads = || api.exec(reader.name, &title).ok().filter(|(code, _)| *code == 0);
        let read = wait_until(SOON, reads);
        read.unwrap_or_else(|| {
            panic!("{:?}", String::from_utf8_lossy(&api.logs("node").expect("logs")))
        })
        .1
    };
    let before = await_title();
    assert!(is_mounted(&host.0.join("tree")), "the machine has it too");
    let (code, written) = api.exec(reader.name, "echo x > /omnifs/tree/x").expect("exec");
    assert!(code != 0 && written.contains("Read-only file system"), "{written}");
    // What a crash leaves is in everybody's way until the next one comes.
    api.kill("node", "SIGKILL").expect("killed");
    api.wait("node").expect("it ends");
    api.begin("node").expect("it starts again");
    assert_eq!(await_title(), before);
    // As a cluster ends it, with as much time as it needs.
    api.kill("node", "SIGTERM").expect("a signal");
    api.wait("node").expect("it ends");
    assert!(!is_mounted(&host.0.join("tree")), "what ends by itself leaves nothing");
    for name in ["node-reader", "node"] {
        api.remove(name).expect("removed");
    }
}

/// The relay as `installers/kubernetes/relay.yaml` runs it, by an engine in the place of a cluster: first what copies the
/// secrets, then the relay, both as a user without rights.
#[test]
fn the_relays_image_runs_without_a_right_as_the_example_for_kubernetes_has_it() {
    let test = "containers_relay";
    if program(NATS).is_none() {
        return skip(test, "nats-server is not installed: apt-get install nats-server");
    }
    let Some(world) = World::new(test) else { return };
    let Some(engine) = engine(test) else { return };
    let (api, omnifs) = (engine.api(), &world.omnifs);
    build(&world, api, "relay");

    let store = omnifs.path("bus");
    let arguments = |at: &str| {
        let port = at.rsplit(':').next().unwrap_or_default().to_owned();
        let store = store.join("store").display().to_string();
        ["-a", "127.0.0.1", "-p", &port, "-js", "-sd", &store].map(str::to_owned).to_vec()
    };
    let bus = Server::start(NATS, &store, arguments).expect("a NATS server");
    let [given, state, config] =
        ["given", "state-of-relay", "config-of-relay"].map(|name| omnifs.path(name));
    for path in [&given, &state, &config] {
        volume(path);
    }
    let key = given.join("relay.key");
    let ran = omnifs.run(&["relay".as_ref(), "key".as_ref(), key.as_os_str()]).expect("omnifs");
    assert!(ran.status.success(), "{}", ran.stderr);
    // As a cluster shows a secret to a group.
    chown(&key, Some(0), Some(RELAY)).expect("owned");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).expect("a mode");
    let text = format!(
        "{}[fleet]\nurl = 'nats://{}'\nrelays = ['{}']\nscopes.github = ['>']\n\
         [relay]\nkey-file = '/var/lib/omnifs-relay/secrets/relay.key'\n",
        world.config(),
        bus.address(),
        ran.stdout.trim(),
    );
    fs::write(config.join("config.toml"), text).expect("written");

    let pod = one::<Deployment>("relay.yaml").spec.template.spec.expect("a spec");
    let copies = &pod.init_containers.expect("one that copies")[0];
    let command = copies.command.clone().expect("a command");
    let user = format!("{RELAY}:{RELAY}");
    let [given, state, config] = [&given, &state, &config].map(|path| path.display());
    let binds = [format!("{given}:/given:ro"), format!("{state}:/state")];
    let container = Container {
        name: "relay-secrets",
        command: &command.iter().map(String::as_str).collect::<Vec<_>>(),
        binds: &binds.each_ref().map(String::as_str),
        user: &user,
        confined: true,
        ..Container::default()
    };
    let id = api.run(&container).expect("it runs");
    assert_eq!(api.wait(&id).expect("it ends"), 0, "{:?}", api.logs(&id));

    let arguments = pod.containers[0].args.clone().expect("arguments");
    let binds =
        [format!("{config}:/etc/omnifs/relay:ro"), format!("{state}:/var/lib/omnifs-relay")];
    // Somebody else may take a port between the moment it is found free and the relay's start.
    let started = (1..=3).find_map(|attempt| {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let listening = format!("127.0.0.1:{port}");
        let name = format!("relay-{attempt}");
        let more = ["--webhook-listen", &listening];
        let container = Container {
            name: &name,
            image: "relay:test",
            command: &arguments.iter().map(String::as_str).chain(more).collect::<Vec<_>>(),
            environment: &[
                "OMNIFS_POLL_MS=3600000",
                "OMNIFS_BEAT_MS=20000",
                "OMNIFS_WEBHOOK_SECRET_GITHUB=secret",
            ],
            binds: &binds.each_ref().map(String::as_str),
            network: "host",
            confined: true,
            ..Container::default()
        };
        api.run(&container).expect("it runs");
        let said = || String::from_utf8_lossy(&api.logs(&name).expect("logs")).into_owned();
        let leads = wait_until(SOON, || {
            let ended = api.inspect(&name).ok()?["State"]["Running"] == false;
            let leads = said().contains("this relay leads");
            (leads || ended).then_some(leads)
        });
        match leads {
            Some(true) => return Some((name, listening)),
            Some(false) => eprintln!("the relay has ended:\n{}", said()),
            None => panic!("the relay does not lead:\n{}", said()),
        }
        None
    });
    let (name, listening) = started.expect("a relay");
    // As whom it runs, by the machine's own account of it.
    let pid = &api.inspect(&name).expect("it is there")["State"]["Pid"];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("Uid:"), [RELAY; 4].map(|id| id.to_string()).join(" "));
    assert_eq!(line("CapEff:"), "0000000000000000");
    // It answers: an unsigned delivery is refused.
    let mut stream = TcpStream::connect(&listening).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a bound");
    let head = "POST /hook/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    api.remove(&name).expect("removed");
}
