//! Every dependency's licence against the allow-list of deny.toml, the file cargo-deny reads too.

use super::spdx;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// `[licenses]` of deny.toml.
#[derive(Debug, Default)]
pub struct Policy {
    allow: HashSet<String>,
    /// Further licences for one crate.
    exceptions: HashMap<String, HashSet<String>>,
}

impl Policy {
    pub fn read(file: &Path) -> Result<Policy> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Policy::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> Result<Policy> {
        let document: toml::Table = text.parse()?;
        let licences = document.get("licenses").context("no [licenses]")?;
        let list = |value: &toml::Value| -> Option<HashSet<String>> {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let allow = licences.get("allow").and_then(list).context("no licenses.allow")?;
        let mut exceptions = HashMap::new();
        let entries = licences.get("exceptions").and_then(toml::Value::as_array);
        for entry in entries.into_iter().flatten() {
            let name = entry.get("crate").and_then(toml::Value::as_str).context("no crate")?;
            let more = entry.get("allow").and_then(list).context("no allow")?;
            exceptions.insert(name.to_owned(), more);
        }
        Ok(Policy { allow, exceptions })
    }

    fn admits(&self, name: &str, licence: &str) -> bool {
        self.allow.contains(licence)
            || self.exceptions.get(name).is_some_and(|more| more.contains(licence))
    }
}

/// Crates whose manifest names a file instead of a licence, and what that file is. cargo-deny reads
/// the file itself.
const BY_FILE: &[(&str, &str)] = &[("jsonpath-rust", "MIT")];

/// One line for each package whose licence the policy does not admit.
pub fn check(policy: &Policy, packages: &[Value]) -> Vec<String> {
    let problem = |package: &Value| {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let (name, version) = (text("name")?, text("version")?);
        let by_file = || BY_FILE.iter().find(|(of, _)| *of == name).map(|(_, licence)| *licence);
        let Some(licence) = text("license").or_else(by_file) else {
            return Some(format!("{name} {version} names no licence"));
        };
        match spdx::satisfied(licence, &|one| policy.admits(name, one)) {
            Some(true) => None,
            Some(false) => Some(format!("{name} {version}: {licence} is not in deny.toml")),
            None => Some(format!("{name} {version}: {licence:?} is not an SPDX expression")),
        }
    };
    packages.iter().filter_map(problem).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        exceptions = [{ allow = ["GPL-3.0"], crate = "winfsp" }]
    "#;

    fn problems(name: &str, licence: Value) -> Vec<String> {
        let package = json!({ "name": name, "version": "1.0.0", "license": licence });
        check(&Policy::parse(POLICY).unwrap(), &[package])
    }

    #[test]
    fn a_licence_off_the_list_is_refused_and_an_exception_is_for_its_crate_only() {
        assert!(problems("a", json!("MIT OR GPL-3.0")).is_empty());
        assert_eq!(problems("a", json!("GPL-3.0")), ["a 1.0.0: GPL-3.0 is not in deny.toml"]);
        assert!(problems("winfsp", json!("GPL-3.0")).is_empty());
    }

    #[test]
    fn a_missing_or_unreadable_licence_is_refused() {
        assert_eq!(problems("a", Value::Null), ["a 1.0.0 names no licence"]);
        assert_eq!(problems("a", json!("MIT OR")).len(), 1);
    }
}
