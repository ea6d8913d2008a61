//! The provider `k8s` against an API server's twin, whose state says what is right.

mod served;
mod twin;

use crate::{configure, home};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, Event, Namespace, Node, ObjectReference, Pod, PodSpec,
    PodStatus, Secret,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use omnifs_support::tools::{await_content, await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use twin::{Behaviour, Twin};

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;
const EACCES: i32 = 13;

const CONFIGMAPS: &str = "/configmaps";
const PODS: &str = "/pods";

/// A cluster, and a home whose mounts reach it.
struct World {
    omnifs: Omnifs,
    twin: Twin,
}

impl World {
    /// Nothing where no mount can be made, which is said.
    fn new(test: &str, polls: &str, settings: &str) -> Option<World> {
        let omnifs = home(test, &["tail"])?.env("OMNIFS_POLL_MS", polls);
        let world = World { omnifs, twin: Twin::start() };
        fill(&world.twin);
        world.configure(settings);
        Some(world)
    }

    fn configure(&self, settings: &str) {
        let own =
            format!("[instances.k8s]\nendpoints.cluster = '{}'\n{settings}\n", self.twin.url());
        configure(&self.omnifs, &own);
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("k8s").join(path)
}

fn named(namespace: &str, name: &str) -> ObjectMeta {
    let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
    ObjectMeta { namespace, name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn configmap(namespace: &str, name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ConfigMap {
        metadata: named(namespace, name),
        data: Some(data.collect()),
        ..ConfigMap::default()
    }
}

/// A pod of these containers, each in its state.
fn pod(namespace: &str, name: &str, containers: &[(&str, ContainerState)]) -> Pod {
    let container = |(name, _): &(&str, ContainerState)| Container {
        name: (*name).to_owned(),
        image: Some("example.org/app:1.0".to_owned()),
        args: Some(vec!["--listen=0.0.0.0:80".to_owned(), "true".to_owned(), "0x10".to_owned()]),
        ..Container::default()
    };
    let status = |(name, state): &(&str, ContainerState)| ContainerStatus {
        name: (*name).to_owned(),
        state: Some(state.clone()),
        ..ContainerStatus::default()
    };
    Pod {
        metadata: named(namespace, name),
        spec: Some(PodSpec {
            containers: containers.iter().map(container).collect(),
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            container_statuses: Some(containers.iter().map(status).collect()),
            ..PodStatus::default()
        }),
    }
}

fn running() -> ContainerState {
    ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() }
}

fn ended_container() -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated::default()),
        ..ContainerState::default()
    }
}

fn waiting() -> ContainerState {
    ContainerState { waiting: Some(ContainerStateWaiting::default()), ..ContainerState::default() }
}

/// What no file may show.
const SECRET: &str = "correct-horse-battery";

fn fill(twin: &Twin) {
    for name in ["default", "kube-system", "team"] {
        twin.put("/namespaces", Namespace { metadata: named("", name), ..Namespace::default() });
    }
    twin.put("/nodes", Node { metadata: named("", "worker-1"), ..Node::default() });
    let odd = [
        ("run.sh", "#!/bin/sh\n\nexec app # now\n"),
        ("answer", "42"),
        ("on", "off"),
        ("empty", ""),
        ("odd", " a: b\u{1b}\u{85}\n  \tc"),
        ("end", "a\nb"),
        ("quote", "\"it's\""),
    ];
    twin.put(CONFIGMAPS, configmap("default", "settings", &odd));
    twin.put(CONFIGMAPS, configmap("default", "other", &[("k", "v")]));
    twin.put(CONFIGMAPS, configmap("kube-system", "settings", &[("k", "v")]));
    let applied = format!("{{\"stringData\": {{\"password\": \"{SECRET}\"}}}}");
    let annotations =
        BTreeMap::from([("kubectl.kubernetes.io/last-applied-configuration".to_owned(), applied)]);
    twin.put(
        "/secrets",
        Secret {
            metadata: ObjectMeta { annotations: Some(annotations), ..named("default", "login") },
            data: Some(BTreeMap::from([("password".to_owned(), ByteString(SECRET.into()))])),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        },
    );
    twin.put(PODS, pod("default", "web-0", &[("web", running()), ("later", waiting())]));
    twin.put(PODS, pod("default", "job-0", &[("job", ended_container())]));
    twin.put(PODS, pod("kube-system", "dns-0", &[("dns", running())]));
    twin.put(
        "apps/deployments",
        Deployment {
            metadata: named("default", "web"),
            spec: DeploymentSpec { replicas: Some(3), ..DeploymentSpec::default() },
            status: Some(DeploymentStatus {
                ready_replicas: Some(2),
                ..DeploymentStatus::default()
            }),
        },
    );
    let custom = |kind: &str, metadata: ObjectMeta, spec: Value| json!({"apiVersion": "example.org/v1", "kind": kind, "metadata": metadata, "spec": spec});
    let spec = json!({"size": 1.5, "on": true, "none": null, "list": [[1, "2"], {}], "deep": [{"a": [{"b": []}]}]});
    twin.put("example.org/widgets", custom("Widget", named("default", "blue"), spec));
    twin.put("example.org/gadgets", custom("Gadget", named("", "one"), json!({})));
    twin.put(
        "metrics.k8s.io/pods",
        json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": named("default", "web-0"),
            "window": "10s",
        }),
    );
}

