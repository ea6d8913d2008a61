//! The examples of `installers/kubernetes`, read as a cluster's API server reads them, strictly: by the service's own types.

use crate::world::{SOON, World};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, PodSpec};
use omnifs_support::{Omnifs, program, skip, tied, wait_until};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One document of a file.
struct Document {
    file: String,
    value: Value,
}

impl Document {
    fn is<T: Resource>(&self) -> bool {
        self.value["apiVersion"] == T::API_VERSION && self.value["kind"] == T::KIND
    }

    /// As its type. What the type does not have is an error, as with `kubectl apply --validate=strict`.
    fn read<T: DeserializeOwned + Serialize>(&self) -> T {
        let file = &self.file;
        let typed: T = serde_json::from_value(self.value.clone())
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let again = serde_json::to_value(&typed).expect("JSON");
        lost(&self.value, &again, file);
        typed
    }
}

/// Panics where something of `given` is not in what was read of it.
fn lost(given: &Value, read: &Value, at: &str) {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => {
            for (name, value) in given {
                let at = format!("{at}: {name}");
                lost(value, read.get(name).unwrap_or_else(|| panic!("{at} is no field")), &at);
            }
        }
        (Value::Array(given), Value::Array(read)) => {
            assert_eq!(given.len(), read.len(), "{at}");
            for (number, (given, read)) in given.iter().zip(read).enumerate() {
                lost(given, read, &format!("{at}[{number}]"));
            }
        }
        (given, read) => assert_eq!(given, read, "{at}"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("installers/kubernetes")
}

fn documents() -> Vec<Document> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a file");
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let document = |text: &str| {
            let value = serde_saphyr::from_str(text);
            let value = value.unwrap_or_else(|error| panic!("{file}: {error}"));
            Document { file: file.clone(), value }
        };
        text.split("\n---\n").map(document).collect::<Vec<_>>()
    };
    files.into_iter().flat_map(read).collect()
}

pub fn one<T: Resource + DeserializeOwned + Serialize>(file: &str) -> T {
    let documents = documents();
    let mut found = documents.iter().filter(|one| one.file == file && one.is::<T>());
    let document = found.next().unwrap_or_else(|| panic!("{file}: no {}", T::KIND));
    document.read()
}

/// Each mount of a volume names a volume, and each volume is mounted.
fn volumes_fit(file: &str, spec: &PodSpec) {
    let volumes = spec.volumes.iter().flatten().map(|volume| volume.name.as_str());
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mounts = containers.flat_map(|one| one.volume_mounts.iter().flatten());
    let mounted: BTreeSet<&str> = mounts.map(|mount| mount.name.as_str()).collect();
    assert_eq!(volumes.collect::<BTreeSet<_>>(), mounted, "{file}");
}

#[test]
fn the_examples_for_kubernetes_are_of_the_services_own_types_and_nothing_more() {
    let documents = documents();
    assert_eq!(documents.len(), 7);
    for document in &documents {
        let file = document.file.as_str();
        match () {
            () if document.is::<Namespace>() => drop(document.read::<Namespace>()),
            () if document.is::<ConfigMap>() => drop(document.read::<ConfigMap>()),
            () if document.is::<Pod>() => {
                volumes_fit(file, &document.read::<Pod>().spec.expect("a spec"));
            }
            () if document.is::<DaemonSet>() => {
                let spec = document.read::<DaemonSet>().spec;
                let labels = spec.template.metadata.and_then(|metadata| metadata.labels);
                assert_eq!(spec.selector.match_labels, labels, "{file}");
                volumes_fit(file, &spec.template.spec.expect("a spec"));
            }
            () if document.is::<Deployment>() => {
                let spec = document.read::<Deployment>().spec;
                let labels = spec.template.metadata.and_then(|metadata| metadata.labels);
                assert_eq!(spec.selector.match_labels, labels, "{file}");
                volumes_fit(file, &spec.template.spec.expect("a spec"));
            }
            () => panic!("{file}: {} {}", document.value["apiVersion"], document.value["kind"]),
        }
    }
}

#[test]
#[should_panic(expected = "securitycontext is no field")]
fn a_field_that_kubernetes_does_not_have_is_found() {
    let value = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "spec": { "containers": [{ "name": "a", "securitycontext": { "privileged": true } }] },
    });
    Document { file: "made up".into(), value }.read::<Pod>();
}

