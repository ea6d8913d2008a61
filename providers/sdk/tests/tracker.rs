//! The SDK through a small issue tracker: what a provider states, and what the host then sees.
#![allow(clippy::type_complexity, clippy::unwrap_used, missing_debug_implementations)]

use omnifs_sdk::manifest::{Endpoint, Feed, Setting, Signature, get};
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json as value;

routes! {
    mod api = "api" {
        get issues() = "/issues",
        get issue(number) = "/issues/*",
        get comments(number) = "/issues/*/comments/",
        get rules() = "/rules",
        post graphql() = "/graphql",
    }
}

ids! {
    pub enum Id {
        _: scoped("tracker"),
        Root = "root", Open = "open", People = "people", Rules = "rules",
        Issue(number: u64) = "issue",
        Comments(issue: u64) = "comments",
        Comment(id: u64) = "comment",
        Person(key: String) = "person",
        Blob(sha: String) = "blob": immutable(),
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => fixed([("issues", Open), ("people", People), ("rules.md", Rules)]),
            Open => open_ended((), |()| open_issues(), |(), name| issue_named(name)),
            Issue(number) => object(move || issue(number)),
            Comments(number) => listing(move || comments(number)),
            Comment(id) => file(move || Ok(document(format!("comment {id}")))),
            People => listing(people),
            Person(key) => file(move || Ok(scalar(key))),
            Rules => file(|| Ok(document(api::rules().ok()?.body))),
            Blob(sha) => file(move || Ok(document(sha))),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Issue {
    number: u64,
    title: String,
    comments: u64,
    milestone: Option<String>,
    #[serde(default, deserialize_with = "omnifs_sdk::json::null_as_default")]
    labels: Vec<String>,
    draft: Option<bool>,
    /// Not in a listing.
    merged: Option<bool>,
    updated: String,
}

impl Object for Shown {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("title", |i| scalar(&i.0.title)),
        leaf("milestone", |i| optional(i.0.milestone.as_ref())),
        leaf("labels", |i| lines(&i.0.labels)),
        leaf("draft", |i: &Self| optional(i.0.draft)).present_if(|i| i.0.draft.is_some()),
        detail("merged", |i| Some(scalar(i.0.merged?))),
        dir_holding("comments", |i: &Self| (Id::Comments(i.0.number), Vec::new().into()))
            .present_if(|i| i.0.comments == 0),
        dir("talk", |i: &Self| Id::Comments(i.0.number)).present_if(|i| i.0.comments > 0),
        own("patch", patch),
    ];

    fn id(&self) -> Id {
        Id::Issue(self.0.number)
    }

    fn modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.0.updated)
    }
}

struct Shown(Issue);

fn open_issues() -> Result<Listing<Id>> {
    let bound = config::parse("issues").unwrap_or(3);
    let pages = api::issues().query("per_page", 2).pages(&Next::link(2), bound, |page| page)?;
    let entry = |issue: Issue| Entry::object(issue.number.to_string(), &Shown(issue));
    let entries = pages.items.map(entry);
    if pages.more {
        return Ok(Listing::partial(entries, "the newest; raise `issues` to see more"));
    }
    Ok(entries.into())
}

fn issue(number: u64) -> Result<Shown> {
    Ok(Shown(api::issue(number).json()?))
}

fn issue_named(name: &str) -> Result<Entry<Id>> {
    let found = issue(name.parse().map_err(|_| Error::NotFound)?)?;
    Ok(Entry::object(found.0.number.to_string(), &found))
}

fn patch(issue: &Id) -> Result<Content> {
    let Id::Issue(number) = issue else { return Err(Error::NotFound) };
    let request = api::issue(number).header("accept", "text/x-patch").query("as", "patch");
    Ok(request.ok()?.body.into())
}

