//! The core knows no service by name: what it needs to know of one is data in a manifest.

use std::fs;
use std::path::{Path, PathBuf};

/// Also within longer words.
const NAMES: [&str; 24] = [
    "asana",
    "atlassian",
    "bitbucket",
    "containerd",
    "discord",
    "docker",
    "dropbox",
    "forgejo",
    "gh_token",
    "ghp_",
    "gitea",
    "github",
    "gitlab",
    "jira",
    "kubernetes",
    "lin_api",
    "octokit",
    "pagerduty",
    "podman",
    "salesforce",
    "sentry",
    "shopify",
    "stripe",
    "zendesk",
];
/// Words of English too, which mean a service where they stand alone.
const WORDS: [&str; 3] = ["linear", "slack", "twilio"];
/// What is named after the program that it is for, which is shown by no instance: the command that serves an engine's
/// plugin socket, and nothing else of it.
const COMMAND: &str = "src/cli/serve/volumes.rs";
/// What has nothing to do with a service.
const TERMS: [&str; 2] = ["linear memory", "linear_memory"];

/// The files below a folder, without those that are compiled for tests only.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if path.is_dir() {
            if name != "tests" {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            found.push(path);
        }
    }
}

/// The text up to its tests, which may use any service's data.
fn code(text: &str) -> &str {
    let is_module = |at: &usize| {
        let mut lines = text[*at..].lines().skip(1);
        lines.find(|line| !line.starts_with("#[")).is_some_and(|line| line.starts_with("mod "))
    };
    let mut marked = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    &text[..marked.find(is_module).unwrap_or(text.len())]
}

fn named_in(line: &str) -> Option<&'static str> {
    let mut line = line.to_ascii_lowercase();
    for term in TERMS {
        line = line.replace(term, "");
    }
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let name = NAMES.into_iter().find(|name| line.contains(name));
    name.or_else(|| words.find_map(|word| WORDS.into_iter().find(|name| word == *name)))
}

#[test]
fn the_core_and_the_back_ends_know_no_service_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("platform/src"), &mut files);
    assert!(files.len() > 150, "{} files", files.len());
    let mut found = Vec::new();
    let command = root.join(COMMAND);
    assert!(files.contains(&command), "{COMMAND}");
    for file in files.into_iter().filter(|file| *file != command) {
        let text = fs::read_to_string(&file).expect("a file");
        for (number, line) in code(&text).lines().enumerate() {
            if let Some(name) = named_in(line) {
                let shown = file.strip_prefix(root).unwrap_or(&file).display();
                found.push(format!("{shown}:{}: {name}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_name_is_found_wherever_it_stands() {
    for line in [
        "/// As GitHub does.",
        "\"x-github-event\" => true,",
        "fn githubs() {}",
        "// Linear wants 200",
        "\"linear-signature\"",
        "env(\"DOCKER_HOST\")",
        "prefix: \"ghp_\"",
    ] {
        assert!(named_in(line).is_some(), "{line}");
    }
    for line in ["bytes of linear memory", "linear_memory_keep_resident(1)", "a linearised order"] {
        assert_eq!(named_in(line), None, "{line}");
    }
    let text = "let a = 1;\n#[cfg(test)]\nmod tests {\n    // GitHub\n}\n";
    assert_eq!(code(text), "let a = 1;\n");
}
