use super::*;
use omnifs_sdk::testing::{Mount, Recorded};
use serde_json::json;

const ALERTMANAGER: &str = include_str!("../../specs/alertmanager.toml");
const REDMINE: &str = include_str!("../../specs/redmine.toml");

fn mount(file: &str, upstream: Recorded) -> Mount<Declared> {
    declare(file).unwrap();
    Mount::new(upstream)
}

fn project(id: u64, name: &str) -> serde_json::Value {
    json!({ "id": id, "identifier": name, "name": "A project", "updated_on": "2026-01-02T00:00:00Z" })
}

fn issue(id: u64, subject: &str) -> serde_json::Value {
    json!({ "id": id, "subject": subject, "status": { "name": "New" }, "updated_on": "2026-01-02T00:00:00Z" })
}

const PROJECTS: &str = "/projects.json?limit=100";

fn issues_of(project: u64) -> String {
    format!("/issues.json?project_id={project}&status_id=%2A&sort=updated_on%3Adesc&limit=100")
}

fn redmine() -> Recorded {
    let mut whole = issue(7, "Broken");
    whole["journals"] = json!([{ "notes": "seen" }]);
    Recorded::new()
        .get(PROJECTS, json!({ "projects": [project(1, "ops"), project(2, "web")] }).to_string())
        .get(&issues_of(2), json!({ "issues": [issue(7, "Broken"), issue(9, "Slow")] }).to_string())
        .get("/issues/7.json?include=journals", json!({ "issue": whole }).to_string())
        .get("/issues/9.json?include=journals", json!({ "issue": issue(9, "Slow") }).to_string())
        .answer("GET /issues/8.json?include=journals", 404, &[], "")
}

