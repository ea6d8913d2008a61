//! What is shown of answers that an API server gives, and what watches tell.

use omnifs_k8s::Kubernetes;
use omnifs_sdk::events::Change;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Body, Coherence, Error, Position, Progress};
use serde_json::{Value, json};

const CORE: &str = "GET /api";
const GROUPS: &str = "GET /apis";

fn resource(name: &str, namespaced: bool, verbs: &[&str]) -> Value {
    let scope = if namespaced { "Namespaced" } else { "Cluster" };
    json!({"resource": name, "scope": scope, "verbs": verbs, "responseKind": {"kind": "X"}})
}

fn group(name: Option<&str>, versions: &[(&str, Vec<Value>)]) -> Value {
    let version = |(version, resources): &(&str, Vec<Value>)| json!({"version": version, "resources": resources});
    json!({"metadata": {"name": name}, "versions": versions.iter().map(version).collect::<Vec<_>>()})
}

const ALL: &[&str] = &["get", "list", "watch"];

/// A cluster with some kinds, as one answer for all groups says it.
fn cluster() -> Recorded {
    let core = ["configmaps", "events", "pods", "secrets"].map(|name| resource(name, true, ALL));
    let more = [resource("namespaces", false, ALL), resource("bindings", true, &["create"])];
    let core = group(None, &[("v1", core.into_iter().chain(more).collect())]);
    let others = [
        group(Some("events.k8s.io"), &[("v1", vec![resource("events", true, ALL)])]),
        group(
            Some("example.org"),
            &[
                ("v1", vec![resource("widgets", true, ALL)]),
                ("v1beta1", vec![resource("widgets", true, ALL), resource("gears", false, ALL)]),
            ],
        ),
        group(
            Some("metrics.k8s.io"),
            &[("v1beta1", vec![resource("pods", true, &["get", "list"])])],
        ),
    ];
    Recorded::new()
        .get("/api", json!({"kind": "APIGroupDiscoveryList", "items": [core]}).to_string())
        .get("/apis", json!({"kind": "APIGroupDiscoveryList", "items": others}).to_string())
        .get("/api/v1/namespaces/default", object("default", json!({})).to_string())
}

fn object(name: &str, rest: Value) -> Value {
    let mut object = rest;
    object["metadata"]["name"] = name.into();
    object["metadata"]["uid"] = format!("uid-{name}").into();
    object
}

fn list(kind: &str, items: &[Value]) -> String {
    json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items})
        .to_string()
}

