//! Of an instance with `allow`, nothing else exists.

use crate::World;
use omnifs_support::tools::{errno, list, read, shell};

const ENOENT: i32 = 2;

#[test]
fn what_is_not_allowed_is_not_there_and_costs_no_request() {
    let sections = "[instances.github]\nallow = ['acme/a*']\n\
                    [instances.linear]\nallow = ['teams/ENG/issues']\n";
    let Some(world) = World::new("allow", sections) else { return };
    let mounted = world.mount();
    let (github, linear) = (mounted.join("github"), mounted.join("linear"));
    let before = world.requests();
    for path in ["mira", "lars/anything", "acme-labs", "acme2/api"] {
        assert_eq!(errno(&github.join(path)), ENOENT, "{path}");
    }
    for path in ["users/priya/name", "projects", "my/assigned"] {
        assert_eq!(errno(&linear.join(path)), ENOENT, "{path}");
    }
    assert_eq!(world.requests(), before, "what cannot be there is not asked for");

    assert_eq!(list(&github).expect("list"), files_and(&["acme"]));
    assert_eq!(list(&github.join("acme")).expect("list"), ["api"]);
    assert_eq!(list(&linear).expect("list"), files_and(&["teams"]));
    assert_eq!(list(&linear.join("teams")).expect("list"), ["ENG"]);
    assert_eq!(list(&linear.join("teams/ENG")).expect("list"), ["issues"]);

    let title = "_issues/_open/2853/title";
    assert_eq!(read(&github.join("acme/api").join(title)), "Login fails after token refresh\n");
    for path in ["infra", "website/repo.json", "no-such-repository"] {
        assert_eq!(errno(&github.join("acme").join(path)), ENOENT, "{path}");
    }
    let asked: Vec<_> = world.demo.requests().iter().map(|request| request.path.clone()).collect();
    assert!(
        !asked.iter().any(|path| path.contains("infra") || path.contains("mira")),
        "{asked:#?}"
    );
    assert!(shell(&linear, "ls teams/ENG/issues/_open").contains("ENG-204"));
    assert!(read(&github.join("AGENTS.md")).contains("all there is: acme/a*"));
}

/// A listing of an instance: the host's own files, and these.
fn files_and(names: &[&str]) -> Vec<String> {
    let own = [".gitignore", ".ignore", ".rgignore", "AGENTS.md", "README.md"];
    own.iter().chain(names).map(|name| (*name).to_owned()).collect()
}

#[test]
fn an_empty_list_allows_nothing_and_a_wrong_one_is_a_mistake() {
    let Some(world) = World::new("allow_none", "[instances.github]\nallow = []\n") else { return };
    let mounted = world.mount();
    assert_eq!(list(&mounted.join("github")).expect("list"), files_and(&[]));
    assert!(mounted.unmount());
    world.omnifs.config("[instances.github]\nallow = ['../x']\n").expect("a configuration");
    let ran = world.omnifs.run(&["config", "check"]).expect("run");
    assert!(!ran.status.success() && ran.stderr.contains("allow"), "{}{}", ran.stdout, ran.stderr);
}
