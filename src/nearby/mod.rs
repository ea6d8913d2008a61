//! What a user's machine has of a service already: sockets, addresses in files of other programs, logins of other
//! programs. Where to look stands in the manifest.
//!
//! **Invariant:** nothing is read or run for a component that does not ship with this program: a manifest names
//! files and a command, and a component of a stranger is not to choose them.

mod logins;

pub use logins::{Login, OtherLoginError};

use crate::config::{Instance, Source};
use crate::credentials::Environment;
use crate::paths;
use crate::provider::{Contexts, Endpoint, OtherLogin};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Files that are looked at below one pattern.
const MOST_FILES: usize = 100;

/// The user's machine. A value, so that tests can have one of their own.
#[derive(Clone, Debug)]
pub struct Machine {
    home: Option<PathBuf>,
    environment: Environment,
}

/// An address at which an endpoint may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As a user would write it into the configuration.
    pub url: String,
    /// `environment variable NAME`, `context NAME`, `socket`.
    pub from: String,
    /// The user has chosen it for the service's own programs.
    pub chosen: bool,
}

impl Machine {
    pub fn of_user() -> Machine {
        Machine { home: std::env::home_dir(), environment: Environment::process() }
    }

    pub fn new(home: &Path, environment: Environment) -> Machine {
        Machine { home: Some(home.to_owned()), environment }
    }

    /// Where the endpoint may be, the user's own choice first. What nobody chose is there only where its socket
    /// is, or where a context names it.
    pub fn addresses(&self, instance: &Instance, endpoint: &Endpoint) -> Vec<Address> {
        let mut found = Vec::new();
        if !matches!(instance.source, Source::Shipped(_)) {
            return found;
        }
        let Some(nearby) = &endpoint.nearby else { return found };
        let mut seen = HashSet::new();
        let mut add = |url: String, from: String, chosen: bool| {
            if seen.insert(same(&url)) {
                found.push(Address { url, from, chosen });
            }
        };
        if let Some(name) = &endpoint.url_environment
            && let Some(url) = self.variable(name)
        {
            add(url, format!("environment variable {name}"), true);
        }
        let contexts = nearby.contexts.as_ref().map(|c| self.contexts(c)).unwrap_or_default();
        let label = |name: &str| format!("context {name}");
        for (name, url, _) in contexts.iter().filter(|(.., chosen)| *chosen) {
            add(url.clone(), label(name), true);
        }
        for socket in &nearby.sockets {
            let place = socket.strip_prefix("unix://").unwrap_or(socket);
            for path in self.files(place) {
                add(format!("unix://{}", path.display()), "socket".to_owned(), false);
            }
        }
        // Of a pipe only an attempt shows whether it is there.
        if endpoint.default_url.starts_with("npipe:") {
            add(endpoint.default_url.clone(), "pipe".to_owned(), false);
        }
        for (name, url, _) in &contexts {
            add(url.clone(), label(name), false);
        }
        found
    }

    /// The logins that other programs have for the service, the service's own host first.
    pub fn logins(&self, instance: &Instance, spec: &[OtherLogin]) -> Vec<Login> {
        if !matches!(instance.source, Source::Shipped(_)) {
            return Vec::new();
        }
        let mut found: Vec<_> = spec.iter().flat_map(|login| logins::read(self, login)).collect();
        found.sort_by_key(|login| login.endpoint.is_some());
        found
    }

    /// Name and address of each context, and whether it is in use.
    fn contexts(&self, contexts: &Contexts) -> Vec<(String, String, bool)> {
        let text = |value: &Value, at: &str| Some(value.pointer(at)?.as_str()?.to_owned());
        let named = contexts.chosen_environment.as_ref().and_then(|name| self.variable(name));
        let chosen = named.or_else(|| {
            let file = contexts.chosen_files.iter().flat_map(|file| self.files(file)).next()?;
            text(&json(&file)?, &contexts.chosen)
        });
        let files = contexts.files.iter().flat_map(|pattern| self.files(pattern));
        let read = files.filter_map(|file| {
            let value = json(&file)?;
            let name = text(&value, &contexts.name)?;
            let url = text(&value, &contexts.address)?;
            let chosen = chosen.as_ref() == Some(&name);
            Some((name, url, chosen))
        });
        read.collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }

    /// What is there of `/PATH`, `~/PATH` or `$NAME/PATH`, where `*` stands for one name.
    fn files(&self, pattern: &str) -> Vec<PathBuf> {
        let (base, rest) = match pattern.split_once('/') {
            Some(("", rest)) => (Some(PathBuf::from("/")), rest),
            Some(("~", rest)) => (self.home.clone(), rest),
            Some((variable, rest)) => {
                let value = variable.strip_prefix('$').and_then(|name| self.variable(name));
                (value.map(PathBuf::from).filter(|base| base.is_absolute()), rest)
            }
            None => (None, ""),
        };
        let mut found = Vec::from_iter(base);
        for part in rest.split('/') {
            found = found.iter().flat_map(|folder| below(folder, part)).collect();
            found.truncate(MOST_FILES);
        }
        found.retain(|path| path.exists());
        found
    }
}

fn below(folder: &Path, part: &str) -> Vec<PathBuf> {
    if part != "*" {
        return vec![folder.join(part)];
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    names.sort();
    names
}

fn json(file: &Path) -> Option<Value> {
    serde_json::from_slice(&paths::read_regular(file).ok()?).ok()
}

/// Two ways to one socket are one address: `/var/run` leads to `/run`.
fn same(url: &str) -> String {
    let socket = url.strip_prefix("unix://").and_then(|path| Path::new(path).canonicalize().ok());
    socket.map_or_else(|| url.to_owned(), |path| path.display().to_string())
}

#[cfg(all(test, unix))]
mod tests;