fn comments(number: u64) -> Result<Listing<Id>> {
    let ids: Items<u64> = api::comments(number).json()?;
    let entry = |id| Entry::file(format!("{id}.md"), Id::Comment(id)).content(document("text"));
    Ok(ids.map(|id| entry(id).part_of(&Id::Issue(number))).into())
}

fn people() -> Result<Listing<Id>> {
    #[derive(Deserialize)]
    struct People {
        people: Items<(String, String)>,
    }
    let query = "query { people }";
    let found: People = graphql::query(api::graphql(), query, &value!({}))?;
    let entry = |(name, key): (String, String)| Entry::file(name, Id::Person(key.clone())).tie(key);
    Ok(found.people.map(entry).into())
}

struct Tracker;

impl Provider for Tracker {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting { name: "issues", description: "Most issues", default: Some("3") }],
        endpoints: &[Endpoint {
            allow: api::RULES,
            ..Endpoint::new(api::ENDPOINT, "https://tracker.example", "reads issues")
        }],
        feeds: &[Feed::webhook("hooks", "tracker", Signature::new("x-tracker-signature"))],
        ..Manifest::new("tracker", "0.1.0", "Issues")
    };

    fn deliver(delivery: &Delivery) -> Result<Changes> {
        let mut changes = Changes::default();
        let number: u64 = delivery.json()?;
        match delivery.header("x-event") {
            Some("deleted") => changes.removed([Id::Issue(number)]).children_changed([Id::Open]),
            _ => changes.invalidated([Id::Issue(number)]),
        };
        Ok(changes)
    }
}

fn an_issue(number: u64, comments: u64) -> serde_json::Value {
    value!({
        "number": number, "title": format!("Issue\n{number}"), "comments": comments, "labels": null,
        "milestone": null, "updated": "2026-11-22T13:09:20Z",
    })
}

fn next(page: u32) -> String {
    format!(
        r#"<https://tracker.example/v3/x?page={page}>; rel="next", <https://tracker.example/v3/x?page=3>; rel="last""#
    )
}

fn upstream() -> Recorded {
    let page = |numbers: [u64; 2]| value!(numbers.map(|n| an_issue(n, n % 2))).to_string();
    Recorded::new()
        .answer("GET /issues?per_page=2", 200, &[("link", &next(2))], page([9, 8]))
        .answer("GET /issues?page=2", 200, &[("link", &next(3))], page([7, 6]))
        .answer("GET /issues?page=3", 200, &[], page([5, 4]))
}

#[test]
fn pages_are_followed_up_to_the_bound_and_the_rest_is_announced() {
    let mount = Mount::<Tracker>::new(upstream());
    assert_eq!(mount.list("issues").unwrap(), ["7", "8", "9"]);
    assert_eq!(mount.requests(), ["GET /issues?per_page=2", "GET /issues?page=2"]);
    let note = "the newest; raise `issues` to see more".to_owned();
    assert_eq!(mount.partials(), [("open".to_owned(), 3, note)]);
    let all = Mount::<Tracker>::new(upstream().setting("issues", "100"));
    assert_eq!(all.list("issues").unwrap().len(), 6);
    assert_eq!(all.requests().len(), 3);
    assert!(all.partials().is_empty());
}

#[test]
fn a_bound_on_a_page_boundary_asks_for_no_page_beyond_it() {
    let mount = Mount::<Tracker>::new(upstream().setting("issues", "4"));
    assert_eq!(mount.list("issues").unwrap().len(), 4);
    assert_eq!(mount.requests().len(), 2);
    assert_eq!(mount.partials().len(), 1);
}

