//! The host's own files in a mount.

use crate::World;
use omnifs_support::tools::{errno, list, read, shell};
use omnifs_support::{component, home, program, provider, skip};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// Bytes of a text that a program reads before it begins.
const MOST: usize = 2048;

const EROFS: i32 = 30;
const ENOENT: i32 = 2;

#[test]
fn the_texts_of_a_mount_are_short_cost_no_request_and_stay_the_same() {
    let Some(world) = World::new("texts", "") else { return };
    let inodes = || {
        let mounted = world.mount();
        let before = world.requests();
        let paths = ["", "github/", "linear/"]
            .map(|at| ["README.md", "AGENTS.md"].map(|name| mounted.join(&format!("{at}{name}"))));
        let mut inodes = Vec::new();
        for path in paths.as_flattened() {
            let text = read(path);
            assert!((200..=MOST).contains(&text.len()), "{}: {}", path.display(), text.len());
            assert!(omnifs_text(&text), "{}: {text}", path.display());
            let stat = fs::metadata(path).expect("stat");
            assert_eq!((stat.len(), stat.mode() & 0o777), (text.len() as u64, 0o444));
            let error = fs::write(path, "x").expect_err("read-only");
            assert_eq!(error.raw_os_error(), Some(EROFS), "{}", path.display());
            inodes.push(stat.ino());
        }
        assert_eq!(world.requests(), before);
        inodes
    };
    let first = inodes();
    assert_eq!(first, inodes(), "after another mount");
    let mut unique = first.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), first.len());
}

/// Nothing in it is hidden but the ends of its lines.
fn omnifs_text(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control()) && text.ends_with('\n')
}

#[test]
fn what_is_so_at_the_moment_opens_by_its_name_and_no_walk_meets_it() {
    let Some(world) = World::new("reports", "") else { return };
    let mounted = world.mount();
    let linear = mounted.join("linear");
    let requests = || {
        let status = read(&linear.join(".omnifs/status"));
        let line = status.lines().find(|line| line.starts_with("requests to the service"));
        let line = line.unwrap_or_else(|| panic!("{status}")).to_owned();
        assert!(status.contains("grep -r, which honours no .ignore, costs"), "{status}");
        assert!(!status.contains("github"), "of this instance alone: {status}");
        line
    };
    assert_eq!(list(&linear.join(".omnifs")).expect("list"), ["errors", "manifest.json", "status"]);
    let before = requests();
    assert_eq!(requests(), before, "it costs none itself");
    read(&linear.join("teams/ENG/issues/_open/ENG-204/title"));
    assert_ne!(requests(), before);
    let names = list(&linear).expect("list");
    assert!(!names.iter().any(|name| name == ".omnifs"), "{names:?}");
    assert_eq!(shell(&linear, "find . -maxdepth 1 -name '.omnifs*'"), "");
    assert_eq!(errno(&linear.join(".omnifs-else")), ENOENT);
    assert_eq!(errno(&linear.join(".omnifs/else")), ENOENT);
    // Elsewhere these names are the service's.
    assert_eq!(errno(&linear.join("teams/.omnifs/status")), ENOENT);
    assert_eq!(errno(&linear.join("teams/AGENTS.md")), ENOENT);
}

#[test]
fn the_manifest_of_an_instance_says_what_its_component_may_do_and_where_its_token_goes() {
    let Some(world) = World::new("manifest", "") else { return };
    let mounted = world.mount();
    let before = world.requests();
    let manifest = |instance: &str| -> Value {
        let text = read(&mounted.join(&format!("{instance}/.omnifs/manifest.json")));
        serde_json::from_str(&text).expect("JSON")
    };
    let linear = manifest("linear");
    let [endpoint] = &linear["endpoints"].as_array().expect("a list")[..] else {
        panic!("{linear:#}");
    };
    assert_eq!(endpoint["default_url"], "https://api.linear.app");
    assert_eq!(endpoint["allow"].as_array().map(Vec::len), Some(1), "{endpoint:#}");
    assert_eq!(endpoint["allow"][0][1], "/graphql", "one request and no other");
    assert_eq!(endpoint["credentials"][0], "linear");
    let github = manifest("github");
    assert!(github["credentials"][0]["environment"].to_string().contains("GITHUB_TOKEN"));
    assert_eq!(world.requests(), before, "nobody is asked for it");
}