fn event(namespace: &str, name: &str, pod: &str, at: &str, message: &str) -> Event {
    let at = Time(at.parse().expect("a time"));
    Event {
        metadata: named(namespace, name),
        involved_object: ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectReference::default()
        },
        count: Some(2),
        type_: Some("Warning".to_owned()),
        reason: Some("BackOff".to_owned()),
        message: Some(message.to_owned()),
        last_timestamp: Some(at),
        reporting_component: Some("kubelet".to_owned()),
        ..Event::default()
    }
}

/// The value of a YAML file.
fn value(path: &Path) -> Value {
    let text = read(path);
    serde_saphyr::from_str(&text)
        .unwrap_or_else(|error| panic!("{}: {error}: {text}", path.display()))
}

/// Waits until a scope was polled and is live.
fn await_live(mounted: &Mounted<'_>, scope: &str) {
    let good =
        |one: &Value| one["scope"] == scope && !one["heard"].is_null() && one["state"] == "live";
    let live = wait_until(SOON, || {
        mounted.status().ok()?["scopes"].as_array()?.iter().any(good).then_some(())
    });
    assert!(live.is_some(), "{scope}: {:?}", mounted.status());
}

fn until(holds: impl Fn() -> bool, why: impl Fn() -> String) {
    assert!(wait_until(SOON, || holds().then_some(())).is_some(), "{}", why());
}

