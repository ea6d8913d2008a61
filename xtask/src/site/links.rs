//! Links of the documents: what each leads to in this repository exists, and has the heading that it names.

use crate::cargo;
use crate::step::say;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Folders with documents, beside the root.
const FOLDERS: [&str; 3] = ["", "docs", "providers"];

/// A document, by its path below the root.
pub struct Document {
    pub path: PathBuf,
    links: Vec<Link>,
    anchors: BTreeSet<String>,
}

struct Link {
    line: usize,
    /// Below the root. `None`: this document.
    path: Option<PathBuf>,
    anchor: Option<String>,
}

impl Document {
    fn new(path: PathBuf, text: &str) -> Document {
        let (mut links, mut anchors) = (Vec::new(), BTreeSet::new());
        let mut times = BTreeMap::<String, usize>::new();
        for (line, text) in prose(text) {
            if let Some(heading) = heading(&text) {
                let slug = slug(heading);
                let before = times.entry(slug.clone()).or_default();
                anchors.insert(match *before {
                    0 => slug,
                    n => format!("{slug}-{n}"),
                });
                *before += 1;
            }
            for target in targets(&text) {
                links.extend(Link::new(&path, line, target));
            }
        }
        Document { path, links, anchors }
    }

    /// The files below the root that it leads to, other than documents.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let paths = self.links.iter().filter_map(|link| link.path.clone());
        paths.filter(|path| path.extension() != Some("md".as_ref()))
    }
}

impl Link {
    /// `None`: it leads out of the repository.
    fn new(from: &Path, line: usize, target: &str) -> Option<Link> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (path, anchor) = match target.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor.to_owned())),
            None => (target, None),
        };
        let beside = from.parent().unwrap_or(Path::new("")).join(path);
        let path = (!path.is_empty()).then(|| plain(&beside));
        Some(Link { line, path, anchor })
    }
}

/// Without `.` and `..`, as far as they stay within.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

/// The lines, each with its number, in which links are links: none of a block of code. What stands in backticks
/// within one is left out, and its letters are kept where it is a heading.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            code = !code;
            return None;
        }
        if code {
            return None;
        }
        let line = match heading(line) {
            Some(_) => line.replace('`', ""),
            None => line.split('`').step_by(2).collect::<Vec<_>>().join("``"),
        };
        Some((at + 1, line))
    })
}

fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    (1..=6).contains(&level).then_some(rest)?.strip_prefix(' ').map(str::trim)
}

/// As forges write it: lower case, no punctuation, a dash for each blank.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// What stands in the brackets of `](...)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ']).next()?;
        (!target.is_empty()).then_some(target)
    })
}

/// All of them.
pub fn documents(root: &Path) -> Result<Vec<Document>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        let whole = root.join(&folder);
        for entry in fs::read_dir(&whole).with_context(|| whole.display().to_string())? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            // The code of a provider is no document.
            if entry.file_type()?.is_dir() && folder.starts_with("docs") {
                folders.push(path);
            } else if path.extension() == Some("md".as_ref()) {
                let text = fs::read_to_string(root.join(&path))?;
                found.push(Document::new(path, &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A line for each link that leads nowhere.
fn dead(documents: &[Document], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    for document in documents {
        for link in &document.links {
            let to = link.path.as_ref().unwrap_or(&document.path);
            let at = format!("{}:{}", document.path.display(), link.line);
            if to.starts_with("..") || !exists(to) {
                lines.push(format!("{at}: there is no {}", to.display()));
                continue;
            }
            let Some(anchor) = &link.anchor else { continue };
            let of = documents.iter().find(|other| other.path == *to);
            if !of.is_some_and(|document| document.anchors.contains(anchor)) {
                lines.push(format!("{at}: {} has no heading #{anchor}", to.display()));
            }
        }
    }
    lines
}

pub fn check() -> Result<()> {
    let root = cargo::root();
    let documents = documents(&root)?;
    let dead = dead(&documents, |path| root.join(path).exists());
    if !dead.is_empty() {
        bail!("links of the documentation:\n  {}", dead.join("\n  "));
    }
    say(&format!("the links of {} documents lead somewhere", documents.len()));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dead_of(files: &[(&str, &str)]) -> Vec<String> {
        let document = |(path, text): &(&str, &str)| Document::new(path.into(), text);
        let documents: Vec<_> = files.iter().map(document).collect();
        dead(&documents, |path| files.iter().any(|(file, _)| Path::new(file) == path))
    }

    #[test]
    fn every_link_of_this_repositorys_documents_leads_somewhere() {
        check().unwrap();
    }

    #[test]
    fn a_link_to_no_file_or_heading_is_named_with_its_line() {
        let found = dead_of(&[
            (
                "README.md",
                "# A b, `c`\n[x](docs/a.md) [y](docs/a.md#one-1) [z](#a-b-c)\n[](LICENSE)",
            ),
            ("LICENSE", ""),
            ("docs/a.md", "## One\n## One\n[up](../README.md#a-b-c) [w](none.md)\n[v](#two)\n"),
            ("docs/deep/b.md", "[out](../../../x.md) [site](https://example.org/x#y)\n"),
        ]);
        let expected = [
            "docs/a.md:3: there is no docs/none.md",
            "docs/a.md:4: docs/a.md has no heading #two",
            "docs/deep/b.md:1: there is no ../x.md",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_code_is_no_link() {
        let text = "a `[b](c)` d\n```md\n[e](f)\n# G\n```\n[h](#g)\n";
        assert_eq!(dead_of(&[("README.md", text)]), ["README.md:6: README.md has no heading #g"]);
    }
}
