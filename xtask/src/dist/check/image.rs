//! The container image: its sums, and its program run with nothing but its own files.

use super::super::{Release, image, sums};
use crate::setup;
use crate::step::say;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn check(release: &Release) -> Result<Option<String>> {
    let package = release.file(&image::name(release));
    if !package.is_file() {
        return Ok(Some("the image: it was not made".to_owned()));
    }
    let folder = release.folder("image-check")?;
    let mut unpack = Command::new("tar");
    release.run(unpack.arg("-xzf").arg(&package).arg("-C").arg(&folder), "unpacking the image")?;
    let blobs = folder.join("blobs/sha256");
    for (name, _) in sums::files(&blobs)? {
        if sums::of(&blobs.join(&name))? != name {
            bail!("a blob of the image is not what its name says: {name}");
        }
    }
    let index = read(&folder.join("index.json"))?;
    let manifest = read(&blob(&blobs, &index["manifests"][0])?)?;
    let config = read(&blob(&blobs, &manifest["config"])?)?;
    let layer = blob(&blobs, &manifest["layers"][0])?;
    let program = config["config"]["Entrypoint"][0].as_str().context("no entry point")?;
    if !setup::is_root() {
        return Ok(Some("the image's program: only root can enter its files".to_owned()));
    }
    let root = release.folder("image-root")?;
    let mut unpack = Command::new("tar");
    release.run(unpack.arg("-xf").arg(layer).arg("-C").arg(&root), "unpacking its layer")?;
    let mut enter = Command::new("chroot");
    enter.arg(&root).args([program, "providers", "list"]).env_clear();
    enter.env("PATH", "/usr/sbin:/usr/bin").env("HOME", "/root");
    let said = release.output(&mut enter, "the image's program")?;
    if !["docker", "github", "linear"].iter().all(|name| said.contains(name)) {
        bail!("the image's program says {said:?}");
    }
    say("the image's program runs with the image's files alone");
    Ok(None)
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// The file that a descriptor names, of the size that it says.
fn blob(blobs: &Path, descriptor: &Value) -> Result<std::path::PathBuf> {
    let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
    let file = blobs.join(digest.context("a descriptor without a digest")?);
    let size = fs::metadata(&file).with_context(|| file.display().to_string())?.len();
    if descriptor["size"].as_u64() != Some(size) {
        bail!("a descriptor says {} for {size} bytes", descriptor["size"]);
    }
    Ok(file)
}
