//! Prometheus with an exporter and an Alertmanager, and their own answers to say what is right.

use crate::{configure, home};
use omnifs_support::tools::{errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a scrape, an evaluation and a notification. What answers is scraped every twelve seconds, which is also what a
/// loaded machine has for the answer, and all else happens once a second.
const SOON: Duration = Duration::from_secs(180);
/// Where nothing listens.
const NOBODY: &str = "127.0.0.1:1";
const EIO: i32 = 5;

struct World {
    omnifs: Omnifs,
    exporter: Server,
    manager: Server,
    prometheus: Server,
}

impl World {
    /// Once the exporter is up, the other target is down, and the alert for it has arrived. Nothing where
    /// the servers are not installed, which is said.
    fn new(test: &str) -> Option<World> {
        let (exporter, manager) = ("prometheus-node-exporter", "prometheus-alertmanager");
        let omnifs = home(test, &["prometheus", exporter, manager, "promtool", "curl"])?;
        let served = omnifs.path("served");
        let file = |name: &str| served.join(name).display().to_string();
        let start = |name: &str, arguments: &dyn Fn(&str) -> Vec<String>| {
            Server::start(name, &served, arguments).unwrap_or_else(|error| panic!("{error}"))
        };
        fs::create_dir_all(&served).expect("a folder");
        let exporter = start(exporter, &|at| {
            let few = ["--collector.disable-defaults", "--collector.loadavg"].map(str::to_owned);
            [vec![format!("--web.listen-address={at}")], few.to_vec()].concat()
        });
        fs::write(file("manager.yml"), MANAGER).expect("a file");
        let manager = start(manager, &|at| {
            vec![
                format!("--config.file={}", file("manager.yml")),
                format!("--storage.path={}", file("manager")),
                format!("--web.listen-address={at}"),
                "--cluster.listen-address=".to_owned(),
            ]
        });
        fs::write(file("rules.yml"), RULES).expect("a file");
        let configuration = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
             scrape_configs:\n\
             - {{job_name: node, scrape_interval: 12s, scrape_timeout: 12s, static_configs: [{{targets: ['{}']}}]}}\n\
             - {{job_name: absent, static_configs: [{{targets: ['{NOBODY}']}}]}}\n",
            manager.address(),
            exporter.address(),
        );
        fs::write(file("prometheus.yml"), configuration).expect("a file");
        let prometheus = start("prometheus", &|at| {
            vec![
                format!("--config.file={}", file("prometheus.yml")),
                format!("--storage.tsdb.path={}", file("data")),
                format!("--web.listen-address={at}"),
            ]
        });
        configure(
            &omnifs,
            &format!(
                "[instances.watch]\nprovider = 'prometheus'\nendpoints.prometheus = '{}'\n\
                 endpoints.alertmanager = '{}'\nsettings.alertmanager = true\n\
                 settings.queries = '''\nup = up\nboth = count(up)\nworking = sum(up)\nwrong = count(\n'''\n",
                prometheus.url(),
                manager.url()
            ),
        );
        let world = World { omnifs, exporter, manager, prometheus };
        world.await_health("absent", "down");
        world.await_health("node", "up");
        world.until(|| world.value("count(up)") == "2", "not both were scraped");
        world.until(|| world.received().len() == 1, "the alert did not arrive");
        Some(world)
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    fn until(&self, holds: impl Fn() -> bool, why: &str) {
        assert!(wait_until(SOON, || holds().then_some(())).is_some(), "{why}");
    }

    /// What Prometheus answers.
    fn asked(&self, path: &str) -> Value {
        curl(&format!("{}/api/v1/{path}", self.prometheus.url()))["data"].take()
    }

    /// Waits until Prometheus says this of the targets of a job.
    fn await_health(&self, job: &str, health: &str) {
        let targets = || self.asked("targets?state=active")["activeTargets"].take();
        let good = |target: &Value| target["scrapePool"] != job || target["health"] == health;
        let all = || targets().as_array().is_some_and(|all| all.len() == 2 && all.iter().all(good));
        self.until(all, &format!("{job} is not {health}"));
    }

    /// What Prometheus makes of a query of one series.
    fn value(&self, query: &str) -> String {
        let result = self.asked(&format!("query?query={query}"))["result"].take();
        result[0]["value"][1].as_str().unwrap_or_default().to_owned()
    }

    fn received(&self) -> Vec<Value> {
        let all = curl(&format!("{}/api/v2/alerts", self.manager.url()));
        all.as_array().cloned().unwrap_or_default()
    }

    fn alert(&self, at: &str, job: &str) -> String {
        format!("TargetDown,instance={at},job={job},severity=page")
    }
}

const MANAGER: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

const RULES: &str = "groups:
- name: example
  rules:
  - {record: 'job:up:sum', expr: 'sum by (job) (up)'}
  - {alert: TargetDown, expr: 'up == 0', labels: {severity: page}, annotations: {summary: 'it is down'}}
  - {alert: Later, expr: 'vector(1) > 0', for: 1000h}
";

/// What is answered there, whatever the machine's proxy.
fn curl(url: &str) -> Value {
    let text = shell(
        Path::new("/"),
        &format!("curl -s -f -g --noproxy '*' --retry 30 --retry-delay 1 '{url}'"),
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {error}: {text}"))
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("watch").join(path)
}

fn names<'a>(items: &'a Value, name: &str) -> BTreeSet<&'a str> {
    let items = items.as_array().expect("a list");
    items.iter().map(|item| item[name].as_str().expect("a text")).collect()
}