#[test]
fn errors_say_why_a_path_failed_and_what_to_do() {
    let Some(omnifs) = home("errors") else { return };
    // Nobody listens there.
    let config = "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
                  [instances.github.endpoints.api]\nurl = 'http://127.0.0.1:9'\n";
    omnifs.config(config).expect("a configuration");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let github = mounted.join("github");
    assert_eq!(read(&github.join(".omnifs/errors")), "", "nothing has failed");
    assert!(fs::metadata(github.join("acme")).is_err());
    let errors = read(&github.join(".omnifs/errors"));
    let (first, second) = errors.split_once('\n').expect("two lines");
    assert!(first.ends_with(" github/acme: EIO (unavailable)"), "{errors}");
    assert!(second.contains("127.0.0.1:9") && second.trim().len() > 20, "{errors}");
    // Neither a failure nor a service that is away takes the texts.
    assert!(read(&github.join("README.md")).contains("_issues"));
    assert!(list(&github).is_err(), "a listing that lacks everything would be a lie");
}

#[test]
fn an_instance_that_cannot_run_says_so_in_its_directory() {
    let Some(omnifs) = home("broken") else { return };
    // Nobody has approved it.
    let directory = omnifs.path("data/omnifs/providers");
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(component("hello"), directory.join("hello.wasm")).expect("copy");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let status = read(&mounted.join("hello/.omnifs/status"));
    assert!(status.contains("problem: ") && status.contains("omnifs providers add"), "{status}");
    assert!(read(&mounted.join("hello/README.md")).contains(".omnifs/status"));
    assert!(list(&mounted.join("hello")).is_err());
    assert_eq!(list(&mounted.join("hello/.omnifs")).expect("list"), ["errors", "status"]);
}

#[test]
fn a_refresh_and_a_listing_leave_the_texts_as_they_are() {
    let Some(omnifs) = home("refresh") else { return };
    let mounted = omnifs.mount(&provider("hello")).expect("mount");
    let names = || list(&mounted.join("hello")).expect("list");
    let before = names();
    assert!(before.iter().any(|name| name == "README.md"), "{before:?}");
    assert!(before.iter().any(|name| name == "hello.txt"), "{before:?}");
    let texts =
        || ["README.md", "hello/README.md", "hello/hello.txt"].map(|p| read(&mounted.join(p)));
    let first = texts();
    for path in [mounted.path().to_owned(), mounted.join("hello"), mounted.join("README.md")] {
        let ran = omnifs.run(&["refresh", &path.to_string_lossy()]).expect("run");
        assert!(ran.status.success(), "{}", ran.stderr);
        assert_eq!(texts(), first, "{}", path.display());
        assert_eq!(names(), before);
    }
}

#[test]
fn a_search_meets_each_object_once_and_asks_for_nothing_that_is_costly() {
    if program("rg").is_none() {
        return skip("rg", "rg is missing: apt-get install ripgrep");
    }
    let Some(world) = World::new("search", "") else { return };
    let mounted = world.mount();
    let linear = mounted.join("linear");
    let found = shell(&linear, "rg -l 'Rotate auth tokens' teams projects my | sort");
    let titles: Vec<_> = found.lines().filter(|line| line.ends_with("/title")).collect();
    assert_eq!(titles, ["teams/ENG/issues/_all/ENG-204/title"], "{found}");
    let all = shell(&linear, "rg -uu -l 'Rotate auth tokens' teams my | grep -c /title");
    assert!(all.parse::<usize>().expect("a number") > 2, "{all}");
    // A search that begins in what is passed over enters it.
    let open = shell(&linear, "rg -l 'Rotate auth tokens' teams/ENG/issues/_open | grep -c /title");
    assert_eq!(open, "1");

    let repo = mounted.join("github/acme/api");
    shell(&repo, "rg -c . > /dev/null");
    let asked = world.demo.requests();
    for costly in ["/git/blobs/", "/git/trees/", "/logs", "/jobs", "/releases/assets/"] {
        let asked: Vec<_> = asked.iter().filter(|request| request.path.contains(costly)).collect();
        assert!(asked.is_empty(), "{costly}: {asked:#?}");
    }
}