fn absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[test]
fn the_tree_is_what_the_cluster_holds() {
    for one_by_one in [false, true] {
        let Some(world) = World::new("k8s_shown", NEVER, "") else { return };
        world.twin.behave(|behaviour| behaviour.one_by_one = one_by_one);
        let mounted = world.mount();
        let listed = |path: &str| list(&place(&mounted, path)).expect("a directory");
        let mut namespaces = listed("");
        // The others are the host's own.
        namespaces.retain(|name| !name.starts_with('.') && !name.ends_with(".md"));
        assert_eq!(namespaces, ["_cluster", "default", "kube-system", "team"]);
        let kinds = [
            "configmaps",
            "deployments",
            "events",
            "events.events.k8s.io",
            "pods",
            "pods.metrics.k8s.io",
            "secrets",
            "widgets",
        ];
        assert_eq!(listed("default"), kinds);
        assert_eq!(listed("team"), kinds);
        assert_eq!(listed("_cluster"), ["gadgets", "namespaces", "nodes"]);

        let mut seen = 0;
        for (directory, resource) in [
            ("configmaps", CONFIGMAPS),
            ("deployments", "apps/deployments"),
            ("pods", PODS),
            ("pods.metrics.k8s.io", "metrics.k8s.io/pods"),
            ("widgets", "example.org/widgets"),
            ("gadgets", "example.org/gadgets"),
            ("namespaces", "/namespaces"),
            ("nodes", "/nodes"),
        ] {
            let objects = world.twin.objects(resource);
            for space in ["", "default", "kube-system", "team"] {
                let own: Vec<_> = objects.iter().filter(|(own, ..)| own == space).collect();
                let at = if space.is_empty() { "_cluster" } else { space };
                let shown = place(&mounted, at).join(directory);
                if own.is_empty() {
                    assert!(list(&shown).is_ok_and(|names| names.is_empty()) || absent(&shown));
                    continue;
                }
                let mut names: Vec<_> = own.iter().map(|(_, name, _)| name.clone()).collect();
                names.sort();
                assert_eq!(list(&shown).expect("a directory"), names);
                for (_, name, object) in own {
                    let mut expected = object.clone();
                    expected["metadata"]
                        .as_object_mut()
                        .expect("an object")
                        .remove("managedFields");
                    let status = expected.as_object_mut().expect("an object").remove("status");
                    assert_eq!(value(&shown.join(name).join("manifest.yaml")), expected);
                    let status = status.filter(|status| !status.is_null());
                    match status {
                        Some(status) => {
                            assert_eq!(value(&shown.join(name).join("status.yaml")), status)
                        }
                        None => assert!(absent(&shown.join(name).join("status.yaml"))),
                    }
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 14);
        // An answer about one says the same as the listing.
        let one = place(&mounted, "default/deployments/web");
        let text = read(&one.join("manifest.yaml"));
        assert!(text.starts_with("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n"), "{text}");
        assert!(mounted.unmount());
        let mounted = world.mount();
        assert_eq!(read(&place(&mounted, "default/deployments/web/manifest.yaml")), text);
        for path in ["default/deployments/none", "default/none", "none", "default/pods/web-0/none"]
        {
            assert!(absent(&place(&mounted, path)), "{path}");
        }
    }
}

#[test]
fn events_of_an_object_are_those_at_each_open() {
    let Some(world) = World::new("k8s_events", NEVER, "") else { return };
    let put = |name: &str, pod: &str, at: &str, message: &str| {
        world.twin.put("/events", event("default", name, pod, at, message));
    };
    put("b", "web-0", "2026-01-05T09:00:02Z", "second");
    put("a", "web-0", "2026-01-05T09:00:01Z", "first\nof two lines");
    put("c", "job-0", "2026-01-05T09:00:03Z", "of another");
    let mounted = world.mount();
    let events = place(&mounted, "default/pods/web-0/events.txt");
    let expected = "2026-01-05T09:00:01Z Warning BackOff x2 kubelet: first of two lines\n\
        2026-01-05T09:00:02Z Warning BackOff x2 kubelet: second\n";
    assert_eq!(read(&events), expected);
    put("d", "web-0", "2026-01-05T09:00:04Z", "third");
    assert!(read(&events).ends_with("kubelet: third\n"));
    assert_eq!(read(&place(&mounted, "default/configmaps/settings/events.txt")), "");
}

#[test]
fn what_changes_comes_or_goes_shows_by_a_watch() {
    let Some(world) = World::new("k8s_changes", OFTEN, "") else { return };
    let mounted = world.mount();
    let maps = place(&mounted, "default/configmaps");
    let (changed, gone, new) = (maps.join("settings"), maps.join("other"), maps.join("new"));
    let manifest = |path: &Path| value(&path.join("manifest.yaml"));
    assert_eq!(manifest(&gone)["data"], json!({"k": "v"}));
    assert_eq!(list(&maps).expect("a directory"), ["other", "settings"]);
    assert!(absent(&new));
    await_live(&mounted, "kind:/v1/configmaps:");

    world.twin.put(CONFIGMAPS, configmap("default", "settings", &[("answer", "43")]));
    until(
        || manifest(&changed)["data"] == json!({"answer": "43"}),
        || read(&changed.join("manifest.yaml")),
    );
    world.twin.put(CONFIGMAPS, configmap("default", "new", &[("number", "1")]));
    until(|| new.join("manifest.yaml").is_file(), || "it is not there".to_owned());
    assert_eq!(manifest(&new)["data"], json!({"number": "1"}));
    world.twin.remove(CONFIGMAPS, "default", "other");
    await_gone(&gone, SOON);
    let names = || list(&maps).expect("a directory");
    until(|| names() == ["new", "settings"], || format!("{:?}", names()));
    // Another object of the same name is not the one that was there.
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("a file"));
    let before = inode(&new);
    world.twin.remove(CONFIGMAPS, "default", "new");
    world.twin.put(CONFIGMAPS, configmap("default", "new", &[("number", "2")]));
    let now = || fs::read_to_string(new.join("manifest.yaml")).unwrap_or_default();
    until(|| now().contains("number: \"2\""), now);
    assert_ne!(inode(&new), before);

    // A namespace comes and goes.
    let space = place(&mounted, "later");
    assert!(absent(&space));
    world
        .twin
        .put("/namespaces", Namespace { metadata: named("", "later"), ..Namespace::default() });
    until(|| space.is_dir(), || "the namespace is not there".to_owned());
    await_live(&mounted, "cluster");
    world.twin.remove("/namespaces", "", "later");
    await_gone(&space, SOON);
}

#[test]
fn what_was_forgotten_while_no_watch_could_be_had_is_a_gap_and_nothing_stale_is_shown() {
    for gone_in_stream in [false, true] {
        let Some(world) = World::new("k8s_compacted", OFTEN, "") else { return };
        world.twin.behave(|behaviour| behaviour.gone_in_stream = gone_in_stream);
        let mounted = world.mount();
        let maps = place(&mounted, "default/configmaps");
        let manifest =
            || fs::read_to_string(maps.join("settings/manifest.yaml")).unwrap_or_default();
        assert!(manifest().contains("answer: \"42\""));
        assert_eq!(list(&maps).expect("a directory"), ["other", "settings"]);
        await_live(&mounted, "kind:/v1/configmaps:");
        world.twin.behave(|behaviour| behaviour.no_watches = true);
        world.twin.take_requests();
        // From now on no watch that began before is under way.
        until(
            || {
                let own =
                    |path: &String| path.contains("configmaps") && path.contains("watch=true");
                world.twin.take_requests().iter().any(own)
            },
            || "nobody watches".to_owned(),
        );
        world.twin.put(CONFIGMAPS, configmap("default", "settings", &[("answer", "43")]));
        world.twin.remove(CONFIGMAPS, "default", "other");
        world.twin.put(CONFIGMAPS, configmap("default", "new", &[]));
        world.twin.compact();
        world.twin.behave(|behaviour| behaviour.no_watches = false);
        until(|| manifest().contains("answer: \"43\""), manifest);
        await_gone(&maps.join("other"), SOON);
        let names = || list(&maps).expect("a directory");
        until(|| names() == ["new", "settings"], || format!("{:?}", names()));
        // And the watch goes on.
        await_live(&mounted, "kind:/v1/configmaps:");
        world.twin.put(CONFIGMAPS, configmap("default", "settings", &[("answer", "44")]));
        until(|| manifest().contains("answer: \"44\""), manifest);
    }
}

#[test]
fn what_has_changed_while_the_server_was_down_shows_once_it_answers() {
    let Some(World { omnifs, mut twin }) = World::new("k8s_stopped", OFTEN, "") else { return };
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let maps = place(&mounted, "default/configmaps");
    let settings = maps.join("settings/manifest.yaml");
    assert!(read(&settings).contains("answer: \"42\""));
    assert!(maps.join("other").is_dir());
    twin.stop();
    let fails = || fs::read(&settings).is_err_and(|error| error.raw_os_error() == Some(EIO));
    until(fails, || format!("{:?}", fs::read(&settings)));
    assert!(!absent(&maps.join("other")), "nobody says that it is gone");
    twin.put(CONFIGMAPS, configmap("default", "settings", &[("answer", "43")]));
    twin.remove(CONFIGMAPS, "default", "other");
    assert_eq!(errno(&settings), EIO);
    twin.start_again();
    let now = || fs::read_to_string(&settings).unwrap_or_default();
    until(|| now().contains("answer: \"43\""), now);
    await_gone(&maps.join("other"), SOON);
}

/// Enough for twenty pages.
const MANY: usize = 10_000;

#[test]
fn ten_thousand_objects_cost_twenty_requests_and_then_none() {
    let Some(world) = World::new("k8s_many", NEVER, "") else { return };
    for number in 0..MANY {
        let text = number.to_string();
        world
            .twin
            .put(CONFIGMAPS, configmap("team", &format!("m{number:05}"), &[("number", &text)]));
    }
    let mounted = world.mount();
    let maps = place(&mounted, "team/configmaps");
    // The first poll proves nothing of the time before, so a first look has it made.
    let first = maps.join("m00000/manifest.yaml");
    assert!(read(&first).contains("number: \"0\""));
    await_live(&mounted, "cluster");
    await_live(&mounted, "kind:/v1/configmaps:");
    assert!(maps.is_dir());
    let lists = || {
        let own = |path: &String| path.starts_with("/api/v1/namespaces/team/configmaps");
        world.twin.take_requests().into_iter().filter(own).collect::<Vec<_>>()
    };
    lists();
    let count = || shell(&maps, "ls -f | grep -c '^m'");
    assert_eq!(count(), MANY.to_string());
    let asked = lists();
    assert_eq!(asked.len(), 20, "{asked:?}");
    assert!(asked.iter().all(|path| path.contains("?limit=500")), "{asked:?}");
    assert_eq!(count(), MANY.to_string());
    assert!(read(&maps.join("m09999/manifest.yaml")).contains("number: \"9999\""));
    assert!(read(&maps.join("m05000/manifest.yaml")).contains("number: \"5000\""));
    let asked = lists();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_list_that_expires_on_the_way_is_read_anew() {
    let Some(world) = World::new("k8s_expired", NEVER, "") else { return };
    for number in 0..1_200 {
        world.twin.put(CONFIGMAPS, configmap("team", &format!("m{number:05}"), &[]));
    }
    world.twin.behave(|behaviour| behaviour.late = 2);
    let mounted = world.mount();
    let maps = place(&mounted, "team/configmaps");
    assert_eq!(list(&maps).expect("a directory").len(), 1_200);
    assert_eq!(
        list(&place(&mounted, "default/configmaps")).expect("a directory"),
        ["other", "settings"]
    );
}

struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn tail_f_of_a_growing_log_prints_each_line_once() {
    let Some(world) = World::new("k8s_tail", OFTEN, "") else { return };
    let write = |line: &str| world.twin.write_log("default", "web-0", "web", line);
    (1..=20).for_each(|number| write(&format!("before {number}")));
    let mounted = world.mount();
    let logs = place(&mounted, "default/pods/web-0/logs");
    assert_eq!(list(&logs).expect("a directory"), ["later.log", "web.log"]);
    assert_eq!(read(&logs.join("later.log")), "");
    let printed = world.omnifs.path("printed");
    let out = File::create(&printed).expect("a file");
    let mut tail = Command::new("tail");
    tail.args(["-n", "+1", "-f"]).arg(logs.join("web.log")).stdout(out);
    let _tail = Tail(tail.spawn().expect("tail"));
    let whole = || {
        fs::read_to_string(&printed).expect("a file")
            == world.twin.read_log("default", "web-0", "web")
    };
    let differs = || fs::read_to_string(&printed).expect("a file");
    until(whole, differs);
    for round in 1..=3 {
        (1..=10).for_each(|number| write(&format!("round {round}, line {number}")));
        until(whole, differs);
        // The stream begins again where it was, with lines of the same second.
        world.twin.cut_logs();
        write(&format!("after the cut {round}"));
        until(whole, differs);
    }
    // Once the container has ended, its log is what it was.
    world.twin.write_log("default", "job-0", "job", "done");
    let ended = place(&mounted, "default/pods/job-0/logs/job.log");
    assert_eq!(read(&ended), world.twin.read_log("default", "job-0", "job"));
    world
        .twin
        .put(PODS, pod("default", "web-0", &[("web", ended_container()), ("later", waiting())]));
    until(whole, differs);
    let log = || fs::read_to_string(logs.join("web.log")).unwrap_or_default();
    until(|| log() == world.twin.read_log("default", "web-0", "web"), log);
}

#[test]
fn values_of_secrets_are_shown_only_where_the_user_says_so() {
    let Some(world) = World::new("k8s_secrets", NEVER, "") else { return };
    let mounted = world.mount();
    let secrets = place(&mounted, "default/secrets");
    let manifest = secrets.join("login/manifest.yaml");
    // From the listing, and by itself.
    assert_eq!(list(&secrets).expect("a directory"), ["login"]);
    let shown = value(&manifest);
    assert_eq!(shown["data"], json!({"password": format!("({} bytes)", SECRET.len())}));
    assert_eq!(shown["type"], "Opaque");
    let encoded = serde_json::to_value(ByteString(SECRET.into())).expect("JSON");
    let encoded = encoded.as_str().expect("a text");
    let searched =
        |what: &str| shell(&secrets, &format!("grep -rc '{what}' . | grep -vc ':0$' || true"));
    assert_eq!((searched(SECRET), searched(encoded)), ("0".to_owned(), "0".to_owned()));
    assert!(!mounted.log().contains(SECRET));
    assert!(mounted.unmount());
    let mounted = world.mount();
    let text = read(&place(&mounted, "default/secrets/login/manifest.yaml"));
    assert!(!text.contains(SECRET) && !text.contains(encoded), "{text}");
    assert!(mounted.unmount());
    world.configure("settings.secret-values = 'shown'");
    let mounted = world.mount();
    assert_eq!(
        value(&place(&mounted, "default/secrets/login/manifest.yaml"))["data"],
        json!({"password": encoded})
    );
}

#[test]
fn what_is_forbidden_is_refused_and_nothing_else() {
    let Some(world) = World::new("k8s_forbidden", NEVER, "") else { return };
    let forbid = |behaviour: &mut Behaviour| _ = behaviour.forbidden.insert("/secrets".to_owned());
    world.twin.behave(forbid);
    let mounted = world.mount();
    let spaces = place(&mounted, "default");
    let refused = list(&spaces.join("secrets")).expect_err("it is forbidden");
    assert_eq!(refused.raw_os_error(), Some(EACCES));
    assert_eq!(errno(&spaces.join("secrets/login/manifest.yaml")), EACCES);
    assert_eq!(list(&spaces.join("configmaps")).expect("a directory"), ["other", "settings"]);
    assert_eq!(list(&spaces.join("pods")).expect("a directory"), ["job-0", "web-0"]);
}

#[test]
fn a_token_is_sent_and_a_wrong_one_refused() {
    let Some(world) = World::new("k8s_token", NEVER, "") else { return };
    world.twin.behave(|behaviour| behaviour.token = Some("good-token".to_owned()));
    let mounted = world.mount();
    assert_eq!(errno(&place(&mounted, "default/configmaps/other/manifest.yaml")), EACCES);
    assert!(mounted.unmount());
    let secret = world.omnifs.path("token");
    fs::write(&secret, "good-token\n").expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("permissions");
    world.configure(&format!("credential-file = '{}'", secret.display()));
    let mounted = world.mount();
    assert_eq!(
        list(&place(&mounted, "default/configmaps")).expect("a directory"),
        ["other", "settings"]
    );
}

#[test]
fn an_account_of_one_namespace_sees_that_and_its_changes() {
    let Some(world) = World::new("k8s_one", OFTEN, "settings.namespaces = 'team'") else { return };
    world.twin.put(CONFIGMAPS, configmap("team", "own", &[("number", "1")]));
    world.twin.behave(|behaviour| behaviour.only = Some("team".to_owned()));
    let mounted = world.mount();
    assert!(absent(&place(&mounted, "default")));
    let maps = place(&mounted, "team/configmaps");
    assert_eq!(list(&maps).expect("a directory"), ["own"]);
    await_live(&mounted, "kind:/v1/configmaps:team");
    let manifest = maps.join("own/manifest.yaml");
    let expected = read(&manifest);
    await_content(&manifest, &expected, SOON);
    world.twin.put(CONFIGMAPS, configmap("team", "own", &[("number", "2")]));
    let now = || fs::read_to_string(&manifest).unwrap_or_default();
    until(|| now().contains("number: \"2\""), now);
    let refused = list(&place(&mounted, "_cluster/nodes")).expect_err("it is forbidden");
    assert_eq!(refused.raw_os_error(), Some(EACCES));
    assert!(mounted.unmount());

    // Without the setting each namespace is found by its name, and what may not be seen is refused.
    world.configure("");
    let mounted = world.mount();
    let names = list(&place(&mounted, "")).expect("a directory");
    assert!(
        names.contains(&"_cluster".to_owned()) && !names.contains(&"team".to_owned()),
        "{names:?}"
    );
    assert_eq!(list(&place(&mounted, "team/configmaps")).expect("a directory"), ["own"]);
    let refused = list(&place(&mounted, "default/configmaps")).expect_err("it is forbidden");
    assert_eq!(refused.raw_os_error(), Some(EACCES));
}
