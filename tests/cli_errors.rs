//! What goes wrong is told in one line that says what to do, with an exit code that says which kind
//! it is.

mod cli;

use cli::Home;
use omnifs::control::{Record, Registry, key};
use std::path::Path;

#[test]
fn a_wrong_command_line_is_code_2() {
    let home = Home::new();
    for arguments in [
        &["mont"][..],
        &["mount"],
        &["mount", "--threads", "0", "mnt"],
        &["mount", "--cache-capacity", "lots", "mnt"],
        &["mount", "--backend", "floppy", "mnt"],
        &["mount", "--provider", "x", "mnt"],
        &["mount", "--provider", "../x=f.wasm", "mnt"],
        &["mount", "--provider", "x=", "mnt"],
        &["mount", "--webhook-listen", "8787", "mnt"],
        &["mount", "--metrics-listen", "0.0.0.0:9464", "mnt"],
        &["mount", "--allow-other=perhaps", "mnt"],
        &["status", "--yaml"],
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_component_that_is_not_there_is_a_wrong_command_line_and_nothing_is_mounted() {
    let home = Home::new();
    std::fs::write(home.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    for (file, what) in [("/none.wasm", "No such file"), ("module.wasm", "a core module")] {
        let ran = home.run(["mount", "--provider", &format!("x={file}"), "mnt"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("--provider x: "), "{ran:?}");
        assert!(ran.stderr.contains(file) && ran.stderr.contains(what), "{ran:?}");
    }
}

#[test]
fn a_credential_file_that_no_credential_is_for_is_told() {
    let home = Home::new();
    for (keys, part) in [
        ("credential-files.tokn = 'x'", "it uses no credential 'tokn'"),
        ("endpoints.apii = 'https://ghe.example'", "has no endpoint"),
    ] {
        home.config(&format!("[instances.github]\n{keys}\n"));
        let ran = home.run(["auth", "status", "github"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.contains(part), "{ran:?}");
    }
}

#[test]
fn a_mistake_in_the_configuration_names_file_line_and_nearest_key() {
    let home = Home::new();
    home.config("[cache]\nnode = 5000\n");
    let file = home.config_file();
    let place = format!("{}:2: unknown key 'node' in [cache]", file.display());
    for arguments in [&["mount", "mnt"][..], &["config", "check"], &["config", "show"]] {
        home.run(arguments).fails(2, &place, "did you mean 'nodes'?");
    }
    home.config("[mount]\nthreads = 'two'\n[instances.x]\ntoken = 'hunter2'\n");
    let ran = home.run(["mount", "mnt"]);
    ran.fails(2, ":2: 'mount.threads' must be a whole number, not a string", "one more mistake");
    let ran = home.run(["config", "check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains(":4: 'instances.x.token' holds a secret"), "{ran:?}");
    assert!(ran.stderr.contains("credential-file"), "{ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
}

#[test]
fn a_configuration_that_was_named_must_exist() {
    let home = Home::new();
    home.run(["--config", "other.toml", "config", "check"]).fails(2, "other.toml", "--config");
    let ran =
        cli::ran(home.command(["config", "check"]).env("OMNIFS_CONFIG", "x").output().unwrap());
    ran.fails(2, "No such file", "OMNIFS_CONFIG");
    assert!(home.run(["config", "check"]).works().contains("defaults are used"));
    home.config("");
    assert!(home.run(["config", "check"]).works().contains("is right"));
}

#[cfg(unix)]
#[test]
fn a_configuration_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.config("");
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(home.config_file(), open).unwrap();
    home.run(["config", "check"]).fails(2, "can be written by other users", "chmod go-w");
}

#[test]
fn flags_win_over_environment_over_file() {
    let home = Home::new();
    let nodes = |environment: Option<&str>| {
        let mut command = home.command(["config", "show"]);
        command.envs(environment.map(|value| ("OMNIFS_CACHE_CAPACITY", value)));
        let shown = cli::ran(command.output().unwrap()).works().to_owned();
        shown.lines().find(|line| line.starts_with("nodes")).unwrap().to_owned()
    };
    assert_eq!(nodes(None), "nodes = 250000");
    home.config("[cache]\nnodes = 1000\nbytes = '2MiB'\n");
    assert_eq!(nodes(None), "nodes = 1000");
    assert_eq!(nodes(Some("2000")), "nodes = 2000");
    assert_eq!(nodes(Some(",4MiB")), "nodes = 1000");
    let mut command = home.command(["config", "show"]);
    command.env("OMNIFS_CACHE_CAPACITY", "lots");
    cli::ran(command.output().unwrap()).fails(2, "environment: invalid value 'lots'", "");
    // A flag wins over the environment: the wrong variable is not even read.
    let mut command = home.command(["mount", "--cache-capacity", "3000", "absent"]);
    command.env("OMNIFS_CACHE_CAPACITY", "lots");
    cli::ran(command.output().unwrap()).fails(4, "absent does not exist", "mkdir -p");
}

#[test]
fn a_mountpoint_that_cannot_be_used_is_code_4_and_says_what_to_do() {
    let home = Home::new();
    std::fs::write(home.path("file"), "").unwrap();
    std::fs::create_dir_all(home.path("full/of")).unwrap();
    for foreground in [&[][..], &["--foreground"]] {
        let mount =
            |path: &str| home.run(["mount", path].iter().chain(foreground).collect::<Vec<_>>());
        mount("absent").fails(4, "absent does not exist", "mkdir -p /");
        mount("absent/deeper").fails(4, "does not exist", "mkdir -p /");
        mount("file").fails(4, "file is not a directory", "name a directory");
        mount("full").fails(4, "full is not empty", "empty directory");
    }
}

/// Only root can try it as somebody else: root itself may mount anywhere.
#[cfg(target_os = "linux")]
#[test]
fn a_mountpoint_of_somebody_else_is_code_4_and_says_what_to_do() {
    use std::os::unix::fs::PermissionsExt;
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        omnifs_support::skip("a_mountpoint_of_somebody_else", "becoming another user needs root");
        return;
    }
    let home = Home::new();
    let theirs = home.path("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o755)).unwrap();
    let own = ["config", "data", "state", "cache"];
    let mut command = home.command_as(NOBODY, &own, ["mount", "theirs"]);
    cli::ran(command.output().unwrap()).fails(4, "theirs", "name a directory that is yours");
}

#[test]
fn a_provider_is_not_added_where_nobody_can_be_asked() {
    let home = Home::new();
    let Some(components) = std::env::var_os("OMNIFS_COMPONENTS") else {
        omnifs_support::skip("a_provider_is_not_added", "OMNIFS_COMPONENTS is not set");
        return;
    };
    let file = Path::new(&components).join("hello.wasm");
    let ran = home.run(["providers", "add", file.to_str().unwrap(), "--name", "greeter"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("hello"), "what it asks for is shown: {ran:?}");
    assert!(ran.stderr.contains("--yes"), "{ran:?}");
    assert!(!home.config_file().exists(), "nothing was granted");
    let copied = std::fs::read_dir(home.path("data")).unwrap().count();
    assert_eq!(copied, 0, "nothing was copied");
    let ran = home.run(["providers", "add", file.to_str().unwrap(), "--name", "greeter", "--yes"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(cli::text(&home.config_file()).contains("greeter"));
}

#[test]
fn an_approval_is_of_what_a_component_asks_for_and_what_has_changed_is_shown() {
    let home = Home::new();
    let Some(components) = std::env::var_os("OMNIFS_COMPONENTS") else {
        omnifs_support::skip("an_approval_is_of_what", "OMNIFS_COMPONENTS is not set");
        return;
    };
    let file = Path::new(&components).join("hostile.wasm");
    let add = ["providers", "add", file.to_str().unwrap(), "--name", "tracker", "--yes"];
    home.run(add).works();
    let info = ["providers", "info", "tracker"];
    assert!(home.run(info).works().contains("instance tracker: approved"));
    let row = |ran: &cli::Ran| {
        let mut rows = ran.stdout.lines().filter(|line| line.starts_with("tracker "));
        words(rows.next().expect("a row"))
    };
    let ran = home.run(["providers", "list"]);
    assert!(row(&ran).starts_with("tracker mounted hostile"), "{ran:?}");

    // As if it had asked for one path less when it was approved.
    let record = home.path("data/omnifs/providers/tracker.asks");
    let asks = cli::text(&record);
    let (path, fewer): (Vec<&str>, Vec<&str>) =
        asks.lines().partition(|line| line.contains("\"/thing\""));
    assert_eq!(path, ["endpoints.service.allow.0.1 = \"/thing\""], "{asks}");
    let fewer = fewer.join("\n") + "\n";
    std::fs::write(&record, &fewer).unwrap();
    let digest = |text: &str| omnifs::component::digest(text.as_bytes());
    let config = cli::text(&home.config_file());
    let earlier = config.replace(&digest(&asks), &digest(&fewer));
    assert_ne!(earlier, config);
    std::fs::write(home.config_file(), &earlier).unwrap();
    let more =
        "asks for something else than was approved: + endpoints.service.allow.0.1 = \"/thing\"";
    let ran = home.run(["providers", "list"]);
    assert!(row(&ran).starts_with("tracker changed ") && ran.stdout.contains(more), "{ran:?}");
    let ran = home.run(info);
    assert!(ran.works().contains(more), "{ran:?}");
    home.run(["auth", "login", "tracker", "--with-token"]).fails(1, more, "providers add");
    let ran = home.run(["doctor"]);
    assert!(ran.stdout.contains(more), "{ran:?}");

    // The question shows it, and without an answer nothing is granted.
    let ran = home.run(&add[..5]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("+ endpoints.service.allow.0.1 = \"/thing\""), "{ran:?}");
    assert_eq!(cli::text(&home.config_file()), earlier);
    let ran = home.run(add);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("note: + endpoints.service.allow"), "{ran:?}");
    assert_eq!(cli::text(&home.config_file()), config);

    // An approval from before this was recorded is none.
    let lines = config.lines().filter(|line| !line.starts_with("asks"));
    let without: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(home.config_file(), without).unwrap();
    let ran = home.run(["providers", "list"]);
    assert!(row(&ran).starts_with("tracker not approved "), "{ran:?}");
}

#[test]
fn without_a_keyring_a_token_is_kept_in_a_file_that_is_named_and_it_is_never_repeated() {
    const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let home = Home::new();
    // Nobody is to be asked about it here.
    home.config("[instances.github]\nendpoints.api = 'http://127.0.0.1:1'\n");
    let run = |arguments: &[&str], input: &str| {
        let mut command = home.command(arguments);
        // No session bus: none is named, and the runtime directory has none.
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", home.path("run"));
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        {
            use std::io::Write as _;
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        }
        let ran = cli::ran(child.wait_with_output().unwrap());
        assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN), "{ran:?}");
        ran
    };
    let login = ["auth", "login", "github", "--with-token"];
    run(&login, TOKEN).fails(1, "could not be asked", "--unchecked");
    let login = run(&[&login[..], &["--unchecked"]].concat(), TOKEN);
    let file = home.path("data/omnifs/secrets/github.github@127_0_0_1_1");
    assert!(login.stdout.contains(&format!("in {}\n", file.display())), "{login:?}");
    assert_eq!(cli::text(&file), format!("{TOKEN}\n"));
    let logout = run(&["auth", "logout", "github"], "");
    assert_eq!((logout.code, file.exists()), (0, false), "{logout:?}");
    assert_eq!(run(&["auth", "logout", "github"], "").code, 1, "there is none left");
}

#[test]
fn without_a_mount_the_code_is_3() {
    let home = Home::new();
    let ran = home.run(["status"]);
    assert_eq!((ran.code, &ran.stdout[..]), (3, "nothing is mounted\n"));
    let ran = home.run(["status", "--json"]);
    assert_eq!((ran.code, &ran.stdout[..]), (3, "[]\n"));
    home.run(["status", "mnt"]).fails(3, "mnt is not in a running mount", "omnifs status");
    home.run(["unmount", "mnt"]).fails(3, "nothing is mounted at mnt", "omnifs status");
    home.run(["unmount", "absent/x"]).fails(3, "nothing is mounted", "omnifs status");
    home.run(["unmount", "--force", "mnt"]).fails(3, "nothing is mounted", "omnifs status");
    home.run(["metrics", "mnt"]).fails(3, "not in a running mount", "omnifs status");
    home.run(["metrics"]).fails(3, "nothing is mounted", "omnifs mount");
    home.run(["refresh", "mnt"]).fails(3, "not in a running mount", "omnifs status");
    home.run(["logs"]).fails(3, "there is no log yet", "omnifs mount");
    home.run(["logs", "mnt"]).fails(3, "there is no log for mnt", "omnifs mount");
}

#[test]
fn a_record_that_a_killed_mount_left_is_removed() {
    let home = Home::new();
    let mounts = home.path("state/omnifs/mounts");
    std::fs::create_dir_all(&mounts).unwrap();
    let at = home.path("mnt");
    let record = Record {
        pid: std::process::id(),
        mountpoint: at.display().to_string(),
        channel: home.path("nobody.sock"),
        log: home.path("log"),
    };
    let file = mounts.join(format!("{}.json", key(&at)));
    std::fs::write(&file, serde_json::to_vec(&record).unwrap()).unwrap();
    std::fs::write(file.with_extension("lock"), "").unwrap();
    assert_eq!(home.run(["status"]).code, 3);
    assert!(!file.exists());
}

#[test]
fn a_mount_that_does_not_answer_is_named_with_its_process() {
    let home = Home::new();
    let registry = Registry::new(home.path("state/omnifs/mounts"));
    let at = home.path("mnt");
    let claim = registry.claim(&at).unwrap();
    // Nobody listens there.
    let record = Record {
        pid: std::process::id(),
        mountpoint: at.display().to_string(),
        channel: home.path("nobody.sock"),
        log: home.path("log"),
    };
    claim.publish(&record).unwrap();
    let pid = format!("(process {}) does not answer", std::process::id());
    for arguments in [&["status"][..], &["status", "mnt"], &["refresh", "mnt"], &["unmount", "mnt"]]
    {
        home.run(arguments).fails(1, &pid, "omnifs unmount --force");
    }
    home.run(["mount", "mnt", "--foreground"]).fails(4, "already mounted at", "omnifs unmount");
    home.run(["unmount", "mnt/docker"]).fails(3, "is inside the mount", "omnifs unmount /");
}

#[cfg(unix)]
#[test]
fn a_command_in_a_hint_is_for_the_path_that_was_meant() {
    let home = Home::new();
    let strange = home.path("a\u{202e}b\u{200b} it's\t1");
    let ran = home.run(["mount", strange.to_str().unwrap()]);
    ran.fails(4, "does not exist", "create it: mkdir -p $'");
    let command =
        ran.stderr.lines().find_map(|line| line.strip_prefix("hint: create it: ")).unwrap();
    let status = std::process::Command::new("bash").args(["-c", command]).status().unwrap();
    assert!(status.success() && strange.is_dir(), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn what_config_prints_hides_nothing() {
    let home = Home::new();
    home.config("[instances.github]\ncredential-file = \"/x\\u202Ey\u{202e}z\"\n");
    let ran = home.run(["config", "show"]);
    assert!(ran.works().contains("credential-file = \"/x\\U0000202Ey\\U0000202Ez\""), "{ran:?}");
    let ran = home.run(["--config", "/x\u{202e}y", "config", "path"]);
    assert_eq!(ran.works(), "$'/x\\342\\200\\256y'\n");
    let plain = home.path("my files/c.toml");
    let ran = home.run(["--config", plain.to_str().unwrap(), "config", "path"]);
    assert_eq!(ran.works(), format!("{}\n", plain.display()));
}

#[test]
fn a_file_that_is_no_component_is_not_added() {
    let home = Home::new();
    std::fs::write(home.path("x.wasm"), "#!/bin/sh\n").unwrap();
    std::fs::write(home.path("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let add = |file: &str| home.run(["providers", "add", file, "--yes"]);
    add("x.wasm").fails(1, "x.wasm is not a WebAssembly component", "wasm32-wasip2");
    add("core.wasm").fails(1, "it is a core module", "wasm32-wasip2");
    add("absent.wasm").fails(1, "cannot read the component absent.wasm", "");
    add(".").fails(1, "it is not a regular file", "");
    assert!(!home.config_file().exists());
    assert!(!home.path("data/omnifs/providers").exists());
}

#[test]
fn the_doctor_names_a_mistake_of_the_configuration() {
    let home = Home::new();
    home.config("[mount]\nthread = 4\n");
    let ran = home.run(["doctor"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("BAD      "), "{ran:?}");
    assert!(ran.stdout.contains(":2: unknown key 'thread' in [mount]"), "{ran:?}");
    assert!(ran.stdout.contains("to mend it: did you mean 'threads'?"), "{ran:?}");
    let json = home.run(["doctor", "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).unwrap();
    assert!(findings.iter().any(|finding| finding["verdict"] == "bad"));
}

#[test]
fn directories_of_the_program_belong_to_the_user_alone() {
    let home = Home::new();
    home.run(["doctor"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for name in ["state/omnifs", "cache/omnifs", "data/omnifs"] {
            assert_eq!(mode(&home.path(name)), 0o700, "{name}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let mut child =
        home.command(["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(home.run(["completions", shell]).works().contains("omnifs"));
    }
}

#[test]
fn a_log_level_or_format_that_is_none_is_refused() {
    let home = Home::new();
    let output = home.command(["mount", "mnt"]).env("OMNIFS_LOG", "loud").output().unwrap();
    cli::ran(output).fails(2, "OMNIFS_LOG is not a level", "info, debug");
    let mut command = home.command(["mount", "--foreground", "mnt"]);
    let output = command.env("OMNIFS_LOG_FORMAT", "xml").output().unwrap();
    cli::ran(output).fails(2, "OMNIFS_LOG_FORMAT is not a format", "text or json");
}

/// A table's text without the padding of its columns.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
