//! Which providers a mount shows, and which of them the user has approved.

use super::error::{Error, nearest};
use super::{Config, InstanceConfig};
use crate::capability::Egress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where an instance's component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this binary, by name.
    Shipped(String),
    File(PathBuf),
    /// Neither shipped nor in the provider directory. `nearest` is what may have been meant.
    Missing {
        name: String,
        nearest: Option<String>,
    },
}

/// Why an instance's component may use what its manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// It came with the binary.
    Shipped,
    /// `--provider NAME=FILE` on this mount's command line.
    Flag,
    /// `omnifs providers add` recorded the SHA-256 of the component, and of what it asks for: `sha256:HEX`.
    Recorded { component: String, asks: Option<String> },
    /// Nobody approved it yet.
    None,
}

/// A provider instance that a mount shows: the first segment of its paths is `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub name: String,
    pub source: Source,
    pub approval: Approval,
    pub enabled: bool,
    pub config: InstanceConfig,
    /// The way out of this machine, the same for all.
    pub egress: Egress,
}

/// 1 to 63 lower-case letters, digits and `-`, beginning with a letter or a digit.
pub fn valid_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(good)
}

impl Config {
    /// Every instance, by name: the shipped providers under their own names, but for those that wait for the
    /// file to name an instance of them, what the file adds or changes, what lies in the provider directory, and `flags` (`--provider NAME=FILE`).
    ///
    /// # Errors
    /// A flag with an invalid name.
    pub fn instances(
        &self,
        shipped: &[&str],
        directory: &Path,
        flags: &[(String, PathBuf)],
    ) -> Result<Vec<Instance>, Error> {
        let installed = components(directory);
        let mut instances = BTreeMap::new();
        let mut add = |name: &str, source, approval, config: Option<&InstanceConfig>| {
            let config = config.cloned().unwrap_or_default();
            let enabled = config.enabled.unwrap_or(true);
            let name = name.to_owned();
            let egress = self.egress.clone();
            instances
                .insert(name.clone(), Instance { name, source, approval, enabled, config, egress });
        };
        let on_demand = crate::shipped::ON_DEMAND;
        let unasked = |name: &&&str| !on_demand.iter().any(|(other, _)| other == *name);
        for name in shipped.iter().filter(unasked) {
            add(name, Source::Shipped((*name).to_owned()), Approval::Shipped, None);
        }
        for (name, path) in &installed {
            let used = self.written.iter().any(|(instance, config)| {
                config.provider.as_deref().unwrap_or(instance) == name
                    || config.provider.as_ref().is_some_and(|p| Path::new(p) == path)
            });
            if !used && !shipped.contains(&name.as_str()) {
                add(name, Source::File(path.clone()), Approval::None, None);
            }
        }
        for (name, config) in &self.written {
            let provider = config.provider.as_deref().unwrap_or(name);
            let source = self.source(provider, shipped, &installed);
            let approval = match (&source, &config.grant) {
                (Source::Shipped(_), _) => Approval::Shipped,
                (_, Some(grant)) => {
                    Approval::Recorded { component: grant.clone(), asks: config.asks.clone() }
                }
                (_, None) => Approval::None,
            };
            add(name, source, approval, Some(config));
        }
        for (name, file) in flags {
            if !valid_name(name) {
                return Err(Error::Name { name: name.clone() });
            }
            let config = self.written.get(name);
            add(name, Source::File(file.clone()), Approval::Flag, config);
        }
        Ok(instances.into_values().collect())
    }

    fn source(
        &self,
        provider: &str,
        shipped: &[&str],
        installed: &BTreeMap<String, PathBuf>,
    ) -> Source {
        if provider.contains(['/', '\\']) || provider.ends_with(".wasm") {
            let base = self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            return Source::File(base.join(provider));
        }
        // A file cannot take a shipped provider's place by its name alone.
        if shipped.contains(&provider) {
            return Source::Shipped(provider.to_owned());
        }
        match installed.get(provider) {
            Some(path) => Source::File(path.clone()),
            None => {
                let known = shipped.iter().copied().chain(installed.keys().map(String::as_str));
                Source::Missing { name: provider.to_owned(), nearest: nearest(provider, known) }
            }
        }
    }
}

