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
