//! The services' own descriptions as a yardstick: is this request one that GitHub's OpenAPI
//! description allows, is this query one that Linear's schema allows?
//!
//! The descriptions are never part of the project. GitHub's are the npm packages `@octokit/openapi` and
//! `@octokit/webhooks-examples`, fetched once into the target directory; Linear's is a file of the crate
//! `linear-schema`, which cargo fetches with the others that are locked here. GitHub's own recorded traffic,
//! which the provider's tests replay, is the npm package `@octokit/fixtures`, fetched in the same way. Where
//! one cannot be had, that is said loudly once and nothing is checked.

pub mod http;
mod npm;
mod openapi;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};

pub use openapi::{OpenApi, Operation};

/// A file that holds GitHub's description, in place of the npm package.
const OPENAPI_VARIABLE: &str = "OMNIFS_GITHUB_OPENAPI";
/// A file that holds GitHub's example webhooks, in place of the npm package.
const EXAMPLES_VARIABLE: &str = "OMNIFS_WEBHOOK_EXAMPLES";
const EXAMPLES: npm::Package = npm::Package {
    name: "@octokit/webhooks-examples",
    version: "7.6.1",
    member: "package/api.github.com/index.json",
    kept: "webhooks",
};
/// A file that holds GitHub's recorded traffic, in place of the npm package: scenarios by their names.
const RECORDINGS_VARIABLE: &str = "OMNIFS_GITHUB_RECORDINGS";
const RECORDINGS: npm::Package = npm::Package {
    name: "@octokit/fixtures",
    version: "23.1.2",
    member: "package/scenarios/api.github.com/*/normalized-fixture.json",
    kept: "recordings",
};
/// A file that holds Linear's schema, in place of the crate's.
const SCHEMA_VARIABLE: &str = "OMNIFS_LINEAR_SCHEMA";

/// What Linear added to its schema since the crate was made, as far as it is asked for.
const ADDED: &str = "extend type User { title: String }";

/// The workspace's root: two levels above this crate.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn not_checked(what: &str, why: &str) {
    omnifs_support::skip(&format!("checks against {what}"), why);
}

/// GitHub's description; nothing where it cannot be had.
pub fn github() -> Option<&'static OpenApi> {
    static DESCRIPTION: OnceLock<Option<OpenApi>> = OnceLock::new();
    let load = || {
        let file = match std::env::var_os(OPENAPI_VARIABLE) {
            Some(file) => Ok(PathBuf::from(file)),
            None => openapi::PACKAGE.fetch(),
        };
        let loaded = file.and_then(|file| OpenApi::read(&file));
        loaded.map_err(|why| not_checked("GitHub's OpenAPI description", &why)).ok()
    };
    DESCRIPTION.get_or_init(load).as_ref()
}

/// GitHub's own example payloads of webhooks, as JSON: an array of `{name, examples}`; nothing where
/// they cannot be had.
pub fn webhook_examples() -> Option<serde_json::Value> {
    fetched(EXAMPLES_VARIABLE, &EXAMPLES, "GitHub's example webhooks")
}

/// GitHub's own recorded traffic, as JSON: by scenario, an array of exchanges, each with `method`,
/// `scope`, `path`, `body`, `status`, `headers` and `response`; nothing where it cannot be had.
pub fn github_recordings() -> Option<&'static serde_json::Value> {
    static RECORDED: OnceLock<Option<serde_json::Value>> = OnceLock::new();
    let load = || fetched(RECORDINGS_VARIABLE, &RECORDINGS, "GitHub's recorded traffic");
    RECORDED.get_or_init(load).as_ref()
}

/// A package's file as JSON, or what the file holds that the variable names.
fn fetched(variable: &str, package: &npm::Package, what: &str) -> Option<serde_json::Value> {
    let file = match std::env::var_os(variable) {
        Some(file) => Ok(PathBuf::from(file)),
        None => package.fetch(),
    };
    let read = |file: PathBuf| {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read(&file).map_err(|error| told(&error))?;
        serde_json::from_slice(&text).map_err(|error| told(&error))
    };
    file.and_then(read).map_err(|why| not_checked(what, &why)).ok()
}

/// Linear's schema; nothing where it cannot be had.
pub fn linear() -> Option<&'static Valid<Schema>> {
    static SCHEMA: OnceLock<Option<Valid<Schema>>> = OnceLock::new();
    let load = || {
        let read = |file: PathBuf, added: &str| {
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let text = std::fs::read_to_string(&file).map_err(|error| told(&error))?;
            Schema::parse_and_validate(text + added, &file).map_err(|error| told(&error))
        };
        let schema = match std::env::var_os(SCHEMA_VARIABLE) {
            Some(file) => read(file.into(), ""),
            None => locked_schema().and_then(|file| read(file, ADDED)),
        };
        schema.map_err(|why| not_checked("Linear's schema", &why)).ok()
    };
    SCHEMA.get_or_init(load).as_ref()
}

/// The schema in the crate's folder, where cargo says that it is.
fn locked_schema() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo metadata failed: {}", said.trim()));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|package| package["name"] == "linear-schema")
        .find_map(|package| package["manifest_path"].as_str());
    let manifest = manifest.ok_or("cargo metadata names no linear-schema")?;
    Ok(Path::new(manifest).with_file_name("linear.graphql"))
}

/// Checks a request, as `GET`, `/repos/acme/api/issues?page=2`. Returns the id of the operation
/// that it is; `Ok(None)` where the description cannot be had.
///
/// # Errors
/// Where the description has no such operation, or the operation no such parameter or value.
pub fn check_github_request(method: &str, path: &str) -> Result<Option<String>, String> {
    let Some(description) = github() else { return Ok(None) };
    description.check(method, path).map(|operation| Some(operation.id.to_owned()))
}

/// Checks a GraphQL document against Linear's own schema; `Ok(false)` where that cannot be had.
///
/// # Errors
/// What the schema has against it, in the words of the GraphQL specification.
pub fn check_linear_query(query: &str) -> Result<bool, String> {
    let Some(schema) = linear() else { return Ok(false) };
    match ExecutableDocument::parse_and_validate(schema, query, "query.graphql") {
        Ok(_) => Ok(true),
        Err(refused) => Err(refused.errors.to_string()),
    }
}