#[test]
fn alerts_targets_rules_and_queries_are_what_the_server_says() {
    let test = "prometheus_shown";
    let Some(world) = World::new(test) else { return };
    let mounted = world.mount();
    let read = |path: &str| read(&place(&mounted, path));
    let list = |path: &str| list(&place(&mounted, path)).expect("a directory");

    let alert = world.alert(NOBODY, "absent");
    assert_eq!(list("alerts/_firing"), std::slice::from_ref(&alert));
    assert_eq!(list("alerts/_pending"), ["Later"]);
    let alerts = world.asked("alerts")["alerts"].take();
    let firing = alerts.as_array().expect("a list").iter().find(|one| one["state"] == "firing");
    let firing = firing.expect("an alert");
    let since = read(&format!("alerts/_firing/{alert}/since"));
    assert_eq!(Some(since.trim()), firing["activeAt"].as_str());
    assert_eq!(read(&format!("alerts/_firing/{alert}/annotations/summary")), "it is down\n");
    assert_eq!(read("alerts.tsv").lines().count(), 3);

    assert_eq!(list("targets"), ["absent", "node"]);
    let here = world.exporter.address();
    assert_eq!(list("targets/node"), [here]);
    assert_eq!(read(&format!("targets/node/{here}/url")), format!("http://{here}/metrics\n"));
    assert!(read(&format!("targets/absent/{NOBODY}/error")).contains("refused"));

    let groups = world.asked("rules")["groups"].take();
    let rules: BTreeSet<String> = list("rules/example").into_iter().collect();
    let rules: BTreeSet<&str> = rules.iter().map(String::as_str).collect();
    assert_eq!(rules, names(&groups[0]["rules"], "name"));
    assert_eq!(read("rules/example/TargetDown/query"), "up == 0\n");

    let url = world.prometheus.url();
    let line = format!(
        "promtool query instant {url} up | sed -E 's/ => ([^ ]+) @.*/ \\1/; s/, /,/g' | sort"
    );
    let expected = shell(Path::new("/"), &line);
    let mut shown: Vec<_> = read("queries/up").lines().map(str::to_owned).collect();
    shown.sort();
    assert_eq!(shown.join("\n"), expected);
    assert_eq!(read("queries/both"), "2\n");
    assert_eq!(errno(&place(&mounted, "queries/wrong")), EIO);

    // A scrape between the two may bring another metric.
    let metadata = || world.asked("metadata").as_object().expect("an object").clone();
    let same = || {
        let names: BTreeSet<String> = metadata().keys().cloned().collect();
        names == list("metrics").into_iter().collect()
    };
    world.until(same, "the metrics are not those of the server");
    let (help, metric) = (&metadata()["node_load1"][0], read("metrics/node_load1"));
    let help = help["help"].as_str().expect("a text");
    assert_eq!(metric, format!("# HELP node_load1 {help}\n# TYPE node_load1 gauge\n"));
}

