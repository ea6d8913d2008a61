//! `omnifs auth login`: whose a token is, what it lacks, and where it is kept.

use super::*;
use omnifs_support::{tied, wait_until};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_token_is_asked_about_and_kept_in_a_file_of_mode_0600_where_there_is_no_keyring() {
    let world = World::placed();
    let (code, said) =
        world.said(&["auth", "login", "github", "--token-file", &world.token_file(TOKEN)]);
    let kept = world.kept();
    assert_eq!((code, kept.len()), (0, 1), "{said}");
    let shown = kept[0].display().to_string();
    assert!(said.contains(&format!("kept github for github in {shown}, of mira\n")), "{said}");
    assert_eq!((mode(&kept[0]), mode(kept[0].parent().expect("a directory"))), (0o600, 0o700));
    assert_eq!(fs::read_to_string(&kept[0]).expect("it is there"), format!("{TOKEN}\n"));
    assert_eq!(
        world.config(),
        format!("{}credential-file = \"{shown}\"\n", world.placing()),
        "nothing else has changed"
    );
    let (code, said) = world.said(&["auth", "status", "github"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("github from file {shown}, of mira\n")), "{said}");

    // What was closed to others stays closed, also if somebody has opened it in between.
    fs::set_permissions(&kept[0], fs::Permissions::from_mode(0o644)).expect("mode");
    world.said(&["auth", "login", "github", "--token-file", &world.token_file(OTHER)]);
    assert_eq!((world.kept(), mode(&kept[0])), (kept.clone(), 0o600));

    // To whom asks for it, and to nobody else.
    let ran = world.run(&["auth", "token", "github"]);
    assert_eq!((ran.stdout, ran.stderr), (format!("{OTHER}\n"), String::new()));

    let (code, said) = world.said(&["auth", "logout", "github"]);
    assert_eq!((code, world.kept().len()), (0, 0), "{said}");
    assert_eq!(world.config(), world.placing());
    let (code, said) = world.said(&["auth", "token", "github"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("hint: run `omnifs auth login github`"), "{said}");
}

/// As what the keyring holds for one place is not sent to another.
#[test]
fn a_token_that_a_login_has_put_into_a_file_does_not_follow_an_endpoint_that_moves() {
    let world = World::placed();
    let (code, said) =
        world.said(&["auth", "login", "github", "--token-file", &world.token_file(TOKEN)]);
    assert_eq!((code, world.kept().len()), (0, 1), "{said}");
    let other = GithubTwin::start(GithubSetup::default()).expect("a twin");
    let moved = world.config().replace(world.twin.url(), other.url());
    world.omnifs.config(&moved).expect("a configuration");
    let (code, said) = world.said(&["auth", "status", "github"]);
    assert!(code == 1 && said.contains("missing"), "{said}");
    world.said(&["setup", "--dry-run", "--with", "github"]);
    let sent = other.requests().into_iter().filter(|request| request.credential.is_some());
    assert_eq!(sent.count(), 0, "the other place is sent nothing");
    // Back where it was, it is good again.
    world.omnifs.config(&moved.replace(other.url(), world.twin.url())).expect("a configuration");
    let (code, said) = world.said(&["auth", "status", "github"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_token_that_the_service_refuses_is_said_at_once_and_not_kept() {
    let world = World::placed();
    world.twin.set_tokens(&["another"]);
    let before = world.everything();
    let file = world.token_file(TOKEN);
    let (code, said) = world.said(&["auth", "login", "github", "--token-file", &file]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("github does not accept this token; it is not kept"), "{said}");
    assert!(world.kept().is_empty() && world.config() == world.placing(), "{before:?}");

    // A service that is away says nothing of it.
    world.twin.stop();
    let (code, said) = world.said(&["auth", "login", "github", "--token-file", &file]);
    assert_eq!((code, world.kept().len()), (1, 0), "{said}");
    assert!(said.contains("could not be asked") && said.contains("--unchecked"), "{said}");
    let unchecked = ["auth", "login", "github", "--token-file", &file, "--unchecked"];
    let (code, said) = world.said(&unchecked);
    assert_eq!((code, world.kept().len()), (0, 1), "{said}");
    assert!(said.contains("warning: the service was not asked about it"), "{said}");
}

#[test]
fn what_a_token_lacks_is_said_when_it_is_kept_and_makes_the_status_fail() {
    let world = World::placed();
    world.twin.set_scopes(&["gist", "repo"]);
    let (code, said) =
        world.said(&["auth", "login", "github", "--token-file", &world.token_file(TOKEN)]);
    assert_eq!(code, 0, "{said}");
    let lacks = "it lacks read:org: organisations whose members are not public\n";
    assert!(said.contains(&format!("warning: {lacks}")), "{said}");
    let (code, said) = world.said(&["auth", "status"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(lacks), "{said}");
    let json = world.run(&["auth", "status", "github", "--json"]);
    assert_eq!(json.status.code(), Some(1));
    let rows: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let credential = &rows[0]["credentials"][0];
    assert_eq!((&credential["owner"], &credential["state"]), (&"mira".into(), &"accepted".into()));
    let lacks = &credential["lacks"];
    assert_eq!(lacks, &serde_json::json!(["read:org: organisations whose members are not public"]));
    // A scope that holds another one is as good.
    world.twin.set_scopes(&["admin:org", "repo"]);
    let (code, said) = world.said(&["auth", "status", "github"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("lacks"), "{said}");
}

#[test]
fn the_device_flow_with_ones_own_application_brings_a_token_of_the_place_where_the_endpoint_is() {
    for in_configuration in [false, true] {
        let world = World::placed();
        let flag = ["--client-id", "my-application"];
        if in_configuration {
            let text = format!("{}client-id = 'my-application'\n", world.placing());
            world.omnifs.config(&text).expect("a configuration");
        }
        let out = world.omnifs.path("out");
        let output = fs::File::create(&out).expect("a file");
        let mut command = world.omnifs.command();
        command.args(["auth", "login", "github"]);
        command.args(flag.iter().filter(|_| !in_configuration));
        command.stdout(output.try_clone().expect("a file")).stderr(output).stdin(Stdio::null());
        let mut login = tied::spawn(command).expect("omnifs auth login");
        let said = || fs::read_to_string(&out).unwrap_or_default();
        let shown = wait_until(SOON, || said().contains("WDJB-MJHT").then_some(()));
        assert!(shown.is_some(), "{}", said());
        assert!(said().contains(&format!("open in a browser: {}/login/device", world.twin.url())));
        assert!(world.kept().is_empty(), "nobody has approved yet");
        world.twin.approve_device("gho_deviceSECRET0003");
        let ended = tied::wait(&mut login, SOON);
        assert!(ended.is_some_and(|status| status.success()), "{}", said());
        assert!(said().contains(", of mira\n") && !said().contains(PART), "{}", said());
        assert_eq!(
            world.run(&["auth", "token", "github"]).stdout,
            "gho_deviceSECRET0003\n",
            "what the twin has issued"
        );
    }
}

#[test]
fn nothing_is_asked_of_the_service_where_the_token_could_not_be_kept() {
    let world = World::placed();
    fs::create_dir_all(world.omnifs.path("data/omnifs")).expect("a directory");
    fs::write(world.omnifs.path("data/omnifs/secrets"), "in the way").expect("a file");
    let file = world.token_file(TOKEN);
    for login in [["--client-id", "x"], ["--token-file", &file]] {
        let (code, said) = world.said(&[&["auth", "login", "github"][..], &login[..]].concat());
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("data/omnifs/secrets"), "{said}");
    }
    assert!(!world.twin.device_login() && world.twin.requests().is_empty());
}

#[test]
fn a_file_of_the_users_own_is_not_overwritten() {
    let world = World::placed();
    let own = world.token_file(OTHER);
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).expect("mode");
    let text = format!("{}credential-file = '{own}'\n", world.placing());
    world.omnifs.config(&text).expect("a configuration");
    let next = world.omnifs.path("next");
    fs::write(&next, TOKEN).expect("a file");
    let login = ["auth", "login", "github", "--token-file", next.to_str().expect("UTF-8")];
    let (code, said) = world.said(&login);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("the configuration names {own} for it")), "{said}");
    assert_eq!(fs::read_to_string(&own).expect("it is there"), format!("{OTHER}\n"));
    assert_eq!(world.config(), text);
}

#[test]
fn several_accounts_are_several_instances_each_with_its_own_token() {
    let world = World::placed();
    let login = |instance: &str, token: &str, more: &[&str]| {
        let file = world.token_file(token);
        let all = [&["auth", "login", instance, "--token-file", &file][..], more].concat();
        world.said(&all)
    };
    assert_eq!(login("github", TOKEN, &[]).0, 0);
    let of = ["--provider", "github", "--url", world.twin.url()];
    let (code, said) = login("work", OTHER, &of);
    assert_eq!(code, 0, "{said}");
    let (code, said) = login("work", OTHER, &of);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is an instance 'work' already"), "{said}");
    assert_eq!(world.kept().len(), 2);
    for (instance, token) in [("github", TOKEN), ("work", OTHER)] {
        assert_eq!(world.run(&["auth", "token", instance]).stdout, format!("{token}\n"));
    }
    assert!(world.config().contains("[instances.work]\nprovider = \"github\"\n"));
}

#[test]
fn without_a_terminal_the_page_for_a_token_is_named() {
    // Elsewhere than at the service itself the manifest's page would be the wrong one.
    let world = World::placed();
    let (code, said) = world.said(&["auth", "login", "github"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(&format!("make one at {}\n", world.twin.url())), "{said}");
    let (code, said) = World::new().said(&["auth", "login", "github"]);
    assert_eq!(code, 2, "{said}");
    let page = "https://github.com/settings/tokens/new?scopes=repo,read:org&description=omnifs";
    assert!(said.contains(&format!("make one at {page}\n")), "{said}");
}
