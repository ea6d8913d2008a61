//! What registries take instead of a file: texts with a version, addresses and sums.

use super::{Release, sums, write};
use crate::step::loud;
use anyhow::Result;
use std::path::Path;

/// Each template, and its name in a release.
const TEXTS: [(&str, &str); 5] = [
    ("homebrew.rb", "omnifs.rb"),
    ("scoop.json", "omnifs.scoop.json"),
    ("winget.yaml", "omnifs.winget.yaml"),
    ("PKGBUILD", "PKGBUILD"),
    ("omnifs.nix", "omnifs.nix"),
];

pub fn make(release: &Release) -> Result<()> {
    for (template, name) in TEXTS {
        let text = release.fill(&format!("templates/{template}"), &[])?;
        let text = present(&text, &release.out);
        match with_sums(&text, &release.out)? {
            Ok(text) => write(&release.file(name), text)?,
            Err(file) => {
                loud(&format!("{name} was NOT made: it is about {file}, which is not here"))
            }
        }
    }
    Ok(())
}

/// A line that begins with `@IF:FILE@` is left out where that file is not in the folder.
fn present(text: &str, folder: &Path) -> String {
    let line = |line: &str| {
        let Some((file, line)) = line.strip_prefix("@IF:").and_then(|rest| rest.split_once('@'))
        else {
            return Some(format!("{line}\n"));
        };
        folder.join(file).is_file().then(|| format!("{line}\n"))
    };
    text.lines().filter_map(line).collect()
}

/// `@SHA256:FILE@` is the sum of a file in the folder. `Err` names one that is not there.
fn with_sums(text: &str, folder: &Path) -> Result<Result<String, String>> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@SHA256:") {
        let (file, behind) = after.split_once('@').unwrap_or((after, ""));
        if !folder.join(file).is_file() {
            return Ok(Err(file.to_owned()));
        }
        filled.push_str(before);
        filled.push_str(&sums::of(&folder.join(file))?);
        rest = behind;
    }
    Ok(Ok(filled + rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_put_in_and_a_file_that_is_not_there_is_named() {
        let folder = std::env::temp_dir().join(format!("omnifs-texts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a"), "").unwrap();
        let filled = with_sums("x @SHA256:a@ y", &folder).unwrap();
        let optional = present("x\n@IF:a@y @SHA256:a@\n@IF:b@z\n", &folder);
        let missing = with_sums("@SHA256:a@ @SHA256:b@", &folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(filled, Ok(format!("x {empty} y")));
        assert_eq!(optional, "x\ny @SHA256:a@\n");
        assert_eq!(missing, Err("b".to_owned()));
    }
}
