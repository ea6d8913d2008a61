//! What `omnifs providers check` finds of a declared service, and what a declared feed tells a mount.

use crate::rest::{alertmanager, asked, silence};
use crate::twin::Twin;
use crate::{configure, home};
use omnifs_support::tools::{await_content, await_gone, list, read};
use omnifs_support::{Mounted, Omnifs, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// For a change to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(60);

/// Writes a file that declares a service named `twin`.
fn declared(omnifs: &Omnifs, objects: &str) -> PathBuf {
    let file = omnifs.path("twin.toml");
    let head = "name = 'twin'\nsummary = 'A twin'\nurl = 'https://twin.example.org'\n";
    fs::write(&file, format!("{head}{objects}")).expect("a file");
    file
}

const TRIED: &str = "
[objects.thing]
path = 'things/{thing}'
list = '/things'
get = '/things/{id}'
name = '/name'
files = { name = '/name', note = '/note', seen = '/seen', size = '/size' }
details = { 'age' = '/age' }

[objects.one]
path = 'one'
get = '/one'
files = { steady = '/steady', now = '/now' }
";

/// Runs a check; its document.
fn checked(omnifs: &Omnifs, file: &str, url: &str) -> (Option<i32>, Value) {
    let ran = omnifs.run(&["providers", "check", file, "--endpoint", url, "--json"]);
    let ran = ran.expect("a run");
    let document = serde_json::from_str(&ran.stdout);
    (ran.status.code(), document.unwrap_or_else(|error| panic!("{error}: {ran:?}")))
}

/// What was said of a path, and of a file in it.
fn tried<'a>(document: &'a Value, pattern: &str) -> &'a Value {
    let paths = document["result"]["paths"].as_array().expect("paths");
    let found = paths.iter().find(|path| path["pattern"] == pattern);
    found.unwrap_or_else(|| panic!("nothing of {pattern}: {document}"))
}

