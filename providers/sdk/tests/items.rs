//! Lists in which something is not as expected: the rest of the list is shown, and what is odd is
//! named.
#![allow(clippy::type_complexity, clippy::unwrap_used, missing_debug_implementations)]

use omnifs_sdk::manifest::{Endpoint, Feed, Signature};
use omnifs_sdk::testing::{Mount, Recorded, odd};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Value, json as value};

routes! {
    mod api = "api" {
        get issues() = "/issues/",
        get issue(number) = "/issues/*",
        get comments(number) = "/issues/*/comments",
        get labels() = "/labels",
        get paged(way) = "/paged/*",
        post graphql() = "/graphql",
    }
}

ids! {
    pub enum Id {
        _: scoped("tracker:"),
        Root = "root", Issues = "issues", Titles = "titles", Labels = "labels", Label(name: String) = "label",
        Issue(number: u64) = "issue", Comments(issue: u64) = "comments", Comment(id: u64) = "comment",
        Paged(way: String) = "paged", People = "people", Person(name: String) = "person",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => fixed([
                ("issues", Issues),
                ("titles", Titles),
                ("labels", Labels),
                ("people", People),
                ("link", Paged("link".into())),
                ("dropped", Paged("dropped".into())),
                ("number", Paged("number".into())),
                ("offset", Paged("offset".into())),
                ("cursor", Paged("cursor".into())),
            ]),
            Issues | Titles => searchable(self, issues, |_, name| {
                let number: u64 = name.parse().map_err(|_| Error::NotFound)?;
                let found: Answer = api::issue(number).json()?;
                Ok(Entry::object(found.number.to_string(), &found))
            }),
            Issue(number) => object(move || api::issue(number).json::<Answer>()),
            Comments(issue) => listing(move || {
                let all: Items<Said> = api::comments(issue).json()?;
                Ok(all.map(|said| comment(&said)))
            }),
            Labels => listing(|| {
                let all: Members<Color> = api::labels().json()?;
                let entry = |(name, color): (String, Color)| {
                    Entry::file(name.clone(), Id::Label(name)).content(scalar(color.color))
                };
                Ok(all.0.map(entry))
            }),
            Paged(way) => listing(move || paged(&way)),
            People => listing(people),
            Label(name) | Person(name) => file(move || Ok(scalar(name))),
            Comment(id) => file(move || Ok(scalar(id))),
        }
    }
}

#[derive(Clone, Deserialize)]
struct Answer {
    number: u64,
    title: String,
    team: Team,
    #[serde(default)]
    comments: Items<Said>,
}

#[derive(Clone, Deserialize)]
struct Team {
    key: String,
}

#[derive(Clone, Deserialize)]
struct Said {
    id: u64,
    text: String,
}

#[derive(Deserialize)]
struct Color {
    color: String,
}

impl Object for Answer {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("title", |i| scalar(&i.title)),
        dir_holding("comments", |i| {
            (Id::Comments(i.number), i.comments.clone().map(|said| comment(&said)).into())
        }),
        own("patch", |id| {
            let Id::Issue(number) = id else { return Err(Error::NotFound) };
            Ok(scalar(number))
        })
        .known(|i| (i.title == "Known").then(|| scalar("at once"))),
    ];

    fn id(&self) -> Id {
        Id::Issue(self.number)
    }

    fn coherence(&self) -> Coherence {
        scoped(format!("tracker:{}", self.team.key))
    }
}

fn comment(said: &Said) -> Entry<Id> {
    Entry::file(said.id.to_string(), Id::Comment(said.id)).content(scalar(&said.text))
}

fn issues(directory: &Id) -> Result<Listing<Id>> {
    let all: Items<Answer> = api::issues().json()?;
    preload::views(directory, &[Id::Issues, Id::Titles], &all, |directory, issue| {
        let name = match directory {
            Id::Titles => issue.title.clone(),
            _ => issue.number.to_string(),
        };
        [Entry::object(name, issue)]
    })
}

#[derive(Deserialize)]
struct Page {
    names: Items<String>,
    next: Option<String>,
}

