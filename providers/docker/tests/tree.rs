//! The tree over what a real engine said (`recorded/`, written by `record.py`).
#![allow(clippy::unwrap_used)]

use omnifs_docker::Docker;
use omnifs_sdk::Body;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Coherence, Error, Kind, Node};
use serde_json::Value;
use std::collections::BTreeMap;

const NAMES: [&str; 6] = ["api-server", "idle", "job", "tty", "waiting", "web"];
const LIST: &str = "GET /containers/json?all=1";

fn engine() -> Recorded {
    Recorded::from_json(include_str!("recorded/engine.json"))
}

fn mount() -> Mount<Docker> {
    Mount::new(engine())
}

/// What the engine said to `request`.
fn said(request: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("recorded/engine.json")).unwrap();
    all.into_iter().find(|exchange| exchange["request"] == request).unwrap()["body"].clone()
}

fn id(name: &str) -> String {
    said(&format!("GET /containers/{name}/json"))["Id"].as_str().unwrap().to_owned()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn the_tree_is_the_promised_one() {
    let mount = mount();
    assert_eq!(
        mount.list("").unwrap(),
        [
            "compose",
            "containers",
            "containers.jsonl",
            "containers.tsv",
            "images",
            "info.json",
            "networks",
            "system",
            "version.json",
            "volumes",
        ]
    );
    assert_eq!(mount.list("system").unwrap(), ["info.json", "version.json"]);
    assert_eq!(mount.list("containers").unwrap(), ["_running", "_stopped", "by-id", "by-name"]);
    assert_eq!(mount.list("images").unwrap(), ["by-id", "by-name"]);
    assert_eq!(
        mount.list("containers/by-name/job").unwrap(),
        [
            "command",
            "created",
            "exit-code",
            "finished",
            "health",
            "id",
            "image",
            "inspect.json",
            "labels",
            "logs",
            "mounts",
            "name",
            "networks",
            "ports",
            "restart-count",
            "started",
            "state",
            "status",
            "stderr.log",
            "stdout.log",
        ]
    );
}

#[test]
fn one_request_lists_every_directory_of_containers() {
    let mount = mount();
    assert_eq!(mount.list("containers/by-name").unwrap(), NAMES);
    assert_eq!(mount.requests(), [LIST]);
    assert_eq!(mount.list("containers/_running").unwrap(), ["api-server", "idle", "web"]);
    assert_eq!(mount.list("containers/_stopped").unwrap(), ["job", "tty", "waiting"]);
    let mut ids: Vec<String> = NAMES.into_iter().map(id).collect();
    ids.sort();
    assert_eq!(mount.list("containers/by-id").unwrap(), ids);
    assert_eq!(mount.list("compose").unwrap(), ["shop"]);
    assert_eq!(mount.list("compose/shop").unwrap(), ["api", "jobs"]);
    assert_eq!(mount.list("compose/shop/api").unwrap(), ["1", "2"]);
    assert_eq!(mount.read("compose/shop/api/2/name").unwrap(), "waiting\n");
    assert_eq!(mount.requests(), Vec::<String>::new());
}

#[test]
fn the_listing_holds_these_leaves() {
    let mount = mount();
    mount.list("containers/by-name").unwrap();
    mount.requests();
    let free = |name: &str, leaves: &[(&str, &str)]| {
        for (leaf, text) in leaves {
            let path = format!("containers/by-name/{name}/{leaf}");
            assert_eq!(
                mount.read(&path).unwrap(),
                format!("{text}{}", if text.is_empty() { "" } else { "\n" }),
                "{path}"
            );
        }
        assert_eq!(mount.requests(), Vec::<String>::new(), "{name}");
    };
    free(
        "api-server",
        &[
            ("id", &id("api-server")),
            ("name", "api-server"),
            ("image", "tools:latest"),
            ("state", "running"),
            ("status", "Up (healthy)"),
            ("health", "healthy"),
            ("exit-code", "0"),
            ("command", "sh -c 'echo out; echo err >&2; sleep 900'"),
            ("labels/tier", "front"),
            ("labels/com.docker.compose.project", "shop"),
            ("mounts", "data:/data:rw"),
            ("networks", "none"),
            ("ports", ""),
        ],
    );
    free(
        "web",
        &[
            ("ports", "53/udp -> 127.0.0.1:18053\n80/tcp -> 127.0.0.1:18080\n9000/tcp"),
            ("networks", "shopnet"),
            ("health", "none"),
            ("status", "Up"),
        ],
    );
    free("idle", &[("state", "paused"), ("status", "Up (Paused)")]);
    free("job", &[("state", "exited"), ("status", "Exited (3)"), ("exit-code", "3")]);
    free(
        "waiting",
        &[("state", "created"), ("status", "Created"), ("logs", ""), ("stderr.log", "")],
    );
}

#[test]
fn a_leaf_holds_the_same_bytes_whichever_answer_brought_it() {
    // Once listed and filled up by inspecting, once by inspecting alone.
    let listed = mount();
    listed.list("containers/by-name").unwrap();
    let mut first = listed.read_all("containers/by-name").unwrap();
    let alone = mount();
    let mut second = BTreeMap::new();
    for name in NAMES {
        let path = format!("containers/by-id/{}", id(name));
        for (leaf, content) in alone.read_all(&path).unwrap() {
            second.insert(leaf.replace(&path, &format!("containers/by-name/{name}")), content);
        }
    }
    assert!(!alone.requests().contains(&LIST.to_owned()));
    let logs = |path: &String| path.ends_with(".log") || path.ends_with("logs");
    assert_eq!(first.keys().filter(|path| logs(path)).count(), 3 * NAMES.len());
    first.retain(|path, _| !logs(path));
    second.retain(|path, _| !logs(path));
    assert!(first.len() > 100, "{}", first.len());
    for (path, content) in &first {
        assert_eq!(second.get(path), Some(content), "{path}");
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn one_inspect_fills_the_rest_of_a_container() {
    let mount = mount();
    mount.list("containers/by-name").unwrap();
    mount.requests();
    let all = mount.read_all("containers/by-name/job").unwrap();
    assert_eq!(sorted(mount.requests()), [inspect("job"), inspect("job"), log("job")]);
    assert_eq!(mount.read_all("containers/_stopped/job").unwrap().len(), all.len());
    assert_eq!(mount.requests(), [inspect("job")], "the networks of what does not run");
    let said = said("GET /containers/job/json");
    let text = |leaf: &str| mount.read(&format!("containers/by-name/job/{leaf}")).unwrap();
    assert_eq!(text("started"), format!("{}\n", said["State"]["StartedAt"].as_str().unwrap()));
    assert_eq!(text("finished"), format!("{}\n", said["State"]["FinishedAt"].as_str().unwrap()));
    assert_eq!(text("created"), format!("{}\n", said["Created"].as_str().unwrap()));
    assert_eq!(text("restart-count"), "0\n");
    assert_eq!(text("command"), "sh -c 'echo done; echo warned >&2; exit 3'\n");
}

fn inspect(name: &str) -> String {
    format!("GET /containers/{}/json", id(name))
}

fn log(name: &str) -> String {
    format!("GET /containers/{}/logs?stdout=1&stderr=1&timestamps=1&tail=all", id(name))
}

#[test]
fn a_container_costs_what_the_documentation_says_in_whichever_order_its_files_are_read() {
    // Of the networks of one that does not run no event tells.
    let once = |name: &str| vec![inspect(name), inspect(name), log(name)];
    let each = |name: &str| vec![inspect(name), log(name), log(name), log(name)];
    let costs = [
        // Its log is empty, and known to be.
        ("waiting", vec![inspect("waiting"), inspect("waiting")], vec![inspect("waiting")]),
        ("job", once("job"), vec![inspect("job")]),
        ("tty", once("tty"), vec![inspect("tty")]),
        ("api-server", each("api-server"), vec![log("api-server"); 3]),
        ("idle", each("idle"), vec![log("idle"); 3]),
    ];
    for (name, cold, warm) in costs {
        let mount = mount();
        mount.list("containers/by-name").unwrap();
        mount.requests();
        let path = format!("containers/by-name/{name}");
        let leaves = mount.list(&path).unwrap();
        for order in [leaves.clone(), leaves.into_iter().rev().collect()] {
            let mount = self::mount();
            mount.list("containers/by-name").unwrap();
            mount.requests();
            for leaf in order.iter().filter(|leaf| *leaf != "labels") {
                mount.read(&format!("{path}/{leaf}")).unwrap();
            }
            assert_eq!(sorted(mount.requests()), cold, "{name}, cold, {} first", order[0]);
            mount.read_all(&path).unwrap();
            assert_eq!(mount.requests(), warm, "{name}, warm");
        }
    }
}

#[test]
fn a_log_that_came_along_is_the_one_that_would_have_been_read() {
    let path = |leaf: &str| format!("containers/by-name/job/{leaf}");
    let logs = ["logs", "stdout.log", "stderr.log"];
    for first in logs {
        let mount = mount();
        mount.read(&path(first)).unwrap();
        mount.requests();
        for leaf in logs {
            let alone = self::mount().read(&path(leaf)).unwrap();
            assert_eq!(mount.read(&path(leaf)).unwrap(), alone, "{leaf} with {first}");
        }
        assert_eq!(mount.requests(), Vec::<String>::new());
    }
}

#[test]
fn a_log_that_was_kept_is_asked_for_again_once_its_container_runs() {
    let mount = mount();
    mount.read("containers/by-name/job/logs").unwrap();
    let position = omnifs_sdk::Position {
        feed: "events".into(),
        scope: "engine".into(),
        ..Default::default()
    };
    let id = id("job");
    let event = format!(
        r#"{{"Type":"container","Action":"start","Actor":{{"ID":"{id}","Attributes":{{"name":"job"}}}},"time":1,"timeNano":1000000001}}"#
    );
    mount.line(&position, &event).unwrap();
    mount.requests();
    mount.read("containers/by-name/job/stderr.log").unwrap();
    assert!(mount.requests().contains(&log("job")));
}

#[test]
fn a_first_cat_costs_one_request_and_the_next_none() {
    let mount = mount();
    assert_eq!(mount.read("containers/by-name/api-server/state").unwrap(), "running\n");
    assert_eq!(mount.requests(), ["GET /containers/api-server/json"]);
    assert_eq!(mount.read("containers/by-name/api-server/labels/tier").unwrap(), "front\n");
    assert_eq!(mount.read("containers/by-name/api-server/health").unwrap(), "healthy\n");
    assert_eq!(mount.requests(), Vec::<String>::new());
}

#[test]
fn a_container_is_one_object_wherever_it_shows() {
    let mount = mount();
    let ids: Vec<Node> =
        ["containers/by-name/job", "containers/_stopped/job", "compose/shop/jobs/1"]
            .into_iter()
            .map(|path| mount.stat(path).unwrap())
            .collect();
    assert!(ids.iter().all(|node| node.id == format!("container/{}", id("job"))), "{ids:?}");
    let by_id = mount.stat(&format!("containers/by-id/{}", id("job"))).unwrap();
    assert_eq!(by_id.id, ids[0].id);
    let created = said("GET /containers/json?all=1")
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["Names"][0] == "/job")
        .unwrap()["Created"]
        .as_u64()
        .unwrap();
    assert!(ids.iter().all(|node| node.modified == Some(created * 1000)), "{ids:?}");
}

#[test]
fn an_abbreviated_id_is_no_name() {
    let mount = mount();
    let short = &id("job")[..12];
    assert!(matches!(mount.stat(&format!("containers/by-name/{short}")), Err(Error::NotFound)));
    assert_eq!(mount.requests(), [format!("GET /containers/{short}/json")]);
    assert!(matches!(mount.stat(&format!("containers/by-id/{short}")), Err(Error::NotFound)));
    assert!(matches!(mount.stat("containers/by-id/job"), Err(Error::NotFound)));
    assert_eq!(mount.requests(), Vec::<String>::new());
}

#[test]
fn what_is_not_there_is_not_found() {
    let mount = mount();
    for path in ["containers/by-name/nobody", "containers/_running/job", "containers/_stopped/web"]
    {
        assert!(matches!(mount.stat(path), Err(Error::NotFound)), "{path}");
    }
    mount.requests();
    for name in [".git", "._x", ".DS_Store", "a b", "%", "..."] {
        for directory in ["containers/by-name", "containers/_running", "images/by-name"] {
            let path = format!("{directory}/{name}");
            assert!(matches!(mount.stat(&path), Err(Error::NotFound)), "{path}");
        }
    }
    assert!(matches!(mount.stat("volumes/.Trash"), Err(Error::NotFound)));
    assert!(matches!(mount.stat("containers/by-name/job/nothing"), Err(Error::NotFound)));
    assert_eq!(
        mount.requests(),
        ["GET /containers/job/json"],
        "only the container itself was asked for"
    );
}

#[test]
fn logs_are_cut_into_their_streams() {
    let mount = mount();
    let log = |leaf: &str| mount.read(&format!("containers/by-name/job/{leaf}")).unwrap();
    let (all, out, err) = (log("logs"), log("stdout.log"), log("stderr.log"));
    assert!(
        out.starts_with("20") && out.ends_with("Z done\n") && err.ends_with("Z warned\n"),
        "{out}{err}"
    );
    assert_eq!(
        sorted(all.lines().map(str::to_owned).collect()),
        sorted(vec![out.trim_end().to_owned(), err.trim_end().to_owned()])
    );
    let requests = mount.requests();
    assert_eq!(requests.iter().filter(|line| line.contains("/logs")).count(), 1, "{requests:?}");
    let out = mount.read("containers/by-name/tty/stdout.log").unwrap();
    assert!(out.ends_with(" on a terminal\r\n"), "{out:?}");
    assert_eq!(mount.read("containers/by-name/tty/logs").unwrap(), out);
    assert_eq!(mount.read("containers/by-name/tty/stderr.log").unwrap(), "");
}

/// An engine whose running container `api-server` has a log that it answers with `status`.
fn unreadable(status: u16, change: impl Fn(&mut Value)) -> Recorded {
    let mut upstream = Recorded::new().answer(
        &log("api-server"),
        status,
        &[("content-type", "application/json")],
        r#"{"message":"configured logging driver does not support reading"}"#,
    );
    for known in ["api-server", &id("api-server")] {
        let mut inspect = said("GET /containers/api-server/json");
        change(&mut inspect);
        upstream = upstream.get(&format!("/containers/{known}/json"), inspect.to_string());
    }
    upstream
}

#[test]
fn a_log_that_cannot_be_read_is_empty_and_asked_for_once() {
    let driver = |kind: &'static str| {
        move |inspect: &mut Value| {
            inspect["HostConfig"]["LogConfig"] = serde_json::json!({"Type": kind, "Config": null});
        }
    };
    let state = |state: &'static str| {
        move |inspect: &mut Value| {
            inspect["State"]["Status"] = state.into();
            inspect["State"]["Running"] = false.into();
        }
    };
    let engines = [
        ("Docker, none", unreadable(501, driver("none"))),
        ("Docker, a driver without a cache", unreadable(501, driver("syslog"))),
        ("Podman, none", unreadable(500, driver("none"))),
        ("Podman, passthrough", unreadable(500, driver("passthrough"))),
        ("being removed", unreadable(409, state("removing"))),
        ("dead", unreadable(409, state("dead"))),
    ];
    for (engine, upstream) in engines {
        for leaf in ["logs", "stdout.log", "stderr.log"] {
            let mount = mount();
            mount.upstream_changes(upstream.clone());
            mount.list("containers/by-name").unwrap();
            let path = |leaf: &str| format!("containers/by-name/api-server/{leaf}");
            assert_eq!(mount.read(&path(leaf)).unwrap(), "", "{engine}");
            assert!(mount.log().iter().any(|line| line.contains("cannot be read")), "{engine}");
            mount.requests();
            for leaf in ["logs", "stdout.log", "stderr.log"] {
                assert_eq!(mount.read(&path(leaf)).unwrap(), "", "{engine}");
                assert_eq!(mount.stat(&path(leaf)).unwrap().size, Some(0), "{engine}");
            }
            assert_eq!(mount.requests(), Vec::<String>::new(), "{engine}, {leaf} first");
        }
    }
}