/// The components of the provider directory by name. A file whose name cannot name an instance is
/// not among them.
fn components(directory: &Path) -> BTreeMap<String, PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?.to_owned();
            valid_name(&name).then_some((name, path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: [&str; 2] = ["docker", "github"];

    fn named(config: &Config, directory: &Path, name: &str) -> Instance {
        let all = config.instances(&SHIPPED, directory, &[]).unwrap();
        all.into_iter().find(|i| i.name == name).unwrap()
    }

    fn config(text: &str) -> Config {
        super::super::read::parse(Path::new("/etc/c.toml"), text).unwrap()
    }

    #[test]
    fn without_a_file_every_shipped_provider_is_an_instance() {
        let all = Config::default().instances(&SHIPPED, Path::new("/nowhere"), &[]).unwrap();
        assert_eq!(all.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), SHIPPED);
        assert!(all.iter().all(|i| i.enabled && i.approval == Approval::Shipped));
    }

    #[test]
    fn what_ships_on_demand_is_an_instance_only_where_the_file_names_one() {
        let shipped = ["git", "github"];
        let names = |config: &Config| {
            let all = config.instances(&shipped, Path::new("/nowhere"), &[]).unwrap();
            all.into_iter().map(|instance| instance.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&Config::default()), ["github"]);
        let own = config("[instances.git]\nendpoints.git = 'https://git.example.org'");
        assert_eq!(names(&own), ["git", "github"]);
        let other = config("[instances.git-example-org]\nprovider = 'git'");
        assert_eq!(names(&other), ["git-example-org", "github"]);
    }

    #[test]
    fn one_component_can_be_two_instances() {
        let config = config("[instances.ghe]\nprovider = 'github'");
        let ghe = named(&config, Path::new("/nowhere"), "ghe");
        assert_eq!(ghe.source, Source::Shipped("github".into()));
        let github = named(&config, Path::new("/nowhere"), "github");
        assert_eq!(github.source, ghe.source);
    }

    #[test]
    fn a_file_in_the_provider_directory_waits_for_approval() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["jira.wasm", "docker.wasm", "Bad Name.wasm", "notes.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let all = Config::default().instances(&SHIPPED, dir.path(), &[]).unwrap();
        assert_eq!(
            all.iter().map(|i| &i.name[..]).collect::<Vec<_>>(),
            ["docker", "github", "jira"]
        );
        assert_eq!(all[0].approval, Approval::Shipped);
        assert_eq!(all[2].approval, Approval::None);

        let grant = format!("sha256:{}", "0".repeat(64));
        let config = config(&format!("[instances.tickets]\nprovider = 'jira'\ngrant = '{grant}'"));
        let all = config.instances(&SHIPPED, dir.path(), &[]).unwrap();
        assert_eq!(all[2].name, "tickets");
        assert_eq!(all[2].approval, Approval::Recorded { component: grant, asks: None });
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_missing_provider_names_the_nearest_one() {
        let config = config("[instances.d]\nprovider = 'dokcer'");
        let source = named(&config, Path::new("/nowhere"), "d").source;
        let nearest = Some("docker".to_owned());
        assert_eq!(source, Source::Missing { name: "dokcer".into(), nearest });
    }

    #[test]
    fn a_flag_takes_the_component_and_keeps_the_settings() {
        let config = config("[instances.x]\nsettings.depth = 3");
        let flags = [("x".to_owned(), PathBuf::from("/tmp/x.wasm"))];
        let all = config.instances(&SHIPPED, Path::new("/nowhere"), &flags).unwrap();
        let x = all.iter().find(|i| i.name == "x").unwrap();
        assert_eq!(x.approval, Approval::Flag);
        assert_eq!(x.config.settings["depth"], "3");
        let flags = [("../x".to_owned(), PathBuf::new())];
        assert!(config.instances(&SHIPPED, Path::new("/nowhere"), &flags).is_err());
    }
}
