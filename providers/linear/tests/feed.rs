//! The feed over the Linear twin: what a change upstream makes of what is cached.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use omnifs_linear::{ISSUES, OBJECTS};
use omnifs_sdk::events::Change;
use omnifs_sdk::{Delivery, Error, Progress};
use omnifs_twins::linear::{IssueEdit, NewIssue};
use std::time::Duration;
use support::{Feed, Mounted, big, demo};

const OPEN: &str = "teams/ENG/issues/_open";

fn has_gap(progress: &Progress) -> bool {
    progress.changes.0.iter().any(|change| matches!(change, Change::Gap(_)))
}

/// Everything read once, both feeds at rest.
fn warm(linear: &Mounted) -> (Feed, Feed) {
    let (mut issues, mut objects) = (Feed::new(ISSUES), Feed::new(OBJECTS));
    issues.poll(linear);
    objects.poll(linear);
    linear.mount.read_all("teams/ENG").unwrap();
    linear.mount.read_all("teams/OPS").unwrap();
    linear.mount.read_all("projects").unwrap();
    linear.mount.read_all("my").unwrap();
    linear.asked();
    (issues, objects)
}

#[test]
fn a_poll_that_finds_nothing_tells_nothing_and_costs_one_request() {
    let linear = demo();
    let (mut issues, mut objects) = warm(&linear);
    let before = linear.twin.points();
    for feed in [&mut issues, &mut objects] {
        let progress = feed.poll(&linear);
        assert_eq!(progress.changes.0, []);
        assert!(progress.resumed, "nothing was missed since the cursor");
    }
    assert_eq!(linear.asked(), 2);
    assert!(linear.twin.points() - before < 600);
    linear.mount.read_all("teams/ENG/issues").unwrap();
    assert_eq!(linear.asked(), 0);
}

#[test]
fn an_edit_is_told_once_and_shows() {
    let linear = demo();
    let (mut issues, _) = warm(&linear);
    linear.twin.retitle("ENG-204", "Rotate them twice").unwrap();
    let progress = issues.poll(&linear);
    assert!(!has_gap(&progress));
    assert_eq!(linear.asked(), 1);
    assert_eq!(linear.read(&format!("{OPEN}/ENG-204/title")), "Rotate them twice\n");
    assert_eq!(linear.read(&format!("{OPEN}/ENG-204/priority")), "High\n");
    assert_eq!(linear.asked(), 1);
    assert_eq!(linear.read(&format!("{OPEN}/ENG-203/title")), "Name API keys\n");
    assert!(linear.asked() <= 1, "the directory of a changed issue is looked into anew");
    assert_eq!(issues.poll(&linear).changes.0, [], "told already");
}

#[test]
fn an_issue_that_is_done_moves_between_directories() {
    let linear = demo();
    let (mut issues, _) = warm(&linear);
    linear.twin.set_state("ENG-204", "Done").unwrap();
    issues.poll(&linear);
    assert!(!linear.list(OPEN).contains(&"ENG-204".into()));
    assert!(!linear.list("teams/ENG/issues/by-state/In Progress").contains(&"ENG-204".into()));
    assert!(linear.list("teams/ENG/issues/by-state/Done").contains(&"ENG-204".into()));
    assert_eq!(linear.read("teams/ENG/issues/_all/ENG-204/state"), "Done\n");
}

#[test]
fn a_new_issue_and_an_archived_one_show() {
    let linear = demo();
    let (mut issues, _) = warm(&linear);
    let new =
        NewIssue { title: "Fresh".into(), assignee: Some("mira".into()), ..NewIssue::default() };
    let name = linear.twin.create_issue("ENG", &new).unwrap();
    assert!(!has_gap(&issues.poll(&linear)));
    assert!(linear.list(OPEN).contains(&name));
    assert!(linear.list("my/assigned").contains(&name));
    linear.twin.archive_issue(&name).unwrap();
    issues.poll(&linear);
    assert!(!linear.list(OPEN).contains(&name));
}

#[test]
fn an_issue_that_changes_its_team_leaves_the_old_one() {
    let linear = demo();
    let (mut issues, _) = warm(&linear);
    let child = IssueEdit { parent: Some(Some("ENG-204".into())), ..IssueEdit::default() };
    linear.twin.edit_issue("ENG-203", &child).unwrap();
    issues.poll(&linear);
    assert_eq!(linear.read(&format!("{OPEN}/ENG-203/parent")), "ENG-204\n");
    let moved = linear.twin.move_issue("ENG-204", "OPS").unwrap();
    assert!(!has_gap(&issues.poll(&linear)));
    assert!(!linear.list(OPEN).contains(&"ENG-204".into()));
    assert!(linear.list("teams/OPS/issues/_open").contains(&moved));
    assert_eq!(linear.read(&format!("{OPEN}/ENG-203/parent")), format!("{moved}\n"));
}

