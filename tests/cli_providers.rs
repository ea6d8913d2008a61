//! How providers are added, listed and removed.

mod cli;

use cli::Home;
use std::path::Path;

/// Only as somebody else than root can a directory be closed.
#[cfg(target_os = "linux")]
#[test]
fn where_the_configuration_cannot_be_written_no_component_is_left_behind() {
    let test = "where_the_configuration_cannot_be_written_no_component_is_left_behind";
    let components = std::env::var_os("OMNIFS_COMPONENTS");
    let (true, Some(components)) = (rustix::process::geteuid().is_root(), components) else {
        return omnifs_support::skip(test, "needs root, and OMNIFS_COMPONENTS");
    };
    const NOBODY: u32 = 65_534;
    let home = Home::new();
    let file = home.path("x.wasm");
    std::fs::copy(Path::new(&components).join("hello.wasm"), &file).unwrap();
    let add = ["providers", "add", file.to_str().unwrap(), "--name", "greeter", "--yes"];
    // Root's, as `sudo omnifs` leaves it behind: it can be read and not be written.
    home.config("");
    let hint = format!("check the permissions of {}", home.path("config/omnifs").display());
    let ran = cli::ran(home.command_as(NOBODY, &["data", "state", "cache"], add).output().unwrap());
    ran.fails(2, "cannot write the configuration", &hint);
    let left = std::fs::read_dir(home.path("data/omnifs/providers")).unwrap();
    assert_eq!(left.map(|entry| entry.unwrap().path()).collect::<Vec<_>>(), [""; 0].map(Path::new));
    // One that was added before stays as it was.
    let own = ["config", "config/omnifs", "config/omnifs/config.toml"];
    cli::ran(home.command_as(NOBODY, &own, add).output().unwrap()).works();
    let component = home.path("data/omnifs/providers/greeter.wasm");
    let before = std::fs::read(&component).unwrap();
    std::os::unix::fs::chown(home.path("config/omnifs"), Some(0), Some(0)).unwrap();
    std::fs::copy(Path::new(&components).join("hostile.wasm"), &file).unwrap();
    let ran = cli::ran(home.command_as(NOBODY, &[], add).output().unwrap());
    ran.fails(2, "cannot write the configuration", &hint);
    assert!(std::fs::read(&component).unwrap() == before, "another component was left there");
}