#[test]
fn one_list_fills_the_directories_of_its_objects() {
    let silences = json!([
        { "id": "a-1", "status": { "state": "active" }, "comment": "rack 3", "createdBy": "ops",
          "matchers": [{ "name": "job", "value": "x" }], "updatedAt": "2026-01-02T00:00:00Z" },
        { "id": "b-2", "status": { "state": "expired" }, "comment": "", "createdBy": "dev" },
    ]);
    let alerts = json!([{ "fingerprint": "f00", "labels": { "alertname": "Down", "job": "x" } }]);
    let mount = mount(
        ALERTMANAGER,
        Recorded::new()
            .get("/api/v2/silences", silences.to_string())
            .get("/api/v2/alerts", alerts.to_string())
            .get("/api/v2/silence/a-1", silences[0].to_string())
            .get("/api/v2/status", r#"{"uptime": "now", "versionInfo": {"version": "0.25"}}"#),
    );
    assert_eq!(mount.list("").unwrap(), ["alerts", "receivers", "silences", "status"]);
    assert_eq!(mount.requests(), [""; 0]);
    assert_eq!(mount.list("silences").unwrap(), ["a-1", "b-2"]);
    assert_eq!(mount.requests(), ["GET /api/v2/silences"]);
    assert_eq!(mount.read("silences/a-1/comment").unwrap(), "rack 3\n");
    assert_eq!(mount.read("silences/a-1/state").unwrap(), "active\n");
    let all = ["by", "comment", "ends", "matchers", "silence.json", "state"];
    assert_eq!(mount.list("silences/a-1").unwrap(), all);
    assert!(mount.read("silences/a-1/silence.json").unwrap().contains("\"rack 3\""));
    assert_eq!(mount.list("alerts").unwrap(), ["f00"]);
    assert_eq!(mount.read("alerts/f00/name").unwrap(), "Down\n");
    assert_eq!(mount.read("status/version").unwrap(), "0.25\n");
    assert_eq!(mount.read("status/config.yml").unwrap(), "");
    assert_eq!(mount.stat("silences/a-1").unwrap().modified, Some(1_767_312_000_000));
}

#[test]
fn an_object_in_an_object_is_asked_for_with_the_ids_that_its_requests_name() {
    let mount = mount(REDMINE, redmine());
    assert_eq!(mount.list("projects").unwrap(), ["ops", "web"]);
    assert_eq!(mount.list("projects/web").unwrap(), ["description", "issues", "name"]);
    mount.requests();
    assert_eq!(mount.list("projects/web/issues").unwrap(), ["7", "9"]);
    assert!(mount.requests().contains(&format!("GET {}", issues_of(2))));
    assert_eq!(mount.read("projects/web/issues/9/subject").unwrap(), "Slow\n");
    let journals = mount.read("projects/web/issues/7/journals.json").unwrap();
    assert!(journals.contains("seen"), "{journals}");
    // Its `get` names no project, so an issue that moves to another one stays what it was.
    assert_eq!(mount.stat("projects/web/issues/7").unwrap().id, "object/issue/7");
    assert_eq!(
        mount.stat("projects/web/issues").unwrap().id,
        "folder/projects%2F{project}%2Fissues/2"
    );
    assert_eq!(mount.stat("projects/web/issues/7/subject").unwrap().id, "file/issue/subject/7");
}

#[test]
fn a_name_that_the_service_does_not_know_is_no_file() {
    let mount = mount(REDMINE, redmine());
    let absent = |path: &str| assert!(matches!(mount.stat(path), Err(Error::NotFound)), "{path}");
    absent("projects/nobody");
    absent("projects/web/issues/8");
    absent("projects/web/issues/7/nothing");
    absent("elsewhere");
}

#[test]
fn an_object_that_is_answered_under_another_id_does_not_exist() {
    let other = json!({ "issue": issue(7, "Broken") }).to_string();
    let mount = mount(REDMINE, redmine().get("/issues/07.json?include=journals", other));
    assert!(matches!(mount.stat("projects/web/issues/07"), Err(Error::NotFound)));
}

#[test]
fn every_id_is_read_back_and_no_other() {
    declare(REDMINE).unwrap();
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    for (place, here) in spec().places.iter().enumerate().skip(1) {
        let keys = keys(&["a/b", "c#"][..here.keys.len()]);
        let mut ids = vec![Id::Place { place, keys: keys.clone() }];
        if here.object.is_some() {
            ids.push(Id::File { place, name: "subject".into(), keys });
        }
        for id in ids {
            assert_eq!(Id::decode(&id.encode()), Some(id.clone()), "{}", id.encode());
            assert_eq!(Id::decode(&format!("{}/x", id.encode())), None);
        }
    }
    for text in
        ["", "root/x", "object/nobody/1", "object/issue", "folder/issue/1", "file/issue/subject"]
    {
        assert_eq!(Id::decode(text), None, "{text}");
    }
}

#[test]
fn pages_are_followed_and_what_is_beyond_the_bound_is_said() {
    let file = "name = 'x'\nsummary = 'X'\nurl = 'https://x.example'\n[objects.a]\npath = 'all/{a}'\n\
                list = '/a'\npages = { by = 'page', size = 2, most = 3 }\nfiles = { id = '/id' }\n";
    let page = |ids: &[u64]| {
        json!(ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>()).to_string()
    };
    let upstream = Recorded::new()
        .get("/a", page(&[1, 2]))
        .get("/a?page=2", page(&[3, 4]))
        .get("/a?page=3", page(&[5]));
    let mount = mount(file, upstream.clone());
    assert_eq!(mount.list("all").unwrap(), ["1", "2", "3"]);
    assert_eq!(mount.requests(), ["GET /a", "GET /a?page=2"]);
    let partials = mount.partials();
    assert!(partials[0].2.contains("the first 3"), "{partials:?}");
    assert!(matches!(mount.stat("all/5"), Err(Error::Invalid(_))), "it is not known not to exist");
    let mount = self::mount(&file.replace("most = 3", "most = 50"), upstream);
    assert_eq!(mount.list("all").unwrap(), ["1", "2", "3", "4", "5"]);
    assert!(mount.partials().is_empty());
}

#[test]
fn a_cursor_leads_on_where_it_is_a_text_and_where_it_is_an_address() {
    let file = "name = 'x'\nsummary = 'X'\nurl = 'https://x.example'\n[objects.a]\npath = 'all/{a}'\n\
                list = '/a?of=all'\nitems = '/items'\npages = { cursor = '/next', parameter = 'after' }\n";
    let page = |ids: &[u64], next: serde_json::Value| {
        let items: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        json!({ "items": items, "next": next }).to_string()
    };
    for (next, asked) in [
        (json!("a b"), "/a?of=all&after=a%20b"),
        (json!(2), "/a?of=all&after=2"),
        (json!("https://x.example/a?after=x%2Fy&of=all"), "/a?after=x%2Fy&of=all"),
    ] {
        for end in [json!(null), json!("")] {
            let upstream = Recorded::new().get("/a?of=all", page(&[1, 2], next.clone()));
            let mount = mount(file, upstream.get(asked, page(&[3], end)));
            assert_eq!(mount.list("all").unwrap(), ["1", "2", "3"]);
            assert_eq!(mount.requests(), ["GET /a?of=all".to_owned(), format!("GET {asked}")]);
            assert!(mount.partials().is_empty());
        }
    }
    let circle = Recorded::new().get("/a?of=all", page(&[1], json!("x")));
    let circle = circle.get("/a?of=all&after=x", page(&[2], json!("x")));
    assert!(mount(file, circle).list("all").is_err(), "it leads in circles");
}

/// Answers in the form that MediaWiki's documentation gives.
#[test]
fn pages_of_a_wiki_are_listed_by_its_cursor() {
    let list = "/w/api.php?action=query&format=json&formatversion=2&list=allpages&aplimit=500";
    let page = |id: u64, title: &str| json!({ "pageid": id, "ns": 0, "title": title });
    let mount = mount(
        include_str!("../../specs/mediawiki.toml"),
        Recorded::new()
            .get(
                list,
                json!({ "continue": { "apcontinue": "B/b", "continue": "-||" },
                    "query": { "allpages": [page(1, "A page"), page(2, "A/a")] } })
                .to_string(),
            )
            .get(
                &format!("{list}&apcontinue=B%2Fb"),
                json!({ "batchcomplete": true, "query": { "allpages": [page(3, "B/b")] } }).to_string(),
            )
            .get(
                "/w/api.php?action=parse&format=json&formatversion=2&prop=wikitext&pageid=2",
                json!({ "parse": { "title": "A/a", "pageid": 2, "wikitext": "== Hello ==\nworld" } }).to_string(),
            ),
    );
    assert_eq!(mount.list("pages").unwrap(), ["A page", "A%2Fa", "B%2Fb"]);
    assert_eq!(mount.read("pages/A%2Fa/source/wikitext").unwrap(), "== Hello ==\nworld\n");
}

#[test]
fn an_answer_of_another_form_is_an_error_and_says_where() {
    let failed = |body: &str| {
        let upstream = Recorded::new().get(PROJECTS, body);
        let mount = mount(REDMINE, upstream);
        match mount.list("projects") {
            Err(Error::Invalid(why)) => why,
            other => panic!("{body}: {other:?}"),
        }
    };
    assert!(failed("[]").contains("no list at \"/projects\""));
    assert!(failed(r#"{"projects": {}}"#).contains("no list is at \"/projects\""));
    let odd = json!({ "projects": [{ "identifier": "nameless" }, project(1, "ops")] }).to_string();
    let mount = mount(REDMINE, Recorded::new().get(PROJECTS, odd));
    assert_eq!(mount.list("projects").unwrap(), ["ops"]);
    assert!(mount.partials()[0].2.contains("1 of 2 are left out"));
}

#[test]
fn every_file_that_ships_can_be_served() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../specs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.collect();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let read = declare(&std::fs::read_to_string(&file).unwrap());
        assert!(read.is_ok(), "{}: {read:?}", file.display());
        assert_eq!(
            spec().name,
            file.file_stem().unwrap().to_str().unwrap(),
            "it is added by this name"
        );
        assert!(!Declared::manifest().endpoints[0].allow.is_empty());
    }
}

#[test]
fn what_is_asked_for_is_what_the_file_names() {
    declare(REDMINE).unwrap();
    let manifest = Declared::manifest();
    let [endpoint] = manifest.endpoints else { panic!("one endpoint") };
    let rules: Vec<_> = endpoint.allow.iter().map(|rule| rule.path).collect();
    assert_eq!(rules, ["/issues.json", "/issues/*", "/projects.json"]);
    assert_eq!(
        (endpoint.default_url, endpoint.credentials),
        ("https://redmine.example.org", &["redmine"][..])
    );
    assert_eq!(manifest.credentials[0].environment, ["REDMINE_API_KEY"]);
    assert_eq!(manifest.guide[1].pattern, "projects/{project}/issues/{issue}/");
    assert_eq!(manifest.guide[1].example, "projects/1/issues/1/");
    assert!(manifest.guide.iter().all(|path| path.each_open));
}

#[test]
fn the_page_about_files_shows_the_one_that_is_tested() {
    let page = include_str!("../../../docs/providers/rest.md");
    assert!(
        page.contains(REDMINE),
        "docs/providers/rest.md does not have providers/specs/redmine.toml"
    );
    let declared =
        REDMINE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    assert!(declared <= 30, "{declared} lines");
}