#[test]
fn a_listing_holds_every_leaf_it_can() {
    let mount = Mount::<Tracker>::new(upstream());
    mount.list("issues").unwrap();
    mount.requests();
    assert_eq!(
        mount.list("issues/8").unwrap(),
        ["comments", "labels", "merged", "milestone", "patch", "title"]
    );
    assert_eq!(mount.read("issues/8/title").unwrap(), "Issue 8\n");
    assert_eq!(mount.read("issues/8/milestone").unwrap(), "");
    assert_eq!(mount.list("issues/8/comments").unwrap(), [""; 0]);
    let node = mount.stat("issues/8/title").unwrap();
    assert_eq!((node.id.as_str(), node.part_of.as_deref()), ("issue/8#title", Some("issue/8")));
    assert_eq!((node.size, node.modified), (Some(8), Some(1_795_352_960_000)));
    assert_eq!(mount.requests(), [""; 0]);
    // What it lacks costs one request for all of it.
    let mut full = an_issue(8, 0);
    full["merged"] = true.into();
    mount.upstream_changes(Recorded::new().get("/issues/8", full.to_string()));
    assert_eq!(mount.read("issues/8/merged").unwrap(), "true\n");
    assert_eq!(mount.requests(), ["GET /issues/8"]);
}

#[test]
fn a_name_beyond_the_listing_is_looked_up() {
    let mount = Mount::<Tracker>::new(upstream().get("/issues/5", an_issue(5, 1).to_string()));
    mount.list("issues").unwrap();
    mount.requests();
    assert_eq!(mount.read("issues/5/title").unwrap(), "Issue 5\n");
    assert_eq!(mount.requests(), ["GET /issues/5"]);
    // Another spelling of the number is no other name of the issue.
    assert!(matches!(mount.stat("issues/05"), Err(Error::NotFound)));
    assert!(matches!(mount.stat("issues/x"), Err(Error::NotFound)));
    assert!(!mount.stat("issues").unwrap().complete);
}

#[test]
fn a_full_answer_that_lacks_a_leaf_is_invalid_and_not_missing() {
    let mount = Mount::<Tracker>::new(Recorded::new().get("/issues/5", an_issue(5, 0).to_string()));
    assert!(matches!(mount.read("issues/5/merged"), Err(Error::Invalid(_))));
}

#[test]
fn a_leaf_of_its_own_is_read_by_its_own_request() {
    let upstream = Recorded::new()
        .get("/issues/5", an_issue(5, 2).to_string())
        .get("/issues/5?as=patch", "--- a\n+++ b\n")
        .get("/issues/5/comments/", "[31, 30]");
    let mount = Mount::<Tracker>::new(upstream);
    assert_eq!(mount.read("issues/5/patch").unwrap(), "--- a\n+++ b\n");
    assert_eq!(mount.requests(), ["GET /issues/5", "GET /issues/5?as=patch"]);
    assert_eq!(mount.list("issues/5/talk").unwrap(), ["30.md", "31.md"]);
    assert_eq!(mount.read("issues/5/talk/30.md").unwrap(), "text");
    assert_eq!(mount.stat("issues/5/talk/30.md").unwrap().part_of.as_deref(), Some("issue/5"));
}

#[test]
fn objects_of_one_name_are_told_apart_and_one_object_shows_once() {
    let people =
        value!({"data": {"people": [["Ann", "u1"], ["Ann", "u2"], ["Ann", "u1"], ["a/b", "u3"]]}});
    let mount = Mount::<Tracker>::new(Recorded::new().answer(
        "POST /graphql",
        200,
        &[],
        people.to_string(),
    ));
    assert_eq!(mount.list("people").unwrap(), ["Ann", "Ann@u2", "a%2Fb"]);
    assert_eq!(mount.read("people/Ann@u2").unwrap(), "u2\n");
    assert_eq!(mount.read("people/a%2Fb").unwrap(), "u3\n");
}