#[test]
fn a_provider_that_is_switched_off_is_disabled_whether_or_not_it_works() {
    let home = Home::new();
    home.config("[instances.gone]\nprovider = \"gone\"\n");
    let row = || {
        let ran = home.run(["providers", "list", "--json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(ran.works()).unwrap();
        let row = rows.iter().find(|row| row["name"] == "gone").unwrap();
        (row["state"].clone(), row["hint"].is_string())
    };
    assert_eq!(row(), ("broken".into(), true));
    home.config("[instances.gone]\nprovider = \"gone\"\nenabled = false\n");
    assert_eq!(row(), ("disabled".into(), false));
}

#[test]
fn removing_a_provider_keeps_the_comments() {
    let home = Home::new();
    let digest = "0".repeat(64);
    let kept = "# mine\n[cache]\nnodes = 1000 # few\n";
    home.config(&format!(
        "{kept}\n[instances.jira]\nprovider = \"jira\"\ngrant = \"sha256:{digest}\"\n"
    ));
    let component = home.path("data/omnifs/providers/jira.wasm");
    std::fs::create_dir_all(component.parent().unwrap()).unwrap();
    std::fs::write(&component, b"\0asm\x0d\0\x01\0").unwrap();

    let ran = home.run(["providers", "list"]);
    assert!(words(ran.works()).contains("jira changed "), "{ran:?}");
    assert!(ran.stdout.contains("jira.wasm --name jira"), "{ran:?}");
    home.run(["providers", "remove", "jria"]).fails(2, "is named 'jria'", "did you mean 'jira'?");
    home.run(["providers", "remove", "jira"]).works();
    assert_eq!(cli::text(&home.config_file()), kept);
    assert!(!component.exists());
}

#[test]
fn a_component_in_the_provider_directory_is_not_mounted_unasked() {
    let home = Home::new();
    let directory = home.path("data/omnifs/providers");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("jira.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    let ran = home.run(["providers", "list"]);
    assert!(words(ran.works()).contains("jira not approved "), "{ran:?}");
    let ran = home.run(["doctor"]);
    assert!(ran.stdout.contains("warning  provider jira: the capabilities of"), "{ran:?}");
    assert!(ran.stdout.contains("to mend it: see what it asks for"), "{ran:?}");
}

/// What of the documentation is about a provider that ships: a page of its own, or its row in the page of
/// declared services.
fn documentation(name: &str, is_declared: bool) -> Option<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |page: &str| std::fs::read_to_string(docs.join(page)).ok();
    if is_declared {
        let row = format!("| `{name}` |");
        return read("providers/rest.md")?
            .lines()
            .find(|line| line.starts_with(&row))
            .map(str::to_owned);
    }
    read(&format!("providers/{name}.md")).or_else(|| read(&format!("{name}.md")))
}

#[test]
fn everything_that_ships_is_listed_and_documented() {
    let home = Home::new();
    let list = || {
        let ran = home.run(["providers", "list", "--json"]);
        serde_json::from_str::<Vec<serde_json::Value>>(ran.works()).unwrap()
    };
    let rows = list();
    if !rows.iter().any(|row| row["state"] == "mounted") {
        return omnifs_support::skip("everything_that_ships_is_listed", "no provider is embedded");
    }
    let mut names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    for row in &rows {
        let (name, is_declared) = (row["name"].as_str().unwrap(), row["state"] == "declared");
        assert!(documentation(name, is_declared).is_some(), "nothing is said of {name}");
        assert!(!row["summary"].as_str().unwrap().is_empty(), "{row}");
        assert!(row["source"].as_str().unwrap().starts_with("shipped "), "{row}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "{names:?}");
    assert!(rows.len() >= 20, "{names:?}");

    // What is said of one that is not mounted is what it says itself.
    let on_demand = |row: &&serde_json::Value| row["state"] == "on demand";
    let sections =
        rows.iter().filter(on_demand).map(|row| format!("[instances.{}]\n", row["name"]));
    home.config(&sections.collect::<String>());
    let configured = list();
    assert_eq!(configured.iter().filter(on_demand).count(), 0);
    for row in rows.iter().filter(on_demand) {
        let same = |other: &&serde_json::Value| other["name"] == row["name"];
        let own = configured.iter().find(same).unwrap();
        assert_eq!((&own["state"], &own["summary"]), (&"mounted".into(), &row["summary"]));
    }
}

/// A table's text without the padding of its columns.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_provider_is_switched_off_and_on_and_keeps_its_settings() {
    let home = Home::new();
    home.config("[instances.github]\n# mine\nsettings.listing-bound = 7\n");
    let enabled = || {
        let said: serde_json::Value =
            serde_json::from_str(home.run(["providers", "list", "--json"]).works()).unwrap();
        let row = said.as_array().unwrap().iter().find(|row| row["name"] == "github").unwrap();
        row["state"].clone()
    };
    let said = home.run(["providers", "disable", "github"]);
    assert!(said.works().starts_with("switched 'github' off in "), "{said:?}");
    assert_eq!(enabled(), "disabled");
    assert!(home.run(["providers", "disable", "github"]).works().contains("off already"));
    home.run(["providers", "enable", "github"]).works();
    assert_ne!(enabled(), "disabled");
    let text = cli::text(&home.config_file());
    assert!(text.contains("# mine\nsettings.listing-bound = 7"), "{text}");
    home.run(["providers", "enable", "githib"]).fails(2, "is named 'githib'", "'github'?");
}

#[test]
fn what_was_not_approved_is_not_switched_on() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("data/omnifs/providers")).unwrap();
    let component = home.path("data/omnifs/providers/mine.wasm");
    std::fs::write(&component, b"\0asm\x0d\0\x01\0").unwrap();
    home.config("[instances.mine]\nenabled = false\n");
    let before = cli::text(&home.config_file());
    home.run(["providers", "enable", "mine"]).fails(1, "are not approved", "omnifs providers add");
    assert_eq!(cli::text(&home.config_file()), before);
}
