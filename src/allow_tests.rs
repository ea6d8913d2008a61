use super::*;
use crate::provider::Coherence;
use std::future::ready;

fn allow(patterns: &[&str]) -> Allow {
    Allow::new(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).unwrap()
}

#[test]
fn a_pattern_stands_for_what_it_fits_all_below_and_the_way_there() {
    let some = allow(&["acme/*", "lars/api-*-v?/x", "mira"]);
    for (path, verdict) in [
        ("acme", Verdict::Passage),
        ("acme/api", Verdict::Inside),
        ("acme/api/_issues/_open", Verdict::Inside),
        ("acm", Verdict::Outside),
        ("acme2", Verdict::Outside),
        ("Acme", Verdict::Outside),
        ("evil/api", Verdict::Outside),
        ("lars", Verdict::Passage),
        ("lars/api-one-v?", Verdict::Passage),
        ("lars/api-one-v2", Verdict::Outside),
        ("lars/api-one-v?/x/y", Verdict::Inside),
        ("lars/api-one-v?/y", Verdict::Outside),
        ("mira", Verdict::Inside),
        ("mira/x", Verdict::Inside),
        ("mira2", Verdict::Outside),
    ] {
        assert_eq!(some.verdict(path), verdict, "{path}");
    }
    assert_eq!(allow(&[]).verdict("acme"), Verdict::Outside, "an empty list allows nothing");
    for odd in ["", "/acme", "acme/", "a//b", "../b", "a/./b", "acme/**", "1/2/3/4/5/6/7/8/9"] {
        assert!(Allow::new(vec![odd.to_owned()]).is_err(), "{odd:?}");
    }
}

#[test]
fn a_star_is_any_part_of_a_name() {
    for (pattern, name, yes) in [
        ("*", "", true),
        ("*", "x", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("a*a", "a", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("*bc*bc", "bcbc", true),
        ("*bc*bc", "bc", false),
        ("\u{fc}*", "\u{fc}x", true),
        ("abc", "abcd", false),
    ] {
        assert_eq!(fits(pattern, name), yes, "{pattern} {name}");
    }
}

fn node(id: &str, name: &str) -> Node {
    Node {
        id: id.into(),
        name: name.into(),
        kind: Kind::Directory,
        size: None,
        modified: None,
        version: None,
        content: None,
        coherence: Coherence::Volatile,
        part_of: None,
        complete: false,
    }
}

/// Accounts with repositories, which are all sent along with the accounts, those before these.
#[derive(Debug)]
struct Accounts;

impl Accounts {
    fn repositories(account: &str) -> Vec<Node> {
        ["api", "web"].iter().map(|name| node(&format!("{account}-{name}"), name)).collect()
    }
}

fn unused<'a, T: Send + 'a>() -> Reply<'a, T> {
    let (provider, detail) = ("x".into(), String::new());
    Box::pin(ready(Err(Failure { provider, cause: Cause::Invalid, detail, retry_after: None })))
}

impl Provider for Accounts {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        assert_ne!(name, "evil", "it is asked for nothing that is outside");
        let id = if parent == "root" { name.to_owned() } else { format!("{parent}-{name}") };
        Box::pin(ready(Ok(Answer::plain(node(&id, name)))))
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        if parent != "root" {
            return Box::pin(ready(Ok(Answer::plain(Accounts::repositories(parent)))));
        }
        let names = ["acme", "evil"];
        let mut answer = Answer::plain(names.map(|name| node(name, name)).to_vec());
        let offer = |name: &str| Offer {
            parent: name.into(),
            children: Accounts::repositories(name),
            whole: true,
        };
        answer.offers = names.map(offer).to_vec();
        answer.offers.reverse();
        Box::pin(ready(Ok(answer)))
    }

    fn read_file<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Bytes>> {
        unused()
    }

    fn open_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Request> {
        unused()
    }

    fn feed_line<'a>(&'a self, _: &'a Position, _: Bytes) -> Reply<'a, Progress> {
        unused()
    }

    fn poll_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Progress> {
        unused()
    }

    fn deliver(&self, _: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        unused()
    }
}

fn allowed(patterns: &[&str]) -> Allowed {
    Allowed::new(Arc::new(Accounts), "x".into(), "root".into(), allow(patterns))
}

fn names(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.name.as_str()).collect()
}

#[tokio::test]
async fn what_is_outside_is_neither_found_nor_listed_nor_sent_along() {
    let some = allowed(&["acme/api"]);
    let absent = |result: Result<Answer<Node>, Failure>| result.unwrap_err().cause;
    assert_eq!(absent(some.lookup("root", "evil").await), Cause::NotFound);
    let listed = some.list("root").await.unwrap();
    assert_eq!(names(&listed.value), ["acme"]);
    let of = |parent: &str| listed.offers.iter().find(|offer| *offer.parent == *parent).unwrap();
    assert_eq!(names(&of("acme").children), ["api"]);
    assert_eq!(absent(some.lookup("acme", "web").await), Cause::NotFound);
    assert!(some.lookup("acme", "api").await.is_ok());
    assert!(some.lookup("acme-api", "evil-looking").await.is_ok(), "below all goes");
    assert_eq!(names(&some.list("acme").await.unwrap().value), ["api"]);
}

#[tokio::test]
async fn a_passage_is_known_from_a_lookup_too() {
    let some = allowed(&["acme/w*"]);
    some.lookup("root", "acme").await.unwrap();
    assert_eq!(names(&some.list("acme").await.unwrap().value), ["web"]);
    assert_eq!(some.lookup("acme", "api").await.unwrap_err().cause, Cause::NotFound);
}

#[tokio::test]
async fn what_is_renamed_is_judged_by_its_present_name() {
    let some = allowed(&["acme/api/_issues", "acme/website", "acme/web/_tree"]);
    some.lookup("root", "acme").await.unwrap();
    let shows = |name: &str| some.note("acme", &[node("repo", name)]);
    shows("api");
    assert!(some.admits("repo", "_issues") && !some.admits("repo", "_tree"));
    shows("web");
    assert!(!some.admits("repo", "_issues") && some.admits("repo", "_tree"));
    shows("website");
    assert!(some.admits("repo", "_issues") && some.admits("repo", "anything"));
    shows("other");
    assert!(!some.admits("repo", "_issues"), "who is still in it sees no more");
}
