//! `cargo xtask dist`: the packages of one build, in a folder of the target directory.
//!
//! Invariant: packing one build twice gives the same bytes. All is made from one tree of files, with the
//! time of the commit, in sorted order, and with nothing of this machine. Only the .msi differs: wixl
//! puts a number drawn at random and the time into it.

mod archive;
mod build;
mod check;
mod crates;
mod deb;
mod image;
mod machine;
mod npm;
mod rpm;
mod sbom;
mod sums;
mod texts;
mod tree;
mod windows;

pub use check::installed;
use machine::Machine;

use crate::step::{loud, minutes, say};
use crate::{cargo, components, setup, step};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes the packages of one build: archives, deb, rpm, npm, image, sums, signature, texts for registries
#[derive(clap::Args)]
pub struct Dist {
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// Where they go; `dist` in the target directory unless told otherwise
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also installs the packages on bare systems and uses them there
    #[arg(long)]
    check: bool,
    /// Links for no older system than this one, and so without zig
    #[arg(long)]
    this_glibc: bool,
    /// Makes nothing for Windows and for aarch64, each of which is a build of its own
    #[arg(long)]
    this_machine: bool,
    /// The secret key that signs SHA256SUMS, made by `minisign -G -W`
    #[arg(long, value_name = "FILE", env = "OMNIFS_MINISIGN_KEY")]
    key: Option<PathBuf>,
    /// Where the files will be found, for the texts of registries
    #[arg(long, default_value = "https://example.invalid/omnifs/releases")]
    url: String,
    /// The project's page, for the packages
    #[arg(long, default_value = "https://example.invalid/omnifs")]
    home: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Packed quickly, to be tried
    Dev,
    Release,
}

/// What is packed, and as what.
#[derive(Clone)]
struct Release {
    profile: Profile,
    machine: Machine,
    version: String,
    /// Seconds since 1970: the time of the commit.
    epoch: u64,
    built: PathBuf,
    /// The same without symbols.
    binary: PathBuf,
    /// The oldest glibc that has every symbol the binary needs.
    glibc: String,
    url: String,
    home: String,
    /// The finished files.
    out: PathBuf,
    /// What they are made in.
    work: PathBuf,
}

/// The release binary's bound.
const MOST_BYTES: u64 = 40 << 20;

impl Dist {
    pub fn run(self) -> Result<()> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
            bail!(
                "packages are made on Linux (x86_64, glibc); installers/macos/pkg.sh is for a Mac"
            );
        }
        for line in setup::need(setup::Goal::Dist)? {
            loud(&line);
        }
        components::build_all(components::Which::Shipped)?;
        let out = match &self.out {
            Some(given) => std::path::absolute(given)?,
            None => cargo::target()?.join("dist"),
        };
        let built = build::binary(self.profile, self.this_glibc)?;
        let release = Release::new(self.profile, &built, out, (&self.url, &self.home))?;
        if self.profile == Profile::Release && release.size()? > MOST_BYTES {
            let mib = release.size()? as f64 / f64::from(1 << 20);
            let parts = release.parts()?;
            bail!("the binary has {mib:.1} MiB, more than {}: {parts}", MOST_BYTES >> 20);
        }
        release.pack(self.key.as_deref(), !self.this_machine)?;
        match self.check {
            true => check::packages(&release, !self.this_machine)
                .map(|left_out| left_out.iter().for_each(|l| loud(l))),
            false => Ok(()),
        }
    }
}

impl Release {
    fn new(
        profile: Profile,
        built: &Path,
        out: PathBuf,
        (url, home): (&str, &str),
    ) -> Result<Release> {
        let metadata = cargo::metadata(&cargo::root().join("Cargo.toml"))?;
        let packages = metadata["packages"].as_array().context("no packages")?;
        let omnifs = packages.iter().find(|package| package["name"] == "omnifs");
        let version =
            omnifs.and_then(|package| package["version"].as_str()).context("no version")?;
        let work = out.join("work");
        for folder in [&out, &work] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let binary = build::stripped(built, &work)?;
        Ok(Release {
            profile,
            machine: Machine::X64,
            version: version.to_owned(),
            epoch: commit_time()?,
            glibc: build::glibc(&binary)?,
            built: built.to_owned(),
            binary,
            url: url.to_owned(),
            home: home.to_owned(),
            out,
            work,
        })
    }

