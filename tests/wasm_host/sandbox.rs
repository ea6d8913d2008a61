//! A provider has no ambient authority, and what it says is made harmless.

use crate::support::*;
use omnifs::provider::Provider;

#[tokio::test]
async fn every_door_but_clocks_and_random_numbers_is_shut() {
    let report = only_text(&deed("ambient").await.unwrap());
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(
        lines,
        [
            "env: 0",
            "args: 0",
            "list /: shut",
            "list .: shut",
            "read: shut",
            "write: shut",
            "temp: shut",
            "stdin: OPEN",
            "stdin bytes: 0",
            "stdout: OPEN",
            "connect: shut",
            "listen: shut",
            "udp: shut",
            "resolve: shut",
            "clock: true",
            "date: true",
        ],
    );
}

#[tokio::test]
async fn random_numbers_differ_between_calls() {
    let instance = hostile(short(), None).await;
    let first = only_text(&instance.list_children("random").await.unwrap());
    let second = only_text(&instance.list_children("random").await.unwrap());
    assert_ne!(first, second);
}

#[tokio::test]
async fn printing_goes_nowhere_and_harms_nobody() {
    let (lines, _guard) = Lines::capture();
    let instance = hostile(short(), None).await;
    assert_eq!(instance.list_children("print").await.unwrap().value.len(), 3);
    assert_eq!(lines.of_providers(), [""; 0]);
}

#[tokio::test]
async fn a_provider_sees_its_declared_settings_and_no_other() {
    let answer = deed("config").await.unwrap();
    assert_eq!(only_text(&answer), "Some(\"by the user\") Some(\"of the manifest\") None");
}

#[tokio::test]
async fn a_log_line_is_one_clean_line_of_at_most_4_kib() {
    let (lines, _guard) = Lines::capture();
    deed("log-escape").await.unwrap();
    let lines = lines.of_providers();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("WARN omnifs::provider: first second\u{fffd}[2J\u{fffd} provider="));
    assert!(lines[0].contains("provider=\"evil\""), "{}", lines[0]);
    let kept = lines[1].matches('x').count();
    assert_eq!(kept, 4096 - 3);
}

#[tokio::test]
async fn a_million_log_lines_become_a_hundred() {
    let (lines, _guard) = Lines::capture();
    let limits = omnifs::wasm::Limits::default();
    let instance = hostile(limits, None).await;
    instance.list_children("log-flood").await.unwrap();
    let lines = lines.of_providers();
    assert_eq!(lines.len(), 101);
    assert!(lines[99].contains("line 99"), "{}", lines[99]);
    assert!(lines[100].contains("999900 more lines in this call were dropped"), "{}", lines[100]);
}

#[tokio::test]
async fn a_component_cannot_tell_when_or_how_often_it_is_described() {
    let moment = async || {
        let manifest = HOSTILE.describe().await.expect("a manifest");
        let key = manifest.config.into_iter().find(|key| key.name == "moment");
        key.and_then(|key| key.default).expect("a default")
    };
    let first = moment().await;
    assert!(first.contains("946684800"), "{first}");
    for _ in 0..3 {
        assert_eq!(moment().await, first);
    }
}