#[test]
fn a_deleted_issue_which_no_question_shows_is_a_gap() {
    let linear = demo();
    let (mut issues, mut objects) = warm(&linear);
    linear.twin.delete_issue("ENG-203").unwrap();
    // One that is made at the same time does not hide it.
    linear
        .twin
        .create_issue("ENG", &NewIssue { title: "Other".into(), ..NewIssue::default() })
        .unwrap();
    assert!(!has_gap(&objects.poll(&linear)));
    assert!(has_gap(&issues.poll(&linear)));
    assert!(!linear.list(OPEN).contains(&"ENG-203".into()));
    assert!(matches!(linear.mount.stat(&format!("{OPEN}/ENG-203")), Err(Error::NotFound)));
    assert!(!has_gap(&issues.poll(&linear)), "said once");
}

#[test]
fn comments_show_by_their_own_times() {
    let linear = demo();
    let (mut issues, _) = warm(&linear);
    let directory = format!("{OPEN}/ENG-201/comments");
    assert_eq!(linear.list(&directory), Vec::<String>::new());
    let id = linear.twin.add_comment("ENG-201", "jun", "From a screenshot?").unwrap();
    issues.poll(&linear);
    linear.asked();
    let file = format!("{directory}/{id}.md");
    assert_eq!(linear.list(&directory), [format!("{id}.md")]);
    assert!(linear.read(&file).ends_with("---\n\nFrom a screenshot?"));
    assert_eq!(linear.asked(), 1);
    linear.twin.edit_comment(&id, "Never mind.").unwrap();
    issues.poll(&linear);
    linear.asked();
    assert!(linear.read(&file).ends_with("---\n\nNever mind."));
    assert_eq!(linear.asked(), 1);
}

#[test]
fn a_deleted_comment_shows_at_the_recheck_at_the_latest() {
    let linear = demo();
    let (mut issues, mut objects) = warm(&linear);
    let id = linear.twin.comment_ids("ENG-204")[0].clone();
    linear.twin.delete_comment(&id).unwrap();
    assert!(!has_gap(&issues.poll(&linear)));
    linear.twin.clock().advance(Duration::from_secs(601));
    assert!(has_gap(&issues.poll(&linear)) && has_gap(&objects.poll(&linear)));
    assert_eq!(linear.list(&format!("{OPEN}/ENG-204/comments")).len(), 1);
    assert!(!has_gap(&issues.poll(&linear)), "not again at once");
}

#[test]
fn a_renamed_state_shows_in_the_issues_that_are_in_it() {
    let linear = demo();
    let (mut issues, mut objects) = warm(&linear);
    assert_eq!(linear.read(&format!("{OPEN}/ENG-203/state")), "Todo\n");
    linear.twin.rename_state("ENG", "Todo", "Next up").unwrap();
    assert!(!has_gap(&issues.poll(&linear)) && !has_gap(&objects.poll(&linear)));
    assert_eq!(linear.read(&format!("{OPEN}/ENG-203/state")), "Next up\n");
    assert!(linear.read(&format!("{OPEN}/ENG-203/issue.md")).contains("state: Next up\n"));
    assert!(linear.list("teams/ENG/issues/by-state").contains(&"Next up".into()));
    assert!(!linear.list("teams/ENG/states").contains(&"Todo".into()));
    linear.asked();
    assert_eq!((issues.poll(&linear).changes.0, objects.poll(&linear).changes.0), (vec![], vec![]));
    assert_eq!(linear.asked(), 2, "nobody is asked about it again");
}

#[test]
fn a_renamed_project_shows_everywhere() {
    let linear = demo();
    let (mut issues, mut objects) = warm(&linear);
    linear.twin.rename_project("Sign-in", "Front door").unwrap();
    issues.poll(&linear);
    objects.poll(&linear);
    assert!(linear.list("projects").contains(&"Front door".into()));
    assert_eq!(linear.list("teams/ENG/projects"), ["Front door"]);
    assert_eq!(linear.read(&format!("{OPEN}/ENG-204/project")), "Front door\n");
}

#[test]
fn a_state_that_very_many_issues_are_in_is_a_gap() {
    let linear = big(1_000, 0, &[]);
    let mut issues = Feed::new(ISSUES);
    issues.poll(&linear);
    linear.twin.rename_state("BIG", "Todo", "Next up").unwrap();
    assert!(has_gap(&issues.poll(&linear)));
}

#[test]
fn many_changes_at_once_are_all_told() {
    let linear = big(400, 0, &[]);
    let mut issues = Feed::new(ISSUES);
    issues.poll(&linear);
    let names = linear.twin.identifiers("BIG");
    for name in &names {
        linear.twin.set_priority(name, 1).unwrap();
        if name.ends_with('7') {
            linear.twin.add_comment(name, "jun", "Urgent?").unwrap();
        }
    }
    linear.asked();
    let progress = issues.poll(&linear);
    assert_eq!(linear.asked(), 1 + 2 + 1);
    assert!(!has_gap(&progress));
    for name in &names {
        let id = format!("issue/{}", linear.twin.issue_id(name).unwrap());
        assert!(progress.changes.0.contains(&Change::Invalidated(id)), "{name}");
    }
}

