//! The tree over what real servers said (`recorded/`: Prometheus 2.42 with a target that is down, a rule that
//! fires for it, another that is pending, and an Alertmanager 0.25 with a silence of it).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use omnifs_prometheus::Prometheus;
use omnifs_sdk::testing::{Mount, Recorded, odd};
use omnifs_sdk::{Coherence, Error};
use serde_json::{Value, json};

const DOWN: &str = "TargetDown,instance=127.0.0.1:1,job=down,severity=page";
const SILENCE: &str = "66a38367-e83d-44ff-a443-d676228a4a30";

fn servers() -> Recorded {
    Recorded::from_json(include_str!("recorded/server.json"))
}

fn mount() -> Mount<Prometheus> {
    Mount::new(servers().setting("alertmanager", "true"))
}

fn querying(queries: &str) -> Mount<Prometheus> {
    Mount::new(servers().setting("queries", queries))
}

#[test]
fn the_tree_is_the_promised_one() {
    let mount = mount();
    let root = [
        "alertmanager",
        "alerts",
        "alerts.jsonl",
        "alerts.tsv",
        "metrics",
        "queries",
        "rules",
        "rules.jsonl",
        "rules.tsv",
        "targets",
        "targets.jsonl",
        "targets.tsv",
    ];
    assert_eq!(mount.list("").unwrap(), root);
    assert_eq!(mount.list("alerts").unwrap(), ["_firing", "_pending"]);
    assert_eq!(mount.list("queries").unwrap(), [""; 0]);
    assert_eq!(mount.requests(), [""; 0]);
    assert_eq!(Mount::<Prometheus>::new(servers()).list("").unwrap(), root[1..]);
}

#[test]
fn alerts_show_by_their_state_under_all_of_their_labels() {
    let mount = mount();
    assert_eq!(mount.list("alerts/_firing").unwrap(), [DOWN]);
    assert_eq!(mount.list("alerts/_pending").unwrap(), ["Slow"]);
    let alert = format!("alerts/_firing/{DOWN}");
    assert_eq!(
        mount.list(&alert).unwrap(),
        ["alert.json", "annotations", "labels", "name", "since", "state", "value"]
    );
    let read = |leaf: &str| mount.read(&format!("{alert}/{leaf}")).unwrap();
    assert_eq!(read("name"), "TargetDown\n");
    assert_eq!(read("state"), "firing\n");
    assert_eq!(read("value"), "0e+00\n");
    assert_eq!(read("since"), "2026-11-28T02:40:01.456891295Z\n");
    assert_eq!(read("labels/severity"), "page\n");
    assert_eq!(read("annotations/summary"), "127.0.0.1:1 is down\n");
    assert_eq!(
        mount.read("alerts.tsv").unwrap(),
        "state\tname\tseverity\tinstance\tsince\tvalue\tsummary\tlabels\n\
         firing\tTargetDown\tpage\t127.0.0.1:1\t2026-11-28T02:40:01.456891295Z\t0e+00\t127.0.0.1:1 is down\t\
         alertname=TargetDown,instance=127.0.0.1:1,job=down,severity=page\n\
         pending\tSlow\t\t\t2026-11-28T02:39:55.456891295Z\t1e+00\t\talertname=Slow\n"
    );
}

#[test]
fn everything_is_asked_for_again_since_no_server_tells_of_changes() {
    let mount = mount();
    for path in ["alerts.tsv", "targets/node/127.0.0.1:19100/health", "metrics/node_load1"] {
        assert!(matches!(mount.stat(path).unwrap().coherence, Coherence::Volatile), "{path}");
    }
    let firing = json!({"status": "success", "data": {"alerts": []}}).to_string();
    let state = format!("alerts/_firing/{DOWN}/state");
    assert_eq!(mount.read(&state).unwrap(), "firing\n");
    mount.upstream_changes(Recorded::new().get("/api/v1/alerts", firing));
    assert!(matches!(mount.read(&state), Err(Error::NotFound)));
    assert_eq!(mount.list("alerts/_firing").unwrap(), [""; 0]);
}

