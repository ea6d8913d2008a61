//! A provider whose calls share the service's answers with the other mounts of a fleet (`events/bus/answers`).
//!
//! Each call has a [`Trail`], in which the exchanges that it makes note the answers that they took from the bus, and
//! those that they got from the service. Only once the call has answered is it known which scopes vouch for that, and so
//! for the answers that it is made of.
//!
//! Invariant: no answer of this provider rests on one of another mount that does not have every scope of it. Where
//! one does, the call is made again, and asks the service.

use crate::capability::sharing::Trail;
use crate::events::bus::answers::Answers;
use crate::provider::{
    self, Answer, Coherence, Delivery, Failure, Followed, Node, Piece, Position, Progress,
    Provider, Reply, Request, ScopedChange, Walk, Wanted,
};
use bytes::Bytes;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

#[derive(Debug)]
pub struct Sharing {
    provider: Arc<dyn Provider>,
    answers: Arc<Answers>,
}

/// The scopes that vouch for an answer.
type Scopes = BTreeSet<Arc<str>>;

impl Sharing {
    pub fn new(provider: Arc<dyn Provider>, answers: Arc<Answers>) -> Sharing {
        Sharing { provider, answers }
    }

    async fn call<'a, T>(
        &'a self,
        id: &'a str,
        make: impl Fn() -> Reply<'a, Answer<T>> + Send + 'a,
        nodes: fn(&T) -> &[Node],
        is_value: bool,
    ) -> Result<Answer<T>, Failure> {
        let about = match provider::asked_about() {
            Some(Coherence::Immutable) => None,
            Some(Coherence::Scoped(scope)) => Some(scope),
            // It is to be as the service has it now.
            Some(Coherence::Volatile) | None => return make().await,
        };
        let scopes = |answer: &Result<Answer<T>, Failure>| match answer {
            Ok(answer) => {
                let value = nodes(&answer.value);
                let is_volatile =
                    is_value && value.iter().any(|node| node.coherence == Coherence::Volatile);
                (!is_volatile).then(|| vouching(about.as_ref(), value, answer))
            }
            // "Not found" is kept as long as the directory is.
            Err(_) => Some(about.iter().cloned().collect()),
        };
        let mut trail = Trail::new(self.answers.clone(), about.clone());
        let mut answer = trail.run(make()).await;
        let mut vouched = scopes(&answer);
        if trail.rests_on_others_than(vouched.as_ref()) {
            trail.end(None);
            trail = trail.anew();
            answer = trail.run(make()).await;
            vouched = scopes(&answer);
        }
        if let Ok(answer) = &mut answer
            && trail.rests_on_others()
        {
            keep_own(id, nodes, answer);
        }
        trail.end(vouched.filter(|_| answer.is_ok()));
        answer
    }
}

/// The scopes of all nodes that an answer holds, and of the one that it is about.
fn vouching<T>(about: Option<&Arc<str>>, value: &[Node], answer: &Answer<T>) -> Scopes {
    let offered = answer.offers.iter().flat_map(|offer| &offer.children);
    let scope = |node: &Node| match &node.coherence {
        Coherence::Scoped(scope) => Some(scope.clone()),
        // What is volatile is asked for again at each use.
        Coherence::Immutable | Coherence::Volatile => None,
    };
    value.iter().chain(offered).filter_map(scope).chain(about.cloned()).collect()
}

/// Drops what came along for a directory or file that the answer only names: nobody here knows which scope that is of.
fn keep_own<T>(id: &str, nodes: fn(&T) -> &[Node], answer: &mut Answer<T>) {
    let offered = answer.offers.iter().flat_map(|offer| &offer.children);
    let held: HashSet<Arc<str>> =
        nodes(&answer.value).iter().chain(offered).map(|node| node.id.clone()).collect();
    let is_own = |named: &str| named == id || held.contains(named);
    answer.offers.retain(|offer| is_own(&offer.parent));
    answer.along.retain(|along| is_own(&along.node));
}

impl Provider for Sharing {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        let make = move || self.provider.lookup_child(parent, name);
        Box::pin(self.call(parent, make, std::slice::from_ref, true))
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        let make = move || self.provider.list_children(parent);
        Box::pin(self.call(parent, make, Vec::as_slice, false))
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        let make = move || self.provider.read_file(node);
        Box::pin(self.call(node, make, |_| &[], false))
    }

    fn read_ahead<'a>(&'a self, node: &'a str, walk: Walk) -> Reply<'a, Answer<Bytes>> {
        self.provider.read_ahead(node, walk)
    }

    fn read_part<'a>(&'a self, part: Wanted<'a>) -> Reply<'a, Piece> {
        self.provider.read_part(part)
    }

    fn follow<'a>(&'a self, request: &'a Request) -> Reply<'a, Followed> {
        self.provider.follow(request)
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        self.provider.open_feed(position)
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        self.provider.feed_line(position, line)
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        self.provider.poll_feed(position)
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        self.provider.deliver(delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Along, Kind, Offer};

    fn node(id: &str, coherence: Coherence) -> Node {
        Node {
            id: id.into(),
            name: id.to_owned(),
            part_of: None,
            kind: Kind::File,
            size: None,
            modified: None,
            version: None,
            complete: true,
            coherence,
            content: None,
        }
    }

    #[test]
    fn every_scope_of_an_answer_vouches_for_it_and_what_is_only_named_is_dropped() {
        let scoped = |id: &str, scope: &str| node(id, Coherence::Scoped(scope.into()));
        let mut answer = Answer::plain(vec![scoped("issue", "issues:1")]);
        let offer = |parent: &str, child| Offer {
            parent: parent.into(),
            children: vec![child],
            whole: false,
        };
        answer.offers.push(offer("issue", scoped("title", "refs:1")));
        answer.offers.push(offer("title", node("linked", Coherence::Volatile)));
        answer.offers.push(offer("repo", node("blob", Coherence::Immutable)));
        answer.offers.push(offer("elsewhere", scoped("x", "pulls:1")));
        for node in ["x", "elsewhere"] {
            answer.along.push(Along { node: node.into(), bytes: Bytes::new() });
        }
        let about: Arc<str> = "owner:acme".into();
        let scopes = vouching(Some(&about), &answer.value, &answer);
        let scopes: Vec<_> = scopes.iter().map(|scope| &**scope).collect();
        assert_eq!(scopes, ["issues:1", "owner:acme", "pulls:1", "refs:1"]);
        keep_own("repo", Vec::as_slice, &mut answer);
        let parents: Vec<_> = answer.offers.iter().map(|offer| &*offer.parent).collect();
        assert_eq!(parents, ["issue", "title", "repo"]);
        let along: Vec<_> = answer.along.iter().map(|along| &*along.node).collect();
        assert_eq!(along, ["x"]);
    }
}