#[test]
fn an_engine_that_fails_to_read_a_log_is_not_a_container_without_one() {
    for status in [500, 409, 503] {
        let mount = mount();
        mount.upstream_changes(unreadable(status, |_| {}));
        let read = mount.read("containers/by-name/api-server/logs");
        assert!(matches!(read, Err(Error::Unavailable(_) | Error::Invalid(_))), "{read:?}");
    }
}

#[test]
fn only_a_running_container_has_volatile_logs() {
    let mount = mount();
    mount.list("containers/by-name").unwrap();
    let kept =
        |name: &str| mount.stat(&format!("containers/by-name/{name}/logs")).unwrap().coherence;
    assert!(matches!(kept("api-server"), Coherence::Volatile));
    assert!(matches!(kept("idle"), Coherence::Volatile));
    assert!(matches!(kept("job"), Coherence::Scoped(scope) if scope == "engine"));
    mount.read("containers/by-name/api-server/logs").unwrap();
    mount.requests();
    mount.read("containers/by-name/api-server/logs").unwrap();
    assert_eq!(mount.requests(), [log("api-server")], "asked again, and for nothing else");
}

#[test]
fn a_log_beyond_the_limit_is_shown_from_its_end_and_said_so() {
    let path = format!("GET /containers/{}/logs?stdout=1&stderr=1&timestamps=1&tail=", id("job"));
    let upstream = engine().fail(&format!("{path}100000"), Error::TooLarge).answer(
        &format!("{path}2000"),
        200,
        &[],
        &b"\x02\0\0\0\0\0\0\x05last\n"[..],
    );
    let mount = Mount::<Docker>::new(Recorded::new());
    mount.upstream_changes(upstream);
    mount.upstream_changes(Recorded::new().fail(&format!("{path}all"), Error::TooLarge));
    assert_eq!(mount.read("containers/by-name/job/logs").unwrap(), "last\n");
    assert!(
        mount.log().iter().any(|line| line.contains("its last 2000 lines")),
        "{:?}",
        mount.log()
    );
}

