//! From nothing to a mount: `omnifs setup` and `omnifs auth login`, with the twin of a service in the place of the
//! service itself, and homes that hold what a user's machine would.

#![cfg(target_os = "linux")]

mod engines;
mod login;
mod other_programs;
mod setup;
mod terminal;

use omnifs_support::{Omnifs, Ran, skip};
use omnifs_twins::{GithubSetup, GithubTwin};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const TOKEN: &str = "ghp_firstSECRETfirstSECRETfirst0001";
const OTHER: &str = "ghp_otherSECRETotherSECRETother0002";
/// What every token has.
const PART: &str = "SECRET";

/// A twin that takes these tokens and no other, and an empty home.
struct World {
    twin: GithubTwin,
    omnifs: Omnifs,
}

impl World {
    fn new() -> World {
        let tokens = vec![TOKEN.to_owned(), OTHER.to_owned()];
        let twin = GithubTwin::start(GithubSetup { tokens, ..GithubSetup::default() });
        // Components are compiled once for all of them. The next run sweeps this home away.
        static COMPILED: OnceLock<Omnifs> = OnceLock::new();
        let compiled = COMPILED.get_or_init(|| Omnifs::new().expect("a home")).path("cache");
        let omnifs = Omnifs::new().expect("a home");
        let omnifs = omnifs.env("XDG_CACHE_HOME", compiled.to_str().expect("UTF-8"));
        World { twin: twin.expect("a twin"), omnifs }
    }

    /// A home whose configuration has the service at the twin.
    fn placed() -> World {
        let world = World::new();
        world.omnifs.config(&world.placing()).expect("a configuration");
        world
    }

    fn placing(&self) -> String {
        format!("[instances.github]\nendpoints.api = \"{}\" # the twin\n", self.twin.url())
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.omnifs.run(arguments).expect("a command")
    }

    /// The exit code and all that was printed, in which there is no secret.
    fn said(&self, arguments: &[&str]) -> (i32, String) {
        let ran = self.run(arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains(PART), "{said}");
        (ran.status.code().unwrap_or(-1), said)
    }

    /// A file of the user's with a token.
    fn token_file(&self, token: &str) -> String {
        let file = self.omnifs.path("my-token");
        fs::write(&file, format!("{token}\n")).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    }

    fn config(&self) -> String {
        fs::read_to_string(self.omnifs.path("config/omnifs/config.toml")).unwrap_or_default()
    }

    /// The files in which logins have kept something.
    fn kept(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.omnifs.path("data/omnifs/secrets")) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// Every file of the home with what is in it. Compiled components are no setting of anybody's.
    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.omnifs.path(""), &mut found);
        found.retain(|path, _| !path.starts_with(self.omnifs.path("cache")));
        found
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("list").map(|entry| entry.expect("an entry")) {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            found.insert(entry.path(), Vec::new());
            collect(&entry.path(), found);
        } else if kind.is_file() {
            found.insert(entry.path(), fs::read(entry.path()).unwrap_or_default());
        } else {
            found.insert(entry.path(), b"special".to_vec());
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// A program of the user's, in a directory for `PATH`.
fn program(omnifs: &Omnifs, name: &str, script: &str) -> String {
    let folder = omnifs.path("bin");
    fs::create_dir_all(&folder).expect("a directory");
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("a program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("mode");
    format!("{}:/usr/bin:/bin", folder.display())
}