fn failure(code: u16, reason: &str) -> String {
    json!({"kind": "Status", "code": code, "reason": reason, "message": reason, "metadata": {}})
        .to_string()
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn kinds_of_one_name_are_told_apart_and_those_that_cannot_be_listed_are_left_out() {
    let mount = Mount::<Kubernetes>::new(cluster());
    let kinds = [
        "configmaps",
        "events",
        "events.events.k8s.io",
        "pods",
        "pods.metrics.k8s.io",
        "secrets",
        "widgets",
    ];
    assert_eq!(mount.list("default").unwrap(), kinds);
    assert_eq!(mount.requests(), ["GET /api/v1/namespaces/default", CORE, GROUPS]);
    assert_eq!(mount.list("_cluster").unwrap(), ["gears", "namespaces"]);
    // The preferred version has it, and the other has it too.
    let widgets = mount.stat("default/widgets").unwrap();
    assert!(widgets.id.contains("example.org%2Fv1%2Fwidgets"), "{}", widgets.id);
    let metrics = mount.stat("default/pods.metrics.k8s.io").unwrap();
    assert!(matches!(metrics.coherence, Coherence::Volatile));
}

#[test]
fn a_group_whose_server_is_away_costs_its_kinds_and_no_others() {
    let upstream = Recorded::new()
        .get("/api", r#"{"kind": "APIVersions", "versions": ["v1"]}"#)
        .get("/api/v1", r#"{"resources": [{"name": "pods", "namespaced": true, "verbs": ["get", "list"]}, {"name": "nodes", "namespaced": null}]}"#)
        .get(
            "/apis",
            r#"{"groups": [
                {"name": "a.io", "versions": [{"version": "v1"}, {"version": "v2"}], "preferredVersion": {"version": "v2"}},
                {"name": "down.io", "versions": [{"version": "v1"}], "preferredVersion": null}
            ]}"#,
        )
        .get("/apis/a.io/v1", r#"{"resources": [{"name": "as", "namespaced": true, "verbs": ["get", "list"]}]}"#)
        .get("/apis/a.io/v2", r#"{"resources": [{"name": "as", "namespaced": true, "verbs": ["get", "list"]}, {"name": "as/status", "namespaced": true, "verbs": ["get", "list"]}]}"#)
        .answer("GET /apis/down.io/v1", 503, &[], "")
        .get("/api/v1/namespaces/default", object("default", json!({})).to_string());
    let mount = Mount::<Kubernetes>::new(upstream);
    assert_eq!(mount.list("default").unwrap(), ["as", "pods"]);
    assert!(mount.stat("default/as").unwrap().id.contains("a.io%2Fv2%2Fas"));
    assert!(mount.partials()[0].2.contains("down.io"), "{:?}", mount.partials());
    assert!(matches!(mount.list("default/downs"), Err(Error::Unavailable(_))));
}

#[test]
fn an_odd_object_costs_itself_alone() {
    let good = object(
        "good",
        json!({"data": {"k": "v"}, "metadata": {"managedFields": [{"manager": "x"}], "annotations": null}}),
    );
    let bare = json!({"metadata": {"name": "bare"}});
    let items =
        [json!({"metadata": null}), good, json!({"metadata": {"name": null}}), json!(null), bare];
    let mount = Mount::<Kubernetes>::new(
        cluster().get(&format!("{MAPS}?limit=500"), list("ConfigMapList", &items)),
    );
    assert_eq!(mount.list("default/configmaps").unwrap(), ["bare", "good"]);
    let expected = "apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\nmetadata:\n  annotations: null\n  name: good\n  uid: uid-good\n";
    assert_eq!(mount.read("default/configmaps/good/manifest.yaml").unwrap(), expected);
    assert_eq!(mount.list("default/configmaps/good").unwrap(), ["manifest.yaml"]);
    assert!(mount.log().iter().any(|line| line.contains("metadata.name")), "{:?}", mount.log());
}

#[test]
fn a_list_is_read_page_by_page_and_anew_where_it_expires() {
    let page = |name: &str, next: &str| {
        json!({"kind": "ConfigMapList", "metadata": {"continue": next}, "items": [object(name, json!({}))]}).to_string()
    };
    let first = format!("{MAPS}?limit=500");
    let upstream = cluster()
        .get(&first, page("a", "x/1"))
        .get(&first, page("b", "x/2"))
        .answer(&format!("GET {MAPS}?limit=500&continue=x%2F1"), 410, &[], failure(410, "Expired"))
        .get(&format!("{MAPS}?limit=500&continue=x%2F2"), page("c", ""));
    let mount = Mount::<Kubernetes>::new(upstream);
    assert_eq!(mount.list("default/configmaps").unwrap(), ["b", "c"]);

    let late = format!("GET {MAPS}?limit=500&continue=x%2F1");
    let upstream =
        cluster().get(&first, page("a", "x/1")).answer(&late, 410, &[], failure(410, "Expired"));
    let mount = Mount::<Kubernetes>::new(upstream);
    assert!(matches!(mount.list("default/configmaps"), Err(Error::Unavailable(_))));
}

#[test]
fn only_an_api_server_says_that_there_is_no_such_object() {
    let asked = |status: u16, body: &str| {
        let upstream = cluster().answer(&format!("GET {MAPS}/none"), status, &[], body);
        Mount::<Kubernetes>::new(upstream).list("default/configmaps/none")
    };
    assert!(matches!(asked(404, &failure(404, "NotFound")), Err(Error::NotFound)));
    assert!(matches!(asked(404, "<html>"), Err(Error::Invalid(_))));
    assert!(matches!(asked(403, &failure(403, "Forbidden")), Err(Error::Denied(_))));
    assert!(matches!(asked(410, &failure(410, "Gone")), Err(Error::Unavailable(_))));
    assert!(matches!(asked(503, ""), Err(Error::Unavailable(_))));
    let mount = Mount::<Kubernetes>::new(cluster());
    for name in [".git", "a b", "a%41", "a\\b"] {
        assert!(
            matches!(mount.list(&format!("default/configmaps/{name}")), Err(Error::NotFound)),
            "{name}"
        );
        assert!(matches!(mount.list(name), Err(Error::NotFound)), "{name}");
    }
}

#[test]
fn a_secret_shows_lengths_unless_the_setting_says_otherwise() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "other": "c2VjcmV0",
        "data": {"a": "c2VjcmV0", "b": "c2VjcmV0cw==", "c": null}, "stringData": "c2VjcmV0",
        "metadata": {"annotations": {"applied": "c2VjcmV0"}, "labels": {"app": "web"}},
    });
    let upstream = || {
        cluster()
            .get("/api/v1/namespaces/default/secrets/s", object("s", secret.clone()).to_string())
    };
    let shown =
        Mount::<Kubernetes>::new(upstream()).read("default/secrets/s/manifest.yaml").unwrap();
    let expected = "apiVersion: v1\ndata:\n  a: (6 bytes)\n  b: (7 bytes)\n  c: (0 bytes)\nkind: Secret\nmetadata:\n  \
        annotations:\n    applied: (8 bytes)\n  labels:\n    app: web\n  name: s\n  uid: uid-s\ntype: Opaque\n";
    assert_eq!(shown, expected);
    let open = Mount::<Kubernetes>::new(upstream().setting("secret-values", "shown"));
    assert!(open.read("default/secrets/s/manifest.yaml").unwrap().contains("a: c2VjcmV0\n"));
}

