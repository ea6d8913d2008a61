//! `omnifs setup` without a terminal.

use super::*;

#[test]
fn with_a_token_file_two_commands_lead_from_nothing_to_a_mount() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("two_commands", &reason);
    }
    let world = World::new();
    assert!(world.config().is_empty());
    let (url, file) = (format!("github={}", world.twin.url()), world.token_file(TOKEN));
    let point = world.omnifs.mount_point().to_str().expect("UTF-8").to_owned();

    let (code, said) = world.said(&[
        "setup",
        "--yes",
        "--with",
        "github",
        "--url",
        &url,
        "--token-file",
        &file,
        "--without",
        "docker",
        "--without",
        "linear",
    ]);
    assert_eq!(code, 0, "{said}");
    let (mounted, told) = world.said(&["mount", &point]);

    let title = Path::new(&point).join("github/acme/api/_issues/_open/2853/title");
    let read = fs::read_to_string(title);
    world.said(&["unmount", &point]);
    assert_eq!(read.expect("it is mounted"), "Login fails after token refresh\n");
    assert_eq!((mounted, told), (0, format!("mounted at {point}\n")), "and without a warning");
    assert!(said.contains(", of mira\n"), "{said}");
    assert!(said.contains("next: ") && said.contains("omnifs mount /"), "{said}");
}

#[test]
fn one_command_mounts_too_in_a_directory_that_it_makes() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("one_command", &reason);
    }
    let world = World::new();
    let (url, file) = (format!("github={}", world.twin.url()), world.token_file(TOKEN));
    let point = world.omnifs.path("new").to_str().expect("UTF-8").to_owned();
    let (code, said) = world.said(&[
        "setup",
        "--yes",
        "--url",
        &url,
        "--token-file",
        &format!("github={file}"),
        "--without",
        "docker",
        "--without",
        "linear",
        "--mount",
        &point,
    ]);
    let names = fs::read_dir(&point)
        .map(|entries| entries.flatten().filter(|entry| entry.path().is_dir()).count());
    let ended = world.said(&["unmount", &point]);
    assert_eq!((code, ended.0), (0, 0), "{said}{}", ended.1);
    assert_eq!(names.expect("it is mounted"), 1, "what is switched off is not there");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let world = World::new();
    let (url, file) = (format!("github={}", world.twin.url()), world.token_file(TOKEN));
    world.said(&["config", "check"]);
    let before = world.everything();
    let (code, said) = world.said(&[
        "setup",
        "--dry-run",
        "--url",
        &url,
        "--token-file",
        &format!("github={file}"),
        "--mount",
        "/nowhere",
    ]);
    assert_eq!(code, 0, "{said}");
    let kept = format!("would keep the token of {file} in ");
    for part in [
        &format!("github: would use {}: endpoints.api in the configuration\n", world.twin.url()),
        &kept,
        ", of mira\n",
        "linear: no login was found; a token is made at https://linear.app/settings/",
        "linear: would switch it off, since nothing was found for it\n",
        "would mount at /nowhere\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(world.everything(), before);
}

/// Whether a bus has a keyring shows only as something is put into it.
#[test]
fn where_a_session_may_have_a_keyring_the_file_is_named_that_is_taken_where_it_has_none() {
    let mut world = World::placed();
    world.omnifs = world.omnifs.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    let file = format!("github={}", world.token_file(TOKEN));
    let all = ["setup", "--dry-run", "--without", "docker", "--without", "linear"];
    let (code, said) = world.said(&[&all[..], &["--token-file", &file]].concat());
    assert_eq!(code, 0, "{said}");
    let secrets = world.omnifs.path("data/omnifs/secrets");
    let place = format!("the system keyring, or, where there is none, in {}", secrets.display());
    assert!(said.contains(&place), "{place}: {said}");
}

