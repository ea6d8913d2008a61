//! The event stream over what a real engine said.
#![allow(clippy::unwrap_used)]

use omnifs_docker::Docker;
use omnifs_sdk::Position;
use omnifs_sdk::events::Change;
use omnifs_sdk::testing::{Mount, Recorded};
use serde_json::Value;

fn mount() -> Mount<Docker> {
    Mount::new(Recorded::from_json(include_str!("recorded/engine.json")))
}

fn position(cursor: Option<&str>, since: u64) -> Position {
    let cursor = cursor.map(str::to_owned);
    Position { feed: "events".into(), scope: "engine".into(), cursor, since }
}

/// The recorded line of this kind and action about a container of this name, if it names one.
fn recorded(kind: &str, action: &str, name: &str) -> String {
    let mut lines = include_str!("recorded/events.jsonl").lines();
    let found = lines.find(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        let named = event["Actor"]["Attributes"]["name"].as_str().unwrap_or(name) == name;
        event["Type"] == kind && event["Action"] == action && named
    });
    found.unwrap_or_else(|| panic!("no event {kind} {action} {name} was recorded")).to_owned()
}

fn actor(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap();
    event["Actor"]["ID"].as_str().unwrap().to_owned()
}

/// What the line changes, one word and the id each.
fn changes(line: &str) -> Vec<String> {
    let progress = mount().line(&position(None, 0), line).unwrap();
    let word = |change: &Change| match change {
        Change::Invalidated(id) => format!("invalidated {id}"),
        Change::Removed(id) => format!("removed {id}"),
        Change::ChildrenChanged(id) => format!("children {id}"),
        Change::Gap(scope) => format!("gap {scope}"),
    };
    let mut words: Vec<String> = progress.changes.0.iter().map(word).collect();
    words.sort();
    words
}

#[test]
fn a_first_stream_starts_at_the_engines_own_clock() {
    let mount = mount();
    let path = mount.open(&position(None, 0)).unwrap();
    assert_eq!(mount.requests(), ["GET /_ping"]);
    let since: u64 = path.strip_prefix("/events?since=").unwrap().parse().unwrap();
    let all: Vec<Value> = serde_json::from_str(include_str!("recorded/engine.json")).unwrap();
    let date = all[0]["headers"]["date"].as_str().unwrap();
    assert_eq!(since, omnifs_sdk::time::http_date(date).unwrap() - 1);
}

#[test]
fn a_stream_resumes_at_its_cursor_or_where_fetching_began() {
    let mount = mount();
    assert_eq!(
        mount.open(&position(Some("17.000000042"), 5)).unwrap(),
        "/events?since=17.000000042"
    );
    assert_eq!(mount.open(&position(None, 5)).unwrap(), "/events?since=5");
    assert_eq!(mount.requests(), Vec::<String>::new());
}

