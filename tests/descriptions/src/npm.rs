//! Files of npm packages that tests are checked against, fetched once into the target directory.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One file of one version of a package, or several that are kept as one.
#[derive(Debug)]
pub(super) struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Its path in the archive. Where a `*` is in it, every file of such a path is a member of one JSON
    /// object, by what the `*` stands for.
    pub member: &'static str,
    /// What the file's name in the target directory begins with.
    pub kept: &'static str,
}

impl Package {
    /// The member's file in the target directory, fetched through npm where it is not there yet.
    pub fn fetch(&self) -> Result<PathBuf, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| super::root().join("target"), PathBuf::from);
        let folder = target.join("descriptions");
        let file = folder.join(format!("{}-{}.json", self.kept, self.version));
        if file.exists() {
            return Ok(file);
        }
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        // A folder of this process's own: tests run side by side, and the last step is a rename.
        let work = folder.join(format!("fetch-{}-{}", self.kept, std::process::id()));
        std::fs::create_dir_all(&work).map_err(told)?;
        let made = self.pack(&work).and_then(|archive| {
            let text = match self.member.split_once('*') {
                None => member(&archive, self.member),
                Some(ends) => all(&archive, ends),
            };
            let text = text.map_err(|error| format!("{}: {error}", archive.display()))?;
            let unpacked = work.join("api.json");
            std::fs::write(&unpacked, text)
                .and_then(|()| std::fs::rename(&unpacked, &file))
                .map_err(told)
        });
        let _ = std::fs::remove_dir_all(&work);
        made.map(|()| file)
    }

    fn pack(&self, folder: &Path) -> Result<PathBuf, String> {
        let output = Command::new("npm")
            .args([
                "pack",
                "--silent",
                "--ignore-scripts",
                "--fetch-timeout=60000",
                "--fetch-retries=1",
            ])
            .arg(format!("{}@{}", self.name, self.version))
            .current_dir(folder)
            .output()
            .map_err(|error| format!("npm cannot be run ({error}); install npm"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("npm pack {} failed: {}", self.name, said.trim()));
        }
        let name = String::from_utf8_lossy(&output.stdout);
        Ok(folder.join(name.trim().lines().last().unwrap_or_default()))
    }
}

/// One member of a gzip-compressed tar archive.
fn member(archive: &Path, wanted: &str) -> std::io::Result<Vec<u8>> {
    let mut found = members(archive, |name| name == wanted, 1)?;
    let (_, bytes) =
        found.pop().ok_or_else(|| std::io::Error::other(format!("no {wanted} in it")))?;
    Ok(bytes)
}

/// One JSON object of all members whose paths begin and end so, which are JSON themselves.
fn all(archive: &Path, (begin, end): (&str, &str)) -> std::io::Result<Vec<u8>> {
    let between = |name: &str| Some(name.strip_prefix(begin)?.strip_suffix(end)?.to_owned());
    let mut object = serde_json::Map::new();
    for (name, bytes) in members(archive, |name| between(name).is_some(), usize::MAX)? {
        let value: Value = serde_json::from_slice(&bytes)?;
        object.insert(between(&name).unwrap_or(name), value);
    }
    match object.is_empty() {
        true => Err(std::io::Error::other(format!("no {begin}*{end} in it"))),
        false => Ok(Value::Object(object).to_string().into_bytes()),
    }
}

/// The first `most` wanted members of a gzip-compressed tar archive (POSIX ustar), with their paths.
fn members(
    archive: &Path,
    wanted: impl Fn(&str) -> bool,
    most: usize,
) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut tar = flate2::read::GzDecoder::new(std::fs::File::open(archive)?);
    let mut found = Vec::new();
    while found.len() < most {
        let mut header = [0_u8; 512];
        tar.read_exact(&mut header)?;
        let text = |range: std::ops::Range<usize>| {
            let field = String::from_utf8_lossy(&header[range]).into_owned();
            field.trim_matches(['\0', ' ']).to_owned()
        };
        let name = text(0..100);
        if name.is_empty() {
            break;
        }
        let size = u64::from_str_radix(&text(124..136), 8).map_err(std::io::Error::other)?;
        let mut content = tar.by_ref().take(size.next_multiple_of(512));
        if wanted(&name) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            bytes.truncate(size as usize);
            found.push((name, bytes));
        } else {
            std::io::copy(&mut content, &mut std::io::sink())?;
        }
    }
    Ok(found)
}