fn paged(way: &str) -> Result<Items<Entry<Id>>> {
    let next = match way {
        "link" | "dropped" => Next::link(2),
        "number" => Next::number("page", 1, 2),
        "offset" => Next::offset("from", 2),
        _ => Next::cursor("after", |page: &Page, _| page.next.clone()),
    };
    let names = api::paged(way).query("per", 2).pages(&next, 5, |page: Page| page.names)?.items;
    Ok(names.map(|name| Entry::file(name.clone(), Id::Person(name)).content(scalar(1))))
}

fn people() -> Result<Listing<Id>> {
    #[derive(Deserialize)]
    struct People {
        people: graphql::Connection<Value>,
    }
    let take = |data: People| data.people;
    let found =
        graphql::pages(&api::graphql(), ["{ first }", "{ next }"], value!({}), 10, take)?.items;
    let entry = |person: Value| {
        let name = person["name"].as_str().unwrap_or("?").to_owned();
        Entry::file(name.clone(), Id::Person(name)).content(scalar(1))
    };
    Ok(found.map(entry).into())
}

struct Tracker;

impl Provider for Tracker {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        endpoints: &[Endpoint {
            allow: api::RULES,
            ..Endpoint::new(api::ENDPOINT, "https://tracker.example", "reads issues")
        }],
        feeds: &[Feed::webhook("hooks", "tracker:", Signature::new("x-tracker-signature"))],
        ..Manifest::new("tracker", "0.1.0", "Issues")
    };
}

fn an_issue(number: u64) -> Value {
    value!({
        "number": number, "title": format!("Issue {number}"), "team": {"key": "ENG"},
        "comments": [{"id": number * 10, "text": "first"}, {"id": number * 10 + 1, "text": "more"}],
        "unread": {"a": [1]},
    })
}

fn page(odd: &str) -> String {
    let others: Vec<_> = (1..=99).map(|number| an_issue(number).to_string()).collect();
    format!("[{odd},{}]", others.join(","))
}

#[test]
fn of_a_hundred_items_one_is_odd_and_the_others_are_shown() {
    let cases = odd(&an_issue(700));
    assert!(cases.len() > 60);
    for (what, text) in cases {
        let mount = Mount::<Tracker>::new(Recorded::new().get("/issues/", page(&text)));
        let names = mount.list("issues").unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let others = names.iter().filter(|name| name.parse::<u64>().unwrap() < 100);
        assert_eq!(others.count(), 99, "{what}");
        assert_eq!(mount.read("issues/7/title").unwrap(), "Issue 7\n", "{what}");
        assert_eq!(mount.read("titles/Issue 7/comments/70").unwrap(), "first\n", "{what}");
        let shown = names.len() == 100;
        let partials = mount.partials();
        match partials.as_slice() {
            [] => assert!(shown, "{what} is left out, and nothing says so"),
            [(_, _, note)] => {
                let field = what.split(['/', ' ']).nth(1).unwrap();
                let named = note.contains("700") || what.starts_with("/number");
                assert!(named && note.contains(field), "{what}: {note}");
                assert!(note.contains(if shown { "shown with less" } else { "left out" }));
            }
            more => panic!("{what}: {more:?}"),
        }
        // What is left out is not taken for absent.
        if !shown {
            let asked = Recorded::new().get("/issues/700", text.clone());
            mount.upstream_changes(asked);
            assert!(matches!(mount.stat("issues/700"), Err(Error::Invalid(_))), "{what}");
        }
    }
}

