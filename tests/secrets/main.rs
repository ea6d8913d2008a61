//! A token never appears in anything the program writes, and never crosses an origin.
//!
//! Each test gives the program a token of its own that is found nowhere by chance, makes it work
//! and fail in every way, and then searches everything that it has written.

#![cfg(target_os = "linux")]

mod places;
mod process;

use omnifs_support::tools::{errno, read, shell};
use omnifs_support::{Mounted, Omnifs, skip, wait_until};
use omnifs_twins::{Fault, GithubSetup, GithubTwin, LinearSetup, LinearTwin, Times};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const GITHUB: &str = "ghp_e2eSECRETe2eSECRETe2eSECRETe2e0001";
const LINEAR: &str = "lin_api_e2eSECRETe2eSECRETe2eSECRET0002";
/// What both have, whatever part of them was written.
const PART: &str = "e2eSECRET";

/// Both twins, which take these tokens and no other, and a home.
struct World {
    github: GithubTwin,
    linear: LinearTwin,
    omnifs: Omnifs,
}

/// Where the tokens come from.
#[derive(Clone, Copy)]
enum From {
    Environment,
    Files,
}

impl World {
    fn new(test: &str, from: From) -> Option<World> {
        if let Some(reason) = Omnifs::unavailable() {
            skip(test, &reason);
            return None;
        }
        let tokens = vec![GITHUB.to_owned()];
        let github = GithubTwin::start(GithubSetup { tokens, ..GithubSetup::default() });
        let tokens = vec![LINEAR.to_owned()];
        let linear = LinearTwin::start(LinearSetup { tokens, ..LinearSetup::default() });
        let (github, linear) = (github.expect("a twin"), linear.expect("a twin"));
        let omnifs = Omnifs::new().expect("a home").env("OMNIFS_LOG", "trace");
        let omnifs = omnifs.env("OMNIFS_POLL_MS", "200");
        // Linear has no variable for another place than its own.
        let linear_file = "credential-file = 'linear-token'\n";
        let (omnifs, files) = match from {
            From::Environment => (omnifs.env("GH_ENTERPRISE_TOKEN", GITHUB), ["", linear_file]),
            From::Files => (omnifs, ["credential-file = 'github-token'\n", linear_file]),
        };
        let world = World { github, linear, omnifs };
        world.config(files);
        if let From::Files = from {
            world.write_token("github-token", GITHUB);
        }
        world.write_token("linear-token", LINEAR);
        Some(world)
    }

    fn config(&self, files: [&str; 2]) {
        let toml = format!(
            "[instances.docker]\nenabled = false\n\
             [instances.github]\n{}[instances.github.endpoints.api]\nurl = '{}'\n\
             redirect-hosts = ['{}']\n[instances.linear]\n{}[instances.linear.endpoints]\napi = '{}'\n",
            files[0],
            self.github.url(),
            self.github.storage_url(),
            files[1],
            self.linear.url(),
        );
        self.omnifs.config(&toml).expect("a configuration");
    }

    fn token_file(&self, name: &str) -> PathBuf {
        self.omnifs.path("config/omnifs").join(name)
    }

    fn write_token(&self, name: &str, token: &str) {
        let file = self.token_file(name);
        fs::write(&file, format!("{token}\n")).expect("a token file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
    }
}

fn used(mounted: &Mounted<'_>) {
    let root = mounted.path();
    shell(
        root,
        "cat github/acme/api/_issues/_open/2853/title linear/teams/ENG/issues/_open/ENG-204/state",
    );
    shell(
        root,
        "cat github/acme/api/_actions/runs/9801/log github/acme/api/_releases/v1.8.0/assets/*",
    );
    shell(root, "grep -r token github/acme/api/_issues linear/teams > /dev/null");
}

/// Every file below `directory`, the mount itself aside.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("list").map(|entry| entry.expect("an entry")) {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && entry.file_name() != "mnt" {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn without_token(what: &str, bytes: &[u8]) {
    let found = bytes.windows(PART.len()).position(|part| part == PART.as_bytes());
    if let Some(at) = found {
        let shown =
            String::from_utf8_lossy(&bytes[at.saturating_sub(80)..(at + 20).min(bytes.len())]);
        panic!("{what} holds a token: ...{shown}");
    }
}

/// Searches every file of the home but the ones that hold the tokens, everything that the commands
/// print, and what the system shows of the daemon to others.
fn nothing_is_written(world: &World, mounted: &Mounted<'_>) {
    let point = mounted.path().to_str().expect("UTF-8");
    for args in [
        &["status"][..],
        &["status", point],
        &["status", point, "--json"],
        &["logs", point],
        &["config", "show"],
        &["config", "check"],
        &["auth", "status"],
        &["auth", "status", "github"],
        &["providers", "list"],
        &["providers", "info", "github"],
        &["doctor"],
    ] {
        let ran = world.omnifs.run(args).expect("a command");
        without_token(&format!("omnifs {} on stdout", args.join(" ")), ran.stdout.as_bytes());
        without_token(&format!("omnifs {} on stderr", args.join(" ")), ran.stderr.as_bytes());
    }
    without_token("what the daemon printed", mounted.log().as_bytes());
    let mut all = Vec::new();
    files(&world.omnifs.path(""), &mut all);
    let secret = [world.token_file("github-token"), world.token_file("linear-token")];
    let (mut logs, mut records) = (0, 0);
    for file in all.iter().filter(|file| !secret.contains(file)) {
        let path = file.to_string_lossy();
        logs += u32::from(path.contains("/logs/"));
        records += u32::from(path.contains("/mounts/"));
        without_token(&path, &fs::read(file).unwrap_or_default());
    }
    assert!(logs > 0 && records > 0, "the log and the record were searched: {all:?}");
    for part in ["cmdline", "comm", "status", "mountinfo"] {
        let bytes = fs::read(format!("/proc/{}/{part}", mounted.pid())).expect(part);
        without_token(&format!("/proc/PID/{part}"), &bytes);
    }
}