    /// The same for another machine, whose program has no symbols.
    fn of(&self, machine: Machine, built: &Path) -> Result<Release> {
        let work = self.folder(machine.name())?;
        let glibc = build::glibc(built)?;
        let (built, binary) = (built.to_owned(), built.to_owned());
        Ok(Release { machine, glibc, built, binary, work, ..self.clone() })
    }

    /// Makes everything that can be made here, and says what cannot. `others`: for other systems and machines
    /// as well.
    fn pack(&self, key: Option<&Path>, others: bool) -> Result<()> {
        let mib = self.size()? as f64 / f64::from(1 << 20);
        say(&format!(
            "the binary has {mib:.1} MiB and needs glibc {}: {}",
            self.glibc,
            self.parts()?
        ));
        let linked = crates::linked()?;
        let tree = tree::Tree::stage(self, &linked)?;
        machine::pack(self, &tree)?;
        archive::source(self)?;
        npm::thin(self)?;
        image::make(self)?;
        sbom::make(self, &linked)?;
        match others {
            true => {
                machine::pack_other(self, &tree)?;
                windows::make(self)?;
            }
            false => loud("nothing for Windows and aarch64 was made: --this-machine"),
        }
        texts::make(self)?;
        sums::make(self, key)?;
        fs::remove_dir_all(&self.work)?;
        for (name, bytes) in sums::files(&self.out)? {
            say(&format!("{:>10} bytes  {name}", bytes));
        }
        say(&format!("the packages are in {}", self.out.display()));
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(fs::metadata(&self.binary).context("the binary")?.len())
    }

    /// What the binary holds, by its largest sections and what is embedded.
    fn parts(&self) -> Result<String> {
        let text = self.output(Command::new("size").arg("-A").arg(&self.binary), "size")?;
        let mut sections: Vec<(u64, &str)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next().filter(|name| name.starts_with('.'))?;
                Some((words.next()?.parse().ok()?, name))
            })
            .collect();
        sections.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut parts: Vec<String> = sections
            .iter()
            .take(4)
            .map(|(bytes, name)| format!("{name} {:.1} MiB", *bytes as f64 / f64::from(1 << 20)))
            .collect();
        let embedded: u64 = fs::read_dir(components::output_directory()?)?
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|found| found.len())
            .sum();
        parts.push(format!(
            "the components have about {:.1} MiB before they are packed into it",
            embedded as f64 / f64::from(1 << 20)
        ));
        Ok(parts.join(", "))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// A fresh folder to make something in.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// Runs a packing program: the time of the commit is its time.
    fn run(&self, command: &mut Command, what: &str) -> Result<()> {
        command
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        step::run(command.stdout(std::io::stderr()), what, minutes(10))
    }

    fn output(&self, command: &mut Command, what: &str) -> Result<String> {
        step::output(command.env("LC_ALL", "C"), what, minutes(10))
    }

    /// A text of installers/ with its values put in.
    fn fill(&self, path: &str, values: &[(&str, &str)]) -> Result<String> {
        let file = cargo::root().join("installers").join(path);
        let mut text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let own = [("VERSION", self.version.as_str()), ("URL", &self.url), ("HOME", &self.home)];
        for (name, value) in own.iter().chain(values) {
            text = text.replace(&format!("@{name}@"), value);
        }
        Ok(text)
    }
}

/// That of the last commit, or 1980 outside of a repository.
fn commit_time() -> Result<u64> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(cargo::root());
    match step::ask(&mut git) {
        Some(text) => text.trim().parse().context("git's time of the last commit"),
        None => {
            loud("not a git repository: files in the packages are of 1980");
            Ok(315_532_800)
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}