#[test]
fn a_log_grows_while_its_container_runs_and_is_empty_before() {
    let pod = object(
        "web",
        json!({
            "kind": "Pod",
            "spec": {"initContainers": [{"name": "init"}], "containers": [{"name": "app"}, {"name": "later"}, {}]},
            "status": {
                "initContainerStatuses": [{"name": "init", "state": {"terminated": {}}}],
                "containerStatuses": [{"name": "app", "state": {"running": {}}}, {"name": "later", "state": {"waiting": {}}}],
            },
        }),
    );
    let log = "/api/v1/namespaces/default/pods/web/log";
    let of_init = format!("{log}?container=init&timestamps=true&tailLines=100000");
    let upstream = cluster()
        .get("/api/v1/namespaces/default/pods/web", pod.to_string())
        .get(&of_init, "2026-01-05T09:00:00Z done\n");
    let mount = Mount::<Kubernetes>::new(upstream);
    assert_eq!(mount.list("default/pods/web").unwrap(), ["logs", "manifest.yaml", "status.yaml"]);
    assert_eq!(mount.list("default/pods/web/logs").unwrap(), ["app.log", "init.log", "later.log"]);
    assert_eq!(
        mount.read("default/pods/web/logs/init.log").unwrap(),
        "2026-01-05T09:00:00Z done\n"
    );
    assert_eq!(mount.read("default/pods/web/logs/later.log").unwrap(), "");
    let app = mount.stat("default/pods/web/logs/app.log").unwrap();
    let Some(Body::Growing(stream)) = app.content else { panic!("{app:?}") };
    assert_eq!(
        stream.request.path,
        format!("{log}?container=app&timestamps=true&tailLines=100000&follow=true")
    );
    assert_eq!((stream.timed, stream.since.as_deref()), (true, Some("sinceTime=rfc3339")));
}

#[test]
fn namespaces_that_the_account_may_not_list_are_found_by_their_names() {
    let refused = |path: &str| cluster().answer(path, 403, &[], failure(403, "Forbidden"));
    let upstream = refused("GET /api/v1/namespaces?limit=500");
    let upstream =
        upstream.answer("GET /api/v1/namespaces/team", 403, &[], failure(403, "Forbidden"));
    let upstream =
        upstream.answer("GET /api/v1/namespaces/none", 404, &[], failure(404, "NotFound"));
    let mount = Mount::<Kubernetes>::new(upstream);
    assert_eq!(mount.list("").unwrap(), ["_cluster"]);
    assert!(mount.partials()[0].2.contains("by its name"));
    assert!(mount.list("team").unwrap().contains(&"pods".to_owned()));
    assert!(matches!(mount.list("none"), Err(Error::NotFound)));
    // A wrong token is no such account.
    let wrong = cluster().answer(
        "GET /api/v1/namespaces?limit=500",
        401,
        &[],
        failure(401, "Unauthorized"),
    );
    assert!(matches!(Mount::<Kubernetes>::new(wrong).list(""), Err(Error::Denied(_))));

    let mount = Mount::<Kubernetes>::new(cluster().setting("namespaces", "team  other"));
    assert_eq!(mount.list("").unwrap(), ["_cluster", "other", "team"]);
    assert!(matches!(mount.list("default"), Err(Error::NotFound)));
    assert_eq!(mount.requests(), [""; 0]);
}