#[test]
fn each_status_is_its_own_error() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let rows: [(u16, &[(&str, &str)], &str); 15] = [
        (401, &[], "Denied(\"api: 401: Bad credentials\")"),
        (403, &[], "Denied(\"api: 403: Bad credentials\")"),
        (451, &[], "Denied(\"api: 451: Bad credentials\")"),
        (404, &[], "NotFound"),
        (410, &[], "NotFound"),
        (429, &[], "RateLimited(None)"),
        (429, &[("retry-after", "30")], "RateLimited(Some(30))"),
        (403, &[("retry-after", "60")], "RateLimited(Some(60))"),
        (429, &[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), date], "RateLimited(Some(60))"),
        (500, &[], "Unavailable(\"api: 500: Bad credentials\")"),
        (503, &[("retry-after", "5")], "Unavailable(\"api: 503: Bad credentials\")"),
        (504, &[], "TimedOut"),
        (413, &[], "TooLarge"),
        (422, &[], "Invalid(\"api: 422: Bad credentials\")"),
        (302, &[], "Invalid(\"api: 302: Bad credentials\")"),
    ];
    for (status, headers, expected) in rows {
        let upstream = Recorded::new().answer(
            "GET /rules",
            status,
            headers,
            r#"{"message":"Bad\ncredentials"}"#,
        );
        let error = Mount::<Tracker>::new(upstream).read("rules.md").unwrap_err();
        assert_eq!(format!("{error:?}").replace("Error::", ""), expected);
    }
}