#[test]
fn half_a_log_is_an_error_and_not_a_short_log() {
    let path =
        format!("GET /containers/{}/logs?stdout=1&stderr=1&timestamps=1&tail=all", id("job"));
    for body in [&b"\x01\0\0\0\0\0\0\x05la"[..], b"\x01\0\0\0\0\0", b"\x03\0\0\0\0\0\0\x04oops"] {
        let mount = mount();
        mount.upstream_changes(Recorded::new().answer(&path, 200, &[], body));
        assert!(matches!(mount.read("containers/by-name/job/logs"), Err(Error::Unavailable(_))));
    }
}

#[test]
fn inspect_json_is_the_engines_answer_without_what_changes_unannounced() {
    let mount = mount();
    for name in NAMES {
        let shown: Value = serde_json::from_str(
            &mount.read(&format!("containers/by-name/{name}/inspect.json")).unwrap(),
        )
        .unwrap();
        let mut said = said(&format!("GET /containers/{name}/json"));
        said.as_object_mut().unwrap().remove("ExecIDs");
        if let Some(health) = said["State"].get_mut("Health") {
            health.as_object_mut().unwrap().retain(|key, _| key == "Status");
        }
        if ["job", "tty", "waiting"].contains(&name) {
            said["NetworkSettings"].as_object_mut().unwrap().remove("Networks").unwrap();
        }
        assert_eq!(shown, said, "{name}");
    }
}