#[test]
fn targets_show_by_their_pool_and_two_of_one_instance_are_told_apart() {
    let mount = mount();
    assert_eq!(mount.list("targets").unwrap(), ["down", "node"]);
    assert_eq!(mount.list("targets/node").unwrap(), ["127.0.0.1:19100"]);
    let down = |leaf: &str| mount.read(&format!("targets/down/127.0.0.1:1/{leaf}")).unwrap();
    assert_eq!(down("health"), "down\n");
    assert_eq!(down("url"), "http://127.0.0.1:1/metrics\n");
    assert!(down("error").ends_with("connection refused\n"));
    assert_eq!(mount.read("targets/node/127.0.0.1:19100/error").unwrap(), "");
    assert_eq!(mount.read("targets.tsv").unwrap().lines().count(), 3);

    let target = |path: &str| {
        json!({"labels": {"instance": "a", "job": "j"}, "scrapePool": "j", "scrapeUrl": format!("http://a/{path}"),
            "lastError": "", "lastScrape": "2026-01-01T00:00:00Z", "lastScrapeDuration": 0.5, "health": "up"})
    };
    let list = |targets: Value| {
        let answer = json!({"status": "success", "data": {"activeTargets": targets}}).to_string();
        let mount =
            Mount::<Prometheus>::new(Recorded::new().get("/api/v1/targets?state=active", answer));
        let names = mount.list("targets/j").unwrap();
        let url = mount.read(&format!("targets/j/{}/url", names[1])).unwrap();
        (names, url)
    };
    let one = list(json!([target("m1"), target("m2")]));
    assert_eq!(one, list(json!([target("m2"), target("m1")])));
    assert_eq!((one.0[0].as_str(), one.1.as_str()), ("a", "http://a/m2\n"));
}

#[test]
fn rules_show_by_their_group() {
    let mount = mount();
    assert_eq!(mount.list("rules").unwrap(), ["example"]);
    assert_eq!(mount.list("rules/example").unwrap(), ["Slow", "TargetDown", "job:up:sum"]);
    let read = |path: &str| mount.read(&format!("rules/example/{path}")).unwrap();
    assert_eq!(read("TargetDown/query"), "up == 0\n");
    assert_eq!(read("TargetDown/state"), "firing\n");
    assert_eq!(read("TargetDown/annotations/summary"), "{{ $labels.instance }} is down\n");
    assert_eq!(read("Slow/for"), "3600\n");
    assert_eq!(
        (read("job:up:sum/type").as_str(), read("job:up:sum/state").as_str()),
        ("recording\n", "")
    );
    assert!(
        mount
            .read("rules.tsv")
            .unwrap()
            .contains("alerting\texample\tSlow\tpending\tok\tvector(1) > 0\t\n")
    );
}

#[test]
fn a_metric_is_a_file_and_one_that_nobody_exposes_does_not_exist() {
    let mount = mount();
    let text = "# HELP node_load1 1m load average.\n# TYPE node_load1 gauge\n";
    assert_eq!(mount.read("metrics/node_load1").unwrap(), text);
    assert!(matches!(mount.read("metrics/nothing"), Err(Error::NotFound)));
    assert_eq!(mount.list("metrics").unwrap().len(), 3);
}

#[test]
fn a_query_of_the_configuration_is_its_value_and_one_that_is_wrong_says_why() {
    let mount = querying(
        "# a comment\nall = up\n\nhow-many = count(up)\nnumber = 1\nlast=up[3s]\nnone\ntext = \"a text\"\nwrong = sum(",
    );
    let names = ["all", "how-many", "last", "number", "text", "wrong"];
    assert_eq!(mount.list("queries").unwrap(), names);
    assert!(mount.log().iter().any(|line| line.contains("\"none\" is not NAME = EXPRESSION")));
    let read = |name: &str| mount.read(&format!("queries/{name}")).unwrap();
    assert_eq!(
        read("all"),
        "up{instance=\"127.0.0.1:1\",job=\"down\"} 0\nup{instance=\"127.0.0.1:19100\",job=\"node\"} 1\n"
    );
    assert_eq!(read("how-many"), "2\n");
    assert_eq!(read("number"), "1\n");
    assert_eq!(read("text"), "a text\n");
    assert!(read("last").lines().all(|line| line.starts_with("up{") && line.contains(" @1")));
    let why = mount.read("queries/wrong").unwrap_err();
    assert!(
        matches!(&why, Error::Invalid(why) if why.contains("unclosed left parenthesis")),
        "{why:?}"
    );
    assert!(matches!(mount.read("queries/unknown"), Err(Error::NotFound)));
}