#[test]
fn a_complaint_is_one_line_of_bounded_length_and_needs_no_json() {
    let long = value!({"message": "\u{e9}".repeat(5000)}).to_string();
    for body in [long.as_str(), "<html>oops</html>", ""] {
        let upstream = Recorded::new().answer("GET /rules", 500, &[], body);
        match Mount::<Tracker>::new(upstream).read("rules.md") {
            Err(Error::Unavailable(text)) => {
                assert!(text.len() < 330 && !text.contains('\n'), "{text}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_graphql_error_is_never_an_empty_answer() {
    let rows = [
        (
            200,
            r#"{"errors":[{"type":"NOT_FOUND","message":"x"}],"data":{"people":null}}"#,
            "NotFound",
        ),
        (429, r#"{"errors":[{"message":"x"}]}"#, "RateLimited(Some(7))"),
        (
            400,
            r#"{"errors":[{"message":"x","extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#,
            "Denied(\"api: 400: x\")",
        ),
        (
            200,
            r#"{"errors":[{"message":"Entity not found: Issue","extensions":{"code":"INPUT_ERROR"}}]}"#,
            "NotFound",
        ),
        (
            200,
            r#"{"errors":[{"message":"a\nb"}],"data":{"people":[]}}"#,
            "Invalid(\"api: 200: a b\")",
        ),
        (502, "<html>", "Unavailable(\"api: 502\")"),
        (401, r#"{"message":"Bad credentials"}"#, "Denied(\"api: 401: Bad credentials\")"),
    ];
    for (status, body, expected) in rows {
        let upstream =
            Recorded::new().answer("POST /graphql", status, &[("retry-after", "7")], body);
        let error = Mount::<Tracker>::new(upstream).list("people").unwrap_err();
        assert_eq!(format!("{error:?}").replace("Error::", ""), expected, "{body}");
    }
    for body in [r#"{"data":null}"#, r#"{"data":{}}"#, "{}", "null", "<html>"] {
        let upstream = Recorded::new().answer("POST /graphql", 200, &[], body);
        let error = Mount::<Tracker>::new(upstream).list("people").unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{body}: {error:?}");
    }
}

#[test]
fn paths_and_queries_cannot_be_broken_out_of() {
    for (segment, encoded) in
        [("a/b", "a%2Fb"), ("c d?e#f", "c%20d%3Fe%23f"), ("%2e", "%252e"), ("\u{e9}", "%C3%A9")]
    {
        let request = api::issue(segment).query("q&r", "1=2&3 +").query("s", 4);
        assert_eq!(request.path(), format!("/issues/{encoded}?q%26r=1%3D2%263%20%2B&s=4"));
    }
    for bad in ["", ".", ".."] {
        assert!(matches!(api::issue(bad).send(), Err(Error::NotFound)));
    }
}

#[test]
fn a_delivery_changes_what_it_names() {
    let mount = Mount::<Tracker>::new(upstream());
    mount.list("issues").unwrap();
    mount.deliver(&Delivery::new("hooks", &[("x-event", "edited")], "8")).unwrap();
    let mut edited = an_issue(8, 0);
    edited["title"] = "New".into();
    mount.upstream_changes(Recorded::new().get("/issues/8", edited.to_string()));
    assert_eq!(mount.read("issues/8/title").unwrap(), "New\n");
    let changes = mount.deliver(&Delivery::new("hooks", &[("x-event", "deleted")], "8")).unwrap();
    assert_eq!(changes.0.len(), 2);
    assert!(matches!(mount.deliver(&Delivery::new("hooks", &[], "x")), Err(Error::Invalid(_))));
    assert!(matches!(mount.poll(&Position::default()), Err(Error::Invalid(_))));
}

#[test]
fn an_unreadable_setting_is_reported_and_the_default_holds() {
    let mount = Mount::<Tracker>::new(upstream().setting("issues", "many"));
    assert_eq!(mount.list("issues").unwrap().len(), 3);
    assert!(
        mount.log().iter().any(|line| line.starts_with("warn: setting issues")),
        "{:?}",
        mount.log()
    );
}

#[test]
#[should_panic = "the manifest does not allow"]
fn a_request_that_the_manifest_does_not_allow_fails_the_test() {
    struct Greedy;
    impl Provider for Greedy {
        type Id = Id;
        const ROOT: Id = Id::Root;
        const MANIFEST: Manifest = Manifest {
            endpoints: &[Endpoint {
                allow: &[get("/rules/*")],
                ..Endpoint::new("api", "https://a", "b")
            }],
            feeds: Tracker::MANIFEST.feeds,
            ..Manifest::new("greedy", "0.1.0", "Asks for more")
        };
    }
    let _ = Mount::<Greedy>::new(Recorded::new().get("/rules", "")).read("rules.md");
}

#[test]
#[should_panic = "which no feed of the manifest covers"]
fn a_scope_that_no_feed_covers_fails_the_test() {
    struct Deaf;
    impl Provider for Deaf {
        type Id = Id;
        const ROOT: Id = Id::Root;
        const MANIFEST: Manifest = Manifest {
            endpoints: Tracker::MANIFEST.endpoints,
            feeds: &[Feed::poll("changes", "trackers", "api")],
            ..Manifest::new("deaf", "0.1.0", "Hears of another scope")
        };
    }
    let _ = Mount::<Deaf>::new(Recorded::new().get("/rules", "Be kind")).read("rules.md");
}

#[test]
fn what_its_feed_does_not_cover_at_the_moment_is_asked_for_at_each_use() {
    let mount = Mount::<Tracker>::new(upstream());
    let asked = |mount: &Mount<Tracker>| {
        mount.list("issues").unwrap();
        mount.requests().len()
    };
    assert_eq!((asked(&mount), asked(&mount)), (2, 0));
    mount.down("hooks");
    assert_eq!((asked(&mount), asked(&mount)), (2, 2));
    mount.up("hooks");
    assert_eq!((asked(&mount), asked(&mount)), (2, 0), "nothing proves what was asked before");
}

#[test]
#[should_panic = "another number of bytes"]
fn a_size_that_is_not_the_contents_fails_the_test() {
    ids! { enum Wrong { _: immutable(), Root = "root", File = "file" } }
    impl Tree for Wrong {
        fn shape(self) -> Shape<Wrong> {
            match self {
                Wrong::Root => listing(|| Ok(vec![Entry::file("a", Wrong::File).size(3)])),
                Wrong::File => file(|| Ok(document("four"))),
            }
        }
    }
    struct Liar;
    impl Provider for Liar {
        type Id = Wrong;
        const ROOT: Wrong = Wrong::Root;
        const MANIFEST: Manifest = Manifest::new("liar", "0.1.0", "Wrong sizes");
    }
    let _ = Mount::<Liar>::new(Recorded::new()).read("a");
}