#[test]
fn the_cursors_own_event_proves_that_nothing_was_missed() {
    let lines: Vec<&str> = include_str!("recorded/events.jsonl").lines().collect();
    let mount = mount();
    let first = mount.line(&position(None, 0), lines[0]).unwrap();
    let cursor = first.cursor.unwrap();
    let time: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(cursor.replace('.', ""), time["timeNano"].to_string());
    assert!(!first.resumed);
    // The next line as it comes, and as the first line after a reconnection.
    assert!(!mount.line(&position(Some(&cursor), 0), lines[1]).unwrap().resumed);
    assert!(mount.line(&position(Some(&cursor), 0), lines[0]).unwrap().resumed);
    let small = mount.line(&position(None, 0), r#"{"Type":"x","timeNano":5000000007}"#).unwrap();
    assert_eq!(small.cursor.as_deref(), Some("5.000000007"));
}

#[test]
fn a_start_and_a_stop_move_the_container_between_its_listings() {
    for action in ["start", "die", "stop"] {
        let name = if action == "start" { "waiting" } else { "renamed" };
        let line = recorded("container", action, name);
        let id = actor(&line);
        let expected = [
            "children containers-running".to_owned(),
            "children containers-stopped".to_owned(),
            format!("invalidated container/{id}"),
            "invalidated info".to_owned(),
            "invalidated tables".to_owned(),
        ];
        assert_eq!(changes(&line), expected, "{action}");
    }
}

#[test]
fn a_rename_changes_the_names_and_not_the_object() {
    let line = recorded("container", "rename", "renamed");
    let id = actor(&line);
    assert_eq!(
        changes(&line),
        [
            "children compose".to_owned(),
            "children compose-project/shop".to_owned(),
            "children compose-service/shop/api".to_owned(),
            "children containers-by-id".to_owned(),
            "children containers-by-name".to_owned(),
            "children containers-running".to_owned(),
            "children containers-stopped".to_owned(),
            format!("invalidated container/{id}"),
            "invalidated info".to_owned(),
            "invalidated network-members".to_owned(),
            "invalidated tables".to_owned(),
        ]
    );
}

#[test]
fn a_destroyed_container_is_removed() {
    let line = recorded("container", "destroy", "web");
    let changes = changes(&line);
    assert!(changes.contains(&format!("removed container/{}", actor(&line))), "{changes:?}");
    assert!(changes.contains(&"children containers-by-name".to_owned()), "{changes:?}");
    assert!(
        !changes.iter().any(|change| change.starts_with("children compose")),
        "it had no labels"
    );
}

#[test]
fn a_pause_moves_no_entry() {
    let line = recorded("container", "unpause", "idle");
    assert_eq!(
        changes(&line),
        [
            format!("invalidated container/{}", actor(&line)),
            "invalidated info".to_owned(),
            "invalidated tables".to_owned(),
        ]
    );
}

#[test]
fn a_pause_is_passed_on_once_the_engine_lists_it() {
    for (kind, action, name) in
        [("container", "unpause", "idle"), ("network", "disconnect", "shopnet")]
    {
        let line = recorded(kind, action, name);
        let event: Value = serde_json::from_str(&line).unwrap();
        let attributes = &event["Actor"]["Attributes"];
        let id = attributes["container"].as_str().map_or_else(|| actor(&line), str::to_owned);
        let inspection = format!("GET /containers/{id}/json");
        let mount = mount();
        let progress = mount.line(&position(None, 0), &line).unwrap();
        assert_eq!(
            mount.requests(),
            std::slice::from_ref(&inspection),
            "an inspection waits for the engine"
        );
        assert!(!progress.changes.0.is_empty());
        // An engine that does not say so leaves it open what its listing shows.
        let fails = Recorded::new().fail(&inspection, omnifs_sdk::Error::TimedOut);
        mount.upstream_changes(fails);
        let progress = mount.line(&position(None, 0), &line).unwrap();
        assert!(progress.changes.0.contains(&Change::Gap("engine".into())), "{action}");
    }
    let mount = mount();
    mount.line(&position(None, 0), &recorded("container", "start", "waiting")).unwrap();
    assert_eq!(mount.requests(), Vec::<String>::new(), "the others come after the change");
}

#[test]
fn podman_names_volumes_and_leaves_images_their_other_tags() {
    let line = |kind: &str, action: &str, id: &str, name: &str| {
        format!(
            r#"{{"status":"{action}","Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"containerExitCode":"0","image":"","name":"{name}","podId":""}}}},"scope":"local","time":1,"timeNano":1}}"#
        )
    };
    assert_eq!(
        changes(&line("volume", "create", "", "va")),
        ["children volumes", "invalidated volume/va"]
    );
    assert_eq!(
        changes(&line("volume", "remove", "", "va")),
        ["children volumes", "removed volume/va"]
    );
    let untagged = changes(&line("image", "delete", "1e3c", "docker.io/library/other:1"));
    assert!(untagged.contains(&"invalidated image/sha256:1e3c".to_owned()), "{untagged:?}");
    assert!(!untagged.iter().any(|change| change.starts_with("removed")), "{untagged:?}");
}

#[test]
fn a_prune_of_volumes_is_told_as_a_whole() {
    let line = r#"{"Type":"volume","Action":"prune","Actor":{"ID":"","Attributes":{"reclaimed":"0"}},"timeNano":1}"#;
    assert!(changes(line).contains(&"children volumes".to_owned()));
}

#[test]
fn a_health_status_changes_its_container_and_the_table() {
    let line = r#"{"Type":"container","Action":"health_status: healthy","Actor":{"ID":"ab"},"timeNano":1}"#;
    assert_eq!(changes(line), ["invalidated container/ab", "invalidated tables"]);
}

#[test]
fn networks_tell_of_their_containers() {
    let line = recorded("network", "connect", "shopnet");
    let event: Value = serde_json::from_str(&line).unwrap();
    let container = event["Actor"]["Attributes"]["container"].as_str().unwrap();
    assert_eq!(
        changes(&line),
        [
            &*format!("invalidated container/{container}"),
            "invalidated network-members",
            "invalidated tables"
        ]
    );
    let line = recorded("network", "destroy", "shopnet");
    let id = actor(&line);
    assert_eq!(
        changes(&line),
        [
            "children networks".to_owned(),
            "invalidated network-members".to_owned(),
            format!("removed network/{id}")
        ]
    );
}

#[test]
fn tags_change_every_image_that_may_have_lost_one() {
    let line = recorded("image", "tag", "other:1");
    assert_eq!(
        changes(&line),
        [
            "children images-by-id".to_owned(),
            "children images-by-name".to_owned(),
            "invalidated image-tags".to_owned(),
            "invalidated info".to_owned(),
            "invalidated tables".to_owned(),
        ]
    );
    let untag = include_str!("recorded/events.jsonl")
        .lines()
        .find(|line| line.contains(r#""untag""#))
        .unwrap();
    assert_eq!(changes(untag), changes(&line));
    let delete = r#"{"Type":"image","Action":"delete","Actor":{"ID":"sha256:aa"},"timeNano":1}"#;
    assert!(changes(delete).contains(&"removed image/sha256:aa".to_owned()));
}

#[test]
fn volumes_come_and_go() {
    assert_eq!(
        changes(&recorded("volume", "create", "")),
        ["children volumes", "invalidated volume/spare"]
    );
    assert_eq!(
        changes(&recorded("volume", "destroy", "")),
        ["children volumes", "removed volume/spare"]
    );
}

#[test]
fn what_shows_in_no_file_changes_nothing_and_moves_the_cursor() {
    let lines = include_str!("recorded/events.jsonl").lines();
    let quiet: Vec<&str> = lines
        .filter(|line| line.contains(r#""Action":"exec_"#) || line.contains(r#""Action":"kill"#))
        .collect();
    assert!(quiet.len() >= 4, "{quiet:?}");
    for line in quiet {
        let progress = mount().line(&position(None, 0), line).unwrap();
        assert!(progress.changes.0.is_empty() && progress.cursor.is_some(), "{line}");
    }
    assert_eq!(mount().line(&position(None, 0), " ").unwrap(), Default::default());
}

#[test]
fn an_unknown_action_is_taken_for_a_change_of_everything_it_could_be() {
    let line = r#"{"Type":"container","Action":"transmogrify","Actor":{"ID":"ab"},"timeNano":1}"#;
    let changes = changes(line);
    assert!(
        changes.contains(&"invalidated container/ab".to_owned())
            && changes.contains(&"children containers-by-name".to_owned())
    );
}

#[test]
fn an_unreadable_line_is_a_gap() {
    for line in ["{", "null", r#"{"Type": 3}"#] {
        assert_eq!(changes(line), ["gap engine"], "{line}");
    }
}

#[test]
fn an_event_makes_the_next_read_ask_again() {
    let mount = mount();
    assert_eq!(mount.read("containers/by-name/waiting/state").unwrap(), "created\n");
    let id = actor(&recorded("container", "start", "waiting"));
    let mut inspect: Value =
        serde_json::from_str::<Vec<Value>>(include_str!("recorded/engine.json"))
            .unwrap()
            .into_iter()
            .find(|exchange| exchange["request"] == "GET /containers/waiting/json")
            .unwrap()["body"]
            .clone();
    inspect["State"]["Status"] = "running".into();
    let changed = Recorded::new()
        .get("/containers/waiting/json", inspect.to_string())
        .get(&format!("/containers/{id}/json"), inspect.to_string());
    mount.upstream_changes(changed);
    assert_eq!(
        mount.read("containers/by-name/waiting/state").unwrap(),
        "created\n",
        "no event yet"
    );
    mount.line(&position(None, 0), &recorded("container", "start", "waiting")).unwrap();
    assert_eq!(mount.read("containers/by-name/waiting/state").unwrap(), "running\n");
}
