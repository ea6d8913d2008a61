//! A token of the environment goes to the service itself, and what is wrong with a token shows where a
//! user looks.

use crate::{From, GITHUB, LINEAR, PART, SOON, World};
use omnifs_support::tools::errno;
use omnifs_support::{Mounted, Ran, wait_until};
use omnifs_twins::{Fault, Times, credential_hash};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

/// The configuration that [`World::config`] writes, without any file.
fn moved(test: &str) -> Option<World> {
    let world = World::new(test, From::Environment)?;
    let omnifs = world.omnifs.env("GH_ENTERPRISE_TOKEN", "");
    let omnifs = omnifs.env("GITHUB_TOKEN", GITHUB).env("LINEAR_API_KEY", LINEAR);
    let world = World { omnifs, ..world };
    world.config(["", ""]);
    Some(world)
}

/// What is said before the mount, one line for each instance.
fn warnings(mounted: &Mounted<'_>) -> Vec<String> {
    let log = mounted.log();
    log.lines().filter_map(|line| line.strip_prefix("warning: ").map(str::to_owned)).collect()
}

fn json(ran: &Ran) -> Vec<Value> {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

#[test]
fn a_token_of_the_environment_reaches_no_server_that_the_configuration_names() {
    let Some(world) = moved("moved") else { return };
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    for path in
        ["github/acme/api/_issues/_open/2853/title", "linear/teams/ENG/issues/_open/ENG-204/state"]
    {
        assert_eq!(errno(&mounted.join(path)), 13, "{path}");
    }
    let github = world.github.requests();
    let linear = world.linear.requests();
    assert!(!github.is_empty() && !linear.is_empty(), "both were asked, without a token");
    for request in github.iter().chain(&linear) {
        assert_eq!(request.credential, None, "{}", request.line());
        assert!(!format!("{:?}", request.headers).contains(PART), "{}", request.line());
    }
    let at = |url: &str| format!("is not used: the endpoint api is at {url}");
    let said = warnings(&mounted);
    assert_eq!(said.len(), 2, "{said:?}");
    for (line, parts) in said.iter().zip([
        ["github: credential github is missing: GITHUB_TOKEN ", "GH_ENTERPRISE_TOKEN"],
        ["linear: credential linear is missing: LINEAR_API_KEY ", "credential-file"],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    assert!(said[0].contains(&at(world.github.url())), "{said:?}");
    assert!(said[1].contains(&at(world.linear.url())), "{said:?}");
    let status = world.omnifs.run(&["auth", "status", "github"]).expect("auth status");
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    assert!(status.stdout.contains(&at(world.github.url())), "{status:?}");
    let info = world.omnifs.run(&["providers", "info", "github"]).expect("info");
    let here =
        format!("GITHUB_TOKEN, GH_TOKEN not used: the endpoint api is at {}", world.github.url());
    assert!(info.stdout.contains(&here), "{info:?}");
    let detail = mounted.status().expect("status")["errors"].to_string();
    assert!(detail.contains("GITHUB_TOKEN is not used"), "{detail}");
}

#[test]
fn a_login_in_the_browser_is_refused_where_its_token_would_go_to_another_server() {
    let Some(world) = moved("login") else { return };
    let ran = world.omnifs.run(&["auth", "login", "linear", "--client-id", "x"]).expect("login");
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(ran.stderr.contains("the endpoint api is at http://127.0.0.1:"), "{ran:?}");
    assert!(ran.stderr.contains("--with-token"), "{ran:?}");
    assert!(world.linear.requests().is_empty(), "nothing was asked");
}

#[test]
fn auth_status_asks_the_service_whose_a_token_is() {
    let Some(world) = World::new("whose", From::Files) else { return };
    let ran = world.omnifs.run(&["auth", "status"]).expect("auth status");
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(ran.stdout.contains("github-token, of mira\n"), "{ran:?}");
    let rows = json(&world.omnifs.run(&["auth", "status", "--json"]).expect("auth status"));
    let row = |name: &str| {
        let found = rows.iter().find(|row| row["provider"] == name);
        found.unwrap_or_else(|| panic!("{rows:?}"))["credentials"][0].clone()
    };
    assert_eq!(
        (&row("github")["owner"], &row("github")["state"]),
        (&"mira".into(), &"accepted".into())
    );
    assert_eq!(row("linear")["state"], "accepted");
    assert!(row("linear")["owner"].as_str().is_some_and(|owner| !owner.is_empty()), "{rows:?}");
    let own = credential_hash(GITHUB);
    let requests = world.github.requests();
    assert!(requests.iter().all(|r| r.path == "/user" && r.credential.as_ref() == Some(&own)));

    world.github.set_tokens(&["another"]);
    let ran = world.omnifs.run(&["auth", "status", "github"]).expect("auth status");
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(ran.stdout.contains("github-token is refused\n"), "{ran:?}");
    assert!(ran.stdout.contains("write another one into"), "{ran:?}");
    fs::remove_file(world.token_file("github-token")).expect("remove");
    let ran = world.omnifs.run(&["auth", "status", "github", "--json"]).expect("auth status");
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert_eq!(json(&ran)[0]["credentials"][0]["state"], "unusable");
    // A service that is away says nothing about the token.
    world.linear.stop();
    let ran = world.omnifs.run(&["auth", "status", "linear", "--json"]).expect("auth status");
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(json(&ran)[0]["credentials"][0]["state"], "unknown");
}

#[test]
fn a_mount_names_a_refused_token_and_its_status_follows_what_becomes_of_it() {
    let Some(world) = World::new("refused-at-mount", From::Files) else { return };
    world.github.set_tokens(&["another"]);
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let said = warnings(&mounted);
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["github: credential github from file ", "is refused", "write another one into"] {
        assert!(said[0].contains(part), "{part}: {said:?}");
    }
    let state = |provider: &str| {
        let status = mounted.status().expect("status");
        let providers = status["providers"].as_array().expect("providers").clone();
        let row = providers.into_iter().find(|row| row["name"] == provider).expect("a row");
        row["credentials"][0].clone()
    };
    assert_eq!(state("github")["state"], "refused");
    assert_eq!(state("linear")["state"], "accepted");
    world.github.set_tokens(&[GITHUB]);
    let title = mounted.join("github/acme/api/_issues/_open/2853/title");
    assert!(wait_until(SOON, || fs::read_to_string(&title).ok()).is_some());
    assert_eq!(state("github")["state"], "accepted");
}

#[test]
fn a_service_that_does_not_say_whose_a_token_is_holds_no_mount_up() {
    let Some(world) = World::new("slow", From::Files) else { return };
    // Without the time that components take to compile.
    drop(world.omnifs.mount::<&str>(&[]).expect("mount"));
    let quick = Instant::now();
    drop(world.omnifs.mount::<&str>(&[]).expect("mount"));
    let quick = quick.elapsed();
    world.github.inject(Fault::Slow(Duration::from_secs(300)), "/user", Times::UntilCleared);
    world.linear.inject(Fault::Slow(Duration::from_secs(300)), "/graphql", Times::UntilCleared);
    let began = Instant::now();
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let slow = began.elapsed();
    assert!(slow < quick + Duration::from_secs(60), "{slow:?} in place of {quick:?}");
    assert_eq!(warnings(&mounted), Vec::<String>::new());
}
