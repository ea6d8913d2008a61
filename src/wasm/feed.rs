//! Feeds: positions and items on their way in, changes on their way out.

use super::bindings::exports::omnifs::provider::events;
use super::convert::{self, Fault};
use super::limits;
use crate::provider::{Cause, Change, Delivery, Position, Progress, ScopedChange};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn position(position: &Position) -> events::Position {
    events::Position {
        feed: position.feed.clone(),
        scope: position.scope.clone(),
        cursor: position.cursor.clone(),
        since: position.since,
    }
}

pub(super) fn delivery(delivery: Delivery) -> events::Delivery {
    events::Delivery {
        feed: delivery.feed,
        headers: convert::headers(delivery.headers),
        body: delivery.body.into(),
    }
}

pub(super) fn progress(raw: events::Progress) -> Result<Progress, Fault> {
    if let Some(cursor) = raw.cursor.as_ref().filter(|c| c.len() > limits::CURSOR_MAX) {
        let (length, max) = (cursor.len(), limits::CURSOR_MAX);
        let detail = format!("gave its feed a cursor of {length} bytes, more than {max}");
        return Err(Fault { cause: Cause::Limit, detail });
    }
    Ok(Progress {
        changes: changes(raw.changes)?,
        cursor: raw.cursor,
        resumed: raw.standing == events::Standing::Resumed,
        wait: raw.wait.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

pub(super) fn changes(raw: Vec<events::Change>) -> Result<Vec<Change>, Fault> {
    bounded(raw.len())?;
    raw.into_iter().map(change).collect()
}

pub(super) fn scoped(raw: Vec<events::ScopedChange>) -> Result<Vec<ScopedChange>, Fault> {
    bounded(raw.len())?;
    let scoped = |raw: events::ScopedChange| {
        let scope = raw.scope.map(|scope| checked(scope, "the scope of a change")).transpose()?;
        Ok(ScopedChange { scope, change: change(raw.change)? })
    };
    raw.into_iter().map(scoped).collect()
}

fn bounded(count: usize) -> Result<(), Fault> {
    let max = limits::CHANGES_MAX;
    if count > max {
        let detail =
            format!("named {count} changes in one item of its feed, more than {max}: say `gap`");
        return Err(Fault { cause: Cause::Limit, detail });
    }
    Ok(())
}

fn checked(id: String, what: &str) -> Result<Arc<str>, Fault> {
    convert::id(&id, &what).map(|()| id.into())
}

fn change(raw: events::Change) -> Result<Change, Fault> {
    let id = |id| checked(id, "a change");
    Ok(match raw {
        events::Change::Invalidated(node) => Change::Invalidated(id(node)?),
        events::Change::Removed(node) => Change::Removed(id(node)?),
        events::Change::ChildrenChanged(node) => Change::ChildrenChanged(id(node)?),
        // The empty prefix covers every scope.
        events::Change::Gap(scope) if scope.is_empty() => Change::Gap(scope.into()),
        events::Change::Gap(scope) => Change::Gap(id(scope)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(changes: Vec<events::Change>, cursor: Option<String>) -> events::Progress {
        events::Progress { changes, cursor, standing: events::Standing::Resumed, wait: Some(60) }
    }

    #[test]
    fn an_item_of_a_feed_is_taken_as_it_is() {
        let raw = vec![
            events::Change::Removed("a".into()),
            events::Change::ChildrenChanged("b".into()),
            events::Change::Gap("".into()),
        ];
        let progress = progress(item(raw, Some("c".into()))).unwrap();
        assert_eq!(progress.cursor.as_deref(), Some("c"));
        assert!(progress.resumed);
        assert_eq!(progress.wait, Some(Duration::from_secs(60)));
        assert_eq!(
            progress.changes,
            [
                Change::Removed("a".into()),
                Change::ChildrenChanged("b".into()),
                Change::Gap("".into())
            ]
        );
    }

    #[test]
    fn an_item_of_a_feed_obeys_its_limits() {
        let many = vec![events::Change::Invalidated("a".into()); limits::CHANGES_MAX + 1];
        assert_eq!(changes(many).unwrap_err().cause, Cause::Limit);
        let empty = vec![events::Change::Invalidated("".into())];
        assert_eq!(changes(empty).unwrap_err().cause, Cause::Invalid);
        let long = vec![events::Change::Gap("x".repeat(1025))];
        assert_eq!(changes(long).unwrap_err().cause, Cause::Limit);
        let cursor = Some("x".repeat(limits::CURSOR_MAX + 1));
        assert_eq!(progress(item(vec![], cursor)).unwrap_err().cause, Cause::Limit);
    }
}