#[test]
fn the_order_of_mounts_is_not_the_engines() {
    let mut inspect = said("GET /containers/job/json");
    let mut shown = Vec::new();
    for order in [["/a", "/b"], ["/b", "/a"]] {
        let mounts = order
            .map(|path| serde_json::json!({"Type": "tmpfs", "Destination": path, "RW": false}));
        inspect["Mounts"] = Value::from(mounts.to_vec());
        let mount =
            Mount::<Docker>::new(Recorded::new().get("/containers/job/json", inspect.to_string()));
        let read = |leaf: &str| mount.read(&format!("containers/by-name/job/{leaf}")).unwrap();
        shown.push((read("inspect.json"), read("mounts")));
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!(shown[0].1, "tmpfs:/a:ro\ntmpfs:/b:ro\n");
}

#[test]
fn every_status_loses_its_age() {
    let rows = [
        ("running", "Up About a minute", "Up", "0\n", Some("none\n")),
        ("running", "Up 2 hours (unhealthy)", "Up (unhealthy)", "0\n", Some("unhealthy\n")),
        (
            "running",
            "Up Less than a second (health: starting)",
            "Up (health: starting)",
            "0\n",
            Some("starting\n"),
        ),
        ("paused", "Up 3 days (Paused)", "Up (Paused)", "0\n", None),
        ("restarting", "Restarting (1) 5 seconds ago", "Restarting (1)", "1\n", None),
        ("exited", "Exited (137) 4 weeks ago", "Exited (137)", "137\n", None),
        ("dead", "Dead", "Dead", "", None),
        ("removing", "Removal In Progress", "Removal In Progress", "", None),
    ];
    for (state, status, shown, exit_code, health) in rows {
        let list =
            serde_json::json!([{"Id": "ab", "Names": ["/c"], "State": state, "Status": status}]);
        let mount =
            Mount::<Docker>::new(Recorded::new().get("/containers/json?all=1", list.to_string()));
        mount.list("containers/by-name").unwrap();
        let node = |leaf: &str| mount.stat(&format!("containers/by-name/c/{leaf}")).unwrap();
        let held = |leaf: &str| match node(leaf).content? {
            Body::Held(bytes) => Some(String::from_utf8(bytes).unwrap()),
            other => panic!("{leaf} is not held: {other:?}"),
        };
        assert_eq!(held("status"), Some(format!("{shown}\n")));
        assert_eq!(
            held("exit-code").as_deref(),
            (!exit_code.is_empty()).then_some(exit_code),
            "{status}"
        );
        assert_eq!(held("health").as_deref(), health, "{status}");
    }
}

#[test]
fn labels_with_unusual_keys_and_values_stay_files_of_one_line() {
    let list = serde_json::json!([{
        "Id": "ab", "Names": ["/c", "/d/alias"], "State": "exited", "Status": "Exited (0) now",
        "Labels": {"a/b": "x\ny", "..": "", "com.docker.compose.project": "../p", "com.docker.compose.service": ""},
    }]);
    let mount =
        Mount::<Docker>::new(Recorded::new().get("/containers/json?all=1", list.to_string()));
    assert_eq!(mount.list("containers/by-name").unwrap(), ["c"]);
    assert_eq!(mount.read("containers/by-name/c/labels/a%2Fb").unwrap(), "x y\n");
    assert_eq!(mount.read("containers/by-name/c/labels/%2E%2E").unwrap(), "\n");
    assert_eq!(mount.read("compose/..%2Fp/%/c/name").unwrap(), "c\n");
}

#[test]
fn containers_that_share_a_compose_number_are_told_apart() {
    let labels = serde_json::json!({
        "com.docker.compose.project": "p", "com.docker.compose.service": "s",
        "com.docker.compose.container-number": "1",
    });
    let list = serde_json::json!([
        {"Id": "bbbbbbbbbbbbbbbb", "Names": ["/b"], "Created": 2, "Labels": labels},
        {"Id": "aaaaaaaaaaaaaaaa", "Names": ["/a"], "Created": 1, "Labels": labels},
    ]);
    let mount =
        Mount::<Docker>::new(Recorded::new().get("/containers/json?all=1", list.to_string()));
    assert_eq!(mount.list("compose/p/s").unwrap(), ["1", "1@bbbbbbbbbbbb"]);
    assert_eq!(mount.read("compose/p/s/1/name").unwrap(), "a\n");
    assert!(matches!(mount.stat("compose/nothing"), Err(Error::NotFound)));
}

#[test]
fn images_show_by_tag_and_by_id() {
    let mount = mount();
    assert_eq!(mount.list("images/by-name").unwrap(), ["acme%2Ftools:1.0", "tools:latest"]);
    let image = mount.stat("images/by-name/tools:latest").unwrap();
    assert_eq!(image.id, mount.stat("images/by-name/acme%2Ftools:1.0").unwrap().id);
    assert_eq!(
        mount.read("images/by-name/tools:latest/tags").unwrap(),
        "acme/tools:1.0\ntools:latest\n"
    );
    assert_eq!(
        mount.read("images/by-name/tools:latest/labels/org.example.kind").unwrap(),
        "base\n"
    );
    assert_eq!(mount.requests(), ["GET /images/json"]);
    let all = mount.read_all("images/by-id").unwrap();
    let asked = mount.requests();
    assert_eq!(asked.iter().filter(|asked| asked.contains("/history")).count(), 1, "{asked:?}");
    let sha = mount.list("images/by-id").unwrap().remove(0);
    assert_eq!(all[&format!("images/by-id/{sha}/architecture")], b"amd64\n");
    let history: Value =
        serde_json::from_slice(&all[&format!("images/by-id/{sha}/history.json")]).unwrap();
    assert!(
        history[0].get("Tags").is_none() && history[0]["Comment"] == "Imported from -",
        "{history}"
    );
}

#[test]
fn an_image_is_looked_up_by_its_whole_name_only() {
    let mount = mount();
    assert_eq!(mount.read("images/by-name/acme%2Ftools:1.0/os").unwrap(), "linux\n");
    assert_eq!(mount.requests(), ["GET /images/acme%2Ftools:1.0/json"]);
    assert!(matches!(mount.stat("images/by-name/tools"), Err(Error::NotFound)));
    assert!(matches!(mount.stat("images/by-id/sha256:4259"), Err(Error::NotFound)));
    assert_eq!(mount.requests(), Vec::<String>::new());
}

#[test]
fn volumes_and_networks_show_what_the_engine_says() {
    let mount = mount();
    assert_eq!(mount.list("volumes").unwrap(), ["data"]);
    mount.read_all("volumes/data/labels").unwrap();
    let read = |path: &str| mount.read(path).unwrap();
    assert_eq!(read("volumes/data/mountpoint"), "/var/lib/docker/volumes/data/_data\n");
    assert_eq!(read("volumes/data/labels/keep"), "yes\n");
    assert!(!read("volumes/data/inspect.json").contains("CreatedAt"));
    assert_eq!(mount.requests(), ["GET /volumes"]);
    let created = mount.stat("volumes/data/created").unwrap();
    assert!(matches!(created.coherence, Coherence::Volatile));
    assert_eq!(mount.list("networks").unwrap(), ["host", "none", "shopnet"]);
    assert_eq!(read("networks/shopnet/driver"), "bridge\n");
    assert_eq!(read("networks/shopnet/subnets"), "10.77.0.0/24\n");
    assert_eq!(read("networks/shopnet/labels/team"), "web\n");
    assert_eq!(mount.requests(), ["GET /networks"]);
    assert_eq!(read("networks/shopnet/containers"), "web\n");
    assert_eq!(mount.requests().len(), 1);
}

#[test]
fn two_networks_of_one_name_both_show() {
    let network =
        |id: &str, created: &str| serde_json::json!({"Id": id, "Name": "n", "Created": created});
    let list = serde_json::json!([
        network("bbbbbbbbbbbbbbbbbb", "2026-01-02T00:00:00Z"),
        network("aaaaaaaaaaaaaaaaaa", "2026-01-01T00:00:00Z"),
    ]);
    let mount = Mount::<Docker>::new(Recorded::new().get("/networks", list.to_string()));
    assert_eq!(mount.list("networks").unwrap(), ["n", "n@bbbbbbbbbbbb"]);
    assert_eq!(mount.read("networks/n@bbbbbbbbbbbb/id").unwrap(), "bbbbbbbbbbbbbbbbbb\n");
}

#[test]
fn info_json_holds_nothing_that_changes_by_itself() {
    let mount = mount();
    let info: Value = serde_json::from_str(&mount.read("info.json").unwrap()).unwrap();
    for field in [
        "SystemTime",
        "NFd",
        "NGoroutines",
        "NEventsListener",
        "DriverStatus",
        "Swarm",
        "IPv4Forwarding",
    ] {
        assert!(info.get(field).is_none(), "{field}");
    }
    assert_eq!(info["ContainersRunning"], said("GET /info")["ContainersRunning"]);
    let version: Value = serde_json::from_str(&mount.read("version.json").unwrap()).unwrap();
    assert_eq!(version, said("GET /version"));
}

#[test]
fn no_error_of_the_engine_is_taken_for_a_missing_object() {
    for (status, expected) in [
        (500, "unavailable"),
        (503, "unavailable"),
        (403, "denied"),
        (429, "rate"),
        (400, "invalid"),
    ] {
        let upstream = Recorded::new()
            .answer("GET /containers/job/json", status, &[], r#"{"message":"no\nluck"}"#)
            .answer(LIST, status, &[], "half an ans");
        let mount = Mount::<Docker>::new(upstream);
        for error in [
            mount.stat("containers/by-name/job").unwrap_err(),
            mount.list("containers/by-id").unwrap_err(),
        ] {
            let error = format!("{error:?}").to_lowercase();
            assert!(error.contains(expected), "{status}: {error}");
        }
    }
    let mount = Mount::<Docker>::new(Recorded::new().get("/containers/json?all=1", r#"[{"Id": "#));
    assert!(matches!(mount.list("containers/by-name"), Err(Error::Invalid(_))));
}

#[test]
fn every_entry_is_a_file_or_a_directory_with_its_exact_size() {
    let mount = mount();
    for root in
        ["containers/by-name", "images", "volumes", "networks/shopnet", "version.json", "info.json"]
    {
        if matches!(mount.stat(root).unwrap().kind, Kind::File) {
            mount.read(root).unwrap();
        } else {
            assert!(!mount.read_all(root).unwrap().is_empty());
        }
    }
}

#[test]
fn the_tables_come_with_the_listing_of_containers() {
    let mount = mount();
    let table = mount.read("containers.tsv").unwrap();
    assert_eq!(mount.requests(), [LIST]);
    let head = "name\tid\timage\tstate\tstatus\tcreated\tports\tproject\tservice\tcommand";
    assert_eq!(table.lines().next().unwrap(), head);
    let names: Vec<_> = table.lines().skip(1).filter_map(|row| row.split('\t').next()).collect();
    assert_eq!(sorted(names.into_iter().map(str::to_owned).collect()), NAMES);
    let web = table.lines().find(|row| row.starts_with("web\t")).unwrap();
    let cells: Vec<_> = web.split('\t').collect();
    assert_eq!((cells[1], cells[3]), (id("web").as_str(), "running"));
    assert_eq!(mount.list("containers/by-name").unwrap(), NAMES);
    mount.read("containers.jsonl").unwrap();
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn what_a_container_does_now_is_found_by_name_and_never_listed() {
    let at = format!("/containers/{}", id("web"));
    let top = r#"{"Titles": ["PID", "CMD"], "Processes": [["7", "sh -c 'a\tb'"], ["8", "sleep"]]}"#;
    let stats = r#"{"pids_stats": {"current": 2}}"#;
    let upstream = engine()
        .get(&format!("{at}/top"), top)
        .get(&format!("{at}/stats?stream=false&one-shot=true"), stats);
    let mount = Mount::<Docker>::new(upstream);
    let web = "containers/by-name/web";
    let names = mount.list(web).unwrap();
    assert!(!names.iter().any(|name| name == "top" || name == "stats.json"), "{names:?}");
    let top = mount.read(&format!("{web}/top")).unwrap();
    assert_eq!(top, "PID\tCMD\n7\tsh -c 'a\\tb'\n8\tsleep\n");
    assert!(mount.read(&format!("{web}/stats.json")).unwrap().contains("\"current\": 2"));
    mount.requests();
    mount.read(&format!("{web}/top")).unwrap();
    assert!(mount.requests().iter().any(|line| line.ends_with("/top")), "asked at each open");
    let ended = mount.stat("containers/by-name/job/top").map(|node| node.id);
    assert!(matches!(ended, Err(Error::NotFound)), "{ended:?}");
    mount.requests();
    for name in [".git", "tops"] {
        let absent = mount.stat(&format!("{web}/{name}")).map(|node| node.id);
        assert!(matches!(absent, Err(Error::NotFound)), "{name}: {absent:?}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}