#[test]
fn a_first_poll_looks_back_to_the_first_answer() {
    let linear = demo();
    linear.read(&format!("{OPEN}/ENG-204/title"));
    let since = u64::try_from(linear.twin.clock().now()).unwrap();
    linear.twin.retitle("ENG-204", "Changed before the first poll").unwrap();
    linear.twin.clock().advance(Duration::from_secs(3600));
    let progress = Feed::since(ISSUES, since).poll(&linear);
    assert!(progress.resumed);
    assert_eq!(linear.read(&format!("{OPEN}/ENG-204/title")), "Changed before the first poll\n");

    let linear = demo();
    linear.read(&format!("{OPEN}/ENG-204/title"));
    linear.twin.retitle("ENG-204", "Changed a minute ago").unwrap();
    linear.twin.clock().advance(Duration::from_secs(60));
    let progress = Feed::new(ISSUES).poll(&linear);
    assert!(!progress.resumed, "nobody knows what was cached when");
    assert_eq!(linear.read(&format!("{OPEN}/ENG-204/title")), "Changed a minute ago\n");
}

/// What the twin's webhooks say, applied one by one.
fn deliver(linear: &Mounted, change: impl FnOnce()) -> Vec<Change> {
    linear.twin.set_webhook("http://127.0.0.1:9/linear", "secret").unwrap();
    linear.twin.hold_webhooks(true);
    change();
    let deliveries = linear.twin.take_webhooks();
    assert!(!deliveries.is_empty());
    let changes = deliveries.into_iter().flat_map(|told| {
        let headers: Vec<_> =
            told.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let delivery = Delivery::new("webhook", &headers, told.body);
        linear.mount.deliver(&delivery).unwrap().0
    });
    changes.collect()
}

#[test]
fn webhooks_tell_what_changed() {
    let linear = demo();
    warm(&linear);
    deliver(&linear, || linear.twin.retitle("ENG-204", "By webhook").unwrap());
    assert_eq!(linear.asked(), 0, "a delivery is a hint, nothing is fetched for it");
    assert_eq!(linear.read(&format!("{OPEN}/ENG-204/title")), "By webhook\n");

    deliver(&linear, || linear.twin.set_state("ENG-204", "Done").unwrap());
    assert!(!linear.list(OPEN).contains(&"ENG-204".into()));
    assert!(linear.list("teams/ENG/issues/by-state/Done").contains(&"ENG-204".into()));

    let mut moved = String::new();
    deliver(&linear, || moved = linear.twin.move_issue("ENG-203", "OPS").unwrap());
    assert!(!linear.list(OPEN).contains(&"ENG-203".into()));
    assert!(linear.list("teams/OPS/issues/_open").contains(&moved));

    let mut id = String::new();
    deliver(&linear, || id = linear.twin.add_comment("ENG-201", "jun", "Hello").unwrap());
    let file = format!("{OPEN}/ENG-201/comments/{id}.md");
    assert!(linear.read(&file).ends_with("---\n\nHello"));
    deliver(&linear, || linear.twin.edit_comment(&id, "Bye").unwrap());
    assert!(linear.read(&file).ends_with("---\n\nBye"));
    deliver(&linear, || linear.twin.delete_comment(&id).unwrap());
    assert!(matches!(linear.mount.stat(&file), Err(Error::NotFound)));

    deliver(&linear, || linear.twin.delete_issue("ENG-201").unwrap());
    assert!(matches!(linear.mount.stat(&format!("{OPEN}/ENG-201")), Err(Error::NotFound)));

    deliver(&linear, || linear.twin.rename_project("Sign-in", "Front door").unwrap());
    assert_eq!(linear.read("teams/ENG/issues/_all/ENG-188/project"), "");
    assert!(linear.list("projects").contains(&"Front door".into()));
    assert_eq!(linear.list("teams/ENG/projects"), ["Front door"]);
}

#[test]
fn a_delivery_that_is_not_understood_is_refused_and_an_unknown_kind_is_nothing() {
    let linear = demo();
    let deliver = |body: &str| linear.mount.deliver(&Delivery::new("webhook", &[], body));
    for body in ["", "[]", "{\"type\":\"Issue\"}", "{\"type\":\"Issue\",\"data\":{\"id\":7}}"] {
        assert!(matches!(deliver(body), Err(Error::Invalid(_))), "{body}");
    }
    // What is shown nowhere, some of it about no object at all.
    for body in [
        r#"{"action":"create","type":"Reaction","data":{"id":"x"}}"#,
        r#"{"action":"highRisk","type":"IssueSLA","issueData":{"id":"x","teamId":"t"}}"#,
        r#"{"action":"revoked","type":"OAuthApp","oauthClientId":"x","organizationId":"y"}"#,
        r#"{"action":"issueMention","type":"AppUserNotification","notification":{"id":"x"}}"#,
        r#"{"action":"create","type":"Invented","data":null}"#,
    ] {
        assert_eq!(deliver(body).unwrap().0, [], "{body}");
    }
    // An issue without its team: everything may have changed.
    let issue = deliver(r#"{"action":"update","type":"Issue","data":{"id":"x"}}"#).unwrap();
    assert!(issue.0.contains(&Change::Gap(ISSUES.into())));
}