/// The directory of the node that a pod gets, and how mounts come and go in it.
fn shared(spec: &PodSpec, container: usize) -> (String, String, String) {
    let has_path = |volume: &&k8s_openapi::api::core::v1::Volume| volume.host_path.is_some();
    let volume = spec.volumes.iter().flatten().find(has_path).expect("a directory of the node");
    let mounts = spec.containers[container].volume_mounts.iter().flatten();
    let mount = mounts.into_iter().find(|mount| mount.name == volume.name).expect("a mount");
    let path = volume.host_path.as_ref().expect("a path").path.clone();
    (path, mount.mount_path.clone(), mount.mount_propagation.clone().unwrap_or_default())
}

#[test]
fn the_nodes_mount_goes_to_the_node_and_from_there_to_pods_without_privileges() {
    let node = one::<DaemonSet>("node.yaml").spec.template.spec.expect("a spec");
    let reader = one::<Pod>("consumer.yaml").spec.expect("a spec");
    let (path, inside, propagation) = shared(&node, 0);
    assert_eq!(propagation, "Bidirectional");
    let arguments = node.containers[0].args.clone().expect("arguments");
    let point = arguments.last().expect("a mountpoint");
    // Not the shared directory itself: pods that got it before a mount would not see what is mounted over it.
    assert_eq!(Path::new(point).parent(), Some(Path::new(&inside)));
    assert!(arguments.iter().any(|one| one == "--allow-other"), "{arguments:?}");
    let (read, _, propagation) = shared(&reader, 0);
    assert_eq!((read, propagation.as_str()), (path, "HostToContainer"));
    let relay = one::<Deployment>("relay.yaml").spec.template.spec.expect("a spec");
    let sidecar = one::<Pod>("nfs-sidecar.yaml").spec.expect("a spec");
    for spec in [&reader, &relay, &sidecar] {
        let for_all = spec.security_context.clone().unwrap_or_default();
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
            let own = container.security_context.clone().unwrap_or_default();
            assert!(!own.privileged.unwrap_or(false), "{}", container.name);
            assert_eq!(own.allow_privilege_escalation, Some(false), "{}", container.name);
            assert_eq!(
                own.run_as_non_root.or(for_all.run_as_non_root),
                Some(true),
                "{}",
                container.name
            );
        }
    }
    // The level `restricted` allows no directory of the node.
    for spec in [&relay, &sidecar] {
        assert!(spec.volumes.iter().flatten().all(|volume| volume.host_path.is_none()));
    }
}

#[test]
fn the_configurations_of_the_examples_for_kubernetes_have_no_mistake() {
    let omnifs = Omnifs::new().expect("a home");
    for file in ["node.yaml", "relay.yaml"] {
        let data = one::<ConfigMap>(file).data.expect("data");
        omnifs.config(&data["config.toml"]).expect("a configuration");
        let ran = omnifs.run(&["config", "check"]).expect("omnifs");
        assert!(ran.status.success(), "{file}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn the_reader_beside_the_sidecar_finds_the_export_and_lists_the_issues() {
    let test = "containers_sidecar";
    if program("nfs-ls").is_none() {
        return skip(test, "nfs-ls is not installed: apt-get install libnfs-utils");
    }
    let Some(world) = World::new(test) else { return };
    let pod = one::<Pod>("nfs-sidecar.yaml").spec.expect("a spec");
    let shared = world.omnifs.path("shared");
    fs::create_dir(&shared).expect("a directory");
    let own = world.omnifs.command();
    let bin = Path::new(own.get_program()).parent().expect("a directory").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path)));
    let path = path.expect("directories");
    let user = rustix::process::geteuid().as_raw();
    // The example's own lines, with the directory and the user of this test.
    let command = |words: Option<Vec<String>>| {
        let words = words.expect("a command");
        let here = |word: &String| {
            let word = word.replace("/shared", shared.to_str().expect("Unicode"));
            word.replace("uid=1000&gid=1000", &format!("uid={user}&gid={user}"))
                .replace("sleep 60", "exit")
        };
        let words: Vec<String> = words.iter().map(here).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("PATH", &path);
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null());
        command
    };
    let sidecar = pod.init_containers.expect("a sidecar").remove(0);
    let mut serving = tied::spawn(command(sidecar.command)).expect("it runs");
    let probe = sidecar.startup_probe.and_then(|probe| probe.exec).and_then(|exec| exec.command);
    let ready = || command(probe.clone()).status().ok()?.success().then_some(());
    assert!(wait_until(SOON, ready).is_some(), "the sidecar is not ready");
    let listed = command(pod.containers[0].command.clone()).output().expect("it runs");
    tied::stop(&mut serving, Duration::from_secs(60));
    let said = String::from_utf8_lossy(&listed.stdout);
    assert!(said.contains("2853"), "{said}{}", String::from_utf8_lossy(&listed.stderr));
}