#[test]
fn a_target_that_goes_down_shows_at_the_next_read_and_so_does_its_alert() {
    let Some(world) = World::new("prometheus_down") else { return };
    let at = world.exporter.address().to_owned();
    let alert = world.alert(&at, "node");
    let mounted = world.mount();
    // The server says so first, and then one look has to.
    let shows = |health: &str, fires: bool| {
        world.await_health("node", health);
        let firing = || {
            let all = world.asked("alerts")["alerts"].take();
            let is = |one: &Value| one["labels"]["job"] == "node" && one["state"] == "firing";
            all.as_array().is_some_and(|all| all.iter().any(is))
        };
        world.until(|| firing() == fires, "the rule was not evaluated");
        let value = if fires { "0" } else { "1" };
        world.until(|| world.value("sum(up)") == value, "the scrape does not show");
        let target = place(&mounted, &format!("targets/node/{at}/health"));
        assert_eq!(read(&target), format!("{health}\n"));
        let directory = place(&mounted, "alerts/_firing");
        assert_eq!(directory.join(&alert).is_dir(), fires);
        assert_eq!(list(&directory).expect("a directory").contains(&alert), fires);
        assert_eq!(read(&place(&mounted, "alerts.tsv")).contains(&format!("\t{at}\t")), fires);
        assert_eq!(read(&place(&mounted, "queries/working")), format!("{value}\n"));
    };
    shows("up", false);
    world.exporter.stop();
    shows("down", true);
    world.exporter.start_again().expect("the exporter");
    shows("up", false);
}

#[test]
fn a_silence_shows_at_the_next_read_and_the_alert_with_it() {
    let Some(world) = World::new("prometheus_silence") else { return };
    let mounted = world.mount();
    let silences = place(&mounted, "alertmanager/silences");
    let alert = place(&mounted, "alertmanager/alerts").join(world.alert(NOBODY, "absent"));
    assert_eq!(list(&silences).expect("a directory"), [""; 0]);
    assert_eq!(read(&alert.join("state")), "active\n");
    let silence = r#"{"comment": "rack 3", "createdBy": "ops", "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z", "matchers": [{"name": "job", "value": "absent", "isRegex": false}]}"#;
    let url = format!("{}/api/v2", world.manager.url());
    let send = |what: &str| shell(Path::new("/"), &format!("curl -sS -f --noproxy '*' {what}"));
    send(&format!("-H 'content-type: application/json' -d '{silence}' {url}/silences"));
    let names = list(&silences).expect("a directory");
    assert_eq!(names.len(), 1);
    let own = silences.join(&names[0]);
    assert_eq!(read(&own.join("state")), "active\n");
    assert_eq!(read(&own.join("matchers")), "job=\"absent\"\n");
    assert_eq!(read(&own.join("comment")), "rack 3");
    // Alertmanager judges an alert when it is next told of it.
    let suppressed = || world.received().iter().all(|one| one["status"]["state"] == "suppressed");
    world.until(suppressed, "the alert is not silenced");
    assert_eq!(read(&alert.join("state")), "suppressed\n");
    assert_eq!(read(&alert.join("silenced-by")), format!("{}\n", names[0]));
    send(&format!("-X DELETE {url}/silence/{}", names[0]));
    assert_eq!(read(&own.join("state")), "expired\n");
    assert!(read(&place(&mounted, "alertmanager/silences.tsv")).contains("\nexpired\t"));
}

#[test]
fn a_server_that_is_stopped_is_an_error_and_leaves_nothing_behind() {
    let Some(world) = World::new("prometheus_stopped") else { return };
    let mounted = world.mount();
    let health = place(&mounted, &format!("targets/absent/{NOBODY}/health"));
    assert_eq!(read(&health), "down\n");
    let table = place(&mounted, "alerts.tsv");
    let paths = ["alerts.tsv", "queries/both", "rules/example/TargetDown/query"];
    let paths = paths.map(|path| place(&mounted, path));
    paths.iter().for_each(|path| drop(read(path)));
    world.prometheus.stop();
    for path in paths.iter().chain([&health]) {
        assert_eq!(errno(path), EIO, "{}", path.display());
    }
    let listed = list(&place(&mounted, "alerts/_firing")).expect_err("nobody answers");
    assert_eq!(listed.raw_os_error(), Some(EIO));
    // The other server is not concerned.
    assert_eq!(list(&place(&mounted, "alertmanager/alerts")).expect("a directory").len(), 1);
    world.prometheus.start_again().expect("prometheus");
    let answers = || fs::read_to_string(&table).is_ok();
    world.until(answers, "the mount goes on failing");
    world.await_health("absent", "down");
    assert_eq!(read(&health), "down\n");
}
