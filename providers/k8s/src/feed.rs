//! Watches, each asked for as a poll: one request brings all that has happened to a list since a resource version,
//! and where to ask from the next time. The API server keeps what has happened for some minutes. Where that is gone
//! (410), what happened meanwhile is not known: a gap, and the watch begins at what the list is now.

use crate::api::{self, Happened, Metadata};
use crate::kind::{Found, Kind};
use crate::{CLUSTER, Id, namespace};
use omnifs_sdk::poll::digest;
use omnifs_sdk::*;

/// Where discovery takes a request for each version of a group, it is asked again after so many seconds.
const SELDOM: u32 = 300;

/// Objects of one namespace are a scope where the user has named the namespaces: the account may not see those of
/// all. Else those of all are one.
pub fn scope(kind: &Kind, namespace: &str) -> String {
    let own = if namespace::chosen().is_some() { namespace } else { "" };
    format!("kind:{kind}:{own}")
}

pub fn poll(position: &Position) -> Result<Progress> {
    if position.scope == CLUSTER {
        return cluster(position);
    }
    let unknown = || Error::Invalid(format!("no feed polls the scope {:?}", position.scope));
    let of = position.scope.strip_prefix("kind:").and_then(|of| of.rsplit_once(':'));
    let (kind, namespace) = of.ok_or_else(unknown)?;
    let kind: Kind = kind.parse().map_err(|_| unknown())?;
    let mut watch = Watch::new(position.scope.as_str(), position.cursor.clone());
    watch.ask(&kind, namespace, |changes, how, told| {
        let directory = Id::Objects(kind.clone(), told.namespace.clone());
        let Metadata { name, namespace, uid, .. } = told;
        let object = Id::Object(kind.clone(), namespace, name, uid);
        match how {
            "MODIFIED" => _ = changes.invalidated([object]),
            "DELETED" => _ = changes.removed([object]).children_changed([directory]),
            _ => _ = changes.invalidated([object]).children_changed([directory]),
        }
    })?;
    let Watch { changes, cursor, resumed, .. } = watch;
    Ok(Progress { changes, cursor, resumed, wait: None })
}

/// Which namespaces and kinds there are. An account that may not watch namespaces has them found by their names.
fn cluster(position: &Position) -> Result<Progress> {
    let held: Option<(Option<String>, u64)> =
        position.cursor.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let first = held.is_none();
    let (since, known) = held.unwrap_or_default();
    let found = Found::all()?;
    let mut watch = Watch::new(CLUSTER, since);
    if namespace::chosen().is_none() {
        let watched = watch.ask(&Kind::namespaces(), "", |changes, how, told| {
            let namespace = Id::Namespace(told.name);
            match how {
                "MODIFIED" => {}
                "DELETED" => _ = changes.removed([namespace]).children_changed([Id::Root]),
                _ => _ = changes.invalidated([namespace]).children_changed([Id::Root]),
            }
        });
        match watched {
            // Nothing tells of those that it may see: each is asked for again after each poll.
            Err(error) if api::is_forbidden(&error) => {
                watch.cursor = None;
                if !first {
                    watch.changes.gap(CLUSTER);
                }
            }
            watched => watched?,
        }
    }
    let kind = |one: &crate::kind::Listed| {
        digest::of(&[&one.name, &one.kind.to_string(), &one.namespaced.to_string()])
    };
    let now = digest::sum(found.kinds.iter().map(kind).chain(found.missing.iter().map(digest::of)));
    let Watch { mut changes, cursor, resumed, .. } = watch;
    if first {
        changes.gap(CLUSTER);
    } else if now != known {
        changes.invalidated([Id::Kinds]);
    }
    let whole = resumed || namespace::chosen().is_some() && !first;
    Ok(Progress {
        changes,
        cursor: serde_json::to_string(&(cursor, now)).ok(),
        resumed: whole,
        wait: found.one_by_one.then_some(SELDOM),
    })
}

/// Watches of a second that one poll makes, as long as each of them brings something.
const WATCHES: usize = 5;

/// Watches on their way to a [`Progress`].
struct Watch<'a> {
    scope: &'a str,
    /// The resource version up to which everything is known.
    cursor: Option<String>,
    changes: Changes,
    resumed: bool,
}

impl<'a> Watch<'a> {
    fn new(scope: &'a str, cursor: Option<String>) -> Self {
        Watch { scope, cursor, changes: Changes::default(), resumed: false }
    }

    /// Gives `tell` what has happened since the cursor: how, and to which object. Begins anew where that cannot be
    /// told.
    fn ask(
        &mut self,
        kind: &Kind,
        namespace: &str,
        tell: impl Fn(&mut Changes, &str, Metadata),
    ) -> Result<()> {
        for _ in 0..WATCHES {
            if self.once(kind, namespace, &tell)? {
                return Ok(());
            }
        }
        self.begin(api::list(kind, namespace)).map(drop)
    }

    /// One watch. Whether it was the last: one that brought something may have ended before all was said.
    fn once(
        &mut self,
        kind: &Kind,
        namespace: &str,
        tell: &impl Fn(&mut Changes, &str, Metadata),
    ) -> Result<bool> {
        let list = || api::list(kind, namespace);
        let Some(since) = &self.cursor else { return self.begin(list()) };
        let answer = match api::watch(list(), since) {
            // More has happened than an answer may hold.
            Err(Error::TooLarge) => return self.begin(list()),
            answer => answer?,
        };
        if answer.status == 410 {
            return self.begin(list());
        }
        let body = answer.ok()?.body;
        let (whole, cut) = match body.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => body.split_at(end + 1),
            None => (&body[..0], &body[..]),
        };
        // The last line may lack its end, and else was cut: then it comes again with the next watch.
        let last = events::parse::<Happened>(cut, "the event").ok();
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let mut quiet = cut.trim_ascii().is_empty();
        for happened in lines.map(|line| events::parse(line, "the event")).chain(last.map(Ok)) {
            match happened {
                Ok(Happened { how, object }) if how == "ERROR" => {
                    if object.code == 410 {
                        return self.begin(list());
                    }
                    let why = format!("cluster: the watch of {kind} ends with {}", object.code);
                    return Err(Error::Unavailable(why));
                }
                Ok(Happened { how, object }) if !object.metadata.resource_version.is_empty() => {
                    self.cursor = Some(object.metadata.resource_version.clone());
                    if how != "BOOKMARK" {
                        quiet = false;
                        tell(&mut self.changes, &how, object.metadata);
                    }
                }
                odd => {
                    let why = odd.err().map(|error| format!("{error:?}")).unwrap_or_default();
                    log::warn(&format!("what happened to {kind} is not known: {why}"));
                    return self.begin(list());
                }
            }
        }
        self.resumed = quiet;
        Ok(quiet)
    }

    /// What happens from now on is known, and what happened before is not.
    fn begin(&mut self, list: http::Request) -> Result<bool> {
        self.cursor = Some(api::resource_version(list)?);
        self.changes.gap(self.scope);
        self.resumed = false;
        Ok(true)
    }
}