#[test]
fn a_query_with_a_histogram_and_labels_with_quotes_are_written_as_the_server_has_them() {
    let result = json!([
        {"metric": {"a": "x\"y\\z"}, "value": [1.5, "NaN"]},
        {"metric": {}, "histogram": [1.5, {"count": "2", "sum": "3"}]},
    ]);
    let answer = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    let mount = Mount::<Prometheus>::new(
        Recorded::new()
            .get("/api/v1/query?query=q", answer.to_string())
            .setting("queries", "q = q"),
    );
    assert_eq!(
        mount.read("queries/q").unwrap(),
        "{a=\"x\\\"y\\\\z\"} NaN\n{\"count\":\"2\",\"sum\":\"3\"}\n"
    );
}

#[test]
fn what_alertmanager_has_shows_where_the_configuration_says_that_there_is_one() {
    let mount = mount();
    assert_eq!(mount.list("alertmanager/alerts").unwrap(), [DOWN]);
    let alert = |leaf: &str| mount.read(&format!("alertmanager/alerts/{DOWN}/{leaf}")).unwrap();
    assert_eq!(alert("state"), "suppressed\n");
    assert_eq!(alert("silenced-by"), format!("{SILENCE}\n"));
    assert_eq!(alert("receivers"), "none\n");
    assert_eq!(mount.list("alertmanager/silences").unwrap(), [SILENCE]);
    let silence =
        |leaf: &str| mount.read(&format!("alertmanager/silences/{SILENCE}/{leaf}")).unwrap();
    assert_eq!(silence("comment"), "rack 3 is moved");
    assert_eq!(silence("matchers"), "alertname=\"TargetDown\"\njob!~\"node|db\"\n");
    assert!(mount.read("alertmanager/silences.tsv").unwrap().contains("\track 3 is moved\n"));
    assert!(mount.read("alertmanager/alerts.jsonl").unwrap().contains("\"state\":\"suppressed\""));
    let absent = Mount::<Prometheus>::new(servers());
    assert!(matches!(absent.list("alertmanager"), Err(Error::NotFound)));
}

#[test]
fn a_server_without_the_api_is_an_error_and_no_empty_directory() {
    for status in [404, 503, 401, 200] {
        let answered = Recorded::new().answer("GET /api/v1/alerts", status, &[], "<html>");
        let mount = Mount::<Prometheus>::new(answered);
        let error = mount.list("alerts/_firing").unwrap_err();
        let expected = match status {
            503 => matches!(error, Error::Unavailable(_)),
            401 => matches!(error, Error::Denied(_)),
            _ => matches!(error, Error::Invalid(_)),
        };
        assert!(expected, "{status}: {error:?}");
    }
}

#[test]
fn one_odd_item_of_a_listing_leaves_the_others() {
    let all: Vec<Value> = serde_json::from_str(include_str!("recorded/server.json")).unwrap();
    let listings = [
        ("/api/v1/alerts", "/data/alerts", "alerts/_firing"),
        ("/api/v1/targets?state=active", "/data/activeTargets", "targets/down"),
        ("/api/v1/rules", "/data/groups/0/rules", "rules/example"),
        ("/api/v2/alerts", "", "alertmanager/alerts"),
        ("/api/v2/silences", "", "alertmanager/silences"),
    ];
    for (request, place, directory) in listings {
        let answer = |first: &str| {
            let line = format!("GET {request}");
            let recorded =
                all.iter().find(|exchange| exchange["request"] == line.as_str()).unwrap();
            let mut body = recorded["body"].clone();
            let items = body.pointer_mut(place).unwrap().as_array_mut().unwrap();
            let whole = items[0].clone();
            *items = vec![json!("omnifs:odd"), whole.clone()];
            (body.to_string().replace("\"omnifs:odd\"", first), whole)
        };
        let list = |body: String| {
            let recorded = Recorded::new().get(request, body).setting("alertmanager", "true");
            Mount::<Prometheus>::new(recorded).list(directory).unwrap()
        };
        let (body, whole) = answer("null");
        let names = list(body);
        assert_eq!(names.len(), 1, "{request}");
        for (what, item) in odd(&whole) {
            let shown = list(answer(&item).0);
            assert!(shown.contains(&names[0]), "{request}: {what}: {shown:?}");
        }
    }
}
