//! Somebody who knows POSIX and has never heard of omnifs: ten questions, answered by way of `cat README.md`.

use crate::World;
use omnifs_support::home;
use omnifs_support::tools::{read, shell};
use serde_json::Value;
use std::path::Path;

/// A line `- `PATTERN` what it is: leaf leaf` of a README.md.
#[derive(Debug)]
struct Line {
    pattern: String,
    what: String,
    leaves: Vec<String>,
}

fn lines(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let (pattern, rest) = line.strip_prefix("- `")?.split_once('`')?;
        let (what, leaves) = rest.split_once(": ").unwrap_or((rest, ""));
        Some(Line {
            pattern: pattern.to_owned(),
            what: what.trim().to_owned(),
            leaves: leaves.split(' ').map(str::to_owned).collect(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// The pattern with names in the places of those in braces, in the order in which they come; of a choice that which
/// `names` holds next, else the first.
fn filled(pattern: &str, names: &[&str]) -> String {
    let (mut path, mut rest, mut names) = (String::new(), pattern, names.iter().peekable());
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').expect("a brace ends");
        let name = match inside.split_once(',') {
            None => *names.next().expect("a name for each"),
            Some((first, _)) => {
                let among = |name: &&&str| inside.split(',').any(|choice| choice == **name);
                names.next_if(among).copied().unwrap_or(first)
            }
        };
        path = path + before + name;
        rest = after;
    }
    match rest.strip_suffix("**") {
        Some(fixed) => path + fixed + names.next().expect("a path"),
        None => path + rest,
    }
}

struct Question {
    /// A word about the service.
    service: &'static str,
    what: &'static str,
    leaf: &'static str,
    /// What the questioner knows.
    names: &'static [&'static str],
    answer: &'static str,
}

const fn question(
    service: &'static str,
    what: &'static str,
    leaf: &'static str,
    names: &'static [&'static str],
    answer: &'static str,
) -> Question {
    Question { service, what, leaf, names, answer }
}

const QUESTIONS: [Question; 10] = [
    question("GitHub", "an issue", "title", &["acme", "api", "2853"], "Login fails"),
    question("GitHub", "an issue", "author", &["acme", "api", "2853"], "jun-h"),
    question("GitHub", "a pull request", "base", &["acme", "api", "2860"], "main"),
    question("GitHub", "of a pull request", "", &["acme", "api", "2860", "diff"], "cache.drop(id)"),
    question("GitHub", "a run", "conclusion", &["acme", "api", "9801"], "failure"),
    question("GitHub", "logs of all its jobs", "", &["acme", "api", "9801"], "exit code 1"),
    question("GitHub", "a release", "notes.md", &["acme", "api", "v1.8.0"], "TLS 1.1 is gone"),
    question(
        "GitHub",
        "code of the default branch",
        "",
        &["acme", "api", "src/main.rs"],
        "api::serve",
    ),
    question("Linear", "an issue", "priority", &["ENG", "ENG-204"], "High"),
    question("Linear", "a cycle", "name", &["ENG", "12"], "Sign-in week"),
];

/// The path that the texts of the mount lead to.
fn found(root: &Path, question: &Question) -> String {
    let services = lines(&shell(root, "cat README.md"));
    // The list says what each directory is: `Issues, ... at GitHub`.
    let service = services.iter().find(|line| line.what.contains(question.service));
    let service =
        &service.unwrap_or_else(|| panic!("{} in {services:#?}", question.service)).pattern;
    let paths = lines(&shell(root, &format!("cat {service}README.md")));
    let fits = |line: &&Line| {
        line.what.starts_with(question.what)
            && (question.leaf.is_empty() || line.leaves.iter().any(|leaf| leaf == question.leaf))
    };
    let line = paths.iter().find(fits).unwrap_or_else(|| panic!("{} in {paths:#?}", question.what));
    format!("{service}{}{}", filled(&line.pattern, question.names), question.leaf)
}

#[test]
fn a_newcomer_finds_ten_answers_by_way_of_the_readme_alone() {
    let Some(world) = World::new("newcomer", "") else { return };
    let mounted = world.mount();
    for question in &QUESTIONS {
        let path = found(mounted.path(), question);
        let answer = read(&mounted.join(&path));
        assert!(answer.contains(question.answer), "{path}: {answer}");
    }
}

/// The paths that an instance's manifest names, each of which its `README.md` has.
fn guide(instance: &Path) -> Vec<Value> {
    let text = read(&instance.join(".omnifs/manifest.json"));
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let readme = read(&instance.join("README.md"));
    let guide = manifest["guide"].as_array().expect("a list");
    for path in guide {
        let pattern = path["pattern"].as_str().expect("a text");
        assert!(readme.contains(&format!("- `{pattern}` ")), "{pattern}: {readme}");
    }
    guide.clone()
}

#[test]
fn each_path_of_a_guide_is_in_the_readme_and_in_the_tree() {
    let Some(world) = World::new("guide", "") else { return };
    let mounted = world.mount();
    for instance in ["github", "linear"] {
        let directory = mounted.join(instance);
        let guide = guide(&directory);
        assert!(guide.len() > 8, "{}", guide.len());
        for path in guide {
            let word = |value: &Value| value.as_str().expect("a text").to_owned();
            let (pattern, example) = (word(&path["pattern"]), word(&path["example"]));
            let shown = directory.join(&example);
            let kind =
                std::fs::metadata(&shown).unwrap_or_else(|error| panic!("{example}: {error}"));
            if pattern.ends_with('/') {
                assert!(kind.is_dir(), "{example}");
            }
            for entry in path["entries"].as_array().expect("a list").iter().map(word) {
                let there = std::fs::metadata(shown.join(&entry));
                let there = there.unwrap_or_else(|error| panic!("{example}{entry}: {error}"));
                assert_eq!(there.is_dir(), entry.ends_with('/'), "{example}{entry}");
            }
        }
    }
}

#[test]
fn the_guide_of_an_engine_that_is_away_names_its_paths_and_its_table() {
    let Some(omnifs) = home("engine_guide") else { return };
    let config = "[instances.github]\nenabled = false\n[instances.linear]\nenabled = false\n\
                  [instances.docker.endpoints.engine]\nurl = 'http://127.0.0.1:9'\n";
    omnifs.config(config).expect("a configuration");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let docker = mounted.join("docker");
    let named = guide(&docker);
    assert!(named.iter().any(|path| path["pattern"] == "containers.tsv"), "{named:?}");
    for text in ["README.md", "AGENTS.md"] {
        let size = read(&docker.join(text)).len();
        assert!(size <= 2048, "{text}: {size}");
    }
}
