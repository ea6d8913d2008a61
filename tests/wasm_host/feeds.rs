//! A provider's reading of its feeds, and what it declares.

use crate::support::*;
use bytes::Bytes;
use omnifs::provider::{
    Cause, Change, Delivery, FeedKind, Position, Provider, Response, ScopedChange,
};
use std::time::Duration;

fn position() -> Position {
    Position { feed: "push".into(), scope: "engine".into(), cursor: None, since: 17 }
}

#[tokio::test]
async fn a_component_is_described_with_nothing_granted() {
    let manifest = HOSTILE.describe().await.unwrap();
    assert_eq!(manifest.name, "hostile");
    assert_eq!(manifest.summary, "Misbehaves on request", "its request was not denied");
    assert_eq!(manifest.endpoints[0].default_url, "https://service.invalid");
    let kinds: Vec<_> = manifest.feeds.iter().map(|feed| feed.kind).collect();
    assert_eq!(kinds, [FeedKind::Push, FeedKind::Poll, FeedKind::Webhook]);
    assert!(HOSTILE.imports_http() && HOSTILE.exports_events());
}

#[tokio::test]
async fn each_kind_of_feed_is_read() {
    let upstream =
        Scripted::new(async |_| Ok(Response { status: 200, headers: vec![], body: "".into() }));
    let instance = hostile(short(), Some(upstream)).await;

    let opened = instance.open_feed(&position()).await.unwrap();
    assert_eq!(opened.path, "/events?since=17");

    let progress = instance.feed_line(&position(), Bytes::from("c1")).await.unwrap();
    assert_eq!(progress.changes, [Change::Removed("c1".into()), Change::Gap("engine".into())]);
    assert_eq!(progress.cursor.as_deref(), Some("next"));
    assert!(progress.resumed);
    assert_eq!(progress.wait, Some(Duration::from_secs(60)));

    let progress = instance.poll_feed(&position()).await.unwrap();
    assert_eq!(progress.changes, [Change::ChildrenChanged("engine".into())]);

    let delivery = Delivery {
        feed: "hook".into(),
        headers: vec![("x-event".into(), "issues".into())],
        body: "opened".into(),
    };
    let changes = instance.deliver(delivery).await.unwrap();
    let change = Change::Invalidated("issues opened".into());
    assert_eq!(changes, [ScopedChange { scope: Some("everything".into()), change }]);
}

#[tokio::test]
async fn a_bad_item_of_a_feed_is_an_error() {
    let instance = hostile(short(), None).await;
    for (line, cause, detail) in [
        ("panic", Cause::Trap, "trapped"),
        ("loop", Cause::Limit, "CPU time"),
        ("flood", Cause::Limit, "named 10001 changes"),
        ("long-cursor", Cause::Limit, "a cursor of 5000 bytes"),
        ("invalid", Cause::Invalid, "no such line"),
        ("", Cause::Invalid, "an empty id for a change"),
    ] {
        let failure = instance.feed_line(&position(), Bytes::from(line)).await.expect_err(line);
        assert_eq!(failure.cause, cause, "{line}: {failure}");
        assert!(failure.detail.contains(detail), "{line}: {failure}");
    }
    assert_unharmed(&instance).await;
}