#[test]
fn an_odd_comment_leaves_the_issue_and_the_other_comments() {
    for (what, text) in odd(&value!({"id": 5, "text": "odd"})) {
        let mut issue = an_issue(7);
        issue["comments"] = value!([{"id": 70, "text": "kept"}, "place"]);
        let issue = issue.to_string().replace("\"place\"", &text);
        let comments = format!(r#"[{{"id":70,"text":"kept"}},{text}]"#);
        let upstream = Recorded::new().get("/issues/", format!("[{issue}]"));
        let mount = Mount::<Tracker>::new(upstream.get("/issues/7/comments", comments));
        assert_eq!(mount.list("issues").unwrap(), ["7"], "{what}");
        assert!(mount.partials().is_empty(), "{what}: the listing of issues is whole");
        assert_eq!(mount.read("issues/7/comments/70").unwrap(), "kept\n");
        let names = mount.list("issues/7/comments").unwrap();
        let partials = mount.partials();
        assert!(names.contains(&"70".to_owned()), "{what}");
        if names.len() == 1 {
            assert_eq!(partials[0].0, "comments/7", "{what}: said of the directory it is about");
            // It may be the one that was asked for.
            assert!(matches!(mount.stat("issues/7/comments/5"), Err(Error::Invalid(_))), "{what}");
        }
    }
}

#[test]
fn an_odd_member_of_an_object_leaves_the_others() {
    let labels =
        r##"{"bug": {"color": "red"}, "odd": {"color": null}, "new": {"color": "\udc00"}}"##;
    let mount = Mount::<Tracker>::new(Recorded::new().get("/labels", labels));
    assert_eq!(mount.list("labels").unwrap(), ["bug", "new"]);
    assert_eq!(mount.read("labels/new").unwrap(), "\u{fffd}\n");
    let (_, shown, note) = mount.partials().remove(0);
    assert_eq!(shown, 2);
    assert!(note.starts_with("odd is left out (color: invalid type: null"), "{note}");
    assert!(note.contains("new is shown with less (color: "), "{note}");
    assert!(matches!(mount.stat("labels/odd"), Err(Error::Invalid(_))));
    // A note is one line, whatever the members are called.
    let mount = Mount::<Tracker>::new(Recorded::new().get("/labels", r#"{"a\nb": {"color": 1}}"#));
    mount.list("labels").unwrap();
    let note = mount.partials().remove(0).2;
    assert!(note.starts_with("a b is left out"), "{note:?}");
    // A name that breaks off costs none of them.
    let labels = r#"{"b\ud83d": {"color": "red"}, "new": {"color": "blue"}}"#;
    let mount = Mount::<Tracker>::new(Recorded::new().get("/labels", labels));
    assert_eq!(mount.list("labels").unwrap(), ["b\u{fffd}", "new"]);
}

#[test]
fn text_that_breaks_off_in_a_character_is_shown_with_a_mark_in_its_place() {
    let odd = an_issue(7).to_string().replace("Issue 7", r"Fix \\ud83d \ud83d\ude00 \ud83d");
    let upstream = Recorded::new().get("/issues/", format!("[{odd}]")).get("/issues/7", odd);
    let mount = Mount::<Tracker>::new(upstream);
    let shown = "Fix \\ud83d \u{1f600} \u{fffd}\n";
    mount.list("issues").unwrap();
    assert_eq!(mount.read("issues/7/title").unwrap(), shown);
    mount.apply(Changes::default().invalidated([Id::Issue(7)]));
    assert_eq!(mount.read("issues/7/title").unwrap(), shown, "the same bytes in its own answer");
    assert_eq!(mount.requests(), ["GET /issues/", "GET /issues/7"]);
}

#[test]
fn only_some_of_many_odd_items_are_named_and_the_rest_are_counted() {
    let page: Vec<_> = (1..=9).map(|number| value!({"number": number})).collect();
    let mount = Mount::<Tracker>::new(Recorded::new().get("/issues/", value!(page).to_string()));
    assert_eq!(mount.list("issues").unwrap(), [""; 0]);
    let note = mount.partials().remove(0).2;
    assert!(note.contains("5 is left out (missing field `title`)"), "{note}");
    assert!(note.ends_with("and 4 more") && !note.contains("6 is"), "{note}");
}

#[test]
fn what_is_no_list_is_an_error_and_null_is_none() {
    for (body, whole) in [("null", true), ("[]", true), ("{}", false), ("7", false), ("[1", false)]
    {
        let mount = Mount::<Tracker>::new(Recorded::new().get("/issues/", body));
        let listed = mount.list("issues");
        if whole {
            assert_eq!(listed.unwrap(), [""; 0], "{body}");
        } else {
            assert!(matches!(listed, Err(Error::Invalid(_))), "{body}");
        }
    }
}

#[test]
fn an_objects_scope_is_that_of_its_answer_and_its_leaves_have_it_too() {
    let mount = Mount::<Tracker>::new(Recorded::new().get("/issues/", page("null")));
    mount.list("issues").unwrap();
    for path in ["issues/7", "issues/7/title", "issues/7/patch"] {
        let node = mount.stat(path).unwrap();
        assert!(matches!(node.coherence, Coherence::Scoped(scope) if scope == "tracker:ENG"));
    }
    assert_eq!(mount.read("issues/7/patch").unwrap(), "7\n");
}

#[test]
fn every_way_of_paging_finds_all_items_once() {
    let page =
        |names: &[&str], next: Option<&str>| value!({"names": names, "next": next}).to_string();
    let link = r#"<https://x.example/other?per=2&page=2>; rel="next""#;
    let upstream = Recorded::new()
        .answer("GET /paged/link?per=2", 200, &[("link", link)], page(&["a", "b"], None))
        .get("/paged/link?per=2&page=2", page(&["c", "d"], None))
        // An intermediary dropped the header.
        .get("/paged/dropped?per=2", page(&["a", "b"], None))
        .get("/paged/dropped?per=2&page=2", page(&["c", "d"], None))
        .get("/paged/dropped?per=2&page=3", page(&[], None))
        .get("/paged/number?per=2", page(&["a", "b"], None))
        .get("/paged/number?per=2&page=2", page(&["c", "d"], None))
        .get("/paged/number?per=2&page=3", page(&[], None))
        .get("/paged/offset?per=2", r#"{"names": ["a", 7]}"#)
        .get("/paged/offset?per=2&from=2", page(&["b", "c"], None))
        .get("/paged/offset?per=2&from=4", page(&["d"], None))
        .get("/paged/cursor?per=2", page(&["a", "b"], Some("x y")))
        .get("/paged/cursor?per=2&after=x%20y", page(&["c", "d"], Some("")));
    let mount = Mount::<Tracker>::new(upstream);
    for way in ["link", "dropped", "number", "offset", "cursor"] {
        assert_eq!(mount.list(way).unwrap(), ["a", "b", "c", "d"], "{way}");
    }
    assert_eq!(mount.partials().len(), 1, "the odd one is counted as one of its page");
}

#[test]
fn pages_that_lead_in_circles_are_an_error() {
    let upstream = Recorded::new()
        .get("/paged/cursor?per=2", r#"{"names": ["a"], "next": "x"}"#)
        .get("/paged/cursor?per=2&after=x", r#"{"names": [], "next": "x"}"#);
    let listed = Mount::<Tracker>::new(upstream).list("cursor");
    assert!(matches!(listed, Err(Error::Invalid(_))), "{listed:?}");
}

#[test]
fn a_graphql_error_in_one_item_leaves_the_others() {
    let page = |errors: Value| {
        let nodes =
            value!([{"id": "u1", "name": "Ann"}, {"id": "u2", "name": null}, {"name": "Cy"}]);
        value!({"data": {"people": {"nodes": nodes}}, "errors": errors}).to_string()
    };
    let at = |path: Value, code: &str| {
        page(value!([{"message": "boom", "path": path, "extensions": {"code": code}}]))
    };
    let mount =
        |body| Mount::<Tracker>::new(Recorded::new().answer("POST /graphql", 200, &[], body));
    let found = mount(at(value!(["people", "nodes", 1, "name"]), "INTERNAL_SERVER_ERROR"));
    assert_eq!(found.list("people").unwrap(), ["Ann", "Cy"]);
    assert_eq!(found.partials()[0].2, "u2 is left out (name: boom)");
    for (path, code) in [
        (value!(["people"]), "INTERNAL_SERVER_ERROR"),
        (value!(null), "INTERNAL_SERVER_ERROR"),
        (value!(["people", "nodes", 1]), "RATELIMITED"),
        (value!(["people", "nodes", 9]), "INTERNAL_SERVER_ERROR"),
    ] {
        let error = mount(at(path.clone(), code)).list("people").unwrap_err();
        assert!(!matches!(error, Error::NotFound), "{path}: {error:?}");
    }
}
