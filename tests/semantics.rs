//! SEMANTICS.md and THREAT-MODEL.md promise nothing that no test shows: each paragraph and row names its tests, and each
//! of them exists.

use std::fs;
use std::path::Path;

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The text of a file, or of every file in a folder.
fn sources(place: &Path) -> String {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("a folder");
        return entries.map(|entry| sources(&entry.expect("an entry").path())).collect();
    }
    fs::read_to_string(place).unwrap_or_default()
}

#[test]
fn each_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SEMANTICS.md")).expect("SEMANTICS.md");
    let mut promises = 0;
    let mut wrong = Vec::new();
    for paragraph in text.split("\n\n").filter(|p| p.starts_with(|c: char| c.is_ascii_digit())) {
        promises += 1;
        let title: String = paragraph.lines().next().unwrap_or_default().into();
        let Some((_, tests)) = paragraph.split_once("Shown by") else {
            wrong.push(format!("{title}: names no test"));
            continue;
        };
        let mut place = None;
        let mut named = 0;
        for word in quoted(tests) {
            if word.contains('/') {
                let path = root.join(word);
                if !path.exists() {
                    wrong.push(format!("{title}: there is no {word}"));
                }
                place = Some((word, sources(&path)));
            } else if let Some((file, source)) = &place {
                named += 1;
                if !source.contains(&format!("fn {word}(")) {
                    wrong.push(format!("{title}: {file} has no test {word}"));
                }
            }
        }
        if named == 0 {
            wrong.push(format!("{title}: names no test"));
        }
    }
    assert!(promises > 10, "{promises} promises found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every test that THREAT-MODEL.md names for an attack exists where it says.
#[test]
fn each_attack_of_the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("THREAT-MODEL.md")).expect("THREAT-MODEL.md");
    let (mut rows, mut wrong) = (0, Vec::new());
    let tables = text.split("\n## ").filter(|part| part.contains("| attack | what happens |"));
    for row in tables.flat_map(str::lines).filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        if cells[0].trim() == "attack" {
            continue;
        }
        rows += 1;
        let (mut place, mut named) = (None, 0);
        for word in quoted(cells.last().unwrap_or(&"")) {
            if word.contains('/') {
                place = Some((word, sources(&root.join(word))));
            } else if let Some((file, source)) = &place {
                named += 1;
                if !source.contains(&format!("fn {word}(")) {
                    wrong.push(format!("{}: {file} has no test {word}", cells[0]));
                }
            }
        }
        if named == 0 {
            wrong.push(format!("{}: names no test", cells[0]));
        }
    }
    assert!(rows > 30, "{rows} rows found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