#[test]
fn tokens_of_the_environment_are_in_nothing_that_is_written() {
    let Some(world) = World::new("environment", From::Environment) else { return };
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    used(&mounted);
    let requests = world.github.requests();
    assert!(requests.len() > 10 && requests.iter().any(|request| request.server == "storage"));
    nothing_is_written(&world, &mounted);
}

#[test]
fn tokens_of_files_are_in_nothing_that_is_written() {
    let Some(world) = World::new("files", From::Files) else { return };
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    used(&mounted);
    nothing_is_written(&world, &mounted);
}

#[test]
fn tokens_are_in_no_error_whatever_fails() {
    let Some(world) = World::new("errors", From::Environment) else { return };
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let open = mounted.join("github/acme/api/_issues/_open");
    assert!(open.is_dir());
    let faults = [
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(500),
        Fault::Truncated,
        Fault::Reset,
        Fault::MalformedJson,
        Fault::WrongContentType,
    ];
    for (number, fault) in [2853, 2849, 2846, 2841, 2838].iter().cycle().zip(faults) {
        world.github.inject(fault, "*/issues/*", Times::UntilCleared);
        world.linear.inject(fault, "/graphql", Times::UntilCleared);
        for path in [
            mounted.join(&format!("github/acme/api/_issues/_open/{number}/title")),
            mounted.join(&format!("linear/teams/ENG/issues/_open/ENG-{number}/title")),
        ] {
            errno(&path);
        }
        world.github.clear_faults();
        world.linear.clear_faults();
    }
    world.github.inject(Fault::TooMany { retry_after: 1 }, "*", Times::Next(1));
    world.github.stop();
    world.linear.stop();
    errno(&open.join("2853/title"));
    nothing_is_written(&world, &mounted);
}

#[test]
fn a_refused_token_names_its_source_and_the_remedy_and_not_itself() {
    let Some(world) = World::new("refused", From::Files) else { return };
    world.github.set_tokens(&["another"]);
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    let title = mounted.join("github/acme/api/_issues/_open/2853/title");
    assert_eq!(errno(&title), 13);
    let status = mounted.status().expect("status");
    let detail = status["errors"][0]["detail"].as_str().expect("detail");
    for part in ["401", "\"github\"", "github-token"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    nothing_is_written(&world, &mounted);
    // The file is read again when it changes.
    world.github.set_tokens(&["another-e2eSECRET-token"]);
    world.write_token("github-token", "another-e2eSECRET-token");
    let recovered = wait_until(SOON, || fs::read_to_string(&title).ok());
    assert_eq!(recovered.as_deref(), Some("Login fails after token refresh\n"));
    nothing_is_written(&world, &mounted);
}

#[test]
fn a_token_file_that_others_can_read_is_refused() {
    let Some(world) = World::new("exposed", From::Files) else { return };
    let file = world.token_file("github-token");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("mode");
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    assert_eq!(errno(&mounted.join("github/acme/api/_issues/_open/2853/title")), 13);
    assert_eq!(world.github.requests().len(), 0, "nothing was asked without it");
    let status = mounted.status().expect("status");
    let detail = status["errors"][0]["detail"].as_str().expect("detail");
    assert!(detail.contains("github-token") && detail.contains("chmod"), "{detail}");
    nothing_is_written(&world, &mounted);
}

#[test]
fn the_token_goes_to_its_own_origin_and_to_no_other() {
    let Some(world) = World::new("origin", From::Environment) else { return };
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    used(&mounted);
    // A renamed repository answers with a redirect within the origin, which keeps the token.
    world.github.rename_repo("acme/infra", "ground").expect("rename");
    assert_eq!(
        read(&mounted.join("github/acme/infra/_issues/_open/1/title")),
        "Say in the README how to start\n"
    );
    let own = omnifs_twins::credential_hash(GITHUB);
    let (mut api, mut storage) = (0, 0);
    for request in world.github.requests() {
        match request.server {
            "storage" => {
                storage += 1;
                assert_eq!(request.credential, None, "{}", request.line());
                assert!([200, 206].contains(&request.status), "{}", request.line());
                let sent = format!("{:?} {:?}", request.headers, request.query);
                without_token(&request.line(), sent.as_bytes());
            }
            _ => {
                api += 1;
                assert_eq!(request.credential.as_ref(), Some(&own), "{}", request.line());
            }
        }
    }
    assert!(api > 10 && storage >= 4, "{api} requests to the API, {storage} downloads");
    let own = omnifs_twins::credential_hash(LINEAR);
    let requests = world.linear.requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.credential.as_ref() == Some(&own)));
}
