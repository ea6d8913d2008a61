//! `cargo xtask site`: the documentation as pages of HTML, by MkDocs, with charts of the last benchmark.
//!
//! The pages lie as the documents do in the repository, so a link that holds there holds here.

mod charts;
pub mod links;
#[cfg(unix)]
pub mod picture;
pub mod svg;

use crate::cargo;
use crate::step::{self, loud, minutes, say};
use anyhow::{Context, Result};
use links::Document;
use omnifs_support::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package on PyPI.
const MKDOCS: &str = "mkdocs==1.6.1";

/// Builds the documentation as HTML
#[derive(clap::Args)]
pub struct Site {
    /// Where the pages go [default: site in the target directory]
    #[arg(long)]
    out: Option<PathBuf>,
    /// The benchmark's figures, as `cargo xtask bench` writes them [default: bench.json in the target directory]
    #[arg(long)]
    figures: Option<PathBuf>,
}

impl Site {
    pub fn run(self) -> Result<()> {
        links::check()?;
        let target = cargo::target()?;
        let figures = self.figures.unwrap_or_else(|| target.join("bench.json"));
        let staged = target.join("site-source");
        stage(&staged, &figures)?;
        // A relative path is meant from where the user stands, and MkDocs runs elsewhere.
        let out = std::path::absolute(self.out.unwrap_or_else(|| target.join("site")))?;
        let mut build = Command::new(mkdocs(&target)?);
        build.args(["build", "--strict", "--quiet", "--clean", "--config-file"]);
        build.arg(staged.join("mkdocs.yml")).arg("--site-dir").arg(&out);
        step::run(&mut build, "building the pages", minutes(5))?;
        say(&format!("the documentation: {}", out.join("index.html").display()));
        Ok(())
    }
}

/// Copies each document, and each file that one of them leads to, to the same place below `pages`.
fn stage(staged: &Path, figures: &Path) -> Result<()> {
    let (root, pages) = (cargo::root(), staged.join("pages"));
    let _ = fs::remove_dir_all(staged);
    let documents = links::documents(&root)?;
    let led_to = documents.iter().flat_map(Document::files);
    for path in documents.iter().map(|document| document.path.clone()).chain(led_to) {
        let to = pages.join(&path);
        fs::create_dir_all(to.parent().context("a path below the repository")?)?;
        fs::copy(root.join(&path), &to).with_context(|| format!("copying {}", path.display()))?;
    }
    let page = pages.join("docs/benchmarks.md");
    match fs::read_to_string(figures) {
        Ok(text) => {
            let drawn = charts::draw(&text).with_context(|| figures.display().to_string())?;
            let mut document = fs::read_to_string(&page)?;
            for chart in drawn {
                fs::write(pages.join("docs").join(&chart.file), &chart.svg)?;
                document += &format!("\n![{}]({})\n", chart.title, chart.file);
            }
            fs::write(&page, document)?;
        }
        Err(_) => loud(&format!(
            "the page of benchmarks has NO charts: no {} (cargo xtask bench writes it)",
            figures.display()
        )),
    }
    fs::write(staged.join("mkdocs.yml"), fs::read_to_string(root.join("docs/mkdocs.yml"))?)?;
    Ok(())
}

/// The program, which is fetched into the target directory once.
fn mkdocs(target: &Path) -> Result<PathBuf> {
    let folder = target.join("mkdocs");
    let program_of = folder.join("bin/mkdocs");
    if !folder.join("whole").exists() {
        let _ = fs::remove_dir_all(&folder);
        let system = program("python3").context("there is no python3")?;
        let mut venv = Command::new(system);
        step::run(venv.args(["-m", "venv"]).arg(&folder), "a place for MkDocs", minutes(2))?;
        let mut install = Command::new(folder.join("bin/python3"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", MKDOCS]);
        step::run(&mut install, "fetching MkDocs", minutes(5))?;
        fs::write(folder.join("whole"), MKDOCS)?;
    }
    Ok(program_of)
}