#[test]
fn a_check_says_what_moves_what_is_empty_and_which_names_collide() {
    let Some(omnifs) = home("declared_check", &[]) else { return };
    configure(&omnifs, "");
    let twin = Twin::start();
    let file = declared(&omnifs, TRIED);
    let (file, url) = (file.to_str().expect("UTF-8"), twin.url());
    let things = |seen: u64| {
        let odd = if seen == 2 { r#", {"id": "d", "name": "late"}"# } else { "" };
        format!(
            r#"[{{"id": "a", "name": "twin", "note": null, "seen": {seen}, "size": 1}},
                {{"id": "b", "name": "twin", "note": "x", "seen": 7, "size": 2}},
                {{"id": "c", "name": "other", "seen": 7, "size": 3}}{odd}]"#
        )
    };
    twin.answers("/things", &[&things(1), &things(2)]);
    let one = |id: &str, name: &str, size: u64, age: u64| {
        format!(
            r#"{{"id": "{id}", "name": "{name}", "note": "x", "seen": 7, "size": {size}, "age": {age}}}"#
        )
    };
    // The list and its own answer say two sizes of `c`, and the ages of `b` are two.
    twin.answers(
        "/things/a",
        &[&one("a", "twin", 1, 5).replace("\"x\"", "null").replace('7', "1")],
    );
    twin.answers("/things/b", &[&one("b", "twin", 2, 5), &one("b", "twin", 2, 6)]);
    twin.answers("/things/c", &[&one("c", "other", 4, 5).replace(r#""note": "x", "#, "")]);
    twin.answers("/one", &[r#"{"steady": 1, "now": 1}"#, r#"{"steady": 1, "now": 2}"#]);

    let (code, said) = checked(&omnifs, file, &url);
    assert_eq!((code, &said["ok"]), (Some(1), &Value::Bool(false)), "{said}");
    assert!(said.get("error").is_none(), "the answer is no: {said}");
    assert_eq!(said["result"]["requests"], twin.asked("-"));
    assert_eq!(said["result"]["url"], url);
    let listed = tried(&said, "things/{thing}");
    assert_eq!((&listed["at"], &listed["objects"]), (&"things".into(), &3.into()), "{said}");
    assert_eq!((&listed["came"][0], &listed["gone"]), (&"late".into(), &Value::Array(vec![])));
    assert_eq!(listed["collided"], serde_json::json!(["twin"]));
    let leaf = |path: &Value, name: &str, what: &str| path["leaves"][name][what].as_u64();
    let counts = |name: &str| {
        ["seen", "empty", "moved", "differs"].map(|what| leaf(listed, name, what).unwrap())
    };
    assert_eq!(counts("name"), [3, 0, 0, 0]);
    assert_eq!(counts("note"), [3, 2, 0, 0], "null in one, not there in another");
    assert_eq!(counts("seen"), [3, 0, 1, 0]);
    assert_eq!(counts("size"), [3, 0, 0, 1]);
    assert_eq!(counts("age"), [3, 0, 1, 0]);
    assert_eq!(listed["leaves"]["seen"]["example"], "twin");
    let single = tried(&said, "one");
    assert_eq!((leaf(single, "now", "moved"), leaf(single, "steady", "moved")), (Some(1), Some(0)));

    // The same as people see it, of answers that stand still: there is nothing to mend.
    twin.answers("/things", &[r#"[{"id": "c", "name": "other", "seen": 7, "size": 4}]"#]);
    let ran = omnifs.run(&["providers", "check", file, "--endpoint", &url]).expect("a run");
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.contains("things/{thing}: 1 object at things/\n"), "{ran:?}");
    assert!(ran.stdout.contains("note is null, not there or an empty list in 1 of 1\n"), "{ran:?}");
    assert!(ran.stdout.ends_with(&format!("requests to {url}: nothing moved\n")), "{ran:?}");

    twin.forgets("/things");
    let (code, said) = checked(&omnifs, file, &url);
    assert_eq!(code, Some(1));
    assert!(!tried(&said, "things/{thing}")["failures"][0].is_null(), "{said}");
    assert!(tried(&said, "one")["failures"].as_array().expect("a list").is_empty(), "{said}");
}

#[test]
fn a_check_is_bounded_and_of_a_declared_service_alone() {
    let Some(omnifs) = home("declared_bounded", &[]) else { return };
    configure(&omnifs, "");
    let twin = Twin::start();
    // Each page leads to another one.
    let file = declared(
        &omnifs,
        "[objects.a]\npath = 'all/{a}'\nlist = '/a'\nitems = '/items'\npages = { cursor = '/next', most = 50000 }\n",
    );
    let page =
        |number: usize| format!(r#"{{"items": [{{"id": {number}}}], "next": {}}}"#, number + 1);
    twin.answers("/a", &[&page(0)]);
    (1..400).for_each(|number| twin.answers(&format!("/a?cursor={number}"), &[&page(number)]));
    let (code, said) = checked(&omnifs, file.to_str().expect("UTF-8"), &twin.url());
    assert_eq!((code, &said["result"]["requests"]), (Some(1), &200.into()), "{said}");
    assert_eq!(twin.asked("-"), 200);
    let failure = tried(&said, "all/{a}")["failures"][0].as_str().unwrap_or_default();
    assert!(failure.contains("no more than 200 requests"), "{said}");

    let fails = |file: &str, why: &str| {
        let ran = omnifs.run(&["providers", "check", file]).expect("a run");
        assert!(!ran.status.success() && ran.stderr.contains(why), "{ran:?}");
    };
    fails("nowhere.toml", "cannot read");
    fails("mediawky", "cannot read");
    let wrong = declared(&omnifs, "[objects.a]\npath = 'all/{a}'\n");
    fails(wrong.to_str().expect("UTF-8"), "twin.toml: line 4: an object whose path ends");
}

#[test]
fn a_check_sends_a_credential_only_where_the_user_says_so() {
    let Some(omnifs) = home("declared_secret", &[]) else { return };
    let twin = Twin::start();
    twin.answers("/one", &["{}"]);
    let secret = omnifs.path("secret");
    fs::write(&secret, "the-secret-of-the-test").expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("permissions");
    let own = format!("[instances.twin]\ncredential-file = '{}'\n", secret.display());
    configure(&omnifs, &own);
    let file = declared(
        &omnifs,
        "[credential]\nscheme = 'header'\nheader = 'x-own-key'\nhelp = 'https://twin.example.org/keys'\n\
         [objects.one]\npath = 'one'\nget = '/one'\n",
    );
    let url = twin.url();
    let check = |more: &[&str]| {
        let file = file.to_str().expect("UTF-8");
        let arguments = [&["providers", "check", file, "--endpoint", &url], more].concat();
        let ran = omnifs.run(&arguments).expect("a run");
        assert!(ran.status.success(), "{ran:?}");
        assert!(!format!("{ran:?}").contains("the-secret"), "{ran:?}");
    };
    check(&[]);
    assert!(twin.asked("-") > 0 && !twin.heard("the-secret-of-the-test"));
    // Whose credential, the file does not say: it may have called itself like another instance.
    let path = file.to_str().expect("UTF-8");
    let unnamed = ["providers", "check", path, "--endpoint", &url, "--with-credential"];
    let ran = omnifs.run(&unnamed).expect("a run");
    assert!(ran.status.code() == Some(2) && ran.stderr.contains("--name"), "{ran:?}");
    assert!(!twin.heard("the-secret-of-the-test"));
    check(&["--with-credential", "--name", "twin"]);
    assert!(twin.heard("the-secret-of-the-test"));
}

#[test]
fn a_server_that_stands_still_passes_the_check_of_the_file_that_ships_for_it() {
    let programs = ["prometheus-alertmanager", "curl"];
    let Some(omnifs) = home("declared_real", &programs) else { return };
    configure(&omnifs, "");
    let server = alertmanager(&omnifs);
    let first = silence(&server, "rack 3");
    let silences = || asked(&server, "/api/v2/silences");
    assert!(wait_until(SOON, || (silences()[0]["id"] == first.as_str()).then_some(())).is_some());
    let (code, said) = checked(&omnifs, "alertmanager", &server.url());
    assert_eq!((code, &said["ok"]), (Some(0), &Value::Bool(true)), "{said}");
    let silences = tried(&said, "silences/{silence}");
    assert_eq!((&silences["objects"], &silences["failures"]), (&1.into(), &Value::Array(vec![])));
    assert_eq!(silences["leaves"]["comment"]["seen"], 1);
    assert_eq!(tried(&said, "status")["leaves"]["version"]["empty"], 0);
    server.stop();
    let (code, said) = checked(&omnifs, "alertmanager", &server.url());
    assert_eq!((code, &said["ok"]), (Some(1), &Value::Bool(false)), "{said}");
}

const FED: &str = "
[objects.item]
path = 'items/{item}'
list = '/items'
get = '/items/{id}'
modified = '/at'
files = { title = '/title' }

[feed.item]
by = 'newest'
poll = '/latest'
size = 10
deleted = '/deleted'
sees = ['changes', 'creations', 'deletions']

[objects.other]
path = 'others/{other}'
list = '/others'
get = '/others/{id}'
modified = '/at'
files = { title = '/title' }

[feed.other]
by = 'newest'
poll = '/latest-others'
size = 10
sees = ['changes', 'creations']
";

/// `minute`: of its last change. What the twin's clock says is ten past.
fn item(id: u64, title: &str, minute: u64) -> String {
    format!(r#"{{"id": {id}, "title": "{title}", "at": "2026-01-01T00:{minute:02}:00Z"}}"#)
}

fn add<'o>(omnifs: &'o Omnifs, twin: &Twin, objects: &str) -> Mounted<'o> {
    configure(omnifs, &format!("[instances.twin]\nendpoints.twin = '{}'\n", twin.url()));
    let file = declared(omnifs, objects);
    let file = file.to_str().expect("UTF-8");
    let ran = omnifs.run(&["providers", "add", file, "--yes"]).expect("a run");
    assert!(ran.status.success(), "{ran:?}");
    omnifs.mount::<&str>(&[]).expect("mount")
}

/// Waits until the scope has been polled and is live.
fn await_live(mounted: &Mounted<'_>, scope: &str) {
    let good =
        |one: &Value| one["scope"] == scope && !one["heard"].is_null() && one["state"] == "live";
    let live = wait_until(SOON, || {
        mounted.status().ok()?["scopes"].as_array()?.iter().any(good).then_some(())
    });
    assert!(live.is_some(), "{:?}", mounted.status());
}

#[test]
fn a_change_shows_by_the_declared_poll_and_until_then_a_look_asks_nobody() {
    let Some(omnifs) = home("declared_feed", &[]) else { return };
    let omnifs = omnifs.env("OMNIFS_POLL_MS", "100");
    let twin = Twin::start();
    let say = |items: &[String], latest: &[String]| {
        twin.answers("/items", &[&format!("[{}]", items.join(","))]);
        twin.answers("/latest", &[&format!("[{}]", latest.join(","))]);
    };
    let (one, two) = (item(1, "one", 1), item(2, "two", 1));
    say(&[one.clone(), two.clone()], &[one.clone(), two.clone()]);
    twin.answers("/items/1", &[&one]);
    twin.answers("/items/2", &[&two]);
    let mounted = add(&omnifs, &twin, FED);
    let items = mounted.join("twin/items");
    let title = items.join("1/title");
    let names = || list(&items).expect("a directory");
    assert_eq!(read(&title), "one\n");
    assert_eq!(names(), ["1", "2"]);
    await_live(&mounted, "item");
    // What was fetched before the feed could vouch for it may be asked for once more.
    assert_eq!((read(&title).as_str(), names()), ("one\n", vec!["1".to_owned(), "2".to_owned()]));
    assert_eq!(read(&items.join("2/title")), "two\n");
    let before = twin.asked("/latest");
    for _ in 0..5 {
        assert_eq!(read(&title), "one\n");
        assert_eq!(read(&items.join("2/title")), "two\n");
        assert_eq!(names(), ["1", "2"]);
    }
    assert_eq!(twin.asked("/latest"), before, "nothing has changed");

    let (new, three) = (item(1, "changed", 10), item(3, "three", 10));
    twin.answers("/items/1", &[&new]);
    twin.answers("/items/3", &[&three]);
    say(&[new.clone(), two.clone(), three.clone()], &[three.clone(), new.clone(), two.clone()]);
    await_content(&title, "changed\n", SOON);
    await_content(&items.join("3/title"), "three\n", SOON);
    assert!(wait_until(SOON, || (names() == ["1", "2", "3"]).then_some(())).is_some());

    let gone = r#"{"id": 2, "deleted": true, "at": "2026-01-01T00:10:00Z"}"#.to_owned();
    twin.forgets("/items/2");
    say(&[new.clone(), three.clone()], &[gone, three, new]);
    await_gone(&items.join("2/title"), SOON);
    assert!(wait_until(SOON, || (names() == ["1", "3"]).then_some(())).is_some());
}

#[test]
fn a_deletion_that_the_declared_feed_cannot_see_shows_at_the_next_look() {
    let Some(omnifs) = home("declared_unseen", &[]) else { return };
    let omnifs = omnifs.env("OMNIFS_POLL_MS", "100");
    let twin = Twin::start();
    let (one, two) = (item(1, "one", 1), item(2, "two", 1));
    twin.answers("/others", &[&format!("[{one},{two}]")]);
    twin.answers("/latest-others", &[&format!("[{one},{two}]")]);
    twin.answers("/others/1", &[&one]);
    twin.answers("/others/2", &[&two]);
    let mounted = add(&omnifs, &twin, FED);
    let others = mounted.join("twin/others");
    assert_eq!(read(&others.join("2/title")), "two\n");
    assert_eq!(list(&others).expect("a directory"), ["1", "2"]);
    await_live(&mounted, "other");
    let before = twin.asked("/latest");
    assert_eq!(read(&others.join("2/title")), "two\n");
    assert!(twin.asked("/latest") > before, "nobody vouches for the name");
    // The service knows it no more, and what was modified says nothing of it.
    twin.answers("/others", &[&format!("[{one}]")]);
    twin.forgets("/others/2");
    let absent = fs::metadata(others.join("2/title")).expect_err("it is deleted");
    assert_eq!(absent.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(list(&others).expect("a directory"), ["1"]);
    assert_eq!(read(&others.join("1/title")), "one\n");
}
