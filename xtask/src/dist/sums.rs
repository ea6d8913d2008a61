//! SHA256SUMS, and its signature.

use super::{Release, write};
use crate::step::loud;
use anyhow::{Context, Result};
use omnifs_support::program;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn make(release: &Release, key: Option<&Path>) -> Result<()> {
    let mut sums = String::new();
    for (name, _) in files(&release.out)? {
        // Writing to a String does not fail.
        let _ = writeln!(sums, "{}  {name}", of(&release.file(&name))?);
    }
    let file = release.file("SHA256SUMS");
    write(&file, sums)?;
    let Some(key) = key else {
        loud("SHA256SUMS is NOT signed: no --key");
        return Ok(());
    };
    if program("minisign").is_none() {
        loud("SHA256SUMS is NOT signed: apt-get install minisign");
        return Ok(());
    }
    let mut sign = Command::new("minisign");
    // Without the time that it would put into its comment by itself.
    sign.arg("-S")
        .arg("-s")
        .arg(key)
        .arg("-m")
        .arg(&file)
        .arg("-t")
        .arg(format!("omnifs {}", release.version));
    release.run(&mut sign, "signing SHA256SUMS")
}

/// Names and sizes of the finished files.
pub fn files(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), found.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// SHA-256, in hexadecimal.
pub fn of(file: &Path) -> Result<String> {
    Ok(of_bytes(&fs::read(file).with_context(|| file.display().to_string())?))
}

pub fn of_bytes(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