#[test]
fn the_configuration_keeps_its_comments_and_its_settings() {
    let world = World::new();
    let before = "# mine\n[cache] # small\nnodes = 5_000 # enough\n\n[instances.linear]\n\
                  enabled = false # since May\n\n[instances.github] # work\n\
                  settings.listing-bound = 50\n";
    world.omnifs.config(before).expect("a configuration");
    let (url, file) = (format!("github={}", world.twin.url()), world.token_file(TOKEN));
    let all = [
        "setup",
        "--yes",
        "--url",
        &url,
        "--token-file",
        &format!("github={file}"),
        "--without",
        "docker",
    ];
    let (code, said) = world.said(&all);
    assert_eq!(code, 0, "{said}");
    let off = "linear: the configuration has it switched off; --with linear switches it on\n";
    assert!(said.contains(off), "{said}");
    let written = format!(
        "{before}endpoints.api = \"{}\"\ncredential-file = \"{}\"\n\n[instances.docker]\n\
         enabled = false\n",
        world.twin.url(),
        world.kept()[0].display()
    );
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&world.config()), sorted(&written), "{}", world.config());
    assert!(world.config().starts_with(before), "{}", world.config());
    // Once more it finds all as it is.
    let (text, _) = (world.config(), world.said(&all));
    assert_eq!(world.config(), text);
}

#[test]
fn without_a_terminal_nothing_is_done_that_nobody_has_agreed_to() {
    let world = World::new();
    let before = world.everything();
    for more in [&[][..], &["--without", "docker"], &["--mount"]] {
        let (code, said) = world.said(&[&["setup"][..], more].concat());
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("no terminal to ask on") && said.contains("--dry-run"), "{said}");
    }
    assert_eq!(world.everything(), before);
}

#[test]
fn a_refused_token_ends_the_setup_and_is_not_kept() {
    let world = World::new();
    world.twin.set_tokens(&["another"]);
    let (url, file) = (format!("github={}", world.twin.url()), world.token_file(TOKEN));
    let (code, said) = world.said(&[
        "setup",
        "--yes",
        "--url",
        &url,
        "--token-file",
        &format!("github={file}"),
        "--without",
        "docker",
        "--mount",
    ]);
    assert_eq!((code, world.kept().len()), (1, 0), "{said}");
    assert!(said.contains("does not accept this token; it is not kept"), "{said}");
    assert!(!said.contains("mounted at"), "{said}");
}

#[test]
fn a_token_of_the_environment_is_used_where_it_is_and_kept_for_a_service() {
    let mut world = World::placed();
    world.omnifs = world.omnifs.env("GH_ENTERPRISE_TOKEN", TOKEN);
    let off = ["setup", "--yes", "--without", "docker", "--without", "linear"];
    let (code, said) = world.said(&off);
    assert_eq!((code, world.kept().len()), (0, 0), "{said}");
    let whose = "github: github from environment variable GH_ENTERPRISE_TOKEN, of mira\n";
    assert!(said.contains(whose), "{said}");
    let dry = [&off[..], &["--dry-run", "--service", "/srv/x"]].concat();
    let (code, said) = world.said(&dry);
    assert_eq!((code, world.kept().len()), (0, 0), "{said}");
    let kept = "would ask the service whose the one from environment variable \
                GH_ENTERPRISE_TOKEN is, and keep it in ";
    assert!(said.contains(kept), "{said}");
    assert!(said.contains("systemctl"), "what the service would be: {said}");
}

#[test]
fn a_provider_that_there_is_not_is_a_wrong_command_line() {
    let world = World::new();
    for more in [["--with", "githab"], ["--token-file", "githab=x"], ["--url", "githab=https://x"]]
    {
        let (code, said) = world.said(&[&["setup", "--yes"][..], &more].concat());
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("did you mean 'github'?"), "{said}");
    }
    let (code, said) = world.said(&["setup", "--yes", "--token-file", "x"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--token-file NAME=FILE"), "{said}");
}
