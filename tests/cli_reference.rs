//! The whole command line as its help says it: a change of a word shows in review.

mod cli;

use std::path::Path;

#[test]
fn the_reference_in_docs_is_the_help_of_the_program() {
    let home = cli::Home::new();
    let made = home.run(["reference"]).works().to_owned();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(
        kept == made,
        "docs/cli.md differs from the program's help (line {}); run: \
         UPDATE=1 cargo test --test cli_reference",
        differs.map_or(0, |line| line + 1),
    );
}

#[test]
fn each_command_has_a_man_page_that_is_the_same_when_made_again() {
    let home = cli::Home::new();
    let pages = |name: &str| {
        home.run(["reference", "--man", name]).works();
        let entries = std::fs::read_dir(home.path(name)).unwrap();
        let mut pages: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), std::fs::read(path).unwrap()))
            .collect();
        pages.sort();
        pages
    };
    let made = pages("one");
    assert!(made == pages("two"));
    let page = |name: &str| {
        let found = made.iter().find(|(file, _)| file == name);
        String::from_utf8(found.unwrap_or_else(|| panic!("no {name}")).1.clone()).unwrap()
    };
    assert!(page("omnifs.1").contains("Mount remote services as ordinary files"));
    assert!(page("omnifs-mount.1").contains("Let other users use the mount"));
    assert!(page("omnifs-auth-login.1").contains("omnifs"));
    assert!(!made.iter().any(|(file, _)| file == "omnifs-reference.1"), "it is hidden");
}
