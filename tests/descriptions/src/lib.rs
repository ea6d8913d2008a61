//! The services' own descriptions as a yardstick: is this request one that GitHub's OpenAPI
//! description allows, is this query one that Linear's schema allows?
//!
//! The descriptions are never part of the project. GitHub's are the npm packages `@octokit/openapi` and
//! `@octokit/webhooks-examples`, fetched once into the target directory; Linear's is read from the reference data beside the
//! checkout. Where one cannot be had, that is said loudly once and nothing is checked.

pub mod http;
mod npm;
mod openapi;

use std::io::Read as _;
use std::path::{Path, PathBuf};
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
/// A file that holds Linear's schema, gzip-compressed, in place of the one beside the checkout.
const SCHEMA_VARIABLE: &str = "OMNIFS_LINEAR_SCHEMA";

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
    let file = match std::env::var_os(EXAMPLES_VARIABLE) {
        Some(file) => Ok(PathBuf::from(file)),
        None => EXAMPLES.fetch(),
    };
    let read = |file: PathBuf| {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read(&file).map_err(|error| told(&error))?;
        serde_json::from_slice(&text).map_err(|error| told(&error))
    };
    file.and_then(read).map_err(|why| not_checked("GitHub's example webhooks", &why)).ok()
}

/// Linear's schema; nothing where it cannot be had.
pub fn linear() -> Option<&'static Valid<Schema>> {
    static SCHEMA: OnceLock<Option<Valid<Schema>>> = OnceLock::new();
    let load = || {
        let file = std::env::var_os(SCHEMA_VARIABLE).map_or_else(
            || root().join("../shared/reference/linear-schema.graphql.gz"),
            PathBuf::from,
        );
        read_schema(&file).map_err(|why| not_checked("Linear's schema", &why)).ok()
    };
    SCHEMA.get_or_init(load).as_ref()
}

fn read_schema(file: &Path) -> Result<Valid<Schema>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let packed = std::fs::File::open(file).map_err(|error| told(&error))?;
    let mut text = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(packed);
    unpacked.read_to_string(&mut text).map_err(|error| told(&error))?;
    Schema::parse_and_validate(text, file).map_err(|error| told(&error))
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