const SCOPE: &str = "kind:/v1/configmaps:";
const BEGIN: &str = "GET /api/v1/configmaps?limit=1";

fn watch(since: &str) -> String {
    format!(
        "GET /api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds=1"
    )
}

fn told(how: &str, name: &str, version: &str) -> String {
    let metadata =
        json!({"name": name, "namespace": "default", "uid": "u", "resourceVersion": version});
    json!({"type": how, "object": {"kind": "PartialObjectMetadata", "metadata": metadata}})
        .to_string()
}

fn poll(mount: &Mount<Kubernetes>, scope: &str, cursor: Option<&str>) -> Result<Progress, Error> {
    let position = Position {
        scope: scope.to_owned(),
        cursor: cursor.map(str::to_owned),
        ..Position::default()
    };
    mount.poll(&position)
}

fn id(of: &str, name: &str) -> String {
    format!("{of}/%2Fv1%2Fconfigmaps/default{name}")
}

#[test]
fn a_watch_begins_with_a_gap_and_then_tells_what_happens() {
    let lines = [
        told("ADDED", "a", "8"),
        told("MODIFIED", "b", "9"),
        told("DELETED", "c", "10"),
        json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": "20"}}}).to_string(),
    ];
    let upstream = Recorded::new()
        .answer(BEGIN, 200, &[], list("ConfigMapList", &[]))
        .answer(&watch("7"), 200, &[], lines.join("\n") + "\n")
        .answer(&watch("20"), 200, &[], "");
    let mount = Mount::<Kubernetes>::new(upstream);
    let first = poll(&mount, SCOPE, None).unwrap();
    assert_eq!(first.changes.0, [Change::Gap(SCOPE.into())]);
    assert_eq!((first.cursor.as_deref(), first.resumed), (Some("7"), false));
    let next = poll(&mount, SCOPE, first.cursor.as_deref()).unwrap();
    let object = |name: &str| id("object", &format!("/{name}/u"));
    let expected = [
        Change::Invalidated(object("a")),
        Change::ChildrenChanged(id("objects", "")),
        Change::Invalidated(object("b")),
        Change::Removed(object("c")),
    ];
    assert_eq!(next.changes.0, expected);
    assert_eq!((next.cursor.as_deref(), next.resumed), (Some("20"), true));
    let quiet = poll(&mount, SCOPE, next.cursor.as_deref()).unwrap();
    assert_eq!(
        (quiet.changes.0.len(), quiet.cursor.as_deref(), quiet.resumed),
        (0, Some("20"), true)
    );
}

#[test]
fn what_a_watch_cannot_tell_is_a_gap() {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "metadata": {}}})
        .to_string();
    let line = |text: &str| format!("{}\n{text}\n", told("MODIFIED", "b", "9"));
    for (status, body, told) in [
        (410, failure(410, "Expired"), 0),
        (200, gone.clone() + "\n", 0),
        (200, gone.clone(), 0),
        (200, line(&gone), 1),
        (200, line("{\"type\": \"MODIFIED\"}"), 1),
        (200, line("<html>"), 1),
    ] {
        let upstream = Recorded::new().answer(BEGIN, 200, &[], list("ConfigMapList", &[])).answer(
            &watch("5"),
            status,
            &[],
            body.clone(),
        );
        let progress = poll(&Mount::<Kubernetes>::new(upstream), SCOPE, Some("5")).unwrap();
        assert_eq!(progress.changes.0.len(), told + 1, "{body}");
        assert_eq!(progress.changes.0.last(), Some(&Change::Gap(SCOPE.into())), "{body}");
        assert_eq!((progress.cursor.as_deref(), progress.resumed), (Some("7"), false), "{body}");
    }
    let upstream = Recorded::new()
        .answer(BEGIN, 200, &[], list("ConfigMapList", &[]))
        .fail(&watch("5"), Error::TooLarge);
    let progress = poll(&Mount::<Kubernetes>::new(upstream), SCOPE, Some("5")).unwrap();
    assert_eq!(progress.changes.0, [Change::Gap(SCOPE.into())]);
    // Half a line comes again.
    let cut = format!("{}\n{}", told("MODIFIED", "b", "9"), &told("MODIFIED", "c", "10")[..40]);
    let upstream =
        Recorded::new().answer(&watch("5"), 200, &[], cut).answer(&watch("9"), 200, &[], "");
    let progress = poll(&Mount::<Kubernetes>::new(upstream), SCOPE, Some("5")).unwrap();
    assert_eq!((progress.changes.0.len(), progress.cursor.as_deref()), (1, Some("9")));
    // What the server cannot do at the moment is no gap, and is asked for again from the same place.
    for (status, body) in
        [(503, String::new()), (403, failure(403, "Forbidden")), (200, gone.replace("410", "500"))]
    {
        let upstream = Recorded::new().answer(&watch("5"), status, &[], body.clone());
        assert!(poll(&Mount::<Kubernetes>::new(upstream), SCOPE, Some("5")).is_err(), "{body}");
    }
}

