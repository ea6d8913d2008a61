use super::*;
use crate::{Declared, declare};
use omnifs_sdk::events::Change;
use omnifs_sdk::testing::{Mount, Recorded};

const HEAD: &str = "name = 'x'\nsummary = 'X'\nurl = 'https://x.example'\n\
    [objects.team]\npath = 'teams/{team}'\nlist = '/teams'\n\
    [objects.issue]\npath = 'teams/{team}/issues/{issue}'\nget = '/issues/{id}'\nmodified = '/at'\n\
    files = { title = '/title' }\nlist = '/issues?team={team}'\n[feed.issue]\n";
const WHOLE: &str = "by = 'whole'\nsees = ['changes', 'creations', 'deletions']\n";
const SINCE: &str = "by = 'since'\npoll = '/issues?from=>={since}'\nsize = 3\nsees = ['changes']\n";
const NEWEST: &str = "by = 'newest'\npoll = '/latest?team={team}'\nsize = 2\ndeleted = '/gone'\n\
    sees = ['changes', 'creations', 'deletions']\n";

const NOW: &str = "Thu, 01 Jan 2026 00:10:00 GMT";
/// The same in seconds since 1970.
const NOW_S: u64 = 1_767_226_200;

fn mount(feed: &str, upstream: Recorded) -> Mount<Declared> {
    declare(&format!("{HEAD}{feed}")).unwrap();
    Mount::new(upstream.get("/teams", r#"[{"id": "ops"}]"#))
}

fn issue(id: u64, title: &str, minute: u64) -> Value {
    json!({ "id": id, "title": title, "at": format!("2026-01-01T00:{minute:02}:00Z") })
}

/// What the request is answered with, at the service's time.
fn answer(request: &str, items: &[Value]) -> Recorded {
    let date = [("date", NOW)];
    Recorded::new().answer(&format!("GET {request}"), 200, &date, json!(items).to_string())
}

/// A poll of the scope, after what was fetched at `since`.
fn poll(
    mount: &Mount<Declared>,
    scope: &str,
    cursor: &mut Option<String>,
    since: u64,
) -> Vec<Change> {
    let position =
        Position { scope: scope.to_owned(), cursor: cursor.clone(), since, ..Position::default() };
    let progress = mount.poll(&position).unwrap();
    *cursor = progress.cursor.or(cursor.take());
    progress.changes.0
}

fn invalidated(id: &str) -> Change {
    Change::Invalidated(id.to_owned())
}

const LIST: &str = "/issues?team=ops";
const SCOPE: &str = "issue:in/ops";
const CHILDREN: &str = "folder/teams%2F{team}%2Fissues/ops";

#[test]
fn a_list_that_is_compared_as_a_whole_tells_of_all_that_becomes_of_it() {
    let mount = mount(WHOLE, answer(LIST, &[issue(1, "one", 1), issue(2, "two", 1)]));
    assert_eq!(mount.list("teams/ops/issues").unwrap(), ["1", "2"]);
    mount.requests();
    let mut cursor = None;
    let gap = [Change::Gap(SCOPE.to_owned())];
    assert_eq!(poll(&mount, SCOPE, &mut cursor, NOW_S), gap, "nothing is known of the time before");
    assert_eq!(mount.list("teams/ops/issues").unwrap(), ["1", "2"]);
    assert_eq!(poll(&mount, SCOPE, &mut cursor, NOW_S), []);
    mount.requests();
    assert_eq!(mount.read("teams/ops/issues/1/title").unwrap(), "one\n");
    assert_eq!(mount.list("teams/ops/issues").unwrap(), ["1", "2"]);
    assert_eq!(mount.requests(), [""; 0], "a feed vouches for it");

    let now = [issue(1, "changed", 2), issue(2, "two", 1), issue(3, "new", 2)];
    mount.upstream_changes(answer(LIST, &now));
    let told = poll(&mount, SCOPE, &mut cursor, NOW_S);
    let children = Change::ChildrenChanged(CHILDREN.to_owned());
    let expected =
        [invalidated("object/issue/ops/1"), invalidated("object/issue/ops/3"), children.clone()];
    assert_eq!(told, expected);
    mount.upstream_changes(answer(LIST, &now[..2]));
    assert_eq!(poll(&mount, SCOPE, &mut cursor, NOW_S), [gap[0].clone(), children]);
    assert_eq!(mount.list("teams/ops/issues").unwrap(), ["1", "2"]);
    assert_eq!(poll(&mount, SCOPE, &mut cursor, NOW_S), []);
}

#[test]
fn what_a_feed_does_not_see_stays_volatile() {
    let of = |feed: &str| {
        declare(&format!("{HEAD}{feed}")).unwrap();
        let place = |path: &str| {
            let path = format!("teams/{{team}}/issues{path}");
            spec().places.iter().position(|place| place.path == path).unwrap()
        };
        let keys = |place: usize| vec!["ops".to_owned(); spec().places[place].keys.len()];
        let (list, one) = (place(""), place("/{issue}"));
        let file = Id::File { place: one, name: "title".to_owned(), keys: keys(one) };
        let ids = [
            Id::Place { place: list, keys: keys(list) },
            Id::Place { place: one, keys: keys(one) },
        ];
        let is_kept = |id: &Id| matches!(id.coherence(), Coherence::Scoped(_));
        (is_kept(&ids[0]), is_kept(&ids[1]), is_kept(&file))
    };
    let sees = |what: &str| of(&WHOLE.replace("'changes', 'creations', 'deletions'", what));
    assert_eq!(of(WHOLE), (true, true, true));
    assert_eq!(sees("'changes', 'deletions'"), (false, true, true));
    assert_eq!(sees("'changes', 'creations'"), (false, false, true));
    assert_eq!(sees("'changes'"), (false, false, true));
    assert_eq!(sees("'creations', 'deletions'"), (false, false, false));
    assert_eq!(of(NEWEST), (true, true, true));
    // Of all teams: an issue is known by its id alone, and which list it is in is not said.
    let all =
        SINCE.replace("['changes']", "['changes', 'creations', 'deletions']\ndeleted = '/gone'");
    assert_eq!(of(&all), (false, true, true));
    assert_eq!(of(SINCE), (false, false, true));
}

#[test]
fn what_was_modified_is_asked_for_from_a_little_before_the_newest_that_was_seen() {
    let from = |minute: u64| format!("/issues?from=%3E%3D2026-01-01T00%3A{minute:02}%3A00Z");
    // The first answer was at ten past; what shows late carries an older time.
    let upstream = answer(&from(9), &[issue(1, "old", 9)]);
    let mount = mount(SINCE, upstream);
    let mut cursor = None;
    poll(&mount, "issue", &mut cursor, NOW_S);
    mount.upstream_changes(answer(&from(9), &[issue(1, "old", 9), issue(2, "late", 9)]));
    assert_eq!(poll(&mount, "issue", &mut cursor, NOW_S), [invalidated("object/issue/2")]);
    assert_eq!(poll(&mount, "issue", &mut cursor, NOW_S), [], "it is told once");
    let full = [issue(1, "old", 9), issue(2, "late", 9), issue(3, "more", 9)];
    mount.upstream_changes(answer(&from(9), &full));
    let told = poll(&mount, "issue", &mut cursor, NOW_S);
    assert_eq!(told[0], Change::Gap("issue".to_owned()), "behind a full page may be more");
}

#[test]
fn the_newest_page_says_what_was_deleted_and_where_it_does_not_reach_back() {
    let page = "/latest?team=ops";
    let mount = mount(NEWEST, answer(page, &[issue(1, "old", 1)]));
    let mut cursor = None;
    assert_eq!(poll(&mount, SCOPE, &mut cursor, NOW_S), []);
    let mut gone = issue(1, "old", 10);
    gone["gone"] = json!(true);
    mount.upstream_changes(answer(page, &[gone.clone(), issue(2, "older", 2)]));
    let children = Change::ChildrenChanged(CHILDREN.to_owned());
    let told = poll(&mount, SCOPE, &mut cursor, NOW_S);
    assert_eq!(told, [Change::Removed("object/issue/ops/1".to_owned()), children]);
    mount.upstream_changes(answer(page, &[issue(4, "new", 10), issue(3, "new", 10)]));
    let told = poll(&mount, SCOPE, &mut cursor, NOW_S);
    assert_eq!(told[0], Change::Gap(SCOPE.to_owned()), "all of a full page is news");
}

#[test]
fn a_service_that_says_no_time_has_no_feed_of_what_is_new() {
    let mount = mount(NEWEST, Recorded::new().get("/latest?team=ops", "[]"));
    let position = Position { scope: SCOPE.to_owned(), ..Position::default() };
    let failed = mount.poll(&position).unwrap_err();
    assert!(matches!(&failed, Error::Invalid(why) if why.contains("says no time")), "{failed:?}");
    for scope in ["issue", "team", "issue:in/a/b", "nothing"] {
        let position = Position { scope: scope.to_owned(), ..Position::default() };
        assert!(matches!(mount.poll(&position), Err(Error::Invalid(_))), "{scope}");
    }
}

#[test]
fn what_a_poll_asks_for_is_approved_and_a_feed_is_in_the_manifest() {
    declare(&format!("{HEAD}{NEWEST}")).unwrap();
    let manifest = Declared::manifest();
    let rules: Vec<_> = manifest.endpoints[0].allow.iter().map(|rule| rule.path).collect();
    assert_eq!(rules, ["/issues", "/issues/*", "/latest", "/teams"]);
    let [feed] = manifest.feeds else { panic!("one feed") };
    assert_eq!((feed.name, feed.scopes, feed.endpoint), ("issue", "issue:", Some("x")));
    let opens: Vec<bool> = manifest.guide.iter().map(|path| path.each_open).collect();
    assert_eq!(opens, [true, false]);
}