#[test]
fn a_poll_goes_on_until_a_watch_brings_nothing_and_does_not_go_on_for_ever() {
    let event = |version: u32| told("MODIFIED", "a", &version.to_string());
    let busy = |watches: u32| {
        let upstream = Recorded::new().answer(BEGIN, 200, &[], list("ConfigMapList", &[]));
        (5..5 + watches).fold(upstream, |upstream, at| {
            upstream.answer(&watch(&at.to_string()), 200, &[], event(at + 1))
        })
    };
    let upstream = busy(3).answer(&watch("8"), 200, &[], "");
    let progress = poll(&Mount::<Kubernetes>::new(upstream), SCOPE, Some("5")).unwrap();
    // All three are of one object.
    assert_eq!((progress.changes.0.len(), progress.cursor.as_deref()), (1, Some("8")));
    assert!(progress.resumed);
    let progress = poll(&Mount::<Kubernetes>::new(busy(5)), SCOPE, Some("5")).unwrap();
    assert_eq!(progress.changes.0.last(), Some(&Change::Gap(SCOPE.into())));
    assert_eq!((progress.cursor.as_deref(), progress.resumed), (Some("7"), false));
}

#[test]
fn the_cluster_is_its_namespaces_and_kinds() {
    let begin = "GET /api/v1/namespaces?limit=1";
    let watch = "GET /api/v1/namespaces?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=1";
    let upstream = cluster().answer(begin, 200, &[], list("NamespaceList", &[]));
    let upstream = upstream.answer(watch, 200, &[], told("DELETED", "old", "9")).answer(
        &watch.replace("=7&", "=9&"),
        200,
        &[],
        "",
    );
    let mount = Mount::<Kubernetes>::new(upstream);
    let first = poll(&mount, "cluster", None).unwrap();
    assert_eq!((&first.changes.0[0], first.resumed), (&Change::Gap("cluster".into()), false));
    let next = poll(&mount, "cluster", first.cursor.as_deref()).unwrap();
    assert_eq!(
        next.changes.0,
        [Change::Removed("namespace/old".into()), Change::ChildrenChanged("root".into())]
    );
    assert_eq!((next.resumed, next.wait), (true, None));

    // A kind more, and an account that may not watch namespaces.
    let others =
        json!({"items": [group(Some("new.io"), &[("v1", vec![resource("news", true, ALL)])])]});
    let mount = Mount::<Kubernetes>::new(
        cluster().answer(begin, 403, &[], failure(403, "Forbidden")).answer(
            watch,
            403,
            &[],
            failure(403, "Forbidden"),
        ),
    );
    let first = poll(&mount, "cluster", None).unwrap();
    assert_eq!(first.changes.0, [Change::Gap("cluster".into())]);
    let same = poll(&mount, "cluster", first.cursor.as_deref()).unwrap();
    // Nothing tells of a namespace that was found by its name.
    assert_eq!((&same.changes.0[..], same.resumed), (&[Change::Gap("cluster".into())][..], false));
    mount.upstream_changes(Recorded::new().get("/apis", others.to_string()));
    let more = poll(&mount, "cluster", same.cursor.as_deref()).unwrap();
    let gap = Change::Gap("cluster".into());
    assert_eq!(more.changes.0, [gap.clone(), Change::Invalidated("kinds".into())]);
    assert!(mount.list("default").unwrap().contains(&"news".to_owned()));
    // It may not any longer: what was known of them is not vouched for.
    let lost =
        poll(&mount, "cluster", Some(&more.cursor.unwrap().replace("null", "\"7\""))).unwrap();
    assert_eq!(lost.changes.0, [gap]);
}
